"""The value of one series over time, and what it is held against: what a small picture shows.

It looks at what the condition compares, as its reason in words does: in `a > 5 and b < 3` at `a`, against 5. A plain
selector is drawn sample by sample; anything else is worked out anew at up to 60 moments, which costs as many
evaluations, so it is done for a message that is being written and never for a table.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from alerting.core.lang.condition import CompiledCondition, Threshold
from alerting.core.lang.running.binary import MIRRORED
from alerting.core.lang.running.explain import inside
from alerting.core.lang.running.values import Moment
from alerting.core.lang.tree import Binary
from alerting.errors import ConditionError, EvaluationError
from alerting.model import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alerting.core.lang.running.compile import Compiled
    from alerting.core.samples import Samples
    from alerting.model import Condition, Labels, Millis, Need, Value

    _Point = tuple[Millis, float]

HOUR: Millis = 3_600_000  # what is shown, unless the condition itself looks further back
MOST = 60  # points
_LEAST = 3  # points; fewer tell nothing over time
_WORK = 1_200_000  # units of work (0.1 to 0.4 us each) that one picture may take


def kept_for_pictures(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Give needs with windows that are long enough for there to be something to draw."""
    return tuple(need._replace(window=max(need.window, HOUR)) for need in needs)


def picture(condition: Condition, labels: Labels, samples: Samples, now: Millis) -> Picture | None:
    """Draw the series of an alert; None where its values are no numbers, or there are too few of them."""
    if not isinstance(condition, CompiledCondition):
        return None
    start = now - max(HOUR, *(need.window for need in condition.needs), 0)
    try:
        if isinstance(condition, Threshold) and condition.needs[0].name:
            points = _thinned(_samples(condition, labels, samples, start, now), condition.op)
            threshold: Any = condition.bound
        else:
            looked, op, bound = _compared(condition)
            points = _worked_out(condition, looked, labels, samples, (start, now))
            threshold = bound.scalar(Moment(samples, now), now) if op and bound is not None and bound.scalar else None
    except (ConditionError, EvaluationError):
        return None
    if len(points) < _LEAST:
        return None
    return Picture(tuple(points), threshold if threshold is not None and isfinite(threshold) else None, condition.unit)


def _samples(condition: Threshold, labels: Labels, samples: Samples, start: Millis, now: Millis) -> list[_Point]:
    """Give the samples of the series as they came."""
    need = condition.needs[0]
    for series in samples.series(need.namespace, need.name):
        if series.labels == labels:
            low, high = series.bounds(start, now)
            return _numbers(zip(series.times[low:high], series.values[low:high], strict=True))
    return []


def _compared(condition: CompiledCondition) -> tuple[Compiled, str, Compiled | None]:
    """Find what the condition looks at, and against what: of several comparisons the one that gives the value."""
    node, compiler = inside(condition.tree()), condition.compiler()
    while isinstance(node, Binary) and node.op in ("and", "or", "unless"):
        node = inside(node.left)
    if not isinstance(node, Binary) or node.op not in MIRRORED or node.bool_:
        return compiler.compile(node), "", None
    left, right = compiler.compile(node.left), compiler.compile(node.right)
    return (left, node.op, right) if left.vector is not None else (right, MIRRORED[node.op], left)


def _worked_out(
    condition: CompiledCondition, looked: Compiled, labels: Labels, samples: Samples, span: tuple[Millis, Millis]
) -> list[_Point]:
    """Work the value out at moments that are evenly spread, the last one now."""
    if looked.vector is None:
        return []
    start, now = span
    moments = min(MOST, _WORK // max(1, condition.weight))
    found = []
    for number in range(moments - 1, -1, -1):
        at = now - (now - start) * number // MOST
        vector = looked.vector(Moment(samples, at), at)
        found += [(at, value) for found_labels, value, *_ in vector if found_labels == labels][:1]
    return _numbers(found)


def _numbers(points: Iterable[tuple[Millis, Value]]) -> list[_Point]:
    return [(at, value) for at, value in points if not isinstance(value, str) and isfinite(value)]


def _thinned(points: Sequence[_Point], op: str) -> list[_Point]:
    """Leave at most so many points; of those that fall together the one that comes nearest to holding."""
    if len(points) <= MOST:
        return list(points)
    pick = min if op in ("<", "<=") else max
    first, last = points[0][0], points[-1][0]
    slots: dict[int, list[_Point]] = {}
    for point in points[:-1]:
        slots.setdefault((point[0] - first) * (MOST - 1) // max(1, last - first), []).append(point)
    return [*(pick(some, key=lambda point: point[1]) for some in slots.values()), points[-1]]
