"""The samples of one test as time goes by: what the sources would have read, up to any moment.

Without `faults` a test is PromQL throughout, as in Prometheus' unit tests: a series holds its last value for the
lookback, `stale` ends it, and what is missing is nothing. With `faults` each interval is a reading of each
source, as the engine takes them in: a series that a good answer no longer holds is gone, and a source that
cannot be read makes whatever needs it unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.syntax.series import STALE
from alerting.core.lang.tree import Selector
from alerting.core.samples import Samples
from alerting.model import NO_LABELS, SHARED, Fault, FaultKind, Kind, Labels, Metric, Need, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.casework.testfile import Case, InputSeries, Outage
    from alerting.core.lang.names import Names
    from alerting.core.lang.syntax.series import Step
    from alerting.model import Millis

_PAGE_LABELS = ("job", "instance")
_PAGES = "metrics"  # what messages call the source of metrics pages


class _Target(NamedTuple):
    """What one fetch reads: a source, or one metrics page."""

    namespace: str
    labels: Labels


class _Known(NamedTuple):
    """A series of the test and what its name means."""

    metric: Metric
    labels: Labels
    steps: Sequence[Step]


class Timeline:
    """The samples of one test; `advance` moves its time on."""

    def __init__(self, case: Case, names: Names) -> None:
        self.case = case
        self.samples = Samples(promql=case.outages is None)
        self.heard: dict[str, str] = {}  # source -> its fault or "", since somebody took note and began afresh
        self._series = [_Known(_meaning(each, names), each.labels, each.steps) for each in case.series]
        self._targets = self._target_series(case.outages or ())
        self._coming = self._points() if case.outages is None else self._readings(case.outages)
        self._next = next(self._coming, None)

    def advance(self, to: Millis) -> None:
        """Take in all that is read up to `to`, that moment included. Time only goes on."""
        while self._next is not None and self._next[0] <= to:
            at, what = self._next
            if isinstance(what, Reading):
                self.samples.append(what)
                name = _source_of(what.namespace, what.labels)
                self.heard[name] = what.fault.told(name) if what.fault is not None else ""
            else:
                self._take(at, what)
            self._next = next(self._coming, None)

    def finish(self) -> None:
        """Take in all that the test gives; expressions may look at what comes after their time."""
        while self._next is not None:
            self.advance(self._next[0])

    @property
    def sources(self) -> dict[str, str]:
        """The namespace of each source that is read, by the source's name; without `faults` none is."""
        targets = () if self.case.outages is None else self._targets
        return {_source_of(*target): target.namespace for target in targets}

    @property
    def given(self) -> set[tuple[str, str]]:
        """Namespace and name of each series of the test."""
        return {(known.metric.namespace, known.metric.name) for known in self._series}

    def everything(self) -> list[Need]:
        """Need all series of the test, however old: any expression of a template may ask for them."""
        spaces = {known.metric.namespace for known in self._series} | {SHARED}
        return [Need(space, "", (), window=self.case.length + self.samples.lookback) for space in sorted(spaces)]

    def _take(self, at: Millis, points: list[tuple[_Known, float | str | None]]) -> None:
        kept = []
        for known, value in points:
            metric = known.metric
            if value is None:
                self.samples.end(metric.namespace, metric.name, known.labels, at)
            else:
                kept.append((metric.namespace, metric.kind, Sample(metric.name, known.labels, value, at), at))
        self.samples.restore(kept)

    def _points(self) -> Iterator[tuple[Millis, list[tuple[_Known, float | str | None]]]]:
        """Give what each moment holds, in order of time; None: the series ends there."""
        moments: dict[int, list[tuple[_Known, float | str | None]]] = {}
        for known in self._series:
            for step, value in known.steps:
                moments.setdefault(step, []).append((known, None if value is STALE else value))
        for step in sorted(moments):
            yield self.case.start + step * self.case.interval, moments[step]

    def _readings(self, outages: Sequence[Outage]) -> Iterator[tuple[Millis, Reading]]:
        """Give the readings of every source at every interval, in order of time."""
        for step in range(self.case.length // self.case.interval + 1):
            offset = step * self.case.interval
            for target, series in self._targets.items():
                failed = next((each for each in outages if _covers(each, target, offset)), None)
                yield self.case.start + offset, self._reading(target, series, step, failed)

    def _target_series(self, outages: Sequence[Outage]) -> dict[_Target, list[tuple[_Known, dict[int, float | str]]]]:
        """Give the series of each target."""
        targets: dict[_Target, list[tuple[_Known, dict[int, float | str]]]] = {}
        for outage in outages:  # a source may have no series in the test at all
            if outage.source:
                targets.setdefault(_Target(outage.source, NO_LABELS), [])
        for known in self._series:
            values = {step: value for step, value in known.steps if value is not STALE}
            targets.setdefault(_target(known), []).append((known, values))
        return targets

    def _reading(
        self,
        target: _Target,
        series: Sequence[tuple[_Known, dict[int, float | str]]],
        step: int,
        failed: Outage | None,
    ) -> Reading:
        at = self.case.start + step * self.case.interval
        source = target.namespace or _PAGES
        samples = [
            Sample(known.metric.name, known.labels, values[step], at)
            for known, values in series
            if step in values and failed is None
        ]
        if not any(sample.name == "up" for sample in samples):
            samples.append(Sample("up", target.labels, float(failed is None), at))
        fault = None if failed is None else Fault(FaultKind.TIMEOUT, failed.why)
        kinds = tuple(known.metric for known, _ in series if known.metric.kind is not Kind.UNKNOWN)
        return Reading(source, target.namespace, at, tuple(samples), target.labels, fault, kinds=kinds)


def _meaning(series: InputSeries, names: Names) -> Metric:
    """Say which metric a series of the test is: what a condition with that name would mean."""
    found = names.resolve(Selector(series.path)).metric
    return found if found is not None else Metric(".".join(series.path), SHARED)


def _source_of(namespace: str, labels: Labels) -> str:
    """Name a source: pages by their labels, as there may be several."""
    return f"{namespace or _PAGES}{labels if namespace == SHARED else ''}"


def _target(known: _Known) -> _Target:
    if known.metric.namespace == SHARED:
        return _Target(SHARED, known.labels.only(_PAGE_LABELS))
    return _Target(known.metric.namespace, NO_LABELS)


def _covers(outage: Outage, target: _Target, offset: Millis) -> bool:
    if offset < outage.start or (outage.end is not None and offset >= outage.end):
        return False
    if outage.source:
        return outage.source == target.namespace
    return target.namespace == SHARED and target.labels.includes(outage.labels)
