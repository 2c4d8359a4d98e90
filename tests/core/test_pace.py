"""How fast a receiver may be sent to: never more in a window than the rate says, and not much less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.pace import Pace, answered, pace_of, room, taken, wait


@pytest.mark.parametrize(
    ("rate", "is_"),
    [
        ("off", None),
        ("1/s", Pace(1, 1_000)),
        ("30/m", Pace(5, 2_400)),
        ("120/m", Pace(20, 600)),
        ("1/h", Pace(1, 3_600_000)),
        ("10/s", Pace(1, 100)),
    ],
)
def test_a_rate_is_read(rate, is_) -> None:
    """A sixth may come at once, the rest is spread over what is left."""
    assert pace_of(rate) == is_


@given(
    number=st.integers(1, 400),
    unit=st.sampled_from((("s", 1_000), ("m", 60_000))),
    delays=st.lists(st.integers(0, 900), min_size=1, max_size=60),
    pauses=st.lists(st.integers(0, 120_000), max_size=5),
)
def test_no_window_holds_more_than_the_rate(number, unit, delays, pauses) -> None:
    """Law: whatever the answers take and whenever it was idle, the receiver sees at most N in any N/unit."""
    name, length = unit
    pace = pace_of(f"{number}/{name}")
    now, paid, seen, idle = 0, 0, [], list(pauses)
    for count in range(2 * number if number < 60 else 120):
        now += wait(pace, paid, now)
        assert room(pace, paid, now) >= 1
        paid = taken(pace, paid, now, 1)
        delay = delays[count % len(delays)]
        seen.append(now + delay // 2)  # it arrives on the way there
        now += delay
        paid = answered(pace, paid, now)
        if idle and count % 7 == 6:
            now += idle.pop()
    for first, at in enumerate(seen):
        assert sum(at <= each < at + length for each in seen[first:]) <= number


def test_it_is_not_slow() -> None:
    """120 a minute with quick answers: a hundred a minute at least, and twenty at once."""
    pace, now, paid = pace_of("120/m"), 0, 0
    assert room(pace, paid, now) == 20
    for _ in range(1_000):
        now += wait(pace, paid, now)
        paid = answered(pace, taken(pace, paid, now, 1), now + 50)
    assert 1_000 / (now / 60_000) >= 100
