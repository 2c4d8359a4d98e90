"""Slack, by an incoming webhook or by a bot token.

A webhook can only post. With a bot token a message has a life of its own: it stands for one alert or one group, and
changes as they do. What somebody should see is posted anew (nobody is notified of a change), and so is what stands in
for a message that is gone; everything else changes the newest message.

One attempt is one request, and its end is on disk before anything else is done. What is only beside it, the line in
the message's thread, the picture, the note on a message that was replaced, is done step by step afterwards
(`follow`), each with requests of its own, and is given up where Slack does not take it: it can neither lose, repeat
nor hold back a message. What an attempt learns for the next one travels in the receipt:

- `channel` and `ts` of the message that stands for the alert or group now;
- `plain` when Slack would not take the blocks;
- `was`, the `ts` of the message that it replaced, if there was one;
- `then`: the steps that are left.

Links are not kept: those to two messages of one channel differ in the `ts` alone, so one that Slack gave tells all.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from alerting.model import LOUD, Answer, Outcome
from alerting.net.http import revealed
from alerting.notifiers import _changes as changes
from alerting.notifiers import _templates as templates
from alerting.notifiers import _text as text
from alerting.notifiers._slack_message import Own, compose, compose_moved, compose_plain, compose_reply
from alerting.notifiers._wire import Wire, document, later, speak, unsuccessful
from alerting.ports import THEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from alerting.model import Notice, Notification, Receipt, Secret, Section, StandsFor
    from alerting.notifiers._templates import Filled
    from alerting.ports import HttpAnswer, Press, Tools

_CODE = 60  # characters of a name of an error, at most
_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down
_EXTRAS = (("pictures", "PIL", "Pillow", "pictures"), ("app_token", "websockets", "websockets", "buttons"))
_AGAIN = "!"  # behind a step that Slack wanted to be tried later: once

# What Slack answers, by what it means for an attempt (docs.slack.dev, chat.postMessage and chat.update).
_MAYBE_TAKEN = frozenset(("internal_error", "fatal_error"))
_GONE = frozenset(("message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "block_mismatch"))
_PAYLOAD = frozenset(
    (
        "invalid_payload",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "msg_blocks_too_long",
        "msg_too_long",
        "too_many_attachments",
        "attachment_payload_limit_exceeded",
        "no_text",
        "metadata_too_large",
        "markdown_text_conflict",
    )
)
_ACCESS: Mapping[str, str] = {  # whoever mends the settings still wants the message: it stays owed
    "invalid_auth": "the token is not valid",
    "not_authed": "no token was sent",
    "account_inactive": "the token's account is gone",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "missing_scope": "the bot needs the scope chat:write",
    "no_permission": "the bot may not do this",
    "not_allowed_token_type": "this must be a bot token (xoxb-)",
    "channel_not_found": "check the channel, or invite the bot",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived",
    "ekm_access_denied": "the workspace's keys are suspended",
    "restricted_action": "the workspace does not let the bot post here",
}
_QUIET: Mapping[str, Any] = {"parse": "none", "link_names": False}  # nothing in a text becomes a link by itself
_NO_PREVIEW: Mapping[str, Any] = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def build(section: Section, tools: Tools) -> Slack:
    """Build the receiver; slack-sdk is loaded when the first message is sent."""
    return Slack(section, tools)


def problems(section: Section) -> Sequence[tuple[tuple[str, ...], str]]:
    """Say what is wrong with a section that its schema cannot see: where, and in words."""
    found = list(templates.problems(section))
    for key, module, package, extra in _EXTRAS:
        if section.values.get(key) and find_spec(module) is None:
            found.append(((key,), f"needs {package}, which is not installed: pip install 'alerting[{extra}]'"))
    return found


class Slack:
    """One channel."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self.stands_for: StandsFor = values.get("per", "group")
        self.pictures: bool = values.get("pictures", False)
        self._webhook: Secret | str | None = values.get("webhook_url")
        self._token: Secret | str = values.get("token", "")
        self._app_token: Secret | str | None = values.get("app_token")
        self._channel: Secret | str = values.get("channel", "")
        self._base_url: Secret | str = values.get("base_url", "https://slack.com/api/")
        self._timeout: int = values.get("timeout", 10_000)
        self._templates = templates.Templates(values)
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(_THREADS)
        self._links: dict[str, str] = {}  # channel -> what links to its messages begin with

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make one attempt with one request."""
        filled = self._templates.fill(notification)
        return filled.told(await self._deliver(filled.notification, _own(filled), previous or {}))

    async def _deliver(self, notification: Notification, own: Own, before: Receipt) -> Answer:
        wire = self._wire()
        if self._webhook is not None:
            message = compose_plain(notification, own) if "plain" in before else compose(notification, own)
            answer = await speak(wire, self._blocking, partial(self._post_to_webhook, wire, message))
            return answer if isinstance(answer, Answer) else self._judged_webhook(answer, before)
        loud = notification.loud and any(notice.step in LOUD for notice in notification.firing)
        changes_it = "ts" in before and not loud
        if "plain" in before:
            message = compose_plain(notification, own)
        else:
            earlier = self._link_to(before.get("channel", ""), before.get("was" if changes_it else "ts", ""))
            message = compose(notification, own, earlier=earlier, buttons=self._app_token is not None)
        method, arguments = "chat.postMessage", {**message, **_QUIET, **_NO_PREVIEW}
        if changes_it:
            method, arguments = "chat.update", {**message, **_QUIET, "channel": before["channel"], "ts": before["ts"]}
        answer = await self._call(wire, method, arguments)
        if isinstance(answer, Answer):
            return answer
        judged = self._judged_call(answer, before)
        if judged.outcome is not Outcome.SENT:
            return judged
        return judged._replace(
            why="changed" if changes_it else "posted", receipt=self._learned(judged, before, notification)
        )

    async def follow(self, notification: Notification, receipt: Receipt) -> Receipt:
        """Take the next step beside a message that has arrived."""
        steps = {"move": self._move, "begin": self._begin, "thread": self._reply, "picture": self._show}
        step, *left = receipt.get(THEN, "").split()
        outcome = await steps[step.removesuffix(_AGAIN)](notification, receipt)
        if outcome is Outcome.RETRY and not step.endswith(_AGAIN):
            left.insert(0, step + _AGAIN)
        return _with(receipt, left)

    async def listen(self, on_press: Callable[[Press], Awaitable[str]], say: Callable[[str], None]) -> None:
        """Hear of presses of the buttons, where there are any."""
        if self._app_token is None:
            return
        from alerting.notifiers._slack_socket import Socket  # noqa: PLC0415  loads slack-sdk and websockets

        named = (self.name, self._app_token, self._token, self._base_url)
        await Socket(*named, self._http, self._clock, self._blocking, self._timeout).run(on_press, say)

    async def close(self) -> None:
        """Nothing is held: connections belong to the shared HTTP client."""

    # ------------------------------------------------------------------------------- beside the message

    def _learned(self, judged: Answer, before: Receipt, notification: Notification) -> Receipt:
        """Say where the message is, which one it replaced, and what is left to do beside it.

        The first message of an alert or a group needs nothing but its picture: its thread begins with what changes.
        """
        placed, steps = judged.receipt or {}, []
        replaced = before.get("channel") == placed["channel"] and before.get("ts") != placed["ts"]
        was = before.get("ts" if replaced else "was")
        if replaced and was:
            steps += ["move", "begin"]
        elif before.get("ts") == placed["ts"] and changes.changed(notification):
            steps.append("thread")
        if before.get("ts") != placed["ts"] and self.pictures and _pictured(notification) is not None:
            steps.append("picture")
        return _with({**placed, "was": was} if was else placed, steps)

    def _link_to(self, channel: str, ts: str) -> str:
        """Give the link to a message; empty where Slack was not asked for one in its channel yet."""
        known = self._links.get(channel, "")
        return f"{known}{ts.replace('.', '')}" if known and ts else ""

    async def _move(self, notification: Notification, receipt: Receipt) -> Outcome:
        """Leave a line in place of the message that was replaced, so that one alone says how things stand."""
        channel, ts = receipt["channel"], receipt["ts"]
        if not self._link_to(channel, ts):
            said, outcome = await self._asked("chat.getPermalink", {"channel": channel, "message_ts": ts}, form=True)
            link, digits = text.link(str(said.get("permalink", ""))), ts.replace(".", "")
            if not link.endswith(f"/p{digits}"):
                return outcome if outcome is Outcome.RETRY else Outcome.REFUSED
            self._links[channel] = link.removesuffix(digits)
        message = compose_moved(notification, self._link_to(channel, ts))
        _, outcome = await self._asked("chat.update", {**message, **_QUIET, "channel": channel, "ts": receipt["was"]})
        return outcome

    async def _begin(self, notification: Notification, receipt: Receipt) -> Outcome:
        """Begin the thread of a message that replaced another: what changed, and where the story so far is."""
        return await self._tell(receipt, compose_reply(notification, self._link_to(receipt["channel"], receipt["was"])))

    async def _reply(self, notification: Notification, receipt: Receipt) -> Outcome:
        """Write what changed into the thread."""
        return await self._tell(receipt, compose_reply(notification))

    async def _tell(self, receipt: Receipt, reply: Mapping[str, Any]) -> Outcome:
        where = {"channel": receipt["channel"], "thread_ts": receipt["ts"]}
        _, outcome = await self._asked("chat.postMessage", {**reply, **_QUIET, **_NO_PREVIEW, **where})
        return outcome

    async def _show(self, notification: Notification, receipt: Receipt) -> Outcome:
        """Put the picture of the gravest alert into the thread; one that cannot be drawn or sent is left out."""
        wires = [self._wire() for _ in range(3)]
        shown = partial(self._draw_and_upload, wires, notification, receipt)
        answer = await speak(wires[-1], self._blocking, shown)
        return answer.outcome if isinstance(answer, Answer) else Outcome.SENT

    async def _asked(
        self, method: str, arguments: Mapping[str, Any], *, form: bool = False
    ) -> tuple[Mapping[str, Any], Outcome]:
        """Make one request beside the message; give what was said, and whether it is done."""
        answer = await self._call(self._wire(), method, arguments, form=form)
        if isinstance(answer, Answer):
            return {}, answer.outcome
        said = document(answer)
        if said.get("ok") is True:
            return said, Outcome.SENT
        error = _code(said.get("error"))
        later_ = answer.status != 200 or error in ("ratelimited", "rate_limited", "service_unavailable")  # noqa: PLR2004
        return {}, Outcome.RETRY if later_ else Outcome.REFUSED

    # ------------------------------------------------------------------------------- sending, in a worker thread

    def _wire(self) -> Wire:
        return Wire(self._http, self._clock, self._timeout)

    async def _call(
        self, wire: Wire, method: str, arguments: Mapping[str, Any], *, form: bool = False
    ) -> HttpAnswer | Answer:
        """Call one method of the Web API; a `channel` that is not given is the one of the settings."""

        def call() -> None:
            from alerting.notifiers import _slack_client as client  # noqa: PLC0415  loads slack-sdk

            where = {} if "channel" in arguments else {"channel": revealed(self._channel).strip()}
            make: Callable[..., None] = client.ask if form else client.call
            make(wire, revealed(self._base_url), revealed(self._token), method, {**arguments, **where})

        return await speak(wire, self._blocking, call)

    def _post_to_webhook(self, wire: Wire, message: Mapping[str, Any]) -> None:
        from alerting.notifiers import _slack_client as client  # noqa: PLC0415  loads slack-sdk

        client.post(wire, revealed(self._webhook or "").strip(), {**message, **_QUIET, **_NO_PREVIEW})

    def _draw_and_upload(self, wires: list[Wire], notification: Notification, receipt: Receipt) -> None:
        from alerting.notifiers import _chart as chart  # noqa: PLC0415  loads Pillow
        from alerting.notifiers import _slack_client as client  # noqa: PLC0415  loads slack-sdk

        notice = _pictured(notification)
        if notice is None or notice.picture is None:
            return
        name = text.cut(text.line(notice.name), 100)
        client.upload(
            wires,
            revealed(self._base_url),
            revealed(self._token),
            chart.draw(notice.picture),
            filename="value.png",
            title=name,
            alt_txt=f"the value of {name} over time",
            channel=receipt["channel"],
            thread_ts=receipt["ts"],
        )

    # ------------------------------------------------------------------------------- judging what came back

    def _judged_webhook(self, answer: HttpAnswer, before: Receipt) -> Answer:
        """Judge an answer of a webhook, which says `ok` and nothing else when it has posted."""
        said = answer.body.decode("utf-8", "replace").strip()
        if answer.status == 200:  # noqa: PLR2004
            posted = Answer(Outcome.SENT, "posted")
            return posted if said == "ok" else Answer(Outcome.UNKNOWN, "answered 200, but not `ok`: was it Slack?")
        error = _code(said)
        if answer.status == 400 and error in _PAYLOAD:  # noqa: PLR2004
            return _plainer(error, before)
        return unsuccessful(answer, self._clock, error)

    def _judged_call(self, answer: HttpAnswer, before: Receipt) -> Answer:
        """Judge an answer of the Web API: a 200 may refuse, and only `ok`, `channel` and `ts` together accept."""
        said = document(answer)
        error = _code(said.get("error"))
        if said.get("ok") is False and error:
            return self._refused(answer, error, before)
        if answer.status != 200:  # noqa: PLR2004
            return unsuccessful(answer, self._clock)
        channel, ts = said.get("channel"), said.get("ts")
        if said.get("ok") is True and isinstance(channel, str) and isinstance(ts, str) and channel and ts:
            return Answer(Outcome.SENT, "", None, {"channel": channel, "ts": ts})
        return Answer(Outcome.UNKNOWN, "answered 200, but not with ok, channel and ts: was it Slack?")

    def _refused(self, answer: HttpAnswer, error: str, before: Receipt) -> Answer:
        """Judge a named refusal. A name that nobody knows is tried again: that costs less than a lost alert."""
        if error in _GONE:
            return Answer(Outcome.RETRY, f"{error}: the message cannot be changed; posting anew", 0, {})
        if error in _PAYLOAD:
            return _plainer(error, before)
        if error in _MAYBE_TAKEN:
            return Answer(Outcome.UNKNOWN, f"{error}: Slack failed, and may have posted it")
        kind = "restricted_action" if error.startswith("restricted_action") else error
        if kind in _ACCESS:
            return later(answer, self._clock, f"{error}: {_ACCESS[kind]}")
        if error == "invalid_arguments":
            return Answer(Outcome.REFUSED, f"{error}: Slack does not know an argument")
        return later(answer, self._clock, error)


def _own(filled: Filled) -> Own:
    """Give what the receiver's own templates made."""
    return Own(filled.notification.title if filled.titled else "", filled.text, filled.fields)


def _with(receipt: Receipt, steps: Sequence[str]) -> Receipt:
    """Write down which steps are left."""
    known = {name: value for name, value in receipt.items() if name != THEN}
    return {**known, THEN: " ".join(steps)} if steps else known


def _pictured(notification: Notification) -> Notice | None:
    """Give the gravest alert that has a picture."""
    return next((notice for notice in changes.ordered(notification) if notice.picture is not None), None)


def _plainer(error: str, before: Receipt) -> Answer:
    """Slack would not take the message: once more as bare text, and if that fails too, for good."""
    if "plain" in before:
        return Answer(Outcome.REFUSED, f"{error}, even as bare text")
    return Answer(Outcome.RETRY, f"{error}: trying again as bare text", 0, {**before, "plain": "yes"})


def _code(said: Any) -> str:
    """Give Slack's name of an error; empty for anything that does not look like one."""
    if not isinstance(said, str) or len(said) > _CODE or said != said.lower():
        return ""
    return said if said.isascii() and said.replace("_", "").isalnum() else ""
