r"""A server for anything that is not HTTP: raw connections on 127.0.0.1, one behaviour each, TLS if wanted.

In a test::

    with Wire(lambda line: line.sendall(b"220 hello\r\n")) as server:
        ... server.target, server.came(1)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Behaviour = Callable[[socket.socket], None]


def silent(line: socket.socket) -> None:
    """Say nothing until the client leaves."""
    while line.recv(65536):
        pass


def closing(_: socket.socket) -> None:
    """Say nothing and close."""


def reset(line: socket.socket) -> None:
    """Break the connection (RST)."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(data: bytes) -> Behaviour:
    """Say this, then nothing until the client leaves."""

    def act(line: socket.socket) -> None:
        line.sendall(data)
        silent(line)

    return act


def said(data: bytes) -> Behaviour:
    """Say this and close."""
    return lambda line: line.sendall(data)


def dripping(line: socket.socket) -> None:
    """Say one byte after another for ever."""
    while True:
        line.sendall(b"x")
        time.sleep(0.02)


def endless(line: socket.socket) -> None:
    """Say as much as the line takes, for ever."""
    while True:
        line.sendall(b"x" * 65536)


def answering(question: bytes, answer: bytes) -> Behaviour:
    """Answer one question rightly, and anything else with an error."""

    def act(line: socket.socket) -> None:
        line.sendall(answer if line.recv(65536) == question else b"-ERR unknown command\r\n")
        silent(line)

    return act


class Wire:
    """One server of one behaviour; `came` tells how many did."""

    def __init__(self, act: Behaviour, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self._connections = 0
        self._act = act
        self._context = context
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join()

    def came(self, count: int) -> bool:
        """Tell whether so many connections came; one that is on its way is waited for."""
        for _ in range(100):
            if self._connections >= count:
                break
            time.sleep(0.01)
        return self._connections == count

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._connections += 1
            self._open.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError):  # the client had enough (a refused handshake among it), or the test is over
            if self._context:
                line = self._context.wrap_socket(line, server_side=True)
                self._open.append(line)
            with line:
                self._act(line)
