"""A stand-in for Slack: an incoming webhook and the Web API's methods that we use, strict about Slack's limits.

Lengths are counted in UTF-16 units of the text as it is sent (entities included), the strictest reading of
"characters". `active` finds what a payload would make Slack do besides showing text: mentions and links.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.fakes.ledger import Fake, Reply, Request, arguments, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "xoxb-fake-bot-token"
APP_TOKEN = "xapp-fake-app-token"
TEAM = "T0"
HOOK = "/services/T00000000/B00000000/fake-webhook-secret"
CHANNELS = {"#ops": "C00000OPS", "ops": "C00000OPS", "#other": "C000OTHER"}
_COLOUR = re.compile(r"good|warning|danger|#[0-9a-fA-F]{6}")
_MENTION = re.compile(r"<[^<>]*>")


class Slack(Fake):
    """`hook` for webhooks, `url` + `/api/` for the Web API. `rate`: messages a second and channel; 0: no limit."""

    name = "slack"

    def __init__(self, port: int = 0, ledger: Path | None = None, *, token: str = TOKEN, rate: float = 0) -> None:
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}  # (channel, ts) -> as it reads now
        self.token = token
        self.files: dict[str, dict[str, Any]] = {}  # id -> filename, length, then data, channel_id, thread_ts, title
        self.asides: list[dict[str, Any]] = []  # what single persons were shown
        self.socket_url = ""  # what apps.connections.open gives
        self._rate = rate
        self._last: dict[str, float] = {}
        self._count = 0
        super().__init__(port, ledger)

    @property
    def hook(self) -> str:
        """The address of the incoming webhook."""
        return self.url + HOOK

    @property
    def api(self) -> str:
        """The `base_url` of the Web API."""
        return f"{self.url}/api/"

    def judge(self, request: Request) -> Reply:
        if request.method != "POST":
            return Reply(405, "method_not_allowed", why="method")
        if request.path.startswith("/services/"):
            return self._webhook(request)
        if request.path.startswith("/upload/"):
            return self._upload(request)
        method = request.path.removeprefix("/api/")
        answer = self._methods().get(method)
        if answer is None:
            return _no("unknown_method")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != (APP_TOKEN if method == "apps.connections.open" else self.token):
            return _no("invalid_auth" if given else "not_authed")
        fields = _fields(request)
        return _no("invalid_json") if fields is None else answer(fields)

    def _methods(self) -> dict[str, Callable[[dict[str, Any]], Reply]]:
        return {
            "auth.test": lambda _: Reply.of(
                200, {"ok": True, "team": "fake", "user": "alerting", "user_id": "U0", "team_id": TEAM}
            ),
            "apps.connections.open": lambda _: Reply.of(200, {"ok": True, "url": self.socket_url}),
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.postEphemeral": self._aside,
            "chat.getPermalink": self._permalink,
            "files.getUploadURLExternal": self._begin_upload,
            "files.completeUploadExternal": self._end_upload,
        }

    def _permalink(self, fields: dict[str, Any]) -> Reply:
        place = fields.get("channel"), fields.get("message_ts")
        if place not in self.messages:
            return _no("message_not_found")
        link = f"https://fake.slack.com/archives/{place[0]}/p{str(place[1]).replace('.', '')}"
        return Reply.of(200, {"ok": True, "channel": place[0], "permalink": link})

    def _aside(self, fields: dict[str, Any]) -> Reply:
        if fields.get("channel") not in CHANNELS.values() or not fields.get("user") or not fields.get("text"):
            return _no("channel_not_found")
        self.asides.append(fields)
        return Reply.of(200, {"ok": True, "message_ts": "1.2"}, accepted=True)

    def _begin_upload(self, fields: dict[str, Any]) -> Reply:
        if not fields.get("filename") or not str(fields.get("length", "")).isdigit():
            return _no("invalid_arguments")
        name = f"F{len(self.files):08d}"
        self.files[name] = {"filename": fields["filename"], "length": int(fields["length"])}
        return Reply.of(200, {"ok": True, "upload_url": f"{self.url}/upload/{name}", "file_id": name})

    def _upload(self, request: Request) -> Reply:
        file = self.files.get(request.path.removeprefix("/upload/"))
        if file is None or len(request.body) != file["length"]:
            return Reply(400, "wrong length", why="upload")
        file["data"] = request.body
        return Reply(200, f"OK - {len(request.body)}")

    def _end_upload(self, fields: dict[str, Any]) -> Reply:
        given = fields.get("files")
        named = json.loads(given) if isinstance(given, str) else given
        thread = (fields.get("channel_id"), fields.get("thread_ts"))
        if not named or any("data" not in self.files.get(each.get("id"), {}) for each in named):
            return _no("file_not_found")
        if thread not in self.messages:
            return _no("invalid_thread_ts")
        for each in named:
            where = {"title": each.get("title"), "channel_id": thread[0], "thread_ts": thread[1]}
            self.files[each["id"]] |= where
        return Reply.of(200, {"ok": True, "files": [{"id": each["id"]} for each in named]}, accepted=True)

    def _webhook(self, request: Request) -> Reply:
        if request.path != HOOK:
            return Reply(404, "no_service", why="no_service")
        fields = request.json()
        if not isinstance(fields, dict):
            return Reply(400, "invalid_payload", why="invalid_payload")
        wrong = faults(fields)
        if wrong:
            return Reply(400, wrong[0].partition(":")[0], why=wrong[0])
        if self._too_fast("webhook"):
            return Reply(429, "rate_limited", {"retry-after": "1"}, why="rate_limited")
        self._keep("webhook", fields)
        return Reply(200, "ok", {"content-type": "text/html"}, accepted=True)

    def _post(self, fields: dict[str, Any]) -> Reply:
        name = fields.get("channel")
        channel = CHANNELS.get(str(name), name if name in CHANNELS.values() else None)
        if channel is None:
            return _no("channel_not_found")
        wrong = faults(fields)
        if wrong:
            return _no(wrong[0].partition(":")[0], wrong[0])
        thread = fields.get("thread_ts")
        if thread is not None and (channel, thread) not in self.messages:
            return _no("thread_not_found")
        if self._too_fast(channel):
            return Reply.of(429, {"ok": False, "error": "ratelimited"}, why="ratelimited", retry_after="1")
        ts = self._keep(channel, fields)
        message = {"type": "message", "ts": ts, "text": fields.get("text", ""), "bot_id": "B0", "user": "U0"}
        return Reply.of(200, {"ok": True, "channel": channel, "ts": ts, "message": message}, accepted=True, why=ts)

    def _update(self, fields: dict[str, Any]) -> Reply:
        channel, ts = fields.get("channel"), fields.get("ts")
        if channel not in CHANNELS.values():
            return _no("channel_not_found")
        if (channel, ts) not in self.messages:
            return _no("message_not_found")
        wrong = faults(fields)
        if wrong:
            return _no(wrong[0].partition(":")[0], wrong[0])
        self.messages[channel, ts] = fields
        document = {"ok": True, "channel": channel, "ts": ts, "text": fields.get("text", ""), "message": {}}
        return Reply.of(200, document, accepted=True, why=ts)

    def _keep(self, channel: str, fields: dict[str, Any]) -> str:
        self._count += 1
        ts = f"1700000000.{self._count:06d}"
        self.messages[channel, ts] = fields
        return ts

    def _too_fast(self, channel: str) -> bool:
        now = time.monotonic()
        if self._rate and now - self._last.get(channel, -1e9) < 1 / self._rate:
            return True
        self._last[channel] = now
        return False


def _no(error: str, why: str = "") -> Reply:
    return Reply.of(200, {"ok": False, "error": error}, why=why or error)


def _fields(request: Request) -> dict[str, Any] | None:
    """The arguments of a Web API call, sent as JSON or as a form whose blocks are JSON."""
    if request.body and request.headers.get("content-type", "").startswith("application/json"):
        fields = request.json()
        return fields if isinstance(fields, dict) else None
    form: dict[str, Any] = dict(parse_qsl(request.body.decode()))
    for name in ("blocks", "attachments"):
        if name in form:
            form[name] = json.loads(form[name])
    return form


# ------------------------------------------------------------------------------------------- limits


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def faults(fields: dict[str, Any]) -> list[str]:
    """What Slack would not take, each as `error: where`; the first is what it would say."""
    blocks, attachments = fields.get("blocks") or [], fields.get("attachments") or []
    if not fields.get("text") and not blocks and not attachments:
        return ["no_text: neither text nor blocks nor attachments"]
    wrong = []
    if _units(fields.get("text") or "") > 40_000:
        wrong.append("msg_too_long: text")
    if len(attachments) > 100:
        wrong.append("too_many_attachments: attachments")
    if not all(_COLOUR.fullmatch(attachment.get("color", "good")) for attachment in attachments):
        wrong.append("invalid_attachments: color")
    every = [*blocks, *(block for attachment in attachments for block in attachment.get("blocks", []))]
    if len(every) > 50:
        wrong.append("invalid_blocks: more than 50")
    if _units(json.dumps(every, ensure_ascii=False)) > 13_000:
        wrong.append("msg_blocks_too_long: blocks")
    wrong += [fault for block in every for fault in _block_faults(block)]
    return wrong


def _block_faults(block: Any) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        yield from _text_faults(block.get("text"), 150, ("plain_text",), "header")
    elif kind == "section":
        if "text" in block:
            yield from _text_faults(block["text"], 3000, ("plain_text", "mrkdwn"), "section")
        fields = block.get("fields", [])
        if len(fields) > 10 or ("text" not in block and not fields):
            yield "invalid_blocks: section needs text or 1 to 10 fields"
        for field in fields:
            yield from _text_faults(field, 2000, ("plain_text", "mrkdwn"), "field")
    elif kind == "context":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 10:
            yield "invalid_blocks: context needs 1 to 10 elements"
        for element in elements:
            yield from _text_faults(element, 3000, ("plain_text", "mrkdwn"), "context")
    elif kind == "actions":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 25:
            yield "invalid_blocks: actions needs 1 to 25 elements"
        for element in elements:
            yield from _button_faults(element)
    elif kind != "divider":
        yield f"invalid_blocks: unknown block {kind!r}"


def _button_faults(button: Any) -> Iterator[str]:
    if not isinstance(button, dict) or button.get("type") != "button":
        yield "invalid_blocks: actions holds buttons here"
        return
    yield from _text_faults(button.get("text"), 75, ("plain_text",), "button")
    if not 1 <= _units(button.get("action_id", "")) <= 255 or _units(button.get("value", "")) > 2000:
        yield "invalid_blocks: a button's action_id or value is too long"


def _text_faults(text: Any, most: int, kinds: tuple[str, ...], where: str) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield f"invalid_blocks: {where} has no text of {' or '.join(kinds)}"
        return
    if not 1 <= _units(text["text"]) <= most:
        yield f"invalid_blocks: {where} must be 1 to {most} characters"
    if set(text) - {"type", "text", "emoji", "verbatim"}:
        yield f"invalid_blocks: {where} has unknown keys"


# ------------------------------------------------------------------------------------------- mentions and links


def texts(value: Any) -> Iterator[str]:
    """Every text that stands in a payload, wherever it stands."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def active(fields: dict[str, Any]) -> list[str]:
    """Everything in angle brackets: mentions, links, dates. Entities are not brackets."""
    return [found for text in texts(fields) for found in _MENTION.findall(text)]


if __name__ == "__main__":
    parser = arguments("takes Slack's incoming webhooks and chat methods")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--rate", type=float, default=0, help="messages a second and channel")
    options = parser.parse_args()
    serve(Slack(options.port, options.ledger, token=options.token, rate=options.rate))
