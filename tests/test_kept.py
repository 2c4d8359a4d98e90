"""Connections that are kept for the next message: one request an attempt, none on one that is over, none for long."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

from alerting.model import FaultKind
from alerting.net.http import HttpClient, HttpFailed
from alerting.net.kept import IDLE, LIFE, Line, Lines
from alerting.ports import HttpAnswer
from tests.fakes.certificates import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Reset(NamedTuple):
    """Read the request, answer with this much, and break the connection (RST)."""

    answer: bytes = b""


class Close(NamedTuple):
    """Read the request, answer with this much, and close."""

    answer: bytes = b""


class Hang(NamedTuple):
    """Read the request and say nothing."""


Act = bytes | Reset | Close | Hang


ODD = {
    "chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}"),
    "packed": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(b"{}"))
        + gzip.compress(b"{}"),
        200,
        b"{}",
    ),
    "empty by its status": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "empty by its length": (b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", 202, b""),
    "after an interim one": (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, 200, b"{}"),
    "a refusal": (b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nno", 429, b"no"),
    "two cookies": (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\n{}",
        200,
        b"{}",
    ),
    "keeping alive": (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
}


class House:
    """A server that writes down on which connection which request came; acts by a script, then answers well."""

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.requests: list[tuple[int, bytes]] = []  # number of the connection, head and body
        self.connections = self.open = 0
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=200)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await self._server.wait_closed()
        await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Stop listening, and cut what is connected."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def bodies(self) -> list[bytes]:
        return [whole.partition(b"\r\n\r\n")[2] for _, whole in self.requests]

    @property
    def lines(self) -> list[int]:
        """The connections of the requests, in their order."""
        return [number for number, _ in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while await self._one(number, reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()

    async def _one(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        self.requests.append((number, head + await reader.readexactly(int(length.partition(b":")[2]))))
        act = self.script.pop(0) if self.script else OK
        if isinstance(act, Hang):
            await reader.read()
            return False
        writer.write(act if isinstance(act, bytes) else act.answer)
        if isinstance(act, Reset):
            line = writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return isinstance(act, bytes)


async def post(client: HttpClient, house: House, body: bytes = b"{}", **more: Any) -> HttpAnswer | HttpFailed:
    """Make one request on a kept connection."""
    try:
        return await client.request("POST", house.url, body=body, keep=True, **{"deadline": 2_000, **more})
    except HttpFailed as failed:
        return failed


async def refused(client: HttpClient, house: House, **more: Any) -> HttpFailed:
    """Make one request that must fail."""
    found = await post(client, house, **more)
    assert isinstance(found, HttpFailed), found
    return found


def played(story: Callable[[HttpClient, House], Awaitable[None]], *script: Act, **house: Any) -> None:
    """Play a story between one client and one server."""

    async def play() -> None:
        client = HttpClient("alerting/test")
        try:
            async with House(*script, **house) as server:
                await story(client, server)
        finally:
            await client.close()

    asyncio.run(play())


# ------------------------------------------------------------------------------------------- one after another


def test_requests_to_one_place_ride_on_one_connection() -> None:
    """Each with its own headers and body: a secret that was rotated between goes out in its new form."""

    async def story(client: HttpClient, house: House) -> None:
        for number in range(3):
            found = await post(client, house, b"%d" % number * 3, headers={"Authorization": f"Bearer {number}"})
            assert found == HttpAnswer(200, {"content-length": "2"}, b"{}")
        assert house.lines == [1, 1, 1]
        assert house.bodies == [b"000", b"111", b"222"]
        for number, (_, whole) in enumerate(house.requests):
            head = whole.partition(b"\r\n\r\n")[0].split(b"\r\n")
            assert head[0] == b"POST /hook HTTP/1.1"
            assert sorted(line.lower() for line in head[1:]) == [
                b"accept-encoding: gzip",
                b"accept: */*",
                b"authorization: bearer %d" % number,
                b"content-length: 3",
                b"host: 127.0.0.1:%d" % house.port,
                b"user-agent: alerting/test",
            ]

    played(story)


def test_what_is_sent_at_once_has_a_connection_each() -> None:
    """No request waits behind another, and the next ones use what is open."""

    async def story(client: HttpClient, house: House) -> None:
        for _ in range(3):
            await asyncio.gather(*(post(client, house) for _ in range(5)))
        assert Counter(house.lines) == dict.fromkeys(range(1, 6), 3)

    played(story)


def test_a_probe_never_rides() -> None:
    """It has to see that one can connect now."""

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house)
        await client.request("POST", house.url, body=b"")
        await client.request("GET", house.url)
        await client.request("GET", house.url)
        await post(client, house)
        assert house.lines == [1, 2, 3, 4, 1]
        assert all(b"connection: close" in head.lower() for _, head in house.requests[1:4])
        assert house.open == 1

    played(story)


def test_a_probe_says_by_the_short_way_what_it_says_by_the_long_one() -> None:
    """One with parameters goes by httpx: the same fields, and no length of a body that is none."""

    async def story(client: HttpClient, house: House) -> None:
        headers = {"Accept": "text/plain", "Authorization": "Bearer x"}
        await client.request("GET", f"{house.url}?a=%C3%BC&b", headers=headers)
        await client.request("GET", house.url, params=[("a", "ü"), ("b", "")], headers=headers)
        heads = [head.split(b"\r\n") for _, head in house.requests]
        short, long = ({line.lower() for line in lines[1:]} for lines in heads)
        assert short == long
        assert [lines[0] for lines in heads] == [b"GET /hook?a=%C3%BC&b HTTP/1.1", b"GET /hook?a=%C3%BC&b= HTTP/1.1"]

    played(story)


@pytest.mark.parametrize("sort", ODD)
def test_a_probe_reads_every_sort_of_answer(sort: str) -> None:
    """As a message does."""
    answer, status, body = ODD[sort]

    async def story(client: HttpClient, house: House) -> None:
        found = await client.request("GET", house.url, deadline=2_000)
        assert (found.status, found.body) == (status, body)
        assert house.lines == [1]

    played(story, answer)


ENDINGS: dict[str, Act] = {
    "closed without a word": Close(OK),
    "broken without a word": Reset(OK),
    "announced": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "more than an answer": OK + OK,
    "an answer without a length": Close(b"HTTP/1.1 200 OK\r\n\r\n{}"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_f19_a_connection_that_is_over_is_not_used_again(ending: str) -> None:
    """The next request goes out once, on a new one; whether the server said so or simply closed."""

    async def story(client: HttpClient, house: House) -> None:
        for number in range(3):
            found = await post(client, house, b"%d" % number)
            assert isinstance(found, HttpAnswer), found
            assert (found.status, found.body) == (200, b"{}")
            await asyncio.sleep(0.02)
        assert house.lines == [1, 2, 2]
        assert house.bodies == [b"0", b"1", b"2"]

    played(story, ENDINGS[ending])


def test_f19_an_end_that_has_come_and_that_nobody_has_read_yet_is_seen() -> None:
    """The connection is looked at itself, not only what the event loop knows of it by then."""

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            create = asyncio.get_running_loop().create_connection
            for last in (b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"):
                _, line = await create(Line, *listener.getsockname())
                peer = listener.accept()[0]
                assert line.is_fit()
                peer.sendall(last)
                peer.close()  # no await from here on
                assert not line.is_fit()
                line.drop()

    asyncio.run(play())


# ------------------------------------------------------------------------------------------- failures

BROKEN: dict[str, tuple[Act, FaultKind]] = {
    "reset": (Reset(), FaultKind.RESET),
    "closed": (Close(), FaultKind.RESET),
    "reset within the answer": (Reset(OK[:-1]), FaultKind.RESET),
    "closed within the head": (Close(OK[:20]), FaultKind.RESET),
    "closed within the body": (Close(OK[:-1]), FaultKind.RESET),
    "not HTTP": (b"220 hello\r\n\r\n", FaultKind.MALFORMED),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x", FaultKind.MALFORMED),
    "silent": (Hang(), FaultKind.TIMEOUT),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_f19_what_was_written_and_not_answered_may_have_been_taken(fault: str) -> None:
    """On a kept connection as on a new one: unknown, never sent a second time by itself; the next one is new."""
    act, kind = BROKEN[fault]

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house, b"0")
        failed = await refused(client, house, body=b"1", deadline=300)
        assert (failed.kind, failed.maybe_taken) == (kind, True)
        assert isinstance(await post(client, house, b"2"), HttpAnswer)
        assert house.bodies == [b"0", b"1", b"2"]
        assert house.lines == [1, 1, 2]

    played(story, OK, act)


def test_f24_the_deadline_is_of_the_whole_attempt() -> None:
    """An answer that comes byte by byte ends at it too."""

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house)
        began = asyncio.get_running_loop().time()
        failed = await refused(client, house, deadline=200)
        assert failed.kind is FaultKind.TIMEOUT
        assert "the answer began, but did not end" in str(failed)
        assert asyncio.get_running_loop().time() - began < 0.7

    played(story, OK, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")


def test_a_server_that_is_gone_was_sent_nothing() -> None:
    """Its connections are over, and a new one is refused: not taken."""

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house)
        house.stop()
        await asyncio.sleep(0.02)
        failed = await refused(client, house)
        assert (failed.kind, failed.maybe_taken) == (FaultKind.REFUSED, False)
        assert len(house.requests) == 1

    played(story)


def test_after_a_failure_nothing_that_lay_idle_is_used() -> None:
    """The next attempt sees for itself whether one can connect."""

    async def story(client: HttpClient, house: House) -> None:
        await asyncio.gather(*(post(client, house) for _ in range(4)))
        house.script.append(Reset())
        await refused(client, house)
        await post(client, house)
        assert house.lines[-1] == 5
        await asyncio.sleep(0.02)
        assert house.open == 1

    played(story)


def test_f19_one_attempt_is_one_request_whatever_the_server_does() -> None:
    """Eight at a time against a server that closes, breaks and hangs at random: no body comes twice."""
    dice = random.Random(19)
    acts: Sequence[Act] = (OK, OK, OK, OK, Close(OK), Reset(OK), Close(), Reset(), Close(OK[:30]), Hang())
    script = [dice.choice(acts) for _ in range(300)]

    async def story(client: HttpClient, house: House) -> None:
        answered = []

        async def some(first: int) -> None:
            for number in range(first, 240, 8):
                found = await post(client, house, b"%d" % number, deadline=100)
                if isinstance(found, HttpAnswer):
                    answered.append(b"%d" % number)
                else:
                    assert found.maybe_taken

        await asyncio.gather(*map(some, range(8)))
        counts = Counter(house.bodies)
        assert max(counts.values()) == 1
        assert counts.keys() >= set(answered)
        assert len(answered) > 100

    played(story, *script)


# ------------------------------------------------------------------------------------------- answers of every sort


@pytest.mark.parametrize("sort", ODD)
def test_every_sort_of_answer_is_read_and_leaves_the_connection_open(sort: str) -> None:
    """Also where it comes in pieces of a byte."""
    answer, status, body = ODD[sort]

    async def story(client: HttpClient, house: House) -> None:
        for _ in range(2):
            found = await post(client, house)
            assert isinstance(found, HttpAnswer), found
            assert (found.status, found.body) == (status, body)
        assert house.lines == [1, 1]

    played(story, answer, answer)


def test_the_fields_of_an_answer_are_read_as_h11_reads_them() -> None:
    """Names in lower case, values without the space around them, whatever bytes they hold."""

    async def story(client: HttpClient, house: House) -> None:
        plain = await post(client, house)
        odd = await post(client, house)
        assert isinstance(plain, HttpAnswer)
        assert isinstance(odd, HttpAnswer)
        assert plain.headers == {"retry-after": "7", "x": "\xe4 b", "content-length": "2"}
        assert odd.headers == {"retry-after": "7", "x": "\xe4 b", "transfer-encoding": "chunked"}

    fields = b"HTTP/1.1 200\r\nRetry-After:  7 \r\nX:\t\xe4 b\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    played(story, fields + b"Content-Length: 2\r\n\r\n{}", fields + chunks)


@pytest.mark.parametrize("declared", [True, False])
def test_an_answer_that_is_too_long_is_not_read(*, declared: bool) -> None:
    """The limit is exact, whether a length is declared or not."""
    long = b"content-length: 9\r\n\r\n123456789"
    act = b"HTTP/1.1 200 OK\r\n" + (
        long if declared else b"transfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n"
    )

    async def story(client: HttpClient, house: House) -> None:
        assert isinstance(await post(client, house, limit=9), HttpAnswer)
        failed = await refused(client, house, limit=8)
        assert (failed.kind, failed.maybe_taken) == (FaultKind.TOO_LARGE, True)

    played(story, act, act)


def test_what_cannot_be_kept_goes_the_other_way() -> None:
    """A user in the address, and headers about the connection itself."""

    async def story(client: HttpClient, house: House) -> None:
        url = house.url.replace("//", "//ann:secret@")
        assert (await client.request("POST", url, body=b"1", keep=True)).status == 200
        assert (await client.request("POST", house.url, body=b"2", headers={"TE": "x"}, keep=True)).status == 200
        assert house.lines == [1, 2]
        assert b"authorization: Basic YW5uOnNlY3JldA==" in house.requests[0][1]

    played(story)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:99999/", {}),
        ("http://[::1/", {}),
        ("ftp://127.0.0.1/", {}),
        ("http://127.0.0.1:1/", {"x": "a\r\nb: c"}),
        ("http://127.0.0.1:1/", {"x": "€"}),
        ("http://127.0.0.1:1/\n", {}),
    ],
)
def test_what_cannot_be_asked_is_a_failure_that_took_nothing(url: str, headers: dict[str, str]) -> None:
    """As on a connection that is not kept; and its text holds nothing of it."""

    async def story(client: HttpClient, _house: House) -> None:
        with pytest.raises(HttpFailed) as failed:
            await client.request("POST", url, body=b"", headers=headers, keep=True)
        assert (failed.value.kind, failed.value.maybe_taken) == (FaultKind.MALFORMED, False)
        assert "127" not in str(failed.value)

    played(story)


# ------------------------------------------------------------------------------------------- whom it leads to


def test_f56_an_open_connection_admits_nobody_who_may_not_connect() -> None:
    """Whoever may reach less has no part in it; and it is judged again when it is made again."""

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house)
        failed = await refused(client, house, reach=("public",))
        assert (failed.kind, failed.maybe_taken) == (FaultKind.NOT_ALLOWED, False)
        assert house.connections == 1

    played(story)


def test_f56_a_name_that_means_something_else_by_now_changes_no_open_connection() -> None:
    """The address that was judged is the one that is spoken to; one that is refused is never connected to."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async def play() -> None:
        client = HttpClient("alerting/test", resolve)
        async with House() as house:
            url = f"http://some.name:{house.port}/hook"
            for _ in range(3):
                await client.request("POST", url, body=b"", keep=True)
            assert house.lines == [1, 1, 1]
            assert b"host: some.name:%d" % house.port in house.requests[0][1]
            house.script.append(Close())
            with pytest.raises(HttpFailed, match="broke"):
                await client.request("POST", url, body=b"", keep=True)
            with pytest.raises(HttpFailed, match="out of `reach`") as failed:
                await client.request("POST", url, body=b"", keep=True)
            assert not failed.value.maybe_taken
        await client.close()

    asyncio.run(play())


@pytest.mark.parametrize(("stamp", "longest"), [("born", LIFE), ("idle_since", IDLE)])
def test_a_connection_has_its_time(stamp: str, longest: float) -> None:
    """Idle for longer than any server keeps it, or older than what a lookup of its name is worth: it is closed."""

    async def story(_client: HttpClient, house: House) -> None:
        loop, lines = asyncio.get_running_loop(), Lines("alerting/test")
        place = ("http", "127.0.0.1", house.port, None, ())
        for age, fit in ((longest - 0.5, True), (longest, False)):
            _, line = await loop.create_connection(Line, "127.0.0.1", house.port)
            lines.put(place, line)
            setattr(line, stamp, loop.time() - age)
            assert (lines.take(place) is line) is fit
            line.drop()
        assert lines.take(place) is None
        lines.close()

    played(story)


@pytest.mark.slow
def test_what_nobody_uses_is_closed_by_itself() -> None:
    """Within two seconds, without another request."""

    async def story(client: HttpClient, house: House) -> None:
        await asyncio.gather(*(post(client, house) for _ in range(3)))
        assert house.open == 3
        await asyncio.sleep(2 * IDLE + 0.2)
        assert house.open == 0

    played(story)


def test_so_many_are_kept_and_no_more() -> None:
    """A storm to many places holds no socket for each; closing the client leaves none."""

    async def story(client: HttpClient, house: House) -> None:
        await asyncio.gather(*(post(client, house, deadline=10_000) for _ in range(90)))
        await asyncio.sleep(0.05)
        assert house.connections == 90
        assert 60 < house.open <= 64
        await client.close()
        await asyncio.sleep(0.05)
        assert house.open == 0

    played(story)


def test_a_request_that_is_called_off_leaves_no_connection() -> None:
    """Half of an answer may still come on it."""

    async def story(client: HttpClient, house: House) -> None:
        await post(client, house)
        task = asyncio.ensure_future(post(client, house))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert house.open == 0

    played(story, OK, Hang())


def test_tls_is_kept_too_and_ends_with_what_was_trusted(tmp_path: Path) -> None:
    """One handshake serves several; when the file of authorities changes, the server is judged anew."""
    authority = Authority(tmp_path)

    async def story(client: HttpClient, house: House) -> None:
        trusted = tmp_path / "trusted.pem"
        trusted.write_text((tmp_path / "ca.pem").read_text())
        for _ in range(3):
            found = await post(client, house, verify=str(trusted))
            assert isinstance(found, HttpAnswer), found
            assert found.tls_ends is not None
        assert house.lines == [1, 1, 1]
        failed = await refused(client, house)
        assert (failed.kind, failed.maybe_taken) == (FaultKind.TLS, False)
        trusted.write_text((tmp_path / "other.pem").read_text())
        failed = await refused(client, house, verify=str(trusted))
        assert (failed.kind, failed.maybe_taken) == (FaultKind.TLS, False)
        assert len(house.requests) == 3

    authority.server("other", alone=True)
    played(story, tls=authority.server("good"))
