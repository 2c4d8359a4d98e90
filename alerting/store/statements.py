"""The SQL of the store, apart from the outbox: each function is one piece of work on an open transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alerting.model import (
    NO_LABELS,
    AlertKey,
    AlertState,
    DeliveryState,
    Transition,
)
from alerting.ports import Overview, Snapshot
from alerting.store.outlook import DELIVERY, RECEIVERS, newest_sent, read_delivery
from alerting.store.records import (
    DAMAGED,
    SETTLED,
    UNREADABLE,
    alert_text,
    decision_text,
    fitting,
    printable,
    read_alert,
    read_decision,
    read_notice,
    read_transition,
    told_of,
    transition_text,
)
from alerting.store.schema import refused

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from alerting.model import Alert, Decision, Millis, Notice, Told
    from alerting.ports import Change

_PRUNE_ROWS = 500  # in one step, so that no commit is held up
_GONE = f"""DELETE FROM delivery WHERE seq IN ({RECEIVERS}
    SELECT d.seq FROM known JOIN delivery AS d INDEXED BY delivery_ended
    ON d.receiver = known.receiver AND d.state = ? AND d.settled_at < ?
    WHERE (d.receiver, d.group_key) NOT IN (SELECT receiver, group_key FROM announced) LIMIT ?)"""  # noqa: S608
_PARKED = f"""{RECEIVERS} SELECT d.seq FROM known JOIN delivery AS d INDEXED BY delivery_ended
    ON d.receiver = known.receiver AND d.state = 'parked' AND d.settled_at IS NOT NULL"""  # noqa: S608
_TROUBLED = f"""{DELIVERY} WHERE d.seq IN ({_PARKED} UNION ALL
    SELECT seq FROM delivery INDEXED BY delivery_owed WHERE settled_at IS NULL) ORDER BY d.seq LIMIT ?"""  # noqa: S608


# ------------------------------------------------------------------------------------------- a change


def write_alerts(rows: sqlite3.Connection, change: Change) -> None:
    """Put and drop alerts; append what happened to them."""
    if change.dropped:
        rows.executemany("DELETE FROM alert WHERE rule_id = ? AND fingerprint = ?", change.dropped)
    rows.executemany(
        "INSERT INTO alert VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        ((*alert.key, alert_text(alert)) for alert in change.alerts),
    )
    if change.transitions:
        rows.executemany(
            "INSERT INTO transition (rule_id, fingerprint, at, record) VALUES (?, ?, ?, ?)",
            ((*each.key, each.at, transition_text(each)) for each in change.transitions),
        )


def write_rest(rows: sqlite3.Connection, change: Change) -> None:
    """Write what is known of rules, sources and the configuration."""
    if change.is_turn:  # by this it is known whether a turn was saved
        rows.execute("UPDATE meta SET written_at = ?", (change.at,))
    if change.forgotten:
        rows.executemany("DELETE FROM evaluated WHERE rule_id = ?", ((rule_id,) for rule_id in change.forgotten))
    if change.evaluated:
        rows.executemany(
            "INSERT INTO evaluated VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at", change.evaluated.items()
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
    if change.decisions:
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
    found = "SELECT name, value FROM kept WHERE substr(name, 1, ?) = ? AND typeof(value) = 'text'"
    return dict(rows.execute(found, (len(prefix), prefix)))


def prune(rows: sqlite3.Connection, before: Millis) -> int:
    """Forget a bounded number of old transitions and settled messages; never what is open or still needed.

    Gives how many rows that were; 0: there is nothing so old.
    """
    pruned = 0
    for table in ("transition", "decision"):
        pruned += rows.execute(
            f"DELETE FROM {table} WHERE at < ? AND seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT ?)",  # noqa: S608
            (before, _PRUNE_ROWS),
        ).rowcount
    for state in SETTLED:
        gone = rows.execute(_GONE, (state, before, _PRUNE_ROWS)).rowcount
        pruned += gone
        if gone:
            rows.execute(f"UPDATE meta SET gone_{state} = gone_{state} + ?", (gone,))  # noqa: S608  names from above
    return pruned


# ------------------------------------------------------------------------------------------- reading


def decisions(rows: sqlite3.Connection, key: AlertKey, limit: int) -> list[Decision]:
    """Give the newest decisions about one alert, newest first; a damaged one is left out."""
    found = rows.execute(
        "SELECT rule_id, fingerprint, at, record FROM decision WHERE rule_id = ? AND fingerprint = ?"
        " ORDER BY seq DESC LIMIT ?",
        (*key, limit),
    )
    return [each for row in found for each in read_decisions(row)]


def read_decisions(row: Any) -> Iterator[Decision]:
    """Read one row; none comes back where it is damaged."""
    with suppress(*UNREADABLE):
        yield read_decision(*row)


def snapshot(rows: sqlite3.Connection, path: str) -> Snapshot:
    """Read what the engine goes on from. Raises StateRefused where an open alert cannot be read."""
    announced: dict[tuple[AlertKey, str], Told] = {}
    notices: dict[AlertKey, Notice] = {}
    try:
        for rule_id, fingerprint, receiver, group_key, at, text in rows.execute("SELECT * FROM announced ORDER BY at"):
            notice = read_notice(text)
            if notice.key != AlertKey(rule_id, fingerprint):
                raise ValueError("it is of another alert")
            announced[notice.key, receiver] = fitting(told_of(notice, group_key, at))
            notices.pop(notice.key, None)  # so that the newest stands last
            notices[notice.key] = notice
    except UNREADABLE:
        raise refused(path, "is damaged: what was announced cannot be read") from None
    kept = rows.execute("SELECT value FROM kept WHERE name = 'good_config' AND typeof(value) = 'text'").fetchone()
    installation, written_at = rows.execute("SELECT installation, written_at FROM meta").fetchone()
    return Snapshot(
        installation,
        _alerts(rows, path),
        dict(rows.execute("SELECT rule_id, at FROM evaluated WHERE typeof(at) = 'integer'")),
        announced,
        kept[0] if kept else None,
        _faults(rows),
        tuple(notices.values()),
        written_at,
    )


def overview(rows: sqlite3.Connection, path: str, limit: int) -> Overview:
    """Read what `status` shows."""
    settled = "here_sent + gone_sent, here_parked + gone_parked, here_folded + gone_folded"
    meta = rows.execute(f"SELECT installation, written_at, created, {settled} FROM meta")  # noqa: S608  text from above
    installation, written_at, created, *ended = meta.fetchone()
    counts = {"created": created, **{state.value: 0 for state in DeliveryState}}
    counts.update(zip(SETTLED, ended, strict=True))
    counts.update(rows.execute("SELECT state, count(*) FROM delivery WHERE settled_at IS NULL GROUP BY state"))
    unsent = rows.execute(_TROUBLED, (limit,)).fetchall()
    moves = "SELECT rule_id, fingerprint, at, record FROM transition ORDER BY seq DESC LIMIT ?"
    return Overview(
        installation,
        _alerts(rows, path),
        tuple(read_delivery(row) for row in (*unsent, *newest_sent(rows, limit - len(unsent)))),
        tuple(read_transition_row(row) for row in rows.execute(moves, (limit,))),
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
    return dict(rows.execute("SELECT source, why FROM fault WHERE typeof(source) = 'text' AND typeof(why) = 'text'"))


def read_transition_row(row: Any) -> Transition:
    """Read one row; where it is damaged, a stand-in says so."""
    rule_id, fingerprint, at, text = row
    try:
        return read_transition(rule_id, fingerprint, at, text)
    except UNREADABLE:
        key, inactive = AlertKey(rule_id, fingerprint), AlertState.INACTIVE
        return Transition(key, NO_LABELS, inactive, inactive, at if type(at) is int else 0, DAMAGED, DAMAGED)
