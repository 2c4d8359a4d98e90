"""From a parsed tree to one that can be compiled: names, types, kinds and units, and every error at once.

The law: what is not known is no error. A unit, a kind or a label counts only where a source, a suffix or the
settings tell it; everything else passes, and shows at run time as *unknown, because …*. In the prometheus dialect
the types of PromQL are errors as they are there, while what only we know of names (kinds, labels) is a warning
and units are left alone: a file that Prometheus loads is not refused for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from alerting.core.lang.checking import facts as known
from alerting.core.lang.checking.calls import check_call
from alerting.core.lang.checking.checker import Checker
from alerting.core.lang.checking.facts import NUMBERS, TEXTS, UNKNOWN, Facts
from alerting.core.lang.checking.measure import free_literal, literal_of
from alerting.core.lang.checking.operators import check_binary
from alerting.core.lang.needs import needs_of
from alerting.core.lang.signatures import AGGREGATIONS, FUNCTIONS
from alerting.core.lang.syntax.parser import MOST
from alerting.core.lang.tree import (
    Aggregate,
    Binary,
    Call,
    Number,
    Paren,
    Per,
    Range,
    Selector,
    Subquery,
    Text,
    Truth,
    Unary,
)
from alerting.errors import ConditionError
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from alerting.core.lang.names import Names
    from alerting.core.lang.signatures import Type
    from alerting.core.lang.syntax.parser import Dialect
    from alerting.core.lang.tree import Node
    from alerting.errors import Diagnostic
    from alerting.model import Need, Patterns

Purpose: TypeAlias = Literal["alert", "record", "query"]

HISTOGRAM_WINDOW = 300_000  # ms that a histogram's quantile is taken over, where only its name is written
PROBE_WINDOW = 600_000  # ms, for the quantile of a health probe's own metric


class Settled(NamedTuple):
    """A condition whose names, types and units are settled."""

    node: Node  # for the compiler: see tree
    type: Type
    unit: str  # of the value; empty: none or not known
    needs: tuple[Need, ...]
    diagnostics: tuple[Diagnostic, ...]  # warnings


def settle(
    node: Node,
    names: Names,
    *,
    dialect: Dialect = "native",
    text: str = "",
    purpose: Purpose = "alert",
    patterns: Patterns | None = None,
) -> Settled:
    """Settle a tree that `parse` made of `text`. Raises ConditionError with all that is wrong, warnings included.

    `purpose` says what the value is for: only a query may be a text, and only an alert's condition is warned of
    where it would always fire. With `patterns` (the Patterns port) regular expressions are checked too.
    """
    checker = _Settler(names, native=dialect == "native", text=text, patterns=patterns)
    said = checker.problems
    settled, found = checker.visit(node)
    if found.type == "range" or (found.type == "string" and purpose != "query"):
        what = "a range of time" if found.type == "range" else "a text"
        checker.error(f"the whole is {what}, where a value now is needed", node.span, "compare it, or aggregate it")
    wrong = any(not each.warning for each in said)
    if purpose == "alert" and not wrong:
        _at_top(checker, settled, found)
    said.sort(key=lambda each: (each.span.start, each.span.end))
    if wrong:
        raise ConditionError(said if len(said) <= MOST else [each for each in said if not each.warning][:MOST])
    return Settled(settled, found.type, found.unit, needs_of(settled), tuple(said))


class _Settler(Checker):
    """The walk itself."""

    def visit(self, node: Node) -> tuple[Node, Facts]:
        """Settle one node and all below it."""
        match node:
            case Selector():
                return self.selector(node)
            case Number():
                return (free_literal(self, node) if node.unit else node), known.SCALAR
            case Binary():
                return check_binary(self, node)
            case Call():
                return check_call(self, node)
            case Range():
                return self.range(node)
            case Aggregate():
                return self.aggregate(node)
            case Paren():
                inner, found = self.visit(node.expr)
                return node._replace(expr=inner), found
            case Unary():
                return self.unary(node)
            case Text():
                return node, known.STRING
            case Subquery():
                return self.subquery(node)
            case Truth():
                return Number(float(node.value), node.span, "", "true" if node.value else "false"), known.SCALAR
            case Per():
                hint = "as in `error_count > 10 per minute`"
                self.error("`N per period` is compared with a count or a counter", node.span, hint)
                return Number(node.number, node.span), known.SCALAR

    def selector(self, node: Selector) -> tuple[Node, Facts]:
        """Settle the newest samples of some series; a quantile's name becomes what it stands for."""
        found = self.resolve(node)
        metric = found.metric
        if metric is None:
            return node, UNKNOWN
        selected = Selector(node.path, node.matchers, node.offset, node.at, node.span, metric)
        facts = known.of_metric(metric, node, self.names)
        if found.quantile is None:
            return selected, facts
        quantile = Number(found.quantile, node.span)
        if metric.namespace != SHARED:
            window = Range(selected, PROBE_WINDOW, node.span)
            return Call("quantile_over_time", (quantile, window), node.span), facts
        rate = Call("rate", (Range(selected, HISTOGRAM_WINDOW, node.span),), node.span)
        always, may = facts.always - {"le"}, None if facts.may is None else facts.may - {"le"}
        value = facts._replace(unit=facts.bucket, always=always, may=may, kind=Kind.GAUGE)
        return Call("histogram_quantile", (quantile, rate), node.span), value

    def range(self, node: Range) -> tuple[Node, Facts]:
        """Settle a stretch of samples."""
        found = self.resolve(node.selector)
        metric = found.metric
        if metric is None:
            return node, Facts("range")
        if found.quantile is not None:
            name = self.shown(node.selector)
            self.error(f"{name} is computed, so it has no samples of its own", node.span, f"write {name}[5m:]")
        facts = known.of_metric(metric, node.selector, self.names)
        return node._replace(selector=node.selector._replace(metric=metric)), facts._replace(type="range")

    def unary(self, node: Unary) -> tuple[Node, Facts]:
        """Settle a sign; before a number it becomes part of it."""
        inner, found = self.visit(node.expr)
        if found.type not in ("scalar", "vector"):
            self.error(f"a sign goes before numbers, {self.shown(node.expr)} is a {found.type}", node.span)
        elif found.value == TEXTS:
            self.error(f"{self.shown(node.expr)} is a text, it has no sign", node.span)
        if isinstance(inner, Number):
            if node.op == "+":
                return inner._replace(span=node.span), found
            return Number(-inner.value, node.span, "", f"-{inner.text}" if inner.text else ""), found
        return node._replace(expr=inner), found._replace(value=NUMBERS, kind=Kind.UNKNOWN)

    def subquery(self, node: Subquery) -> tuple[Node, Facts]:
        """Settle an expression that is evaluated again and again."""
        inner, found = self.visit(node.expr)
        if found.type != "vector":
            hint = "a subquery goes behind an expression that gives series"
            self.error(f"{self.shown(node.expr)} is a {found.type}, not a vector", node.expr.span, hint)
        return node._replace(expr=inner), found._replace(type="range", kind=Kind.UNKNOWN)

    def aggregate(self, node: Aggregate) -> tuple[Node, Facts]:
        """Settle `sum by (…) (…)` and its like."""
        rule = AGGREGATIONS[node.op]
        inner, found = self.visit(node.expr)
        if found.type != "vector":
            over_time = f"{node.op}_over_time"
            hint = f"write {over_time}(…)" if found.type == "range" and over_time in FUNCTIONS else ""
            self.error(f"{node.op} takes a vector, {self.shown(node.expr)} is a {found.type}", node.expr.span, hint)
        elif found.value == TEXTS and not rule.texts:
            hint = "count, group and count_values take texts"
            self.error(f"{node.op} takes numbers, {self.shown(node.expr)} is a text", node.expr.span, hint)
        param = node.param
        if param is not None:
            literal = literal_of(param)
            if literal is not None and literal.unit == "%":
                self.error(f"{self.shown(param)} as a parameter", param.span, f"write {literal.value / 100:g}")
            else:
                param, given = self.visit(param)
                if given.type != rule.param:
                    self.error(f"the parameter of {node.op} is a {rule.param}, this is a {given.type}", param.span)
        return node._replace(expr=inner, param=param), known.of_aggregate(node, rule.unit, found)


def _at_top(checker: Checker, node: Node, found: Facts) -> None:
    """Warn of conditions that hold whatever the values are."""
    while isinstance(node, Paren):
        node = node.expr
    if isinstance(node, Binary) and node.bool_:
        hint = "leave `bool` away: a comparison alone keeps the series for which it holds"
        checker.warn("with `bool` the result is always there, as 0 or 1, so this always fires", node.op_span, hint)
    elif isinstance(node, Selector):
        checker.warn("this fires for every series, whatever its value", node.span, "compare it: > 0, == 0, != 'ok'")
    elif found.type == "scalar":
        checker.warn("this is one number, so it always fires", node.span, "compare a metric with it")
