"""Time and order: an event loop whose clock moves only when everything rests, and a process that can die at any step.

Its law: what runs next is a function of what ran before, never of the machine. Callbacks run in the order in which
they were called for; timers in the order of their times, then of their making. Times are integer milliseconds.
"""

from __future__ import annotations

import asyncio
import heapq
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_700_000_000_000  # wall time at the beginning, ms
_BUSY = 200_000  # callbacks without time passing: something loops


class Wedged(AssertionError):  # noqa: N818  the name says what happened
    """Callbacks call for callbacks without end."""


class Call:
    """A callback at a later time, which can be called off: an asyncio.TimerHandle without what nobody asks it."""

    __slots__ = ("callback", "off")

    def __init__(self, callback: Callable[..., Any]) -> None:
        self.callback = callback
        self.off = False

    def __call__(self, *args: Any) -> None:
        if not self.off:
            self.callback(*args)

    def cancel(self) -> None:
        """Call it off."""
        self.off = True

    def cancelled(self) -> bool:
        """Tell whether it was called off."""
        return self.off


class Loop(asyncio.BaseEventLoop):
    """Virtual time for one process after another. `at` is the monotonic clock, `offset` how far the wall is off."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.offset = 0
        self.steps = 0  # callbacks run so far
        self.dying = False  # the process is to end before its next callback
        self.ended = False  # the program has come to its end: somebody should look
        self.fuse = -1  # so many callbacks more, then it dies; negative: it does not
        self.faults: list[str] = []  # what no code of the program took care of
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]  # without its checks
        self.create_task = partial(asyncio.Task, loop=self)  # type: ignore[method-assign]  # likewise
        self._made = 0
        ready = self._ready.append  # type: ignore[attr-defined]

        def call_soon(callback: Callable[..., Any], *args: Any, context: Any = None) -> None:
            ready((callback, args, copy_context() if context is None else context))

        self.call_soon = call_soon  # type: ignore[assignment]  # without asyncio's checks and its handle: nothing is called so often
        self.set_exception_handler(lambda _, context: self.faults.append(str(context.get("exception") or context)))

    get_debug = staticmethod(bool)  # each task and future asks: False, without a call

    def time(self) -> float:
        return self.at / 1000

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        call, within = Call(callback), copy_context() if context is None else context
        self.after(max(0, round(when * 1000) - self.at), lambda: self._ready.append((call, args, within)))  # type: ignore[attr-defined]
        return call

    def after(self, duration: int, call: Callable[[], None]) -> None:
        """Have `call` run between two callbacks once `duration` is over."""
        self._made += 1
        heapq.heappush(self._timers, (self.at + duration, self._made, call))

    def play(self, until: int) -> None:
        """Run everything up to the time `until`; comes back early when the process dies or ends."""
        ready = self._ready  # type: ignore[attr-defined]
        timers = self._timers
        steps = self.steps
        most = steps + _BUSY  # callbacks until time must have passed
        asyncio._set_running_loop(self)
        try:
            while not (self.dying or self.ended):
                while ready:
                    if self.fuse >= 0:
                        if self.fuse == 0:
                            self.dying = True
                            return
                        self.fuse -= 1
                    callback, args, context = ready.popleft()
                    try:
                        context.run(callback, *args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # noqa: BLE001  as asyncio does
                        self.call_exception_handler({"exception": error})
                    steps += 1
                    self.steps = steps
                    if steps > most:
                        raise Wedged("something loops without waiting")
                    if self.dying:
                        return
                if not timers or timers[0][0] > until:
                    break
                at, _, call = heapq.heappop(timers)
                if at > self.at:
                    self.at = at
                    most = steps + _BUSY
                call()
            if not (self.dying or self.ended):
                self.at = max(self.at, until)
        finally:
            asyncio._set_running_loop(None)

    def bury(self) -> None:
        """Let go of everything that the dead process had under way. Its ports do nothing any more."""
        self.fuse = -1
        self._timers.clear()
        for _ in range(20):
            tasks = asyncio.all_tasks(self)
            if not tasks:
                break
            for task in sorted(tasks, key=lambda each: int(each.get_name().rpartition("-")[2])):  # in order of making
                task.cancel()
            self.dying = self.ended = False
            self.play(self.at)
            self._timers.clear()
        else:
            raise Wedged(f"tasks do not end when they are cancelled: {tasks}")
        self.dying = self.ended = False


class Dead(asyncio.CancelledError):
    """The process is no more: what it still asks of the world has no effect."""


class Clock:
    """The Clock port of one process."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.alive = True

    def now(self) -> int:
        return START + self.loop.at + self.loop.offset

    def monotonic(self) -> int:
        return self.loop.at

    async def sleep(self, duration: int) -> None:
        if not self.alive:
            raise Dead
        future: asyncio.Future[None] = self.loop.create_future()
        self.loop.after(max(0, duration), lambda: future.done() or future.set_result(None))
        await future
