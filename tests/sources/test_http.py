"""The bounded HTTP client: deadlines, limits, honest failures, TLS."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import FaultKind, Secret
from alerting.net.http import HttpClient, HttpFailed, retry_at, shown
from alerting.ports import HttpAnswer
from tests.circles import circles
from tests.fakes.hostile import BEHAVIOURS, ENDLESS, Hostile, bomb, refused_url, response
from tests.fakes.wire import Wire
from tests.full import rounds
from tests.sources.reading import read, run, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure


def ask(url: str, **arguments: Any) -> HttpAnswer | HttpFailed:
    """Make one request with a new client; give the answer or what it raised."""

    async def work() -> HttpAnswer | HttpFailed:
        client = HttpClient("alerting/test")
        try:
            return await client.request(arguments.pop("method", "GET"), url, **arguments)
        except HttpFailed as failed:
            return failed
        finally:
            await client.close()

    return run(work())


def failure(url: str, **arguments: Any) -> HttpFailed:
    """Give what the request raised; it must raise."""
    found = ask(url, **arguments)
    assert isinstance(found, HttpFailed), found
    return found


# ------------------------------------------------------------------------------------------- what failures say

EXPECTED = {
    "hang": (FaultKind.TIMEOUT, "connected, but no answer came"),
    "drip": (FaultKind.TIMEOUT, "the answer began, but did not end"),
    "endless interim answers": (FaultKind.MALFORMED, "no answer began"),
    "reset": (FaultKind.RESET, "broke"),
    "nothing": (FaultKind.RESET, "broke"),
    "half a head": (FaultKind.RESET, "broke"),
    "half a body": (FaultKind.RESET, "broke"),
    "chunk cut": (FaultKind.RESET, "broke"),
    "chunk without end": (FaultKind.RESET, "broke"),
    "not HTTP": (FaultKind.RESET, "broke"),
    "HTTP/0.9": (FaultKind.RESET, "broke"),
    "negative length": (FaultKind.MALFORMED, "not HTTP"),
    "two lengths": (FaultKind.MALFORMED, "not HTTP"),
    "huge length": (FaultKind.MALFORMED, "not HTTP"),
    "chunk size that is none": (FaultKind.MALFORMED, "not HTTP"),
    "binary": (FaultKind.MALFORMED, "not HTTP"),
    "endless headers": (FaultKind.MALFORMED, "not HTTP"),
    "endless header line": (FaultKind.MALFORMED, "not HTTP"),
    "endless body": (FaultKind.TOO_LARGE, "longer than"),
    "endless chunks": (FaultKind.TOO_LARGE, "longer than"),
    "endless empty gzip": (FaultKind.TOO_LARGE, "longer than"),
    "gzip bomb": (FaultKind.TOO_LARGE, "longer than"),
    "gzip cut": (FaultKind.MALFORMED, "ends too early"),
    "gzip damaged": (FaultKind.MALFORMED, "damaged"),
    "gzip wrong sum": (FaultKind.MALFORMED, "damaged"),
    "gzip that is none": (FaultKind.MALFORMED, "damaged"),
    "gzip and more": (FaultKind.MALFORMED, "something follows"),
    "gzip in gzip": (FaultKind.MALFORMED, "not taken"),
    "brotli": (FaultKind.MALFORMED, "not taken"),
    "deflate": (FaultKind.MALFORMED, "not taken"),
}


def test_every_behaviour_has_an_expected_failure() -> None:
    """Nobody adds a hostile server without saying what must come of it."""
    assert set(BEHAVIOURS) - {"too long a body"} == set(EXPECTED)


@pytest.mark.parametrize("behaviour", sorted(EXPECTED))
def test_a_hostile_server_is_named_and_never_believed(behaviour: str) -> None:
    """The kind tells the classes apart; the request was sent each time, so it may have been taken."""
    kind, text = EXPECTED[behaviour]
    began = time.monotonic()
    with Hostile(behaviour) as server:
        failed = failure(server.url, deadline=300 if behaviour in ENDLESS else 5000)
        assert server.connections == 1
    assert failed.kind is kind
    assert text in str(failed)
    assert failed.maybe_taken
    assert time.monotonic() - began < 1.5 or behaviour not in ENDLESS


@pytest.mark.parametrize("behaviour", ["drip", "reset", "two lengths", "endless body", "gzip cut"])
def test_a_request_that_failed_leaves_nothing_behind(behaviour: str) -> None:
    """What came of the answer, megabytes at times, goes with it, and waits for no collector."""
    for method, body in (("GET", None), ("POST", b"x")):
        with Hostile(behaviour) as server, circles() as left:
            failure(server.url, method=method, body=body, deadline=200 if behaviour in ENDLESS else 5000)
        assert left == []


UNSENT = [
    ("http://127.0.0.1:1/", FaultKind.REFUSED),
    ("http://no-such-host.invalid/", FaultKind.DNS),
    ("http://127.0.0.1:99999/", FaultKind.MALFORMED),
    ("http://[::1/", FaultKind.MALFORMED),
    ("ftp://127.0.0.1/", FaultKind.MALFORMED),
    ("http://127.0.0.1:1/\n", FaultKind.MALFORMED),
    ("https://127.0.0.1:1/", FaultKind.REFUSED),
]


@pytest.mark.parametrize(("url", "kind"), UNSENT)
def test_what_was_never_sent_was_not_taken(url: str, kind: FaultKind) -> None:
    """Before the first byte of the request goes out, nobody can have acted on it."""
    failed = failure(url, method="POST", body=b"x")
    assert failed.kind is kind
    assert not failed.maybe_taken


def test_a_host_that_swallows_connections_is_a_timeout_that_took_nothing() -> None:
    """A full backlog answers no SYN: the deadline covers connecting, and says that it was spent there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        failed = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/", deadline=300)
        for filler in fillers:
            filler.close()
    assert failed.kind is FaultKind.TIMEOUT
    assert "while connecting" in str(failed)
    assert not failed.maybe_taken


def test_headers_that_cannot_be_written_are_a_failure() -> None:
    """A header with a line break or beyond Latin-1 never goes out, and never raises anything else."""
    for value in ("a\r\nb: c", "€"):
        with Hostile(response(b"{}")) as server:
            failed = failure(server.url, headers={"x": value})
            assert server.requests == []
        assert failed.kind is FaultKind.MALFORMED


def test_the_text_of_a_failure_holds_no_address() -> None:
    """Addresses hold tokens; the caller adds what may be shown."""
    for url in (refused_url() + "?key=t0ken", "http://user:t0ken@no-such-host.invalid/", "http://t0ken:99999/"):
        assert "t0ken" not in str(failure(url))


# ------------------------------------------------------------------------------------------- limits


def test_the_limit_is_exact() -> None:
    """So many bytes are read, one more is refused; packed or not."""
    import gzip

    body = bytes(1000)
    for answer in (response(body), response(gzip.compress(body), "content-encoding: gzip")):
        with Hostile(answer) as server:
            found = ask(server.url, limit=1000)
            assert isinstance(found, HttpAnswer)
            assert found.body == body
            assert failure(server.url, limit=999).kind is FaultKind.TOO_LARGE


def test_a_head_in_pieces_before_a_large_body_is_read() -> None:
    """Packets end anywhere: what belongs to the body does not count as head."""
    body = bytes(500_000)
    whole = response(body)

    def act(line: socket.socket) -> None:
        line.recv(65536)
        for piece in (whole[:10], whole[10:40], whole[40:]):
            line.sendall(piece)
            time.sleep(0.02)

    with Wire(act) as server:
        found = ask(f"http://{server.target}/")
    assert isinstance(found, HttpAnswer)
    assert found.body == body


def test_a_server_that_changes_the_protocol_is_left() -> None:
    """Whoever asks for an upgrade by a header of the settings gets a fault, not a loop without end."""
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    wish = {"Upgrade": "websocket", "Connection": "upgrade"}
    with Hostile(switching) as server:
        failed = failure(server.url, headers=wish, deadline=2000)
    assert failed.kind is FaultKind.MALFORMED
    assert "protocol" in str(failed)


@pytest.mark.parametrize("size", [1, 64, pytest.param(256, marks=pytest.mark.slow)])
def test_f44_a_bomb_costs_no_memory_and_no_time(size: int) -> None:
    """1 to 256 MiB of zeroes, packed: refused within a second, at most 16 MiB above the limit's own 8."""
    packed = response(bomb(size * 1024 * 1024), "content-encoding: gzip")
    with Hostile(packed) as server:
        ask(server.url)  # imports are paid
        tracemalloc.start()
        began = time.monotonic()
        found = ask(server.url)
        took, peak = time.monotonic() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(found, HttpAnswer if size == 1 else HttpFailed)
    assert peak < 24 * 1024 * 1024
    assert took < 2  # tracemalloc slows it down


def test_what_follows_a_declared_body_is_not_read() -> None:
    """The declared length rules: the rest belongs to nobody."""
    with Hostile("too long a body") as server:
        found = ask(server.url)
    assert isinstance(found, HttpAnswer)
    assert found.body == b'{"status":"ok"}'


@pytest.mark.slow
def test_f43_hanging_servers_hold_up_nobody(figure: Figure) -> None:
    """20 of 200 hang: the others answer on time, the hanging ones end at their deadline, no socket is left."""

    async def work() -> tuple[list[float], list[float]]:
        client = HttpClient("alerting/test")
        good, bad = [], []

        async def one(url: str, times: list[float]) -> None:
            began = time.monotonic()
            with suppress(HttpFailed):
                await client.request("GET", url, deadline=1500)
            times.append(time.monotonic() - began)

        with Hostile(response(b"{}")) as quick, Hostile("drip") as drip, Hostile("hang") as hang:
            await one(quick.url, [])
            work = [one(drip.url if n % 20 == 0 else hang.url, bad) for n in range(0, 200, 10)]
            work += [one(quick.url, good) for _ in range(180)]
            await asyncio.gather(*work)
        await client.close()
        return good, bad

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))

    run(work())  # what is made once is there now
    before = held()
    good, bad = [], []
    for _ in range(rounds(1, full=10)):
        quick, hung = run(work())
        assert (len(quick), sorted(quick)[178] < 1.5) == (180, True)
        good, bad = good + quick, bad + hung
    late = sum(took > 1.5 + 0.5 for took in bad)
    figure("fetches beyond their deadline by 0.5 s", late, at_most=0, n=len(bad))
    for _ in range(50):  # the threads of the servers end by themselves
        after = held()
        if after <= before:
            break
        time.sleep(0.1)
    figure("sockets left", after[0] - before[0], at_most=0, n=len(good) + len(bad))
    figure("threads left", after[1] - before[1], at_most=0, n=len(good) + len(bad))


HANGING_RESOLVER = """
import asyncio, socket, sys, time
from alerting.net.http import HttpClient, HttpFailed
socket.getaddrinfo = lambda *_, **__: time.sleep(30)
async def main():
    try:
        await HttpClient("alerting/test").request("GET", "http://some.name/", deadline=300)
    except HttpFailed as failed:
        print(failed.kind.value, failed.maybe_taken)
asyncio.run(main())
"""


def test_a_resolver_that_hangs_holds_up_no_exit() -> None:
    """The deadline covers the lookup, and the process does not wait for its thread afterwards."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING_RESOLVER], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("timed out False\n", "")
    assert time.monotonic() - began < 10


# ------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, one for another name and one that is over, each its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name, subject, days in (("good", "IP:127.0.0.1", "10"), ("other", "DNS:example.org", "10")):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-days", days]
        command += ["-subj", "/CN=test", "-addext", f"subjectAltName={subject}"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return folder


class _Ok(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A refused handshake is the point."""


@pytest.fixture
def tls_server(certificates: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An HTTPS server with the certificate that the test names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{request.param}.pem", certificates / f"{request.param}.key")
    server = _Quiet(("127.0.0.1", 0), _Ok)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("tls_server", ["good"], indirect=True)
def test_a_certificate_is_checked_and_its_end_is_told(tls_server: str, certificates: Path) -> None:
    """With the authority it is taken and says when it ends; without, it is refused before anything is sent."""
    found = ask(tls_server, verify=str(certificates / "good.pem"))
    assert isinstance(found, HttpAnswer)
    assert found.tls_ends is not None
    assert 9 < (found.tls_ends / 1000 - time.time()) / 86_400 < 10.1
    failed = failure(tls_server)
    assert failed.kind is FaultKind.TLS
    assert "self" in str(failed)
    assert not failed.maybe_taken


@pytest.mark.parametrize("tls_server", ["good"], indirect=True)
def test_a_health_probe_says_how_long_the_certificate_lasts(tls_server: str, certificates: Path) -> None:
    """In seconds; with the settings' own authorities. Without them it is a TLS fault that says why."""
    reading = read("health", url=tls_server, ca_file=str(certificates / "good.pem"))
    assert reading.fault is None
    assert 9 < float(values(reading)["tls_expires_in"]) / 86_400 < 10.1
    reading = read("health", url=tls_server)
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.TLS
    assert "self" in reading.fault.message


@pytest.mark.parametrize("tls_server", ["good"], indirect=True)
def test_unchecked_tls_tells_no_end(tls_server: str) -> None:
    """Where nothing was checked, nothing is claimed."""
    found = ask(tls_server, verify=False)
    assert isinstance(found, HttpAnswer)
    assert found.tls_ends is None


@pytest.mark.parametrize("tls_server", ["other"], indirect=True)
def test_a_certificate_of_another_name_is_refused(tls_server: str, certificates: Path) -> None:
    """Trusted or not, it is not this host's."""
    failed = failure(tls_server, verify=str(certificates / "other.pem"))
    assert failed.kind is FaultKind.TLS
    assert "mismatch" in str(failed)


def test_tls_against_a_plain_server_and_the_other_way_round() -> None:
    """A plain server does not speak TLS; that is said as TLS, not as a broken connection."""
    with Hostile(response(b"{}")) as server:
        failed = failure(server.url.replace("http:", "https:"), deadline=1000)
    assert failed.kind in (FaultKind.TLS, FaultKind.TIMEOUT)
    assert not failed.maybe_taken


def test_certificate_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing or wrong file is a failure of this request with a sentence, not a traceback."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for path in (tmp_path / "missing.pem", wrong):
        failed = failure("https://127.0.0.1:1/", verify=str(path))
        assert failed.kind is FaultKind.TLS
        assert "certificate files" in str(failed)


# ------------------------------------------------------------------------------------------- small readers

NOW = 1_700_000_000_000
RETRY_AFTER = [
    ("3", NOW + 3000),
    (" 120 ", NOW + 120_000),
    ("0", None),
    ("-5", None),
    ("", None),
    ("soon", None),
    ("1.5", None),
    ("٣", None),
    ("9" * 400, NOW + 86_400_000),
    ("Tue, 14 Nov 2023 22:14:20 GMT", NOW + 60_000),
    ("Tue, 14 Nov 2023 22:12:20 GMT", None),
    ("Tue, 99 Nov 2023 22:12:20 GMT", None),
    ("Tue, 14 Nov 9999 22:12:20 GMT", NOW + 86_400_000),
]


@pytest.mark.parametrize(("text", "expected"), RETRY_AFTER)
def test_retry_after_is_read_or_disbelieved(text: str, expected: int | None) -> None:
    """Seconds and dates; nonsense and the past are none; at most a day."""
    assert retry_at(HttpAnswer(429, {"retry-after": text}, b""), NOW) == expected


SHOWN = [
    ("https://user:pa55@api.example.org:8443/health?key=1#x", "https://api.example.org:8443/health"),
    ("http://[::1]:80/x", "http://[::1]:80/x"),
    ("http://[::1/x", "(an address that cannot be read)"),
    ("http://h:99999/", "(an address that cannot be read)"),
    ("x", ":///x".replace("/x", "x")),
]


@pytest.mark.parametrize(("url", "expected"), SHOWN)
def test_an_address_is_shown_without_what_may_be_secret(url: str, expected: str) -> None:
    """No user, password, query or fragment."""
    assert shown(url) == expected


def test_a_secret_address_is_shown_by_its_label() -> None:
    """The reference is enough to find it."""
    assert shown(Secret(lambda: "https://h/t0ken", "${HEALTH_URL}")) == "${HEALTH_URL}"
