"""F29: an alert fires and ends, a silence or a window begins and ends, receivers go down and come back: in all orders.

What must be told is worked out by `Model`, which knows docs/telling.md and nothing of the code; what was told is read
from the receivers' ledgers.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import pytest

from alerting.core.telling import keeping
from alerting.core.telling.calendar import Calendar
from alerting.model import Answer, Matcher, Outcome, Silence, TimeSpan
from tests.clock import FakeClock
from tests.full import rounds, seed
from tests.sending import RETRY, Receiver
from tests.store.made import OK, balance
from tests.street import H, M, Street
from tests.tick import rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.figures import Figure

LOST = Answer(Outcome.UNKNOWN, "no answer")
EVENTS = ("fires", "ends", "hushed", "heard", "down", "up")  # the alert; what keeps it quiet; the receivers
SLOT = 2 * M  # between two events
MIDNIGHT = 1_700_006_400_000  # 2023-11-15, in UTC: slots are whole minutes of the clock on the wall


class Model:
    """What one receiver is to hear, in order; `lost`: while it is down nobody knows whether something has arrived."""

    def __init__(self, *, lost: bool, folds: bool) -> None:
        self.lost, self.folds = lost, folds
        self.fires = self.hushed = self.told = self.down = False
        self.heard: list[str] = []
        self.waits: list[str] = []  # what came to be owed while it was down

    def see(self, event: str) -> None:
        """Take an event."""
        if event in ("fires", "ends"):
            self.fires = event == "fires"
        elif event in ("hushed", "heard"):
            self.hushed = event == "hushed"
        else:
            self.down = event == "down"
        if event == "hushed" and "firing" in self.waits and not self.lost:  # it is called back, and its end with it
            self.waits, self.told = [], False
        if self.fires and not self.hushed and not self.told:
            self.told = True
            self.waits.append("firing")
        elif not self.fires and self.told:  # who was told hears of the end, silence or not
            self.told = False
            self.waits.append("resolved")
        if not self.down:  # what waited together is told together, where a message stands for a group
            self.heard += self.waits[-1:] if self.folds else self.waits
            self.waits = []


class Played(NamedTuple):
    """What came of one order."""

    wrong: Sequence[str]
    open: Sequence[str]
    within: int  # messages about firings that came within the silence


async def play(order: Sequence[str], how: str, down: Answer = RETRY) -> Played:
    """Play the six events in this order; then everything comes to rest: receivers up, silence over, alert over."""
    clock = FakeClock(MIDNIGHT + 8 * H)
    chat, pager = Receiver(clock, "chat"), Receiver(clock, "pager", stands_for="alert")
    rest = [event for event in ("up", "heard", "ends") if event not in order[order.index(_opposite(event)) :]]
    script = [*order, *rest]
    minute = 8 * 60 + 1
    slots = {event: minute + SLOT // M * at for at, event in enumerate(script)}
    begin = slots["hushed"]
    over = max(each for at, each in enumerate(range(minute, minute + 40, 2)) if script[at : at + 1] == ["heard"])
    if how == "window":
        calendar = Calendar({"w": (TimeSpan(times=((begin, over),)),)}, lambda _: UTC)
        street = Street(rule(mute_time_intervals=("w",)), people=[chat, pager], calendar=calendar)
    else:
        street = Street(rule(), people=[chat, pager], silence_warning=0)
    await street.open()
    lost = down is not RETRY
    models = {"chat": Model(lost=lost, folds=True), "pager": Model(lost=lost, folds=False)}
    value, within, hushed = 5.0, 0, False
    await street.tick(value, M)
    for event in script:
        if event in ("fires", "ends"):
            value = 20.0 if event == "fires" else 5.0
        elif event in ("down", "up"):
            chat.otherwise = pager.otherwise = down if event == "down" else OK
        elif how != "window" and event == "hushed":
            ends = MIDNIGHT + over * M if how == "expires" else clock.now() + 24 * H
            if ends > clock.now():
                await street.engine.take(hush(clock.now(), ends))
        elif how == "taken back":
            await street.engine.take({keeping.silence_name("s1"): None})
        hushed = {"hushed": True, "heard": False}.get(event, hushed)
        for model in models.values():
            model.see(event)
        before = {each: len(each.ledger) for each in (chat, pager)}
        await street.tick(value, 0)
        await street.tick(value, SLOT - 1)
        within += sum(hushed and "firing" in _said(each) for who, at in before.items() for each in who.ledger[at:])
        await clock.advance(1)
    await clock.advance(20 * M)
    wrong = []
    for receiver in (chat, pager):
        told = [what for message in receiver.ledger for what in _said(message)]
        if told != models[receiver.name].heard:
            wrong.append(f"{receiver.name} was told {told}, and not {models[receiver.name].heard}")
    open_: set[str] = set()
    for message in pager.ledger:
        open_ = open_ | {message.group_key} if message.firing else open_ - {message.group_key}
    assert balance(await street.counts()) == 0
    await street.end()
    return Played([f"{how}, {order}: {each}" for each in wrong], [f"{how}, {order}"] * len(open_), within)


def hush(now: int, ends: int) -> dict[str, str | None]:
    """Write the silence."""
    silence = Silence("s1", (Matcher("alertname", "=", "High"),), now, ends, "ann", "deploy", now)
    return {keeping.silence_name("s1"): keeping.silence_text(silence)}


def _opposite(event: str) -> str:
    at = EVENTS.index(event)
    return EVENTS[at - 1] if at % 2 else EVENTS[at + 1]


def _said(message: object) -> list[str]:
    """Say what a message says of the alert; that of a receiver which is down is another one."""
    parts = {"firing": message.firing, "resolved": message.resolved}  # type: ignore[attr-defined]
    return [what for what, notices in parts.items() for notice in notices if notice.name == "High"]


@pytest.mark.slow
def test_f29_silences_and_windows_hold_what_they_should_in_every_order(figure: Figure) -> None:
    """All 720 orders of six events, with a silence taken back, one that expires, and a window."""
    number = seed(29)
    cases = [(order, how) for how in ("taken back", "expires", "window") for order in permutations(EVENTS)]
    chosen = random.Random(number).sample(cases, rounds(60, len(cases)))
    outcomes = [asyncio.run(play(*case)) for case in chosen]
    wrong = [each for outcome in outcomes for each in outcome.wrong]
    open_ = [each for outcome in outcomes for each in outcome.open]
    print(*wrong[:20], *open_[:20], sep="\n")
    figure("wrong messages", len(wrong), at_most=0, n=len(chosen), seed=number)
    figure("incidents left open", len(open_), at_most=0, n=len(chosen), seed=number)
    within = sum(outcome.within for outcome in outcomes)
    figure("pages sent within a silence", within, at_most=0, n=len(chosen), seed=number)


@pytest.mark.slow
def test_f29_what_may_have_arrived_is_not_called_back(figure: Figure) -> None:
    """The same orders where no answer comes: the page counts as gone out, so it is tried on, and its end is told."""
    number = seed(129)
    cases = [(order, how) for how in ("taken back", "window") for order in permutations(EVENTS)]
    chosen = random.Random(number).sample(cases, rounds(30, len(cases)))
    outcomes = [asyncio.run(play(*case, LOST)) for case in chosen]
    wrong = [each for outcome in outcomes for each in (*outcome.wrong, *outcome.open)]
    print(*wrong[:20], sep="\n")
    figure("wrong messages where answers are lost", len(wrong), at_most=0, n=len(chosen), seed=number)
