"""The tick: read the sources, judge the rules, save what changed, say whom it concerns.

Theory of operation. A tick is given batches of rules. It reads each source that they need once (`intake`);
readings go into the samples as they arrive. As soon as the sources of a batch have answered, the batch is part of
a *turn* (of several, where its rules take long: the quick ones go first): at one moment its rules are evaluated and
their alerts stepped (`core.turn`), the rules that watch the watching are judged (`core.builtin`), and what people are
to hear of is worked out and worded (`core.telling`). All of that is pure and takes effect nowhere. Then **one
transaction** writes alerts, transitions, decisions and messages; only when it is on disk does the engine's own memory
follow, and only then is the outbox woken. A turn that could not be saved leaves no trace but `trouble` in the report:
its rules are evaluated anew. (A daemon's store goes on in memory when its file cannot be written, and says so; that
is all the engine knows of it, and tells it as `StateUnsaved`.) A turn without rules tells what was held back and is due
by now. What is owed already and changes between two turns is in `amendments`; a turn begins with what that calls back.

A batch whose sources answered is not held up by another whose source hangs. Ticks may overlap, turns do not. A
tick that is cancelled lets the turn that it is in come to its end.

Time. Stamps are by the wall. Durations must not follow its steps: each turn compares both clocks, and moves the
alerts' running clocks and the times of evaluation along when the wall has stepped. When it was set back, the samples
begin afresh: what they hold now lies in the future.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from alerting.amendments import Amendments
from alerting.core.book import Book, Reach
from alerting.core.builtin import CANARY
from alerting.core.progress import Loop
from alerting.core.schedule import Schedule, batches_of, narrowed
from alerting.core.status import RuleStatus
from alerting.core.telling.keeping import PREFIXES
from alerting.core.telling.picture import kept_for_pictures
from alerting.core.telling.render import Context
from alerting.core.turn import parted
from alerting.errors import AlertingError, StateMoved, StoreError, TooLate
from alerting.intake import Intake, Target
from alerting.report import Log, TickReport, change_of
from alerting.setup import DEFAULT_LIMITS, Limits, Setup, plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence

    from alerting.core.schedule import Batch
    from alerting.core.telling.muting import Held
    from alerting.model import (
        Ack,
        Alert,
        AlertKey,
        Millis,
        Notice,
        Patterns,
        Redact,
        Silence,
    )
    from alerting.ports import Clock, SampleStore, Snapshot, Store

__all__ = ["Engine", "Limits", "RuleStatus", "Setup", "Target", "TickReport"]

_LULL: Millis = 50  # between two turns that only tell, at least
_REST: Millis = 1_000  # the same, after one that could not be saved
_COMMIT: Millis = 30_000  # the longest that a turn may take to be saved
STEP: Millis = 250  # a difference between the clocks that is no mere drift


class Engine:
    """The tick over one store, in one event loop. `open`, then `adopt`, then `tick` as often as you like."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        patterns: Patterns,
        *,
        sample_store: SampleStore | None = None,
        redact: Redact = str,
        on_commit: Callable[[Collection[str]], None] = lambda _receivers: None,
        on_fault: Callable[[str, BaseException], None] = lambda _part, _error: None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """`on_commit` is called with the receivers to which something new is owed, once it is on disk.

        `on_fault` is called with faults of ours and where they were: raised by a source, or while a rule was evaluated.
        """
        self._store = store
        self._clock = clock
        self._patterns = patterns
        self._redact = redact
        self._on_commit = on_commit
        self._on_fault = on_fault
        self._limits = limits
        self._lock = asyncio.Lock()  # turns follow one another
        self._turns: set[asyncio.Future[None]] = set()
        self._book = Book()
        self.amendments = Amendments(store, clock, lambda: self._book.desk, self._alone, on_commit)
        self._intake = Intake(
            clock,
            patterns,
            redact,
            sample_store,
            at_once=limits.fetches,
            deadline=limits.fetch_deadline,
            lookback=limits.lookback,
            on_fault=on_fault,
        )
        self._setup = Setup((), (), {})
        self._next_setup: Setup | None = None  # was adopted while a turn or the like ran
        self._good_config: str | None = None  # to be saved
        self._problem: str | None = None  # with the newest configuration
        self._standing: Mapping[str, str] = {}  # receivers that are known to be down (why) or well ("")
        self._faults_saved: Mapping[str, str] = {}

        self._schedule = Schedule()
        self._batches: tuple[Batch, ...] = ()
        self._missed = 0  # of all evaluations that the schedule passed over, those that were reported
        self._clocks = clock.now(), clock.monotonic()
        self._stepped: Millis = 0  # by how much the wall has stepped since a turn was saved
        self._quiet_until: Millis = 0  # by the monotonic clock: before that no turn only tells
        self._tried: tuple[Millis, Millis] = (0, 0)  # the newest turn that seemed to fail: when, and `_stepped` then

    # ---------------------------------------------------------------------------------------- life

    async def open(self) -> Snapshot:
        """Open the store and the file of samples and take their state into memory.

        Raises StateRefused, StoreError or LockHeld as the store does.
        """
        snapshot = await self._store.open()
        await self._intake.open(snapshot.faults)
        await self._load(snapshot, self._book)
        return snapshot

    async def _load(self, snapshot: Snapshot, book: Book) -> None:
        """Put a state into a book, and that in force: where it raises, the book before stays."""
        texts: dict[str, str] = {}
        for prefix in PREFIXES:
            texts.update(await self._store.kept(prefix))
        book.load(
            snapshot.installation,
            snapshot.alerts,
            snapshot.evaluated,
            snapshot.announced,
            snapshot.notices,
            texts,
            snapshot.written_at,
        )
        self._faults_saved, self._book = dict(snapshot.faults), book

    def adopt(self, setup: Setup) -> None:
        """Take over a whole set that loaded without errors; at once, or when the turn or the like that runs is over.

        Alerts whose rule is gone end with the next tick.
        """
        if self._lock.locked():
            self._next_setup = setup
        else:
            self._adopt(setup)

    def report_config(self, problem: str | None) -> None:
        """Say that the newest configuration does not load (`ConfigBroken` fires at the next tick); None: it does."""
        self._problem = problem and self._redact(problem)

    def report_receivers(self, standing: Mapping[str, str]) -> None:
        """Say which receivers are down and why, and which are well (""); `ReceiverDown` follows at the next tick."""
        self._standing = {name: why and self._redact(why) for name, why in standing.items()}

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Do something while no turn runs; what was to be adopted meanwhile is, at its end."""
        async with self._lock:
            try:
                yield
            finally:
                if self._next_setup is not None:
                    self._adopt(self._next_setup)

    async def close(self) -> None:
        """End fetches that run and wait for the turn that runs. The stores are their owner's to close."""
        await self._intake.close()
        await asyncio.gather(*self._turns, return_exceptions=True)

    def _adopt(self, setup: Setup) -> None:
        self._setup, self._next_setup = setup._replace(good_config=None), None  # large: held until it is saved, only
        self._good_config = self._good_config if setup.good_config is None else setup.good_config
        rules = [rule for rule in setup.rules if rule.spec.enabled]
        drawn = any(receiver.pictures for receiver in setup.receivers.values())
        needs = tuple(dict.fromkeys(need for rule in rules for need in rule.needs))
        self._intake.adopt(setup.targets, kept_for_pictures(needs) if drawn else needs)
        read = {need.namespace for need in needs}
        sources = {
            self._intake.names[id(target.source)]: Reach(target.source.namespace, target.unknown_after)
            for target in setup.targets
            if target.source.namespace in read  # what nobody reads is never well again
        }
        self._book.adopt(
            setup.rules,
            sources,
            plan=plan_of(setup, self._patterns),
            context=self._context(),
            unknown_after=setup.unknown_after,
            max_gap=setup.max_gap,
        )
        self._batches = batches_of(rules)
        self._schedule.replace(self._batches, self._clock.monotonic())

    def _context(self) -> Context:
        setup = self._setup
        return Context(setup.external_labels, patterns=self._patterns, external_url=setup.external_url)

    # ---------------------------------------------------------------------------------------- silences and the like

    async def take(self, texts: Mapping[str, str | None]) -> None:
        """Keep silences and acknowledgements (`core.telling.keeping`) and obey them: tick when this is done.

        Raises StoreError when they could not be kept, ValueError for a text that is neither.
        """
        async with self._alone():
            self._book.desk.look_at(texts)  # first: what was kept would come back with every start
            await self._store.keep(texts)
            self._book.desk.take(texts)

    def silences(self) -> Sequence[Silence]:
        """Give the silences that are kept, over or not."""
        return self._book.desk.silences()

    def acks(self) -> Sequence[Ack]:
        """Give the acknowledgements in force."""
        return self._book.desk.acks()

    def told(self, receiver: str, group_key: str) -> Sequence[Notice]:
        """Give what fires and was told to a receiver under a group key."""
        return self._book.desk.told_under(receiver, group_key)

    def waiting(self) -> Mapping[tuple[AlertKey, str], Held]:
        """Give what is owed and held back, and why, by alert and receiver."""
        return self._book.desk.waiting()

    # ---------------------------------------------------------------------------------------- pace

    def due(self) -> Sequence[Batch]:
        """Give the batches that are due by the monotonic clock; each is taken off until its next time."""
        return self._schedule.due(self._clock.monotonic())

    def next_due(self) -> Millis | None:
        """Give the monotonic time at which a batch, or something to tell, is due; None where there is nothing to do."""
        times = [at for at in (self._schedule.next_at(), self._telling_at()) if at is not None]
        return min(times, default=None)

    def tells(self) -> bool:
        """Tell whether something is to be told that no batch brings about: `tick(())` does it."""
        at = self._telling_at()
        return at is not None and at <= self._clock.monotonic()

    def _telling_at(self) -> Millis | None:
        """Give the monotonic time at which something held back may be due."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        at = self._book.desk.next_at(now)
        soonest = max(self._quiet_until, monotonic + _LULL) if self._lock.locked() else self._quiet_until
        return None if at is None else max(soonest, monotonic + max(0, at - now))

    async def tick(self, batches: Sequence[Batch] | None = None, *, only: Collection[str] | None = None) -> TickReport:
        """Fetch, evaluate, save. `batches` None: all of them, once, and every source is waited for (`check`).

        `only`: none but the rules with these ids and the recording rules that they read; nothing counts as
        removed then. An empty `batches` reads nothing and still does what is left over from `adopt` and
        `report_config`. A batch that another tick is running is left out and counted as missed.
        """
        log = Log()
        if not self._lock.locked():  # before anything is read: readings are stamped by the wall
            self._see_clocks(log)
        everyone = batches is None
        chosen = self._batches if batches is None else batches
        if only is not None:
            wanted, tracks = self._book.with_recorders(only), self._book.tracks
            chosen = narrowed(chosen, {name: rule for name in wanted if (rule := tracks[name].rule) is not None})
        free = self._schedule.begin(chosen, self._clock.monotonic())
        try:
            if free or not chosen:  # what is left out must not queue up for a turn of nothing
                await self._run(free, log, everyone=everyone, whole=only is None)
        finally:
            self._schedule.end(free)
        missed, self._missed = self._schedule.missed - self._missed, self._schedule.missed
        return log.report(missed, self._intake.faults, self._book.blind)

    async def _run(self, batches: Sequence[Batch], log: Log, *, everyone: bool, whole: bool) -> None:
        """Read what the batches need; each has its turn as soon as its sources have answered."""
        waiting = [(batch, self._intake.start(batch.namespaces, everyone=everyone)) for batch in batches]
        if everyone:  # a check comes once: who reads alerts waits for all that may raise one
            every = set().union(*(missing for _, missing in waiting))
            waiting = [(batch, set(every) if batch.reads_alerts else missing) for batch, missing in waiting]
        turns: deque[list[str]] = deque()
        while True:
            for _, missing in waiting:
                missing.difference_update([task for task in missing if task.done()])
            ready = [batch for batch, missing in waiting if not missing]
            waiting = [(batch, missing) for batch, missing in waiting if missing]
            if ready or not (waiting or turns):
                tracks = [self._book.tracks.get(rule) for batch in ready for rule in batch.rules]
                quick, *slow = parted([track for track in tracks if track is not None])
                turns.appendleft(quick)
                turns.extend(slow)
            if turns:
                await self._to_its_end(self._turn(turns.popleft(), log, whole=whole))
            else:
                missing = set().union(*(missing for _, missing in waiting))
                await asyncio.wait(missing, return_when=asyncio.FIRST_COMPLETED)
            if not (waiting or turns):
                return

    async def _to_its_end(self, turn: Coroutine[None, None, None]) -> None:
        """Wait for a turn; it goes on when whoever waits is cancelled, as half a turn must not be."""
        task = asyncio.create_task(turn)
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)
        await asyncio.shield(task)

    # ---------------------------------------------------------------------------------------- turns

    async def _turn(self, rules: Sequence[str], log: Log, *, whole: bool) -> None:
        """Evaluate rules (by their ids) at one moment and save what that changes; memory follows only then."""
        async with self._alone():
            try:
                await self.amendments.call_back_all()
            except TooLate:
                log.notices.append("something that is silenced was being sent: it is asked once more")
            except StoreError as refused:
                log.trouble = str(refused)
            now = self._see_clocks(log)
            self._intake.samples.withhold_old(now)
            turn = self._book.begin(now, self._intake.samples, self._limits.series)
            for track in map(self._book.tracks.get, rules):
                if track is not None:
                    turn.evaluate(track)
            for part, error in turn.faults():
                self._on_fault(part, error)
            heard, good_config = dict(self._intake.heard), self._good_config
            self._book.watch(turn, heard, self._problem, self._standing, self._redact(self._store.unsaved))
            if whole:
                self._book.retire(turn)
            context = self._context()
            telling = self._book.tell(turn, context, self._intake.samples)
            faults, before = dict(self._intake.faults), self._faults_saved
            change = change_of(self._book, turn, telling, good_config=good_config, faults=faults, faults_before=before)
            try:
                await self._store.commit(change)
            except StateMoved as error:
                log.trouble = str(error)
                self._quiet_until = self._clock.monotonic() + _REST
                await self._remember(log)
            except StoreError as error:
                log.trouble = str(error)
                self._tried = now, self._stepped
                self._quiet_until = self._clock.monotonic() + _REST
            else:
                self._quiet_until = self._clock.monotonic() + _LULL
                self._stepped = 0
                self._faults_saved = faults
                self._intake.judged(heard)
                self._good_config = None if self._good_config == good_config else self._good_config
                self._book.apply(turn, telling)
                log.add(turn, telling)
                if telling.notifications:
                    self._on_commit(tuple(dict.fromkeys(each.receiver for each in telling.notifications)))
            trouble = await self._intake.keep(now, turn.taken)
            if trouble:
                log.notices.append(f"samples are not kept: {trouble}")

    async def _remember(self, log: Log) -> None:
        """Take the state from the store anew: it holds a change that memory was told had failed."""
        try:
            snapshot = await self._store.open()
            await self._load(snapshot, Book())
        except AlertingError as error:
            log.notices.append(str(error))
            return
        self._adopt(self._next_setup or self._setup)
        tried, stepped = self._tried
        if snapshot.written_at == tried:  # that turn is on disk, and with it the clocks as it had moved them
            self._stepped -= stepped
        self._tried = 0, 0
        self._book.rebase(self._stepped)
        self._on_commit(tuple(self._setup.receivers))  # it may owe something that nobody was woken for

    def _see_clocks(self, log: Log) -> Millis:
        """Give the wall time; when it has stepped against the monotonic clock, take the durations along."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        step = (wall - self._clocks[0]) - (monotonic - self._clocks[1])
        self._clocks = wall, monotonic
        if abs(step) >= STEP:
            self._stepped += step
            self._book.rebase(step)
            log.notices.append(f"the wall clock has stepped by {step / 1000:+g} s; durations are kept")
            if step < 0:
                self._intake.begin_afresh()
        return wall

    # ---------------------------------------------------------------------------------------- telling how it stands

    def statuses(self) -> Sequence[RuleStatus]:
        """Tell how each alerting rule stands, as of its last evaluation."""
        tracks, samples, flapping = self._book.tracks.values(), self._intake.samples, self._setup.flapping
        return [RuleStatus(each, each.rule, samples, flapping) for each in tracks if each.rule and not each.spec.record]

    def count(self) -> int:
        """Count the alerting rules in force, the canary's left out."""
        rules = (each.rule for each in self._book.tracks.values())
        return sum(1 for each in rules if each and not each.spec.record and each.id != CANARY)

    def alerts(self) -> Sequence[Alert]:
        """Give all alerts that are kept, those of built-in rules included."""
        return self._book.alerts()

    def sources(self) -> Mapping[str, str]:
        """Tell of each source that is read why its last reading failed; empty: it did not."""
        return {name: self._intake.faults.get(name, "") for name in self._intake.names.values()}

    def loops(self) -> Sequence[Loop]:
        """Say by when what is due is taken up, and by when each batch that runs is through."""
        due, crowded = self._schedule.next_at(), self._intake.crowded_at
        longest = self._limits.fetch_deadline + _COMMIT
        running = [Loop("evaluation", max(since, crowded) + longest) for since in self._schedule.running.values()]
        return running if due is None else [Loop("evaluation", due), *running]
