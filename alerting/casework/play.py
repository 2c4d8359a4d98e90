"""One test, played: rules evaluated over made-up time, by the very code that runs them in earnest.

Theory. As promtool does, all rules are evaluated at every evaluation interval from the start to the last check,
group after group; what recording rules make is there for the rules behind them; a check of alerts looks at the
evaluation at or before its time. Values in annotations are those of that evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.casework.compare import Got, Wanted, alert_differences, sample_differences, series_text, span, written
from alerting.casework.report import Failure, Outcome
from alerting.casework.rounds import Rounds
from alerting.casework.timeline import Timeline
from alerting.core.alertseries import AlertSeries
from alerting.core.evaluate import FAULT
from alerting.core.lang.condition import compile_condition, evaluate_expression
from alerting.core.lang.suggest import did_you_mean
from alerting.core.lifecycle import policy_of
from alerting.core.telling import render
from alerting.core.turn import Track, Turn
from alerting.errors import ConditionError, EvaluationError, TemplateError
from alerting.model import ALERTS, NO_LABELS, SHARED, AlertState, Labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    from alerting.casework.office import Office
    from alerting.casework.testfile import AlertCheck, Case, ExpressionCheck
    from alerting.core.lang.condition import CompiledCondition
    from alerting.core.lang.names import Names
    from alerting.model import Alert, Millis, Need, Notice, Patterns, Rule, Transition, Value

_FOREVER = 2**62  # ms; in a test no time counts as not observed
_SHOWN_SERIES = 8  # per selector, in what led there
_SHOWN_VALUES = 6  # of a series, the newest ones
_SHOWN_STEPS = 6  # of an alert's life


class Plan(NamedTuple):
    """What is the same for all tests of a file."""

    rules: Sequence[Rule]  # in the order of their evaluation
    names: Names
    dialect: Literal["native", "prometheus"]  # of expressions
    interval: Millis  # between two evaluations
    patterns: Patterns
    office: Office | None = None  # how people are told; None: the file has no settings


def play(case: Case, plan: Plan) -> Outcome:
    """Run one test. Raises nothing for what a test or a rule can do: that is a failure with its reason."""
    return _Play(case, plan).outcome()


class _Play:
    """One test while it is being played."""

    def __init__(self, case: Case, plan: Plan) -> None:
        self.case = case
        self.plan = plan
        self.timeline = Timeline(case, plan.names)
        self.samples = self.timeline.samples
        self.failures: list[Failure] = []
        self.conditions: dict[str, CompiledCondition | ConditionError] = {}
        self.made: dict[str, frozenset[Labels]] = {}  # what each rule recorded last
        self.life: dict[str, list[Transition]] = {}
        promql = case.outages is None
        self.rounds = self._rounds()
        self.tracks = self.rounds.tracks if self.rounds else [self._track(rule) for rule in plan.rules]
        if promql:
            for track in self.tracks:
                track.policy = track.policy._replace(vanish_after=0)
        self.faulty: set[str] = set()
        needs = [need for rule in plan.rules for need in rule.needs]
        for check in case.expressions:
            condition = self.compiled(check.expression)
            needs += condition.needs if not isinstance(condition, ConditionError) else ()
        self.now = case.start  # of the newest evaluation
        read = any(need.namespace == SHARED and need.name in (ALERTS, "") for need in needs)
        self.shown = AlertSeries(self._context()) if read else None
        if not promql:
            self.samples.require([*needs, *self.timeline.everything()], plan.patterns)

    def _track(self, rule: Rule) -> Track:
        return Track(rule.spec, rule, policy_of(rule.spec, _FOREVER))

    def _rounds(self) -> Rounds | None:
        """Give the telling, where the test is about it."""
        case, plan = self.case, self.plan
        if case.people is None or plan.office is None:
            return None
        return Rounds(case, case.people, plan.office, plan.rules, self.timeline, plan.patterns, self._explained)

    def _explained(self, name: str, now: Millis) -> Iterator[str]:
        """Say what led to the alerts of a rule, or what its name may have meant."""
        tracks = [track for track in self.tracks if track.spec.name == name and not track.spec.record]
        if not tracks:
            near = did_you_mean(name, {track.spec.name for track in self.tracks})
            yield f"no rule is called {name}{f', {near}' if near else ''}"
        for track in tracks:
            yield from self._led_there(track, now)

    def outcome(self) -> Outcome:
        case = self.case
        if self.tracks or case.alerts or self.rounds:
            self._evaluate_rules()
        if self.rounds:
            self.rounds.finish()
            self.failures += self.rounds.failures
        self.timeline.finish()
        for expression in case.expressions:
            self._check_expression(expression)
        checks = len(case.alerts) + len(case.expressions) + (case.people.checks if case.people else 0)
        return Outcome(case.name, case.origin, checks, tuple(self.failures))

    # ------------------------------------------------------------------------------------ rules

    def _evaluate_rules(self) -> None:
        case, interval = self.case, self.plan.interval
        waiting = sorted(case.alerts, key=lambda check: check.at)
        for offset in range(0, case.length + 1, interval):
            now = case.start + offset
            if self.rounds:
                self.rounds.before(now)
            self.timeline.advance(now)
            turn = self._turn(now)
            if self.rounds:
                self.rounds.evaluated(now, turn.news, turn.doubtful)
            while waiting and waiting[0].at < offset + interval:
                self._check_alerts(waiting.pop(0), now)

    def _turn(self, now: Millis) -> Turn:
        self.now = now
        if self.shown is not None:
            self.shown.begin(((track.spec, track.alerts) for track in self.tracks), self.samples, now)
        turn = Turn(now, self.samples, shown=self.shown)
        for track in self.tracks:
            turn.taken.clear()
            turn.evaluate(track)
            if track.spec.record:
                self._end_unrecorded(track, turn, now)
        turn.apply()
        for transition in turn.transitions:
            self.life.setdefault(transition.key.rule_id, []).append(transition)
        for track in turn.doubtful:
            self._note_fault(track, now)
        return turn

    def _end_unrecorded(self, track: Track, turn: Turn, now: Millis) -> None:
        """End the series that a recording rule does not make any more, as Prometheus does at once."""
        made = frozenset(taken[2].labels for taken in turn.taken)
        for labels in self.made.get(track.spec.id, frozenset()) - made:
            self.samples.end(SHARED, track.spec.record, labels, now)
        self.made[track.spec.id] = made

    def _note_fault(self, track: Track, now: Millis) -> None:
        """Fail the test, once, for a rule that cannot be evaluated; what the test makes fail is no fault."""
        reasons = [gap.why for gap in track.gaps if self.case.outages is None or gap.why.startswith(FAULT)]
        if reasons and track.spec.id not in self.faulty:
            self.faulty.add(track.spec.id)
            what = f"{track.spec.record or track.spec.name} could not be evaluated at {self._at(now)}"
            self.failures.append(Failure(what, (reasons[0], *self._rule_lines(track)), self.case.origin))

    # ------------------------------------------------------------------------------------ checks of alerts

    def _check_alerts(self, check: AlertCheck, now: Millis) -> None:
        tracks = [track for track in self.tracks if track.spec.name == check.alertname and not track.spec.record]
        got = [each for track in tracks for each in self._firing(track, now)]
        name = check.alertname
        wanted = [
            Wanted(Labels({**each.labels, "alertname": name}), each.annotations, each.reason) for each in check.expected
        ]
        lines = alert_differences(wanted, got)
        if check.unknown:
            reasons = [gap.why for track in tracks for gap in track.gaps]
            if not any(check.unknown in reason for reason in reasons):
                said = "; ".join(dict.fromkeys(reasons)) or "everything could be judged"
                lines.append(f"unknown     expected because {check.unknown!r}, got: {said}")
        if not lines:
            return
        lines += self._explained(name, now)
        self.failures.append(Failure(f"{name} at {span(check.at)}", tuple(lines), check.origin))

    def _firing(self, track: Track, now: Millis) -> Iterator[Got]:
        for alert in track.alerts.values():
            if alert.state is AlertState.FIRING:
                notice = self._notice(track, alert, now)
                labels = Labels({**notice.labels, "alertname": track.spec.name})
                yield Got(labels, notice.annotations, notice.why)

    def _notice(self, track: Track, alert: Alert, now: Millis) -> Notice:
        """Say of an alert what a receiver would be told if it had fired with the value that it has now."""
        value, why = self._last_true(track, alert, now)
        unit = track.rule.condition.unit if track.rule else ""
        return render.notice(alert._replace(value=value, why=why), track.spec, unit, self._context())

    def _context(self) -> render.Context:
        """Give what templates see; their queries are answered as of the newest evaluation."""
        settings = self.plan.office.settings if self.plan.office else None
        return render.Context(
            {**(settings.external_labels if settings else {}), **self.case.external_labels},
            lambda expression: self._query(expression, self.now),
            self.plan.patterns,
            self.case.external_url or (settings.external_url if settings else ""),
        )

    def _last_true(self, track: Track, alert: Alert, now: Millis) -> tuple[Value, str]:
        """Give value and reason of the last evaluation that held, which `keep_firing_for` may have outlived."""
        rule, interval = track.rule, self.plan.interval
        moment = now
        while rule is not None and moment >= max(alert.since, self.case.start):
            result = rule.condition.evaluate(self.samples, moment - track.spec.query_offset, moment - interval)
            for labels, value in result.true:
                if labels == alert.labels:
                    return value, result.why(labels, value)
            moment -= interval
        return alert.value, alert.why

    # ------------------------------------------------------------------------------------ checks of expressions

    def compiled(self, expression: str) -> CompiledCondition | ConditionError:
        """Compile an expression once; give the error where it cannot be."""
        found = self.conditions.get(expression)
        if found is None:
            try:
                found, _ = compile_condition(
                    expression,
                    self.plan.names,
                    self.plan.patterns,
                    dialect=self.plan.dialect,
                    interval=self.plan.interval,
                    purpose="query",
                )
            except ConditionError as error:
                found = error
            self.conditions[expression] = found
        return found

    def _query(self, expression: str, now: Millis) -> list[tuple[Mapping[str, str], Value]]:
        """Answer a template's `query "…"`."""
        condition = self.compiled(expression)
        if isinstance(condition, ConditionError):
            raise TemplateError(f"query {expression!r}: {condition}")
        try:
            found = _series(evaluate_expression(condition, self.samples, now))
        except EvaluationError as error:
            raise TemplateError(f"query {expression!r}: {error}") from None
        return [(labels.as_dict(), value) for labels, value in sorted(found, key=lambda each: str(each[0]))]

    def _check_expression(self, check: ExpressionCheck) -> None:
        condition = self.compiled(check.expression)
        now = self.case.start + check.at
        lines: list[str] = []
        try:
            if isinstance(condition, ConditionError):
                wrong = [each for each in condition.diagnostics if not each.warning]
                lines += [f"{each.message} (character {each.span.start + 1})" for each in wrong]
            else:
                found = _series(evaluate_expression(condition, self.samples, now))
                lines += sample_differences(check.expected, found)
        except EvaluationError as error:
            lines.append(f"no answer   {error}")
        if lines:
            if not isinstance(condition, ConditionError):
                lines += self._seen(condition.needs, now)
            what = f"{' '.join(check.expression.split())} at {span(check.at)}"
            self.failures.append(Failure(what, tuple(lines), check.origin))

    # ------------------------------------------------------------------------------------ what led there

    def _led_there(self, track: Track, now: Millis) -> Iterator[str]:
        yield from self._rule_lines(track)
        if track.rule is not None:
            yield from self._seen(track.rule.needs, now - track.spec.query_offset)
        for each in self.life.get(track.spec.id, [])[-_SHOWN_STEPS:]:
            level = f" ({each.level})" if each.level else ""
            change = f"{each.before} -> {each.after}{level} {each.labels}".rstrip()
            yield f"{self._at(each.at):<11} {change}: {each.why}"

    def _rule_lines(self, track: Track) -> Iterator[str]:
        spec, origin = track.spec, track.spec.origin
        names = [*(level.name for level in spec.levels), *(["clear"] if spec.clear else ())]
        texts = [" ".join(text.split()) for text in spec.conditions]
        named = zip(["", *names][-len(texts) :], texts, strict=True)
        text = "; ".join(f"{name}: {each}" if name else each for name, each in named)
        yield f"the rule    {text} ({origin.file}:{origin.line})"

    def _seen(self, needs: Iterable[Need], now: Millis) -> Iterator[str]:
        """Give the newest samples of the series that conditions look at."""
        for need in dict.fromkeys(needs):
            selection = self.samples.selection(need.namespace, need.name, need.matchers, self.plan.patterns)
            for series in selection.series[:_SHOWN_SERIES]:
                low, high = series.bounds(now - max(need.window, self.samples.lookback), now)
                points = list(zip(series.times[low:high], series.values[low:high], strict=True))[-_SHOWN_VALUES:]
                values = [f"{self._at(at)}={written(value)}" for at, value in points]
                name = f"{series.namespace}.{series.name}" if series.namespace != SHARED else series.name
                shown = series_text(series.labels.with_(__name__=name))
                yield f"            {shown} {'  '.join(values) or 'has no sample'}"
            if not selection.series:
                yield f"            {need.name or 'the selector'} finds no series"

    def _at(self, moment: Millis) -> str:
        return span(moment - self.case.start)


def _series(found: Value | Sequence[tuple[Labels, Value]]) -> Sequence[tuple[Labels, Value]]:
    """Take a number or a text for the one series without labels."""
    return [(NO_LABELS, found)] if isinstance(found, float | str) else found
