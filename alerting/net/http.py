"""Bounded HTTP for sources, the webhook and heartbeats: one request, a total deadline, a limit on what is unpacked.

The one factory of the httpx client. httpx says what a request and an answer are; our own transport under it
(`alerting.net.transport`) carries them within bounds, since httpx's timeouts are per read and half a MiB of gzip
becomes a GiB in it. Messages, and GETs that are plain, go a shorter way by the same rules (`alerting.net.kept`).

Its law: nothing takes longer than the deadline, from the lookup of the name to the last byte; nothing larger than the
limit is held, packed or unpacked; no redirect is followed, no cookie kept, no proxy taken from the environment: the
settings alone say who is asked.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alerting.errors import AlertingError
from alerting.model import FaultKind, Secret
from alerting.net.reach import OutOfReach, SystemResolver
from alerting.ports import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from alerting.model import Millis
    from alerting.net.kept import Lines
    from alerting.ports import Resolve

DEADLINE: Millis = 10_000
LIMIT = 8 * 1024 * 1024
_LONGEST_WAIT: Millis = 24 * 3_600_000  # a service that asks for more is not believed

_Files = tuple[bool | str, tuple[str, str] | None]


class HttpFailed(AlertingError):
    """No whole answer. `kind` says why; `maybe_taken` that the server may have acted on the request."""

    def __init__(self, kind: FaultKind, message: str, *, maybe_taken: bool) -> None:
        self.kind = kind
        self.maybe_taken = maybe_taken
        super().__init__(message)


class HttpClient:
    """The Http port. From one request to the next it keeps what TLS needs and, where asked to, connections."""

    def __init__(self, user_agent: str, resolve: Resolve | None = None) -> None:
        self._user_agent = user_agent
        self._resolve = resolve or SystemResolver()
        self._contexts: dict[_Files, tuple[Sequence[int], ssl.SSLContext]] = {}
        self._made: httpx.AsyncClient | None = None
        self._kept: Lines | None = None

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
        keep: bool = False,
    ) -> HttpAnswer:
        """Make one request. Any status is an answer; anything else raises HttpFailed.

        `keep`: on a connection that is kept open for the next one (`alerting.net.kept`).
        """
        from alerting.net.kept import Ride  # noqa: PLC0415  only who speaks HTTP pays for it
        from alerting.net.transport import UnusableError, named  # noqa: PLC0415  as above

        exchange = Ride(deadline, limit, reach, self._resolve)
        try:
            async with asyncio.timeout(deadline / 1000):
                if url.lower().startswith("https:"):
                    exchange.context = self._context(verify, cert)
                short = not params and (keep or (method == "GET" and body is None))
                if short and (head := self._lines().head(method, url, headers or {}, keep=keep)):
                    return await exchange.take(self._lines(), head, body or b"")
                client = self._client()
                request = client.build_request(
                    method,
                    url,
                    headers=dict(headers or {}),
                    params=list(params) if params else None,
                    content=body,
                    extensions={"exchange": exchange},
                )
                response = await client.send(request)
                del response.stream  # which holds the answer: it would stay, with its body, until the collector runs
                return HttpAnswer(response.status_code, dict(response.headers), response.content, exchange.tls_ends)
        except UnusableError as error:
            _untrace(error)
            raise HttpFailed(error.kind, str(error), maybe_taken=exchange.sent) from None
        except OutOfReach as error:
            _untrace(error)
            raise HttpFailed(FaultKind.NOT_ALLOWED, str(error), maybe_taken=False) from None
        except Exception as error:  # noqa: BLE001  httpx, h11 and ssl raise many kinds; each is named below
            _untrace(error)
            kind, message = named(error, ended=exchange.ended)
            if kind is FaultKind.TIMEOUT:
                message = f"no whole answer within {deadline / 1000:.3g} s ({exchange.phase})"
            raise HttpFailed(kind, message, maybe_taken=exchange.sent) from None

    async def close(self) -> None:
        """Close the connections that are kept; the client itself is let go."""
        if self._kept is not None:
            self._kept.close()
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()

    def _client(self) -> httpx.AsyncClient:
        """Give the client, made when first asked for."""
        if self._made is None:
            from alerting.net.transport import new_client  # noqa: PLC0415  loads httpx

            self._made = new_client(self._user_agent)
        return self._made

    def _lines(self) -> Lines:
        """Give the connections that are kept."""
        if self._kept is None:
            from alerting.net.kept import Lines  # noqa: PLC0415  loaded by now

            self._kept = Lines(self._user_agent)
        return self._kept

    def _context(self, verify: bool | str, cert: tuple[str, str] | None) -> ssl.SSLContext:
        """Give what TLS needs for these files, made anew when one of them has changed. Raises UnusableError."""
        from alerting.net.transport import UnusableError  # noqa: PLC0415  loaded by now

        files = [*([verify] if isinstance(verify, str) else ()), *(cert or ())]
        try:
            changed = [os.stat(file).st_mtime_ns for file in files]  # noqa: PTH116  paths as text
            known = self._contexts.get((verify, cert))
            if known is None or known[0] != changed:
                known = self._contexts[verify, cert] = changed, _new_context(verify, cert)
        except OSError as error:  # ssl.SSLError is one too
            text = f"cannot use the certificate files of the settings: {error.strerror or 'not valid PEM'}"
            raise UnusableError(FaultKind.TLS, text) from None
        return known[1]


def _untrace(error: BaseException | None) -> None:
    """Take the traces off an error and those before it: their frames hold what holds them, and half an answer."""
    while error is not None:
        error.__traceback__, error = None, error.__context__


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
