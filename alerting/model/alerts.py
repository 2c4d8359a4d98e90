"""Alerts, and what happens to them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alerting.model.basics import Millis, Value
    from alerting.model.labels import Labels


class AlertState(StrEnum):
    """The states that are kept; an inactive alert is no record at all."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    INACTIVE = "inactive"  # only ever seen as the end of a transition


class AlertKey(NamedTuple):
    """The identity of an alert: a rule and the series' labels, before labels that the rule adds."""

    rule_id: str
    fingerprint: str


class Alert(NamedTuple):
    """One rule's alert about one series. `value` and `why` are those of its last transition."""

    key: AlertKey
    labels: Labels
    state: AlertState
    since: Millis  # of the present state; for `pending` moved on by time that was unknown
    value: Value
    why: str
    fired_at: Millis | None = None
    resolved_at: Millis | None = None
    episode: str = ""  # set when it fires; a hash of key and fired_at
    quiet_since: Millis | None = None  # firing, but the condition is false since then
    paused_at: Millis | None = None  # the condition is unknown (or the series gone) since then
    version: int = 0
    gone_since: Millis | None = None  # its source was read without the series since then
    level: str = ""  # the name of the rule's level that it has reached; empty: the rule has none
    firings: tuple[Millis, ...] = ()  # when it began to fire lately, this episode included: what flapping is told by
    endings: tuple[Millis, ...] = ()  # when it ceased to; with `firings` its changes of a day or more, the newest ones


class Ended(StrEnum):
    """Why an alert is over. Only RECOVERED claims that things are well."""

    RECOVERED = "recovered"
    NOT_REPORTED = "no longer reported"
    NO_DATA = "ended: no data"
    RULE_REMOVED = "rule removed"


class Transition(NamedTuple):
    """One change of one alert; append-only."""

    key: AlertKey
    labels: Labels
    before: AlertState
    after: AlertState
    at: Millis
    value: Value
    why: str
    episode: str = ""
    ended: Ended | None = None
    level: str = ""  # after it; a change of level alone is a transition from firing to firing
