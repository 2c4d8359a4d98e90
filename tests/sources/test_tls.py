"""The tls source: what a certificate is worth, by real handshakes."""

from __future__ import annotations

import random
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.model import FaultKind, Reading, Secret
from alerting.sources.tls import read_certificate
from tests.fakes import wire
from tests.fakes.certificates import Authority
from tests.fakes.wire import Wire
from tests.sources.reading import read, run, source, up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fakes.wire import Behaviour

DAY = 86_400


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests of this file."""
    return Authority(tmp_path_factory.mktemp("tls"))


def look(target: str | Secret, **settings: Any) -> Reading:
    """Read one target once."""
    return read("tls", targets=[target], **settings)


def found(reading: Reading) -> dict[str, Any]:
    """Give the values by name; there must be no fault."""
    assert reading.fault is None
    assert all(sample.labels == reading.labels for sample in reading.samples)
    return {sample.name: sample.value for sample in reading.samples}


def stamp(days: float) -> str:
    """Write a time so many days from now as openssl does."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY))


def test_a_good_certificate(authority: Authority) -> None:
    """Trusted, for this address, with its end in seconds."""
    with Wire(wire.silent, authority.server("good", end=stamp(10))) as server:
        seen = found(look(server.target, ca_file=authority.file))
    assert 9.9 * DAY < seen["tls_expires_in"] < 10 * DAY
    assert {key: seen[key] for key in ("up", "tls_verified", "tls_name_matches", "tls_trust", "tls_version")} == {
        "up": 1,
        "tls_verified": 1,
        "tls_name_matches": 1,
        "tls_trust": "ok",
        "tls_version": "TLSv1.3",
    }
    assert 0 <= seen["response_time"] < 2


REFUSED = [  # the certificate, is it for this name, what OpenSSL says of it, days left
    ({"end": stamp(-3)}, 1, "expired", -3),
    ({"begin": stamp(2), "end": stamp(5)}, 1, "not yet valid", 5),
    ({"subject": "DNS:example.org", "end": stamp(5)}, 0, "mismatch", 5),
    ({"subject": "", "end": stamp(5)}, 0, "mismatch", 5),
    ({"alone": True}, 1, "self", 10),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_certificate_that_no_client_takes_is_a_value_and_not_a_fault(authority: Authority, number: int) -> None:
    """It is up, and says what is wrong, for how long it lasts, and whether the name at least is right."""
    made, fits, why, days = REFUSED[number]
    with Wire(wire.silent, authority.server(f"refused{number}", **made)) as server:  # type: ignore[arg-type]
        seen = found(look(server.target, ca_file=authority.file))
        assert server.came(2)
    assert (seen["up"], seen["tls_verified"], seen["tls_name_matches"]) == (1, 0, fits)
    assert why in seen["tls_trust"]
    assert days - 0.1 < seen["tls_expires_in"] / DAY < days + 0.1


def test_an_unknown_authority_is_said(authority: Authority) -> None:
    """Without `ca_file` nobody vouches for it; the name fits all the same."""
    with Wire(wire.silent, authority.server("unknown")) as server:
        seen = found(look(server.target))
    assert (seen["tls_verified"], seen["tls_name_matches"]) == (0, 1)
    assert "issuer" in seen["tls_trust"] or "authority" in seen["tls_trust"]


def test_the_name_is_asked_for_and_checked(authority: Authority) -> None:
    """SNI and the check go by `server_name`, or else by the host of the target, never by its address."""
    asked: list[str] = []
    context = authority.server("named", "DNS:*.example.org")
    context.sni_callback = lambda _line, name, _context: asked.append(name)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def work(**settings: Any) -> Reading:
        async with source("tls", resolve=resolve, ca_file=authority.file, **settings) as built:
            return await built.fetch((), None)

    with Wire(wire.silent, context) as server:
        first = run(work(targets=[f"api.example.org:{server.port}"]))
        second = run(work(targets=[server.target], server_name="api.example.org"))
        third = run(work(targets=[f"a.b.example.org:{server.port}"]))
    assert [found(each)["tls_name_matches"] for each in (first, second, third)] == [1, 1, 0]
    assert [found(each)["tls_verified"] for each in (first, second, third)] == [1, 1, 0]
    assert asked[:2] == ["api.example.org", "api.example.org"]


def test_the_version_is_told(authority: Authority) -> None:
    """A server that speaks no TLS 1.3 shows as 1.2."""
    context = authority.server("older")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Wire(wire.silent, context) as server:
        assert found(look(server.target, ca_file=authority.file))["tls_version"] == "TLSv1.2"


# ------------------------------------------------------------------------------------------- what goes wrong

BROKEN: dict[str, tuple[Behaviour, FaultKind]] = {
    "silence": (wire.silent, FaultKind.TIMEOUT),
    "closed": (wire.closing, FaultKind.RESET),
    "reset": (wire.reset, FaultKind.RESET),
    "drip": (wire.dripping, FaultKind.TLS),
    "endless": (wire.endless, FaultKind.TLS),
    "plain text": (wire.said(b"220 mail.example.org ESMTP\r\n"), FaultKind.TLS),
    "HTTP": (wire.said(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FaultKind.TLS),
    "HTML": (wire.said(b"<html></html>"), FaultKind.TLS),
    "binary": (wire.said(bytes(range(256))), FaultKind.TLS),
    "zeroes": (wire.said(bytes(100)), FaultKind.TLS),
    "alert: handshake failure": (wire.said(b"\x15\x03\x03\x00\x02\x02\x28"), FaultKind.TLS),
    "alert: unknown name": (wire.said(b"\x15\x03\x03\x00\x02\x02\x70"), FaultKind.TLS),
    "alert, cut": (wire.said(b"\x15\x03\x03\x00\x02\x02"), FaultKind.RESET),
    "alert of no kind": (wire.said(b"\x15\x03\x03\x00\x02\x02\xff"), FaultKind.TLS),
    "a record without end": (wire.saying(b"\x16\x03\x03\x40\x00"), FaultKind.TIMEOUT),
    "a record too large": (wire.said(b"\x16\x03\x03\xff\xff" + bytes(65535)), FaultKind.TLS),
    "an empty record": (wire.said(b"\x16\x03\x03\x00\x00"), FaultKind.RESET),
    "SSL 3": (wire.said(b"\x16\x03\x00\x00\x04\x02\x00\x00\x00"), FaultKind.TLS),
    "half a hello": (wire.said(b"\x16\x03\x03\x00\x30\x02\x00\x00\x2c\x03\x03"), FaultKind.RESET),
    "our own hello": (lambda line: line.sendall(line.recv(65536)), FaultKind.TLS),
    "data before the handshake": (wire.said(b"\x17\x03\x03\x00\x05hello"), FaultKind.TLS),
}


@pytest.mark.parametrize("name", BROKEN)
def test_f45_what_is_no_handshake_is_a_fault(name: str) -> None:
    """Never a value; within the deadline."""
    act, kind = BROKEN[name]
    began = time.monotonic()
    with Wire(act) as server:
        reading = look(server.target, timeout=300 if kind is FaultKind.TIMEOUT else 3000)
    assert reading.fault is not None
    assert len(reading.samples) == 1
    assert up(reading) == 0
    assert reading.fault.kind in {kind, FaultKind.RESET if name in ("endless", "drip") else kind}
    assert time.monotonic() - began < 2


def test_f2_targets_that_cannot_be_reached_say_why() -> None:
    """As those of tcp."""
    kinds = [
        look(target).fault.kind  # type: ignore[union-attr]
        for target in ("127.0.0.1:1", "no-such-host.invalid:443", "x", "169.254.169.254:443")
    ]
    assert kinds == [FaultKind.REFUSED, FaultKind.DNS, FaultKind.MALFORMED, FaultKind.NOT_ALLOWED]


def test_certificate_files_that_cannot_be_used(authority: Authority) -> None:
    """A sentence that says so."""
    with Wire(wire.silent, authority.server("files")) as server:
        for path in ("/nonexistent/ca.pem", __file__):
            reading = look(server.target, ca_file=path)
            assert reading.fault is not None
            assert "certificate file" in reading.fault.message


# ------------------------------------------------------------------------------------------- the certificate's bytes

NAMES = [
    ("DNS:example.org", "example.org", True),
    ("DNS:example.org", "EXAMPLE.org.", True),
    ("DNS:example.org", "www.example.org", False),
    ("DNS:a.org,DNS:b.org", "b.org", True),
    ("DNS:*.example.org", "www.example.org", True),
    ("DNS:*.example.org", "example.org", False),
    ("DNS:*.example.org", "a.b.example.org", False),
    ("DNS:*.org", "example.org", False),
    ("DNS:w*.example.org", "www.example.org", False),
    ("DNS:xn--bcher-kva.example", "bücher.example", True),
    ("DNS:127.0.0.1", "127.0.0.1", False),
    ("IP:127.0.0.1", "127.0.0.1", True),
    ("IP:::1", "::1", True),
    ("IP:::1", "::2", False),
    ("email:example.org", "example.org", False),
    ("", "named", False),
]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_names_fit_as_the_rfc_says(authority: Authority, number: int) -> None:
    """Wildcards stand for one whole first label, the common name for nothing (RFC 9525)."""
    names, asked, fits = NAMES[number]
    authority.server("named", names, end="20301231120000Z")
    assert read_certificate(authority.der("named"), asked) == (1_924_948_800_000, fits)


def test_years_of_either_form_are_read(authority: Authority) -> None:
    """Two digits until 2049, four from then on."""
    authority.server("late", end="20510101000000Z")
    assert read_certificate(authority.der("late"), "x")[0] == 2_556_144_000_000


def test_no_damaged_certificate_is_read_as_something_else(authority: Authority) -> None:
    """Cut anywhere, or with bytes changed: a ValueError, or a time and a truth; never another error."""
    authority.server("whole")
    der = authority.der("whole")
    chance = random.Random(1)
    for cut in range(len(der)):
        with pytest.raises(ValueError):
            read_certificate(der[:cut], "x")
    for _ in range(3000):
        bad = bytearray(der)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        survives(bytes(bad))


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(der: bytes) -> None:
    """Any bytes at all."""
    survives(der)


def survives(der: bytes) -> None:
    """Read it; the one error that may come is ValueError."""
    try:
        end, fits = read_certificate(der, "127.0.0.1")
    except ValueError:
        return
    assert isinstance(end, int)
    assert isinstance(fits, bool)
