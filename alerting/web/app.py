"""What is served: the daemon's health and metrics, and the door for jobs that report. Nothing else changes anything.

`/health` has the shape that the apps around it have: status, timestamp, uptime (s), version, database (status and
latency in ms), memory (MiB), and besides `problems`, one object for each part that does not do its work, `secrets`,
one for each document that could not be fetched anew, and `canary`, where one is sent. It answers 200 when all is well
and when a part only fails; 503 says that a part does not go round any more, so that whoever probes can start the
process anew.

No password guards what can be read; names in `Host` that nobody gave us are refused, so that no web page can read
it through a name of its own (DNS rebinding). An address of digits cannot be such a name.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import alerting
from alerting.core.progress import Ailment
from alerting.errors import ReportRefused, SecretError, StoreError
from alerting.selfwatch.vitals import Checkup, State
from alerting.web.exposition import CONTENT_TYPE, page
from alerting.web.metrics import families

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from typing import Protocol, TypeVar

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from alerting.selfwatch.vitals import Vitals

    T = TypeVar("T")

    class Ask(Protocol):
        """Has the daemon's own loop do something. Raises TimeoutError when it does not come to it."""

        async def __call__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
            """Do it there, give the result here."""
            ...

    class Report(Protocol):
        """Takes what a job reports to a source. Raises ReportRefused, SecretError, StoreError."""

        async def __call__(self, source: str, job: str, token: str, body: bytes, *, failed: bool) -> None:
            """Keep it before it counts."""
            ...


_BODY = 65_536  # bytes of a report
_MIB = 1024 * 1024
# Nothing served here is a page of ours, and what stands in it comes from outside too: no browser shall run, load, frame
# or lend any of it to another site, whatever it takes it for.
_POLICY = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = (
    (b"connection", b"close"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_STUCK = Checkup(
    (Ailment("event loop", "it does not come to answer: something blocks it", wedged=True),), State(0, "not asked"), {}
)


class Views(NamedTuple):
    """The pages, and what they show."""

    ask: Ask
    vitals: Vitals
    report: Report

    async def health(self, _request: Request) -> Response:
        """Tell how the daemon is."""
        try:
            checkup = await self.ask(self.vitals.check)
        except TimeoutError:
            checkup = _STUCK
        return JSONResponse(self._document(checkup), 503 if checkup.wedged else 200)

    def _document(self, checkup: Checkup) -> dict[str, Any]:
        memory, machine = psutil.Process().memory_info(), psutil.virtual_memory()
        latency, why = checkup.state
        canary = self.vitals.program.canary
        return {
            "status": "degraded" if checkup.degraded else "ok",
            "timestamp": _iso(datetime.now(UTC)),
            "uptime": (self.vitals.clock.monotonic() - self.vitals.started) / 1000,
            "version": alerting.__version__,
            "database": {"status": "error" if why else "ok", "latency": latency},
            "memory": {
                "used": round((machine.total - machine.available) / _MIB, 1),
                "total": round(machine.total / _MIB, 1),
                "rss": round(memory.rss / _MIB, 1),
            },
            "problems": [{"name": part, "why": why, "wedged": wedged} for part, why, wedged in checkup.ailments],
            "secrets": [
                {"document": name, "since": _iso(datetime.fromtimestamp(since / 1000, UTC)), "why": why}
                for name, (why, since) in checkup.stale.items()
            ],
            "canary": None if canary is None else {"delay": canary.delay() / 1000, "arrivals": canary.arrivals},
        }

    async def metrics(self, _request: Request) -> Response:
        """Give the metrics page."""

        async def gather() -> str:
            checkup = await self.vitals.check()
            counts: Mapping[str, int] = {}
            if not checkup.state.why or self.vitals.program.store.unsaved:
                with suppress(StoreError):  # it answered a moment ago
                    counts = (await self.vitals.program.store.overview(0)).counts
            return page(families(self.vitals, checkup, counts))

        try:
            return Response(await self.ask(gather), media_type=CONTENT_TYPE)
        except TimeoutError:
            return _refusal(503, "the daemon does not come to answer")

    async def push(self, request: Request) -> Response:
        """Take a job's report."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _refusal(401, "send the source's token as `Authorization: Bearer …`")
        body = await _body(request)
        if body is None:
            return _refusal(413, f"a report has at most {_BODY} bytes")
        source, job = request.path_params["source"], request.path_params["job"]
        failed = request.url.path.endswith("/fail")
        try:
            await self.ask(lambda: self.report(source, job, token.strip(), body, failed=failed))
        except ReportRefused as error:
            return _refusal(400 if error.admitted else 401, str(error))
        except (TimeoutError, StoreError, SecretError):
            return _refusal(503, "the report could not be kept; send it again")
        return JSONResponse({"status": "ok"})


def routes(views: Views) -> Sequence[Route]:
    """Give everything that may be asked for."""
    return [
        Route("/health", views.health),
        Route("/health/metrics", views.metrics),
        Route("/metrics", views.metrics),
        Route("/push/{source}/{job}", views.push, methods=["POST"]),
        Route("/push/{source}/{job}/fail", views.push, methods=["POST"]),
    ]


def build(views: Views, hosts: Collection[str]) -> ASGIApp:
    """Put the application together; `hosts` are names by which it may be asked."""
    return _Guard(Starlette(routes=routes(views)), frozenset(host.lower() for host in hosts) | {"localhost"})


class _Guard:
    """Refuses unknown hosts, and puts on every answer what all answers have."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        known = len(named) == 1 and _is_known(named[0], self._hosts)
        app = self._app if known else _refusal(421, "this is not the name of this service: see `web: {hosts: …}`")
        await app(scope, receive, answer)


def _is_known(host: str, hosts: frozenset[str]) -> bool:
    name = host.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in hosts
    return True


async def _body(request: Request) -> bytes | None:
    """Read the body; None where it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY:
            return None
    return body


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
