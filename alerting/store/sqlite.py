"""The embedded store: one SQLite file, one connection, one writer, each tick one transaction that is on disk.

`handle` keeps the connection, `schema` the tables, `records` the rows, `statements` the SQL; here they meet. A claim
is void as soon as its run is over: the lock is exclusive, so whoever opens the file is the only run there is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from alerting.errors import StateRefused, TooLate
from alerting.model import DeliveryState
from alerting.ports import BEGINNING
from alerting.store import accounts, deliveries, outlook, statements
from alerting.store.calls import DEADLINE, Calls
from alerting.store.handle import Handle
from alerting.store.records import is_empty
from alerting.store.schema import BUSY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from alerting.model import AlertKey, Decision, Delivery, Millis, Receipt
    from alerting.ports import Account, Blocking, Change, Fold, History, Marks, Overview, Snapshot

T = TypeVar("T")

HISTORY: Millis = 30 * 86_400_000  # how long transitions and settled messages are kept
_PRUNE_EVERY: Millis = 60_000  # while something is old enough
_PRUNE_SELDOM: Millis = 300_000  # so long after nothing was
_SAVE_EVERY: Millis = 5_000  # so often it is tried to save what is unsaved


def build(
    url: str,
    root: str | os.PathLike[str] = ".",
    *,
    blocking: Blocking | None = None,
    read_only: bool = False,
    busy: Millis = BUSY,
    deadline: Millis = DEADLINE,
    lasting: bool = False,
    patience: Millis | None = None,
) -> SqliteStore:
    """Build the store of `sqlite:///FILE` (relative to `root`) or `sqlite:////FILE`; nothing is opened yet.

    `blocking` must have one thread; without it the calls run where they are made, which suits one-shot commands.
    `read_only` is for `status`: it takes no lock and works beside a daemon. `busy` bounds the wait for others that
    hold the file, `deadline` one call in the thread. `lasting`: what the file does not take is held in memory until it
    does (`unsaved`), which suits a daemon; so is what comes when the thread has been in one call for `patience`. Raises
    StateRefused for addresses of another kind.
    """
    handle = Handle(
        file_of(url, root),
        read_only=read_only,
        busy=busy,
        lasting=lasting,
        follows=blocking is not None and patience is not None,
    )
    return SqliteStore(handle, blocking, deadline, patience)


def file_of(url: str, root: str | os.PathLike[str]) -> str:
    """Give the path that a `store` setting means. Raises StateRefused, without the address: it may hold a secret."""
    head, path = url[:10], url[10:]
    if head != "sqlite:///" or not path or path.endswith("/"):
        kind = url.partition(":")[0]
        raise StateRefused(f"`store` of kind {kind!r} is not understood; write sqlite:///alerting.db")
    if path.startswith("/"):
        return "/" + path.lstrip("/")  # two of them would begin the name of a host, for SQLite
    return os.path.join(os.path.realpath(root), path)  # noqa: PTH118  pathlib would only be turned back into text


class SqliteStore:
    """The Store port over one file."""

    def __init__(
        self,
        handle: Handle,
        blocking: Blocking | None = None,
        deadline: Millis = DEADLINE,
        patience: Millis | None = None,
    ) -> None:
        self._call = Calls(handle, blocking, deadline, patience)
        self._run = os.urandom(8).hex()  # names this run in its claims
        self._ended: dict[str, Delivery] = {}  # receiver -> what this run has sent or parked last
        self._vain: set[str] = set()  # receivers: since then something was called back that was tried in vain
        self._pruned_at: Millis | None = None
        self._prune_after = _PRUNE_EVERY
        self._saved_at: Millis | None = None  # when it was last tried to save what is unsaved

    @property
    def _handle(self) -> Handle:
        return self._call.handle

    async def open(self) -> Snapshot:
        """Open and check the file, make it where it never was, void the claims of runs that are over.

        Raises LockHeld, StateRefused, StoreError. May be called again, to read what is held anew.
        """
        return await self._call(self._open)

    async def commit(self, change: Change) -> None:
        """Write a change; with nothing in it, nothing is done, unless an earlier one is in doubt."""
        if not is_empty(change):
            self._vain |= await self._call(lambda handle: self._commit(handle, change))
        elif self._handle.in_doubt or self._handle.unsaved:
            await self._call(
                lambda handle: self._look(handle, change.at)
            )  # else who has nothing to write would never learn of it

    async def claim(
        self, receiver: str, now: Millis, lease: Millis, limit: int, fold: Fold | None = None
    ) -> Sequence[Delivery]:
        """Claim what is due; see the port."""
        return await self._call(lambda handle: self._claim(handle, receiver, now, lease, limit, fold=fold))

    async def settle(self, *ended: Delivery) -> None:
        """Record how attempts ended; what was sent, parked or folded stays so."""
        await self._call(lambda handle: handle.write(lambda rows: deliveries.settle(rows, ended)))
        for each in ended:
            if each.state in (DeliveryState.SENT, DeliveryState.PARKED):
                self._ended[each.notification.receiver] = each
                self._vain.discard(each.notification.receiver)

    async def unsent(self, receiver: str = "") -> Sequence[Delivery]:
        """Give what is owed and not settled."""
        return await self._call(lambda handle: handle.read(lambda rows: outlook.unsent(rows, receiver), single=True))

    async def unheard(self, receiver: str, before: Millis) -> Sequence[Delivery]:
        """Give what its fallback should be told of and was not."""
        return await self._call(
            lambda handle: handle.read(lambda rows: outlook.unheard(rows, receiver, before), single=True)
        )

    async def standing(self, receivers: Sequence[str], before: Millis) -> Mapping[str, str]:
        """Say which receivers are down and why, and which are well."""

        def read(rows: sqlite3.Connection) -> dict[str, str]:
            found = {
                each: outlook.standing(rows, each, before, self._ended.get(each), vain=each in self._vain)
                for each in receivers
            }
            return {name: why for name, why in found.items() if why is not None}

        return await self._call(lambda handle: handle.read(read))

    async def next_due(self, receiver: str | None = None) -> Millis | None:
        """When something may be claimed next."""
        single = receiver is not None
        return await self._call(
            lambda handle: handle.read(lambda rows: outlook.next_due(rows, receiver), single=single)
        )

    async def owing(self) -> Sequence[str]:
        """Give the receivers to which something is owed."""
        return await self._call(lambda handle: handle.read(outlook.owing, single=True))

    async def previous_receipt(self, receiver: str, group_key: str) -> Receipt | None:
        """Give the receipt of the newest sent message with this key."""
        return await self._call(lambda handle: handle.read(lambda rows: outlook.receipt(rows, receiver, group_key)))

    async def overview(self, limit: int = 200) -> Overview:
        """Read what `status` shows."""
        return await self._call(lambda handle: handle.read(lambda rows: statements.overview(rows, handle.path, limit)))

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        """Put or forget texts by name; returns when that is on disk."""
        await self._call(lambda handle: handle.write(lambda rows: statements.keep(rows, texts)))

    async def kept(self, prefix: str) -> Mapping[str, str]:
        """Give the texts whose names begin so."""
        return await self._call(lambda handle: handle.read(lambda rows: statements.kept(rows, prefix)))

    async def decisions(self, key: AlertKey, limit: int = 200) -> Sequence[Decision]:
        """Give the newest decisions about one alert, newest first."""
        return await self._call(lambda handle: handle.read(lambda rows: statements.decisions(rows, key, limit)))

    async def account(self, key: AlertKey, limit: int = 200) -> Account:
        """Give what is kept of one alert."""
        return await self._call(lambda handle: handle.read(lambda rows: accounts.account(rows, key, limit)))

    async def history(self, since: Millis, after: Marks = BEGINNING, limit: int = 10_000) -> History:
        """Give what happened since a time and was written after `after`."""
        return await self._call(lambda handle: handle.read(lambda rows: accounts.history(rows, since, after, limit)))

    @property
    def unsaved(self) -> str:
        """Why what happens is held in memory only; empty: it is on disk."""
        return self._handle.unsaved

    def hasten(self) -> None:
        """Wait for the disk no longer than somebody does who wants the process to end."""
        self._call.hasten()

    async def close(self) -> None:
        """Close the file and release the lock. Raises StoreError when something stays unsaved."""
        await self._call.close()

    def _open(self, handle: Handle) -> Snapshot:
        handle.open()
        if handle.may_write and handle.read(lambda rows: outlook.has_void(rows, self._run)):
            handle.write(lambda rows: deliveries.void(rows, self._run))
        snapshot = handle.read(lambda rows: statements.snapshot(rows, handle.path))
        handle.see_to_beside()
        handle.moved = False
        handle.sound = True
        return snapshot

    def _look(self, handle: Handle, now: Millis) -> None:
        """Save what is unsaved, if it is time to try; see that the caller knows all that is on disk."""
        if handle.unsaved and (self._saved_at is None or abs(now - self._saved_at) >= _SAVE_EVERY):
            self._saved_at = now
            handle.save()
        handle.agree()

    def _commit(self, handle: Handle, change: Change) -> set[str]:
        """Write it; gives the receivers at which something that was called back had been tried in vain."""
        self._look(handle, change.at)
        if change.recalled and not handle.read(lambda rows: deliveries.all_unsent(rows, change.recalled)):
            raise TooLate("what was to be called back is being sent")
        vain: set[str] = set()
        prune = self._pruned_at is None or abs(change.at - self._pruned_at) >= self._prune_after
        pruned: list[int] = []

        def write(rows: sqlite3.Connection) -> None:
            statements.write_alerts(rows, change)
            statements.write_rest(rows, change)
            deliveries.owe(rows, change.notifications)
            deliveries.note_passed_on(rows, change.passed_on)
            if change.recalled:
                vain.update(deliveries.call_back(rows, change.recalled, change.unsaid, change.at))
            if prune and not handle.unsaved:  # what it would remove is not here
                pruned.append(statements.prune(rows, change.at - HISTORY))

        handle.write(write)
        if prune:
            self._pruned_at, self._prune_after = change.at, _PRUNE_EVERY if any(pruned) else _PRUNE_SELDOM
        return vain

    def _claim(
        self, handle: Handle, receiver: str, now: Millis, lease: Millis, limit: int, *, fold: Fold | None
    ) -> Sequence[Delivery]:
        """Look first: where nothing is due, nothing is written."""
        found = handle.read(lambda rows: outlook.claimable(rows, receiver, now, limit), single=True)
        if not found:
            return ()
        return handle.write(lambda rows: deliveries.claim(rows, found, self._run, now, lease, fold=fold))
