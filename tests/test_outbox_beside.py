"""What a notifier does beside its messages: after their end is on disk, when nothing is due, never at their cost."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from alerting.core.pace import Pace
from alerting.lane import Terms
from alerting.model import Answer, Outcome
from alerting.ports import THEN
from tests.clock import FakeClock
from tests.sending import Bench, Receiver
from tests.store.made import owed

SENT = Answer(Outcome.SENT, "posted", None, {"ts": "1", THEN: "thread picture"})


class Teller(Receiver):
    """A notifier that does two things beside each message; `slow`: how long each takes."""

    def __init__(self, clock, slow=0, fails=(), **more):
        super().__init__(clock, otherwise=SENT, **more)
        self.slow, self.fails = slow, list(fails)
        self.steps = []  # (time, message, step)

    async def follow(self, notification, receipt):
        step, *left = receipt[THEN].split()
        self.steps.append((self.clock.monotonic(), notification.id, step))
        if self.fails:
            raise self.fails.pop(0)
        await self.clock.sleep(self.slow)
        known = {"ts": receipt["ts"]}
        return {**known, THEN: " ".join(left)} if left else known

    @property
    def done(self):
        return [each[1:] for each in self.steps]


def test_steps_come_after_the_message_is_recorded_and_in_order() -> None:
    """A process that dies among them repeats no message."""

    async def main():
        clock = FakeClock()
        slack = Teller(clock)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1", group_key="a"), owed("n2", group_key="b"))
        await clock.advance(1_000)
        assert slack.done == [("n1", "thread"), ("n1", "picture"), ("n2", "thread"), ("n2", "picture")]
        assert slack.ids == ["n1", "n2"]
        assert len(bench.settled) == 2
        await bench.end()

    asyncio.run(main())


def test_a_message_waits_for_no_step() -> None:
    """A step that hangs holds nothing back: what comes meanwhile goes out at once; the step is given up in the end."""

    async def main():
        clock = FakeClock()
        slack = Teller(clock, slow=600_000)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(5_000)
        assert slack.done == [("n1", "thread")]
        await bench.owe(owed("n2", group_key="b"), owed("n3"))
        await clock.advance(10)
        assert slack.ids == ["n1", "n2", "n3"]
        await clock.advance(60_000)
        assert [step for _, step in slack.done] == ["thread"] * 3
        await bench.end()

    asyncio.run(main())


def test_steps_keep_the_pace_and_messages_go_first() -> None:
    """1 a second: three messages at once go out in three seconds, and only then what is beside them, one a second."""

    async def main():
        clock = FakeClock()
        slack = Teller(clock)
        bench = Bench(slack, clock=clock, terms={"slack": Terms(pace=Pace(1, 1_000))})
        await bench.start()
        await bench.owe(*(owed(f"n{number}", group_key=f"k{number}") for number in range(3)))
        await clock.advance(20_000)
        times = sorted([*slack.times, *(at for at, *_ in slack.steps)])
        assert slack.ids == ["n0", "n1", "n2"]
        assert max(slack.times) < min(at for at, *_ in slack.steps)
        assert len(times) == 9
        assert all(later - earlier >= 1_000 for earlier, later in pairwise(times))
        await bench.end()

    asyncio.run(main())


def test_a_fault_in_a_step_is_told_and_gives_up_what_is_beside_that_message_alone() -> None:
    """The lane goes on."""

    async def main():
        clock = FakeClock()
        slack = Teller(clock, fails=[RuntimeError("ours")])
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1", group_key="a"), owed("n2", group_key="b"))
        await clock.advance(1_000)
        assert slack.done == [("n1", "thread"), ("n2", "thread"), ("n2", "picture")]
        assert bench.faults == [("what is done beside messages to slack", "RuntimeError('ours')")]
        await bench.end()

    asyncio.run(main())


def test_drain_does_what_is_beside_within_its_deadline() -> None:
    """So `check` tells the thread too; a step that hangs costs no more than the deadline."""

    async def main(slow, deadline):
        clock = FakeClock()
        slack = Teller(clock, slow=slow)
        bench = Bench(slack, clock=clock)
        await bench.owe(owed("n1"))
        task = asyncio.ensure_future(bench.outbox.drain(deadline))
        await clock.run(task)
        return slack.done, clock.monotonic()

    assert asyncio.run(main(100, 30_000)) == ([("n1", "thread"), ("n1", "picture")], 200)
    done, took = asyncio.run(main(600_000, 10_000))
    assert (done, took) == ([("n1", "thread")], 10_000)


def test_drain_keeps_the_pace_only_while_there_is_something_to_do() -> None:
    """A message and two steps at 1 a second take two seconds; a message alone takes none."""

    async def main(receiver):
        clock = FakeClock()
        bench = Bench(receiver(clock), clock=clock, terms={"slack": Terms(pace=Pace(1, 1_000))})
        await bench.owe(owed("n1"))
        await clock.run(asyncio.ensure_future(bench.outbox.drain(30_000)))
        return clock.monotonic()

    assert asyncio.run(main(Teller)) == 2_000
    assert asyncio.run(main(Receiver)) == 0


def test_a_receiver_without_such_steps_is_left_alone() -> None:
    """A receipt may hold anything; only a notifier that follows is asked."""

    async def main():
        clock = FakeClock()
        slack = Receiver(clock, otherwise=SENT)
        bench = Bench(slack, clock=clock)
        await bench.start()
        await bench.owe(owed("n1"))
        await clock.advance(1_000)
        assert (slack.ids, bench.faults, bench.troubles) == (["n1"], [], [])
        await bench.end()

    asyncio.run(main())
