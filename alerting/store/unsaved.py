"""What is gone on with while the state file cannot be written: its living part, in memory.

Theory of operation. The file can still be read when it cannot be written (a full disk, a failing sync, somebody who
holds it). What is alive is copied out of it: alerts, what was announced, what is owed, and what was settled lately.
History stays where it is, so that a state of gigabytes does not have to fit into memory. The copy is a database with
the same tables, so the same SQL works on it, and rows keep their numbers. When the file can be written again, all
that happened is put into it in one transaction: small tables are replaced, what was appended is appended.

`handle` decides when. It holds the lock all the while, so the file may only have changed by a commit of ours that was
thought to have failed; what is put back covers that.

A file that hangs can be read no more than written. So that one can go on then, such a copy may also be kept beside a
file that is well: what is changed there is changed here as well (`follow`).
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from alerting.errors import StoreError
from alerting.store.outlook import RECEIVERS, settled
from alerting.store.records import GIVEN_UP
from alerting.store.schema import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_PAGES = 65_536  # of 4 KiB each: what is unsaved may take 256 MiB, then nothing more is taken
_RECENT = 1_000  # of the history, this much comes along
_GROWTH = 1_024  # pages by which a copy that follows may exceed twice its first size, before it is made anew
_REPLACED = ("kept", "alert", "evaluated", "announced", "fault")
_OUTBOX = ("delivery", "message")
_SELDOM = 32  # commits
_APPENDED = ("transition", "decision", "attempt")
_RECENTLY = {name: f"SELECT * FROM {name} ORDER BY seq DESC LIMIT {_RECENT}" for name in ("transition", "decision")}  # noqa: S608  names from above
# Of the deliveries: what is owed, what was settled within the hour, what was sent last under each key that still
# matters, what became of each receiver's last message, and the newest, so that numbers go on from there.
_LIVING = f"""SELECT * FROM {{}} WHERE seq IN ({RECEIVERS}
    SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL
    UNION SELECT d.seq FROM known JOIN delivery AS d INDEXED BY delivery_ended ON d.receiver = known.receiver
        AND d.state IN ('sent', 'parked', 'folded') AND d.settled_at > :lately
    UNION SELECT (SELECT s.seq FROM delivery AS s INDEXED BY delivery_key
        WHERE s.receiver = k.receiver AND s.group_key = k.group_key AND s.state = 'sent' ORDER BY s.seq DESC LIMIT 1)
        FROM (SELECT receiver, group_key FROM announced
              UNION SELECT receiver, group_key FROM delivery WHERE settled_at IS NULL) AS k
    UNION SELECT (SELECT s.seq FROM delivery AS s INDEXED BY delivery_ended
        WHERE s.receiver = known.receiver AND s.state = ended.state AND s.settled_at NOTNULL
        ORDER BY s.settled_at DESC, s.seq DESC LIMIT 1)
        FROM known, (SELECT 'sent' AS state UNION SELECT 'parked') AS ended
    UNION SELECT max(seq) FROM delivery)"""  # noqa: S608  texts of our own
_TRIED = """SELECT * FROM attempt
    WHERE delivery IN (SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL)
    OR seq = (SELECT max(seq) FROM attempt)"""


class Unsaved:
    """The living part of one state. For one thread at a time."""

    def __init__(self, file: sqlite3.Connection) -> None:
        """Copy it out of a file in which no transaction is open. Raises sqlite3.Error where that cannot be read."""
        self.why = ""  # the file could not be written
        self._rows = _memory()
        self._tops: dict[str, int] = {}  # table -> the newest row that came from the file
        try:
            upgrade(self._rows, 0)
            file.execute("BEGIN")
            self._rows.execute("BEGIN")
            self._copy(file)
            self._count_as_here(self._rows)
            self._count_as_gone(self._rows, self._left_behind(file))
            file.execute("COMMIT")
            self._rows.execute("COMMIT")
            found = self._rows.execute("SELECT installation, commits FROM meta").fetchone()
        except BaseException:
            self._rows.close()
            raise
        self.installation: str = found[0]
        self.commits: int = found[1]
        self.origins = {self.commits}  # the file may have so many commits when all of this is put into it
        self._known: int = self.commits  # so many commits are surely in the file
        self._enough = 2 * self._pages() + _GROWTH
        self._changes = 0  # of rows, before those that follow now

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on what is held."""
        return work(self._rows)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, all or nothing. Raises StoreError when it cannot be held."""
        self._rows.execute("BEGIN")
        try:
            result = work(self._rows)
            self._rows.execute("UPDATE meta SET commits = commits + 1")
            self._rows.execute("COMMIT")
        except BaseException as error:
            if self._rows.in_transaction:
                self._rows.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | UnicodeError | OverflowError):
                raise StoreError(f"{self.why}; and it cannot be held in memory: {error}") from None
            raise
        self.commits += 1
        return result

    def follow(self, statement: str, rows: Sequence[Any]) -> bool:
        """Make a change here that was made in the file; the first one begins a transaction. False: it cannot be."""
        try:
            if not self._rows.in_transaction:
                self._changes = self._rows.total_changes
                self._rows.execute("BEGIN")
            if len(rows) == 1:
                self._rows.execute(statement, rows[0])
            else:
                self._rows.executemany(statement, rows)
        except (sqlite3.Error, MemoryError):
            return False
        return True

    def arrive(self, file: sqlite3.Connection, changed: int) -> bool:
        """Keep what followed: it is in the file now, by so many changes of rows. False: they are not alike any more."""
        try:
            self._rows.execute("COMMIT")
            self.commits += 1
            # What is pruned is not always here; but rows that come later must get the same numbers.
            alike = self._rows.total_changes - self._changes == changed or _tops_of(file) == _tops_of(self._rows)
        except (sqlite3.Error, MemoryError):
            return False
        return alike

    def turn_back(self) -> None:
        """Undo what followed: it is not in the file, or that is not known."""
        if self._rows.in_transaction:
            self._rows.execute("ROLLBACK")

    @property
    def has_news(self) -> bool:
        """Tell whether it holds anything that may not be in the file."""
        return self.commits != self._known

    @property
    def is_large(self) -> bool:
        """Tell now and then whether it is better made anew, as it has grown: nothing is removed from what follows."""
        return self.commits % _SELDOM == 0 and self._pages() > self._enough

    def set_off(self) -> None:
        """From here on it goes alone. The file may get one more commit, which it was given and did not confirm."""
        self.turn_back()
        self._tops, self._known = _tops_of(self._rows), self.commits
        self.origins = {self.commits, self.commits + 1}

    def image(self) -> Unsaved:
        """Give a copy, which may be put into the file instead; this one may be in use in another thread."""
        twin = object.__new__(Unsaved)
        twin.why, twin.installation, twin.commits = self.why, self.installation, self.commits
        twin._tops, twin._known, twin._enough = dict(self._tops), self._known, self._enough
        twin._changes = 0
        twin.origins = self.origins = {*self.origins, self.commits}
        twin._rows = _memory()
        try:
            self._rows.backup(twin._rows)
        except BaseException:
            twin._rows.close()
            raise
        return twin

    def put_into(self, file: sqlite3.Connection) -> None:
        """Write all that happened into the file, in whose open transaction this is one piece of work."""
        gone = self._gone_from(file)
        for table in _REPLACED:
            file.execute(f"DELETE FROM {table}")  # noqa: S608  names from above, as below
            _copy_rows(self._rows, file, table, f"SELECT * FROM {table}")  # noqa: S608
        file.execute("DELETE FROM delivery WHERE seq > ?", (self._tops["delivery"],))
        for table in _OUTBOX:
            _copy_rows(self._rows, file, table, f"SELECT * FROM {table}")  # noqa: S608
        for table in _APPENDED:
            file.execute(f"DELETE FROM {table} WHERE seq > ?", (self._tops[table],))  # noqa: S608
            news = f"SELECT * FROM {table} WHERE seq > {self._tops[table]}"  # noqa: S608
            _copy_rows(self._rows, file, table, news)
        _copy_rows(self._rows, file, "meta", "SELECT * FROM meta")
        file.execute("UPDATE meta SET gone_sent = :sent, gone_parked = :parked, gone_folded = :folded", gone)
        self._count_as_here(file)

    def close(self) -> None:
        """Let go of what is held."""
        self._rows.close()

    def _copy(self, file: sqlite3.Connection) -> None:
        for table in ("meta", *_REPLACED):
            _copy_rows(file, self._rows, table, f"SELECT * FROM {table}")  # noqa: S608  names from above
        for table, newest in _RECENTLY.items():
            _copy_rows(file, self._rows, table, newest)
        written_at = file.execute("SELECT written_at FROM meta").fetchone()[0] or 0
        for table in _OUTBOX:
            _copy_rows(file, self._rows, table, _LIVING.format(table), {"lately": written_at - GIVEN_UP})
        _copy_rows(file, self._rows, "attempt", _TRIED)
        self._tops = _tops_of(self._rows)

    def _pages(self) -> int:
        return int(self._rows.execute("PRAGMA page_count").fetchone()[0])

    def _gone_from(self, file: sqlite3.Connection) -> dict[str, int]:
        """Count by state the settled deliveries that the file will lack. One of its commits may have pruned some."""
        count = "SELECT gone_sent, gone_parked, gone_folded FROM meta"
        gone = dict(zip(("sent", "parked", "folded"), file.execute(count).fetchone(), strict=True))
        old = "SELECT seq, state FROM delivery WHERE settled_at IS NOT NULL AND seq <= ?"
        for seq, state in self._rows.execute(old, (self._tops["delivery"],)):
            if file.execute("SELECT 1 FROM delivery WHERE seq = ?", (seq,)).fetchone() is None:
                gone[state] -= 1  # it comes back
        return gone

    def _left_behind(self, file: sqlite3.Connection) -> dict[str, int]:
        """Count by state the settled deliveries that were not copied."""
        here = settled(self._rows)
        return {state: count - here.get(state, 0) for state, count in settled(file).items()}

    @staticmethod
    def _count_as_here(rows: sqlite3.Connection) -> None:
        """Count the settled deliveries whose rows are here: rows that are copied are counted by no trigger."""
        here = {"sent": 0, "parked": 0, "folded": 0, **settled(rows)}
        rows.execute("UPDATE meta SET here_sent = :sent, here_parked = :parked, here_folded = :folded", here)

    @staticmethod
    def _count_as_gone(rows: sqlite3.Connection, counts: dict[str, int]) -> None:
        """Keep the accounts right without the rows of these deliveries."""
        for state, count in counts.items():
            rows.execute(f"UPDATE meta SET gone_{state} = gone_{state} + ?", (count,))  # noqa: S608  states of the table


def _memory() -> sqlite3.Connection:
    rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    rows.execute(f"PRAGMA max_page_count = {_PAGES}")
    return rows


def _tops_of(rows: sqlite3.Connection) -> dict[str, int]:
    """Give the number of the newest row of each table that grows."""
    tops = ((name, rows.execute(f"SELECT max(seq) FROM {name}").fetchone()[0]) for name in ("delivery", *_APPENDED))  # noqa: S608
    return {name: top or 0 for name, top in tops}


def lifted(file: sqlite3.Connection) -> Unsaved | None:
    """Take out of a file what is needed to go on without it; None where it cannot even be read."""
    try:
        if file.in_transaction:
            file.execute("ROLLBACK")
        return Unsaved(file)
    except sqlite3.Error:
        return None


def _copy_rows(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, question: str, values: Mapping[str, int] = {}
) -> None:
    found = source.execute(question, dict(values))
    marks = ", ".join("?" * len(found.description))
    target.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", found)  # noqa: S608  names of our tables
