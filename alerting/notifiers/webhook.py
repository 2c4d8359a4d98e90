"""Any address that takes Alertmanager's webhook payload, version 4 (prometheus.io/docs, webhook_config).

Machines read it, so labels and annotations go out as they are. What Alertmanager does not have stands in
annotations of ours: `why`, `value` and `ended`, where the rule has none of that name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from alerting.errors import SecretError
from alerting.http import HttpFailed, revealed
from alerting.model import Answer, Outcome
from alerting.notifiers import _text as text
from alerting.notifiers._wire import later, lost, unsuccessful

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.model import Millis, Notice, Notification, Receipt, Secret, Section
    from alerting.ports import HttpAnswer, Tools

_UNSET = "0001-01-01T00:00:00Z"  # how Alertmanager writes a time that is not known
_ANSWER_MOST = 256 * 1024  # bytes


def build(section: Section, tools: Tools) -> Webhook:
    """Build the receiver."""
    return Webhook(section, tools)


class Webhook:
    """One address. A message stands for a group of alerts."""

    stands_for: Literal["group"] = "group"

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self._url: Secret | str = values["url"]
        self._headers: Mapping[str, Secret | str] = values.get("headers", {})
        self._timeout: Millis = values.get("timeout", 10_000)
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(1)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  the port's
        """Make one attempt with one request; any 2xx accepts it."""
        body = json.dumps(payload(notification)).encode()
        ends = self._clock.monotonic() + self._timeout
        try:
            url, headers = await self._blocking(self._address, self._timeout)  # following a reference may block
            left = max(1, ends - self._clock.monotonic())
            answer = await self._http.request(
                "POST", url, headers=headers, body=body, deadline=left, limit=_ANSWER_MOST
            )
        except SecretError as error:
            return Answer(Outcome.RETRY, str(error))
        except TimeoutError:
            return Answer(Outcome.RETRY, f"no secret within {self._timeout / 1000:g} s; nothing was sent")
        except HttpFailed as error:
            return lost(error)
        return self._judged(answer)

    async def close(self) -> None:
        """Nothing is held: connections belong to the shared HTTP client."""

    def _address(self) -> tuple[str, dict[str, str]]:
        headers = {name: revealed(value).strip() for name, value in self._headers.items()}
        return revealed(self._url).strip(), {"content-type": "application/json", **headers}

    def _judged(self, answer: HttpAnswer) -> Answer:
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return Answer(Outcome.SENT, f"answered {answer.status}")
        if 300 <= answer.status < 400:  # noqa: PLR2004
            reason = f"answered {answer.status}, a redirect; set `url` to the address where it leads"
            return later(answer, self._clock, reason)
        return unsuccessful(answer, self._clock)


def payload(notification: Notification) -> dict[str, Any]:
    """Give the payload of version 4. Nothing is left out of it, so `truncatedAlerts` is 0."""
    notices = (*notification.firing, *notification.resolved)
    alerts = [_alert(notice, notification.external_labels) for notice in notices]
    labels = _common(alert["labels"] for alert in alerts)
    return {
        "version": "4",
        "groupKey": text.whole(notification.group_key),
        "truncatedAlerts": 0,
        "status": "firing" if notification.firing else "resolved",
        "receiver": text.whole(notification.receiver),
        "groupLabels": {name: value for name, value in labels.items() if name == "alertname"},
        "commonLabels": labels,
        "commonAnnotations": _common(alert["annotations"] for alert in alerts),
        "externalURL": "",
        "alerts": alerts,
    }


def _alert(notice: Notice, external: Mapping[str, str]) -> dict[str, Any]:
    labels = {**external, **notice.labels, "alertname": notice.name}
    if notice.severity:
        labels["severity"] = notice.severity
    annotations = {"why": notice.why, "value": notice.value, "ended": notice.ended}
    if notice.runbook_url:
        annotations["runbook_url"] = notice.runbook_url
    annotations |= notice.annotations
    return {
        "status": "firing" if notice.resolved_at is None else "resolved",
        "labels": _texts(labels),
        "annotations": _texts(annotations),
        "startsAt": _time(notice.fired_at),
        "endsAt": _time(notice.resolved_at),
        "generatorURL": "",
        "fingerprint": notice.key.fingerprint,
    }


def _common(each: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Give the pairs that all have."""
    first, *others = [set(pairs.items()) for pairs in each] or [set()]
    return dict(sorted(first.intersection(*others)))


def _texts(pairs: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is empty: to Prometheus a label without a value does not exist."""
    return {text.whole(name): text.whole(value) for name, value in sorted(pairs.items()) if value}


def _time(at: Millis | None) -> str:
    return _UNSET if at is None else f"{text.utc(at)[:-1].replace(' ', 'T')}.{at % 1000:03d}Z"
