"""Serves the application in a thread with an event loop of its own.

So a client that is slow, or hostile, takes nothing from evaluation and delivery; and when the daemon's own loop
hangs, this one still answers, and says so. Nothing of the daemon is touched from here: `Ask` has its loop do it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from alerting.errors import AlertingError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp

T = TypeVar("T")

_PATIENCE = 4.0  # s that the daemon's loop has for an answer
_LIFETIME = 15.0  # s of one connection, whatever comes or does not come on it
_AT_ONCE = 64  # connections
_PORTS = 65_535


class Asking:
    """The way from the web's thread into the daemon's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def __call__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have it done there. Raises TimeoutError when it takes too long; it is not called off then."""

        async def there() -> T:
            return await work()

        began = there()
        try:
            future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(began, self._loop))
        except RuntimeError:  # the loop is closed: the daemon ends
            began.close()
            raise TimeoutError from None
        await asyncio.wait((future,), timeout=_PATIENCE)
        if not future.done():
            future.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it
            raise TimeoutError
        try:
            return future.result()
        finally:
            del future  # what is raised leads to this frame: it would hold the request until the collector comes by


class Server:
    """One listening socket, and the thread that serves it."""

    def __init__(self, listen: str, app: ASGIApp) -> None:
        """Take the address. Raises AlertingError where it cannot be had."""
        self._socket = _socket(listen)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not each malformed request
        config = uvicorn.Config(
            app,
            http=_Mortal,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_AT_ONCE,
            h11_max_incomplete_event_size=16_384,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; does not wait for a client for long."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(3)


class _Mortal(H11Protocol):
    """A connection that ends after a while, so that slow clients cannot hold all places for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(_LIFETIME, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()  # it would hold what is left of the connection until then
        super().connection_lost(exc)


def _socket(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if int(port) > _PORTS:
        raise AlertingError(f"`web` cannot listen on {listen}: ports go up to {_PORTS}")
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_AT_ONCE)
    except socket.gaierror:
        raise AlertingError(f"`web` cannot listen on {listen}: this host has no such address") from None
    except OSError as error:
        raise AlertingError(f"`web` cannot listen on {listen}: {os.strerror(error.errno or 0)}") from None
