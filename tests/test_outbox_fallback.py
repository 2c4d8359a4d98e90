"""What becomes of an alert whose receiver cannot be told: its fallback is told, and that the receiver is down."""

from __future__ import annotations

import asyncio

import pytest

from alerting.lane import Terms
from alerting.model import RECEIVER_DOWN, Answer, Outcome
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.full import rounds
from tests.sending import RETRY, Receiver
from tests.store.made import OK, balance
from tests.street import H, M, S, Street
from tests.tick import rule

REFUSED = Answer(Outcome.REFUSED, "channel_not_found")
LATE = {"chat": Terms(late_after=5 * M), "mail": Terms(late_after=5 * M)}


def about(ledger, name="High"):
    """What a receiver was told of one rule: (steps of its notices, note on the fallback), in order."""
    told = []
    for each in ledger:
        notices = [notice for notice in (*each.firing, *each.resolved) if notice.name == name]
        if notices:
            told.append(([f"{notice.step} {notice.labels.get('a', '')}".strip() for notice in notices], each.notes))
    return told


@pytest.mark.parametrize("stands_for", ["group", "alert"])
def test_f22_what_is_refused_goes_to_the_fallback_and_so_does_its_end(stands_for) -> None:
    """At once, once, with the reason; the end goes where the beginning went, under the same key."""

    async def main():
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=REFUSED), Receiver(clock, "mail", stands_for=stands_for)
        street = Street(rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE)
        await street.open()
        await street.tick(20.0)
        await clock.advance(10 * S)
        assert about(mail.ledger) == [(["firing 1"], ("chat could not be told: refused for good: channel_not_found",))]
        await street.tick(20.0)
        await street.tick(5.0)
        assert [steps for steps, _ in about(mail.ledger)] == [["firing 1"], ["resolved 1"]]
        keys = [
            each.group_key for each in mail.ledger if any(one.name == "High" for one in (*each.firing, *each.resolved))
        ]
        assert len(set(keys)) == 1
        assert mail.ledger[0].instead_of == ("chat",)
        counts = await street.counts()
        assert balance(counts) == 0
        assert counts["parked"] == 2  # that it fires, and that it is over: each once
        await street.end()

    asyncio.run(main())


def test_f22_what_is_late_goes_to_the_fallback_and_later_to_its_receiver() -> None:
    """Five minutes in vain: the fallback is told once. Back again, the receiver is told how things stand."""

    async def main():
        clock = FakeClock()
        chat = Receiver(clock, "chat", otherwise=lambda _: RETRY if clock.monotonic() < H else OK)
        mail = Receiver(clock, "mail")
        street = Street(rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE)
        await street.open()
        await street.tick(20.0)
        began = clock.monotonic()
        while not mail.ledger:
            await street.tick(20.0, 5 * S)
        assert 5 * M <= clock.monotonic() - began <= 5 * M + 20 * S
        for _ in range(10):
            await street.tick(20.0, M)
        assert len(about(mail.ledger)) == 1
        await street.tick(5.0)
        assert [steps for steps, _ in about(mail.ledger)] == [["firing 1"], ["resolved 1"]]
        await clock.advance(H)
        ((steps, notes),) = about(chat.ledger)
        assert steps == ["resolved 1"]
        assert notes[0].startswith("over before it could be told: High,")
        await street.end()

    asyncio.run(main())


@pytest.mark.parametrize("restarted", [False, True])
def test_f22_an_end_that_the_fallback_has_heard_is_not_passed_on_to_it(restarted) -> None:
    """It heard of the end directly: that its receiver could not be told is no news later, nor after a restart."""

    async def main():
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=RETRY), Receiver(clock, "mail")
        street = Street(rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE)
        await street.open()
        for value in (20.0,) * 12 + (5.0,):
            await street.tick(value)
        assert [steps for steps, _ in about(mail.ledger)] == [["firing 1"], ["resolved 1"]]
        if restarted:
            await street.end()
            await street.restart()
        for _ in range(30):
            await street.tick(5.0)
        assert [steps for steps, _ in about(mail.ledger)] == [["firing 1"], ["resolved 1"]]
        await street.end()

    asyncio.run(main())


def test_f22_nothing_goes_in_circles() -> None:
    """Two receivers that stand in for each other, both down: each gets what is its own, and the other's once."""

    async def main():
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=REFUSED), Receiver(clock, "mail", otherwise=REFUSED)
        fallback = {"chat": ["mail"], "mail": ["chat"]}
        street = Street(rule(notify=("chat",)), people=[chat, mail], fallback=fallback, terms=LATE)
        await street.open()
        await street.tick(20.0)
        for _ in range(20):
            await street.tick(20.0, M)
        high = [
            each for each in (await street.store.overview()).deliveries if each.notification.firing[0].name == "High"
        ]
        assert sorted(each.notification.receiver for each in high) == ["chat", "mail"]
        assert balance(await street.counts()) == 0
        await street.end()

    asyncio.run(main())


def test_f22_a_receiver_that_is_down_is_an_alert_on_another_one() -> None:
    """ReceiverDown names it and why, is told to others and never to itself, and ends with the next message told."""

    async def main():
        clock = FakeClock()
        chat = Receiver(clock, "chat", otherwise=lambda _: RETRY if clock.monotonic() < H else OK)
        mail, pager = Receiver(clock, "mail"), Receiver(clock, "pager", stands_for="alert")
        street = Street(rule(notify=("chat",)), people=[chat, mail, pager])
        await street.open()
        await street.tick(20.0)
        for _ in range(9):
            await street.tick(20.0)
        assert mail.ledger == pager.ledger == []
        for _ in range(2):
            await street.tick(20.0)
        for other in (mail, pager):
            (down,) = other.ledger
            assert down.firing[0].key.rule_id == f"{RECEIVER_DOWN}chat"
            assert down.firing[0].why == "chat cannot be told: 500"
        await street.restart()
        await street.tick(20.0)
        await clock.advance(H)
        await street.tick(20.0)
        for other in (mail, pager):
            assert [bool(each.firing) for each in other.ledger] == [True, False]
        assert all(notice.name == "High" for each in chat.ledger for notice in each.firing)
        await street.end()

    asyncio.run(main())


def test_f22_a_receiver_that_refuses_everything(figure) -> None:
    """200 alerts to a channel that is gone: the fallback has every one of them, and who could not be told."""

    async def main():
        clock, count = FakeClock(), rounds(200, full=2_000)
        chat, mail = (
            Receiver(clock, "chat", otherwise=REFUSED, stands_for="alert"),
            Receiver(clock, "mail", stands_for="alert"),
        )
        street = Street(
            rule(notify=("chat",), limit=count), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE
        )
        await street.open()
        await street.tick({str(number): 20.0 for number in range(count)})
        await clock.advance(M)
        told = [steps for steps, _ in about(mail.ledger)]
        figure("fallback told", 100 * len({str(steps) for steps in told}) / count, at_least=100, n=count, unit="%")
        assert sorted(map(str, told)) == sorted(str([f"firing {number}"]) for number in range(count))
        await street.tick({str(number): 20.0 for number in range(count)})
        assert [each.firing[0].key.rule_id for each in mail.ledger[count:]] == [f"{RECEIVER_DOWN}chat"]
        assert len(chat.asked) == count
        counts = await street.counts()
        assert (counts["parked"], counts["sent"], balance(counts)) == (count, count + 1, 0)
        await street.end()

    asyncio.run(main())


def test_f22_cron_tells_the_fallback_too() -> None:
    """Each run is a process of its own: what an earlier one could not send for five minutes is passed on and sent."""

    async def main():
        clock = FakeClock()
        chat, mail = Receiver(clock, "chat", otherwise=RETRY), Receiver(clock, "mail")
        street = Street(rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE)
        for run in range(3):
            await (street.open() if not run else street.restart())
            await street.end()  # nothing sends but the run itself
            await street.tick(20.0, 3 * M)
            sent = asyncio.ensure_future(street.outbox.drain(30 * S))
            await clock.run(sent)
            assert len(about(mail.ledger)) == (run == 2)
        assert {each.notification.receiver for each in sent.result() if each.state == "sent"} == {"mail"}
        assert about(mail.ledger) == [(["firing 1"], ("chat could not be told: 500",))]

    asyncio.run(main())


def test_a_lane_that_owes_nothing_asks_once_a_minute_what_is_late() -> None:
    """Nothing that is not owed can be late; what comes to be owed wakes it, and is looked at every five seconds."""

    class Counting(MemoryStore):
        asked = 0

        async def unheard(self, receiver, before):
            self.asked += receiver == "chat"
            return await super().unheard(receiver, before)

    async def main():
        clock, store = FakeClock(), Counting()
        fails = [OK]
        chat, mail = Receiver(clock, "chat", otherwise=lambda _: fails[0]), Receiver(clock, "mail")
        street = Street(
            rule(notify=("chat",)), people=[chat, mail], fallback={"chat": ["mail"]}, terms=LATE, store=store
        )
        await street.open()
        await street.tick(20.0)
        store.asked = 0
        await street.clock.advance(10 * M)
        assert 1 <= store.asked <= 11
        fails[0] = RETRY
        store.asked = 0
        await street.tick(5.0)
        await street.clock.advance(4 * M)
        assert store.asked >= 30
        assert not mail.ledger
        await street.clock.advance(M + 10 * S)
        assert [steps for steps, _ in about(mail.ledger)] == [["resolved 1"]]
        await street.end()

    asyncio.run(main())
