"""What lasts is said when it begins, every five minutes, and when it is over."""

from __future__ import annotations

from alerting.core.lasting import AGAIN, Lasting

FULL = "the disk is full"


def test_a_trouble_that_lasts_is_said_at_once_and_every_five_minutes() -> None:
    """However often it is found meanwhile."""
    lasting = Lasting()
    said = [now for now in range(0, 3 * AGAIN, 1_000) if lasting.wrong("a tick", FULL, now)]
    assert said == [0, AGAIN, 2 * AGAIN]


def test_a_trouble_of_many_is_said_once_and_is_over_with_the_last_of_them() -> None:
    """Each batch and each lane finds the same full disk."""
    lasting = Lasting()
    assert [lasting.wrong(part, FULL, 0) for part in ("a", "b", "c")] == [True, False, False]
    assert [lasting.well(part) for part in ("a", "c", "b", "b")] == ["", "", FULL, ""]


def test_what_comes_back_is_said_anew() -> None:
    """It had ended in between, and that was said."""
    lasting = Lasting()
    assert lasting.wrong("a", FULL, 0)
    assert lasting.well("a") == FULL
    assert lasting.wrong("a", FULL, 1)


def test_another_trouble_of_the_same_part_is_said() -> None:
    """And it is the newer one that is over in the end."""
    lasting = Lasting()
    assert lasting.wrong("a", FULL, 0)
    assert lasting.wrong("a", "it is busy", 1)
    assert lasting.well("a") == "it is busy"
    assert lasting.well("never ill") == ""


def test_endless_different_troubles_do_not_fill_the_memory() -> None:
    """A text may hold a number that grows."""
    lasting = Lasting()
    for number in range(5_000):
        assert lasting.wrong("a", f"late by {number} s", number)
    assert len(lasting._said) <= 1_000
