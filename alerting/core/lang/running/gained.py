"""What a counter gained in a period: `error_count > 10 per minute`.

The model is Prometheus' `anchored` range: the change from the newest sample at or before the window's start (the
anchor) to the newest in it, resets as in `increase`, nothing stretched beyond what was read. So readings a minute
apart tell what happens per minute, where `increase(x[1m])` has one sample. Two things differ from the model:

- What was gained between the anchor and the first sample in the window counts by the share of that time that lies in
  the period up to the newest sample. 10 in 63 s are 9.5 per minute, and what was gained inside counts in full.
- Only neighbours are believed. An anchor more than one and a half periods (90 minutes at most) older than the sample
  after it is none: cron was late, but not left out. Without an anchor the samples inside speak for themselves where
  they cover half of the period, or two minutes, or where the source was read before and did not hold the series yet.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.needs import FARTHEST, farthest
from alerting.core.lang.syntax.printer import duration, period
from alerting.core.lang.units import format_value
from alerting.model import Gap

if TYPE_CHECKING:
    from alerting.core.history import Target
    from alerting.core.lang.running.values import Span, Stretch
    from alerting.core.windows import Points
    from alerting.model import Millis

_MINUTE: Millis = 60_000
_ENOUGH: Millis = 120_000  # of a long period, where no anchor is: rules are told of as blind after five minutes


class Gained(NamedTuple):
    """What was gained per period, and what that comes from: so many events in so many milliseconds."""

    per_period: float
    inside: float  # between the first and the last sample in the window
    time: Millis
    before: float = 0  # between the anchor and the first sample
    time_before: Millis = 0

    def seen(self) -> str:
        """Say what was seen, where that is not what is told: `10 in 1m3s`."""
        if self.per_period == self.inside + self.before:
            return ""
        if not self.time:
            return f"{format_value(self.before)} in {_seconds(self.time_before)}"
        inside = f"{format_value(self.inside)} in {_seconds(self.time)}"
        return f"{inside}, {format_value(self.before)} in the {_seconds(self.time_before)} before"


def gained(stretch: Stretch, span: Span) -> float | None:
    """Give what was gained per window; None where the samples do not tell. TypeError for a text."""
    found = gain_of(stretch, span)
    return None if found is None else found.per_period


def gain_of(stretch: Stretch, span: Span) -> Gained | None:
    """As `gained`, with what it comes from."""
    points, low, high = stretch.points, stretch.low, stretch.high
    times, length = points.times, span.end - span.start
    first, time = times[low], times[high - 1] - times[low]
    inside = _gain(points, low, high)
    if low and first - times[low - 1] <= farthest(length):
        before, time_before = _gain(points, low - 1, low + 1), first - times[low - 1]
        share = min(1.0, (length - time) / time_before)
        return Gained(inside + before * share, inside, time, before, time_before)
    if high - low > 1 and (time >= min(length // 2, _ENOUGH) or _began(stretch, farthest(length))):
        return Gained(inside, inside, time)
    return None


def untold(stretch: Stretch, span: Span) -> Gap | None:
    """Say why there is no answer, and what to do; None: the series is new, and nothing is known to be amiss."""
    points, low, high = stretch.points, stretch.low, stretch.high
    target, times, length = _target(points), points.times, span.end - span.start
    if target is None or _began(stretch, farthest(length)):
        return None
    per = f"what happens per {period(length)}"
    first = times[low]
    before = times[low - 1] if low else _read_before(target, first)
    if high - low > 1:
        why = f"only {_seconds(times[high - 1] - first)} of {target.source} were seen so far, too little for {per}"
    elif not before:
        why = f"one reading of {target.source} so far, and {per} takes two"
    else:
        longer = -(-(first - before) // _MINUTE) * _MINUTE
        advice = f", or write a number per {period(longer)}" if longer <= FARTHEST else ""
        why = (
            f"the last two readings of {target.source} are {_seconds(first - before)} apart, and {per} takes readings "
            f"at most {duration(farthest(length))} apart: have it read more often{advice}"
        )
    return Gap(why, target.labels)


def _gain(points: Points, low: int, high: int) -> float:
    """Add up what a counter gained from sample to sample; one that fell began again at 0."""
    values = points.values
    total: float = values[high - 1] - values[low]  # type: ignore[operator]  # a text raises TypeError
    for fall in points.falls(low, high):
        total += values[fall - 1]  # type: ignore[operator]
    return total


def _target(points: Points) -> Target | None:
    return getattr(points, "target", None)  # in rule tests of PromQL nobody reports a series


def _began(stretch: Stretch, near: Millis) -> bool:
    """Tell whether the series began, or began again, with its first sample in the window; yes where nobody reads it.

    Known from a reading shortly before that did not hold it.
    """
    points, low = stretch.points, stretch.low
    target, times = _target(points), points.times
    if target is None:
        return True
    first = times[low]
    if low and not any(times[low - 1] < end < first for end in getattr(points, "ends", ())):
        return False
    return target.fetched(first - near - 1, first - 1) > 0


def _read_before(target: Target, at: Millis) -> Millis:
    """Give when a target was last read before `at`; 0: that is not known."""
    place = bisect_left(target.fetches, at)
    return target.fetches[place - 1] if place else 0


def _seconds(time: Millis) -> str:
    return duration(round(time, -3))
