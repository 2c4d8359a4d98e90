"""The recent samples that conditions read: the one thing in the core that changes, owned by the engine.

Readings go in with `append`; conditions look through a `Selection`, the list of series that fit one
selector. Selections are kept up to date when a series appears or goes, so that evaluating never searches.
Its law: only what some live rule needs is kept, as long as that rule needs it, and what was not seen is told
apart from what was seen to be gone:

- a target that failed is not believed: its series are withheld, and the selection has a Gap;
- a good answer that no longer holds a series ends that series there (Prometheus' staleness);
- a series that a good answer holds with a time stamp as old as `lookback` is a Gap too: the source stands still;
- buckets (`count` metrics) are dated by their end and come late, so a missing one ends nothing.

With `promql=True` (rule tests) everything is kept, nothing is ever a gap, and only an explicit end ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.history import FOREVER, Series, Target
from alerting.core.selection import NAME, Name, Selection, Space
from alerting.model import NO_LABELS, SHARED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alerting.model import Gap, Labels, Matcher, Metric, Millis, Need, Patterns, Reading, Sample

_UNWANTED = 100_000  # label sets that are remembered as wanted by nobody; labels that never repeat must not fill memory


class Samples:
    """All samples of all namespaces. See the module's text; `lookback` and `vanish_after` are durations."""

    def __init__(self, lookback: Millis = 300_000, vanish_after: Millis = 300_000, *, promql: bool = False) -> None:
        self.lookback = lookback
        self.vanish_after = vanish_after
        self.promql = promql
        self._spaces: dict[str, Space] = {}
        self._selections: dict[tuple[str, str, tuple[Matcher, ...]], Selection] = {}
        self._patterns: Patterns | None = None
        self._readings = 0

    # ---------------------------------------------------------------------------------------- what is kept

    def require(self, needs: Iterable[Need], patterns: Patterns) -> None:
        """Keep what these needs select and nothing else; called at each change of rules. Costs a walk."""
        self._patterns = patterns
        windows: dict[tuple[str, str, tuple[Matcher, ...]], Millis] = {}
        buckets: set[tuple[str, str]] = set()
        for need in needs:
            key = (need.namespace, need.name, need.matchers)
            windows[key] = max(windows.get(key, 0), need.window)
            if need.bucket:
                buckets.add(key[:2])
        for key, selection in list(self._selections.items()):
            if key not in windows:
                selection.owner = None
                del self._selections[key]
        for space in self._spaces.values():
            space.nameless.clear()
            space.window = 0
            for record in space.names.values():
                record.by_pair, record.others = {}, []
                record.unwanted.clear()
        for key, window in windows.items():
            found = self._selections.get(key)
            if found is None:
                found = self._select(key)
            else:
                self._attach(found)
            found.window = window
            found.space.window = max(found.space.window, window)
        for namespace, name in buckets:
            self._record(self._space(namespace), name).kind = Kind.COUNT
        self._sift()

    def selection(self, namespace: str, name: str, matchers: tuple[Matcher, ...], patterns: Patterns) -> Selection:
        """Find the live list of series for a selector, made now when no need has named it."""
        self._patterns = patterns
        key = (namespace, name, matchers)
        return self._selections.get(key) or self._select(key)

    def _select(self, key: tuple[str, str, tuple[Matcher, ...]]) -> Selection:
        namespace, name, matchers = key
        space = self._space(namespace)
        if not name:  # `{__name__="x"}` is x
            name = next((each.value for each in matchers if each.name == NAME and each.op == "="), "")
        selection = Selection(self, space, name, matchers, self._patterns)
        self._selections[key] = selection
        self._attach(selection)
        candidates = [selection.record] if selection.record else list(space.names.values())
        for record in candidates:
            for labels, series in record.series.items():
                if selection.takes(series.name, labels):
                    selection.series.append(series)
        return selection

    def _attach(self, selection: Selection) -> None:
        space = selection.space
        if selection.name:
            selection.record = self._record(space, selection.name)
            selection.record.attach(selection)
        else:
            space.nameless.append(selection)
            for record in space.names.values():
                record.attach(selection)

    def _sift(self) -> None:
        """Drop what no selection takes any more, and learn anew how far back each series must reach."""
        for selection in self._selections.values():
            selection.series.clear()
        for space in self._spaces.values():
            for name, record in list(space.names.items()):
                for labels, series in list(record.series.items()):
                    takers = record.takers(name, labels)
                    if not takers and not self.promql:
                        self._drop(space, series)
                        continue
                    self._join(series, takers)
                    series.forget_carried()
                if not record.by_pair and not record.others and not self.promql:
                    del space.names[name]

    def _join(self, series: Series, takers: Sequence[Selection]) -> None:
        series.window = FOREVER if self.promql else max((taker.window for taker in takers), default=0)
        for taker in takers:
            taker.series.append(series)

    def _drop(self, space: Space, series: Series) -> None:
        record = space.names[series.name]
        del record.series[series.labels]
        space.orphans.discard(series)
        if series.target is not None:
            series.target.series.discard(series)

    def _space(self, namespace: str) -> Space:
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces[namespace] = Space(namespace, self.lookback, promql=self.promql)
        return space

    def _record(self, space: Space, name: str) -> Name:
        record = space.names.get(name)
        if record is None:
            record = space.names[name] = Name()
            for selection in space.nameless:
                record.attach(selection)
        return record

    # ---------------------------------------------------------------------------------------- what comes in

    def append(self, reading: Reading, *, partial: bool = False) -> Sequence[tuple[str, Kind, Sample]]:
        """Take a reading in; give back the samples that some need selected, for the file of samples.

        `partial`: it is not all that there is, so that nothing is gone that it does not hold.
        """
        space = self._space(reading.namespace)
        self._readings += 1
        target = self._target(space, reading)
        at = reading.at
        if reading.kinds:
            self._declare(space, reading.kinds)
        if reading.fault is not None:
            target.fail(at, f"could not read {reading.fault.told(reading.source)}")
            space.bad_until = FOREVER
        else:
            target.answer(at, at - space.window)
        taken = self._take(space, target, reading)
        if target.still:
            space.bad_until = FOREVER
        elif space.bad_until == FOREVER and not any(each.failing or each.still for each in space.targets.values()):
            space.bad_until = at
        if reading.fault is None and not self.promql and not partial:
            self._settle(space, target, at)
        return taken

    def _take(self, space: Space, target: Target, reading: Reading) -> list[tuple[str, Kind, Sample]]:
        at, stamp, lookback, namespace = reading.at, self._readings, self.lookback, space.name
        names = space.names
        anything = self.promql or bool(space.nameless)
        aging = at - lookback // 2  # what is stamped before that
        taken, still = [], []
        for sample in reading.samples:
            record = names.get(sample.name)
            if record is None:
                if not anything:
                    continue
                record = self._record(space, sample.name)
            record.seen = True
            series = record.series.get(sample.labels)
            if series is None:
                if sample.labels in record.unwanted:
                    continue
                series = self._meet(space, record, sample)
                if series is None:
                    continue
            if series.target is not target:
                self._adopt(space, target, series)
            series.live = True
            series.stamp = stamp
            series.take(sample.at, sample.value, at, lookback)
            if series.at <= aging and series.received is None:
                still.append(series)
            taken.append((namespace, series.kind, sample))
        if reading.fault is None:
            target.still = still
        return taken

    def _meet(self, space: Space, record: Name, sample: Sample) -> Series | None:
        """Make a series that was not known, when some selection takes it."""
        takers = record.takers(sample.name, sample.labels)
        if not takers and not self.promql:
            if len(record.unwanted) >= _UNWANTED:
                record.unwanted.clear()
            record.unwanted.add(sample.labels)
            return None
        series = record.series[sample.labels] = Series(space.name, sample.name, sample.labels, record.kind)
        self._join(series, takers)
        return series

    def _declare(self, space: Space, kinds: Sequence[Metric]) -> None:
        for metric in kinds:
            record = space.names.get(metric.name)
            if record is not None:
                record.seen = True
                if metric.kind is not Kind.UNKNOWN:
                    record.kind = metric.kind

    def _target(self, space: Space, reading: Reading) -> Target:
        key = (reading.source, reading.labels)
        if reading.labels:  # what failed before it could say its labels is known by this reading
            space.targets.pop((reading.source, NO_LABELS), None)
        target = space.targets.get(key)
        if target is None:
            target = space.targets[key] = Target(reading.source, reading.labels, reading.only)
            if reading.labels or space.name != SHARED:  # a target of the shared pages is known by its labels
                for series in [each for each in space.orphans if each.labels.includes(reading.labels)]:
                    self._adopt(space, target, series)
        return target

    def _adopt(self, space: Space, target: Target, series: Series) -> None:
        """Let a target answer for a series; times that were kept in the file tell when it was read before."""
        if series.target is not None:
            series.target.series.discard(series)
        elif series in space.orphans:
            space.orphans.discard(series)
            known = sorted({*target.fetches, *(series.received or series.times)})
            target.fetches = known
        series.target = target
        series.live = True
        target.series.add(series)

    def _settle(self, space: Space, target: Target, at: Millis) -> None:
        """End the series that a good answer no longer holds, and forget those that ended long ago."""
        stamp = self._readings
        silent = [series for series in target.series if series.stamp != stamp]
        for series in (*silent, *space.orphans):
            if series.target is None:
                pass  # from the file, and of a target that was not read yet
            elif series.received is not None:
                series.expires = series.received[-1] + self.lookback
            elif series.live:
                series.live = False
                series.end(at)
            if at - series.at > max(series.window, self.lookback + self.vanish_after):
                for taker in space.names[series.name].takers(series.name, series.labels):
                    taker.series.remove(series)
                self._drop(space, series)

    def restore(self, kept: Sequence[tuple[str, Kind, Sample, Millis]]) -> None:
        """Take in what the file of samples held, oldest first: (namespace, kind, sample, when received)."""
        for namespace, kind, sample, received in kept:
            space = self._space(namespace)
            record = self._record(space, sample.name) if self.promql else space.names.get(sample.name)
            if record is None and space.nameless:
                record = self._record(space, sample.name)
            if record is None:
                continue
            record.seen = True
            if kind is not Kind.UNKNOWN:
                record.kind = kind
            series = record.series.get(sample.labels)
            if series is None:
                series = self._meet(space, record, sample)
                if series is None:
                    continue
                if not self.promql:
                    space.orphans.add(series)
            series.take(sample.at, sample.value, received, self.lookback)

    def end(self, namespace: str, name: str, labels: Labels, at: Millis) -> None:
        """Mark one series as gone since `at`, as `stale` in a rule test does."""
        record = self._space(namespace).names.get(name)
        series = record.series.get(labels) if record else None
        if series is not None:
            series.end(at)

    def withhold_old(self, now: Millis) -> None:
        """Believe no target any more that was not read for `lookback`: its series are not gone, they are not seen."""
        for space in self._spaces.values():
            for target in space.targets.values():
                if target.fetches and now - target.fetches[-1] >= self.lookback and not target.failing:
                    target.fail(now, f"{target.source} was not read for {(now - target.fetches[-1]) // 1000} s")
                    space.bad_until = FOREVER

    # ---------------------------------------------------------------------------------------- what is seen

    def series(self, namespace: str, name: str) -> Sequence[Series]:
        """Give the kept series of one name."""
        record = self._space(namespace).names.get(name)
        return tuple(record.series.values()) if record else ()

    def gaps(self, namespace: str, name: str, t: Millis) -> Sequence[Gap]:
        """Say what could not be seen of one name at `t`."""
        selection = Selection(self, self._space(namespace), name, (), None)
        return selection.gaps(t)
