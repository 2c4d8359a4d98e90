"""What is owed: from how an alert stands and what each receiver was told last, to what each should hear now.

This is a comparison of two states, not a list of events: whatever held a message back, what is owed is found anew
from what fires and from what was told, until both agree. So nothing is lost to a wait, and nothing said twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.routing import way_back
from alerting.model import AlertKey, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from alerting.core.telling.routing import Direction, Subject
    from alerting.model import Ack, Alert, Millis, RuleSpec, Told

_KNOWN = ("info", "warning", "error", "critical")  # of severities without `levels`, from the least grave
_URGENT = frozenset(("critical", "emergency", "fatal", "page"))

HURRY = frozenset((Step.WORSE, Step.BETTER, Step.ESCALATED, Step.ACKNOWLEDGED, Step.RETURNED, Step.FLAPPING))


class Owed(NamedTuple):
    """One step of one alert that one receiver is to hear of."""

    subject: Subject
    step: Step
    receiver: str
    direction: Direction
    nonce: Millis = 0  # when this receiver was told last: what comes again is not the same step
    before: Told | None = None  # what this receiver was told last

    @property
    def key(self) -> AlertKey:
        """The alert."""
        return self.subject.alert.key

    @property
    def name(self) -> str:
        """The step as decisions have it: `reminder-1732435200000`."""
        return f"{self.step}-{self.nonce}" if self.step is Step.REMINDER else str(self.step)


def owed(  # noqa: PLR0917  what is compared
    subject: Subject,
    told: Mapping[str, Told],
    ack: Ack | None,
    flapping: str,
    now: Millis,
    spoken: Callable[[Direction], Millis | None],
) -> Iterator[Owed]:
    """Give what is owed of an alert that fires. `spoken`: when a direction's group was spoken of last."""
    first: dict[str, Direction] = {}
    fired = subject.fired
    for direction in subject.directions:
        first.setdefault(direction.receiver, direction)
    for receiver, direction in first.items():
        before = told.get(receiver)
        if before is None:
            due = [each for each in subject.directions if each.receiver == receiver and _is_due(each, now - fired)]
            if due:
                step = Step.ESCALATED if due[0].after else Step.FLAPPING if flapping else Step.FIRING
                yield Owed(subject, step, receiver, due[0])
            continue
        new = _next(subject, before, ack, flapping)
        if new is None and any(_escalates(each, receiver, before.at, fired, now) for each in subject.directions):
            new = Step.ESCALATED
        if new is None and _repeats(direction, before.at, spoken(direction), now):
            new = Step.REMINDER
        if new is not None:
            yield Owed(subject, new, receiver, direction, before.at, before)


def owed_besides(subject: Subject, told: Mapping[str, Told], ack: Ack | None, flapping: str) -> Iterator[Owed]:
    """Give what is owed to those who were told and to whom nothing leads any more: its level fell, or settings changed.

    What they hold must not go stale, so they hear of what changes; they are not reminded.
    """
    led = {direction.receiver for direction in subject.directions}
    for receiver, before in told.items():
        step = None if receiver in led else _next(subject, before, ack, flapping)
        if step is not None:
            yield Owed(subject, step, receiver, way_back(subject, receiver), before.at, before)


def next_look(
    subject: Subject,
    told: Mapping[str, Told],
    ack: Ack | None,
    now: Millis,
    spoken: Callable[[Direction], Millis | None],
) -> Millis | None:
    """Say when time alone may make something owed; None: never."""
    fired = subject.fired
    times = [] if ack is None else [ack.until]
    first: set[str] = set()
    for each in subject.directions:
        before = told.get(each.receiver)
        leads = each.receiver not in first  # of several ways to one receiver, the first says how often it is reminded
        first.add(each.receiver)
        if each.after:
            times.append(fired + each.after)
        elif leads and before is not None and each.route.repeat_interval is not None:
            times.append(max(before.at, spoken(each) or 0) + each.route.repeat_interval)
    return min((at for at in times if at > now), default=None)


def rank(spec: RuleSpec, severity: str) -> int:
    """Order severities: by the rule's levels where it has them, else as they are commonly meant; unknown ones first."""
    names = [level.name for level in spec.levels] or _KNOWN
    return names.index(severity) if severity in names else -1


def is_urgent(severity: str) -> bool:
    """Tell whether somebody may have to be woken."""
    return severity.lower() in _URGENT


def holds(ack: Ack | None, alert: Alert, spec: RuleSpec, severity: str, now: Millis) -> bool:
    """Tell whether an acknowledgement is in force: not over, of this episode, and the alert no graver than then."""
    return (
        ack is not None
        and now < ack.until
        and ack.episode in ("", alert.episode)
        and rank(spec, severity) <= rank(spec, ack.severity or severity)
    )


def _next(subject: Subject, before: Told, ack: Ack | None, flapping: str) -> Step | None:
    if flapping and not before.flapping:
        return Step.FLAPPING
    change = rank(subject.spec, subject.severity) - rank(subject.spec, before.severity)
    if change and subject.severity != before.severity:
        return Step.WORSE if change > 0 else Step.BETTER
    if ack is not None and not before.acked:
        return Step.ACKNOWLEDGED
    if ack is None and before.acked:
        return Step.RETURNED
    return None


def _is_due(direction: Direction, fired_for: Millis) -> bool:
    """Tell whether a direction's time has come; what waits for none is due though the wall was set back (negative)."""
    return not direction.after or fired_for >= direction.after


def _escalates(direction: Direction, receiver: str, told_at: Millis, fired: Millis, now: Millis) -> bool:
    """Tell whether an escalation to somebody who was told before is due, and was not told since it is."""
    return direction.receiver == receiver and 0 < direction.after <= now - fired and told_at < fired + direction.after


def _repeats(direction: Direction, told_at: Millis, spoken: Millis | None, now: Millis) -> bool:
    every = direction.route.repeat_interval
    return not direction.after and every is not None and now - max(told_at, spoken or 0) >= every
