"""A small name server on 127.0.0.1, by UDP and TCP at one port; its answers are written byte by byte (RFC 1035).

In a test::

    with NameServer({("example.test", "A"): [a("192.0.2.1")]}) as server:
        ... server.address, server.asked

A zone's value may be a function from the question's bytes to any bytes at all, or to None for no answer.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28}
_NAMES = {number: name for name, number in TYPES.items()}
_LARGEST = 512  # bytes of an answer by UDP


class Record(NamedTuple):
    """One record of an answer; `owner` empty: the name that was asked for."""

    type: str
    data: bytes
    owner: str = ""


def name(text: str) -> bytes:
    """Write a name as labels, without compression."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def a(address: str, owner: str = "") -> Record:
    """An IPv4 address."""
    return Record("A", socket.inet_aton(address), owner)


def aaaa(address: str) -> Record:
    """An IPv6 address."""
    return Record("AAAA", socket.inet_pton(socket.AF_INET6, address))


def cname(target: str, owner: str = "") -> Record:
    """An alias."""
    return Record("CNAME", name(target), owner)


def ns(target: str) -> Record:
    """A name server of a zone."""
    return Record("NS", name(target))


def mx(preference: int, target: str) -> Record:
    """A mail server."""
    return Record("MX", struct.pack("!H", preference) + name(target))


def txt(*pieces: str) -> Record:
    """A text, in pieces."""
    return Record("TXT", b"".join(bytes([len(piece.encode())]) + piece.encode() for piece in pieces))


def asked_for(question: bytes) -> tuple[str, str, int]:
    """Read a question: name, type, and where it ends."""
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    number = struct.unpack("!H", question[at + 1 : at + 3])[0]
    return ".".join(labels).lower(), _NAMES.get(number, str(number)), at + 5


def reply(question: bytes, records: Sequence[Record] = (), code: int = 0, flags: int = 0x8180) -> bytes:
    """Write an answer to a question."""
    end = asked_for(question)[2]
    head = question[:2] + struct.pack("!HHHHH", flags | code, 1, len(records), 0, 0)
    body = b""
    for record in records:
        owner = name(record.owner) if record.owner else b"\xc0\x0c"
        body += owner + struct.pack("!HHIH", TYPES[record.type], 1, 60, len(record.data)) + record.data
    return head + question[12:end] + body


def _pair() -> tuple[socket.socket, socket.socket]:
    """Open one port for both protocols; a port that is free for one may be taken for the other."""
    for _ in range(20):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(("127.0.0.1", 0))
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
    raise OSError("no port is free for both UDP and TCP")


class NameServer:
    """Answers for one zone: what is not in it does not exist. `asked` lists the questions as `name TYPE`."""

    def __init__(
        self, zone: Mapping[tuple[str, str], Sequence[Record] | Callable[[bytes], bytes | None]] | None = None
    ) -> None:
        self.asked: list[str] = []
        self._zone = dict(zone or {})
        self._udp, self._tcp = _pair()
        self.port: int = self._udp.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._by_udp, self._by_tcp)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._udp, self._tcp):
            with suppress(OSError):  # a datagram socket is not connected, but wakes up all the same
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _answer(self, question: bytes) -> bytes | None:
        asked, kind, _ = asked_for(question)
        self.asked.append(f"{asked} {kind}")
        found = self._zone.get((asked, kind))
        if callable(found):
            return found(question)
        if found is not None:
            return reply(question, found)
        exists = any(known == asked for known, _ in self._zone)
        return reply(question, code=0 if exists else 3)

    def _by_udp(self) -> None:
        while True:
            question, client = self._udp.recvfrom(65535)
            if not client:
                return  # shut down
            answer = self._answer(question)
            if answer is None:
                continue
            if len(answer) > _LARGEST:
                answer = reply(question, flags=0x8380)  # cut: ask by TCP
            self._udp.sendto(answer, client)

    def _by_tcp(self) -> None:
        while True:
            try:
                line, _ = self._tcp.accept()
            except OSError:
                return
            with line, suppress(OSError, struct.error):
                size = struct.unpack("!H", line.recv(2))[0]
                answer = self._answer(line.recv(size))
                if answer is not None:
                    line.sendall(struct.pack("!H", len(answer)) + answer)
