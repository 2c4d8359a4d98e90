"""Presses of buttons, by Slack's Socket Mode: a connection that this process opens, so nothing listens to the world.

The law: an envelope is acknowledged before anything is done about it, as Slack waits three seconds; what it says is
looked at only after that, one press after the other. Nothing in it is believed: the workspace must be the bot's own,
and whoever is told of a press looks up what it means. A connection that is lost is opened anew with growing pauses,
and sending does not know of any of this. `websockets` carries the frames, slack-sdk the calls.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from slack_sdk.socket_mode.response import SocketModeResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from alerting.core.backoff import pause
from alerting.model import Answer
from alerting.net.http import revealed
from alerting.notifiers import _slack_client as client
from alerting.notifiers import _text as text
from alerting.notifiers._slack_message import ACKNOWLEDGE, SILENCE, aside
from alerting.notifiers._wire import Wire, document, speak
from alerting.ports import Press

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from websockets.asyncio.client import ClientConnection

    from alerting.model import Millis, Secret
    from alerting.ports import Blocking, Clock, Http

_WAITS = (1_000, 60_000)  # before a lost connection is opened anew: the first, and the longest
_STEADY: Millis = 60_000  # a connection that lasted so long was a good one
_LARGEST = 512 * 1024  # bytes of one envelope; it holds the whole message under its buttons
_WAITING = 50  # presses that are taken in while earlier ones are being worked on; more are not heard
_ACTIONS = {ACKNOWLEDGE: "acknowledge", SILENCE: "silence"}
_SILENT = logging.Logger("websockets", logging.CRITICAL + 1)  # noqa: LOG001  in no hierarchy: it writes addresses


class _LostError(Exception):
    """The connection could not be had, or is over; the text says why."""


class _Connect(connect):
    """Follows no redirect: Slack does not redirect here."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Socket:
    """The connection of one receiver."""

    def __init__(  # noqa: PLR0917  the receiver's own parts
        self,
        receiver: str,
        app_token: Secret | str,
        token: Secret | str,
        base_url: Secret | str,
        http: Http,
        clock: Clock,
        blocking: Blocking,
        timeout: Millis,
    ) -> None:
        self._receiver = receiver
        self._app_token = app_token
        self._token = token
        self._base_url = base_url
        self._http = http
        self._clock = clock
        self._blocking = blocking
        self._timeout = timeout

    async def run(self, on_press: Callable[[Press], Awaitable[str]], say: Callable[[str], None]) -> None:
        """Hear of presses until cancelled. Raises what `on_press` raises."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            why = "lost the connection"
            try:
                await self._hear(on_press)
                continue  # Slack wants another connection, as it does every few hours
            except _LostError as error:
                why = str(error)
            except (OSError, TimeoutError, ValueError, WebSocketException) as error:  # texts may hold the address
                why = f"lost the connection: {type(error).__name__}"
            lasted = self._clock.monotonic() - began
            failures = 1 if lasted > _STEADY else failures + 1
            say(f"{self._receiver}: buttons are not heard: {why}")
            await self._clock.sleep(pause(failures, *_WAITS, 0.0))

    async def _hear(self, on_press: Callable[[Press], Awaitable[str]]) -> None:
        """Hear through one connection until Slack asks for another. Raises _LostError and what websockets raises."""
        url, tls = await self._opened()
        team = str((await self._asked(self._token, "auth.test", {})).get("team_id", ""))
        presses: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_WAITING)
        connection = _Connect(
            url,
            ssl=tls,
            proxy=None,
            open_timeout=self._timeout / 1000,
            close_timeout=1,
            max_size=_LARGEST,
            logger=_SILENT,
        )
        async with connection as line:
            tasks = {
                asyncio.create_task(_receive(line, presses)),
                asyncio.create_task(self._work(presses, team, on_press)),  # ends by a fault only, which is then raised
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except ConnectionClosed:
                raise _LostError("Slack closed the connection") from None
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(
        self, presses: asyncio.Queue[Mapping[str, Any]], team: str, on_press: Callable[[Press], Awaitable[str]]
    ) -> None:
        """Hand presses over, one after the other, and tell who pressed what became of it."""
        while True:
            payload = await presses.get()
            press = read_press(payload, self._receiver, team)
            if press is None:
                continue
            said = await on_press(press)
            user = _at(payload, "user", "id")
            if said and user:
                told = {"channel": press.place["channel"], "user": user, **aside(said)}
                with suppress(_LostError):  # the press counts all the same
                    await self._asked(self._token, "chat.postEphemeral", told)

    async def _opened(self) -> tuple[str, ssl.SSLContext | None]:
        """Ask Slack where to connect to. Raises _LostError."""
        said = await self._asked(self._app_token, "apps.connections.open", {})
        base, url = urlsplit(revealed(self._base_url)), str(said.get("url", ""))
        named = urlsplit(url)
        inside = named.hostname == base.hostname or str(named.hostname).endswith((f".{base.hostname}", ".slack.com"))
        if not inside or named.scheme not in (("wss",) if base.scheme == "https" else ("ws", "wss")):
            raise _LostError("apps.connections.open named an address that is not Slack's")
        return url, _tls() if named.scheme == "wss" else None

    async def _asked(self, token: Secret | str, method: str, arguments: Mapping[str, str]) -> Mapping[str, Any]:
        """Call a method of the Web API. Raises _LostError."""
        wire = Wire(self._http, self._clock, self._timeout)

        def call() -> None:
            client.ask(wire, revealed(self._base_url), revealed(token), method, arguments)

        answer = await speak(wire, self._blocking, call)
        if isinstance(answer, Answer):
            raise _LostError(f"{method}: {answer.why}")
        said = document(answer)
        if said.get("ok") is not True:
            error = text.cut(text.line(str(said.get("error") or f"answered {answer.status}")), 60)
            raise _LostError(f"{method}: {error}")
        return said


async def _receive(line: ClientConnection, presses: asyncio.Queue[Mapping[str, Any]]) -> None:
    """Acknowledge envelopes as they come and put presses in the queue, until Slack asks for another connection."""
    async for frame in line:
        try:
            envelope = json.loads(frame)
        except (ValueError, RecursionError):
            continue
        if not isinstance(envelope, dict):
            continue
        if isinstance(envelope_id := envelope.get("envelope_id"), str):
            await line.send(json.dumps(SocketModeResponse(envelope_id=envelope_id).to_dict()))
        if envelope.get("type") == "disconnect":
            return
        payload = envelope.get("payload")
        if envelope.get("type") == "interactive" and isinstance(payload, dict):
            with suppress(asyncio.QueueFull):
                presses.put_nowait(payload)
    raise _LostError("Slack closed the connection")


def read_press(payload: Mapping[str, Any], receiver: str, team: str) -> Press | None:
    """Read what was pressed; None for anything that is not one of our buttons, pressed in the bot's own workspace."""
    actions = payload.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    if payload.get("type") != "block_actions" or not isinstance(first, dict):
        return None
    action = _ACTIONS.get(str(first.get("action_id")))
    told_at, _, group_key = str(first.get("value")).partition(" ")
    channel = _at(payload, "channel", "id") or _at(payload, "container", "channel_id")
    ours = team and _at(payload, "team", "id") == team
    if action is None or not ours or not channel or not group_key or not _is_time(told_at):
        return None
    by = _at(payload, "user", "username") or _at(payload, "user", "name") or _at(payload, "user", "id")
    name = text.cut(text.line(by).strip(), 80) or "somebody"
    return Press(receiver, {"channel": channel}, group_key, int(told_at), action, name)  # type: ignore[arg-type]


def _at(payload: Mapping[str, Any], *path: str) -> str:
    """Give the text at a place; empty where there is none."""
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _is_time(digits: str) -> bool:
    return digits.isascii() and digits.isdecimal() and len(digits) <= 15  # noqa: PLR2004  some 30,000 years in ms


def _tls() -> ssl.SSLContext:
    import ssl as tls  # noqa: PLC0415  where a connection is plain it is not needed

    import certifi  # noqa: PLC0415  the same

    return tls.create_default_context(cafile=certifi.where())
