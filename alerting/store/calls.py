"""Calls into the thread of the state, and going on without it while it hangs.

Theory of operation. A write or a sync that a dead disk never answers holds the one thread of the state for ever, and
what waits for it would be paging. So ten times within the patience it is looked whether the thread is still in the same
call. After ten looks in a row memory goes on: the handle is left behind, all calls that wait are made on
another one that holds what is alive in memory, and so are all that come, in the loop's own thread, as they are short
and touch no file. Looks are counted and not time: a process that was stopped for a minute has looked once.

What the call that hangs will come to is not known. It may be on disk, at once or in minutes; its thread writes nothing
after it (`handle`). When it is back, it tries to save a copy of what is in memory while memory goes on, until that was
done within the patience. Then the thread is used again, and its first call saves what came since.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from alerting.errors import StoreError
from alerting.store.handle import Handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Millis
    from alerting.ports import Blocking

T = TypeVar("T")

DEADLINE: Millis = 30_000  # until a call has its answer, with what it waits for others
_AT_END: Millis = 2_000  # in one call, when only the closing is left: whoever ends the process waits
_LOOKS = 10
_REST: Millis = 5_000  # between two tries to save on a disk that hung
_FOR_EVER: Millis = 10**12


class Calls:
    """For one event loop, or for calls that are made where they are wanted."""

    def __init__(self, handle: Handle, blocking: Blocking | None, deadline: Millis, patience: Millis | None) -> None:
        """`blocking` has one thread. Without `patience` the thread is waited for, each time for `deadline`."""
        self.handle = handle
        self._blocking = blocking
        self._deadline = deadline
        self._patience = patience
        self._waiting: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._seen = 0  # the call that the thread was in at the last look
        self._looks = 0
        self._dead = -1  # the call that hangs, where nothing is known to go on from
        self._saving: asyncio.Task[None] | None = None

    async def __call__(self, work: Callable[[Handle], T]) -> T:
        """Do some work with the handle. Raises StoreError when it could not be done, or that is not known."""
        if self._blocking is None:
            return work(self.handle)
        result = await self._made(self._blocking, work)
        if self.handle.shaken:
            await self._made(self._blocking, Handle.save)
        return result

    def hasten(self) -> None:
        """Be less patient from now on: the process is to end."""
        if self._patience is not None:
            self._patience = min(self._patience, _AT_END)

    async def close(self) -> None:
        """Close the handle. Raises StoreError when something stays unsaved."""
        if self._saving is not None:
            self._saving.cancel()
        self.hasten()
        await self(Handle.close)
        if self._timer is not None:
            self._timer.cancel()

    async def _made(self, blocking: Blocking, work: Callable[[Handle], T]) -> T:
        while not self.handle.alone:
            handle = self.handle
            if self._dead == handle.turn:  # it hangs still: who comes now has waited for nothing yet, and need not
                raise self._no_answer(self._patience)
            limit = asyncio.timeout(None)
            try:
                if self._patience is None:
                    return await blocking(partial(_in_thread, handle, work), self._deadline)
                async with limit:
                    self._waiting.add(limit)
                    self._look_soon()
                    return await blocking(partial(_in_thread, handle, work), self._deadline)
            except TimeoutError:
                if self.handle is handle:
                    handle.moved = True  # the thread may still do it
                    self._dead = handle.turn if handle.turn % 2 else self._dead
                    raise self._no_answer(self._patience if limit.expired() else self._deadline) from None
            except asyncio.CancelledError:
                handle.moved = True
                raise
            finally:
                self._waiting.discard(limit)
        return work(self.handle)

    def _no_answer(self, after: Millis | None) -> StoreError:
        limit = (after or self._deadline) / 1000
        return StoreError(f"the state {self.handle.path} gave no answer in {limit:g} s; look at its disk")

    # ------------------------------------------------------------------------------------- looking

    def _look_soon(self) -> None:
        if self._timer is None and self._patience is not None:
            self._timer = asyncio.get_running_loop().call_later(self._patience / _LOOKS / 1000, self._look)

    def _look(self) -> None:
        """See whether the thread is where it was."""
        self._timer, turn = None, self.handle.turn
        if not self._waiting or self.handle.alone:
            self._looks = 0
            return
        if turn % 2 == 0 or turn != self._seen or not self.handle.sound:  # to open it, as a large one, may take longer
            self._seen, self._looks = turn, 0
        else:
            self._looks += 1
        if self._looks >= _LOOKS:
            self._go_on()
        self._look_soon()

    def _go_on(self) -> None:
        """Leave the thread to itself."""
        other = self.handle.leave(str(self._no_answer(self._patience)))
        if other is not None:
            behind, self.handle = self.handle, other
            self._saving = asyncio.create_task(self._save(behind))
        elif self.handle.is_lost:
            self._dead = self.handle.turn
        else:
            return
        for limit in self._waiting:
            limit.reschedule(asyncio.get_running_loop().time())

    # ------------------------------------------------------------------------------------- saving again

    async def _save(self, behind: Handle) -> None:
        """Wait until the thread is back, and have it save what is in memory, until that is quick; then use it again."""
        if self._blocking is None or self._patience is None:
            return
        loop = asyncio.get_running_loop()
        await self._blocking(lambda: None, _FOR_EVER)
        self.handle.heed(behind)
        while True:
            trial, began = None, loop.time()
            with suppress(StoreError, MemoryError):  # no room for a copy: it is tried again
                trial = self.handle.trial()
            if trial is not None:
                await self._blocking(partial(_tried, trial), _FOR_EVER)
                self.handle.heed(trial)
                if loop.time() - began < self._patience / 1000:
                    break
            await asyncio.sleep(_REST / 1000)
        self.handle.alone, self.handle.shaken = False, True
        with suppress(StoreError):  # it is tried again
            await self._made(self._blocking, Handle.save)


def _in_thread(handle: Handle, work: Callable[[Handle], T]) -> T:
    handle.enter()
    try:
        return work(handle)
    finally:
        handle.come_back()


def _tried(trial: Handle) -> None:
    """Try to save with a handle of which nothing stays open. What keeps it from that is found again and said later."""
    try:
        with suppress(Exception):
            trial.save()
    finally:
        trial.let_go()
