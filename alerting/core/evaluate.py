"""One rule over the samples: verdicts for the series that matter, and what could not be judged.

Its law: a verdict exists only where one is needed. Series for which the condition holds get TRUE, save those whose
alert fires already and has no clock running; an alert that is active and not among them is judged (FALSE on
evidence only); everything else is silent. So a rule that holds for nothing and has no alert costs its condition and
one comparison.

A rule that raises is a fault of ours: it is unknown, says so, and no other rule is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lifecycle import NO_DATA, is_steady
from alerting.model import Alert, AlertState, Gap, Labels, OnMissing, Result, Rule, Sample, Truth, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Value, Why

FAULT = "a fault of alerting itself"


class Evaluation(NamedTuple):
    """What one evaluation of a rule found."""

    verdicts: Sequence[Verdict] = ()
    gaps: Sequence[Gap] = ()  # what could not be judged
    overflow: str = ""  # series beyond the limit that got no alert; empty: none
    faulty: bool = False  # the fault is ours: every alert must stay as it is, whatever `on_missing` says


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
        verdicts, overflow = _verdicts(rule, result, active, rule.spec.limit or limit, inherited)
        if gaps and rule.spec.on_missing is OnMissing.FIRE:
            verdicts.extend(_missing(rule, gaps, active, verdicts))
    except Exception as error:  # noqa: BLE001  whatever it is, it is ours, and the other rules must go on
        return _faulty(rule, active, error)
    return Evaluation(verdicts, gaps, overflow)


def record(
    rule: Rule, samples: object, now: Millis, *, limit: int = 0, inherited: Sequence[Gap] = ()
) -> tuple[tuple[Sample, ...], Sequence[Gap]]:
    """Evaluate a recording rule: the samples that it yields at `now`, and what could not be computed."""
    try:
        result = rule.condition.evaluate(samples, now - rule.spec.query_offset, None)
        name, added = rule.spec.record, rule.spec.labels
        made = {labels.merged(added): value for labels, value in result.true}
        limit = rule.spec.limit or limit
        if limit and len(made) > limit:
            return (), (Gap(f"{len(made)} series, more than the limit of {limit}: none is recorded"),)
        if len(made) < len(result.true):
            return (), (Gap("series become equal once the rule's own labels are set: none is recorded"),)
        gaps = (*result.gaps, *inherited)
        return tuple(Sample(name, labels, value, now) for labels, value in made.items()), gaps
    except Exception as error:  # noqa: BLE001  whatever it is, it is ours, and the other rules must go on
        return (), (Gap(_fault_text(error)),)


def _verdicts(
    rule: Rule, result: Result, active: Mapping[Labels, Alert], limit: int, inherited: Sequence[Gap]
) -> tuple[list[Verdict], str]:
    """Give TRUE for what holds (within the limit), and a judgement for each other alert."""
    found: dict[Labels, Verdict | None] = {}
    room: int | None = None  # for new alerts; counted when the first one asks
    left_out = 0
    for labels, value in result.true:
        if labels in found:  # equal once the metric's name is dropped: the first speaks for both
            continue
        alert = active.get(labels)
        if alert is not None and is_steady(alert):
            found[labels] = None
            continue
        if limit and (alert is None or not _is_live(alert)):
            if room is None:
                room = limit - sum(map(_is_live, active.values()))
            if room <= 0:
                left_out += 1
                continue
            room -= 1
        found[labels] = Verdict(rule.spec.id, labels, Truth.TRUE, value, _why_true(result, labels, value))
    verdicts = [verdict for verdict in found.values() if verdict is not None]
    for labels, alert in active.items():
        if labels not in found:
            verdicts.append(_judged(rule, result, labels, alert, inherited))
    overflow = f"{left_out} more series than the limit of {limit}: no alert is made for them" if left_out else ""
    return verdicts, overflow


def _judged(rule: Rule, result: Result, labels: Labels, alert: Alert, inherited: Sequence[Gap]) -> Verdict:
    """Judge an alert whose series is not among those for which the condition holds."""
    if not _is_live(alert):
        return Verdict(rule.spec.id, labels, Truth.FALSE, alert.value, _said(alert.why))
    truth, why = result.judge(labels)
    if truth is not Truth.TRUE:
        gap = next((gap for gap in inherited if labels.includes(gap.labels)), None)
        if gap is not None:
            truth, why = Truth.UNKNOWN, _said(gap.why)
        elif truth is Truth.VANISHED and alert.value == NO_DATA and not result.gaps:
            # It never was a series: it fired because readings were missing, and they are back.
            truth, why = Truth.FALSE, _said("readings are back")
    return Verdict(rule.spec.id, labels, truth, alert.value, why)


def _missing(
    rule: Rule, gaps: Sequence[Gap], active: Mapping[Labels, Alert], verdicts: Sequence[Verdict]
) -> list[Verdict]:
    """Give `on_missing: fire` something to fire: each gap that no alert of the rule stands for already."""
    ended = {verdict.labels for verdict in verdicts if verdict.truth not in (Truth.UNKNOWN, Truth.TRUE)}
    ended -= {labels for labels, alert in active.items() if alert.value == NO_DATA and _is_live(alert)}
    standing = [labels for labels in (*active, *(verdict.labels for verdict in verdicts)) if labels not in ended]
    made: dict[Labels, Verdict] = {}
    for gap in gaps:
        if not any(labels.includes(gap.labels) for labels in (*standing, *made)):
            made[gap.labels] = Verdict(rule.spec.id, gap.labels, Truth.UNKNOWN, NO_DATA, _said(gap.why))
    return list(made.values())


def _faulty(rule: Rule, active: Mapping[Labels, Alert], error: Exception) -> Evaluation:
    """Keep every alert as it is, and say that the fault is ours."""
    why = _fault_text(error)
    verdicts = [
        Verdict(rule.spec.id, labels, Truth.UNKNOWN, alert.value, _said(why)) for labels, alert in active.items()
    ]
    return Evaluation(verdicts, (Gap(why),), faulty=True)


def _fault_text(error: Exception) -> str:
    return f"{FAULT}: {type(error).__name__} while the condition was evaluated; please report it"


def _is_live(alert: Alert) -> bool:
    return alert.state is not AlertState.RESOLVED


def _why_true(result: Result, labels: Labels, value: Value) -> Why:
    return lambda: result.why(labels, value)


def _said(text: str) -> Why:
    return lambda: text
