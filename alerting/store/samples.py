"""The second file, `<state>.samples`: recent samples, so that windows survive a restart and cron can use `rate`.

It is disposable. Nothing is synced; a file that is damaged, or of another format, is put aside as `.damaged` and
begun anew; a full disk or a busy file costs samples, never an alert. Each failure is kept as `trouble`, until a write
succeeds. Whoever opens it holds the lock of the state beside it.

A daemon has many turns a second; what they bring within a second is one write. So a kill costs the samples of
that second, as it costs what the operating system has not written yet.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from alerting.model import Kind, Labels, Sample
from alerting.store.records import UNREADABLE, dump, printable
from alerting.store.schema import COMPANIONS, connect, is_passing
from alerting.store.sqlite import file_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from alerting.model import Millis, Value
    from alerting.ports import Blocking

T = TypeVar("T")
Kept = tuple[str, Kind, Sample]

_FORMAT = 1
_BUSY: Millis = 1_000
DEADLINE: Millis = 5_000  # of one call in the thread; longer means that the disk hangs
GATHER: Millis = 1_000  # between two writes of a daemon, at least
_CACHE = 256  # KiB of pages; it is written at one end and cut at the other, and what is between is read at the start
_PRUNE_LEAST = 1_000  # rows in one step; more where more were added
_SWEEP_EVERY: Millis = 3_600_000  # series of which nothing is left are forgotten
_TABLES = f"""
BEGIN;
CREATE TABLE series (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    labels TEXT NOT NULL, UNIQUE (namespace, kind, name, labels));
CREATE TABLE sample (series INTEGER NOT NULL, at INTEGER NOT NULL, received INTEGER NOT NULL, value);  -- null: NaN
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


def build(
    url: str,
    root: str | os.PathLike[str] = ".",
    *,
    blocking: Blocking | None = None,
    deadline: Millis = DEADLINE,
    gather: Millis = 0,
) -> FileSamples:
    """Build the sample file that goes with a `store` setting; nothing is opened yet. `blocking`: one thread.

    `gather`: what is added is written so much later, with all that was added meanwhile; 0: before `append` returns.
    """
    return FileSamples(f"{file_of(url, root)}.samples", blocking, deadline, gather)


def peek(
    url: str, root: str | os.PathLike[str], names: Collection[tuple[str, str]]
) -> list[tuple[str, Kind, Sample, Millis]]:
    """Read what is kept of some (namespace, name), beside whoever writes; nothing where that cannot be read."""
    path = f"{file_of(url, root)}.samples"
    try:
        rows = connect(path, "ro", _BUSY)
        try:
            known = rows.execute("PRAGMA user_version").fetchone()[0] == _FORMAT
            return _rows(rows, names)[0] if known else []
        finally:
            rows.close()
    except (sqlite3.Error, OverflowError, *UNREADABLE):
        return []


class FileSamples:
    """The SampleStore port over one file."""

    def __init__(
        self, path: str, blocking: Blocking | None = None, deadline: Millis = DEADLINE, gather: Millis = 0
    ) -> None:
        self.trouble = ""
        self._lost = ""  # said once more with the next write that works, so that somebody hears it
        self._path = path
        self._blocking = blocking
        self._deadline = deadline
        self._gather = gather
        self._waiting: list[tuple[Sequence[Kept], Millis]] = []  # to be written, and when received
        self._horizon: Millis = 0
        self._writing: asyncio.Task[None] | None = None  # will write what waits, or does
        self._made: object = None  # the call that the thread is in
        self._hung: object = None  # one for which nobody waits: what comes while the thread is in it is not kept
        self._connection: sqlite3.Connection | None = None
        self._ids: dict[tuple[str, Kind, str], dict[Labels, int]] = {}  # namespace, kind, name -> labels -> number
        self._swept_at: Millis | None = None

    async def open(self) -> Sequence[tuple[str, Kind, Sample, Millis]]:
        """Give what is kept, in the order in which it was received; nothing where the file is new or was damaged."""
        return await self._call(lambda: self._guarded(self._read, [])) or []

    async def append(self, kept: Sequence[Kept], received: Millis, horizon: Millis) -> None:
        """Add samples and forget those received before `horizon`. Failures show in `trouble`."""
        self._waiting.append((kept, received))
        self._horizon = horizon
        if not self._gather:
            await self._flush()
        elif self._writing is None or self._writing.done():
            before, self._writing = self._writing, asyncio.create_task(self._write_soon())
            if before is not None:
                before.result()  # a fault of ours is raised where somebody hears it

    async def close(self) -> None:
        """Write what waits and close the file."""
        if self._writing is not None:
            self._writing.cancel()  # what the thread has begun it brings to its end
            await asyncio.wait((self._writing,))
        await self._flush()
        await self._call(self._drop)

    async def _write_soon(self) -> None:
        await asyncio.sleep(self._gather / 1000)
        await self._flush()

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            horizon = self._horizon
            await self._call(lambda: self._guarded(lambda rows: self._write(rows, waiting, horizon), None))

    async def _call(self, work: Callable[[], T]) -> T | None:
        if self._blocking is None:
            return work()
        if self._hung is not None and self._hung is self._made:
            return None

        def made() -> T:
            self._made = made
            try:
                return work()
            finally:
                self._made = None

        try:
            return await self._blocking(made, self._deadline)
        except TimeoutError:
            self._hung = self._made
            self.trouble = f"{self._path} gave no answer in {self._deadline / 1000:g} s"
            return None

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do some work on the open file; whatever goes wrong becomes `trouble`."""
        try:
            result = work(self._connection or self._connect())
        except sqlite3.Error as error:
            self._drop()
            self.trouble = f"{self._path}: {error}"
            if not is_passing(error):
                self._put_aside(str(error))
        except OSError as error:
            self._drop()
            self.trouble = f"{self._path}: {os.strerror(error.errno or 0)}"
        except (*UNREADABLE, OverflowError):
            self._drop()
            self._put_aside("it holds rows that cannot be read")
        else:
            self.trouble, self._lost = self._lost, ""
            return result
        return otherwise

    def _connect(self) -> sqlite3.Connection:
        path = Path(self._path)
        if not path.exists():
            path.touch(0o600)
            path.chmod(0o600)
        connection = connect(self._path, "rw", _BUSY)
        self._connection, self._ids = connection, {}
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(_TABLES)
        elif version != _FORMAT:
            raise ValueError(version)
        return connection

    def _read(self, rows: sqlite3.Connection) -> list[tuple[str, Kind, Sample, Millis]]:
        found, series = _rows(rows)
        self._ids = {}
        for id_, (namespace, kind, name, labels) in series.items():
            self._ids.setdefault((namespace, kind, name), {})[labels] = id_
        return found

    def _write(
        self, rows: sqlite3.Connection, waiting: Sequence[tuple[Sequence[Kept], Millis]], horizon: Millis
    ) -> None:
        rows.execute("BEGIN IMMEDIATE")
        newest = waiting[-1][1]
        if self._swept_at is None or newest - self._swept_at >= _SWEEP_EVERY:
            rows.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM sample)")
            self._ids = {}
            self._swept_at = newest
        count = 0
        for kept, received in waiting:  # one after the other: each may hold 100,000
            written = [
                (self._series(rows, namespace, kind, sample), sample.at, received, _write_value(sample.value))
                for namespace, kind, sample in kept
            ]
            rows.executemany("INSERT INTO sample VALUES (?, ?, ?, ?)", written)
            count += len(written)
        rows.execute(
            "DELETE FROM sample WHERE received < ? AND rowid IN (SELECT rowid FROM sample ORDER BY rowid LIMIT ?)",
            (horizon, max(_PRUNE_LEAST, 2 * count)),
        )
        rows.execute("COMMIT")

    def _series(self, rows: sqlite3.Connection, namespace: str, kind: Kind, sample: Sample) -> int:
        ids = self._ids.setdefault((namespace, kind, sample.name), {})
        if sample.labels not in ids:
            row = (namespace, kind, printable(sample.name), dump(sample.labels.pairs))
            rows.execute(
                "INSERT INTO series (namespace, kind, name, labels) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row
            )
            select = "SELECT id FROM series WHERE namespace = ? AND kind = ? AND name = ? AND labels = ?"
            ids[sample.labels] = rows.execute(select, row).fetchone()[0]
        return ids[sample.labels]

    def _put_aside(self, why: str) -> None:
        """Let a file that cannot be used make room for a new one, made with the next write."""
        self.trouble = self._lost = f"{self._path} was unusable ({why}): what it held is lost, it is begun anew"
        with suppress(OSError):
            Path(self._path).replace(f"{self._path}.damaged")
            for end in COMPANIONS:
                Path(self._path + end).unlink(missing_ok=True)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _rows(
    rows: sqlite3.Connection, names: Collection[tuple[str, str]] | None = None
) -> tuple[list[tuple[str, Kind, Sample, Millis]], dict[int, tuple[str, Kind, str, Labels]]]:
    """Read all samples in the order in which they were received, or those of some names; and the series by number."""
    series = {}
    for id_, namespace, kind, name, text in rows.execute("SELECT id, namespace, kind, name, labels FROM series"):
        if names is None or (namespace, name) in names:
            labels = Labels((key, value) for key, value in json.loads(text))
            series[id_] = (namespace, Kind(kind), name, labels)
    found = []
    for id_, at, received, value in rows.execute("SELECT series, at, received, value FROM sample ORDER BY rowid"):
        if id_ not in series and names is not None:
            continue
        if id_ not in series or not (isinstance(at, int) and isinstance(received, int)):
            raise ValueError(id_)
        namespace, kind, name, labels = series[id_]
        found.append((namespace, kind, Sample(name, labels, _read_value(value), at), received))
    return found, series


def _write_value(value: Value) -> float | str | None:
    if isinstance(value, str):
        return printable(value)
    return None if math.isnan(value) else value


def _read_value(value: object) -> Value:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        return value
    raise ValueError(type(value).__name__)
