"""The Store contract without a file: for `--dry-run`, which must leave nothing behind, and for simulations.

It keeps what `store.sqlite` keeps and answers alike (one suite of tests runs over both); it ends with the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import Delivery, DeliveryState, Outcome, Step
from alerting.ports import Overview, Snapshot
from alerting.store.records import FURTHEST, INTERRUPTED, SETTLED, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.model import Alert, AlertKey, Decision, Millis, Notice, Notification, Receipt, Transition
    from alerting.ports import Change

RUN = "memory"


class MemoryStore:
    """Everything in dicts; deliveries stand in the order in which they came to be owed."""

    def __init__(self, seed: Snapshot | None = None, installation: str = "memory") -> None:
        """Begin with what `seed` holds (a dry run over real state), or with nothing."""
        self._installation = seed.installation if seed else installation
        self._alerts: dict[AlertKey, Alert] = {alert.key: alert for alert in seed.alerts} if seed else {}
        self._evaluated: dict[str, Millis] = dict(seed.evaluated) if seed else {}
        self._announced: dict[tuple[AlertKey, str], str] = dict(seed.announced) if seed else {}
        self._notices: dict[AlertKey, Notice] = {notice.key: notice for notice in seed.notices} if seed else {}
        self._faults: dict[str, str] = dict(seed.faults) if seed else {}
        self._good_config = seed.good_config if seed else None
        self._transitions: list[Transition] = []
        self._decisions: list[Decision] = []
        self._deliveries: dict[str, Delivery] = {}
        self._owed: dict[str, dict[str, Delivery]] = {}  # receiver -> id -> what is not settled
        self._receipts: dict[tuple[str, str], Receipt | None] = {}  # (receiver, group key) -> of the newest sent
        self._written_at: Millis | None = None
        self._kept: dict[str, str] = {}

    async def open(self) -> Snapshot:
        """Give what is held."""
        return Snapshot(
            self._installation,
            tuple(self._alerts.values()),
            dict(self._evaluated),
            dict(self._announced),
            self._good_config,
            dict(self._faults),
            tuple(self._notices.values()),
            self._written_at,
        )

    async def commit(self, change: Change) -> None:
        """Take one tick's change."""
        if is_empty(change):
            return
        for key in change.dropped:
            self._alerts.pop(key, None)
            self._forget(key, [receiver for each, receiver in self._announced if each == key])
        self._alerts.update((alert.key, alert) for alert in change.alerts)
        self._transitions.extend(change.transitions)
        for notification in change.notifications:
            self._owe(notification)
        for rule_id in change.forgotten:
            self._evaluated.pop(rule_id, None)
        self._evaluated.update(change.evaluated or {})
        for source, why in (change.faults or {}).items():
            if why is None:
                self._faults.pop(source, None)
            else:
                self._faults[source] = why
        if change.good_config is not None:
            self._good_config = change.good_config
        if change.texts:
            await self.keep(change.texts)
        self._decisions.extend(change.decisions)
        self._written_at = change.at

    async def claim(self, receiver: str, now: Millis, lease: Millis, limit: int) -> Sequence[Delivery]:
        """Claim what is due; see the port."""
        claimed: list[Delivery] = []
        for head in self._heads(receiver):
            delivery = head
            if delivery.state is DeliveryState.CLAIMED and delivery.claimed_until <= now:
                delivery = delivery._replace(
                    state=DeliveryState.PENDING,
                    attempts=delivery.attempts + 1,
                    next_at=now,
                    outcome=Outcome.UNKNOWN,
                    why=INTERRUPTED,
                )
                self._put(delivery)
            due = delivery.next_at <= now or delivery.next_at > now + FURTHEST
            if delivery.state is DeliveryState.PENDING and due and len(claimed) < limit:
                delivery = delivery._replace(state=DeliveryState.CLAIMED, claimed_by=RUN, claimed_until=now + lease)
                self._put(delivery)
                claimed.append(delivery)
        return claimed

    async def settle(self, delivery: Delivery) -> None:
        """Record how an attempt ended; what was sent or parked stays so."""
        notification = delivery.notification
        if notification.id not in self._owed.get(notification.receiver, {}):
            return
        self._put(delivery._replace(claimed_by="", claimed_until=0))
        if delivery.state is DeliveryState.SENT:
            self._receipts[notification.receiver, notification.group_key] = delivery.receipt

    async def next_due(self, receiver: str | None = None) -> Millis | None:
        """When something may be claimed next."""
        receivers = tuple(self._owed) if receiver is None else (receiver,)
        times = [
            head.claimed_until if head.state is DeliveryState.CLAIMED else head.next_at
            for each in receivers
            for head in self._heads(each)
        ]
        return min(times, default=None)

    async def owing(self) -> Sequence[str]:
        """Give the receivers to which something is owed."""
        return sorted(receiver for receiver, owed in self._owed.items() if owed)

    async def previous_receipt(self, receiver: str, group_key: str) -> Receipt | None:
        """Give the receipt of the newest sent message with this key."""
        return self._receipts.get((receiver, group_key))

    async def overview(self, limit: int = 200) -> Overview:
        """Give what `status` shows."""
        rows = tuple(self._deliveries.values())
        unsent = [each for each in rows if each.state is not DeliveryState.SENT]
        sent = [each for each in reversed(rows) if each.state is DeliveryState.SENT]
        counts = {state.value: sum(each.state is state for each in rows) for state in DeliveryState}
        return Overview(
            self._installation,
            tuple(self._alerts.values()),
            tuple((unsent + sent)[:limit]),
            tuple(self._transitions[: -limit - 1 : -1]),
            {"created": len(rows), **counts},
            dict(self._faults),
            self._written_at,
        )

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        """Put or forget texts by name."""
        for name, text in texts.items():
            if text is None:
                self._kept.pop(name, None)
            else:
                self._kept[name] = text

    async def kept(self, prefix: str) -> Mapping[str, str]:
        """Give the texts whose names begin so."""
        return {name: text for name, text in self._kept.items() if name.startswith(prefix)}

    async def decisions(self, key: AlertKey, limit: int = 200) -> Sequence[Decision]:
        """Give the newest decisions about one alert, newest first."""
        return [each for each in reversed(self._decisions) if each.key == key][:limit]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _owe(self, notification: Notification) -> None:
        if notification.id not in self._deliveries:
            self._put(Delivery(notification))
        for notice in notification.resolved:
            self._forget(notice.key, [notification.receiver])
        for notice in notification.firing:
            if not notification.announces or notice.step == Step.ONGOING:
                continue
            self._announced[notice.key, notification.receiver] = notification.group_key
            self._notices.pop(notice.key, None)
            self._notices[notice.key] = notice

    def _forget(self, key: AlertKey, receivers: Sequence[str]) -> None:
        for receiver in receivers:
            self._announced.pop((key, receiver), None)
        if not any(each == key for each, _ in self._announced):
            self._notices.pop(key, None)

    def _put(self, delivery: Delivery) -> None:
        notification = delivery.notification
        self._deliveries[notification.id] = delivery
        owed = self._owed.setdefault(notification.receiver, {})
        if delivery.state in SETTLED:
            owed.pop(notification.id, None)
        else:
            owed[notification.id] = delivery

    def _heads(self, receiver: str) -> Iterator[Delivery]:
        """Give the oldest unsettled delivery of each group key, oldest first."""
        seen: set[str] = set()
        for delivery in tuple(self._owed.get(receiver, {}).values()):
            if delivery.notification.group_key not in seen:
                seen.add(delivery.notification.group_key)
                yield delivery
