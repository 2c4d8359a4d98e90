"""One round of telling, from what changed to messages. Reads the state and changes nothing of it.

The path of one alert: `_see` (it fires), `_look` (what is owed to whom: `owing`; does a stage hold it: `muting`),
`_due` (is its group due: `grouping`), then `digest` (into which message, under which key), `storm` (too many), and
`_message` (in which words: `render`). Everything on the way that is not a message is a Decision that says why.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.telling import keeping, muting, render, upkeep
from alerting.core.telling.digest import digest, hashed, with_ends
from alerting.core.telling.effects import Effects, Telling
from alerting.core.telling.flapping import calm_at, judge
from alerting.core.telling.grouping import Group, due_at, has_timers, joined, spoke
from alerting.core.telling.muting import Held, Quiet
from alerting.core.telling.notes import hidden_by, lateness, notes
from alerting.core.telling.owing import Owed, holds, owed, owed_besides
from alerting.core.telling.render import Ending
from alerting.core.telling.routing import Subject, directions, matched, way_back
from alerting.core.telling.state import Over
from alerting.core.telling.storm import calmed
from alerting.core.telling.warning import ending_silences
from alerting.model import AlertState, Decision, Ended, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Protocol

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.notes import Hidden
    from alerting.core.telling.plan import Plan
    from alerting.core.telling.routing import Direction, News
    from alerting.core.telling.state import State
    from alerting.model import Ack, Alert, AlertKey, Millis, Notice, Notification, RuleSpec

    class Words(Protocol):
        """Gives the words for an alert."""

        def notice(self, alert: Alert, spec: RuleSpec) -> Notice:
            """Say what fires."""
            ...

        def today(self, subject: Subject, *, picture: bool) -> Notice:
            """Say it with the value of now where that is known, and with its picture where one is wanted."""
            ...

        def doubt(self, subject: Subject) -> str:
            """Say why the value is not that of now; empty: it is."""
            ...


_TIMERS = frozenset(("group", "storm"))  # stages that only wait: what held something before them is still to be said
_REMEMBERED: Millis = 86_400_000  # a group of which nothing fires is forgotten after this
_PICTURES = 3  # alerts of one message that are drawn: no receiver shows more, and each may cost 60 evaluations


class Later(NamedTuple):
    """What waits for its group, and until when."""

    group: Group
    waiting: Sequence[Owed]
    at: Millis


class Round:
    """See the module's text."""

    def __init__(self, state: State, plan: Plan, now: Millis, words: Words, era: int) -> None:
        self._state = state
        self._plan = plan
        self._now = now
        self._words = words
        self._era = era
        self._decisions: list[Decision] = []
        self._texts: dict[str, str | None] = {}
        self._subjects: dict[AlertKey, Subject | None] = {}
        self._over: dict[AlertKey, Over | None] = {}
        self._held: dict[tuple[AlertKey, str], tuple[Step, Held] | None] = {}
        self._groups: dict[tuple[str, str], Group | None] = {}
        self._acks_over: list[AlertKey] = []

    def told(self, news: Sequence[News]) -> Telling:
        """Work it out."""
        state = self._state
        for change in news:
            self._see(change)
        self._end_acks()
        quiet = self._quiet()
        looked = self._to_look_at()
        candidates: dict[tuple[str, str], list[Owed]] = {}
        for key in looked:
            for each in self._look(key):
                found = muting.held(each, quiet)
                if found is not None:
                    self._hold(each, found)
                else:
                    candidates.setdefault((each.receiver, each.direction.group), []).append(each)
        due, later = self._due(candidates)
        bundles = digest(due, state.announced, self._plan.receivers, state.installation)
        bundles, waits = calmed(bundles, state, self._plan, self._now)
        for each, until in waits:
            self._await_summary(each, until)
        bundles = self._take_ends_along(bundles, later)
        if self._era:  # the same words at the same stamp are another message
            bundles = [each._replace(id=hashed(each.id, str(self._era))) for each in bundles]
        if self._era != state.era:
            self._texts[keeping.ERA] = str(self._era)
        held = self._everything_held()
        spoken_of = {each.key for bundle in bundles for each in bundle.changed}
        subjects = {**state.subjects, **self._subjects} if bundles else {}
        hidden = hidden_by(held, subjects, quiet.inhibited, spoken_of) if bundles else {}
        notices: dict[AlertKey, Notice] = {}
        messages = [self._message(bundle, notices, hidden) for bundle in bundles]
        warnings, warned = ending_silences(state, self._plan, self._now, held, self._subject_now)
        self._settle()
        self._tidy(candidates)
        silences, over = upkeep.silences_over(state, self._now)
        storms, kept = upkeep.storms(state, bundles, self._now)
        stand_ins, stood = upkeep.stand_ins_over(state, self._now)
        self._texts |= {**over, **kept, **stood}
        return Telling(
            [*messages, *warnings],
            self._decisions,
            self._texts,
            Effects(
                self._now,
                self._era,
                bundles,
                self._subjects,
                self._over,
                self._held,
                looked,
                self._groups,
                self._acks_over,
                notices,
                warned,
                silences,
                storms,
                stand_ins,
            ),
        )

    # ------------------------------------------------------------------------------------ what happened

    def _see(self, news: News) -> None:
        """Take note of one change of one alert."""
        alert, key = news.alert, news.alert.key
        announced = self._state.notices.get(key)
        if news.transition.after is AlertState.FIRING:
            fresh = self._words.notice(alert, news.spec)
            notice = fresh if announced is None else announced._replace(value=fresh.value, why=fresh.why)
            self._subjects[key] = self._subject(alert, news.spec, notice).following(self._state.subjects.get(key))
            if key in self._state.over:
                self._over[key] = None
                self._texts[keeping.over_name(key)] = None
                for receiver in self._state.announced.of(key):
                    self._decide(key, alert.episode, Step.RESOLVED, receiver, "dropped", "group", "it fires again")
        elif news.transition.after is AlertState.RESOLVED:
            self._subjects[key] = None
            self._end(news, announced)

    def _end(self, news: News, announced: Notice | None) -> None:
        """Owe the end to whoever was told of the beginning; to nobody else."""
        alert, key, transition = news.alert, news.alert.key, news.transition
        for (held, receiver), (step, why) in self._held_of(key):
            self._held[held, receiver] = None
            reason = f"it was over before it was told: {why.why}"
            self._decide(key, alert.episode, step, receiver, "dropped", why.stage, reason, why.by)
        if key not in self._state.announced.told:
            self._decide(key, alert.episode, Step.RESOLVED, "", "dropped", "route", "nobody was told that it fired")
            return
        before = self._state.subjects.get(key)
        notice = announced or self._words.notice(alert, news.spec)
        subject = self._subject(alert, news.spec, notice) if before is None else before._replace(alert=alert)
        ending = Ending(transition.ended or Ended.RECOVERED, transition.why, alert.resolved_at or transition.at)
        self._over[key] = Over(subject, ending)

    def _subject(self, alert: Alert, spec: RuleSpec, notice: Notice) -> Subject:
        return subject_of(alert, spec, notice, self._plan)

    def _end_acks(self) -> None:
        """Find the acknowledgements that are over."""
        for key, ack in self._state.acks.items():
            subject = self._subject_now(key)
            if subject is None or not holds(ack, subject.alert, subject.spec, subject.severity, self._now):
                self._acks_over.append(key)
                self._texts[keeping.ack_name(key)] = None

    # ------------------------------------------------------------------------------------ what is owed

    def _to_look_at(self) -> list[AlertKey]:
        """Give the alerts that may owe something: what changed, what is held, and what time has brought up."""
        state = self._state
        found = dict.fromkeys(self._subjects)
        found.update(dict.fromkeys(key for key, _ in state.held))
        found.update(dict.fromkeys(key for key, at in state.looks.items() if at <= self._now))
        found.update(dict.fromkeys(self._acks_over))
        found.update(dict.fromkeys((*state.over, *self._over)))
        return list(found)

    def _look(self, key: AlertKey) -> Iterator[Owed]:
        """Find what is owed of one alert."""
        over = self._over[key] if key in self._over else self._state.over.get(key)
        told = self._state.announced.of(key)
        if over is not None:
            for receiver in told:
                yield Owed(over.subject, Step.RESOLVED, receiver, way_back(over.subject, receiver))
            return
        subject = self._subject_now(key)
        if subject is None:
            return
        ack = self._ack(key)
        flapping = "" if subject.spec.unheld else judge(subject.alert, self._now, self._plan.flapping)
        notice = subject.notice._replace(acked=_acked(ack), flapping=flapping)
        subject = subject._replace(notice=notice)
        if not subject.directions and key in self._subjects:
            self._decide(key, subject.alert.episode, Step.FIRING, "", "dropped", "route", "nobody is named")
        yield from owed(subject, told, ack, flapping, self._now, self._spoken)
        known = {receiver: each for receiver, each in told.items() if receiver in self._plan.receivers}
        yield from owed_besides(subject, known, ack, flapping)

    def _subject_now(self, key: AlertKey) -> Subject | None:
        return self._subjects[key] if key in self._subjects else self._state.subjects.get(key)

    def _ack(self, key: AlertKey) -> Ack | None:
        return None if key in self._acks_over else self._state.acks.get(key)

    def _spoken(self, direction: Direction) -> Millis | None:
        """Say when the group of a direction was spoken of last, where its messages stand for groups."""
        if not self._plan.stands_for_group(direction.receiver):
            return None
        group = self._state.groups.get((direction.receiver, direction.group))
        return None if group is None else group.spoken_at

    def _quiet(self) -> Quiet:
        """See how everything stands that may hold something back."""
        state, plan, now = self._state, self._plan, self._now
        subjects = {**state.subjects, **self._subjects}
        firing = {each.spec.name: key for key, each in subjects.items() if each is not None}
        inhibited = None
        if plan.inhibitor is not None:
            inhibited = plan.inhibitor.look((key, each.labels) for key, each in subjects.items() if each is not None)
        silences = (each for each in state.silences.values() if each.id in state.fitting)
        in_force = [each for each in silences if each.starts <= now < each.ends]
        return Quiet(
            now,
            firing,
            inhibited,
            plan.calendar,
            [(each, state.fitting[each.id]) for each in in_force],
            {key: ack for key, ack in state.acks.items() if key not in self._acks_over},
            self._flapping,
        )

    def _flapping(self, key: AlertKey) -> tuple[str, Millis | None]:
        over = self._over.get(key) or self._state.over.get(key)
        subject = over.subject if over is not None else self._subject_now(key)
        if subject is None or self._plan.flapping is None:
            return "", None
        why = judge(subject.alert, self._now, self._plan.flapping)
        return why, calm_at(subject.alert, self._plan.flapping) if why else None

    # ------------------------------------------------------------------------------------ what is due

    def _due(self, candidates: Mapping[tuple[str, str], list[Owed]]) -> tuple[list[Owed], list[Later]]:
        """Part what may be told now from what waits for its group."""
        due: list[Owed] = []
        later: list[Later] = []
        for place, waiting in candidates.items():
            route = waiting[0].direction.route
            group = self._waits_on(self._state.groups.get(place) or Group(*place), waiting)
            at = due_at(group, route, waiting, self._now, patient=self._plan.patient)
            if at > self._now:
                later.append(Later(group, waiting, at))
                continue
            if has_timers(route):
                self._remember(spoke(group, self._now), kept=True)
            due += waiting
        return due, later

    def _waits_on(self, group: Group, waiting: Sequence[Owed]) -> Group:
        """Let what waited for another group, until the settings led it to this one, not wait anew."""
        times = [group.waiting_since]
        for each in waiting:
            _, held = self._state.held.get((each.key, each.receiver), (None, None))
            if held is not None and held.stage == "group" and held.by != group.name:
                left = self._state.groups.get((each.receiver, held.by))
                times.append(left.waiting_since if left is not None else None)
        return group._replace(waiting_since=min((at for at in times if at is not None), default=None))

    def _take_ends_along(self, bundles: Sequence[Bundle], later: Sequence[Later]) -> list[Bundle]:
        """Let ends go along with any message of their key, which would name them as firing; what is left waits."""
        announced = self._state.announced
        ends: dict[tuple[str, str], list[Owed]] = {(each.receiver, each.group_key): [] for each in bundles}
        for group, waiting, at in later:
            rest: list[Owed] = []
            for each in waiting:
                told = announced.of(each.key).get(each.receiver)
                place = each.receiver, told.group_key if told else ""
                (ends[place] if each.step is Step.RESOLVED and place in ends else rest).append(each)
            if rest:
                self._remember(joined(group, self._now), kept=has_timers(rest[0].direction.route))
            elif group.waiting_since is not None:
                self._remember(group._replace(waiting_since=None), kept=True)
            for each in rest:
                self._hold(each, Held("group", "waits for its group", group.name, at))
        return [with_ends(each, ends[each.receiver, each.group_key], announced) for each in bundles]

    def _await_summary(self, each: Owed, until: Millis) -> None:
        """Hold what a storm holds; its group has waited for it, and does not begin to wait anew."""
        self._hold(each, Held("storm", "waits for the next summary of a storm", "", until))
        if has_timers(each.direction.route):
            group = self._state.groups.get((each.receiver, each.direction.group))
            self._remember(joined(group or Group(each.receiver, each.direction.group), self._now), kept=True)

    def _remember(self, group: Group, *, kept: bool) -> None:
        self._groups[group.receiver, group.name] = group
        if kept:
            self._texts[keeping.group_name(group)] = keeping.group_text(group)

    def _hold(self, each: Owed, why: Held) -> None:
        """Hold something back; say so when it is new, or held for another reason than before."""
        place = each.key, each.receiver
        before = self._state.held.get(place)
        if before is not None and why.stage in _TIMERS:
            why = why._replace(late=lateness(before[1]))
        self._held[place] = (each.step, why)
        if before is None or (before[0], before[1].stage, before[1].by) != (each.step, why.stage, why.by):
            episode = each.subject.alert.episode
            self._texts[keeping.held_name(*place)] = keeping.held_text(*place, each.step, why)
            said, route = (why.stage, why.why, why.by, why.until), each.direction.why
            self._decide(each.key, episode, each.name, each.receiver, "held", *said, route)

    def _message(self, bundle: Bundle, notices: dict[AlertKey, Notice], hidden: Hidden) -> Notification:
        """Write one message, and take note of what it says.

        What changed in this very turn has the value of now; what waited until now is asked for it.
        """
        receiver = self._plan.receivers.get(bundle.receiver)
        drawn = _PICTURES if receiver is not None and receiver.pictures else 0
        waited = [each.key not in self._subjects for each in bundle.changed]
        changed = [
            each._replace(subject=each.subject._replace(notice=self._words.today(each.subject, picture=place < drawn)))
            if late or place < drawn
            else each
            for place, (each, late) in enumerate(zip(bundle.changed, waited, strict=True))
        ]
        bundle = bundle._replace(changed=changed)
        late = (each for each, late in zip(changed, waited, strict=True) if late)
        doubts = {each.key: why for each in late if (why := self._words.doubt(each.subject))}
        lines = tuple(notes(bundle, self._state, hidden, doubts))
        for each in (*bundle.changed, *bundle.resolved):
            self._held[each.key, bundle.receiver] = None
            episode, why = each.subject.alert.episode, each.direction.why
            self._decide(each.key, episode, each.name, bundle.receiver, "told", "message", why, bundle.id)
        endings = {each.key: self._ending(each.key) for each in bundle.resolved}
        known = self._known(bundle, notices)
        message = render.notification(bundle, known, endings, self._now, self._plan.external_labels, lines)
        notices.update((notice.key, notice) for notice in message.firing if notice.step != Step.ONGOING)
        return message

    def _known(self, bundle: Bundle, fresh: Mapping[AlertKey, Notice]) -> dict[AlertKey, Notice]:
        """Give what was announced of the alerts of a message; what this round has announced goes before."""
        keys = (*(each.key for each in (*bundle.changed, *bundle.resolved)), *bundle.ongoing)
        found = {key: fresh.get(key) or self._state.notices.get(key) for key in keys}
        return {key: notice for key, notice in found.items() if notice is not None}

    def _ending(self, key: AlertKey) -> Ending:
        over = self._over.get(key) or self._state.over[key]
        return over.ending

    # ------------------------------------------------------------------------------------ bookkeeping

    def _held_of(self, key: AlertKey) -> list[tuple[tuple[AlertKey, str], tuple[Step, Held]]]:
        names = {each.receiver for each in subject.directions} if (subject := self._state.subjects.get(key)) else set()
        places = ((key, name) for name in (*names, *self._state.announced.of(key)))
        return [(place, self._state.held[place]) for place in dict.fromkeys(places) if place in self._state.held]

    def _everything_held(self) -> Mapping[tuple[AlertKey, str], tuple[Step, Held]]:
        both: dict[tuple[AlertKey, str], tuple[Step, Held] | None] = {**self._state.held, **self._held}
        return {place: held for place, held in both.items() if held is not None}

    def _settle(self) -> None:
        """Forget what is not held any more; keep how an alert ended until all know."""
        for place in self._state.held:  # all of it was looked at
            if self._held.setdefault(place, None) is None:
                self._texts[keeping.held_name(*place)] = None
        for key, over in {**self._state.over, **self._over}.items():
            if over is None:
                continue
            waits = any(self._held.get((key, receiver)) for receiver in self._state.announced.of(key))
            if waits and key not in self._state.over:
                self._texts[keeping.over_name(key)] = keeping.over_text(key, over.ending)
            elif not waits:
                if key in self._state.over:
                    self._texts[keeping.over_name(key)] = None
                self._over[key] = None

    def _tidy(self, waiting: Collection[tuple[str, str]]) -> None:
        """Let groups forget what waited for them and is over, and forget groups that are over themselves."""
        for place, group in self._state.groups.items():
            if place in waiting:
                continue
            if group.waiting_since is not None:
                self._remember(group._replace(waiting_since=None), kept=True)
            elif self._now - (group.spoken_at or 0) >= _REMEMBERED and not self._state.announced.key_of(*place):
                self._groups[place] = None
                self._texts[keeping.group_name(group)] = None

    def _decide(  # noqa: PLR0917  a decision's own fields
        self,
        key: AlertKey,
        episode: str,
        step: str,
        receiver: str,
        outcome: Any,
        stage: str,
        why: str,
        by: str = "",
        until: Millis | None = None,
        route: str = "",
    ) -> None:
        said = (outcome, stage, why, by, until, route)
        self._decisions.append(Decision(self._now, key, episode, str(step), receiver, *said))


def subject_of(alert: Alert, spec: RuleSpec, notice: Notice, plan: Plan) -> Subject:
    """Direct an alert that fires."""
    severity = alert.level or notice.severity
    fired = alert.fired_at or alert.since
    subject = Subject(alert, spec, notice, matched(notice, severity, plan.external_labels), fired=fired)
    return subject._replace(directions=directions(subject, plan.tree, plan.fallback))


def _acked(ack: Ack | None) -> str:
    if ack is None:
        return ""
    until = datetime.fromtimestamp(ack.until / 1000, UTC)
    return f"{ack.by}, until {until:%H:%MZ}"
