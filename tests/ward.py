"""The daemon's parts on a clock that tests move, with places where each can be made to hang or to die.

Everything is real but the ports: the engine, the outbox, the daemon's ticks, its watch over the clock and its reload,
the heartbeat, the vitals. APScheduler, which knows real time only, is stood in for by a task that beats each 100 ms.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from alerting.daemon import Daemon
from alerting.engine import Engine, Setup, Target
from alerting.model import Answer, Outcome, Receiver
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.ports import HttpAnswer
from alerting.selfwatch.canary import NAME as NEST
from alerting.selfwatch.canary import Canary, Nest
from alerting.selfwatch.heartbeat import Heartbeat
from alerting.selfwatch.systemd import Systemd
from alerting.selfwatch.vitals import Vitals
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.tick import App, rule

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alerting.core.progress import Ailment
    from alerting.model import Millis

INTERVAL: Millis = 30_000


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, lines: list[logging.LogRecord]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


class Gate:
    """Where calls pass, until one kind of them is made to hang or to fail."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.hanging: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.stopped_at: Millis | None = None  # when the first call did not get through

    async def pass_(self, name: str) -> None:
        if self.stopped_at is None and name in {*self.hanging, *self.failing}:
            self.stopped_at = self.clock.monotonic()
        if name in self.hanging:
            await asyncio.get_running_loop().create_future()
        if name in self.failing:
            raise self.failing[name]


class Store(MemoryStore):
    """A store whose calls pass the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    async def commit(self, change: Any) -> None:
        await self.gate.pass_("commit")
        await super().commit(change)

    async def claim(self, *arguments: Any) -> Any:
        await self.gate.pass_("claim")
        return await super().claim(*arguments)

    async def settle(self, *ended: Any) -> None:
        await self.gate.pass_("settle")
        await super().settle(*ended)

    async def previous_receipt(self, *arguments: Any) -> Any:
        await self.gate.pass_("previous_receipt")
        return await super().previous_receipt(*arguments)

    async def owing(self) -> Any:
        await self.gate.pass_("owing")
        return await super().owing()


class Slack:
    """A receiver whose attempts pass the gate."""

    name, stands_for = "slack", "group"

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.answer = Answer(Outcome.SENT)
        self.sent: list[str] = []

    async def deliver(self, notification: Any, _previous: Any) -> Answer:
        await self.gate.pass_("deliver")
        self.sent.append(notification.title)
        return self.answer

    async def close(self) -> None:
        """Nothing to let go of."""


class GatedNest(Nest):
    """Where canaries end, behind the gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def deliver(self, notification: Any, previous: Any) -> Answer:
        await self.gate.pass_("nest")
        return await super().deliver(notification, previous)


class GatedCanary(Canary):
    """The canary's source, behind the gate."""

    gate: Gate

    async def fetch(self, needs: Any, since: Any) -> Any:
        await self.gate.pass_("fetch")
        return await super().fetch(needs, since)


class Monitor:
    """The Http port, as far as heartbeats use it: writes down when it was asked for what."""

    def __init__(self, gate: Gate, clock: FakeClock) -> None:
        self.gate, self.clock = gate, clock
        self.asked: list[tuple[Millis, str, bytes | None]] = []
        self.status = 200

    async def request(self, _method: str, url: str, *, body: bytes | None = None, **_more: Any) -> HttpAnswer:
        await self.gate.pass_("ping")
        self.asked.append((self.clock.monotonic(), url, body))
        return HttpAnswer(self.status, {}, b"OK")


class Clock(FakeClock):
    """A clock whose sleepers can be left asleep."""

    asleep = False

    async def sleep(self, duration: Millis) -> None:
        if self.asleep:
            await asyncio.get_running_loop().create_future()
        await super().sleep(duration)


class Ward:
    """The patient. An async context manager; `run` lets time pass. `canary` is how often one is sent."""

    def __init__(self, canary: Millis | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.gate = Gate(self.clock)
        self.store, self.slack = Store(self.gate), Slack(self.gate)
        self.app = App(self.clock)
        self.app.values = {"1": 5.0}
        self.outbox = Outbox(
            self.store,
            {"slack": self.slack, NEST: GatedNest(self.gate)},
            self.clock,
            lambda: 0.5,
            on_settled=lambda delivery: self.vitals.settled(delivery),  # noqa: PLW0108  vitals are made below
        )
        self.engine = Engine(self.store, self.clock, compile_pattern, on_commit=self._wake)
        self.canary = None if canary is None else GatedCanary(self.clock, canary, self.engine.alerts)
        if self.canary is not None:
            self.canary.gate = self.gate
        self.folder = tempfile.TemporaryDirectory()  # where its socket is
        self.program: Any = SimpleNamespace(
            state=f"{self.folder.name}/alerting.db",
            notifiers={},
            engine=self.engine,
            outbox=self.outbox,
            store=self.store,
            clock=self.clock,
            retire=self._retire,
            redact=str,
            canary=self.canary,
            rotation=SimpleNamespace(stale={}, documents=()),
        )
        self.vitals = Vitals(self.program)
        self.monitor = Monitor(self.gate, self.clock)
        self.said: list[str] = []
        beat = {"url": "http://monitor/ping", "every": 60_000, **settings}
        self.heartbeat = Heartbeat(beat, self.monitor, self.clock, "test", self.said.append)  # type: ignore[arg-type]
        self.lines: list[logging.LogRecord] = []
        log = logging.getLogger("ward")
        log.propagate, log.handlers = False, [Lines(self.lines)]
        log.setLevel(logging.INFO)
        self.daemon = Daemon(
            self.program, self._reload, log, 0, vitals=self.vitals, systemd=Systemd({}), beside=self._beside()
        )
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    def _beside(self) -> dict[str, Any]:
        def promise(within: Millis) -> None:
            self.vitals.promise("heartbeat", within)

        return {"heartbeat": self.heartbeat.run(self.vitals.ailing, promise)}

    async def __aenter__(self) -> Self:
        await self.engine.open()
        rules = [rule("High", notify=("slack",), interval=INTERVAL)]
        targets: list[Any] = [Target(self.app)]  # type: ignore[arg-type]
        if self.canary is not None:
            rules.append(self.canary.rule(NEST, compile_pattern))
            targets.append(Target(self.canary))
        self.engine.adopt(Setup(rules, targets, {"slack": Receiver(), NEST: Receiver()}))
        self.tasks["outbox"] = asyncio.create_task(self.outbox.run(asyncio.Event()))
        for part, loop in self.daemon._beside.items():
            self.tasks[part] = self.daemon._start(part, loop)
        self.tasks["metronome"] = asyncio.create_task(self._metronome())
        await self.run(3 * INTERVAL)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*asyncio.all_tasks() - {asyncio.current_task()},):
            task.cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        self.folder.cleanup()

    async def _metronome(self) -> None:
        while True:
            await self.daemon._beat()
            await self.clock.sleep(100)

    def _wake(self, receivers: Collection[str]) -> None:
        for receiver in receivers:
            self.outbox.wake(receiver)

    async def _retire(self) -> None:
        await self.gate.pass_("retire")

    async def _reload(self) -> str:
        await self.gate.pass_("reload")
        return ""

    async def run(self, duration: Millis) -> None:
        """Let time pass."""
        await self.clock.advance(duration)

    async def look(self) -> Sequence[Ailment]:
        """Look at everything, as a probe does."""
        task = asyncio.ensure_future(self.vitals.check())
        await self.clock.advance(3_000)
        return task.result().ailments

    def alert(self) -> None:
        """Let a rule fire, so that there is something to save and to send."""
        self.app.values = {"1": 50.0}
