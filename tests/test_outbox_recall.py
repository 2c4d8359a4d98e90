"""Calling back, from the value to the receiver's ledger: what waits when a silence or a window begins."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.pace import pace_of
from alerting.core.telling import keeping
from alerting.core.telling.calendar import Calendar
from alerting.lane import Terms
from alerting.model import Ack, Answer, Escalation, Matcher, Outcome, Route, Silence, TimeSpan
from tests.clock import FakeClock
from tests.sending import RETRY, Receiver
from tests.store.made import OK, balance
from tests.street import H, M, S, Street
from tests.tick import rule

if TYPE_CHECKING:
    from alerting.model import Millis

MIDNIGHT = 1_700_006_400_000  # 2023-11-15, in UTC


def hush(
    clock: FakeClock, label: str = "alertname", value: str = "High", lasts: Millis = 10 * M
) -> dict[str, str | None]:
    """A silence that begins now."""
    now = clock.now()
    silence = Silence("s1", (Matcher(label, "=", value),), now, now + lasts, "ann", "deploy", now)
    return {keeping.silence_name("s1"): keeping.silence_text(silence)}


def told(receiver: Receiver) -> list[list[tuple[str, str]]]:
    """Say what a receiver took of the rules' own alerts: the labels and the step of each."""
    return [
        [
            (each.labels.get("a", ""), str(each.step))
            for each in (*message.firing, *message.resolved)
            if each.name == "High"
        ]
        for message in receiver.ledger
        if any(each.name == "High" for each in (*message.firing, *message.resolved))
    ]


async def silenced(street: Street, texts: dict[str, str | None]) -> None:
    """Do as the command does."""
    await street.engine.take(texts)
    await street.tick(street.app.values, 0)


def test_of_a_group_only_what_is_silenced_is_called_back() -> None:
    """The rest goes out at once when the receiver is back; the others follow when the silence is over."""

    async def story() -> None:
        chat = Receiver(FakeClock(), "chat", otherwise=RETRY)
        street = await Street(rule(notify=("chat",)), people=[chat], silence_warning=0).open()
        await street.tick({"1": 20, "2": 20})
        await silenced(street, hush(chat.clock, "a", "1"))
        chat.otherwise = OK
        await chat.clock.advance(M)
        assert told(chat) == [[("2", "firing")]]
        await street.tick({"1": 20, "2": 20}, 9 * M)
        assert told(chat)[1:] == [[("1", "firing"), ("2", "ongoing")]]
        assert balance(await street.counts()) == 0
        await street.end()

    asyncio.run(story())


def test_what_is_taken_out_of_a_folded_message_is_owed_again() -> None:
    """Though the message that the rest went out in was made for it: the ids of the two must not be one."""

    async def story() -> None:
        chat = Receiver(FakeClock(), "chat", otherwise=RETRY)
        street = await Street(rule(notify=("chat",)), people=[chat], silence_warning=0).open()
        await street.tick({"1": 20, "2": 5})
        await street.tick({"1": 20, "2": 20}, 2 * M)
        await chat.clock.advance(M)
        assert (await street.counts())["folded"] == 1
        await silenced(street, hush(chat.clock, "a", "2"))
        chat.otherwise = OK
        await street.tick({"1": 20, "2": 20}, M)
        assert told(chat) == [[("1", "firing")]]
        await street.tick({"1": 20, "2": 20}, H)
        assert told(chat)[1:] == [[("2", "firing"), ("1", "ongoing")]]
        await street.end()

    asyncio.run(story())


def test_what_waits_for_its_pace_is_called_back() -> None:
    """The first has gone out; the others are told when the silence is over, each once."""

    async def story() -> None:
        pager = Receiver(FakeClock(), "pager", stands_for="alert")
        terms = {"pager": Terms(pace=pace_of("1/m"))}
        street = await Street(rule(notify=("pager",)), people=[pager], terms=terms, silence_warning=0).open()
        values = {"1": 20, "2": 20, "3": 20}
        await street.tick(values)
        assert len(told(pager)) == 1
        await silenced(street, hush(pager.clock))
        await street.tick(values, 9 * M)
        assert len(told(pager)) == 1
        await street.tick(values, M)
        await pager.clock.advance(5 * M)
        assert sorted(told(pager)) == [[("1", "firing")], [("2", "firing")], [("3", "firing")]]
        await street.end()

    asyncio.run(story())


def test_a_window_that_opens_between_two_turns_stops_the_next_attempt() -> None:
    """No turn has seen it; the outbox asks just before it sends."""

    async def story() -> None:
        clock = FakeClock(MIDNIGHT + 8 * H - 30 * S)
        pager = Receiver(clock, "pager", otherwise=RETRY, stands_for="alert")
        calendar = Calendar({"w": (TimeSpan(times=((8 * 60, 9 * 60),)),)}, lambda _: UTC)
        muted = rule(notify=("pager",), mute_time_intervals=("w",))
        street = await Street(muted, people=[pager], calendar=calendar).open()
        await street.tick(20, 0)
        await clock.advance(29 * S)
        asked = len(pager.asked)
        pager.otherwise = OK
        await clock.advance(10 * M)
        assert (len(pager.asked), told(pager)) == (asked, [])
        counts = await street.counts()
        assert (counts["folded"], counts["pending"]) == (1, 0)
        await street.tick(20, H)
        assert told(pager) == [[("1", "firing")]]
        await street.end()

    asyncio.run(story())


def test_what_waits_longer_than_the_silence_is_called_back_all_the_same() -> None:
    """It does not hang on when the next attempt would be: what came and went within is not told after it."""

    async def story() -> None:
        pager = Receiver(FakeClock(), "pager", otherwise=Answer(Outcome.RETRY, "429", 20 * M), stands_for="alert")
        street = await Street(rule(notify=("pager",)), people=[pager], silence_warning=0).open()
        await street.tick(20)
        await silenced(street, hush(pager.clock, lasts=3 * M))
        assert (await street.counts())["folded"] == 1
        pager.otherwise = OK
        await street.tick(3, M)
        await street.tick(3, H)
        assert told(pager) == []
        await street.end()

    asyncio.run(story())


def test_what_fails_while_a_silence_begins_is_called_back_afterwards() -> None:
    """An attempt in flight is not called off; when it fails for sure, it was the last."""

    async def story() -> None:
        pager = Receiver(FakeClock(), "pager", otherwise=RETRY, takes=5 * S, stands_for="alert")
        street = await Street(rule(notify=("pager",)), people=[pager], silence_warning=0).open()
        await street.tick(20)
        await silenced(street, hush(pager.clock))
        await pager.clock.advance(6 * S)
        assert ((await street.counts())["folded"], len(pager.asked)) == (1, 1)
        pager.otherwise = OK
        await street.tick(3, M)
        await street.tick(3, H)
        assert told(pager) == []
        await street.end()

    asyncio.run(story())


@pytest.mark.parametrize("what", ["reminder", "escalation", "acknowledgement"])
def test_what_changed_since_the_page_is_called_back_too(what: str) -> None:
    """And told when the silence is over; but a reminder counts as made."""

    async def story() -> None:
        clock = FakeClock()
        chat, boss = Receiver(clock, "chat"), Receiver(clock, "boss", otherwise=RETRY)
        route = Route(("chat",), group_by=("alertname",), group_wait=0, group_interval=0, repeat_interval=4 * M)

        more: dict[str, Any] = {"escalate": (Escalation(4 * M, ("boss",)),)} if what == "escalation" else {}
        street = await Street(rule(notify=(), **more), people=[chat, boss], route=route, silence_warning=0).open()
        await street.tick(20)
        assert told(chat) == [[("1", "firing")]]
        chat.otherwise = RETRY
        if what == "acknowledgement":
            page, now = chat.ledger[0].firing[0], clock.now()
            ack = Ack(page.key, page.episode, "bob", now, now + H, page.severity)
            await silenced(street, {keeping.ack_name(page.key): keeping.ack_text(ack)})
        else:
            await street.tick(20, 4 * M)
        await silenced(street, hush(clock, lasts=3 * M))
        chat.otherwise = boss.otherwise = OK
        await street.tick(20, 2 * M)
        assert (len(told(chat)), told(boss)) == (1, [])
        await street.tick(20, M)
        await clock.advance(M)
        if what == "escalation":
            assert told(boss) == [[("1", "escalated")]]
        elif what == "acknowledgement":
            assert told(chat)[1:] == [[("1", "acknowledged")]]
        else:
            assert told(chat)[1:] == []
            await street.tick(20, M)
            assert told(chat)[1:] == [[("1", "reminder")]]
        await street.end()

    asyncio.run(story())


def test_a_fallback_is_told_of_nothing_that_is_silenced() -> None:
    """Neither of what waits nor of what was given up; what it was told instead is called back, and told again later."""

    async def story() -> None:
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=RETRY), Receiver(clock, "mail", otherwise=RETRY)
        terms = {"chat": Terms(late_after=M)}
        street = await Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=terms, silence_warning=0
        ).open()  # fmt: skip
        await street.tick(20)
        await street.tick(20, 2 * M)
        assert mail.asked
        await silenced(street, hush(clock))
        mail.otherwise = OK
        await street.tick(20, 8 * M)
        assert told(mail) == []
        await street.tick(20, 2 * M)
        await street.tick(20, 2 * M)
        assert told(mail) == [[("1", "firing")]]
        chat.otherwise = OK
        await street.tick(3, M)
        await clock.advance(M)
        assert told(mail)[1:] == [[("1", "resolved")]]
        await street.end()

    asyncio.run(story())


def test_what_may_have_arrived_is_tried_on_but_not_passed_on_while_it_is_silenced() -> None:
    """It counts as gone out to whom it was owed, and to nobody else."""

    async def story() -> None:
        clock = FakeClock()
        lost = Answer(Outcome.UNKNOWN, "no answer")
        chat, mail = Receiver(clock, "chat", otherwise=lost), Receiver(clock, "mail")
        terms = {"chat": Terms(late_after=M)}
        street = await Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=terms, silence_warning=0
        ).open()  # fmt: skip
        await street.tick(20)
        await silenced(street, hush(clock))
        await street.tick(20, 8 * M)
        assert (told(mail), (await street.counts())["folded"]) == ([], 0)
        assert chat.times[-1] > clock.monotonic() - M
        await street.tick(20, 2 * M)
        await clock.advance(M)
        assert told(mail) == [[("1", "firing")]]
        await street.end()

    asyncio.run(story())


@pytest.mark.parametrize("ends", [False, True])
def test_a_silence_that_nobody_was_there_to_see_begin_calls_back_as_well(ends: bool) -> None:
    """It was written beside a process that ran no more; the next one looks before it tells anything."""

    async def story() -> None:
        pager = Receiver(FakeClock(), "pager", otherwise=RETRY, stands_for="alert")
        street = await Street(rule(notify=("pager",)), people=[pager], silence_warning=0).open()
        await street.tick(20)
        await street.end()
        await street.store.keep(hush(pager.clock))
        pager.otherwise = OK
        await street.restart()
        await street.tick(3 if ends else 20, M)
        assert told(pager) == []
        await street.tick(3 if ends else 20, H)
        assert told(pager) == ([] if ends else [[("1", "firing")]])
        await street.end()

    asyncio.run(story())


def test_a_one_shot_command_calls_back_before_it_sends() -> None:
    """As `check` does: one turn, then what is owed is sent, once."""

    async def story() -> None:
        pager = Receiver(FakeClock(), "pager", otherwise=RETRY, stands_for="alert")
        street = Street(rule(notify=("pager",)), people=[pager], patient=False, silence_warning=0)
        await street.engine.open()
        street.engine.adopt(street.setup())
        for value, texts, answer in ((20, {}, RETRY), (20, hush(pager.clock), OK), (3, {}, OK)):
            await street.store.keep(texts)
            pager.otherwise = answer
            street.engine = street.new_engine()
            await street.engine.open()
            street.engine.adopt(street.setup())
            await street.tick(value, 30 * S)
            await pager.clock.run(asyncio.ensure_future(street.outbox.drain(10 * S)))
        assert told(pager) == []

    asyncio.run(story())
