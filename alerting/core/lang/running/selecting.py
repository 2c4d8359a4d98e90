"""Selectors, ranges and subqueries: where vectors come from.

A selector finds its Selection once per Samples and keeps it; what it reads from then on is a list that is
always up to date. A target that was failing at the time in question is not believed: its series are left
out, and the selection says so as gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.running.values import NAME, Ranges, Stretch, finished
from alerting.core.windows import Points
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.lang.running.values import Moment, RangesOf, Vector, VectorOf
    from alerting.core.lang.tree import At, Selector
    from alerting.core.samples import Samples
    from alerting.core.selection import Selection
    from alerting.model import Gap, Labels, Matcher, Millis, Patterns


class Looking:
    """A selector that has found its Selection in the Samples at hand, and finds it again in others."""

    __slots__ = ("_patterns", "found", "matchers", "name", "namespace", "open")

    def __init__(self, selector: Selector, patterns: Patterns) -> None:
        metric = selector.metric
        self.namespace = metric.namespace if metric else SHARED
        self.name = metric.name if metric else ".".join(selector.path)
        self.matchers: tuple[Matcher, ...] = selector.matchers
        self.open = is_open(selector)
        self._patterns = patterns
        self.found: Selection | None = None

    def look(self, samples: Samples) -> Selection:
        """Give the live selection."""
        found = self.found
        if found is None or found.owner is not samples:
            found = self.found = samples.selection(self.namespace, self.name, self.matchers, self._patterns)
        return found


def is_open(selector: Selector) -> bool:
    """Tell whether only readings can say that there is such a name: no vocabulary has it."""
    return selector.metric is None or selector.metric.kind is Kind.UNKNOWN


def moved(t: Millis, now: Millis, offset: Millis, at: At | None) -> Millis:
    """Say which time a selector or subquery looks at. `@ start()` and `@ end()` are the moment of evaluation."""
    if at is None:
        return t - offset
    return (at.time if at.kind == "time" else now) - offset


def instant(looking: Looking, offset: Millis, at: At | None) -> VectorOf:
    """Give the newest sample of each series, no older than the lookback."""
    still = at is None and offset == 0

    def run(m: Moment, t: Millis) -> Vector:
        selection = looking.look(m.samples)
        if not still:
            t = moved(t, m.now, offset, at)
        if m.recall:
            return _recalled(selection, m, t)
        found: Vector = []
        for series in selection.series:
            if series.at <= t:
                if t < series.expires:
                    found.append((series.labels, series.last, series.name, False))
            elif (place := series.instant(t, m.samples.lookback)) >= 0 and not series.withheld(t):
                found.append((series.labels, series.values[place], series.name, False))
        m.spend(len(selection.series))
        if not found or t < selection.space.bad_until:
            m.gaps += selection.gaps(t, open_=looking.open)
        return found

    return run


def timestamps(looking: Looking, offset: Millis, at: At | None) -> VectorOf:
    """`timestamp(selector)`: when each newest sample was true, in seconds."""

    def run(m: Moment, t: Millis) -> Vector:
        selection = looking.look(m.samples)
        t = moved(t, m.now, offset, at)
        found: Vector = []
        for series in selection.series:
            place = series.instant(t, m.samples.lookback)
            if place >= 0 and not series.withheld(t):
                found.append((series.labels, series.times[place] / 1000, series.name, True))
        m.spend(len(selection.series))
        if not found or t < selection.space.bad_until:
            m.gaps += selection.gaps(t, open_=looking.open)
        return found

    return run


def _recalled(selection: Selection, m: Moment, t: Millis) -> Vector:
    """Give the last value of each series that is not long gone, ended or not."""
    horizon = t - m.samples.lookback - m.samples.vanish_after
    return [
        (series.labels, series.last, series.name, False)
        for series in selection.series
        if horizon < series.at <= t or (series.received and horizon < series.received[-1] <= t)
    ]


def stretch(looking: Looking, window: Millis, offset: Millis, at: At | None) -> RangesOf:
    """Give the samples in `(end - window, end]` of each series."""
    still = at is None and offset == 0

    def run(m: Moment, t: Millis) -> Ranges:
        selection = looking.look(m.samples)
        end = t if still else moved(t, m.now, offset, at)
        start = end - window
        wary = end < selection.space.bad_until
        found = []
        for series in selection.series:
            low, high = series.bounds(start, end)
            if low < high and not (wary and not m.recall and series.withheld(end)):
                found.append(Stretch(series.labels, series.name, False, series, low, high))  # noqa: FBT003  hot: by position
        m.spend(2 * len(selection.series))
        if wary or not found:
            m.gaps += selection.gaps(end, open_=looking.open)

        def shortage(least: int) -> Sequence[Gap]:
            return selection.short(start, end, least)

        return Ranges(found, start, end, len(selection.series), shortage)

    return run


def subquery(of: VectorOf, window: Millis, step: Millis, offset: Millis, at: At | None) -> RangesOf:
    """Evaluate an expression at each multiple of `step` in `(end - window, end]`."""

    def run(m: Moment, t: Millis) -> Ranges:
        end = moved(t, m.now, offset, at)
        start = end - window
        series: dict[tuple[Labels, str], tuple[Points, bool]] = {}
        for moment in range((start // step + 1) * step, end + 1, step):
            entries = of(m, moment)
            m.spend(8 + 2 * len(entries))
            if len(entries) > 1:
                finished(entries)
            for labels, value, name, dropped in entries:
                known = series.get((labels, name))
                if known is None:
                    known = (Points(), dropped)
                    series[labels, name] = known
                known[0].push(moment, value)
        m.gaps = _distinct(m.gaps)
        stretches = [
            Stretch(labels, name, dropped, points, 0, len(points.times))
            for (labels, name), (points, dropped) in series.items()
        ]
        return Ranges(stretches, start, end)

    return run


def _distinct(gaps: list[Gap]) -> list[Gap]:
    """Keep one of each: every step of a subquery meets the same failing target."""
    return list(dict.fromkeys(gaps)) if len(gaps) > 1 else gaps


def absent_labels(matchers: Sequence[Matcher]) -> dict[str, str]:
    """Build the labels of `absent(selector)`: those that the selector pins to one value."""
    pinned: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.name == NAME:
            continue
        if matcher.op == "=" and matcher.name not in seen:
            pinned[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            pinned.pop(matcher.name, None)
    return pinned
