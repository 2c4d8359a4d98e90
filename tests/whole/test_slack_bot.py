"""A bot in Slack, over the whole path: a message with a picture and buttons, pressed, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.slack import APP_TOKEN, TOKEN
from tests.fakes.slack_socket import SlackSocket, envelope, press
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # runs the daemon

SETTINGS = """\
interval: 100ms
sources:
  health_check: {{type: health, url: {app}/health}}
receivers:
  chat:
    {{type: slack, token: "${{BOT}}", app_token: "${{APP}}", channel: "#ops",
      base_url: {slack}, pictures: true, rate: "off"}}
"""
RULE = "alert: Answers\ncondition: health_check.status_code > 100\nfor: 600ms\nnotify: chat\n"


class Far:
    """The far end of Socket Mode in a loop and a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.socket = SlackSocket()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def end(self) -> None:
        self.do(self.socket.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def far() -> Iterator[Far]:
    """Give the far end, listening."""
    made = Far()
    made.do(made.socket.__aenter__())
    try:
        yield made
    finally:
        made.end()


def buttons(message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The buttons of a message, by their words."""
    rows = [block["elements"] for block in message["attachments"][0]["blocks"] if block["type"] == "actions"]
    return {button["text"]["text"]: button for row in rows for button in row}


def test_a_message_is_drawn_and_its_buttons_work(tmp_path: Path) -> None:
    """Posted with a picture in its thread; acknowledged in the message, in its thread and aside; silenced by name."""
    with Scene(tmp_path) as scene, far() as there:
        slack = scene.slack
        slack.socket_url = there.socket.url
        scene.settings(SETTINGS.format(app=scene.app.url, slack=slack.api))
        scene.rules(RULE)
        scene.environment |= {"BOT": TOKEN, "APP": APP_TOKEN}
        with scene.daemon() as daemon:
            daemon.ready()
            there.do(there.socket.connected())
            eventually(lambda: any("data" in file for file in slack.files.values()), "a picture")
            [(place, message)] = [each for each in slack.messages.items() if "thread_ts" not in each[1]]
            offered = buttons(message)
            assert list(offered) == ["Acknowledge", "Silence 1 h"]

            there.do(there.socket.send(envelope("e1", press(**chosen(offered["Acknowledge"])))))
            eventually(lambda: "FIRING, acknowledged: Answers" in json.dumps(slack.messages[place]), "the change")
            assert list(buttons(slack.messages[place])) == ["Silence 1 h"]
            eventually(
                lambda: any(
                    each.get("thread_ts") == place[1] and each["text"].startswith("acknowledged by ann, until ")
                    for each in slack.messages.values()
                ),
                "a line in the thread",
            )
            assert slack.asides[0]["text"].startswith("Acknowledged until ")

            there.do(there.socket.send(envelope("e2", press(**chosen(offered["Silence 1 h"])))))
            eventually(lambda: len(slack.asides) == 2, "an answer")
            assert slack.asides[1]["text"].startswith("Silenced until ")
            listed = json.loads(scene.run("silence", "list", "--output", "json").stdout)
            assert "ann" in json.dumps(listed)
            assert there.socket.acknowledged == ["e1", "e2"]
            assert daemon.end() == 0


def test_a_check_asks_for_no_connection(tmp_path: Path) -> None:
    """Nobody listens in a command that ends; the message is posted all the same."""
    with Scene(tmp_path) as scene:
        scene.settings(SETTINGS.format(app=scene.app.url, slack=scene.slack.api))
        scene.rules(RULE.replace("for: 600ms\n", ""))
        scene.environment |= {"BOT": TOKEN, "APP": APP_TOKEN}
        scene.check(code=1)
        assert [request.path for request in scene.slack.requests] == ["/api/chat.postMessage"]


def chosen(button: dict[str, Any]) -> dict[str, str]:
    """What Slack says of a button when it is pressed."""
    return {name: button[name] for name in ("action_id", "value")}
