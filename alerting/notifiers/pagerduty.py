"""PagerDuty's Events API v2: one incident per alert, opened and resolved under one dedup key.

A repeat of a trigger joins the open incident, so an attempt whose answer was lost can be made again safely. An
answer counts only when it is 202 and names our key: that is what the service promises for an event it queued.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from alerting.http import revealed
from alerting.model import Answer, Outcome
from alerting.notifiers import _text as text
from alerting.notifiers._wire import Wire, document, later, speak, unsuccessful

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.model import Notice, Notification, Receipt, Secret, Section
    from alerting.ports import HttpAnswer, Tools

_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down
# Summary, key and event: PagerDuty's own limits. It states none for the others; these are for its readers' sake.
_SUMMARY = 1024
_KEY = 255
_FIELD = 255
_DETAIL = 20_000
_EVENT = 500 * 1024  # bytes; PagerDuty takes 512 KB, and the routing key is added later
SEVERITIES: Mapping[str, str] = {
    name: severity
    for severity, names in {
        "critical": ("critical", "crit", "fatal", "emergency", "disaster", "page", "p1", "sev1"),
        "error": ("error", "high", "major", "p2", "sev2"),
        "warning": ("warning", "warn", "medium", "moderate", "minor", "p3", "sev3"),
        "info": ("info", "information", "informational", "notice", "low", "debug", "none", "p4", "p5", "sev4", "sev5"),
    }.items()
    for name in names
}
_SOURCE = ("instance", "host", "hostname", "node")
_COMPONENT = ("component", "service", "job")
_GROUP = ("group", "cluster", "namespace", "environment")


def build(section: Section, tools: Tools) -> PagerDuty:
    """Build the receiver; pdpyras is loaded when the first message is sent."""
    return PagerDuty(section, tools)


class PagerDuty:
    """One service's integration. A message stands for one alert."""

    stands_for: Literal["alert"] = "alert"

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self._routing_key: Secret | str = values["routing_key"]
        self._base_url: Secret | str = values.get("base_url", "https://events.pagerduty.com")
        self._client_url: Secret | str = values.get("client_url", "")
        self._severity: str = values.get("severity", "error")
        self._timeout: int = values.get("timeout", 10_000)
        self._instance = tools.instance
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(_THREADS)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  the port's
        """Make one attempt with one request: trigger while the alert fires, else resolve."""
        key = dedup_key(notification.group_key)
        wire = Wire(self._http, self._clock, self._timeout)
        answer = await speak(wire, self._blocking, partial(self._send, wire, notification, key))
        return answer if isinstance(answer, Answer) else self._judged(answer, key)

    async def close(self) -> None:
        """Nothing is held: connections belong to the shared HTTP client."""

    def _send(self, wire: Wire, notification: Notification, key: str) -> None:
        """Build and send the event; in a worker thread, as following a secret's reference may block."""
        from alerting.notifiers import _pagerduty_client as client  # noqa: PLC0415  loads pdpyras and requests

        event: dict[str, Any] = {"event_action": "resolve", "dedup_key": key}
        if notification.firing:
            event = {"event_action": "trigger", "dedup_key": key}
            event |= trigger(notification, self._instance, self._severity, text.link(revealed(self._client_url)))
        client.send(wire, revealed(self._base_url), revealed(self._routing_key).strip(), event)

    def _judged(self, answer: HttpAnswer, key: str) -> Answer:
        said = document(answer)
        if answer.status != 202:  # noqa: PLR2004
            complaint = _complaint(said)
            if answer.status == 400 and complaint.startswith("routing_key"):  # noqa: PLR2004  access, not the event
                return later(answer, self._clock, f"answered 400: {complaint}; check the integration's key")
            return unsuccessful(answer, self._clock, complaint)
        theirs = said.get("dedup_key")
        if theirs == key:
            return Answer(Outcome.SENT, "queued by PagerDuty", None, {"dedup_key": key})
        wrong = "no dedup key" if theirs is None else "another dedup key"
        return Answer(Outcome.UNKNOWN, f"answered 202 with {wrong}: was it PagerDuty?")


def dedup_key(group_key: str) -> str:
    """Give the key as PagerDuty can take it; one that is too long ends in a hash of the whole, so stays unique."""
    if text.cut(group_key, _KEY) == group_key and group_key.isprintable():
        return group_key
    digest = hashlib.sha256(group_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text.cut(text.line(group_key), _KEY - len(digest) - 1)} {digest}"


def trigger(notification: Notification, instance: str, default: str, client_url: str) -> dict[str, Any]:
    """Give the fields of a trigger event, besides action and key, within PagerDuty's limits."""
    notice = notification.firing[0]
    pairs = {**notification.external_labels, **notice.labels}
    payload: dict[str, Any] = {
        "summary": text.cut(text.line(notification.title).strip(), _SUMMARY) or "alert",
        "source": _first(notice.labels, _SOURCE) or _first(pairs, _SOURCE) or _field(instance) or "alerting",
        "severity": SEVERITIES.get(notice.severity.strip().lower(), default),
        "timestamp": text.utc(notice.fired_at).replace(" ", "T"),
        "class": _field(notice.name) or "alert",
        "component": _first(pairs, _COMPONENT),
        "group": _first(pairs, _GROUP),
        "custom_details": _details(notification, notice),
    }
    event: dict[str, Any] = {
        "payload": {name: value for name, value in payload.items() if value},
        "client": "alerting",
        "links": [{"href": url, "text": words} for words, url in text.links(notice).items()],
    }
    if client_url:
        event["client_url"] = client_url
    if len(json.dumps(event)) > _EVENT:
        identity = {"alert": notice.key.fingerprint, "note": "details left out: the event was too large for PagerDuty"}
        event["payload"]["custom_details"] = identity
    return event


def _details(notification: Notification, notice: Notice) -> dict[str, Any]:
    details: dict[str, Any] = {
        "rule": notice.name,
        "why": notice.why,
        "value": notice.value,
        "severity": notice.severity,
        "labels": dict(notice.labels),
        "annotations": dict(text.remarks(notice)),
        "from": dict(notification.external_labels),
        "alert": notice.key.fingerprint,
        "reason": notification.reason,
    }
    return {name: _shown(value) for name, value in details.items() if value}


def _shown(value: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(value, str):
        return text.cut(text.lines(value), _DETAIL)
    return {_field(name): text.cut(text.lines(each), _DETAIL) for name, each in value.items()}


def _first(pairs: Mapping[str, str], names: Iterable[str]) -> str:
    return next((_field(pairs[name]) for name in names if pairs.get(name)), "")


def _field(value: str) -> str:
    return text.cut(text.line(value).strip(), _FIELD)


def _complaint(said: Mapping[str, Any]) -> str:
    """Say which fields PagerDuty did not like: only names that are ours, since the rest could repeat a secret."""
    errors = json.dumps(said.get("errors", ""))
    fields = ("routing_key", "dedup_key", "summary", "source", "severity", "timestamp", "custom_details", "links")
    return ", ".join(f"{field} is not accepted" for field in fields if field in errors)
