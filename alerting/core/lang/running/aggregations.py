"""Aggregations: many series into few, by Prometheus' rules.

Its law: a group that a missing series could be in is not aggregated: a sum over a part is no sum. The group
becomes a gap. `count`, `group` and `count_values` take texts; the others make a gap of a group with one.
"""

from __future__ import annotations

from heapq import nlargest, nsmallest
from math import isnan, nan, sqrt
from typing import TYPE_CHECKING

from alerting.core.lang.running.arithmetic import as_text, quantile, variance
from alerting.core.lang.running.values import NAME, Projection, mistyped
from alerting.core.windows import highest, lowest, mean, total
from alerting.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.lang.running.values import Entry, Moment, ScalarOf, Vector, VectorOf
    from alerting.model import Gap, Labels, Millis, Value

    Fold = Callable[[Sequence[Value], float], float]


def _deviation(values: Sequence[Value], _: float) -> float:
    return sqrt(variance(values))


SIMPLE: dict[str, Fold] = {
    "sum": lambda values, _: total(values),
    "avg": lambda values, _: mean(values),
    "min": lambda values, _: lowest(values),
    "max": lambda values, _: highest(values),
    "count": lambda values, _: float(len(values)),
    "group": lambda _values, _: 1.0,
    "stddev": _deviation,
    "stdvar": lambda values, _: variance(values),
    "quantile": lambda values, fraction: quantile(fraction, values),
}
PICKING = frozenset({"topk", "bottomk"})


class Grouping:
    """`by (labels)` or `without (labels)`: which group a series is in."""

    __slots__ = ("by_name", "project")

    def __init__(self, labels: Sequence[str], *, without: bool) -> None:
        self.project = Projection(labels, only=not without)
        self.by_name = self.project.named

    def groups(self, vector: Vector) -> dict[tuple[Labels, str], Vector]:
        """Put the entries into their groups, in the order in which the groups come up."""
        groups: dict[tuple[Labels, str], Vector] = {}
        of, by_name = self.project.of, self.by_name
        for entry in vector:
            key = (of(entry[0]), entry[2] if by_name else "")
            found = groups.get(key)
            if found is None:
                groups[key] = [entry]
            else:
                found.append(entry)
        return groups

    def hide(self, m: Moment, mark: int, groups: dict[tuple[Labels, str], Vector]) -> None:
        """Take out the groups that a missing series could be in; the gaps then speak of groups."""
        gaps: list[Gap] = []
        for gap in m.gaps[mark:]:
            hidden = self.project.of(gap.labels)
            gaps.append(gap._replace(labels=hidden))
            for key in [key for key in groups if key[0].includes(hidden)]:
                del groups[key]
        m.gaps[mark:] = gaps


def simple(op: str, of: VectorOf, param: ScalarOf | None, grouping: Grouping) -> VectorOf:
    """Make an aggregation that folds each group into one number."""
    fold = SIMPLE[op]

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        number = param(m, t) if param else nan
        if param and m.unknown(mark):
            return []
        vector = of(m, t)
        m.spend(4 * len(vector))
        groups = grouping.groups(vector)
        if len(m.gaps) > mark:
            grouping.hide(m, mark, groups)
        found: Vector = []
        for (labels, name), members in groups.items():
            try:
                value = fold([member[1] for member in members], number)
            except TypeError:
                m.gaps += [_text_in(members, labels)]
                continue
            found.append((labels, value, name, any(member[3] for member in members)))
        return found

    return run


def pick(op: str, of: VectorOf, param: ScalarOf, grouping: Grouping) -> VectorOf:
    """`topk`, `bottomk`: the series themselves, best first; NaN counts as the worst."""

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        count = param(m, t)
        if m.unknown(mark):
            return []
        if isnan(count):
            raise EvaluationError(f"Parameter value is NaN: {op} needs a number of series")
        if not -(2.0**63) < count < 2.0**63:
            flows = "overflows" if count > 0 else "underflows"
            raise EvaluationError(f"Scalar value {count:g} {flows} int64: {op} needs a number of series")
        vector = of(m, t)
        m.spend(len(vector))
        if m.wide or count < 1:  # judging: a series that was overtaken has been seen all the same
            return vector if m.wide else []
        groups = grouping.groups(vector)
        if len(m.gaps) > mark:
            grouping.hide(m, mark, groups)
        found: Vector = []
        for (labels, _), members in groups.items():
            try:
                found += _best(op, int(count), members)
            except TypeError:
                m.gaps += [_text_in(members, labels)]
        return found

    return run


def _best(op: str, count: int, members: Vector) -> Vector:
    def value(entry: Entry) -> float:
        return entry[1]  # type: ignore[return-value]  # a text raises TypeError at the first comparison

    numbers = [entry for entry in members if not isnan(value(entry))]
    best = nlargest(count, numbers, key=value) if op == "topk" else nsmallest(count, numbers, key=value)
    if len(best) < count and len(numbers) < len(members):
        best += [entry for entry in members if isnan(value(entry))][: count - len(best)]
    return best


def count_values(label: str, of: VectorOf, labels: Sequence[str], *, without: bool) -> VectorOf:
    """`count_values("label", expr)`: how often each value occurs; the value becomes a label."""
    grouping = Grouping(labels if without else [*labels, label], without=without)

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        entries = of(m, t)
        m.spend(16 * len(entries))
        marked: Vector = []
        for series, value, name, dropped in entries:
            text = as_text(value)
            if label == NAME:
                marked.append((series, value, text, False))
            else:
                marked.append((series.merged({label: text}), value, name, dropped))
        groups = grouping.groups(marked)
        if len(m.gaps) > mark:
            m.gaps[mark:] = [gap._replace(labels=gap.labels.without((label,))) for gap in m.gaps[mark:]]
            grouping.hide(m, mark, groups)
        return [
            (series, float(len(members)), name, any(member[3] for member in members))
            for (series, name), members in groups.items()
        ]

    return run


def _text_in(members: Vector, labels: Labels) -> Gap:
    labels_of, value, name, _ = next(member for member in members if isinstance(member[1], str))
    return mistyped(labels_of, name, value)._replace(labels=labels)
