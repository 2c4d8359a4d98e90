"""One rule over the samples: verdicts for the series that matter, and what could not be judged.

Its law: a verdict exists only where one is needed. Series for which the condition holds get TRUE, save those whose
alert fires already, at the same level, and has no clock running; an alert that is active and not among them is judged
(FALSE on evidence only); everything else is silent. So a rule that holds for nothing and has no alert costs its
condition and one comparison.

With `clear:` the condition decides what begins and `clear` what ends: an alert that fires and whose condition does not
hold any more is judged by it. It is evaluated only then.

A rule that raises is a fault of ours: it is unknown, says so, and no other rule is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.lang.nearest import value_of
from alerting.core.levels import Reached
from alerting.core.lifecycle import NO_DATA, is_steady
from alerting.model import Alert, AlertState, Gap, Labels, OnMissing, Result, Rule, Sample, Truth, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Condition, Millis, Value, Why

FAULT = "a fault of alerting itself"


class Evaluation(NamedTuple):
    """What one evaluation of a rule found."""

    verdicts: Sequence[Verdict] = ()
    gaps: Sequence[Gap] = ()  # what could not be judged
    overflow: str = ""  # series beyond the limit that got no alert; empty: none
    fault: Exception | None = None  # of ours: every alert must stay as it is, whatever `on_missing` says


class Recording(NamedTuple):
    """What one evaluation of a recording rule found."""

    samples: tuple[Sample, ...] = ()
    gaps: Sequence[Gap] = ()  # what could not be computed
    fault: Exception | None = None  # of ours


QUIET = Evaluation()


def evaluate(
    rule: Rule,
    samples: object,
    active: Mapping[Labels, Alert],
    now: Millis,
    since: Millis | None,
    *,
    limit: int = 0,
    inherited: Sequence[Gap] = (),
) -> Evaluation:
    """Evaluate an alerting rule. `active` are its alerts by series; `since` is its previous evaluation.

    `limit` bounds how many series may have alerts where the rule itself does not say (0: not at all); those that
    have one never lose it to the limit. `inherited` are gaps of recording rules that this rule reads.
    """
    try:
        result = rule.condition.evaluate(samples, now - rule.spec.query_offset, since)
        gaps = result.gaps
        if not result.true and not active and not gaps and not inherited:
            return QUIET
        if inherited:
            gaps = (*gaps, *inherited)
        if rule.clear is None:
            verdicts, overflow = _verdicts(rule, result, active, rule.spec.limit or limit, inherited)
        else:
            clearing = Clearing(rule.clear, samples, now - rule.spec.query_offset, since)
            verdicts, overflow = _verdicts(rule, result, active, rule.spec.limit or limit, inherited, clearing)
            gaps = tuple(dict.fromkeys((*gaps, *clearing.gaps)))
        if gaps and rule.spec.on_missing is OnMissing.FIRE:
            verdicts.extend(_missing(rule, gaps, active, verdicts))
    except Exception as error:  # noqa: BLE001  whatever it is, it is ours, and the other rules must go on
        return faulty(rule, active, error)
    return Evaluation(verdicts, gaps, overflow)


def record(rule: Rule, samples: object, now: Millis, *, limit: int = 0, inherited: Sequence[Gap] = ()) -> Recording:
    """Evaluate a recording rule: the samples that it yields at `now`, and what could not be computed."""
    try:
        result = rule.condition.evaluate(samples, now - rule.spec.query_offset, None)
        name, added = rule.spec.record, rule.spec.labels
        made = {labels.merged(added): value for labels, value in result.true}
        limit = rule.spec.limit or limit
        if limit and len(made) > limit:
            return Recording((), (Gap(f"{len(made)} series, more than the limit of {limit}: none is recorded"),))
        if len(made) < len(result.true):
            return Recording((), (Gap("series become equal once the rule's own labels are set: none is recorded"),))
        gaps = (*result.gaps, *inherited)
        return Recording(tuple(Sample(name, labels, value, now) for labels, value in made.items()), gaps)
    except Exception as error:  # noqa: BLE001  whatever it is, it is ours, and the other rules must go on
        return Recording((), (Gap(_fault_text(error)),), error)


def uncleared(condition: Condition, samples: Any, now: Millis, labels: Labels) -> tuple[Value | None, str]:
    """Give the value that holds a firing alert, and why it is not clear; None: it is, or that cannot be known."""
    clearing = Clearing(condition, samples, now, now)
    truth, why = clearing.judge(labels)
    return (clearing.value(labels), why()) if truth is Truth.TRUE else (None, "")


class Clearing:
    """The condition under `clear:` at one moment, evaluated when the first alert asks."""

    def __init__(self, condition: Condition, samples: Any, now: Millis, since: Millis | None) -> None:
        self._condition = condition
        self._moment = samples, now, since
        self._result: Result | None = None
        self._true: Mapping[Labels, Value] = {}

    @property
    def gaps(self) -> Sequence[Gap]:
        """What could not be judged; nothing where nobody asked."""
        return self._result.gaps if self._result is not None else ()

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge an alert whose condition does not hold any more, in the words of its condition."""
        if self._result is None:
            self._result = self._condition.evaluate(*self._moment)
            self._true = dict(self._result.true)
        result = self._result
        if labels in self._true:
            value = self._true[labels]
            return Truth.FALSE, lambda: f"clear: {result.why(labels, value)}"
        truth, why = result.judge(labels)
        if truth is Truth.FALSE:
            return Truth.TRUE, lambda: f"not clear yet: {why()}"
        return truth, lambda: f"clear: {why()}"

    def value(self, labels: Labels) -> Value | None:
        """Give the value of a series that is not clear yet."""
        return value_of(self._condition, *self._moment, labels)


def _verdicts(  # noqa: PLR0917  hot: keyword arguments cost
    rule: Rule,
    result: Result,
    active: Mapping[Labels, Alert],
    limit: int,
    inherited: Sequence[Gap],
    clearing: Clearing | None = None,
) -> tuple[list[Verdict], str]:
    """Give TRUE for what holds (within the limit), and a judgement for each other alert."""
    leveled: Any = result if rule.levels else None  # a Reached
    level = ""
    found: dict[Labels, Verdict | None] = {}
    room: int | None = None  # for new alerts; counted when the first one asks
    left_out = 0
    for labels, value in result.true:
        if labels in found:  # equal once the metric's name is dropped: the first speaks for both
            continue
        alert = active.get(labels)
        if leveled is not None:
            level = _level(leveled, labels, alert, inherited)
        if alert is not None and is_steady(alert, level):
            found[labels] = None
            continue
        if limit and (alert is None or not _is_live(alert)):
            if room is None:
                room = limit - sum(map(_is_live, active.values()))
            if room <= 0:
                left_out += 1
                continue
            room -= 1
        found[labels] = Verdict(rule.spec.id, labels, Truth.TRUE, value, _why_true(result, labels, value), level)
    verdicts = [verdict for verdict in found.values() if verdict is not None]
    for labels, alert in active.items():
        if labels not in found:
            verdict = _judged(rule, result, alert, inherited, clearing)
            if verdict is not None:
                verdicts.append(verdict)
    overflow = f"{left_out} more series than the limit of {limit}: no alert is made for them" if left_out else ""
    return verdicts, overflow


def _level(result: Reached, labels: Labels, alert: Alert | None, inherited: Sequence[Gap]) -> str:
    """Give the level of a series for which the condition holds. No alert falls on what a recorder may have missed."""
    kept = alert.level if alert is not None and _is_live(alert) else ""
    return result.level(labels, kept, doubted=any(labels.includes(gap.labels) for gap in inherited))


def _judged(
    rule: Rule, result: Result, alert: Alert, inherited: Sequence[Gap], clearing: Clearing | None
) -> Verdict | None:
    """Judge an alert whose series is not among those for which the condition holds; None: it only is not clear yet."""
    labels = alert.labels
    if not _is_live(alert):
        return Verdict(rule.spec.id, labels, Truth.FALSE, alert.value, _said(alert.why), alert.level)
    truth, why = result.judge(labels, alert.level) if isinstance(result, Reached) else result.judge(labels)
    gap = next((gap for gap in inherited if labels.includes(gap.labels)), None)
    if gap is not None:
        truth, why = Truth.UNKNOWN, _said(gap.why)
    elif truth is Truth.VANISHED and alert.value == NO_DATA and not result.gaps:
        # It never was a series: it fired because readings were missing, and they are back.
        truth, why = Truth.FALSE, _said("readings are back")
    elif truth is Truth.FALSE and clearing is not None and alert.state is AlertState.FIRING and alert.value != NO_DATA:
        truth, why = clearing.judge(labels)
        if truth is Truth.TRUE:
            return _uncleared(rule, alert, why, clearing)
    return Verdict(rule.spec.id, labels, truth, alert.value, why, alert.level)


def _uncleared(rule: Rule, alert: Alert, why: Why, clearing: Clearing) -> Verdict | None:
    """Hold an alert of which only is known that it is not over: at the least grave level."""
    level = rule.spec.levels[0].name if rule.levels else ""
    if is_steady(alert, level):
        return None
    value = clearing.value(alert.labels)
    return Verdict(rule.spec.id, alert.labels, Truth.TRUE, alert.value if value is None else value, why, level)


def _missing(
    rule: Rule, gaps: Sequence[Gap], active: Mapping[Labels, Alert], verdicts: Sequence[Verdict]
) -> list[Verdict]:
    """Give `on_missing: fire` something to fire: each gap that no alert of the rule stands for already."""
    ended = {verdict.labels for verdict in verdicts if verdict.truth not in (Truth.UNKNOWN, Truth.TRUE)}
    ended -= {labels for labels, alert in active.items() if alert.value == NO_DATA and _is_live(alert)}
    standing = [labels for labels in (*active, *(verdict.labels for verdict in verdicts)) if labels not in ended]
    least = rule.spec.levels[0].name if rule.levels else ""  # nothing is known to be worse
    made: dict[Labels, Verdict] = {}
    for gap in gaps:
        if not any(labels.includes(gap.labels) for labels in (*standing, *made)):
            level = active[gap.labels].level if gap.labels in active else least
            made[gap.labels] = Verdict(rule.spec.id, gap.labels, Truth.UNKNOWN, NO_DATA, _said(gap.why), level)
    return list(made.values())


def faulty(rule: Rule, active: Mapping[Labels, Alert], error: Exception) -> Evaluation:
    """Keep every alert as it is, and say that the fault is ours."""
    why = _fault_text(error)
    verdicts = [
        Verdict(rule.spec.id, labels, Truth.UNKNOWN, alert.value, _said(why), alert.level)
        for labels, alert in active.items()
    ]
    return Evaluation(verdicts, (Gap(why),), fault=error)


def _fault_text(error: Exception) -> str:
    return f"{FAULT}: {type(error).__name__} while the condition was evaluated; please report it"


def _is_live(alert: Alert) -> bool:
    return alert.state is not AlertState.RESOLVED


def _why_true(result: Result, labels: Labels, value: Value) -> Why:
    return lambda: result.why(labels, value)


def _said(text: str) -> Why:
    return lambda: text
