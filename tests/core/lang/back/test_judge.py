"""Judging an alert that does not hold any more, and the reasons in words."""

from __future__ import annotations

from time import thread_time

import pytest

from alerting.model import NO_LABELS
from tests.core.lang.back.world import MINUTE, OTHER, PAGE, World

HERE = str(PAGE)


def test_false_needs_the_series() -> None:
    """Seen and within its bound is false; gone is vanished; unread is unknown."""
    world = World("x > 5").page(("x", {}, 9.0)).after(1000).page(("x", {}, 1.0))
    assert world.judge(PAGE) == ("false", f"x{HERE} = 1, not > 5")
    world.after(1000).page()
    assert world.judge(PAGE) == ("vanished", f"x{HERE} is no longer reported")
    world.after(1000).page(fault="refused")
    assert world.judge(PAGE) == ("unknown", "could not read metrics: refused")


def test_a_sample_beyond_the_lookback_is_no_evidence() -> None:
    """A page not read for longer than a sample holds may still have the series: unknown, not false and not gone."""
    world = World("x > 5").page(("x", {}, 1.0)).after(6 * MINUTE)
    assert world.judge(PAGE) == ("unknown", "metrics was not read for 360 s")


@pytest.mark.parametrize(
    ("text", "series", "truth"),
    [
        ("x * 2 > 50", {"x": 1.0}, "false"),
        ("sum(x) > 50", {"x": 1.0}, "false"),
        ("count(x > 50) > 0", {"x": 1.0}, "false"),
        ("count(x > 50 and y > 50) > 0", {"x": 1.0, "y": 1.0}, "false"),
        ("x > y", {"x": 1.0, "y": 2.0}, "false"),
        ("x > y", {"x": 1.0}, "vanished"),
        ("x > 50 and y > 50", {"x": 99.0}, "vanished"),
        ("x > 50 and y > 50", {"y": 1.0}, "false"),
        ("x > 50 unless y > 50", {"x": 99.0, "y": 99.0}, "false"),
        ("x > 50 unless y > 50", {"y": 99.0}, "false"),
        ("x > 50 unless y > 50", {"y": 1.0}, "vanished"),
        ("topk(1, x) > 50", {"x": 1.0}, "false"),
        ("x > scalar(y)", {"x": 1.0}, "false"),
        ("x", {}, "vanished"),
        ("abs(x) > 50", {}, "vanished"),
    ],
)
def test_evidence_is_the_operand_before_the_comparison(text: str, series: dict[str, float], truth: str) -> None:
    """What a condition looks at, with its comparisons open, is what tells false from vanished."""
    world = World(text).page(("x", {}, 99.0), ("y", {}, 99.0)).after(1000)
    world.page(*((name, {}, value) for name, value in series.items()))
    labels = NO_LABELS if "(x" in text and text[0] in "sc" else PAGE
    assert world.judge(labels)[0] == truth


def test_a_side_of_or_that_lost_the_series_is_no_evidence() -> None:
    """The side that held it is gone, the other sees it as false: vanished. A side that never had it does not count."""
    held = World("x > 5 or y > 5").page(("x", {}, 9.0), ("y", {}, 1.0)).after(1000).page(("y", {}, 1.0))
    assert held.judge(PAGE) == ("vanished", f"x{HERE} is no longer reported")
    held.after(9 * MINUTE).page(("y", {}, 1.0)).after(MINUTE).page(("y", {}, 1.0)).after(MINUTE).page(("y", {}, 1.0))
    assert held.judge(PAGE)[0] == "false"
    never = World("x > 5 or y > 5").page(("x", {}, 9.0), target=OTHER).page(("y", {}, 1.0))
    assert never.judge(PAGE) == ("false", f"y{HERE} = 1, not > 5")


def test_what_cannot_be_left_out_for_sure_is_unknown() -> None:
    """The group is seen, but which of its series `unless` takes away is not known."""
    world = World("count(x unless on () health_check.quiet == 1) > 0").page(("x", {}, 9.0))
    world.source("health_check", fault="refused")
    assert world.judge() == ("unknown", "could not read health_check: refused")


def test_absent_that_is_over_is_false() -> None:
    """The series is back: that is evidence."""
    world = World("absent(x) or y > 5").page(("x", {}, 1.0), ("y", {}, 1.0))
    assert world.judge()[0] == "false"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x > 5", f"x{HERE} = 9 > 5"),
        ("5 < x", f"x{HERE} = 9 > 5"),
        ("x > -5", f"x{HERE} = 9 > -5"),
        ("x_seconds > 1000ms", f"x_seconds{HERE} = 1.5 s > 1 s"),
        ("x_bytes > 1MiB", f"x_bytes{HERE} = 3 MiB > 1 MiB"),
        ("x > y", f"x{HERE} = 9 > y{HERE} = 2"),
        ("x > scalar(y)", f"x{HERE} = 9 > scalar(y) = 2"),
        ("x > 5 and y < 5", f"x{HERE} = 9 > 5 and y{HERE} = 2 < 5"),
        ("x > 50 or y < 5", f"y{HERE} = 2 < 5"),
        ("x > 5 unless y > 5", f"x{HERE} = 9 > 5, and not y > 5"),
        ("x > 5 and on (instance) y < 5", f"x{HERE} = 9 > 5 and y{HERE} = 2 < 5"),
        ("sum by (job) (x) > 5", 'sum by (job) (x){job="app"} = 9 > 5'),
        ("max_over_time(x_seconds[5m]) > 1s", f"max_over_time(x_seconds[5m]){HERE} = 1.5 s > 1 s"),
        ("x", f"x{HERE} = 9"),
        ("x > bool 5", f"x > bool 5{HERE} = 1"),
        ("(x > 5)", f"x{HERE} = 9 > 5"),
        ('absent(z{job="q"})', 'absent(z{job="q"}){job="q"} = 1'),
        ('{__name__="x"} > 5', f"x{HERE} = 9 > 5"),
        ("vector(1) > 0", "vector(1) = 1 > 0"),
    ],
)
def test_the_reason_says_which_series_which_value_and_which_comparison(text: str, why: str) -> None:
    """In the metric's unit, and only of the clauses that decided."""
    world = World(text).page(("x", {}, 9.0), ("y", {}, 2.0), ("x_seconds", {}, 1.5), ("x_bytes", {}, 3145728.0))
    found = world.evaluate()
    (labels, value), *_ = found.true
    assert found.why(labels, value) == why


def test_reasons_of_sources_other_than_pages_carry_their_name() -> None:
    """`health_check.database.status = 'error' != 'ok'`."""
    world = World("health_check.database.status != 'ok'").source("health_check", ("database.status", {}, "error"))
    found = world.evaluate()
    assert found.why(*found.true[0]) == "health_check.database.status = 'error' != 'ok'"
    world = World("disk_usage > 85%").source("host", ("disk_usage", {"mount": "/"}, 91.23))
    found = world.evaluate()
    assert found.why(*found.true[0]) == 'disk_usage{mount="/"} = 91.2% > 85%'


def test_a_count_says_which_minutes() -> None:
    """The closed stretch with the most events since the last evaluation, and the time of it."""
    world = World("error_count > 10 per minute").counts(1_700_000_040_000, 3.0, 14.0, 5.0)
    found = world.evaluate(since=world.now - MINUTE)
    assert [value for _, value in found.true] == [14.0]
    assert found.why(*found.true[0]) == "error_count = 14 > 10 per minute (22:12 to 22:13)"
    world.after(MINUTE)
    assert world.evaluate(since=world.now - 1).true == ()
    assert world.judge() == ("false", "error_count = 5, not > 10 per minute (22:13 to 22:14)")


@pytest.mark.parametrize(
    ("text", "counts", "since", "expected"),
    [
        ("error_count > 0 per minute", [1, 9, 2, 3], 0, 9.0),
        ("error_count > 0 per minute", [1, 9, 2, 3], None, 3.0),
        ("error_count > 0 per 2m", [1, 9, 2, 3], 0, 11.0),
        ("error_count > 0 per 2m", [1, 9, 2, 3], None, 5.0),
        ("error_count > 0 per 4m", [1, 9, 2, 3], 0, 15.0),
        ("10 per minute > error_count", [1, 9, 2, 3], 0, 9.0),
    ],
)
def test_peak_is_the_highest_stretch_that_came_in_since_the_last_evaluation(
    text: str, counts: list[float], since: int | None, expected: float
) -> None:
    """Any run of D's minutes is a candidate; without a last evaluation the newest counts."""
    world = World(text).counts(1_700_000_040_000, *map(float, counts))
    found = world.evaluate(since if since is None else world.now - MINUTE)
    assert [value for _, value in found.true] == [expected]
    assert world.condition.watches_buckets


def test_judging_looks_at_the_time_of_its_evaluation() -> None:
    """A result that is asked later than the next reading still speaks of its own moment."""
    world = World("x > 5").page(("x", {}, 1.0))
    found = world.evaluate()
    world.after(1000).page()
    truth, why = found.judge(PAGE)
    assert (truth.value, why()) == ("false", f"x{HERE} = 1, not > 5")
    assert world.judge(PAGE)[0] == "vanished"


@pytest.mark.parametrize(
    "text",
    [
        "x > 5",
        "rate(x[5m]) > 5",
        "x / y > 5",
        "sum by (job, instance, i) (x) > 5",
        "x > 5 and on (i) y > 5",
        "x > 5 or y > 5",
        "max_over_time((x + y)[40s:1ms]) > 5",
    ],
)
def test_many_alerts_that_end_together_cost_little_more_than_one(text: str) -> None:
    """The condition is looked at once for all of them, also where it goes over its budget."""
    world = World(text)
    series = [(name, {"i": str(i)}) for i in range(500) for name in "xy"]
    for value in (1.0, 2.0):
        world.after(MINUTE).page(*((name, labels, value) for name, labels in series))
    found = world.evaluate()
    started = thread_time()
    first = found.judge(PAGE.merged({"i": "0"}))
    one = thread_time() - started
    truths = {found.judge(PAGE.merged({"i": str(i)}))[0] for i in range(500)}
    assert thread_time() - started < 50 * one + 0.05
    assert truths == {first[0]}
    assert first[0].value == ("unknown" if "[40s" in text else "false")
