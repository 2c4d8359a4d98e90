"""A stand-in for the far end of Slack's Socket Mode: it sends envelopes and notes what is acknowledged.

In a test::

    async with SlackSocket() as socket:
        slack.socket_url = socket.url
        ... await socket.press("ack", ...), socket.acknowledged
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection


class SlackSocket:
    """The server, in the test's own loop, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.connections = 0
        self.acknowledged: list[str] = []  # envelope ids, in their order
        self.refuse = False  # the next connections are closed at once
        self._server: Server | None = None
        self._line: ServerConnection | None = None
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/link/?ticket=secret-ticket"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, line: ServerConnection) -> None:
        self.connections += 1
        if self.refuse:
            await self._note()
            return
        self._line = line
        await line.send(json.dumps({"type": "hello", "num_connections": 1}))
        await self._note()
        with suppress(ConnectionClosed):
            async for frame in line:
                self.acknowledged.append(json.loads(frame)["envelope_id"])
                await self._note()
        if self._line is line:
            self._line = None

    async def _note(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    async def until(self, seen: Any, seconds: float = 10) -> None:
        """Wait until `seen()` holds."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(seen)

    async def connected(self, number: int = 1) -> None:
        """Wait for the connection with this number, and until it can be spoken to."""
        await self.until(lambda: self.connections >= number and (self._line is not None or self.refuse))

    async def send(self, frame: Any) -> None:
        """Send a frame as it is, or an object as JSON."""
        assert self._line is not None
        await self._line.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def hang_up(self) -> None:
        """Close the connection."""
        assert self._line is not None
        await self._line.close()


def press(action_id: str, value: str, **changes: Any) -> dict[str, Any]:
    """What Slack sends when somebody presses a button, reduced to what is there in every such payload."""
    payload: dict[str, Any] = {
        "type": "block_actions",
        "team": {"id": "T0", "domain": "fake"},
        "user": {"id": "U0ANN", "username": "ann", "name": "ann", "team_id": "T0"},
        "container": {"type": "message", "message_ts": "1700000000.000001", "channel_id": "C00000OPS"},
        "channel": {"id": "C00000OPS", "name": "ops"},
        "actions": [{"type": "button", "action_id": action_id, "block_id": "b", "value": value}],
    }
    return {**payload, **changes}


def envelope(envelope_id: str, payload: Any, kind: str = "interactive") -> dict[str, Any]:
    """An envelope that wants to be acknowledged."""
    return {"envelope_id": envelope_id, "type": kind, "payload": payload, "accepts_response_payload": True}
