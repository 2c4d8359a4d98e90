"""What an alert is called, by the model and by the laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from alerting.model import Labels


class Key:
    """An alert. There is one object of each, so that what is kept of it is found by no more than its address."""

    __slots__ = ("labels", "rule")
    rule: str
    labels: Labels
    _made: ClassVar[dict[tuple[str, Labels], Self]] = {}

    def __new__(cls, rule: str, labels: Labels) -> Self:
        """Give the one of this rule and these labels."""
        made = cls._made.get((rule, labels))
        if made is None:
            made = cls._made[rule, labels] = super().__new__(cls)
            made.rule, made.labels = rule, labels
        return made

    def __repr__(self) -> str:
        return f"Key(rule={self.rule!r}, labels={self.labels!r})"
