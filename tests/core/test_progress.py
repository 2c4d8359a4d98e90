"""Promises and lateness, by a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.progress import Loop, wedged

TABLE = [
    ("back in time", Loop("a", 100), 100, []),
    ("late, but within the slack", Loop("a", 100), 150, []),
    ("too late", Loop("a", 100), 151, ["a"]),
    ("ended, however fresh its promise", Loop("a", 10_000, ended=True), 0, ["a"]),
]


@pytest.mark.parametrize(("loop", "now", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_loop_is_wedged_when_it_broke_its_promise(loop: Loop, now: int, expected: list[str]) -> None:
    """And only then; a wedge is what a restart mends."""
    found = wedged([loop], now, slack=50)
    assert [each.part for each in found] == expected
    assert all(each.wedged and each.why for each in found)


def test_a_part_is_named_once() -> None:
    """However many of its loops are late: two batches that hang are one evaluation that hangs."""
    assert [each.part for each in wedged([Loop("a", 0), Loop("a", 5), Loop("b", 0)], 1_000, slack=10)] == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.booleans())), st.integers(0, 300))
def test_later_never_makes_well(rows: list[tuple[str, int, bool]], now: int) -> None:
    """Without a new promise, what is wedged stays wedged."""
    loops = [Loop(*row) for row in rows]
    before, after = ({each.part for each in wedged(loops, at, slack=20)} for at in (now, now + 50))
    assert before <= after
