"""What a test says of people: who acts (silences, acknowledgements), who cannot be reached, and who must hear what.

Times count from the test's start and durations are ms, as everywhere in a test.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from alerting.config.durations import millis
from alerting.config.matchers import parse_matchers
from alerting.core.telling.matchers import Matchers
from alerting.errors import ConditionError, Diagnostic, Span
from alerting.model import Matcher
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.casework.reader import Reader
    from alerting.config.placed import At, Map, Seq
    from alerting.model import Millis, Origin

KEYS = ("notifications", "silences", "acks", "unreachable")
_HOUR: Millis = 3_600_000  # as long as silences and acknowledgements last, where nothing else is said
_AUTHOR = "the test"


class HeardAlert(NamedTuple):
    """One alert that a message must speak of."""

    labels: Mapping[str, str] | None  # all of them, `alertname` among them; None: any
    step: str  # a word of model.Step; empty: any
    reason: str  # a part of it; empty: any


class HeardMessage(NamedTuple):
    """One message that must be sent. What is None or empty is not looked at."""

    at: Millis | None = None  # to the millisecond
    reason: str = ""  # a part of it
    title: str | None = None  # the whole of it
    text: str = ""  # a part of it
    notes: tuple[str, ...] | None = None  # a part of each, in their order
    loud: bool | None = None
    key: str = ""  # any name: messages with the same name have the same key, others have others
    alerts: tuple[HeardAlert, ...] | None = None  # all that it speaks of


class Hearing(NamedTuple):
    """What one receiver must have been sent since the last of its checks, or since the start; nothing else."""

    at: Millis
    receiver: str
    messages: tuple[HeardMessage, ...]
    held: tuple[str, ...] | None  # a part of each reason for which something is held back from it then
    origin: Origin
    named: Origin  # where the receiver's name stands


class SilenceGiven(NamedTuple):
    """A silence that somebody adds."""

    at: Millis
    matchers: tuple[Matcher, ...]
    lasts: Millis
    author: str
    comment: str
    expired_at: Millis | None  # somebody ends it early
    origin: Origin


class AckGiven(NamedTuple):
    """An alert that somebody takes on."""

    at: Millis
    alert: str  # as it is written
    name: str  # of its rule
    matchers: tuple[Matcher, ...]
    lasts: Millis
    author: str
    comment: str
    withdrawn_at: Millis | None
    origin: Origin


class Unreachable(NamedTuple):
    """A time in which a receiver takes no message; `end` None: to the last."""

    receiver: str
    start: Millis
    end: Millis | None
    why: str
    named: Origin


class People(NamedTuple):
    """See the module's text."""

    hearings: tuple[Hearing, ...] = ()
    silences: tuple[SilenceGiven, ...] = ()
    acks: tuple[AckGiven, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()

    @property
    def checks(self) -> int:
        """How much can fail: each check, each acknowledgement, and of each receiver what comes after its last check."""
        return len(self.hearings) + len(self.acks) + len({each.receiver for each in self.hearings})

    @property
    def names(self) -> Iterator[tuple[str, Origin]]:
        """Every receiver that is named, and where."""
        yield from ((each.receiver, each.named) for each in self.hearings)
        yield from ((each.receiver, each.named) for each in self.unreachable)


def read_people(reader: Reader, case: Map) -> People | None:
    """Read what a test says of people; None: nothing."""
    if not any(key in case for key in KEYS):
        return None
    return People(
        tuple(_hearing(reader, each) for each in case.get("notifications") or ()),
        tuple(_silence(reader, each) for each in case.get("silences") or ()),
        tuple(_ack(reader, each) for each in case.get("acks") or ()),
        tuple(_unreachable(reader, each) for each in case.get("unreachable") or ()),
    )


def look_at_times(reader: Reader, case: Map, length: Millis) -> None:
    """Note what would come after the last check of a test, and so to nothing."""
    for key, begins in (("silences", "at"), ("acks", "at"), ("unreachable", "from")):
        for each in case.get(key) or ():
            for name in (begins, "expired_at", "withdrawn_at"):
                if name in each and millis(each[name]) > length:
                    hint = "a test ends with its last check; add one that is later"
                    reader.wrong("this comes after the last check of the test", each.value_at(name), hint=hint)


def _hearing(reader: Reader, value: Map) -> Hearing:
    named = reader.origin(value.value_at("receiver"))
    messages = tuple(_message(reader, each) for each in value.get("exp_messages") or ())
    at, held = millis(value["eval_time"]), _parts(value, "exp_held")
    return Hearing(at, value["receiver"], messages, held, reader.origin(value.at), named)


def _message(reader: Reader, value: Map) -> HeardMessage:
    alerts = value.get("exp_alerts")
    return HeardMessage(
        millis(value["exp_at"]) if "exp_at" in value else None,
        value.get("exp_reason", ""),
        value.get("exp_title"),
        value.get("exp_text", ""),
        _parts(value, "exp_notes"),
        value.get("exp_loud"),
        value.get("exp_key", ""),
        None if alerts is None else tuple(_alert(reader, each) for each in alerts),
    )


def _parts(value: Map, key: str) -> tuple[str, ...] | None:
    return tuple(value[key]) if key in value else None


def _alert(reader: Reader, value: Map) -> HeardAlert:
    labels = reader.texts(value, "exp_labels") if "exp_labels" in value else None
    return HeardAlert(labels, value.get("exp_step", ""), value.get("exp_reason", ""))


def _silence(reader: Reader, value: Map) -> SilenceGiven:
    at, lasts = millis(value["at"]), reader.duration(value, "duration", _HOUR)
    return SilenceGiven(
        at,
        tuple(_silenced(reader, value)),
        lasts,
        value.get("author", _AUTHOR),
        value.get("comment", ""),
        _ends_early(reader, value, "expired_at", at, lasts),
        reader.origin(value.at),
    )


def _silenced(reader: Reader, value: Map) -> Iterator[Matcher]:
    """Give the matchers of a silence, as `alerting silence add` reads them: a lone first word is a rule's name."""
    written: Seq | str = value["matchers"]
    listed = (
        [(written, value.value_at("matchers"))]
        if isinstance(written, str)
        else zip(written, written.marks, strict=True)
    )
    for number, (text, at) in enumerate(listed):
        if not number and text.strip() and not any(sign in text for sign in "=~{"):
            yield Matcher("alertname", "=", text.strip())
        else:
            found = _matchers(reader, text, at)
            if not found and not reader.problems:
                reader.wrong("a silence needs a matcher", at)
            yield from found


def _matchers(reader: Reader, text: str, at: At) -> Sequence[Matcher]:
    found: Sequence[Matcher] = reader.understood(text, at, _compiled, ())
    return found


def _compiled(text: str) -> Sequence[Matcher]:
    """Read matchers whose patterns can be used. Raises ConditionError."""
    found = parse_matchers(text)
    try:
        Matchers(found, compile_pattern)
    except ValueError as error:
        raise ConditionError([Diagnostic(str(error), Span(0, len(text)))]) from None
    return found


def _ack(reader: Reader, value: Map) -> AckGiven:
    at, lasts, text = millis(value["at"]), reader.duration(value, "duration", _HOUR), value["alert"].strip()
    name, brace, _ = text.partition("{")
    matchers: Sequence[Matcher] = ()
    if brace:
        parse = partial(_compiled_after, start=len(name))  # errors point into the whole text
        matchers = reader.understood(text, value.value_at("alert"), parse, ())
    return AckGiven(
        at,
        text,
        name.strip(),
        tuple(matchers),
        lasts,
        value.get("author", _AUTHOR),
        value.get("comment", ""),
        _ends_early(reader, value, "withdrawn_at", at, lasts),
        reader.origin(value.at),
    )


def _compiled_after(text: str, start: int) -> Sequence[Matcher]:
    """Read the matchers that begin so far into a text. Raises ConditionError with places in the whole of it."""
    try:
        return _compiled(text[start:])
    except ConditionError as error:
        moved = [Span(each.span.start + start, each.span.end + start) for each in error.diagnostics]
        both = zip(error.diagnostics, moved, strict=True)
        raise ConditionError([each._replace(span=span) for each, span in both]) from None


def _ends_early(reader: Reader, value: Map, key: str, at: Millis, lasts: Millis) -> Millis | None:
    if key not in value:
        return None
    end = millis(value[key])
    if not at < end < at + lasts:
        reader.wrong(f"{key} must be later than `at`, and before it ends by itself", value.value_at(key))
    return end


def _unreachable(reader: Reader, value: Map) -> Unreachable:
    start, end = millis(value.get("from", 0)), millis(value["to"]) if "to" in value else None
    if end is not None and end <= start:
        reader.wrong("`to` must be later than `from`", value.value_at("to"))
    named = reader.origin(value.value_at("receiver"))
    return Unreachable(value["receiver"], start, end, value.get("why", "made to fail by the test"), named)
