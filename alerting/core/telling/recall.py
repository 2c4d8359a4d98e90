"""Calling back: what waits to be sent when a silence or a window begins, and is not wanted any more.

Theory. A message has *gone out* once it is being sent, or an attempt at it may have arrived; what has not is called
back where the stages `window` and `silence` hold it now. What is called back is unsaid: out of its message, and out of
what its receiver was told, which is then as it was before. It is owed again from there, and held like anything else.

Asked is each step of an episode. Where its beginning waits, all that waits of it is unsaid, its end too: nobody hears
of the end of what nobody was told. Where the beginning has gone out, only what changed since is unsaid; the alert stays
among what goes on, and its end is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling import keeping
from alerting.core.telling.folding import came_and_went, is_first, titled
from alerting.core.telling.owing import is_urgent
from alerting.model import LOUD, Decision, DeliveryState, Outcome, Recall, Step, Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alerting.core.telling.muting import Held
    from alerting.core.telling.routing import Subject
    from alerting.core.telling.state import State
    from alerting.model import AlertKey, Delivery, Millis, Notice, Notification, Told

    Episode = tuple[AlertKey, str]
    Holds = Callable[[Notice, str], Held | None]  # what holds a step of an alert back from a receiver now

_SAID = 3  # so many reasons are named


class CalledBack(NamedTuple):
    """What is called back, and what that changes once the store has it."""

    recalls: Sequence[Recall] = ()
    unsaid: Sequence[Unsaid] = ()
    held: Mapping[tuple[AlertKey, str], tuple[Step, Held]] = {}
    decisions: Sequence[Decision] = ()
    stand_ins: Sequence[tuple[AlertKey, str]] = ()
    texts: Mapping[str, str | None] = {}


def asked(message: Notification) -> Iterator[Notice]:
    """Give what of a message could be called back: each step, and ends of what surely nobody was told of."""
    if message.announces:
        yield from (each for each in message.firing if _is_step(each))
        yield from (each for each in message.resolved if each.heard == "never")


def meant_for(message: Notification) -> str:
    """Give the receiver whose way, and its windows, a message goes: of what is told in others' place, the first's."""
    return message.instead_of[0] if message.instead_of else message.receiver


def called_back(waiting: Iterable[Delivery], state: State, holds: Holds, now: Millis) -> CalledBack:
    """Work out what is called back of messages that are owed; of each receiver and key they stand in order."""
    places: dict[tuple[str, str], list[Delivery]] = {}
    for each in waiting:
        places.setdefault((each.notification.receiver, each.notification.group_key), []).append(each)
    found = _Found(state, now)
    for row in places.values():
        found.look(row, holds)
    return found.all()


class _Found:
    """What is found to be called back, place by place."""

    def __init__(self, state: State, now: Millis) -> None:
        self._state = state
        self._now = now
        self._recalls: list[Recall] = []
        self._unsaid: list[Unsaid] = []
        self._held: dict[tuple[AlertKey, str], tuple[Step, Held]] = {}
        self._decisions: list[Decision] = []
        self._stand_ins: list[tuple[AlertKey, str]] = []

    def all(self) -> CalledBack:
        """Give it."""
        texts: dict[str, str | None] = {
            keeping.held_name(*place): keeping.held_text(*place, step, why) for place, (step, why) in self._held.items()
        }
        texts.update((keeping.stand_in_name(*place), None) for place in self._stand_ins)
        return CalledBack(self._recalls, self._unsaid, self._held, self._decisions, self._stand_ins, texts)

    def look(self, row: Sequence[Delivery], holds: Holds) -> None:
        """Look at what is owed to one receiver under one key."""
        messages = [each.notification for each in row if _is_unsent(each)]
        held: dict[Episode, Held] = {}
        first: dict[Episode, Notice] = {}
        for message in messages:
            for notice in asked(message):
                why = holds(notice, meant_for(message))
                episode = notice.key, notice.episode
                if why is not None:
                    held[episode] = why
                if notice.step == Step.RESOLVED or is_first(notice, message):
                    first.setdefault(episode, notice)
        if not held:
            return
        steps: dict[Episode, tuple[Notification, Notice]] = {}  # the oldest that is called back
        for message in messages:
            self._strip(message, held, first, steps)
        over = {(notice.key, notice.episode) for each in row for notice in each.notification.resolved}
        for episode, (message, notice) in steps.items():
            self._unsay(message, notice, held[episode], is_over=episode in over, whole=episode in first)

    def _strip(
        self,
        message: Notification,
        held: Mapping[Episode, Held],
        first: Mapping[Episode, Notice],
        steps: dict[Episode, tuple[Notification, Notice]],
    ) -> None:
        """Take out of one message what is held."""
        firing: list[Notice] = []
        resolved: list[Notice] = []
        gone: list[Notice] = []
        for notice in (*message.firing, *message.resolved):
            episode = notice.key, notice.episode
            ends = notice.step == Step.RESOLVED
            if episode in held and episode in first:
                gone.append(notice)
            elif episode in held and not ends and _is_step(notice) and notice.before is not None:
                gone.append(notice)
                firing.append(notice._replace(step=Step.ONGOING, picture=None, before=None))
            else:
                (resolved if ends else firing).append(notice)
        if not gone:
            return
        for notice in gone:
            if notice.step != Step.ONGOING:
                steps.setdefault((notice.key, notice.episode), (message, notice))
            place = notice.key, message.receiver
            if message.instead_of and place in self._state.stand_ins:
                self._stand_ins.append(place)
        why = "called back: " + "; ".join(_reasons(held[n.key, n.episode] for n in gone))
        self._recalls.append(_recall(message, firing, resolved, gone, why, self._now))

    def _unsay(self, message: Notification, notice: Notice, why: Held, *, is_over: bool, whole: bool) -> None:
        """Say what becomes of an episode, of which a step was called back, and what its receiver knows of it."""
        state, receiver, key = self._state, message.receiver, notice.key
        subject, told = state.subjects.get(key), state.announced.of(key).get(receiver)
        announced = state.notices.get(key)
        escalated = notice.step == Step.ESCALATED or _escalated(notice, told, subject, receiver)
        news = escalated or told is None or notice.before is None or _known(notice.before) != _known(told)
        counts = notice.step == Step.REMINDER and not news  # as made: the next comes after its interval
        if told is not None and told.group_key == message.group_key and not is_over and not counts:
            before, words = None if whole else notice.before, None
            if before is not None and announced is not None:
                fired = told.at if subject is None else subject.fired
                at = min(told.at, fired) if escalated else told.at  # an escalation is due again
                before = before._replace(group_key=told.group_key, at=at)
                words = announced._replace(
                    severity=before.severity,
                    acked=(announced.acked or "somebody") if before.acked else "",
                    flapping=(announced.flapping or "it was") if before.flapping else "",
                )
            self._unsaid.append(Unsaid(key, receiver, before, words))
        step, said = Step(notice.step), (why.stage, why.why, why.by)
        fires = subject is not None and subject.alert.episode == notice.episode
        route = message.route
        if fires and not counts:
            self._held[key, receiver] = step, why
            reason = f"called back before it was sent: {why.why}"
            said = (why.stage, reason, why.by)
            self._decide(key, notice.episode, _name(notice), receiver, "held", *said, why.until, route)
        else:
            reason = f"called back, it counts as made: {why.why}" if fires else _OVER.format(why.why)
            self._decide(key, notice.episode, _name(notice), receiver, "dropped", why.stage, reason, why.by)

    def _decide(self, *fields: object) -> None:
        self._decisions.append(Decision(self._now, *fields))  # type: ignore[arg-type]


_OVER = "it was over before it was told: {}"


def _is_unsent(delivery: Delivery) -> bool:
    """Tell whether a message has surely reached nobody, and is not being sent."""
    return (
        delivery.state is DeliveryState.PENDING
        and delivery.outcome is not Outcome.UNKNOWN
        and delivery.notification.announces
    )


def _is_step(notice: Notice) -> bool:
    """Tell whether a notice of what fires says something, of which it is sure that nobody heard it."""
    return notice.step != Step.ONGOING and not notice.heard


def _known(told: Told) -> tuple[str, bool, bool]:
    """Give what a receiver knows of an alert, whenever it was told so."""
    return told.severity, told.acked, told.flapping


def _escalated(notice: Notice, told: Told | None, subject: Subject | None, receiver: str) -> bool:
    """Tell whether an escalation fell due with a reminder, or behind it: it was folded into it, or waits there too."""
    if notice.step != Step.REMINDER or notice.before is None or told is None or subject is None:
        return False
    waits = (each.after for each in subject.directions if each.receiver == receiver and each.after)
    return any(notice.before.at < subject.fired + after <= told.at for after in waits)


def _reasons(held: Iterable[Held]) -> list[str]:
    said = list(dict.fromkeys(each.why for each in held))
    return said if len(said) <= _SAID else [*said[:_SAID], f"{len(said) - _SAID} more reasons"]


def _name(notice: Notice) -> str:
    """Name a step as decisions have it."""
    if notice.step == Step.REMINDER and notice.before is not None:
        return f"{notice.step}-{notice.before.at}"
    return str(Step.FIRING if notice.step == Step.RESOLVED else notice.step)


def _recall(  # noqa: PLR0917  a message in parts
    message: Notification,
    firing: Sequence[Notice],
    resolved: Sequence[Notice],
    gone: Sequence[Notice],
    why: str,
    now: Millis,
) -> Recall:
    """Write what is left of a message."""
    changed = [each for each in firing if each.step != Step.ONGOING]
    id_ = f"{message.id}-{now}"  # what is taken out is owed again later, perhaps under the id of this one
    fires = tuple((each.key, each.episode) for each in gone if each.step not in {Step.ONGOING, Step.RESOLVED})
    said = {each.key for each in (*firing, *resolved)}
    ends = {each.key: each for each in message.noted_ends if each.key not in said}  # of each alert the newest
    resolved = (*resolved, *ends.values())
    if not changed and not resolved:
        return Recall(message.id, message._replace(id=id_), whole=True, why=why, gone=fires)
    notes = set(came_and_went((*gone, *ends.values())))
    left = message._replace(
        id=id_,
        title=titled(firing, resolved),
        reason=f"{message.reason}; {len(gone)} called back",
        firing=(*changed, *(each for each in firing if each.step == Step.ONGOING)),
        resolved=tuple(resolved),
        loud=any(each.step in LOUD for each in changed),
        urgent=message.urgent and any(each.step in LOUD and is_urgent(each.severity) for each in changed),
        notes=tuple(each for each in message.notes if each not in notes),
        noted_ends=tuple(each for each in message.noted_ends if each.key in said),
    )
    return Recall(message.id, left, whole=False, why=why, gone=fires)
