"""The state's thread: real SQLite on a real file, with calls that come late, fail, or hang until nobody waits.

It stands in the place of `pool.Pool(1)` and keeps its law: one call after another, a caller that gives up leaves its
call to the thread, a call that nobody waits for any more when its turn comes is not made. Every call takes time, so
that the program can die before it, after it, and while it waits.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alerting.errors import StoreError
from alerting.outbox import LEASE
from alerting.store.handle import Handle
from alerting.store.schema import create
from alerting.store.sqlite import SqliteStore
from tests.simulate.loop import Dead
from tests.simulate.plan import S

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from alerting.store.unsaved import Unsaved as Memory
    from tests.simulate.loop import Clock
    from tests.simulate.plan import Dice, Windows
    from tests.simulate.unsaved import Unsaved

T = TypeVar("T")
INSTALLATION = "simulated"
WRITES = frozenset({"commit", "claim", "settle", "keep"})
HELD = frozenset({"busy", "full"})  # the file can be read and not written
# A delivery is in one of these indexes: the rows themselves are wide, and this is asked with every message.
_OWED = "SELECT state, count(*) FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL GROUP BY state"
_SETTLED = """SELECT state, count(*) FROM delivery INDEXED BY delivery_ended WHERE settled_at IS NOT NULL
    GROUP BY receiver, state"""
HURTS = frozenset({"slow", "stall", "torn", "dead"})  # what keeps the program from going on as if nothing were


class Disk:
    """The state file of one run, and an independent look at it. It outlives the processes that write it."""

    def __init__(self, folder: str, windows: Windows, dice: Dice) -> None:
        self.path = str(Path(folder) / "state.db")
        self.windows = windows
        self.dice = dice
        self.armed = ""  # the process is to die "before" or "after" the next write
        self.doubt_until = 0  # until then a message may stand as claimed that nobody holds
        self.hurt_at = -S  # when a call last failed or was slow
        create(self.path, INSTALLATION)
        self.witness = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        self.unsaved: Unsaved | None = None  # is told when what happens is in memory only, and how that ends
        self._rows = self.witness  # what counts as on disk: the file, or what stands for it in memory
        self._stands_for: Memory | None = None

    def look(self, handle: Handle) -> None:
        """See whether the program holds in memory what it does not write, after each call."""
        before, now = self._stands_for, handle._unsaved
        if now is before or self.unsaved is None:
            return
        self._stands_for, self._rows = now, self.witness if now is None else now._rows
        if before is not None:
            on_disk = self.witness.execute("SELECT commits FROM meta").fetchone()[0]
            (self.unsaved.saved if on_disk >= before.commits else self.unsaved.lost)()
        if now is not None:
            self.unsaved.begins()

    @property
    def in_memory(self) -> bool:
        """Whether what happens now is in memory only."""
        return self._stands_for is not None

    def counts(self) -> dict[str, int]:
        """Count the deliveries by state, as they are on disk."""
        if not self.in_memory:
            counts = Counter(dict(self.witness.execute(_OWED)))
            for state, number in self.witness.execute(_SETTLED):
                counts[state] += number
            return counts
        states = dict(self.witness.execute("SELECT seq, state FROM delivery"))
        states.update(self._rows.execute("SELECT seq, state FROM delivery"))
        return Counter(states.values())

    def gone(self) -> int:
        """Count the deliveries that count as pruned: none is so old."""
        return int(self.witness.execute("SELECT gone_sent + gone_parked + gone_folded FROM meta").fetchone()[0])

    def created(self) -> int:
        """How many messages were ever owed, by the state's own count."""
        return int(self._rows.execute("SELECT created FROM meta").fetchone()[0])

    def state_of(self, id_: str) -> str:
        """Tell how a message stands on disk; empty: it is not there."""
        row = self._rows.execute("SELECT state FROM delivery WHERE id = ?", (id_,)).fetchone()
        return row[0] if row else ""

    def uncertain(self, id_: str) -> bool:
        """Tell whether an attempt at a message may have arrived, as far as the state says."""
        found = self._rows.execute("SELECT outcome FROM delivery WHERE id = ?", (id_,)).fetchone()
        return found is not None and found[0] == "unknown"

    def folded(self) -> dict[str, str]:
        """Give what was folded: message -> the one that tells it."""
        return dict(self._rows.execute("SELECT id, told_by FROM delivery WHERE state = 'folded' AND told_by <> ''"))

    def unsettled(self) -> list[tuple[str, str, int]]:
        """Give what is owed: (id, state, not before)."""
        rows = self._rows.execute("SELECT id, state, next_at FROM delivery WHERE settled_at IS NULL ORDER BY seq")
        return list(rows)

    def close(self) -> None:
        """Let go of the look at the file."""
        self.witness.close()


class Thread:
    """The Blocking port of one process onto the disk."""

    def __init__(self, disk: Disk, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self.handle = Handle(disk.path, busy=0, lasting=True)
        self.store = SqliteStore(self.handle, self)
        self.doing = "read"  # what the next call is for
        self.on_disk: Callable[[], None] | None = None  # to be called once the next call has been made
        self.stuck_until = 0

    async def __call__(self, call: Callable[[], T], deadline: int) -> T:
        if not self._clock.alive:
            raise Dead
        loop, disk = self._clock.loop, self._disk
        doing, on_disk = self.doing, self.on_disk
        self.doing, self.on_disk = "read", None
        future: asyncio.Future[Any] = loop.create_future()
        window = disk.windows.at(loop.at)
        kind = window.kind if window else ""
        if kind == "flaky":
            kind = "busy" if disk.dice.chance(0.4) else ""
        if kind in {"stall", "torn", "dead"} and disk.dice.chance(0.6):
            kind = ""
        begins = max(loop.at, self.stuck_until)
        if begins < loop.at + deadline:
            takes = self._takes(kind)
            self.stuck_until = begins + takes
            if takes > S or kind in HURTS:
                disk.hurt_at = self.stuck_until
            loop.after(begins + takes - loop.at, lambda: self._work(call, kind, doing, on_disk, future))
        if self.stuck_until > loop.at + deadline or begins >= loop.at + deadline:
            loop.after(deadline, lambda: future.done() or future.set_exception(TimeoutError()))
        return await future  # type: ignore[no-any-return]

    def _takes(self, kind: str) -> int:
        if kind == "slow":
            return self._disk.dice.whole(50, 8 * S)
        if kind == "stall":
            return self._disk.dice.whole(20 * S, 45 * S)
        return 1 + self._disk.dice.whole(0, 3)

    def _work(
        self, call: Callable[[], Any], kind: str, doing: str, on_disk: Callable[[], None] | None, future: Any
    ) -> None:
        """Do what the thread does; between two callbacks of the loop."""
        if not self._clock.alive:
            return
        disk, loop = self._disk, self._clock.loop
        armed, disk.armed = (disk.armed, "") if doing in WRITES else ("", disk.armed)
        if armed == "before":
            loop.dying = True
            return
        error: BaseException | None = None
        result = None
        if kind in HELD:
            disk.witness.execute("BEGIN IMMEDIATE")
        known, in_memory = self.handle._commits, disk.in_memory
        try:
            if kind == "dead" and not in_memory:
                raise StoreError("the state could not even be read")  # noqa: TRY301  as the call would
            try:
                result = call()
            finally:
                disk.look(self.handle)
        except Exception as caught:  # noqa: BLE001  it is the caller's
            error = caught
        finally:
            if kind in HELD:
                disk.witness.execute("ROLLBACK")
        if kind in HELD and doing in WRITES and type(error) is StoreError and disk.unsaved is not None:
            disk.unsaved.refused(error)
        if error is None and on_disk is not None:
            on_disk()  # what it raises is a mistake of the simulator's own
        in_memory = in_memory or disk.in_memory
        if kind == "torn" and doing in WRITES and error is None and not in_memory:
            self.handle._drop()
            self.handle._commits = known
            error = StoreError("the commit failed, as far as anybody can tell")
        if doing == "claim" and ((kind == "torn" and not in_memory) or future.done()):
            disk.doubt_until = loop.at + LEASE  # claimed on disk, and the lane does not know: its lease must end
        if armed == "after":
            loop.dying = True
            return
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def kill(self) -> None:
        """What the system does with the files and the memory of a process that is gone."""
        held, self.handle._unsaved = self.handle._unsaved, None
        self._disk.look(self.handle)
        if held is not None:
            held.close()
        self.handle._forget_spare()
        self.handle.close()
