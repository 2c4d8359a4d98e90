"""Slack, by an incoming webhook or by a bot token.

A webhook can only post. With a bot token, what gets better changes the group's newest message instead of posting
another; if that message is gone, it is posted anew. Whatever newly fires is posted, so that somebody is told. What
an attempt learns for the next one travels in the receipt: `channel` and `ts` of the message, and `plain` when
Slack would not take the blocks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from alerting.http import revealed
from alerting.model import Answer, Outcome, Step
from alerting.notifiers._slack_message import compose, compose_plain
from alerting.notifiers._wire import Wire, document, later, speak, unsuccessful

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model import Notification, Receipt, Secret, Section
    from alerting.ports import HttpAnswer, Tools

_CODE = 60  # characters of a name of an error, at most
_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down

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


class Slack:
    """One channel. A message stands for a group of alerts."""

    stands_for: Literal["group"] = "group"

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self._webhook: Secret | str | None = values.get("webhook_url")
        self._token: Secret | str = values.get("token", "")
        self._channel: Secret | str = values.get("channel", "")
        self._base_url: Secret | str = values.get("base_url", "https://slack.com/api/")
        self._timeout: int = values.get("timeout", 10_000)
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(_THREADS)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make one attempt with one request."""
        before = previous or {}
        message = (compose_plain if "plain" in before else compose)(notification)
        wire = Wire(self._http, self._clock, self._timeout)
        if self._webhook is not None:
            answer = await speak(wire, self._blocking, partial(self._post_to_webhook, wire, message))
            return answer if isinstance(answer, Answer) else self._judged_webhook(answer, before)
        worse = any(notice.step != Step.ONGOING for notice in notification.firing)
        announced = before if "ts" in before and not worse else None
        answer = await speak(wire, self._blocking, partial(self._call, wire, message, announced))
        return answer if isinstance(answer, Answer) else self._judged_call(answer, before, announced)

    async def close(self) -> None:
        """Nothing is held: connections belong to the shared HTTP client."""

    # ------------------------------------------------------------------------------- sending, in a worker thread

    def _post_to_webhook(self, wire: Wire, message: Mapping[str, Any]) -> None:
        from alerting.notifiers import _slack_client as client  # noqa: PLC0415  loads slack-sdk

        client.post(wire, revealed(self._webhook or "").strip(), {**message, **_QUIET, **_NO_PREVIEW})

    def _call(self, wire: Wire, message: Mapping[str, Any], announced: Receipt | None) -> None:
        from alerting.notifiers import _slack_client as client  # noqa: PLC0415  loads slack-sdk

        if announced is None:
            method = "chat.postMessage"
            arguments = {**message, **_QUIET, **_NO_PREVIEW, "channel": revealed(self._channel).strip()}
        else:
            method = "chat.update"
            arguments = {**message, **_QUIET, "channel": announced["channel"], "ts": announced["ts"]}
        client.call(wire, revealed(self._base_url), revealed(self._token), method, arguments)

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

    def _judged_call(self, answer: HttpAnswer, before: Receipt, announced: Receipt | None) -> Answer:
        """Judge an answer of the Web API: a 200 may refuse, and only `ok`, `channel` and `ts` together accept."""
        said = document(answer)
        error = _code(said.get("error"))
        if said.get("ok") is False and error:
            return self._refused(answer, error, before)
        if answer.status != 200:  # noqa: PLR2004
            return unsuccessful(answer, self._clock)
        channel, ts = said.get("channel"), said.get("ts")
        if said.get("ok") is True and isinstance(channel, str) and isinstance(ts, str) and channel and ts:
            done = "changed" if announced else "posted"
            return Answer(Outcome.SENT, done, None, {"channel": channel, "ts": ts})
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
