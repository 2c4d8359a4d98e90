"""The daemon: APScheduler as metronome, the engine and the outbox, signals, reload, drain, signs of life.

Theory of operation. One job of the scheduler, the *beat*, asks the engine which batches are due and starts a tick
for them; ticks run beside each other, so that a source that hangs delays only its own rules. The job's trigger asks
the engine when the next batch is due, so that an idle daemon sleeps. The scheduler sleeps by the loop's clock and
then asks the wall what is due; so whenever it wakes, and every two seconds besides, the difference of the two clocks
is looked at, and where it changed the job is set anew: evaluations keep their pace whatever the wall does.

This is one of the two shells (with the command line) that catch everything: no fault in one beat ends the daemon.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from alerting.control import Control
from alerting.core.builtin import CANARY
from alerting.core.lasting import Lasting, kind_of
from alerting.errors import StoreError
from alerting.interaction import Interaction
from alerting.selfwatch import ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from alerting.engine import Engine, TickReport
    from alerting.model import Millis
    from alerting.ports import Clock
    from alerting.selfwatch.systemd import Systemd
    from alerting.selfwatch.vitals import Vitals
    from alerting.wiring import Program

_LONGEST_SLEEP: Millis = 30_000  # between two looks at the heap
_SHORTEST_SLEEP: Millis = 5
_LONGEST_TURN: Millis = 1_000  # between two looks while something is due that nobody takes up
_MOST_DOUBLED = 9
_WATCH: Millis = 2_000  # how often the two clocks are compared
_STEP: Millis = 300  # a difference that changed by more is a step of the wall
_STANDING: Millis = 5_000  # how often it is looked which receivers are down
RELOAD: Millis = 45_000  # the longest that reading all files anew may take
_TELLING = "telling"
_CLOCK = "the watch over the clock"
_SOCKET = "the local socket"
_BUTTONS = "the hearing of buttons"


class NextDue(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when the engine's next batch is due."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._overdue = 0  # how often in a row it was asked while the same was due and not taken up yet
        self._due: Millis | None = None  # when it was asked last

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """Give the wall time that stands for the next due time on the monotonic clock."""
        due = self._engine.next_due()
        wait = _LONGEST_SLEEP if due is None else due - self._clock.monotonic()
        again = self._overdue if due == self._due else 0  # another time: what was due was taken up
        self._overdue, self._due = again + 1 if wait <= 0 else 0, due
        # It is asked once before each beat, so the first time means nothing; a beat that hangs is not run after.
        shortest = min(_LONGEST_TURN, _SHORTEST_SLEEP << min(self._overdue, _MOST_DOUBLED) >> 1)
        return now + timedelta(milliseconds=max(_SHORTEST_SLEEP, shortest, min(_LONGEST_SLEEP, wait)))


class Metronome(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler, with a look at the clocks between its waking and its asking what is due."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__(timezone=UTC)
        self._look = look
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it warns of a beat that hangs, at every look
        logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)  # and of one that the end cuts short

    def wakeup(self) -> None:
        """See what is due by now."""
        self._look()
        super().wakeup()


class Daemon:
    """One run of the program, from start to drain."""

    def __init__(
        self,
        program: Program,
        reload: Callable[[], Awaitable[str]],
        log: logging.Logger,
        grace: Millis,
        *,
        vitals: Vitals,
        systemd: Systemd,
        beside: Mapping[str, Coroutine[Any, Any, None]],
    ) -> None:
        """`reload` reads settings and rules again and hands them over; it gives what is wrong with them, or nothing.

        `beside` are loops that go on as long as the daemon does, by the names of what they do.
        """
        self._program = program
        self._vitals = vitals
        self._systemd = systemd
        self._control = Control(program.state, self._take, program.clock, self._deaf, self._fault)
        self._interaction = Interaction(
            program.store, program.clock, program.engine.told, self._take, self._unheard, self._fault
        )
        self._interaction.adopt(program.notifiers.values())
        self._beside = {
            _CLOCK: self._watch(),
            _SOCKET: self._control.run(partial(vitals.promise, _SOCKET)),
            _BUTTONS: self._interaction.run(),
            **beside,
        }
        self._reload = reload
        self._log = log
        self._grace = grace
        self._ticks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._scheduler: Any = Metronome(self._see_step)
        self._offset = program.clock.now() - program.clock.monotonic()  # when it was looked at last
        self._reloading = asyncio.Lock()
        self._cluttered = False  # by a reload: what it replaced is not let go of yet
        self._shown: dict[str, str] = {}  # what was last logged of each source and rule, so that it is said once
        self._lasting = Lasting()
        self._receivers_at: Millis = 0  # by the monotonic clock: when it is looked which of them are down

    async def run(self) -> None:
        """Work until a signal says stop; then finish what is being sent, within the grace time."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping, number)
        ending.see_to(self._grace)
        loop.add_signal_handler(signal.SIGHUP, self._reloading_soon)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one that came while we started is obeyed now
        sending = asyncio.create_task(self._program.outbox.run(self._stop, self._grace))
        others = [self._start(part, loop) for part, loop in self._beside.items()]
        trigger = NextDue(self._program.engine, self._program.clock)
        self._scheduler.add_job(
            self._beat,
            trigger,
            id="beat",
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()
        self._say("started", "watching", pid=os.getpid(), rules=self._program.engine.count())
        self._systemd.ready("watching")
        await self._stop.wait()
        self._vitals.end()
        self._systemd.stopping()
        self._scheduler.shutdown(wait=False)
        for other in others:
            other.cancel()
        if self._ticks:
            await asyncio.wait(self._ticks, timeout=self._grace / 1000)
        for tick in self._ticks:
            tick.cancel()
        await sending
        self._say("stopped", "stopped; what is still owed is sent by the next start")

    def _start(self, part: str, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start what goes on beside the beat. It should never end; where it does, that is said and seen."""

        async def guarded() -> None:
            try:
                await loop
            except Exception:  # noqa: BLE001  a shell: no fault in one of these ends the daemon
                self._log.exception("a fault of alerting itself in %s", part, extra={"action": "fault"})

        task = asyncio.create_task(guarded())
        self._vitals.watch(part, task)
        return task

    # ------------------------------------------------------------------------------------- beats

    async def _beat(self) -> None:
        """Start a tick for what is due."""
        try:
            for batch in self._program.engine.due():
                self._go(self._tick(batch))
            if self._program.engine.tells():
                self._go(self._speak())
            if not self._ticks:
                await self._program.retire()
                self._clear()
        except Exception as error:  # noqa: BLE001  a shell: no fault in one beat ends the daemon
            self._fault("the beat", error)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a tick, or what counts as one: the end waits for it, and so does what a reload left."""
        task = asyncio.create_task(work)
        self._ticks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._ticks.discard(task)
        if self._cluttered and not self._ticks:
            self._beat_now()

    def _clear(self) -> None:
        """Have the collector take what a reload left, as libraries make circles: a client of AWS is 4 MB.

        By itself it would come after so many objects that a daemon may never make them.
        """
        if self._cluttered:
            self._cluttered = False
            gc.collect()

    def _beat_now(self) -> None:
        """Look at once at what is due: it may be something else than the beat waits for."""
        if self._scheduler.running:
            self._scheduler.modify_job("beat", next_run_time=datetime.now(UTC))

    async def _tick(self, batch: Any) -> None:
        began = self._program.clock.monotonic()
        try:
            await self._look_at_receivers()
            report = await self._program.engine.tick([batch])
            self._vitals.ticked(batch.name, report, self._program.clock.monotonic() - began)
            self._tell(batch.name, report)
        except Exception as error:  # noqa: BLE001  the same for one tick
            self._vitals.failed(batch.name)
            self._fault("a tick", error, batch=batch.name)

    async def _look_at_receivers(self) -> None:
        """Let the engine know which receivers are down, now and then."""
        now = self._program.clock.monotonic()
        if now >= self._receivers_at:
            self._receivers_at = now + _STANDING
            with suppress(StoreError):  # the tick says it
                self._program.engine.report_receivers(await self._program.outbox.standing())

    async def _speak(self) -> None:
        """Tell what was held back and is due; no rule is evaluated."""
        try:
            self._tell(_TELLING, await self._program.engine.tick(()))
        except Exception as error:  # noqa: BLE001  the same
            self._fault("telling", error)

    async def _take(self, texts: Mapping[str, str | None]) -> None:
        """Put in force what a command or a button hands over, and tell at once what that changes. Raises StoreError."""
        await self._program.engine.take(texts)
        self._say("handed_over", f"handed over: {', '.join(texts)}")
        self._go(self._speak())

    async def _watch(self) -> None:
        """Look at the clocks also while the scheduler sleeps, and at the lanes; and wake it if it should not sleep."""
        clock = self._program.clock
        while True:
            self._vitals.promise(_CLOCK, _WATCH)
            await clock.sleep(_WATCH)
            self._look_at_lanes()
            self._see_step()
            due = self._program.engine.next_due()
            if due is not None and clock.monotonic() - due > _WATCH:  # two steps that made up for each other
                self._beat_now()

    def _see_step(self) -> None:
        """Set the beat anew when the wall clock has stepped: what was to be done then is to be done now."""
        seen = self._program.clock.now() - self._program.clock.monotonic()
        step, self._offset = seen - self._offset, seen
        if abs(step) > _STEP:
            self._say("clock_stepped", "the wall clock stepped", "warning", by_ms=step)
            self._beat_now()

    # ------------------------------------------------------------------------------------- signals

    def _stopping(self, number: int) -> None:
        if self._stop.is_set():
            raise SystemExit(128 + number)  # a second signal: at once
        self._say("stopping", f"{signal.Signals(number).name}: finishing what is being sent")
        self._program.store.hasten()
        self._stop.set()

    def _reloading_soon(self) -> None:
        self._go(self._reload_now())

    async def _reload_now(self) -> None:
        async with self._reloading:
            if self._stop.is_set():
                return
            self._vitals.promise("reload", RELOAD)
            self._systemd.reloading(self._program.clock.monotonic())
            try:
                wrong = await self._reload()
            except Exception as error:  # noqa: BLE001  the same for a reload
                self._fault("the reload", error)
                wrong = "a fault of alerting itself"
            self._cluttered = True
            self._vitals.release("reload")
            if self._stop.is_set():  # meanwhile: there is nothing more to beat, and systemd knows that we leave
                return
            self._vitals.reloaded(wrong)
            self._systemd.ready("watching by the former rules: the new ones are wrong" if wrong else "watching")
            if wrong:
                message = "not reloaded: the running rules and settings stay in force"
                self._say("reload_refused", message, "error", problems=wrong)
            else:
                self._lasting = Lasting()  # batches and lanes may be others now
                self._interaction.adopt(self._program.notifiers.values())
                self._say("reloaded", "reloaded", rules=self._program.engine.count())
            self._beat_now()

    # ------------------------------------------------------------------------------------- words

    def _tell(self, batch: str, report: TickReport) -> None:
        """Log what changed; what stays as it is was said already."""
        for transition in report.transitions:
            self._say(
                "transition",
                f"{transition.before} -> {transition.after}: {transition.why}",
                "debug" if transition.key.rule_id == CANARY else "info",
                rule=transition.key.rule_id,
                labels=str(transition.labels),
                episode=transition.episode,
            )
        for notice in report.notices:
            if self._lasting.wrong("notice", notice, self._program.clock.monotonic()):
                self._say("notice", notice, "warning")
        self._note(f"batch {batch}", report.trouble)
        for kind, states in (("source", report.faults), ("rule", report.blind)):
            for name, why in states.items():
                if self._shown.get(f"{kind} {name}") != why:
                    self._say("unknown", f"{kind} {why if why.startswith(name) else f'{name}: {why}'}", "warning")
        seen = {f"source {name}": why for name, why in report.faults.items()}
        seen |= {f"rule {name}": why for name, why in report.blind.items()}
        self._shown = seen

    def _deaf(self, trouble: str) -> None:
        self._say("trouble", trouble, "warning")

    def _unheard(self, trouble: str) -> None:
        if self._lasting.wrong(_BUTTONS, trouble, self._program.clock.monotonic()):
            self._say("trouble", trouble, "warning")

    def _fault(self, part: str, error: BaseException, **fields: object) -> None:
        """Log a fault of ours with its trace; not each time, where it comes at every turn."""
        if self._lasting.wrong(part, f"{part}: {kind_of(error)}", self._program.clock.monotonic()):
            message = "a fault of alerting itself in %s"
            self._log.error(message, part, exc_info=error, extra={"action": "fault", **fields})

    def _look_at_lanes(self) -> None:
        """Log what keeps the state from being saved, or from serving a lane."""
        self._note("state", self._program.store.unsaved)
        for lane in self._program.outbox.lanes():
            self._note(f"lane {lane.receiver}", lane.trouble)

    def _note(self, part: str, trouble: str) -> None:
        """Log a trouble when it begins, while it lasts, and when it is over."""
        if trouble:
            if self._lasting.wrong(part, trouble, self._program.clock.monotonic()):
                self._say("trouble", trouble, "error")
        elif over := self._lasting.well(part):
            self._say("trouble_over", f"over: {over}")

    def _say(self, action: str, message: str, level: str = "info", **fields: object) -> None:
        getattr(self._log, level)(message, extra={"action": action, **fields})
