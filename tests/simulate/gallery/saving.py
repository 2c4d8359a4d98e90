"""Mistakes in what is on disk, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alerting.attempt import Attempts
from alerting.errors import StateMoved, StoreError
from alerting.model import DeliveryState
from alerting.outbox import Outbox
from alerting.store import deliveries, outlook
from alerting.store.sqlite import SqliteStore
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from alerting.engine import Engine
    from alerting.ports import Change
    from alerting.store.handle import Handle
    from tests.simulate.mistakes import Plant


@mistake
def sent_before_it_is_saved(plant: Plant) -> None:
    """Messages leave while the turn that owes them is being saved."""
    built: list[Outbox] = []
    early: list[Any] = []
    original = Outbox.__init__

    def build(self: Outbox, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        built[:] = [self]

    async def commit(store: Any, change: Change, _: Engine) -> None:
        for message in change.notifications:
            sending = built[0]._notifiers[message.receiver].deliver(message, None)
            early.append(asyncio.ensure_future(sending))
        await store.commit(change)

    plant.swap(Outbox, "__init__", build)
    plant.committing(commit)


@mistake
def marked_as_sent_before_it_is(plant: Plant) -> None:
    """A message counts as sent from the moment at which its sending begins."""
    built: list[Outbox] = []
    building, original = Outbox.__init__, Attempts.make

    def build(self: Outbox, *arguments: Any, **options: Any) -> None:
        building(self, *arguments, **options)
        built[:] = [self]

    async def make(self: Attempts, delivery: Any, *arguments: Any) -> Any:
        await built[0]._store.settle(delivery._replace(state=DeliveryState.SENT, settled_at=self._clock.now()))
        return await original(self, delivery, *arguments)

    plant.swap(Outbox, "__init__", build)
    plant.swap(Attempts, "make", make)


@mistake
def claims_in_memory_only(plant: Plant) -> None:
    """A claim is not on disk before its message is sent."""
    original = SqliteStore.claim

    async def claim(self: SqliteStore, *arguments: Any) -> Any:
        claimed = await original(self, *arguments)
        ids = [(each.notification.id,) for each in claimed]
        undo = "UPDATE delivery SET state = 'pending', claimed_by = '', claimed_until = 0 WHERE id = ?"
        if ids:
            await self._call(lambda handle: handle.write(lambda rows: rows.executemany(undo, ids)))
        return claimed

    plant.swap(SqliteStore, "claim", claim)


@mistake
def claims_outlive_their_process(plant: Plant) -> None:
    """What a dead process had claimed is never sent: no run voids it and no lease ends."""
    original = SqliteStore.claim

    async def claim(self: SqliteStore, receiver: str, now: int, lease: int, *rest: Any) -> Any:
        return await original(self, receiver, now, lease * 1_000, *rest)

    plant.swap(SqliteStore, "claim", claim)
    plant.swap(outlook, "has_void", lambda _rows, _run: False)


@mistake
def result_forgotten_when_the_store_fails(plant: Plant) -> None:
    """When the end of an attempt cannot be recorded, it is let go, and the message is sent again later."""
    original = Outbox._record

    async def record(self: Outbox, lane: Any) -> None:
        try:
            await original(self, lane)
        except StoreError:
            lane.held.clear()

    plant.swap(Outbox, "_record", record)


@mistake
def failed_commit_taken_for_saved(plant: Plant) -> None:
    """A turn takes effect in memory though the store would not take it."""

    async def commit(store: Any, change: Change, _: Engine) -> None:
        try:
            await store.commit(change)
        except StateMoved:
            raise
        except StoreError:
            pass

    plant.committing(commit)


@mistake
def torn_commit_not_noticed(plant: Plant) -> None:
    """A commit that was reported as failed and is on disk after all is made a second time."""
    original = SqliteStore._commit

    def commit(self: SqliteStore, handle: Handle, change: Change) -> set[str]:
        handle.ready()
        handle.moved = False
        return original(self, handle, change)

    plant.swap(SqliteStore, "_commit", commit)


@mistake
def settled_messages_deleted(plant: Plant) -> None:
    """What was sent is removed at once, so that the accounts cannot be checked."""
    original = deliveries.settle

    def settle(rows: Any, ended: Any) -> None:
        original(rows, ended)
        rows.execute("DELETE FROM delivery WHERE state = 'sent'")

    plant.swap(deliveries, "settle", settle)
