"""What lasts is said when it begins, every five minutes, and when it is over."""

from __future__ import annotations

from alerting.core.lasting import AGAIN, Lasting, kind_of

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


def test_the_kind_of_a_fault_is_its_type_and_its_way_not_its_text() -> None:
    """Raised again, it is the same; from another line or of another type, it is another."""

    def raised(error: Exception) -> Exception:
        try:
            raise error
        except type(error) as caught:
            return caught

    def elsewhere(error: Exception) -> Exception:
        try:
            raise error
        except type(error) as caught:
            return caught

    kept = KeyError("kept")
    first, again = kind_of(raised(kept)), kind_of(raised(kept))
    assert first == again == kind_of(raised(KeyError("another text")))
    assert len({first, kind_of(raised(ValueError("kept"))), kind_of(elsewhere(KeyError("kept")))}) == 3
    assert kind_of(KeyError("never raised")) == "KeyError at "
