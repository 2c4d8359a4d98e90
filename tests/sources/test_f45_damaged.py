"""F45: a hundred damaged answers for each kind of source; none is taken in part, and no alert moves for one.

A good answer is recorded from the stand-in of the service, shown to be taken as it is, and then damaged: cut with and
without the length of the whole, not UTF-8, a chunk or a packed body cut off, another page with status 200, the page
of a proxy. What is not HTTP is damaged in its own way. The files of the kernel are F48.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import pytest

from alerting.model import Reading, Secret
from tests.clock import FakeClock
from tests.fakes import wire
from tests.fakes.app import App
from tests.fakes.aws import CREDENTIALS, CloudWatch
from tests.fakes.certificates import Authority
from tests.fakes.datadog import Datadog
from tests.fakes.dns import NameServer, a, reply
from tests.fakes.hostile import Hostile, chunked, response
from tests.fakes.newrelic import NewRelic
from tests.fakes.prometheus_api import PrometheusApi
from tests.fakes.sentry import Sentry
from tests.full import rounds, seed
from tests.sources.reading import read, run, source
from tests.sources.test_cloudwatch import newest
from tests.sources.test_datadog import with_groups
from tests.sources.test_newrelic import stand_in
from tests.sources.test_push import push, reported, seen
from tests.sources.test_sentry import ERRORS, settings
from tests.tick import Above, House, rule
from tests.tick import App as Said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from alerting.model import Need
    from tests.figures import Figure

HTML = b"<!doctype html><html><body><form>Please log in</form></body></html>"
CUT_OFF = 5  # bytes at the end that no cut spares


class Tap:
    """Passes one client's bytes to a server and back, and keeps what the server said."""

    def __init__(self, port: int) -> None:
        self.said = b""
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join(5)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self.said += data
                client.sendall(data)


class Changing(Hostile):
    """A server that says something else each time."""

    def say(self, answer: bytes) -> None:
        """Say this from now on."""
        self._act = answer


def body_of(answer: bytes) -> tuple[bytes, str]:
    """Take a recorded answer apart: its body and content type."""
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(fields[b"content-length"]) == len(body), "one whole answer"
    return body, fields[b"content-type"].decode()


def damaged(body: bytes, kind: str, dice: random.Random, number: int) -> bytes:
    """Damage an answer, in one of ten ways."""
    at = dice.randrange(1, len(body.rstrip()) - 1)
    page = kind.startswith("text/")  # may end anywhere: only what ends with the connection shows that it was cut
    bare = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode()
    packed = gzip.compress(body, mtime=0)
    spot = dice.randrange(10, len(packed) - 1)
    ways = (
        lambda: response(body[:at], length=len(body), kind=kind),
        lambda: bare + body[:at].rstrip(b"\n") if page else response(body[:at], kind=kind),
        lambda: response(body[:at] + b"\x00\xff" + body[at:], kind=kind),
        lambda: chunked(b"%x\r\n%s" % (len(body), body[:at]), headers=f"content-type: {kind}\r\n"),
        lambda: response(HTML, kind="text/html"),
        lambda: response(HTML, kind=kind),
        lambda: response(HTML, status=f"{dice.choice((502, 503, 504))} Bad Gateway", kind="text/html"),
        lambda: response(packed[:spot], "content-encoding: gzip", kind=kind),
        lambda: response(body[:at], "content-encoding: gzip", kind=kind),
        lambda: response(HTML[:at] + body[:at] + HTML, kind=kind),
    )
    return ways[number % len(ways)]()


def in_part(reading: Reading) -> bool:
    """Tell whether anything of an answer was taken."""
    return reading.fault is None or [each.value for each in reading.samples if each.name != "up"] != []


async def moved(readings: Sequence[Reading]) -> int:
    """Let each reading be one of an app of which one alert fires and one does not; give how many alerts moved."""

    class Replayed(Said):
        given: Reading | None = None

        async def fetch(self, needs: Sequence[Need], since: int | None) -> Reading:
            good = await super().fetch(needs, since)
            return good if self.given is None else good._replace(samples=self.given.samples, fault=self.given.fault)

    house = House(rule(), rule("Other", Above(1000)))
    house.app = app = Replayed(house.clock)
    house.targets = [house.targets[0]._replace(source=app)]
    await house.open()
    await house.tick(20)
    changes = 0
    for each in readings:
        app.given = each
        report = await house.tick(20)
        changes += sum(not one.key.rule_id.startswith("alerting/") for one in report.transitions)
    assert house.states() == {"High": "firing", "Other": "unknown"}
    return changes


def judged(figure: Figure, readings: Sequence[Reading], chosen: int) -> None:
    """State the figures of a kind."""
    figure("accepted in part", sum(map(in_part, readings)), at_most=0, n=len(readings), seed=chosen)
    figure("state changes", run(moved(readings)), at_most=0, n=len(readings), seed=chosen)


# ------------------------------------------------------------------------------------------- over HTTP


@contextmanager
def app(kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """A small app's health, or its page."""
    with App() as made:
        yield urlsplit(made.url).port or 0, {"path": "/health" if kind == "health" else "/health/metrics"}


@contextmanager
def service(kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """A stand-in that knows an answer, and the settings with which it gives it."""
    if kind == "sentry":
        with Sentry() as sentry:
            sentry.errors = 14
            yield sentry.port, settings(sentry)
    elif kind == "datadog":
        with with_groups(["host:a"], ["host:b"]) as datadog:
            keys = {
                "api_key": Secret.literal(Datadog.api_key),
                "application_key": Secret.literal(Datadog.application_key),
            }
            yield datadog.port, {"metrics": {"cpu": {"query": "avg:system.cpu.user{*} by {host}"}}, **keys}
    elif kind == "newrelic":
        with stand_in() as relic:
            query = {"errors": "SELECT count(*) FROM TransactionError"}
            yield (
                relic.port,
                {"metrics": query, "api_key": Secret.literal(NewRelic.api_key), "account": NewRelic.account},
            )
    elif kind == "prometheus_query":
        with PrometheusApi() as server:
            server.vectors["load"] = [({"host": "a"}, "1.5"), ({"host": "b"}, "2.5")]
            yield server.port, {"metrics": {"load": "load"}}
    else:
        pytest.importorskip("moto.server", reason="moto[server] is not installed")
        with CloudWatch() as cloud:
            cloud.put("CPU", newest() - 60_000, 10)
            cloud.put("CPU", newest(), 10)
            metrics = {"cpu": {"namespace": "Shop", "metric": "CPU"}}
            yield urlsplit(cloud.url).port or 0, {"metrics": metrics, "region": cloud.region}


OVER_HTTP = ["health", "prometheus", "prometheus_query", "sentry", "datadog", "newrelic"]
OVER_HTTP.append(pytest.param("cloudwatch", marks=pytest.mark.slow))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", OVER_HTTP)
def test_f45_no_damaged_answer_over_http_is_taken_in_part(
    kind: str, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded answer is taken, and nothing that is left of it."""
    if kind == "cloudwatch":
        pytest.importorskip("boto3", reason="boto3 is not installed (the extra aws)")
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
    needs = ERRORS if kind == "sentry" else ()
    trials, chosen = rounds(20, full=100), seed(45)
    dice = random.Random(chosen)
    with (app if kind in {"health", "prometheus"} else service)(kind) as (port, values):
        path = values.pop("path", "")
        with Tap(port) as tap:
            first = read(kind, needs, **{**values, "url": tap.url + path})
    assert first.fault is None, first.fault
    assert len(first.samples) > 1
    body, content = body_of(tap.said)

    async def work(server: Changing) -> list[Reading]:
        url = server.url.removesuffix("/health") + path
        found = []
        async with source(kind, **{**values, "url": url}) as built:
            server.say(response(body, kind=content))
            again = await built.fetch(needs, None)
            assert not again.fault, "the recorded answer is a good one"
            for number in range(trials):
                server.say(damaged(body, content, dice, number))
                found.append(await built.fetch(needs, None))
                if in_part(found[-1]):
                    print(number, server._act, found[-1])
        return found

    with Changing(b"") as server:
        judged(figure, run(work(server)), chosen)


# ------------------------------------------------------------------------------------------- everything else


def test_f45_no_damaged_packet_of_a_name_server_is_taken_in_part(figure: Figure) -> None:
    """Cut anywhere, of another question, or longer than it says."""
    trials, chosen = rounds(30, full=100), seed(45)
    dice = random.Random(chosen)

    def act(question: bytes) -> bytes:
        whole = reply(question, [a("192.0.2.1"), a("192.0.2.2")])
        ways = (
            whole[: dice.randrange(len(whole))],
            bytes([whole[0] ^ dice.randrange(1, 256)]) + whole[1:],
            whole + b"\0",
        )
        return dice.choice(ways)

    with NameServer({("bad.test", "A"): act}) as server:
        settings = {"targets": ["bad.test"], "servers": [server.address]}
        readings = [read("dns", **settings) for _ in range(trials)]
    judged(figure, readings, chosen)


@pytest.mark.parametrize("kind", ["tcp", pytest.param("tls", marks=pytest.mark.slow)])
def test_f45_no_damaged_conversation_is_taken_in_part(kind: str, figure: Figure, tmp_path: Path) -> None:
    """An answer that is cut or differs in one byte; a handshake of a real server, cut and changed."""
    trials, chosen = rounds(20, full=100), seed(45)
    dice = random.Random(chosen)
    good = b"+PONG, ready for work\r\n"
    settings: dict[str, Any] = {"send": "PING", "expect": good.decode()}
    if kind == "tls":
        settings = {}
        with wire.Wire(wire.silent, Authority(tmp_path).server("good")) as server, Tap(server.port) as tap:
            read("tls", targets=[tap.url.removeprefix("http://")])
        good = tap.said
        assert len(good) > 500

    def act(line: socket.socket) -> None:
        line.recv(65536)
        at = dice.randrange(len(good) - CUT_OFF)
        changed = good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :]
        line.sendall(dice.choice((good[:at], changed)))

    with wire.Wire(act) as server:
        readings = [read(kind, targets=[server.target], timeout=2000, **settings) for _ in range(trials)]
    judged(figure, readings, chosen)


def test_f45_no_damaged_output_of_a_program_is_taken_in_part(
    figure: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON that breaks off, is no UTF-8, or has a word of somebody else before or behind it."""
    monkeypatch.setenv("ALERTING_COMMANDS", "allow")
    trials, chosen = rounds(20, full=100), seed(45)
    dice, file = random.Random(chosen), tmp_path / "out"
    good = json.dumps({"rows": 1234, "state": "ok", "deep": {"a": 1.5}}).encode()

    async def work() -> list[Reading]:
        found = []
        async with source("command", command=["/bin/cat", str(file)], reads="json") as built:
            file.write_bytes(good)
            assert (await built.fetch((), None)).fault is None
            for _ in range(trials):
                at = dice.randrange(1, len(good))
                file.write_bytes(
                    dice.choice((good[:at], good[:at] + b"\xff" + good[at:], b"warning: x\n" + good, good + HTML))
                )
                found.append(await built.fetch((), None))
        return found

    judged(figure, run(work()), chosen)


def test_f45_no_damaged_file_is_taken_in_part(figure: Figure, tmp_path: Path) -> None:
    """A page of metrics on the disk: bytes that are no text, somebody else's page, half a line.

    One that ends with a line is a shorter page; nothing in the format says that there was more.
    """
    trials, chosen = rounds(20, full=100), seed(45)
    dice, file = random.Random(chosen), tmp_path / "a.prom"
    good = b'# TYPE rows counter\nrows_total{job="a"} 1234\nage_seconds 17\n'

    async def work() -> list[Reading]:
        found = []
        async with source("file", paths=[str(file)], reads="metrics") as built:
            file.write_bytes(good)
            assert (await built.fetch((), None)).fault is None
            for _ in range(trials):
                at = dice.choice([spot for spot in range(22, len(good)) if good[spot - 1 : spot] != b"\n"])
                ways = (good[:at], good[:at] + b"\xff" + good[at:], good[:at] + b"\n" + HTML, HTML, good + b"rows")
                file.write_bytes(dice.choice(ways))
                found.append(await built.fetch((), None))
        return found

    judged(figure, run(work()), chosen)


def test_f45_no_damaged_database_is_taken_in_part(figure: Figure, tmp_path: Path) -> None:
    """A file of SQLite that lacks pages at its end, from one to nearly all.

    Where only a part of a page is missing SQLite itself reads zeroes there: what it says then is no answer in part.
    """
    trials, chosen = rounds(20, full=100), seed(45)
    dice, file = random.Random(chosen), tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("CREATE TABLE orders (state TEXT, amount REAL)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [(f"state {n}" * 20, n) for n in range(400)])
        connection.commit()
    good = file.read_bytes()
    query = {"total": "SELECT sum(amount + length(state)) FROM orders"}

    async def work() -> list[Reading]:
        found = []
        for number in range(trials + 1):
            file.write_bytes(good[: dice.randrange(len(good) // 4096) * 4096] if number else good)
            async with source("sql", dsn=Secret.literal(f"sqlite:///{file}"), metrics=query) as built:
                found.append(await built.fetch((), None))
        assert found[0].fault is None
        return found[1:]

    judged(figure, run(work()), chosen)


def test_f45_no_damaged_report_of_a_job_is_taken_in_part(figure: Figure) -> None:
    """What was known of the job stays as it was."""
    trials, chosen = rounds(50, full=100), seed(45)
    dice, taken, job = random.Random(chosen), 0, push(FakeClock())
    good = b'{"rows": 1234, "state": "ok"}'
    reported(job, "nightly", good)
    before = seen(job)
    for _ in range(trials):
        at = dice.randrange(1, len(good))
        ways = (
            good[:at],
            good[:at] + b"\xff" + good[at:],
            HTML,
            good + good,
            b'rows_total{job="a} 12\n',
            b"rows 1\nrows",
        )
        with suppress(ValueError):
            reported(job, "nightly", dice.choice(ways))
            taken += 1
        taken += seen(job) != before
    figure("accepted in part", taken, at_most=0, n=trials, seed=chosen)
