"""What is called back of messages that wait: pure, from the messages and from what is silenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.telling.digest import Announced
from alerting.core.telling.folding import folded, perhaps
from alerting.core.telling.muting import Held
from alerting.core.telling.recall import CalledBack, called_back
from alerting.core.telling.state import State
from alerting.model import Delivery, DeliveryState, Outcome, Step, Told
from tests.core.subjects import subject
from tests.store.made import key, notice, owed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.telling.routing import Subject
    from alerting.model import Notice, Notification

NOW = 1_700_000_100_000
SILENT = Held("silence", "silenced by ann: deploy", "s1", NOW + 60_000)
BEFORE = Told("k", NOW - 90_000, "warning")
REMINDED = BEFORE._replace(severity="critical")  # nothing but a reminder: as what is known of it now


def said(*firing: tuple[str, str], over: Sequence[str] = (), id_: str = "m1", **more: Any) -> Notification:
    """A message to one group: names with the step of each, and names that are over."""
    fires = tuple(notice(name, step) for name, step in firing)
    knew = {"firing": None, "ongoing": None, "reminder": REMINDED}
    known = tuple(each._replace(before=knew.get(each.step, BEFORE)) for each in fires)
    resolved = tuple(notice(name, "resolved") for name in over)
    return owed(id_)._replace(firing=known, resolved=resolved, **more)


def firing(name: str) -> Subject:
    """The alert of that name, which fires in its first episode."""
    made = subject(name)
    return made._replace(alert=made.alert._replace(key=key(name), episode=f"{name}-1"))


def asked(*waiting: Notification | Delivery, silent: str = "a", told: Sequence[str] = ("a", "b", "c")) -> CalledBack:
    """Ask which of these messages are called back, while the alerts of these names are silenced."""
    state = State()
    rows = [each if isinstance(each, Delivery) else Delivery(each) for each in waiting]
    state.announced = Announced({(key(name), "slack"): Told("k", NOW - 30_000, "critical") for name in told})
    state.notices = {key(name): notice(name) for name in told}
    state.subjects = {key(name): firing(name) for name in told}
    return called_back(rows, state, lambda each, _: SILENT if each.name in silent else None, NOW)


def left(found: CalledBack) -> list[Any]:
    """Say what is left of each message: names with their steps, or None."""
    return [
        None if each.whole else [(n.name, str(n.step)) for n in (*each.left.firing, *each.left.resolved)]
        for each in found.recalls
    ]


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ([said(("a", "firing"))], [None]),
        ([said(("b", "firing"))], []),
        ([said(("a", "firing"), ("b", "firing"))], [[("b", "firing")]]),
        ([said(("a", "firing"), ("c", "ongoing"))], [None]),
        ([said(("a", "firing"), over=["b"])], [[("b", "resolved")]]),
        ([said(("a", "ongoing"), ("b", "firing"))], []),
        ([said(("a", "reminder"))], [None]),
        ([said(("a", "worse"), ("b", "firing"))], [[("b", "firing"), ("a", "ongoing")]]),
        ([said(over=["a"])], []),
        ([said(("a", "firing")), said(over=["a"], id_="m2")], [None, None]),
        ([said(("a", "firing")), said(("a", "ongoing"), ("b", "firing"), id_="m2")], [None, [("b", "firing")]]),
        ([said(("a", "firing")), said(("a", "worse"), id_="m2")], [None, None]),
        ([said(("a", "firing"), announces=False)], []),
    ],
)
def test_what_is_silenced_is_taken_out_of_what_waits(waiting: list[Notification], expected: list[Any]) -> None:
    """The rest is said; what has nothing else to say is not sent."""
    assert left(asked(*waiting)) == expected


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(DeliveryState.CLAIMED, None), (DeliveryState.PENDING, Outcome.UNKNOWN), (DeliveryState.CLAIMED, Outcome.RETRY)],
)
def test_what_may_have_arrived_or_is_being_sent_has_gone_out(state: DeliveryState, outcome: Outcome | None) -> None:
    """Its end follows it, though that waits itself."""
    page = Delivery(said(("a", "firing")), state=state, outcome=outcome)
    assert left(asked(page, said(over=["a"], id_="m2"))) == []


def test_an_attempt_that_surely_failed_keeps_nothing() -> None:
    """The receiver answered that it took nothing."""
    page = Delivery(said(("a", "firing")), attempts=3, outcome=Outcome.RETRY)
    assert left(asked(page)) == [None]


def test_who_was_told_nothing_knows_nothing_and_what_fires_is_held() -> None:
    """As if it had come to be owed within the silence."""
    found = asked(said(("a", "firing")))
    (unsaid,) = found.unsaid
    assert (unsaid.receiver, unsaid.told) == ("slack", None)
    assert found.held == {(key("a"), "slack"): (Step.FIRING, SILENT)}
    (decision,) = found.decisions
    assert (decision.outcome, decision.stage, decision.why) == (
        "held", "silence", "called back before it was sent: silenced by ann: deploy",
    )  # fmt: skip
    (recall,) = found.recalls
    assert (recall.why, recall.left.id != "m1") == ("called back: silenced by ann: deploy", True)


def test_a_change_that_is_called_back_leaves_what_was_known_before() -> None:
    """It got worse, and nobody heard: it will be told when the silence is over, if it is so still."""
    found = asked(said(("a", "worse")))
    (unsaid,) = found.unsaid
    assert unsaid.told is not None
    assert (unsaid.told.severity, unsaid.told.at) == ("warning", NOW - 30_000)
    assert unsaid.notice is not None
    assert unsaid.notice.severity == "warning"


def test_a_reminder_that_is_called_back_counts_as_made() -> None:
    """The next one comes after its interval."""
    found = asked(said(("a", "reminder")))
    assert (found.unsaid, found.held) == ([], {})
    assert [(each.outcome, each.step) for each in found.decisions] == [("dropped", f"reminder-{BEFORE.at}")]


def test_what_has_come_and_gone_is_dropped() -> None:
    """Its page and its end waited; nobody is told of either."""
    found = asked(said(("a", "firing")), said(over=["a"], id_="m2"), told=())
    assert (found.unsaid, found.held) == ([], {})
    assert [(each.outcome, each.why) for each in found.decisions] == [
        ("dropped", "it was over before it was told: silenced by ann: deploy"),
    ]  # fmt: skip


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_folded_is_known_by_whether_it_may_have_been_heard(lost: bool) -> None:
    """A page and its end in one message: the end is told only if the page may have arrived."""
    page, end = said(("a", "firing")), said(("b", "firing"), over=["a"], id_="m2")
    told = folded([perhaps(page) if lost else page, end], "group").told
    assert left(asked(told, silent="ab")) == ([[("a", "resolved")]] if lost else [None])


def test_what_joins_a_message_that_may_have_arrived_can_still_be_called_back() -> None:
    """The page that may have been heard goes on, the other is taken out."""
    told = folded([perhaps(said(("a", "firing"))), said(("a", "ongoing"), ("b", "firing"), id_="m2")], "group").told
    assert left(asked(told, silent="ab")) == [[("a", "firing")]]


def test_what_was_told_in_anothers_place_may_be_told_so_again() -> None:
    """The fallback that was not told after all counts as one that does not know."""
    state = State()
    state.announced = Announced({(key("a"), "slack"): Told("k", NOW)})
    state.subjects, state.notices = {key("a"): firing("a")}, {key("a"): notice("a")}
    state.stand_ins = {(key("a"), "slack"): ("1", NOW)}
    hold: Callable[[Notice, str], Held | None] = lambda *_: SILENT  # noqa: E731  a callback of one line
    found = called_back([Delivery(said(("a", "better"), instead_of=("pager",)))], state, hold, NOW)
    assert found.stand_ins == [(key("a"), "slack")]
