"""The stages between what is owed and a message: each may hold something back, and says why. None adds, none sends.

Their order is their rank in what is said: depends, inhibit, window, silence, acknowledge, flapping. A resolve passes
them all: **if a page went out, its resolve goes out too**. What they hold is not forgotten: it is owed until it is told
or over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.model import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.core.telling.calendar import Calendar
    from alerting.core.telling.inhibition import Inhibited
    from alerting.core.telling.matchers import Matchers
    from alerting.core.telling.owing import Owed
    from alerting.model import Ack, AlertKey, Millis, Silence


class Held(NamedTuple):
    """Why something is not said now."""

    stage: str
    why: str
    by: str = ""  # the id of the silence, the name of the window, the alert that hides it …
    until: Millis | None = None  # when time may end it; None: only news can
    late: str = ""  # why it comes late, where it only waits for its group any more


class Quiet(NamedTuple):
    """What the stages look at: how everything stands at one moment."""

    now: Millis
    firing: Mapping[str, AlertKey]  # names of rules that fire, each with one of its alerts
    inhibited: Inhibited | None = None
    calendar: Calendar | None = None
    silences: Sequence[tuple[Silence, Matchers]] = ()  # those in force
    acks: Mapping[AlertKey, Ack] = {}  # those in force
    flapping: Callable[[AlertKey], tuple[str, Millis | None]] = lambda _: ("", None)  # why, and until when at least


def held(owed: Owed, quiet: Quiet) -> Held | None:
    """Pass something owed through the stages; None: nothing holds it."""
    if owed.subject.spec.unheld:
        return None
    if owed.step is Step.RESOLVED:
        return _flapping(owed, quiet)
    for stage in STAGES:
        found = stage(owed, quiet)
        if found is not None:
            return found
    return None


def hushed(owed: Owed, quiet: Quiet) -> Held | None:
    """Ask once more of something that is owed already; only the stages that people set ahead call anything back."""
    if owed.subject.spec.unheld:
        return None
    return _window(owed, quiet) or _silence(owed, quiet)


def _depends(owed: Owed, quiet: Quiet) -> Held | None:
    for name in owed.subject.spec.depends_on:
        if name in quiet.firing:
            return Held("depends", f"depends on {name}, which fires", name)
    return None


def _inhibit(owed: Owed, quiet: Quiet) -> Held | None:
    found = quiet.inhibited.why(owed.key, owed.subject.labels) if quiet.inhibited is not None else None
    return None if found is None else Held("inhibit", *found)


def _window(owed: Owed, quiet: Quiet) -> Held | None:
    if quiet.calendar is None:
        return None
    route, spec = owed.direction.route, owed.subject.spec
    for name in (*spec.mute_time_intervals, *route.mute_time_intervals):  # one that nobody defines covers nothing
        if quiet.calendar.covers(name, quiet.now):
            return Held("window", f"it is {name}", name, quiet.calendar.changes_at(name, quiet.now))
    for names in (spec.active_time_intervals, route.active_time_intervals):
        known = all(name in quiet.calendar for name in names)  # else rather tell: rules may outlive their windows
        if names and known and not any(quiet.calendar.covers(name, quiet.now) for name in names):
            ends = [quiet.calendar.changes_at(name, quiet.now) for name in names]
            until = min((each for each in ends if each is not None), default=None)
            return Held("window", f"it is not {' or '.join(names)}", names[0], until)
    return None


def _silence(owed: Owed, quiet: Quiet) -> Held | None:
    for silence, matchers in quiet.silences:
        if matchers.fits(owed.subject.labels):
            said = f": {silence.comment}" if silence.comment else ""
            return Held("silence", f"silenced by {silence.author}{said}", silence.id, silence.ends)
    return None


def _acknowledge(owed: Owed, quiet: Quiet) -> Held | None:
    ack = quiet.acks.get(owed.key)
    if ack is None or owed.step in (Step.ACKNOWLEDGED, Step.BETTER, Step.FLAPPING):
        return None
    return Held("acknowledge", f"acknowledged by {ack.by}", ack.by, ack.until)


def _flapping(owed: Owed, quiet: Quiet) -> Held | None:
    why, until = quiet.flapping(owed.key)
    if not why or owed.step in (Step.FLAPPING, Step.WORSE):
        return None
    return Held("flapping", why, "", until)


STAGES: tuple[Callable[[Owed, Quiet], Held | None], ...] = (
    _depends,
    _inhibit,
    _window,
    _silence,
    _acknowledge,
    _flapping,
)
