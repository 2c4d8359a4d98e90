"""What every fake receiver stands on: a server that writes down and syncs a request before it answers.

The ledger, and not the program's own log, says what was delivered. A fake is a subclass with one method,
`judge`, which says what the service would answer and whether it accepted the request. A script can go before
it, step by step: an answer of the test's own (then the service never sees the request), or the service's
answer over a bad wire (late, byte by byte, cut off, or lost by a reset after the request was read).

In a test::

    with Slack(ledger=tmp_path / "slack.jsonl") as slack:
        slack.script(Step(wire="reset"), Step(status=503), Step(status=429, headers={"Retry-After": "3"}))
        ... slack.url, slack.requests, slack.accepted

As a process, `python -m tests.fakes.slack --port 0 --ledger FILE` prints its address as the first line; steps
are then given by `POST /control/script` with a JSON list of objects that hold Step's fields, and
`GET /control/requests` tells how many requests came.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from tests.fakes.server import CuttableServer

if TYPE_CHECKING:
    from collections.abc import Mapping


class Request(NamedTuple):
    """One request as it came; names of headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Reply:
    """What the service says. `accepted`: it acted on the request. `why` goes into the ledger."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: bool = False
    why: str = ""

    @classmethod
    def of(cls, status: int, document: Any, *, accepted: bool = False, why: str = "", **headers: str) -> Reply:
        """Answer with JSON; a header `retry_after="3"` becomes `retry-after: 3`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"content-type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(document), {**kind, **named}, accepted, why)


@dataclass(frozen=True)
class Step:
    """One scripted turn. With `status` the answer is the test's own and the service never sees the request."""

    status: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  # s before the answer
    drip: float = 0.0  # s between the bytes of the answer
    # reset: RST instead of an answer; close: FIN instead of an answer; truncate: half the answer, then FIN
    wire: Literal["", "reset", "close", "truncate"] = ""
    times: int = 1  # requests that get this step; 0: all from now on


class Fake:
    """The server, in threads of its own, on a port of 127.0.0.1 (0: any free one)."""

    name: ClassVar[str] = "fake"

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        self.requests: list[Request] = []  # every request that was read whole, accepted or not
        self.accepted: list[Any] = []  # the documents that the service acted on
        self._lock = threading.Lock()
        self._steps: list[Step] = []
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if ledger else None
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name=self.name, daemon=True)

    def judge(self, request: Request) -> Reply:
        """Say what the service answers. Called under the lock, one request at a time."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *steps: Step) -> None:
        """Put steps before the service, after those that are still left."""
        with self._lock:
            self._steps.extend(steps)

    def clear(self) -> None:
        """Forget the steps that are left, and let go of answers that wait."""
        with self._lock:
            self._steps.clear()
        self._released.set()
        self._released = threading.Event()

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop: open connections are cut and new ones are refused from now on."""
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut()
        with self._lock:
            if self._ledger is not None:
                os.close(self._ledger)
                self._ledger = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ one request

    def answer(self, request: Request) -> tuple[Reply, Step]:
        """Take a step or ask the service, and write it down; only then may the caller answer."""
        with self._lock:
            self.requests.append(request)
            step = self._next_step()
            if step.status is None:
                reply = self.judge(request)
            else:
                reply = Reply(step.status, step.body, step.headers, why="scripted")
            if reply.accepted:
                self.accepted.append(request.json())
            self._write(request, reply)
        return reply, step

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than this fake lives."""
        if seconds:
            self._released.wait(seconds)

    def control(self, request: Request) -> Reply:
        """Be told, or tell, from another process."""
        if request.path == "/control/script":
            self.script(*(Step(**step) for step in request.json()))
            return Reply.of(200, {"steps": len(self._steps)})
        if request.path == "/control/clear":
            self.clear()
            return Reply.of(200, {"steps": 0})
        if request.path == "/control/requests":
            return Reply.of(200, {"requests": len(self.requests), "accepted": len(self.accepted)})
        return Reply.of(404, {"calls": ["script", "clear", "requests"]})

    def _next_step(self) -> Step:
        if not self._steps:
            return Step()
        step = self._steps[0]
        if step.times == 1:
            del self._steps[0]
        elif step.times > 1:
            self._steps[0] = Step(**{**vars(step), "times": step.times - 1})
        return step

    def _write(self, request: Request, reply: Reply) -> None:
        if self._ledger is None:
            return
        entry = {
            "at": time.time_ns() // 1_000_000,
            "to": self.name,
            "path": request.path,
            "status": reply.status,
            "accepted": reply.accepted,
            "why": reply.why,
            "body": request.json(),
        }
        os.write(self._ledger, json.dumps(entry).encode() + b"\n")
        os.fsync(self._ledger)


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Every request of a ledger file in its order; a last line that was not finished is left out."""
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    return [json.loads(line) for line in lines[:-1]]


class _Server(CuttableServer):
    request_queue_size = 64
    fake: Fake


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    connection: socket.socket

    def _serve(self) -> None:
        fake = self.server.fake
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        if request.path.startswith("/control/"):
            self.wfile.write(self._packed(fake.control(request)))
            return
        reply, step = fake.answer(request)
        fake.wait(step.delay)
        if step.wire in ("reset", "close"):
            self._end(reset=step.wire == "reset")
            return
        answer = self._packed(reply)
        if step.wire == "truncate":
            self.wfile.write(answer[: len(answer) - max(1, len(reply.body.encode()) // 2)])
            self._end(reset=False)
        elif step.drip:
            for at in range(len(answer)):
                self.wfile.write(answer[at : at + 1])
                fake.wait(step.drip)
        else:
            self.wfile.write(answer)
            if "content-length" in reply.headers:  # a length of the script's own may promise too much
                self._end(reset=False)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  the names that http.server looks for

    def _packed(self, reply: Reply) -> bytes:
        """The whole answer as bytes. A content-length of the script's own goes before the true one."""
        body = reply.body.encode()
        named = {name.lower() for name in reply.headers}
        headers = dict(reply.headers)
        if "content-length" not in named and reply.status not in (204, 304):
            headers["content-length"] = str(len(body))
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Answer',))[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body

    def _end(self, *, reset: bool) -> None:
        """Close without (more of) an answer; with a reset the peer gets RST instead of FIN."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every fake has as a process."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path)
    return parser


def serve(fake: Fake) -> None:
    """Print the address and answer until the process is ended."""
    fake.start()
    print(fake.url, flush=True)
    threading.Event().wait()
