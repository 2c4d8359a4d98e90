"""Rates in words: what `error_count > 10 per minute` is, by the kind of the metric.

On counts of events per closed minute it is the highest count of that length since the last evaluation, so that
a rule that is evaluated every five minutes misses none. On a counter it is what was gained since the
newest sample at or before the D (running/gained.py). A gauge has no events to count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.checking import facts as known
from alerting.core.lang.checking.facts import NUMBERS, UNKNOWN
from alerting.core.lang.syntax.parser import COMPARISONS
from alerting.core.lang.syntax.printer import duration, period
from alerting.core.lang.tree import Aggregate, Binary, Call, Number, Paren, Per, Range, Selector
from alerting.core.lang.units import format_literal
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from alerting.core.lang.checking.checker import Checker
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.tree import Node
    from alerting.model import Metric

BUCKET = 60_000  # ms: counts come per closed minute
CANDIDATES = 60  # closed stretches that one evaluation looks back over, at most
_DAY = 86_400_000
_SHORTEST = 10_000  # ms; a counter is read too rarely to see what happens in less
_THROUGH = frozenset({"sum", "avg", "min", "max"})  # aggregations that may stand between


def check_rate(checker: Checker, node: Binary) -> tuple[Node, Facts]:
    """Settle a comparison one side of which is `N per period`."""
    left, right = _inside(node.left), _inside(node.right)
    per, on_right = (right, True) if isinstance(right, Per) else (left, False)
    if (
        not isinstance(per, Per)
        or (isinstance(left, Per) and isinstance(right, Per))
        or node.op not in COMPARISONS - {"=~", "!~"}
    ):
        hint = "as in `error_count > 10 per minute`"
        checker.error("`N per period` is compared with one count or counter", node.span, hint)
        return node, UNKNOWN
    number = Number(per.number, per.span, "", format_literal(per.number))
    if node.matching is not None and node.matching.labels:
        checker.error("`on` and `ignoring` pair series, and one side is a single number", node.op_span)
    counted, facts = _counted(checker, node.left if on_right else node.right, per)
    facts = facts._replace(unit="", kind=Kind.UNKNOWN)
    if on_right:
        return node._replace(left=counted, right=number, matching=None), facts
    return node._replace(left=number, right=counted, matching=None), facts


def _inside(node: Node) -> Node:
    while isinstance(node, Paren):
        node = node.expr
    return node


def _counted(checker: Checker, node: Node, per: Per) -> tuple[Node, Facts]:
    """Turn the one selector in `node` into events per period; `sum` and its like may stand around it."""
    if isinstance(node, Paren):
        inner, facts = _counted(checker, node.expr, per)
        return node._replace(expr=inner), facts
    if isinstance(node, Aggregate) and node.op in _THROUGH:
        inner, facts = _counted(checker, node.expr, per)
        return node._replace(expr=inner), known.of_aggregate(node, "", facts)
    if not isinstance(node, Selector):
        checker.visit(node)
        hint = "write it out: rate(x[5m]) > 0.2 is per second, increase(x[5m]) > 10 per five minutes"
        checker.error(f"{checker.shown(node)} is no count or counter that happens so often", node.span, hint)
        return node, UNKNOWN
    metric = checker.resolve(node).metric
    if metric is None:
        return node, UNKNOWN
    facts = known.of_metric(metric, node, checker.names)._replace(unit="", value=NUMBERS, kind=Kind.UNKNOWN)
    selected = node._replace(metric=metric)
    if metric.kind is Kind.COUNT:
        return _peak(checker, selected, per), facts
    _check_counter(checker, selected, metric, per)
    return Call("gained", (Range(selected, per.every, node.span),), node.span), facts


def _peak(checker: Checker, selected: Selector, per: Per) -> Node:
    every = per.every
    if every % BUCKET or every > _DAY:
        hint = "periods are whole minutes, a day at most"
        if every == 1000:  # noqa: PLR2004  `per second`
            hint = f"write {format_literal(per.number * 60)} per minute"
        name = checker.shown(selected)
        checker.error(f"{name} is counted by the minute, it cannot tell {_period(per)}", per.span, hint)
        every = BUCKET
    window = Range(selected, every + (CANDIDATES - 1) * BUCKET, selected.span)
    return Call("peak", (window, Number(every / 1000, per.span)), selected.span)


def _check_counter(checker: Checker, selected: Selector, metric: Metric, per: Per) -> None:
    name = checker.shown(selected)
    length = duration(per.every)
    if metric.kind in (Kind.GAUGE, Kind.STATE, Kind.HISTOGRAM):
        what = {Kind.GAUGE: "a gauge", Kind.STATE: "a text", Kind.HISTOGRAM: "a histogram"}[metric.kind]
        hint = f"a level is compared as it is: {name} > {format_literal(per.number)}"
        checker.error(f"{name} is {what}, nothing that happens so often {_period(per)}", selected.span, hint)
    elif metric.kind is Kind.UNKNOWN and not checker.names.open and not metric.name.endswith(("_total", "_count")):
        where = "on metrics pages a counter's" if metric.namespace == SHARED else "a counter's"
        hint = f"{where} name ends in _total or _count; if it is one, write increase({name}[{length}])"
        checker.error(f"{name} is not known to be a counter", selected.span, hint)
    elif per.every < _SHORTEST:
        hint = f"write {format_literal(per.number * BUCKET / per.every)} per minute"
        checker.error(f"{name} is read too rarely to tell what happens {_period(per)}", per.span, hint)


def _period(per: Per) -> str:
    return f"per {period(per.every)}"
