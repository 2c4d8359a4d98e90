"""The SQL of the outbox: what is owed, claimed, settled. Each function is one piece of work on an open transaction.

Order is `seq`, the order in which messages came to be owed; urgent ones go first. Of each (receiver, group key) only
the oldest unsettled message, the head, may be claimed: none overtakes it. What came after it under its key may be
folded into one message when the head is claimed.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from alerting.model import Delivery, DeliveryState, Notification, Outcome, Step
from alerting.store.records import (
    DAMAGED,
    FURTHEST,
    GIVEN_UP,
    INTERRUPTED,
    SETTLED,
    UNREADABLE,
    dump,
    fitting,
    notice_text,
    notification_text,
    printable,
    read_notification,
    told_together,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from alerting.model import Millis, Recall, Receipt, Unsaid
    from alerting.ports import Fold

_BACKLOG = 500  # messages of one key that are folded at once

_COLUMNS = """id, receiver, group_key, notification, state, attempts, next_at, why, outcome, receipt,
    claimed_by, claimed_until, settled_at, owed_since, passed_on, told_by"""
DELIVERY = f"SELECT {_COLUMNS} FROM delivery AS d"  # noqa: S608  texts from above, as below
_HEADS = """d.settled_at IS NULL AND d.receiver = :receiver AND NOT EXISTS (
    SELECT 1 FROM delivery AS o WHERE o.settled_at IS NULL
    AND o.receiver = d.receiver AND o.group_key = d.group_key AND o.seq < d.seq)"""
_FOLLOWED = """EXISTS (SELECT 1 FROM delivery AS o WHERE o.settled_at IS NULL
    AND o.receiver = d.receiver AND o.group_key = d.group_key AND o.seq > d.seq)"""
_CLAIMABLE = f"""SELECT {_COLUMNS}, {_FOLLOWED} FROM delivery AS d WHERE {_HEADS} AND (
    (d.state = 'pending' AND (d.next_at <= :now OR d.next_at > :furthest))
    OR (d.state = 'claimed' AND d.claimed_until <= :now)) ORDER BY d.urgent DESC, d.seq LIMIT :limit"""  # noqa: S608
_WAITING = f"""{DELIVERY} WHERE settled_at IS NULL AND receiver = ? AND group_key = ? ORDER BY seq LIMIT {_BACKLOG}"""
_NEXT = f"""SELECT min(CASE d.state WHEN 'claimed' THEN d.claimed_until ELSE d.next_at END)
    FROM delivery AS d WHERE {_HEADS}"""  # noqa: S608  texts from above

_LATE = "SELECT group_key FROM delivery WHERE settled_at IS NULL AND receiver = :receiver AND owed_since <= :before"
_UNHEARD = f"""{DELIVERY} WHERE NOT passed_on AND seq IN (
    SELECT seq FROM delivery WHERE state = 'parked' AND settled_at > :lately AND receiver = :receiver
    UNION SELECT seq FROM delivery WHERE settled_at IS NULL AND receiver = :receiver
    AND group_key IN ({_LATE} AND NOT passed_on)) ORDER BY seq LIMIT {_BACKLOG}"""  # noqa: S608  texts from above


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
        "INSERT INTO delivery (id, receiver, group_key, notification, urgent, owed_since) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (id_, receiver, group_key, notification_text(notification), notification.urgent, created),
    )
    if notification.resolved:
        rows.executemany(
            "DELETE FROM announced WHERE rule_id = ? AND fingerprint = ? AND receiver = ?",
            ((*notice.key, receiver) for notice in notification.resolved),
        )
    rows.executemany(
        "INSERT OR REPLACE INTO announced VALUES (?, ?, ?, ?, ?, ?)",
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


def unsent(rows: sqlite3.Connection, receiver: str) -> list[Delivery]:
    """Give what is owed to a receiver, or (empty) to all, in order; what is damaged is left out."""
    whose = "" if not receiver else " AND receiver = ?"
    found = rows.execute(f"{DELIVERY} WHERE settled_at IS NULL{whose} ORDER BY seq", (receiver,) if receiver else ())
    return [each for each in map(read_delivery, found.fetchall()) if not _is_damaged(each)]


def all_unsent(rows: sqlite3.Connection, recalled: Sequence[Recall]) -> bool:
    """Tell whether none of these is being sent, or may have arrived: they can be called back."""
    wanted = "SELECT 1 FROM delivery WHERE id = ? AND state = 'pending' AND outcome IS NOT 'unknown'"
    return all(rows.execute(wanted, (each.id,)).fetchone() for each in recalled)


def call_back(rows: sqlite3.Connection, recalled: Iterable[Recall], unsaid: Iterable[Unsaid], now: Millis) -> None:
    """Take messages back, or what of them is; and out of what people were told."""
    for each in recalled:
        left = each.left
        rows.execute(
            "UPDATE delivery SET id = ?, notification = ?, urgent = ? WHERE id = ?",
            (left.id, notification_text(left), left.urgent, each.id),
        )
        rows.execute(  # what was folded into it goes with it
            "UPDATE delivery SET told_by = ? WHERE state = 'folded' AND settled_at >= ? AND told_by = ?",
            (left.id, left.created, each.id),
        )
        if each.whole:
            rows.execute(
                "INSERT OR IGNORE INTO attempt (delivery, at, number, state, why)"
                " SELECT seq, ?, attempts, 'folded', ? FROM delivery WHERE id = ?",
                (now, printable(each.why), left.id),
            )
            rows.execute(
                "UPDATE delivery SET state = 'folded', why = ?, settled_at = ?, receipt = NULL WHERE id = ?",
                (printable(each.why), now, left.id),
            )
    for key, receiver, told, notice in unsaid:
        place = (*key, receiver)
        if told is None or notice is None:
            rows.execute("DELETE FROM announced WHERE rule_id = ? AND fingerprint = ? AND receiver = ?", place)
        else:
            put = "UPDATE announced SET at = ?, notice = ? WHERE rule_id = ? AND fingerprint = ? AND receiver = ?"
            rows.execute(put, (told.at, notice_text(notice), *place))


# ------------------------------------------------------------------------------------------- claims


def has_void(rows: sqlite3.Connection, run: str) -> bool:
    """Tell whether claims of other runs are held."""
    found = rows.execute("SELECT 1 FROM delivery WHERE state = 'claimed' AND claimed_by <> ? LIMIT 1", (run,))
    return found.fetchone() is not None


def void(rows: sqlite3.Connection, run: str) -> None:
    """Take back the claims of other runs: each was an attempt that nobody knows the end of."""
    rows.execute(
        "UPDATE delivery SET state = 'pending', attempts = attempts + 1, outcome = 'unknown', why = ?, next_at = 0,"
        " claimed_by = '', claimed_until = 0 WHERE state = 'claimed' AND claimed_by <> ?",
        (INTERRUPTED, run),
    )


def claimable(rows: sqlite3.Connection, receiver: str, now: Millis, limit: int) -> list[Any]:
    """Find what may be claimed: urgent ones first, then the oldest. Each row ends in whether others wait behind it."""
    asked = {"receiver": receiver, "now": now, "furthest": now + FURTHEST, "limit": limit}
    return rows.execute(_CLAIMABLE, asked).fetchall()


def claim_row(
    rows: sqlite3.Connection, row: Any, run: str, now: Millis, lease: Millis, *, fold: Fold | None
) -> Iterator[Delivery]:
    """Claim one, or the one that it is folded into.

    None comes back where the record is damaged: that one is parked, the rest goes on.
    """
    *columns, followed = row
    delivery = _interrupted(read_delivery(columns))
    if _is_damaged(delivery):
        parked = delivery._replace(state=DeliveryState.PARKED, why=f"{DAMAGED}: it cannot be sent", settled_at=now)
        settle(rows, parked)
        return
    if followed and fold is not None:
        delivery = _fold(rows, delivery, fold, now)
    claimed = delivery._replace(state=DeliveryState.CLAIMED, claimed_by=run, claimed_until=now + lease)
    rows.execute(
        "UPDATE delivery SET state = 'claimed', attempts = ?, outcome = ?, why = ?, claimed_by = ?, claimed_until = ?"
        " WHERE id = ?",
        (claimed.attempts, claimed.outcome, claimed.why, run, claimed.claimed_until, claimed.notification.id),
    )
    yield claimed._replace(previous=receipt(rows, claimed.notification.receiver, claimed.notification.group_key))


def _interrupted(delivery: Delivery) -> Delivery:
    """Count a claim whose lease is over as an attempt that nobody knows the end of."""
    if delivery.state is not DeliveryState.CLAIMED:
        return delivery
    return delivery._replace(attempts=delivery.attempts + 1, outcome=Outcome.UNKNOWN, why=INTERRUPTED)


def _fold(rows: sqlite3.Connection, head: Delivery, fold: Fold, now: Millis) -> Delivery:
    """Fold what waits under a key; give the message that is to be sent now."""
    found = rows.execute(_WAITING, (head.notification.receiver, head.notification.group_key)).fetchall()
    whole = takewhile(lambda each: not _is_damaged(each), map(read_delivery, found[1:]))
    *gone, heir = told_together([head, *whole], fold, now)
    for each in gone:
        settle(rows, each)
    notification, receipt = heir.notification, _receipt_text(heir)
    rows.execute(
        "UPDATE delivery SET notification = ?, urgent = ?, receipt = ?, owed_since = ?, passed_on = ? WHERE id = ?",
        (
            notification_text(notification),
            notification.urgent,
            receipt,
            heir.owed_since,
            heir.passed_on,
            notification.id,
        ),
    )
    return heir


def _is_damaged(delivery: Delivery) -> bool:
    return delivery.notification.title == DAMAGED


# ------------------------------------------------------------------------------------------- ends


def settle(rows: sqlite3.Connection, delivery: Delivery) -> None:
    """Record how an attempt ended; a message that was sent, parked or folded stays so."""
    settled_at = delivery.settled_at if delivery.state in SETTLED else None
    note_attempt(rows, delivery)
    rows.execute(
        "UPDATE delivery SET state = ?, attempts = ?, next_at = ?,"
        " outcome = CASE WHEN outcome = 'unknown' AND ? = 'retry' THEN outcome ELSE ? END, why = ?, receipt = ?,"
        " settled_at = ?, told_by = ?, claimed_by = '', claimed_until = 0 WHERE id = ? AND settled_at IS NULL",
        (
            delivery.state,
            delivery.attempts,
            delivery.next_at,
            delivery.outcome,
            delivery.outcome,
            printable(delivery.why),
            _receipt_text(delivery),
            settled_at,
            delivery.told_by,
            delivery.notification.id,
        ),
    )


def note_attempt(rows: sqlite3.Connection, delivery: Delivery) -> None:
    """Append what an attempt came to, or that a message ends without one."""
    at = delivery.tried_at or delivery.settled_at
    if at:
        outcome = delivery.outcome if delivery.tried_at else None
        rows.execute(
            "INSERT OR IGNORE INTO attempt (delivery, at, number, outcome, state, why)"
            " SELECT seq, ?, ?, ?, ?, ? FROM delivery WHERE id = ? AND settled_at IS NULL",
            (at, delivery.attempts, outcome, delivery.state, printable(delivery.why), delivery.notification.id),
        )


# ------------------------------------------------------------------------------------------- questions


def next_due(rows: sqlite3.Connection, receiver: str | None) -> Millis | None:
    """When something may be claimed next, of this receiver or of any."""
    receivers = owing(rows) if receiver is None else [receiver]
    times = [rows.execute(_NEXT, {"receiver": each}).fetchone()[0] for each in receivers]
    return min((at for at in times if at is not None), default=None)


def owing(rows: sqlite3.Connection) -> list[str]:
    """Give the receivers to which something is owed."""
    found = rows.execute("SELECT DISTINCT receiver FROM delivery WHERE settled_at IS NULL ORDER BY receiver")
    return [receiver for (receiver,) in found]


def unheard(rows: sqlite3.Connection, receiver: str, before: Millis) -> list[Delivery]:
    """Find what somebody else should be told of, in order.

    That is what was parked lately, and where something is owed since `before`, all that waits under its key.
    """
    found = rows.execute(_UNHEARD, {"receiver": receiver, "before": before, "lately": before - GIVEN_UP})
    return [each for each in map(read_delivery, found.fetchall()) if not _is_damaged(each)]


def standing(rows: sqlite3.Connection, receiver: str, before: Millis, ended: Delivery | None) -> str | None:
    """Say why a receiver counts as down; empty: the last that became of a message is that it was sent; None: neither.

    It is down when something that was tried in vain is owed since `before`, or when its last message was parked.
    `ended`: the last that this run knows of. Of earlier ones the newest stamp counts, though the wall may have stepped.
    """
    stuck = rows.execute(
        "SELECT why FROM delivery WHERE settled_at IS NULL AND receiver = ? AND attempts > 0 AND owed_since <= ?"
        " ORDER BY seq LIMIT 1",
        (receiver, before),
    ).fetchone()
    if stuck is not None:
        return str(stuck[0])
    if ended is not None:
        return ended.why if ended.state is DeliveryState.PARKED else ""
    newest = rows.execute(
        "SELECT state, why FROM delivery WHERE receiver = ? AND state IN ('sent', 'parked')"
        " ORDER BY settled_at DESC, seq DESC LIMIT 1",
        (receiver,),
    ).fetchone()
    if newest is None:
        return None
    state, why = newest
    return str(why) if state == DeliveryState.PARKED else ""


def receipt(rows: sqlite3.Connection, receiver: str, group_key: str) -> Receipt | None:
    """Give the receipt of the newest sent message with this key."""
    found = rows.execute(
        "SELECT receipt FROM delivery WHERE state = 'sent' AND receiver = ? AND group_key = ?"
        " ORDER BY seq DESC LIMIT 1",
        (receiver, group_key),
    ).fetchone()
    return None if found is None else _read_receipt(found[0])


# ------------------------------------------------------------------------------------------- rows


def read_delivery(row: Any) -> Delivery:
    """Read one row of the outbox; where it is damaged, a stand-in says so."""
    id_, receiver, group_key, text, state, attempts, next_at, why, outcome, receipt, by, until, settled_at, *rest = row
    owed_since, passed_on, told_by = rest
    try:
        return fitting(
            Delivery(
                read_message(id_, receiver, group_key, text),
                DeliveryState(state),
                attempts,
                next_at,
                why,
                None if outcome is None else Outcome(outcome),
                _read_receipt(receipt),
                by,
                until,
                settled_at or 0,
                owed_since=owed_since,
                passed_on=bool(passed_on),
                told_by=told_by,
            )
        )
    except UNREADABLE:
        kind = DeliveryState(state) if state in set(DeliveryState) else DeliveryState.PENDING
        return Delivery(Notification(id_, receiver, group_key, DAMAGED, 0, DAMAGED), kind)


def read_message(id_: str, receiver: str, group_key: str, text: str) -> Notification:
    """Read a message; where it is damaged, a stand-in says so."""
    try:
        return read_notification(text)
    except UNREADABLE:
        return Notification(id_, receiver, group_key, DAMAGED, 0, DAMAGED)


def _receipt_text(delivery: Delivery) -> str | None:
    return None if delivery.receipt is None else dump(dict(delivery.receipt))


def _read_receipt(text: str | None) -> Receipt | None:
    """Read a receipt; a damaged one is as good as none: the message is then sent anew, not edited."""
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
