"""One connection to the state file, and what is known of it: opened under the lock, checked, dropped when in doubt.

The law about failures. An error before COMMIT means that nothing was saved. When COMMIT itself fails, SQLite may or
may not have put it on disk, and trying again on the same handle may report a success that a power cut undoes (the
kernel forgets a failed fsync). So the handle is dropped, the file opened anew, checked and checkpointed, and its
commit number says what became of the change. Only where that cannot be had, the change stays in doubt.

Where the caller wants to go on whatever happens (`lasting`), a write that the file does not take is done in memory, and
so is everything after it (`unsaved`), until `save` has put all of it into the file.

A call may also never come back. With `follows` what is alive is kept in memory beside the file, so that whoever waits
can go on without the thread that hangs (`leave`), on another handle. What that thread was doing may be on disk, then or
later, and nothing after it: it looks whether it was left behind before each COMMIT and before it reports a success.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alerting.errors import StateMoved, StateRefused, StoreError
from alerting.store.lock import Lock
from alerting.store.place import DAMAGE, code_of, compare, failure, identity, make_if_new, speaks_of_the_file
from alerting.store.schema import BUSY, VERSION, check, connect, inspect_file, is_passing, refused, upgrade
from alerting.store.unsaved import Unsaved, lifted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.model import Millis
    from alerting.store.led import Led

T = TypeVar("T")

_CHECKPOINT = 4 * 2**20  # bytes of log after which it is taken into the file
_AGAIN = 1_000  # writes after which it is tried again to have in memory what is alive
_MOMENT: Millis = 250  # to put back what is unsaved, others that hold the file are not waited for any longer


class LeftBehind(Exception):  # noqa: N818  no error: nobody waits any more for the thread in which it is raised
    """Memory was gone on with meanwhile: what was begun in this thread is to be let go of."""


class Handle:
    """For one thread at a time, apart from `turn`, `leave`, `unsaved` and `in_doubt`."""

    def __init__(
        self, path: str, *, read_only: bool = False, busy: Millis = BUSY, lasting: bool = False, follows: bool = False
    ) -> None:
        """Name the file; nothing is touched until `open`.

        `lasting`: go on in memory when it cannot be written; `follows`: be ready to even when it hangs.
        """
        self.path = path
        self.turn = 0  # counts the calls of the thread; odd: it is in one
        self.alone = False  # in memory only, as the file hangs: it is not touched
        self.shaken = False  # it went on in memory just now: the fault may have been one of that moment
        self.moved = False  # a commit that was reported as failed is on disk
        self.sound = False  # what one goes on from was read; until then, what cannot be read refuses the file
        self.may_write = not read_only
        self._busy = busy
        self._lock = Lock(path)
        self._connection: Led | None = None
        self._identity: tuple[int, int] | None = None
        self._installation = ""
        self._commits = 0  # as known to the callers
        self._doubt = False  # the last commit may or may not be on disk
        self._lasting = lasting and not read_only
        self._spare: Unsaved | None = None  # taken from a connection that failed, before it was let go of
        self._unsaved: Unsaved | None = None
        self._follows = follows and self._lasting
        self._beside: Unsaved | None = None  # the living part of the file as it is
        self._beside_in = 0  # writes until it is tried again to have one
        self._guard = threading.Lock()  # of what follows, and of what is in memory against `leave`
        self._left = False  # somebody went on without this
        self._done = False  # what the call was to write is written, here and in memory

    def open(self) -> None:
        """Take the lock, then look. Raises LockHeld, StateRefused, StoreError; makes the file where it never was."""
        if self._connection is not None or self._unsaved is not None:
            return
        if not self.may_write:
            if not Path(self.path).exists():
                raise StateRefused(f"there is no state at {self.path} yet: `alerting check` or `alerting run` makes it")
            self._connect()
            return
        mark = self._lock.take()
        try:
            make_if_new(self.path, mark)
            self._connect_or_lift()
            compare(self.path, mark, self._installation, self._commits)
        except BaseException:
            self.close()
            raise
        self._lock.note(self._installation, self._commits)

    def read(self, work: Callable[[sqlite3.Connection], T], *, single: bool = False) -> T:
        """Run `work` in one read transaction: what it sees belongs together. `single`: it asks once, and reads all."""
        if self._unsaved is None:
            try:
                return self._read(work, single=single)
            except StoreError as error:
                unsaved = self._go_on_unsaved(error)
        else:
            unsaved = self._unsaved
        return unsaved.read(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction that begins as a writer. Returns when it is on disk, or `unsaved`."""
        if not self.may_write:
            raise StoreError(f"the state {self.path} was opened to be read only")
        self._done = False
        if self._unsaved is not None:
            return self._hold(self._unsaved, work)
        try:
            self.see_to_beside()
            return self._write(work)
        except StoreError as error:
            result = self._hold(self._go_on_unsaved(error), work)
        if self._follows:
            self.shaken = True  # to be saved by a call of its own: this one has its result, whatever hangs
        else:
            self.save()  # the fault may have been one of that moment
        return result

    def _hold(self, unsaved: Unsaved, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._guard:
            self._stay()
            result = unsaved.write(work)
            self._done = True
        return result

    def agree(self) -> None:
        """See to it that the caller knows all that is on disk. Raises StateMoved."""
        if self._unsaved is None:
            try:
                self.ready()
            except StoreError as error:
                self._go_on_unsaved(error)
        if self.moved:
            raise StateMoved("an earlier commit that seemed to fail may be saved: the state is read anew")

    def save(self) -> None:
        """Put what is unsaved into the file, all or nothing; `unsaved` says why, where it could not be done."""
        unsaved, self.shaken = self._unsaved, False
        if unsaved is None or self.alone:
            return
        self._done = False
        try:
            self._put_back(unsaved)
        except StoreError:  # as before; how it began says most
            self._drop()
        except StateRefused as error:
            self._drop()
            unsaved.why = str(error)
        except BaseException:
            self._drop()
            raise
        else:
            self._lock.note(self._installation, self._commits)
            with self._guard:
                self._stay()
                self._unsaved = None
                self._let_follow(unsaved)

    def _read(self, work: Callable[[sqlite3.Connection], T], *, single: bool) -> T:
        self._done = False
        connection = self.ready()
        try:
            if single:  # one statement is a transaction by itself
                return work(connection)
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not self.sound and code_of(error) in DAMAGE:
                self._drop()
                raise refused(self.path, f"is damaged ({error})") from None
            self._drop(lift=speaks_of_the_file(error))
            raise failure(self.path, "read", error) from None
        except BaseException:
            self._drop()
            raise
        return result

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.ready()
        before = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.follower = self._step if self._beside is not None else None
            result = work(connection)
            connection.execute("UPDATE meta SET commits = commits + 1")
            connection.follower = None
            self.stay()
        except sqlite3.Error as error:
            began = connection.in_transaction or code_of(error) != sqlite3.SQLITE_BUSY
            if began or self._lasting:  # else the handle is as it was
                self._drop(lift=speaks_of_the_file(error))
            raise failure(self.path, "written", error) from None
        except (UnicodeError, OverflowError) as error:
            self._drop()
            raise StoreError(f"a value cannot be kept in the state ({type(error).__name__})") from None
        except BaseException:
            self._drop()
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._resolve(error)
        except BaseException:  # a signal's exception in the middle of it
            self._drop()
            self._doubt = True
            raise
        else:
            self._commits += 1
        self._lock.note(self._installation, self._commits)
        with self._guard:
            self._stay()
            if self._beside is not None and not self._beside.arrive(connection, connection.total_changes - before):
                self._let_follow(None)
            self._done = True
        return result

    def close(self) -> None:
        """Let go of file and lock. Raises StoreError when something is unsaved, and stays so.

        The lock of a file that hangs stays until the process ends: what was begun may still come to be written.
        """
        self.save()
        with self._guard:
            self._stay()
            unsaved, self._unsaved = self._unsaved, None
            self._let_follow(None)
        self._drop()
        if not self.alone:
            self._lock.release()
        if unsaved is None:
            return
        unsaved.close()
        if unsaved.has_news:
            raise StoreError(f"{unsaved.why}; what happened since it failed is not in it, and may be told again")

    @property
    def in_doubt(self) -> bool:
        """Tell whether something failed, and the caller may not know what is on disk."""
        return (self._connection is None and self._unsaved is None) or self.moved

    @property
    def unsaved(self) -> str:
        """Why what happens is held in memory only, for the time being; empty: all is on disk."""
        return "" if self._unsaved is None else self._unsaved.why

    # ------------------------------------------------------------------------------------- a file that hangs

    def enter(self) -> None:
        """Take note that the thread begins a call. Raises LeftBehind."""
        with self._guard:
            self._stay()
            self.turn += 1
            self._done = False

    def come_back(self) -> None:
        """Take note that the call is over; where nobody waited for it, let go of everything but the lock."""
        with self._guard:
            self.turn += 1
        if self._left:
            self.let_go()

    def let_go(self) -> None:
        """Close what is open, and forget what is held. The lock stays."""
        self._drop()
        self._forget_spare()
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is not None:
            unsaved.close()

    def leave(self, why: str) -> Handle | None:
        """Go on in memory without this, whose thread does not come back; to be called by another one.

        None: it is about to come back, or nothing is known to go on from.
        """
        if not self._guard.acquire(blocking=False):
            return None
        try:
            if self._done or self.turn % 2 == 0:
                return None
            if self._unsaved is not None:
                unsaved = self._unsaved.image()
            elif self._beside is not None:
                unsaved, self._beside = self._beside, None
                unsaved.set_off()
            else:
                return None
            self._left = True
        finally:
            self._guard.release()
        unsaved.why = why
        return self._another(unsaved, alone=True)

    @property
    def is_lost(self) -> bool:
        """Tell whether there is nothing to go on from, should the file hang."""
        return self._unsaved is None and self._beside is None

    def trial(self) -> Handle:
        """Give a handle with which a thread may try to save what is held now, while this one goes on."""
        if self._unsaved is None:
            raise StoreError("nothing is unsaved")
        return self._another(self._unsaved.image(), alone=False)

    def heed(self, other: Handle) -> None:
        """Take over from a handle that is done with what it does not know of the file."""
        self._doubt = self._doubt or other._doubt

    def see_to_beside(self) -> None:
        """Have in memory what is alive in the file, to go on from when it hangs. Raises LeftBehind."""
        if not self._follows or self._unsaved is not None or (self._beside is not None and not self._beside.is_large):
            return
        self._beside_in -= 1
        if self._beside_in > 0:
            return
        try:
            made = lifted(self.ready())
        except (StoreError, MemoryError):  # the write that follows meets the same and says it
            made = None
        self._beside_in = 0 if made is not None else _AGAIN
        if made is not None:
            with self._guard:
                self._stay()
                self._let_follow(made)

    def stay(self) -> None:
        """Raise LeftBehind where nobody waits any more: from there on nothing may be written."""
        with self._guard:
            self._stay()

    def _stay(self) -> None:
        if self._left:
            raise LeftBehind

    def _step(self, statement: str, rows: Sequence[Any]) -> None:
        """Follow a statement of the file, between two of its own."""
        with self._guard:
            self._stay()
            if self._beside is not None and not self._beside.follow(statement, rows):
                self._let_follow(None)

    def _let_follow(self, unsaved: Unsaved | None) -> None:
        """Keep this beside the file from now on, where that is wanted. Whoever calls holds the guard."""
        if not self._follows and unsaved is not None:
            unsaved.close()
            unsaved = None
        before, self._beside = self._beside, unsaved
        if before is not None:
            before.close()

    def _another(self, unsaved: Unsaved, *, alone: bool) -> Handle:
        other = Handle(self.path, busy=self._busy, lasting=True, follows=alone)
        other._lock, other._installation, other._commits = self._lock, self._installation, unsaved.commits
        other.moved, other.sound, other.alone = self.moved, True, alone
        other._doubt, other._unsaved = self._doubt, unsaved
        return other

    # ------------------------------------------------------------------------------------- the connection

    def ready(self) -> Led:
        """Give a connection whose file was checked; opens it anew after a failure, and learns then what was saved."""
        if self._connection is not None and identity(self.path) != self._identity:
            self._drop(lift=True)  # removed or replaced under us: what we write would be nobody's
        if self._connection is not None:
            return self._connection
        known = self._commits
        try:
            connection = self._connect()
        except StateRefused as error:
            raise StoreError(str(error)) from None
        self._forget_spare()
        if self._commits != known:
            self.moved = True
            with self._guard:
                self._stay()
                self._let_follow(None)
        return connection

    def _connect_or_lift(self) -> None:
        """Open the file; where it cannot be opened to be written, but read, go on from it in memory."""
        try:
            self._connect()
        except StoreError as error:
            if self._lasting:
                self._spare = self._read_out()
            unsaved = self._go_on_unsaved(error)
            self._installation, self._commits = unsaved.installation, unsaved.commits

    def _read_out(self) -> Unsaved | None:
        """Take what is alive out of a file for whose companions there is no room. Raises StateRefused."""
        connection = connect(self.path, "rw", self._busy)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # which needs no -shm file
            return lifted(connection) if check(connection, self.path) == VERSION else None
        except sqlite3.Error:
            return None
        finally:
            connection.close()

    def _connect(self, busy: Millis | None = None, *, locked: bool = False) -> Led:
        """Open, check and take note of the file. Raises StateRefused or StoreError, and leaves nothing open then.

        `locked`: others may hold it, which is seen before it is checked: that takes long where it is large.
        """
        inspect_file(self.path)
        self._identity = identity(self.path)
        connection = None
        try:
            connection = connect(self.path, "rw" if self.may_write else "ro", self._busy if busy is None else busy)
            if locked:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, sqlite3.Error):
                raise
            if is_passing(error):
                raise failure(self.path, "opened", error) from None
            raise refused(self.path, f"is damaged ({error})") from None
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = check(connection, self.path)
        if self.may_write:
            upgrade(connection, version)
            connection.execute("PRAGMA synchronous = FULL")
            page = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT // page}")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise refused(self.path, "is on a file system without shared memory", "keep it on a local disk")
            if self._doubt and connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StoreError(f"the state {self.path} is busy: what became of the last commit is not known yet")
        elif version < VERSION:  # its tables are not those that are asked for, and to change them is the writer's part
            what = f"was written by an older release (format {version}; this one knows {VERSION})"
            raise refused(self.path, what, "`alerting check` or `alerting run` brings it up to date")
        row = connection.execute("SELECT installation, commits FROM meta").fetchone()
        if row is None:
            raise refused(self.path, "is damaged: it does not say whose it is")
        self._installation, self._commits = row
        self._doubt = False

    def _resolve(self, error: sqlite3.Error) -> None:
        """Find out on a new handle whether a commit that failed was saved; raises StoreError unless it was."""
        before = self._commits
        self._drop(lift=speaks_of_the_file(error))
        self._doubt = True
        try:
            self._connect()
        except (StoreError, StateRefused):
            raise failure(self.path, "written", error) from None
        if self._commits == before:
            raise failure(self.path, "written", error) from None
        self._forget_spare()
        with self._guard:
            self._let_follow(None)  # it turned back

    def _drop(self, *, lift: bool = False) -> None:
        """Let go of the handle; what was not committed is rolled back. `lift`: keep what may be gone on with."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.follower = None
            with self._guard:
                if self._beside is not None:
                    self._beside.turn_back()
            if lift and self._lasting:
                self._forget_spare()
                self._spare = lifted(connection)  # while it is open: a full disk has no room to open it anew
            with suppress(sqlite3.Error):  # it is closed all the same, and the next one is checked
                connection.close()

    def _go_on_unsaved(self, error: StoreError) -> Unsaved:
        """Go on in memory from what was on disk. Raises `error` where that is not wanted or cannot be had."""
        unsaved, self._spare = self._spare, None
        if unsaved is None:
            raise error
        self._drop()
        unsaved.why = str(error)
        if self._doubt:
            unsaved.origins.add(unsaved.commits + 1)
        with self._guard:
            if self._left:
                unsaved.close()
            self._stay()
            self._unsaved = unsaved
            self._let_follow(None)
        return unsaved

    def _put_back(self, unsaved: Unsaved) -> None:
        """Open the file anew, and write what is unsaved. Raises StoreError, StateRefused."""
        connection = self._connect(min(_MOMENT, self._busy), locked=True)
        if (self._installation, self._commits in unsaved.origins) != (unsaved.installation, True):
            raise refused(self.path, "was written by somebody else meanwhile", "stop them, and put the right file back")
        try:
            self.stay()
            connection.execute("BEGIN IMMEDIATE")
            unsaved.put_into(connection)
            self.stay()
            self._doubt = True
            unsaved.origins.add(unsaved.commits)
            connection.execute("COMMIT")
            self._doubt = False
            connection.execute(f"PRAGMA busy_timeout = {self._busy}")
        except sqlite3.Error as error:
            raise failure(self.path, "written", error) from None
        self._commits = unsaved.commits

    def _forget_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()
