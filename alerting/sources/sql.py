"""A database, asked by SELECTs whose rows become labelled numbers: PostgreSQL, or SQLite.

Its law: nothing is changed (a read-only connection and transaction, one statement a query), nothing outlasts the
deadline (the database stops the statement; on one that says nothing more we hang up), and no more rows are taken
than the limit. Each fetch has a connection of its own, and its queries one transaction, so that they speak of one
moment. No rows are an empty vector; a value that is NULL is no value. How rows become samples stands at `read_rows`.
"""

from __future__ import annotations

import math
import os
import socket
import sqlite3
from contextlib import closing, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from alerting.model import Fault, FaultKind, Sample
from alerting.net.http import revealed
from alerting.sources._queries import Answers, Ask, FailedError, QuerySource, distinct, labels, seconds, text_of, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg

    from alerting.model import Labels, Millis, Secret, Section
    from alerting.ports import Tools
    from alerting.sources._queries import Query

_SQLITE = "sqlite:///"
_TEXT = 1_000_000  # bytes of one text that SQLite may make
_STEPS = 10_000  # of SQLite's machine between two looks at the clock: well below a millisecond
_GRACE: Millis = 100  # the database stops this much earlier than we, so that it is it that says so
_SELECTS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: sql` entry."""
    return (QuerySource(section, tools.clock, Database(section, tools)),)


class Rows(NamedTuple):
    """What a query gave: names of columns, and rows (one more than the limit where there are too many)."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class RefusedError(Exception):
    """The database gave no rows."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Database:
    """Asks in a thread of its own, because drivers block."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self._name = section.name
        self._clock = tools.clock
        self._blocking = tools.blocking(1)
        self._dsn: str | Secret = values["dsn"]
        self._timeout: Millis = values["timeout"]
        self._limit: int = values["row_limit"]

    async def ask(self, ask: Ask) -> Answers:
        """Ask all queries on one connection."""
        dsn = revealed(self._dsn)
        texts = {query.name: text_of(query) for query in ask.queries}
        line = _Line()

        def work() -> dict[str, Rows]:
            asked = _of_sqlite if dsn.startswith(_SQLITE) else _of_postgres
            return asked(_Work(dsn, texts, self._limit + 1, lambda: max(1, self._left(ask) - _GRACE), line))

        try:
            found = await self._blocking(work, max(1, self._left(ask)))
        except RefusedError as error:
            raise FailedError(Fault(error.kind, f"{self._name}: {error}")) from None
        except TimeoutError:
            line.cut()
            text = f"{self._name}: no whole answer within {seconds(self._timeout)}"
            raise FailedError(Fault(FaultKind.TIMEOUT, text)) from None
        return {query.name: self._read(query, found[query.name], ask.at) for query in ask.queries}

    async def close(self) -> None:
        """Nothing is kept open between two fetches."""

    def _left(self, ask: Ask) -> Millis:
        return ask.until - self._clock.monotonic()

    def _read(self, query: Query, found: Rows, at: Millis) -> Sequence[Sample] | None:
        where = f"{self._name}: {query.name}: the query"
        if len(found.rows) > self._limit:
            text = f"{where} gives more rows than `row_limit` ({self._limit})"
            raise FailedError(Fault(FaultKind.TOO_LARGE, text))
        try:
            return read_rows(query, found, at)
        except RefusedError as error:
            raise FailedError(Fault(error.kind, f"{where} {error}")) from None


# ------------------------------------------------------------------------------------------- rows


def read_rows(query: Query, found: Rows, at: Millis) -> Sequence[Sample] | None:
    """Make samples of rows: one column is the value, or each of those under `columns`; all others are labels.

    Without `columns` the value is the one column that holds numbers, and labels are texts. Truth values are 1 and 0.
    A label that is NULL is no label. None: there are rows, and no value in them. Raises RefusedError.
    """
    places = _named(query.said["columns"], found) if "columns" in query.said else _of_numbers(found)
    others = [(place, name) for place, name in enumerate(found.columns) if place not in places]
    samples = []
    for row in found.rows:
        told = _labels([(name, row[place]) for place, name in others])
        for place, metric in zip(places, query.metrics, strict=False):
            value = row[place]
            if value is not None:
                samples.append(Sample(metric.name, told, _number(value, found.columns[place]), at))
    try:
        return distinct(samples) if samples or not found.rows else None
    except ValueError:
        raise _malformed("gives two rows with the same labels; add a column of text that tells them apart") from None


def _named(chosen: Sequence[str], found: Rows) -> list[int]:
    missing = [column for column in chosen if column not in found.columns]
    if missing:
        raise _malformed(f"gives no column {missing[0]!r}; it has {', '.join(found.columns)}")
    return [found.columns.index(column) for column in chosen]


def _of_numbers(found: Rows) -> list[int]:
    """Find the one column that holds numbers; none where there is no row, or nothing but NULL beside the labels."""
    columns = list(zip(*found.rows, strict=True)) if found.rows else []
    numeric = [any(isinstance(value, (int, float, Decimal)) for value in values) for values in columns]
    places = [place for place, has_numbers in enumerate(numeric) if has_numbers]
    if len(places) > 1:
        text = f"gives numbers in several columns ({', '.join(found.columns[place] for place in places)})"
        raise _malformed(f"{text}; name those that are values under `columns`, or cast the others to text")
    if columns and not places and not any(all(value is None for value in values) for values in columns):
        raise _malformed("gives no numbers; cast the value to a number")
    return places


def _labels(pairs: Sequence[tuple[str, Any]]) -> Labels:
    try:
        return labels((name, _text(value, name)) for name, value in pairs if value is not None)
    except ValueError as error:
        raise _malformed(f"gives the label {error} twice, or with more than 1,024 characters") from None


def _text(value: Any, column: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float, Decimal)):
        raise _malformed(f"gives a {type(value).__name__} in column {column!r}; cast it to text or to a number")
    return str(value)


def _number(value: Any, column: str) -> float:
    if not isinstance(value, (int, float, Decimal)):
        raise _malformed(f"gives a {type(value).__name__} in column {column!r}, where numbers belong")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _malformed(f"gives a value in column {column!r} that is no finite number")
    return number


def _malformed(text: str) -> RefusedError:
    return RefusedError(FaultKind.MALFORMED, text)


# ------------------------------------------------------------------------------------------- drivers


class _Line:
    """The socket of a connection, for whoever has waited long enough; the thread that reads from it then ends.

    One side sets what the other looks at afterwards, so that a connection made just then is cut as well.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._over = False

    def hold(self, descriptor: int) -> None:
        """Know the connection, in the thread."""
        self._socket = socket.socket(fileno=os.dup(descriptor))
        if self._over:
            self.cut()

    def cut(self) -> None:
        """Hang up, now or as soon as there is a connection."""
        self._over = True
        if self._socket is not None:
            with suppress(OSError):  # it has ended just now
                self._socket.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Forget the connection; its driver closes it."""
        if self._socket is not None:
            self._socket.close()


class _Work(NamedTuple):
    """What a thread is given."""

    dsn: str
    texts: Mapping[str, str]  # by the name of the query
    limit: int  # rows
    left: Callable[[], Millis]  # until the database must stop; 1: at once
    line: _Line


def _of_sqlite(work: _Work) -> dict[str, Rows]:
    """Ask SQLite: the file is opened read-only, only SELECT is let through, and a handler looks at the clock."""
    path = unquote(work.dsn.removeprefix(_SQLITE))
    if not path.startswith("/"):
        raise RefusedError(FaultKind.MALFORMED, "the path in `dsn` must be absolute: sqlite:////var/lib/app/app.db")
    name, file = "", f"file:{quote(path)}?mode=ro"
    try:
        with closing(sqlite3.connect(file, uri=True, timeout=work.left() / 1000, isolation_level=None)) as db:
            db.set_progress_handler(lambda: work.left() <= 1, _STEPS)
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _TEXT)
            db.execute("BEGIN")
            db.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _SELECTS else sqlite3.SQLITE_DENY)
            found = {}
            for name, text in work.texts.items():
                cursor = db.execute(text)
                columns = [each[0] for each in cursor.description or ()]
                found[name] = Rows(columns, cursor.fetchmany(work.limit))
            return found
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _sqlite_refusal(error, name) from None


def _sqlite_refusal(error: Exception, name: str) -> RefusedError:
    """Put SQLite's error into words; its own are repeated only where they are about the query."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one
    if str(error) == "not authorized":  # the code is SQLITE_ERROR where a statement within the statement was stopped
        code = sqlite3.SQLITE_AUTH
    told = f"SQLite does not take the query: {words(str(error))}"
    kind, text = _SQLITE_ERRORS.get(code, (FaultKind.BAD_STATUS, told))
    return RefusedError(kind, f"{name}: {text}" if name else text)


_SQLITE_ERRORS = {
    sqlite3.SQLITE_INTERRUPT: (FaultKind.TIMEOUT, "the query was stopped at the deadline"),
    sqlite3.SQLITE_BUSY: (FaultKind.TIMEOUT, "the database was locked by a writer until the deadline"),
    sqlite3.SQLITE_LOCKED: (FaultKind.TIMEOUT, "the database was locked by a writer until the deadline"),
    sqlite3.SQLITE_CANTOPEN: (FaultKind.NOT_FOUND, "the database file is not there, or may not be read"),
    sqlite3.SQLITE_PERM: (FaultKind.FORBIDDEN, "the database file may not be read"),
    sqlite3.SQLITE_NOTADB: (FaultKind.MALFORMED, "the file is no SQLite database"),
    sqlite3.SQLITE_CORRUPT: (FaultKind.MALFORMED, "the database file is damaged"),
    sqlite3.SQLITE_IOERR: (FaultKind.UNREADABLE, "the database file could not be read"),
    sqlite3.SQLITE_TOOBIG: (FaultKind.TOO_LARGE, f"the query makes a text of more than {_TEXT} bytes"),
    sqlite3.SQLITE_NOMEM: (FaultKind.TOO_LARGE, "the query needs more memory than there is"),
    sqlite3.SQLITE_AUTH: (FaultKind.FORBIDDEN, "the query must be one SELECT; nothing else is let through"),
    sqlite3.SQLITE_READONLY: (FaultKind.FORBIDDEN, "the database is read only, and the query would change it"),
}


def _of_postgres(work: _Work) -> dict[str, Rows]:
    """Ask PostgreSQL: a read-only transaction, and a cursor of the server's for each query.

    The server takes nothing but one SELECT for a cursor, and hands over no more rows than are asked for.
    """
    try:
        import psycopg  # noqa: PLC0415  only who watches such a database has it and pays for it
    except ImportError:
        text = "PostgreSQL is read with psycopg, which is not installed: pip install 'alerting[postgres]'"
        raise RefusedError(FaultKind.UNREADABLE, text) from None
    name = ""
    try:
        wait = -(-work.left() // 1000)
        made = psycopg.connect(work.dsn, connect_timeout=wait, application_name="alerting")
        with closing(made) as connection:  # without a commit: functions may write even in a read-only transaction
            work.line.hold(connection.fileno())
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            found = {}
            for name, text in work.texts.items():
                connection.execute(f"SET LOCAL statement_timeout = {work.left()}")
                with connection.cursor(name="alerting") as cursor:
                    cursor.execute(text.encode())
                    columns = [each.name for each in cursor.description or ()]
                    found[name] = Rows(columns, cursor.fetchmany(work.limit))
            return found
    except psycopg.Error as error:
        if error.sqlstate is None and isinstance(error, psycopg.DataError):
            text = f"{name}: the query gives a value that cannot be read; cast it to text or to a number"
            raise RefusedError(FaultKind.MALFORMED, text) from None
        raise _postgres_refusal(error, name) from None
    finally:
        work.line.drop()


def _postgres_refusal(error: psycopg.Error, name: str) -> RefusedError:
    """Put the error into words; the server's own are repeated only where they are about the query."""
    state, text = error.sqlstate, str(error)
    if state is None or not name:
        return RefusedError(
            *next((answer for words_, answer in _CONNECTING if any(w in text for w in words_)), _NO_WAY)
        )
    kind, plain = next((answer for start, answer in _STATES.items() if state.startswith(start)), (None, ""))
    told = plain or f"PostgreSQL does not take the query: {words(error.diag.message_primary)}"
    return RefusedError(kind or FaultKind.BAD_STATUS, f"{name}: {told}")


# https://www.postgresql.org/docs/current/errcodes-appendix.html, by the beginning of the code
_STATES = {
    "57014": (FaultKind.TIMEOUT, "the query was stopped at the deadline"),
    "25006": (FaultKind.FORBIDDEN, "the transaction is read only, and the query would change something"),
    "42501": (FaultKind.FORBIDDEN, ""),
    "53": (FaultKind.SERVER_ERROR, "the server lacks memory, disk or connections"),
    "57": (FaultKind.SERVER_ERROR, "the server was stopped, or ended the connection"),
    "58": (FaultKind.SERVER_ERROR, "the server cannot read its files"),
    "XX": (FaultKind.SERVER_ERROR, "the server has found its data damaged, or itself at fault"),
}

# While a connection is made there is no code, only a text of libpq or of the server; the first that fits counts.
_NO_WAY = (
    FaultKind.UNREADABLE,
    "the server cannot be reached, or does not let us in; psql with the same `dsn` says more",
)
_CONNECTING = (
    (("timeout expired",), (FaultKind.TIMEOUT, "the server did not answer in time")),
    (("resolve", "translate host name"), (FaultKind.DNS, "the name of the server is not found")),
    (
        ("authentication", "no password", "pg_hba.conf", "role "),
        (FaultKind.UNAUTHORIZED, "the server refuses the user or password"),
    ),
    (("does not exist",), (FaultKind.NOT_FOUND, "there is no such database on the server")),
    (
        ("too many", "starting up", "shutting down", "reserved"),
        (FaultKind.SERVER_ERROR, "the server takes no connection now"),
    ),
    (("Connection refused", "No such file"), (FaultKind.REFUSED, "connection refused: nothing listens there")),
    (("SSL", "certificate"), (FaultKind.TLS, "the server and we do not agree on TLS; see `sslmode` and `sslrootcert`")),
    (
        (
            "closed the connection",
            "is closed",
            "no connection to",
            "Connection reset",
            "Broken pipe",
            "terminat",
            "lost",
        ),
        (FaultKind.RESET, "the connection broke"),
    ),
    (
        ('missing "="', "invalid", "URI"),
        (FaultKind.MALFORMED, "`dsn` cannot be read; write postgresql://user:password@host/name"),
    ),
)
