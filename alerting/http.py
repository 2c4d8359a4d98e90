"""Bounded HTTP for sources and the webhook: one request, a total deadline, a limit on what is unpacked.

httpx's own timeouts are per read and half a MiB of gzip becomes a GiB, so both limits are put around it here:
nothing takes longer than the deadline, from the first packet to the last byte, and nothing larger than the limit
is held, packed or unpacked. Redirects are answers like any other: nobody follows them. Each request has a
connection of its own: one that the server drops just then would look like a fault of the app, and a new address or
certificate shows at once. Cookies are not kept, proxies and certificates named in the environment are not used: the
settings alone say who is asked.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from alerting.errors import AlertingError, SecretError
from alerting.model import Fault, FaultKind, Secret
from alerting.ports import HttpAnswer
from alerting.reach import OutOfReach, SystemResolver, addresses, trouble_in, trouble_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import httpx

    from alerting.model import Millis
    from alerting.ports import Clock, Http, Resolve

DEADLINE: Millis = 10_000
LIMIT = 8 * 1024 * 1024
_UNUSABLE = "the address or a header in the settings cannot be used"
_CUT = ("disconnected", "closed connection")  # how h11 and httpcore speak of an answer that is not whole
_PORTS = {"http": 80, "https": 443}
_LONGEST_WAIT: Millis = 24 * 3_600_000  # a service that asks for more is not believed

_Tls = tuple[bool | str, tuple[str, str] | None]


class HttpFailed(AlertingError):
    """No whole answer. `kind` says why; `maybe_taken` that the server may have acted on the request."""

    def __init__(self, kind: FaultKind, message: str, *, maybe_taken: bool) -> None:
        self.kind = kind
        self.maybe_taken = maybe_taken
        super().__init__(message)


class HttpClient:
    """The Http port over httpx; clients are made when first used, one per TLS setting, and kept."""

    def __init__(self, user_agent: str, resolve: Resolve | None = None) -> None:
        self._user_agent = user_agent
        self._resolve = resolve or SystemResolver()
        self._clients: dict[_Tls | None, httpx.AsyncClient] = {}

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
        client = self._client((verify, cert) if url[:6].lower() == "https:" else None)
        progress = _Progress()
        arguments: dict[str, Any] = {"headers": dict(headers or {}), "content": body}
        arguments["extensions"] = {"trace": progress, "reach": reach}
        # httpcore closes the socket of a handshake that it ends itself, not of one that is cancelled from outside.
        arguments["timeout"] = (0.9 * deadline / 1000, None, None, None)
        if params:
            arguments["params"] = list(params)
        try:
            async with asyncio.timeout(deadline / 1000):
                return await _read(client, method, url, arguments, limit)
        except _Unusable as error:
            raise HttpFailed(error.kind, str(error), maybe_taken=True) from None
        except OutOfReach as error:
            raise HttpFailed(FaultKind.NOT_ALLOWED, str(error), maybe_taken=False) from None
        except Exception as error:  # noqa: BLE001  httpx, h11, idna and ssl raise many kinds; each is named below
            kind, message = _named(error)
            if kind is FaultKind.TIMEOUT:
                message = f"no whole answer within {deadline / 1000:.3g} s ({progress.phase})"
            taken = progress.sent and message is not _UNUSABLE  # what cannot be used was refused before its first byte
            raise HttpFailed(kind, message, maybe_taken=taken) from None

    async def close(self) -> None:
        """Let go of the clients."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, tls: _Tls | None) -> httpx.AsyncClient:
        """Give the client for a TLS setting; None is plain http, which loads no certificates."""
        if tls not in self._clients:
            try:
                self._clients[tls] = _new_client(self._user_agent, tls, self._resolve)
            except OSError as error:  # ssl.SSLError is one too
                message = f"cannot use the certificate files of the settings: {error.strerror or 'not valid PEM'}"
                raise HttpFailed(FaultKind.TLS, message, maybe_taken=False) from None
        return self._clients[tls]


class _Progress:
    """How far one request has come; httpcore tells, step by step (its `trace` extension).

    This is what makes `maybe_taken` honest: before the first byte of the request went out, nobody took it.
    """

    __slots__ = ("phase", "sent")

    _PHASES = (
        ("connect_tcp.started", "while connecting"),
        ("start_tls.started", "in the TLS handshake"),
        ("send_request_headers.started", "while sending the request"),
        ("receive_response_headers.started", "connected, but no answer came"),
        ("receive_response_body.started", "the answer began, but did not end"),
    )

    def __init__(self) -> None:
        self.phase = "before a connection was free"
        self.sent = False

    async def __call__(self, event: str, _info: object) -> None:
        for end, phase in self._PHASES:
            if event.endswith(end):
                self.phase = phase
                self.sent = self.sent or "request" in end


class _Unusable(Exception):
    """An answer that came, but that cannot be read whole."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class _Judged:
    """A transport that connects to the very address it has judged; certificate and Host stay those of the name."""

    def __init__(self, transport: httpx.AsyncBaseTransport, resolve: Resolve) -> None:
        self._transport = transport
        self._resolve = resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Try the host's addresses in turn, as long as none can be connected to."""
        import httpx  # noqa: PLC0415  loaded by now

        url, extensions = request.url, request.extensions
        host = url.raw_host.decode("ascii")
        extensions["trace"].phase = "while looking the host up"
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(url.scheme)
        found = await addresses(host, url.port or _PORTS[url.scheme], extensions["reach"], self._resolve)
        extensions["trace"].phase = "before a connection was free"
        patience = {**extensions["timeout"], "connect": extensions["timeout"]["connect"] / len(found)}
        request.extensions = {**extensions, "sni_hostname": host, "timeout": patience}
        for address in found[:-1]:
            request.url = url.copy_with(host=address)
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._transport.handle_async_request(request)
        request.url = url.copy_with(host=found[-1])
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._transport.aclose()


def _new_client(user_agent: str, tls: _Tls | None, resolve: Resolve) -> httpx.AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415  httpx loads it anyhow

    import httpx  # noqa: PLC0415  heavy: only processes that speak HTTP pay for it

    for library in ("httpx", "httpcore"):  # they log whole addresses and headers, and ours hold secrets
        logging.getLogger(library).propagate = False
    verify, cert = tls or (False, None)
    context: ssl.SSLContext | bool = bool(verify)
    if isinstance(verify, str) or cert:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*cert)
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    transport = _Judged(httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits), resolve)
    return httpx.AsyncClient(
        transport=cast("httpx.AsyncBaseTransport", transport),  # not a subclass: httpx is loaded late
        follow_redirects=False,
        timeout=None,  # noqa: S113  each request has its deadline
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"user-agent": user_agent, "accept-encoding": "gzip", "connection": "close"},
    )


async def _read(client: httpx.AsyncClient, method: str, url: str, arguments: dict[str, Any], limit: int) -> HttpAnswer:
    async with client.stream(method, url, **arguments) as response:
        expires = _certificate_end(response)  # before the body: the connection ends with it
        body = await _body(response, limit)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpAnswer(response.status_code, headers, body, expires)


async def _body(response: httpx.Response, limit: int) -> bytes:
    """Read the body, counting what comes in and what comes out of the unpacking: a bomb ends at the limit."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    unpacker = None
    if encoding in ("gzip", "x-gzip"):
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    elif encoding not in ("", "identity"):
        raise _Unusable(FaultKind.MALFORMED, f"content-encoding {encoding[:40]!r} was not asked for and is not taken")
    parts: list[bytes] = []
    wire = size = 0
    async for raw in response.aiter_raw():
        wire += len(raw)
        try:
            piece = unpacker.decompress(raw, limit + 1 - size) if unpacker else raw
        except zlib.error:
            raise _Unusable(FaultKind.MALFORMED, "the packed answer is damaged") from None
        size += len(piece)
        if max(size, wire) > limit:
            raise _Unusable(FaultKind.TOO_LARGE, f"the answer is longer than {limit} bytes")
        if unpacker and unpacker.unused_data:
            raise _Unusable(FaultKind.MALFORMED, "something follows the packed answer")
        parts.append(piece)
    if unpacker and wire and not unpacker.eof:
        raise _Unusable(FaultKind.MALFORMED, "the packed answer ends too early")
    return b"".join(parts)


def _certificate_end(response: httpx.Response) -> Millis | None:
    """When the server's certificate ends; None without TLS, or where it was not checked."""
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    return int(ssl.cert_time_to_seconds(str(certificate["notAfter"]))) * 1000 if certificate else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error, what it came from, and what a group holds."""
    for _ in range(10):  # no error has a longer chain
        if error is None:
            return
        yield error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__


def _named(error: Exception) -> tuple[FaultKind, str]:
    """Name the fault. Texts of the library are left out: they can hold addresses with secrets in them."""
    import httpx  # noqa: PLC0415  loaded by now

    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return FaultKind.TIMEOUT, "no whole answer"
    for each in _chain(error):
        if isinstance(each, ssl.SSLError):
            reason = getattr(each, "verify_message", "") or getattr(each, "reason", "") or "handshake failed"
            return FaultKind.TLS, f"TLS refused: {str(reason).replace('_', ' ').lower()}"
        if isinstance(each, socket.gaierror):
            return FaultKind.DNS, "the name of the host is not found"
        if isinstance(each, ConnectionRefusedError):
            return FaultKind.REFUSED, "connection refused: nothing listens there"
        if isinstance(each, (ValueError, OverflowError)):  # a port beyond 65535, a header that is not Latin-1 …
            return FaultKind.MALFORMED, _UNUSABLE
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return FaultKind.MALFORMED, _UNUSABLE
    if isinstance(error, httpx.ConnectError):
        return FaultKind.REFUSED, "the host cannot be reached"
    if isinstance(error, httpx.RemoteProtocolError) and not any(word in str(error) for word in _CUT):
        return FaultKind.MALFORMED, "what came is not HTTP"
    if isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError, OSError)):
        return FaultKind.RESET, "the connection broke before the whole answer came"
    return FaultKind.INTERNAL, f"{type(error).__name__} while the answer was read"


# ------------------------------------------------------------------------------------------- for sources


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
    """Read `Retry-After` (seconds, or an HTTP date); None where it is absent, past or nonsense."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        wait = int(text[:9]) * 1000
    else:
        from email.utils import parsedate_to_datetime  # noqa: PLC0415  heavy and seldom

        try:
            wait = int(parsedate_to_datetime(text).timestamp() * 1000) - now
        except (ValueError, TypeError, OverflowError):
            return None
    return now + min(wait, _LONGEST_WAIT) if wait > 0 else None


class Endpoint:
    """One address that a source reads: asks it and puts every failure into words that name the source."""

    def __init__(
        self,
        http: Http,
        clock: Clock,
        name: str,
        url: str | Secret,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        deadline: Millis = DEADLINE,
        limit: int = LIMIT,
        ca_file: str | Secret | None = None,
        reach: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.clock = clock
        self.url = url
        self._http = http
        self._headers = dict(headers or {})
        self._deadline = deadline
        self._limit = limit
        self._ca_file = ca_file
        self._reach = reach

    async def get(
        self, path: str = "", params: Sequence[tuple[str, str]] = (), deadline: Millis | None = None
    ) -> HttpAnswer | Fault:
        """Make one GET of the address, with `path` appended; any status but a redirect is an answer."""
        return await self.ask("GET", path, params=params, deadline=deadline)

    async def ask(
        self,
        method: str,
        path: str = "",
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        deadline: Millis | None = None,
    ) -> HttpAnswer | Fault:
        """Make one request, as `get` does; `headers` go beside those of the settings."""
        try:
            url = revealed(self.url)
            url = url.rstrip("/") + path if path else url
            headers = {**(headers or {}), **{name: revealed(value) for name, value in self._headers.items()}}
            ca_file = revealed(self._ca_file) if self._ca_file else None
        except SecretError as error:
            return Fault(FaultKind.SECRET, f"{self.name}: {error}")
        if trouble := trouble_with(url) or trouble_in(self._reach):
            return self.fault(FaultKind.MALFORMED, trouble, path)
        try:
            answer = await self._http.request(
                method,
                url,
                headers=headers,
                params=params,
                body=body,
                deadline=deadline or self._deadline,
                limit=self._limit,
                verify=ca_file or True,
                reach=self._reach,
            )
        except HttpFailed as error:
            return self.fault(error.kind, str(error), path)
        if 300 <= answer.status < 400:  # noqa: PLR2004  the redirects, 304 among them: nothing was asked conditionally
            text = f"{answer.status}: it points to another address; redirects are not followed, set the final one"
            return self.fault(FaultKind.REDIRECTED, text, path)
        return answer

    def fault(self, kind: FaultKind, text: str, path: str = "", retry: Millis | None = None) -> Fault:
        """Say what happened, and to which source at which address."""
        where = shown(self.url)
        return Fault(kind, f"{self.name}: {text} ({where.rstrip('/') + path if path else where})", retry)

    def refused(self, answer: HttpAnswer, path: str = "", hints: Mapping[int, str] | None = None) -> Fault:
        """Name the fault that a status outside 200 to 299 stands for; `hints` say what to do about some."""
        status = answer.status
        kind, hint = _STATUS.get(status, (FaultKind.BAD_STATUS, ""))
        if status >= 500:  # noqa: PLR2004  the server's own faults
            kind, hint = FaultKind.SERVER_ERROR, "the service itself fails"
        hint = (hints or {}).get(status, hint)
        text = f"answered {status}{': ' + hint if hint else ''}"
        return self.fault(kind, text, path, retry_at(answer, self.clock.now()))


_STATUS: Mapping[int, tuple[FaultKind, str]] = {
    401: (FaultKind.UNAUTHORIZED, "it wants credentials, or refuses ours; check `headers`"),
    403: (FaultKind.FORBIDDEN, "our credentials are not allowed to read it"),
    404: (FaultKind.NOT_FOUND, "nothing is there; check the path"),
    429: (FaultKind.RATE_LIMITED, "asked too often; raise the interval"),
}
