"""Checking binary operators: types as in PromQL, texts, units, rates in words, and sides that can never pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.checking import doubts
from alerting.core.lang.checking import facts as known
from alerting.core.lang.checking.facts import NUMBERS, TEXTS, UNKNOWN
from alerting.core.lang.checking.measure import literal_of, measured
from alerting.core.lang.checking.rates import check_rate
from alerting.core.lang.syntax.parser import COMPARISONS
from alerting.core.lang.tree import Binary, Number, Paren, Per, Text
from alerting.core.lang.units import UNITS, dimension
from alerting.model import Kind

if TYPE_CHECKING:
    from alerting.core.lang.checking.checker import Checker
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.tree import Node

NEVER = "this is never true"  # of two sides that no series can have in common
SETS = frozenset({"and", "or", "unless"})
_SAME = frozenset({"==", "!="})
_PATTERNS = frozenset({"=~", "!~"})
_MEASURED = COMPARISONS | {"+", "-"}  # what puts a literal opposite a unit


def check_binary(checker: Checker, node: Binary) -> tuple[Node, Facts]:
    """Settle an operator and both its sides."""
    if isinstance(unwrapped(node.left), Per) or isinstance(unwrapped(node.right), Per):
        return check_rate(checker, node)
    left, right, of_left, of_right = _sides(checker, node)
    settled = Binary(node.op, left, right, node.bool_, node.matching, node.span, node.op_span)
    if of_left.type == "string" or of_right.type == "string":
        return _with_text(checker, settled, of_left, of_right)
    if not _are_values(checker, node, of_left, of_right):
        return settled, UNKNOWN
    both_vectors = of_left.type == of_right.type == "vector"
    if not both_vectors and node.matching is not None:
        if node.matching.labels:
            checker.error("`on` and `ignoring` pair series, and one side is a single number", node.op_span)
        settled = settled._replace(matching=None)
    if both_vectors:
        _pairs(checker, node, of_left, of_right)
    if node.op in SETS:
        if not both_vectors:
            hint = "wrap a number: vector(1)"
            checker.error(f"`{node.op}` joins series, and one side is a single number", node.op_span, hint)
        return settled, known.of_set(node.op, of_left, of_right)
    _same_units(checker, node, of_left, of_right)
    if node.op in COMPARISONS:
        if checker.native:
            doubts.of_comparison(checker, node, of_left, of_right)
        return settled, _compared(checker, settled, of_left, of_right)
    if checker.native:
        doubts.of_arithmetic(checker, node)
    return settled, known.of_arithmetic(node, of_left, of_right)


def unwrapped(node: Node) -> Node:
    """Take parentheses off."""
    while isinstance(node, Paren):
        node = node.expr
    return node


def _sides(checker: Checker, node: Binary) -> tuple[Node, Node, Facts, Facts]:
    """Settle both sides; a literal with a unit after what it is measured against."""
    if node.op in _MEASURED:
        on_left, on_right = literal_of(node.left), literal_of(node.right)
        if on_right is not None and on_left is None:
            left, of_left = checker.visit(node.left)
            if _measures(of_left):
                return left, measured(checker, node.right, of_left, node.left), of_left, known.SCALAR
            right, of_right = checker.visit(node.right)
            return left, right, of_left, of_right
        if on_left is not None and on_right is None:
            right, of_right = checker.visit(node.right)
            if _measures(of_right):
                return measured(checker, node.left, of_right, node.right), right, known.SCALAR, of_right
            left, of_left = checker.visit(node.left)
            return left, right, of_left, of_right
    left, of_left = checker.visit(node.left)
    right, of_right = checker.visit(node.right)
    return left, right, of_left, of_right


def _measures(facts: Facts) -> bool:
    """Tell whether a literal may be measured against this: series, or a number whose unit is known."""
    return facts.type == "vector" or (facts.type == "scalar" and facts.unit != "")


def _are_values(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> bool:
    """Check that both sides are values now, and numbers or texts alike."""
    fine = True
    for side, facts in ((node.left, of_left), (node.right, of_right)):
        if facts.type == "range":
            hint = f"wrap it, as in avg_over_time({checker.shown(side)})"
            checker.error(f"{checker.shown(side)} is a range of time, not a value", side.span, hint)
            fine = False
    if not fine or node.op in SETS:
        return fine
    for side, facts, other, opposite in (
        (node.left, of_left, node.right, of_right),
        (node.right, of_right, node.left, of_left),
    ):
        if facts.value != TEXTS:
            continue
        if node.op not in COMPARISONS:
            checker.error(f"{checker.shown(side)} is a text; `{node.op}` is for numbers", side.span)
            return False
        if opposite.value == NUMBERS:
            hint = f"put it in quotes: '{checker.shown(other)}'" if isinstance(other, Number) else ""
            checker.error(
                f"{checker.shown(side)} is a text, {checker.shown(other)} a number: they are never equal",
                node.span,
                hint,
            )
            return False
        if node.op not in _SAME | _PATTERNS:
            checker.error("texts have no order", node.op_span, "compare them by == != =~ !~")
            return False
    return True


def _with_text(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> tuple[Node, Facts]:
    """Settle a comparison with a quoted text: the text goes to the right side."""
    if not checker.native:
        hint = "in a rule of our own form, outside `groups:`, it compares a series whose value is a text"
        checker.error(
            "a text is no operand in PromQL", (node.left if of_left.type == "string" else node.right).span, hint
        )
        return node, UNKNOWN
    if of_left.type == "string" and node.op in _SAME and of_right.type == "vector":
        return _with_text(checker, node._replace(left=node.right, right=node.left), of_right, of_left)
    text, series, facts = node.right, node.left, of_left
    if of_left.type == "string" or not isinstance(unwrapped(text), Text):
        hint = "write the metric on the left and the text on the right"
        checker.error(f"`{node.op}` compares a series with a quoted text on its right", node.op_span, hint)
    elif facts.type != "vector":
        checker.error(f"{checker.shown(series)} is {_a(facts.type)}; only a series can be equal to a text", node.span)
    elif node.op not in _SAME | _PATTERNS:
        hint = "take the quotes off if it is a number"
        if node.op in COMPARISONS and not any(char.isdigit() for char in checker.shown(text)):
            hint = "compare them by == != =~ !~"
        checker.error(f"`{node.op}` is not for texts", node.op_span, hint)
    elif facts.value == NUMBERS:
        hint = "take the quotes off if it is a number"
        checker.error(
            f"{checker.shown(series)} is a number, {checker.shown(text)} a text: they are never equal", node.span, hint
        )
    if node.matching is not None and node.matching.labels:
        checker.error("`on` and `ignoring` pair series, and one side is a text", node.op_span)
    quoted = unwrapped(text)
    if node.op in _PATTERNS and isinstance(quoted, Text):
        checker.pattern(quoted.value, quoted.span)
    result = facts._replace(type="vector", value=NUMBERS if node.bool_ else facts.value)
    return node._replace(right=quoted, matching=None), result


def _a(type_: str) -> str:
    return {"scalar": "a single number", "range": "a range of time", "string": "a text"}.get(type_, type_)


def _pairs(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> None:
    """Refuse two sides whose labels tell that no series of one can ever pair with one of the other."""
    if node.op in ("or", "unless"):
        return
    label, on_left = known.never_pair(node, of_left, of_right)
    has, lacks = (node.left, node.right) if on_left else (node.right, node.left)
    if label:
        hint = "to take them together whatever their labels write `and on()`"
        if node.op != "and":
            hint = f"say by which labels they belong together: {node.op} on(…)"
        message = f"{NEVER}: {checker.shown(has)} always has the label {label}, {checker.shown(lacks)} never"
        checker.mistake(message, node.op_span, hint)
        return
    if node.op != "and" or node.matching is not None or of_left.namespaces & of_right.namespaces:
        return
    for side, one, other in ((node.left, of_left, of_right), (node.right, of_right, of_left)):
        if one.always and other.may is None and other.namespaces:
            labels = ", ".join(sorted(one.always))
            message = f"`and` keeps series that have the same labels on both sides; {checker.shown(side)} has {labels}"
            checker.warn(message, node.op_span, "to take them together whatever their labels write `and on()`")
            return


def _same_units(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> None:
    """Refuse to compare, add or subtract what is measured differently."""
    one, other = of_left.unit, of_right.unit
    if node.op not in _MEASURED or not one or not other or one == other or not checker.native:
        return
    hint = "they measure different things"
    if one in UNITS and other in UNITS and dimension(one) == dimension(other):
        here, there = UNITS[one], UNITS[other]
        times, over = there.times * here.over, there.over * here.times
        factor = f"* {times // over}" if times >= over else f"/ {over // times}"
        hint = f"write {checker.shown(node.right)} {factor}"
    message = f"{checker.shown(node.left)} is in {one}, {checker.shown(node.right)} in {other}"
    checker.error(message, node.op_span, hint)


def _compared(checker: Checker, node: Binary, of_left: Facts, of_right: Facts) -> Facts:
    """Give what is known of a comparison between numbers (or two series of texts)."""
    if node.op in _PATTERNS:
        checker.error(
            f"`{node.op}` compares a text with a quoted pattern", node.op_span, f"as in status {node.op} 'ok|fine'"
        )
    if of_left.type == of_right.type == "scalar" and not node.bool_:
        hint = "a metric is missing; two numbers are compared by `== bool`"
        checker.error("this compares two plain numbers", node.op_span, hint)
    facts = of_right if of_left.type == "scalar" else of_left
    if node.bool_:
        return facts._replace(unit="", value=NUMBERS, kind=Kind.UNKNOWN, metric=None)
    return facts
