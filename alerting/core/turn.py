"""One turn of the tick: what a set of evaluations comes to, gathered before anything of it takes effect.

Theory. A `Track` is one rule and what is kept of it. A `Turn` evaluates tracks at one moment, steps their alerts,
and stages what that changes: rows to write, transitions, news for people. Nothing of a track's state moves until
`apply`, which the engine calls once the store has taken the turn; a turn that could not be saved leaves no trace,
and its rules are evaluated anew at the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core import lifecycle
from alerting.core.evaluate import QUIET, Evaluation, evaluate, faulty, record
from alerting.core.lasting import kind_of
from alerting.core.telling.routing import News
from alerting.model import SHARED, Gap, Metric, OnMissing, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.alertseries import AlertSeries
    from alerting.core.lifecycle import Policy
    from alerting.core.samples import Samples
    from alerting.model import Alert, AlertKey, Kind, Labels, Millis, Rule, RuleSpec, Sample, Transition, Verdict

SLOW = 10_000  # units of work (Condition.weight) from which on a rule waits until the others have had their turn
FULL = 300_000  # units of work that fill a turn: about 0.1 s


class Track:
    """One rule, built-in or not, and what is kept of it between turns."""

    __slots__ = (
        "alerts",
        "doubted",
        "gaps",
        "overflow",
        "policy",
        "previous",
        "rule",
        "spec",
        "stored",
        "upstream",
        "watches",
    )

    def __init__(self, spec: RuleSpec, rule: Rule | None, policy: Policy) -> None:
        self.spec = spec
        self.rule = rule  # None: built-in
        self.policy = policy
        self.alerts: dict[Labels, Alert] = {}
        self.previous: Millis | None = None  # when it was evaluated last
        self.stored = False  # `previous` has a row in the store
        self.watches = rule is not None and rule.watches_buckets
        self.gaps: Sequence[Gap] = ()  # what could not be judged at the last evaluation
        self.overflow = ""
        self.doubted = False  # whether, as far as the store knows, something could not be judged
        self.upstream: tuple[Track, ...] = ()  # recording rules that this one reads

    def inherited(self) -> Sequence[Gap]:
        """Give what the recording rules that this one reads could not compute."""
        return [
            gap._replace(why=f"{track.spec.record} is not recorded: {gap.why}")
            for track in self.upstream
            for gap in track.gaps
        ]


def parted(tracks: Sequence[Track]) -> list[list[str]]:
    """Part rules into turns, by their ids. A turn blocks all else, so none takes more work than FULL, save of one rule.

    Where one turn is too little, what is quick goes first; what takes long, and what reads its records, comes last.
    """
    weights = {track: weight for track in tracks if track.rule and (weight := track.rule.condition.weight)}
    if sum(weights.values()) <= FULL:
        return [[track.spec.id for track in tracks]]
    quick: list[Track] = []
    slow: dict[Track, None] = {}
    for track in tracks:
        if weights.get(track, 0) > SLOW or any(upstream in slow for upstream in track.upstream):
            slow[track] = None
        else:
            quick.append(track)
    turns: list[list[str]] = [[]]
    room = FULL
    for track in (*quick, *slow):
        weight = weights.get(track, 0)
        if weight > room and turns[-1]:
            turns.append([])
            room = FULL
        turns[-1].append(track.spec.id)
        room -= weight
    return turns


class Turn:
    """What happens at one moment. `taken` is what rules left in the samples (records, alerts), for their file."""

    def __init__(
        self,
        now: Millis,
        samples: Samples | None = None,
        limit: int = 0,
        shown: AlertSeries | None = None,
        *,
        era: int = 0,
    ) -> None:
        """`shown`: the series of alerts, where some rule reads them; they have begun this turn.

        `era`: how often stamps have gone back (`lifecycle`).
        """
        self.now = now
        self._era = era
        self.evaluated = 0
        self.alerts: dict[AlertKey, Alert] = {}  # to be put
        self.dropped: dict[AlertKey, None] = {}
        self.transitions: list[Transition] = []
        self.news: list[News] = []
        self.times: dict[str, Millis] = {}  # rule id -> its evaluation, for rules that need it kept
        self.forgotten: list[str] = []  # rule ids that do not need it any more
        self.doubtful: list[Track] = []  # rules that could not be judged, or could not be before
        self.taken: list[tuple[str, Kind, Sample]] = []
        self.left: list[tuple[Alert, RuleSpec]] = []  # resolved alerts whose rule is gone, kept for display
        self.retires = False  # whether alerts whose rule is gone were ended
        self._samples = samples
        self._limit = limit
        self._shown = shown
        self._faults: dict[str, tuple[Exception, list[str]]] = {}  # of ours, by their kind, and whose rules had them
        self._judged: list[Track] = []
        self._clocked: list[Track] = []
        self._effects: list[tuple[Track, dict[Labels, Alert]]] = []

    # ------------------------------------------------------------------------------------ evaluating

    def evaluate(self, track: Track) -> None:
        """Evaluate one rule. The path of a rule that holds for nothing and has no alert is the short one."""
        rule = track.rule
        assert rule is not None  # noqa: S101  built-in rules are stepped by verdicts that others make
        self.evaluated += 1
        self._judged.append(track)
        if rule.spec.record:
            self._record(track, rule)
            return
        inherited = track.inherited() if track.upstream else ()
        found = evaluate(
            rule, self._samples, track.alerts, self.now, track.previous, limit=self._limit, inherited=inherited
        )
        doubted = track.doubted or track.gaps or track.overflow
        if found is QUIET and not doubted:
            if track.stored or track.watches:
                self._keep_time(track, track.alerts)
            return
        try:
            steps = self._steps(track, found)
        except Exception as error:  # noqa: BLE001  reasons are worded only here: a fault of ours, and others must go on
            found = faulty(rule, track.alerts, error)
            steps = self._steps(track, found)
        if found.fault is not None:
            self._note_fault(rule, found.fault)
        track.gaps, track.overflow = found.gaps, found.overflow
        if found.gaps or found.overflow or doubted:
            self.doubtful.append(track)
        self._take(track, steps)

    def _note_fault(self, rule: Rule, error: Exception) -> None:
        self._faults.setdefault(kind_of(error), (error, []))[1].append(rule.name)

    def faults(self) -> Sequence[tuple[str, Exception]]:
        """Give what was raised while rules were evaluated, one of each kind, and where: the rules by their names."""
        return [
            (f"evaluating {names[0]}{f' and {len(names) - 1} more rules' if names[1:] else ''}", error)
            for error, names in self._faults.values()
        ]

    def step(self, track: Track, verdict: Verdict) -> None:
        """Step a built-in rule's alert."""
        self._judged.append(track)
        self._take(track, self._steps(track, Evaluation((verdict,))))

    def _record(self, track: Track, rule: Rule) -> None:
        samples, gaps, fault = record(
            rule, self._samples, self.now, limit=self._limit, inherited=track.inherited() if track.upstream else ()
        )
        if fault is not None:
            self._note_fault(rule, fault)
        if gaps or track.doubted or track.gaps:
            self.doubtful.append(track)
        track.gaps = gaps
        name = rule.spec.record
        known = (Metric(name, SHARED),)  # no series is an answer too: the name is known
        reading = Reading(f"rule {rule.spec.id}", SHARED, self.now, samples, kinds=known, only=name)
        if self._samples is not None:
            self.taken.extend(self._samples.append(reading))

    def _steps(self, track: Track, found: Evaluation) -> list[tuple[Verdict, lifecycle.Step]]:
        """Give the steps of alerts that change something; nothing is staged yet, so any of them may raise."""
        policy = track.policy._replace(on_missing=OnMissing.KEEP) if found.fault is not None else track.policy
        steps = []
        for verdict in found.verdicts:
            alert = track.alerts.get(verdict.labels)
            step = lifecycle.advance(alert, verdict, self.now, policy, track.previous, era=self._era)
            if step.alert is not alert or step.transition is not None:
                steps.append((verdict, step))
        return steps

    def _take(self, track: Track, steps: Sequence[tuple[Verdict, lifecycle.Step]]) -> None:
        """Stage what the steps of a rule's alerts change."""
        alerts = track.alerts
        if steps:
            changed = dict(alerts)
            for verdict, step in steps:
                self._stage(track.spec, alerts.get(verdict.labels), step)
                if step.alert is not None:
                    changed[verdict.labels] = step.alert
                else:
                    changed.pop(verdict.labels, None)
            self._effects.append((track, changed))
            alerts = changed
        if self._shown is not None and self._samples is not None:
            self.taken.extend(self._shown.show(track.spec, alerts, self._samples, self.now))
        if steps or track.stored or track.watches:
            self._keep_time(track, alerts)

    def _keep_time(self, track: Track, alerts: Mapping[Labels, Alert]) -> None:
        """Have the time of this evaluation kept where a clock runs or buckets are watched; else forgotten."""
        self._clocked.append(track)
        if track.watches or any(lifecycle.needs_previous(alert) for alert in alerts.values()):
            self.times[track.spec.id] = self.now
        elif track.stored:
            self.forgotten.append(track.spec.id)

    def _stage(self, spec: RuleSpec, before: Alert | None, step: lifecycle.Step) -> None:
        after = step.alert or before
        assert after is not None  # noqa: S101  a change without an alert before or after is none
        if step.alert is None:
            self.dropped[after.key] = None
            self.alerts.pop(after.key, None)
        else:
            self.alerts[after.key] = after
        if step.transition is not None:
            self.transitions.append(step.transition)
            self.news.append(News(step.transition, after, spec))

    # ------------------------------------------------------------------------------------ ending

    def end(self, alert: Alert, spec: RuleSpec, why: str) -> None:
        """End an alert whose rule is gone."""
        step = lifecycle.removed(alert, self.now, why)
        self._stage(spec, alert, step)
        if step.alert is not None:
            self.left.append((step.alert, spec))

    def drop(self, key: AlertKey) -> None:
        """Drop the row of an alert that has been shown for long enough."""
        self.dropped[key] = None

    def apply(self) -> None:
        """Let the turn take effect; the store has it."""
        now = self.now
        for track in self._judged:
            track.previous = now
        for track, alerts in self._effects:
            track.alerts = alerts
        for track in self.doubtful:
            track.doubted = bool(track.gaps or track.overflow)
        for track in self._clocked:
            track.stored = track.spec.id in self.times
        if self._shown is not None:
            self._shown.settle()
