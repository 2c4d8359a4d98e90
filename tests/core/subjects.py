"""What tests of the telling share: alerts that fire, and what is owed of them."""

from __future__ import annotations

from typing import Any

from alerting.core.lifecycle import episode_of
from alerting.core.telling.owing import Owed
from alerting.core.telling.render import Context, notice
from alerting.core.telling.routing import DIRECT, Direction, Subject, matched
from alerting.model import Alert, AlertKey, AlertState, Labels, RuleSpec, Step


def key(series: str, rule_id: str = "r") -> AlertKey:
    """Make an alert's key."""
    return AlertKey(rule_id, Labels({"a": series}).fingerprint)


def subject(series: str, at: int = 1, rule_id: str = "r", why: str = "so", **more: Any) -> Subject:
    """Make an alert that fires since `at`."""
    labels, place = Labels({"a": series}), key(series, rule_id)
    episode = episode_of(place, at)
    alert = Alert(place, labels, AlertState.FIRING, at, 1.0, why, fired_at=at, episode=episode)
    spec = RuleSpec(rule_id, "R", "", **more)
    said = notice(alert, spec, "", Context())
    return Subject(alert, spec, said, matched(said, said.severity, {}), fired=alert.fired_at or alert.since)


def owed(receiver: str, series: str, step: Step = Step.FIRING, at: int = 1, rule_id: str = "r", **more: Any) -> Owed:
    """Make one step that a receiver is to hear of, in a group of its rule."""
    found = subject(series, at, rule_id, **more)
    direction = Direction(receiver, "because", DIRECT, f"rule {rule_id}", {"alertname": "R"})
    return Owed(found, step, receiver, direction)
