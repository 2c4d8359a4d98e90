"""Arithmetic and comparison between scalars, vectors and texts.

Its law: a comparison filters and leaves the value as it is, unless it says `bool`; a text against a number is
neither true nor false but a gap.
"""

from __future__ import annotations

import operator
from math import atan2
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.running.arithmetic import divide, modulo, plus, power
from alerting.core.lang.running.matching import paired
from alerting.core.lang.running.values import mistyped

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.lang.running.values import Entry, Moment, ScalarOf, Vector, VectorOf
    from alerting.core.lang.tree import Binary
    from alerting.model import Millis, Patterns, Value

    Test = Callable[[Value], bool]
    Operate = Callable[[float, float], float]
    Change = Callable[[Entry], "Entry | None"]


class Operand(NamedTuple):
    """One side: a scalar, a vector or a text."""

    scalar: ScalarOf | None = None
    vector: VectorOf | None = None
    text: str | None = None
    constant: float | None = None


ARITHMETIC: dict[str, Operate] = {
    "+": plus,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": atan2,
}
COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<=", "=~", "!~"})


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, str) is not isinstance(right, str):
        raise TypeError
    return left == right


def _ordering(compare: Callable[[float, float], bool]) -> Callable[[Value, Value], bool]:
    def ordered(left: Value, right: Value) -> bool:
        if isinstance(left, str) or isinstance(right, str):
            raise TypeError  # texts are the same or not; none is greater
        return compare(left, right)

    return ordered


BETWEEN: dict[str, Callable[[Value, Value], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    ">": _ordering(operator.gt),
    "<": _ordering(operator.lt),
    ">=": _ordering(operator.ge),
    "<=": _ordering(operator.le),
}
MIRRORED = {"==": "==", "!=": "!=", ">": "<", "<": ">", ">=": "<=", "<=": ">="}


def negated(of: VectorOf) -> VectorOf:
    """`-v`."""
    return _mapped(of, lambda value: -value)


def arithmetic(node: Binary, left: Operand, right: Operand, _patterns: Patterns) -> Operand | VectorOf:
    """`+ - * / % ^ atan2`. Raises ValueError when a side is a text."""
    operate = ARITHMETIC[node.op]
    if left.text is not None or right.text is not None:
        raise ValueError(f"a text cannot stand beside {node.op}")
    if left.vector and right.vector:
        return paired(left.vector, right.vector, node.matching, operate, compares=False, bool_=False)  # type: ignore[arg-type]
    if left.scalar and right.scalar:
        return _between_scalars(left, right, operate)
    if left.vector and right.scalar:
        return _with_scalar(left.vector, right, operate)
    if right.vector and left.scalar:
        return _with_scalar(right.vector, left, lambda value, number: operate(number, value))
    raise ValueError(f"{node.op} stands between numbers and vectors")


def comparison(node: Binary, left: Operand, right: Operand, patterns: Patterns) -> Operand | VectorOf:
    """`== != > < >= <=`, and `=~ !~` against a text. Raises ValueError for a pattern that is not valid."""
    if left.vector and right.text is not None:
        return _filtered(left.vector, _text_test(node.op, right.text, patterns), bool_=node.bool_, wanted="a text")
    if right.vector and left.text is not None:
        return _filtered(right.vector, _text_test(node.op, left.text, patterns), bool_=node.bool_, wanted="a text")
    if left.text is not None and right.text is not None:
        held = _text_test(node.op, right.text, patterns)(left.text)
        return Operand(scalar=lambda _m, _t: float(held), constant=float(held))
    if left.text is not None or right.text is not None or node.op not in BETWEEN:
        raise ValueError(f"{node.op} cannot compare a text with a number")
    if left.vector and right.vector:
        return paired(left.vector, right.vector, node.matching, BETWEEN[node.op], compares=True, bool_=node.bool_)
    if left.scalar and right.scalar:
        compare = BETWEEN[node.op]
        return _between_scalars(left, right, lambda one, other: float(compare(one, other)))
    if left.vector and right.scalar:
        return _against(left.vector, node.op, right, bool_=node.bool_)
    if right.vector and left.scalar:
        return _against(right.vector, MIRRORED[node.op], left, bool_=node.bool_)
    raise ValueError(f"{node.op} compares numbers and vectors")


def _between_scalars(left: Operand, right: Operand, operate: Operate) -> Operand:
    one, other = left.scalar, right.scalar
    assert one is not None, "both are scalars"  # noqa: S101  for the type checker; the callers see to it
    assert other is not None, "both are scalars"  # noqa: S101
    if left.constant is not None and right.constant is not None:
        constant = operate(left.constant, right.constant)
        return Operand(scalar=lambda _m, _t: constant, constant=constant)
    return Operand(scalar=lambda m, t: operate(one(m, t), other(m, t)))


def _with_scalar(of: VectorOf, scalar: Operand, operate: Operate) -> VectorOf:
    number, constant = scalar.scalar, scalar.constant
    if constant is not None:
        return _mapped(of, lambda value: operate(value, constant))
    assert number is not None, "it is a scalar"  # noqa: S101

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        value = number(m, t)
        if m.unknown(mark):
            return []
        return _mapped(of, lambda each: operate(each, value))(m, t)

    return run


def _mapped(of: VectorOf, change: Callable[[float], float]) -> VectorOf:
    def run(m: Moment, t: Millis) -> Vector:
        vector = of(m, t)
        m.spend(len(vector))
        try:
            return [(labels, change(value), name, True) for labels, value, name, _ in vector]  # type: ignore[arg-type]
        except TypeError:
            return _apart(m, vector, lambda entry: (entry[0], change(entry[1]), entry[2], True))  # type: ignore[arg-type]

    return run


def _against(of: VectorOf, op: str, scalar: Operand, *, bool_: bool) -> VectorOf:
    compare = BETWEEN[op]
    number, constant = scalar.scalar, scalar.constant
    if constant is not None:
        return _filtered(of, lambda value: compare(value, constant), bool_=bool_)
    assert number is not None, "it is a scalar"  # noqa: S101

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        bound = number(m, t)
        if m.unknown(mark):
            return []
        return _filtered(of, lambda value: compare(value, bound), bool_=bool_)(m, t)

    return run


def _text_test(op: str, text: str, patterns: Patterns) -> Test:
    """Test a value that must be a text; a number raises TypeError."""
    if op in ("=~", "!~"):
        pattern, wanted = patterns(text), op == "=~"

        def fits(value: Value) -> bool:
            if not isinstance(value, str):
                raise TypeError
            return pattern.fullmatch(value) is wanted

        return fits
    if op not in ("==", "!="):
        raise ValueError(f"texts are compared with ==, !=, =~ and !~, not with {op}")
    compare = BETWEEN[op]
    return lambda value: compare(value, text)


def _filtered(of: VectorOf, test: Test, *, bool_: bool, wanted: str = "a number") -> VectorOf:
    """Keep what passes; with `bool` turn it into 1 and 0. Judging (`wide`), everything of the right type passes."""

    def run(m: Moment, t: Millis) -> Vector:
        vector = of(m, t)
        m.spend(len(vector))
        try:
            if bool_:
                return [(labels, 1.0 if test(value) else 0.0, name, True) for labels, value, name, _ in vector]
            passed = [entry for entry in vector if test(entry[1])]
        except TypeError:
            return _apart(m, vector, _change(test, bool_=bool_, wide=m.wide), wanted)
        return vector if m.wide else passed

    return run


def _change(test: Test, *, bool_: bool, wide: bool) -> Change:
    def change(entry: Entry) -> Entry | None:
        labels, value, name, _ = entry
        held = test(value)
        if bool_:
            return labels, 1.0 if held else 0.0, name, True
        return entry if held or wide else None

    return change


def _apart(m: Moment, vector: Vector, change: Change, wanted: str = "a number") -> Vector:
    """Go through one by one, so that only the series of the wrong type become gaps."""
    found: Vector = []
    for entry in vector:
        try:
            changed = change(entry)
        except TypeError:
            m.gaps.append(mistyped(entry[0], entry[2], entry[1], wanted=wanted))
            continue
        if changed is not None:
            found.append(changed)
    return found
