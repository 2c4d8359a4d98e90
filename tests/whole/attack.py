"""Clients that mean to exhaust the daemon's web server: `python -m tests.whole.attack KIND ADDRESS TOKEN SECONDS`.

A process of its own, so that what it does takes nothing from those who measure; it ends by itself.
"""

from __future__ import annotations

import http.client
import resource
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_JOB = "/push/cron/nightly"
_MIB = 1024 * 1024
_LEVELS = 32_000  # of JSON, in 64,000 bytes


class Target:
    """Where the server is, the token that it takes, and when to stop (monotonic, s)."""

    def __init__(self, address: str, token: str, seconds: float) -> None:
        parts = urlsplit(address)
        self.place = (parts.hostname or "", parts.port or 0)
        self.token = token
        self.ends = time.monotonic() + seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        """Make a request; give the status, 0 where the line was cut."""
        line = http.client.HTTPConnection(*self.place, timeout=5)
        try:
            line.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            return line.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            line.close()


def body(target: Target, size: int = 100 * _MIB) -> None:
    """Send a body of 100 MiB, by the right token."""
    while target.goes_on:
        with suppress(OSError), socket.create_connection(target.place, timeout=5) as line:
            head = f"POST {_JOB} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {target.token}\r\n"
            line.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
            for _ in range(size // _MIB):
                line.sendall(bytes(_MIB))


def slow(target: Target, count: int = 1_000) -> None:
    """Hold 1,000 connections, each with half a head; those that are cut are opened anew."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    lines: list[socket.socket] = []
    while target.goes_on:
        for line in lines:
            try:
                line.sendall(b"x")
            except OSError:
                line.close()
        lines = [line for line in lines if line.fileno() >= 0]
        while len(lines) < count and target.goes_on:
            line = socket.socket()
            line.setblocking(False)  # noqa: FBT003  the socket's own way to say it
            line.connect_ex(target.place)
            lines.append(line)
            if len(lines) % 50 == 0:
                time.sleep(0.01)
        for line in lines:
            with suppress(OSError):
                line.send(b"GET /metrics HTTP/1.1\r\nHost: local")
        time.sleep(0.1)


def ranges(target: Target) -> None:
    """Ask for thousands of ranges of a page."""
    while target.goes_on:
        for count in (1_000, 3_000, 100_000):
            wanted = ",".join(f"{each}-{each}" for each in range(count))
            target.ask("GET", "/metrics", Range=f"bytes={wanted}")


def deep(target: Target) -> None:
    """Report JSON of 32,000 levels, by the right token."""
    while target.goes_on:
        for nested in (b"[" * 2 * _LEVELS, b'{"a":' * (_LEVELS // 3), b"[" * _LEVELS + b"]" * _LEVELS):
            target.ask("POST", _JOB, nested, authorization=f"Bearer {target.token}", content_type="application/json")


def tokens(target: Target, count: int = 10_000) -> None:
    """Try 10,000 wrong tokens, or as many as there is time for."""
    for number in range(count):
        if not target.goes_on:
            return
        assert target.ask("POST", _JOB, b"", authorization=f"Bearer wrong-{number}") != 200


KINDS: Mapping[str, Callable[[Target], None]] = {each.__name__: each for each in (body, slow, ranges, deep, tokens)}

if __name__ == "__main__":
    kind, where, secret, seconds = sys.argv[1:]
    KINDS[kind](Target(where, secret, float(seconds)))
