"""PagerDuty's Events API v2: an incident for each alert (or group), opened, taken on and resolved under one key.

A repeat of an event joins what its key stands for, so an attempt whose answer was lost can be made again safely. An
answer counts only when it is 202 and names our key: that is what the service promises for an event it queued.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from alerting.model import Answer, Outcome
from alerting.net.http import revealed
from alerting.notifiers import _text as text
from alerting.notifiers._pagerduty_event import action, change, dedup_key, trigger
from alerting.notifiers._templates import Templates, problems
from alerting.notifiers._wire import Wire, document, later, speak, unsuccessful

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model import ChangeEvent, Notification, Receipt, Secret, Section, StandsFor
    from alerting.notifiers._templates import Filled
    from alerting.ports import HttpAnswer, Tools

__all__ = ["build", "problems"]

_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down


def build(section: Section, tools: Tools) -> PagerDuty:
    """Build the receiver; pdpyras is loaded when the first message is sent."""
    return PagerDuty(section, tools)


class PagerDuty:
    """One service's integration. A message stands for one alert, or for a group where the settings say so."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self.stands_for: StandsFor = values.get("per", "alert")
        self._routing_key: Secret | str = values["routing_key"]
        self._base_url: Secret | str = values.get("base_url", "https://events.pagerduty.com")
        self._client_url: Secret | str = values.get("client_url", "")
        self._severity: str = values.get("severity", "error")
        self._severities: Mapping[str, str] = values.get("severities", {})
        self._templates = Templates(values)
        self._timeout: int = values.get("timeout", 10_000)
        self._instance = tools.instance
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(_THREADS)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  the port's
        """Make one attempt with one request: trigger while the alert fires, acknowledge, or resolve."""
        key = dedup_key(notification.group_key)
        filled = self._templates.fill(notification)
        wire = Wire(self._http, self._clock, self._timeout)
        answer = await speak(wire, self._blocking, partial(self._send, wire, filled, key))
        return filled.told(answer if isinstance(answer, Answer) else self._judged(answer, key))

    async def send_change(self, event: ChangeEvent) -> Answer:
        """Tell of a change to what is watched, once; it pages nobody."""
        wire = Wire(self._http, self._clock, self._timeout)
        answer = await speak(wire, self._blocking, partial(self._send_change, wire, event))
        if isinstance(answer, Answer):
            return answer
        if answer.status == 202 and document(answer).get("status") == "success":  # noqa: PLR2004
            return Answer(Outcome.SENT, "queued by PagerDuty")
        return self._refused(answer)

    async def close(self) -> None:
        """Nothing is held: connections belong to the shared HTTP client."""

    def _send(self, wire: Wire, filled: Filled, key: str) -> None:
        """Build and send the event; in a worker thread, as following a secret's reference may block."""
        from alerting.notifiers import _pagerduty_client as client  # noqa: PLC0415  loads pdpyras and requests

        notification = filled.notification
        event: dict[str, Any] = {"event_action": action(notification), "dedup_key": key}
        if event["event_action"] == "trigger":
            event |= trigger(
                notification,
                self._instance,
                self._severity,
                text.link(revealed(self._client_url)),
                severities=self._severities,
                fields=filled.fields,
            )
        client.send(wire, revealed(self._base_url), revealed(self._routing_key).strip(), event)

    def _send_change(self, wire: Wire, event: ChangeEvent) -> None:
        from alerting.notifiers import _pagerduty_client as client  # noqa: PLC0415  loads pdpyras and requests

        client.send_change(wire, revealed(self._base_url), revealed(self._routing_key).strip(), change(event))

    def _judged(self, answer: HttpAnswer, key: str) -> Answer:
        if answer.status != 202:  # noqa: PLR2004
            return self._refused(answer)
        theirs = document(answer).get("dedup_key")
        if theirs == key:
            return Answer(Outcome.SENT, "queued by PagerDuty", None, {"dedup_key": key})
        wrong = "no dedup key" if theirs is None else "another dedup key"
        return Answer(Outcome.UNKNOWN, f"answered 202 with {wrong}: was it PagerDuty?")

    def _refused(self, answer: HttpAnswer) -> Answer:
        complaint = _complaint(document(answer))
        if answer.status == 400 and complaint.startswith("routing_key"):  # noqa: PLR2004  access, not the event
            return later(answer, self._clock, f"answered 400: {complaint}; check the integration's key")
        return unsuccessful(answer, self._clock, complaint)


def _complaint(said: Mapping[str, Any]) -> str:
    """Say which fields PagerDuty did not like: only names that are ours, since the rest could repeat a secret."""
    errors = json.dumps(said.get("errors", ""))
    fields = ("routing_key", "dedup_key", "summary", "source", "severity", "timestamp", "custom_details", "links")
    return ", ".join(f"{field} is not accepted" for field in fields if field in errors)
