"""The outbox over real stores, with receivers that behave as receivers do, on a clock that tests move."""

from __future__ import annotations

import asyncio

from alerting.core.backoff import Limits
from alerting.core.pace import Pace
from alerting.lane import Terms
from alerting.model import Answer, DeliveryState, Outcome
from alerting.store import sqlite
from tests.clock import FakeClock
from tests.sending import HOUR, RETRY, Bench, Failing, Receiver, many
from tests.store.made import OK, balance, owed


def test_what_is_owed_is_sent_once_in_order_and_recorded() -> None:
    """Each message leaves once, oldest first; its receipt is kept and given to the next of its key."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock)
        bench = Bench(slack, clock=clock)
        await bench.start()
        for each in many(5, keys=2):
            await bench.owe(each)
            await clock.advance(20)
        assert slack.ids == [f"slack-{n}" for n in range(5)]
        assert [each[2] for each in slack.asked] == [None, None, *[OK.receipt] * 3]
        assert [each.state for each in bench.settled] == [DeliveryState.SENT] * 5
        assert (await bench.counts())["sent"] == 5
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
        assert bench.faults == [("sending to slack", "RuntimeError('https://hooks/T0/s3cret')")]
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
        for each in (owed("n1"), owed("n2"), owed("n3")):
            await bench.owe(each)
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
        await bench.owe(*many(2, keys=2))
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
        assert bench.troubles
        await bench.end()

    for method in ("owing", "claim", "settle"):
        asyncio.run(main(method))


def test_f31_a_step_of_the_wall_clock_moves_no_wait() -> None:
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


def test_f31_a_wall_that_jumps_ahead_gives_nothing_up() -> None:
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
        for _ in range(3):
            (claimed,) = await bench.store.claim("slack", clock.now(), 1_000, 1)
            await clock.advance(1_000)
        assert claimed.attempts == 2
        await bench.start()
        (result,) = bench.settled
        assert (result.state, slack.ids) == (DeliveryState.PARKED, [])
        assert result.why.startswith("given up after 3 attempts")
        await bench.end()

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


def test_several_at_once_are_never_more_and_are_claimed_in_advance() -> None:
    """A quick receiver that takes four at once: one commit serves many, and a slow one is claimed for as it goes."""

    async def main(takes, most_commits):
        clock, store = FakeClock(), Failing()
        hook = Receiver(clock, takes=takes)
        bench = Bench(hook, clock=clock, store=store, terms={"slack": Terms(at_once=4)})
        await bench.start()
        await bench.owe(*many(400))
        await clock.advance(25_000)
        assert sorted(hook.ids) == sorted(f"slack-{n}" for n in range(400))
        flying = [(at, 1) for at in hook.times] + [(at + takes, -1) for at in hook.times]
        now = most = 0
        for _, change in sorted(flying):
            now += change
            most = max(most, now)
        assert most == 4
        assert store.calls.count("claim") <= most_commits
        assert (await bench.counts())["sent"] == 400
        await bench.end()

    asyncio.run(main(takes=10, most_commits=25))
    asyncio.run(main(takes=200, most_commits=405))


def test_what_was_claimed_in_advance_is_given_back_when_the_receiver_fails() -> None:
    """It fails in the middle: no attempt is counted for what did not leave, and one at a time is tried from then on."""

    async def main():
        clock = FakeClock()
        hook = Receiver(clock, takes=10, otherwise=lambda _: OK if len(hook.asked) <= 50 else RETRY)
        bench = Bench(hook, clock=clock, terms={"slack": Terms(at_once=4)})
        await bench.start()
        await bench.owe(*many(400))
        await clock.advance(10 * 60_000)
        tried = [each for each in (await bench.store.overview(1_000)).deliveries if each.attempts]
        counts = await bench.counts()
        assert (counts["claimed"], counts["pending"] + counts["sent"]) == (0, 400)
        assert sum(each.attempts for each in tried) == len(hook.asked) <= 50 + 4 + 10 * 10
        hook.otherwise = OK
        await clock.advance(60_000)
        assert (await bench.counts())["sent"] == 400
        await bench.end()

    asyncio.run(main())


def test_f25_the_end_gives_back_what_was_claimed_in_advance() -> None:
    """Nothing that did not leave counts as tried by the next run."""

    async def main():
        clock = FakeClock()
        hook = Receiver(clock, takes=10)
        bench = Bench(hook, clock=clock, terms={"slack": Terms(at_once=4)})
        await bench.start()
        await bench.owe(*many(400))
        await clock.advance(95)
        await bench.end()
        counts = await bench.counts()
        assert (counts["claimed"], counts["sent"]) == (0, len(hook.asked))
        assert 0 < counts["sent"] < 100
        assert all(
            not each.attempts for each in (await bench.store.overview(1_000)).deliveries if each.state == "pending"
        )

    asyncio.run(main())


def test_urgent_messages_overtake_others_at_a_slow_pace() -> None:
    """A page behind a hundred messages waits for one of them at most."""

    async def main():
        clock = FakeClock()
        chat = Receiver(clock)
        bench = Bench(chat, clock=clock, terms={"slack": Terms(pace=Pace(1, 1_000))})
        await bench.start()
        await bench.owe(*many(100))
        await clock.advance(10_000)
        await bench.owe(owed("page", group_key="page")._replace(urgent=True))
        await clock.advance(2_000)
        assert "page" in chat.ids[-2:]
        assert len(chat.ids) <= 13
        await bench.end()

    asyncio.run(main())


def test_drain_waits_for_the_pace_of_a_receiver() -> None:
    """For cron: twenty messages at one a second are sent in one run, though no failure is waited for so long."""

    async def main():
        clock = FakeClock()
        chat = Receiver(clock)
        bench = Bench(chat, clock=clock, terms={"slack": Terms(pace=Pace(1, 1_000))})
        await bench.owe(*many(20))
        task = asyncio.ensure_future(bench.outbox.drain(60_000))
        await clock.run(task)
        assert len(task.result()) == len(chat.ids) == 20
        assert 19_000 <= clock.monotonic() <= 21_000

    asyncio.run(main())
