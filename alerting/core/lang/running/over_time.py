"""Functions of a stretch of time: `rate`, `increase`, `*_over_time` and their like.

Each takes one series' samples in `(start, end]` and gives a number, or None where there are too few. They do
not grow with the window where `Points` can tell without walking: rate, increase, delta, resets, changes,
irate, idelta, gained, sum, avg, min, max, count, last, present. The others walk: quantile, stddev, stdvar (they need
every value), deriv and predict_linear (sums of products would have to be subtracted), peak (few buckets).
"""

from __future__ import annotations

from math import isinf, nan, sqrt
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.running.arithmetic import quantile, variance
from alerting.core.lang.running.gained import gained, untold
from alerting.core.windows import mean, total
from alerting.model import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.lang.running.values import Span, Stretch
    from alerting.model import Millis, Value


class OverTime(NamedTuple):
    """One function: how it is computed, how many samples it needs, whether the metric keeps its name."""

    compute: Callable[[Stretch, Span], Value | None]
    least: int = 1
    keeps_name: bool = False
    walks: bool = False  # goes through every sample of a window at each evaluation
    slides: bool = False  # goes through a window once, and again only where time goes back: in a subquery
    lacking: Callable[[Stretch, Span], Gap | None] | None = None  # says why there is no answer, where that is a gap


_NEAR = 1.1  # a window's edge counts as reached up to so many average distances between samples, as in Prometheus


def _extrapolated(stretch: Stretch, span: Span, *, counter: bool, rate: bool = False) -> float | None:
    """Work out what was gained in the whole window from the samples inside, by Prometheus' rules.

    The gain between the first and last sample (plus what a reset hid) is stretched to the window's edges
    where samples are near them, else by half a distance; a counter is not stretched below zero.
    """
    points, low, high = stretch.points, stretch.low, stretch.high
    if high - low < 2:  # noqa: PLR2004  a gain needs two
        return None
    times, values = points.times, points.values
    first: float = values[low]  # type: ignore[assignment]  # a text raises TypeError below
    gain = values[high - 1] - first  # type: ignore[operator]
    if counter:
        for fall in points.falls(low, high):
            gain += values[fall - 1]  # type: ignore[operator]
    covered = (times[high - 1] - times[low]) / 1000
    to_start = (times[low] - span.start) / 1000
    to_end = (span.end - times[high - 1]) / 1000
    apart = covered / (high - low - 1)
    near = apart * _NEAR
    if to_start >= near:
        to_start = apart / 2
    if counter and gain > 0 and first >= 0:
        to_zero = covered * (first / gain)
        to_start = min(to_start, to_zero)
    if to_end >= near:
        to_end = apart / 2
    factor = (covered + to_start + to_end) / covered
    return gain * (factor / ((span.end - span.start) / 1000) if rate else factor)


def _rate(stretch: Stretch, span: Span) -> float | None:
    return _extrapolated(stretch, span, counter=True, rate=True)


def _increase(stretch: Stretch, span: Span) -> float | None:
    return _extrapolated(stretch, span, counter=True)


def _delta(stretch: Stretch, span: Span) -> float | None:
    return _extrapolated(stretch, span, counter=False)


def _irate(stretch: Stretch, _: Span) -> float | None:
    points, high = stretch.points, stretch.high
    if high - stretch.low < 2:  # noqa: PLR2004
        return None
    last, before = points.values[high - 1], points.values[high - 2]
    gain = last if last < before else last - before  # type: ignore[operator]
    return gain / ((points.times[high - 1] - points.times[high - 2]) / 1000)  # type: ignore[operator]


def _idelta(stretch: Stretch, _: Span) -> float | None:
    values, high = stretch.points.values, stretch.high
    return None if high - stretch.low < 2 else values[high - 1] - values[high - 2]  # type: ignore[operator]  # noqa: PLR2004


def _line(stretch: Stretch, origin: Millis) -> tuple[float, float]:
    """Fit a straight line (least squares); slope per second, and the value at `origin`."""
    points, low, high = stretch.points, stretch.low, stretch.high
    values: list[float] = points.values[low:high]  # type: ignore[assignment]
    if all(value == values[0] for value in values):
        return (nan, nan) if isinf(values[0]) else (0.0, values[0] + 0.0)
    seconds = [(at - origin) / 1000 for at in points.times[low:high]]
    count = float(len(values))
    sum_x, sum_y = total(seconds), total(values)
    sum_xy = total(x * y for x, y in zip(seconds, values, strict=True))
    spread = total(x * x for x in seconds) - sum_x * sum_x / count
    slope = (sum_xy - sum_x * sum_y / count) / spread if spread else nan
    return slope, sum_y / count - slope * sum_x / count


def _deriv(stretch: Stretch, _: Span) -> float | None:
    if stretch.high - stretch.low < 2:  # noqa: PLR2004
        return None
    return _line(stretch, stretch.points.times[stretch.low])[0]


def _predict(stretch: Stretch, span: Span) -> float | None:
    if stretch.high - stretch.low < 2:  # noqa: PLR2004
        return None
    slope, now = _line(stretch, span.at)
    return slope * span.numbers[0] + now


def _values(stretch: Stretch) -> list[Value]:
    return stretch.points.values[stretch.low : stretch.high]


def _avg(stretch: Stretch, span: Span) -> float:
    whole = stretch.points.total(stretch.low, stretch.high, span.end - span.start)
    return mean(_values(stretch)) if isinf(whole) else whole / (stretch.high - stretch.low)


def _peak(stretch: Stretch, span: Span) -> float | None:
    """Give the highest sum over one D among the buckets that came in since the rule's last evaluation.

    Where none did (or it never ran) the newest D counts. The buckets of one D are those in the D before a
    bucket's end; a D that is not wholly covered by buckets is passed over.
    """
    found = peak_bucket(stretch, span)
    return None if found is None else found[0]


def peak_bucket(stretch: Stretch, span: Span) -> tuple[float, Millis] | None:
    """As `_peak`, with the end of the D that is the highest."""
    points, low, high = stretch.points, stretch.low, stretch.high
    times, values = points.times, points.values
    length = int(span.numbers[0] * 1000)
    received: Sequence[Millis] = getattr(points, "received", None) or times
    best: tuple[float, Millis] | None = None
    for place in range(high - 1, low - 1, -1):
        fresh = span.since is not None and span.since < received[place] <= span.at
        if best is not None and not fresh:
            break
        first = place
        while first > low and times[first - 1] > times[place] - length:
            first -= 1
        if length > _MINUTE * (place - first + 1):  # some minute of this D has no bucket
            continue
        events = total(values[first : place + 1])
        if best is None or events > best[0]:
            best = events, times[place]
    return best


def _unclosed(stretch: Stretch, _: Span) -> Gap:
    return Gap(f"too few closed buckets of {stretch.name} yet", stretch.labels)


_MINUTE = 60_000  # buckets are of one minute

FUNCTIONS: dict[str, OverTime] = {
    "rate": OverTime(_rate, 2),
    "increase": OverTime(_increase, 2),
    "delta": OverTime(_delta, 2),
    "irate": OverTime(_irate, 2),
    "idelta": OverTime(_idelta, 2),
    "deriv": OverTime(_deriv, 2, walks=True),
    "predict_linear": OverTime(_predict, 2, walks=True),
    "resets": OverTime(lambda each, _: float(each.points.fall_count(each.low, each.high))),
    "changes": OverTime(lambda each, _: float(each.points.turn_count(each.low, each.high))),
    "sum_over_time": OverTime(
        lambda each, span: each.points.total(each.low, each.high, span.end - span.start), slides=True
    ),
    "avg_over_time": OverTime(_avg, slides=True),
    "min_over_time": OverTime(
        lambda each, span: each.points.least(each.low, each.high, span.end - span.start), slides=True
    ),
    "max_over_time": OverTime(
        lambda each, span: each.points.most(each.low, each.high, span.end - span.start), slides=True
    ),
    "count_over_time": OverTime(lambda each, _: float(each.high - each.low)),
    "last_over_time": OverTime(lambda each, _: each.points.values[each.high - 1], keeps_name=True),
    "present_over_time": OverTime(lambda _each, _span: 1.0),
    "quantile_over_time": OverTime(lambda each, span: quantile(span.numbers[0], _values(each)), walks=True),
    "stddev_over_time": OverTime(lambda each, _: sqrt(variance(_values(each))), walks=True),
    "stdvar_over_time": OverTime(lambda each, _: variance(_values(each)), walks=True),
    "peak": OverTime(_peak, walks=True, lacking=_unclosed),
    "gained": OverTime(gained, lacking=untold),
}
