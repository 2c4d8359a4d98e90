"""Keeps what secret stores gave fresh while the program runs: each document is fetched anew every so often.

Its law: nobody waits for a store but the start, and that not for long. What was had stays in force until the store
answers again; that it is old, or was never had, is told once, and once more when that is over.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from alerting import registry
from alerting.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from alerting.model import Millis
    from alerting.ports import Blocking, Clock, SecretStore

RETRY: Millis = 15_000  # between two tries after a failure, unless the pace itself is faster
_PATIENCE: Millis = 6_000  # for one fetch; the stores bound themselves at 5 s


class Stale(NamedTuple):
    """Why a document is old, or was never had."""

    why: str
    since: Millis  # by the wall: when the first fetch of several that failed did so


class Rotation:
    """The documents that the settings refer to, each with a task that fetches it again and again."""

    def __init__(self, clock: Clock, blocking: Blocking, tell: Callable[[str, str], Awaitable[None]]) -> None:
        """`tell` is given the name of a document and what is wrong with it, or nothing when it is well again."""
        self._clock = clock
        self._blocking = blocking
        self._tell = tell
        self._tasks: list[asyncio.Task[None]] = []
        self.documents: tuple[str, ...] = ()  # names of all that are kept fresh
        self.stale: dict[str, Stale] = {}  # those of which what is held is old, or nothing

    async def adopt(self, references: Iterable[tuple[str, str]], every: Millis) -> None:
        """Fetch what these refer to, all at once; go on fetching that and no more. A failure is told, not raised."""
        self.close()
        documents: dict[str, Callable[[], None]] = {}
        for kind, reference in references:
            store = registry.secret_store(kind)
            if store is not None:
                documents |= _document(kind, store, reference)
        self.documents = tuple(documents)
        self.stale = {name: stale for name, stale in self.stale.items() if name in documents}
        await asyncio.gather(*(self._fetch(name, fetch) for name, fetch in documents.items()))
        self._tasks = [asyncio.create_task(self._keep(name, fetch, every)) for name, fetch in documents.items()]

    def close(self) -> None:
        """Fetch no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _keep(self, name: str, fetch: Callable[[], None], every: Millis) -> None:
        while True:
            await self._clock.sleep(min(every, RETRY) if name in self.stale else every)
            await self._fetch(name, fetch)

    async def _fetch(self, name: str, fetch: Callable[[], None]) -> None:
        why = ""
        try:
            await self._blocking(fetch, _PATIENCE)
        except SecretError as error:
            why = str(error)
        except TimeoutError:
            why = "the secret store was not asked in time"
        before = self.stale.get(name)
        if why == ("" if before is None else before.why):
            return
        if why:
            self.stale[name] = Stale(why, self._clock.now() if before is None else before.since)
        else:
            del self.stale[name]
        await self._tell(name, why)


def _document(kind: str, store: SecretStore, reference: str) -> dict[str, Callable[[], None]]:
    """Give the name of the document and how to fetch it; nothing for a reference that cannot work: each use says so."""
    try:
        document = store.document(reference)
    except SecretError:
        return {}
    return {f"{kind}:{document}".rstrip(":"): partial(store.refresh, document)}
