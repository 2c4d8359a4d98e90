"""What a small picture shows: the value that the condition compares, and what it is compared with."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.core.samples import Samples
from alerting.core.telling.picture import HOUR, MOST, kept_for_pictures, picture
from alerting.model import NO_LABELS, Kind, Labels, Metric, Millis, Reading, Sample
from alerting.patterns import compile_pattern
from tests.tick import Above

M: Millis = 60_000
NOW: Millis = 3 * HOUR
ROOT = Labels({"mount": "/"})
DATA = Labels({"mount": "/data"})
VOCABULARY = (
    Metric("disk_usage", "host", Kind.GAUGE, "percent", ("mount",)),
    Metric("requests_total", "host", Kind.COUNTER, "", ()),
    Metric("state", "host", Kind.STATE, "", ()),
)


def names() -> Any:
    """The vocabulary of one source."""
    return Names((SourceNames("host", "host", "host", True, VOCABULARY),))  # noqa: FBT003  its fields in order


def read(text: str, every: Millis = M, for_: Millis = 2 * HOUR, *, longer: bool = True) -> tuple[Any, Samples]:
    """A condition, and samples of two hours: usage climbs from 50 by 0.25 a minute, requests by 10."""
    condition, _ = compile_condition(text, names(), compile_pattern)
    samples = Samples()
    samples.require(kept_for_pictures(condition.needs) if longer else condition.needs, compile_pattern)
    for at in range(NOW - for_, NOW + 1, every):
        minutes = (at - (NOW - 2 * HOUR)) / M
        taken = (
            Sample("disk_usage", ROOT, 50 + minutes / 4, at),
            Sample("disk_usage", DATA, 10.0, at),
            Sample("requests_total", NO_LABELS, minutes * 10, at),
            Sample("state", NO_LABELS, "ok", at),
        )
        samples.append(Reading("host", "host", at, taken))
    return condition, samples


CASES: list[tuple[str, Labels, float | None, float]] = [  # condition, alert, threshold, the newest value
    ("disk_usage > 85%", ROOT, 85, 80),
    ("85% < disk_usage", ROOT, 85, 80),
    ("disk_usage > 85", DATA, 85, 10),
    ("disk_usage + 1 > 2 * 40", ROOT, 80, 81),
    ("disk_usage > 70 and disk_usage < 99", ROOT, 70, 80),
    ("rate(requests_total[5m]) * 60 > 5", NO_LABELS, 5, 10),
    ("rate(requests_total[5m]) > 0.1", NO_LABELS, 0.1, 10 / 60),
    ("max(disk_usage) > 75", NO_LABELS, 75, 80),
    ("disk_usage > on (mount) disk_usage - 1", ROOT, None, 80),
]


@pytest.mark.parametrize(("text", "labels", "threshold", "newest"), CASES)
def test_the_value_that_is_compared_is_drawn_with_what_it_is_compared_with(
    text: str, labels: Labels, threshold: float | None, newest: float
) -> None:
    """Up to 60 points of the last hour, oldest first, the newest one now."""
    condition, samples = read(text)
    drawn = picture(condition, labels, samples, NOW)
    assert drawn is not None
    times = [at for at, _ in drawn.points]
    assert drawn.threshold == threshold
    assert drawn.points[-1] == (NOW, pytest.approx(newest))
    assert times == sorted(set(times))
    assert 50 <= len(times) <= MOST
    assert times[0] >= NOW - HOUR
    assert drawn.unit == condition.unit


def test_a_condition_that_looks_further_back_is_drawn_further_back() -> None:
    """As far as its own window reaches."""
    condition, samples = read("avg_over_time(disk_usage[90m]) > 60")
    drawn = picture(condition, ROOT, samples, NOW)
    assert drawn is not None
    assert drawn.points[0][0] < NOW - HOUR


NOTHING = [
    ("disk_usage > 85", Labels({"mount": "/nowhere"})),
    ("state != 'ok'", NO_LABELS),
    ("absent(disk_usage)", NO_LABELS),
]


@pytest.mark.parametrize(("text", "labels"), NOTHING)
def test_where_there_is_nothing_to_draw_there_is_no_picture(text: str, labels: Labels) -> None:
    """A series that is not there, texts, and what is not there at all."""
    condition, samples = read(text)
    assert picture(condition, labels, samples, NOW) is None


def test_a_condition_of_another_kind_has_no_picture() -> None:
    """Only the language's own conditions can be looked into."""
    _, samples = read("disk_usage > 85")
    assert picture(Above(), ROOT, samples, NOW) is None


def test_too_few_points_are_no_picture() -> None:
    """Two values tell nothing over time; so it is right after the start."""
    condition, samples = read("disk_usage > 85", for_=M)
    assert picture(condition, ROOT, samples, NOW) is None


def test_without_longer_windows_there_is_little_to_draw() -> None:
    """Why `kept_for_pictures` is asked when somebody wants pictures: a plain threshold needs the newest value only."""
    condition, samples = read("disk_usage > 85", longer=False)
    drawn = picture(condition, ROOT, samples, NOW)
    assert drawn is None or len(drawn.points) < 40


@pytest.mark.parametrize(("op", "spike"), [(">", 999.0), ("<", -999.0)])
def test_a_spike_survives_the_thinning(op: str, spike: float) -> None:
    """Of points that fall together the one that is nearest to holding is drawn."""
    condition, samples = read(f"disk_usage {op} 85", every=5_000)
    samples = Samples()
    samples.require(kept_for_pictures(condition.needs), compile_pattern)
    for number, at in enumerate(range(NOW - HOUR, NOW + 1, 5_000)):
        value = spike if number == 333 else 50.0
        samples.append(Reading("host", "host", at, (Sample("disk_usage", ROOT, value, at),)))
    drawn = picture(condition, ROOT, samples, NOW)
    assert drawn is not None
    assert len(drawn.points) <= MOST
    assert spike in [value for _, value in drawn.points]


def test_numbers_that_are_none_are_left_out() -> None:
    """NaN and infinities cannot be drawn."""
    condition, _ = read("disk_usage > 85")
    samples = Samples()
    samples.require(kept_for_pictures(condition.needs), compile_pattern)
    for number, at in enumerate(range(NOW - HOUR, NOW + 1, M)):
        value = (float("nan"), float("inf"), 50.0)[number % 3]
        samples.append(Reading("host", "host", at, (Sample("disk_usage", ROOT, value, at),)))
    drawn = picture(condition, ROOT, samples, NOW)
    assert drawn is not None
    assert {value for _, value in drawn.points} == {50.0}
