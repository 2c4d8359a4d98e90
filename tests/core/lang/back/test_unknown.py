"""Unknown, clause by clause: what could not be seen is never 0, never false, never absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.samples import Samples
from alerting.model import NO_LABELS, SHARED, Gap, Kind, Labels, Metric, Need, Reading, Sample
from alerting.patterns import compile_pattern
from tests.core.lang.back.world import MINUTE, NAMES, OTHER, PAGE, World

if TYPE_CHECKING:
    from collections.abc import Mapping

DOWN = "could not read metrics: refused"
HERE, THERE = str(PAGE), str(OTHER)


def two_pages(text: str, here: Mapping[str, float], there: Mapping[str, float]) -> World:
    """Read two pages well, then fail to read the second."""
    world = World(text)
    world.page(*((name, {}, value) for name, value in here.items()))
    world.page(*((name, {}, value) for name, value in there.items()), target=OTHER)
    return world.after(1000).page(target=OTHER, fault="refused")


def test_a_failed_reading_is_unknown_for_its_series_alone() -> None:
    """The other page's series are judged as before."""
    world = two_pages("x > 5", {"x": 9}, {"x": 9})
    found = world.evaluate()
    assert (world.true(), list(found.gaps)) == ({HERE: 9.0}, [Gap(DOWN, OTHER, "metrics")])


def test_up_and_absent_see_failure_as_zero_and_as_absent() -> None:
    """`up == 0` fires when a target cannot be read; `absent` fires too; neither is unknown."""
    world = World("up == 0").page(("x", {}, 1.0)).after(1000).page(fault="refused")
    assert (world.true(), world.gaps()) == ({HERE: 0.0}, [])
    world = World('absent(x{job="app"})').page(("x", {}, 1.0))
    assert (world.true(), world.judge({"job": "app"})[0]) == ({}, "false")
    world.after(1000).page(fault="refused")
    assert (world.true(), world.gaps()) == ({'{job="app"}': 1.0}, [])
    world = World("absent_over_time(health_check.queue[1m])").source("health_check", fault="refused")
    assert (world.true(), world.gaps()) == ({"": 1.0}, [])


def test_a_source_that_was_never_read_is_unknown() -> None:
    """Before the first reading nothing is concluded."""
    assert World("disk_usage > 5").gaps() == ["host has not been read yet"]
    assert World("x > 5").gaps() == ["no metrics page has been read yet"]


def test_an_open_name_that_no_reading_has_ever_held_is_unknown() -> None:
    """A name that may be a typing error is not false; it is known from the first reading that holds or declares it."""
    world = World("x > 5").page(("y", {}, 1.0))
    assert world.gaps() == ["no reading has ever held x"]
    world.after(1000).page(("x", {}, 1.0)).after(1000).page()
    assert (world.true(), world.gaps()) == ({}, [])
    declared = World("x > 5")
    reading = Reading("rule r", SHARED, declared.now, kinds=(Metric("x", SHARED),))
    declared.samples.append(reading)
    assert declared.gaps() == []


def test_of_a_name_that_a_failing_source_may_hold_only_the_failure_is_said() -> None:
    """One cause is one alert, `SourceDown`; that the name may be misspelt is known when all could be read."""
    world = World("health_check.queue > 5").source("health_check", fault="refused")
    assert world.gaps() == ["could not read health_check: refused"]
    assert two_pages("x > 5", {"y": 1}, {"y": 1}).gaps() == [DOWN]


def test_a_closed_name_without_series_is_false_not_unknown() -> None:
    """A percentile over too few events is no series."""
    world = World("http_request_duration_p95 > 1000ms").source("sentry")
    assert (world.true(), world.gaps()) == ({}, [])


def test_a_field_absent_from_a_json_answer_is_unknown() -> None:
    """Whether it was there before or not; a list's element that is gone is only gone."""
    world = World("health_check.queue > 5").source("health_check", ("queue", {}, 9.0)).after(1000)
    world.source("health_check", ("other", {}, 1.0))
    assert (world.true(), world.gaps()) == ({}, ["the answer of health_check has no queue"])
    assert world.judge() == ("unknown", "the answer of health_check has no queue")
    world = World("health_check.queues.size > 5")
    world.source("health_check", ("queues.size", {"name": "a"}, 9.0), ("queues.size", {"name": "b"}, 9.0)).after(1000)
    world.source("health_check", ("queues.size", {"name": "a"}, 9.0))
    assert (world.true(), world.gaps()) == ({'{name="a"}': 9.0}, [])
    assert world.judge({"name": "b"})[0] == "vanished"


def test_a_name_that_is_present_while_its_matchers_select_nothing_is_false() -> None:
    """PromQL's empty vector."""
    world = World('x{code="500"} > 5').page(("x", {"code": "200"}, 9.0))
    assert (world.true(), world.gaps()) == ({}, [])


@pytest.mark.parametrize(
    ("text", "value", "wanted"),
    [
        ("health_check.queue > 5", "many", "the text 'many' where a number is expected"),
        ("health_check.queue == 5", "5", "the text '5' where a number is expected"),
        ("health_check.queue != 5", "5", "the text '5' where a number is expected"),
        ("health_check.queue + 1 > 5", "many", "the text 'many' where a number is expected"),
        ("-health_check.queue < 5", "many", "the text 'many' where a number is expected"),
        ("abs(health_check.queue) > 5", "many", "the text 'many' where a number is expected"),
        ("sum(health_check.queue) > 5", "many", "the text 'many' where a number is expected"),
        ("topk(1, health_check.queue) > 5", "many", "the text 'many' where a number is expected"),
        ("avg_over_time(health_check.queue[5m]) > 5", "many", "the text 'many' where a number is expected"),
        ("health_check.queue > bool 5", "many", "the text 'many' where a number is expected"),
        ("health_check.queue != 'ok'", 5.0, "the number 5 where a text is expected"),
        ("health_check.queue =~ 'o.*'", 5.0, "the number 5 where a text is expected"),
        ("health_check.queue !~ 'o.*'", 5.0, "the number 5 where a text is expected"),
    ],
)
def test_a_value_of_the_wrong_type_is_unknown(text: str, value: float | str, wanted: str) -> None:
    """A text against a number is neither true nor false, whatever stands between; others go on."""
    world = World(text).source("health_check", ("queue", {}, value), ("other", {}, 1.0))
    found = world.evaluate()
    assert (list(found.true), [wanted in gap.why for gap in found.gaps]) == ([], [True])


def test_a_text_beside_numbers_leaves_the_numbers_judged() -> None:
    """Only the series with the wrong type is unknown."""
    series = [("q", {"n": "1"}, 9.0), ("q", {"n": "2"}, "many"), ("q", {"n": "3"}, 1.0)]
    for text in ("health_check.q > 5", "health_check.q * 1 > 5", "sum by (n) (health_check.q) > 5"):
        world = World(text).source("health_check", *series)
        assert (world.true(), [gap.labels for gap in world.evaluate().gaps]) == ({'{n="1"}': 9.0}, [Labels({"n": "2"})])


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("health_check.status != 'ok'", True),
        ("health_check.status == 'degraded'", True),
        ("health_check.status =~ 'degr.*'", True),
        ("health_check.status =~ 'degr'", False),
        ("health_check.status !~ 'degr.*'", False),
        ("'degraded' == health_check.status", True),
        ("count(health_check.status == 'degraded') > 0", True),
        ("changes(health_check.status[5m]) > 0", True),
        ("count_values('status', health_check.status) > 0", True),
        ("health_check.status == health_check.wanted", False),
        ("health_check.status != health_check.wanted", True),
    ],
)
def test_texts_are_compared_as_texts(text: str, true: bool) -> None:
    """Equality, patterns over the whole text, and what counts texts without reading them."""
    world = World(text).source("health_check", ("status", {}, "ok"), ("wanted", {}, "ok")).after(1000)
    world.source("health_check", ("status", {}, "degraded"), ("wanted", {}, "ok"))
    assert (bool(world.true()), world.gaps()) == (true, [])


@pytest.mark.parametrize("function", ["rate", "increase", "delta", "irate", "idelta", "deriv"])
def test_too_few_readings_of_ours_are_unknown(function: str) -> None:
    """One reading in the window is our doing; two readings of which one held the series are the series' own."""
    world = World(
        f"{function}(x[5m]) > 0" if function not in ("rate", "irate", "increase") else f"{function}(x_total[5m]) > 0"
    )
    name = world.condition.needs[0].name
    world.page((name, {}, 1.0))
    assert world.gaps() == ["metrics was read only once in the 300 s that are looked at"]
    world.after(MINUTE).page((name, {}, 2.0))
    assert world.gaps() == []
    new = World(f"{function}({name}[5m]) > 0").page(("other", {}, 1.0)).after(MINUTE).page((name, {}, 1.0))
    assert (new.true(), new.gaps()) == ({}, [])
    world.after(10 * MINUTE)
    assert world.gaps() == ["metrics was not read for 600 s"]


def test_a_window_that_survived_a_restart_needs_no_new_readings() -> None:
    """`check` from cron: what earlier processes read counts."""
    condition, _ = compile_condition("rate(x_total[5m]) > 0", NAMES, compile_pattern)
    samples = Samples()
    samples.require(condition.needs, compile_pattern)
    start = 1_700_000_000_000
    samples.restore(
        [(SHARED, Kind.UNKNOWN, Sample("x_total", PAGE, float(i), start + i * MINUTE), 0) for i in range(3)]
    )
    now = start + 3 * MINUTE
    samples.append(Reading("metrics", SHARED, now, (Sample("x_total", PAGE, 90.0, now),), PAGE))
    found = condition.evaluate(samples, now)
    assert (len(found.true), found.gaps) == (1, ())


@pytest.mark.parametrize(
    ("text", "true", "gaps"),
    [
        # arithmetic and functions carry it
        ("x * 2 > 5", [HERE], [OTHER]),
        ("abs(x) > 5", [HERE], [OTHER]),
        ("x + y > 5", [HERE], [OTHER]),
        ("x * on (job, instance) y > 5", [HERE], [OTHER]),
        ("x + on (instance) y > 5", ['{instance="a:1"}'], [OTHER.only(["instance"])]),
        ("round(x) > 5", [HERE], [OTHER]),
        ("clamp_max(x, scalar(sum(y))) > 5", [], [NO_LABELS]),
        ("x > scalar(sum(y))", [], [NO_LABELS]),
        ("x > scalar(y)", [], [NO_LABELS]),
        ("vector(scalar(sum(y))) < 1", [], [NO_LABELS]),
        ("label_replace(x, 'instance', 'z', 'nope', '') > 5", ['{instance="z",job="app"}'], [OTHER.only(["job"])]),
        ("max_over_time((x * 2)[1s:1s]) > 5", [HERE], [OTHER]),
        # an aggregation over part of its series is none
        ("sum(x) > 5", [], [NO_LABELS]),
        ("count(x) < 99", [], [NO_LABELS]),
        ("sum by (job) (x) > 5", [], [OTHER.only(["job"])]),
        ("sum by (instance) (x) > 5", ['{instance="a:1"}'], [OTHER.only(["instance"])]),
        ("sum without (job) (x) > 5", ['{instance="a:1"}'], [OTHER.only(["instance"])]),
        ("topk(1, x) > 5", [], [NO_LABELS]),
        ("topk by (instance) (1, x) > 5", [HERE], [OTHER.only(["instance"])]),
        ("count_values('v', x) > 0", [], [NO_LABELS]),
        ("quantile(0.5, x) > 5", [], [NO_LABELS]),
        # three truth values
        ("x > 5 and y > 5", [HERE], [OTHER]),
        ("x > 5 and on (instance) y > 5", [HERE], [OTHER]),
        ("x > 5 or y > 5", [HERE], [OTHER, OTHER]),
        ("x > 5 unless y > 99", [HERE], [OTHER]),
    ],
)
def test_a_gap_goes_through_the_whole_expression(text: str, true: list[str], gaps: list[Labels]) -> None:
    """One of two pages cannot be read: what could depend on it is unknown, and nothing else is."""
    found = two_pages(text, {"x": 9, "y": 9}, {"x": 9, "y": 9}).evaluate()
    assert [str(labels) for labels, _ in found.true] == true
    assert {gap.labels for gap in found.gaps} == set(gaps)
    assert {gap.why for gap in found.gaps} == {DOWN}


def one_field(text: str, x: float | None, y: float | None) -> World:
    """Read two sources that stand for x and y: None is a source that failed."""
    world = World(text.replace("x", "health_check.x").replace("y", "disk_usage"))
    fields = [("x", {}, x)] if x is not None else []
    world.source("health_check", *fields, fault="" if x is not None else "refused")  # type: ignore[arg-type]
    mounts = [("disk_usage", {}, y)] if y is not None else []
    return world.source("host", *mounts, fault="" if y is not None else "refused")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "x", "y", "truth"),
    [
        ("x > 5 and y > 5", 9.0, 9.0, "true"),
        ("x > 5 and y > 5", 9.0, 1.0, "false"),
        ("x > 5 and y > 5", 1.0, None, "false"),
        ("x > 5 and y > 5", None, 1.0, "false"),
        ("x > 5 and y > 5", 9.0, None, "unknown"),
        ("x > 5 and y > 5", None, 9.0, "unknown"),
        ("x > 5 and y > 5", None, None, "unknown"),
        ("x > 5 or y > 5", 9.0, None, "true"),
        ("x > 5 or y > 5", None, 9.0, "true"),
        ("x > 5 or y > 5", 1.0, 1.0, "false"),
        ("x > 5 or y > 5", 1.0, None, "unknown"),
        ("x > 5 or y > 5", None, 1.0, "unknown"),
        ("x > 5 unless y > 5", 9.0, 1.0, "true"),
        ("x > 5 unless y > 5", 9.0, 9.0, "false"),
        ("x > 5 unless y > 5", 1.0, None, "false"),
        ("x > 5 unless y > 5", None, 9.0, "false"),
        ("x > 5 unless y > 5", 9.0, None, "unknown"),
        ("x > 5 unless y > 5", None, 1.0, "unknown"),
    ],
)
def test_and_or_unless_have_three_truth_values(text: str, x: float | None, y: float | None, truth: str) -> None:
    """Kleene's table: what decides decides, whatever the other side would say."""
    world = one_field(text, x, y)
    found = world.evaluate()
    if truth == "true":
        assert len(found.true) == 1
    else:
        assert (list(found.true), world.judge()[0]) == ([], truth)
    if truth == "unknown":
        assert found.gaps


def test_a_gap_of_and_is_dropped_where_the_other_side_is_false() -> None:
    """No RuleBlind for a rule that is decided."""
    assert one_field("x > 5 and y > 5", 1.0, None).gaps() == []
    assert one_field("x > 5 and y > 5", None, 1.0).gaps() == []


def test_a_past_failure_is_unknown_for_what_looks_back_at_it() -> None:
    """`offset` into a time when the page could not be read sees a gap, not the sample before."""
    world = World("x offset 5m > 5").page(("x", {}, 9.0)).after(MINUTE).page(fault="refused").after(MINUTE)
    world.page(("x", {}, 9.0)).after(4 * MINUTE + 30_000).page(("x", {}, 9.0))
    assert (world.true(), world.gaps()) == ({}, [DOWN])
    world.after(MINUTE).page(("x", {}, 9.0))
    assert (world.true(), world.gaps()) == ({HERE: 9.0}, [])


def test_zero_events_are_false_and_no_bucket_yet_is_unknown() -> None:
    """Counts: 0 is a number; a D that is not covered by closed buckets yet is none."""
    world = World("error_count > 10 per 2m")
    assert world.gaps() == ["sentry has not been read yet"]
    world.counts(world.now - MINUTE, 0.0)
    assert world.gaps() == ["too few closed buckets of error_count yet"]
    world.after(MINUTE).counts(world.now - MINUTE, 0.0)
    assert (world.true(), world.gaps(), world.judge()[0]) == ({}, [], "false")


def test_a_histogram_by_its_own_name_is_no_gap_where_its_buckets_are_there() -> None:
    """The name itself has no series, and needs none; one bucket that cannot be read makes the whole unknown."""
    buckets = [("lat_bucket", {"le": "1"}, 5.0), ("lat_bucket", {"le": "2"}, 8.0), ("lat_bucket", {"le": "+Inf"}, 10.0)]
    world = World("histogram_quantile(0.5, lat) >= 1").page(*buckets)
    assert (world.true(), world.gaps()) == ({HERE: 1.0}, [])
    world.after(1000).page(("lat_bucket", {"le": "1"}, "many"), *buckets[1:])
    assert (world.true(), len(world.gaps())) == ({}, 1)
    assert World("histogram_quantile(0.5, lat) >= 1").page().gaps()[0] == "no reading has ever held lat"


def test_a_quantile_s_name_is_said_as_it_was_written_and_asks_for_its_buckets_alone() -> None:
    """In reasons it stands as in the condition, whatever it is computed by; nothing is asked for twice."""
    world = World("lat_seconds_p95{job='app'} * 1 > 100ms")
    assert [need.name for need in world.condition.needs] == ["lat_seconds_bucket"]
    for total in (0.0, 60.0):
        world.after(MINUTE).page(*(("lat_seconds_bucket", {"le": le}, total) for le in ("2", "+Inf")))
    assert world.true() == {HERE: 1.9}
    assert world.evaluate().why(PAGE, 1.9) == f'lat_seconds_p95{{job="app"}} * 1{HERE} = 1.9 > 0.1'
    probe = World("health_check.response_time_p95 > 1s")
    probe.condition, _ = compile_condition("health_check.status_code_p95 > 1", NAMES, compile_pattern)
    probe.samples.require(probe.condition.needs, compile_pattern)
    probe.source("health_check", ("status_code", {}, 200.0), ("up", {}, 1.0))
    assert probe.evaluate().why(NO_LABELS, 200.0) == "health_check.status_code_p95 = 200 > 1"


def test_an_evaluation_that_touches_too_much_ends_as_a_gap() -> None:
    """The budget counts samples, and is not spent on others."""
    condition, _ = compile_condition("sum_over_time(x[40000s:1s]) > 0", NAMES, compile_pattern)
    samples = Samples()
    samples.require([Need(SHARED, "x", (), 60_000_000)], compile_pattern)
    now = 1_700_000_000_000
    series = tuple(Sample("x", PAGE.with_(n=str(i)), 1.0, now) for i in range(60))
    samples.append(Reading("metrics", SHARED, now, series, PAGE))
    found = condition.evaluate(samples, now)
    assert (found.true, ["over its budget" in gap.why for gap in found.gaps]) == ((), [True])
    assert found.judge(PAGE)[0].value == "unknown"
