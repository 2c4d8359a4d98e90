"""One life of the program: what `alerting run` does, without APScheduler and signals, over the run's world.

It holds the real engine, outbox and store. `Recorder` stands between them and the store, and `Watched` around each
condition: they change nothing, and tell the judge which rules a turn judged and what came to be on disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alerting.core.lang.condition import compile_condition
from alerting.engine import Engine, Setup, Target
from alerting.errors import StoreError
from alerting.model import Rule, RuleSpec
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.store.records import is_empty
from tests.simulate.disk import Thread
from tests.simulate.loop import Clock, Dead
from tests.simulate.model import UNKNOWN_AFTER
from tests.simulate.plan import INTERVAL, PLACES, S
from tests.simulate.services import receivers
from tests.simulate.world import Source, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.core.schedule import Batch
    from alerting.model import Delivery, Receipt
    from alerting.ports import Change, Overview, Snapshot
    from tests.simulate.plan import RuleDef
    from tests.simulate.run import Run

_NAMES = names()
_compiled: dict[str, Any] = {}


class Watched:
    """A condition that says when it is evaluated, and that can fail as our own code might."""

    def __init__(self, rule: RuleDef, judged: Callable[[str], bool]) -> None:
        text = rule.text()
        self._condition, _ = compile_condition(text, _NAMES, compile_pattern, interval=INTERVAL)
        self._rule = rule
        self._judged = judged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._condition, name)

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Any:
        if self._judged(self._rule.id):
            raise ZeroDivisionError("a fault of ours")
        return self._condition.evaluate(samples, now, since)


class Recorder:
    """The Store port: the real one, watched."""

    def __init__(self, process: Process, thread: Thread) -> None:
        self._process = process
        self._thread = thread
        self._store = thread.store

    async def open(self) -> Snapshot:
        self._process.committing = True
        try:
            return await self._store.open()
        finally:
            self._process.committing = False

    async def commit(self, change: Change) -> None:
        process, judge = self._process, self._process.run.judge
        stage = process.stage()

        def saved() -> None:
            judge.turn(stage, change)
            judge.model.apply(stage)
            process.run.frame = process.run.loop.offset
            judge.saved(change)

        if is_empty(change):
            saved()
        else:
            self._thread.doing, self._thread.on_disk = "commit", saved
        process.committing = True
        try:
            await self._store.commit(change)
        except StoreError as error:
            process.run.say("not saved", type(error).__name__)
            raise
        else:
            judge.model.acknowledge(stage)
        finally:
            process.committing = False

    async def claim(self, receiver: str, now: int, *rest: Any) -> Sequence[Delivery]:
        self._thread.doing = "claim"
        claimed = await self._store.claim(receiver, now, *rest)
        judge = self._process.run.judge
        judge.claimed_at.update((delivery.notification.id, judge.loop.at) for delivery in claimed)
        return claimed

    async def settle(self, *ended: Delivery) -> None:
        self._thread.doing = "settle"
        self._thread.on_disk = lambda: [self._process.run.judge.settled(each) for each in ended]
        await self._store.settle(*ended)

    async def next_due(self, receiver: str | None = None) -> int | None:
        return await self._store.next_due(receiver)

    async def owing(self) -> Sequence[str]:
        return await self._store.owing()

    async def previous_receipt(self, receiver: str, group_key: str) -> Receipt | None:
        return await self._store.previous_receipt(receiver, group_key)

    async def overview(self, limit: int = 200) -> Overview:
        return await self._store.overview(limit)

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        await self._store.keep(texts)

    async def kept(self, prefix: str) -> Mapping[str, str]:
        return await self._store.kept(prefix)

    async def close(self) -> None:
        await self._store.close()


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
            at_once=run.plan.at_once,
            on_trouble=self._trouble,
        )
        self.sources: list[Source] = []
        run.world.said.clear()
        self.committing = False
        self.up = False
        self.failed = False  # it could not start
        self._judged: list[tuple[str, bool]] = []
        self._set_back = False  # the wall went back and the engine has not seen it
        self._stop = asyncio.Event()
        self._beat = asyncio.Event()
        self.main = run.loop.create_task(self._main())

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
        ticks: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            for batch in self.engine.due():
                tick = asyncio.ensure_future(self._tick(batch))
                ticks.add(tick)
                tick.add_done_callback(ticks.discard)
            self._beat.clear()
            due = self.engine.next_due()
            wait = 30 * S if due is None else max(5, min(30 * S, due - self.clock.monotonic()))
            nap = asyncio.ensure_future(self.clock.sleep(wait))
            woken = asyncio.ensure_future(self._beat.wait())
            await asyncio.wait((nap, woken), return_when=asyncio.FIRST_COMPLETED)
            nap.cancel()
            woken.cancel()
        for source in self.sources:
            source.closing = True
        await sending
        await self.engine.close()
        await self.store.close()
        self.up = False

    async def _tick(self, batch: Batch) -> None:
        if not self.committing:
            self.see_clocks()
        await self.engine.tick([batch])

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self._stop.set()
        self._beat.set()

    def kill(self) -> None:
        """End it now: what it holds in memory is gone, what it asks from here on has no effect."""
        self.clock.alive = False
        self.thread.kill()
        self.run.loop.bury()

    # ---------------------------------------------------------------------------------------- its settings

    def adopt(self) -> None:
        """Take over the rules in force, and say what is wrong with the newest files."""
        run = self.run
        for source in self.sources:
            source.closing = True
        self.sources = [Source(run.world, place, self.clock) for place in PLACES]
        self.engine.adopt(
            Setup(
                [self._rule(rule) for rule in run.rules],
                [Target(source, place.unknown_after) for source, place in zip(self.sources, PLACES, strict=True)],
                {name: "alert" if name == "pager" else "group" for name in receivers_of(run)},
                unknown_after=UNKNOWN_AFTER,
            )
        )
        run.judge.model.adopt(run.rules)
        self.tell_problem()
        self._beat.set()

    def tell_problem(self) -> None:
        """Say whether the newest files load."""
        self.engine.report_config("rules.yaml:3: unknown key" if self.run.broken else None)
        self.run.judge.model.problem = self.run.broken

    def reload(self) -> None:
        """Do what SIGHUP does."""
        self.adopt()
        self.run.judge.set_anew()
        self.run.loop.create_task(self.outbox.adopt(receivers(self.run.services, self.clock)))

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
            severity="critical",
            notify=rule.notify,
        )
        return Rule(spec, Watched(rule, self._evaluated))

    # ---------------------------------------------------------------------------------------- what it tells the judge

    def set_back(self) -> None:
        """The wall goes back."""
        self._set_back = True

    def see_clocks(self) -> None:
        """The engine compares the clocks at this moment."""
        if self._set_back:
            self._set_back = False
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
        return self.run.judge.model.stage(self.run.loop.at, judged)

    def _wake(self, names: Any) -> None:
        for name in names:
            self.outbox.wake(name)

    def _trouble(self, text: str) -> None:
        if "fault of alerting" in text:
            self.run.judge.fail(text)


def receivers_of(run: Run) -> tuple[str, ...]:
    """Give the names of the receivers."""
    return tuple(run.plan.receivers)


__all__ = ["Dead", "Process"]
