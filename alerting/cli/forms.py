"""What the commands' JSON shows of an alert, a transition, a message: one form each, whichever command prints it.

Times are ms since 1970.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alerting.model import Alert, Attempt, Decision, Delivery, Transition


def alert(alert: Alert) -> dict[str, Any]:
    """Give an alert as it stands; `unknown_since` is set while nobody can know whether its condition holds."""
    return {
        "rule": alert.key.rule_id,
        "labels": alert.labels.as_dict(),
        "state": alert.state,
        "level": alert.level,
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
        "level": transition.level,
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


def decision(decision: Decision) -> dict[str, Any]:
    """Give what a stage decided about one step of an alert for one receiver (empty: nobody at all)."""
    return {
        "rule": decision.key.rule_id,
        "fingerprint": decision.key.fingerprint,
        "at": decision.at,
        "episode": decision.episode,
        "step": decision.step,
        "receiver": decision.receiver,
        "outcome": decision.outcome,
        "stage": decision.stage,
        "why": decision.why,
        "by": decision.by,
        "until": decision.until,
        "route": decision.route,
    }


def attempt(attempt: Attempt) -> dict[str, Any]:
    """Give how an attempt at a message ended; without an outcome none was made. `state`: of the message, after it."""
    return {
        "at": attempt.at,
        "number": attempt.number,
        "outcome": attempt.outcome,
        "state": attempt.state,
        "why": attempt.why,
    }
