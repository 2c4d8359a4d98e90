"""What calling back must not lose: ends that only a note told, news behind a reminder, what a fallback stood in for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.levels import Levels
from alerting.lane import Terms
from alerting.model import Answer, Escalation, Level, Outcome, Recall, Route, Rule
from alerting.ports import Change
from alerting.store import sqlite
from tests.clock import FakeClock
from tests.sending import RETRY, Receiver
from tests.store.made import AT, OK, balance, owed
from tests.street import H, M, S, Street
from tests.test_outbox_recall import hush, silenced, told
from tests.tick import Above, rule

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = Answer(Outcome.REFUSED, "400")
LOST = Answer(Outcome.UNKNOWN, "no answer")


def test_the_end_of_what_was_told_is_told_though_it_fired_again_and_that_is_called_back() -> None:
    """Folded, the end stood in a note of the message that is called back."""

    async def story() -> None:
        chat = Receiver(FakeClock(), "chat")
        street = await Street(rule(notify=("chat",)), people=[chat], silence_warning=0).open()
        await street.tick({"1": 20, "2": 20})
        assert told(chat) == [[("1", "firing"), ("2", "firing")]]
        chat.otherwise = RETRY
        await street.tick({"1": 5, "2": 20}, 6 * M)
        await street.tick({"1": 20, "2": 20}, 6 * M)
        await street.clock.advance(6 * M)
        assert (await street.counts())["folded"] == 1
        await silenced(street, hush(chat.clock, "a", "1"))
        chat.otherwise = OK
        await street.tick({"1": 5, "2": 20}, M)
        await street.tick({"1": 5, "2": 20}, H)
        assert told(chat)[1:] == [[("2", "ongoing"), ("1", "resolved")]]
        assert balance(await street.counts()) == 0
        await street.end()

    asyncio.run(story())


@pytest.mark.parametrize("behind", ["worse", "escalated"])
def test_what_is_news_behind_a_reminder_is_told_after_the_silence(behind: str) -> None:
    """The reminder counts as made; the news does not, folded into the reminder or waiting behind it."""

    async def story(folds: bool) -> None:
        clock = FakeClock()
        chat = Receiver(clock, "chat")
        route = Route(("chat",), group_by=("alertname",), group_wait=0, group_interval=0, repeat_interval=4 * M)
        more: dict[str, Any] = {"escalate": (Escalation(6 * M, ("chat",)),)} if behind == "escalated" else {}
        if behind == "worse":
            more["levels"] = (Level("warning", "v > 10"), Level("critical", "v > 30"))
        made = rule(notify=(), **more)
        if behind == "worse":
            conditions = [Above(10), Above(30)]
            made = Rule(made.spec, Levels(["warning", "critical"], conditions), conditions)
        street = await Street(made, people=[chat], route=route, silence_warning=0).open()
        await street.tick(20)
        chat.otherwise = RETRY
        await street.tick(20, 4 * M)
        value = 40 if behind == "worse" else 20
        await street.tick(value, 2 * M)
        if folds:
            await clock.advance(M)
        await silenced(street, hush(clock, lasts=3 * M))
        chat.otherwise = OK
        await street.tick(value, 3 * M)
        await clock.advance(M)
        print(told(chat))
        assert told(chat)[1:] == [[("1", behind)]]
        await street.end()

    for folds in (False, True):
        asyncio.run(story(folds))


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("kept", [REFUSED, LOST])
def test_what_a_fallback_was_told_and_is_called_back_is_told_after_the_silence(
    kept: Answer, on_disk: bool, tmp_path: Path
) -> None:
    """Its first receiver has given up, or may have it: it is not called back there, so nobody would tell it again."""

    async def story() -> None:
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=kept), Receiver(clock, "mail", otherwise=RETRY)
        terms = {"chat": Terms(late_after=M)}
        street = await Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=terms, silence_warning=0,
            store=sqlite.build("sqlite:///a.db", tmp_path) if on_disk else None,
        ).open()  # fmt: skip
        await street.tick(20)
        await street.tick(20, 2 * M)
        assert mail.asked
        await silenced(street, hush(clock))
        mail.otherwise = OK
        await street.tick(20, 8 * M)
        assert told(mail) == []
        await street.tick(20, 4 * M)
        await street.tick(20, 2 * M)
        assert told(mail) == [[("1", "firing")]]
        await street.end()

    asyncio.run(story())


def test_of_what_was_given_up_the_silenced_part_is_passed_on_afterwards() -> None:
    """The rest is passed on at once, and once."""

    async def story() -> None:
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=LOST), Receiver(clock, "mail")
        terms = {"chat": Terms(late_after=M)}
        street = await Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=terms, silence_warning=0
        ).open()  # fmt: skip
        values = {"1": 20, "2": 20}
        await street.tick(values)
        await silenced(street, hush(clock, "a", "1"))
        await street.tick(values, 5 * M)
        assert told(mail) == [[("2", "firing")]]
        await street.tick(values, 6 * M)
        await street.tick(values, 2 * M)
        assert told(mail)[1:] == [[("1", "firing")]]
        await street.end()

    asyncio.run(story())


def test_a_check_passes_on_afterwards_what_was_given_up_within_a_silence() -> None:
    """By then nothing is owed to its receiver any more; it is looked at all the same."""

    async def story() -> None:
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=LOST), Receiver(clock, "mail")
        terms = {"chat": Terms(late_after=M)}
        street = Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=terms,
            patient=False, silence_warning=0,
        )  # fmt: skip
        for answer, texts in ((LOST, {}), (REFUSED, hush(clock, lasts=9 * M)), (OK, {})):
            await street.store.keep(texts)
            chat.otherwise = answer
            street.engine = street.new_engine()
            await street.engine.open()
            street.engine.adopt(street.setup())
            await street.tick(20, 4 * M)
            await street.clock.run(asyncio.ensure_future(street.outbox.drain(50 * S)))
            assert answer is OK or told(mail) == []
        assert told(mail) == [[("1", "firing")]]

    asyncio.run(story())


def test_to_call_back_twice_as_many_messages_is_twice_the_work(tmp_path: Path) -> None:
    """Counted in steps of SQLite: a pager that was down for long may owe tens of thousands."""

    async def steps(count: int) -> int:
        store, seen = sqlite.build(f"sqlite:///{count}.db", tmp_path), 0

        def step() -> bool:
            nonlocal seen
            seen += 1
            return False

        await store.open()
        messages = [owed(f"m{at}", "pager", f"k{at}", f"a{at}")._replace(created=AT) for at in range(count)]
        await store.commit(Change(AT, notifications=messages))
        store._handle.ready().set_progress_handler(step, 100)
        recalled = [Recall(each.id, each._replace(id=f"{each.id}-1"), whole=True, why="silenced") for each in messages]
        await store.commit(Change(AT + 1, recalled=recalled))
        await store.close()
        return seen

    few, many = asyncio.run(steps(300)), asyncio.run(steps(600))
    assert 0 < many < 2.5 * few


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_receiver_that_is_down_does_not_count_as_well_because_what_it_was_owed_is_called_back(
    on_disk: bool, tmp_path: Path
) -> None:
    """Nothing has arrived since: whether it is well is not known until something does."""

    async def story() -> None:
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat"), Receiver(clock, "mail")
        store = sqlite.build("sqlite:///a.db", tmp_path) if on_disk else None
        street = await Street(rule(notify=("chat",)), people=[chat, mail], silence_warning=0, store=store).open()
        await street.tick(20)
        await street.tick(3, M)
        assert (await street.outbox.standing())["chat"] == ""
        chat.otherwise = RETRY
        await street.tick(20, M)
        await street.tick(20, 10 * M)
        assert (await street.outbox.standing())["chat"] == "500"
        await silenced(street, hush(clock))
        assert "chat" not in await street.outbox.standing()
        chat.otherwise = OK
        await street.tick(20, 20 * M)
        assert (await street.outbox.standing())["chat"] == ""
        await street.end()

    asyncio.run(story())
