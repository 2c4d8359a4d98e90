"""The telling: what fires, what each receiver was told of it, what holds the rest back, and what is said now.

Theory. The desk compares how alerts stand with what each receiver was told (`owing`), passes what is owed through the
stages that may hold it (`muting`), waits for the timers of groups (`grouping`), sums up storms (`storm`), and puts what
is due into messages (`digest`, `render`). A `round` works all that out and changes nothing; `apply` lets it take
effect, once the store has it. What is held is looked at again whenever something changed that could release it, and
at the latest when its time comes (`next_at`). So nothing that fires is forgotten, however often the process ends.

What must survive the process is little: what was told (the store's announcements), silences, acknowledgements, how a
held end came about, what holds something back, and the timers of groups and of storms: kept texts, written in the same
transaction as the messages.
"""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alerting.core.telling import keeping, storm
from alerting.core.telling.digest import Announced
from alerting.core.telling.effects import Telling
from alerting.core.telling.fallback import Knowledge, passed_on
from alerting.core.telling.hushing import Hushing
from alerting.core.telling.matchers import Matchers
from alerting.core.telling.owing import next_look
from alerting.core.telling.plan import Plan
from alerting.core.telling.recall import called_back
from alerting.core.telling.render import Ending
from alerting.core.telling.round import Round, subject_of
from alerting.core.telling.state import Over, State
from alerting.core.telling.warning import warns_at
from alerting.model import NOWHERE, RECEIVER_DOWN, Alert, AlertState, Ended, Labels, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from alerting.core.telling.muting import Held
    from alerting.core.telling.recall import CalledBack
    from alerting.core.telling.round import Words
    from alerting.core.telling.routing import Direction, News
    from alerting.model import Ack, AlertKey, Delivery, Millis, Notice, Notification, Patterns, Silence, Told

NOTHING = Telling()


class Desk:
    """See the module's text."""

    def __init__(self) -> None:
        self._state = State()
        self._plan = Plan()
        self._patterns: Patterns | None = None
        self._disturbed = True  # something changed besides alerts: a round is due
        self._fresh = True  # what was loaded has not been held against the clock
        self._hushing = Hushing(self._state, self._plan)

    # ------------------------------------------------------------------------------------ load and adopt

    def load(
        self,
        installation: str,
        announced: Mapping[tuple[AlertKey, str], Told],
        notices: Iterable[Notice],
        texts: Mapping[str, str],
        written_at: Millis | None = None,
    ) -> None:
        """Take in what the store held, last at `written_at`.

        A text that cannot be read is left out: that rather tells once too often.
        """
        self._fresh = True
        state = self._state = State()
        self._hushing = Hushing(state, self._plan)
        state.installation = installation
        state.latest = written_at or 0
        state.announced = Announced(announced)
        state.notices = {notice.key: notice for notice in notices}
        for name, text in texts.items():
            with suppress(ValueError, TypeError, KeyError):
                self._load(name, text)
        state.stand_ins = dict(sorted(state.stand_ins.items(), key=lambda each: each[1][1]))

    def _load(self, name: str, text: str) -> None:
        state = self._state
        if name.startswith(keeping.SILENCE):
            silence = keeping.read_silence(text)
            state.silences[silence.id] = silence
        elif name.startswith(keeping.ACK):
            ack = keeping.read_ack(text)
            state.acks[ack.key] = ack
        elif name.startswith(keeping.GROUP):
            group = keeping.read_group(text)
            state.groups[group.receiver, group.name] = group
        elif name.startswith(keeping.HELD):
            place, held = keeping.read_held(text)
            state.held[place] = held
        elif name.startswith(keeping.STORM):
            summary, at = keeping.read_storm(text)
            state.storms[summary] = at
        elif name.startswith(keeping.STAND_IN):
            stand_in, told = keeping.read_stand_in(text)
            state.stand_ins[stand_in] = told
        elif name == keeping.ERA:
            state.era = int(text)
        elif name.startswith(keeping.OVER):
            key, ending = keeping.read_over(text)
            if key in state.notices:
                state.over[key] = Over(self._ended(key, ending), ending)

    def _ended(self, key: AlertKey, ending: Ending) -> Any:
        """Make up the subject of an alert that ended before the process began; its rule may be gone."""
        notice = self._state.notices[key]
        alert = Alert(
            key, Labels(), AlertState.RESOLVED, ending.at, "", ending.why, notice.fired_at, ending.at, notice.episode
        )
        return subject_of(alert, RuleSpec(key.rule_id, notice.name, "", NOWHERE), notice, self._plan)

    def follow(self, plan: Plan, patterns: Patterns, specs: Mapping[str, RuleSpec] = MappingProxyType({})) -> None:
        """Work by this plan from now on; `adopt` comes next. `specs`: of the rules in force, by id."""
        self._plan, self._patterns = plan, patterns
        self._hushing = Hushing(self._state, plan, specs)  # all that waits is asked once more
        self._compile_silences()

    def adopt(
        self,
        firing: Iterable[tuple[Alert, RuleSpec]],
        ended: Iterable[Alert],
        ending: Collection[AlertKey],
        words: Words,
    ) -> None:
        """Take every alert that fires, with its rule, and those that ended lately.

        `ending`: those that fire until the next turn ends them, as their rules are gone.
        """
        state, plan = self._state, self._plan
        before, state.subjects = state.subjects, {}
        for alert, spec in firing:
            notice = state.notices.get(alert.key) or words.notice(alert, spec)
            subject = subject_of(alert, spec, notice, plan).following(before.get(alert.key))
            state.subjects[alert.key] = subject
            for direction in subject.directions:
                state.announced.place(alert.key, direction.receiver, direction.group)
        for alert in ended:  # what flapped is known by the alert itself
            over = state.over.get(alert.key)
            if over is not None:
                state.over[alert.key] = over._replace(subject=over.subject._replace(alert=alert))
        for key in state.announced.told.keys() - state.subjects.keys() - state.over.keys() - set(ending):
            lost = Ending(Ended.NO_DATA, "how it ended is not known", state.notices[key].fired_at)
            state.over[key] = Over(self._ended(key, lost), lost)
        state.looks = dict.fromkeys(state.subjects, 0)
        self._disturbed = True

    def _compile_silences(self) -> None:
        """Make silences ready; one whose pattern cannot be used has no effect: that rather tells than fails."""
        state, patterns = self._state, self._patterns
        state.fitting = {}
        if patterns is None:
            return
        for each in state.silences.values():
            with suppress(ValueError):
                state.fitting[each.id] = Matchers(each.matchers, patterns)
        self._hushing.silences = tuple(
            (each, state.fitting[each.id]) for each in state.silences.values() if each.id in state.fitting
        )

    def look_at(self, texts: Mapping[str, str | None]) -> None:
        """See to it that texts are silences and acknowledgements that can be obeyed. Raises ValueError."""
        for name, text in texts.items():
            if name.startswith(keeping.SILENCE) and text is not None:
                silence = keeping.read_silence(text)
                if self._patterns is not None:
                    Matchers(silence.matchers, self._patterns)
            elif name.startswith(keeping.ACK) and text is not None:
                keeping.read_ack(text)
            elif not name.startswith((keeping.SILENCE, keeping.ACK)):
                raise ValueError(f"{name[:80]!r} is neither a silence nor an acknowledgement")

    def take(self, texts: Mapping[str, str | None]) -> None:
        """Take silences and acknowledgements that the store has taken. Raises ValueError for what is neither."""
        state = self._state
        for name, text in texts.items():
            if name.startswith(keeping.SILENCE):
                state.silences.pop(name.removeprefix(keeping.SILENCE), None)
            elif name.startswith(keeping.ACK):
                for key in [key for key in state.acks if keeping.ack_name(key) == name]:
                    del state.acks[key]
            if text is not None:
                self._load(name, text)
        self._compile_silences()
        state.looks = dict.fromkeys(state.subjects, 0)
        self._disturbed = True

    def rebase(self, by: Millis) -> None:
        """Move what counts durations by a step of the wall clock. Silences and acknowledgements end by the wall."""
        self._restamp(lambda at: at + by)

    def _restamp(self, move: Callable[[Millis], Millis]) -> None:
        state = self._state
        state.announced.restamp(move)
        for place, group in state.groups.items():
            state.groups[place] = group._replace(
                waiting_since=None if group.waiting_since is None else move(group.waiting_since),
                spoken_at=None if group.spoken_at is None else move(group.spoken_at),
            )
        state.storms = {place: move(at) for place, at in state.storms.items()}
        state.opened = {receiver: [move(at) for at in times] for receiver, times in state.opened.items()}
        state.subjects = {key: each._replace(fired=move(each.fired)) for key, each in state.subjects.items()}
        state.looks = dict.fromkeys(state.subjects, 0)
        self._disturbed = True

    # ------------------------------------------------------------------------------------ asking

    @property
    def told(self) -> Mapping[AlertKey, Mapping[str, Told]]:
        """What was told to whom, of alerts whose end was not told."""
        return self._state.announced.told

    def told_under(self, receiver: str, group_key: str) -> Sequence[Notice]:
        """Give what fires and was told to a receiver under a key, as it was announced."""
        state = self._state
        keys = (key for key in state.announced.members(receiver, group_key) if key in state.subjects)
        return [state.notices[key] for key in keys if key in state.notices]

    def notice_of(self, key: AlertKey) -> Notice | None:
        """Give what was announced of an alert."""
        return self._state.notices.get(key)

    def silences(self) -> Sequence[Silence]:
        """Give all silences that are kept, over or not."""
        return tuple(self._state.silences.values())

    def acks(self) -> Sequence[Ack]:
        """Give the acknowledgements in force."""
        return tuple(self._state.acks.values())

    def waiting(self) -> Mapping[tuple[AlertKey, str], Held]:
        """Give what is held back, and why, by alert and receiver."""
        return {place: held for place, (_, held) in self._state.held.items()}

    def receivers_of(self, spec: RuleSpec) -> tuple[str, ...]:
        """Give whom a rule would tell, as far as its own labels say."""
        plan = self._plan
        if spec.notify or plan.tree is None:
            return spec.notify or plan.fallback
        severity = spec.severity or spec.labels.get("severity", "")
        labels = {**plan.external_labels, **spec.labels, "alertname": spec.name}
        ways = plan.tree.ways({**labels, "severity": severity} if severity else labels)
        return tuple(dict.fromkeys(way.receiver for way in ways)) or plan.fallback

    def next_at(self, now: Millis) -> Millis | None:
        """Say when something may be due that no evaluation brings about; None: never."""
        if self._disturbed:
            return now
        state = self._state
        times = [held.until for _, held in state.held.values() if held.until is not None]
        times += state.looks.values()
        if state.silences:
            times += [at for each in state.silences.values() for at in (each.starts, each.ends) if at > now]
            hiding = {held.by for _, held in state.held.values() if held.stage == "silence"}
            times += warns_at(state, self._plan, hiding, now)
        return min(times, default=None)

    # ------------------------------------------------------------------------------------ telling

    def era_at(self, now: Millis) -> int:
        """Say how often stamps have gone back by `now`: what is named by a stamp is named by that too."""
        return self._state.era + (now < self._state.latest)

    def tell(self, now: Millis, news: Sequence[News], words: Words) -> Telling:
        """Work out who hears of what now, and in which words."""
        if self._fresh:  # what lies ahead was stamped before the wall was set back: nobody may wait for that
            self._fresh = False
            self._restamp(lambda at: min(at, now))
        if not news:
            at = self.next_at(now)
            if at is None or at > now:
                return NOTHING
        return Round(self._state, self._plan, now, words, self.era_at(now)).told(news)

    def apply(self, telling: Telling) -> None:
        """Let a telling take effect that the store has taken."""
        effects, state = telling.effects, self._state
        if effects is None:
            return
        state.era, state.latest = effects.era, effects.now
        _update(state.subjects, effects.subjects)
        _update(state.over, effects.over)
        _update(state.held, effects.held)
        _update(state.groups, effects.groups)
        for key in effects.acks:
            state.acks.pop(key, None)
        state.warned.update(effects.warned)
        for silence in effects.silences:
            state.silences.pop(silence, None)
            state.fitting.pop(silence, None)
            state.warned = {each for each in state.warned if each[0] != silence}
        state.announced.take(effects.bundles, effects.now)
        state.notices.update(effects.notices)
        for bundle in effects.bundles:
            for each in bundle.resolved:
                if each.key not in state.announced.told:
                    state.notices.pop(each.key, None)
        storm.took(effects.bundles, state, self._plan, effects.now)
        for place in effects.storms:
            state.storms.pop(place, None)
        for stand_in in effects.stand_ins:
            state.stand_ins.pop(stand_in, None)
        for key in effects.looked:
            self._look_later(key, effects.now)
        self._disturbed = False

    # ------------------------------------------------------------------------------------ what is called back

    def hushes(self, message: Notification, now: Millis) -> bool:
        """Tell whether something of a message is silenced now, or in a window. May be asked by any thread."""
        return self._hushing.hushes(message, now)

    def audible(self, waiting: Sequence[Notification], now: Millis) -> list[Notification]:
        """Leave in messages of one key what is not silenced now, though it may have arrived."""
        return self._hushing.audible(waiting, now)

    def may_call_back(self, now: Millis) -> bool:
        """Tell whether a silence or a window has begun since `called_back` was called last for all."""
        return self._hushing.has_news(now)

    def call_back(self, waiting: Iterable[Delivery], now: Millis) -> CalledBack:
        """Work out what is called back of what waits to be sent, in the order in which it came to be owed."""
        return called_back(waiting, self._state, self._hushing.at(now), now)

    def called_back(self, found: CalledBack, now: Millis, *, everywhere: bool) -> None:
        """Let it take effect: the store has taken it. `everywhere`: all that waits was asked."""
        state = self._state
        for key, receiver, told, _ in found.unsaid:
            state.announced.unsay(key, receiver, told)
            if key not in state.announced.told:
                state.notices.pop(key, None)
            state.looks[key] = 0
            self._disturbed = True
        state.held.update(found.held)
        for place in found.stand_ins:
            state.stand_ins.pop(place, None)
        if everywhere:
            self._hushing.was_asked(now)

    # ------------------------------------------------------------------------------------ what cannot be told

    def passed_on(self, waiting: Sequence[Notification], why: str, now: Millis) -> Sequence[Notification]:
        """Write what a receiver could not be told (of one group key, in order) for its fallback."""
        knowledge = Knowledge(self._state.installation, now, self._fires, self._knows)
        return passed_on(waiting, why, self._plan.receivers, knowledge)

    @staticmethod
    def stand_ins(notifications: Iterable[Notification], now: Millis) -> Mapping[str, str]:
        """Give the kept texts of who is told of what in another's place: it is not passed on to them again."""
        return {
            keeping.stand_in_name(notice.key, each.receiver): keeping.stand_in_text(
                notice.key, each.receiver, notice.episode, now
            )
            for each in notifications
            for notice in each.firing
        }

    def note(self, notifications: Iterable[Notification], now: Millis) -> None:
        """Take what was passed on and is on disk: who was told in another's place is told the end too."""
        state = self._state
        for notification in notifications:
            state.announced.note(notification)
            for notice in notification.firing:
                state.notices.setdefault(notice.key, notice)
                place = notice.key, notification.receiver
                state.stand_ins.pop(place, None)  # the newest comes last
                state.stand_ins[place] = notice.episode, now
                if notice.key in state.subjects:
                    state.looks[notice.key] = now  # it may have changed since that was written

    def _fires(self, notice: Notice) -> bool:
        subject = self._state.subjects.get(notice.key)
        return subject is not None and subject.alert.episode == notice.episode

    def _knows(self, notice: Notice, receiver: str) -> bool:
        about = notice.key.rule_id == f"{RECEIVER_DOWN}{receiver}"  # nobody is told of its own failure
        told = receiver in self._state.announced.of(notice.key)
        stood_in, _ = self._state.stand_ins.get((notice.key, receiver), ("", 0))
        return about or told or stood_in == notice.episode

    # ------------------------------------------------------------------------------------ later

    def _look_later(self, key: AlertKey, now: Millis) -> None:
        """Note when time alone may make something owed of an alert."""
        state = self._state
        subject = state.subjects.get(key)
        at = None
        if subject is not None:
            at = next_look(subject, state.announced.of(key), state.acks.get(key), now, self._spoken)
        if at is None or at <= now:  # what is due and was not told is held: that has its own time
            state.looks.pop(key, None)
        else:
            state.looks[key] = at

    def _spoken(self, direction: Direction) -> Millis | None:
        if not self._plan.stands_for_group(direction.receiver):
            return None
        group = self._state.groups.get((direction.receiver, direction.group))
        return None if group is None else group.spoken_at


def _update(kept: dict[Any, Any], changes: Mapping[Any, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
