"""The live list of series behind one selector, and the index that finds the selectors of a new series.

A condition that asks for `x{idx="7"}` holds one Selection for good; when a series appears or goes, the lists
are mended here, so that evaluating never searches, whatever the number of rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerting.core.history import NEVER
from alerting.model import ALERTS, SHARED, Gap, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.history import Series, Target
    from alerting.model import Labels, Matcher, Millis, Patterns

NAME: Final = "__name__"
_NO_PAGE = "no metrics page has been read yet"


class Name:
    """All kept series of one name, and the selections that look at it."""

    __slots__ = ("by_pair", "kind", "others", "seen", "series", "unwanted")

    def __init__(self) -> None:
        self.series: dict[Labels, Series] = {}
        self.unwanted: set[Labels] = set()  # label sets that no selection takes; a bounded memory
        self.by_pair: dict[tuple[str, str], list[Selection]] = {}  # by one `label="value"` of each
        self.others: list[Selection] = []  # without such a pair
        self.seen = False  # some reading has held it, or declared it
        self.kind = Kind.UNKNOWN

    def attach(self, selection: Selection) -> None:
        """Have a selection told of new series: under whichever of its pairs tells it apart best."""
        if selection.equal:
            pair = min(selection.equal.items(), key=lambda pair: len(self.by_pair.get(pair, ())))
            self.by_pair.setdefault(pair, []).append(selection)
        else:
            self.others.append(selection)

    def takers(self, name: str, labels: Labels) -> list[Selection]:
        """Find the selections that take a series, without asking each of a thousand `x{idx="…"}`."""
        found = [selection for selection in self.others if selection.takes(name, labels)]
        if self.by_pair:
            for pair in labels.pairs:
                for selection in self.by_pair.get(pair, ()):
                    if selection.takes(name, labels):
                        found.append(selection)  # noqa: PERF401  a comprehension within a loop reads worse
        return found


class Space:
    """One namespace: its targets, its names, and until when something in it could not be believed."""

    __slots__ = ("bad_until", "lookback", "name", "nameless", "names", "orphans", "promql", "targets", "window")

    def __init__(self, name: str, lookback: Millis, *, promql: bool = False) -> None:
        self.name = name
        self.lookback = lookback
        self.promql = promql  # rule tests: nothing is ever a gap
        self.names: dict[str, Name] = {}
        self.nameless: list[Selection] = []  # selectors by matchers alone
        self.targets: dict[tuple[str, Labels], Target] = {}
        self.orphans: set[Series] = set()  # read from the file, not yet seen in a reading
        self.window: Millis = 0
        self.bad_until: Millis = NEVER  # no target was failing or stood still from here on


class Selection:
    """The series that fit one selector, kept up to date by its Samples."""

    __slots__ = ("equal", "name", "owner", "record", "series", "space", "tests", "window")

    def __init__(
        self, owner: object, space: Space, name: str, matchers: Sequence[Matcher], patterns: Patterns | None
    ) -> None:
        self.owner: object = owner  # the Samples that keep it; None: dropped, look it up again
        self.space = space
        self.name = name  # empty: any
        self.tests = tuple((matcher.name, _test(matcher, patterns)) for matcher in matchers)
        self.equal = {each.name: each.value for each in matchers if each.op == "=" and each.value and each.name != NAME}
        self.series: list[Series] = []
        self.record: Name | None = None
        self.window: Millis = 0

    def takes(self, name: str, labels: Labels) -> bool:
        """Tell whether a series fits."""
        return all(fits(name if label == NAME else labels.get(label)) for label, fits in self.tests)

    def gaps(self, t: Millis, *, open_: bool = False) -> list[Gap]:
        """Say what could not be seen at `t`. `open_`: only readings can tell whether such a name exists."""
        if self.space.promql or self.name == "up":
            return []
        targets = self.space.targets
        if not targets:
            return [Gap(f"{self.space.name} has not been read yet" if self.space.name else _NO_PAGE)]
        found = []
        for target in targets.values():
            why = target.failed_at(t)
            if why is not None and self._may_hold(target):
                found.append(Gap(why, target.labels.merged(self.equal), target.source))
            elif target.still:
                found += self._stood_still(target, t)
        if open_ and self.record is not None and (self.record.seen or not found):  # what failed may hold it
            found += self._unheld(self.record)
        return found

    def _stood_still(self, target: Target, t: Millis) -> list[Gap]:
        """Say which series a target still reports, but as they were so long ago that they say nothing of `t`."""
        lookback = self.space.lookback
        return [
            Gap(
                f"{target.source} stands still: its newest {self.spelled() if self.name else series.name} "
                f"is {(t - series.at) // 1000} s old",
                series.labels,
                target.source,
            )
            for series in target.still
            if t - series.at >= lookback and self.name in ("", series.name) and self.takes(series.name, series.labels)
        ]

    def _unheld(self, record: Name) -> list[Gap]:
        """Judge an open name: nothing has ever held it, or a JSON answer holds it no more."""
        if not record.seen:
            return [Gap(f"no reading has ever held {self.spelled()}")]
        if self.space.name == SHARED or any(series.live for series in record.series.values()):
            return []
        return [
            Gap(f"the answer of {target.source} has no {self.name}", target.labels)
            for target in self.space.targets.values()
            if target.fetches and not target.failing
        ]

    def short(self, start: Millis, end: Millis, least: int) -> list[Gap]:
        """Say which series have fewer than `least` samples in `(start, end]` because we read too seldom.

        So has one that is reported all the time, by stamps of its own that all lie before.
        """
        if self.space.promql:
            return []
        found: dict[Target, Gap] = {}
        for series in self.series:
            target = series.target
            if target is None or target in found or target.failed_at(end) is not None:
                continue
            low, high = series.bounds(start, end)
            times = target.fetched(start, end)
            if high - low < least and times < least:
                read = "was read only once" if times else "was not read"
                why = f"{target.source} {read} in the {(end - start) // 1000} s that are looked at"
                found[target] = Gap(why, target.labels.merged(self.equal))
            elif low == high and series.at <= start and series.live and series.received is None:
                name = self.spelled() if self.name else series.name
                why = f"the newest {name} of {target.source} is {(end - series.at) // 1000} s old"
                found[target] = Gap(why, target.labels.merged(self.equal))
        return list(found.values())

    def _may_hold(self, target: Target) -> bool:
        """Tell whether series of this target could fit at all."""
        if target.only and self.name and target.only != self.name:
            return False
        if self.name == ALERTS and self.space.name == SHARED:  # ours: of others only what was seen to have some
            return self.record is not None and any(each.target is target for each in self.record.series.values())
        carried = target.labels
        if not carried:
            return True
        return all(fits(carried.get(label)) for label, fits in self.tests if label != NAME and carried.get(label))

    def spelled(self) -> str:
        """Spell the name as a condition does."""
        return f"{self.space.name}.{self.name}" if self.space.name != SHARED else self.name


def _test(matcher: Matcher, patterns: Patterns | None) -> Callable[[str], bool]:
    """Make the test of one matcher. A label that is not there has the empty value, as in Prometheus."""
    wanted = matcher.value
    if matcher.op == "=":
        return wanted.__eq__
    if matcher.op == "!=":
        return wanted.__ne__
    assert patterns is not None, "matchers with patterns come through require or selection"  # noqa: S101
    pattern = patterns(wanted)
    if matcher.op == "=~":
        return pattern.fullmatch
    return lambda value: not pattern.fullmatch(value)
