"""`${NAME}`, `${file:/run/secrets/x}` and the like inside texts of the settings. `$$` is a plain `$`.

A text with a reference becomes a Secret, whole or in part (`https://${HOST}/x`), and is followed anew at each
use, so that a rotated value takes effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting import registry
from alerting.core.lang.suggest import did_you_mean
from alerting.model import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence


SECRET_LENGTH = 16  # shorter words are hardly keys or tokens


class Reference(NamedTuple):
    """One `${kind:name}`; `${NAME}` is of kind `env`."""

    kind: str
    name: str

    def __str__(self) -> str:
        """Write it as it stands in the settings."""
        return f"${{{self.name}}}" if self.kind == "env" else f"${{{self.kind}:{self.name}}}"

    def follow(self) -> str:
        """Give the value. Raises SecretError that says what is missing."""
        return registry.secret_resolver(self.kind)(self.name)

    def hides(self, value: str) -> bool:
        """Tell whether the value is a secret by itself: a variable may just as well hold a host or a name."""
        return self.kind != "env" or is_literal(value)

    def look(self) -> None:
        """See whether it can work, without asking anybody over a network. Raises SecretError."""
        store = registry.secret_store(self.kind)
        if store is None:
            self.follow()
        else:
            store.document(self.name)


def parts(text: str) -> Sequence[str | Reference]:
    """Cut a text into plain pieces and references. Raises ValueError that says what to write."""
    pieces: list[str | Reference] = []
    plain, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        plain += text[at:dollar]
        if text.startswith("$$", dollar):
            plain, at = f"{plain}$", dollar + 2
        elif text.startswith("${", dollar):
            end = text.find("}", dollar)
            if end < 0:
                raise ValueError("`${` has no `}`; write ${NAME}, or $$ for a plain dollar sign")
            if plain:
                pieces.append(plain)
            pieces.append(_reference(text[dollar + 2 : end]))
            plain, at = "", end + 1
        else:
            plain, at = f"{plain}$", dollar + 1
    plain += text[at:]
    return [*pieces, plain] if plain or not pieces else pieces


def has_bare(text: str) -> bool:
    """Tell whether a text holds `$NAME` without braces, as a shell would follow it. Nothing follows it here."""
    return any(piece[:2].isupper() and piece[:2].isalpha() for piece in text.replace("$$", "").split("$")[1:])


def _reference(inside: str) -> Reference:
    kind, colon, name = inside.partition(":")
    if not colon:
        kind, name = "env", inside
    if kind == "env":
        if not (name.isascii() and name.isidentifier()):
            raise ValueError("`${…}` holds no name; write ${NAME}, or $$ for a plain dollar sign")
        return Reference(kind, name)
    known = registry.kinds("secrets")
    if kind not in known:
        near = did_you_mean(kind, known) or f"known kinds: {', '.join(known)}"
        raise ValueError(f"unknown kind of secret {kind[:20]!r}; {near}")
    return Reference(kind, name.strip())


def resolved(text: str) -> str | Secret:
    """Give the text itself, or a Secret where it holds a reference. Raises ValueError as `parts` does."""
    pieces = parts(text)
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    references = [each for each in pieces if isinstance(each, Reference)]
    label = ", ".join(map(str, references))
    revealed: set[str] = set()  # a Secret held by what it holds itself would stay until the collector runs

    def follow() -> str:
        values = [(each, each if isinstance(each, str) else each.follow()) for each in pieces]
        revealed.update(value for each, value in values if isinstance(each, Reference) and each.hides(value))
        return "".join(value for _, value in values)

    return Secret(follow, label, references, revealed)


def is_literal(text: str) -> bool:
    """Tell whether a text under a secret key looks like the secret itself: a long word of letters and digits."""
    words = "".join(letter if letter.isalnum() or letter in "-_" else " " for letter in text).split()
    return "${" not in text and any(
        len(word) >= SECRET_LENGTH and any(map(str.isdigit, word)) and any(map(str.isalpha, word)) for word in words
    )
