"""Messages that were expected against those that were sent: all differences, in words.

The law of `compare` holds here too: order never matters, and nothing that differs is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.casework.compare import paired, span
from alerting.model import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.casework.people import HeardAlert, HeardMessage
    from alerting.model import Millis

_SHOWN = 10  # alerts of a message that is shown whole


class ToldAlert(NamedTuple):
    """One alert that a message speaks of."""

    labels: Labels  # `alertname` among them
    step: str
    reason: str


class Message(NamedTuple):
    """One message as it is handed to the outbox, in its receiver's own words."""

    at: Millis  # since the start
    receiver: str
    key: str
    reason: str
    title: str
    text: str
    notes: tuple[str, ...]
    loud: bool
    alerts: tuple[ToldAlert, ...]
    id: str = ""  # of the message in its first words


class Keys:
    """Which group key each name stands for that a test gives to keys, by receiver. The first message decides."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def differs(self, name: str, message: Message) -> str:
        """Say how a message's key is not the one of that name; empty: it is, or may be."""
        if not name:
            return ""
        known = self._known.get((message.receiver, name))
        if known is not None and known != message.key:
            return f"key: it is not that of the messages called {name!r} before"
        for (receiver, other), key in self._known.items():
            if other != name and (receiver, key) == (message.receiver, message.key):
                return f"key: it is that of the messages called {other!r} before"
        return ""

    def take(self, name: str, message: Message) -> None:
        """Take the key of the first message of a name."""
        if name:
            self._known.setdefault((message.receiver, name), message.key)


def message_differences(wanted: Sequence[HeardMessage], got: Sequence[Message], keys: Keys) -> list[str]:
    """Say how the messages differ; empty where they do not."""
    lines: list[str] = []
    for one, other in paired(wanted, got, lambda one, other: _distance(one, other, keys)):
        if one is None and other is not None:
            lines += [f"unexpected  {shown(other)}", *_indented(_whole(other))]
        elif other is None and one is not None:
            lines.append(f"missing     {_asked(one)}")
        elif one is not None and other is not None:
            details = _details(one, other, keys)
            keys.take(one.key, other)
            if details:
                lines += [f"differs     {shown(other)}", *_indented(details)]
    return lines


def shown(message: Message) -> str:
    """Write a message on one line: when, to whom is known, why, and its title."""
    return f"{span(message.at)} {message.reason}{'' if message.loud else ', quietly'}: {message.title}"


def _whole(message: Message) -> Iterator[str]:
    """Give what else a message says."""
    for each in message.alerts[:_SHOWN]:
        yield f"{each.step} {each.labels} because {each.reason}"
    if len(message.alerts) > _SHOWN:
        yield f"and {len(message.alerts) - _SHOWN} more alerts"
    yield from (f"note: {note}" for note in message.notes)


def _asked(one: HeardMessage) -> str:
    """Write what was expected of a message that did not come."""
    parts = [
        f"at {span(one.at)}" if one.at is not None else "",
        f"because {one.reason!r}" if one.reason else "",
        f"titled {one.title!r}" if one.title is not None else "",
        f"saying {one.text!r}" if one.text else "",
        f"with the notes {list(one.notes)}" if one.notes else "",
        f"called {one.key!r}" if one.key else "",
        "" if one.alerts is None else f"about {', '.join(map(_alert, one.alerts)) or 'no alert'}",
    ]
    return f"a message {', '.join(part for part in parts if part)}".rstrip()


def _alert(one: HeardAlert) -> str:
    labels = "any alert" if one.labels is None else str(Labels(one.labels))
    reason = f" because {one.reason!r}" if one.reason else ""
    return f"{labels}{f' ({one.step})' if one.step else ''}{reason}"


def _distance(one: HeardMessage, other: Message, keys: Keys) -> int:
    """Say how far apart they are; 0 where nothing differs. The same alerts, and the same time, count most."""
    alerts = paired(one.alerts, other.alerts, _alert_distance) if one.alerts is not None else ()
    return (
        3 * (one.at not in (None, other.at))
        + (one.reason not in other.reason)
        + (one.title not in (None, other.title))
        + (one.text not in other.text)
        + (one.notes is not None and not same_parts(one.notes, other.notes))
        + (one.loud not in (None, other.loud))
        + 3 * bool(keys.differs(one.key, other))
        + 2 * sum(len(list(_alert_details(*pair))) for pair in alerts)
    )


def _details(one: HeardMessage, other: Message, keys: Keys) -> list[str]:
    details = []
    if one.at not in (None, other.at):
        details.append(f"time: expected {span(one.at or 0)}, got {span(other.at)}")
    if one.reason not in other.reason:
        details.append(f"reason: expected {one.reason!r} in {other.reason!r}")
    if one.title not in (None, other.title):
        details.append(f"title: expected {one.title!r}")
        details.append(f"title:      got {other.title!r}")
    if one.text not in other.text:
        details.append(f"text: expected {one.text!r} in")
        details += [f"    {line}" for line in other.text.split("\n")]
    if one.notes is not None and not same_parts(one.notes, other.notes):
        details.append(f"notes: expected {list(one.notes)}, got {list(other.notes)}")
    if one.loud not in (None, other.loud):
        details.append(f"loud: expected {_said(one.loud)}, got {_said(other.loud)}")
    if different := keys.differs(one.key, other):
        details.append(different)
    for wanted, told in paired(one.alerts or (), other.alerts, _alert_distance) if one.alerts is not None else ():
        details += _alert_details(wanted, told)
    return details


def same_parts(parts: Sequence[str], texts: Sequence[str]) -> bool:
    """Tell whether each is a part of the text in its place."""
    return len(parts) == len(texts) and all(part in text for part, text in zip(parts, texts, strict=True))


def _said(loud: bool | None) -> str:
    return str(loud).lower()


def _alert_distance(one: HeardAlert, other: ToldAlert) -> int:
    labels = set() if one.labels is None else {*Labels(one.labels).pairs} ^ {*other.labels.pairs}
    return 4 * len(labels) + 2 * (one.step not in ("", other.step)) + (one.reason not in other.reason)


def _alert_details(one: HeardAlert | None, other: ToldAlert | None) -> Iterator[str]:
    if one is None and other is not None:
        yield f"alert unexpected: {other.labels} ({other.step})"
    elif other is None and one is not None:
        yield f"alert missing: {_alert(one)}"
    elif one is not None and other is not None:
        if one.labels is not None and Labels(one.labels) != other.labels:
            yield f"alert: expected {Labels(one.labels)}, got {other.labels}"
        if one.step not in ("", other.step):
            yield f"step of {other.labels}: expected {one.step}, got {other.step}"
        if one.reason not in other.reason:
            yield f"reason of {other.labels}: expected {one.reason!r} in {other.reason!r}"


def _indented(lines: Sequence[str] | Iterator[str]) -> list[str]:
    return [f"            {line}".rstrip() for line in lines]
