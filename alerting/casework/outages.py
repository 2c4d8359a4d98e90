"""Receivers that cannot be reached for a while: what waits for them, and when their fallback is told instead.

This stands in for the outbox, of which a test needs only when a message is late and when a receiver counts as down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.builtin import DOWN_AFTER
from alerting.model import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alerting.casework.people import Unreachable
    from alerting.model import Millis, Notification, Recall, Section


class _Waiting(NamedTuple):
    """A message that does not get through."""

    since: Millis
    notification: Notification
    passed_on: bool = False


class Outages:
    """See the module's text. `start` is that of the test, from which the times of `unreachable` count."""

    def __init__(self, unreachable: Sequence[Unreachable], start: Millis, receivers: Mapping[str, Section]) -> None:
        self._unreachable = unreachable
        self._start = start
        self._receivers = receivers
        self._waiting: dict[str, list[_Waiting]] = {}  # by receiver

    def take(self, notification: Notification, now: Millis) -> None:
        """Take a message that is handed over: it waits where its receiver cannot be reached."""
        if self._outage(notification.receiver, now) is not None:
            self._waiting.setdefault(notification.receiver, []).append(_Waiting(now, notification))

    def unsent(self, now: Millis) -> Sequence[Delivery]:
        """Give what waits, in the order in which it was handed over; nobody has heard any of it."""
        waiting = [each for receiver in tuple(self._waiting) for each in self._stuck(receiver, now)]
        return [Delivery(each.notification) for each in sorted(waiting, key=lambda each: each.since)]

    def call_back(self, recalls: Iterable[Recall]) -> None:
        """Take back what waits, or what of it is called back."""
        left = {each.id: None if each.whole else each.left for each in recalls}
        for receiver, waiting in self._waiting.items():
            kept = [(each, left.get(each.notification.id, each.notification)) for each in waiting]
            self._waiting[receiver] = [each._replace(notification=said) for each, said in kept if said is not None]

    def standing(self, now: Millis) -> Mapping[str, str]:
        """Say which receivers are down and why, and which are well (empty)."""
        found: dict[str, str] = {}
        for each in self._unreachable:
            stuck = any(now - waiting.since >= DOWN_AFTER for waiting in self._stuck(each.receiver, now))
            found[each.receiver] = found.get(each.receiver) or (each.why if stuck else "")
        return found

    def late_at(self, now: Millis) -> Millis | None:
        """Say when something has waited for too long; None: nothing will."""
        times = [
            each.since + late_after
            for receiver in tuple(self._waiting)
            if (late_after := self._late_after(receiver)) is not None
            for each in self._stuck(receiver, now)
            if not each.passed_on
        ]
        return min(times, default=None)

    def late(self, now: Millis) -> Iterator[tuple[Sequence[Notification], str]]:
        """Give, once, what has waited for too long: messages of one receiver and key in order, and why they wait."""
        for receiver in tuple(self._waiting):
            late_after, outage = self._late_after(receiver), self._outage(receiver, now)
            if late_after is None or outage is None:
                continue
            waiting = self._stuck(receiver, now)
            over = {each.notification.group_key for each in waiting if each.since + late_after <= now}
            found: dict[str, list[Notification]] = {}
            for each in waiting:
                if each.notification.group_key in over and not each.passed_on:
                    found.setdefault(each.notification.group_key, []).append(each.notification)
            self._waiting[receiver] = [
                each._replace(passed_on=each.passed_on or each.notification.group_key in over) for each in waiting
            ]
            yield from ((messages, outage.why) for messages in found.values())

    def _outage(self, receiver: str, now: Millis) -> Unreachable | None:
        """Give why a receiver cannot be reached; None: it can."""
        offset = now - self._start
        for each in self._unreachable:
            if each.receiver == receiver and each.start <= offset and (each.end is None or offset < each.end):
                return each
        return None

    def _stuck(self, receiver: str, now: Millis) -> list[_Waiting]:
        """Give what waits for a receiver; what waited arrives once it can be reached."""
        if self._outage(receiver, now) is None:
            self._waiting.pop(receiver, None)
        return self._waiting.get(receiver, [])

    def _late_after(self, receiver: str) -> Millis | None:
        section = self._receivers.get(receiver)
        if section is None or not section.values.get("fallback"):
            return None
        late_after: Millis = section.values["late_after"]
        return late_after
