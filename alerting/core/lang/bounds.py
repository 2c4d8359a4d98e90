"""Whether two conditions on one value can hold at once, or one wherever the other does: as far as that is provable.

Only `X OP number` is looked at, either way round, where X is written alike in both. Two numbers part the line into five
stretches; in each of them a comparison holds everywhere or nowhere, so one value of each is witness for all.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.condition import CompiledCondition
from alerting.core.lang.running.binary import BETWEEN, MIRRORED
from alerting.core.lang.running.explain import inside
from alerting.core.lang.syntax.printer import show
from alerting.core.lang.tree import Binary, Number

if TYPE_CHECKING:
    from alerting.model import Condition

_COMPARISONS = frozenset((">", "<", ">=", "<=", "==", "!="))


class Bound(NamedTuple):
    """A condition that compares one value with one number."""

    of: str  # what is compared, as it is written
    op: str
    number: float

    def holds(self, value: float) -> bool:
        """Tell whether the condition holds for a value."""
        return bool(BETWEEN[self.op](value, self.number))


def bound_of(condition: Condition) -> Bound | None:
    """Read a condition as `X OP number`; None: it is of another form."""
    node = inside(condition.tree()) if isinstance(condition, CompiledCondition) else None
    if not isinstance(node, Binary) or node.bool_ or node.op not in _COMPARISONS:
        return None
    left, right, op = inside(node.left), inside(node.right), node.op
    if isinstance(left, Number):
        left, right, op = right, left, MIRRORED[op]
    if not isinstance(right, Number) or isinstance(left, Number):
        return None
    return Bound(show(left), op, right.value)


def includes(wide: Bound | None, narrow: Bound | None) -> bool:
    """Tell whether `wide` provably holds wherever `narrow` does."""
    if wide is None or narrow is None or wide.of != narrow.of:
        return False
    return all(wide.holds(value) for value in _witnesses(wide, narrow) if narrow.holds(value))


def shared(one: Bound | None, other: Bound | None) -> float | None:
    """Give a value for which both provably hold; None: there is none, or nobody can tell."""
    if one is None or other is None or one.of != other.of:
        return None
    return next((value for value in _witnesses(one, other) if one.holds(value) and other.holds(value)), None)


def _witnesses(one: Bound, other: Bound) -> tuple[float, ...]:
    low, high = sorted((one.number, other.number))
    return ((low + high) / 2, low, high, low - 1, high + 1, nextafter(low, -inf), nextafter(high, inf))
