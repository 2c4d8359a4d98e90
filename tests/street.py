"""The engine and the outbox together, on a clock that tests move: from a value to a receiver's ledger."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from alerting.engine import Engine, Setup
from alerting.model import Receiver as Kind
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from tests.tick import House

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from alerting.engine import TickReport
    from alerting.lane import Terms
    from alerting.model import Delivery, Millis, Rule, Value

S, M, H = 1_000, 60_000, 3_600_000


class Street(House):
    """A house with people to tell. `fallback` and `terms` are by receiver; open it, tick, and read their ledgers."""

    def __init__(
        self,
        *rules: Rule,
        people: Sequence[Any],
        fallback: Mapping[str, Sequence[str]] | None = None,
        terms: Mapping[str, Terms] | None = None,
        **more: Any,
    ) -> None:
        self.people = {each.name: each for each in people}
        self.fallback = fallback or {}
        self.terms = terms or {}
        self.settled: list[Delivery] = []
        super().__init__(*rules, **{"clock": people[0].clock, **more})

    def new_engine(self) -> Engine:
        engine = Engine(self.store, self.clock, compile_pattern, on_commit=self._wake)
        self.outbox = Outbox(
            self.store,
            self.people,
            self.clock,
            random.Random(7).random,
            terms=self.terms,
            amends=engine.amendments,
            on_settled=self.settled.append,
        )
        self.stop = asyncio.Event()
        return engine

    def setup(self, rules: Sequence[Rule] | None = None) -> Setup:
        kinds = {
            name: Kind(each.stands_for, fallback=tuple(self.fallback.get(name, ())))
            for name, each in self.people.items()
        }
        return Setup(self.rules if rules is None else rules, self.targets, kinds, **self.more)

    async def open(self) -> Street:
        await super().open()
        self.sending = asyncio.ensure_future(self.outbox.run(self.stop))
        return self

    async def tick(self, value: Value | Mapping[str, Value] | None = None, passed: Millis = 30 * S) -> TickReport:
        await self.clock.advance(passed)
        self.engine.report_receivers(await self.outbox.standing())
        report = await super().tick(value, 0)
        await self.clock.advance(0)
        return report

    async def end(self) -> None:
        """Stop sending, in order."""
        self.stop.set()
        await self.clock.run(self.sending)

    async def counts(self) -> Mapping[str, int]:
        return (await self.store.overview()).counts

    def _wake(self, receivers: Collection[str]) -> None:
        for receiver in receivers:
            self.outbox.wake(receiver)
