"""What the sources over HTTP share: many targets, credentials, client certificates, the request itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.clock import SystemClock
from alerting.intake import Fetches, Intake, Target
from alerting.model import NO_LABELS, Fault, FaultKind, Labels, Need, Reading, Secret, Section
from alerting.net.endpoint import distinct
from alerting.net.http import HttpClient
from alerting.net.reach import SystemResolver
from alerting.patterns import compile_pattern
from alerting.pool import Pool
from alerting.ports import Tools
from alerting.registry import build_source
from tests.bench.serving import served
from tests.clock import FakeClock, settle
from tests.fakes.app import App
from tests.fakes.certificates import Authority
from tests.fakes.hostile import Hostile, refused_url, response
from tests.fakes.wire import Wire
from tests.sources.reading import DEFAULTS, read, run, up, values

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.figures import Figure


def readings(kind: str, **values: Any) -> list[Reading]:
    """Read each target of an entry once, all at the same time."""

    async def work() -> list[Reading]:
        resolve = SystemResolver()
        tools = Tools(SystemClock(), HttpClient("alerting/test", resolve), Pool, "testhost", "0", print, resolve)
        built = build_source(Section(kind, kind, {**DEFAULTS[kind], **values}), tools)
        found = await asyncio.gather(*(each.fetch((), None) for each in built))
        for each in built:
            await each.close()
        return list(found)

    return run(work())  # type: ignore[no-any-return]


def request_of(kind: str, **values: Any) -> str:
    """Read once from a server that answers with an object and a page in one; give the request as it came."""
    with Hostile(response(b"{}")) as server:
        read(kind, url=server.url, **values)
        (request,) = server.requests
    return request.decode("latin-1")


# ------------------------------------------------------------------------------------------- many targets


def test_each_target_of_a_health_entry_is_read_by_itself() -> None:
    """One fails and the other is read: both under the entry's name, told apart by `target`, in lists of fields too."""
    with App() as app:
        app.set_fields(disks=[{"name": "sda", "used": 91}])
        good, bad = readings("health", targets={"shop": app.health_url, "pay": refused_url()})
    assert (good.namespace, bad.namespace) == ("health", "health")
    assert (good.labels, bad.labels) == (Labels({"target": "shop"}), Labels({"target": "pay"}))
    assert (up(good), up(bad)) == (1, 0)
    assert values(good)['database.status{target="shop"}'] == "ok"
    assert values(good)['disks.used{name="sda",target="shop"}'] == 91
    assert {sample.labels for sample in bad.samples} == {bad.labels}
    assert bad.fault is not None
    assert bad.fault.kind is FaultKind.REFUSED


def test_targets_without_a_name_go_by_their_address() -> None:
    """What may be secret in it is left out; two that look alike then are told apart by a number."""
    with App() as app:
        found = readings("health", targets=[f"{app.health_url}?key=a", f"{app.health_url}?key=b"])
        assert [each.labels.get("target") for each in found] == [app.health_url, f"{app.health_url}#2"]


NAMED = [
    ("apps", "apps: refused", "apps: refused"),
    ("apps/shop", "apps: refused", "apps/shop: refused"),
    ("apps#2", "apps: refused", "apps#2: refused"),
    ("apps/shop", "no answer", "apps/shop: no answer"),
    ("apps/http://a/#2", "apps: refused", "apps/http://a/#2: refused"),
]


@pytest.mark.parametrize(("source", "message", "expected"), NAMED)
def test_a_fault_names_entry_and_target_once(source: str, message: str, expected: str) -> None:
    """Whoever is told that one of a thousand fails reads which."""
    assert Fault(FaultKind.REFUSED, message).told(source) == expected


def test_what_fails_is_told_by_target() -> None:
    """Each target that fails is a fault of its own, called by entry and name."""

    async def work() -> dict[str, str]:
        resolve = SystemResolver()
        tools = Tools(SystemClock(), HttpClient("alerting/test", resolve), Pool, "testhost", "0", print, resolve)
        values = {**DEFAULTS["health"], "targets": {"shop": refused_url(), "pay": refused_url()}}
        targets = [Target(each) for each in build_source(Section("apps", "health", values), tools)]
        intake = Intake(SystemClock(), compile_pattern, str, None, at_once=50, deadline=10_000, lookback=300_000)
        intake.adopt(targets, [Need("apps", "up")])
        await asyncio.gather(*intake.start(["apps"], everyone=False))
        await intake.close()
        return intake.faults

    faults = run(work())
    assert sorted(faults) == ["apps/pay", "apps/shop"]
    assert faults["apps/shop"].startswith("apps/shop: connection refused")


def test_names_are_made_distinct() -> None:
    """The first keeps its name."""
    assert distinct(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]


def test_pages_of_one_entry_are_told_apart_by_instance() -> None:
    """A name becomes `instance`; labels of the entry and of a target go onto every series, `up` included."""
    with App() as app:
        app.answer(200, "a 1\n")
        page = app.metrics_url
        named = readings(
            "prometheus",
            job="node",
            labels={"zone": "a", "tier": "web"},
            targets={"web-1": page, "web-2": {"url": page, "labels": {"zone": "b"}}},
        )
        listed = readings("prometheus", targets=[page, page])
        host = page.removeprefix("http://").partition("/")[0]
    assert [str(each.labels) for each in named] == [
        '{instance="web-1",job="node",tier="web",zone="a"}',
        '{instance="web-2",job="node",tier="web",zone="b"}',
    ]
    assert all(sample.labels == each.labels for each in named for sample in each.samples)
    assert [each.labels.get("instance") for each in listed] == [host, f"{host}#2"]


HONOR = [
    (False, 'a{exported_job="x",instance="i",job="j",zone="z"}'),
    (True, 'a{instance="i",job="x",zone="z"}'),
]


@pytest.mark.parametrize(("honor", "expected"), HONOR)
def test_labels_of_the_page_may_go_first(honor: bool, expected: str) -> None:
    """As Prometheus' honor_labels; `up` is ours in any case."""
    with App() as app:
        app.answer(200, 'a{job="x"} 1\n')
        page = app.metrics_url
        reading = read("prometheus", url=page, job="j", instance="i", labels={"zone": "z"}, honor_labels=honor)
    assert list(values(reading)) == [expected]
    assert reading.samples[0].labels == Labels({"instance": "i", "job": "j", "zone": "z"})


# ------------------------------------------------------------------------------------------- the request

SENT = [
    ({}, ["GET /health HTTP/1.1", "accept-encoding: gzip", "connection: close"]),
    ({"method": "HEAD", "reads": "status"}, ["HEAD /health HTTP/1.1"]),
    (
        {"method": "POST", "body": Secret.literal('{"ä": 1}')},
        ["POST /health HTTP/1.1", "content-length: 9", '{"Ã¤": 1}'],
    ),
    ({"method": "POST"}, ["content-length: 0"]),
    ({"headers": {"Host": "shop.test", "User-Agent": "x"}}, ["host: shop.test", "user-agent: x"]),
    ({"token": Secret.literal("t0ken")}, ["authorization: Bearer t0ken"]),
    ({"username": "acme", "password": Secret.literal("pä:ss")}, ["authorization: Basic YWNtZTpww6Q6c3M="]),
]


@pytest.mark.parametrize(("keys", "expected"), SENT)
def test_what_is_sent(keys: Mapping[str, Any], expected: Sequence[str]) -> None:
    """The method, the body and the headers of the settings; credentials as the server wants them."""
    request = request_of("health", **keys)
    assert [each for each in expected if each not in request] == []
    assert request.lower().count("\r\nhost: ") == 1


def test_a_page_is_asked_for_with_credentials_too() -> None:
    """The same keys for the same thing."""
    assert "authorization: Bearer t0ken" in request_of("prometheus", token=Secret.literal("t0ken"))


@pytest.mark.parametrize("key", ["token", "body"])
def test_a_credential_that_cannot_be_had_is_named(key: str) -> None:
    """Nothing is sent; the fault says what is missing."""
    with Hostile(response(b"{}")) as server:
        reading = read("health", url=server.url, **{key: Secret(lambda: "", "${API_TOKEN}")})
        assert server.connections == 0
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.SECRET
    assert "${API_TOKEN}" in reading.fault.message


ADDRESSES = [
    ("/a b?q=ä&r=%20#top", "/a%20b?q=%C3%A4&r=%20"),
    ("", "/"),
    ("?a=1", "/?a=1"),
    ("/%2F/x;y=1", "/%2F/x;y=1"),
]


@pytest.mark.parametrize(("path", "target"), ADDRESSES)
def test_an_address_goes_out_as_it_stands(path: str, target: str) -> None:
    """What HTTP cannot carry is escaped, what is escaped already stays so; fragments stay here."""
    with Hostile(response(b"{}")) as server:
        read("health", url=server.url.removesuffix("/health") + path)
        assert server.requests[0].decode().startswith(f"GET {target} HTTP/1.1\r\n")


# ------------------------------------------------------------------------------------------- statuses

STATUSES = [
    ("json", None, 503, 1),
    ("json", [200], 503, 0),
    ("json", ["5xx"], 503, 1),
    ("status", None, 204, 1),
    ("status", None, 301, 0),
    ("status", [301, "2xx"], 301, 1),
    ("status", ["4xx"], 404, 1),
    ("status", None, 500, 0),
]


@pytest.mark.parametrize(("reads", "expected", "status", "is_up"), STATUSES)
def test_an_unexpected_status_is_a_value_and_no_fault(
    reads: str, expected: list[int | str] | None, status: int, is_up: int
) -> None:
    """`up` is 0, and `status_code` and what was read stay there; without a wish any JSON is good, or any 2xx."""
    keys = {} if expected is None else {"expect_status": expected}
    body = '{"a": 1}' if reads == "json" else ("" if status in (204, 301) else "<html>")
    with App() as app:
        app.answer(status, body)
        reading = read("health", url=app.health_url, reads=reads, **keys)
    assert reading.fault is None
    assert up(reading) == is_up
    assert values(reading)["status_code"] == status
    assert ("a" in values(reading)) == (reads == "json")


# ------------------------------------------------------------------------------------------- client certificates


def _page(line: socket.socket) -> None:
    while b"\r\n\r\n" not in line.recv(65536):
        pass
    line.sendall(response(b'{"status": "ok"}'))


def test_a_client_certificate_opens_what_asks_for_one(tmp_path: Path) -> None:
    """With the certificate it is read; without, the server refuses; a key with a password is said, never asked for."""
    import ssl
    import subprocess

    authority = Authority(tmp_path)
    context = authority.server("app", "IP:127.0.0.1")
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.server("watcher")
    files = {"cert_file": str(tmp_path / "watcher.pem"), "key_file": str(tmp_path / "watcher.key")}
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((tmp_path / f"watcher.{end}").read_bytes() for end in ("pem", "key")))
    locked = ["openssl", "ec", "-in", "watcher.key", "-out", "locked.key", "-aes128", "-passout", "pass:x"]
    subprocess.run(locked, cwd=tmp_path, check=True, capture_output=True, timeout=30)
    with Wire(_page, context) as server:
        url, trust = f"https://{server.target}/", {"ca_file": authority.file}
        assert read("health", url=url, **trust, **files).fault is None
        assert read("health", url=url, **trust, cert_file=str(both)).fault is None
        bare = read("health", url=url, **trust)
        wrong = read("health", url=url, **trust, **{**files, "key_file": str(tmp_path / "locked.key")})
    assert bare.fault is not None
    assert bare.fault.kind in (FaultKind.TLS, FaultKind.RESET)
    assert wrong.fault is not None
    assert wrong.fault.kind is FaultKind.TLS
    assert "certificate files" in wrong.fault.message


def test_a_renewed_file_counts_at_the_next_request(tmp_path: Path) -> None:
    """Authorities are replaced on disk while the program runs, as certificates with short lives are."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text((tmp_path / "old" / "ca.pem").read_text())

    async def work(url: str) -> list[str]:
        client = HttpClient("alerting/test")
        seen = []
        for renewed in (False, True):
            if renewed:
                trusted.write_text((tmp_path / "new" / "ca.pem").read_text())
            try:
                seen.append(str((await client.request("GET", url, verify=str(trusted))).status))
            except Exception as error:  # noqa: BLE001  its words are what counts
                seen.append(str(error))
        return seen

    with Wire(_page, new.server("app", "IP:127.0.0.1")) as server:
        refused, taken = run(work(f"https://{server.target}/"))
    assert "TLS refused" in refused
    assert taken == "200"
    assert old.file != new.file


# ------------------------------------------------------------------------------------------- places for fetches


class Slow:
    """A source that hangs, or answers at once; counts how many of its kind are read at the same time."""

    namespace = "n"
    running = most = 0

    def __init__(self, name: str, clock: FakeClock, *, hangs: bool) -> None:
        self.name = name
        self._clock = clock
        self._hangs = hangs

    async def fetch(self, needs: object, since: object) -> Reading:
        Slow.running += 1
        Slow.most = max(Slow.most, Slow.running)
        try:
            await self._clock.sleep(1_000_000 if self._hangs else 10)
            return Reading(self.name, "n", self._clock.now())
        finally:
            Slow.running -= 1

    async def close(self) -> None:
        """Nothing to let go of."""


def test_f34_f43_those_that_hung_leave_room_for_the_others(figure: Figure) -> None:
    """200 targets hang and 20 do not, 50 places: never more than 50 at once, and the others wait for no hung one."""
    Slow.running = Slow.most = 0

    async def work() -> tuple[int, list[int]]:
        clock = FakeClock()
        times: list[int] = []

        def take(target: Target, reading: Reading) -> None:
            if reading.fault is None:
                times.append(clock.monotonic())

        fetches = Fetches(clock, str, take, lambda _: NO_LABELS, at_once=50, deadline=10_000)
        bad = [Target(Slow(f"bad{n}", clock, hangs=True)) for n in range(200)]
        good = [Target(Slow(f"good{n}", clock, hangs=False)) for n in range(20)]
        for each in (*bad, *good):
            fetches.start(each, (), None)
        await clock.advance(60_000)
        first = len(times)
        times.clear()
        began = clock.monotonic()
        for each in (*bad, *good):
            fetches.start(each, (), None)
        await clock.advance(1_000)
        await fetches.close()
        await settle()
        return first, [at - began for at in times]

    first, lags = run(work())
    assert first == 20
    figure("fetches at once", Slow.most, at_most=50, n=220, row="F34")
    assert Slow.most == 50
    assert lags == [10] * 20


@pytest.mark.slow
def test_f43_20_of_200_endpoints_hang_and_the_others_are_on_time(figure: Figure) -> None:
    """Once it is known who hangs, the others are read at most 250 ms later than without them, in 99 of 100 cases."""

    async def latest(address: str, hanging: int) -> int:
        clock, resolve = SystemClock(), SystemResolver()
        lags: list[int] = []
        began = clock.monotonic()
        tools = Tools(clock, HttpClient("alerting/test", resolve), Pool, "testhost", "0", print, resolve)
        names = [*(f"hang{number}" for number in range(hanging)), *(f"t{number}" for number in range(180))]
        values = {**DEFAULTS["health"], "targets": {name: f"{address}/{name}" for name in names}}

        def take(_target: Target, reading: Reading) -> None:
            if reading.fault is None:
                lags.append(clock.monotonic() - began)

        fetches = Fetches(clock, str, take, lambda _: NO_LABELS, at_once=50, deadline=10_000)
        targets = [Target(each) for each in build_source(Section("apps", "health", values), tools)]
        for turn in range(6):
            began = clock.monotonic()
            for each in targets:
                fetches.start(each, (), None)
            await asyncio.sleep(1)
            if turn == 2:  # the hanging ones are known by now: their deadline is 2 s
                lags.clear()
        await fetches.close()
        assert len(lags) == 3 * 180
        return sorted(lags)[int(len(lags) * 0.99)]

    with served("tests.bench.probes") as address:
        later = []
        while len(later) < 3 and (not later or later[-1] > 250):  # a busy machine may fall into one of the two
            alone = run(latest(address, 0))
            later.append(run(latest(address, 20)) - alone)
    figure("lag of the others p99", max(0, later[-1]), at_most=250, n=3 * 180, unit="ms", timed=True)
