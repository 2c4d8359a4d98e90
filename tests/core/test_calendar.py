"""Windows of time: the clock on the wall decides, in every zone, and the next change is never missed."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.calendar import Calendar
from alerting.model import TimeSpan
from tests.full import rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.figures import Figure

MINUTE = 60_000
DAY = 1440  # minutes


def at(text: str) -> int:
    """Read a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def covers(span: TimeSpan, text: str) -> bool:
    """Ask for one moment."""
    return Calendar({"w": [span]}, ZoneInfo).covers("w", at(text))


def test_what_is_open_is_known_anew_with_each_minute() -> None:
    """Also where time goes back: a minute is looked at once, and no answer outlives it."""
    calendar = Calendar(
        {"noon": [TimeSpan(times=((12 * 60, 13 * 60),))], "night": [TimeSpan(times=((0, 60),))]}, ZoneInfo
    )
    noon = at("2026-11-24T12:00:00")
    asked = (noon - 1, noon, noon + MINUTE - 1, noon + 60 * MINUTE, noon + 720 * MINUTE, noon)
    assert [sorted(calendar.open_at(moment)) for moment in asked] == [[], ["noon"], ["noon"], [], ["night"], ["noon"]]


NIGHT = TimeSpan(times=((22 * 60, 6 * 60),), weekdays=((5, 5),))  # Friday night
LAST_DAYS = TimeSpan(days_of_month=((-2, -1),))


@pytest.mark.parametrize(
    ("span", "moment", "expected"),
    [
        (TimeSpan(times=((540, 1020),)), "2025-03-03T09:00", True),
        (TimeSpan(times=((540, 1020),)), "2025-03-03T16:59:59", True),
        (TimeSpan(times=((540, 1020),)), "2025-03-03T17:00", False),  # the end is not included
        (TimeSpan(times=((0, 1440),)), "2025-03-03T23:59", True),
        (TimeSpan(weekdays=((1, 5),)), "2025-03-02T12:00", False),  # a Sunday
        (TimeSpan(weekdays=((0, 0),)), "2025-03-02T12:00", True),
        (NIGHT, "2025-03-07T21:59", False),
        (NIGHT, "2025-03-07T22:00", True),  # Friday evening
        (NIGHT, "2025-03-08T05:59", True),  # and on into Saturday
        (NIGHT, "2025-03-08T06:00", False),
        (NIGHT, "2025-03-08T22:00", False),
        (NIGHT, "2025-03-07T03:00", False),  # that is Thursday's night
        (LAST_DAYS, "2025-02-26T12:00", False),
        (LAST_DAYS, "2025-02-27T12:00", True),
        (LAST_DAYS, "2024-02-28T12:00", True),
        (LAST_DAYS, "2024-02-27T12:00", False),
        (TimeSpan(days_of_month=((30, 31),)), "2025-02-28T12:00", False),
        (TimeSpan(days_of_month=((25, 31),)), "2025-02-28T12:00", True),
        (TimeSpan(days_of_month=((1, -1),)), "2025-02-28T12:00", True),
        (TimeSpan(months=((4, 6), (12, 12))), "2025-12-01T00:00", True),
        (TimeSpan(months=((4, 6), (12, 12))), "2025-07-01T00:00", False),
        (TimeSpan(years=((2024, 2025),)), "2025-12-31T23:59", True),
        (TimeSpan(years=((2024, 2025),)), "2026-01-01T00:00", False),
        (TimeSpan(times=((1380, 60),), years=((2025, 2025),)), "2026-01-01T00:59", True),  # its last night
        (TimeSpan(times=((540, 1020),), zone="Asia/Kathmandu"), "2025-03-03T03:14", False),
        (TimeSpan(times=((540, 1020),), zone="Asia/Kathmandu"), "2025-03-03T03:15", True),
        (TimeSpan(), "2025-03-03T03:15", True),
    ],
)
def test_a_window_is_open_while_all_that_it_says_fits(span: TimeSpan, moment: str, expected: bool) -> None:
    """Days, dates, months, years, times across midnight, zones."""
    assert covers(span, moment) is expected


def test_any_of_several_entries_opens_a_window_and_an_unknown_one_never_is() -> None:
    """A name that nobody knows keeps nothing back."""
    calendar = Calendar({"w": [TimeSpan(weekdays=((1, 1),)), TimeSpan(months=((3, 3),))], "none": []}, ZoneInfo)
    assert calendar.covers("w", at("2025-03-02T12:00"))
    assert not calendar.covers("w", at("2025-05-04T12:00"))
    assert not calendar.covers("none", 0)
    assert not calendar.covers("what", 0)
    assert "w" in calendar
    assert "what" not in calendar
    assert calendar.changes_at("what", 0) is None


@pytest.mark.parametrize(
    ("span", "moment", "expected"),
    [
        (TimeSpan(times=((540, 1020),)), "2025-03-03T08:59:30", "2025-03-03T09:00"),
        (TimeSpan(times=((540, 1020),)), "2025-03-03T09:00", "2025-03-03T17:00"),
        (TimeSpan(weekdays=((6, 6), (0, 0))), "2025-03-01T00:00", "2025-03-03T00:00"),
        (NIGHT, "2025-03-03T12:00", "2025-03-07T22:00"),
        (NIGHT, "2025-03-07T23:00", "2025-03-08T06:00"),
        (TimeSpan(times=((60, 240),), zone="Europe/Berlin"), "2025-03-30T00:00", "2025-03-30T02:00"),  # 2 h long
        (TimeSpan(times=((60, 240),), zone="Europe/Berlin"), "2025-10-25T23:00", "2025-10-26T03:00"),  # 4 h long
        (TimeSpan(times=((135, 165),), zone="Europe/Berlin"), "2025-10-26T00:20", "2025-10-26T00:45"),
        (TimeSpan(times=((135, 165),), zone="Europe/Berlin"), "2025-10-26T00:45", "2025-10-26T01:15"),  # again
    ],
)
def test_the_next_change_is_given_to_the_minute(span: TimeSpan, moment: str, expected: str) -> None:
    """Days ahead where it must be, and right where the clocks are changed."""
    found = Calendar({"w": [span]}, ZoneInfo).changes_at("w", at(moment))
    assert found is not None
    assert datetime.fromtimestamp(found / 1000, UTC).isoformat()[:16] == expected


def test_what_says_nothing_and_what_is_over_never_change() -> None:
    """So nobody looks at them again."""
    for span in (TimeSpan(), TimeSpan(years=((2020, 2021),), times=((0, 60),))):
        assert Calendar({"w": [span]}, ZoneInfo).changes_at("w", at("2025-03-03T12:00")) is None


# ------------------------------------------------------------------ every minute, by another way to count


def days_before(year: int, month: int, day: int) -> int:
    """Count the days from 1970 to a date, by counting the leap years."""
    lengths = [31, 29 if leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return sum(366 if leap(each) else 365 for each in range(1970, year)) + sum(lengths[: month - 1]) + day - 1


def leap(year: int) -> bool:
    """Tell whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def sunday(year: int, month: int, number: int) -> int:
    """Give the day (since 1970) of the first, second … Sunday of a month; 0: the last one."""
    first = days_before(year, month, 1)
    sundays = [
        day for day in range(first, first + 31) if day % 7 == 3 and day < days_before(*following(year, month), 1)
    ]
    return sundays[number - 1]


def following(year: int, month: int) -> tuple[int, int]:
    """Give the month after."""
    return (year + 1, 1) if month == 12 else (year, month + 1)


def berlin(year: int) -> Iterator[tuple[int, int]]:
    """When the clocks are changed, in minutes of UTC, and the offset from then on: the rule of the law."""
    yield sunday(year, 3, 0) * DAY + 60, 120
    yield sunday(year, 10, 0) * DAY + 60, 60


def new_york(year: int) -> Iterator[tuple[int, int]]:
    """The same."""
    yield sunday(year, 3, 2) * DAY + 120 + 300, -240
    yield sunday(year, 11, 1) * DAY + 120 + 240, -300


def st_johns(year: int) -> Iterator[tuple[int, int]]:
    """The same; half an hour beside the others."""
    yield sunday(year, 3, 2) * DAY + 120 + 210, -150
    yield sunday(year, 11, 1) * DAY + 120 + 150, -210


def lord_howe(year: int) -> Iterator[tuple[int, int]]:
    """The same; the clocks are changed by half an hour, in the other half of the year."""
    yield sunday(year, 4, 1) * DAY + 120 - 660, 630
    yield sunday(year, 10, 1) * DAY + 120 - 630, 660


def kathmandu(_year: int) -> Iterator[tuple[int, int]]:
    """Never changed."""
    return iter(())


ZONES: dict[str, tuple[int, Callable[[int], Iterable[tuple[int, int]]]]] = {  # offset at New Year, changes
    "Europe/Berlin": (60, berlin),
    "America/New_York": (-300, new_york),
    "America/St_Johns": (-210, st_johns),
    "Australia/Lord_Howe": (660, lord_howe),
    "Asia/Kathmandu": (345, kathmandu),
}
WINDOWS = {
    "day": TimeSpan(times=((540, 1020),), weekdays=((1, 5),)),
    "night": TimeSpan(times=((1350, 390),), weekdays=((5, 6),)),
    "the hour of the change": TimeSpan(times=((90, 150), (165, 180))),
    "around the turn of the month": TimeSpan(times=((0, 61), (1439, 1440)), days_of_month=((-1, -1), (1, 1))),
}
YEARS = (2024, 2025)  # one of them a leap year
START, END = days_before(2024, 1, 1) * DAY, days_before(2026, 1, 1) * DAY


def wall_minutes(span: TimeSpan) -> set[int]:
    """Give every minute of two years, as walls show them, that a window covers: counted day by day."""
    found: set[int] = set()
    for year in (YEARS[0] - 1, *YEARS, YEARS[-1] + 1):
        for month in range(1, 13):
            first, after = days_before(year, month, 1), days_before(*following(year, month), 1)
            for day in range(first, after):
                from_end, number = day - after, day - first + 1
                dates = {number, from_end}
                if span.days_of_month and not any(low in dates and low == high for low, high in span.days_of_month):
                    continue
                if span.weekdays and not any(low <= (day + 4) % 7 <= high for low, high in span.weekdays):
                    continue
                for low, high in span.times:
                    found.update(range(day * DAY + low, day * DAY + high + (DAY if high < low else 0)))
    return found


def compared(zone: str, minutes: Callable[[list[int]], Iterable[int]]) -> tuple[int, list[tuple[str, int]]]:
    """Compare both ways to count in one zone, at the minutes that are chosen; give their number and the differences."""
    offset, changes = ZONES[zone]
    steps = [(START, offset), *(change for year in YEARS for change in changes(year)), (END, 0)]
    calendar = Calendar({name: [span._replace(zone=zone)] for name, span in WINDOWS.items()}, ZoneInfo)
    expected = {name: wall_minutes(span) for name, span in WINDOWS.items()}
    offsets = {minute: now for (begin, now), (end, _) in pairwise(steps) for minute in minutes(list(range(begin, end)))}
    wrong = [
        (name, minute)
        for minute, now in offsets.items()
        for name in WINDOWS
        if calendar.covers(name, minute * MINUTE) is not (minute + now in expected[name])
    ]
    assert len(offsets) > 1000
    return len(offsets), wrong


def some(stretch: list[int]) -> list[int]:
    """Choose: all around a change of the clocks, few between."""
    return [*stretch[:200], *stretch[200:-200:613], *stretch[-200:]]


@pytest.mark.parametrize("zone", ZONES)
def test_f32_some_minutes_of_two_years_are_as_counted_by_hand(zone: str) -> None:
    """With rules of law for the clocks, and no library: all minutes around their changes, and some between."""
    assert compared(zone, some)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_f32_every_minute_of_two_years_is_as_counted_by_hand(zone: str, figure: Figure) -> None:
    """In full 1,052,640 minutes of each zone, four windows; in short every seventh, and all around the changes."""
    step = rounds(7, full=1)
    count, wrong = compared(zone, lambda stretch: [*stretch[:200], *stretch[200:-200:step], *stretch[-200:]])
    figure(f"differences in {zone}", len(wrong), at_most=0, n=count)


PAIRS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda pair: pair[0] != pair[1])
SPANS = st.builds(
    TimeSpan,
    times=st.lists(PAIRS, max_size=2).map(tuple),
    weekdays=st.lists(st.tuples(st.integers(0, 3), st.integers(3, 6)), max_size=1).map(tuple),
    days_of_month=st.lists(st.tuples(st.integers(1, 15), st.integers(-10, -1)), max_size=1).map(tuple),
    months=st.just(()),
    years=st.just(()),
    zone=st.sampled_from(sorted(ZONES)),
)


@given(st.lists(SPANS, min_size=1, max_size=2), st.integers(START, END - 60 * DAY), st.integers(0, 59_999))
def test_nothing_changes_before_the_moment_that_is_given(spans: list[TimeSpan], minute: int, beyond: int) -> None:
    """Whoever sleeps until then misses nothing, and it always comes."""
    calendar = Calendar({"w": spans}, ZoneInfo)
    now = minute * MINUTE + beyond
    before, change = calendar.covers("w", now), calendar.changes_at("w", now)
    if change is None:
        assert any(not any(span[:-1]) for span in spans)
        return
    assert change > now
    last = min(change, now + 3 * DAY * MINUTE)
    assert all(calendar.covers("w", moment) is before for moment in range(now, last, 31 * MINUTE))
    assert calendar.covers("w", last - 1) is before
