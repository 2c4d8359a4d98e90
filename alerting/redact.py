"""Takes known secrets out of any text on its way to people, logs or the state.

What was never revealed cannot leak, so the list of what to look for is exactly what the Secrets have given out,
in the shapes that it takes on its way: as it is, percent-encoded, in base64, and of addresses the part behind the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alerting.model import Secret

STARS = "***"
_SHORTEST = 4  # shorter ones would star out half of every text


class Redactor:
    """The Redact function over a changing set of Secrets. Values that were revealed once stay known."""

    def __init__(self) -> None:
        self._secrets: list[Secret] = []
        self._known: frozenset[str] = frozenset()
        self._shapes: tuple[str, ...] = ()

    def watch(self, secrets: Iterable[Secret]) -> None:
        """Take these out as well from now on."""
        known = {id(secret) for secret in self._secrets}
        self._secrets.extend(secret for secret in secrets if id(secret) not in known)

    def __call__(self, text: str) -> str:
        """Give the text with stars in place of every known secret."""
        values = frozenset(value for secret in self._secrets for value in secret.revealed)
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
