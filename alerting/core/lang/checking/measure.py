"""Literals with a unit: into which unit they go, or why they go into none.

A literal is measured against the unit of what it is compared with, added to or clamped to. Where that unit is not
known a duration is seconds, as in PromQL; a share or a size could mean anything there, so it is an error that
says how to declare the unit. Where names are open (a file checked by itself) nothing can be declared, so a size
is bytes and a share is percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.checking.facts import UNKNOWN
from alerting.core.lang.tree import Number, Paren, Unary
from alerting.core.lang.units import SHARE, SIZE, TIME, convert, dimension, format_literal
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from alerting.core.lang.checking.checker import Checker
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.tree import Node

_BASES = {TIME: "s", SIZE: "bytes", SHARE: "percent"}


def literal_of(node: Node) -> Number | None:
    """Give the number with a unit that `node` is, signs and parentheses aside."""
    while isinstance(node, Paren | Unary):
        node = node.expr
    return node if isinstance(node, Number) and node.unit else None


def measured(checker: Checker, node: Node, against: Facts, other: Node) -> Node:
    """Put the literal that `node` is into the unit of `other`, of which `against` is known."""
    if isinstance(node, Paren):
        return node._replace(expr=measured(checker, node.expr, against, other))
    if isinstance(node, Unary):
        inner = measured(checker, node.expr, against, other)
        if isinstance(inner, Number):
            return Number(-inner.value if node.op == "-" else inner.value, node.span, "", checker.shown(node))
        return node._replace(expr=inner)
    if not isinstance(node, Number) or not node.unit:
        return node
    written = dimension(node.unit)
    unit = against.unit or _default(checker, node, against, other)
    if not unit:
        return bare(node)
    if dimension(unit) == written:
        return Number(convert(node.value, node.unit, unit), node.span, "", node.text)
    what = dimension(unit) or "no such thing"
    checker.error(
        f"{checker.shown(other)} is in {unit}, which is {what}; {node.text} is {written}",
        node.span,
        f"a bare number would be in {unit}",
    )
    return bare(node)


def _default(checker: Checker, node: Number, against: Facts, other: Node) -> str:
    """Choose a unit where none is known; note an error and give "" where that would be a guess."""
    written = dimension(node.unit)
    if against.kind is Kind.COUNT:
        message = f"{checker.shown(other)} counts events; {node.text} is {written}"
        checker.error(message, node.span, "write 10 per minute")
        return ""
    if written == TIME or against is UNKNOWN or (checker.names.open and against.type == "vector"):
        return _BASES[written]
    metric = against.metric
    if metric is None or not metric.name:
        hint = f"write a bare number; {_without_unit(node)}"
    else:
        where = "the source of the metrics page" if metric.namespace == SHARED else f"the source {metric.namespace}"
        unit = {SHARE: "percent", SIZE: "bytes"}[written]
        hint = f"say it in the settings, under {where}: `units: {{{metric.name}: {unit}}}`, or write a bare number"
    checker.error(
        f"the unit of {checker.shown(other)} is not known, so {node.text} could mean anything", node.span, hint
    )
    return ""


def free_literal(checker: Checker, node: Number) -> Number:
    """Settle a literal that stands opposite nothing: a duration is seconds, the others mean nothing alone."""
    if dimension(node.unit) == TIME:
        return Number(convert(node.value, node.unit, "s"), node.span, "", node.text)
    hint = (
        f"a unit is measured against a metric that it is compared with; here write a bare number: {_without_unit(node)}"
    )
    checker.error(f"there is nothing that {node.text} could be measured against", node.span, hint)
    return bare(node)


def bare(node: Number) -> Number:
    """Give the number without its unit."""
    return Number(node.value, node.span, "", node.text)


def _without_unit(node: Number) -> str:
    if dimension(node.unit) == SHARE:
        return f"{format_literal(node.value / 100)} of a ratio, {format_literal(node.value)} of a percentage"
    return f"{format_literal(convert(node.value, node.unit, 'bytes'))} in bytes"
