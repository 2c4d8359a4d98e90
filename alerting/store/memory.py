"""The Store contract without a file: for `--dry-run`, which must leave nothing behind, and for simulations.

It keeps what `store.sqlite` keeps and answers alike (one suite of tests runs over both); it ends with the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.errors import TooLate
from alerting.model import Attempt, Delivery, DeliveryState, Outcome, Step
from alerting.ports import BEGINNING, Account, History, Marks, Overview, Snapshot
from alerting.store.records import FURTHEST, GIVEN_UP, INTERRUPTED, SETTLED, is_empty, told_of, told_together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.model import Alert, AlertKey, Decision, Millis, Notice, Notification, Receipt, Told, Transition
    from alerting.ports import Change, Fold

RUN = "memory"


class MemoryStore:
    """Everything in dicts; deliveries stand in the order in which they came to be owed."""

    def __init__(self, seed: Snapshot | None = None, installation: str = "memory") -> None:
        """Begin with what `seed` holds (a dry run over real state), or with nothing."""
        self._installation = seed.installation if seed else installation
        self._alerts: dict[AlertKey, Alert] = {alert.key: alert for alert in seed.alerts} if seed else {}
        self._evaluated: dict[str, Millis] = dict(seed.evaluated) if seed else {}
        self._announced: dict[tuple[AlertKey, str], Told] = dict(seed.announced) if seed else {}
        self._notices: dict[AlertKey, Notice] = {notice.key: notice for notice in seed.notices} if seed else {}
        self._faults: dict[str, str] = dict(seed.faults) if seed else {}
        self._good_config = seed.good_config if seed else None
        self._transitions: list[Transition] = []
        self._decisions: list[Decision] = []
        self._attempts: list[tuple[Attempt, str]] = []  # each with the id of its message
        self._tries: dict[str, list[Attempt]] = {}  # the same by message
        self._deliveries: dict[str, Delivery] = {}
        self._owed: dict[str, dict[str, Delivery]] = {}  # receiver -> id -> what is not settled
        self._ended: dict[str, Delivery] = {}  # receiver -> what was sent or parked last
        self._vain: set[str] = set()  # receivers: since then something was called back that was tried in vain
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
        if not all(self._is_unsent(each.id) for each in change.recalled):
            raise TooLate("what was to be called back is being sent")
        for key in change.dropped:
            self._alerts.pop(key, None)
        self._alerts.update((alert.key, alert) for alert in change.alerts)
        self._transitions.extend(change.transitions)
        for notification in change.notifications:
            self._owe(notification)
        for id_ in change.passed_on:
            if id_ in self._deliveries:
                self._put(self._deliveries[id_]._replace(passed_on=True))
        self._call_back(change)
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
        if change.is_turn:
            self._written_at = change.at

    async def claim(
        self, receiver: str, now: Millis, lease: Millis, limit: int, fold: Fold | None = None
    ) -> Sequence[Delivery]:
        """Claim what is due; see the port."""
        claimed: list[Delivery] = []
        for head in sorted(self._heads(receiver), key=lambda each: not each.notification.urgent):
            delivery = head
            if len(claimed) == limit:
                break
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
            if delivery.state is DeliveryState.PENDING and due:
                delivery = self._folded(delivery, fold, now)
                delivery = delivery._replace(state=DeliveryState.CLAIMED, claimed_by=RUN, claimed_until=now + lease)
                self._put(delivery)
                place = receiver, delivery.notification.group_key
                claimed.append(delivery._replace(previous=self._receipts.get(place)))
        return claimed

    async def settle(self, *ended: Delivery) -> None:
        """Record how attempts ended; what was sent, parked or folded stays so."""
        for delivery in ended:
            self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        notification = delivery.notification
        known = self._owed.get(notification.receiver, {}).get(notification.id)
        if known is None:
            return
        delivery = delivery._replace(owed_since=known.owed_since, passed_on=known.passed_on, previous=None)
        self._note_attempt(delivery)
        if known.outcome is Outcome.UNKNOWN and delivery.outcome is Outcome.RETRY:
            delivery = delivery._replace(outcome=Outcome.UNKNOWN)
        self._put(delivery._replace(claimed_by="", claimed_until=0, tried_at=0))
        if delivery.state is DeliveryState.SENT:
            self._receipts[notification.receiver, notification.group_key] = delivery.receipt

    async def unsent(self, receiver: str = "") -> Sequence[Delivery]:
        """Give what is owed and not settled."""
        rows = self._deliveries.values()
        return [e for e in rows if e.state not in SETTLED and receiver in ("", e.notification.receiver)]

    def _is_unsent(self, id_: str) -> bool:
        known = self._deliveries.get(id_)
        return known is not None and known.state is DeliveryState.PENDING and known.outcome is not Outcome.UNKNOWN

    def _call_back(self, change: Change) -> None:
        for id_, left, whole, why, gone in change.recalled:
            before = self._deliveries[id_]
            renamed = {left.id if name == id_ else name: each for name, each in self._deliveries.items()}
            owed = self._owed[left.receiver]
            self._owed[left.receiver] = {left.id if name == id_ else name: each for name, each in owed.items()}
            self._deliveries = renamed
            self._tries[left.id] = self._tries.pop(id_, [])
            self._attempts = [(attempt, left.id if of == id_ else of) for attempt, of in self._attempts]
            for each in [each for each in self._deliveries.values() if each.told_by == id_]:
                self._put(each._replace(told_by=left.id))
            self._pass_on_again(left.instead_of[-1:], gone, change.at)
            if not whole:
                self._put(before._replace(notification=left))
                continue
            if before.attempts:
                self._vain.add(left.receiver)
            ended = before._replace(notification=left, state=DeliveryState.FOLDED, why=why, settled_at=change.at)
            self._note_attempt(ended)
            self._put(ended._replace(receipt=None))
        for key, receiver, told, notice in change.unsaid:
            if told is None or notice is None:
                self._forget(key, [receiver])
            else:
                self._announced[key, receiver] = told
                self._notices[key] = notice

    def _pass_on_again(self, receivers: Sequence[str], gone: Sequence[tuple[AlertKey, str]], now: Millis) -> None:
        for each in tuple(self._deliveries.values()):
            message = each.notification
            steps = ((notice.key, notice.episode) for notice in message.firing if notice.step != Step.ONGOING)
            lately = each.state is DeliveryState.PARKED and each.settled_at > now - GIVEN_UP
            if (
                message.receiver in receivers
                and (each.state not in SETTLED or lately)
                and not set(gone).isdisjoint(steps)
            ):
                self._put(each._replace(passed_on=False))

    async def unheard(self, receiver: str, before: Millis) -> Sequence[Delivery]:
        """Give what its fallback should be told of and was not."""
        rows = [each for each in self._deliveries.values() if each.notification.receiver == receiver]
        mine = [each for each in rows if not each.passed_on]
        owed = [each for each in mine if each.state not in SETTLED]
        late = {each.notification.group_key for each in owed if each.owed_since <= before}
        return [
            each
            for each in mine
            if (each.state is DeliveryState.PARKED and each.settled_at > before - GIVEN_UP)
            or (each.state not in SETTLED and each.notification.group_key in late)
        ]

    async def standing(self, receivers: Sequence[str], before: Millis) -> Mapping[str, str]:
        """Say which receivers are down and why, and which are well."""
        found: dict[str, str] = {}
        for receiver in receivers:
            owed = self._owed.get(receiver, {}).values()
            stuck = [each.why for each in owed if each.attempts and self._oldest_told_by(each) <= before]
            ended = self._ended.get(receiver)
            theirs = [why for why in stuck if why != INTERRUPTED]
            if theirs:
                found[receiver] = theirs[0]
            elif ended is not None and ended.state is DeliveryState.PARKED:
                found[receiver] = ended.why
            elif ended is not None and receiver not in self._vain and not stuck:
                found[receiver] = ""
        return found

    def _oldest_told_by(self, heir: Delivery) -> Millis:
        """Say since when the oldest is owed that a message tells, whoever was told in its place meanwhile."""
        told, since = {heir.notification.id}, heir.owed_since
        for each in reversed(self._deliveries.values()):
            if each.state is DeliveryState.FOLDED and each.told_by in told:
                told.add(each.notification.id)
                since = min(since, each.owed_since)
        return since

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
        unsent = [each for each in rows if each.state not in (DeliveryState.SENT, DeliveryState.FOLDED)]
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

    async def account(self, key: AlertKey, limit: int = 200) -> Account:
        """Give what is held of one alert."""
        named = [each for each in self._deliveries.values() if _names(each.notification, key)]
        return Account(
            tuple(each for each in self._transitions if each.key == key)[-limit:],
            tuple(each for each in self._decisions if each.key == key)[-limit:],
            tuple((each, tuple(self._tries.get(each.notification.id, ()))) for each in named[-limit:]),
        )

    async def history(self, since: Millis, after: Marks = BEGINNING, limit: int = 10_000) -> History:
        """Give what happened since a time and was written after `after`."""
        moves, decided, tried = self._transitions, self._decisions, self._attempts
        return History(
            tuple(each for each in moves[after.transition :] if each.at >= since)[-limit:],
            tuple(each for each in decided[after.decision :] if each.at >= since)[-limit:],
            tuple(
                (attempt, self._deliveries[id_].notification)
                for attempt, id_ in tried[after.attempt :]
                if attempt.at >= since
            )[-limit:],
            Marks(len(moves), len(decided), len(tried)),
        )

    @property
    def unsaved(self) -> str:
        """Nothing is expected to be on disk."""
        return ""

    def hasten(self) -> None:
        """Nothing is waited for."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def _note_attempt(self, delivery: Delivery) -> None:
        at = delivery.tried_at or delivery.settled_at
        outcome = delivery.outcome if delivery.tried_at else None
        attempt = Attempt(at, delivery.attempts, outcome, delivery.state, delivery.why)
        tries = self._tries.setdefault(delivery.notification.id, [])
        if at and all((each.number, each.state) != (attempt.number, attempt.state) for each in tries[-1:]):
            tries.append(attempt)
            self._attempts.append((attempt, delivery.notification.id))

    def _owe(self, notification: Notification) -> None:
        if notification.id not in self._deliveries:
            self._put(Delivery(notification, owed_since=notification.created))
        for notice in notification.resolved:
            self._forget(notice.key, [notification.receiver])
        for notice in notification.firing:
            if not notification.announces or notice.step == Step.ONGOING:
                continue
            told = told_of(notice, notification.group_key, notification.created)
            self._announced[notice.key, notification.receiver] = told
            self._notices.pop(notice.key, None)
            self._notices[notice.key] = notice

    def _forget(self, key: AlertKey, receivers: Sequence[str]) -> None:
        for receiver in receivers:
            self._announced.pop((key, receiver), None)
        if not any(each == key for each, _ in self._announced):
            self._notices.pop(key, None)

    def _put(self, delivery: Delivery) -> None:
        notification = delivery.notification
        before = self._deliveries.get(notification.id)
        self._deliveries[notification.id] = delivery
        owed = self._owed.setdefault(notification.receiver, {})
        if delivery.state in SETTLED:
            owed.pop(notification.id, None)
            ends = before is None or before.state not in SETTLED  # in this order, whatever the wall says
            if ends and delivery.state is not DeliveryState.FOLDED:
                self._ended[notification.receiver] = delivery
                self._vain.discard(notification.receiver)
        else:
            owed[notification.id] = delivery

    def _folded(self, head: Delivery, fold: Fold | None, now: Millis) -> Delivery:
        """Fold what waits behind the head of a key; give the message that is to be sent now."""
        notification = head.notification
        owed = self._owed[notification.receiver].values()
        waiting = [each for each in owed if each.notification.group_key == notification.group_key]
        if fold is None or len(waiting) == 1:
            return head
        *gone, heir = told_together(waiting, fold, now)
        for each in gone:
            self._settle(each)
        self._put(heir)
        return heir

    def _heads(self, receiver: str) -> Iterator[Delivery]:
        """Give the oldest unsettled delivery of each group key, oldest first."""
        seen: set[str] = set()
        for delivery in tuple(self._owed.get(receiver, {}).values()):
            if delivery.notification.group_key not in seen:
                seen.add(delivery.notification.group_key)
                yield delivery


def _names(notification: Notification, key: AlertKey) -> bool:
    return any(notice.key == key for notice in (*notification.firing, *notification.resolved))
