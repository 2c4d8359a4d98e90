"""Windows: what is carried along is what would be worked out anew, whatever comes and in whatever order it is asked."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isinf, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.core.windows import Points, highest, lowest, mean, total

VALUES = st.one_of(
    st.floats(min_value=-1e6, max_value=1e6, width=32),
    st.sampled_from([0.0, 1.0, 1.0, nan, inf, -inf, 1e17, -1e17, 1e-9]),
)
STEPS = st.lists(st.tuples(st.integers(1, 40), VALUES, st.integers(-30, 90), st.booleans()), min_size=1, max_size=120)


def same(one: float, other: float, scale: float) -> bool:
    """Compare sums of different order; `scale` is the sum of the sizes."""
    if isnan(one) or isnan(other) or isinf(one) or isinf(other):
        return repr(one) == repr(other)
    return abs(one - other) <= 1e-13 * scale + 1e-300


def falls(values: list[float]) -> list[int]:
    """Find the places that are lower than the one before."""
    return [place for place in range(1, len(values)) if values[place] < values[place - 1]]


def turns(values: list[float]) -> int:
    """Count the changes; NaN after NaN is none."""
    return sum(one != other and not (isnan(one) and isnan(other)) for one, other in pairwise(values))


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(30, 900))
def test_carried_along_equals_worked_out_anew(steps: list[tuple[int, float, int, bool]], window: int) -> None:
    """Sums, extremes, falls and changes of a sliding window equal those of its samples, also when time goes back."""
    points, now, times, values = Points(), 0, [], []
    for gap, value, ahead, cut in steps:
        now += gap
        points.push(now, value)
        times.append(now)
        values.append(value)
        if cut:
            points.cut(now - 2 * window)
            del times[: len(times) - len(points.times)]
            del values[: len(values) - len(points.values)]
        at = now + ahead - 60
        low, high = points.bounds(at - window, at)
        inside = [value for when, value in zip(times, values, strict=True) if at - window < when <= at]
        assert len(inside) == max(0, high - low)
        if not inside:
            continue
        scale = sum(abs(value) for value in inside)
        assert same(total(inside), points.total(low, high, window), scale)
        assert same(lowest(inside), points.least(low, high, window), 0)
        assert same(highest(inside), points.most(low, high, window), 0)
        assert [place + low for place in falls(inside)] == list(points.falls(low, high))
        assert len(falls(inside)) == points.fall_count(low, high)
        assert turns(inside) == points.turn_count(low, high)


@pytest.mark.parametrize("kind", ["total", "least", "most"])
def test_long_windows_slide(kind: str) -> None:
    """Over hundreds of samples the carried form is used, and is right at every step and after a jump back."""
    points, values = Points(), [float((step * 7919) % 1009) for step in range(700)]
    for step, value in enumerate(values):
        points.push(step, value)
        if step < 300:
            continue
        for at in (step, step - 40) if step % 50 == 0 else (step,):
            low, high = points.bounds(at - 300, at)
            inside = values[max(0, at - 299) : at + 1]
            expected = {"total": sum(inside), "least": min(inside), "most": max(inside)}[kind]
            assert expected == getattr(points, kind)(low, high, 300)
    assert points._slides


def test_a_huge_value_that_leaves_takes_nothing_with_it() -> None:
    """After 1e17 has left the window, the 2 that was beside it is still there."""
    points = Points()
    for step in range(100):
        points.push(step, 1e17 if step == 5 else 2.0 if step == 60 else 0.0)
        points.total(*points.bounds(step - 50, step), 50)
    assert points.total(*points.bounds(49, 99), 50) == 2.0


def test_correcting_the_newest_value_is_seen() -> None:
    """A sample that is given again with another value counts with that value."""
    points = Points()
    for step in range(60):
        points.push(step, 1.0)
    low, high = points.bounds(9, 59)
    assert (points.total(low, high, 50), points.fall_count(low, high)) == (50.0, 0)
    points.replace_last(0.0)
    assert (points.total(low, high, 50), points.fall_count(low, high)) == (49.0, 1)


def test_a_text_among_numbers_is_a_type_error_for_as_long_as_it_is_in_the_window() -> None:
    """A text is never summed or ordered; once it has left, the sum is there again."""
    points = Points()
    for step in range(200):
        points.push(step, "slow" if step == 60 else 1.0)
        low, high = points.bounds(step - 50, step)
        for ask in (points.total, points.least, points.most):
            if 60 <= step < 110:
                with pytest.raises(TypeError):
                    ask(low, high, 50)
            else:
                ask(low, high, 50)
    assert points.total(*points.bounds(149, 199), 50) == 50.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1e100, 1.0, -1e100], 2.0),
        ([inf, 1.0], inf),
        ([inf, -inf], nan),
        ([1e308, 1e308], inf),
        ([nan, 1.0], nan),
        ([-0.0], 0.0),
    ],
)
def test_sums_are_those_of_prometheus(values: list[float], expected: float) -> None:
    """Small terms survive large ones that cancel; infinities and overflow are IEEE 754's."""
    assert repr(expected) == repr(total(values))


def test_an_average_survives_a_sum_beyond_the_largest_float() -> None:
    """The mean of two numbers near the largest float is that number."""
    assert mean([9.988465674311579e307] * 3) == pytest.approx(9.988465674311579e307)


@pytest.mark.parametrize(("values", "low", "high"), [([nan, 2.0, 1.0], 1.0, 2.0), ([1.0, nan], 1.0, 1.0)])
def test_extremes_pass_over_nan(values: list[float], low: float, high: float) -> None:
    """NaN is neither the lowest nor the highest while a number is there."""
    assert (lowest(values), highest(values)) == (low, high)


def test_a_window_is_open_on_the_left_and_closed_on_the_right() -> None:
    """A sample exactly at the start is out, one exactly at the end is in."""
    points = Points([0, 10, 20, 30], [0.0, 1.0, 2.0, 3.0])
    assert points.bounds(10, 30) == (2, 4)
    assert points.bounds(9, 29) == (1, 3)
    assert points.bounds(30, 40) == (4, 4)
