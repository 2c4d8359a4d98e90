"""Windows of time: whether one is open now, and when that may change.

The law: **the clock on the wall of the window's zone decides**, minute by minute. So where the clocks are put back,
what the doubled hour shows counts both times; where they are put forward, the hour that nobody sees opens nothing.
A stretch whose end is before its beginning goes on until the next day, and the day on which it began must fit.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date, tzinfo

    from alerting.model import Millis, TimeSpan

_MINUTE: Millis = 60_000
_DAY = 24 * 60  # minutes
_LOOKS = 64  # boundaries that `changes_at` looks at for a true change: a week of any usual window


class Calendar:
    """All windows by name, with their zones looked up."""

    __slots__ = ("_newest", "_windows")

    def __init__(self, intervals: Mapping[str, Sequence[TimeSpan]], zones: Callable[[str], tzinfo]) -> None:
        """Look up the zones; whatever `zones` raises for one that is not known is raised."""
        self._windows = {name: tuple((each, zones(each.zone)) for each in spans) for name, spans in intervals.items()}
        self._newest: tuple[int, frozenset[str]] = (-1, frozenset())  # a minute, and what is open in it

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a window of this name."""
        return name in self._windows

    def covers(self, name: str, now: Millis) -> bool:
        """Tell whether a window is open; one that is not known never is."""
        return any(
            _covers(span, datetime.fromtimestamp(now // 1000, zone)) for span, zone in self._windows.get(name, ())
        )

    def open_at(self, now: Millis) -> frozenset[str]:
        """Give the windows that are open. Any thread may ask; each turn does, so a minute is looked at once."""
        minute = now // _MINUTE
        newest = self._newest
        if newest[0] != minute:
            newest = self._newest = minute, frozenset(name for name in self._windows if self.covers(name, now))
        return newest[1]

    def changes_at(self, name: str, now: Millis) -> Millis | None:
        """Give the next moment at which the window opens or closes, or one before it; None: never again."""
        before, at = self.covers(name, now), now
        for _ in range(_LOOKS):
            found = [each for span, zone in self._windows.get(name, ()) if (each := _boundary(span, zone, at))]
            if not found:
                return None
            at = min(found)
            if self.covers(name, at) is not before:
                break
        return at


def _covers(span: TimeSpan, local: datetime) -> bool:
    if not span.times:
        return _fits_day(span, local)
    minute = local.hour * 60 + local.minute
    today = yesterday = False
    for start, end in span.times:
        if start < end:
            today = today or start <= minute < end
        else:
            today = today or minute >= start
            yesterday = yesterday or minute < end
    return (today and _fits_day(span, local)) or (yesterday and _fits_day(span, local.date() - timedelta(days=1)))


def _fits_day(span: TimeSpan, day: date) -> bool:
    return (
        (not span.weekdays or _within(span.weekdays, day.isoweekday() % 7))
        and (not span.days_of_month or _fits_date(span.days_of_month, day))
        and (not span.months or _within(span.months, day.month))
        and (not span.years or _within(span.years, day.year))
    )


def _within(ranges: Iterable[tuple[int, int]], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _fits_date(ranges: Iterable[tuple[int, int]], day: date) -> bool:
    """Tell whether a day of the month fits; negative numbers count from its end."""
    next_month = day.replace(day=28) + timedelta(days=4)
    after_last = (next_month - timedelta(days=next_month.day)).day + 1
    return any(
        (first if first > 0 else after_last + first) <= day.day <= (last if last > 0 else after_last + last)
        for first, last in ranges
    )


def _boundary(span: TimeSpan, zone: tzinfo, now: Millis) -> Millis | None:
    """Give the next moment at which what the span says of days or times, or the zone's offset, changes."""
    local = datetime.fromtimestamp(now // 1000, zone)
    if not any(span[:-1]):
        return None  # says nothing: always open
    if span.years and max(last for _, last in span.years) + 1 < local.year:
        return None  # over; the year after it still has the end of what began in its last night
    minute = local.hour * 60 + local.minute
    marks = {_DAY, *(mark for pair in span.times for mark in pair)}
    ahead = min(mark for mark in marks if mark > minute) - minute
    minute_began = now - now % _MINUTE  # every zone's offset is whole minutes nowadays
    return _same_offset(zone, now, minute_began + ahead * _MINUTE)


def _same_offset(zone: tzinfo, now: Millis, at: Millis) -> Millis:
    """Give `at`, or the moment before it at which the clocks are changed."""
    offset = datetime.fromtimestamp(now // 1000, zone).utcoffset()
    if datetime.fromtimestamp(at // 1000, zone).utcoffset() == offset:
        return at
    low, high = now // 1000, at // 1000  # seconds: the offset changes after low, at the latest at high
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high * 1000
