"""A text that prints stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Secret:
    """A text that prints stars. `reveal()` follows its reference each time: a rotated value takes effect."""

    __slots__ = ("__weakref__", "_follow", "label", "references", "revealed")

    def __init__(
        self,
        follow: Callable[[], str],
        label: str,
        references: Sequence[tuple[str, str]] = (),
        revealed: set[str] | None = None,
    ) -> None:
        """`revealed` is the set to note in what is given out, for a `follow` that gives out parts by itself."""
        self._follow = follow
        self.revealed = set() if revealed is None else revealed  # what redaction must know, and no more
        self.label = label  # what may be shown: `${SLACK_WEBHOOK_URL}` or `(literal)`
        self.references = references  # what it is made of: (kind, name) of each `${kind:name}`

    @classmethod
    def literal(cls, value: str) -> Secret:
        """Wrap a value that stands in the settings file itself."""
        return cls(lambda: value, "(literal)")

    def reveal(self) -> str:
        """Give the value. Raises SecretError, naming the reference, when it cannot be had."""
        value = self._follow()
        if not value:
            raise SecretError(f"{self.label} is empty; set it")
        self.revealed.add(value)
        return value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"
