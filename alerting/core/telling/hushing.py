"""What silences and windows hold, asked of messages that are written already.

It is asked just before each attempt, and by the thread of the store while it folds messages: nothing here is changed
while it is looked at, but replaced.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from alerting.core.telling import muting
from alerting.core.telling.muting import Quiet
from alerting.core.telling.owing import Owed
from alerting.core.telling.recall import asked, meant_for
from alerting.core.telling.round import subject_of
from alerting.core.telling.routing import way_back
from alerting.model import NOWHERE, Alert, AlertState, Labels, RuleSpec, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alerting.core.telling.matchers import Matchers
    from alerting.core.telling.muting import Held
    from alerting.core.telling.plan import Plan
    from alerting.core.telling.routing import Subject
    from alerting.core.telling.state import State
    from alerting.model import AlertKey, Millis, Notice, Notification, Silence

    Marks = tuple[frozenset[Silence], frozenset[str]]  # silences in force, windows that are open


class Hushing:
    """See the module's text."""

    def __init__(self, state: State, plan: Plan, specs: Mapping[str, RuleSpec] = MappingProxyType({})) -> None:
        """Begin with no silence. `specs`: of the rules in force, by id, for alerts that fire no more."""
        self.silences: tuple[tuple[Silence, Matchers], ...] = ()
        self._state = state
        self._plan = plan
        self._specs = specs
        self._asked: Marks | None = None  # as things were when all that waits was asked last

    def hushes(self, message: Notification, now: Millis) -> bool:
        """Tell whether something of a message is held now, of which it is sure that nobody heard it."""
        if not self.silences and self._plan.calendar is None:
            return False
        holds = self.at(now)
        return any(holds(notice, meant_for(message)) is not None for notice in asked(message))

    def audible(self, waiting: Iterable[Notification], now: Millis) -> list[Notification]:
        """Leave in messages of one key, in order, what is not held now, though it may have arrived.

        What is held is said later, and so are its end and what else ended by the same message. What says nothing then
        is left out.
        """
        holds = self.at(now)
        held: set[tuple[AlertKey, str]] = set()
        found = []
        for message in waiting:
            meant = meant_for(message)
            firing = [each for each in message.firing if each.step == Step.ONGOING or not holds(each, meant)]
            whole = len(firing) == len(message.firing)
            held.update((each.key, each.episode) for each in message.firing if not whole and each not in firing)
            resolved = [each for each in message.resolved if whole and (each.key, each.episode) not in held]
            if whole and len(resolved) == len(message.resolved):
                found.append(message)
            elif resolved or any(each.step != Step.ONGOING for each in firing):
                found.append(message._replace(firing=tuple(firing), resolved=tuple(resolved)))
        return found

    def at(self, now: Millis) -> Callable[[Notice, str], Held | None]:
        """Give what says why a step of an alert is held from a receiver now."""
        in_force = [each for each in self.silences if each[0].starts <= now < each[0].ends]
        quiet = Quiet(now, {}, calendar=self._plan.calendar, silences=in_force)
        idle = not in_force and quiet.calendar is None

        def holds(notice: Notice, receiver: str) -> Held | None:
            if idle:
                return None
            subject = self._subject(notice, receiver)
            ways = (each for each in subject.directions if each.receiver == receiver)
            direction = next(ways, None) or way_back(subject, receiver)
            return muting.hushed(Owed(subject, Step.FIRING, receiver, direction), quiet)

        return holds

    def has_news(self, now: Millis) -> bool:
        """Tell whether something holds now that did not when all was asked last."""
        if not self.silences and self._plan.calendar is None:
            return False
        silences, windows = marks = self._marks(now)
        if self._asked is None or windows != self._asked[1] or not silences <= self._asked[0]:
            return True
        self._asked = marks  # what ended is not asked for, and counts as new when it begins again
        return False

    def was_asked(self, now: Millis) -> None:
        """Note that all that waits was asked, at this moment."""
        self._asked = self._marks(now)

    def _marks(self, now: Millis) -> Marks:
        silences = frozenset(silence for silence, _ in self.silences if silence.starts <= now < silence.ends)
        return silences, frozenset() if self._plan.calendar is None else self._plan.calendar.open_at(now)

    def _subject(self, notice: Notice, receiver: str) -> Subject:
        """Give the alert as it fires, or as it was said to.

        Of what is over and whose rule is not known (built in, or gone) nobody can say by which route it went out: the
        windows of whichever fits its labels hold nothing.
        """
        subject = self._state.subjects.get(notice.key)
        if subject is not None and subject.alert.episode == notice.episode:
            return subject
        unknown = RuleSpec(notice.key.rule_id, notice.name, "", NOWHERE, notify=(receiver,))
        spec = self._specs.get(notice.key.rule_id, unknown)
        level = notice.severity if any(each.name == notice.severity for each in spec.levels) else ""
        alert = Alert(
            notice.key,
            Labels(),
            AlertState.RESOLVED,
            notice.fired_at,
            "",
            notice.why,
            notice.fired_at,
            notice.resolved_at,
            notice.episode,
            level=level,
        )
        return subject_of(alert, spec, notice, self._plan)
