"""The sending: claims what is owed, makes one attempt, records how it ended.

Theory of operation. What is owed stands in the store; the tick put it there and knows nothing of sending. Each
receiver has a lane of its own, so that a slow or broken one delays no other. A lane claims (which is on disk before
anything is sent), asks the notifier for exactly one attempt under a total deadline, lets `core.backoff` decide, and
settles. A death in between leaves a claim, which the next run counts as an attempt with an unknown end and makes
again: at least once.

What is urgent is claimed first. What was overtaken while it waited is folded when it is claimed
(`core.telling.folding`). A lane keeps the pace that its receiver asks for (`core.pace`). Where several attempts may be
in flight, and the receiver is quick, more are claimed than fly, so that one commit serves many; what a failure leaves
unsent of these is put back as it was.

A result that the store would not take is held by its lane and offered again before the lane claims anything else:
while this process lives, a full disk does not double a message.

Two waits are kept apart. A *message* that failed waits by itself, so that one that always fails holds up nobody. A
*receiver* that failed twice in a row, on whichever messages, is left alone for a while: otherwise a thousand owed
messages would be a thousand requests to a service that is down. Its next attempt is made with the oldest message due.

What a notifier does beside its messages (`ports.Follows`) is done step by step when nothing is due, at the lane's pace,
after the message's own end is on disk; a message that comes meanwhile waits for none of it.

What is not sent after all, as it is silenced by now or as its receiver cannot be told, is given to `returns`.

Waits and leases run on the monotonic clock, placed on the wall once at the start: a step of the wall moves none.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from alerting.attempt import Attempts
from alerting.core import pace
from alerting.core.backoff import Limits
from alerting.core.builtin import DOWN_AFTER
from alerting.core.progress import Loop
from alerting.core.telling.folding import folded
from alerting.core.wall import Wall
from alerting.errors import StoreError
from alerting.lane import PLAIN, QUICK, Lane, LaneStatus, Pause, Terms, Watch, first_of, land
from alerting.model import DeliveryState
from alerting.returns import LOOK, Returns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import Delivery, Millis, Notification, Redact
    from alerting.ports import Clock, Fold, Notifier, Store
    from alerting.returns import Amends

LIMITS = Limits()
DEADLINE: Millis = 15_000  # of one attempt: a second line behind the notifier's own
LEASE: Millis = 120_000  # of a claim; longer than any attempt
PATIENCE: Millis = 5_000  # how long `drain` waits for a second attempt
GRACE: Millis = 8_000  # for what is in flight when the end is asked for
IDLE: Millis = 60_000  # a lane with nothing to do looks this often, should a wake be lost
_SOONEST: Millis = 10  # a wait is never shorter, so that no lane runs hot
_STORE_REST: Millis = 1_000  # before a store that failed is asked again
_FAULT_REST: Millis = 5_000  # before a lane goes on after a fault of ours
_STORE: Millis = 30_000  # the longest that the store may take over one call
_SOON: Millis = 1_000  # a lane that is woken goes on within
_AHEAD = 8  # so many messages are claimed in advance for each that may be in flight


class Outbox:
    """The lanes of all receivers over one store. Not for several event loops."""

    def __init__(
        self,
        store: Store,
        notifiers: Mapping[str, Notifier],
        clock: Clock,
        random: Callable[[], float],
        *,
        terms: Mapping[str, Terms] | None = None,
        limits: Limits = LIMITS,
        deadline: Millis = DEADLINE,
        redact: Redact = str,
        amends: Amends | None = None,
        on_settled: Callable[[Delivery], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
        on_fault: Callable[[str, BaseException], None] = lambda _part, _error: None,
    ) -> None:
        """Build it; nothing runs yet.

        `random` gives numbers in [0, 1). `terms` are by receiver. `amends` changes what is owed and is not sent
        (`alerting.returns`). `on_settled` is called when the end of an attempt is on disk, `on_trouble` with what
        operators should know: a store that fails, a fault of ours. `on_fault` is given such a fault itself, with the
        part that it was in.
        """
        self._store = store
        self._notifiers = dict(notifiers)
        self._terms = dict(terms or {})
        self._clock = clock
        self._deadline = deadline
        self._on_settled = on_settled
        self._on_trouble = on_trouble
        self._on_fault = on_fault
        self._epoch = clock.now() - clock.monotonic()
        self._wall = Wall(clock.monotonic(), clock.now())
        self._attempt = Attempts(
            clock,
            self._now,
            self._wall.age,
            random,
            terms_of=self._terms_of,
            limits=limits,
            deadline=deadline,
            redact=redact,
            on_fault=on_fault,
        )
        self._returns = Returns(store, clock, self._now, amends)
        self._lanes: dict[str, Lane] = {}
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
                await first_of(self._clock.sleep(IDLE), stop.wait())
        except asyncio.CancelledError:
            grace = 0
            raise
        finally:
            await self._end_lanes(grace)
            self._stop = None

    async def drain(self, deadline: Millis, patience: Millis = PATIENCE) -> Sequence[Delivery]:
        """Send what is due until nothing is, or `deadline` is over; for one-shot commands.

        Second attempts are waited for where they fall due within `patience`, a receiver's pace as long as there is
        time. Gives what became of each message that was tried. Raises StoreError where it cannot be known what is
        owed.
        """
        start = self._clock.monotonic()
        ends, patient_until = start + deadline, min(start + deadline, start + patience)
        results: dict[str, Delivery] = {}
        passed = True
        while passed:
            passing = (name for name, terms in self._terms.items() if terms.late_after is not None)
            lanes = [self._lane(receiver) for receiver in dict.fromkeys((*await self._store.owing(), *passing))]
            passed = any(await asyncio.gather(*(self._drain(lane, ends, patient_until, results) for lane in lanes)))
        return tuple(results.values())

    def wake(self, receiver: str) -> None:
        """Say that something new is owed to `receiver`."""
        lane = self._lane(receiver)
        if not lane.flying:
            lane.back_by = min(lane.back_by, self._clock.monotonic() + _SOON)
        lane.woken.set()
        if self._stop is not None and not self._stop.is_set():
            self._start(lane)

    async def adopt(self, notifiers: Mapping[str, Notifier], terms: Mapping[str, Terms] | None = None) -> None:
        """Take over another set of receivers: attempts in flight end with the old ones, which are then closed."""
        kept = {id(notifier) for notifier in notifiers.values()}
        retired = [notifier for notifier in self._notifiers.values() if id(notifier) not in kept]
        self._notifiers, self._terms = dict(notifiers), dict(terms or {})
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

    # ------------------------------------------------------------------------------------- lanes

    async def _work(self, lane: Lane, stop: asyncio.Event) -> None:
        """Serve one receiver until the end is asked for. No fault ends it."""
        while lane.held or lane.ready or lane.flying or not stop.is_set():
            lane.woken.clear()
            try:
                wait = (await self._step(lane)).wait
                lane.trouble = ""
            except StoreError as error:
                lane.trouble, wait = str(error), _STORE_REST
            except Exception as error:  # noqa: BLE001  a dead lane would owe for ever without a word
                self._on_fault(f"sending to {lane.receiver}", error)
                lane.trouble = f"a fault of alerting itself in sending to {lane.receiver}: {error!r}"
                wait = _FAULT_REST
            if lane.trouble:
                self._on_trouble(lane.trouble)
            flight = self._deadline + _STORE if lane.flying else 0
            lane.back_by = self._clock.monotonic() + max(wait, flight)
            if wait:
                await first_of(self._clock.sleep(wait), lane.woken.wait())

    async def _drain(self, lane: Lane, ends: Millis, patient_until: Millis, results: dict[str, Delivery]) -> bool:
        """Send what one receiver is owed; tell whether its fallback is owed something by now."""
        passed = False
        while (left := ends - self._clock.monotonic()) > 0:
            lane.woken.clear()
            try:
                passed = await self._returns.hand_over(lane, self._terms_of(lane).late_after) or passed
                step = await self._step(lane, left, results)
            except StoreError as error:
                self._on_trouble(str(error))
                step = Pause(_STORE_REST)
            busy = lane.flying or lane.beside.runs
            if not busy and self._clock.monotonic() + step.wait > (ends if step.paced else patient_until):
                break
            if step.wait:
                await first_of(self._clock.sleep(min(left, step.wait)), lane.woken.wait())
        if lane.flying:
            await asyncio.wait(lane.flying)  # each ends at `ends`
        lane.beside.leave()
        try:
            await self._put_back(lane)
            return await self._returns.hand_over(lane, self._terms_of(lane).late_after) or passed
        except StoreError as error:
            self._on_trouble(str(error))
            return passed

    async def _step(self, lane: Lane, left: Millis = DEADLINE, results: dict[str, Delivery] | None = None) -> Pause:
        """Record what has ended, claim and begin what may begin. Raises StoreError, and what a flight raised."""
        now = self._clock.monotonic()
        lane.back_by = now + _STORE
        await self._record(lane)
        if lane.faults:
            raise lane.faults.pop()
        if (fault := lane.beside.fault) is not None:
            lane.beside.fault = None
            self._on_fault(f"what is done beside messages to {lane.receiver}", fault)
        if self._stop is not None and self._stop.is_set():
            await self._put_back(lane)
            return Pause(IDLE if lane.flying else 0)
        if lane.hushed and not await self._returns.call_back(lane):
            return Pause(_STORE_REST)
        patience = IDLE
        late_after = self._terms_of(lane).late_after
        if self._stop is not None and late_after is not None:
            patience = LOOK
            if now >= lane.look_at:
                await self._returns.hand_over(lane, late_after)
        if lane.rests_until > now:
            await self._put_back(lane)
            return Pause(min(patience, lane.rests_until - now))
        found = await self._claim(lane)
        if found is not None:
            if lane.beside.waits and not (found.paced or lane.flying):
                self._go_beside(lane)
            if found.nothing and not lane.passed:
                patience = IDLE  # what is owed next wakes it, and nothing that is not owed can be late
            return found._replace(wait=min(patience, found.wait))
        rests = lane.rests_until - self._clock.monotonic()
        if rests > 0:  # a flight was asked to leave it alone while this claimed
            await self._put_back(lane)
            return Pause(min(patience, rests))
        for _ in range(min(len(lane.ready), self._seats(lane))):
            flight = asyncio.create_task(self._fly(lane, left, results))
            lane.flying.add(flight)
            flight.add_done_callback(partial(land, lane))
        return Pause(patience)

    def _go_beside(self, lane: Lane) -> None:
        """Take the next step about a message that has arrived; it counts for the pace as a message does."""
        terms = self._terms_of(lane)
        if terms.pace is not None:
            lane.paid_until = pace.taken(terms.pace, lane.paid_until, self._clock.monotonic(), 1)
        lane.beside.begin(self._notifiers.get(lane.receiver), self._clock, self._deadline)

    async def _claim(self, lane: Lane) -> Pause | None:
        """Claim what may begin, unless enough is ready. Gives how long there is nothing to do; None: there is.

        Raises StoreError.
        """
        terms, now, at = self._terms_of(lane), self._clock.monotonic(), self._now()
        if len(lane.ready) >= terms.at_once:
            return None
        wanted = self._seats(lane)
        if terms.pace is not None and wanted > 0:
            wanted = min(wanted, pace.room(terms.pace, lane.paid_until, now))
            if not wanted and not lane.ready:
                if not lane.beside.waits and await self._store.next_due(lane.receiver) is None:
                    return Pause(IDLE)
                return Pause(max(_SOONEST, pace.wait(terms.pace, lane.paid_until, now)), paced=True)
        elif terms.at_once > 1 and lane.took < QUICK and not lane.failures:
            wanted = terms.at_once * _AHEAD
        if wanted <= len(lane.ready):
            return None
        claimed = await self._store.claim(lane.receiver, at, LEASE, wanted - len(lane.ready), self._fold(lane))
        lane.ready.extend(claimed)
        if claimed and terms.pace is not None:
            lane.paid_until = pace.taken(terms.pace, lane.paid_until, now, len(claimed))
        if lane.ready:
            return None
        due = await self._store.next_due(lane.receiver)
        return Pause(IDLE, nothing=True) if due is None else Pause(max(_SOONEST, due - at))

    def _seats(self, lane: Lane) -> int:
        """Give how many more attempts may begin; a receiver that fails is tried by one at a time."""
        return (1 if lane.failures else self._terms_of(lane).at_once) - len(lane.flying)

    async def _fly(self, lane: Lane, left: Millis, results: dict[str, Delivery] | None) -> None:
        """Make one attempt after another at what is ready, until the lane must think."""
        watch = Watch(self._clock)
        try:
            await self._attempts(lane, left, results, watch)
        finally:
            watch.leave()

    async def _attempts(self, lane: Lane, left: Millis, results: dict[str, Delivery] | None, watch: Watch) -> None:
        while lane.ready:
            delivery = lane.ready.popleft()
            if self._returns.is_hushed(lane, delivery):
                lane.hushed.add(delivery.notification.id)
                lane.held.append(delivery._replace(state=DeliveryState.PENDING))
                lane.woken.set()
                continue
            notifier = self._notifiers.get(lane.receiver)
            result = await self._attempt.make(delivery, lane, notifier, left, watch)
            if results is not None:
                results[result.notification.id] = result
            lane.held.append(result)
            lane.woken.set()
            resting = lane.rests_until > self._clock.monotonic()  # another flight was asked to leave it alone
            if lane.failures or resting or (self._stop is not None and self._stop.is_set()) or results is not None:
                return

    async def _put_back(self, lane: Lane) -> None:
        """Record what has ended, and give back what was claimed and not begun."""
        while lane.ready:
            lane.held.append(lane.ready.popleft()._replace(state=DeliveryState.PENDING))
        await self._record(lane)

    async def _record(self, lane: Lane) -> None:
        """Put held results into the store, all at once; what it does not take stays held."""
        while lane.held:
            ended = tuple(lane.held)
            await self._store.settle(*ended)
            for each in ended:
                lane.held.popleft()
                if each.tried_at or each.settled_at:
                    self._on_settled(each)
                if each.state is DeliveryState.PARKED:
                    lane.look_at = 0
                if each.state is DeliveryState.PENDING and each.tried_at and self._returns.is_hushed(lane, each):
                    lane.hushed.add(each.notification.id)  # it was in flight when that began
                if each.state is DeliveryState.SENT:
                    lane.beside.add(each)

    def _fold(self, lane: Lane) -> Fold | None:
        """Give how messages of a receiver are folded; nothing is, where nobody knows it any more."""
        notifier = self._notifiers.get(lane.receiver)
        if notifier is None:
            return None

        def fold(waiting: Sequence[Notification]) -> tuple[int, Notification]:
            """Fold, up to what is silenced by now: that would be told by a message that may have arrived."""
            return folded([waiting[0], *self._returns.audible(waiting[1:])], notifier.stands_for)

        return fold

    def _terms_of(self, lane: Lane) -> Terms:
        return self._terms.get(lane.receiver, PLAIN)

    # ------------------------------------------------------------------------------------- telling how it goes

    async def standing(self) -> Mapping[str, str]:
        """Say which receivers are down and why, which are well (empty); of whom nothing is known is left out."""
        before = min(self._now(), self._clock.now()) - DOWN_AFTER
        return await self._store.standing(tuple(self._notifiers), before)

    def loops(self) -> Sequence[Loop]:
        """Say by when each lane goes on, and the looking for lanes; for while `run` should run."""
        lanes = [(lane, lane.worker) for lane in self._lanes.values() if lane.worker is not None]
        mine = Loop("delivery", self._back_by, ended=self._stop is None)
        return [mine, *(Loop(f"sending to {lane.receiver}", lane.back_by, worker.done()) for lane, worker in lanes)]

    def lanes(self) -> Sequence[LaneStatus]:
        """Tell how the sending to each receiver goes."""
        now = self._clock.monotonic()
        return [lane.status(now) for lane in self._lanes.values()]

    # ------------------------------------------------------------------------------------- the lanes themselves

    def _lane(self, receiver: str) -> Lane:
        if receiver not in self._lanes:
            self._lanes[receiver] = Lane(receiver)
        return self._lanes[receiver]

    def _start(self, lane: Lane) -> None:
        if self._stop is not None and (lane.worker is None or lane.worker.done()):
            lane.worker = asyncio.create_task(self._work(lane, self._stop))

    async def _open_lanes(self) -> None:
        """Start a lane for each receiver that there is, or that something is owed to."""
        owing: Sequence[str] = ()
        try:
            owing = await self._store.owing()
        except StoreError as error:
            self._on_trouble(str(error))
        except Exception as error:  # noqa: BLE001  as in a lane: nothing would be sent any more, to anybody
            self._on_fault("looking for what is owed", error)
        for receiver in dict.fromkeys((*self._notifiers, *owing)):
            self._start(self._lane(receiver))

    async def _end_lanes(self, grace: Millis) -> None:
        workers = [lane.worker for lane in self._lanes.values() if lane.worker is not None]
        for lane in self._lanes.values():
            lane.woken.set()
            lane.worker = None
            lane.beside.leave()
        if workers:
            await first_of(asyncio.wait(workers), self._clock.sleep(grace))
        flights = [task for lane in self._lanes.values() for task in lane.flying]
        for task in (*workers, *flights):
            task.cancel()
        await asyncio.gather(*workers, *flights, return_exceptions=True)

    def _now(self) -> Millis:
        """Time for waits and leases: the wall as it was at the start, moved on by the monotonic clock."""
        monotonic = self._clock.monotonic()
        self._wall.note(monotonic, self._clock.now())
        return self._epoch + monotonic
