"""Windows of time as they are written: Alertmanager's `time_intervals`, and times across midnight in addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.config.zones import find_zone
from alerting.core.lang.suggest import did_you_mean
from alerting.model import TimeSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.config.sections import Steps

    Trouble = Callable[[Steps, str, str], None]  # where (from the entry on), what is wrong, what to do

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_LAST_MONTH, _LAST_DATE, _SHORTEST_MONTH = 12, 31, 28
_LAST_YEAR = 9999
_WHOLE_DAY = 24 * 60  # minutes


class _Wrong(Exception):  # noqa: N818  not an error of ours: what an author must mend
    """What is wrong with what somebody wrote, what to do, and at which of its keys."""

    def __init__(self, message: str, hint: str = "", *below: str) -> None:
        super().__init__(message)
        self.hint = hint
        self.below = below


def span_of(entry: Mapping[str, Any], trouble: Trouble) -> TimeSpan:
    """Read one entry that fits the schema; what is wrong goes to `trouble` and is left out."""

    def ranges(key: str, read: Callable[[Any], tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        found = []
        for index, written in enumerate(entry.get(key) or ()):
            try:
                found.append(read(written))
            except _Wrong as error:
                trouble((key, index, *error.below), str(error), error.hint)
        return tuple(found)

    zone = entry.get("location") or "UTC"
    try:
        find_zone(zone)
    except ValueError as error:
        trouble(("location",), str(error), "")
        zone = "UTC"
    return TimeSpan(
        times=ranges("times", _times),
        weekdays=ranges("weekdays", _weekdays),
        days_of_month=ranges("days_of_month", _dates),
        months=ranges("months", _months),
        years=ranges("years", _years),
        zone=zone,
    )


def _times(written: Mapping[str, str]) -> tuple[int, int]:
    start, end = (_minute(written[key], key) for key in ("start_time", "end_time"))
    if start == end:
        raise _Wrong("this window ends when it begins", "write 00:00 and 24:00 for the whole day", "end_time")
    if start == _WHOLE_DAY:
        raise _Wrong("no window begins at 24:00", "write 00:00, of the day after", "start_time")
    return start, end


def _minute(written: str, key: str) -> int:
    hour, _, minute = written.partition(":")
    digits = len(hour) == len(minute) == len("00") and (hour + minute).isascii() and (hour + minute).isdigit()
    found = int(hour) * 60 + int(minute) if digits and int(minute) < 60 else _WHOLE_DAY + 1  # noqa: PLR2004  of a clock
    if found > _WHOLE_DAY:
        raise _Wrong(f"{written!r} is no time of the day", "write it such as 09:30, at most 24:00", key)
    return found


def _weekdays(written: str) -> tuple[int, int]:
    return _rising(written, *_pair(written, lambda text: _named(text, _DAYS, "no day of the week", 0)), _DAYS)


def _months(written: str | int) -> tuple[int, int]:
    def month(text: str) -> int:
        number = _whole(text, _MONTHS)
        if number is None:
            return _named(text, _MONTHS, "no month", 1)
        if not 1 <= number <= _LAST_MONTH:
            raise _Wrong(f"{text!r} is no month", "write 1 to 12, or the name")
        return number

    return _rising(written, *_pair(written, month), ("", *_MONTHS))


def _years(written: str | int) -> tuple[int, int]:
    def year(text: str) -> int:
        number = _whole(text)
        if number is None or not 1 <= number <= _LAST_YEAR:
            raise _Wrong(f"{text!r} is no year", "write such as 2026 or 2026:2028")
        return number

    return _rising(written, *_pair(written, year))


def _dates(written: str | int) -> tuple[int, int]:
    """Read days of the month; from the end of the month they count down from -1."""

    def day(text: str) -> int:
        number = _whole(text)
        if not number or abs(number) > _LAST_DATE:
            raise _Wrong(f"{text!r} is no day of a month", "write 1 to 31, or -1 to -31 from its end")
        return number

    first, last = _pair(written, day)
    if first < 0 < last:
        raise _Wrong(f"{written!r} begins at the end of the month and ends at its beginning", "write two ranges")
    earliest, latest = (each if each > 0 else _SHORTEST_MONTH + each for each in (first, last))
    if earliest > latest:
        raise _Wrong(f"{written!r} ends before it begins")
    return first, last


def _pair(written: str | int, read: Callable[[str], int]) -> tuple[int, int]:
    first, colon, last = str(written).lower().partition(":")
    return read(first.strip()), read((last if colon else first).strip())


def _rising(written: object, first: int, last: int, names: Sequence[str] = ()) -> tuple[int, int]:
    if first > last:
        both = f"write {names[first]}:{names[-1]} and {names[0] or names[1]}:{names[last]}" if names else ""
        raise _Wrong(f"{written!r} ends before it begins", both)
    return first, last


def _named(text: str, names: Sequence[str], wrong: str, begin: int) -> int:
    if text not in names:
        begun = [each for each in names if text and each.startswith(text)]
        near = f"write {begun[0]}" if begun else did_you_mean(text, names)
        raise _Wrong(f"{text!r} is {wrong}", near or f"write such as {names[1]}")
    return names.index(text) + begin


def _whole(text: str, names: Sequence[str] = ()) -> int | None:
    """Read a whole number; None: it is none, or one of the names."""
    digits = text.removeprefix("-")
    return int(text) if text not in names and digits.isascii() and digits.isdigit() and len(digits) < 6 else None  # noqa: PLR2004
