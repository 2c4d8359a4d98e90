"""Whether two conditions can hold at once, or one wherever the other does: what is proved, and what is left open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.lang.bounds import Bound, bound_of, includes, shared
from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names
from alerting.patterns import compile_pattern


def read(text: str) -> Bound | None:
    """Compile and read."""
    return bound_of(compile_condition(text, Names.anything(), compile_pattern)[0])


READ = [
    ("x > 85", Bound("x", ">", 85)),
    ("(85 < (x))", Bound("x", ">", 85)),
    ("rate(x[5m]) <= 2", Bound("rate(x[5m])", "<=", 2)),
    ("sum by (job) (x) / 2 == 3", Bound("sum by (job) (x) / 2", "==", 3)),
    ("x > bool 85", None),
    ("x > y", None),
    ("x > 3 and x < 5", None),
    ("x.status != 'ok'", None),
    ("vector(3)", None),
]


@pytest.mark.parametrize(("text", "bound"), READ)
def test_a_condition_is_read_as_one_comparison_with_a_number_or_not_at_all(text: str, bound: Bound | None) -> None:
    """Either way round, whatever parentheses stand around."""
    assert read(text) == bound


WIDE = [
    ("x > 80", "x > 85", True),
    ("x > 85", "x > 85", True),
    ("x >= 85", "x > 85", True),
    ("x > 85", "x >= 85", False),
    ("x > 85", "x > 80", False),
    ("x < 5", "x == 3", True),
    ("x != 3", "x > 3", True),
    ("x != 3", "x > 2", False),
    ("x > 80", "y > 85", False),
    ("x > 80", 'x{a="b"} > 85', False),
    ("x > 80", "x > 85 or y > 1", False),
]


@pytest.mark.parametrize(("wide", "narrow", "said"), WIDE)
def test_one_holds_wherever_the_other_does_only_where_that_is_proved(wide: str, narrow: str, *, said: bool) -> None:
    """What is written otherwise may be another value."""
    assert includes(read(wide), read(narrow)) is said


OPS = st.sampled_from([">", "<", ">=", "<=", "==", "!="])
FEW = st.integers(-2, 2).map(float)


@given(OPS, FEW, OPS, FEW)
def test_the_witnesses_speak_for_all_values(one_op: str, one_at: float, other_op: str, other_at: float) -> None:
    """Against every quarter between -4 and 4, which small whole bounds cannot slip through."""
    one, other = Bound("x", one_op, one_at), Bound("x", other_op, other_at)
    line = [quarter / 4 for quarter in range(-16, 17)]
    both = [value for value in line if one.holds(value) and other.holds(value)]
    found = shared(one, other)
    assert (found is not None) is bool(both)
    assert found is None or (one.holds(found) and other.holds(found))
    assert includes(one, other) is all(one.holds(value) for value in line if other.holds(value))


@pytest.mark.parametrize("size", [1e300, -1e300, 1e17])
def test_bounds_that_are_too_large_to_add_one_to_are_told_apart_all_the_same(size: float) -> None:
    """`x > 1e300` and `x < 1e300` have nothing in common; each has a value of its own."""
    assert shared(Bound("x", ">", size), Bound("x", "<", size)) is None
    assert not includes(Bound("x", ">", size), Bound("x", ">=", size))
    assert not includes(Bound("x", ">", size), Bound("x", "!=", size))
