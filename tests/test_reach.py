"""What sources may connect to: judged by address, looked up once, and counted at the system's own call."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.model import FaultKind
from alerting.net.http import HttpClient, HttpFailed
from alerting.net.reach import DEFAULT, WORDS, OutOfReach, SystemResolver, addresses, place, trouble_in
from tests.fakes import wire
from tests.fakes.certificates import Authority
from tests.fakes.hostile import Hostile, response
from tests.fakes.wire import Wire
from tests.sources.reading import run, source, up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.figures import Figure

CONNECTED: list[tuple[str, int]] = []  # every address that this process asked the system to connect to


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.append(arguments[1][:2])


sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def connected() -> Iterator[None]:
    """Each test counts from nothing."""
    CONNECTED.clear()
    yield
    CONNECTED.clear()


# ------------------------------------------------------------------------------------------- what an address is

NAT64 = ip_network("64:ff9b::/96")
PLACES = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "fd00::1": "private",
    "fc00::1": "private",
    "::ffff:10.0.0.1": "private",
    "172.15.0.1": "public",
    "172.32.0.1": "public",
    "8.8.8.8": "public",
    "100.128.0.1": "public",
    "2001:4860:4860::8888": "public",
    "2606:4700::1111": "public",
    "64:ff9b::808:808": "public",
    "2002:808:808::1": "public",
    "169.254.0.1": "link-local",
    "169.254.169.253": "link-local",
    "fe80::1": "link-local",
    "fe80::1%lo": "link-local",
    "febf::1": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "fd00:ec2::254": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "192.0.0.192": "metadata",
    "::ffff:169.254.169.254": "metadata",
    "::ffff:a9fe:a9fe": "metadata",
    "64:ff9b::a9fe:a9fe": "metadata",
    "2002:a9fe:a9fe::": "metadata",
    "0.0.0.0": "reserved",
    "0.1.2.3": "reserved",
    "::": "reserved",
    "::7f00:1": "reserved",
    "::a9fe:a9fe": "reserved",
    "224.0.0.1": "reserved",
    "239.255.255.250": "reserved",
    "ff02::1": "reserved",
    "ff0e::1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "192.0.2.1": "reserved",
    "198.51.100.1": "reserved",
    "203.0.113.1": "reserved",
    "198.18.0.1": "reserved",
    "192.0.0.8": "reserved",
    "192.88.99.1": "reserved",
    "2001:db8::1": "reserved",
    "2001::1": "reserved",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "reserved",
    "100::1": "reserved",
    "fec0::1": "reserved",
    "64:ff9b:1::1": "reserved",
    "4000::1": "reserved",
}


@pytest.mark.parametrize(("address", "expected"), PLACES.items())
def test_every_address_has_its_place(address: str, expected: str) -> None:
    """What stands for another address is what that one is."""
    assert place(address) == expected


@given(st.ip_addresses())
def test_no_address_has_none(address: Any) -> None:
    """Any address is one of the words, or reserved; and what the library calls not global is not public."""
    found = place(str(address))
    assert found in (*WORDS, "reserved")
    assert found != "public" or address.is_global or getattr(address, "sixtofour", None) or address in NAT64


REACHES = [  # the setting, the address, may it be connected to
    ((), "127.0.0.1", True),
    ((), "10.0.0.1", True),
    ((), "8.8.8.8", True),
    ((), "169.254.1.1", False),
    ((), "169.254.169.254", False),
    ((), "0.0.0.0", False),
    (("public",), "8.8.8.8", True),
    (("public",), "10.0.0.1", False),
    (("public",), "127.0.0.1", False),
    (("10.1.0.0/16",), "10.1.2.3", True),
    (("10.1.2.3/16",), "10.1.255.255", True),
    (("10.1.0.0/16",), "10.2.0.1", False),
    (("10.1.0.0/16",), "127.0.0.1", False),
    (("10.1.0.0/16",), "::ffff:10.1.0.1", True),
    (("10.1.2.3",), "10.1.2.3", True),
    (("10.1.2.3",), "10.1.2.4", False),
    (("fd00::/8",), "fd12::1", True),
    (("fd00::/8",), "10.0.0.1", False),
    (("link-local",), "169.254.1.1", True),
    (("link-local",), "169.254.169.254", False),
    (("169.254.0.0/16",), "169.254.1.1", True),
    (("169.254.0.0/16",), "169.254.169.254", False),
    (("0.0.0.0/0",), "169.254.169.254", False),
    (("0.0.0.0/0",), "224.0.0.1", True),
    (("169.254.169.254",), "169.254.169.254", False),
    (("metadata",), "169.254.169.254", True),
    (("metadata",), "::ffff:169.254.169.254", True),
    (("metadata",), "127.0.0.1", False),
    ((*DEFAULT, "192.0.2.0/24"), "192.0.2.7", True),
]


@pytest.mark.parametrize(("allowed", "address", "expected"), REACHES)
def test_a_reach_allows_and_narrows(allowed: tuple[str, ...], address: str, expected: bool) -> None:
    """It replaces the default; metadata services need their own word, whatever networks are listed."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return [address]

    async def may(host: str) -> bool:
        try:
            return list(await addresses(host, 80, allowed, resolve)) == [address]
        except OutOfReach as error:
            return address not in str(error)

    assert run(may("some.test")) == run(may(address)) == expected


def test_only_those_addresses_of_a_host_are_given_that_are_within_reach() -> None:
    """In their order."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["169.254.169.254", "10.0.0.2", "0.0.0.0", "10.0.0.1"]

    assert run(addresses("some.test", 80, (), resolve)) == ["10.0.0.2", "10.0.0.1"]


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "300.1.1.1", "host.example.org", "10.0.0.*", "", "Public", "::/129"])
def test_an_entry_that_is_neither_word_nor_network_is_said(entry: str) -> None:
    """With the words there are."""
    assert repr(entry) in trouble_in(("public", entry))
    assert "metadata" in trouble_in((entry,))
    assert trouble_in(WORDS) == ""


# ------------------------------------------------------------------------------------------- requests

REFUSED = "not allowed"
UNUSABLE = "answer not understood"
URLS = [
    ("http://169.254.169.254/latest/meta-data/iam/security-credentials/", REFUSED),
    ("https://169.254.169.254/", REFUSED),
    ("http://169.254.169.254:8080/", REFUSED),
    ("http://2852039166/latest/", REFUSED),
    ("http://0xa9fea9fe/", REFUSED),
    ("http://0xA9.0xFE.0xA9.0xFE/", REFUSED),
    ("http://0251.0376.0251.0376/", UNUSABLE),
    ("http://169.254.43518/", REFUSED),
    ("http://169.16689662/", REFUSED),
    ("http://[::ffff:169.254.169.254]/", REFUSED),
    ("http://[::ffff:a9fe:a9fe]/", REFUSED),
    ("http://[0:0:0:0:0:ffff:a9fe:a9fe]/", REFUSED),
    ("http://[64:ff9b::a9fe:a9fe]/", REFUSED),
    ("http://[2002:a9fe:a9fe::]/", REFUSED),
    ("http://[::a9fe:a9fe]/", REFUSED),
    ("http://[fd00:ec2::254]/latest/", REFUSED),
    ("http://100.100.100.200/latest/", REFUSED),
    ("http://168.63.129.16/machine", REFUSED),
    ("http://192.0.0.192/opc/", REFUSED),
    ("http://169.254.170.2/v2/credentials", REFUSED),
    ("http://metadata.test/computeMetadata/v1/", REFUSED),
    ("http://METADATA.TEST/", REFUSED),
    ("http://metadata.test./", REFUSED),
    ("http://mixed-metadata.test/", REFUSED),
    ("http://link-local.test/", REFUSED),
    ("http://169.254.1.1/", REFUSED),
    ("http://[fe80::1]/", REFUSED),
    ("http://0.0.0.0/", REFUSED),
    ("http://0.0.0.0:22/", REFUSED),
    ("http://0/", REFUSED),
    ("http://[::]/", REFUSED),
    ("http://224.0.0.1/", REFUSED),
    ("http://239.255.255.250:1900/", REFUSED),
    ("http://[ff02::1]/", REFUSED),
    ("http://240.0.0.1/", REFUSED),
    ("http://255.255.255.255/", REFUSED),
    ("http://192.0.2.1/", REFUSED),
    ("http://198.51.100.7/", REFUSED),
    ("http://203.0.113.9/", REFUSED),
    ("http://198.18.0.1/", REFUSED),
    ("http://[2001:db8::1]/", REFUSED),
    ("http://[100::1]/", REFUSED),
    ("http://zero.test/", REFUSED),
    ("http://multicast.test/", REFUSED),
    ("http://documentation.test/", REFUSED),
    ("file:///etc/passwd", UNUSABLE),
    ("file://localhost/etc/passwd", UNUSABLE),
    ("FILE:///etc/passwd", UNUSABLE),
    ("ftp://app.test/", UNUSABLE),
    ("gopher://127.0.0.1:6379/_FLUSHALL", UNUSABLE),
    ("dict://127.0.0.1:11211/stats", UNUSABLE),
    ("ldap://127.0.0.1/", UNUSABLE),
    ("unix:///var/run/docker.sock", UNUSABLE),
    ("data:text/plain,up 1", UNUSABLE),
    ("javascript:alert(1)", UNUSABLE),
    ("ws://app.test/", UNUSABLE),
    ("//app.test/", UNUSABLE),
    ("app.test/health", UNUSABLE),
    ("http:app.test", UNUSABLE),
    ("http:///health", UNUSABLE),
    ("http://:80/", UNUSABLE),
    ("http://[::1/", UNUSABLE),
    ("http://user:pa55@app.test/", UNUSABLE),
    ("http://user@app.test/", UNUSABLE),
    ("http://@app.test/", UNUSABLE),
    ("http://app.test@169.254.169.254/", UNUSABLE),
    ("http://169.254.169.254@app.test/", UNUSABLE),
    ("http://app.test\\@169.254.169.254/", UNUSABLE),
    ("http://app.test:99999/", UNUSABLE),
    ("http://app.test:x/", UNUSABLE),
    ("", UNUSABLE),
]
ZONE = {
    "metadata.test": ["169.254.169.254"],
    "metadata.test.": ["169.254.169.254"],
    "mixed-metadata.test": ["169.254.169.254", "fd00:ec2::254"],
    "link-local.test": ["169.254.3.4", "fe80::2"],
    "zero.test": ["0.0.0.0"],
    "multicast.test": ["224.0.0.251"],
    "documentation.test": ["192.0.2.2"],
}


async def from_zone(host: str, port: int) -> Sequence[str]:
    """Look up in the zone above; odd ways to write addresses by the system, which knows them all."""
    return ZONE[host] if host in ZONE else await SystemResolver()(host, port)


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_f55_an_address_that_no_app_lives_at_is_never_connected_to(url: str, reason: str, figure: Figure) -> None:
    """Refused with the reason, before the first packet; the system was asked for no connection at all."""

    async def work() -> Any:
        async with source("health", resolve=from_zone, url=url) as built:
            return await built.fetch((), None)

    reading = run(work())
    assert reading.fault is not None
    assert reading.fault.kind == FaultKind(reason)
    assert up(reading) == 0
    figure("connections to refused targets", len(CONNECTED), at_most=0, n=1)
    assert "pa55" not in reading.fault.message


def test_the_table_is_long_enough() -> None:
    """At least 60 addresses (F55)."""
    assert len(URLS) >= 60


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/", "file:///etc/passwd", "//169.254.169.254/", "/elsewhere", "http://127.0.0.1:1/"],
)
def test_f55_a_redirect_leads_nowhere(location: str, figure: Figure) -> None:
    """None is followed, so there is no second hop to judge."""
    with Hostile(response(b"{}", f"location: {location}", status="302 Found")) as server:

        async def work() -> Any:
            async with source("health", url=server.url) as built:
                return await built.fetch((), None)

        reading = run(work())
        assert server.connections == 1
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.REDIRECTED
    figure("connections to refused targets", len(CONNECTED) - 1, at_most=0, n=1)


class Flips:
    """Answers by turns with an address within reach and one that is not."""

    def __init__(self, *by_turns: Sequence[str]) -> None:
        self.asked = 0
        self._by_turns = by_turns

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._by_turns[self.asked % len(self._by_turns)]


def test_f56_a_name_that_changes_its_meaning_gains_nothing(figure: Figure) -> None:
    """1,000 fetches of a name that means now this, now that: each judged once, none of the refused connected to."""
    flips = Flips(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["169.254.169.254"])

    async def work(port: int) -> list[FaultKind | None]:
        client = HttpClient("alerting/test", flips)
        seen: list[FaultKind | None] = []
        for _ in range(1000):
            try:
                await client.request("GET", f"http://app.test:{port}/", reach=("127.0.0.1",))
                seen.append(None)
            except HttpFailed as failed:
                seen.append(None if failed.maybe_taken else failed.kind)
        await client.close()
        return seen

    with Hostile(response(b"{}")) as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        seen = run(work(port))
        assert server.connections == 500
    assert flips.asked == 1000
    assert (seen.count(None), seen.count(FaultKind.NOT_ALLOWED)) == (500, 500)
    others = sum(address != "127.0.0.1" for address, _ in CONNECTED)
    figure("connections to refused targets", others, at_most=0, n=1000)


def test_f56_tcp_is_judged_alike(figure: Figure) -> None:
    """Sources that do not speak HTTP connect to what was judged, too."""
    flips = Flips(["127.0.0.1"], ["127.0.0.2"])

    async def work(port: int) -> list[float | str]:
        settings: dict[str, Any] = {"targets": [f"db.test:{port}"], "reach": ["127.0.0.1/32"]}
        async with source("tcp", resolve=flips, **settings) as built:
            return [up(await built.fetch((), None)) for _ in range(50)]

    with Wire(wire.silent) as server:
        assert sorted(run(work(server.port))) == [0] * 25 + [1] * 25
    others = sum(address != "127.0.0.1" for address, _ in CONNECTED)
    figure("connections to refused targets", others, at_most=0, n=50)


def test_f56_certificate_and_host_stay_those_of_the_name(tmp_path: Path) -> None:
    """Though the connection goes to an address: SNI, the certificate's check and the Host header go by the name."""
    authority = Authority(tmp_path)
    names: list[str | None] = []
    hosts: list[str | None] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["host"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Keep standard error clean."""

    context = authority.server("app", "DNS:app.test")
    context.sni_callback = lambda _line, name, _context: names.append(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()

    async def work() -> list[FaultKind | int]:
        client = HttpClient("alerting/test", Flips(["127.0.0.1"]))
        seen: list[FaultKind | int] = []
        for host in ("app.test", "other.test", "127.0.0.1"):
            try:
                url = f"https://{host}:{server.server_port}/"
                seen.append((await client.request("GET", url, verify=authority.file)).status)
            except HttpFailed as failed:
                seen.append(failed.kind)
        await client.close()
        return seen

    try:
        assert run(work()) == [200, FaultKind.TLS, FaultKind.TLS]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert hosts == [f"app.test:{server.server_port}"]
    assert names[:2] == ["app.test", "other.test"]


def test_the_next_address_is_tried_where_one_refuses() -> None:
    """A host with a dead address before a living one is read; a host with dead ones alone is refused once for all."""

    async def work(port: int, *found: str) -> int | FaultKind:
        client = HttpClient("alerting/test", Flips(found))
        try:
            return (await client.request("POST", f"http://app.test:{port}/", body=b"once", deadline=2000)).status
        except HttpFailed as failed:
            return 0 if failed.maybe_taken else failed.kind
        finally:
            await client.close()

    with Hostile(response(b"{}")) as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        assert run(work(port, "127.0.0.3", "127.0.0.2", "127.0.0.1")) == 200
        assert server.connections == 1
        assert run(work(port, "127.0.0.3", "127.0.0.2")) is FaultKind.REFUSED


def test_the_system_gives_each_address_once() -> None:
    """As many as there are, best first; IPv6 without brackets."""
    found = run(SystemResolver()("localhost", 80))
    assert len(found) == len(set(found)) >= 1
    assert all(ip_address(address).is_loopback for address in found)
    with pytest.raises(OSError, match=r"not known|No address"):
        run(SystemResolver()("no-such-host.invalid", 80))
    with pytest.raises(ValueError, match="label"):
        run(SystemResolver()("a" * 64 + ".test", 80))
