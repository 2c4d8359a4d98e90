"""One connection to the state file, and what is known of it: opened under the lock, checked, dropped when in doubt.

The law about failures. An error before COMMIT means that nothing was saved. When COMMIT itself fails, SQLite may or
may not have put it on disk, and trying again on the same handle may report a success that a power cut undoes (the
kernel forgets a failed fsync). So the handle is dropped, the file opened anew, checked and checkpointed, and its
commit number says what became of the change. Only where that cannot be had, the change stays in doubt.

Where the caller wants to go on whatever happens (`lasting`), a write that the file does not take is done in memory, and
so is everything after it (`unsaved`), until `save` has put all of it into the file.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from alerting.errors import StateMoved, StateRefused, StoreError
from alerting.store.lock import Lock, Mark
from alerting.store.schema import (
    AFRESH,
    BUSY,
    VERSION,
    check,
    connect,
    create,
    inspect_file,
    is_passing,
    refused,
    upgrade,
)
from alerting.store.unsaved import Unsaved, lifted

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Millis

T = TypeVar("T")

_CHECKPOINT = 4 * 2**20  # bytes of log after which it is taken into the file
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MOMENT: Millis = 250  # to put back what is unsaved, others that hold the file are not waited for any longer


class Handle:
    """For one thread at a time."""

    def __init__(self, path: str, *, read_only: bool = False, busy: Millis = BUSY, lasting: bool = False) -> None:
        """Name the file; nothing is touched until `open`. `lasting`: go on in memory when it cannot be written."""
        self.path = path
        self.moved = False  # a commit that was reported as failed is on disk
        self.sound = False  # what one goes on from was read; until then, what cannot be read refuses the file
        self.may_write = not read_only
        self._busy = busy
        self._lock = Lock(path)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._installation = ""
        self._commits = 0  # as known to the callers
        self._doubt = False  # the last commit may or may not be on disk
        self._lasting = lasting and not read_only
        self._spare: Unsaved | None = None  # taken from a connection that failed, before it was let go of
        self._unsaved: Unsaved | None = None

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
            self._make_if_new(mark)
            self._connect_or_lift()
            self._compare(mark)
        except BaseException:
            self.close()
            raise
        self._lock.note(self._installation, self._commits)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one read transaction: what it sees belongs together."""
        if self._unsaved is None:
            try:
                return self._read(work)
            except StoreError as error:
                unsaved = self._go_on_unsaved(error)
        else:
            unsaved = self._unsaved
        return unsaved.read(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction that begins as a writer. Returns when it is on disk, or `unsaved`."""
        if not self.may_write:
            raise StoreError(f"the state {self.path} was opened to be read only")
        if self._unsaved is not None:
            return self._unsaved.write(work)
        try:
            return self._write(work)
        except StoreError as error:
            result = self._go_on_unsaved(error).write(work)
        self.save()  # the fault may have been one of that moment
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
        unsaved = self._unsaved
        if unsaved is None:
            return
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
            self._unsaved = None
            unsaved.close()
            self._lock.note(self._installation, self._commits)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.ready()
        try:
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not self.sound and code_of(error) in _DAMAGE:
                self._drop()
                raise refused(self.path, f"is damaged ({error})") from None
            self._drop(lift=speaks_of_the_file(error))
            raise self._failure("read", error) from None
        except BaseException:
            self._drop()
            raise
        return result

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.ready()
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("UPDATE meta SET commits = commits + 1")
        except sqlite3.Error as error:
            began = connection.in_transaction or code_of(error) != sqlite3.SQLITE_BUSY
            if began or self._lasting:  # else the handle is as it was
                self._drop(lift=speaks_of_the_file(error))
            raise self._failure("written", error) from None
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
        return result

    def close(self) -> None:
        """Let go of file and lock. Raises StoreError when something is unsaved, and stays so."""
        self.save()
        unsaved, self._unsaved = self._unsaved, None
        self._drop()
        self._lock.release()
        if unsaved is not None:
            unsaved.close()
            raise StoreError(f"{unsaved.why}; what happened since it failed is not in it, and may be told again")

    @property
    def in_doubt(self) -> bool:
        """Tell whether something failed, and the caller may not know what is on disk."""
        return (self._connection is None and self._unsaved is None) or self.moved

    @property
    def unsaved(self) -> str:
        """Why what happens is held in memory only, for the time being; empty: all is on disk."""
        return "" if self._unsaved is None else self._unsaved.why

    # ------------------------------------------------------------------------------------- the connection

    def ready(self) -> sqlite3.Connection:
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
        self.moved = self.moved or self._commits != known
        self._forget_spare()
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

    def _connect(self, busy: Millis | None = None) -> sqlite3.Connection:
        """Open, check and take note of the file. Raises StateRefused or StoreError, and leaves nothing open then."""
        inspect_file(self.path)
        self._identity = identity(self.path)
        connection = None
        try:
            connection = connect(self.path, "rw" if self.may_write else "ro", self._busy if busy is None else busy)
            self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, sqlite3.Error):
                raise
            if is_passing(error):
                raise self._failure("opened", error) from None
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
            raise self._failure("written", error) from None
        if self._commits == before:
            raise self._failure("written", error) from None
        self._forget_spare()

    def _drop(self, *, lift: bool = False) -> None:
        """Let go of the handle; what was not committed is rolled back. `lift`: keep what may be gone on with."""
        connection, self._connection = self._connection, None
        if connection is not None:
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
        self._unsaved = unsaved
        return unsaved

    def _put_back(self, unsaved: Unsaved) -> None:
        """Open the file anew, and write what is unsaved. Raises StoreError, StateRefused."""
        connection = self._connect(min(_MOMENT, self._busy))
        if (self._installation, self._commits in unsaved.origins) != (unsaved.installation, True):
            raise refused(self.path, "was written by somebody else meanwhile", "stop them, and put the right file back")
        try:
            connection.execute("BEGIN IMMEDIATE")
            unsaved.put_into(connection)
            self._doubt = True
            unsaved.origins.add(unsaved.commits)
            connection.execute("COMMIT")
            self._doubt = False
            connection.execute(f"PRAGMA busy_timeout = {self._busy}")
        except sqlite3.Error as error:
            raise self._failure("written", error) from None
        self._commits = unsaved.commits

    def _forget_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def _failure(self, verb: str, error: sqlite3.Error) -> StoreError:
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE  # by another name
        return StoreError(f"the state {self.path} could not be {verb}: {'the disk is full' if full else error}")

    # ------------------------------------------------------------------------------------- new and lost

    def _make_if_new(self, mark: Mark) -> None:
        """Make the file where there never was one; refuse where there was."""
        if os.path.lexists(self.path):
            return
        if mark.installation:
            raise refused(self.path, f"is gone: there was one (installation {mark.installation})", self._afresh())
        if os.path.lexists(f"{self.path}-wal"):
            raise refused(self.path, "is gone, but its -wal file is there", self._afresh())
        try:
            create(self.path, os.urandom(8).hex())
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StoreError(f"the state {self.path} could not be made: {reason}") from None
        except sqlite3.Error as error:
            raise self._failure("made", error) from None

    def _afresh(self) -> str:
        return f"put it back, or remove {self.path}-wal and {self._lock.path} to start afresh ({AFRESH})"

    def _compare(self, mark: Mark) -> None:
        """Refuse a file that is not the newest of this installation."""
        remedy = f"put the right file back, or remove {self._lock.path} to go on from this one"
        if mark.installation and mark.installation != self._installation:
            what = f"belongs to installation {self._installation}, and here was {mark.installation}"
            raise refused(self.path, what, remedy)
        if self._commits < mark.commits:
            lost = mark.commits - self._commits
            what = f"lacks the last {lost} commits: it is an old copy, or its -wal file is gone"
            raise refused(self.path, what, remedy)


def speaks_of_the_file(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file cannot be used, now or for good, and nothing of what was asked of it."""
    code = code_of(error)
    return code in _DAMAGE or (is_passing(error) and code != sqlite3.SQLITE_NOMEM)


def code_of(error: sqlite3.Error) -> int:
    """Give SQLite's primary code of an error; that of no particular one where Python's own layer raised it."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def identity(path: str) -> tuple[int, int] | None:
    """Tell one file from another that has taken its name; None when there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
