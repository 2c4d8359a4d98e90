"""How the daemon itself is: every part judged by its progress, and what is counted for its metrics.

Theory of operation. Everything that runs without end says by when it will be back (`core.progress`); here these
promises are gathered and compared with the clock. The state is asked a small question through the very thread that
commits and claims, one at a time and never called off, as a call that is given up would put the store in doubt. What
goes round but fails (a receiver that refuses, a disk that is full) is an ailment without being a wedge; so is a canary
that does not arrive, although every part says that it goes round. Secrets that are old are no ailment, as everything
may still work: they are told beside.

An ailment is only one when a second look finds it too: a process that was stopped for a while is late with
everything in its first moment and well in the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.progress import Ailment, Loop, wedged
from alerting.errors import AlertingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Protocol

    from alerting.engine import Engine, TickReport
    from alerting.model import Delivery, Millis
    from alerting.outbox import Outbox
    from alerting.ports import Clock, Store
    from alerting.redact import Redactor
    from alerting.rotation import Rotation, Stale
    from alerting.selfwatch.canary import Canary
    from alerting.selfwatch.systemd import Systemd

    class Watched(Protocol):
        """The parts that are looked at, as the program holds them."""

        clock: Clock
        redact: Redactor
        engine: Engine
        outbox: Outbox
        store: Store
        rotation: Rotation
        canary: Canary | None


PATIENCE: Millis = 120_000  # so long a receiver may fail before that is an ailment
BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0)  # s, of the histogram of ticks
CANARY = "canary"  # the part that is all parts together
_SECOND_LOOK: Millis = 250
_ANSWER: Millis = 1_000  # the state should answer within
_PROBE: Millis = 45_000  # beyond its own deadline of 30 s nothing answers any more


class State(NamedTuple):
    """How the state (the database) answered."""

    latency: Millis  # of the newest answer; of one that did not come yet, how long it is waited for
    why: str  # it failed, did not come, or is in memory only; empty: all is well


class Checkup(NamedTuple):
    """How the daemon is at one moment."""

    ailments: Sequence[Ailment]
    state: State
    stale: Mapping[str, Stale]  # secrets, by the document that could not be fetched anew

    @property
    def wedged(self) -> bool:
        """Tell whether something does not go round, so that a restart is the remedy."""
        return any(ailment.wedged for ailment in self.ailments)

    @property
    def degraded(self) -> bool:
        """Tell whether somebody should look: a part does not do its work, or works by old secrets."""
        return bool(self.ailments or self.stale)

    def __str__(self) -> str:
        """Say in one line what does not go round; empty: all is well."""
        return "; ".join(f"{part}: {why}" for part, why, _ in self.ailments)


class Tally:
    """What happened since the start, for the metrics."""

    def __init__(self) -> None:
        self.evaluated = 0
        self.missed = 0
        self.ticks = 0
        self.tick_seconds = 0.0
        self.tick_buckets = [0] * len(BOUNDS)  # each counts those up to its bound
        self.blind = 0  # rules that cannot be judged now
        self.deliveries: dict[tuple[str, str], int] = {}  # (receiver, outcome) -> attempts
        self.delays: dict[str, tuple[int, Millis]] = {}  # receiver -> messages sent, and their delays together
        self.reloads = {"ok": 0, "refused": 0}
        self.config_good = True
        self.faults = 0  # of alerting itself
        self.beats: Mapping[str, int] = {}  # heartbeats, by how they ended
        self.lines_lost: Callable[[], int] = int  # log lines that could not be written


class Vitals:
    """See the module's text. For one event loop."""

    def __init__(self, program: Watched) -> None:
        self.tally = Tally()
        self.program = program
        self.clock = program.clock
        self.started = program.clock.monotonic()
        self._promises: dict[str, Loop] = {}
        self._undone: dict[str, str] = {}  # batch -> why its last tick came to nothing
        self._probe: asyncio.Task[State] | None = None
        self._probed_at: Millis = 0
        self._ending = False

    # ------------------------------------------------------------------------------------- being told

    def promise(self, part: str, within: Millis) -> None:
        """Take note that a part says that it will be back."""
        self._promises[part] = Loop(part, self.clock.monotonic() + within)

    def release(self, part: str) -> None:
        """Take note that a part is done, and not expected back."""
        self._promises.pop(part, None)

    def watch(self, part: str, task: asyncio.Task[None]) -> None:
        """Take note of a task that never should end."""
        task.add_done_callback(lambda _task: self._promises.update({part: Loop(part, 0, ended=True)}))

    def end(self) -> None:
        """Take note that the daemon stops: from now on nothing needs to go on."""
        self._ending = True

    def ticked(self, batch: str, report: TickReport, took: Millis) -> None:
        """Take note of a tick."""
        tally, seconds = self.tally, took / 1000
        tally.evaluated += report.evaluated
        tally.missed += report.missed
        tally.ticks += 1
        tally.tick_seconds += seconds
        tally.blind = len(report.blind)
        for at, bound in enumerate(BOUNDS):
            tally.tick_buckets[at] += seconds <= bound
        if report.trouble:
            self._undone[batch] = report.trouble
        else:
            self._undone.pop(batch, None)

    def failed(self, batch: str) -> None:
        """Take note of a tick that ended in a fault of alerting itself."""
        self.tally.faults += 1
        self._undone[batch] = "a fault of alerting itself kept rules from being evaluated; the log has it"

    def settled(self, delivery: Delivery) -> None:
        """Take note of how an attempt ended."""
        tally, receiver = self.tally, delivery.notification.receiver
        outcome = "none" if delivery.outcome is None else delivery.outcome.value
        tally.deliveries[receiver, outcome] = tally.deliveries.get((receiver, outcome), 0) + 1
        if self.program.canary is not None:
            self.program.canary.settled(delivery)
        if outcome == "sent":
            count, total = tally.delays.get(receiver, (0, 0))
            tally.delays[receiver] = (count + 1, total + max(0, delivery.settled_at - delivery.notification.created))

    def reloaded(self, why: str) -> None:
        """Take note of a reload; `why` it was refused, or nothing."""
        self.tally.reloads["refused" if why else "ok"] += 1
        self.tally.config_good = not why
        if not why:
            self._undone.clear()  # the batches may be others now

    # ------------------------------------------------------------------------------------- telling others

    async def reassure(self, systemd: Systemd, pace: Millis, say: Callable[[str], None]) -> None:
        """Give the service manager signs of life for as long as everything goes round; `say` hears what does not.

        What only fails is no reason to be started anew: it would fail again.
        """
        while True:
            checkup = await self.check()
            if checkup.wedged:
                say(f"does not go round: {checkup}")
            else:
                systemd.alive()
            systemd.status(str(checkup) or "watching")
            await self.clock.sleep(pace)

    async def ailing(self) -> str:
        """Say what keeps the heartbeat back; nothing: all is well."""
        return str(await self.check())

    # ------------------------------------------------------------------------------------- looking

    async def check(self) -> Checkup:
        """Look at every part."""
        first = await self._look()
        if not first.ailments:
            return first
        await self.clock.sleep(_SECOND_LOOK)
        second = await self._look()
        lasting = {ailment.part for ailment in first.ailments}
        return second._replace(ailments=[each for each in second.ailments if each.part in lasting])

    def parts(self) -> Sequence[str]:
        """Name every part that is looked at."""
        loops = (*self.program.engine.loops(), *self.program.outbox.loops(), *self._promises.values())
        canary = () if self.program.canary is None else (CANARY,)
        return list(dict.fromkeys(("evaluation", "state", *canary, *(loop.part for loop in loops))))

    async def _look(self) -> Checkup:
        state = await self._ask_state()
        program, now = self.program, self.clock.monotonic()
        loops = [*program.engine.loops(), *program.outbox.loops(), *self._promises.values()]
        found = {ailment.part: ailment for ailment in wedged(() if self._ending else loops, now)}
        for ailment in (*self._of_state(state), *self._of_lanes(), *self._of_canary()):
            found.setdefault(ailment.part, ailment)
        redact = program.redact
        stale = {name: each._replace(why=redact(each.why)) for name, each in program.rotation.stale.items()}
        return Checkup([each._replace(why=redact(each.why)) for each in found.values()], state, stale)

    def _of_state(self, state: State) -> Iterable[Ailment]:
        if state.why:
            yield Ailment("state", state.why, wedged=state.latency > _PROBE)
        for why in self._undone.values():
            yield Ailment("evaluation", why)

    def _of_lanes(self) -> Iterable[Ailment]:
        for lane in self.program.outbox.lanes():
            part = f"sending to {lane.receiver}"
            if lane.trouble:
                yield Ailment(part, lane.trouble)
            if lane.failures > 1 and lane.failing_for >= PATIENCE:
                yield Ailment(part, f"{lane.failures} attempts in a row failed: {lane.why}")

    def _of_canary(self) -> Iterable[Ailment]:
        canary = self.program.canary
        if canary is not None and canary.trouble():
            yield Ailment(CANARY, canary.trouble())

    async def _ask_state(self) -> State:
        """Ask the state, or go on waiting for its answer; but not for long."""
        if self._probe is None or self._probe.done():
            self._probed_at = self.clock.monotonic()
            self._probe = asyncio.ensure_future(self._question())
        limit = asyncio.ensure_future(self.clock.sleep(_ANSWER))
        await asyncio.wait((self._probe, limit), return_when=asyncio.FIRST_COMPLETED)
        limit.cancel()
        if self._probe.done():
            return self._probe.result()
        waited = self.clock.monotonic() - self._probed_at
        return State(waited, f"it has not answered for {waited / 1000:.0f} s")

    async def _question(self) -> State:
        try:
            await self.program.store.owing()
            why = self.program.store.unsaved
        except AlertingError as error:
            why = str(error)
        return State(self.clock.monotonic() - self._probed_at, why)
