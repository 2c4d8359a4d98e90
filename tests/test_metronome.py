"""When the daemon looks at its batches: in time, and not without end at one that nobody takes up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from alerting.daemon import NextDue
from tests.clock import FakeClock

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def waits(due: list[int | None]) -> list[float]:
    """Ask the trigger again and again at one moment, with the engine's next times; give the waits in ms."""
    times = iter(due)
    engine: Any = SimpleNamespace(next_due=lambda: next(times))
    trigger = NextDue(engine, FakeClock())
    return [(trigger.get_next_fire_time(None, NOW) - NOW) / timedelta(milliseconds=1) for _ in due]


def test_it_is_looked_when_something_is_due_and_at_least_twice_a_minute() -> None:
    """Also when nothing is, or not for hours."""
    assert waits([700, 3, None, 7_200_000]) == [700, 5, 30_000, 30_000]


def test_a_beat_that_hangs_is_looked_after_ever_more_seldom() -> None:
    """From 5 ms to a second, and at once again when it was taken up."""
    assert waits([-1] * 12) == [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]
    assert waits([-1, -1, 40, -1]) == [5, 10, 40, 5]


def test_a_beat_that_is_always_late_is_run_at_once() -> None:
    """Where more is due than can be done, each look takes up something: that is no beat that hangs."""
    assert waits(list(range(-12, 0))) == [5] * 12
