"""Servers that break the rules of HTTP, or of decency: raw sockets on 127.0.0.1, one behaviour each.

In a test::

    with Hostile("drip") as server:
        ... server.url, server.connections

BEHAVIOURS names them all; `answering(bytes)` makes one that sends given bytes and closes.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = b'{"status":"ok"}'


def response(
    body: bytes, *headers: str, status: str = "200 OK", length: int | None = None, kind: str = "application/json"
) -> bytes:
    """Write an answer out; `length` may lie."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {size}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, headers: str = "") -> bytes:
    """Write an answer in chunks out; the chunks are given with their sizes."""
    return f"HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n".encode() + b"".join(chunks)


def bomb(size: int) -> bytes:
    """So many zero bytes, packed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


def _drip(gap: float) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
    while True:
        time.sleep(gap)
        yield b"x"


def _endless(head: bytes, block: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield block


def _empty_blocks() -> Iterator[bytes]:
    """A packed answer that never gives a byte and never ends: empty stored blocks."""
    yield b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + b"\x1f\x8b\x08" + bytes(7)
    while True:
        yield b"\x00\x00\x00\xff\xff" * 10_000


PACKED = gzip.compress(JSON * 50, mtime=0)
GZIP = "content-encoding: gzip"
OK = b"HTTP/1.1 200 OK\r\n"

# name -> what is sent after the request was read; None: nothing, the line stays open; "reset": RST
BEHAVIOURS: dict[str, Callable[[], Iterator[bytes]] | bytes | str | None] = {
    "hang": None,
    "reset": "reset",
    "nothing": b"",
    "drip": lambda: _drip(0.05),
    "endless body": lambda: _endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "endless headers": lambda: _endless(OK, b"x-more: " + b"y" * 1000 + b"\r\n"),
    "endless header line": lambda: _endless(OK + b"x-more: ", b"y" * 65536),
    "endless interim answers": lambda: _endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
    "endless chunks": lambda: _endless(chunked(), b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "endless empty gzip": _empty_blocks,
    "half a head": OK + b"content-le",
    "half a body": response(JSON, length=500),
    "too long a body": response(JSON + b"}}}}", length=len(JSON)),
    "negative length": response(JSON, length=-1),
    "two lengths": response(JSON, "content-length: 3"),
    "huge length": response(JSON, length=10**30),
    "chunk cut": chunked(b"f\r\n" + JSON[:5]),
    "chunk without end": chunked(b"f\r\n" + JSON + b"\r\n"),
    "chunk size that is none": chunked(b"zz\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": JSON,
    "binary": bytes(range(256)) * 20,
    "gzip bomb": lambda: iter((response(bomb(64 * 1024 * 1024), GZIP),)),
    "gzip cut": response(PACKED[:-10], GZIP),
    "gzip damaged": response(PACKED[:20] + b"\xff\x00\xff" + PACKED[23:], GZIP),
    "gzip wrong sum": response(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], GZIP),
    "gzip that is none": response(JSON, GZIP),
    "gzip and more": response(PACKED + b"more", GZIP),
    "gzip in gzip": response(gzip.compress(PACKED), "content-encoding: gzip, gzip"),
    "brotli": response(JSON, "content-encoding: br"),
    "deflate": response(zlib.compress(JSON), "content-encoding: deflate"),
}


ENDLESS = frozenset({"hang", "drip"})  # only a deadline ends these


class Hostile:
    """One server of one behaviour; `connections` counts who came, `requests` holds what they sent."""

    def __init__(self, behaviour: str | bytes) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._act = behaviour if isinstance(behaviour, bytes) else BEHAVIOURS[behaviour]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="hostile", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/health"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(65536)
                if not more:
                    return
                request += more
            self.requests.append(request)
            self._answer(connection)
        except OSError:  # the client had enough, or the test is over
            pass

    def _answer(self, connection: socket.socket) -> None:
        if self._act is None:
            return
        if self._act == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif isinstance(self._act, bytes):
            connection.sendall(self._act)
        elif callable(self._act):
            for piece in self._act():
                connection.sendall(piece)
        if self._act != "reset":
            connection.shutdown(socket.SHUT_WR)
        connection.close()


def refused_url() -> str:
    """An address of this host where nothing listens: no port that was free a moment ago, which others may be given."""
    return "http://127.0.0.1:1/health"


def nested(levels: int) -> bytes:
    """JSON of so many levels."""
    return b'{"a":' * levels + b"1" + b"}" * levels


def many_values(count: int) -> bytes:
    """A JSON object with so many fields."""
    return json.dumps({f"field_{index}": index for index in range(count)}).encode()
