"""Samples: what is kept and for how long, what a reading ends, and what cannot be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.core.samples import Samples
from alerting.model import (
    NO_LABELS,
    SHARED,
    Fault,
    FaultKind,
    Gap,
    Kind,
    Labels,
    Matcher,
    Metric,
    Need,
    Reading,
    Sample,
    Value,
)
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

A = Labels({"job": "a", "instance": "a:1"})
B = Labels({"job": "b", "instance": "b:1"})
REFUSED = Fault(FaultKind.REFUSED, "nobody listens there")


def page(at: int, values: Mapping[str, Value], target: Labels = A, fault: Fault | None = None) -> Reading:
    """Read a page: one series of each name, with the target's labels."""
    samples = tuple(Sample(name, target, value, at) for name, value in values.items())
    return Reading("metrics", SHARED, at, samples, target, fault)


def keeping(*needs: Need) -> Samples:
    """Make samples that keep what is needed."""
    samples = Samples()
    samples.require(needs, compile_pattern)
    return samples


def values(samples: Samples, name: str) -> list[list[Value]]:
    """Give the kept values of each series of a name."""
    return [series.values for series in samples.series(SHARED, name)]


def selected(samples: Samples, name: str, at: int, *matchers: Matcher) -> list[Value]:
    """Give the values that hold."""
    selection = samples.selection(SHARED, name, matchers, compile_pattern)
    return [series.last for series in selection.series if series.at <= at < series.expires]


def test_only_what_a_need_selects_is_kept_and_given_back() -> None:
    """Series that no rule asked for are neither kept nor written to the file."""
    samples = keeping(Need(SHARED, "x", (Matcher("job", "=", "a"),)))
    taken = [*samples.append(page(1, {"x": 1.0, "y": 2.0})), *samples.append(page(1, {"x": 3.0}, B))]
    assert taken == [(SHARED, Kind.UNKNOWN, Sample("x", A, 1.0, 1))]
    assert (values(samples, "x"), values(samples, "y")) == ([[1.0]], [])


def test_a_series_is_kept_as_long_as_the_longest_window_needs() -> None:
    """Old samples go, and the newest two always stay."""
    samples = keeping(Need(SHARED, "x", (), 10_000), Need(SHARED, "y"))
    for step in range(100):
        samples.append(page(step * 1000, {"x": float(step), "y": float(step)}))
    (series,) = samples.series(SHARED, "x")
    assert len(series.times) <= 32
    assert series.times[0] <= 89_000
    assert len(samples.series(SHARED, "y")[0].times) <= 16


def test_a_change_of_rules_keeps_what_is_still_needed() -> None:
    """`require` drops what nobody needs any more, keeps the rest, and finds selections anew."""
    both, only = [Need(SHARED, "x", (), 9_000), Need(SHARED, "y", (), 9_000)], [Need(SHARED, "y", (), 9_000)]
    samples = keeping(*both)
    samples.append(page(1, {"x": 1.0, "y": 2.0}))
    before = samples.selection(SHARED, "x", (), compile_pattern)
    samples.require(only, compile_pattern)
    samples.append(page(2, {"x": 3.0, "y": 4.0}))
    assert (values(samples, "x"), values(samples, "y")) == ([], [[2.0, 4.0]])
    assert before.owner is None
    samples.require(both, compile_pattern)
    samples.append(page(3, {"x": 5.0, "y": 6.0}))
    assert (values(samples, "x"), values(samples, "y")) == ([[5.0]], [[2.0, 4.0, 6.0]])


def test_what_nobody_wanted_is_taken_once_somebody_does() -> None:
    """A series that was passed over for its labels is kept from the change of rules on."""
    samples = keeping(Need(SHARED, "x", (Matcher("job", "=", "b"),)))
    samples.append(page(1, {"x": 1.0}))
    samples.require([Need(SHARED, "x")], compile_pattern)
    samples.append(page(2, {"x": 2.0}))
    assert values(samples, "x") == [[2.0]]


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        ((), [1.0, 2.0]),
        ((Matcher("job", "=", "a"),), [1.0]),
        ((Matcher("job", "!=", "a"),), [2.0]),
        ((Matcher("job", "=~", "a|z"),), [1.0]),
        ((Matcher("job", "!~", "a|z"),), [2.0]),
        ((Matcher("job", "=~", ".*"), Matcher("instance", "=", "b:1")), [2.0]),
        ((Matcher("nothing", "=", ""),), [1.0, 2.0]),
        ((Matcher("nothing", "!=", ""),), []),
        ((Matcher("job", "=", "c"),), []),
    ],
)
def test_matchers_select_as_in_prometheus(matchers: tuple[Matcher, ...], expected: list[Value]) -> None:
    """All four matchers; a label that is not there is the empty text; series that come later are selected too."""
    samples = keeping(Need(SHARED, "x", matchers), Need(SHARED, "x"))
    samples.append(page(1, {"x": 1.0}))
    samples.append(page(1, {"x": 2.0}, B))
    assert selected(samples, "x", 1, *matchers) == expected


def test_a_selector_without_a_name_selects_over_all_names() -> None:
    """`{job="a"}` and `{__name__=~"x.*"}` are told of every new name."""
    by_job, by_name = (Matcher("job", "=", "a"),), (Matcher("__name__", "=~", "x.*"),)
    samples = keeping(Need(SHARED, "", by_job), Need(SHARED, "", by_name))
    samples.append(page(1, {"x1": 1.0, "y": 2.0}))
    samples.append(page(1, {"x2": 3.0, "z": 4.0}, B))
    assert selected(samples, "", 1, *by_job) == [1.0, 2.0]
    assert selected(samples, "", 1, *by_name) == [1.0, 3.0]
    assert values(samples, "z") == []


def test_a_sample_holds_for_the_lookback() -> None:
    """Up to, and not including, five minutes after it was true."""
    samples = keeping(Need(SHARED, "x"))
    samples.append(page(1_000, {"x": 1.0}))
    assert [selected(samples, "x", at) for at in (999, 1_000, 300_999, 301_000)] == [[], [1.0], [1.0], []]


def test_a_good_page_without_a_series_ends_it() -> None:
    """Prometheus' staleness: gone is gone at once, for that target alone, and back when it is back."""
    samples = keeping(Need(SHARED, "x"))
    samples.append(page(1, {"x": 1.0}))
    samples.append(page(1, {"x": 2.0}, B))
    samples.append(page(2, {}))
    assert selected(samples, "x", 2) == [2.0]
    samples.append(page(3, {"x": 5.0}))
    assert selected(samples, "x", 3) == [5.0, 2.0]


def test_the_past_stays_as_it_was() -> None:
    """Asked for a time before, a series gives what held then, and nothing where it had ended."""
    samples = keeping(Need(SHARED, "x", (), 600_000))
    for at, found in ((10, {"x": 1.0}), (20, {}), (30, {"x": 3.0})):
        samples.append(page(at, found))
    (series,) = samples.series(SHARED, "x")
    places = [series.instant(at, 300_000) for at in (5, 10, 19, 20, 29, 30, 400_000)]
    assert places == [-1, 0, 0, -1, -1, 1, -1]


def test_the_lookback_holds_in_the_past_too() -> None:
    """A sample that was followed by another one much later held for five minutes and no longer."""
    samples = keeping(Need(SHARED, "x", (), 3_600_000))
    for at in (0, 600_000):
        samples.append(page(at, {"x": float(at)}))
    (series,) = samples.series(SHARED, "x")
    assert [series.instant(at, 300_000) for at in (299_999, 300_000, 599_999, 600_000)] == [0, -1, -1, 1]


def test_a_failed_target_is_not_believed_and_says_so() -> None:
    """Its series hold nothing, others go on, the gap names what may be missing; a good reading ends that."""
    samples = keeping(Need(SHARED, "x", (), 60_000))
    samples.append(page(1, {"x": 1.0}))
    samples.append(page(1, {"x": 2.0}, B))
    samples.append(page(2, {}, A, REFUSED))
    why = "could not read metrics: nobody listens there"
    assert selected(samples, "x", 2) == [2.0]
    assert samples.gaps(SHARED, "x", 2) == [Gap(why, A, "metrics")]
    assert samples.gaps(SHARED, "x", 1) == []
    samples.append(page(3, {"x": 4.0}))
    assert selected(samples, "x", 3) == [4.0, 2.0]
    assert [samples.gaps(SHARED, "x", at) for at in (3, 4)] == [[], []]
    assert samples.gaps(SHARED, "x", 2) == [Gap(why, A, "metrics")]


def test_up_is_never_a_gap() -> None:
    """A failed reading holds `up` = 0, which is what is seen."""
    samples = keeping(Need(SHARED, "up"))
    samples.append(page(1, {"up": 1.0}))
    samples.append(page(2, {"up": 0.0}, A, REFUSED))
    assert (selected(samples, "up", 2), samples.gaps(SHARED, "up", 2)) == ([0.0], [])


def test_a_gap_is_none_where_the_selector_cannot_mean_the_target() -> None:
    """A selector for another job is not blind when this one fails."""
    samples = keeping(Need(SHARED, "x", (Matcher("job", "=", "b"),)), Need(SHARED, "x", (Matcher("zone", "=", "1"),)))
    samples.append(page(2, {}, A, REFUSED))
    other = samples.selection(SHARED, "x", (Matcher("job", "=", "b"),), compile_pattern)
    zone = samples.selection(SHARED, "x", (Matcher("zone", "=", "1"),), compile_pattern)
    assert other.gaps(2) == []
    assert [gap.labels for gap in zone.gaps(2)] == [A.with_(zone="1")]


def buckets(at: int, *ends: int, value: float = 1.0) -> Reading:
    """Read closed buckets of events."""
    counts = tuple(Sample("errors", NO_LABELS, value, end) for end in ends)
    return Reading("sentry", "sentry", at, counts, kinds=(Metric("errors", "sentry", Kind.COUNT),))


def test_buckets_are_dated_by_their_end_and_none_is_ended_by_a_later_reading() -> None:
    """A reading without a new bucket ends nothing; a bucket holds from when it came in."""
    samples = keeping(Need("sentry", "errors", (), 600_000))
    samples.append(buckets(200_000, 60_000, 120_000))
    samples.append(buckets(230_000))
    (series,) = samples.series("sentry", "errors")
    assert (series.times, series.received, series.expires) == ([60_000, 120_000], [200_000, 200_000], 500_000)
    samples.append(buckets(260_000, 120_000, value=7.0))
    assert (series.values, series.received) == ([1.0, 7.0], [200_000, 260_000])


def test_a_lagging_gauge_that_ended_comes_back_with_an_older_time_than_its_end() -> None:
    """A percentile dated 90 s back that was missing once is there again with the next reading."""
    samples = keeping(Need("sentry", "p95"))
    for at, found in ((100_000, [10_000]), (130_000, []), (160_000, [70_000])):
        readings = tuple(Sample("p95", NO_LABELS, 1.0, when) for when in found)
        samples.append(Reading("sentry", "sentry", at, readings))
    (series,) = samples.series("sentry", "p95")
    assert (series.ends, series.instant(160_000, 300_000)) == ([], 1)


def kept(*times: int, name: str = "x", labels: Labels = A) -> Sequence[tuple[str, Kind, Sample, int]]:
    """Give samples as the file of samples holds them."""
    return [(SHARED, Kind.UNKNOWN, Sample(name, labels, float(at), at), at) for at in times]


def test_what_was_kept_in_the_file_is_taken_up_by_the_target_that_reported_it() -> None:
    """After a restart a window is whole, and the target's earlier readings are known."""
    samples = keeping(Need(SHARED, "x", (), 600_000))
    samples.restore([*kept(10, 20), *kept(30, name="unneeded")])
    assert selected(samples, "x", 25) == [20.0]
    samples.append(page(30, {"x": 30.0}))
    (series,) = samples.series(SHARED, "x")
    assert (series.times, values(samples, "unneeded")) == ([10, 20, 30], [])
    assert series.target is not None
    assert series.target.fetched(0, 30) == 3


@pytest.mark.parametrize("fault", [None, REFUSED])
def test_a_restored_series_is_judged_by_the_first_reading_of_its_target(fault: Fault | None) -> None:
    """A good page without it ends it; a failed one withholds it; either way it does not hold."""
    samples = keeping(Need(SHARED, "x"))
    samples.restore(kept(10))
    samples.append(page(20, {}, A, fault))
    assert selected(samples, "x", 20) == []
    assert bool(samples.gaps(SHARED, "x", 20)) is (fault is not None)


def test_series_that_ended_long_ago_are_forgotten() -> None:
    """Labels that never repeat do not fill memory: nor those that were wanted, nor those that were not."""
    samples = keeping(Need(SHARED, "x"))
    for step in range(50):
        at = step * 60_000
        samples.append(Reading("metrics", SHARED, at, (Sample("x", A.with_(pod=str(step)), 1.0, at),), A))
    assert len(samples.series(SHARED, "x")) <= 12
    assert len(samples.selection(SHARED, "x", (), compile_pattern).series) <= 12


def test_nothing_is_ended_or_missing_in_a_rule_test() -> None:
    """With `promql` everything is kept, a missing series holds on, and only an explicit end ends it."""
    samples = Samples(promql=True)
    samples.append(page(1, {"x": 1.0}))
    samples.append(page(2, {}))
    assert (selected(samples, "x", 2), samples.gaps(SHARED, "nothing", 2)) == ([1.0], [])
    samples.end(SHARED, "x", A, 3)
    assert selected(samples, "x", 3) == []


def test_a_sample_that_comes_twice_in_one_reading_counts_once() -> None:
    """The last of equal times wins, an older one is dropped, and nothing is taken for gone."""
    samples = keeping(Need(SHARED, "x", (), 60_000))
    twice = (Sample("x", A, 1.0, 5), Sample("x", A, 2.0, 5), Sample("x", A, 9.0, 4))
    samples.append(Reading("metrics", SHARED, 5, twice, A))
    assert (values(samples, "x"), selected(samples, "x", 5)) == ([[2.0]], [2.0])


def test_ten_thousand_selectors_that_share_a_label_are_told_apart_by_another() -> None:
    """A new series is not shown to every selector that has `job="a"` in common with it."""
    needs = [Need(SHARED, "x", (Matcher("job", "=", "a"), Matcher("idx", "=", str(idx)))) for idx in range(200)]
    samples = keeping(*needs)
    series = tuple(Sample("x", A.with_(idx=str(idx)), float(idx), 1) for idx in range(200))
    samples.append(Reading("metrics", SHARED, 1, series, A))
    assert selected(samples, "x", 1, *needs[7].matchers) == [7.0]
    record = samples.selection(SHARED, "x", needs[7].matchers, compile_pattern).record
    assert record is not None
    assert max(map(len, record.by_pair.values())) <= 2


def test_what_records_seldom_leaves_only_its_own_name_unknown() -> None:
    """A rule that records every ten minutes is old after five; the pages are read, and what they hold is known."""
    samples = keeping(Need(SHARED, "load"), Need(SHARED, "load:mean"))
    mean = Sample("load:mean", NO_LABELS, 1.0, 0)
    samples.append(Reading("rule r", SHARED, 0, (mean,), kinds=(Metric("load:mean", SHARED),), only="load:mean"))
    samples.append(page(300_000, {"load": 1.0}))
    samples.withhold_old(300_000)
    unknown = {
        name: [gap.why for gap in samples.selection(SHARED, name, (), compile_pattern).gaps(300_000)]
        for name in ("load", "load:mean")
    }
    assert unknown == {"load": [], "load:mean": ["rule r was not read for 300 s"]}
