"""The SQL of the store: each function is one piece of work on an open transaction.

Order in the outbox is `seq`, the order in which messages came to be owed. Of each (receiver, group key) only the
oldest unsettled message may be claimed: none overtakes it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alerting.model import (
    NO_LABELS,
    AlertKey,
    AlertState,
    Delivery,
    DeliveryState,
    Notification,
    Outcome,
    Step,
    Transition,
)
from alerting.ports import Overview, Snapshot
from alerting.store.records import (
    FURTHEST,
    INTERRUPTED,
    SETTLED,
    UNREADABLE,
    alert_text,
    decision_text,
    dump,
    notice_text,
    notification_text,
    printable,
    read_alert,
    read_decision,
    read_notice,
    read_notification,
    read_transition,
    transition_text,
)
from alerting.store.schema import refused

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from alerting.model import Alert, Decision, Millis, Notice, Receipt
    from alerting.ports import Change

DAMAGED = "(this record of the state is damaged)"
_PRUNE_ROWS = 500  # in one step, so that no commit is held up

_DELIVERY = """SELECT id, receiver, group_key, notification, state, attempts, next_at, why, outcome, receipt,
    claimed_by, claimed_until, settled_at FROM delivery AS d"""
_HEADS = """d.settled_at IS NULL AND d.receiver = :receiver AND NOT EXISTS (
    SELECT 1 FROM delivery AS o WHERE o.settled_at IS NULL
    AND o.receiver = d.receiver AND o.group_key = d.group_key AND o.seq < d.seq)"""
_CLAIMABLE = f"""{_DELIVERY} WHERE {_HEADS} AND (
    (d.state = 'pending' AND (d.next_at <= :now OR d.next_at > :furthest))
    OR (d.state = 'claimed' AND d.claimed_until <= :now)) ORDER BY d.seq LIMIT :limit"""
_NEXT = f"""SELECT min(CASE d.state WHEN 'claimed' THEN d.claimed_until ELSE d.next_at END)
    FROM delivery AS d WHERE {_HEADS}"""  # noqa: S608  texts from above


# ------------------------------------------------------------------------------------------- a tick's change


def write_alerts(rows: sqlite3.Connection, change: Change) -> None:
    """Put and drop alerts; append what happened to them."""
    rows.executemany("DELETE FROM alert WHERE rule_id = ? AND fingerprint = ?", change.dropped)
    rows.executemany("DELETE FROM announced WHERE rule_id = ? AND fingerprint = ?", change.dropped)
    rows.executemany(
        "INSERT INTO alert VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        ((*alert.key, alert_text(alert)) for alert in change.alerts),
    )
    rows.executemany(
        "INSERT INTO transition (rule_id, fingerprint, at, record) VALUES (?, ?, ?, ?)",
        ((*each.key, each.at, transition_text(each)) for each in change.transitions),
    )


def write_rest(rows: sqlite3.Connection, change: Change) -> None:
    """Write what is known of rules, sources and the configuration."""
    rows.execute("UPDATE meta SET written_at = ?", (change.at,))
    rows.executemany("DELETE FROM evaluated WHERE rule_id = ?", ((rule_id,) for rule_id in change.forgotten))
    rows.executemany(
        "INSERT INTO evaluated VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
        (change.evaluated or {}).items(),
    )
    for source, why in (change.faults or {}).items():
        if why is None:
            rows.execute("DELETE FROM fault WHERE source = ?", (source,))
        else:
            put = "INSERT INTO fault VALUES (?, ?) ON CONFLICT DO UPDATE SET why = excluded.why"
            rows.execute(put, (source, printable(why)))
    if change.good_config is not None:
        keep(rows, {"good_config": change.good_config})
    if change.texts:
        keep(rows, change.texts)
    rows.executemany(
        "INSERT INTO decision (rule_id, fingerprint, at, record) VALUES (?, ?, ?, ?)",
        ((*each.key, each.at, decision_text(each)) for each in change.decisions),
    )


def keep(rows: sqlite3.Connection, texts: Mapping[str, str | None]) -> None:
    """Put texts by name; None forgets one."""
    put = "INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
    rows.executemany(put, ((name, text) for name, text in texts.items() if text is not None))
    rows.executemany("DELETE FROM kept WHERE name = ?", ((name,) for name, text in texts.items() if text is None))


def kept(rows: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """Give the texts whose names begin so."""
    return dict(rows.execute("SELECT name, value FROM kept WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)))


def owe(rows: sqlite3.Connection, notification: Notification) -> None:
    """Add to the outbox, unless it was added before; remember who has been told what of which alert."""
    added = rows.execute(
        "INSERT INTO delivery (id, receiver, group_key, notification) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (notification.id, notification.receiver, notification.group_key, notification_text(notification)),
    )
    rows.execute("UPDATE meta SET created = created + ?", (added.rowcount,))
    receiver, group_key = notification.receiver, notification.group_key
    rows.executemany(
        "DELETE FROM announced WHERE rule_id = ? AND fingerprint = ? AND receiver = ?",
        ((*notice.key, receiver) for notice in notification.resolved),
    )
    rows.executemany(
        "INSERT OR REPLACE INTO announced VALUES (?, ?, ?, ?, ?, ?)",
        (
            (*each.key, receiver, group_key, notification.created, notice_text(each))
            for each in notification.firing
            if notification.announces and each.step != Step.ONGOING
        ),
    )


def prune(rows: sqlite3.Connection, before: Millis) -> None:
    """Forget a bounded number of old transitions and settled messages; never what is open or still needed."""
    for table in ("transition", "decision"):
        rows.execute(
            f"DELETE FROM {table} WHERE at < ? AND seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT ?)",  # noqa: S608
            (before, _PRUNE_ROWS),
        )
    for state, tally in (("sent", "gone_sent"), ("parked", "gone_parked")):
        gone = rows.execute(
            "DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery AS d WHERE state = ? AND settled_at < ?"
            " AND NOT EXISTS (SELECT 1 FROM announced AS a WHERE a.receiver = d.receiver AND a.group_key = d.group_key)"
            " LIMIT ?)",
            (state, before, _PRUNE_ROWS),
        )
        rows.execute(f"UPDATE meta SET {tally} = {tally} + ?", (gone.rowcount,))  # noqa: S608  two names from above


# ------------------------------------------------------------------------------------------- the outbox


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


def decisions(rows: sqlite3.Connection, key: AlertKey, limit: int) -> list[Decision]:
    """Give the newest decisions about one alert, newest first; a damaged one is left out."""
    found = rows.execute(
        "SELECT rule_id, fingerprint, at, record FROM decision WHERE rule_id = ? AND fingerprint = ?"
        " ORDER BY seq DESC LIMIT ?",
        (*key, limit),
    )
    return [each for row in found for each in _read_decisions(row)]


def _read_decisions(row: Any) -> Iterator[Decision]:
    with suppress(*UNREADABLE):
        yield read_decision(*row)


def claimable(rows: sqlite3.Connection, receiver: str, now: Millis, limit: int) -> list[Any]:
    """Find what may be claimed, oldest first."""
    asked = {"receiver": receiver, "now": now, "furthest": now + FURTHEST, "limit": limit}
    return rows.execute(_CLAIMABLE, asked).fetchall()


def claim_row(rows: sqlite3.Connection, delivery: Delivery, run: str, now: Millis, lease: Millis) -> Iterator[Delivery]:
    """Claim one; none comes back where the record is damaged: that one is parked, the rest goes on."""
    if delivery.state is DeliveryState.CLAIMED:
        delivery = delivery._replace(attempts=delivery.attempts + 1, outcome=Outcome.UNKNOWN, why=INTERRUPTED)
    if delivery.notification.title == DAMAGED:
        parked = delivery._replace(state=DeliveryState.PARKED, why=f"{DAMAGED}: it cannot be sent", settled_at=now)
        settle(rows, parked)
        return
    claimed = delivery._replace(state=DeliveryState.CLAIMED, claimed_by=run, claimed_until=now + lease)
    rows.execute(
        "UPDATE delivery SET state = 'claimed', attempts = ?, outcome = ?, why = ?, claimed_by = ?, claimed_until = ?"
        " WHERE id = ?",
        (claimed.attempts, claimed.outcome, claimed.why, run, claimed.claimed_until, claimed.notification.id),
    )
    yield claimed


def settle(rows: sqlite3.Connection, delivery: Delivery) -> None:
    """Record how an attempt ended; a message that was sent or parked stays so."""
    receipt = None if delivery.receipt is None else dump(dict(delivery.receipt))
    settled_at = delivery.settled_at if delivery.state in SETTLED else None
    rows.execute(
        "UPDATE delivery SET state = ?, attempts = ?, next_at = ?, outcome = ?, why = ?, receipt = ?, settled_at = ?,"
        " claimed_by = '', claimed_until = 0 WHERE id = ? AND settled_at IS NULL",
        (
            delivery.state,
            delivery.attempts,
            delivery.next_at,
            delivery.outcome,
            printable(delivery.why),
            receipt,
            settled_at,
            delivery.notification.id,
        ),
    )


def next_due(rows: sqlite3.Connection, receiver: str | None) -> Millis | None:
    """When something may be claimed next, of this receiver or of any."""
    receivers = owing(rows) if receiver is None else [receiver]
    times = [rows.execute(_NEXT, {"receiver": each}).fetchone()[0] for each in receivers]
    return min((at for at in times if at is not None), default=None)


def owing(rows: sqlite3.Connection) -> list[str]:
    """Give the receivers to which something is owed."""
    found = rows.execute("SELECT DISTINCT receiver FROM delivery WHERE settled_at IS NULL ORDER BY receiver")
    return [receiver for (receiver,) in found]


def receipt(rows: sqlite3.Connection, receiver: str, group_key: str) -> Receipt | None:
    """Give the receipt of the newest sent message with this key."""
    found = rows.execute(
        "SELECT receipt FROM delivery WHERE state = 'sent' AND receiver = ? AND group_key = ?"
        " ORDER BY seq DESC LIMIT 1",
        (receiver, group_key),
    ).fetchone()
    return None if found is None else _read_receipt(found[0])


# ------------------------------------------------------------------------------------------- reading


def snapshot(rows: sqlite3.Connection, path: str) -> Snapshot:
    """Read what the engine goes on from. Raises StateRefused where an open alert cannot be read."""
    announced: dict[tuple[AlertKey, str], str] = {}
    notices: dict[AlertKey, Notice] = {}
    try:
        for rule_id, fingerprint, receiver, group_key, _, text in rows.execute("SELECT * FROM announced ORDER BY at"):
            notice = read_notice(text)
            announced[AlertKey(rule_id, fingerprint), receiver] = group_key
            notices.pop(notice.key, None)  # so that the newest stands last
            notices[notice.key] = notice
    except UNREADABLE:
        raise refused(path, "is damaged: what was announced cannot be read") from None
    kept = rows.execute("SELECT value FROM kept WHERE name = 'good_config'").fetchone()
    installation, written_at = rows.execute("SELECT installation, written_at FROM meta").fetchone()
    return Snapshot(
        installation,
        _alerts(rows, path),
        dict(rows.execute("SELECT rule_id, at FROM evaluated")),
        announced,
        kept[0] if kept else None,
        _faults(rows),
        tuple(notices.values()),
        written_at,
    )


def overview(rows: sqlite3.Connection, path: str, limit: int) -> Overview:
    """Read what `status` shows."""
    meta = "SELECT installation, written_at, created, gone_sent, gone_parked FROM meta"
    installation, written_at, created, gone_sent, gone_parked = rows.execute(meta).fetchone()
    counts = {"created": created, **{state.value: 0 for state in DeliveryState}}
    counts.update(rows.execute("SELECT state, count(*) FROM delivery GROUP BY state"))
    counts["sent"] += gone_sent
    counts["parked"] += gone_parked
    unsent = rows.execute(f"{_DELIVERY} WHERE state <> 'sent' ORDER BY seq LIMIT ?", (limit,)).fetchall()
    newest = f"{_DELIVERY} WHERE state = 'sent' ORDER BY settled_at DESC, seq DESC LIMIT ?"
    sent = rows.execute(newest, (limit - len(unsent),))
    moves = "SELECT rule_id, fingerprint, at, record FROM transition ORDER BY seq DESC LIMIT ?"
    return Overview(
        installation,
        _alerts(rows, path),
        tuple(read_delivery(row) for row in (*unsent, *sent)),
        tuple(_read_transition(row) for row in rows.execute(moves, (limit,))),
        counts,
        _faults(rows),
        written_at,
    )


def _alerts(rows: sqlite3.Connection, path: str) -> tuple[Alert, ...]:
    try:
        return tuple(read_alert(*row) for row in rows.execute("SELECT rule_id, fingerprint, record FROM alert"))
    except UNREADABLE:
        raise refused(path, "is damaged: an alert in it cannot be read") from None


def _faults(rows: sqlite3.Connection) -> dict[str, str]:
    return dict(rows.execute("SELECT source, why FROM fault"))


def read_delivery(row: Any) -> Delivery:
    """Read one row of the outbox; where its message is damaged, a stand-in says so."""
    id_, receiver, group_key, text, state, attempts, next_at, why, outcome, receipt, by, until, settled_at = row
    try:
        notification = read_notification(text)
    except UNREADABLE:
        notification = Notification(id_, receiver, group_key, DAMAGED, 0, DAMAGED)
    return Delivery(
        notification,
        DeliveryState(state),
        attempts,
        next_at,
        why,
        None if outcome is None else Outcome(outcome),
        _read_receipt(receipt),
        by,
        until,
        settled_at or 0,
    )


def _read_receipt(text: str | None) -> Receipt | None:
    """Read a receipt; a damaged one is as good as none: the message is then sent anew, not edited."""
    try:
        found = None if text is None else json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _read_transition(row: Any) -> Transition:
    rule_id, fingerprint, at, text = row
    try:
        return read_transition(rule_id, fingerprint, at, text)
    except UNREADABLE:
        key, inactive = AlertKey(rule_id, fingerprint), AlertState.INACTIVE
        return Transition(key, NO_LABELS, inactive, inactive, at, DAMAGED, DAMAGED)
