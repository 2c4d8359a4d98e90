"""How fast a receiver may be sent to: a token bucket, as a number that is moved on.

The law. In no stretch of the rate's own length does the receiver see more messages than the rate allows, whether it
counts by a sliding window or by the distance between two. A sixth of them may come at once, so that a page does not
wait behind others; the rest is spread, in whole milliseconds. A message counts again only from when its answer came:
before that nobody knows when the receiver has counted it.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alerting.model import Millis

OFF = "off"
_UNITS: dict[str, Millis] = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_BURST = 6  # this part of a rate may come at once


class Pace(NamedTuple):
    """So many at once, and one more each `every` ms."""

    burst: int
    every: Millis


def pace_of(rate: str) -> Pace | None:
    """Read `1/s`, `120/m`, `off` (None), as the schema takes them."""
    if rate == OFF:
        return None
    number, _, unit = rate.partition("/")
    most, length = int(number), _UNITS[unit]
    burst = max(1, most // _BURST)
    return Pace(burst, ceil(length / (most - burst if burst > 1 else most)))


def room(pace: Pace, paid_until: Millis, now: Millis) -> int:
    """Give how many may be sent now. `paid_until`: when the bucket is full again; 0: it is."""
    return max(0, pace.burst + min(0, now - paid_until) // pace.every)


def wait(pace: Pace, paid_until: Millis, now: Millis) -> Millis:
    """Give how long it is until one may be sent; 0: now."""
    return max(0, paid_until - (pace.burst - 1) * pace.every - now)


def taken(pace: Pace, paid_until: Millis, now: Millis, number: int) -> Millis:
    """Give `paid_until` after so many were taken."""
    return max(paid_until, now) + number * pace.every


def answered(pace: Pace, paid_until: Millis, now: Millis) -> Millis:
    """Give `paid_until` after an answer came."""
    return max(paid_until, now + pace.every)
