"""Names that settings and rules refer to: written in a list, known, or only nearly known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def names_in(written: str | Sequence[str]) -> list[str]:
    """Give the names of a list, or of a text with commas between them."""
    pieces = written.split(",") if isinstance(written, str) else written
    return [piece.strip() for piece in pieces if piece.strip()]


def known(what: str, names: Collection[str]) -> str:
    """Say which names there are."""
    return f"known {what}: {', '.join(sorted(names))}" if names else f"write it under `{what}:` in the settings"


def unknown(name: str, what: str, names: Collection[str]) -> str:
    """Say what was probably meant by a name that is not known, or else which there are."""
    return did_you_mean(name, names) or known(what, names)
