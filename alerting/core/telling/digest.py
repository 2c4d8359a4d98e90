"""From what is owed to messages: which changes share one, under which key, and why it is sent.

Theory. A receiver whose message stands for an *alert* gets one per alert; one whose message stands for a *group*
gets one per rule: what changed, and beside it what of the rule is still firing. There is no waiting and no
repeating. The key under which a message is sent is minted with the first alert of an episode and kept in
`Announced` as long as something that was told under it still fires; later changes look it up there and nowhere
else. So a resolve carries the key of its page, whatever happened to rule, receivers or settings since.

Keys hold the installation's id: two hosts that run the same rules never close each other's incidents. Ids are
hashes of what is owed, (alert, episode, step) and the receiver: a change that is replayed doubles no message.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.core.telling.routing import Owed
    from alerting.model import Alert, AlertKey, StandsFor


class Reason(StrEnum):
    """Why a message is sent."""

    FIRST = "firing"  # the first of its key
    MORE = "more firing"
    SOME_RESOLVED = "some resolved"
    BOTH = "some firing, some resolved"
    ALL_RESOLVED = "all resolved"


class Bundle(NamedTuple):
    """One message in the making: one receiver, one key, what changed and what goes on."""

    id: str
    receiver: str
    group_key: str
    reason: Reason
    firing: Sequence[Owed]  # new ones
    resolved: Sequence[Owed]
    ongoing: Sequence[AlertKey]  # told before under this key, and still firing

    def counts(self) -> str:
        """Say how many: `2 new, 1 resolved, 3 still firing`."""
        parts = (
            (len(self.firing), "new"),
            (len(self.resolved), "resolved"),
            (len(self.ongoing), "still firing"),
        )
        return ", ".join(f"{number} {word}" for number, word in parts if number)


class Announced:
    """Who was told of which firing alerts, under which key. Changes in place, when `take` is called."""

    def __init__(self, pairs: Mapping[tuple[AlertKey, str], str]) -> None:
        """Begin with (alert, receiver) -> group key, as the store keeps it."""
        self.told: dict[AlertKey, dict[str, str]] = {}  # alert -> receiver -> group key
        self._members: dict[tuple[str, str], dict[AlertKey, None]] = {}  # (receiver, group key) -> alerts
        self._keys: dict[tuple[str, str], str] = {}  # (receiver, rule id) -> the group key used last, while it lasts
        for (key, receiver), group_key in pairs.items():
            self._add(key, receiver, group_key)

    def members(self, receiver: str, group_key: str) -> Iterable[AlertKey]:
        """Give the alerts that were told under a key and still fire."""
        return self._members.get((receiver, group_key), ())

    def group_of(self, receiver: str, rule_id: str) -> str:
        """Give the key under which other alerts of a rule were told; empty: none fires."""
        return self._keys.get((receiver, rule_id), "")

    def take(self, bundles: Iterable[Bundle]) -> None:
        """Take what was told."""
        for bundle in bundles:
            for owed in bundle.resolved:
                self._remove(owed.news.alert.key, bundle.receiver)
            for owed in bundle.firing:
                self._add(owed.news.alert.key, bundle.receiver, bundle.group_key)

    def forget(self, key: AlertKey) -> None:
        """Forget an alert whose row is dropped."""
        for receiver in tuple(self.told.get(key, ())):
            self._remove(key, receiver)

    def _add(self, key: AlertKey, receiver: str, group_key: str) -> None:
        self._remove(key, receiver)
        self.told.setdefault(key, {})[receiver] = group_key
        self._members.setdefault((receiver, group_key), {})[key] = None
        self._keys[receiver, key.rule_id] = group_key

    def _remove(self, key: AlertKey, receiver: str) -> None:
        receivers = self.told.get(key, {})
        group_key = receivers.pop(receiver, None)
        if group_key is None:
            return
        if not receivers:
            del self.told[key]
        members = self._members[receiver, group_key]
        del members[key]
        if not members:
            del self._members[receiver, group_key]
            if self._keys.get((receiver, key.rule_id)) == group_key:
                del self._keys[receiver, key.rule_id]


def digest(
    owed: Iterable[Owed], announced: Announced, stands_for: Mapping[str, StandsFor], installation: str
) -> list[Bundle]:
    """Put what is owed into messages. `stands_for` of a receiver that nobody knows any more counts as `alert`."""
    parts: dict[tuple[str, str], tuple[list[Owed], list[Owed]]] = {}
    fresh: dict[tuple[str, str], str] = {}  # (receiver, rule) -> the key that this digest minted
    for each in owed:
        alert, receiver = each.news.alert, each.receiver
        group_key = announced.told.get(alert.key, {}).get(receiver, "")
        if each.step == Step.FIRING:
            if stands_for.get(receiver) == "group":
                rule_id = alert.key.rule_id
                group_key = fresh.get((receiver, rule_id), "") or announced.group_of(receiver, rule_id)
                group_key = fresh[receiver, rule_id] = group_key or group_key_of(installation, rule_id, alert.episode)
            else:
                group_key = group_key_of(installation, alert.key.rule_id, alert.episode)
        if group_key:
            parts.setdefault((receiver, group_key), ([], []))[each.step != Step.FIRING].append(each)
    return [
        _bundle(receiver, group_key, firing, resolved, announced)
        for (receiver, group_key), (firing, resolved) in parts.items()
    ]


def group_key_of(installation: str, rule_id: str, episode: str) -> str:
    """Mint the key that a receiver sees: at most 41 characters, the same for one episode always."""
    return f"alerting-{_hashed(installation, rule_id, episode)}"


def _bundle(
    receiver: str, group_key: str, firing: Sequence[Owed], resolved: Sequence[Owed], announced: Announced
) -> Bundle:
    changed = {owed.news.alert.key for owed in (*firing, *resolved)}
    before = tuple(announced.members(receiver, group_key))
    ongoing = tuple(key for key in before if key not in changed)
    if not firing:
        reason = Reason.SOME_RESOLVED if ongoing else Reason.ALL_RESOLVED
    elif resolved:
        reason = Reason.BOTH
    else:
        reason = Reason.MORE if before else Reason.FIRST
    steps = sorted((*owed.news.alert.key, _episode(owed.news.alert, owed), owed.step) for owed in (*firing, *resolved))
    identity = _hashed(receiver, *(text for step in steps for text in step))
    return Bundle(identity, receiver, group_key, reason, firing, resolved, ongoing)


def _episode(alert: Alert, owed: Owed) -> str:
    return owed.news.transition.episode or alert.episode


def _hashed(*texts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
