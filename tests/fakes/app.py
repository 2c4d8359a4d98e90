"""A stand-in for the app that the guide describes: `/health` as JSON and `/health/metrics` as bare lines.

It misbehaves as the real one does: `/health` answers 200 while the database is down; `/health/metrics` has no
TYPE lines, no labels, no last newline, no p95, and is served as text/html.

In a test::

    with App() as app:
        app.break_database()
        ... app.health_url, app.metrics_url, app.requests

As a process, `python -m tests.fakes.app --port 0` prints its address as the first line; then the calls below are
made with `POST /control/break_database`, `POST /control/answer?status=500`, `POST /control/hang?seconds=30` ….
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.server import CuttableServer


class App:
    """The service, in a thread of its own, on a port of 127.0.0.1 (0: any free one)."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[str] = []  # paths, as they came
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.mend()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.app = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="app", daemon=True)

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def health_url(self) -> str:
        return f"{self.url}/health"

    @property
    def metrics_url(self) -> str:
        return f"{self.url}/health/metrics"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering: open connections are cut and new ones are refused from now on."""
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # what can be made to happen

    def mend(self) -> None:
        """Be well again, whatever was broken."""
        self._released.set()
        self._released = threading.Event()
        self._status, self._hang = 200, 0.0
        self._body: str | None = None
        self.database = "ok"
        self.database_latency = 4.0
        self.errors = 0
        self.fields: dict[str, Any] = {}
        self.series: dict[str, float] = {}

    def break_database(self) -> None:
        """Lose the database. The HTTP status stays 200, as in the real app."""
        self.database, self.database_latency = "error", 5000.0

    def mend_database(self) -> None:
        self.database, self.database_latency = "ok", 4.0

    def raise_errors(self, count: int = 25) -> None:
        """Count more errors in `http_errors_total`."""
        with self._lock:
            self.errors += int(count)

    def set_fields(self, **fields: Any) -> None:
        """Put (or, with None, null) further fields into `/health`."""
        self.fields.update(fields)

    def set_series(self, **series: Any) -> None:
        """Put further series, without labels, onto `/health/metrics`."""
        with self._lock:
            self.series.update({name: float(value) for name, value in series.items()})

    def answer(self, status: int = 200, body: str | None = None) -> None:
        """Answer every request with this status and, unless None, this body instead of the app's own."""
        self._status, self._body = int(status), body

    def hang(self, seconds: float = 3600) -> None:
        """Keep every request waiting so long; `mend` and `stop` let go at once."""
        self._hang = float(seconds)

    # what it says

    def health(self) -> dict[str, Any]:
        """`/health` as the guide shows it: latency in ms, memory in MiB, uptime in s."""
        return {
            "status": "ok" if self.database == "ok" else "degraded",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "uptime": round(time.monotonic() - self._started, 3),
            "database": {"status": self.database, "latency": self.database_latency},
            "memory": {"used": 121.5, "total": 512, "rss": 164.25},
            "version": "1.4.2",
            **self.fields,
        }

    def metrics(self) -> str:
        """`/health/metrics`: `name value` lines, the last one without a newline."""
        with self._lock:
            lines = {
                "http_requests_total": len(self.requests),
                "http_errors_total": self.errors,
                "http_request_duration_seconds_avg": 0.087,
                "database_up": int(self.database == "ok"),
                "memory_used_megabytes": 121.5,
                "process_uptime_seconds": round(time.monotonic() - self._started, 3),
                **self.series,
            }
        return "\n".join(f"{name} {value}" for name, value in lines.items())

    def reply(self, path: str) -> tuple[int, str, str]:
        """Give status, content type and body for a path, after any wait."""
        with self._lock:
            self.requests.append(path)
        if self._hang:
            self._released.wait(self._hang)
        if self._body is not None:
            return self._status, "text/html", self._body
        if path == "/health":
            return self._status, "application/json", json.dumps(self.health())
        if path == "/health/metrics":
            return self._status, "text/html; charset=utf-8", self.metrics()
        return 404, "application/json", json.dumps({"statusCode": 404, "message": f"Cannot GET {path}"})

    def control(self, call: str, arguments: dict[str, str]) -> tuple[int, str, str]:
        """Make one of the calls above by name."""
        calls = {
            each.__name__: each
            for each in (
                self.mend,
                self.break_database,
                self.mend_database,
                self.raise_errors,
                self.set_fields,
                self.set_series,
                self.answer,
                self.hang,
            )
        }
        if call not in calls:
            return 404, "text/plain", f"no such call; there are {', '.join(calls)}\n"
        calls[call](**arguments)
        return 200, "text/plain", "done\n"


class _Server(CuttableServer):
    app: App


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._send(*self.server.app.reply(urlsplit(self.path).path))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        call = parts.path.removeprefix("/control/")
        self._send(*self.server.app.control(call, dict(parse_qsl(parts.query))))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="the example app, breakable through POST /control/CALL")
    parser.add_argument("--port", type=int, default=0)
    app = App(parser.parse_args().port).start()
    print(app.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
