"""The SQL of the outbox: what is owed, claimed, settled. Each function is one piece of work on an open transaction.

Which message may be claimed, `outlook` says. What came after it under its key may be folded into one message then.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from alerting.model import Delivery, DeliveryState, Notification, Outcome, Step
from alerting.store.outlook import PASSED_ON, VOID, WAITING, is_damaged, read_delivery, receipt
from alerting.store.records import (
    DAMAGED,
    GIVEN_UP,
    INTERRUPTED,
    SETTLED,
    dump,
    notice_text,
    notification_text,
    printable,
    told_together,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

    from alerting.model import AlertKey, Millis, Recall, Unsaid
    from alerting.ports import Fold


def owe(rows: sqlite3.Connection, notifications: Iterable[Notification]) -> None:
    """Add to the outbox what was not added before; remember who has been told what of which alert."""
    added = sum(_owe(rows, each) for each in notifications)
    if added:
        rows.execute("UPDATE meta SET created = created + ?", (added,))


def _owe(rows: sqlite3.Connection, notification: Notification) -> int:
    """Add one; give how many were added."""
    id_, receiver, group_key, created = (
        notification.id,
        notification.receiver,
        notification.group_key,
        notification.created,
    )
    added = rows.execute(
        "INSERT INTO delivery (id, receiver, group_key, urgent, owed_since) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (id_, receiver, group_key, notification.urgent, created),
    )
    if added.rowcount:
        rows.execute("INSERT INTO message VALUES (?, ?)", (added.lastrowid, notification_text(notification)))
    if notification.resolved:
        rows.executemany(
            "DELETE FROM announced WHERE rule_id = ? AND fingerprint = ? AND receiver = ?",
            ((*notice.key, receiver) for notice in notification.resolved),
        )
    rows.executemany(
        "INSERT INTO announced VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET group_key = excluded.group_key, at = excluded.at, notice = excluded.notice",
        (
            (*each.key, receiver, group_key, created, notice_text(each))
            for each in notification.firing
            if notification.announces and each.step != Step.ONGOING
        ),
    )
    return added.rowcount


def note_passed_on(rows: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Note that the fallback of their receiver was told, or that there is none to be told."""
    rows.executemany("UPDATE delivery SET passed_on = 1 WHERE id = ?", ((id_,) for id_ in ids))


# ------------------------------------------------------------------------------------------- calling back


def all_unsent(rows: sqlite3.Connection, recalled: Sequence[Recall]) -> bool:
    """Tell whether none of these is being sent, or may have arrived: they can be called back."""
    wanted = "SELECT 1 FROM delivery WHERE id = ? AND state = 'pending' AND outcome IS NOT 'unknown'"
    return all(rows.execute(wanted, (each.id,)).fetchone() for each in recalled)


def call_back(rows: sqlite3.Connection, recalled: Sequence[Recall], unsaid: Iterable[Unsaid], now: Millis) -> set[str]:
    """Take messages back, or what of them is; and out of what people were told.

    Gives the receivers at which something was tried in vain that is not sent now.
    """
    _rename(rows, recalled)
    vain = set()
    for each in recalled:
        left = each.left
        if each.whole:
            if rows.execute("SELECT attempts FROM delivery WHERE id = ?", (left.id,)).fetchone()[0]:
                vain.add(left.receiver)
            rows.execute(
                "INSERT OR IGNORE INTO attempt (delivery, at, number, state, why)"
                " SELECT seq, ?, attempts, 'folded', ? FROM delivery WHERE id = ?",
                (now, printable(each.why), left.id),
            )
            rows.execute(
                "UPDATE delivery SET state = 'folded', why = ?, settled_at = ?, receipt = NULL WHERE id = ?",
                (printable(each.why), now, left.id),
            )
    _pass_on_again(rows, recalled, now)
    for key, receiver, told, notice in unsaid:
        place = (*key, receiver)
        if told is None or notice is None:
            rows.execute("DELETE FROM announced WHERE rule_id = ? AND fingerprint = ? AND receiver = ?", place)
        else:
            put = "UPDATE announced SET at = ?, notice = ? WHERE rule_id = ? AND fingerprint = ? AND receiver = ?"
            rows.execute(put, (told.at, notice_text(notice), *place))
    return vain


def _pass_on_again(rows: sqlite3.Connection, recalled: Sequence[Recall], now: Millis) -> None:
    """Note that what somebody was to be told in another's place, and is called back, was passed on to nobody."""
    gone: dict[str, set[tuple[AlertKey, str]]] = {}
    for each in recalled:
        for receiver in each.left.instead_of[-1:]:
            gone.setdefault(receiver, set()).update(each.gone)
    for receiver, episodes in gone.items():
        for seq, *columns in rows.execute(PASSED_ON, (receiver, receiver, now - GIVEN_UP)).fetchall():
            message = read_delivery(columns).notification
            if any((each.key, each.episode) in episodes for each in message.firing if each.step != Step.ONGOING):
                rows.execute("UPDATE delivery SET passed_on = 0 WHERE seq = ?", (seq,))


def _rename(rows: sqlite3.Connection, recalled: Sequence[Recall]) -> None:
    """Put what is left in the place of messages; what was folded into one of them goes with it."""
    folded = "SELECT seq, told_by FROM delivery WHERE receiver = ? AND state = 'folded' AND settled_at >= ?"
    since: dict[str, Millis] = {}
    for _, left, *_ in recalled:
        since[left.receiver] = min(left.created, since.get(left.receiver, left.created))
    names = {id_: left.id for id_, left, *_ in recalled}  # asked once: for each by itself it would be their square
    told_by = [(seq, id_) for place in since.items() for seq, id_ in rows.execute(folded, place) if id_ in names]
    rows.executemany("UPDATE delivery SET told_by = ? WHERE seq = ?", ((names[id_], seq) for seq, id_ in told_by))
    rows.executemany(
        "UPDATE message SET record = ? WHERE seq = (SELECT seq FROM delivery WHERE id = ?)",
        ((notification_text(left), id_) for id_, left, *_ in recalled),
    )
    rows.executemany(
        "UPDATE delivery SET id = ?, urgent = ? WHERE id = ?",
        ((left.id, left.urgent, id_) for id_, left, *_ in recalled),
    )


# ------------------------------------------------------------------------------------------- claims


def void(rows: sqlite3.Connection, run: str) -> None:
    """Take back the claims of other runs: each was an attempt that nobody knows the end of."""
    taken = rows.execute(f"SELECT seq {VOID}", (run,)).fetchall()
    rows.executemany(
        "UPDATE delivery SET state = 'pending', attempts = attempts + 1, outcome = 'unknown', why = ?, next_at = 0,"
        " claimed_by = '', claimed_until = 0 WHERE seq = ?",
        ((INTERRUPTED, *row) for row in taken),
    )


def claim(
    rows: sqlite3.Connection, found: Iterable[Any], run: str, now: Millis, lease: Millis, *, fold: Fold | None
) -> list[Delivery]:
    """Claim what was found to be claimable, each or the one that it is folded into.

    Where a record is damaged, that one is parked, and the rest goes on.
    """
    claimed = []
    for seq, followed, *columns in found:
        delivery = _interrupted(read_delivery(columns))
        if is_damaged(delivery):
            why = f"{DAMAGED}: it cannot be sent"
            settle(rows, [delivery._replace(state=DeliveryState.PARKED, why=why, settled_at=now)])
            continue
        if followed and fold is not None:
            delivery = _fold(rows, seq, delivery, fold, now)
        notification = delivery.notification
        claimed.append(
            delivery._replace(
                state=DeliveryState.CLAIMED,
                claimed_by=run,
                claimed_until=now + lease,
                previous=receipt(rows, notification.receiver, notification.group_key),
            )
        )
    rows.executemany(
        "UPDATE delivery SET state = 'claimed', attempts = ?, outcome = ?, why = ?, claimed_by = ?, claimed_until = ?"
        " WHERE id = ?",
        ((each.attempts, each.outcome, each.why, run, each.claimed_until, each.notification.id) for each in claimed),
    )
    return claimed


def _interrupted(delivery: Delivery) -> Delivery:
    """Count a claim whose lease is over as an attempt that nobody knows the end of."""
    if delivery.state is not DeliveryState.CLAIMED:
        return delivery
    return delivery._replace(attempts=delivery.attempts + 1, outcome=Outcome.UNKNOWN, why=INTERRUPTED)


def _fold(rows: sqlite3.Connection, seq: int, head: Delivery, fold: Fold, now: Millis) -> Delivery:
    """Fold what waits under the key of the head, whose number is `seq`; give the message that is to be sent now."""
    found = rows.execute(WAITING, (head.notification.receiver, head.notification.group_key, seq))
    whole = takewhile(lambda each: not is_damaged(each), map(read_delivery, found.fetchall()))
    *gone, heir = told_together([head, *whole], fold, now)
    settle(rows, gone)
    notification, receipt = heir.notification, _receipt_text(heir)
    rows.execute(
        "UPDATE delivery SET urgent = ?, receipt = ?, owed_since = ?, passed_on = ? WHERE id = ?",
        (notification.urgent, receipt, heir.owed_since, heir.passed_on, notification.id),
    )
    rows.execute(
        "UPDATE message SET record = ? WHERE seq = (SELECT seq FROM delivery WHERE id = ?)",
        (notification_text(notification), notification.id),
    )
    return heir


# ------------------------------------------------------------------------------------------- ends


def settle(rows: sqlite3.Connection, ended: Collection[Delivery]) -> None:
    """Record how attempts at different messages ended; what was sent, parked or folded stays so."""
    rows.executemany(  # also that a message ends without an attempt
        "INSERT OR IGNORE INTO attempt (delivery, at, number, outcome, state, why)"
        " SELECT seq, ?, ?, ?, ?, ? FROM delivery WHERE id = ? AND settled_at IS NULL",
        (
            (
                each.tried_at or each.settled_at,
                each.attempts,
                each.outcome if each.tried_at else None,
                each.state,
                printable(each.why),
                each.notification.id,
            )
            for each in ended
            if each.tried_at or each.settled_at
        ),
    )
    rows.executemany(
        "UPDATE delivery SET state = ?, attempts = ?, next_at = ?,"
        " outcome = CASE WHEN outcome = 'unknown' AND ? = 'retry' THEN outcome ELSE ? END, why = ?, receipt = ?,"
        " settled_at = ?, told_by = ?, claimed_by = '', claimed_until = 0 WHERE id = ? AND settled_at IS NULL",
        (
            (
                each.state,
                each.attempts,
                each.next_at,
                each.outcome,
                each.outcome,
                printable(each.why),
                _receipt_text(each),
                each.settled_at if each.state in SETTLED else None,
                each.told_by,
                each.notification.id,
            )
            for each in ended
        ),
    )


def _receipt_text(delivery: Delivery) -> str | None:
    return None if delivery.receipt is None else dump(dict(delivery.receipt))
