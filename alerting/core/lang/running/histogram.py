"""Quantiles and fractions of classic histograms: cumulative counters with the upper bound in `le`."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import TYPE_CHECKING

from alerting.core.lang.running.values import Projection, mistyped

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.lang.running.values import Moment, ScalarOf, Vector, VectorOf
    from alerting.model import Labels, Millis

    Buckets = list[tuple[float, float]]

BUCKET = "le"
_TOLERANCE = 1e-12  # counts that differ by less are rounding, as in Prometheus
_SMALLEST = 2.2250738585072014e-308


def over_buckets(
    of: VectorOf,
    params: list[ScalarOf],
    measure: Callable[[list[float], Buckets], float],
    buckets_of: VectorOf | None = None,
) -> VectorOf:
    """Make a function of whole histograms: series of one name that differ in `le` alone belong together.

    `buckets_of` is asked when `of` holds no series with `le`: see `bucketed`.
    """
    project = Projection((BUCKET,), only=False)

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        numbers = [param(m, t) for param in params]
        if m.unknown(mark):
            return []
        histograms: dict[tuple[Labels, str], Buckets] = {}
        vector = of(m, t)
        if buckets_of is not None and not any(entry[0].get(BUCKET) for entry in vector):
            named = len(m.gaps)
            vector = buckets_of(m, t)
            if vector:  # the name stands for its buckets, so that it is not there itself is no gap
                del m.gaps[mark:named]
        m.spend(4 * len(vector))
        for labels, value, name, _ in vector:
            bound = _bound(labels.get(BUCKET))
            if bound is None:
                continue
            if isinstance(value, str):
                m.gaps.append(mistyped(labels, name, value))
                continue
            histograms.setdefault((project.of(labels), name), []).append((bound, value))
        if len(m.gaps) > mark:  # a histogram that lacks a bucket is none
            m.gaps[mark:] = [gap._replace(labels=gap.labels.without((BUCKET,))) for gap in m.gaps[mark:]]
            for gap in m.gaps[mark:]:
                for whole in [whole for whole in histograms if whole[0].includes(gap.labels)]:
                    del histograms[whole]
        return [(labels, measure(numbers, buckets), name, True) for (labels, name), buckets in histograms.items()]

    return run


def _bound(text: str) -> float | None:
    """Read `le`; series whose bound is not a number are passed over, as in Prometheus."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if isnan(bound) else bound


def quantile_of(numbers: list[float], buckets: Buckets) -> float:
    """Interpolate within the bucket that holds the quantile; NaN without `+Inf`, observations or a second bucket."""
    fraction = numbers[0]
    if isnan(fraction):
        return nan
    if not 0 <= fraction <= 1:
        return -inf if fraction < 0 else inf
    bounds, counts = _coalesced(buckets)
    if bounds[-1] != inf:
        return nan
    _ensure_rising(counts)
    if len(bounds) < 2 or counts[-1] == 0:  # noqa: PLR2004  +Inf alone says nothing
        return nan
    rank = fraction * counts[-1]
    place = next((place for place, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if place == len(counts) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - below
    share = (rank - below) / inside if inside else nan
    return start + (bounds[place] - start) * share


def fraction_of(numbers: list[float], buckets: Buckets) -> float:
    """Estimate which part of the observations lies between two values."""
    low, high = numbers
    bounds, counts = _coalesced(buckets)
    if bounds[-1] != inf or counts[-1] == 0 or isnan(low) or isnan(high):
        return nan
    if low >= high:
        return 0.0
    total = counts[-1]
    return (min(_rank(high, bounds, counts), total) - min(_rank(low, bounds, counts), total)) / total


def _rank(value: float, bounds: list[float], counts: list[float]) -> float:
    """Estimate how many observations are at most `value`."""
    start, below = (0.0 if bounds[0] > 0 else -inf), 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if start >= value:
            return below
        if value < bound:
            return count if start == -inf else below + (count - below) * (value - start) / (bound - start)
        start, below = bound, count
    return counts[-1]


def _coalesced(buckets: Buckets) -> tuple[list[float], list[float]]:
    """Sort by bound; different writings of one bound (`1` and `1e0`) are one bucket."""
    bounds: list[float] = []
    counts: list[float] = []
    for bound, count in sorted(buckets, key=lambda bucket: bucket[0]):
        if bounds and bounds[-1] == bound:
            counts[-1] += count
        else:
            bounds.append(bound)
            counts.append(count)
    return bounds, counts


def _ensure_rising(counts: list[float]) -> None:
    """Flatten decreases, and differences that are only rounding: rates of buckets scraped apart have both."""
    before = counts[0]
    for place in range(1, len(counts)):
        count = counts[place]
        if count != before and (count < before or _nearly(before, count)):
            counts[place] = before
        else:
            before = count


def _nearly(one: float, other: float) -> bool:
    if one == 0 or other == 0 or abs(one) + abs(other) < _SMALLEST:
        return abs(one - other) < _TOLERANCE * _SMALLEST
    return abs(one - other) / (abs(one) + abs(other)) < _TOLERANCE
