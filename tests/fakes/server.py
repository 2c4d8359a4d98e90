"""The HTTP server under the stand-ins: a thread for each connection, and a way to cut those that clients keep open."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class CuttableServer(ThreadingHTTPServer):
    """Remembers its open connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """Close what clients keep open."""
        for each in tuple(self._open):
            self.shutdown_request(each)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away is part of the game."""
