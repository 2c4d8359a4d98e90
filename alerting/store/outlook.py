"""What is asked of the outbox, and how its rows are read; nothing is written here.

Order is `seq`, the order in which messages came to be owed; urgent ones go first. Of each (receiver, group key) only
the oldest unsettled message, the head, may be claimed: none overtakes it. Only a head is ever sent or parked, so a
message is one when what stands before it, apart from what was folded, is settled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerting.model import Delivery, DeliveryState, Notification, Outcome
from alerting.store.records import DAMAGED, FURTHEST, GIVEN_UP, INTERRUPTED, UNREADABLE, fitting, read_notification

if TYPE_CHECKING:
    import sqlite3

    from alerting.model import Millis, Receipt

_BACKLOG = 500  # messages of one key that are folded at once
_LOOKED_THROUGH = 5_000  # newest messages of one key, for one that was sent

_COLUMNS = """d.id, d.receiver, d.group_key, m.record, d.state, d.attempts, d.next_at, d.why, d.outcome, d.receipt,
    d.claimed_by, d.claimed_until, d.settled_at, d.owed_since, d.passed_on, d.told_by"""
_FROM = "FROM delivery AS d LEFT JOIN message AS m ON m.seq = d.seq"
DELIVERY = f"SELECT {_COLUMNS} {_FROM}"
_OTHERS = "FROM delivery AS o INDEXED BY delivery_key WHERE o.receiver = d.receiver AND o.group_key = d.group_key"
_HEADS = f"""d.settled_at IS NULL AND d.receiver = :receiver AND (SELECT o.settled_at IS NOT NULL {_OTHERS}
    AND o.seq < d.seq AND o.state <> 'folded' ORDER BY o.seq DESC LIMIT 1) IS NOT 0"""
_CLAIMABLE = f"""SELECT d.seq, EXISTS (SELECT 1 {_OTHERS} AND o.seq > d.seq AND o.settled_at IS NULL), {_COLUMNS}
    FROM delivery AS d INDEXED BY delivery_owed LEFT JOIN message AS m ON m.seq = d.seq WHERE {_HEADS} AND (
    (d.state = 'pending' AND (d.next_at <= :now OR d.next_at > :furthest))
    OR (d.state = 'claimed' AND d.claimed_until <= :now)) ORDER BY d.urgent DESC, d.seq LIMIT :limit"""  # noqa: S608
WAITING = f"""{DELIVERY} WHERE d.settled_at IS NULL AND d.receiver = ? AND d.group_key = ? AND d.seq > ?
    ORDER BY d.seq LIMIT {_BACKLOG}"""
_NEXT = f"""SELECT min(CASE d.state WHEN 'claimed' THEN d.claimed_until ELSE d.next_at END)
    FROM delivery AS d WHERE {_HEADS}"""  # noqa: S608  texts from above

_NEWEST = """SELECT settled_at, seq, state, why FROM delivery INDEXED BY delivery_ended
    WHERE settled_at NOTNULL AND receiver = :receiver AND state = '{}'
    ORDER BY settled_at DESC, seq DESC LIMIT :limit"""
_LAST = f"""SELECT state, why, settled_at FROM (SELECT * FROM ({_NEWEST.format("sent")}) UNION ALL
    SELECT * FROM ({_NEWEST.format("parked")})) ORDER BY settled_at DESC, seq DESC LIMIT 1"""  # noqa: S608
# One that is owed and was tried in vain, or that was and is told by it: of its key, all that is folded right before it.
_STUCK = f"""SELECT d.why FROM delivery AS d WHERE d.settled_at IS NULL AND d.receiver = :receiver AND d.attempts > 0
    AND (d.owed_since <= :before OR EXISTS (SELECT 1 {_OTHERS} AND o.seq < d.seq AND o.owed_since <= :before
    AND o.state = 'folded' AND o.told_by <> '' AND o.seq > coalesce((SELECT b.seq FROM delivery AS b
    INDEXED BY delivery_key WHERE b.receiver = d.receiver AND b.group_key = d.group_key AND b.seq < d.seq
    AND b.state <> 'folded' ORDER BY b.seq DESC LIMIT 1), 0))) ORDER BY d.why = :interrupted, d.seq LIMIT 1"""  # noqa: S608  texts from above
_TRIED_IN_VAIN = """SELECT 1 FROM delivery INDEXED BY delivery_ended WHERE settled_at NOTNULL AND receiver = ?
    AND state = 'folded' AND settled_at > ? AND told_by = '' AND attempts > 0 LIMIT 1"""
_RECEIPT = f"""SELECT receipt FROM (SELECT state, receipt FROM delivery WHERE receiver = ? AND group_key = ?
    ORDER BY seq DESC LIMIT {_LOOKED_THROUGH}) WHERE state = 'sent' LIMIT 1"""  # noqa: S608  a number
VOID = "FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL AND state = 'claimed' AND claimed_by <> ?"

# All receivers that ever were, each found by one step in an index.
RECEIVERS = """WITH RECURSIVE known (receiver) AS (SELECT min(receiver) FROM delivery UNION ALL SELECT
    (SELECT min(receiver) FROM delivery WHERE receiver > k.receiver) FROM known AS k WHERE k.receiver NOTNULL)"""

_LATE = "SELECT group_key FROM delivery WHERE settled_at IS NULL AND receiver = :receiver AND owed_since <= :before"
_UNHEARD = f"""{DELIVERY} WHERE NOT d.passed_on AND d.seq IN (
    SELECT seq FROM delivery WHERE receiver = :receiver AND state = 'parked' AND settled_at > :lately
    UNION SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL AND receiver = :receiver
    AND group_key IN ({_LATE} AND NOT passed_on)) ORDER BY d.seq LIMIT {_BACKLOG}"""  # noqa: S608  texts from above

PASSED_ON = f"""SELECT d.seq, {_COLUMNS} {_FROM} WHERE d.passed_on AND d.seq IN (
    SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL AND receiver = ?
    UNION SELECT seq FROM delivery WHERE receiver = ? AND state = 'parked' AND settled_at > ?)"""  # noqa: S608  as above


# ------------------------------------------------------------------------------------------- what may be sent


def claimable(rows: sqlite3.Connection, receiver: str, now: Millis, limit: int) -> list[Any]:
    """Find what may be claimed: urgent ones first, then the oldest.

    Each row begins with its number, and whether others wait behind it.
    """
    asked = {"receiver": receiver, "now": now, "furthest": now + FURTHEST, "limit": limit}
    return rows.execute(_CLAIMABLE, asked).fetchall()


def has_void(rows: sqlite3.Connection, run: str) -> bool:
    """Tell whether claims of other runs are held."""
    found = rows.execute(f"SELECT 1 {VOID} LIMIT 1", (run,))
    return found.fetchone() is not None


def unsent(rows: sqlite3.Connection, receiver: str) -> list[Delivery]:
    """Give what is owed to a receiver, or (empty) to all, in order; what is damaged is left out."""
    whose = " AND receiver = :receiver" if receiver else ""
    owed = f"SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL{whose}"  # noqa: S608  from above
    found = rows.execute(f"{DELIVERY} WHERE d.seq IN ({owed}) ORDER BY d.seq", {"receiver": receiver})
    return [each for each in map(read_delivery, found.fetchall()) if not is_damaged(each)]


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
    return [each for each in map(read_delivery, found.fetchall()) if not is_damaged(each)]


def standing(
    rows: sqlite3.Connection, receiver: str, before: Millis, ended: Delivery | None, *, vain: bool
) -> str | None:
    """Say why a receiver counts as down; empty: the last that became of a message is that it was sent; None: neither.

    It is down when something that was tried in vain is owed since `before`, whoever was told in its place meanwhile,
    or when its last message was parked. What was called back proves nothing: where it was tried in vain since the last
    that was sent, neither is known; nor where we broke an attempt off ourselves. `ended`: the last that this run knows
    of, and `vain`: such a thing was called back since. Of what other runs left the newest stamp counts, though the wall
    may have stepped.
    """
    asked = {"receiver": receiver, "before": before, "interrupted": INTERRUPTED}
    stuck = rows.execute(_STUCK, asked).fetchone()
    if stuck is not None and stuck[0] != INTERRUPTED:
        return str(stuck[0])
    if ended is not None:
        state, why = ended.state.value, ended.why
    else:
        newest = rows.execute(_LAST, {"receiver": receiver, "limit": 1}).fetchone()
        if newest is None:
            return None
        state, why, at = newest
        vain = vain or rows.execute(_TRIED_IN_VAIN, (receiver, at)).fetchone() is not None
    if state == DeliveryState.PARKED:
        return str(why)
    return None if vain or stuck is not None else ""


def receipt(rows: sqlite3.Connection, receiver: str, group_key: str) -> Receipt | None:
    """Give the receipt of the newest sent message with this key."""
    found = rows.execute(_RECEIPT, (receiver, group_key)).fetchone()
    return None if found is None else _read_receipt(found[0])


def newest_sent(rows: sqlite3.Connection, limit: int) -> list[Any]:
    """Give the rows of what was sent last, to whomever, newest first."""
    receivers = rows.execute(f"{RECEIVERS} SELECT receiver FROM known WHERE receiver NOTNULL").fetchall()  # noqa: S608
    newest = f"SELECT settled_at, seq FROM ({_NEWEST.format('sent')}) WHERE typeof(settled_at) = 'integer'"  # noqa: S608
    asked = ({"receiver": receiver, "limit": limit} for (receiver,) in receivers)
    found = sorted((row for each in asked for row in rows.execute(newest, each)), reverse=True)
    return [rows.execute(f"{DELIVERY} WHERE d.seq = ?", (seq,)).fetchone() for _, seq in found[:limit]]


def settled(rows: sqlite3.Connection) -> dict[str, int]:
    """Count what is settled, by state."""
    found = "SELECT state, count(*) FROM delivery WHERE settled_at IS NOT NULL GROUP BY receiver, state"
    added: dict[str, int] = {}
    for state, count in rows.execute(found):
        added[state] = added.get(state, 0) + count
    return added


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


def is_damaged(delivery: Delivery) -> bool:
    """Tell whether a message could not be read."""
    return delivery.notification.title == DAMAGED


def _read_receipt(text: str | None) -> Receipt | None:
    """Read a receipt; a damaged one is as good as none: the message is then sent anew, not edited."""
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
