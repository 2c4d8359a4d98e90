"""Reasons in words: which series, which value, which comparison.

`disk_usage{mount="/"} = 91.2% > 85%`. The left value is what was found, the right one what it was held
against; both are written in the metric's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.signatures import AGGREGATIONS, FUNCTIONS, KEEPS, OWN, SECONDS
from alerting.core.lang.syntax.printer import quantile_name, show
from alerting.core.lang.tree import Aggregate, Binary, Call, Number, Paren, Per, Range, Selector, Subquery, Unary
from alerting.core.lang.units import format_value
from alerting.model import Kind

if TYPE_CHECKING:
    from alerting.core.lang.tree import Node
    from alerting.model import Labels, Millis, Value

_WIDEST = 160  # characters of an expression that a reason shows


def compared(  # noqa: PLR0917  the parts of one sentence, in their order
    what: str, labels: Labels, value: Value, op: str, bound: Value, unit: str, *, between: str = ""
) -> str:
    """Write a comparison; `between` goes before the operator: `x = 42%, not > 85%`."""
    return f"{what}{labels} = {format_value(value, unit)}{between} {op} {format_value(bound, unit)}"


def inside(node: Node) -> Node:
    """Take parentheses away."""
    while isinstance(node, Paren):
        node = node.expr
    return node


def rate_of(node: Node) -> Call | None:
    """Find what `check` made of a rate in words: the call under whatever aggregations stand around it."""
    while isinstance(node, Paren | Aggregate):
        node = node.expr
    return node if isinstance(node, Call) and node.func in OWN else None


def period_of(call: Call) -> Millis:
    """Give the period of a rate in words."""
    of, *number = call.args
    if number and isinstance(number[0], Number):
        return round(number[0].value * 1000)
    assert isinstance(of, Range), "check makes it of a range"  # noqa: S101
    return of.window


def _written(node: Node) -> Node:
    """Give what was written where `check` made calls of it: `sum(x) > 10 per minute`."""
    match node:
        case Paren() | Aggregate():
            return node._replace(expr=_written(node.expr))
        case Binary(left=left, right=right):
            return node._replace(left=_beside(left, right), right=_beside(right, left))
        case Call(func=func, args=(Range(selector=selector), *_)) if func in OWN:
            return selector
        case _:
            return node


def _beside(node: Node, other: Node) -> Node:
    """Give one side of an operator as it was written."""
    call = rate_of(other)
    number = inside(node)
    return Per(number.value, period_of(call)) if call and isinstance(number, Number) else _written(node)


def shown(node: Node, name: str = "") -> str:
    """Write what a value is of; a selector by its name alone, as its series' labels follow. `name`: the series'."""
    node = inside(_written(node))
    if isinstance(node, Call):
        node = quantile_name(node) or node
    if isinstance(node, Selector) and not node.offset and node.at is None:
        return show(Selector(node.path)) if node.path else name
    text = " ".join(show(node).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def unit_of(node: Node) -> str:
    """Find the unit of what an expression gives; empty: none or not known."""
    node = inside(node)
    match node:
        case Selector():
            metric = node.metric
            return metric.unit if metric is not None and metric.kind is not Kind.HISTOGRAM else ""
        case Range():
            return unit_of(node.selector)
        case Subquery() | Unary():
            return unit_of(node.expr)
        case Aggregate():
            return unit_of(node.expr) if AGGREGATIONS[node.op].unit == KEEPS else ""
        case Call():
            return _unit_of_call(node)
        case Binary() if node.op in ("+", "-") or node.op not in ("*", "/", "%", "^", "atan2"):
            return "" if node.bool_ else unit_of(node.left) or unit_of(node.right)
        case _:
            return ""


def _unit_of_call(node: Call) -> str:
    if node.func.startswith("histogram_quantile"):
        return next((unit for arg in node.args if (unit := _bucket_unit(arg))), "")
    signature = FUNCTIONS.get(node.func) or OWN.get(node.func)
    if signature is None or signature.unit not in (KEEPS, SECONDS):
        return ""
    if signature.unit == SECONDS:
        return "s"
    return next((unit for arg in node.args if (unit := unit_of(arg))), "")


def _bucket_unit(node: Node) -> str:
    """Find the unit of a histogram's bounds in what is inside `histogram_quantile`."""
    match inside(node):
        case Selector(metric=metric):
            return metric.unit if metric is not None else ""
        case Range(selector=selector):
            return _bucket_unit(selector)
        case Aggregate(expr=expr) | Subquery(expr=expr) | Unary(expr=expr):
            return _bucket_unit(expr)
        case Call(args=args):
            return next((unit for arg in args if (unit := _bucket_unit(arg))), "")
        case _:
            return ""


def clock(at: Millis) -> str:
    """Write a time of day, UTC."""
    minutes = at // 60_000 % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"
