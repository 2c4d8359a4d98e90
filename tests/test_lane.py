"""The watch over attempts: each has its own deadline, though one sleep serves many of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from alerting.lane import Watch
from tests.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from alerting.model import Millis


def watched(story: Callable[[FakeClock, Watch], Awaitable[None]]) -> None:
    """Run a story on a simulated clock."""

    async def run() -> None:
        clock = FakeClock()
        watch = Watch(clock)
        task: asyncio.Future[object] = asyncio.ensure_future(story(clock, watch))
        await clock.run(task)
        await task
        watch.leave()

    asyncio.run(run())


async def waited(clock: FakeClock, watch: Watch, takes: Millis, deadline: Millis) -> tuple[Millis, bool]:
    """Wait for a work that takes so long; give how long that was, and whether it came to its end."""
    began, work = clock.monotonic(), asyncio.ensure_future(clock.sleep(takes))
    await watch.wait(work, deadline)
    await asyncio.sleep(0)
    return clock.monotonic() - began, work.done() and not work.cancelled()


RUNS = [  # works one after another on one watch: (takes, deadline, is waited for, comes to its end)
    [(5, 100, 5, True), (5, 100, 5, True), (500, 100, 100, False), (5, 100, 5, True)],
    [(90, 100, 90, True), (200, 100, 100, False)],  # the sleep of the first ends while the second still has time
    [(5, 100, 5, True), (50, 20, 20, False)],  # a shorter deadline than the one that is slept for
    [(5, 20, 5, True), (80, 100, 80, True), (101, 100, 100, False)],
    [(200, 100, 100, False), (200, 100, 100, False), (99, 100, 99, True)],
]


@pytest.mark.parametrize("run", RUNS)
def test_each_work_has_its_own_deadline(run: list[tuple[int, int, int, bool]]) -> None:
    """Whatever sleep an earlier one has left behind; to the millisecond."""

    async def story(clock: FakeClock, watch: Watch) -> None:
        for takes, deadline, wait, ends in run:
            assert await waited(clock, watch, takes, deadline) == (wait, ends)

    watched(story)


def test_one_sleep_serves_many_works() -> None:
    """A hundred attempts of 10 ms begin one sleep, not a hundred."""

    async def story(clock: FakeClock, watch: Watch) -> None:
        for _ in range(100):
            await waited(clock, watch, 10, 5_000)
        assert len([each for each in clock._sleepers if each[0] >= 5_000]) == 1

    watched(story)


def test_a_work_that_does_not_heed_its_end_is_not_waited_for() -> None:
    """A library that swallows the cancellation keeps nobody."""

    async def story(clock: FakeClock, watch: Watch) -> None:
        async def stubborn() -> None:
            try:
                await clock.sleep(1_000)
            except asyncio.CancelledError:
                await clock.sleep(1_000)
                raise ValueError from None

        work = asyncio.ensure_future(stubborn())
        await watch.wait(work, 100)
        assert clock.monotonic() == 100
        assert not work.done()
        await clock.sleep(2_000)
        assert work.done()

    watched(story)


def test_whoever_waits_may_be_called_off() -> None:
    """The work goes with it; the watch serves the next one."""

    async def story(clock: FakeClock, watch: Watch) -> None:
        work = asyncio.ensure_future(clock.sleep(1_000))
        waiting = asyncio.ensure_future(watch.wait(work, 500))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)
        assert work.cancelled()
        assert await waited(clock, watch, 700, 600) == (600, False)

    watched(story)
