"""A clock that only moves when a test says so: the Clock port for simulated time.

`advance` wakes sleepers in the order of their times and lets all tasks run dry before it moves on, so an hour
takes milliseconds and gives the same history each time. Work in threads is not waited for: give stores the
inline form under this clock.
"""

from __future__ import annotations

import asyncio
import heapq

START = 1_700_000_000_000  # some moment of 2023, ms


class FakeClock:
    """Wall and monotonic time that move together, unless `step` moves the wall alone."""

    def __init__(self, now: int = START) -> None:
        self._monotonic = 0
        self._offset = now
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> int:
        return self._offset + self._monotonic

    def monotonic(self) -> int:
        return self._monotonic

    def step(self, by: int) -> None:
        """Move the wall alone, as an operator or NTP would."""
        self._offset += by

    async def sleep(self, duration: int) -> None:
        if duration <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic + duration, self._count, future))
        await future

    async def advance(self, duration: int) -> None:
        """Let `duration` ms pass; returns when nobody has anything to do at the new time."""
        end = self._monotonic + duration
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if not future.done():  # a cancelled sleeper moves no time
                self._monotonic = max(self._monotonic, at)
                future.set_result(None)
                await settle()
        self._monotonic = end
        await settle()

    async def run(self, task: asyncio.Future[object], longest: int = 86_400_000) -> None:
        """Let time pass, from sleeper to sleeper, until `task` is done; fails after `longest` ms."""
        end = self._monotonic + longest
        await settle()
        while not task.done():
            live = [at for at, _, future in self._sleepers if not future.done()]
            assert live, "the task waits for something that is not the clock"
            assert min(live) <= end, f"not done after {longest} ms"
            await self.advance(max(0, min(live) - self._monotonic))


async def settle() -> None:
    """Let every task run until each waits for something (bounded, so that a busy loop fails loudly)."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # nothing public says it
    for _ in range(100_000):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the tasks never come to rest: something loops without waiting")
