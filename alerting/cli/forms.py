"""What the commands' JSON shows of an alert, a transition, a message: one form each, whichever command prints it.

Times are ms since 1970.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alerting.model import Alert, Delivery, Transition


def alert(alert: Alert) -> dict[str, Any]:
    """Give an alert as it stands; `unknown_since` is set while nobody can know whether its condition holds."""
    return {
        "rule": alert.key.rule_id,
        "labels": alert.labels.as_dict(),
        "state": alert.state,
        "since": alert.since,
        "value": alert.value,
        "why": alert.why,
        "episode": alert.episode,
        "unknown_since": alert.paused_at,
    }


def transition(transition: Transition) -> dict[str, Any]:
    """Give a change of an alert's state."""
    return {
        "rule": transition.key.rule_id,
        "labels": transition.labels.as_dict(),
        "before": transition.before,
        "after": transition.after,
        "at": transition.at,
        "why": transition.why,
        "ended": transition.ended,
    }


def delivery(delivery: Delivery) -> dict[str, Any]:
    """Give a message on its way to a receiver; `why` is the reason of the newest attempt that failed."""
    return {
        "notification": delivery.notification.id,
        "receiver": delivery.notification.receiver,
        "title": delivery.notification.title,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_at": delivery.next_at,
        "why": delivery.why,
    }
