"""What the simulator has found in the program, each as a small test of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core import lifecycle
from alerting.core.backoff import Limits
from alerting.core.telling import keeping
from alerting.errors import StoreError
from alerting.lane import Terms
from alerting.model import (
    AlertState,
    Answer,
    Delivery,
    DeliveryState,
    Labels,
    Matcher,
    Notification,
    Outcome,
    Receipt,
    Silence,
    Truth,
    Verdict,
)
from alerting.outbox import Outbox
from alerting.ports import Change
from alerting.store.handle import Handle
from alerting.store.memory import MemoryStore
from alerting.store.sqlite import SqliteStore
from tests.clock import FakeClock
from tests.sending import RETRY, Bench, Receiver
from tests.store.made import owed
from tests.tick import H, House, M, S, rule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_a_clock_set_back_holds_nothing_back_that_a_silence_has_let_go() -> None:
    """An alert that began under a silence is told when the wall stands before both, not a day later."""

    async def play() -> None:
        house = await House(rule("High")).open()
        now = house.clock.now()
        silence = Silence("s", (Matcher("alertname", "=", "High"),), now, now + H, "ann", "", now)
        await house.engine.take({keeping.silence_name("s"): keeping.silence_text(silence)})
        house.app.values = {"1": 11}
        assert not (await house.engine.tick()).notifications
        house.clock.step(-24 * H)
        await house.clock.advance(10 * S)
        told = (await house.engine.tick()).notifications
        assert {each.receiver for each in told} == {"chat", "pager"}

    asyncio.run(play())


class _Stuck(MemoryStore):
    """A store that takes a minute for each commit."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.commits = 0

    async def commit(self, change: Change) -> None:
        self.commits += 1
        await self._clock.sleep(M)
        await super().commit(change)


def test_while_a_turn_is_being_saved_nothing_asks_for_another() -> None:
    """`tells` stays quiet and a batch that runs is not queued again: a slow disk gathers no crowd of turns."""

    async def play() -> None:
        clock = FakeClock()
        house = House(rule("High"), clock=clock, store=_Stuck(clock))
        await house.open()
        (batch,) = house.engine.due()
        ticks = [asyncio.ensure_future(house.engine.tick([batch]))]
        await clock.advance(S)
        assert not house.engine.tells()
        due = house.engine.next_due()
        assert due is not None
        assert due > clock.monotonic()
        ticks += [asyncio.ensure_future(house.engine.tick([batch])) for _ in range(10)]
        await clock.advance(S)
        assert [tick.done() for tick in ticks] == [False, *[True] * 10]
        await clock.run(ticks[0])
        assert house.store.commits == 1  # type: ignore[attr-defined]

    asyncio.run(play())


class _Limited:
    """A receiver that is quick, until it asks one of two that ask at once to leave it alone."""

    name = "chat"
    stands_for = "group"

    def __init__(self, clock: FakeClock, limited: int = 4) -> None:
        self._clock = clock
        self._limited = limited
        self.asked: deque[int] = deque()

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        number = len(self.asked)
        self.asked.append(self._clock.monotonic())
        await self._clock.sleep(10 + number % 2)
        return Answer(Outcome.RETRY, "429", 60 * S) if number == self._limited else Answer(Outcome.SENT)

    async def close(self) -> None:
        """Nothing to let go of."""


class _SlowRecords(MemoryStore):
    """A store that takes its time to record how attempts ended."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def settle(self, *ended: Delivery) -> None:
        await self._clock.sleep(5 * S)
        await super().settle(*ended)


def test_a_success_beside_it_does_not_drown_a_receivers_wish() -> None:
    """Of two attempts in flight one is asked to wait and one succeeds: what is ready stays back all the same."""

    async def play() -> None:
        clock = FakeClock()
        store, chat = _SlowRecords(clock), _Limited(clock)
        messages = [Notification(f"n{n}", "chat", f"key {n}", "1 new", clock.now(), "t") for n in range(20)]
        await store.commit(Change(clock.now(), notifications=messages))
        outbox = Outbox(store, {"chat": chat}, clock, lambda: 0.5, terms={"chat": Terms(2)})  # type: ignore[dict-item]
        stop = asyncio.Event()
        running = asyncio.ensure_future(outbox.run(stop))
        await clock.advance(50 * S)
        wished = chat.asked[4] + 12
        assert not [at for at in chat.asked if wished < at < wished + 50 * S]
        await clock.advance(2 * M)
        assert (await store.overview()).counts[DeliveryState.SENT] == len(messages)
        stop.set()
        await clock.run(running)

    asyncio.run(play())


class _SlowClaims(MemoryStore):
    """A store that takes its time to claim."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def claim(self, *arguments: Any) -> Sequence[Delivery]:
        claimed = await super().claim(*arguments)
        await self._clock.sleep(20)
        return claimed


def test_a_claim_that_comes_late_does_not_break_into_a_receivers_rest() -> None:
    """While more is claimed, the receiver asks to be left alone: what was claimed is put back as it was."""

    async def play() -> None:
        clock = FakeClock()
        store, chat = _SlowClaims(clock), _Limited(clock, 15)
        messages = [Notification(f"n{n}", "chat", f"key {n}", "1 new", clock.now(), "t") for n in range(40)]
        await store.commit(Change(clock.now(), notifications=messages))
        outbox = Outbox(store, {"chat": chat}, clock, lambda: 0.5, terms={"chat": Terms(2)})  # type: ignore[dict-item]
        stop = asyncio.Event()
        running = asyncio.ensure_future(outbox.run(stop))
        await clock.advance(50 * S)
        wished = chat.asked[15] + 12
        assert not [at for at in chat.asked if wished < at < wished + 50 * S]
        await clock.advance(2 * M)
        assert (await store.overview()).counts[DeliveryState.SENT] == len(messages)
        stop.set()
        await clock.run(running)

    asyncio.run(play())


def test_a_clock_set_back_ends_nothing_whose_last_evaluation_is_not_known() -> None:
    """An alert that was quiet for a moment fires on though its rule went and came back under another wall."""
    policy = lifecycle.Policy(keep_firing_for=30 * S)
    fired = lifecycle.advance(None, _verdict(Truth.TRUE), 10 * H, policy).alert
    quiet = lifecycle.advance(fired, _verdict(Truth.FALSE), 10 * H + 10 * M, policy, 10 * H + 10 * M).alert
    assert quiet is not None
    step = lifecycle.advance(lifecycle.rebased(quiet, -H), _verdict(Truth.FALSE), 9 * H + 20 * M, policy, None)
    assert step.alert is not None
    assert step.alert.state is AlertState.FIRING


def _verdict(truth: Truth) -> Verdict:
    return Verdict("rules.yaml:High", Labels({"a": "1"}), truth, 1.0, lambda: "so")


class _Torn(SqliteStore):
    """A store whose next commit reaches the disk and seems to have failed."""

    tears = False

    async def commit(self, change: Change) -> None:
        known = self._handle._commits
        await super().commit(change)
        if self.tears:
            self.tears = False
            self._handle._drop()
            self._handle._commits = known
            raise StoreError("it failed, as far as anybody can tell")


def test_a_commit_that_only_seemed_to_fail_is_noticed_though_nothing_else_is_to_be_written(tmp_path: Path) -> None:
    """An alert fires on disk while memory knows nothing of it: its end is told all the same."""

    async def play() -> None:
        store = _Torn(Handle(str(tmp_path / "state.db")))
        house = await House(rule("High"), store=store).open()
        await house.engine.tick()
        house.app.values, store.tears = {"1": 11}, True
        assert (await house.engine.tick()).trouble
        house.app.values = {"1": 9}
        told = []
        for _ in range(3):
            await house.clock.advance(10 * S)
            told += (await house.engine.tick()).notifications
        assert {each.receiver for each in told if each.all_resolved} == {"chat", "pager"}
        await store.close()

    asyncio.run(play())


@pytest.mark.parametrize("restarts", [False, True])
def test_what_happens_twice_at_one_stamp_is_told_twice(*, restarts: bool) -> None:
    """The wall was set back by the very time between two pages: the second is a page and an episode of its own."""

    async def play() -> None:
        house = await House(rule("High", notify=("pager", "chat"))).open()
        seen = []
        for _ in range(3):
            (page, news) = (await house.tick(11)).notifications
            await house.send()
            await house.tick(1)
            await house.send()
            seen.append((page, news, house.clock.now() - 30 * S))
            house.clock.step(-60 * S)
            if restarts:
                await house.restart()
        stamps, ids = {at for *_, at in seen}, {message.id for *both, _ in seen for message in both}
        assert len(stamps) == 1
        assert len(ids) == 6
        assert len({message.firing[0].episode for message, *_ in seen}) == 3
        assert len({page.group_key for page, *_ in seen}) == 3
        assert (await house.store.overview()).counts["sent"] == 12

    asyncio.run(play())


@pytest.mark.parametrize("step", [-24 * H, 24 * H], ids=["set back and put right", "set ahead and put right"])
def test_nothing_is_given_up_for_a_wall_that_was_wrong_when_it_was_owed(step: int) -> None:
    """A message that is owed meanwhile looks a day older or younger afterwards: it is tried for as long as any."""

    async def play() -> None:
        clock = FakeClock()
        bench = Bench(Receiver(clock, otherwise=RETRY), clock=clock, limits=Limits(patience=H))
        await bench.start()
        await clock.advance(M)
        clock.step(step)
        await bench.owe(owed("n1"))
        await clock.advance(10 * M)
        clock.step(-step)
        await clock.advance(49 * M)
        assert {each.state for each in bench.settled} == {DeliveryState.PENDING}
        await clock.advance(2 * M)
        assert [each.state for each in bench.settled][-1] is DeliveryState.PARKED
        assert bench.settled[-1].why == f"given up after {len(bench.settled)} attempts in 1h: 500"
        await bench.end()

    asyncio.run(play())
