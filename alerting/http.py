"""Bounded HTTP for sources, the webhook and heartbeats: one request, a total deadline, a limit on what is unpacked.

HTTP/1.1 by h11 over asyncio's streams, with no client library between: what such a library adds (pools, redirects,
cookies, proxies, certificates named in the environment) is what must not happen here, and costs several times as
much as the request. Its law: nothing takes longer than the deadline, from the lookup of the name to the last byte;
nothing larger than the limit is held, packed or unpacked; the settings alone say who is asked.

Each request has a connection of its own. A probe that rides on an old connection does not see that nobody can connect
any more, nor a new address or certificate; and one that the server drops just then would look like a fault of the
app, or make a POST happen twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from alerting.errors import AlertingError
from alerting.model import FaultKind, Secret
from alerting.ports import HttpAnswer
from alerting.reach import OutOfReach, SystemResolver, addresses, connected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import h11

    from alerting.model import Millis
    from alerting.ports import Resolve

DEADLINE: Millis = 10_000
LIMIT = 8 * 1024 * 1024
_HEAD = 64 * 1024  # bytes of a head, and of all that may come before the answer proper
_CHUNK = 64 * 1024
_UNUSABLE = "the address or a header in the settings cannot be used"
_PORTS = {"http": 80, "https": 443}
_KEPT = "%/:?@!$&'()*+,;=~"  # of an address as it stands in the settings: what is escaped already stays so
_LONGEST_WAIT: Millis = 24 * 3_600_000  # a service that asks for more is not believed

_Files = tuple[bool | str, tuple[str, str] | None]


class HttpFailed(AlertingError):
    """No whole answer. `kind` says why; `maybe_taken` that the server may have acted on the request."""

    def __init__(self, kind: FaultKind, message: str, *, maybe_taken: bool) -> None:
        self.kind = kind
        self.maybe_taken = maybe_taken
        super().__init__(message)


class HttpClient:
    """The Http port. It keeps nothing from one request to the next but what TLS needs."""

    def __init__(self, user_agent: str, resolve: Resolve | None = None) -> None:
        self._user_agent = user_agent
        self._resolve = resolve or SystemResolver()
        self._contexts: dict[_Files, tuple[Sequence[int], ssl.SSLContext]] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Sequence[tuple[str, str]] | None = None,
        body: bytes | None = None,
        deadline: Millis = DEADLINE,
        limit: int = LIMIT,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        reach: Sequence[str] = (),
    ) -> HttpAnswer:
        """Make one request. Any status is an answer; anything else raises HttpFailed."""
        exchange = _Exchange(deadline, limit)
        try:
            async with asyncio.timeout(deadline / 1000):
                place = _Place.of(url, params)
                wire = exchange.request(method, place, {"user-agent": self._user_agent, **(headers or {})}, body)
                context = self._context(verify, cert) if place.secure else None
                found = await addresses(place.host, place.port, reach, self._resolve)
                return await exchange.run(wire, place, found, context)
        except _Unusable as error:
            raise HttpFailed(error.kind, str(error), maybe_taken=exchange.sent) from None
        except OutOfReach as error:
            raise HttpFailed(FaultKind.NOT_ALLOWED, str(error), maybe_taken=False) from None
        except Exception as error:  # noqa: BLE001  h11, idna and ssl raise many kinds; each is named below
            kind, message = _named(error, ended=exchange.ended)
            if kind is FaultKind.TIMEOUT:
                message = f"no whole answer within {deadline / 1000:.3g} s ({exchange.phase})"
            raise HttpFailed(kind, message, maybe_taken=exchange.sent) from None

    async def close(self) -> None:
        """Nothing is open between requests."""

    def _context(self, verify: bool | str, cert: tuple[str, str] | None) -> ssl.SSLContext:
        """Give what TLS needs for these files, made anew when one of them has changed. Raises _Unusable."""
        files = [*([verify] if isinstance(verify, str) else ()), *(cert or ())]
        try:
            changed = [os.stat(file).st_mtime_ns for file in files]  # noqa: PTH116  paths as text
            known = self._contexts.get((verify, cert))
            if known is None or known[0] != changed:
                known = self._contexts[verify, cert] = changed, _new_context(verify, cert)
        except OSError as error:  # ssl.SSLError is one too
            text = f"cannot use the certificate files of the settings: {error.strerror or 'not valid PEM'}"
            raise _Unusable(FaultKind.TLS, text) from None
        return known[1]


class _Unusable(Exception):
    """An answer that came, but that cannot be read whole; or certificate files that are none."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class _Place(NamedTuple):
    """Where a request goes."""

    secure: bool
    host: str
    port: int
    authority: str  # as the header Host has it
    target: str

    @classmethod
    def of(cls, url: str, params: Sequence[tuple[str, str]] | None) -> _Place:
        """Read an address. Raises ValueError."""
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in _PORTS or not host or not url.isprintable():
            raise ValueError(_UNUSABLE)
        if not host.isascii():
            import idna  # noqa: PLC0415  few hosts need it

            host = idna.encode(host, uts46=True).decode()
        port = parts.port or _PORTS[parts.scheme]
        shown = f"[{host}]" if ":" in host else host
        query = "&".join(part for part in (quote(parts.query, _KEPT), urlencode(params or (), quote_via=quote)) if part)
        return cls(
            parts.scheme == "https",
            host,
            port,
            shown if port == _PORTS[parts.scheme] else f"{shown}:{port}",
            (quote(parts.path, _KEPT) or "/") + (f"?{query}" if query else ""),
        )


class _Exchange:
    """One request and its answer, and how far they have come.

    That is what makes `maybe_taken` honest: before the first byte of the request went out, nobody took it.
    """

    def __init__(self, deadline: Millis, limit: int) -> None:
        import h11  # noqa: PLC0415  only processes that speak HTTP pay for it

        self.phase = "while looking the host up"
        self.sent = False
        self.ended = False  # the server has said its last byte
        self._deadline = deadline
        self._body = _Body(limit)
        self._line = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)

    def request(self, method: str, place: _Place, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """Give the bytes of a request. Raises h11.LocalProtocolError and ValueError for what cannot be written."""
        import h11  # noqa: PLC0415  loaded by now

        fields = {"host": place.authority, "accept": "*/*", "accept-encoding": "gzip", "connection": "close"}
        fields |= {name.lower(): value for name, value in headers.items()}
        if body is not None or method in ("POST", "PUT", "PATCH"):
            fields["content-length"] = str(len(body or b""))
        written = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
        parts = [h11.Request(method=method, target=place.target, headers=written)]
        events = [*parts, *([h11.Data(body)] if body else ()), h11.EndOfMessage()]
        return b"".join(self._line.send(event) or b"" for event in events)

    async def run(self, wire: bytes, place: _Place, found: Sequence[str], context: ssl.SSLContext | None) -> HttpAnswer:
        """Connect, ask, and read the answer to its end."""
        self.phase = "while connecting"
        async with connected(found, place.port, self._deadline) as (reader, writer):
            if context is not None:
                self.phase = "in the TLS handshake"
                await writer.start_tls(context, server_hostname=place.host)
            self.phase, self.sent = "connected, but no answer came", True
            writer.write(wire)
            head = await self._read_head(reader)
            self.phase = "the answer began, but did not end"
            await self._read_body(reader)
            headers = _headers(head)
            return HttpAnswer(head.status_code, headers, self._body.whole(), _certificate_end(writer))

    async def _read_head(self, reader: asyncio.StreamReader) -> h11.Response:
        """Pass over interim answers, as far as they go, until the answer proper begins."""
        import h11  # noqa: PLC0415  loaded by now

        came = 0
        while not isinstance(event := self._line.next_event(), h11.Response):
            if event is h11.NEED_DATA and came > _HEAD:
                raise _Unusable(FaultKind.MALFORMED, f"{_HEAD} bytes came, and no answer began")
            if event is h11.NEED_DATA:
                came += await self._more(reader)
            elif not isinstance(event, h11.InformationalResponse):
                text = "it would speak another protocol; leave `Upgrade` out of `headers`"
                raise _Unusable(FaultKind.MALFORMED, text)
        self._body.unpack(_headers(event).get("content-encoding", "").strip().lower())
        return event

    async def _read_body(self, reader: asyncio.StreamReader) -> None:
        import h11  # noqa: PLC0415  loaded by now

        while not isinstance(event := self._line.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                self._body.take(event.data)
            else:
                await self._more(reader)

    async def _more(self, reader: asyncio.StreamReader) -> int:
        """Wait for more bytes; give how many came."""
        data = await reader.read(_CHUNK)
        self.ended = not data
        self._line.receive_data(data)
        return len(data)


class _Body:
    """A body in the making: what comes in is counted, and what unpacking makes of it: a bomb ends at the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._wire = self._size = 0
        self._unpacker: zlib._Decompress | None = None

    def unpack(self, encoding: str) -> None:
        """Take what comes as packed so. Raises _Unusable for what was not asked for."""
        if encoding in ("gzip", "x-gzip"):
            self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif encoding not in ("", "identity"):
            text = f"content-encoding {encoding[:40]!r} was not asked for and is not taken"
            raise _Unusable(FaultKind.MALFORMED, text)

    def take(self, raw: bytes) -> None:
        """Add what came. Raises _Unusable."""
        unpacker, limit = self._unpacker, self._limit
        self._wire += len(raw)
        try:
            piece = unpacker.decompress(raw, limit + 1 - self._size) if unpacker else bytes(raw)
        except zlib.error:
            raise _Unusable(FaultKind.MALFORMED, "the packed answer is damaged") from None
        self._size += len(piece)
        if max(self._size, self._wire) > limit:
            raise _Unusable(FaultKind.TOO_LARGE, f"the answer is longer than {limit} bytes")
        if unpacker and unpacker.unused_data:
            raise _Unusable(FaultKind.MALFORMED, "something follows the packed answer")
        self._parts.append(piece)

    def whole(self) -> bytes:
        """Give what came, unpacked. Raises _Unusable where that is not all."""
        if self._unpacker and self._wire and not self._unpacker.eof:
            raise _Unusable(FaultKind.MALFORMED, "the packed answer ends too early")
        return b"".join(self._parts)


def _headers(response: h11.Response) -> dict[str, str]:
    """Give the headers by their names in lower case; of a repeated one all values, joined as RFC 9110 has it."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _new_context(verify: bool | str, cert: tuple[str, str] | None) -> ssl.SSLContext:
    """Make what TLS needs. Raises OSError."""
    import certifi  # noqa: PLC0415  only who speaks TLS needs it

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(*cert, password=lambda: b"")  # or OpenSSL would ask for one at the terminal
    return context


def _certificate_end(writer: asyncio.StreamWriter) -> Millis | None:
    """When the server's certificate ends; None without TLS, or where it was not checked."""
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    return int(ssl.cert_time_to_seconds(str(certificate["notAfter"]))) * 1000 if certificate else None


def _named(error: Exception, *, ended: bool) -> tuple[FaultKind, str]:
    """Name the fault. Texts of libraries are left out: they can hold addresses with secrets in them."""
    import h11  # noqa: PLC0415  loaded by now

    match error:
        case TimeoutError():
            return FaultKind.TIMEOUT, "no whole answer"
        case ssl.SSLError():
            reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            return FaultKind.TLS, f"TLS refused: {str(reason).replace('_', ' ').lower()}"
        case socket.gaierror():
            return FaultKind.DNS, "the name of the host is not found"
        case ConnectionRefusedError():
            return FaultKind.REFUSED, "connection refused: nothing listens there"
        case h11.RemoteProtocolError() if not ended:
            return FaultKind.MALFORMED, "what came is not HTTP"
        case ConnectionError() | h11.RemoteProtocolError():
            return FaultKind.RESET, "the connection broke before the whole answer came"
        case OSError():
            return FaultKind.REFUSED, "the host cannot be reached"
        case ValueError() | h11.LocalProtocolError():  # a port beyond 65535, a header with a line break …
            return FaultKind.MALFORMED, _UNUSABLE
    return FaultKind.INTERNAL, f"{type(error).__name__} while the answer was read"


# ------------------------------------------------------------------------------------------- what callers share


def shown(url: str | Secret) -> str:
    """Give an address as people may see it: no user, password, query or fragment; a secret one by its label."""
    if isinstance(url, Secret):
        return url.label
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def revealed(value: str | Secret) -> str:
    """Give the text itself. Raises SecretError."""
    return value.reveal() if isinstance(value, Secret) else value


def retry_at(answer: HttpAnswer, now: Millis) -> Millis | None:
    """Read `Retry-After` (seconds, or an HTTP date); None where it is absent, past or nonsense.

    A date is compared with the service's own `Date`, where it sent one: our clock may be wrong.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        wait = int(text[:9]) * 1000
    else:
        date = _date_of(text)
        if date is None:
            return None
        theirs = _date_of(answer.headers.get("date", ""))
        wait = date - (now if theirs is None else theirs)
    return now + min(wait, _LONGEST_WAIT) if wait > 0 else None


def _date_of(text: str) -> Millis | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  heavy and seldom

    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
