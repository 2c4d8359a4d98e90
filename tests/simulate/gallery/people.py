"""Mistakes in routes, timers, levels, acknowledgements, escalation, inhibitions, windows and fallbacks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from alerting.core.telling import desk, fallback, inhibition, muting, owing
from alerting.core.telling import round as rounds
from alerting.core.telling.calendar import Calendar
from alerting.core.telling.desk import Desk
from alerting.core.telling.round import Round
from alerting.model import Step
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from alerting.core.telling.muting import Held
    from alerting.engine import Engine
    from alerting.model import Notification
    from tests.simulate.mistakes import Plant


@mistake
def acks_outlive_their_episode(plant: Plant) -> None:
    """Who has taken on an alert once has it for ever: its next episode is told to nobody."""

    def end_acks(self: Any) -> None:
        self._acks_over += [key for key, ack in self._state.acks.items() if self._now >= ack.until]

    plant.swap(Round, "_end_acks", end_acks)


@mistake
def escalation_ignores_acks(plant: Plant) -> None:
    """Somebody has taken it on, and the next one is paged all the same."""

    def acknowledge(owed: Any, quiet: Any) -> Held | None:
        return None if owed.step is Step.ESCALATED else muting._acknowledge(owed, quiet)

    plant.swap(muting, "STAGES", (*(each for each in muting.STAGES if each is not muting._acknowledge), acknowledge))


@mistake
def reminders_begin_anew_with_the_process(plant: Plant) -> None:
    """Whoever restarts often enough is never reminded."""
    original = Desk.tell

    def tell(self: Desk, now: int, *arguments: Any) -> Any:
        if self._fresh:
            self._restamp(lambda _: now)
        return original(self, now, *arguments)

    plant.swap(Desk, "tell", tell)


@mistake
def reminded_under_another_key(plant: Plant) -> None:
    """Each reminder opens another incident."""

    def altered(message: Notification, _: Engine) -> Notification:
        if not any(notice.step == Step.REMINDER for notice in message.firing):
            return message
        return message._replace(group_key=hashlib.sha256(message.id.encode()).hexdigest()[:32])

    plant.rewriting(altered)


@mistake
def passed_on_to_those_who_know(plant: Plant) -> None:
    """What cannot be told goes round in circles among fallbacks."""
    plant.swap(Desk, "_knows", lambda *_: False)


@mistake
def fallbacks_are_not_told_the_end(plant: Plant) -> None:
    """Who was told in place of another waits for an end that nobody tells."""
    plant.swap(Desk, "note", lambda *_: None)


@mistake
def inhibition_holds_ends_back(plant: Plant) -> None:
    """An alert that another hides keeps its end from those who were told of it before."""
    original = muting.held

    def held(owed: Any, quiet: Any) -> Held | None:
        return original(owed, quiet) or (muting._inhibit(owed, quiet) if owed.step is Step.RESOLVED else None)

    plant.swap(muting, "held", held)


@mistake
def inhibition_takes_all_for_equal(plant: Plant) -> None:
    """`equal` is not looked at: an alert of one host hides those of all."""
    plant.swap(inhibition, "_values", lambda _names: lambda _labels: ())


@mistake
def dependencies_are_told_all_the_same(plant: Plant) -> None:
    """`depends_on` holds nothing back."""
    plant.swap(muting, "STAGES", tuple(each for each in muting.STAGES if each is not muting._depends))


@mistake
def getting_worse_is_not_told(plant: Plant) -> None:
    """A warning becomes critical and nobody hears of it."""
    original = owing._next

    def following(subject: Any, before: Any, *arguments: Any) -> Any:
        return original(subject, before._replace(severity=subject.severity), *arguments)

    plant.swap(owing, "_next", following)


@mistake
def each_alert_lets_its_group_wait_anew(plant: Plant) -> None:
    """`group_wait` begins again with each turn: a busy group is never told."""
    plant.swap(rounds, "joined", lambda group, now: group._replace(waiting_since=now))


@mistake
def groups_wait_for_the_wall(plant: Plant) -> None:
    """After the wall was set back between two processes, groups wait until it has caught up."""
    original = Desk.load

    def load(self: Desk, *arguments: Any) -> None:
        original(self, *arguments)
        self._fresh = False

    plant.swap(Desk, "load", load)


@mistake
def escalation_by_the_wall(plant: Plant) -> None:
    """A step of the wall clock hastens an escalation, or keeps it away."""
    original = Desk._restamp

    def restamp(self: Desk, move: Any) -> None:
        subjects = dict(self._state.subjects)
        original(self, move)
        self._state.subjects = subjects

    plant.swap(Desk, "_restamp", restamp)


@mistake
def acks_outlive_what_gets_worse(plant: Plant) -> None:
    """An acknowledgement of a warning holds when it becomes critical."""
    original = rounds.holds
    plant.swap(rounds, "holds", lambda ack, alert, spec, _severity, now: original(ack, alert, spec, "", now))


@mistake
def fallbacks_are_not_told(plant: Plant) -> None:
    """What a receiver cannot be told is told to nobody."""
    plant.swap(desk, "passed_on", lambda *_: [])


@mistake
def passed_on_under_the_same_key(plant: Plant) -> None:
    """A fallback's own group and what it is told for another stand under one key, and end each other."""
    original = fallback._written

    def written(message: Any, *arguments: Any) -> Any:
        for each in original(message, *arguments):
            yield each._replace(group_key=message.group_key)

    plant.swap(fallback, "_written", written)


@mistake
def windows_end_unnoticed(plant: Plant) -> None:
    """What a window held back is told with other news, not when the window ends."""
    plant.swap(Calendar, "changes_at", lambda *_: None)


@mistake
def only_the_next_time_is_remembered(plant: Plant) -> None:
    """Of several times at which something may be owed, those after the first are forgotten if it brings nothing."""
    original = owing.next_look

    def next_look(subject: Any, told: Any, ack: Any, now: int, spoken: Any) -> int | None:
        times = [
            each.route.repeat_interval + told[each.receiver].at
            for each in subject.directions
            if each.receiver in told and each.route.repeat_interval is not None
        ]
        found = original(subject, told, ack, now, spoken)
        return None if times and min(times) <= now else found

    plant.swap(desk, "next_look", next_look)
