"""The two shapes that are evaluated in one loop give what the general way gives, whatever comes in."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.core.lang.condition import CompiledCondition, Threshold, WindowThreshold
from tests.core.lang.back.world import OTHER, PAGE, World

TEXTS = [
    "x > 5",
    "5 >= x",
    "(x) == 5",
    "x != 5",
    'x{job="app"} <= 5',
    '{__name__=~"x|y"} > 5',
    "health_check.x < 5",
    "up == 0",
    "rate(x_total[1m]) > 0.01",
    "delta(x[1m]) < 5",
    "x_total > 5 per minute",
    "5 per 5m >= x_total",
    "max_over_time(x[1m]) > 5",
    "0 < changes(x[1m])",
    "sum_over_time(health_check.x[1m]) > 5",
    "last_over_time(x[1m]) != 5",
]
VALUE = st.one_of(st.integers(0, 10).map(float), st.sampled_from([nan, "text"]))
STEP = st.tuples(
    st.sampled_from(["here", "there", "field", "nothing"]),
    st.booleans(),
    st.dictionaries(st.sampled_from(["x", "y", "x_total"]), VALUE, max_size=3),
    st.sampled_from([1_000, 20_000, 70_000, 400_000]),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.lists(STEP, max_size=14))
def test_one_loop_and_the_general_way_agree(text: str, steps: list[tuple[str, bool, dict[str, object], int]]) -> None:
    """At every moment, and looking back: the same series, the same gaps."""
    world = World(text)
    assert isinstance(world.condition, Threshold | WindowThreshold)
    for where, fails, held, pause in steps:
        series = [(name, {}, value) for name, value in held.items()] if not fails else []
        fault = "refused" if fails else ""
        if where == "field":
            world.source("health_check", *series, fault=fault)  # type: ignore[arg-type]
        elif where != "nothing":
            world.page(*series, target=PAGE if where == "here" else OTHER, fault=fault)  # type: ignore[arg-type]
        for now in (world.now, world.now - 30_000):
            quick = world.condition.evaluate(world.samples, now)
            slow = CompiledCondition.evaluate(world.condition, world.samples, now)
            assert repr(list(quick.true)) == repr(list(slow.true))
            assert list(quick.gaps) == list(slow.gaps)
        world.after(pause)


def test_a_sample_that_is_newer_than_the_moment_does_not_hide_the_one_before() -> None:
    """A reading that came in after the moment of evaluation: what held then counts."""
    world = World("x > 5").page(("x", {}, 9.0)).after(1000).page(("x", {}, 1.0))
    assert [value for _, value in world.condition.evaluate(world.samples, world.now - 1).true] == [9.0]


@pytest.mark.parametrize("text", ["x > y", "x offset 1m > 5", "x > bool 5", "stddev_over_time(x[1m]) > 5", "x + 1 > 5"])
def test_other_shapes_go_the_general_way(text: str) -> None:
    """What one loop cannot do is not tried."""
    assert type(World(text).condition) is CompiledCondition
