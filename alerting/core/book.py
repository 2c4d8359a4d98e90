"""What the engine knows between turns: every rule's track, whom was told of what, and what is left to be ended.

It is changed by four things only: `load` (what the store held), `adopt` (another set of rules), `rebase` (the wall
clock stepped) and `apply` (a turn that was saved). Everything else asks it, or stages into a `Turn`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from alerting.core import builtin, lifecycle
from alerting.core.alertseries import AlertSeries, is_read
from alerting.core.backoff import words
from alerting.core.schedule import namespaces_of
from alerting.core.telling import render
from alerting.core.telling.desk import Desk
from alerting.core.telling.newest import Newest
from alerting.core.turn import Track, Turn
from alerting.model import NO_LABELS, NO_TEXTS, RECEIVER_DOWN, SHARED, AlertKey, AlertState, Labels, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alerting.core.samples import Samples
    from alerting.core.telling.effects import Telling
    from alerting.core.telling.plan import Plan
    from alerting.core.telling.routing import Subject
    from alerting.model import Alert, Flapping, Millis, Notice, Receiver, Rule, Told

LEAST_GAP: Millis = 60_000
_MOMENT: Millis = 1_000  # what is shorter is no length of time to people
GONE = "the rule is no longer among the rules"
DISABLED = "the rule is disabled"
UNREAD = "nothing reads this source any more"


class Reach(NamedTuple):
    """One source as the rules see it: what it feeds, and how long it may fail before that is an alert."""

    namespace: str
    unknown_after: Millis


class Speech:
    """Gives the words for an alert, over the samples of one moment. `turn`: what it brings counts already."""

    def __init__(
        self, book: Book, context: render.Context, turn: Turn | None = None, samples: Samples | None = None
    ) -> None:
        self._book = book
        self._context = context
        self._turn = turn
        self._newest = None if turn is None or samples is None else Newest(samples, turn.now)

    def notice(self, alert: Alert, spec: RuleSpec) -> Notice:
        """Say what fires."""
        return render.notice(alert, spec, self._book.unit(spec.id), self._context)

    def today(self, subject: Subject, *, picture: bool) -> Notice:
        """Say it with the value of now where one is known, and with its picture where one is wanted."""
        track = self._book.tracks.get(subject.spec.id)
        if track is None or track.rule is None or self._newest is None:
            return subject.notice
        return render.today(subject, track.rule, self._newest, picture=picture)

    def doubt(self, subject: Subject) -> str:
        """Say why the value of an alert is not that of now; empty: it is, or nothing more is known of it."""
        track, key = self._book.tracks.get(subject.spec.id), subject.alert.key
        if track is None or self._turn is None:
            return ""
        alert = self._turn.alerts.get(key) or track.alerts.get(subject.alert.labels)
        if alert is None or alert.value == lifecycle.NO_DATA:
            return ""
        since, truth = (alert.quiet_since, "false") if alert.paused_at is None else (alert.paused_at, "unknown")
        if since is None or (track.rule and self._newest and self._newest.of(track.rule, subject.alert)):
            return ""
        lasts = self._turn.now - since
        return f"{truth} now" if lasts < _MOMENT else f"{truth} for {words(lasts)}"


class Book:
    """See the module's text."""

    def __init__(self) -> None:
        self.tracks: dict[str, Track] = {}  # by rule id, in the order of the rules
        self.watchers: dict[str, Track] = {}  # built-in rules that have an alert, by rule id
        self.moved: dict[AlertKey, Alert] = {}  # alerts whose clocks were moved: to be written
        self.restamped: dict[str, Millis] = {}  # rule id -> its moved time of evaluation: to be written
        self.blind: dict[str, str] = {}  # rule id -> why it cannot be judged, for a reason other than a failed source
        self.forgotten: list[str] = []  # rules that are gone: their times of evaluation are to be forgotten
        self._ending: list[tuple[Alert, RuleSpec, str]] = []  # alerts whose rule is gone, and why it is
        self._shown: dict[AlertKey, tuple[Alert, RuleSpec]] = {}  # resolved alerts whose rule is gone
        self._evaluated: dict[str, Millis] = {}  # as the store held it, until the rules are known
        self._series: AlertSeries | None = None  # of alerts, where some rule reads them
        self.desk = Desk()
        self._sources: Mapping[str, Reach] = {}
        self._receivers: Mapping[str, Receiver] = {}
        self._unknown_after: Millis = 0
        self._max_gap: Millis | None = None
        self._flapping: Flapping | None = None

    # ---------------------------------------------------------------------------------------- load and adopt

    def load(  # noqa: PLR0917  the parts of a snapshot
        self,
        installation: str,
        alerts: Iterable[Alert],
        evaluated: Mapping[str, Millis],
        announced: Mapping[tuple[AlertKey, str], Told],
        notices: Iterable[Notice],
        texts: Mapping[str, str] = NO_TEXTS,
        written_at: Millis | None = None,
    ) -> None:
        """Take in what the store held. The rules come after, with `adopt`."""
        self._evaluated = dict(evaluated)
        self.desk.load(installation, announced, notices, texts, written_at)
        for alert in alerts:
            notice = self.desk.notice_of(alert.key)
            name = notice.name if notice is not None else alert.key.rule_id
            self._ending.append((alert, RuleSpec(alert.key.rule_id, name, ""), GONE))

    def adopt(
        self,
        rules: Sequence[Rule],
        sources: Mapping[str, Reach],
        *,
        plan: Plan,
        context: render.Context,
        unknown_after: Millis,
        max_gap: Millis | None,
    ) -> None:
        """Take over a whole set of rules; alerts keep their place, those whose rule is gone wait for their end."""
        before = list(self._everything())
        old = {**self.tracks, **self.watchers}
        self._sources, self._unknown_after, self._max_gap = sources, unknown_after, max_gap
        self._receivers = plan.receivers
        self._flapping = plan.flapping
        self.desk.follow(plan, context.patterns, {rule.id: rule.spec for rule in rules})
        self.tracks = {rule.id: self._track(rule, old.get(rule.id)) for rule in rules if rule.spec.enabled}
        self._link()
        read = is_read(track.rule for track in self.tracks.values() if track.rule is not None)
        self._series = AlertSeries(context) if read else None
        self.watchers, self._ending, self._shown = {}, [], {}
        disabled = {rule.id for rule in rules if not rule.spec.enabled}
        for alert, spec in before:
            self._place(alert, spec, old.get(alert.key.rule_id), DISABLED if spec.id in disabled else GONE)
        kept = self.tracks.keys() | self.watchers.keys()
        stored = (*self._evaluated, *(rule_id for rule_id, track in old.items() if track.stored))
        self.forgotten.extend(rule_id for rule_id in stored if rule_id not in kept)
        self._evaluated = {}
        self.blind = {rule_id: why for rule_id, why in self.blind.items() if rule_id in self.tracks}
        tracks = (*self.tracks.values(), *self.watchers.values())
        firing = [(a, each.spec) for each in tracks for a in each.alerts.values() if a.state is AlertState.FIRING]
        ended = [alert for alert in self.alerts() if alert.state is AlertState.RESOLVED]
        self.desk.adopt(firing, ended, {alert.key for alert, _, _ in self._ending}, Speech(self, context))

    def _track(self, rule: Rule, old: Track | None) -> Track:
        spec = rule.spec
        track = Track(spec, rule, lifecycle.policy_of(spec, self._gap(spec.interval), self._flapping))
        self._continue(track, old)
        return track

    def _continue(self, track: Track, old: Track | None) -> None:
        """Let a track go on where the one before it, or the store, left off. Alerts are placed one by one."""
        if old is not None:
            track.previous, track.stored = old.previous, old.stored
            track.gaps, track.overflow, track.doubted = old.gaps, old.overflow, old.doubted
        else:
            track.previous = self._evaluated.get(track.spec.id)
            track.stored = track.spec.id in self._evaluated

    def _link(self) -> None:
        """Tell rules which recording rules they read."""
        recorders: dict[str, list[Track]] = {}
        for track in self.tracks.values():
            if track.spec.record:
                recorders.setdefault(track.spec.record, []).append(track)
        if not recorders:
            return
        for track in self.tracks.values():
            needs = track.rule.needs if track.rule is not None else ()
            names = dict.fromkeys(need.name for need in needs if need.namespace == SHARED)
            track.upstream = tuple(each for name in names for each in recorders.get(name, ()) if each is not track)

    def _place(self, alert: Alert, spec: RuleSpec, old: Track | None, why: str) -> None:
        """Give an alert to the track that it belongs to now, or have it ended."""
        rule_id = alert.key.rule_id
        track = self.tracks.get(rule_id)
        if track is not None and not track.spec.record:  # what records now has no alerts any more
            track.alerts[alert.labels] = alert
        elif builtin.is_builtin(rule_id) and builtin.still_meant(alert, self._sources, self.tracks, self._receivers):
            self._watcher(rule_id, alert.labels, old).alerts[alert.labels] = alert
            if rule_id.startswith(builtin.RULE_BLIND):
                self.tracks[rule_id.removeprefix(builtin.RULE_BLIND)].doubted = True
        elif alert.state is AlertState.RESOLVED:
            self._shown[alert.key] = (alert, spec)
        else:
            gone = UNREAD if rule_id.startswith(builtin.SOURCE_DOWN) else why
            self._ending.append((alert, spec, gone))

    # ---------------------------------------------------------------------------------------- asking

    def alerts(self) -> list[Alert]:
        """Give every alert that is kept."""
        return [alert for alert, _ in self._everything()]

    def with_recorders(self, rule_ids: Iterable[str]) -> set[str]:
        """Give these rules and the recording rules that they read, directly or not."""
        found: set[str] = set()
        todo = [rule_id for rule_id in rule_ids if rule_id in self.tracks]
        while todo:
            rule_id = todo.pop()
            if rule_id not in found:
                found.add(rule_id)
                todo.extend(track.spec.id for track in self.tracks[rule_id].upstream)
        return found

    def _everything(self) -> Iterator[tuple[Alert, RuleSpec]]:
        for track in (*self.tracks.values(), *self.watchers.values()):
            for alert in track.alerts.values():
                yield alert, track.spec
        for alert, spec, _ in self._ending:
            yield alert, spec
        yield from self._shown.values()

    def _gap(self, interval: Millis) -> Millis:
        return max(2 * interval, LEAST_GAP) if self._max_gap is None else self._max_gap

    # ---------------------------------------------------------------------------------------- into a turn

    def begin(self, now: Millis, samples: Samples, limit: int = 0) -> Turn:
        """Begin a turn. Rules that read alerts find those that are kept."""
        turn = Turn(now, samples, limit, self._series, era=self.desk.era_at(now))
        if self._series is not None:
            kept = ((track.spec, track.alerts) for track in self.tracks.values())
            turn.taken.extend(self._series.begin(kept, samples, now))
        return turn

    def watch(
        self,
        turn: Turn,
        heard: Mapping[str, str],
        problem: str | None,
        standing: Mapping[str, str] = NO_TEXTS,
        unsaved: str = "",
    ) -> None:
        """Step the rules that watch the watching.

        `heard`: source -> its fault, or "" where it was read. `standing`: receiver -> why it is down, or "".
        `unsaved`: why the state is in memory only, or "".
        """
        for source, fault in heard.items():
            rule_id = f"{builtin.SOURCE_DOWN}{source}"
            if source in self._sources and (fault or rule_id in self.watchers):  # most are well, and were
                labels = _labels_of("source", source)
                track = self._watcher_if(rule_id, labels, raised=bool(fault))
                if track is not None:
                    names = partial(self._names_of_blind, self._sources[source].namespace)
                    turn.step(track, builtin.source_verdict(track.spec.id, labels, fault, names))
        for judged in turn.doubtful:
            self._watch_rule(turn, judged)
        for receiver, why in standing.items():
            rule_id = f"{RECEIVER_DOWN}{receiver}"
            if (why or rule_id in self.watchers) and self._others(receiver):
                labels = _labels_of("receiver", receiver)
                track = self._watcher_if(rule_id, labels, raised=bool(why))
                if track is not None:
                    turn.step(track, builtin.receiver_verdict(track.spec.id, labels, why))
        track = self._watcher_if(builtin.CONFIG_BROKEN, NO_LABELS, raised=bool(problem))
        if track is not None:
            turn.step(track, builtin.config_verdict(problem or ""))
        track = self._watcher_if(builtin.STATE_UNSAVED, NO_LABELS, raised=bool(unsaved))
        if track is not None:
            turn.step(track, builtin.unsaved_verdict(unsaved))

    def _watch_rule(self, turn: Turn, judged: Track) -> None:
        """Step the rule that says that a rule is blind."""
        why = builtin.blindness(judged.gaps, judged.overflow)
        if why:
            self.blind[judged.spec.id] = why
        else:
            self.blind.pop(judged.spec.id, None)
        labels = _labels_of("rule", judged.spec.name)
        track = self._watcher_if(f"{builtin.RULE_BLIND}{judged.spec.id}", labels, raised=bool(why))
        if track is not None:
            labels = next(iter(track.alerts), labels)  # the rule may have another name since
            hidden = next((gap.why for gap in judged.gaps), "")
            turn.step(track, builtin.blind_verdict(track.spec.id, labels, why, hidden))

    def _watcher_if(self, rule_id: str, labels: Labels, *, raised: bool) -> Track | None:
        """Give the built-in rule when there is something to raise or something that was raised."""
        track = self.watchers.get(rule_id)
        if track is None and raised:
            track = self._watcher(rule_id, labels, None)
        return track

    def _watcher(self, rule_id: str, labels: Labels, old: Track | None) -> Track:
        """Find or make the track of a built-in rule."""
        track = self.watchers.get(rule_id)
        if track is None:
            spec, interval = self._builtin_spec(rule_id, labels)
            track = Track(spec, None, lifecycle.policy_of(spec, self._gap(interval), self._flapping))
            self._continue(track, old)
            self.watchers[rule_id] = track
        return track

    def _builtin_spec(self, rule_id: str, labels: Labels) -> tuple[RuleSpec, Millis]:
        """Make a built-in rule, and say how often it is judged at least."""
        if rule_id in (builtin.CONFIG_BROKEN, builtin.STATE_UNSAVED):
            specs = [track.spec for track in self.tracks.values()]
            make = builtin.config_broken if rule_id == builtin.CONFIG_BROKEN else builtin.state_unsaved
            return make(self._telling(specs), ()), max((spec.interval for spec in specs), default=0)
        if rule_id.startswith(builtin.RULE_BLIND):
            spec = self.tracks[rule_id.removeprefix(builtin.RULE_BLIND)].spec
            return builtin.rule_blind(self._telling([spec])[0], self._unknown_after, ()), spec.interval
        if rule_id.startswith(RECEIVER_DOWN):
            receiver = labels.get("receiver")
            return builtin.receiver_down(receiver, self._others(receiver)), 0
        source = labels.get("source")
        reach = self._sources[source]
        readers = self._readers(reach.namespace)
        spec = builtin.source_down(source, reach.unknown_after, self._telling(readers), ())
        return spec, min((each.interval for each in readers), default=0)

    def _others(self, receiver: str) -> tuple[str, ...]:
        """Give who is told that a receiver cannot be: its fallback, or all others; nobody where it is gone."""
        known = self._receivers.get(receiver)
        if known is None:
            return ()
        others = known.fallback or tuple(name for name in self._receivers if not name.startswith("("))  # no canary's
        return tuple(name for name in others if name != receiver and name in self._receivers)

    def _telling(self, specs: Sequence[RuleSpec]) -> list[RuleSpec]:
        """Give rules with those whom they would tell, by whatever way."""
        return [spec._replace(notify=self.desk.receivers_of(spec)) for spec in specs]

    def _readers(self, namespace: str) -> list[RuleSpec]:
        """Give the rules that read a namespace."""
        return [
            track.spec
            for track in self.tracks.values()
            if track.rule is not None and namespace in namespaces_of(track.rule)
        ]

    def _names_of_blind(self, namespace: str) -> list[str]:
        """Name the rules that a failed source leaves blind; `up` is known of it just then."""
        return [
            track.spec.name
            for track in self.tracks.values()
            if track.rule is not None
            and any(need.namespace == namespace and need.name != "up" for need in track.rule.needs)
        ]

    def retire(self, turn: Turn) -> None:
        """End the alerts whose rule is gone, and drop what was shown for long enough."""
        turn.retires = True
        for alert, spec, why in self._ending:
            turn.end(alert, spec, why)
        for key, (alert, _) in self._shown.items():
            if not 0 <= turn.now - alert.since < lifecycle.Policy().keep_resolved:
                turn.drop(key)

    def tell(self, turn: Turn, context: render.Context, samples: Samples) -> Telling:
        """Work out who hears of the turn, and in which words."""
        return self.desk.tell(turn.now, turn.news, Speech(self, context, turn, samples))

    def unit(self, rule_id: str) -> str:
        """Give the unit of a rule's value; empty: it has none, or there is no such rule."""
        track = self.tracks.get(rule_id)
        return track.rule.condition.unit if track is not None and track.rule is not None else ""

    # ---------------------------------------------------------------------------------------- what takes effect

    def rebase(self, by: Millis) -> None:
        """Move every clock that runs, and the times of evaluation, by a step of the wall clock."""
        self.desk.rebase(by)
        for track in (*self.tracks.values(), *self.watchers.values()):
            if track.previous is not None:
                track.previous += by
                if track.stored:
                    self.restamped[track.spec.id] = track.previous
            for labels, alert in list(track.alerts.items()):
                moved = lifecycle.rebased(alert, by)
                if moved is not alert:
                    self.moved[alert.key] = track.alerts[labels] = moved

    def apply(self, turn: Turn, telling: Telling) -> None:
        """Let a turn take effect that the store has taken."""
        turn.apply()
        self.moved.clear()
        self.restamped.clear()
        self.forgotten.clear()
        if turn.retires:
            self._ending.clear()
        for alert, spec in turn.left:
            self._shown[alert.key] = (alert, spec)
        for key in turn.dropped:
            self._shown.pop(key, None)
        self.desk.apply(telling)
        self.watchers = {rule_id: track for rule_id, track in self.watchers.items() if track.alerts}


@lru_cache(maxsize=4096)
def _labels_of(what: str, name: str) -> Labels:
    """Give the labels of a built-in alert: those that are raised are asked for with each turn."""
    return Labels({what: name})
