"""The SQL behind `explain` and `history`: what happened, to one alert or to all, read from what is only ever appended.

Which messages tell of an alert, the decisions about it say; those that only name it beside others are looked for in the
newest ones. So asking costs little in a large state, and sending pays nothing for it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alerting.model import Attempt, DeliveryState, Outcome
from alerting.ports import Account, History, Marks
from alerting.store.outlook import DELIVERY, read_delivery, read_message
from alerting.store.records import UNREADABLE, fitting
from alerting.store.statements import read_decisions, read_transition_row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from alerting.model import AlertKey, Delivery, Millis

_EVENTS = "SELECT seq, rule_id, fingerprint, at, record FROM {} WHERE {} ORDER BY seq DESC LIMIT ?"
_ONE = "rule_id = ? AND fingerprint = ?"
_NEW = "seq > ? AND at >= ?"
_ATTEMPTS = """SELECT a.at, a.number, a.outcome, a.state, a.why, a.seq, d.id, d.receiver, d.group_key, m.record
    FROM attempt AS a JOIN delivery AS d ON d.seq = a.delivery LEFT JOIN message AS m ON m.seq = d.seq"""
_LOOKED_THROUGH = 5_000  # newest messages, for those that name an alert and have no decision about it
_NAMING = f"""WITH RECURSIVE named (id) AS (
        VALUES {{}} UNION SELECT o.told_by FROM named JOIN delivery AS o ON o.id = named.id WHERE o.told_by <> '')
    {DELIVERY} WHERE d.seq IN (SELECT o.seq FROM named JOIN delivery AS o ON o.id = named.id UNION
        SELECT seq FROM message WHERE seq > (SELECT max(seq) FROM message) - ? AND instr(record, ?))
    ORDER BY d.seq DESC"""  # noqa: S608  texts of our own, and question marks


def account(rows: sqlite3.Connection, key: AlertKey, limit: int) -> Account:
    """Give what is kept of one alert: of each list the newest, oldest first."""
    moves = rows.execute(_EVENTS.format("transition", _ONE), (*key, limit)).fetchall()
    decided = rows.execute(_EVENTS.format("decision", _ONE), (*key, limit)).fetchall()
    decisions = tuple(each for row in reversed(decided) for each in read_decisions(row[1:]))
    told = [each.by for each in decisions if each.outcome == "told"]
    return Account(
        tuple(read_transition_row(row[1:]) for row in reversed(moves)),
        decisions,
        tuple((delivery, _attempts(rows, delivery)) for delivery in reversed(_naming(rows, key, told, limit))),
    )


def history(rows: sqlite3.Connection, since: Millis, after: Marks, limit: int) -> History:
    """Give what happened since a time and was written after `after`: of each list the newest, oldest first."""
    moves = rows.execute(_EVENTS.format("transition", _NEW), (after.transition, since, limit)).fetchall()
    decided = rows.execute(_EVENTS.format("decision", _NEW), (after.decision, since, limit)).fetchall()
    new = f"{_ATTEMPTS} WHERE a.seq > ? AND a.at >= ? ORDER BY a.seq DESC LIMIT ?"
    tried = rows.execute(new, (after.attempt, since, limit)).fetchall()
    newest = (moves[0][0] if moves else 0, decided[0][0] if decided else 0, tried[0][5] if tried else 0)
    return History(
        tuple(read_transition_row(row[1:]) for row in reversed(moves)),
        tuple(each for row in reversed(decided) for each in read_decisions(row[1:])),
        tuple((each, read_message(*row[6:])) for row in reversed(tried) for each in _attempt(row)),
        Marks(*map(max, newest, after)),
    )


def _naming(rows: sqlite3.Connection, key: AlertKey, told: Sequence[str], limit: int) -> list[Delivery]:
    """Find the newest messages that tell of an alert (by their ids, and those they were folded into) or name it."""
    named: list[Delivery] = []
    values = ", ".join("(?)" for _ in ("", *told))
    found = rows.execute(_NAMING.format(values), ("", *told, _LOOKED_THROUGH, f'"{key.fingerprint}"'))
    for row in found:
        delivery = read_delivery(row)
        notification = delivery.notification
        if any(notice.key == key for notice in (*notification.firing, *notification.resolved)):
            named.append(delivery)
        if len(named) == limit:
            break
    return named


def _attempts(rows: sqlite3.Connection, delivery: Delivery) -> tuple[Attempt, ...]:
    found = rows.execute(f"{_ATTEMPTS} WHERE d.id = ? ORDER BY a.seq", (delivery.notification.id,))
    return tuple(each for row in found for each in _attempt(row))


def _attempt(row: Any) -> Iterator[Attempt]:
    """Read one row; none comes back where it is damaged."""
    at, number, outcome, state, why = row[:5]
    with suppress(*UNREADABLE):
        kind = None if outcome is None else Outcome(outcome)
        yield fitting(Attempt(at, number, kind, DeliveryState(state), why))
