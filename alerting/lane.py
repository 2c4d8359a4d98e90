"""One receiver's queue as this process sees it: what the outbox remembers of it between two steps."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from alerting.ports import THEN, Follows

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from alerting.core.pace import Pace
    from alerting.model import Delivery, Millis, Notification, Receipt
    from alerting.ports import Clock

_BESIDE = 500  # messages about which more may be done; what is beside older ones is given up
QUICK: Millis = 50  # a receiver that answers within is claimed for in advance


class Terms(NamedTuple):
    """How a receiver may be sent to, and who is told what it cannot be told."""

    at_once: int = 1  # messages in flight, never two of one group key
    pace: Pace | None = None  # None: as fast as it goes
    late_after: Millis | None = None  # so long owed, its fallback is told; None: it has none


PLAIN = Terms()


class LaneStatus(NamedTuple):
    """How the sending to one receiver goes."""

    receiver: str
    failures: int  # attempts in a row that did not get through
    failing_for: Millis  # since the first of them
    why: str  # of the newest
    unrecorded: int  # results that the store has not taken
    trouble: str  # why the store does not serve it now; empty: it does


class Pause(NamedTuple):
    """How long there is nothing to do for a lane."""

    wait: Millis
    paced: bool = False  # only because of the receiver's pace
    nothing: bool = False  # it owes nothing


class Beside:
    """What may still be done about messages that have arrived (`ports.Follows`), one step at a time.

    It is done between messages and never kept: what fails, and what is left when the process ends, is given up.
    """

    def __init__(self, woken: asyncio.Event) -> None:
        self._woken = woken
        self._left: deque[tuple[Notification, Receipt]] = deque(maxlen=_BESIDE)
        self._task: asyncio.Task[None] | None = None
        self.fault: BaseException | None = None  # of ours, in the newest step

    @property
    def runs(self) -> bool:
        """Tell whether a step is being taken."""
        return self._task is not None

    @property
    def waits(self) -> bool:
        """Tell whether a step could be taken now."""
        return bool(self._left) and self._task is None

    def add(self, delivery: Delivery) -> None:
        """Take in a message that was sent."""
        if delivery.receipt and THEN in delivery.receipt:
            self._left.append((delivery.notification, delivery.receipt))

    def begin(self, notifier: object, clock: Clock, deadline: Millis) -> None:
        """Begin the next step."""
        step = self._step(notifier, *self._left.popleft(), clock, deadline)
        self._task = asyncio.create_task(step)

    async def _step(
        self, notifier: object, notification: Notification, receipt: Receipt, clock: Clock, deadline: Millis
    ) -> None:
        try:
            if isinstance(notifier, Follows):
                step = asyncio.ensure_future(notifier.follow(notification, receipt))
                await first_of(step, clock.sleep(deadline))
                if step.done() and not step.cancelled() and THEN in step.result():
                    self._left.appendleft((notification, step.result()))
        except Exception as error:  # noqa: BLE001  no fault in this may end the sending
            self.fault = error
        finally:
            self._task = None
            self._woken.set()

    def leave(self) -> None:
        """Give up what is left."""
        self._left.clear()
        if self._task is not None:
            self._task.cancel()


class Lane:
    """One receiver's queue as this process sees it. Times are monotonic."""

    def __init__(self, receiver: str) -> None:
        self.receiver = receiver
        self.woken = asyncio.Event()
        self.failures = 0  # in a row, on whichever messages
        self.rests_until: Millis = 0
        self.ready: deque[Delivery] = deque()  # claimed and not begun
        self.flying: set[asyncio.Task[Any]] = set()  # each makes one attempt after another
        self.held: deque[Delivery] = deque()  # results that the store has not taken yet
        self.hushed: set[str] = set()  # messages (their ids) that are to be called back, as they are silenced by now
        self.looked_at: set[str] = set()  # of these, what was not called back: it is sent
        self.beside = Beside(self.woken)
        self.faults: list[BaseException] = []  # of ours, in a flight
        self.worker: asyncio.Task[None] | None = None
        self.back_by: Millis = 0  # by then it takes its next step
        self.failed_at: Millis = 0  # when the newest of `failures` was
        self.failing_since: Millis | None = None  # when the first was
        self.why = ""  # of the newest of them
        self.trouble = ""  # why the store does not serve it now
        self.paid_until: Millis = 0  # see core.pace
        self.took: Millis = QUICK  # the newest attempt
        self.look_at: Millis = 0  # when it looks next for what its fallback should be told
        self.passed = True  # when it looked last, something was to be passed on: there may be more of it

    def status(self, now: Millis) -> LaneStatus:
        """Tell how the sending goes."""
        failing_for = 0 if self.failing_since is None else now - self.failing_since
        return LaneStatus(self.receiver, self.failures, failing_for, self.why, len(self.held), self.trouble)


def land(lane: Lane, flight: asyncio.Task[None]) -> None:
    """Note that a flight is over, and wake the lane."""
    lane.flying.discard(flight)
    if not flight.cancelled() and (error := flight.exception()) is not None:
        lane.faults.append(error)
    lane.woken.set()


async def first_of(*works: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> None:
    """Wait until one of several is done and call off the others; none is waited for that does not heed it."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not over.done():
            over.set_result(None)

    tasks = [asyncio.ensure_future(work) for work in works]
    for task in tasks:
        task.add_done_callback(wake)
    try:
        await over
    finally:
        for task in tasks:
            if not task.done():
                task.remove_done_callback(wake)
                task.cancel()
                task.add_done_callback(_forget)


class Watch:
    """Waits for one work after another, for none longer than its deadline; one sleep serves many of them.

    To begin and call off a sleep for each attempt would take a tenth of the CPU of a message.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: Millis = 0  # the work that is waited for must be done by then
        self._wakes: Millis = 0  # the sleep ends then
        self._sleep: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] | None = None

    async def wait(self, work: asyncio.Future[Any], deadline: Millis) -> None:
        """Wait until the work is done or its time is over; then it is called off, and not waited for."""
        self._over = over = asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: None if over.done() else over.set_result(None))
        self._ends = self._clock.monotonic() + deadline
        if self._sleep is None or self._ends < self._wakes:
            self.leave()
            self._wakes = self._ends
            self._sleep = asyncio.create_task(self._look())
        try:
            await over
        finally:
            if not work.done():
                work.cancel()
                work.add_done_callback(_forget)

    async def _look(self) -> None:
        """Sleep until what is waited for by then has had its time."""
        while (left := self._ends - self._clock.monotonic()) > 0:
            self._wakes = self._ends
            await self._clock.sleep(left)
        self._sleep = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def leave(self) -> None:
        """Call the sleep off."""
        if self._sleep is not None:
            self._sleep.cancel()
            self._sleep = None


def _forget(task: asyncio.Future[Any]) -> None:
    """Take note of how a task ended that nobody waits for, so that nothing is printed about it."""
    if not task.cancelled():
        task.exception()
