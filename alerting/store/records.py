"""Rows and records: how the nouns of `model` are written into the state, and the few laws that all stores share.

JSON, by name, so that a later release may add a field and still read what an earlier one wrote. Never pickle: a
tampered row can be wrong, but it cannot run. NaN and the infinities are written as Python's json does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerting.model import (
    Alert,
    AlertKey,
    AlertState,
    Decision,
    DeliveryState,
    Ended,
    Labels,
    Notice,
    Notification,
    Picture,
    Transition,
)

if TYPE_CHECKING:
    from alerting.model import Millis
    from alerting.ports import Change

INTERRUPTED = "alerting stopped while this was being sent: it may have arrived"
SETTLED = (DeliveryState.SENT, DeliveryState.PARKED)
FURTHEST: Millis = 3_600_000  # no wait is longer: what is due later than this was set by a clock that stepped back

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what a damaged row can raise when read

dump = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so that odd characters of names survive any file


def is_empty(change: Change) -> bool:
    """Tell whether there is nothing to write."""
    return not (
        change.alerts
        or change.dropped
        or change.transitions
        or change.notifications
        or change.evaluated
        or change.forgotten
        or change.faults
        or change.good_config is not None
        or change.texts
        or change.decisions
    )


def printable(text: str) -> str:
    """Give text from outside as valid Unicode; half a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


# ------------------------------------------------------------------------------------------- to rows


def alert_text(alert: Alert) -> str:
    """Write an alert, all but its key."""
    return dump(
        {
            "labels": alert.labels.pairs,
            "state": alert.state,
            "since": alert.since,
            "value": alert.value,
            "why": alert.why,
            "fired_at": alert.fired_at,
            "resolved_at": alert.resolved_at,
            "episode": alert.episode,
            "quiet_since": alert.quiet_since,
            "paused_at": alert.paused_at,
            "version": alert.version,
            "gone_since": alert.gone_since,
            **({"level": alert.level} if alert.level else {}),
            **({"firings": alert.firings} if alert.firings else {}),
        }
    )


def transition_text(transition: Transition) -> str:
    """Write a transition, all but its key and time."""
    return dump(
        {
            "labels": transition.labels.pairs,
            "before": transition.before,
            "after": transition.after,
            "value": transition.value,
            "why": transition.why,
            "episode": transition.episode,
            "ended": transition.ended,
            **({"level": transition.level} if transition.level else {}),
        }
    )


def decision_text(decision: Decision) -> str:
    """Write a decision, all but its key and time."""
    row = decision._asdict()
    del row["key"], row["at"]
    return dump(row)


def notification_text(notification: Notification) -> str:
    """Write a notification whole: what was announced does not change, whatever is edited since."""
    return dump(
        {
            "id": notification.id,
            "receiver": notification.receiver,
            "group_key": notification.group_key,
            "reason": notification.reason,
            "created": notification.created,
            "title": notification.title,
            "firing": [_notice(notice) for notice in notification.firing],
            "resolved": [_notice(notice) for notice in notification.resolved],
            "external_labels": dict(notification.external_labels),
            "loud": notification.loud,
            "urgent": notification.urgent,
            "notes": notification.notes,
            "group_labels": dict(notification.group_labels),
            "route": notification.route,
            "announces": notification.announces,
        }
    )


def notice_text(notice: Notice) -> str:
    """Write what was announced of one alert."""
    return dump(_notice(notice))


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "key": notice.key,
        "episode": notice.episode,
        "step": notice.step,
        "name": notice.name,
        "labels": dict(notice.labels),
        "severity": notice.severity,
        "value": notice.value,
        "why": notice.why,
        "fired_at": notice.fired_at,
        "resolved_at": notice.resolved_at,
        "ended": notice.ended,
        "annotations": dict(notice.annotations),
        "runbook_url": notice.runbook_url,
        "acked": notice.acked,
        "flapping": notice.flapping,
        "picture": notice.picture,
    }


# ------------------------------------------------------------------------------------------- from rows


def read_alert(rule_id: str, fingerprint: str, text: str) -> Alert:
    """Read an alert. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    return Alert(
        key=AlertKey(rule_id, fingerprint),
        labels=_labels(row.pop("labels")),
        state=AlertState(row.pop("state")),
        firings=tuple(row.pop("firings", ())),
        **row,
    )


def read_transition(rule_id: str, fingerprint: str, at: Millis, text: str) -> Transition:
    """Read a transition. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    ended = row.pop("ended")
    return Transition(
        key=AlertKey(rule_id, fingerprint),
        labels=_labels(row.pop("labels")),
        before=AlertState(row.pop("before")),
        after=AlertState(row.pop("after")),
        at=at,
        ended=None if ended is None else Ended(ended),
        **row,
    )


def read_decision(rule_id: str, fingerprint: str, at: Millis, text: str) -> Decision:
    """Read a decision. Raises one of UNREADABLE when the row is damaged."""
    return Decision(key=AlertKey(rule_id, fingerprint), at=at, **json.loads(text))


def read_notification(text: str) -> Notification:
    """Read a notification. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    firing = tuple(_read_notice(each) for each in row.pop("firing"))
    resolved = tuple(_read_notice(each) for each in row.pop("resolved"))
    notes = tuple(row.pop("notes", ()))
    return Notification(firing=firing, resolved=resolved, notes=notes, **row)


def read_notice(text: str) -> Notice:
    """Read what was announced. Raises one of UNREADABLE when the row is damaged."""
    return _read_notice(json.loads(text))


def _labels(pairs: list[list[str]]) -> Labels:
    return Labels((name, value) for name, value in pairs)


def _read_notice(row: dict[str, Any]) -> Notice:
    picture = row.pop("picture", None)
    return Notice(key=AlertKey(*row.pop("key")), picture=_read_picture(picture), **row)


def _read_picture(row: list[Any] | None) -> Picture | None:
    if row is None:
        return None
    points, threshold, unit = row
    return Picture(tuple((at, value) for at, value in points), threshold, unit)
