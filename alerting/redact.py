"""Takes known secrets out of any text on its way to people, logs or the state.

What was never revealed cannot leak, so the list of what to look for is exactly what the Secrets have given out,
in the shapes that it takes on its way: as it is, percent-encoded, in base64, and of addresses the part behind the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alerting.model import Secret

STARS = "***"
_SHORTEST = 4  # shorter ones would star out half of every text


class Redactor:
    """The Redact function over a changing set of Secrets. Values that were revealed once stay known."""

    def __init__(self) -> None:
        # Each with the set of what it has given out. Other threads redact, so both are replaced and never changed.
        self._watched: tuple[tuple[ref[Secret], set[str]], ...] = ()
        self._past: frozenset[str] = frozenset()  # what those gave out that are no more: each reload makes new ones
        self._known: frozenset[str] = frozenset()
        self._shapes: tuple[str, ...] = ()

    def watch(self, secrets: Iterable[Secret]) -> None:
        """Take these out as well from now on."""
        alive = [(secret, pair) for pair in self._watched if (secret := pair[0]()) is not None]
        kept = [pair for _, pair in alive]
        known = {id(secret) for secret, _ in alive}
        fresh = {id(secret): (ref(secret), secret.revealed) for secret in secrets if id(secret) not in known}
        self._past = self._past.union(*(pair[1] for pair in self._watched if pair not in kept))
        self._watched = (*kept, *fresh.values())

    def __call__(self, text: str) -> str:
        """Give the text with stars in place of every known secret."""
        values = self._past.union(*(revealed for _, revealed in self._watched))
        if values != self._known:
            self._known = values
            shapes = {shape for value in values for shape in _shapes(value) if len(shape) >= _SHORTEST}
            self._shapes = tuple(sorted(shapes, key=len, reverse=True))
        for shape in self._shapes:
            if shape in text:
                text = text.replace(shape, STARS)
        return text


def _shapes(value: str) -> Iterable[str]:
    from base64 import b64encode, urlsafe_b64encode  # noqa: PLC0415  only where there are secrets
    from json import dumps  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    encoders: tuple[Callable[[str], str], ...] = (str, quote, quote_plus, lambda text: quote(text, safe=""))
    parts = [value, value.strip()]
    if "://" in value:
        parts.append(value.partition("://")[2].partition("/")[2])
    for part in parts:
        for encode in encoders:
            yield encode(part)
        yield dumps(part)[1:-1]
        yield b64encode(part.encode()).decode()
        yield urlsafe_b64encode(part.encode()).decode().rstrip("=")
