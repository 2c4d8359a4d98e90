"""Bounded HTTP for sources and the webhook: one request, a total deadline, a limit on what is unpacked.

httpx's own timeouts are per read and half a MiB of gzip becomes a GiB, so both limits are put around it here.
Redirects are answers like any other: nobody follows them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, Any

from alerting.errors import AlertingError
from alerting.model import FaultKind
from alerting.ports import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from alerting.model import Millis

_WIRE_CHUNK = 64 * 1024


class HttpFailed(AlertingError):
    """No whole answer. `kind` says why; `maybe_taken` that the server may have acted on the request."""

    def __init__(self, kind: FaultKind, message: str, *, maybe_taken: bool) -> None:
        self.kind = kind
        self.maybe_taken = maybe_taken
        super().__init__(message)


class HttpClient:
    """The Http port over httpx; clients are made when first used, one per TLS setting, and kept."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._clients: dict[object, httpx.AsyncClient] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Sequence[tuple[str, str]] | None = None,
        body: bytes | None = None,
        deadline: Millis = 10_000,
        limit: int = 8 * 1024 * 1024,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
    ) -> HttpAnswer:
        """Make one request. Any status is an answer; anything else raises HttpFailed."""
        client = self._client(verify, cert)
        arguments: dict[str, Any] = {"headers": dict(headers or {}), "content": body}
        if params:
            arguments["params"] = list(params)
        try:
            async with asyncio.timeout(deadline / 1000):
                return await _read(client, method, url, arguments, limit)
        except TimeoutError:
            message = f"no whole answer within {deadline / 1000:g} s"
            raise HttpFailed(FaultKind.TIMEOUT, message, maybe_taken=True) from None

    async def close(self) -> None:
        """Close idle connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, verify: bool | str, cert: tuple[str, str] | None) -> httpx.AsyncClient:
        key = (verify, cert)
        if key not in self._clients:
            self._clients[key] = _new_client(self._user_agent, verify, cert)
        return self._clients[key]


def _new_client(user_agent: str, verify: bool | str, cert: tuple[str, str] | None) -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415  heavy: only processes that speak HTTP pay for it

    context: ssl.SSLContext | bool = verify if isinstance(verify, bool) else True
    if isinstance(verify, str) or cert:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*cert)
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=None,  # noqa: S113  the total deadline above bounds everything
        verify=context,
        trust_env=False,
        headers={"user-agent": user_agent, "accept-encoding": "gzip"},
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=90),
    )


async def _read(client: httpx.AsyncClient, method: str, url: str, arguments: dict[str, Any], limit: int) -> HttpAnswer:
    import httpx  # noqa: PLC0415

    try:
        async with client.stream(method, url, **arguments) as response:
            body = await _body(response, limit)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpAnswer(response.status_code, headers, body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _failed(error) from None


async def _body(response: httpx.Response, limit: int) -> bytes:
    """Read the body while counting what comes out of the unpacking, so that a bomb ends at the limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    unpacker = None
    if encoding in ("gzip", "x-gzip"):
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    elif encoding not in ("", "identity"):
        raise HttpFailed(FaultKind.MALFORMED, f"content-encoding {encoding[:40]!r} is not taken", maybe_taken=True)
    parts: list[bytes] = []
    size = 0
    async for raw in response.aiter_raw(_WIRE_CHUNK):
        piece = unpacker.decompress(raw, limit - size + 1) if unpacker else raw
        size += len(piece)
        if size > limit:
            raise HttpFailed(FaultKind.TOO_LARGE, f"answer is longer than {limit} bytes", maybe_taken=True)
        parts.append(piece)
    if unpacker and not unpacker.eof and size:
        raise HttpFailed(FaultKind.MALFORMED, "packed answer ends too early", maybe_taken=True)
    return b"".join(parts)


def _failed(error: Exception) -> HttpFailed:
    """Name the fault. Texts of the library are left out: they can hold addresses with secrets in them."""
    import httpx  # noqa: PLC0415

    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:  # noqa: PLR2004  no error has a longer chain
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(each, ssl.SSLError) for each in chain):
        reason = next(
            str(getattr(each, "verify_message", "") or getattr(each, "reason", ""))
            for each in chain
            if isinstance(each, ssl.SSLError)
        )
        return HttpFailed(FaultKind.TLS, f"TLS refused: {reason or 'handshake failed'}", maybe_taken=False)
    if any(isinstance(each, socket.gaierror) for each in chain):
        return HttpFailed(FaultKind.DNS, "name not found", maybe_taken=False)
    if isinstance(error, httpx.ConnectError) or any(isinstance(each, ConnectionRefusedError) for each in chain):
        return HttpFailed(FaultKind.REFUSED, "connection refused or not reachable", maybe_taken=False)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return HttpFailed(FaultKind.MALFORMED, "not a usable address", maybe_taken=False)
    if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, OSError)):
        return HttpFailed(FaultKind.RESET, "connection broken before the whole answer came", maybe_taken=True)
    return HttpFailed(FaultKind.MALFORMED, f"{type(error).__name__} while reading the answer", maybe_taken=True)
