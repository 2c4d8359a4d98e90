"""One life of the program: what `alerting run` does, without APScheduler and signals, over the run's world.

It holds the real engine, outbox and store. `Recorder` stands between them and the store, and `Watched` around each
condition: they change nothing, and tell the judge which rules a turn judged and what came to be on disk.
"""

from __future__ import annotations

import asyncio
import traceback
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from alerting.core.lang.condition import compile_condition
from alerting.core.levels import Levels
from alerting.core.telling.calendar import Calendar
from alerting.engine import Engine, Setup, Target
from alerting.errors import StoreError
from alerting.lane import Terms
from alerting.model import Escalation, Level, Receiver, Rule, RuleSpec, TimeSpan
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.store.records import is_empty
from tests.simulate import asking
from tests.simulate.disk import Thread
from tests.simulate.loop import Clock
from tests.simulate.model import UNKNOWN_AFTER
from tests.simulate.people import CRITICAL, RECEIVERS, WARNING
from tests.simulate.plan import INTERVAL, PLACES, S
from tests.simulate.services import receivers
from tests.simulate.world import Source, names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from alerting.core.schedule import Batch
    from alerting.model import Delivery, Notification
    from alerting.ports import Change, Snapshot
    from tests.simulate.people import People
    from tests.simulate.plan import RuleDef
    from tests.simulate.run import Run

T = TypeVar("T")
MOST_TICKS = 40
STANDING = 10 * S  # how often it is looked which receivers are down
_NAMES = names()


class Watched:
    """A condition that says when it is evaluated, and that can fail as our own code might."""

    def __init__(
        self, rule: RuleDef, condition: Any, judged: Callable[[str], bool], breaks: Callable[[str], bool]
    ) -> None:
        self._condition = condition
        self._breaks = breaks
        self._rule = rule
        self._judged = judged

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._condition, name)
        setattr(self, name, found)  # looked up once
        return found

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Any:
        told = since == now  # asked for the words of a message, not to judge
        if (self._breaks if told else self._judged)(self._rule.id):
            raise ZeroDivisionError("a fault of ours")
        return self._condition.evaluate(samples, now, since)


class Recorder:
    """The Store port: the real one, watched. What is not watched goes through."""

    def __init__(self, process: Process, thread: Thread) -> None:
        self._process = process
        self._thread = thread
        self._store = thread.store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        setattr(self, name, found)  # looked up once
        return found

    @property
    def unsaved(self) -> str:
        return self._store.unsaved

    async def open(self) -> Snapshot:
        snapshot = await self._locked(self._store.open())
        self._process.run.judge.telling.read()
        return snapshot

    async def kept(self, prefix: str) -> Mapping[str, str]:
        return await self._locked(self._store.kept(prefix))

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        self._thread.doing = "keep"
        self._thread.on_disk = lambda: asking.kept(self._process.run.judge, texts)
        await self._locked(self._store.keep(texts))

    async def commit(self, change: Change) -> None:
        process, judge = self._process, self._process.run.judge
        if change.passed_on or any(each.instead_of for each in change.notifications):
            await self._pass_on(change)
            return
        if change.recalled:
            await self._call_back(change)
            return
        stage = process.stage()

        def saved() -> None:
            judge.turn(stage, change)
            judge.model.apply(stage)
            process.run.frame = process.run.loop.offset
            judge.saved(change)

        empty = is_empty(change)
        if not empty:
            self._thread.doing, self._thread.on_disk = "commit", saved
        try:
            await self._locked(self._store.commit(change))
        except StoreError as error:
            process.run.say("not saved", type(error).__name__)
            raise
        if empty:
            saved()
        judge.model.acknowledge(stage)

    async def _pass_on(self, change: Change) -> None:
        """Commit what no turn has made: what goes to a fallback."""
        judge, now = self._process.run.judge, self._process.run.loop.at

        def saved() -> None:
            judge.telling.passed(change, now)
            judge.saved(change)

        self._thread.doing, self._thread.on_disk = "commit", saved
        await self._locked(self._store.commit(change))

    async def _call_back(self, change: Change) -> None:
        """Commit what no turn has made: what is called back."""
        judge = self._process.run.judge
        self._thread.doing, self._thread.on_disk = "commit", lambda: judge.recalls.take(change)
        await self._locked(self._store.commit(change))

    async def unsent(self, receiver: str = "") -> Sequence[Delivery]:
        return await self._locked(self._store.unsent(receiver))

    async def standing(self, receivers: Sequence[str], before: int) -> Mapping[str, str]:
        asked = self._process.run.loop.at
        found = await self._store.standing(receivers, before)
        self._process.run.judge.standing.said(found, asked)
        return found

    async def claim(self, receiver: str, now: int, lease: int, limit: int, fold: Any) -> Sequence[Delivery]:
        folds: list[int] = []

        def folding(waiting: Sequence[Notification]) -> Any:
            found = fold(waiting)
            folds.append(found.number)
            return found

        def claimed() -> None:
            if any(number > 1 for number in folds):
                self._process.run.judge.folded(self._process.run.disk.folded())

        self._thread.doing, self._thread.on_disk = "claim", claimed
        return await self._store.claim(receiver, now, lease, limit, None if fold is None else folding)

    async def settle(self, *ended: Delivery) -> None:
        def settled() -> None:
            for each in ended:
                self._process.run.judge.settled(each)
            self._process.run.judge.standing.settled(ended)

        self._thread.doing, self._thread.on_disk = "settle", settled
        await self._store.settle(*ended)

    async def _locked(self, call: Awaitable[T]) -> T:
        """Make a call during which the engine compares no clocks."""
        self._process.committing = True
        try:
            return await call
        finally:
            self._process.committing = False


class Process:
    """See the module's text."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.clock = Clock(run.loop)
        self.thread = Thread(run.disk, self.clock)
        self.store = Recorder(self, self.thread)
        self.engine = Engine(self.store, self.clock, compile_pattern, on_commit=self._wake)
        self.outbox = Outbox(
            self.store,
            receivers(run.services, self.clock),
            self.clock,
            run.dice.random,
            terms=self.terms(),
            amends=self.engine.amendments,
            on_trouble=self._trouble,
            on_fault=self._fault,
        )
        self.sources: list[Source] = []
        run.world.said.clear()
        self.committing = False
        self.up = False
        self.failed = False  # it could not start
        self._ticks: set[asyncio.Task[None]] = set()
        self._judged: list[tuple[str, bool]] = []
        self._receivers_at = 0
        self._seen = run.loop.offset  # by how much the wall was off when the engine looked last
        self._stop = asyncio.Event()
        self._beat: asyncio.Future[None] = run.loop.create_future()  # the next look at what is due
        self.main = run.loop.create_task(self._main())
        self.main.add_done_callback(lambda _: setattr(run.loop, "ended", True))

    # ---------------------------------------------------------------------------------------- its life

    async def _main(self) -> None:
        try:
            await self.engine.open()
        except StoreError as error:
            self.run.say("does not start", str(type(error).__name__))
            self.failed = True
            return
        self.up = True
        self.adopt()
        sending = asyncio.ensure_future(self.outbox.run(self._stop))
        while not self._stop.is_set():
            for batch in self.engine.due():
                self._start(self._tick([batch]))
            if self.engine.tells():
                self._start(self._tick(()))
            due = self.engine.next_due()
            wait = 30 * S if due is None else max(5, min(30 * S, due - self.clock.monotonic()))
            beat = self._beat = self.run.loop.create_future()
            self.run.loop.after(wait, lambda beat=beat: beat.done() or beat.set_result(None))  # type: ignore[misc]
            await beat
        for source in self.sources:
            source.closing = True
        await sending
        await self.engine.close()
        try:
            await self.store.close()
        except StoreError as error:  # the program says it, and ends with a code of its own
            self.run.say("not closed", type(error).__name__)
        self.up = False

    def _start(self, tick: Coroutine[Any, Any, None]) -> None:
        """Let a tick go its way, as the daemon does; there must never be many."""
        task = asyncio.ensure_future(tick)
        self._ticks.add(task)
        task.add_done_callback(self._ticks.discard)
        if len(self._ticks) > MOST_TICKS:
            self.run.judge.fail(f"{len(self._ticks)} ticks are under way at once")

    async def _tick(self, batches: Sequence[Batch]) -> None:
        if batches:
            await self._look_at_receivers()
        if not self.committing:
            self.see_clocks()
        await self.engine.tick(batches)

    async def _look_at_receivers(self) -> None:
        """Do what the daemon does before a tick, now and then."""
        now = self.clock.monotonic()
        if now < self._receivers_at:
            return
        self._receivers_at = now + STANDING
        try:
            standing = await self.outbox.standing()
        except StoreError:
            return
        self.engine.report_receivers(standing)
        self.run.judge.model.down = {name: bool(why) for name, why in standing.items()}

    async def take(self, texts: Mapping[str, str | None]) -> None:
        """Do what `alerting silence` and `ack` have the daemon do; whoever asks is told where it fails."""
        try:
            await self.engine.take(texts)
        except StoreError as error:
            self.run.say("not kept", type(error).__name__)
        else:
            self._start(self._tick(()))

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self._stop.set()
        self._go_on()

    def _go_on(self) -> None:
        """Look at what is due now."""
        if not self._beat.done():
            self._beat.set_result(None)

    def kill(self) -> None:
        """End it now: what it holds in memory is gone, what it asks from here on has no effect."""
        self.clock.alive = False
        self.thread.kill()
        self.run.loop.bury()

    # ---------------------------------------------------------------------------------------- its settings

    def adopt(self) -> None:
        """Take over the rules in force, and say what is wrong with the newest files."""
        run, people = self.run, self.run.people
        for source in self.sources:
            source.closing = True
        self.sources = [Source(run.world, place, self.clock) for place in PLACES]
        self.engine.adopt(
            Setup(
                [self._rule(rule) for rule in run.rules],
                [Target(source, place.unknown_after) for source, place in zip(self.sources, PLACES, strict=True)],
                {
                    name: Receiver(each.stands_for, fallback=people.fallback.get(name, ()))
                    for name, each in receivers(run.services, self.clock).items()
                },
                unknown_after=UNKNOWN_AFTER,
                route=people.route,
                inhibitions=people.inhibitions,
                calendar=_calendar(people),
                flapping=people.flapping,
                storm=people.storm,
                silence_warning=people.silence_warning,
            )
        )
        run.judge.model.adopt(run.rules, people)
        self.tell_problem()
        self._go_on()

    def terms(self) -> dict[str, Terms]:
        """Say how receivers may be sent to."""
        plan, people = self.run.plan, self.run.people
        return {
            name: Terms(plan.at_once, late_after=people.late_after if name in people.fallback else None)
            for name in RECEIVERS
        }

    def tell_problem(self) -> None:
        """Say whether the newest files load."""
        self.engine.report_config("rules.yaml:3: unknown key" if self.run.broken else None)
        self.run.judge.model.problem = self.run.broken

    def reload(self) -> None:
        """Do what SIGHUP does."""
        self.adopt()
        self.run.judge.set_anew()
        self.run.loop.create_task(self.outbox.adopt(receivers(self.run.services, self.clock), self.terms()))

    def _rule(self, rule: RuleDef) -> Rule:
        spec = RuleSpec(
            rule.id,
            rule.id.partition(":")[2],
            rule.text(),
            interval=INTERVAL,
            for_=rule.for_,
            keep_firing_for=rule.keep,
            on_missing=rule.on_missing,
            vanish_after=rule.vanish,
            severity=rule.severity,
            notify=rule.notify,
            labels={"team": rule.team} if rule.team else {},
            levels=tuple(Level(name, rule.text(limit)) for name, limit in _levels(rule)),
            depends_on=rule.depends,
            escalate=tuple(Escalation(*each) for each in rule.escalate),
            mute_time_intervals=rule.muted,
            active_time_intervals=rule.active,
            clear=rule.clear_text(),
        )
        levels = tuple(_condition(each.condition) for each in spec.levels)
        condition = Levels([each.name for each in spec.levels], levels) if levels else _condition(spec.condition)
        clear = _condition(spec.clear) if spec.clear else None
        return Rule(spec, Watched(rule, condition, self._evaluated, self.run.breaks_now), levels, clear)  # type: ignore[arg-type]

    # ---------------------------------------------------------------------------------------- what it tells the judge

    def see_clocks(self) -> None:
        """The engine compares the clocks at this moment."""
        before, self._seen = self._seen, self.run.loop.offset
        if self._seen < before:  # all steps since then taken together
            self.run.judge.model.set_back()

    def _evaluated(self, rule_id: str) -> bool:
        self.see_clocks()
        raises = self.run.breaks_now(rule_id)
        self._judged.append((rule_id, raises))
        self.run.paced(rule_id)
        return raises

    def stage(self) -> Any:
        """Say what the turn that is to be saved comes to."""
        self.see_clocks()
        judged, self._judged = self._judged, []
        unsaved = self.run.disk.in_memory
        return self.run.judge.model.stage(self.run.loop.at, self.clock.now(), judged, unsaved=unsaved)

    def _wake(self, names: Any) -> None:
        for name in names:
            self.outbox.wake(name)

    def _fault(self, part: str, error: BaseException) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        self.run.judge.fail(f"a fault of ours in {part}: {error!r} at {where.name}:{where.lineno}")

    def _trouble(self, text: str) -> None:
        if "fault of alerting" in text:
            self.run.judge.fail(text)


def _levels(rule: RuleDef) -> tuple[tuple[str, int], ...]:
    """Give the levels of a rule, with their limits."""
    return ((WARNING, rule.limit), (CRITICAL, rule.second)) if rule.second else ()


def _condition(text: str) -> Any:
    return compile_condition(text, _NAMES, compile_pattern, interval=INTERVAL)[0]


def _calendar(people: People) -> Calendar | None:
    spans = {name: [TimeSpan(times=each)] for name, each in people.windows.items()}
    return Calendar(spans, lambda _: UTC) if spans else None
