"""Warnings: what a condition says is clear, but its author probably meant something else.

Only in our own form: Prometheus' files come from people who wrote PromQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.checking.facts import NUMBERS
from alerting.core.lang.tree import Number, Paren, Selector
from alerting.core.lang.units import format_literal
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from alerting.core.lang.checking.checker import Checker
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.tree import Binary, Node

_PERIODS = {
    "sec": "second",
    "min": "minute",
    "hr": "hour",
    **{each: each for each in ("second", "minute", "hour", "day")},
}
_NOTHING = frozenset({"null", "none", "nil", "undefined"})
_PERCENT = 100
_WHOLE = 60  # s; whole minutes are meant as seconds
_SLOW = 100  # s; longer than any request, shorter than any job that people watch in odd seconds
_QUICK = ("duration", "latency", "response_time", "request_time")  # what takes milliseconds rather than minutes


def of_comparison(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> None:
    """Doubt a comparison: a count's newest minute, seconds for milliseconds, 0.85 for 85 %, a text without quotes."""
    if of_left.type == of_right.type == "vector":
        for side, facts, opposite in ((node.left, of_left, of_right), (node.right, of_right, of_left)):
            _without_quotes(checker, node, side, facts, opposite)
        return
    series, number, facts = node.left, node.right, of_left
    if of_left.type == "scalar":
        series, number, facts = node.right, node.left, of_right
    if not isinstance(number, Number):
        return
    _seconds(checker, number, facts)
    _share(checker, number, facts)
    wrong = any(each.span == number.span for each in checker.problems)
    if facts.kind is Kind.COUNT and isinstance(_inside(series), Selector) and not wrong:
        text = number.text or format_literal(number.value)
        message = f"{checker.shown(series)} counts events; this looks at its newest minute alone"
        checker.warn(message, node.span, f"write {text} per minute: the highest minute since the last look")


def of_arithmetic(checker: Checker, node: Binary) -> None:
    """Doubt `health.disk-space` and `10 / minute`."""
    left, right = node.left, node.right
    if not isinstance(right, Selector) or not right.path:
        return
    word, *rest = right.path
    if node.op == "/" and isinstance(left, Number) and word in _PERIODS and not rest and not right.matchers:
        text = left.text or format_literal(left.value)
        checker.warn(f"this divides by a metric called {word}", node.span, f"write {text} per {_PERIODS[word]}")
    touching = left.span.end == node.op_span.start and node.op_span.end == right.span.start
    if node.op == "-" and touching and isinstance(left, Selector) and len(left.path) > 1:
        whole = ".".join((*left.path[:-1], f'"{left.path[-1]}-{word}"', *rest))
        checker.warn(f"this subtracts {word}", node.span, f"a field with a dash is written {whole}")


def _inside(node: Node) -> Node:
    while isinstance(node, Paren):
        node = node.expr
    return node


def _without_quotes(checker: Checker, node: Binary, side: Node, facts: Facts, opposite: Facts) -> None:
    """Doubt a word that no source is known to have, where a field that may be a text is compared with it."""
    metric = facts.metric
    unknown = metric is not None and metric.namespace == SHARED and metric.kind is Kind.UNKNOWN
    bare = isinstance(side, Selector) and len(side.path) == 1 and not side.matchers
    if node.op in ("==", "!=") and unknown and bare and opposite.value != NUMBERS and SHARED not in opposite.namespaces:
        word = checker.shown(side)
        if word.lower() in _NOTHING:
            hint = "what is missing makes the condition unknown by itself; absent(…) asks for it"
            checker.error(f"there is no {word} to compare with", side.span, hint)
        else:
            checker.warn(f"{word} is taken for a metric", side.span, f"a text stands in quotes: '{word}'")


def _seconds(checker: Checker, number: Number, against: Facts) -> None:
    """Warn where a bare number of seconds was probably meant as milliseconds."""
    metric = against.metric
    if number.unit or number.value < _SLOW or number.value % _WHOLE == 0 or against.unit != "s" or metric is None:
        return
    if any(word in metric.name for word in _QUICK):
        text = number.text or format_literal(number.value)
        checker.warn(f"{metric.name} is in seconds; this is {text} s", number.span, f"did you mean {text}ms?")


def _share(checker: Checker, number: Number, against: Facts) -> None:
    """Warn where a bare number was probably meant as a share in the other form: 0.85 for 85 %, or 5 for 0.05."""
    metric, value = against.metric, number.value
    if number.unit or metric is None or against.kind is not Kind.GAUGE:
        return
    text = number.text or format_literal(value)
    if against.unit == "percent" and 0 < value < 1:
        message, meant = f"{metric.name} is in percent, from 0 to 100; this is {text} %", value * _PERCENT
    elif against.unit == "ratio" and 1 < value <= _PERCENT:
        message, meant = f"{metric.name} is a ratio, from 0 to 1; this is {text}", value
    else:
        return
    checker.warn(message, number.span, f"did you mean {format_literal(meant)}%?")
