"""What tests of the tick share: a source that says what it is told, a condition small enough to be trusted, a house."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alerting.engine import Engine, Setup, Target
from alerting.model import (
    NO_LABELS,
    Fault,
    FaultKind,
    Gap,
    Labels,
    Need,
    Reading,
    Receiver,
    Rule,
    RuleSpec,
    Sample,
    Truth,
)
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.store.made import sent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.engine import TickReport
    from alerting.model import Millis, Value
    from alerting.ports import Clock, Store

S, M, H = 1_000, 60_000, 3_600_000
REFUSED = Fault(FaultKind.REFUSED, "connection refused")


class App:
    """A source with one metric, `v`, by label `a`. `values` None: it fails with `fault`."""

    def __init__(self, clock: Clock, name: str = "app", namespace: str | None = None) -> None:
        self.clock = clock
        self.name = name
        self.namespace = name if namespace is None else namespace
        self.values: Mapping[str, Value] | None = {}
        self.fault = REFUSED
        self.delay: Millis = 0
        self.raises: Exception | None = None
        self.fetched = 0
        self.now_reading = self.most_at_once = 0

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        self.fetched += 1
        self.now_reading += 1
        self.most_at_once = max(self.most_at_once, self.now_reading)
        try:
            if self.delay:
                await self.clock.sleep(self.delay)
        finally:
            self.now_reading -= 1
        if self.raises:
            raise self.raises
        at = self.clock.now()
        if self.values is None:
            up = Sample("up", NO_LABELS, 0.0, at)
            return Reading(self.name, self.namespace, at, (up,), fault=self.fault)
        samples = [Sample("v", Labels({"a": a}), value, at) for a, value in self.values.items()]
        return Reading(self.name, self.namespace, at, (Sample("up", NO_LABELS, 1.0, at), *samples))

    async def close(self) -> None:
        """Nothing to let go of."""


class Found:
    """What `Above` found."""

    def __init__(self, limit: float, true: list[tuple[Labels, Value]], seen: dict[Labels, Value], gaps: Sequence[Gap]):
        self.limit, self.true, self.seen, self.gaps = limit, true, seen, gaps

    def judge(self, labels: Labels) -> tuple[Truth, Callable[[], str]]:
        if labels in self.seen:
            return Truth.FALSE, lambda: f"v{labels} = {self.seen[labels]} <= {self.limit}"
        if self.gaps:
            return Truth.UNKNOWN, lambda: self.gaps[0].why
        return Truth.VANISHED, lambda: f"v{labels} is not reported any more"

    def why(self, labels: Labels, value: Value) -> str:
        return f"v{labels} = {value} > {self.limit}"


class Above:
    """`v > limit`, by hand: independent of the condition language, on the public face of the samples."""

    unit = ""
    watches_buckets = False
    weight = 0

    def __init__(self, limit: float = 10, namespace: str = "app", name: str = "v") -> None:
        self.limit = limit
        self.text = f"{name} > {limit:g}"
        self.needs: tuple[Need, ...] = (Need(namespace, name),)
        self.raises: Exception | None = None
        self.evaluated = 0

    def evaluate(self, samples: Any, now: Millis, since: Millis | None = None) -> Found:
        self.evaluated += 1
        if self.raises:
            raise self.raises
        need = self.needs[0]
        gaps = samples.gaps(need.namespace, need.name, now)
        if gaps:
            return Found(self.limit, [], {}, gaps)
        series = [each for each in samples.series(need.namespace, need.name) if each.live]
        true = [(each.labels, each.last) for each in series if each.last > self.limit]
        return Found(self.limit, true, {each.labels: each.last for each in series}, ())


def rule(name: str = "High", condition: Any = None, **more: Any) -> Rule:
    """Make a rule that tells chat and pager, unless told otherwise."""
    condition = condition or Above()
    more = {"notify": ("chat", "pager"), "id": f"rules.yaml:{name}", **more}
    return Rule(RuleSpec(name=name, condition=condition.text, **more), condition)


class House:
    """An engine over a store, with one App, on a clock that stands still between ticks."""

    def __init__(self, *rules: Rule, clock: FakeClock | None = None, store: Store | None = None, **more: Any) -> None:
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.app = App(self.clock)
        self.targets = [Target(self.app)]
        self.rules: Sequence[Rule] = rules
        self.receivers: dict[str, Any] = {"chat": "group", "pager": "alert"}
        self.more = more
        self.woken: list[set[str]] = []
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        wake = lambda receivers: self.woken.append(set(receivers))  # noqa: E731  a callback of one line
        return Engine(self.store, self.clock, compile_pattern, on_commit=wake)

    def setup(self, rules: Sequence[Rule] | None = None) -> Setup:
        receivers = {name: Receiver(stands_for) for name, stands_for in self.receivers.items()}
        return Setup(self.rules if rules is None else rules, self.targets, receivers, **self.more)

    async def open(self) -> House:
        await self.engine.open()
        self.engine.adopt(self.setup())
        return self

    async def restart(self, rules: Sequence[Rule] | None = None) -> None:
        """End the process and start another over the same store."""
        await self.engine.close()
        self.rules = self.rules if rules is None else rules
        self.engine = self.new_engine()
        await self.open()

    async def tick(self, value: Value | Mapping[str, Value] | None = None, passed: Millis = 30 * S) -> TickReport:
        """Let time pass, let the app say this (None: it fails), evaluate everything."""
        await self.clock.advance(passed)
        self.app.values = value if value is None or isinstance(value, dict) else {"1": value}  # type: ignore[dict-item]
        task = asyncio.ensure_future(self.engine.tick())
        await self.clock.run(task)
        return task.result()

    async def send(self) -> None:
        """Have everything that is owed sent, as an outbox would."""
        await send(self.store, self.clock.now())

    def states(self) -> dict[str, str]:
        return {each.rule.name: each.state for each in self.engine.statuses()}


async def send(store: Store, now: Millis) -> None:
    """Settle all that is owed as sent."""
    for receiver in await store.owing():
        while claimed := await store.claim(receiver, now, S, 100):
            await store.settle(*(sent(each, now) for each in claimed))
