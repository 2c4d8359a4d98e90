"""What a rule's condition sees now, from the samples beside the state: nothing is fetched, nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.config.rules import compiled
from alerting.config.vocabulary import names_of, offered, open_names
from alerting.core.lang.condition import CompiledCondition
from alerting.core.lang.nearest import nearest
from alerting.core.lang.running.explain import inside, unit_of
from alerting.core.lang.tree import Binary, Number
from alerting.core.lang.units import format_literal, format_value
from alerting.core.samples import Samples
from alerting.core.telling.render import value_text
from alerting.errors import ConditionError, EvaluationError
from alerting.model import SHARED, Sample, Truth
from alerting.patterns import compile_pattern
from alerting.store.samples import peek

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.config.settings import Settings
    from alerting.core.lang.tree import Node
    from alerting.model import Labels, Metric, Millis, Need, Rule, RuleSpec

_MOST = 8  # samples that a page shows


class Seen(NamedTuple):
    """One sample that a condition reads."""

    namespace: str  # empty: a metrics page
    sample: Sample
    unit: str  # that its source declares

    @property
    def raw(self) -> str:
        """The value as it was read, with its declared unit, and where that differs as people read it."""
        value = self.sample.value
        if isinstance(value, str):
            return repr(value)
        plain, told = f"{value:g}{f' {self.unit}' if self.unit else ''}", format_value(value, self.unit)
        return plain if told in (plain, f"{value:g}") else f"{plain}, which is {told}"


class Evidence(NamedTuple):
    """What is known of a condition at one moment."""

    at: Millis | None  # of the newest reading that it was judged by; None: nothing was read
    truth: Truth | None = None  # for the series that was asked for
    value: str = ""
    why: str = ""
    samples: tuple[Seen, ...] = ()
    more: int = 0  # samples that are left out
    compared: str = ""  # what its bounds are in the units of what they stand against
    problem: str = ""  # why nothing can be said
    needs: tuple[Need, ...] = ()  # what the condition and `clear` read
    clear: str = ""  # whether `clear` holds, and why; empty: there is none, or no series to ask it of


def gather(spec: RuleSpec, settings: Settings, series: Labels | None, at: Millis, recorded: frozenset[str]) -> Evidence:
    """Judge a rule's condition by the samples that were received up to `at`; of one series, or of the nearest."""
    try:
        names = (open_names if settings.partial else names_of)(settings, recorded)
        rule = compiled(spec, names, compile_pattern, settings.lookback)[0]
    except ConditionError as error:
        return Evidence(None, problem=f"the condition does not go with the settings of now: {error}")
    needs = rule.needs
    kept = peek(settings.store, settings.root, {(need.namespace, need.name) for need in needs})
    kept = [each for each in kept if each[3] <= at]
    written = "; ".join(dict.fromkeys(_compared(rule)))
    if not kept:
        return Evidence(None, compared=written, problem="no sample of it is kept from then", needs=needs)
    samples = Samples(settings.lookback, promql=True)
    samples.require(needs, compile_pattern)
    samples.restore(kept)
    newest = max(max(sample.at, received) for *_, sample, received in kept)  # one may come in while a turn is saved
    moment = newest - rule.spec.query_offset
    shown = list(_shown(samples, needs, series, _units(settings)))
    truth, value, why = _judged(rule, samples, moment, series)
    clear = _clear(rule, samples, moment, series)
    more = max(0, len(shown) - _MOST)
    return Evidence(newest, truth, value, why, tuple(shown[:_MOST]), more, written, "", needs, clear)


def _judged(rule: Rule, samples: Samples, at: Millis, series: Labels | None) -> tuple[Truth | None, str, str]:
    condition = rule.condition
    try:
        found = condition.evaluate(samples, at, at)
        if series is None and found.true:
            series = found.true[0][0]
        for labels, value in found.true:
            if labels == series:
                return Truth.TRUE, value_text(value, condition.unit), found.why(labels, value)
        if series is not None:
            truth, why = found.judge(series)
            return truth, "", why()
        close = nearest((*rule.levels, condition)[0], samples, at, at)
    except EvaluationError as error:
        return None, "", str(error)
    if close is None:
        return None, "", "nothing is reported that it could be compared with"
    return Truth.FALSE, value_text(close.value, condition.unit), close.why


def _clear(rule: Rule, samples: Samples, at: Millis, series: Labels | None) -> str:
    """Say whether what ends an alert holds, by the samples: `false: disk_usage = 82%, not < 80%`."""
    if rule.clear is None or series is None:
        return ""
    try:
        found = rule.clear.evaluate(samples, at, at)
        for labels, value in found.true:
            if labels == series:
                return f"{Truth.TRUE}: {found.why(labels, value)}"
        truth, why = found.judge(series)
    except EvaluationError as error:
        return f"not known: {error}"
    return f"{truth if truth is Truth.FALSE else 'not known'}: {why()}"


def _shown(
    samples: Samples, needs: Sequence[Need], series: Labels | None, units: Mapping[tuple[str, str], Metric]
) -> Iterator[Seen]:
    """Give the newest sample of each series that is read, as far as it goes with the alert's labels."""
    for need in needs:
        selection = samples.selection(need.namespace, need.name, need.matchers, compile_pattern)
        declared = units.get((need.namespace, need.name))
        for each in sorted(selection.series, key=lambda one: one.labels.pairs):
            if series is None or all(each.labels.get(name) in ("", value) for name, value in series):
                sample = Sample(each.name, each.labels, each.last, each.at)
                yield Seen(need.namespace, sample, declared.unit if declared is not None else "")


def _units(settings: Settings) -> dict[tuple[str, str], Metric]:
    return {(metric.namespace, metric.name): metric for metric in offered(settings)}


def _compared(rule: Rule) -> Iterator[str]:
    """Say what each bound is in the unit of what it stands against: `1000ms is compared as 1 s`."""
    for condition in (*(rule.levels or (rule.condition,)), rule.clear):
        if isinstance(condition, CompiledCondition):
            yield from _bounds(condition.tree())


def _bounds(node: Node) -> Iterator[str]:
    node = inside(node)
    if not isinstance(node, Binary):
        return
    for side, other in ((node.left, node.right), (node.right, node.left)):
        bound, unit = inside(side), unit_of(other)
        if isinstance(bound, Number) and unit and _differs(bound.text, told := format_literal(bound.value), unit):
            yield f"{bound.text} is compared as {told} {unit}"
        else:
            yield from _bounds(side)


def _differs(written: str, told: str, unit: str) -> bool:
    """Tell whether a bound is written otherwise than it is compared; one of our own making is written nowhere."""
    return written not in ("", told, f"{told}{'%' if unit == 'percent' else unit}")


def faults(settings: Settings, found: Mapping[str, str], needs: Sequence[Need]) -> list[str]:
    """Give why sources fail that a condition reads."""
    own = {metric.namespace for metric in offered(settings)} - {SHARED}
    spaces = {need.namespace for need in needs}
    return [
        why
        for name, why in sorted(found.items())
        if (entry := name.partition("/")[0].partition("#")[0]) in spaces or (SHARED in spaces and entry not in own)
    ]
