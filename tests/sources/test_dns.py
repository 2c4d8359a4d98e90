"""The dns source: what name servers say, right or wrong, by real packets."""

from __future__ import annotations

import random
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import FaultKind, Reading, Secret
from tests.fakes.dns import NameServer, a, aaaa, cname, mx, name, ns, reply, txt
from tests.sources.reading import read, up

if TYPE_CHECKING:
    from collections.abc import Callable

ZONE: dict[Any, Any] = {
    ("example.test", "A"): [a("192.0.2.1"), a("192.0.2.2")],
    ("example.test", "AAAA"): [aaaa("2001:db8::1")],
    ("example.test", "MX"): [mx(10, "mail.example.test"), mx(20, "backup.example.test")],
    ("example.test", "NS"): [ns("NS1.example.test")],
    ("example.test", "TXT"): [txt("v=spf1 ", "-all"), txt("Other Text.")],
    ("www.example.test", "CNAME"): [cname("example.test")],
    ("www.example.test", "A"): [cname("example.test"), a("192.0.2.1", owner="example.test")],
    ("many.test", "A"): [a(f"192.0.2.{number}") for number in range(200)],
}


def look(target: str | Secret, record: str = "A", **settings: Any) -> Reading:
    """Ask once; of the fake server unless the settings name others."""
    if "servers" in settings:
        return read("dns", targets=[target], record=record, **settings)
    with NameServer(ZONE) as server:
        return read("dns", targets=[target], record=record, servers=[server.address], **settings)


def found(reading: Reading) -> dict[str, Any]:
    """Give the values by name; there must be no fault."""
    assert reading.fault is None, reading.fault
    assert all(sample.labels == reading.labels for sample in reading.samples)
    return {sample.name: sample.value for sample in reading.samples}


ANSWERS = [
    ("example.test", "A", ["192.0.2.2", "192.0.2.1"], 2, "NOERROR", 1),
    ("EXAMPLE.test.", "A", ["192.0.2.1"], 2, "NOERROR", 0),
    ("example.test", "A", ["192.0.2.1", "192.0.2.2", "192.0.2.3"], 2, "NOERROR", 0),
    ("example.test", "AAAA", ["2001:DB8::1"], 1, "NOERROR", 1),
    ("example.test", "MX", ["20 backup.example.test", "10 mail.example.test."], 2, "NOERROR", 1),
    ("example.test", "NS", ["ns1.example.test"], 1, "NOERROR", 1),
    ("example.test", "TXT", ["v=spf1 -all", "other text"], 2, "NOERROR", 1),
    ("www.example.test", "CNAME", ["example.test"], 1, "NOERROR", 1),
    ("www.example.test", "A", ["192.0.2.1"], 1, "NOERROR", 1),
    ("www.example.test", "MX", ["10 mail.example.test"], 0, "NOERROR", 0),
    ("nothing.test", "A", ["192.0.2.1"], 0, "NXDOMAIN", 0),
    ("many.test", "A", ["192.0.2.1"], 200, "NOERROR", 0),
]


@pytest.mark.parametrize("row", ANSWERS)
def test_what_a_server_answers(row: tuple[str, str, list[str], int, str, int]) -> None:
    """Every type, aliases followed, long answers by TCP; no such name and no such record are zero answers."""
    target, record, expect, count, code, matches = row
    reading = look(target, record, expect=expect)
    seen = found(reading)
    assert (seen["up"], seen["answer_count"], seen["response_code"]) == (1, count, code)
    assert seen["answer_matches"] == matches
    assert 0 <= seen["resolve_time"] < 1
    assert reading.labels.as_dict() == {"target": target, "record": record}


def test_without_expectation_nothing_is_compared() -> None:
    """And `answer_matches` is not there."""
    assert "answer_matches" not in found(look("example.test"))


def test_the_systems_servers_are_asked_otherwise() -> None:
    """They give an answer or a fault; never an exception."""
    reading = read("dns", targets=["example.invalid"], timeout=1000)
    assert reading.fault is None or reading.fault.kind is not FaultKind.INTERNAL


# ------------------------------------------------------------------------------------------- what goes wrong


def header(question: bytes, *counts: int, flags: int = 0x8180) -> bytes:
    """Write the head of an answer that lies about what follows."""
    return question[:2] + struct.pack("!HHHHH", flags, *counts)


def looped(question: bytes) -> bytes:
    """Answer by an alias that leads to itself."""
    return reply(question, [cname("www.bad.test"), cname("bad.test", owner="www.bad.test")])


DAMAGED: dict[str, tuple[Callable[[bytes], bytes | None], FaultKind]] = {
    "silence": (lambda _: None, FaultKind.TIMEOUT),
    "nothing in it": (lambda _: b"", FaultKind.MALFORMED),
    "one byte": (lambda _: b"\0", FaultKind.MALFORMED),
    "half a head": (lambda question: question[:7], FaultKind.MALFORMED),
    "the question itself": (lambda question: question, FaultKind.MALFORMED),
    "another id": (
        lambda question: bytes([question[0] ^ 1]) + reply(question, [a("192.0.2.66")])[1:],
        FaultKind.MALFORMED,
    ),
    "another name": (
        lambda question: (
            header(question, 1, 1, 0, 0) + name("evil.test") + b"\0\1\0\1" + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4abcd"
        ),
        FaultKind.MALFORMED,
    ),
    "no question": (lambda question: header(question, 0, 0, 0, 0), FaultKind.MALFORMED),
    "cut in a record": (lambda question: reply(question, [a("192.0.2.1")])[:-2], FaultKind.MALFORMED),
    "cut before a record": (lambda question: header(question, 1, 1, 0, 0) + question[12:], FaultKind.MALFORMED),
    "more than it says": (lambda question: reply(question, [a("192.0.2.1")]) + b"more", FaultKind.MALFORMED),
    "an address of 3 bytes": (
        lambda question: reply(question, [a("192.0.2.1")._replace(data=b"abc")]),
        FaultKind.MALFORMED,
    ),
    "an address of 5 bytes": (
        lambda question: reply(question, [a("192.0.2.1")._replace(data=b"abcde")]),
        FaultKind.MALFORMED,
    ),
    "a name that points to itself": (
        lambda question: reply(question, [cname("x")._replace(data=b"\xc0\x2a")]),
        FaultKind.MALFORMED,
    ),
    "a name that points beyond": (
        lambda question: reply(question, [cname("x")._replace(data=b"\xff\xff")]),
        FaultKind.MALFORMED,
    ),
    "a label of a reserved kind": (
        lambda question: reply(question, [cname("x")._replace(data=b"\x80ab\0")]),
        FaultKind.MALFORMED,
    ),
    "an alias in a circle": (looped, FaultKind.MALFORMED),
    "random bytes": (lambda question: question[:2] + random.Random(1).randbytes(100), FaultKind.MALFORMED),
    "text": (lambda _: b"<html>not a name server</html>", FaultKind.MALFORMED),
    "SERVFAIL": (lambda question: reply(question, code=2), FaultKind.SERVER_ERROR),
    "REFUSED": (lambda question: reply(question, code=5), FaultKind.SERVER_ERROR),
    "FORMERR": (lambda question: reply(question, code=1), FaultKind.SERVER_ERROR),
    "NOTIMP": (lambda question: reply(question, code=4), FaultKind.SERVER_ERROR),
    "answers with SERVFAIL": (lambda question: reply(question, [a("192.0.2.1")], code=2), FaultKind.SERVER_ERROR),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_f45_a_damaged_answer_is_a_fault(case: str) -> None:
    """No part of it is a value, and no number of answers is made up."""
    act, kind = DAMAGED[case]
    began = time.monotonic()
    with NameServer({("bad.test", "A"): act}) as server:
        limit = 300 if kind is FaultKind.TIMEOUT else 2000
        reading = look("bad.test", servers=[server.address], timeout=limit)
    assert reading.fault is not None
    assert len(reading.samples) == 1
    assert up(reading) == 0
    assert reading.fault.kind is kind, reading.fault
    assert "dns: " in reading.fault.message
    assert time.monotonic() - began < 1.5


def test_the_next_server_is_asked_where_one_does_not_answer() -> None:
    """Silent, refusing and failing ones are passed over within the deadline."""
    silent: dict[Any, Any] = {("example.test", "A"): lambda _: None}
    failing: dict[Any, Any] = {("example.test", "A"): lambda question: reply(question, code=2)}
    with NameServer(silent) as first, NameServer(failing) as second, NameServer(ZONE) as third:
        servers = [first.address, "127.0.0.1:1", second.address, third.address]
        reading = look("example.test", servers=servers, timeout=2000)
        assert (first.asked, second.asked, third.asked) == (["example.test A"],) * 3
    assert found(reading)["answer_count"] == 2


BAD_NAMES = ["a" * 64 + ".test", ".".join(["a" * 60] * 5), "a..b", ".a", "a\\", "\udcff"]


@pytest.mark.parametrize("target", BAD_NAMES)
def test_what_cannot_be_a_name_is_said(target: str) -> None:
    """It is asked of nobody."""
    with NameServer(ZONE) as server:
        reading = look(target, servers=[server.address])
        assert server.asked == []
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("server", ["not-an-address", "127.0.0.1:0", "127.0.0.1:x", "", "300.1.1.1"])
def test_what_cannot_be_a_server_is_said(server: str) -> None:
    """Names of servers are not looked up."""
    reading = look("example.test", servers=[server])
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.MALFORMED
    assert "written" in reading.fault.message


def test_nobody_listens() -> None:
    """By UDP that is silence."""
    reading = look("example.test", servers=["127.0.0.1:1"], timeout=300)
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.TIMEOUT


def test_a_secret_name_that_cannot_be_had_is_said() -> None:
    """By its reference."""
    reading = look(Secret(lambda: "", "${DOMAIN}"))
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.SECRET
    assert "${DOMAIN}" in reading.fault.message
