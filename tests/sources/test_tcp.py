"""The tcp source: up, how fast, and whether it says what it should."""

from __future__ import annotations

import socket
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import FaultKind, Reading, Secret
from tests.fakes import wire
from tests.fakes.certificates import Authority
from tests.fakes.wire import Wire
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests of this file."""
    return Authority(tmp_path_factory.mktemp("tls"))


def look(target: str | Secret, **settings: Any) -> Reading:
    """Read one target once."""
    return read("tcp", targets=[target], **settings)


def failed(reading: Reading) -> FaultKind:
    """Give the class of a reading that holds nothing but `up` = 0 and the reason."""
    assert reading.fault is not None
    assert (up(reading), values(reading)) == (0, {})
    assert reading.fault.message.startswith("tcp: ")
    return reading.fault.kind


def test_a_port_that_takes_connections_is_up() -> None:
    """Two times in seconds, the target as a label, and nothing is sent."""
    with Wire(wire.silent) as server:
        reading = look(server.target)
        assert server.came(1)
    label = f'{{target="{server.target}"}}'
    assert reading.fault is None
    assert up(reading) == 1
    assert set(values(reading)) == {f"connect_time{label}", f"response_time{label}"}
    assert all(0 <= float(value) < 1 for value in values(reading).values())
    assert str(reading.labels) == label


def test_a_question_is_sent_and_the_answer_awaited() -> None:
    """As Redis answers PING; a secret may be part of the question."""
    with Wire(wire.answering(b"PING\r\n", b"+PONG\r\n")) as server:
        assert look(server.target, send=Secret.literal("PING\r\n"), expect="+PONG").fault is None
        assert failed(look(server.target, send="PONG\r\n", expect="+PONG")) is FaultKind.TIMEOUT


def test_an_answer_may_come_in_pieces() -> None:
    """What is expected may lie across them, anywhere in the first 64 KiB."""
    with Wire(wire.saying(b"x" * 60_000 + b"220 mail ready\r\n")) as server:
        assert look(server.target, expect="x220 mail").fault is None


def test_an_authority_that_is_renewed_in_its_file_counts_at_the_next_look(authority: Authority, tmp_path: Path) -> None:
    """Without a restart, as for sources over HTTP."""
    (tmp_path / "other").mkdir()
    trusted = tmp_path / "ca.pem"
    with Wire(wire.answering(b"PING", b"PONG"), authority.server("good")) as server:
        settings = {"tls": True, "ca_file": str(trusted), "send": "PING", "expect": "PONG"}
        trusted.write_bytes(Path(Authority(tmp_path / "other").file).read_bytes())
        assert failed(look(server.target, **settings)) is FaultKind.TLS
        trusted.write_bytes(Path(authority.file).read_bytes())
        assert look(server.target, **settings).fault is None


def test_tls_is_spoken_and_checked(authority: Authority) -> None:
    """With the authority of the settings it is up; without, TLS is refused; what is sent goes inside."""
    with Wire(wire.answering(b"PING", b"PONG"), authority.server("good")) as server:
        assert look(server.target, tls=True, ca_file=authority.file, send="PING", expect="PONG").fault is None
        reading = look(server.target, tls=True)
        assert failed(reading) is FaultKind.TLS
    with Wire(wire.silent, authority.server("other", "DNS:example.org")) as server:
        assert failed(look(server.target, tls=True, ca_file=authority.file)) is FaultKind.TLS


def test_each_target_is_a_source_of_its_own() -> None:
    """One that is down takes no other with it."""

    async def work() -> list[float | str]:
        from alerting.clock import SystemClock
        from alerting.model import Section
        from alerting.net.http import HttpClient
        from alerting.net.reach import SystemResolver
        from alerting.pool import Pool
        from alerting.ports import Tools
        from alerting.registry import build_source

        tools = Tools(SystemClock(), HttpClient("t"), Pool, "h", "0", print, SystemResolver())
        settings = {"targets": [server.target, "127.0.0.1:1"], "timeout": 2000, "tls": False}
        return [up(await each.fetch((), None)) for each in build_source(Section("tcp", "tcp", settings), tools)]

    with Wire(wire.silent) as server:
        assert run(work()) == [1, 0]


# ------------------------------------------------------------------------------------------- what goes wrong

TARGETS = [
    ("127.0.0.1:1", FaultKind.REFUSED),
    ("no-such-host.invalid:80", FaultKind.DNS),
    ("", FaultKind.MALFORMED),
    ("host", FaultKind.MALFORMED),
    ("host:", FaultKind.MALFORMED),
    (":80", FaultKind.MALFORMED),
    ("host:0", FaultKind.MALFORMED),
    ("host:65536", FaultKind.MALFORMED),
    ("host:-1", FaultKind.MALFORMED),
    ("host:٣", FaultKind.MALFORMED),
    ("host:8 0", FaultKind.MALFORMED),
    ("::1:80", FaultKind.MALFORMED),
    ("[::1:80", FaultKind.MALFORMED),
    ("[]:80", FaultKind.MALFORMED),
    ("http://127.0.0.1:80", FaultKind.MALFORMED),
    ("a" * 64 + ".org:80", FaultKind.MALFORMED),
    ("a..b:80", FaultKind.MALFORMED),
    ("169.254.169.254:80", FaultKind.NOT_ALLOWED),
    ("0.0.0.0:80", FaultKind.NOT_ALLOWED),
    ("[fe80::1]:80", FaultKind.NOT_ALLOWED),
    ("2852039166:80", FaultKind.NOT_ALLOWED),
]


@pytest.mark.parametrize(("target", "kind"), TARGETS)
def test_f2_a_target_that_cannot_be_reached_says_why(target: str, kind: FaultKind) -> None:
    """The classes are told apart, whatever stands in the settings."""
    assert failed(look(target)) is kind


def test_a_secret_that_cannot_be_had_is_said() -> None:
    """By its reference, as a target and as a part of what is sent."""
    missing = Secret(lambda: "", "${DB_HOST}")
    for reading in (look(missing), look("127.0.0.1:1", send=missing)):
        assert failed(reading) is FaultKind.SECRET
        assert reading.fault is not None
        assert "${DB_HOST}" in reading.fault.message


DAMAGED: dict[str, tuple[wire.Behaviour, FaultKind]] = {
    "nothing at all": (wire.silent, FaultKind.TIMEOUT),
    "closed at once": (wire.closing, FaultKind.RESET),
    "reset": (wire.reset, FaultKind.RESET),
    "drip": (wire.dripping, FaultKind.TIMEOUT),
    "endless": (wire.endless, FaultKind.TOO_LARGE),
    "half": (wire.said(b"+PO"), FaultKind.MALFORMED),
    "half, and silence": (wire.saying(b"+PO"), FaultKind.TIMEOUT),
    "other case": (wire.said(b"+pong\r\n"), FaultKind.MALFORMED),
    "an error": (wire.said(b"-NOAUTH Authentication required.\r\n"), FaultKind.MALFORMED),
    "an error, and silence": (wire.saying(b"-LOADING\r\n"), FaultKind.TIMEOUT),
    "another protocol": (wire.said(b"SSH-2.0-OpenSSH_9.2\r\n"), FaultKind.MALFORMED),
    "HTTP": (wire.said(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FaultKind.MALFORMED),
    "HTML": (wire.said(b"<html>+PO NG</html>"), FaultKind.MALFORMED),
    "binary": (wire.said(bytes(range(256))), FaultKind.MALFORMED),
    "zeroes": (wire.said(bytes(1000)), FaultKind.MALFORMED),
    "UTF-16": (wire.said("+PONG".encode("utf-16-le")), FaultKind.MALFORMED),
    "in pieces that do not join": (wire.said(b"+PO\0NG"), FaultKind.MALFORMED),
    "backwards": (wire.said(b"GNOP+"), FaultKind.MALFORMED),
    "a TLS alert": (wire.said(b"\x15\x03\x01\x00\x02\x02\x28"), FaultKind.MALFORMED),
    "an empty line": (wire.said(b"\r\n"), FaultKind.MALFORMED),
    "beyond the limit": (wire.saying(b"x" * 70_000 + b"+PONG"), FaultKind.TOO_LARGE),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_f45_a_wrong_answer_is_never_up(name: str) -> None:
    """Whatever comes instead of the expected text; and within the deadline (F43)."""
    act, kind = DAMAGED[name]
    began = time.monotonic()
    with Wire(act) as server:
        reading = look(server.target, expect="+PONG", timeout=300 if kind is FaultKind.TIMEOUT else 3000)
    assert failed(reading) is kind
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("act", [wire.silent, wire.closing, wire.reset, wire.said(b"plain text\r\n"), wire.endless])
def test_what_is_not_tls_is_a_fault(act: wire.Behaviour) -> None:
    """A plain server behind `tls: true`, in all its moods."""
    with Wire(act) as server:
        assert failed(look(server.target, tls=True, timeout=500)) in (
            FaultKind.TIMEOUT,
            FaultKind.RESET,
            FaultKind.TLS,
        )


def test_a_server_that_swallows_connections_times_out() -> None:
    """A full backlog answers no SYN."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        assert failed(look(f"127.0.0.1:{listener.getsockname()[1]}", timeout=300)) is FaultKind.TIMEOUT
        for filler in fillers:
            filler.close()


def test_f44_an_endless_answer_costs_no_memory() -> None:
    """It ends at 64 KiB."""
    with Wire(wire.endless) as server:
        look(server.target, expect="+PONG")
        tracemalloc.start()
        assert failed(look(server.target, expect="+PONG")) is FaultKind.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        tracemalloc.stop()


def test_no_secret_reaches_a_fault() -> None:
    """Neither what was sent nor what came back is shown."""
    with Wire(lambda line: line.sendall(line.recv(100))) as server:
        reading = look(server.target, send=Secret.literal("AUTH t0ken\r\n"), expect="+OK")
    assert failed(reading) is FaultKind.MALFORMED
    assert reading.fault is not None
    assert "t0ken" not in reading.fault.message


def test_the_next_address_is_tried_where_one_refuses() -> None:
    """A host with two addresses, of which one is dead, is up."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"] if host == "db.test" else []

    async def work() -> Reading:
        async with source("tcp", resolve=resolve, targets=[f"db.test:{server.port}"]) as built:
            return await built.fetch((), None)

    with Wire(wire.silent) as server:
        assert up(run(work())) == 1
