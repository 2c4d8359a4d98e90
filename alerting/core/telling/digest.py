"""From what is due to messages: which steps share one, under which key, and why it is sent.

Theory. A receiver whose message stands for an *alert* gets one per alert; one whose message stands for a *group* gets
one per group: what changed, and beside it what of the group is still firing. The key under which a message is sent is
minted with the first alert of an episode and kept in `Announced` as long as something that was told under it was not
told as over; later changes look it up there and nowhere else. So a resolve carries the key of its page, whatever
happened to rule, routes, receivers or settings since.

Keys hold the installation's id: two hosts that run the same rules never close each other's incidents. Ids are
hashes of what is owed, (alert, episode, step) and the receiver: a change that is replayed doubles no message.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.owing import is_urgent
from alerting.model import LOUD, Step, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alerting.core.telling.owing import Owed
    from alerting.model import AlertKey, Millis, Notification, Receiver


class Reason(StrEnum):
    """Why a message is sent."""

    FIRST = "firing"  # the first of its key
    MORE = "more firing"
    SOME_RESOLVED = "some resolved"
    BOTH = "some firing, some resolved"
    ALL_RESOLVED = "all resolved"
    WORSE = "got worse"
    RETURNED = "no longer acknowledged"
    ESCALATED = "nobody has acknowledged"
    FLAPPING = "flapping"
    REMINDER = "still firing"
    BETTER = "got better"
    ACKNOWLEDGED = "acknowledged"


# Of several things that happened, the first of these names the message.
_NAMING = (
    (Step.WORSE, Reason.WORSE),
    (Step.RETURNED, Reason.RETURNED),
    (Step.ESCALATED, Reason.ESCALATED),
    (Step.FLAPPING, Reason.FLAPPING),
    (Step.FIRING, Reason.MORE),
    (Step.REMINDER, Reason.REMINDER),
    (Step.BETTER, Reason.BETTER),
    (Step.ACKNOWLEDGED, Reason.ACKNOWLEDGED),
)


class Bundle(NamedTuple):
    """One message in the making: one receiver, one key, what changed and what goes on."""

    id: str
    receiver: str
    group_key: str
    group: str  # Direction.group, or what stands for several of them in a storm
    reason: Reason
    changed: Sequence[Owed]  # all that is not over
    resolved: Sequence[Owed]
    ongoing: Sequence[AlertKey]  # told before under this key, and still firing
    storm: bool = False

    @property
    def urgent(self) -> bool:
        """Whether it goes before others."""
        return any(is_urgent(owed.subject.severity) for owed in self.changed if owed.step in LOUD)

    def counts(self) -> str:
        """Say how many: `2 new, 1 resolved, 3 still firing`."""
        new = sum(owed.step is Step.FIRING for owed in self.changed)
        others = {Step.REMINDER: "still firing", Step.ESCALATED: "escalated"}
        named: dict[str, int] = {}
        for owed in self.changed:
            if owed.step is not Step.FIRING:
                word = others.get(owed.step, str(owed.step))
                named[word] = named.get(word, 0) + 1
        if self.resolved:
            named["resolved"] = len(self.resolved)
        if self.ongoing:
            named["still firing"] = named.get("still firing", 0) + len(self.ongoing)
        parts = [(new, "new"), *((number, word) for word, number in named.items())]
        return ", ".join(f"{number} {word}" for number, word in parts if number)


class Announced:
    """What each receiver was told of which alerts, until it is told their end. Changes when `take` is called."""

    def __init__(self, pairs: Mapping[tuple[AlertKey, str], Told]) -> None:
        """Begin with what the store keeps."""
        self.told: dict[AlertKey, dict[str, Told]] = {}
        self._members: dict[tuple[str, str], dict[AlertKey, None]] = {}  # (receiver, group key) -> alerts
        self._keys: dict[tuple[str, str], str] = {}  # (receiver, group) -> the key used last, while it lasts
        self._groups: dict[tuple[str, str], set[str]] = {}  # (receiver, group key) -> groups that it stands for
        for (key, receiver), told in pairs.items():
            self._add(key, receiver, told)

    def of(self, key: AlertKey) -> Mapping[str, Told]:
        """Give what was told of an alert, by receiver."""
        return self.told.get(key, {})

    def members(self, receiver: str, group_key: str) -> Iterable[AlertKey]:
        """Give the alerts that were told under a key and not told as over."""
        return self._members.get((receiver, group_key), ())

    def key_of(self, receiver: str, group: str) -> str:
        """Give the key under which other alerts of a group were told; empty: there are none."""
        return self._keys.get((receiver, group), "")

    def place(self, key: AlertKey, receiver: str, group: str) -> None:
        """Say which group an alert belongs to that was told before the process began."""
        told = self.told.get(key, {}).get(receiver)
        if told is not None:
            self._name(receiver, group, told.group_key)

    def take(self, bundles: Iterable[Bundle], now: Millis) -> None:
        """Take what was told."""
        for bundle in bundles:
            for owed in bundle.resolved:
                self._remove(owed.key, bundle.receiver)
            for owed in bundle.changed:
                told = told_by(owed, bundle.group_key, now)
                self._add(owed.key, bundle.receiver, told)
                self._name(bundle.receiver, owed.direction.group, bundle.group_key)

    def note(self, notification: Notification) -> None:
        """Take what was told besides, by a message that no round has made."""
        for notice in notification.firing:
            told = Told(
                notification.group_key, notification.created, notice.severity, bool(notice.acked), bool(notice.flapping)
            )
            self._add(notice.key, notification.receiver, told)

    def unsay(self, key: AlertKey, receiver: str, told: Told | None) -> None:
        """Take back what a receiver was to be told; it knows as much as before, or (None) nothing."""
        self._remove(key, receiver) if told is None else self._add(key, receiver, told)

    def forget(self, key: AlertKey) -> None:
        """Forget an alert of which nothing is known any more."""
        for receiver in tuple(self.told.get(key, ())):
            self._remove(key, receiver)

    def restamp(self, move: Callable[[Millis], Millis]) -> None:
        """Move the times of telling."""
        for receivers in self.told.values():
            for receiver, told in receivers.items():
                receivers[receiver] = told._replace(at=move(told.at))

    def _name(self, receiver: str, group: str, group_key: str) -> None:
        self._keys[receiver, group] = group_key
        self._groups.setdefault((receiver, group_key), set()).add(group)

    def _add(self, key: AlertKey, receiver: str, told: Told) -> None:
        before = self.told.get(key, {}).get(receiver)
        if before is not None and before.group_key != told.group_key:
            self._remove(key, receiver)
        self.told.setdefault(key, {})[receiver] = told
        self._members.setdefault((receiver, told.group_key), {})[key] = None

    def _remove(self, key: AlertKey, receiver: str) -> None:
        receivers = self.told.get(key, {})
        told = receivers.pop(receiver, None)
        if told is None:
            return
        if not receivers:
            del self.told[key]
        place = receiver, told.group_key
        members = self._members[place]
        del members[key]
        if not members:
            del self._members[place]
            for group in self._groups.pop(place, ()):
                if self._keys.get((receiver, group)) == told.group_key:
                    del self._keys[receiver, group]


def told_by(owed: Owed, group_key: str, now: Millis) -> Told:
    """Give what a receiver knows that is told this."""
    notice = owed.subject.notice
    return Told(group_key, now, owed.subject.severity, bool(notice.acked), bool(notice.flapping))


def digest(
    due: Iterable[Owed], announced: Announced, receivers: Mapping[str, Receiver], installation: str
) -> list[Bundle]:
    """Put what is due into messages. Who is no receiver any more counts as one whose message stands for an alert."""
    parts: dict[tuple[str, str], tuple[list[Owed], list[Owed]]] = {}
    fresh: dict[tuple[str, str], str] = {}  # (receiver, group) -> the key that this digest minted
    for each in due:
        receiver, group = each.receiver, each.direction.group
        told = announced.of(each.key).get(receiver)
        if told is not None:
            group_key = told.group_key
        else:
            alert = each.subject.alert
            group_key = group_key_of(installation, alert.key.rule_id, alert.episode)
            if receiver in receivers and receivers[receiver].stands_for == "group":
                known = fresh.get((receiver, group)) or announced.key_of(receiver, group)
                group_key = fresh[receiver, group] = known or group_key
        parts.setdefault((receiver, group_key), ([], []))[each.step is Step.RESOLVED].append(each)
    return [bundled(place, changed, over, announced) for place, (changed, over) in parts.items()]


def bundled(
    place: tuple[str, str],
    changed: Sequence[Owed],
    resolved: Sequence[Owed],
    announced: Announced,
    *,
    storm: bool = False,
) -> Bundle:
    """Make one message for `place`: receiver and group key."""
    receiver, group_key = place
    news = {owed.key for owed in (*changed, *resolved)}
    before = tuple(announced.members(receiver, group_key))
    ongoing = tuple(key for key in before if key not in news)
    steps = sorted(
        (*owed.key, owed.subject.alert.episode, owed.step, str(owed.nonce)) for owed in (*changed, *resolved)
    )
    identity = hashed(receiver, *(text for step in steps for text in step))
    reason = _reason(changed, resolved, before, ongoing)
    group = (*changed, *resolved)[0].direction.group
    return Bundle(identity, receiver, group_key, group, reason, changed, resolved, ongoing, storm)


def with_ends(bundle: Bundle, ends: Sequence[Owed], announced: Announced) -> Bundle:
    """Let a message tell of more ends under its key."""
    if not ends:
        return bundle
    place = bundle.receiver, bundle.group_key
    return bundled(place, bundle.changed, (*bundle.resolved, *ends), announced, storm=bundle.storm)


def group_key_of(installation: str, rule_id: str, episode: str) -> str:
    """Mint the key that a receiver sees: at most 41 characters, the same for one episode always."""
    return f"alerting-{hashed(installation, rule_id, episode)}"


def _reason(
    changed: Sequence[Owed], resolved: Sequence[Owed], before: Sequence[AlertKey], ongoing: Sequence[AlertKey]
) -> Reason:
    if not changed:
        return Reason.SOME_RESOLVED if ongoing else Reason.ALL_RESOLVED
    steps = {owed.step for owed in changed}
    reason = next(reason for step, reason in _NAMING if step in steps)
    if reason is Reason.MORE and resolved:
        return Reason.BOTH
    return Reason.FIRST if reason is Reason.MORE and not before else reason


def hashed(*texts: str) -> str:
    """Give one text for several; no two rows of texts share one."""
    digest_ = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest_.update(len(data).to_bytes(8, "big"))
        digest_.update(data)
    return digest_.hexdigest()
