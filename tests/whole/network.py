"""A network of a test's own, and a proxy on it that does to connections what bad networks do.

`in_own_network` runs a piece of a test in a network namespace that nothing else is in: its loopback drops packets and
takes its time without anybody else noticing. It wants root, and `nft` and `tc` for packets; whoever lacks them skips.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from tests.namespace import Kind, in_own

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator


def in_own_network(work: Callable[[], None]) -> None:
    """Do it where 127.0.0.1 is another; threads and processes that it starts are there too. Raises what it raises."""

    def there() -> None:
        _run("ip", "link", "set", "lo", "up")
        work()

    in_own(Kind.NETWORK, there)


@contextmanager
def dropping(share: int, port: int) -> Iterator[None]:
    """Lose so many of a hundred packets to and from a port of this network."""
    _run("nft", "add table inet bad")
    _run("nft", "add chain inet bad inward { type filter hook input priority 0; }")
    for way in ("dport", "sport"):
        _run("nft", f"add rule inet bad inward tcp {way} {port} numgen random mod 100 < {share} drop")
    try:
        yield
    finally:
        _run("nft", "delete table inet bad")


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Lose all packets to a port of this network that carry something; connections are made."""
    _run("nft", "add table inet deaf")
    _run("nft", "add chain inet deaf inward { type filter hook input priority 0; }")
    _run("nft", f"add rule inet deaf inward tcp dport {port} meta length > 120 drop")
    try:
        yield
    finally:
        _run("nft", "delete table inet deaf")


@contextmanager
def narrow(rate: str) -> Iterator[None]:
    """Let this network carry no more than `rate`, such as `64kbit`."""
    _run("tc", *f"qdisc add dev lo root tbf rate {rate} burst 4kb latency 2s".split())
    try:
        yield
    finally:
        _run("tc", "qdisc", "del", "dev", "lo", "root")


def _run(tool: str, *words: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"there is no `{tool}` here")
    done = subprocess.run((tool, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`{tool} {' '.join(words)}` cannot be done here: {done.stderr.strip()}")


class Weather(NamedTuple):
    """What becomes of what passes. Shares are of 1."""

    delay: float = 0.0  # s, each way
    resets: float = 0.0  # of requests: RST in place of the request's way on, or of the answer's way back
    cuts: float = 0.0  # of requests: the line ends in the middle of the request, or of its answer
    drip: float = 0.0  # s between the bytes of an answer


class Proxy:
    """Hands connections on to a port of 127.0.0.1, in `weather`. One request is one piece, as small ones are."""

    def __init__(self, to: int, dice: random.Random) -> None:
        self.weather = Weather()
        self._to, self._dice = to, dice
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in tuple(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), name="proxied", daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        """Hand on what comes, and what comes back; with one side goes the other."""
        with line, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as there:
            self._open |= {line, there}
            try:
                back = threading.Thread(target=self._hand_on, args=(there, line, line), name="proxied", daemon=True)
                back.start()
                self._hand_on(line, there, line)
                back.join()
            finally:
                self._open -= {line, there}

    def _hand_on(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                weather = self.weather
                time.sleep(weather.delay)
                fate = self._dice.random() * 2  # half of it befalls the way out, half the way back
                if fate < weather.resets:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    break
                if fate < weather.resets + weather.cuts:
                    target.sendall(data[: len(data) // 2])
                    break
                self._send(target, data, weather.drip if target is client else 0)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _send(target: socket.socket, data: bytes, drip: float) -> None:
        if not drip:
            target.sendall(data)
            return
        for at in range(len(data)):
            target.sendall(data[at : at + 1])
            time.sleep(drip)
