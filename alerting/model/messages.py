"""What people are told, and how far the telling has come."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from alerting.model.basics import NO_TEXTS, Millis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model.alerts import AlertKey
    from alerting.model.metrics import Matcher


class Step(StrEnum):
    """What people hear of one alert. Owed once per (alert, episode, step and its number, receiver)."""

    FIRING = "firing"
    WORSE = "worse"  # its level rose
    BETTER = "better"  # its level fell; it fires on
    REMINDER = "reminder"  # it fires on, and `repeat_interval` is over
    ESCALATED = "escalated"  # nobody has taken it on in time
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"  # an acknowledgement ended while it fires
    FLAPPING = "flapping"  # it comes and goes: no more is said until it is calm
    RESOLVED = "resolved"
    ONGOING = "ongoing"  # nothing: it only stands beside what changed


LOUD = frozenset((Step.FIRING, Step.WORSE, Step.REMINDER, Step.ESCALATED, Step.RETURNED, Step.FLAPPING))


class Silence(NamedTuple):
    """Somebody does not want to be told of what these matchers fit, for a time."""

    id: str
    matchers: tuple[Matcher, ...]  # all must fit; never none
    starts: Millis
    ends: Millis
    author: str
    comment: str
    created: Millis


class Ack(NamedTuple):
    """Somebody has taken on an alert. Ends at `until`, with its episode, or when its severity rises."""

    key: AlertKey
    episode: str
    by: str
    at: Millis
    until: Millis
    severity: str = ""  # of the alert, then
    comment: str = ""


class Decision(NamedTuple):
    """What became of one step of one alert for one receiver (empty: nobody at all), and why. Append-only."""

    at: Millis
    key: AlertKey
    episode: str
    step: str  # a word of Step, with a number where it may come again: `reminder-2`
    receiver: str
    outcome: Literal["told", "held", "dropped"]  # in a message; not now; never
    stage: str  # route, depends, inhibit, window, silence, ack, flapping, group, storm …
    why: str
    by: str = ""  # the id of the silence, the name of the window, the message's id …
    until: Millis | None = None  # held: when it is looked at again at the latest
    route: str = ""  # held: how the receiver was chosen; of what was told, `why` says it


class Told(NamedTuple):
    """What one receiver was told last of an alert whose end it has not heard of."""

    group_key: str
    at: Millis = 0
    severity: str = ""
    acked: bool = False
    flapping: bool = False


class Picture(NamedTuple):
    """The value of one series over time, for a small picture."""

    points: tuple[tuple[Millis, float], ...]  # oldest first
    threshold: float | None = None  # what the condition compares it with, in the same unit
    unit: str = ""


class Notice(NamedTuple):
    """What a message says of one alert: a snapshot, so that later edits cannot change what was announced."""

    key: AlertKey
    episode: str
    step: str  # a word of model.Step: what happened to it, or ONGOING where it only stands beside what changed
    name: str  # the rule's name
    labels: Mapping[str, str]  # the series' and the rule's own
    severity: str
    value: str  # with its unit, as people read it
    why: str
    fired_at: Millis
    resolved_at: Millis | None = None
    ended: str = ""
    annotations: Mapping[str, str] = NO_TEXTS
    runbook_url: str = ""
    acked: str = ""  # who has taken it on, and until when: `ann, until 14:05Z`; empty: nobody
    flapping: str = ""  # why it counts as flapping; empty: it does not
    picture: Picture | None = None
    was: str = ""  # its severity before, where this message says that it has changed
    before: Told | None = None  # what its receiver knew of it before this message; None: nothing, or it is not asked
    heard: Literal["", "perhaps", "never"] = ""  # an attempt that said this may have arrived; over, and its beginning
    # was told to nobody; empty: as the step says


class Notification(NamedTuple):
    """One message that is owed to one receiver. Its `id` is its idempotency key."""

    id: str
    receiver: str
    group_key: str  # the dedup key shown to the receiver; holds the installation's id
    reason: str  # why it is sent: "1 new", "all resolved" …
    created: Millis
    title: str
    firing: tuple[Notice, ...] = ()
    resolved: tuple[Notice, ...] = ()
    external_labels: Mapping[str, str] = NO_TEXTS
    loud: bool = True  # somebody should look: a new post; False: what was posted may change quietly
    urgent: bool = False  # goes before what is not
    notes: tuple[str, ...] = ()  # lines for people: what this message hides, which silence ended, what it sums up
    group_labels: Mapping[str, str] = NO_TEXTS
    route: str = ""  # how the receiver was chosen
    announces: bool = True  # what fires in it counts as told to its receiver
    instead_of: tuple[str, ...] = ()  # receivers that could not be told, in the order in which they were tried
    noted_ends: tuple[
        Notice, ...
    ] = ()  # which only a note tells, as the alert fires again: told if that is called back

    @property
    def all_resolved(self) -> bool:
        """Tell whether nothing of the group fires any more."""
        return not self.firing

    @property
    def acknowledged(self) -> bool:
        """Tell whether somebody has taken on everything that fires."""
        return bool(self.firing) and all(notice.acked for notice in self.firing)


class ChangeEvent(NamedTuple):
    """A change to what is watched, such as a deployment: told for the record, nobody is paged."""

    summary: str
    source: str
    at: Millis
    links: tuple[str, ...] = ()
    details: Mapping[str, str] = NO_TEXTS


class Recall(NamedTuple):
    """A message that is called back before it was sent, or what of it is."""

    id: str  # under which it is owed
    left: Notification  # under another id: what it says without; where that is nothing, what it said
    whole: bool  # nothing of it is left: it is not sent
    why: str
    gone: tuple[tuple[AlertKey, str], ...] = ()  # alerts and episodes that it was to say fire: they are said later


class Unsaid(NamedTuple):
    """What a receiver is to have been told of an alert after something was called back."""

    key: AlertKey
    receiver: str
    told: Told | None = None  # None: nothing
    notice: Notice | None = None  # in which words, where something


Receipt: TypeAlias = "Mapping[str, str]"  # what a receiver gave back: Slack's ts and channel, PagerDuty's key


class Outcome(StrEnum):
    """How one attempt to deliver ended."""

    SENT = "sent"
    UNKNOWN = "unknown"  # the request may have been taken: the answer was lost
    RETRY = "retry"
    REFUSED = "refused"  # for good: trying again cannot help


class Answer(NamedTuple):
    """What a notifier says of one attempt."""

    outcome: Outcome
    why: str = ""
    retry_after: Millis | None = None  # the receiver's own wish
    receipt: Receipt | None = None


class DeliveryState(StrEnum):
    """Where an owed message stands. created = sent + parked + folded + pending + claimed, always."""

    PENDING = "pending"  # owed, not being sent now
    CLAIMED = "claimed"  # being sent
    SENT = "sent"
    PARKED = "parked"  # given up, with the reason
    FOLDED = "folded"  # not sent by itself: a later message tells what it had to say, or it was called back


class Delivery(NamedTuple):
    """An owed message and how far its sending has come."""

    notification: Notification
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at: Millis = 0
    why: str = ""  # of the last attempt, or of the parking
    outcome: Outcome | None = None  # of the last attempt; as a store keeps what is owed, UNKNOWN if any was
    receipt: Receipt | None = None
    claimed_by: str = ""
    claimed_until: Millis = 0
    settled_at: Millis = 0  # when it was sent, parked or folded; 0: it is still owed
    tried_at: Millis = 0  # when the attempt ended that is being settled; a store keeps it with the attempt alone
    owed_since: Millis = 0  # when the oldest of what it tells, and nobody else was told in its place, came to be owed
    passed_on: bool = False  # to the receiver's fallback
    previous: Receipt | None = None  # of the newest message that was sent under its key; only while it is claimed
    told_by: str = ""  # folded: the id of the message that tells it; empty: it was called back


class Attempt(NamedTuple):
    """What became of an owed message at one moment: an attempt and its end, or an end without one. Append-only."""

    at: Millis
    number: int  # of attempts so far
    outcome: Outcome | None  # None: none was made
    state: DeliveryState  # after it
    why: str = ""
