"""Buttons, over a real WebSocket: acknowledged first, then looked at; nothing believed; a lost line opened anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from alerting import registry
from alerting.model import Secret, Section
from alerting.notifiers._slack_message import ACKNOWLEDGE, SILENCE
from alerting.notifiers._slack_socket import read_press
from alerting.ports import Listens, Press
from tests.fakes.ledger import Step
from tests.fakes.slack import APP_TOKEN, TOKEN, Slack
from tests.fakes.slack_socket import SlackSocket, envelope, press
from tests.notifiers.desk import AT, new_tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VALUE = f"{AT} alerting-5f2c"
PRESSED = Press("ops", {"channel": "C00000OPS"}, "alerting-5f2c", AT, "acknowledge", "ann")


class Ear:
    """What was heard, and what the connection had to say for itself."""

    def __init__(self) -> None:
        self.heard: list[Press] = []
        self.said: list[str] = []
        self.answer = "Acknowledged"
        self.socket: SlackSocket | None = None
        self.came = asyncio.Event()

    async def hear(self, pressed: Press) -> str:
        assert self.socket is not None
        await self.socket.until(lambda: self.socket and self.socket.acknowledged)  # before this answers, that is
        self.heard.append(pressed)
        self.came.set()
        return self.answer


@asynccontextmanager
async def listening(slack: Slack, socket: SlackSocket, **more: Any) -> AsyncIterator[Ear]:
    """A receiver with an app token that listens until the block ends."""
    slack.socket_url = slack.socket_url or socket.url
    tools = new_tools()
    tokens = {"token": Secret.literal(TOKEN), "app_token": Secret.literal(APP_TOKEN)}
    values = {**tokens, "channel": "#ops", "base_url": slack.api, "timeout": 5000, **more}
    notifier = registry.build_notifier(Section("ops", "slack", values), tools)
    assert isinstance(notifier, Listens)
    ear = Ear()
    ear.socket = socket
    task = asyncio.create_task(notifier.listen(ear.hear, ear.said.append))
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await tools.http.close()


async def until(seen: Any) -> None:
    """Wait for what other threads bring about."""
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def test_a_press_is_acknowledged_then_heard_and_answered() -> None:
    """The whole loop: the address, the envelope's acknowledgement, who pressed what, a line for them alone."""

    async def run() -> tuple[Ear, list[str]]:
        with Slack() as slack:
            async with SlackSocket() as socket, listening(slack, socket) as ear:
                await socket.connected()
                await socket.send(envelope("e1", press(ACKNOWLEDGE, VALUE)))
                await until(lambda: slack.asides)
                assert slack.asides[0] | {"text": "Acknowledged", "user": "U0ANN"} == slack.asides[0]
                return ear, socket.acknowledged

    ear, acknowledged = asyncio.run(run())
    assert ear.heard == [PRESSED]
    assert acknowledged == ["e1"]
    assert ear.said == []


def test_whatever_else_comes_is_acknowledged_and_ignored() -> None:
    """Frames that are no JSON, envelopes of other kinds, presses that are not ours; the next good one is heard."""

    async def run() -> Ear:
        with Slack() as slack:
            async with SlackSocket() as socket, listening(slack, socket) as ear:
                ear.answer = ""
                await socket.connected()
                for frame in ("no JSON", "[" * 5000, [], "null", {"type": "hello"}, envelope("e1", None)):
                    await socket.send(frame)
                await socket.send(envelope("e2", {"type": "event_callback"}, "events_api"))
                await socket.send(envelope("e3", press("somebody_elses", VALUE)))
                await socket.send(envelope("e4", press(SILENCE, VALUE)))
                await asyncio.wait_for(ear.came.wait(), 10)
                assert socket.acknowledged == ["e1", "e2", "e3", "e4"]
                assert slack.asides == []
                return ear

    ear = asyncio.run(run())
    assert [each.action for each in ear.heard] == ["silence"]


def test_another_connection_is_opened_when_slack_asks_for_it() -> None:
    """At once, and without a complaint: it does so every few hours."""

    async def run() -> Ear:
        with Slack() as slack:
            async with SlackSocket() as socket, listening(slack, socket) as ear:
                await socket.connected()
                await socket.send({"type": "disconnect", "reason": "refresh_requested"})
                await socket.connected(2)
                await socket.send(envelope("e1", press(ACKNOWLEDGE, VALUE)))
                await asyncio.wait_for(ear.came.wait(), 10)
                return ear

    ear = asyncio.run(run())
    assert (ear.heard, ear.said) == ([PRESSED], [])


def test_a_lost_connection_is_opened_anew_after_a_pause() -> None:
    """And the reason is said."""

    async def run() -> Ear:
        with Slack() as slack:
            async with SlackSocket() as socket, listening(slack, socket) as ear:
                await socket.connected()
                await socket.hang_up()
                await socket.connected(2)
                return ear

    ear = asyncio.run(run())
    assert ear.said == ["ops: buttons are not heard: Slack closed the connection"]


def test_a_fault_in_whoever_hears_goes_up_and_is_not_swallowed() -> None:
    """Whoever listens is told, and listens again; a dead ear would be worse."""

    async def run() -> None:
        with Slack() as slack:
            async with SlackSocket() as socket:
                slack.socket_url = socket.url
                tools = new_tools()
                tokens = {"token": Secret.literal(TOKEN), "app_token": Secret.literal(APP_TOKEN)}
                values = {**tokens, "channel": "#ops", "base_url": slack.api, "timeout": 5000}
                notifier = registry.build_notifier(Section("ops", "slack", values), tools)

                async def fail(_: Press) -> str:
                    raise ZeroDivisionError

                assert isinstance(notifier, Listens)
                task = asyncio.create_task(notifier.listen(fail, print))
                await socket.connected()
                await socket.send(envelope("e1", press(ACKNOWLEDGE, VALUE)))
                with pytest.raises(ZeroDivisionError):
                    await asyncio.wait_for(task, 10)
                await tools.http.close()

    asyncio.run(run())


TROUBLE = [
    (Step(status=200, body='{"ok": false, "error": "invalid_auth"}'), "apps.connections.open: invalid_auth"),
    (Step(status=503), "apps.connections.open: answered 503"),
    (Step(wire="reset"), "apps.connections.open: "),
    (Step(status=200, body='{"ok": true, "url": "wss://evil.example/link"}'), "named an address that is not Slack's"),
    (Step(status=200, body='{"ok": true, "url": "http://127.0.0.1/"}'), "named an address that is not Slack's"),
    (Step(status=200, body='{"ok": true}'), "named an address that is not Slack's"),
    (Step(status=200, body='{"ok": true, "url": "ws://127.0.0.1:1/?ticket=secret"}'), "lost the connection: "),
]


@pytest.mark.parametrize(("step", "why"), TROUBLE)
def test_what_keeps_it_from_connecting_is_said_without_secrets(step: Step, why: str) -> None:
    """One sentence each, then it tries again."""

    async def run() -> Ear:
        with Slack() as slack:
            slack.script(step)
            async with SlackSocket() as socket, listening(slack, socket) as ear:
                await until(lambda: ear.said)
                return ear

    ear = asyncio.run(run())
    assert ear.said[0].startswith("ops: buttons are not heard: ")
    assert why in ear.said[0]
    for secret in (TOKEN, APP_TOKEN, "ticket"):
        assert secret not in ear.said[0]


def test_without_an_app_token_nobody_listens() -> None:
    """The method returns at once and asks Slack nothing."""

    async def run() -> int:
        with Slack() as slack:
            async with SlackSocket() as socket:
                async with listening(slack, socket, app_token=None):
                    await asyncio.sleep(0.05)
                return len(slack.requests) + socket.connections

    assert asyncio.run(run()) == 0


READ: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"channel": None}, True),  # then the container says where
    ({"team": {"id": "T1"}}, False),
    ({"team": None}, False),
    ({"type": "view_submission"}, False),
    ({"actions": []}, False),
    ({"actions": None}, False),
    ({"actions": ["x"]}, False),
    ({"channel": None, "container": None}, False),
    ({"user": None}, True),
]
VALUES = [
    "",
    "x",
    "alerting-5f2c",
    f"{AT}",
    f"{AT} ",
    " alerting-5f2c",
    "-1 k",
    "1e9 k",
    "\u0661 k",
    "9" * 16 + " k",
    None,
    7,
]


@pytest.mark.parametrize(("changes", "read"), READ)
def test_a_press_is_read_only_if_it_is_whole_and_from_the_bots_own_workspace(
    changes: dict[str, Any], read: bool
) -> None:
    """Anything that is missing or of another type makes it none of ours."""
    found = read_press(press(ACKNOWLEDGE, VALUE, **changes), "ops", "T0")
    assert (found is not None) == read


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_is_not_one_of_ours_is_no_press(value: Any) -> None:
    """A time in milliseconds, a space, a key."""
    assert read_press(press(ACKNOWLEDGE, value), "ops", "T0") is None


def test_a_name_from_outside_is_one_short_line() -> None:
    """It is shown in messages and lists."""
    found = read_press(press(ACKNOWLEDGE, VALUE, user={"id": "U1", "username": "a\nb\u202e" + "x" * 200}), "ops", "T0")
    assert found is not None
    assert found.by.startswith("a\\nb\\u202exx")
    assert len(found.by) <= 80
    assert read_press(press(ACKNOWLEDGE, VALUE), "ops", "") is None
