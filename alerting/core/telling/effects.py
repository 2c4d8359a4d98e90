"""What a round of telling comes to: messages, decisions, and what they change once the store has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.grouping import Group
    from alerting.core.telling.muting import Held
    from alerting.core.telling.routing import Subject
    from alerting.core.telling.state import Over
    from alerting.model import AlertKey, Decision, Millis, Notice, Notification, Step


class Telling(NamedTuple):
    """What people are to hear of one turn, and what that changes; nothing of it has taken effect."""

    notifications: Sequence[Notification] = ()
    decisions: Sequence[Decision] = ()
    texts: Mapping[str, str | None] = {}
    effects: Effects | None = None


class Effects(NamedTuple):
    """What a telling changes in the state once the store has it. None as a value: forgotten."""

    now: Millis
    era: int
    bundles: Sequence[Bundle]
    subjects: Mapping[AlertKey, Subject | None]
    over: Mapping[AlertKey, Over | None]
    held: Mapping[tuple[AlertKey, str], tuple[Step, Held] | None]
    looked: Sequence[AlertKey]
    groups: Mapping[tuple[str, str], Group | None]
    acks: Sequence[AlertKey]  # those that are over
    notices: Mapping[AlertKey, Notice]
    warned: Sequence[tuple[str, Millis]]
    silences: Sequence[str]  # ids of those that nobody will ask for any more
    storms: Sequence[tuple[str, str]]  # summaries that stand for nothing any more
    stand_ins: Sequence[tuple[AlertKey, str]]  # of whom nothing can be passed on any more
