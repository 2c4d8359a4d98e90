"""The rows of the fault matrix about delivery, F18 to F27, as far as they lie in the outbox."""

from __future__ import annotations

import asyncio
import random

import pytest

from alerting.core.pace import pace_of
from alerting.lane import Terms
from alerting.model import Answer, DeliveryState, Outcome
from alerting.outbox import DEADLINE, LIMITS
from alerting.store.memory import MemoryStore
from tests.clock import START, FakeClock
from tests.full import rounds, seed
from tests.sending import HOUR, LOST, RETRY, Bench, Failing, Receiver, Strict, episode, many
from tests.store.made import OK, owed


def test_f24_a_slow_receiver_delays_no_other(figure) -> None:
    """Bulkhead: while one takes 30 s for each message, and is left after 15, the others are served at once."""

    async def main():
        clock = FakeClock()
        slow, good, other = Receiver(clock, "slow", takes=30_000), Receiver(clock, "good"), Receiver(clock, "other")
        bench = Bench(slow, good, other, clock=clock)
        await bench.start()
        lags, each = [], rounds(50, full=500)
        for turn in range(20):
            await bench.owe(*(one._replace(id=f"{one.id}-{turn}") for one in (*many(3, "slow"), *many(each, "good"))))
            await bench.owe(*(one._replace(id=f"{one.id}-{turn}") for one in many(each, "other")))
            owed_at = clock.monotonic()
            await clock.advance(7_000)
            lags += [at - owed_at for one in (good, other) for at in one.times[turn * each :]]
        assert [len(one.ledger) for one in (good, other)] == [20 * each] * 2
        ends = [one.tried_at - START - began for one, began in zip(tried(bench, "slow"), slow.times, strict=False)]
        figure("lag of the others p99", sorted(lags)[int(0.99 * len(lags))] / 1000, at_most=1, n=len(lags), unit="s")
        late = sum(end > DEADLINE + 500 for end in ends)
        figure("attempts beyond their deadline", late, at_most=0, n=len(ends))
        assert len(ends) > 5
        slow.takes = 0
        await clock.advance(HOUR)
        counts = await bench.counts()
        assert counts["created"] == counts["sent"] + counts["folded"]
        await bench.end()

    asyncio.run(main())


def tried(bench, receiver):
    """The ends of attempts at messages to a receiver, in order."""
    return [each for each in bench.settled if each.notification.receiver == receiver and each.tried_at]


def test_f24_an_attempt_ends_at_its_total_deadline() -> None:
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


def test_f22_a_message_that_always_fails_holds_up_nobody(figure) -> None:
    """Poison ahead of 200 good ones costs them less than a second, and ends parked after a bounded time."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, otherwise=lambda each: RETRY if each.id == "slack-0" else OK)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(201))
        await clock.advance(1_000)
        assert (await bench.counts())["sent"] == 200
        figure("delay of the good ones", max(slack.times[:201]) / 1000, at_most=1, n=200, unit="s")
        await clock.advance(25 * HOUR)
        counts = await bench.counts()
        assert (counts["sent"], counts["parked"]) == (200, 1)
        (last,) = [each for each in bench.settled if each.state is DeliveryState.PARKED]
        assert "given up after" in last.why
        assert "500" in last.why
        figure("attempts at the poison", last.attempts, at_most=LIMITS.most, n=1)
        await bench.end()

    asyncio.run(main())


class Hole(Receiver):
    """Takes connections and says nothing, until it is back."""

    back = HOUR

    async def deliver(self, notification, previous):
        self.takes = 10 * HOUR if self.clock.monotonic() < self.back else 0
        return await super().deliver(notification, previous)


@pytest.mark.parametrize("way", ["it says 503", "nobody answers"])
def test_f18_an_outage_of_an_hour_with_500_messages_owed(way, figure) -> None:
    """At most ten attempts a minute while down, found within 30 s, one message for what was overtaken, none lost."""

    async def main(back):
        clock, store = FakeClock(), MemoryStore()
        slack = Hole(clock) if way == "nobody answers" else Receiver(clock)
        slack.back, slack.otherwise = back, lambda _: RETRY if clock.monotonic() < back else OK
        bench = Bench(slack, clock=clock, store=store)
        await bench.start()
        for number in range(500):  # a hundred alerts fire, recover, fire, recover and fire
            key, turn = number % 100, number // 100
            await bench.owe(episode(f"n{number}", f"a{key}", turn // 2, over=bool(turn % 2)))
            await clock.advance(5_000)
        await bench.end()  # the daemon is started anew in the middle
        again = Bench(slack, clock=clock, store=store)
        await again.start()
        await clock.advance(back - clock.monotonic() - 1)
        minutes = [time // 60_000 for time in slack.times]
        down = len(slack.asked)
        await clock.advance(90_001)
        assert sorted(each.id for each in slack.ledger) == sorted(f"n{number}" for number in range(400, 500))
        assert {(each.firing[0].step, each.resolved) for each in slack.ledger} == {("firing", ())}
        assert all("".join(each.notes).count(" to ") == 2 for each in slack.ledger)  # two episodes came and went
        counts = await again.counts()
        assert (counts["created"], counts["sent"], counts["folded"]) == (500, 100, 400)
        await again.end()
        lost = counts["created"] - counts["sent"] - counts["folded"]
        wrong = sum(each.firing[0].episode != f"a{int(each.id[1:]) % 100}-2" for each in slack.ledger)
        return lost, wrong, (slack.asked[down][0] - back) / 1000, max(minutes.count(each) for each in set(minutes))

    trials, chosen = rounds(1, full=20), seed(18)
    dice = random.Random(chosen)
    found = [asyncio.run(main(HOUR + dice.randrange(60_000))) for _ in range(trials)]
    lost, wrong, first, minute = (max(each) for each in zip(*found, strict=True))
    figure("lost", lost, at_most=0, n=500 * trials, seed=chosen)
    figure("out of order", wrong, at_most=0, n=500 * trials, seed=chosen)
    figure("first after the recovery", first, at_most=30, n=trials, seed=chosen, unit="s")
    figure("attempts a minute while down", minute, at_most=10, n=60 * trials, seed=chosen)


def test_f19_a_lost_answer_costs_one_more_copy_and_not_two(figure) -> None:
    """The receiver takes it and the answer is lost: one attempt more, and of each intent two copies at most."""

    async def main():
        clock, seen = FakeClock(), set()

        def answer(notification):
            lost = notification.id not in seen
            seen.add(notification.id)
            return LOST if lost else OK

        slack = Receiver(clock, otherwise=answer)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(*many(200))
        await clock.advance(HOUR)
        copies = [slack.ids.count(f"slack-{n}") for n in range(200)]
        figure("copies of a message", max(copies), at_most=2, n=200)
        assert set(copies) == {2}
        assert len(slack.asked) == sum(each.attempts for each in (await bench.store.overview(1_000)).deliveries)
        await bench.end()

    asyncio.run(main())


@pytest.mark.parametrize(("rate", "most", "window"), [("1/s", 1, 1_000), ("120/m", 120, 60_000)])
def test_f20_the_pace_of_a_receiver_is_kept(rate, most, window, figure) -> None:
    """5,000 owed to a strict receiver: at most 1 % of its answers are 429, and others do not notice."""

    async def main():
        clock, chosen = FakeClock(), seed(20)
        dice = random.Random(chosen)
        count = rounds(800, full=5_000)
        strict, good = Strict(clock, most, window, dice), Receiver(clock, "good")
        bench = Bench(strict, good, clock=clock, terms={"slack": Terms(pace=pace_of(rate))})
        await bench.start()
        await bench.owe(*many(count), *many(200, "good"))
        await clock.advance(1_000)
        lag = sorted(good.times)[197] / 1000
        await clock.advance(2 * count * window // most)
        figure("lost", count - len({each.id for each in strict.ledger}), at_most=0, n=count, seed=chosen)
        assert len(strict.ledger) == count
        figure("share of 429", 100 * max(0, strict.refused - 1) / len(strict.asked), at_most=1, n=count, unit="%")
        figure("lag of the others p99", lag, at_most=1, n=200, unit="s")
        ended = strict.times[-1]
        assert ended <= 1.35 * count * window / most  # it is not slow either
        await bench.end()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wish", "again"), [(None, 1_000), (0, 1_000), (-7, 1_000), (30_000, 30_000), (3_600_000, 3_600_000)]
)
def test_f20_a_wish_to_wait_is_honoured_and_delays_no_other_receiver(wish, again) -> None:
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


def test_f20_a_wish_for_a_day_parks_the_message_with_a_notice() -> None:
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


def test_f22_a_refusal_parks_at_once_and_the_queue_moves_on() -> None:
    """Trying again cannot help: one attempt, a reason, and the next of the same key goes out."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, script=[Answer(Outcome.REFUSED, "invalid_blocks")])
        bench = Bench(slack, clock=clock)
        await bench.start()
        for each in (owed("n1"), owed("n2")):
            await bench.owe(each)
            await clock.advance(0)
        assert [(each.notification.id, each.state) for each in bench.settled] == [
            ("n1", DeliveryState.PARKED),
            ("n2", DeliveryState.SENT),
        ]
        assert bench.settled[0].why == "refused for good: invalid_blocks"
        await bench.end()

    asyncio.run(main())


def test_f25_the_end_waits_for_what_is_in_flight_and_claims_no_more() -> None:
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


def test_f25_the_end_still_records_a_result_that_is_held() -> None:
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


def test_f25_the_end_does_not_wait_longer_than_its_grace() -> None:
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


def test_f25_the_end_comes_at_once_during_a_long_rest() -> None:
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
