"""The nouns of the project: frozen records that every part may know and none may change.

Times are integer milliseconds since 1970 in UTC (`Millis`); durations are milliseconds too, unless a name
says otherwise. Nothing here reads a clock, a file or a socket, and nothing is imported beyond the standard
library.
"""

from alerting.model.alerts import Alert, AlertKey, AlertState, Ended, Transition
from alerting.model.basics import ALERTS, LATEST, NO_TEXTS, RECEIVER_DOWN, SHARED, Millis, Redact, Value, Why
from alerting.model.conditions import Condition, Gap, Pattern, Patterns, Result, Truth, Verdict
from alerting.model.labels import NO_LABELS, Labels
from alerting.model.messages import (
    LOUD,
    Ack,
    Answer,
    Attempt,
    ChangeEvent,
    Decision,
    Delivery,
    DeliveryState,
    Notice,
    Notification,
    Outcome,
    Picture,
    Recall,
    Receipt,
    Silence,
    Step,
    Told,
    Unsaid,
)
from alerting.model.metrics import Fault, FaultKind, Kind, Matcher, Metric, Need, Reading, Sample
from alerting.model.routes import Cause, Flapping, Inhibition, Receiver, Route, StandsFor, Storm, TimeSpan
from alerting.model.rules import NOWHERE, Escalation, Level, OnMissing, Origin, Rule, RuleSpec
from alerting.model.secret import Secret
from alerting.model.settings import Section

__all__ = [
    "ALERTS",
    "LATEST",
    "LOUD",
    "NOWHERE",
    "NO_LABELS",
    "NO_TEXTS",
    "RECEIVER_DOWN",
    "SHARED",
    "Ack",
    "Alert",
    "AlertKey",
    "AlertState",
    "Answer",
    "Attempt",
    "Cause",
    "ChangeEvent",
    "Condition",
    "Decision",
    "Delivery",
    "DeliveryState",
    "Ended",
    "Escalation",
    "Fault",
    "FaultKind",
    "Flapping",
    "Gap",
    "Inhibition",
    "Kind",
    "Labels",
    "Level",
    "Matcher",
    "Metric",
    "Millis",
    "Need",
    "Notice",
    "Notification",
    "OnMissing",
    "Origin",
    "Outcome",
    "Pattern",
    "Patterns",
    "Picture",
    "Reading",
    "Recall",
    "Receipt",
    "Receiver",
    "Redact",
    "Result",
    "Route",
    "Rule",
    "RuleSpec",
    "Sample",
    "Secret",
    "Section",
    "Silence",
    "StandsFor",
    "Step",
    "Storm",
    "TimeSpan",
    "Told",
    "Transition",
    "Truth",
    "Unsaid",
    "Value",
    "Verdict",
    "Why",
]
