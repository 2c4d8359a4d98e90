"""The outbox over real stores, with receivers that behave as receivers do, on a clock that tests move."""

from __future__ import annotations

import asyncio
import random

import pytest

from alerting.core.backoff import Limits
from alerting.errors import StoreError
from alerting.model import Answer, DeliveryState, Outcome
from alerting.outbox import Outbox
from alerting.ports import Change
from alerting.store import sqlite
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.store.made import OK, balance, owed

RETRY = Answer(Outcome.RETRY, "500")
HOUR = 3_600_000


class Receiver:
    """A notifier that keeps a ledger of what it was asked and answers by a script, then `otherwise`."""

    stands_for = "group"

    def __init__(self, clock, name="slack", script=(), otherwise=OK, takes=0):
        self.name, self.clock, self.takes = name, clock, takes
        self.script, self.otherwise = list(script), otherwise
        self.asked = []  # (time, notification id, previous receipt)
        self.closed = False

    async def deliver(self, notification, previous):
        self.asked.append((self.clock.monotonic(), notification.id, previous))
        answer = self.script.pop(0) if self.script else self.otherwise
        if callable(answer):
            answer = answer(notification)
        if self.takes:
            await self.clock.sleep(self.takes)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def close(self):
        self.closed = True

    @property
    def ids(self):
        return [each[1] for each in self.asked]

    @property
    def times(self):
        return [each[0] for each in self.asked]


class Failing(MemoryStore):
    """A store that refuses some calls, as a full disk does: `broken` names the methods."""

    def __init__(self):
        super().__init__()
        self.broken = set()
        self.calls = []

    def _check(self, name):
        self.calls.append(name)
        if name in self.broken:
            raise StoreError("the state is full")

    async def settle(self, delivery):
        self._check("settle")
        await super().settle(delivery)

    async def claim(self, *arguments):
        self._check("claim")
        return await super().claim(*arguments)

    async def owing(self):
        self._check("owing")
        return await super().owing()

    async def previous_receipt(self, *arguments):
        self._check("previous_receipt")
        return await super().previous_receipt(*arguments)


class Bench:
    """An outbox with what it stands between."""

    def __init__(self, *receivers, store=None, clock=None, **options):
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.settled, self.troubles = [], []
        self.outbox = Outbox(
            self.store,
            {each.name: each for each in receivers},
            self.clock,
            random.Random(7).random,
            on_settled=self.settled.append,
            on_trouble=self.troubles.append,
            **options,
        )
        self.stop = asyncio.Event()

    async def owe(self, *notifications):
        created = [each._replace(created=self.clock.now()) for each in notifications]
        await self.store.commit(Change(self.clock.now(), notifications=created))
        for receiver in {each.receiver for each in notifications}:
            self.outbox.wake(receiver)

    async def start(self):
        await self.store.open()
        self.task = asyncio.ensure_future(self.outbox.run(self.stop))
        await self.clock.advance(0)

    async def end(self):
        self.stop.set()
        await self.clock.run(self.task)
        await self.task
        assert balance((await self.store.overview()).counts) == 0

    async def counts(self):
        return (await self.store.overview()).counts


def many(count, receiver="slack", keys=None):
    """So many messages to one receiver, of so many group keys (each its own, where not said)."""
    return [owed(f"{receiver}-{n}", receiver, f"k{n % keys if keys else n}") for n in range(count)]


def test_what_is_owed_is_sent_once_in_order_and_recorded() -> None:
    """Each message leaves once, oldest first; its receipt is kept and given to the next of its key."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(5, keys=2))
        await clock.advance(100)
        assert slack.ids == [f"slack-{n}" for n in range(5)]
        assert [each[2] for each in slack.asked] == [None, None, *[OK.receipt] * 3]
        assert [each.state for each in bench.settled] == [DeliveryState.SENT] * 5
        assert (await bench.counts())["sent"] == 5
        await bench.end()

    asyncio.run(main())


def test_a_slow_receiver_delays_no_other_f24() -> None:
    """Bulkhead: while one takes 14 s for each message, the others are served at once."""

    async def main():
        clock = FakeClock()
        slow, good = Receiver(clock, "slow", takes=14_000), Receiver(clock, "good")
        bench = Bench(slow, good, clock=clock)
        await bench.start()
        await bench.owe(*many(3, "slow"), *many(100, "good"))
        await clock.advance(1_000)
        assert len(good.ids) == 100
        assert max(good.times) == 0
        assert len(slow.ids) == 1
        await clock.advance(60_000)
        assert slow.times == [0, 14_000, 28_000]
        await bench.end()

    asyncio.run(main())


def test_an_attempt_ends_at_its_total_deadline_f24() -> None:
    """A notifier that never answers is called off; the end is unknown and the message stays owed."""

    async def main():
        clock = FakeClock()
        dead = Receiver(clock, takes=10 * HOUR)
        bench = Bench(dead, clock=clock, deadline=2_000)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(2_000)
        (first,) = bench.settled
        assert (first.state, first.outcome) == (DeliveryState.PENDING, Outcome.UNKNOWN)
        assert first.why == "no answer within 2 s"
        dead.takes = 0
        await clock.advance(30_000)
        assert bench.settled[-1].state is DeliveryState.SENT
        await bench.end()

    asyncio.run(main())


def test_a_message_that_always_fails_holds_up_nobody_f22() -> None:
    """Poison ahead of 200 good ones costs them less than a second, and ends parked after a bounded time."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, otherwise=lambda each: RETRY if each.id == "slack-0" else OK)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(201))
        await clock.advance(1_000)
        assert (await bench.counts())["sent"] == 200
        assert slack.times[200] == 0
        await clock.advance(25 * HOUR)
        counts = await bench.counts()
        assert (counts["sent"], counts["parked"]) == (200, 1)
        (last,) = [each for each in bench.settled if each.state is DeliveryState.PARKED]
        assert "given up after" in last.why
        assert "500" in last.why
        assert last.attempts < 6_000
        await bench.end()

    asyncio.run(main())


def test_an_outage_of_an_hour_with_500_messages_owed_f18() -> None:
    """At most ten attempts a minute while down; found within 30 s; all delivered within a minute, each once."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, otherwise=lambda _: RETRY if clock.monotonic() < HOUR else OK)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(500, keys=100))
        await clock.advance(HOUR - 1)
        minutes = [time // 60_000 for time in slack.times]
        assert max(minutes.count(minute) for minute in set(minutes)) <= 10
        assert bench.outbox is not None
        down = len(slack.asked)
        await clock.advance(60_001)
        after = slack.asked[down:]
        assert after[0][0] <= HOUR + 30_000
        delivered = [id_ for _, id_, _ in after]
        assert sorted(delivered) == sorted({f"slack-{n}" for n in range(500)})
        for key in range(100):  # in order within each key
            mine = [int(id_.split("-")[1]) for id_ in delivered if int(id_.split("-")[1]) % 100 == key]
            assert mine == sorted(mine)
        await bench.end()

    asyncio.run(main())


def test_a_message_never_overtakes_an_older_one_of_its_key_f27() -> None:
    """Fire, resolve and fire again while the receiver fails at random: the last word is the true state."""

    async def main(seed):
        dice = random.Random(seed)
        clock = FakeClock()
        ledger = []

        def answer(notification):
            if dice.random() < 0.5:
                ledger.append(notification.id)
                return OK
            if dice.random() < 0.3:  # taken, but the answer is lost
                ledger.append(notification.id)
                return Answer(Outcome.UNKNOWN)
            return RETRY

        bench = Bench(Receiver(clock, otherwise=answer), clock=clock, at_once=dice.choice((1, 3)))
        await bench.start()
        for number in range(12):
            await bench.owe(owed(f"a-{number}", group_key="a"), owed(f"b-{number}", group_key="b"))
            await clock.advance(dice.randrange(5_000))
        await clock.advance(HOUR)
        for key in "ab":
            mine = [int(each[2:]) for each in ledger if each[0] == key]
            assert sorted(set(mine)) == list(range(12)), f"lost, seed {seed}"
            assert mine == sorted(mine), f"out of order, seed {seed}"
        assert (await bench.counts())["sent"] == 24
        await bench.end()

    for seed in range(40):
        asyncio.run(main(seed))


@pytest.mark.parametrize(
    ("wish", "again"), [(None, 1_000), (0, 1_000), (-7, 1_000), (30_000, 30_000), (3_600_000, 3_600_000)]
)
def test_a_wish_to_wait_is_honoured_and_delays_no_other_receiver_f20(wish, again) -> None:
    """Retry-After holds the whole receiver, not only the message; the other lane does not notice."""

    async def main():
        clock = FakeClock()
        limited = Receiver(clock, "limited", script=[Answer(Outcome.RETRY, "429", wish)])
        good = Receiver(clock, "good")
        bench = Bench(limited, good, clock=clock)
        await bench.start()
        await bench.owe(owed("l1", "limited", "x"), owed("l2", "limited", "y"), owed("g1", "good"))
        await clock.advance(0)
        assert good.ids == ["g1"]
        assert limited.ids == (["l1", "l2"] if (wish or 0) <= 0 else ["l1"])
        await clock.advance(2 * HOUR)
        assert sorted(limited.ids) == ["l1", "l1", "l2"]
        assert again / 2 <= [time for time, id_, _ in limited.asked if id_ == "l1"][1] <= again
        await bench.end()

    asyncio.run(main())


def test_a_wish_for_a_day_parks_the_message_with_a_notice_f20() -> None:
    """Longer than the longest wait: given up, and said so."""

    async def main():
        clock = FakeClock()
        bench = Bench(Receiver(clock, script=[Answer(Outcome.RETRY, "429", 86_400_000)]), clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(0)
        (parked,) = bench.settled
        assert parked.state is DeliveryState.PARKED
        assert "asks to wait 1d" in parked.why
        await bench.end()

    asyncio.run(main())


def test_a_refusal_parks_at_once_and_the_queue_moves_on_f22() -> None:
    """Trying again cannot help: one attempt, a reason, and the next of the same key goes out."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, script=[Answer(Outcome.REFUSED, "invalid_blocks")])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"), owed("n2"))
        await clock.advance(0)
        assert [(each.notification.id, each.state) for each in bench.settled] == [
            ("n1", DeliveryState.PARKED),
            ("n2", DeliveryState.SENT),
        ]
        assert bench.settled[0].why == "refused for good: invalid_blocks"
        await bench.end()

    asyncio.run(main())


def test_a_notifier_that_raises_loses_nothing_and_tells_no_secret() -> None:
    """A fault of ours is an unknown end; its text, which may hold an address, is not repeated."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, script=[RuntimeError("https://hooks/T0/s3cret"), asyncio.CancelledError()])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(60_000)
        assert [each.outcome for each in bench.settled] == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.SENT]
        assert bench.settled[0].why == "a fault of alerting itself: RuntimeError"
        await bench.end()

    asyncio.run(main())


def test_reasons_pass_through_the_redaction() -> None:
    """What a receiver answers may repeat a secret."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, script=[Answer(Outcome.REFUSED, "no service T0/s3cret")])
        bench = Bench(slack, clock=clock, redact=lambda text: text.replace("s3cret", "***"))
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(0)
        assert bench.settled[0].why == "refused for good: no service T0/***"
        await bench.end()

    asyncio.run(main())


def test_a_receipt_with_a_failure_is_a_note_to_the_next_attempt() -> None:
    """So a notifier learns that the earlier message is gone, or how to send it plainer; a success starts anew."""

    async def main():
        clock = FakeClock()
        gone, bare = Answer(Outcome.RETRY, "message_not_found", receipt={}), Answer(Outcome.SENT)
        slack = Receiver(clock, script=[OK, gone, RETRY, bare, OK])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"), owed("n2"), owed("n3"))
        await clock.advance(60_000)
        assert [(id_, previous) for _, id_, previous in slack.asked] == [
            ("n1", None),
            ("n2", OK.receipt),
            ("n2", {}),
            ("n2", {}),
            ("n3", None),
        ]
        await bench.end()

    asyncio.run(main())


def test_a_receiver_that_left_the_settings_is_owed_until_it_is_given_up() -> None:
    """Its messages stay, with the reason; come back in time, it gets them; otherwise they are parked."""

    async def main():
        clock = FakeClock()
        bench = Bench(clock=clock)
        await bench.start()
        await bench.owe(owed("n1", "chat"), owed("n2", "gone"))
        await clock.advance(HOUR)
        (chat,) = [each for each in (await bench.store.overview()).deliveries if each.notification.id == "n1"]
        assert chat.why == "the settings have no receiver named 'chat'"
        back = Receiver(clock, "chat")
        await bench.outbox.adopt({"chat": back})
        await clock.advance(60_000)
        assert back.ids == ["n1"]
        await clock.advance(25 * HOUR)
        counts = await bench.counts()
        assert (counts["sent"], counts["parked"]) == (1, 1)
        await bench.end()

    asyncio.run(main())


def test_new_settings_let_attempts_in_flight_end_with_the_old_ones() -> None:
    """F38: the old receiver finishes what it has and is closed then; the next message goes to the new one."""

    async def main():
        clock = FakeClock()
        old, new = Receiver(clock, takes=5_000), Receiver(clock)
        bench = Bench(old, clock=clock)
        await bench.start()
        await bench.owe(*many(2))
        await clock.advance(1_000)
        adopting = asyncio.ensure_future(bench.outbox.adopt({"slack": new}))
        await clock.advance(1_000)
        assert not old.closed
        await clock.advance(5_000)
        await adopting
        assert (old.ids, new.ids, old.closed, new.closed) == (["slack-0"], ["slack-1"], True, False)
        assert (await bench.counts())["sent"] == 2
        await bench.end()

    asyncio.run(main())


def test_a_receiver_rests_only_after_failures_in_a_row() -> None:
    """Each second message fails at first: no two in a row, so nothing is slowed down."""

    async def main():
        clock = FakeClock()
        seen = set()

        def answer(notification):
            again = notification.id in seen or int(notification.id.split("-")[1]) % 2
            seen.add(notification.id)
            return OK if again else RETRY

        slack = Receiver(clock, otherwise=answer)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(40))
        await clock.advance(0)
        assert (await bench.counts())["sent"] == 20
        await bench.end()

    asyncio.run(main())


def test_new_settings_end_the_rest_of_a_receiver() -> None:
    """Whoever mended the address does not wait for a rest that the old one earned."""

    async def main():
        clock = FakeClock()
        bench = Bench(Receiver(clock, otherwise=RETRY), clock=clock)
        await bench.start()
        await bench.owe(*many(30))
        await clock.advance(300_000)
        mended = Receiver(clock)
        await bench.outbox.adopt({"slack": mended})
        await clock.advance(0)
        assert len(mended.ids) >= 20  # all but those that wait by themselves
        await bench.end()

    asyncio.run(main())


def test_a_result_that_the_store_does_not_take_is_held_and_not_sent_again() -> None:
    """While this process lives a full disk doubles no message: the result is recorded before anything is claimed."""

    async def main():
        clock, store = FakeClock(), Failing()
        slack = Receiver(clock)
        bench = Bench(slack, clock=clock, store=store)
        await bench.start()
        store.broken = {"settle"}
        await bench.owe(*many(2, keys=1))
        await clock.advance(10 * 60_000)
        assert slack.ids == ["slack-0"]
        assert (await bench.counts())["claimed"] == 1
        assert bench.settled == []
        assert "the state is full" in bench.troubles[0]
        assert 100 < store.calls.count("settle") < 1_000  # it is asked again, and not without end
        store.broken = set()
        await clock.advance(2_000)
        assert slack.ids == ["slack-0", "slack-1"]
        assert (await bench.counts())["sent"] == 2
        await bench.end()

    asyncio.run(main())


def test_a_store_that_fails_ends_no_lane() -> None:
    """F3: every call of the store fails for a while; afterwards all goes out."""

    async def main(method):
        clock, store = FakeClock(), Failing()
        slack = Receiver(clock)
        bench = Bench(slack, clock=clock, store=store)
        store.broken = {method}
        await bench.start()
        await bench.owe(*many(3))
        await clock.advance(30_000)
        store.broken = set()
        await clock.advance(90_000)
        assert set(slack.ids) == {"slack-0", "slack-1", "slack-2"}
        assert (await bench.counts())["sent"] == 3
        assert bench.troubles or method == "previous_receipt"
        await bench.end()

    for method in ("owing", "claim", "settle", "previous_receipt"):
        asyncio.run(main(method))


def test_the_end_waits_for_what_is_in_flight_and_claims_no_more_f25() -> None:
    """SIGTERM: the attempt under way is finished and recorded, the rest stays owed."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, takes=5_000)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(3))
        await clock.advance(1_000)
        before = clock.monotonic()
        await bench.end()
        assert clock.monotonic() - before == 4_000
        counts = await bench.counts()
        assert (counts["sent"], counts["pending"], counts["claimed"]) == (1, 2, 0)

    asyncio.run(main())


def test_the_end_still_records_a_result_that_is_held_f25() -> None:
    """A disk that has room again within the grace: nothing is sent twice by the next run."""

    async def main():
        clock, store = FakeClock(), Failing()
        bench = Bench(Receiver(clock), clock=clock, store=store)
        await bench.start()
        store.broken = {"settle"}
        await bench.owe(owed("n1"))
        await clock.advance(5_000)
        bench.stop.set()
        await clock.advance(3_000)
        assert not bench.task.done()
        store.broken = set()
        await bench.end()
        assert (await bench.counts())["sent"] == 1

    asyncio.run(main())


def test_the_end_does_not_wait_longer_than_its_grace_f25() -> None:
    """What is still in flight then keeps its claim: the next run counts it as unknown and sends it again."""

    async def main():
        clock = FakeClock()
        bench = Bench(Receiver(clock, takes=14_000), clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(0)
        before = clock.monotonic()
        await bench.end()
        assert clock.monotonic() - before == 8_000
        assert (await bench.counts())["claimed"] == 1

    asyncio.run(main())


def test_the_end_comes_at_once_during_a_long_rest_f25() -> None:
    """A receiver that is left alone for 20 s holds up nobody's exit."""

    async def main():
        clock = FakeClock()
        bench = Bench(Receiver(clock, otherwise=RETRY), clock=clock)
        await bench.start()
        await bench.owe(*many(5))
        await clock.advance(120_000)
        before = clock.monotonic()
        await bench.end()
        assert clock.monotonic() == before

    asyncio.run(main())


def test_a_step_of_the_wall_clock_moves_no_wait_f31() -> None:
    """Back by a day or ahead by a day: the second attempt comes when it would have come."""

    async def main(step):
        clock = FakeClock()
        slack = Receiver(clock, script=[RETRY])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(0)
        clock.step(step)
        await clock.advance(1_000)
        assert len(slack.ids) == 2
        await bench.end()

    for step in (-86_400_000, -HOUR, 1_000, HOUR, 86_400_000):
        asyncio.run(main(step))


def test_a_wall_that_jumps_ahead_gives_nothing_up_f31() -> None:
    """Age alone is no reason: a message is given up only after enough attempts."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, script=[RETRY, RETRY])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(0)
        clock.step(30 * 86_400_000)
        await clock.advance(10_000)
        assert bench.settled[-1].state is DeliveryState.SENT
        await bench.end()

    asyncio.run(main())


def test_a_message_that_kills_the_process_is_given_up_in_the_end() -> None:
    """Claims of runs that died count as attempts, and those are bounded."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock)
        bench = Bench(slack, clock=clock, limits=Limits(most=3))
        await bench.owe(owed("n1"))
        for _ in range(4):
            (claimed,) = await bench.store.claim("slack", clock.now(), 1_000, 1)
            await clock.advance(1_000)
        assert claimed.attempts == 3
        result = await bench.outbox.deliver(claimed)
        assert (result.state, slack.ids) == (DeliveryState.PARKED, [])
        assert result.why.startswith("given up after 3 attempts")

    asyncio.run(main())


def test_drain_sends_what_is_due_and_waits_for_a_quick_second_attempt() -> None:
    """For cron: a blip of a second does not delay a page until the next run; results are given back."""

    async def main():
        clock = FakeClock()
        slack, pager = Receiver(clock, script=[RETRY]), Receiver(clock, "pager")
        bench = Bench(slack, pager, clock=clock)
        await bench.owe(*many(3), *many(2, "pager"))
        task = asyncio.ensure_future(bench.outbox.drain(30_000))
        await clock.run(task)
        assert {each.notification.id: each.state for each in task.result()} == {
            **{f"slack-{n}": DeliveryState.SENT for n in range(3)},
            **{f"pager-{n}": DeliveryState.SENT for n in range(2)},
        }
        assert clock.monotonic() <= 1_000

    asyncio.run(main())


def test_drain_gives_up_waiting_for_a_receiver_that_is_down() -> None:
    """It ends within its patience, a slow attempt ends at the deadline, and what is owed stays owed."""

    async def main():
        clock = FakeClock()
        down, dead = Receiver(clock, otherwise=RETRY), Receiver(clock, "dead", takes=HOUR)
        bench = Bench(down, dead, clock=clock)
        await bench.owe(*many(20), *many(2, "dead"))
        task = asyncio.ensure_future(bench.outbox.drain(12_000))
        await clock.run(task)
        assert clock.monotonic() == 12_000
        assert max(down.times) <= 5_000
        assert len(down.ids) <= 10
        counts = await bench.counts()
        assert (counts["pending"], counts["claimed"], counts["sent"]) == (22, 0, 0)
        assert balance(counts) == 0

    asyncio.run(main())


def test_drain_of_nothing_is_over_at_once() -> None:
    """The common case of `check`: nothing is owed."""

    async def main():
        bench = Bench()
        assert await bench.outbox.drain(30_000) == ()
        assert bench.clock.monotonic() == 0

    asyncio.run(main())


def test_a_death_between_sending_and_recording_sends_again_and_says_so(tmp_path) -> None:
    """At least once: over the real file, the claim of the run that died is an attempt with an unknown end."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, takes=5_000)
        bench = Bench(slack, clock=clock, store=sqlite.build("sqlite:///s.db", tmp_path))
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(1_000)
        bench.task.cancel()
        await asyncio.wait([bench.task])
        await bench.store.close()

        again = Bench(slack, clock=clock, store=sqlite.build("sqlite:///s.db", tmp_path))
        await again.start()
        await clock.advance(10_000)
        (done,) = (await again.store.overview()).deliveries
        assert (slack.ids, done.state, done.attempts) == (["n1", "n1"], DeliveryState.SENT, 2)
        await again.end()
        await again.store.close()

    asyncio.run(main())
