"""What is written for the fallback of a receiver: what it does not know yet, once, and never in circles."""

from __future__ import annotations

import pytest

from alerting.core.telling.fallback import Knowledge, passed_on, reasons
from alerting.model import Receiver
from tests.core.test_folding import AT, message, notice

PEOPLE = {
    "chat": Receiver("group", fallback=("mail", "pager", "gone", "chat")),
    "mail": Receiver("group", fallback=("chat",)),
    "pager": Receiver("alert"),
}


def passed(waiting, *, fires=True, knows=()):
    """What is written of these, where `knows` are the receivers that know everything."""
    knowledge = Knowledge("here", AT, lambda _: fires, lambda _, receiver: receiver in knows)
    return passed_on(waiting, "503", PEOPLE, knowledge)


def test_a_group_gets_one_message_and_a_pager_one_for_each_alert() -> None:
    """All that waits, as news, with who could not be told; receivers that do not exist are passed over."""
    mail, *pages = passed([message(notice("a")), message(notice("b"), notice("a", "ongoing"))])
    assert (mail.receiver, [each.step for each in mail.firing]) == ("mail", ["firing", "firing"])
    assert mail.notes == ("chat could not be told: 503",)
    assert [(each.receiver, each.firing[0].name) for each in pages] == [("pager", "High"), ("pager", "High")]
    assert len({each.group_key for each in pages}) == len({each.id for each in (mail, *pages)}) - 1 == 2
    assert {each.outcome for each in reasons([mail, *pages])} == {"told"}
    assert passed([message(notice("a"))], knows=("mail", "pager")) == []


@pytest.mark.parametrize("step", ["resolved", "firing"])
def test_what_is_over_goes_to_no_pager(step) -> None:
    """An end, or a beginning whose end is known by now: a channel reads of it, quietly."""
    found = passed([message(notice("a", step))], fires=False)
    assert [(each.receiver, each.loud, each.firing) for each in found] == [("mail", False, ())]
    assert bool(found[0].resolved) == (step == "resolved")
    assert any("over before it could be told" in each for each in found[0].notes) == (step == "firing")


def test_a_message_never_goes_back_to_where_it_came_from() -> None:
    """Not even to one that knows nothing of it."""
    back = message(notice("a"), receiver="mail", instead_of=("chat",))
    assert passed([back]) == []
    assert [each.instead_of for each in passed([message(notice("a"), instead_of=("mail",))])] == [("mail", "chat")]


def test_what_somebody_has_taken_on_wakes_no_pager() -> None:
    """A channel reads that it was taken on, or got better; that is no reason to page."""
    for step in ("acknowledged", "better"):
        assert [each.receiver for each in passed([message(notice("a", step))])] == ["mail"]


def test_what_a_group_is_told_for_another_stands_under_a_key_of_its_own() -> None:
    """A pager's key may be that of the fallback's own group: the end of the one must not end the other."""
    (mail, *_), (end, *_) = passed([message(notice("a"))]), passed([message(notice("a", "resolved"))], fires=False)
    assert mail.group_key == end.group_key != message(notice("a")).group_key
