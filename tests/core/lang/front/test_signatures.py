"""The table of functions and the words that were probably meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.lang.signatures import AGGREGATIONS, COUNTER_FUNCTIONS, FUNCTIONS, GAUGE_FUNCTIONS, OWN, REFUSED
from alerting.core.lang.suggest import closest, did_you_mean, distance


def test_the_table_is_consistent() -> None:
    """No name is both offered and refused; what may be left out is at the end; a vector or range carries a unit."""
    assert not set(FUNCTIONS) & set(REFUSED)
    assert not set(FUNCTIONS) & set(AGGREGATIONS)
    assert not set(FUNCTIONS) & set(OWN)
    assert set(FUNCTIONS) >= COUNTER_FUNCTIONS | GAUGE_FUNCTIONS
    for name, signature in FUNCTIONS.items():
        assert 0 <= signature.least <= len(signature.args), name
        assert signature.most is None or signature.least <= signature.most, name


STABLE = """abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max
clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp floor
histogram_fraction histogram_quantile hour idelta increase irate label_join label_replace last_over_time ln
log10 log2 max_over_time min_over_time minute month pi predict_linear present_over_time quantile_over_time rad
rate resets round scalar sgn sin sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan
tanh time timestamp vector year"""


def test_every_stable_function_of_prometheus_that_works_on_floats_is_there() -> None:
    """Written down from Prometheus 3's documentation, apart from the table."""
    assert set(FUNCTIONS) == set(STABLE.split())
    assert set(AGGREGATIONS) == set(
        "sum avg min max stddev stdvar count group topk bottomk quantile count_values".split()  # noqa: SIM905  a list of names
    )


@pytest.mark.parametrize(
    ("left", "right", "slips"),
    [
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "acb", 1),
        ("abc", "ab", 1),
        ("kitten", "sitting", 3),
        ("ca", "abc", 3),
    ],
)
def test_distance(left: str, right: str, slips: int) -> None:
    """Letters to insert, delete, replace, or to swap with their neighbour."""
    assert distance(left, right) == distance(right, left) == slips


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distance_is_bounded_by_length_and_zero_only_for_the_same(left: str, right: str) -> None:
    """As a distance must be."""
    slips = distance(left, right)
    assert abs(len(left) - len(right)) <= slips <= max(len(left), len(right))
    assert (slips == 0) == (left == right)


def test_suggestions() -> None:
    """Near words only, nearest first."""
    known = ["slack", "pagerduty", "console", "slick"]
    assert closest("slak", known) == ["slack"]
    assert closest("slock", known) == ["slack", "slick"]
    assert did_you_mean("pagerdty", known) == "did you mean pagerduty?"
    assert did_you_mean("memory", ["memory_usage", "load1"]) == "did you mean memory_usage?"
    assert did_you_mean("Slack", ["slack-ops", "pagerduty"]) == "did you mean slack-ops?"
    assert did_you_mean("email", known) == ""
    assert did_you_mean("", known) == ""
    assert did_you_mean("x" * 1000, known) == ""
