"""Local servers and files for the examples of the near sources: tcp, tls, dns, command, file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.fakes import wire
from tests.fakes.certificates import Authority
from tests.fakes.dns import NameServer, a, mx
from tests.fakes.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONE = {
    ("example.org", "A"): [a("192.0.2.1")],
    ("www.example.org", "A"): [a("192.0.2.1")],
    ("example.org", "MX"): [mx(10, "mail.example.org")],
}


@contextmanager
def near(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Start what a kind's examples need; give the settings that lead there, none for any other kind."""
    if kind == "tcp":
        with Wire(wire.answering(b"PING\r\n", b"+PONG\r\n")) as server:
            yield {"targets": [server.target]}
    elif kind == "tls":
        authority = Authority(folder)
        with Wire(wire.silent, authority.server("api", "IP:127.0.0.1,DNS:api.example.org")) as server:
            yield {"targets": [server.target], "ca_file": authority.file}
    elif kind == "dns":
        with NameServer(ZONE) as server_:
            yield {"targets": ["example.org"], "servers": [server_.address]}
    elif kind == "file":
        (folder / "queue.prom").write_text("queue_length 7\n")
        yield {"paths": [str(folder / "*.prom")]}
    else:
        yield {}
