"""What the tests of this folder share: series loaded from notation, and sources that read well or badly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.condition import CompiledCondition, compile_condition, evaluate_expression
from alerting.core.lang.names import Names, SourceNames
from alerting.core.lang.syntax.series import STALE, parse_series, parse_values
from alerting.core.samples import Samples
from alerting.model import NO_LABELS, SHARED, Fault, FaultKind, Kind, Labels, Metric, Reading, Sample
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.lang.condition import Found
    from alerting.model import Millis, Value

MINUTE = 60_000
PAGE = Labels({"job": "app", "instance": "a:1"})
OTHER = Labels({"job": "app", "instance": "b:1"})

NAMES = Names(
    [
        SourceNames(
            "health_check",
            "health_check",
            "health",
            False,  # noqa: FBT003  closed
            (Metric("up", "health_check", Kind.GAUGE), Metric("status_code", "health_check", Kind.GAUGE)),
        ),
        SourceNames("metrics", SHARED, "prometheus", False, ()),  # noqa: FBT003
        SourceNames(
            "sentry",
            "sentry",
            "sentry",
            True,  # noqa: FBT003
            (
                Metric("error_count", "sentry", Kind.COUNT),
                Metric("http_request_duration_p95", "sentry", Kind.GAUGE, "ms"),
            ),
        ),
        SourceNames(
            "host",
            "host",
            "host",
            True,  # noqa: FBT003
            (Metric("disk_usage", "host", Kind.GAUGE, "percent", ("mount",)),),
        ),
    ]
)


def loaded(series: Mapping[str, str], interval: Millis = MINUTE) -> Samples:
    """Load series as a rule test does: everything is kept, and nothing is a gap."""
    samples = Samples(promql=True)
    for description, values in series.items():
        name, labels = parse_series(description)
        for step, value in parse_values(values):
            if value is STALE:
                samples.end(SHARED, name, labels, step * interval)
            else:
                at = step * interval
                samples.restore([(SHARED, Kind.UNKNOWN, Sample(name, labels, value, at), at)])
    return samples


def prometheus(text: str, interval: Millis = MINUTE) -> CompiledCondition:
    """Compile PromQL."""
    return compile_condition(text, Names.anything(), compile_pattern, dialect="prometheus", interval=interval)[0]


def ask(text: str, samples: Samples, at: Millis) -> dict[str, Value] | Value:
    """Evaluate PromQL: a number, a text, or the values by series as they are written."""
    found = evaluate_expression(prometheus(text), samples, at)
    if isinstance(found, float | str):
        return found
    answers: dict[str, Value] = {}
    for labels, value in found:
        name = labels.get("__name__")
        answers[f"{name}{labels.without(['__name__'])}" or "{}"] = value
    return answers


class World:
    """Samples that sources feed, and one condition in the native form over them."""

    def __init__(self, text: str, *, vanish_after: Millis = 300_000) -> None:
        self.condition, self.warnings = compile_condition(text, NAMES, compile_pattern)
        self.samples = Samples(vanish_after=vanish_after)
        self.samples.require(self.condition.needs, compile_pattern)
        self.now = 1_700_000_040_000

    def page(self, *series: tuple[str, Mapping[str, str], Value], target: Labels = PAGE, fault: str = "") -> World:
        """Let a metrics page be read; the target's labels are on each series."""
        samples = [Sample(name, labels_with(target, more), value, self.now) for name, more, value in series]
        samples.append(Sample("up", target, 0.0 if fault else 1.0, self.now))
        return self._read("metrics", SHARED, samples, target, fault)

    def source(self, name: str, *series: tuple[str, Mapping[str, str], Value], fault: str = "") -> World:
        """Let another source be read."""
        samples = [Sample(metric, Labels(labels), value, self.now) for metric, labels, value in series]
        return self._read(name, name, samples, NO_LABELS, fault)

    def counts(self, newest_end: Millis, *counts: float) -> World:
        """Let Sentry be read: counts of closed minutes, the last of which ended at `newest_end`."""
        first = newest_end - (len(counts) - 1) * MINUTE
        samples = [Sample("error_count", NO_LABELS, value, first + i * MINUTE) for i, value in enumerate(counts)]
        return self._read("sentry", "sentry", samples, NO_LABELS, "", (Metric("error_count", "sentry", Kind.COUNT),))

    def after(self, duration: Millis) -> World:
        """Let time pass."""
        self.now += duration
        return self

    def evaluate(self, since: Millis | None = None) -> Found:
        """Evaluate now, as the engine does."""
        self.samples.withhold_old(self.now)
        return self.condition.evaluate(self.samples, self.now, since)

    def judge(self, labels: Mapping[str, str] | Labels = NO_LABELS) -> tuple[str, str]:
        """Evaluate and judge one series: its truth, and why."""
        truth, why = self.evaluate().judge(Labels(labels))
        return truth.value, why()

    def true(self) -> dict[str, Value]:
        """Evaluate; the series for which it holds."""
        return {str(labels): value for labels, value in self.evaluate().true}

    def gaps(self) -> list[str]:
        """Evaluate; why what could not be judged could not."""
        return [gap.why for gap in self.evaluate().gaps]

    def _read(  # noqa: PLR0917  the fields of a reading
        self,
        source: str,
        namespace: str,
        samples: Sequence[Sample],
        labels: Labels,
        fault: str,
        kinds: Sequence[Metric] = (),
    ) -> World:
        failed = Fault(FaultKind.TIMEOUT, fault) if fault else None
        self.samples.append(Reading(source, namespace, self.now, tuple(samples), labels, failed, kinds=tuple(kinds)))
        return self


def labels_with(target: Labels, more: Mapping[str, str]) -> Labels:
    """Give a target's labels with some more."""
    return target.merged(dict(more))
