"""Threads for blocking library calls: bounded, one pool per user, and never waited for at exit.

concurrent.futures joins its threads when the interpreter ends: a process once waited 21 s for a call that
had "timed out" after half a second. These threads are daemons and a late answer is dropped.

A machine may have no thread or no memory for a while. `threading.Thread.start` waits until the new thread says that it
runs, so it hangs for ever where that one dies of want of memory before it can: the loop of a daemon would stand still.
So a thread is begun here without being waited for, counts when it has come, and is given up where it does not come.
One that is there stays, whatever memory it lacks for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from _thread import start_new_thread
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Millis

T = TypeVar("T")

_COMING = 2.0  # s; a thread that has not come by then never does
_AGAIN = 1.0  # s; how often a call that has no thread at all looks for one
_BREATH = 0.05  # s; a thread that lacks memory goes on after


def begin(work: Callable[[], None]) -> bool:
    """Start a thread that nothing waits for, now or at exit; tells whether there was one to be had. It may not come."""
    try:
        start_new_thread(work, ())
    except (RuntimeError, MemoryError):
        return False
    return True


class _Scarcity:
    """Says that there are no threads, once, and that there are again."""

    def __init__(self) -> None:
        self._said = False
        self._log = logging.getLogger("alerting")

    def wrong(self) -> None:
        """Take note that none was to be had, or that one did not come."""
        if not self._said:
            self._said = True
            words = (
                "the machine has no thread or memory for one: what needs one waits, and fails where it waits too long"
            )
            with suppress(MemoryError):
                self._log.error(words, extra={"action": "trouble"})

    def well(self) -> None:
        """Take note of one that came."""
        if self._said:
            self._said = False
            self._log.info("over: the machine has threads again", extra={"action": "trouble_over"})


_SCARCITY = _Scarcity()  # of the machine, so for all pools


class Pool:
    """The Blocking port. At most `size` calls run at once; more wait, and their waiting counts."""

    def __init__(self, size: int) -> None:
        self._work = _Work(size)
        # The threads hold the work and not the pool: they end when nobody has it any more. A reload makes new pools.
        weakref.finalize(self, self._work.end).atexit = False

    async def __call__(self, call: Callable[[], T], deadline: Millis) -> T:
        """Run `call` in a thread. Raises TimeoutError after `deadline`; the thread is then left alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        work = self._work
        try:
            async with asyncio.timeout(deadline / 1000):
                work.put((call, loop, future))
                while not work.threads and not future.done():  # none was to be had, or it has not come yet
                    await asyncio.wait((future,), timeout=_AGAIN)
                    work.see_to_threads()
                return await future
        finally:
            future.cancel()  # whoever gave up wants no call any more


class _Work:
    """What the threads of a pool share: the calls that wait."""

    def __init__(self, size: int) -> None:
        self.threads = 0  # that have come and have not ended
        self._size = size
        self._lock = threading.Condition()
        self._queue: deque[tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]] = deque()
        self._coming: list[float] = []  # until when each thread that was begun may still come
        self._idle = 0  # of the threads: they wait for a call
        self._over = False

    def put(self, queued: tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]) -> None:
        """Hand over a call."""
        with self._lock:
            self._queue.append(queued)
        self.see_to_threads()

    def see_to_threads(self) -> None:
        """Wake a thread for what waits, or begin one more. Where the machine has none, calls wait for the next try."""
        with self._lock:
            if self._idle >= len(self._queue):  # one that was woken for an earlier call counts as idle until it has it
                self._lock.notify()
                return
            now = time.monotonic()
            if self._coming and self._coming[0] < now:
                self._coming = [until for until in self._coming if until >= now]
                _SCARCITY.wrong()
            if self.threads + len(self._coming) >= self._size:
                return
            self._coming.append(now + _COMING)
            if not begin(self._go_on):
                self._coming.pop()
                _SCARCITY.wrong()

    def end(self) -> None:
        """Let the threads end: there will be no more calls. May come from any thread at any time."""
        with self._lock:
            self._over = True
            self._lock.notify_all()

    def _go_on(self) -> None:
        """Make one call after another: what a thread does."""
        with self._lock:
            if not self._coming:  # it was given up
                return
            self._coming.pop()
            self.threads += 1
        try:
            _SCARCITY.well()
            while True:
                try:
                    if not self._make_one():
                        return
                except MemoryError:
                    time.sleep(_BREATH)
        finally:
            with self._lock:
                self.threads -= 1

    def _make_one(self) -> bool:
        """Wait for a call and make it; tell whether there may be more."""
        with self._lock:
            self._wait()
            if not self._queue:
                return False
            queued = self._queue.popleft()
        return _answer(*queued)

    def _wait(self) -> None:
        """Wait for a call, or the end. Whoever calls holds the lock."""
        self._idle += 1
        try:
            while not self._queue and not self._over:
                self._lock.wait()
        finally:
            self._idle -= 1


def _answer(call: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> bool:
    """Make a call for whoever waits for it. Tells whether there may be more."""
    if future.done():  # its caller gave up while it waited
        return True
    try:
        result, error = call(), None
    except BaseException as caught:  # noqa: BLE001  it belongs to the caller, whatever it is
        result, error = None, caught
    while not future.done():
        try:
            loop.call_soon_threadsafe(_finish, future, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return False
        except MemoryError:  # until there is room for the answer, or nobody waits for it
            time.sleep(_BREATH)
        else:
            break
    return True


def _finish(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
