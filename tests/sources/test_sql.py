"""SELECTs as metrics: SQLite of the standard library, and a real PostgreSQL where one is installed."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.defined import defined
from alerting.model import FaultKind, Kind, Reading, Secret
from alerting.sources._queries import Query
from alerting.sources.sql import RefusedError, Rows, read_rows
from tests.fakes.hostile import refused_url
from tests.fakes.postgres import PASSWORD, Cluster, missing
from tests.sources.judging import BUSY, SECRET, failed, good
from tests.sources.reading import read, run, source, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = """
CREATE TABLE orders (state TEXT, region TEXT, amount REAL);
INSERT INTO orders VALUES ('waiting', 'eu', 10), ('waiting', 'us', 20), ('paid', 'eu', 30);
"""
X = Query("x", defined("sql", {"x": ""})["x"], "", {})
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small SQLite database."""
    path = tmp_path / "shop ü?.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def ask(path: Path | str, metrics: dict[str, Any] | str, **more: Any) -> Reading:
    """Read everything once; a text is the query of the metric `x`."""
    dsn = path if isinstance(path, str) else f"sqlite:///{path}".replace("?", "%3F")
    entries = {"x": metrics} if isinstance(metrics, str) else metrics
    return read("sql", (), None, dsn=Secret.literal(dsn), metrics=entries, **more)


# ------------------------------------------------------------------------------------------- rows


def test_rows_become_labelled_numbers(shop: Path) -> None:
    """The column of numbers is the value, columns of text are labels; all are stamped with the fetch."""
    metrics = {
        "orders": "SELECT state, count(*) FROM orders GROUP BY state",
        "revenue": {"query": "SELECT sum(amount) FROM orders", "kind": "counter"},
    }
    reading = good(ask(shop, metrics))
    assert values(reading) == {'orders{state="paid"}': 1.0, 'orders{state="waiting"}': 2.0, "revenue": 60.0}
    assert {sample.at for sample in reading.samples} == {reading.at}
    assert [(metric.name, metric.kind) for metric in reading.kinds] == [
        ("orders", Kind.GAUGE),
        ("revenue", Kind.COUNTER),
    ]


def test_several_columns_of_numbers_are_several_metrics(shop: Path) -> None:
    """Those named under `columns`; what is left is a label, numbers too."""
    query = "SELECT region, 7 AS shard, count(*) AS n, max(amount) AS top FROM orders GROUP BY region"
    found = values(good(ask(shop, {"orders": {"query": query, "columns": ["n", "top"]}})))
    assert found == {
        'orders_n{region="eu",shard="7"}': 2.0,
        'orders_n{region="us",shard="7"}': 1.0,
        'orders_top{region="eu",shard="7"}': 30.0,
        'orders_top{region="us",shard="7"}': 20.0,
    }


@pytest.mark.parametrize(
    ("query", "found", "known"),
    [
        ("SELECT count(*) FROM orders WHERE state = 'lost'", {"x": 0.0}, True),
        ("SELECT state, 1 FROM orders WHERE state = 'lost'", {}, True),
        ("SELECT max(amount) FROM orders WHERE state = 'lost'", {}, False),
        ("SELECT 'a' AS a, NULL", {}, False),
        ("SELECT NULL AS a, 3", {"x": 3.0}, True),
        ("SELECT '' AS a, 3", {"x": 3.0}, True),
        ("SELECT 'a' AS a, 1 UNION ALL SELECT 'b', NULL", {'x{a="a"}': 1.0}, True),
        ("SELECT 'a' AS \"odd-name\", 1.5;", {'x{odd_name="a"}': 1.5}, True),
        ("SELECT 1 WHERE true", {"x": 1.0}, True),
        ("VALUES (4)", {"x": 4.0}, True),
        ("WITH a AS (SELECT 5 AS n) SELECT n FROM a -- a remark", {"x": 5.0}, True),
    ],
)
def test_zero_nothing_and_null_are_three_things(shop: Path, query: str, found: dict[str, float], known: bool) -> None:
    """0 is a number; no rows are an empty vector; NULL alone is no value: conditions are unknown."""
    reading = good(ask(shop, query))
    assert values(reading) == found
    assert bool(reading.kinds) is known


ODD = [
    ("SELECT 'text'", "gives no numbers"),
    ("SELECT state, region FROM orders", "gives no numbers"),
    ("SELECT 1 AS a, 2 AS b", "numbers in several columns (a, b)"),
    ("SELECT 1 UNION ALL SELECT 'x'", "gives a str in column"),
    ("SELECT x'00', 1", "gives a bytes in column"),
    ("SELECT x'00'", "gives no numbers"),
    ("SELECT 'a' AS a, 1 UNION ALL SELECT 'a', 2", "two rows with the same labels"),
    ("SELECT 1 UNION ALL SELECT 2", "two rows with the same labels"),
    ("SELECT 'a' AS a, 'b' AS a, 1", "gives the label a twice"),
    ("SELECT 'a' AS \"a-b\", 'b' AS \"a b\", 1", "gives the label a_b twice"),
    ("SELECT 9e999", "no finite number"),
    ("SELECT -9e999", "no finite number"),
    ("SELECT printf('%.*c', 2000, 'x') AS a, 1", "more than 1,024 characters"),
    ("SELECT CAST(x'ff' AS TEXT) AS a, 1", "does not take the query"),
    ("SELECT", "does not take the query"),
    ("SELECT * FROM lost", "does not take the query: no such table: lost"),
    ("SELECT lost FROM orders", "no such column: lost"),
    ("SELEKT 1", 'near "SELEKT": syntax error'),
    ("SELECT 1; SELECT 2", "does not take the query"),
    ("SELECT abs(-9223372036854775808)", "integer overflow"),
    ("SELECT ?", "does not take the query"),
]


@pytest.mark.parametrize(("query", "text"), ODD)
def test_f4_f45_rows_of_another_shape_are_a_fault(shop: Path, query: str, text: str) -> None:
    """Nothing is made of what is not understood, and no row of an answer of which one is damaged."""
    reading = ask(shop, {"good": "SELECT 1", "x": query})
    assert reading.fault is not None
    failed(reading, reading.fault.kind, text)
    assert reading.fault.kind in (FaultKind.MALFORMED, FaultKind.BAD_STATUS)
    assert reading.fault.message.startswith("sql: x: ")


def test_columns_that_are_not_there_are_named(shop: Path) -> None:
    """With those that are."""
    metrics = {"x": {"query": "SELECT 1 AS n", "columns": ["n", "m"]}}
    failed(ask(shop, metrics), FaultKind.MALFORMED, "gives no column 'm'; it has n")


# ------------------------------------------------------------------------------------------- SQLite


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "INSERT INTO orders VALUES ('a', 'b', 1) RETURNING amount",
        "UPDATE orders SET amount = 1",
        "DROP TABLE orders",
        "CREATE TEMP TABLE t AS SELECT 1",
        "ATTACH '/tmp/alerting-attached.db' AS other",
        "PRAGMA query_only = 0",
        "PRAGMA user_version",
        "COMMIT",
    ],
)
def test_nothing_but_a_select_is_let_through(shop: Path, query: str) -> None:
    """Whatever is written, the file stays as it is."""
    before = shop.read_bytes()
    reading = ask(shop, query)
    failed(reading, FaultKind.FORBIDDEN, "sql: x: ")
    assert shop.read_bytes() == before
    assert list(shop.parent.iterdir()) == [shop]


def test_a_query_without_end_is_stopped_at_the_deadline(shop: Path) -> None:
    """By SQLite itself, so that no thread is left behind."""
    reading = ask(shop, ENDLESS, timeout=400)
    failed(reading, FaultKind.TIMEOUT, "x: the query was stopped")
    assert 200 < reading.took < 400 + BUSY


def test_a_writer_that_holds_the_lock_is_waited_for_until_the_deadline(shop: Path) -> None:
    """And not longer."""
    with closing(sqlite3.connect(shop, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        reading = ask(shop, "SELECT count(*) FROM orders", timeout=300)
        failed(reading, FaultKind.TIMEOUT, "locked by a writer")
        assert reading.took < 300 + BUSY
        writer.execute("ROLLBACK")
        good(ask(shop, "SELECT count(*) FROM orders", timeout=300))


def test_too_much_is_refused_whole(shop: Path) -> None:
    """More rows than the limit, one text that fills the memory: a fault, not a part."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {}) SELECT 'r' || i AS i, i FROM n"
    assert len(values(good(ask(shop, numbers.format("WHERE i < 10"), row_limit=10)))) == 10
    reading = ask(shop, numbers.format(""), row_limit=10)
    failed(reading, FaultKind.TOO_LARGE, "x: the query gives more rows than `row_limit` (10)")
    failed(ask(shop, "SELECT hex(zeroblob(400000000)), 1"), FaultKind.TOO_LARGE, "more than 1000000 bytes")


def test_files_that_are_none_are_told_apart(shop: Path, tmp_path: Path) -> None:
    """Not there, no database, damaged, a path that depends on where we stand; none is made."""
    query = "SELECT count(*) FROM orders"
    failed(ask(tmp_path / "other.db", query), FaultKind.NOT_FOUND, "not there")
    assert not (tmp_path / "other.db").exists()
    failed(ask(tmp_path, query), FaultKind.UNREADABLE)
    other = tmp_path / "page.db"
    other.write_text("<html>" * 1000)
    failed(ask(other, query), FaultKind.MALFORMED, "no SQLite database")
    damaged = bytearray(shop.read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    other.write_bytes(damaged)
    failed(ask(other, query), FaultKind.MALFORMED, "damaged")
    failed(ask("sqlite:///shop.db", query), FaultKind.MALFORMED, "must be absolute")


def test_what_is_written_while_we_read_does_not_show(shop: Path) -> None:
    """All queries of a fetch speak of one moment, also in the journal mode that most apps use."""
    with closing(sqlite3.connect(shop, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO orders VALUES ('new', 'eu', 1)")
        assert values(good(ask(shop, "SELECT count(*) FROM orders"))) == {"x": 4.0}


def test_a_secret_that_is_missing_is_named() -> None:
    """By its reference."""
    reading = read("sql", dsn=Secret(lambda: "", "${DATABASE_URL}"), metrics={"x": "SELECT 1"})
    failed(reading, FaultKind.SECRET, "${DATABASE_URL}")


# ------------------------------------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A real server; `watcher` may read one table, as the documentation advises."""
    if why := missing():
        pytest.skip(why)
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with Cluster() as made:
        made.execute(
            *(each for each in SCHEMA.strip().split("\n")),
            "CREATE TABLE hidden (a int)",
            "CREATE SEQUENCE numbers",
            f"CREATE ROLE watcher LOGIN PASSWORD '{SECRET}'",
            "GRANT SELECT ON orders TO watcher",
            "GRANT ALL ON SEQUENCE numbers TO watcher",
        )
        yield made


def postgres(cluster: Cluster, metrics: dict[str, Any] | str, **more: Any) -> Reading:
    """Read as the watcher."""
    return ask(cluster.dsn("watcher", SECRET), metrics, **more)


@pytest.mark.slow
def test_postgresql_gives_the_same_rows(cluster: Cluster) -> None:
    """Integers, numerics, floats, truth values; several queries on one connection; a percent sign is one."""
    metrics = {
        "orders": "SELECT state, count(*) FROM orders WHERE state NOT LIKE 'x%' GROUP BY state;",
        "revenue": "SELECT sum(amount)::numeric(10, 2) FROM orders",
        "high": "SELECT true",
        "jobs": {
            "query": "SELECT region, count(*) AS n, max(amount) AS top FROM orders GROUP BY 1",
            "columns": ["n", "top"],
        },
        "none": "SELECT max(amount) FROM orders WHERE state = 'lost'",
        "empty": "SELECT state, amount FROM orders WHERE state = 'lost'",
    }
    reading = good(postgres(cluster, metrics))
    assert values(reading) == {
        'orders{state="paid"}': 1.0,
        'orders{state="waiting"}': 2.0,
        "revenue": 60.0,
        "high": 1.0,
        'jobs_n{region="eu"}': 2.0,
        'jobs_n{region="us"}': 1.0,
        'jobs_top{region="eu"}': 30.0,
        'jobs_top{region="us"}': 20.0,
    }
    assert {metric.name for metric in reading.kinds} == {"orders", "revenue", "high", "jobs_n", "jobs_top", "empty"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "kind", "text"),
    [
        ("SELEKT 1", FaultKind.BAD_STATUS, 'x: PostgreSQL does not take the query: syntax error at or near "SELEKT"'),
        ("SELECT * FROM nothing", FaultKind.BAD_STATUS, 'relation "nothing" does not exist'),
        ("SELECT 1/0", FaultKind.BAD_STATUS, "division by zero"),
        ("SELECT count(*) FROM hidden", FaultKind.FORBIDDEN, "permission denied for table hidden"),
        ("SELECT nextval('s') FROM (SELECT 1) a", FaultKind.BAD_STATUS, "does not exist"),
        ("SELECT txid_current()::text, setval('numbers', 7)", FaultKind.FORBIDDEN, "read only"),
        ("DELETE FROM orders", FaultKind.BAD_STATUS, "syntax error"),
        ("WITH d AS (DELETE FROM orders RETURNING 1) SELECT 1", FaultKind.BAD_STATUS, "data-modifying"),
        ("SELECT 1; COMMIT; DELETE FROM orders", FaultKind.BAD_STATUS, "multiple commands"),
        ("SELECT now()", FaultKind.MALFORMED, "gives no numbers"),
        ("SELECT now(), 1", FaultKind.MALFORMED, "gives a datetime in column 'now'"),
        ("SELECT 'NaN'::float", FaultKind.MALFORMED, "no finite number"),
        ("SELECT 'NaN'::numeric", FaultKind.MALFORMED, "no finite number"),
        ("SELECT 'infinity'::date, 1", FaultKind.MALFORMED, "cannot be read; cast it"),
        ("SELECT 1 AS a, 2 AS b", FaultKind.MALFORMED, "several columns (a, b)"),
        ("SELECT ARRAY[1], 1", FaultKind.MALFORMED, "gives a list in column"),
        ("SELECT ARRAY[1]", FaultKind.MALFORMED, "gives no numbers"),
        ("SELECT '{}'::jsonb AS a", FaultKind.MALFORMED, "gives no numbers"),
        ("SELECT 1 FROM generate_series(1, 5000)", FaultKind.TOO_LARGE, "`row_limit` (1000)"),
        ("SELECT pg_sleep(30)::text, 1", FaultKind.TIMEOUT, "x: the query was stopped at the deadline"),
    ],
)
def test_postgresql_refuses_and_says_why(cluster: Cluster, query: str, kind: FaultKind, text: str) -> None:
    """Each class told apart, the metric named; nothing was changed."""
    reading = postgres(cluster, query, timeout=1500)
    failed(reading, kind, text)
    assert reading.took < 1500 + BUSY
    assert values(good(postgres(cluster, "SELECT count(*) FROM orders"))) == {"x": 3.0}


@pytest.mark.slow
def test_what_a_function_writes_is_not_kept(cluster: Cluster) -> None:
    """Some write although the transaction is read only; it is never committed."""
    made = "SELECT lo_create(4711)::int"
    postgres(cluster, made)
    assert values(good(postgres(cluster, "SELECT count(*) FROM pg_largeobject_metadata"))) == {"x": 0.0}


@pytest.mark.slow
def test_what_keeps_us_out_of_postgresql_is_told_apart(cluster: Cluster) -> None:
    """A wrong password, user, database; no server; the password is in no message."""
    failed(
        ask(cluster.dsn("watcher", f"{SECRET}x"), "SELECT 1"), FaultKind.UNAUTHORIZED, "refuses the user or password"
    )
    failed(ask(cluster.dsn("nobody", SECRET), "SELECT 1"), FaultKind.UNAUTHORIZED)
    failed(ask(cluster.dsn("watcher", SECRET, "nothing"), "SELECT 1"), FaultKind.NOT_FOUND, "no such database")
    tls = cluster.dsn("watcher", SECRET) + "?sslmode=require"
    failed(ask(tls, "SELECT 1"), FaultKind.TLS, "sslmode")
    assert PASSWORD not in repr(postgres(cluster, "SELECT 1"))


@pytest.mark.parametrize(
    ("dsn", "kind"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:{refused_url().split(':')[2].split('/')[0]}/d", FaultKind.REFUSED),
        (f"postgresql://u:{SECRET}@database.invalid/d", FaultKind.DNS),
        (f"postgresql://u:{SECRET}@127.0.0.1:port/d", FaultKind.MALFORMED),
        (f"postgresql://u:{SECRET}@127.0.0.1/d?nonsense={SECRET}", FaultKind.MALFORMED),
        (f"postgresql://u:{SECRET}@[127.0.0.1/d", FaultKind.MALFORMED),
    ],
)
def test_addresses_without_a_server_are_told_apart(dsn: str, kind: FaultKind) -> None:
    """Nothing of the DSN is shown."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    failed(ask(dsn, "SELECT 1"), kind)


@contextmanager
def mute(answer: bytes = b"", *, close: bool = False, delay: float = 0) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections, says this and no more; with `close` it hangs up then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def work() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    taken.append(connection)
                    connection.recv(65536)
                    time.sleep(delay)
                    connection.sendall(answer)
                    if close:
                        connection.close()
            except OSError:
                pass

        server = threading.Thread(target=work, daemon=True)
        server.start()
        try:
            yield f"postgresql://u:{SECRET}@127.0.0.1:{listener.getsockname()[1]}/d?sslmode=disable", taken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in taken:
                with suppress(OSError):  # closed already, or hung up on
                    each.shutdown(socket.SHUT_RDWR)
            server.join(5)  # else it may take one more connection, which nobody would close
            for each in taken:
                each.close()


# AuthenticationOk, and ReadyForQuery: a server that lets everybody in and then says nothing more
READY = b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
SERVERS = [
    (b"", False, 0, FaultKind.TIMEOUT, {1}),  # psycopg waits two seconds for a connection, at the least
    (b"", True, 0, FaultKind.RESET, {3}),
    (READY, False, 0, FaultKind.TIMEOUT, {3}),
    (READY, True, 0, FaultKind.RESET, {3}),
    (READY, False, 0.6, FaultKind.TIMEOUT, {2, 3}),  # lets us in when nobody waits any more
]


@pytest.mark.parametrize(("answer", "close", "delay", "kind", "reached"), SERVERS)
def test_f43_a_server_that_hangs_or_hangs_up_is_left_at_the_deadline(
    answer: bytes, close: bool, delay: float, kind: FaultKind, reached: set[int]
) -> None:
    """Before and after it let us in; the thread that waited for it is free again for the next fetch."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")

    async def work(dsn: str) -> None:
        async with source("sql", dsn=Secret.literal(dsn), metrics={"x": "SELECT 1"}, timeout=400) as built:
            for _ in range(3):
                reading = await built.fetch((), None)
                failed(reading, kind)
                assert reading.took < 400 + BUSY

    with mute(answer, close=close, delay=delay) as (dsn, taken):
        run(work(dsn))
        assert len(taken) in reached


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 100,
        b"E\x00\x00\x00\x08xx\x00\x00",
        b"R\xff\xff\xff\xff",
        READY + b"T\x00",
    ],
)
def test_f45_a_server_that_speaks_something_else_is_a_fault(answer: bytes) -> None:
    """Whatever it is; in time, and without a word of the DSN."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with mute(answer, close=True) as (dsn, _):
        reading = ask(dsn, "SELECT 1", timeout=1000)
    assert reading.fault is not None
    failed(reading, reading.fault.kind)
    assert reading.took < 1000 + BUSY


def test_a_decimal_is_a_number() -> None:
    """PostgreSQL's numeric comes as one; the database is not needed to know that."""
    found = read_rows(X, Rows(["a", "n"], [("b", Decimal("1.5"))]), 7)
    assert found is not None
    assert [(str(sample.labels), sample.value, sample.at) for sample in found] == [('{a="b"}', 1.5, 7)]


@pytest.mark.parametrize("rows", [[([1, 2],)], [({"a": 1},)], [(None,), ([1],)], [("a",), ({},)]])
def test_what_a_driver_makes_of_arrays_and_documents_is_no_number(rows: list[tuple[Any]]) -> None:
    """PostgreSQL's arrays and jsonb come as lists and mappings."""
    with pytest.raises(RefusedError, match="gives no numbers"):
        read_rows(X, Rows(["a"], rows), 7)
