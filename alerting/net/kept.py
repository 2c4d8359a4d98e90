"""Connections that are kept open from one message to the next, and the requests that ride on them.

For messages, not for probes: a probe must see whether one can connect *now*, so its request comes the same short way,
but on a connection of its own. A message wants to arrive, and thousands to one address cost less over a few
connections. Its law: one attempt is one request, on one connection. Nothing is
ever sent a second time because a connection was stale; so each is looked at before it is used, and is used only while
that look can be believed: it lies idle for a second at most, when no common server has given it up yet. What was
written and not answered may have been taken, as on a new connection.

The address of a connection was judged when it was made (`alerting.net.reach`), and the connection leads nowhere else. A
name is looked up again, and a certificate judged again, after ten seconds. A failure drops all that lie idle for the
same place: the next attempt sees for itself how things stand.

Requests are written by h11, once for all that differ in their bodies only. Answers of the plain sort (one head, a
declared length, nothing packed) are read here; whatever else comes is read by h11 as everywhere.
"""

from __future__ import annotations

import asyncio
import re
import select
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
import httpx

from alerting.net.reach import addresses, call_back, opened
from alerting.net.transport import HEAD_MOST, PORTS, UNUSABLE, Exchange, certificate_end, too_large
from alerting.ports import HttpAnswer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

IDLE = 1.0  # s; gunicorn gives up an idle connection after 2, Node and uvicorn after 5
LIFE = 10.0  # s; then the name is looked up again
_MOST = 64  # connections that lie idle
_HEADS = 2_000  # heads of requests that are remembered: of some hundred bytes each
_NOT_KEPT = frozenset(("connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"))
_PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)+)\r\n"
)
_UNPLAIN = frozenset(("transfer-encoding", "content-encoding", "upgrade"))
_EMPTY = (204, 304)  # no body, whatever the head says

Place = tuple[str, str, int, "ssl.SSLContext | None", tuple[str, ...]]


class Head(NamedTuple):
    """The head of a request up to the value of its last field, which is the length of the body; and where it goes.

    One that is not to be kept is that of a request without a body, and whole.
    """

    method: str
    scheme: str
    host: str
    port: int
    text: bytes
    keeps: bool


class Line(asyncio.Protocol):
    """One connection, and what came on it that nobody has read yet."""

    def __init__(self) -> None:
        self.born = self.idle_since = asyncio.get_running_loop().time()
        self.tls_ends: int | None = None
        self._line: asyncio.Transport
        self._came = b""
        self._over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._poll = select.poll()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._line = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Hold what came."""
        self._came += data
        self._wake()

    def eof_received(self) -> None:
        """Note that the server has said its last byte; the connection closes itself then."""
        self._over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self._over, self._error = True, exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from now on. Raises OSError."""
        line = await asyncio.get_running_loop().start_tls(self._line, self, context, server_hostname=host)
        if line is None:
            raise ConnectionResetError
        if self._came:
            raise h11.RemoteProtocolError("it spoke before it was asked")
        self._line = line
        self.tls_ends = certificate_end(line)

    def write(self, data: bytes) -> None:
        """Send, as fast as it goes."""
        self._line.write(data)

    async def read(self, _most: int = -1, /) -> bytes:
        """Give what came, at once when something did; empty: the server has said its last byte. Raises OSError."""
        if not self._came and not self._over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if not self._came and self._error is not None:
            raise self._error
        came, self._came = self._came, b""
        return came

    def is_fit(self) -> bool:
        """Tell whether another request may go out: it is young, and nothing has come, not even an end."""
        now = asyncio.get_running_loop().time()
        quiet = not (self._came or self._over or self._line.is_closing())
        return quiet and now - self.idle_since < IDLE and now - self.born < LIFE and not self._poll.poll(0)

    def is_at_rest(self) -> bool:
        """Tell whether all that was written is out, and all that came was read."""
        return not (self._came or self._over or self._line.get_write_buffer_size())

    def drop(self) -> None:
        """Close it at once."""
        self._line.abort()

    def call_back(self) -> None:
        """Close it so that what has not arrived yet never does."""
        call_back(self._line)


async def _open(address: str, port: int) -> Line:
    _, line = await asyncio.get_running_loop().create_connection(Line, address, port)
    return line


class Lines:
    """The connections that lie idle, by where they lead, and the heads of requests. For one event loop."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._heads: dict[tuple[object, ...], Head | None] = {}
        self._idle: dict[Place, list[Line]] = {}
        self._count = 0
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, place: Place) -> Line | None:
        """Give one that is fit, the one used last; those that are not are closed."""
        idle = self._idle.get(place)
        while idle:
            line = idle.pop()
            self._count -= 1
            if line.is_fit():
                return line
            line.drop()
        return None

    def put(self, place: Place, line: Line) -> None:
        """Keep one for the next request; close it where enough are kept."""
        if self._count >= _MOST:
            line.drop()
            return
        loop = asyncio.get_running_loop()
        line.idle_since = loop.time()
        self._idle.setdefault(place, []).append(line)
        self._count += 1
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE, self._look)

    def leave(self, place: Place) -> None:
        """Close those that lead to a place."""
        idle = self._idle.pop(place, ())
        self._count -= len(idle)
        for line in idle:
            line.drop()

    def close(self) -> None:
        """Close all."""
        for place in tuple(self._idle):
            self.leave(place)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def head(self, method: str, url: str, headers: Mapping[str, str], *, keep: bool) -> Head | None:
        """Give the head of a request; None where it does not go this way. `keep`: its connection is kept.

        The newest are remembered: messages to one receiver often differ in their bodies only. Raises ValueError and
        h11.LocalProtocolError for what cannot be asked.
        """
        asked = (keep, method, url, *headers.items())
        if asked not in self._heads:
            if len(self._heads) >= _HEADS:
                del self._heads[next(iter(self._heads))]
            self._heads[asked] = _head(method, url, headers, self._user_agent, keep=keep)
        return self._heads[asked]

    def _look(self) -> None:
        """Close those that nobody has used for a while."""
        self._sweep = None
        for place, idle in tuple(self._idle.items()):
            fit = [line for line in idle if line.is_fit()]
            for line in idle:
                if line not in fit:
                    line.drop()
            self._count -= len(idle) - len(fit)
            if fit:
                self._idle[place] = fit
            else:
                del self._idle[place]
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(IDLE, self._look)


def _head(method: str, url: str, headers: Mapping[str, str], user_agent: str, *, keep: bool) -> Head | None:
    where = httpx.URL(url)
    if where.scheme not in PORTS or not where.host:
        raise ValueError(UNUSABLE)
    named = {name.lower(): text for name, text in headers.items()}
    if where.userinfo or not _NOT_KEPT.isdisjoint(named):
        return None
    ours = {"host": where.netloc.decode("ascii"), "accept": "*/*", "accept-encoding": "gzip", "user-agent": user_agent}
    fields = [(name.encode("ascii"), text.encode("ascii")) for name, text in {**ours, **named}.items()]
    fields.append((b"content-length", b"0") if keep else (b"connection", b"close"))
    request = h11.Request(method=method, target=where.raw_path, headers=fields)
    text = h11.Connection(h11.CLIENT).send(request) or b""
    if keep:
        text = text.removesuffix(b"0\r\n\r\n")
    return Head(method, where.scheme, where.raw_host.decode("ascii"), where.port or PORTS[where.scheme], text, keep)


class Ride(Exchange):
    """One request, on a connection that is kept, or made for it, and its answer."""

    async def take(self, lines: Lines, head: Head, body: bytes) -> HttpAnswer:
        """Ask, and read the answer to its end.

        Raises h11.RemoteProtocolError, OutOfReach, UnusableError, OSError.
        """
        place = (head.scheme, head.host, head.port, self.context, tuple(self._reach))
        line = (lines.take(place) if head.keeps else None) or await self._connected(head)
        answered = kept = False
        try:
            self.phase, self.sent = "connected, but no answer came", True
            line.write(b"%b%d\r\n\r\n%b" % (head.text, len(body), body) if head.keeps else head.text)
            answer, keeps = await self._answer(line, head.method)
            answered = True
            kept = head.keeps and keeps and line.is_at_rest()
        except BaseException:
            if head.keeps:
                lines.leave(place)
            raise
        finally:
            if kept:
                lines.put(place, line)
            elif answered:
                line.drop()
            else:
                line.call_back()
        return answer

    async def _connected(self, head: Head) -> Line:
        found = await addresses(head.host, head.port, self._reach, self._resolve)
        self.phase = "while connecting"
        line = await opened(found, head.port, self._deadline, _open)
        try:
            if self.context is not None:
                self.phase = "in the TLS handshake"
                await line.secure(self.context, head.host)
        except BaseException:
            line.drop()
            raise
        return line

    async def _answer(self, line: Line, method: str) -> tuple[HttpAnswer, bool]:
        """Give the answer, and whether the server keeps the connection."""
        came = b""
        while b"\r\n\r\n" not in came and len(came) <= HEAD_MOST:
            more = await line.read()
            came += more
            if not more or method == "HEAD":
                return await self._odd(line, method, came)
        plain = _PLAIN.match(came)
        fields = plain and _fields(plain[2])
        if not plain or not fields or int(plain[1]) in _EMPTY:
            return await self._odd(line, method, came)
        size = int(fields["content-length"])
        if size > self._limit:
            raise too_large(self._limit)
        self._body.take(came[plain.end() : plain.end() + size])
        left = size - len(came) + plain.end()
        self.phase = "the answer began, but did not end"
        while left > 0:
            part = await line.read()
            if not part:
                self.ended = True
                raise ConnectionResetError
            self._body.take(part[:left])
            left -= len(part)
        keeps = left == 0 and fields.get("connection", "keep-alive").lower() == "keep-alive"
        return HttpAnswer(int(plain[1]), fields, self._body.whole(), line.tls_ends), keeps

    async def _odd(self, line: Line, method: str, came: bytes) -> tuple[HttpAnswer, bool]:
        """Read an answer that is not of the plain sort, of which so much came."""
        asked = h11.Request(method=method, target=b"/", headers=[(b"host", b"-"), (b"content-length", b"0")])
        self._line.send(asked)
        self._line.send(h11.EndOfMessage())
        self._feed(came)
        head = await self._read_head(line)
        self.phase = "the answer began, but did not end"
        await self._read_body(line)
        fields = httpx.Headers([field for field in head.headers if field[0] != b"content-encoding"])
        keeps = self._line.their_state is h11.DONE and not self._line.trailing_data[0]
        return HttpAnswer(head.status_code, dict(fields), self._body.whole(), line.tls_ends), keeps


def _fields(text: bytes) -> dict[str, str] | None:
    """Read the fields of a head; None where they are not of the plain sort."""
    fields: dict[str, str] = {}
    lines = text.decode("latin-1").split("\r\n")[:-1]
    for each in lines:
        name, _, value = each.partition(":")
        fields[name.lower()] = value.strip(" \t")
    size = fields.get("content-length", "")
    whole = len(fields) == len(lines) and size.isascii() and size.isdigit() and len(size) < 10  # noqa: PLR2004
    return fields if whole and _UNPLAIN.isdisjoint(fields) else None
