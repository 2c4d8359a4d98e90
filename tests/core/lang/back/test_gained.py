"""`x_total > 10 per minute` over a counter: from the reading before the minute to the newest one."""

from __future__ import annotations

import re
from math import isnan, nan
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.core.lang.needs import farthest
from alerting.model import SHARED, Reading, Sample
from tests.core.lang.back.world import MINUTE, OTHER, PAGE, World, labels_with
from tests.full import rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Value

S = 1000
HERE = '{instance="a:1",job="app"}'
FIVE = [(300, 0.0), (0, 60.0)]
SEEN = "what happens per minute"
TOO_FAR = f"are {{}} apart, and {SEEN} takes readings at most 1m30s apart: have it read more often"


def read(text: str, readings: Sequence[tuple[float, Value | None]]) -> World:
    """Read a counter so many seconds before the last time, oldest first; None: the page does not hold it."""
    world = World(text)
    before = readings[0][0]
    for ago, value in readings:
        world.after(round((before - ago) * S))
        before = ago
        world.page(*([("x_total", {}, value)] if value is not None else []))
    return world


TOLD = [
    ("cron, to the second", "minute", [(60, 100.0), (0, 112.0)], 12.0),
    ("nothing happened", "minute", [(60, 100.0), (0, 100.0)], 0.0),
    ("cron was late: by the time that it took", "minute", [(63, 100.0), (0, 110.0)], 10 * 60 / 63),
    ("cron was early: all of it happened within the minute", "minute", [(118, 0.0), (58, 0.0), (0, 12.0)], 12.0),
    ("early: what happened before is nearly left out", "minute", [(118, 0.0), (58, 30.0), (0, 31.0)], 2.0),
    ("early, and no reading before", "minute", [(58, 0.0), (0, 12.0)], 12.0),
    ("late by half a period is late", "minute", [(90, 0.0), (0, 15.0)], 10.0),
    ("neither pair of readings is a minute: the average", "minute", [(90, 0.0), (45, 9.0), (0, 18.0)], 12.0),
    ("nor is it here, and the last one has more", "minute", [(90, 0.0), (45, 0.0), (0, 18.0)], 18.0),
    (
        "often read: from the reading before the minute",
        "minute",
        [(61, 0.0), (46, 5.0), (1, 9.0), (0, 9.0)],
        4 + 5 * 14 / 15,
    ),
    ("what lies before that is left out", "minute", [(120, 0.0), (60, 90.0), (0, 91.0)], 1.0),
    ("a restart between two readings", "minute", [(60, 100.0), (0, 3.0)], 3.0),
    ("a restart that nobody can see", "minute", [(60, 100.0), (0, 130.0)], 30.0),
    ("a restart about the start of the minute", "minute", [(80, 100.0), (20, 2.0), (0, 4.0)], 2 + 2 * 40 / 60),
    ("restarts within the minute", "minute", [(60, 9.0), (40, 2.0), (20, 7.0), (0, 1.0)], 8.0),
    ("a long period, read every five minutes", "hour", [(3600, 0.0), (300, 100.0), (0, 120.0)], 120.0),
    ("a long period that has just begun", "hour", [(120, 0.0), (0, 7.0)], 7.0),
    ("a short period, read seldom", "10s", [(15, 0.0), (0, 30.0)], 20.0),
    ("cron every five minutes", "5m", [(302, 0.0), (0, 60.0)], 60 * 300 / 302),
    ("after an outage, half a minute is told", "minute", [(900, 0.0), (30, 500.0), (0, 501.0)], 1.0),
    ("it began when somebody looked", "minute", [(20, None), (10, 5.0), (0, 8.0)], 3.0),
    ("it was gone between", "minute", [(90, 50.0), (20, None), (10, 5.0), (0, 8.0)], 3 + 5 * 50 / 80),
    ("it began again when somebody looked", "minute", [(120, 50.0), (20, None), (10, 5.0), (0, 8.0)], 3.0),
    ("not a number", "minute", [(60, 1.0), (0, nan)], nan),
]


@pytest.mark.parametrize(("period", "readings", "wanted"), [row[1:] for row in TOLD], ids=[row[0] for row in TOLD])
def test_what_is_told(period: str, readings: list[tuple[float, Value | None]], wanted: float) -> None:
    """The change between two readings, brought down to the period where they lie further apart."""
    world = read(f"x_total >= 0 per {period} or x_total != 0 per {period}", readings)
    assert world.gaps() == []
    (found,) = world.true().values()
    assert isinstance(found, float)
    assert found == pytest.approx(wanted, rel=1e-12) or (isnan(found) and isnan(wanted))


UNTOLD = [
    ("one reading", "minute", [(0, 50.0)], f"one reading of metrics so far, and {SEEN} takes two"),
    ("two at once", "minute", [(5, 0.0), (0, 50.0)], f"only 5s of metrics were seen so far, too little for {SEEN}"),
    ("cron missed one", "minute", [(120, 0.0), (0, 50.0)], f"{TOO_FAR.format('2m')}, or write a number per 2m"),
    ("just too late", "minute", [(90.5, 0.0), (0, 15.0)], f"{TOO_FAR.format('1m30s')}, or write a number per 2m"),
    ("every five minutes", "minute", FIVE, f"{TOO_FAR.format('5m')}, or write a number per 5m"),
    ("once a day", "minute", [(86_400, 0.0), (0, 60.0)], TOO_FAR.format("1d")),
    ("looked twice after an outage", "minute", [(900, 0.0), (5, 7.0), (0, 7.0)], f"only 5s of metrics .* for {SEEN}"),
    ("a long period", "hour", [(60, 0.0), (0, 7.0)], "only 1m of metrics were seen so far, .* happens per hour"),
    ("a text", "minute", [(60, "many"), (0, 7.0)], "the text 'many' where a number is expected"),
]


@pytest.mark.parametrize(("period", "readings", "why"), [row[1:] for row in UNTOLD], ids=[row[0] for row in UNTOLD])
def test_what_is_not_told(period: str, readings: list[tuple[float, Value | None]], why: str) -> None:
    """Unknown, with what to do; whatever the number is held against."""
    for comparison in ("> 10", "< 10", "== 0", "!= 0"):
        world = read(f"x_total {comparison} per {period}", readings)
        assert world.true() == {}
        (said,) = world.gaps()
        assert re.search(f"{why}$", said), said


def test_the_advice_is_good() -> None:
    """What the reason tells to write is told."""
    assert read("x_total > 10 per 5m", FIVE).true() == {HERE: 60.0}
    assert read("x_total > 10 per 2m", [(120, 0.0), (0, 50.0)]).true() == {HERE: 50.0}


def test_a_failed_reading_between_makes_two_unknown_and_the_third_is_told() -> None:
    """The one that failed, and the next, which has nothing a minute before it."""
    world = World("x_total > 10 per minute").page(("x_total", {}, 0.0))
    world.after(MINUTE).page(fault="refused")
    assert world.gaps() == ["could not read metrics: refused"]
    world.after(MINUTE).page(("x_total", {}, 50.0))
    assert world.judge(labels_with(OTHER, {"instance": "a:1"})) == ("unknown", world.gaps()[0])
    assert "2m apart" in world.gaps()[0]
    assert world.after(MINUTE).page(("x_total", {}, 70.0)).true() == {HERE: 20.0}


def test_a_series_that_appears_on_a_page_that_was_read_is_no_gap() -> None:
    """A label's first event: nothing is known to be amiss, and its first value is not taken for its gain."""
    world = World("x_total > 10 per minute").page(("x_total", {"code": "200"}, 9.0)).after(MINUTE)
    world.page(("x_total", {"code": "200"}, 9.0), ("x_total", {"code": "500"}, 60.0))
    assert (world.true(), world.gaps()) == ({}, [])
    world.after(MINUTE).page(("x_total", {"code": "200"}, 9.0), ("x_total", {"code": "500"}, 80.0))
    assert list(world.true().values()) == [20.0]


@pytest.mark.parametrize("text", ["x_total > 10 per minute", "rate(x_total[1m]) > 0"])
def test_a_page_whose_own_stamps_lie_before_the_window_is_unknown(text: str) -> None:
    """It is read all the time, and says nothing of the minute that is asked for."""
    world = World(text)
    for passed in range(0, 400, 20):
        stamped = Sample("x_total", PAGE, float(passed), world.now - 70 * S)
        world.samples.append(Reading("metrics", SHARED, world.now, (stamped,), PAGE))
        assert world.true() == {}
        if passed > 60:
            assert world.gaps() == ["the newest x_total of metrics is 70 s old"]
        world.after(20 * S)


def test_a_page_whose_own_stamps_lie_too_far_apart_is_no_new_series() -> None:
    """It was read in between, and held the sample before: it did not begin there."""
    world = World("x_total > 10 per minute")
    for pause, stamp, value in ((0, 0, 0.0), (20, 0, 0.0), (100, 100, 50.0)):
        world.after(pause * S)
        stamped = Sample("x_total", PAGE, value, 1_700_000_040_000 + stamp * S)
        world.samples.append(Reading("metrics", SHARED, world.now, (stamped,), PAGE))
    (why,) = world.gaps()
    assert why.startswith("the last two readings of metrics are 1m40s apart")


def test_of_a_sum_nothing_is_told_while_a_part_is_missing() -> None:
    """Two pages, one of which has one reading so far; each by itself is judged."""
    for text, wanted in (("sum(x_total) > 10 per minute", {}), ("x_total > 10 per minute", {HERE: 20.0})):
        world = World(text).page(("x_total", {}, 0.0)).after(MINUTE)
        world.page(("x_total", {}, 20.0)).page(("x_total", {}, 500.0), target=OTHER)
        assert world.true() == wanted
        assert world.gaps() == [f"one reading of metrics so far, and {SEEN} takes two"]
    world = World("sum(x_total) > 10 per minute")
    for value in (0.0, 20.0):
        world.after(MINUTE).page(("x_total", {}, value)).page(("x_total", {}, value), target=OTHER)
    assert (world.true(), world.gaps()) == ({"": 40.0}, [])


def test_a_field_of_an_answer_is_a_counter_too() -> None:
    """`health_check.jobs_total`: whatever says that it counts."""
    world = World("health_check.jobs_total > 10 per minute").source("health_check", ("jobs_total", {}, 0.0))
    assert world.gaps() == [f"one reading of health_check so far, and {SEEN} takes two"]
    assert world.after(MINUTE).source("health_check", ("jobs_total", {}, 11.0)).true() == {"": 11.0}


@pytest.mark.parametrize(
    ("text", "readings", "why"),
    [
        ("x_total > 10 per minute", [(60, 0.0), (0, 12.0)], f"x_total{HERE} = 12 > 10 per minute"),
        ("10 per minute < x_total", [(60, 0.0), (0, 12.0)], f"x_total{HERE} = 12 > 10 per minute"),
        ("x_total > 9 per minute", [(63, 0.0), (0, 10.0)], f"x_total{HERE} = 9.52 > 9 per minute (10 in 1m3s)"),
        (
            "x_total > 1 per minute",
            [(118, 0.0), (58, 30.0), (0, 31.0)],
            f"x_total{HERE} = 2 > 1 per minute (1 in 58s, 30 in the 1m before)",
        ),
        ("sum by (job) (x_total) > 9 per 5m", FIVE, 'sum by (job) (x_total){job="app"} = 60 > 9 per 5m'),
        ("(sum(x_total)) > 9 per 5m", FIVE, "sum(x_total) = 60 > 9 per 5m"),
        ("up unless x_total > 99 per 5m", FIVE, f"up{HERE} = 1, and not x_total > 99 per 5m"),
        ("up unless 99 per 5m < (sum without (a) (x_total))", FIVE, "not 99 per 5m < (sum without (a) (x_total))"),
    ],
)
def test_the_reason_is_in_the_words_of_the_condition(text: str, readings: list[tuple[float, Value]], why: str) -> None:
    """What was held against what; and what was seen, where that was longer than the period."""
    world = read(text, list(readings))
    found = world.evaluate()
    ((labels, value),) = found.true
    assert found.why(labels, value).endswith(why)


def test_what_is_false_says_so_in_the_same_words() -> None:
    """The end of an alert."""
    world = read("x_total > 10 per minute", [(60, 0.0), (0, 3.0)])
    (series,) = world.samples.series("", "x_total")
    assert world.judge(series.labels) == ("false", f"x_total{HERE} = 3, not > 10 per minute")


@pytest.mark.parametrize(
    ("text", "window"),
    [("x_total > 1 per minute", 150), ("x_total > 1 per hour", 9000), ("x_total > 1 per day", 86_400 + 5400)],
)
def test_what_is_kept_reaches_back_to_the_anchor(text: str, window: int) -> None:
    """The window, and as far as an anchor may lie before it; what is fetched every 80 minutes is told per hour."""
    world = World(text)
    (need,) = world.condition.needs
    assert need.window == window * S + world.samples.lookback
    assert World(text.replace("x_total >", "increase(x_total[1h]) >").partition(" per")[0]).condition.needs[
        0
    ].window == (3600 * S + world.samples.lookback)


def test_the_anchor_of_a_long_period_is_not_cut_off() -> None:
    """A series that is read for days: what is kept of it is enough, and is not all."""
    world = World("x_total > 10 per hour")
    for hour in range(100):
        world.page(("x_total", {}, 12.0 * hour))
        assert hour == 0 or world.true() == {HERE: 12.0}
        world.after(60 * MINUTE)
    (series,) = world.samples.series("", "x_total")
    assert len(series.times) < 40


STEPS = st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 50), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=rounds(150, 5_000), deadline=None)
@given(STEPS, st.sampled_from([10_000, 60_000, 300_000]), st.booleans())
def test_it_is_the_true_change_between_the_anchor_and_the_last_reading(
    steps: list[tuple[int, int, bool]], length: int, may_restart: bool
) -> None:
    """However irregularly a counter is read, and whenever it begins again: told as documented, or not at all."""
    world = World(f"x_total >= 0 per {length // S}s")
    readings: list[tuple[int, float, float]] = []  # when, the value, and all that happened up to then, as far as seen
    value = happened = 0.0
    for pause, more, restarts in steps:
        world.after(pause)
        before, value = value, float(more) if restarts and may_restart else value + more
        happened += value if value < before else value - before
        readings.append((world.now, value, happened))
        world.page(("x_total", {}, value))
    now, _, last = readings[-1]
    inside = [each for each in readings if each[0] > now - length]
    anchors = [each for each in readings if each[0] <= now - length]
    at_least = last - inside[0][2]
    told, gaps = list(world.true().values()), world.gaps()
    assert len(told) + len(gaps) == 1, "it is told, or it is said why not"
    if anchors and inside[0][0] - anchors[-1][0] <= farthest(length):
        change, time = last - anchors[-1][2], now - anchors[-1][0]
        assert 0 <= at_least <= told[0] + 1e-9 <= change + 2e-9  # type: ignore[operator]
        if len(inside) == 1 or time <= length:
            assert told == [pytest.approx(change * min(1, length / time))]
        else:
            share = (inside[0][0] - (now - length)) / (inside[0][0] - anchors[-1][0])
            assert told == [pytest.approx(at_least + (inside[0][2] - anchors[-1][2]) * share)]
    elif now - inside[0][0] >= min(length // 2, 120_000):
        assert told == [pytest.approx(at_least)]
    else:
        assert told == []
