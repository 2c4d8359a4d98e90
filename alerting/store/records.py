"""Rows and records: how the nouns of `model` are written into the state, and the few laws that all stores share.

JSON, by name, so that a later release may add a field and still read what an earlier one wrote. A field that is as by
default is not written: with another default, a later release has to write the former one into the rows. Never pickle: a
tampered row can be wrong, but it cannot run. NaN and the infinities are written as Python's json does.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from alerting.core.telling.folding import perhaps
from alerting.model import (
    NO_TEXTS,
    Alert,
    AlertKey,
    AlertState,
    Decision,
    DeliveryState,
    Ended,
    Labels,
    Notice,
    Notification,
    Outcome,
    Picture,
    Told,
    Transition,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import Delivery, Millis
    from alerting.ports import Change, Fold

INTERRUPTED = "alerting stopped while this was being sent: it may have arrived"
SETTLED = (DeliveryState.SENT, DeliveryState.PARKED, DeliveryState.FOLDED)
GIVEN_UP: Millis = 3_600_000  # a message that was parked longer ago is passed on to nobody: it is old news
FURTHEST: Millis = 3_600_000  # no wait is longer: what is due later than this was set by a clock that stepped back

DAMAGED = "(this record of the state is damaged)"  # stands where something cannot be read
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what a damaged row can raise when read

R = TypeVar("R", bound="tuple[Any, ...]")

# ASCII, so that odd characters of names survive any file. What JSON does not know is a mapping; none holds itself.
dump = json.JSONEncoder(separators=(",", ":"), default=dict, check_circular=False).encode


def is_empty(change: Change) -> bool:
    """Tell whether there is nothing to write."""
    return not (
        change.alerts
        or change.dropped
        or change.transitions
        or change.notifications
        or change.evaluated
        or change.forgotten
        or change.faults
        or change.good_config is not None
        or change.texts
        or change.decisions
        or change.passed_on
        or change.recalled
    )


def told_together(waiting: Sequence[Delivery], fold: Fold, at: Millis) -> Sequence[Delivery]:
    """Fold what waits under one key, oldest first: gives those that are folded, and last the one that tells them.

    That one goes on where the oldest stood: with its attempts and its receipt, and as long owed as what nobody else
    was told in its place. Where an attempt at the oldest may have arrived, its words say so of themselves: the others'
    have not.
    """
    first = waiting[0]
    uncertain = first.outcome is Outcome.UNKNOWN
    oldest = perhaps(first.notification) if uncertain else first.notification
    count, told = fold([oldest, *(each.notification for each in waiting[1:])])
    gone, heir = waiting[: count - 1], waiting[count - 1]
    since = [each.owed_since for each in waiting[:count] if not each.passed_on]
    why = f"overtaken while it waited: told by message {told.id}"
    return (
        *(
            each._replace(state=DeliveryState.FOLDED, why=why, told_by=told.id, settled_at=at, receipt=None)
            for each in gone
        ),
        heir._replace(
            notification=told,
            attempts=first.attempts,
            outcome=None if uncertain and gone else first.outcome,
            why=first.why,
            receipt=first.receipt,
            owed_since=min(since, default=heir.owed_since),
            passed_on=not since,
        ),
    )


def printable(text: str) -> str:
    """Give text from outside as valid Unicode; half a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


# ------------------------------------------------------------------------------------------- to rows


def alert_text(alert: Alert) -> str:
    """Write an alert, all but its key."""
    row = _said(alert)
    del row["key"]
    return dump(row | {"labels": alert.labels.pairs})


def transition_text(transition: Transition) -> str:
    """Write a transition, all but its key and time."""
    row = _said(transition)
    del row["key"], row["at"]
    return dump(row | {"labels": transition.labels.pairs})


def decision_text(decision: Decision) -> str:
    """Write a decision, all but its key and time."""
    row = _said(decision)
    del row["key"], row["at"]
    return dump(row)


def notification_text(notification: Notification) -> str:
    """Write a notification whole: what was announced does not change, whatever is edited since."""
    row = _said(notification)
    for part in ("firing", "resolved", "noted_ends"):
        if part in row:
            row[part] = [_said(notice) for notice in row[part]]
    return dump(row)


def notice_text(notice: Notice) -> str:
    """Write what was announced of one alert."""
    return dump(_said(notice))


def _said(record: Any) -> dict[str, Any]:
    """Give the fields of a record, without those that are as they are where nothing is said: most are."""
    defaults = record._field_defaults
    return {
        name: value
        for name, value in zip(record._fields, record, strict=True)
        if name not in defaults or value != defaults[name]
    }


# ------------------------------------------------------------------------------------------- from rows


def read_alert(rule_id: str, fingerprint: str, text: str) -> Alert:
    """Read an alert. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    return fitting(
        Alert(
            key=fitting(AlertKey(rule_id, fingerprint)),
            labels=_labels(row.pop("labels")),
            state=AlertState(row.pop("state")),
            firings=tuple(row.pop("firings", ())),
            endings=tuple(row.pop("endings", ())),
            **row,
        )
    )


def read_transition(rule_id: str, fingerprint: str, at: Millis, text: str) -> Transition:
    """Read a transition. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    ended = row.pop("ended", None)
    return fitting(
        Transition(
            key=fitting(AlertKey(rule_id, fingerprint)),
            labels=_labels(row.pop("labels")),
            before=AlertState(row.pop("before")),
            after=AlertState(row.pop("after")),
            at=at,
            ended=None if ended is None else Ended(ended),
            **row,
        )
    )


def read_decision(rule_id: str, fingerprint: str, at: Millis, text: str) -> Decision:
    """Read a decision. Raises one of UNREADABLE when the row is damaged."""
    return fitting(Decision(key=fitting(AlertKey(rule_id, fingerprint)), at=at, **json.loads(text)))


def read_notification(text: str) -> Notification:
    """Read a notification. Raises one of UNREADABLE when the row is damaged."""
    row = json.loads(text)
    firing = tuple(_read_notice(each) for each in row.pop("firing", ()))
    resolved = tuple(_read_notice(each) for each in row.pop("resolved", ()))
    ends = tuple(_read_notice(each) for each in row.pop("noted_ends", ()))
    notes, instead_of = tuple(row.pop("notes", ())), tuple(row.pop("instead_of", ()))
    said = Notification(firing=firing, resolved=resolved, noted_ends=ends, notes=notes, instead_of=instead_of, **row)
    return fitting(said)


def read_notice(text: str) -> Notice:
    """Read what was announced. Raises one of UNREADABLE when the row is damaged."""
    return _read_notice(json.loads(text))


def told_of(notice: Notice, group_key: str, at: Millis) -> Told:
    """Give what a receiver knows that was told this."""
    return Told(group_key, at, notice.severity, bool(notice.acked), bool(notice.flapping))


def _labels(pairs: list[list[Any]]) -> Labels:
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        raise ValueError("a label is no text")
    return Labels((name, value) for name, value in pairs)


def _read_notice(row: dict[str, Any]) -> Notice:
    picture, before = row.pop("picture", None), row.pop("before", None)
    known = None if before is None else fitting(Told(*before))
    key = fitting(AlertKey(*row.pop("key")))
    return fitting(Notice(key=key, picture=_read_picture(picture), before=known, **row))


def _read_picture(row: list[Any] | None) -> Picture | None:
    if row is None:
        return None
    points, threshold, unit = row
    return Picture(tuple((at, value) for at, value in points), threshold, unit)


# ------------------------------------------------------------------------------------------- what fits


def fitting(record: R) -> R:
    """Give a record back whose fields are of the kinds that it declares. Raises ValueError where one is not."""
    for at, fits in _checks(type(record)):
        if not fits(record[at]):
            raise ValueError(f"field {at} of {type(record).__name__} is not of its kind")
    return record


@cache
def _checks(record: type[tuple[Any, ...]]) -> tuple[tuple[int, Callable[[Any], bool]], ...]:
    words = [str(getattr(kind, "__forward_arg__", kind)) for kind in record.__annotations__.values()]
    return tuple((at, _KINDS[word]) for at, word in enumerate(words) if word in _KINDS)


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: Mapping[str, Callable[[Any], bool]] = {  # by the words of the annotations in `model`
    "str": _is_text,
    "int": _is_int,
    "Millis": _is_int,
    "Millis | None": lambda value: value is None or _is_int(value),
    "bool": lambda value: isinstance(value, bool),
    "Value": lambda value: value is None or isinstance(value, str | int | float),
    "tuple[Millis, ...]": lambda value: all(map(_is_int, value)),
    "tuple[str, ...]": lambda value: all(map(_is_text, value)),
    "Mapping[str, str]": lambda value: (
        value is NO_TEXTS or (isinstance(value, dict) and all(map(_is_text, value.values())))
    ),
}
