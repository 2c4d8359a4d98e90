"""F60: whatever stands in what the daemon serves, stored or reflected, no browser runs any of it."""

from __future__ import annotations

import asyncio
import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from alerting.engine import Setup, Target
from alerting.errors import ReportRefused, StoreError
from alerting.model import Delivery, DeliveryState, Notification, Outcome, Receiver
from alerting.rotation import Stale
from tests.clock import START
from tests.fakes.browser import PROGRAM, Browser
from tests.full import rounds
from tests.tick import App, rule
from tests.ward import Ward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("starlette", reason="the extra `web` is not installed")

from alerting.web import app, server

_CORES = (
    "<script>ran(1)</script>",
    "<SCRIPT SRC=/health></SCRIPT>",
    "</script><script>ran(2)</script>",
    "<img src=x onerror=ran(3)>",
    "<svg onload=ran(4)>",
    "<svg/onload='ran(5)'>",
    "<body onload=ran(6)>",
    "<iframe srcdoc='<script>parent.ran(7)</script>'></iframe>",
    "<iframe src=javascript:ran(8)></iframe>",
    "<a href=javascript:ran(9) autofocus onfocus=ran(10)>x</a>",
    "<input autofocus onfocus=ran(11)>",
    "<details open ontoggle=ran(12)>",
    "<video><source onerror=ran(13)></video>",
    "<math><mtext><img src onerror=ran(14)></mtext></math>",
    "<style>@import '/x.css';*{background:url(/x)}</style>",
    "<link rel=stylesheet href=/x.css><base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=javascript:ran(15)'>",
    "<form action=//evil.example><button autofocus>x</button></form>",
    "<object data='data:text/html,<script>ran(16)</script>'></object>",
    "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><script>ran(17)</script></html>",
    "<!DOCTYPE html><title>x</title><script>ran(18)</script>",
    "javascript:ran(19)//",
    "';ran(20);//\";ran(20);//`${ran(20)}`",
    "{{7*7}}${7*7}<%= 7*7 %>#{ran(21)}",
    "\u2028<script>ran(22)</script>\u00a0\ufeff+ADw-script+AD4-ran(23)+ADw-/script+AD4-",
)
HOSTILE = [wrap.format(core) for core in _CORES for wrap in ("{}", '"}}]{}', "--></pre>{}", "\n\r\n\r\n{}\n")]

# What browsers show as text and nothing else, once they may not guess.
INERT = ("application/json", "text/plain; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8")
POLICY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
HEADERS = {"date", "connection", "cache-control", "content-type", "content-length", "content-security-policy", "allow"}
STORED = ("/health", "/metrics", "/health/metrics")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: str


def ask(url: str, path: str, method: str = "GET", headers: Mapping[str, str] = {}, body: bytes = b"") -> Answer:
    """Make one request, with any text in its path that HTTP can carry."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=15)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value.encode())
        connection.endheaders(body)
        answer = connection.getresponse()
        headers_ = [(name.lower(), value) for name, value in answer.getheaders()]
        return Answer(answer.status, headers_, answer.read().decode())
    finally:
        connection.close()


def put(ward: Ward, evil: str) -> None:
    """Have the text stand everywhere that something from outside can come to stand."""
    source: Any = App(ward.clock, evil)
    texts = {"labels": {"x": evil, evil: "x"}, "annotations": {"summary": evil, evil: "x"}}
    rules = [rule(evil, id=evil, notify=(evil,), interval=30_000, **texts)]
    ward.engine.adopt(Setup(rules, [Target(source)], {evil: Receiver()}))
    ward.vitals._promises.clear()
    ward.vitals.promise(evil, -1)  # a part that is late
    ward.program.rotation = SimpleNamespace(stale={evil: Stale(evil, START)}, documents=(evil,))
    ward.gate.failing = {"owing": StoreError(evil), "commit": StoreError(evil), "claim": StoreError(evil)}
    told = Notification("n", evil, evil, evil, 0, evil)
    ward.vitals.tally.deliveries.clear()
    ward.vitals.settled(Delivery(told, DeliveryState.PARKED, outcome=Outcome.REFUSED, why=evil))


async def report(source: str, job: str, token: str, body: bytes, *, failed: bool) -> None:
    """Refuse a report as badly as can be: all that it brought stands in the answer."""
    raise ReportRefused(f"{source} {job} {token} {body.decode()} {failed}")


def reflected(evil: str) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Requests that carry the text where an answer might repeat it: path, method, headers, body."""
    coded = quote(evil, safe="")
    token = {"Authorization": "Bearer x"}
    yield f"/{coded}", "GET", {}, b""
    yield f"/health/{quote(evil)}", "GET", {}, b""
    yield f"/health?search={coded}&{coded}={coded}", "GET", {}, b""
    yield f"/health/?search={coded}", "GET", {}, b""
    yield f"/push/{coded}/{coded}", "GET", {}, b""
    yield f"/push/{coded}/{coded}", "POST", {}, b""
    yield f"/push/{coded}/{coded}/fail", "POST", token, evil.encode()
    if evil.isprintable():
        yield "/push/a/b", "POST", {"Authorization": f"Bearer {evil}"}, b""
        yield "/health", "GET", {"Host": evil}, b""
        yield "/nothing", "GET", {"Referer": evil, "User-Agent": evil, "X-Forwarded-Host": evil}, b""


def faults(answer: Answer) -> list[str]:
    """What is wrong with an answer that may hold anything."""
    found = dict(answer.headers)
    wrong = [f"{name} is {found.get(name)}" for name, value in POLICY.items() if found.get(name) != value]
    policy = dict(each.strip().partition(" ")[::2] for each in found.get("content-security-policy", "").split(";"))
    none = ("default-src", "base-uri", "form-action", "frame-ancestors")
    wrong += [f"the policy says {policy}" for each in none if policy.get(each) != "'none'"]
    wrong += [f"the policy has {each}" for each in policy if each not in (*none, "sandbox")]
    if answer.status not in (301, 302, 307, 308) and found.get("content-type") not in INERT:
        wrong.append(f"it is {found.get('content-type')}")
    if len(found) < len(answer.headers) or not found.keys() <= {*HEADERS, *POLICY, "location"}:
        wrong.append(f"it has the headers {answer.headers}")
    place = found.get("location", "http://127.0.0.1/")
    if not place.startswith("http://127.0.0.1") or set(place) & set("<>\"' \r\n"):
        wrong.append(f"it leads to {place}")
    return wrong


def with_pages(work: Callable[[Ward, asyncio.AbstractEventLoop, str], None]) -> None:
    """Serve a ward's pages, and do the work in a thread; time passes meanwhile."""

    async def main() -> None:
        async with Ward() as ward:
            loop = asyncio.get_running_loop()
            made = server.Server("127.0.0.1:0", app.build(app.Views(server.Asking(loop), ward.vitals, report), ()))
            made.start()
            working = asyncio.ensure_future(asyncio.to_thread(work, ward, loop, made.address))
            try:
                while not working.done():
                    await ward.run(50)
                    await asyncio.sleep(0.0005)
                working.result()
            finally:
                made.stop()

    asyncio.run(main())


def put_from_outside(ward: Ward, loop: asyncio.AbstractEventLoop, evil: str) -> None:
    """The same from another thread."""

    async def there() -> None:
        put(ward, evil)

    asyncio.run_coroutine_threadsafe(there(), loop).result(10)


def test_f60_nothing_that_is_served_can_be_run(figure: Figure) -> None:
    """Every text in every place: answers are of types that are shown as text, under a policy that lets nothing run."""
    assert len(HOSTILE) == 100
    chosen = HOSTILE[:: rounds(7, full=1)]
    wrong: list[tuple[str, str]] = []
    shown, asked = set(), 0

    def work(ward: Ward, loop: asyncio.AbstractEventLoop, url: str) -> None:
        nonlocal asked
        for evil in chosen:
            put_from_outside(ward, loop, evil)
            for path, method, headers, body in (*((path, "GET", {}, b"") for path in STORED), *reflected(evil)):
                answer = ask(url, path, method, headers, body)
                asked += 1
                wrong.extend((f"{method} {path}", each) for each in faults(answer))
                bare = evil.strip().strip('"}]-></pre')[:12]
                shown.update({path.partition("?")[0]} if bare in answer.body else ())

    with_pages(work)
    for each in wrong[:20]:
        print(each)
    assert set(STORED) <= shown, "the texts stood on no page, so that nothing was tried"
    figure("answers that a browser might run or frame", len(wrong), at_most=0, n=asked)


class _Elsewhere(BaseHTTPRequestHandler):
    """Another site: `/run` shows a text as HTML without any policy, `/refused` with one, `/attack?URL` reads URL."""

    def do_GET(self) -> None:
        path, _, url = self.path.partition("?")
        page = {
            "/run": "<script>ran('here')</script><img src=x onerror=ran(1)><script>nothing.here</script>",
            "/refused": "<script>ran('here')</script>",
            "/attack": f"<script src='{url}'></script><iframe src='{url}' onload='look(this)'></iframe><script>"
            "function look(frame) {try {const text = frame.contentDocument.body.innerText; if (text) ran('framed')}"
            f"catch (error) {{}} }} fetch('{url}').then(a => a.text()).then(text => ran('read ' + text)).catch(e => 0)"
            "</script>",
        }.get(path, "")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if path == "/refused":
            self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def elsewhere() -> Iterator[str]:
    """Serve another site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://localhost:{site.server_address[1]}"
        finally:
            site.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no browser is installed (chromium-headless-shell, chromium)")
def test_f60_a_browser_runs_nothing_and_its_policy_has_nothing_to_refuse(tmp_path: Path, figure: Figure) -> None:
    """The same pages, shown by a real browser; what it does run, and refuses, on other pages is seen."""
    chosen = HOSTILE[:: rounds(34, full=1)]
    ran: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    types: set[str] = set()
    visited = 0

    def work(ward: Ward, loop: asyncio.AbstractEventLoop, url: str) -> None:
        nonlocal visited
        with Browser(tmp_path) as browser, elsewhere() as other:
            assert sorted(browser.visit(f"{other}/run", 0.2).ran) == ["1", "failed: Uncaught", "here"]
            seen = browser.visit(f"{other}/refused")
            assert not seen.ran
            assert seen.refused
            for evil in chosen:
                put_from_outside(ward, loop, evil)
                paths = [path for path, method, headers, _ in reflected(evil) if (method, headers) == ("GET", {})]
                for path in (*STORED, *paths):
                    seen = browser.visit(url + path)
                    visited += 1
                    ran.extend((path, each) for each in seen.ran)
                    refused.extend((path, each) for each in seen.refused)
                    types.add(seen.type)
            for path in STORED:
                ran.extend((path, each) for each in browser.visit(f"{other}/attack?{url}{path}", 0.2).ran)

    with_pages(work)
    print(ran[:10], refused[:10])
    figure("scripts run", len(ran), at_most=0, n=visited)
    figure("policy violations of the project's own pages", len(refused), at_most=0, n=visited)
    assert types == {"application/json", "text/plain"}
