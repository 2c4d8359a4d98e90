"""From a notification to what PagerDuty takes: the event's action and fields, within its limits.

Summary, dedup key and event have PagerDuty's own limits (1,024 and 255 characters, 512 KB). An event that would be
larger loses details first: long ones are cut, then all but the identity go. What is left (summary, source, severity,
key, links) is bounded field by field, so it always fits.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from alerting.model import NO_TEXTS
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.model import ChangeEvent, Notice, Notification

_SUMMARY = 1024
_KEY = 255
_EVENT = 500 * 1024  # bytes; PagerDuty takes 512 KB, and the routing key is added later
# PagerDuty states no limit for these; they are for its readers' sake.
_FIELD = 255
_DETAIL = 20_000
_SHORT_DETAIL = 300
_ALERTS = 50  # of a group, in the details
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
_GRAVITY = ("critical", "error", "warning", "info")
_SOURCE = ("instance", "host", "hostname", "node")
_COMPONENT = ("component", "service", "job")
_GROUP = ("group", "cluster", "namespace", "environment")


def dedup_key(group_key: str) -> str:
    """Give the key as PagerDuty can take it; one that is too long ends in a hash of the whole, so stays unique."""
    if text.cut(group_key, _KEY) == group_key and group_key.isprintable():
        return group_key
    digest = hashlib.sha256(group_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text.cut(text.line(group_key), _KEY - len(digest) - 1)} {digest}"


def action(notification: Notification) -> str:
    """Say what an event does: it opens (or joins) the incident, takes it on, or closes it."""
    if notification.all_resolved:
        return "resolve"
    return "acknowledge" if notification.acknowledged and not notification.loud else "trigger"


def severity_of(notice: Notice, default: str, ours: Mapping[str, str] = NO_TEXTS) -> str:
    """Give PagerDuty's word for how grave an alert is; `ours` goes before the names that are known."""
    name = notice.severity.strip()
    return ours.get(name) or SEVERITIES.get(name.lower(), default)


def trigger(
    notification: Notification,
    instance: str,
    default: str,
    client_url: str,
    *,
    severities: Mapping[str, str] = NO_TEXTS,
    fields: Mapping[str, str] = NO_TEXTS,
) -> dict[str, Any]:
    """Give the fields of a trigger event, besides action and key. `fields` are further details."""
    firing = notification.firing
    notice = firing[0]
    pairs = {**notification.external_labels, **notice.labels}
    graveness = [severity_of(each, default, severities) for each in firing]
    payload: dict[str, Any] = {
        "summary": text.cut(text.line(notification.title).strip(), _SUMMARY) or "alert",
        "source": _first(notice.labels, _SOURCE) or _first(pairs, _SOURCE) or _field(instance) or "alerting",
        "severity": min(graveness, key=_GRAVITY.index),
        "timestamp": _time(min(each.fired_at for each in firing)),
        "class": _field(notice.name) or "alert",
        "component": _first(pairs, _COMPONENT),
        "group": _first(pairs, _GROUP),
    }
    event: dict[str, Any] = {
        "payload": {name: value for name, value in payload.items() if value},
        "client": "alerting",
        "links": [{"href": url, "text": words} for words, url in text.links(notice).items()],
    }
    if client_url:
        event["client_url"] = client_url
    if image := text.image(notice):
        event["images"] = [{"src": image, "href": image, "alt": _field(notice.name) or "alert"}]
    details = {**_details(notification, notice), **fields}
    identity = {"alert": notice.key.fingerprint, "note": "details left out: the event was too large for PagerDuty"}
    for shown in (_shown(details, _DETAIL), _shown(details, _SHORT_DETAIL), identity):
        event["payload"]["custom_details"] = shown
        if len(json.dumps(event)) <= _EVENT:
            break
    return event


def change(event: ChangeEvent) -> dict[str, Any]:
    """Give a change event, within the same limits."""
    payload: dict[str, Any] = {
        "summary": text.cut(text.line(event.summary).strip(), _SUMMARY) or "change",
        "source": _field(event.source) or "alerting",
        "timestamp": _time(event.at),
        "custom_details": _shown(event.details, _DETAIL),
    }
    links = [text.link(url) for url in event.links]
    made = {"payload": payload, "links": [{"href": url, "text": url} for url in links if url]}
    if len(json.dumps(made)) > _EVENT:
        payload["custom_details"] = {"note": "details left out: the event was too large for PagerDuty"}
    return made


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
        "route": notification.route,
        "notes": "\n".join(notification.notes),
        "taken by": notice.acked,
        "flapping": notice.flapping,
    }
    firing = notification.firing
    if len(firing) > 1:
        details["firing"] = "\n".join(f"{each.name} {text.labels(each.labels, 200)}" for each in firing[:_ALERTS])
        if len(firing) > _ALERTS:
            details["firing"] += f"\nand {len(firing) - _ALERTS} more"
    return details


def _shown(details: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Give details as they may be shown, each text cut to `longest` characters."""
    return {
        _field(name): text.cut(text.lines(value), longest) if isinstance(value, str) else _shown(value, longest)
        for name, value in details.items()
        if value
    }


def _first(pairs: Mapping[str, str], names: Iterable[str]) -> str:
    return next((_field(pairs[name]) for name in names if pairs.get(name)), "")


def _field(value: str) -> str:
    return text.cut(text.line(value).strip(), _FIELD)


def _time(at: int) -> str:
    return text.utc(at).replace(" ", "T")
