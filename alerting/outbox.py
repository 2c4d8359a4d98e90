"""The sending: claims what is owed, makes one attempt, records how it ended.

Theory of operation. What is owed stands in the store; the tick put it there and knows nothing of sending. Each
receiver has a lane of its own, so that a slow or broken one delays no other. A lane claims (which is on disk before
anything is sent), asks the notifier for exactly one attempt under a total deadline, lets `core.backoff` decide, and
settles. A death in between leaves a claim, which the next run counts as an attempt with an unknown end and makes
again: at least once.

A result that the store would not take is held by its lane and offered again before the lane claims anything else:
while this process lives, a full disk does not double a message.

Two waits are kept apart. A *message* that failed waits by itself, so that one that always fails holds up nobody. A
*receiver* that failed twice in a row, on whichever messages, is left alone for a while: otherwise a thousand owed
messages would be a thousand requests to a service that is down. Its next attempt is made with the oldest message due.

Waits and leases run on the monotonic clock, placed on the wall once at the start: a step of the wall moves none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.backoff import Limits, after, exhausted, pause
from alerting.core.progress import Loop
from alerting.errors import StoreError
from alerting.model import Answer, DeliveryState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from alerting.model import Delivery, Millis, Redact
    from alerting.ports import Clock, Notifier, Store

LIMITS = Limits()
DEADLINE: Millis = 15_000  # of one attempt: a second line behind the notifier's own
LEASE: Millis = 120_000  # of a claim; longer than any attempt
PATIENCE: Millis = 5_000  # how long `drain` waits for a second attempt
GRACE: Millis = 8_000  # for what is in flight when the end is asked for
IDLE: Millis = 60_000  # a lane with nothing to do looks this often, should a wake be lost
_REST = (2_000, 20_000)  # first and longest rest of a receiver that fails; so at most ten attempts a minute
_SOONEST: Millis = 10  # a wait is never shorter, so that no lane runs hot
_STORE_REST: Millis = 1_000  # before a store that failed is asked again
_STORE: Millis = 30_000  # the longest that the store may take over one call
_SOON: Millis = 1_000  # a lane that is woken goes on within


class _Lane:
    """One receiver's queue as this process sees it. Times are monotonic."""

    def __init__(self, receiver: str) -> None:
        self.receiver = receiver
        self.woken = asyncio.Event()
        self.failures = 0  # in a row, on whichever messages
        self.rests_until: Millis = 0
        self.held: list[Delivery] = []  # results that the store has not taken yet
        self.flying: set[asyncio.Task[Any]] = set()
        self.worker: asyncio.Task[None] | None = None
        self.back_by: Millis = 0  # by then it takes its next step
        self.failing_since: Millis | None = None  # when the first of `failures` was
        self.why = ""  # of the newest of them
        self.trouble = ""  # why the store does not serve it now


class LaneStatus(NamedTuple):
    """How the sending to one receiver goes."""

    receiver: str
    failures: int  # attempts in a row that did not get through
    failing_for: Millis  # since the first of them
    why: str  # of the newest
    unrecorded: int  # results that the store has not taken
    trouble: str  # why the store does not serve it now; empty: it does


class Outbox:
    """The lanes of all receivers over one store. Not for several event loops."""

    def __init__(
        self,
        store: Store,
        notifiers: Mapping[str, Notifier],
        clock: Clock,
        random: Callable[[], float],
        *,
        limits: Limits = LIMITS,
        deadline: Millis = DEADLINE,
        at_once: int = 1,
        redact: Redact = str,
        on_settled: Callable[[Delivery], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Build it; nothing runs yet.

        `random` gives numbers in [0, 1). `at_once` is how many messages of one receiver are in flight (never two with
        the same group key). `on_settled` is called when the end of an attempt is on disk, `on_trouble` with what
        operators should know: a store that fails, a fault of ours.
        """
        self._store = store
        self._notifiers = dict(notifiers)
        self._clock = clock
        self._random = random
        self._limits = limits
        self._deadline = deadline
        self._at_once = at_once
        self._redact = redact
        self._on_settled = on_settled
        self._on_trouble = on_trouble
        self._epoch = clock.now() - clock.monotonic()
        self._lanes: dict[str, _Lane] = {}
        self._stop: asyncio.Event | None = None  # set while `run` runs
        self._back_by: Millis = 0  # by then `run` looks for lanes again

    # ------------------------------------------------------------------------------------- driving

    async def run(self, stop: asyncio.Event, grace: Millis = GRACE) -> None:
        """Send until `stop` is set; then claim no more and finish what is in flight, within `grace`."""
        self._stop = stop
        try:
            while not stop.is_set():
                self._back_by = self._clock.monotonic() + _STORE
                await self._open_lanes()
                self._back_by = self._clock.monotonic() + IDLE
                await _first(self._clock.sleep(IDLE), stop.wait())
        except asyncio.CancelledError:
            grace = 0
            raise
        finally:
            await self._end_lanes(grace)
            self._stop = None

    async def drain(self, deadline: Millis, patience: Millis = PATIENCE) -> Sequence[Delivery]:
        """Send what is due until nothing is, or `deadline` is over; for one-shot commands.

        Second attempts are waited for where they fall due within `patience`. Gives what became of each message that
        was tried. Raises StoreError where it cannot be known what is owed.
        """
        start = self._clock.monotonic()
        ends, patient_until = start + deadline, min(start + deadline, start + patience)
        results: dict[str, Delivery] = {}
        lanes = [self._lane(receiver) for receiver in await self._store.owing()]
        await asyncio.gather(*(self._drain(lane, ends, patient_until, results) for lane in lanes))
        return tuple(results.values())

    def wake(self, receiver: str) -> None:
        """Say that something new is owed to `receiver`."""
        lane = self._lane(receiver)
        if not lane.flying:
            lane.back_by = min(lane.back_by, self._clock.monotonic() + _SOON)
        lane.woken.set()
        if self._stop is not None and not self._stop.is_set():
            self._start(lane)

    async def adopt(self, notifiers: Mapping[str, Notifier]) -> None:
        """Take over another set of receivers: attempts in flight end with the old ones, which are then closed."""
        kept = {id(notifier) for notifier in notifiers.values()}
        retired = [notifier for notifier in self._notifiers.values() if id(notifier) not in kept]
        self._notifiers = dict(notifiers)
        flying = {task for lane in self._lanes.values() for task in lane.flying}
        for receiver in dict.fromkeys((*self._lanes, *notifiers)):
            lane = self._lane(receiver)
            lane.failures = lane.rests_until = 0  # its settings may have been mended
            lane.failing_since = None
            self.wake(receiver)
        if flying:
            await asyncio.wait(flying)
        for notifier in retired:
            await notifier.close()

    async def close(self) -> None:
        """Let the receivers go."""
        for notifier in self._notifiers.values():
            await notifier.close()

    # ------------------------------------------------------------------------------------- one attempt

    async def deliver(self, delivery: Delivery, deadline: Millis = DEADLINE) -> Delivery:
        """Make one attempt at a claimed message and decide what becomes of it; the caller records that."""
        notification = delivery.notification
        if delivery.attempts >= self._limits.most:  # nobody saw their ends: the process died in them
            spent = exhausted(delivery.attempts, notification.created, self._clock.now(), self._limits)
            why = f"given up {spent}: {delivery.why}"
            return delivery._replace(state=DeliveryState.PARKED, why=why, settled_at=self._clock.now())
        answer = await self._ask(delivery, min(self._deadline, deadline))
        answer = answer._replace(why=self._redact(answer.why))
        self._note(self._lane(notification.receiver), answer)
        attempts, now = delivery.attempts + 1, self._now()
        age = min(now, self._clock.now()) - notification.created  # by the wall then and now: no step makes it old
        decided = after(attempts, answer, now - age, now, limits=self._limits, jitter=self._random())
        owed = decided.state is DeliveryState.PENDING
        kept = delivery.receipt if owed and answer.receipt is None else answer.receipt  # a note to the next attempt
        return delivery._replace(
            state=decided.state,
            attempts=attempts,
            next_at=decided.at,
            why=decided.why,
            outcome=answer.outcome,
            receipt=kept,
            settled_at=0 if owed else self._clock.now(),
        )

    async def _ask(self, delivery: Delivery, deadline: Millis) -> Answer:
        """Ask the notifier under a total deadline. Whatever it does, there is an answer."""
        notification = delivery.notification
        notifier = self._notifiers.get(notification.receiver)
        if notifier is None:
            return Answer(Outcome.RETRY, f"the settings have no receiver named {notification.receiver!r}")
        try:
            previous = delivery.receipt
            if previous is None:
                previous = await self._store.previous_receipt(notification.receiver, notification.group_key)
            attempt = asyncio.ensure_future(notifier.deliver(notification, previous))
            await _first(attempt, self._clock.sleep(deadline))
            if not attempt.done() or attempt.cancelled():
                return Answer(Outcome.UNKNOWN, f"no answer within {deadline / 1000:g} s")
            return attempt.result()
        except StoreError as error:
            return Answer(Outcome.RETRY, str(error))
        except Exception as error:  # noqa: BLE001  a notifier may not raise; if one does, the message stays owed
            return Answer(Outcome.UNKNOWN, f"a fault of alerting itself: {type(error).__name__}")

    def _note(self, lane: _Lane, answer: Answer) -> None:
        """Let a receiver rest that failed twice in a row, or that asked for it."""
        if answer.outcome in (Outcome.SENT, Outcome.REFUSED):
            lane.failures, lane.failing_since = 0, None
            return
        lane.failures += 1
        lane.why = answer.why
        if lane.failing_since is None:
            lane.failing_since = self._clock.monotonic()
        rest = pause(lane.failures - 1, *_REST, self._random()) if lane.failures > 1 else 0
        wish = min(answer.retry_after or 0, self._limits.longest_wish)
        lane.rests_until = max(lane.rests_until, self._clock.monotonic() + max(rest, wish))

    # ------------------------------------------------------------------------------------- lanes

    async def _work(self, lane: _Lane, stop: asyncio.Event) -> None:
        """Serve one receiver until the end is asked for. No fault ends it."""
        while lane.held or not stop.is_set():
            lane.woken.clear()
            try:
                wait = await self._step(lane)
                lane.trouble = ""
            except StoreError as error:
                lane.trouble, wait = str(error), _STORE_REST
            except Exception as error:  # noqa: BLE001  a dead lane would owe for ever without a word
                lane.trouble = f"a fault of alerting itself in sending to {lane.receiver}: {error!r}"
                wait = IDLE
            if lane.trouble:
                self._on_trouble(lane.trouble)
            lane.back_by = self._clock.monotonic() + wait
            if wait:
                await _first(self._clock.sleep(wait), lane.woken.wait())

    async def _drain(self, lane: _Lane, ends: Millis, patient_until: Millis, results: dict[str, Delivery]) -> None:
        while (left := ends - self._clock.monotonic()) > 0:
            try:
                wait = await self._step(lane, left, results)
            except StoreError as error:
                self._on_trouble(str(error))
                wait = _STORE_REST
            if self._clock.monotonic() + wait > patient_until and wait:
                return
            if wait:
                await self._clock.sleep(wait)

    async def _step(self, lane: _Lane, left: Millis = DEADLINE, results: dict[str, Delivery] | None = None) -> Millis:
        """Claim and send once. Gives how long there is nothing to do; 0: go on. Raises StoreError."""
        lane.back_by = self._clock.monotonic() + _STORE
        await self._record(lane)
        if self._stop is not None and self._stop.is_set():
            return 0
        rest = lane.rests_until - self._clock.monotonic()
        if rest > 0:
            return rest
        now = self._now()
        claimed = await self._store.claim(lane.receiver, now, LEASE, self._at_once)
        if not claimed:
            due = await self._store.next_due(lane.receiver)
            return IDLE if due is None else min(IDLE, max(_SOONEST, due - now))
        lane.back_by = self._clock.monotonic() + min(self._deadline, left) + _STORE
        flights = [asyncio.ensure_future(self._fly(lane, delivery, left, results)) for delivery in claimed]
        lane.flying.update(flights)
        try:
            ends = await asyncio.gather(*flights, return_exceptions=True)
        finally:
            lane.flying.difference_update(flights)
        for end in ends:
            if end is not None:
                raise end
        return 0

    async def _fly(self, lane: _Lane, delivery: Delivery, left: Millis, results: dict[str, Delivery] | None) -> None:
        result = await self.deliver(delivery, left)
        if results is not None:
            results[result.notification.id] = result
        lane.held.append(result)
        await self._record(lane)

    async def _record(self, lane: _Lane) -> None:
        """Put held results into the store, oldest first; what it does not take stays held."""
        while lane.held:
            result = lane.held[0]
            await self._store.settle(result)
            if lane.held and lane.held[0] is result:  # another flight may have recorded it meanwhile
                del lane.held[0]
                self._on_settled(result)

    # ------------------------------------------------------------------------------------- telling how it goes

    def loops(self) -> Sequence[Loop]:
        """Say by when each lane goes on, and the looking for lanes; for while `run` should run."""
        lanes = [(lane, lane.worker) for lane in self._lanes.values() if lane.worker is not None]
        mine = Loop("delivery", self._back_by, ended=self._stop is None)
        return [mine, *(Loop(f"sending to {lane.receiver}", lane.back_by, worker.done()) for lane, worker in lanes)]

    def lanes(self) -> Sequence[LaneStatus]:
        """Tell how the sending to each receiver goes."""
        now = self._clock.monotonic()
        return [
            LaneStatus(
                lane.receiver,
                lane.failures,
                0 if lane.failing_since is None else now - lane.failing_since,
                lane.why,
                len(lane.held),
                lane.trouble,
            )
            for lane in self._lanes.values()
        ]

    # ------------------------------------------------------------------------------------- the lanes themselves

    def _lane(self, receiver: str) -> _Lane:
        if receiver not in self._lanes:
            self._lanes[receiver] = _Lane(receiver)
        return self._lanes[receiver]

    def _start(self, lane: _Lane) -> None:
        if self._stop is not None and (lane.worker is None or lane.worker.done()):
            lane.worker = asyncio.ensure_future(self._work(lane, self._stop))

    async def _open_lanes(self) -> None:
        """Start a lane for each receiver that there is, or that something is owed to."""
        owing: Sequence[str] = ()
        try:
            owing = await self._store.owing()
        except StoreError as error:
            self._on_trouble(str(error))
        for receiver in dict.fromkeys((*self._notifiers, *owing)):
            self._start(self._lane(receiver))

    async def _end_lanes(self, grace: Millis) -> None:
        workers = [lane.worker for lane in self._lanes.values() if lane.worker is not None]
        for lane in self._lanes.values():
            lane.woken.set()
            lane.worker = None
        if workers:
            await _first(asyncio.wait(workers), self._clock.sleep(grace))
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _now(self) -> Millis:
        """Time for waits and leases: the wall as it was at the start, moved on by the monotonic clock."""
        return self._epoch + self._clock.monotonic()


async def _first(*works: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> None:
    """Wait until one of several is done and call off the others; none is waited for that does not heed it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    """Take note of how a task ended that nobody waits for, so that nothing is printed about it."""
    if not task.cancelled():
        task.exception()
