"""Threads for blocking library calls: bounded, one pool per user, and never waited for at exit.

concurrent.futures joins its threads when the interpreter ends: a process once waited 21 s for a call that
had "timed out" after half a second. These threads are daemons and a late answer is dropped.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Millis

T = TypeVar("T")


class Pool:
    """The Blocking port. At most `size` calls run at once; more wait, and their waiting counts."""

    def __init__(self, size: int, name: str = "blocking") -> None:
        self._size = size
        self._name = name
        self._work = _Work()
        # The threads hold the work and not the pool: they end when nobody has it any more. A reload makes new pools.
        weakref.finalize(self, self._work.end).atexit = False

    async def __call__(self, call: Callable[[], T], deadline: Millis) -> T:
        """Run `call` in a thread. Raises TimeoutError after `deadline`; the thread is then left alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        work = self._work
        with work.lock:
            work.queue.append((call, loop, future))
            if work.idle >= len(work.queue):  # one that was woken for an earlier call counts as idle until it has it
                work.lock.notify()
            elif work.threads < self._size:
                self._begin()
        async with asyncio.timeout(deadline / 1000):
            return await future

    def _begin(self) -> None:
        """Start one more thread. Where the machine has none, calls wait for those that there are, or the next try."""
        work = self._work
        thread = threading.Thread(target=work.go_on, name=f"{self._name}-{work.threads + 1}", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            work.threads += 1


class _Work:
    """What the threads of a pool share: the calls that wait."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.queue: deque[tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]] = deque()
        self.threads = 0  # that were started and have not ended
        self.idle = 0  # of these: they wait for a call
        self._over = False

    def end(self) -> None:
        """Let the threads end: there will be no more calls. May come from any thread at any time."""
        with self.lock:
            self._over = True
            self.lock.notify_all()

    def go_on(self) -> None:
        """Make one call after another: what a thread does. One that ends, also for want of memory, makes room."""
        try:
            while True:
                with self.lock:
                    self._wait()
                    if not self.queue:
                        return
                    queued = self.queue.popleft()
                if not _answer(*queued):
                    return
                del queued  # a thread that waits for work keeps nothing of the last alive
        finally:
            with self.lock:
                self.threads -= 1

    def _wait(self) -> None:
        """Wait for a call, or the end. Whoever calls holds the lock."""
        self.idle += 1
        try:
            while not self.queue and not self._over:
                self.lock.wait()
        finally:
            self.idle -= 1


def _answer(call: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> bool:
    """Make a call for whoever waits for it. Tells whether there may be more."""
    if future.done():  # its caller gave up while it waited
        return True
    try:
        result, error = call(), None
    except BaseException as caught:  # noqa: BLE001  it belongs to the caller, whatever it is
        result, error = None, caught
    try:
        loop.call_soon_threadsafe(_finish, future, result, error)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return False
    return True


def _finish(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
