"""How old a stamp is beside a wall that steps."""

from __future__ import annotations

import pytest

from alerting.core.wall import Wall

S, M, H = 1_000, 60_000, 3_600_000
BEGAN = 1_700_000_000_000

CASES = [
    ("a wall that does not step", (), BEGAN + 10 * M, 50 * M),
    ("set back and put right: from before", ((20 * M, -24 * H), (40 * M, 24 * H)), BEGAN + 10 * M, 50 * M),
    ("from in between", ((20 * M, -24 * H), (40 * M, 24 * H)), BEGAN + 30 * M - 24 * H, 30 * M),
    ("from after", ((20 * M, -24 * H), (40 * M, 24 * H)), BEGAN + 50 * M, 10 * M),
    (
        "set ahead and put right: from in between",
        ((20 * M, 24 * H), (40 * M, -24 * H)),
        BEGAN + 30 * M + 24 * H,
        30 * M,
    ),
    ("set ahead for good: from before", ((20 * M, 24 * H),), BEGAN + 10 * M, 50 * M),
    ("two moments that showed the same: the later", ((20 * M, -10 * M),), BEGAN + 15 * M, 35 * M),
    ("before this process began", (), BEGAN - 5 * H, 6 * H),
    ("before it began, and the wall was set ahead", ((20 * M, 24 * H),), BEGAN - 5 * H, 6 * H),
    ("before it began, and the wall was set back", ((20 * M, -2 * H),), BEGAN - 5 * H, 4 * H),
    ("from what lies ahead", (), BEGAN + 3 * H, -2 * H),
]


@pytest.mark.parametrize(("steps", "stamp", "age"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_stamp_is_as_old_as_the_time_says_that_only_runs_on(
    steps: tuple[tuple[int, int], ...], stamp: int, age: int
) -> None:
    """An hour of looks, one in ten seconds."""
    wall = Wall(0, BEGAN)
    for now in range(0, H + 1, 10 * S):
        wall.note(now, BEGAN + now + sum(by for at, by in steps if at <= now))
    assert wall.age(stamp) == age


def test_a_wall_that_is_slowed_down_has_not_stepped() -> None:
    """Half a second at each look, an hour in all: what was stamped a minute ago is a minute old."""
    wall, now, shown = Wall(0, BEGAN), 0, BEGAN
    for _ in range(7_200):
        now, shown = now + 10 * S, shown + 10 * S - S // 2
        wall.note(now, shown)
    assert wall.age(shown - M) == M
    assert len(wall._stretches) == 1


def test_of_a_wall_that_steps_without_end_the_newest_stretches_are_known() -> None:
    """A day there and back each minute: memory is bounded, and what is a minute old is a minute old."""
    wall, shown = Wall(0, BEGAN), BEGAN
    for number in range(1, 1_000):
        shown += M + (24 * H if number % 2 else -24 * H)
        wall.note(number * M, shown)
    assert len(wall._stretches) == 16
    assert wall.age(shown - M - 10) == M + 10
