"""What a condition looks at while it holds for nothing: the series nearest to holding, for the tables of people.

It looks again, slowly, with the comparisons open; evaluating does not pay for it.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.condition import CompiledCondition
from alerting.core.lang.running.explain import inside
from alerting.core.lang.running.values import Moment
from alerting.core.lang.tree import Binary, Number
from alerting.errors import EvaluationError

if TYPE_CHECKING:
    from alerting.core.lang.running.values import Vector
    from alerting.core.lang.tree import Node
    from alerting.core.samples import Samples
    from alerting.model import Condition, Labels, Millis, Value

_UPWARD = {">": 1, ">=": 1, "<": -1, "<=": -1}  # which values come nearer to holding


class Nearest(NamedTuple):
    """The value of one series and why the condition does not hold for it."""

    value: Value
    why: str


def nearest(condition: Condition, samples: Samples, now: Millis, since: Millis | None) -> Nearest | None:
    """Give the series that is nearest to holding; None when nothing is seen, or nothing can be compared."""
    node, seen = _seen(condition, samples, now, since)
    if node is None or not seen:
        return None
    way = _way(node)
    labels, value, *_ = max(seen, key=lambda entry: _rank(entry[1], way))
    return Nearest(value, condition.evaluate(samples, now, since).judge(labels)[1]())


def value_of(condition: Condition, samples: Samples, now: Millis, since: Millis | None, labels: Labels) -> Value | None:
    """Give the value of one series, whether the condition holds for it or not; None: it is not seen."""
    return values_of(condition, samples, now, since).get(labels)


def values_of(condition: Condition, samples: Samples, now: Millis, since: Millis | None) -> dict[Labels, Value]:
    """Give the value of each series that a condition compares, whether it holds for it or not."""
    return {labels: value for labels, value, *_ in reversed(_seen(condition, samples, now, since)[1])}


def _seen(condition: Condition, samples: Samples, now: Millis, since: Millis | None) -> tuple[Node | None, Vector]:
    """Give all that the condition compares, and its tree."""
    if not isinstance(condition, CompiledCondition):
        return None, []
    try:
        node = inside(condition.tree())
        run = condition.compiler().compile(node)
        return node, run.vector(Moment(samples, now, since, wide=True), now) if run.vector is not None else []
    except EvaluationError:
        return None, []


def _way(node: Node) -> int:
    """Tell whether larger (1) or smaller (-1) values come nearer to holding; 0: neither."""
    while isinstance(node, Binary):
        way = _UPWARD.get(node.op, 0)
        if way:
            return -way if isinstance(inside(node.left), Number) else way
        node = inside(node.left)
    return 0


def _rank(value: Value, way: int) -> float:
    return float("-inf") if isinstance(value, str) or isnan(value) else way * value
