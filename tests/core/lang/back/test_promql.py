"""PromQL's answers, function by function, at their edges. Values as Prometheus 3 gives them."""

from __future__ import annotations

from math import inf, isnan, nan, pi
from typing import TYPE_CHECKING

import pytest

from alerting.core.lang.running.compile import Compiler
from alerting.core.lang.signatures import AGGREGATIONS, FUNCTIONS
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.syntax.series import parse_series, parse_values
from alerting.errors import ConditionError, EvaluationError
from alerting.patterns import compile_pattern
from tests.core.lang.back.world import MINUTE, ask, loaded, prometheus

if TYPE_CHECKING:
    from alerting.model import Value

SERIES = {
    'a{l="x"}': "1 2 3 4 5",
    'a{l="y"}': "10 20 30 40 50",
    'b{l="x"}': "2 2 2 2 2",
    'c{l="x",m="1"}': "7 7 7 7 7",
    'c{l="x",m="2"}': "8 8 8 8 8",
    "one": "0 1 2 3 4",
    "bad": "NaN NaN NaN NaN NaN",
    "high": "Inf Inf Inf Inf Inf",
    "zero": "0 0 0 0 -0",
    "reset": "0 10 20 5 15",
    "gone": "1 1 1 stale",
    "few": "_ _ _ _ 3",
    'mixed{k="n"}': "1 NaN 3",
}
AT = 4 * MINUTE


def same(one: object, other: object) -> bool:
    """Compare answers; NaN is NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return (isnan(one) and isnan(other)) or one == pytest.approx(other, rel=1e-12, abs=1e-300)
    return one == other


CASES: list[tuple[str, dict[str, Value] | Value]] = [
    # scalars and operators
    ("1 / 0", inf),
    ("-1 / 0", -inf),
    ("0 / 0", nan),
    ("1 / -0", -inf),
    ("5 % 3", 2.0),
    ("-5 % 3", -2.0),
    ("5 % 0", nan),
    ("Inf % 2", nan),
    ("2 ^ 3 ^ 2", 512.0),
    ("-2 ^ 2", -4.0),
    ("(-8) ^ (1/3)", nan),
    ("0 ^ -1", inf),
    ("-0 ^ -1", -inf),
    ("10 ^ 400", inf),
    ("(-10) ^ 401", -inf),
    ("1 atan2 0", pi / 2),
    ("1 == bool 1", 1.0),
    ("NaN == bool NaN", 0.0),
    ("NaN != bool NaN", 1.0),
    ("0x1f", 31.0),
    ("5m", 300.0),
    # selection, names and time
    ("one", {"one": 4.0}),
    ("one offset 2m", {"one": 2.0}),
    ("one offset -1m", {"one": 4.0}),
    ("one @ 60", {"one": 1.0}),
    ("one @ 0 offset -60s", {"one": 1.0}),
    ("one @ start()", {"one": 4.0}),
    ("gone", {}),
    ("gone offset 2m", {"gone": 1.0}),
    ('{__name__="one"}', {"one": 4.0}),
    ('{__name__=~"on.*"}', {"one": 4.0}),
    ("nothing", {}),
    ("-one", {"{}": -4.0}),
    ("+one", {"one": 4.0}),
    ("one > 3", {"one": 4.0}),
    ("3 < one", {"one": 4.0}),
    ("one > bool 3", {"{}": 1.0}),
    ("5 > bool one", {"{}": 1.0}),
    ("bad > 0", {}),
    ("bad == bad", {}),
    ("bad != bad", {"bad": nan}),
    ("high > 1e308", {"high": inf}),
    ("time()", 240.0),
    ("timestamp(one offset 90s)", {"{}": 120.0}),
    ("timestamp(one + 0)", {"{}": 240.0}),
    ("vector(time())", {"{}": 240.0}),
    ("scalar(one)", 4.0),
    ("scalar(a)", nan),
    ("scalar(nothing)", nan),
    # matching
    ("a + b", {'{l="x"}': 7.0}),
    ("a * on (l) b", {'{l="x"}': 10.0}),
    ("a > b", {'a{l="x"}': 5.0}),
    ("a > on (l) b", {'{l="x"}': 5.0}),
    ("a < bool b", {'{l="x"}': 0.0}),
    ("c / on (l) group_left a", {'{l="x",m="1"}': 1.4, '{l="x",m="2"}': 1.6}),
    ("a * on (l) group_right c", {'{l="x",m="1"}': 35.0, '{l="x",m="2"}': 40.0}),
    ("one + on () group_right c", {'{l="x",m="1"}': 11.0, '{l="x",m="2"}': 12.0}),
    ("c > on (l) group_left (nope) a", {'c{l="x",m="1"}': 7.0, 'c{l="x",m="2"}': 8.0}),
    ("a and b", {'a{l="x"}': 5.0}),
    ("a unless b", {'a{l="y"}': 50.0}),
    ("b or a", {'b{l="x"}': 2.0, 'a{l="y"}': 50.0}),
    ("a and on () one", {'a{l="x"}': 5.0, 'a{l="y"}': 50.0}),
    ("a and nothing", {}),
    ("a unless nothing", {'a{l="x"}': 5.0, 'a{l="y"}': 50.0}),
    ("c and on (l) a", {'c{l="x",m="1"}': 7.0, 'c{l="x",m="2"}': 8.0}),
    ("c and ignoring (m) a", {'c{l="x",m="1"}': 7.0, 'c{l="x",m="2"}': 8.0}),
    # aggregations
    ("sum(a)", {"{}": 55.0}),
    ("sum by (l) (c)", {'{l="x"}': 15.0}),
    ("sum without (m) (c)", {'{l="x"}': 15.0}),
    ("sum by (nope) (a)", {"{}": 55.0}),
    ("avg(c)", {"{}": 7.5}),
    ("min(a)", {"{}": 5.0}),
    ("max(bad)", {"{}": nan}),
    ("count(c)", {"{}": 2.0}),
    ("group(c)", {"{}": 1.0}),
    ("stddev(c)", {"{}": 0.5}),
    ("stdvar(c)", {"{}": 0.25}),
    ("stddev(high)", {"{}": nan}),
    ("quantile(0.25, c)", {"{}": 7.25}),
    ("quantile(-1, c)", {"{}": -inf}),
    ("quantile(2, c)", {"{}": inf}),
    ("quantile(NaN, c)", {"{}": nan}),
    ("topk(1, c)", {'c{l="x",m="2"}': 8.0}),
    ("bottomk(1, c)", {'c{l="x",m="1"}': 7.0}),
    ("topk(0, c)", {}),
    ("topk(-3, c)", {}),
    ("topk(9, c)", {'c{l="x",m="2"}': 8.0, 'c{l="x",m="1"}': 7.0}),
    ('count_values("v", c)', {'{v="7"}': 1.0, '{v="8"}': 1.0}),
    ('count_values by (l) ("v", c)', {'{l="x",v="7"}': 1.0, '{l="x",v="8"}': 1.0}),
    ('count_values("v", high)', {'{v="+Inf"}': 1.0}),
    ('count_values("v", one / 1e9)', {'{v="0.000000004"}': 1.0}),
    ('count_values("v", one * 1e21)', {'{v="4000000000000000000000"}': 1.0}),
    # one sample in, one out
    ("abs(-one)", {"{}": 4.0}),
    ("ceil(one + 0.5)", {"{}": 5.0}),
    ("floor(-one - 0.5)", {"{}": -5.0}),
    ("floor(high)", {"{}": inf}),
    ("round(one + 0.5)", {"{}": 5.0}),
    ("round(-one - 0.5)", {"{}": -4.0}),
    ("round(one + 0.13, 0.1)", {"{}": 4.1}),
    ("sgn(-high)", {"{}": -1.0}),
    ("sgn(zero)", {"{}": 0.0}),
    ("sqrt(-one)", {"{}": nan}),
    ("ln(zero)", {"{}": -inf}),
    ("ln(-one)", {"{}": nan}),
    ("log2(one)", {"{}": 2.0}),
    ("exp(one * 1000)", {"{}": inf}),
    ("clamp(one, 0, 3)", {"{}": 3.0}),
    ("clamp(one, 3, 0)", {}),
    ("clamp_min(bad, 3)", {"{}": nan}),
    ("clamp_max(one, NaN)", {"{}": nan}),
    ("acos(one)", {"{}": nan}),
    ("sin(high)", {"{}": nan}),
    ("atanh(one / 4)", {"{}": inf}),
    ("deg(vector(pi()))", {"{}": 180.0}),
    ("rad(vector(180))", {"{}": pi}),
    ("sort_desc(c)", {'c{l="x",m="2"}': 8.0, 'c{l="x",m="1"}': 7.0}),
    # dates
    ("year(vector(1136239445))", {"{}": 2006.0}),
    ("month(vector(1136239445))", {"{}": 1.0}),
    ("day_of_month(vector(1136239445))", {"{}": 2.0}),
    ("day_of_week(vector(1136239445))", {"{}": 1.0}),
    ("day_of_year(vector(1483191420))", {"{}": 366.0}),
    ("days_in_month(vector(1454284800))", {"{}": 29.0}),
    ("days_in_month(vector(-2203977600))", {"{}": 28.0}),
    ("hour(vector(1136239445))", {"{}": 22.0}),
    ("minute()", {"{}": 4.0}),
    ("year(vector(1e12))", {"{}": 33658.0}),
    ("hour(bad)", {"{}": nan}),
    # labels
    ('label_replace(a, "n", "$1!", "l", "(.)")', {'a{l="x",n="x!"}': 5.0, 'a{l="y",n="y!"}': 50.0}),
    ('label_replace(one, "n", "$1", "nope", "(.*)")', {"one": 4.0}),
    ('label_replace(one, "__name__", "two", "", "")', {"two": 4.0}),
    ('label_replace(rate(one[5m]), "n", "$1", "__name__", "(.*)")', {'{n="one"}': 4 / 300}),
    ('label_join(c{m="1"}, "j", "-", "l", "m")', {'c{j="x-1",l="x",m="1"}': 7.0}),
    ('label_join(c{m="1"}, "m", "-")', {'c{l="x"}': 7.0}),
    # absence
    ("absent(one)", {}),
    ('absent(nothing{l="x",m=~"y"})', {'{l="x"}': 1.0}),
    ('absent(nothing{l="x",l="y"})', {"{}": 1.0}),
    ("absent(sum(nothing))", {"{}": 1.0}),
    ("absent_over_time(gone[1m])", {"{}": 1.0}),
    ("absent_over_time(gone[3m])", {}),
    ("present_over_time(gone[3m])", {"{}": 1.0}),
    # a stretch of time
    ("rate(one[4m])", {"{}": 1 / 60}),
    ("rate(one[1m])", {}),
    ("increase(reset[4m])", {"{}": 25 * 4 / 3}),
    ("increase(reset[10m])", {"{}": 35.0}),
    ("increase(one[10m] offset -3m)", {"{}": 4.5}),
    ("delta(a[4m])", {'{l="x"}': 4.0, '{l="y"}': 40.0}),
    ("irate(one[5m])", {"{}": 1 / 60}),
    ("irate(reset[1m] offset 1m)", {}),
    ("irate(reset[2m] offset 1m)", {"{}": 5 / 60}),
    ("idelta(reset[2m] offset 1m)", {"{}": -15.0}),
    ("deriv(one[5m])", {"{}": 1 / 60}),
    ("deriv(b[5m])", {'{l="x"}': 0.0}),
    ("deriv(few[5m])", {}),
    ("predict_linear(one[5m], 60)", {"{}": 5.0}),
    ("changes(one[5m])", {"{}": 4.0}),
    ("changes(bad[5m])", {"{}": 0.0}),
    ("changes(mixed[10m])", {'{k="n"}': 2.0}),
    ("resets(reset[5m])", {"{}": 1.0}),
    ("sum_over_time(one[5m])", {"{}": 10.0}),
    ("avg_over_time(one[5m])", {"{}": 2.0}),
    ("min_over_time(mixed[10m])", {'{k="n"}': 1.0}),
    ("max_over_time(mixed[10m])", {'{k="n"}': 3.0}),
    ("count_over_time(mixed[10m])", {'{k="n"}': 3.0}),
    ("last_over_time(one[5m])", {"one": 4.0}),
    ("quantile_over_time(0.5, one[5m])", {"{}": 2.0}),
    ("stdvar_over_time(one[5m])", {"{}": 2.0}),
    ("stddev_over_time(b[5m])", {'{l="x"}': 0.0}),
    ("count_over_time(one[2m])", {"{}": 2.0}),
    # subqueries
    ("sum_over_time(one[4m:1m])", {"{}": 10.0}),
    ("sum_over_time(one[4m:30s])", {"{}": 16.0}),
    ("max_over_time((one * 2)[2m:1m] offset 1m)", {"{}": 6.0}),
    ("max_over_time(one[2m:1m] @ 120)", {"{}": 2.0}),
    ("rate(one[4m:1m])", {"{}": 1 / 60}),
    ("sum_over_time(vector(1)[3m:1m])", {"{}": 3.0}),
    ("count_over_time((one > 2)[5m:1m])", {"{}": 2.0}),
    ("sum_over_time(sum_over_time(one[2m:1m])[2m:1m])", {"{}": 12.0}),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_gives_what_prometheus_gives(text: str, expected: dict[str, Value] | Value) -> None:
    """Each expression at 4 minutes over the series above."""
    found = ask(text, loaded(SERIES), AT)
    assert same(expected, found), found


FAILING = [
    ("a + on () b", "multiple matches for labels: many-to-one matching must be explicit"),
    ("a > on () b", "multiple matches for labels: many-to-one matching must be explicit"),
    ("b + on (l) c", "found duplicate series for the match group"),
    ("c - on (l) group_left c", "found duplicate series for the match group"),
    ('changes({__name__=~"zero|one"}[5m])', "vector cannot contain metrics with the same labelset"),
    ('-{__name__=~"zero|one"}', "vector cannot contain metrics with the same labelset"),
    ('label_replace(c, "m", "", "", "")', "vector cannot contain metrics with the same labelset"),
    ('label_join(c, "m", "")', "vector cannot contain metrics with the same labelset"),
    ('c * on (l) group_left (m) label_replace(b, "m", "z", "", "")', "grouping labels must ensure unique matches"),
    ("topk(NaN, c)", "Parameter value is NaN"),
    ("topk(1e30, c)", "overflows int64"),
    ("bottomk(-(2 ^ 63), c)", "underflows int64"),
]


@pytest.mark.parametrize(("text", "message"), FAILING)
def test_fails_where_prometheus_fails(text: str, message: str) -> None:
    """What has no answer says so, and a condition over it is unknown, never false."""
    samples = loaded(SERIES)
    with pytest.raises(EvaluationError, match=message[:40].replace("(", r"\(")):
        ask(text, samples, AT)
    found = prometheus(f"({text}) > -Inf").evaluate(samples, AT)
    assert found.true == ()
    assert message in found.gaps[0].why


@pytest.mark.parametrize(
    "text",
    [
        'label_replace(a, "n", "$1", "l", "(")',
        'a{l=~"("}',
        'count_values("", a)',
        'label_join(a, "", "-", "l")',
        "sum_over_time(one[50000m:30s])",
        "sum_over_time(max_over_time(one[300m:1m])[300m:1m])",
    ],
)
def test_refuses_at_load_what_can_never_be_evaluated(text: str) -> None:
    """Patterns and names that are not valid, and more evaluations than any budget allows, never reach a tick."""
    with pytest.raises(ConditionError):
        prometheus(text)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_of_the_table_is_there(name: str) -> None:
    """Each function that the checker lets through can be compiled with the arguments of its signature."""
    example = {"scalar": "1", "vector": "x", "range": "x[5m]", "string": '"x"'}
    args = ", ".join(example[kind] for kind in FUNCTIONS[name].args)
    made = Compiler(compile_pattern, MINUTE).compile(parse(f"{name}({args})"))
    assert made.type == FUNCTIONS[name].gives


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_every_aggregation_of_the_table_is_there(name: str) -> None:
    """The same for aggregations."""
    param = {None: "", "scalar": "1, ", "string": '"v", '}[AGGREGATIONS[name].param]
    assert ask(f"{name}({param}one)", loaded(SERIES), AT)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("topk(3, c or a)", ["50", "8", "7"]),
        ("bottomk(3, c or a)", ["5", "7", "8"]),
        ("sort(c or a or bad)", ["5", "7", "8", "50", "nan"]),
        ("sort_desc(c or a or bad)", ["50", "8", "7", "5", "nan"]),
        ('topk(9, label_replace(bad, "n", "1", "", "") or one)', ["4", "nan"]),
        ('bottomk(9, label_replace(bad, "n", "1", "", "") or one)', ["4", "nan"]),
    ],
)
def test_order_is_that_of_the_values_with_nan_last(text: str, order: list[str]) -> None:
    """`sort`, `topk` and their like give their series in order."""
    found = ask(text, loaded(SERIES), AT)
    assert isinstance(found, dict)
    assert order == [f"{value:g}" for value in found.values()]


HISTOGRAM = {
    'h_bucket{le="0.1"}': "0 5",
    'h_bucket{le="0.2"}': "0 7",
    'h_bucket{le="1e0"}': "0 11",
    'h_bucket{le="+Inf"}': "0 12",
    'n_bucket{le="-0.2"}': "0 1",
    'n_bucket{le="+Inf"}': "0 3",
    'only_bucket{le="+Inf"}': "0 3",
    'open_bucket{le="1"}': "0 3",
    'two_bucket{le="1"}': "0 2",
    'two_bucket{le="1.0"}': "0 2",
    'two_bucket{le="2"}': "0 4",
    'two_bucket{le="+Inf"}': "0 8",
    'dips_bucket{le="1"}': "0 10",
    'dips_bucket{le="2"}': "0 5",
    'dips_bucket{le="3"}': "0 20",
    'dips_bucket{le="+Inf"}': "0 20",
    'odd_bucket{le="x"}': "0 10",
    'odd_bucket{le="1"}': "0 1",
    'odd_bucket{le="+Inf"}': "0 1",
}
QUANTILES = [
    ("histogram_quantile(0.5, h_bucket)", 0.15),
    ("histogram_quantile(0, h_bucket)", 0.0),
    ("histogram_quantile(1, h_bucket)", 1.0),
    ("histogram_quantile(-1, h_bucket)", -inf),
    ("histogram_quantile(2, h_bucket)", inf),
    ("histogram_quantile(NaN, h_bucket)", nan),
    ("histogram_quantile(0.1, n_bucket)", -0.2),
    ("histogram_quantile(0.5, only_bucket)", nan),
    ("histogram_quantile(0.5, open_bucket)", nan),
    ("histogram_quantile(0.5, two_bucket)", 1.0),
    ("histogram_quantile(0.75, dips_bucket)", 2.5),
    ("histogram_quantile(0.5, odd_bucket)", 0.5),
    ("histogram_quantile(0.5, h_bucket * 0)", nan),
    ("histogram_quantile(0.5, h)", 0.15),
    ("histogram_quantile(0.5, sum(h))", 0.15),
    ("histogram_fraction(0, 0.15, h_bucket)", 0.5),
    ("histogram_fraction(-1, 0.2, h)", 7 / 12),
    ("histogram_fraction(0.2, 0.1, h_bucket)", 0.0),
    ("histogram_fraction(-Inf, Inf, h_bucket)", 1.0),
    ("histogram_fraction(NaN, 1, h_bucket)", nan),
    ("histogram_fraction(-1, 0, n_bucket)", 0.0),
]


@pytest.mark.parametrize(("text", "expected"), QUANTILES)
def test_histograms(text: str, expected: float) -> None:
    """Interpolation, its edges, forced monotony, bounds written twice, and a histogram by its own name."""
    found = ask(text, loaded(HISTOGRAM), MINUTE)
    assert isinstance(found, dict)
    (value,) = found.values()
    assert same(expected, value), value


def test_histograms_of_two_names_are_two_and_collide_once_the_names_are_gone() -> None:
    """Their buckets are never added up; `or` keeps both names apart until the end, where two answers are alike."""
    samples = loaded({'h_bucket{le="1"}': "4", 'h_bucket{le="+Inf"}': "4", 'g_bucket{le="+Inf"}': "8"})
    assert ask("histogram_quantile(0.5, h_bucket)", samples, 0) == {"{}": 0.5}
    with pytest.raises(EvaluationError, match="same labelset"):
        ask('histogram_quantile(0.5, {__name__=~"[gh]_bucket"})', samples, 0)


def test_the_start_of_a_counter_is_not_extrapolated_below_zero() -> None:
    """Prometheus' rule: half a distance to the left, but never past the point where the counter would be 0."""
    samples = loaded({f'c{{start="{start}m"}}': f"{start * 60}+240x10" for start in range(6)}, 4 * MINUTE)
    found = ask("rate(c[20m])", samples, 10 * MINUTE)
    assert isinstance(found, dict)
    assert pytest.approx([found[f'{{start="{start}m"}}'] for start in range(6)]) == [0.5, 0.55, 0.6, 0.6, 0.6, 0.6]


def test_a_name_that_is_dropped_late_still_sums_apart_by_name() -> None:
    """`by (__name__)` sees the name of what `rate` gives, and it is gone in the end."""
    samples = loaded({'a{l="1"}': "0+60x9", 'b{l="1"}': "0+120x9"})
    assert ask("sum by (__name__) (a)", samples, 9 * MINUTE) == {"a": 540.0}
    assert ask("sum by (__name__) (rate(a[5m]))", samples, 9 * MINUTE) == {"{}": 1.0}
    assert ask('sum(rate({l="1"}[5m]))', samples, 9 * MINUTE) == {"{}": 3.0}
    with pytest.raises(EvaluationError):
        ask('sum by (__name__) (rate({l="1"}[5m]))', samples, 9 * MINUTE)


def test_evaluating_the_past_after_the_present_gives_the_same() -> None:
    """Windows that slide do not depend on the order in which times are asked for."""
    samples = loaded({"x": "0+1x400"}, 1000)
    texts = ["rate(x[5m])", "sum_over_time(x[1m])", "max_over_time(x[1m])", "avg_over_time(x[2m])", "x offset 1m"]
    for text in texts:
        condition = prometheus(f"{text} > -1")
        forward = {at: list(condition.evaluate(samples, at).true) for at in range(0, 400_000, 7_000)}
        for at in sorted(forward, reverse=True):
            assert forward[at] == list(condition.evaluate(samples, at).true)


def test_the_notation_of_these_tests_reads_as_written() -> None:
    """Guards the tables above: a typing error in a series would test nothing."""
    for description, values in {**SERIES, **HISTOGRAM}.items():
        assert parse_series(description)[0]
        assert parse_values(values)
