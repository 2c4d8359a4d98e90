"""Any address that takes Alertmanager's webhook payload, version 4 (prometheus.io/docs, webhook_config).

Machines read it, so labels and annotations go out as they are. What Alertmanager does not have stands in annotations
of ours (`why`, `value`, `ended`, `acknowledged`, `flapping`), where the rule has none of that name, and beside its
keys (`notes`, `fields`), where there is anything to say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from alerting.errors import SecretError
from alerting.model import NO_TEXTS, Answer, Outcome, Secret
from alerting.net.http import HttpFailed, revealed
from alerting.notifiers import _text as text
from alerting.notifiers._templates import Templates, problems
from alerting.notifiers._wire import later, lost, unsuccessful

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.model import Millis, Notice, Notification, Receipt, Section, StandsFor
    from alerting.ports import HttpAnswer, Tools

__all__ = ["build", "problems"]

SIGNATURE = "x-alerting-signature"
_UNSET = "0001-01-01T00:00:00Z"  # how Alertmanager writes a time that is not known
_ANSWER_MOST = 256 * 1024  # bytes


def build(section: Section, tools: Tools) -> Webhook:
    """Build the receiver."""
    return Webhook(section, tools)


class Webhook:
    """One address. A message stands for a group of alerts, or for one alert where the settings say so."""

    at_once = 8  # machines take several at a time; a fixed bound, so that one that hangs holds few connections

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self.stands_for: StandsFor = values.get("per", "group")
        self._url: Secret | str = values["url"]
        self._headers: Mapping[str, Secret | str] = values.get("headers", {})
        self._secret: Secret | str = values.get("secret", "")
        self._token: Secret | str = values.get("token", "")
        self._user: Secret | str = values.get("username", "")
        self._password: Secret | str = values.get("password", "")
        self._verify: bool | Secret | str = values.get("ca_file", True)
        self._most: int = values.get("max_alerts", 0)
        self._templates = Templates(values)
        self._external_url = tools.external_url
        secrets = (self._url, self._secret, self._token, self._user, self._password, self._verify)
        self._refers = any(isinstance(each, Secret) and each.references for each in (*secrets, *self._headers.values()))
        self._timeout: Millis = values.get("timeout", 10_000)
        self._http = tools.http
        self._clock = tools.clock
        self._blocking = tools.blocking(1)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  the port's
        """Make one attempt with one request; any 2xx accepts it."""
        filled = self._templates.fill(notification)
        body = json.dumps(payload(filled.notification, self._most, filled.fields, self._external_url)).encode()
        return filled.told(await self._posted(body))

    async def close(self) -> None:
        """Nothing is held: connections, kept ones too, belong to the shared HTTP client."""

    async def _posted(self, body: bytes) -> Answer:
        ends = self._clock.monotonic() + self._timeout
        try:
            prepared = partial(self._prepared, body)
            if self._refers:
                url, headers, verify = await self._blocking(prepared, self._timeout)  # following one may block
            else:
                url, headers, verify = prepared()
            left = max(1, ends - self._clock.monotonic())
            answer = await self._http.request(
                "POST", url, headers=headers, body=body, deadline=left, limit=_ANSWER_MOST, verify=verify, keep=True
            )
        except SecretError as error:
            return Answer(Outcome.RETRY, str(error))
        except TimeoutError:
            return Answer(Outcome.RETRY, f"no secret within {self._timeout / 1000:g} s; nothing was sent")
        except HttpFailed as error:
            return lost(error)
        return self._judged(answer)

    def _prepared(self, body: bytes) -> tuple[str, dict[str, str], bool | str]:
        """Give address, headers and whom to trust. Headers of the settings go before those made here."""
        made = {"content-type": "application/json"}
        if token := revealed(self._token).strip():
            made["authorization"] = f"Bearer {token}"
        elif user := revealed(self._user):
            pair = f"{user}:{revealed(self._password).strip()}".encode("utf-8", "surrogateescape")
            made["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if secret := revealed(self._secret).strip():
            made[SIGNATURE] = signature(secret, self._clock.now() // 1000, body)
        theirs = {name.lower(): revealed(value).strip() for name, value in self._headers.items()}
        verify = self._verify if isinstance(self._verify, bool) else revealed(self._verify)
        return revealed(self._url).strip(), {**made, **theirs}, verify

    def _judged(self, answer: HttpAnswer) -> Answer:
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return Answer(Outcome.SENT, f"answered {answer.status}")
        if 300 <= answer.status < 400:  # noqa: PLR2004
            reason = f"answered {answer.status}, a redirect; set `url` to the address where it leads"
            return later(answer, self._clock, reason)
        return unsuccessful(answer, self._clock)


def signature(secret: str, at: int, body: bytes) -> str:
    """Sign time (seconds) and body: `t=TIME,v1=HEX`, HMAC-SHA256 of `TIME.BODY`."""
    digest = hmac.new(secret.encode("utf-8", "surrogateescape"), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


def payload(
    notification: Notification, most: int = 0, fields: Mapping[str, str] = NO_TEXTS, external_url: str = ""
) -> dict[str, Any]:
    """Give the payload of version 4. With `most` only so many alerts, what changed first; `truncatedAlerts` counts."""
    notices = (*notification.firing, *notification.resolved)
    if most and len(notices) > most:
        notices = tuple(text.changed_first(notification)[:most])
    alerts = [_alert(notice, notification.external_labels) for notice in notices]
    labels = _common(alert["labels"] for alert in alerts)
    made = {
        "version": "4",
        "groupKey": text.whole(notification.group_key),
        "truncatedAlerts": len(notification.firing) + len(notification.resolved) - len(alerts),
        "status": "firing" if notification.firing else "resolved",
        "receiver": text.whole(notification.receiver),
        "groupLabels": _texts(notification.group_labels)
        or {name: value for name, value in labels.items() if name == "alertname"},
        "commonLabels": labels,
        "commonAnnotations": _common(alert["annotations"] for alert in alerts),
        "externalURL": external_url,
        "alerts": alerts,
    }
    if notification.notes:
        made["notes"] = [text.whole(note) for note in notification.notes]
    if fields:
        made["fields"] = dict(fields)
    return made


def _alert(notice: Notice, external: Mapping[str, str]) -> dict[str, Any]:
    labels = {**external, **notice.labels, "alertname": notice.name}
    if notice.severity:
        labels["severity"] = notice.severity
    annotations = {
        "why": notice.why,
        "value": notice.value,
        "ended": notice.ended,
        "acknowledged": notice.acked,
        "flapping": notice.flapping,
    }
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
