"""The transport under httpx: one request on a connection of its own, by h11 over asyncio's streams, within bounds.

httpx's own transport pools connections, reads without a total deadline and unpacks without a limit. A probe that rides
on an old connection does not see that nobody can connect any more, nor a new address or certificate; and one that the
server drops just then would look like a fault of the app, or make a POST happen twice. So each request has a
connection of its own here, to an address that was judged (`alerting.net.reach`), and what comes is counted as it comes.
"""

from __future__ import annotations

import logging
import ssl
import zlib
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

import h11
import httpx

from alerting.model import FaultKind
from alerting.net.reach import addresses, connected, unconnected

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from typing import Protocol

    from alerting.model import Millis
    from alerting.ports import Resolve

    class Reads(Protocol):
        """What an answer is read from."""

        async def read(self, n: int = -1, /) -> bytes:
            """Give what came; empty: nothing more will."""
            ...


UNUSABLE = "the address or a header in the settings cannot be used"
HEAD_MOST = 64 * 1024  # bytes of a head, and of all that may come before the answer proper
_CHUNK = 64 * 1024
PORTS = {"http": 80, "https": 443}


def new_client(user_agent: str) -> httpx.AsyncClient:
    """Make the client: our transport, no redirects, no cookies, nothing from the environment."""
    logging.getLogger("httpx").propagate = False  # it writes addresses, which may hold secrets, at INFO
    return _Client(
        transport=BoundedTransport(),
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": user_agent, "accept-encoding": "gzip", "connection": "close"},
    )


class _NoCookies(httpx.Cookies):
    """Keeps none. A jar that refuses each of them would take a twentieth of the CPU of a request to say so."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them in the answer."""


class _Client(httpx.AsyncClient):
    """httpx's client without a cookie jar."""

    _none = _NoCookies()

    @property  # type: ignore[misc]  # httpx's can be set; nobody may set this one
    def cookies(self) -> httpx.Cookies:
        """Give none."""
        return self._none


class BoundedTransport(httpx.AsyncBaseTransport):
    """Runs the Exchange that comes with a request in its extensions."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Give the whole answer."""
        exchange: Exchange = request.extensions["exchange"]
        return await exchange.run(request)


class UnusableError(Exception):
    """An answer that came, but that cannot be read whole; or certificate files that are none."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Exchange:
    """One request and its answer, and how far they have come.

    That is what makes `maybe_taken` honest: before the first byte of the request went out, nobody took it.
    """

    def __init__(self, deadline: Millis, limit: int, reach: Sequence[str], resolve: Resolve) -> None:
        self.phase = "while looking the host up"
        self.sent = False
        self.ended = False  # the server has said its last byte
        self.context: ssl.SSLContext | None = None  # of TLS
        self.tls_ends: Millis | None = None  # when the server's certificate ends
        self._deadline = deadline
        self._limit = limit
        self._reach = reach
        self._resolve = resolve
        self._body = _Body(limit)

    @cached_property
    def _line(self) -> h11.Connection:
        """What reads and writes HTTP; made when it is needed."""
        return h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MOST)

    async def run(self, request: httpx.Request) -> httpx.Response:
        """Look up, connect, ask, and read the answer to its end.

        Raises ValueError and h11.LocalProtocolError for what cannot be asked, OutOfReach, UnusableError, OSError.
        """
        url = request.url
        if url.scheme not in PORTS or not url.host:
            raise ValueError(UNUSABLE)
        host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        wire = self._written(request)
        found = await addresses(host, port, self._reach, self._resolve)
        self.phase = "while connecting"
        async with connected(found, port, self._deadline) as (reader, writer):
            if self.context is not None:
                self.phase = "in the TLS handshake"
                await writer.start_tls(self.context, server_hostname=host)
            self.phase, self.sent = "connected, but no answer came", True
            writer.write(wire)
            head = await self._read_head(reader)
            self.phase = "the answer began, but did not end"
            await self._read_body(reader)
            self.tls_ends = certificate_end(writer)
        fields = [field for field in head.headers if field[0] != b"content-encoding"]  # it is unpacked already
        body = httpx.ByteStream(self._body.whole())  # given as `content`, httpx would add a length that nobody declared
        return httpx.Response(head.status_code, headers=fields, stream=body)

    def _written(self, request: httpx.Request) -> bytes:
        """Give the bytes of a request. Raises h11.LocalProtocolError for what cannot be written."""
        fields = [(name.lower(), value) for name, value in request.headers.raw]
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=fields)
        body = request.content
        events = [head, *([h11.Data(body)] if body else ()), h11.EndOfMessage()]
        return b"".join(self._line.send(event) or b"" for event in events)

    async def _read_head(self, reader: Reads) -> h11.Response:
        """Pass over interim answers, as far as they go, until the answer proper begins."""
        came = 0
        while not isinstance(event := self._line.next_event(), h11.Response):
            if event is h11.NEED_DATA and came > HEAD_MOST:
                raise UnusableError(FaultKind.MALFORMED, f"{HEAD_MOST} bytes came, and no answer began")
            if event is h11.NEED_DATA:
                came += await self._more(reader)
            elif not isinstance(event, h11.InformationalResponse):
                text = "it would speak another protocol; leave `Upgrade` out of `headers`"
                raise UnusableError(FaultKind.MALFORMED, text)
        self._body.unpack(_encoding(event))
        return event

    async def _read_body(self, reader: Reads) -> None:
        while not isinstance(event := self._line.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                self._body.take(event.data)
            else:
                await self._more(reader)

    async def _more(self, reader: Reads) -> int:
        """Wait for more bytes; give how many came."""
        data = await reader.read(_CHUNK)
        self._feed(data)
        return len(data)

    def _feed(self, data: bytes) -> None:
        """Take what came; nothing: it was the end."""
        self.ended = not data
        self._line.receive_data(data)


class _Body:
    """A body in the making: what comes in is counted, and what unpacking makes of it: a bomb ends at the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._whole = BytesIO()  # gives up what it holds without a copy, as a list of parts would not
        self._wire = self._size = 0
        self._unpacker: zlib._Decompress | None = None

    def unpack(self, encoding: str) -> None:
        """Take what comes as packed so. Raises UnusableError for what was not asked for."""
        if encoding in ("gzip", "x-gzip"):
            self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif encoding not in ("", "identity"):
            text = f"content-encoding {encoding[:40]!r} was not asked for and is not taken"
            raise UnusableError(FaultKind.MALFORMED, text)

    def take(self, raw: bytes) -> None:
        """Add what came. Raises UnusableError."""
        unpacker = self._unpacker
        self._wire += len(raw)
        if unpacker is None:
            self._add(raw)
            return
        try:
            piece = unpacker.decompress(raw, _CHUNK)
            self._add(piece)
            while len(piece) == _CHUNK and not unpacker.eof:  # there may be more in what came
                piece = unpacker.decompress(unpacker.unconsumed_tail, _CHUNK)
                self._add(piece)
        except zlib.error:
            raise UnusableError(FaultKind.MALFORMED, "the packed answer is damaged") from None
        if unpacker.unused_data:
            raise UnusableError(FaultKind.MALFORMED, "something follows the packed answer")

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if max(self._size, self._wire) > self._limit:
            raise too_large(self._limit)
        self._whole.write(piece)

    def whole(self) -> bytes:
        """Give what came, unpacked. Raises UnusableError where that is not all."""
        if self._unpacker and self._wire and not self._unpacker.eof:
            raise UnusableError(FaultKind.MALFORMED, "the packed answer ends too early")
        return self._whole.getvalue()


def too_large(limit: int) -> UnusableError:
    """Give the error for an answer that is longer than so many bytes."""
    return UnusableError(FaultKind.TOO_LARGE, f"the answer is longer than {limit} bytes")


def _encoding(response: h11.Response) -> str:
    """Give how the body is packed; empty: it is not."""
    found = [value for name, value in response.headers if name == b"content-encoding"]
    return b", ".join(found).decode("latin-1").strip().lower()


def certificate_end(line: asyncio.StreamWriter | asyncio.Transport) -> Millis | None:
    """When the server's certificate ends; None without TLS, or where it was not checked."""
    tls = line.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    return int(ssl.cert_time_to_seconds(str(certificate["notAfter"]))) * 1000 if certificate else None


def named(error: Exception, *, ended: bool) -> tuple[FaultKind, str]:
    """Name the fault. Texts of libraries are left out: they can hold addresses with secrets in them."""
    if (found := unconnected(error)) is not None:
        return found
    match error:
        case TimeoutError():
            return FaultKind.TIMEOUT, "no whole answer"
        case h11.RemoteProtocolError() if not ended:
            return FaultKind.MALFORMED, "what came is not HTTP"
        case ConnectionError() | h11.RemoteProtocolError():
            return FaultKind.RESET, "the connection broke before the whole answer came"
        case OSError():
            return FaultKind.REFUSED, "the host cannot be reached"
        case ValueError() | OverflowError() | h11.LocalProtocolError() | httpx.InvalidURL():  # a port beyond 65535 …
            return FaultKind.MALFORMED, UNUSABLE
    return FaultKind.INTERNAL, f"{type(error).__name__} while the answer was read"
