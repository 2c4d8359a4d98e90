"""What evaluating works with: entries of a vector, and the moment that is being evaluated.

An entry is a plain tuple because there may be 100,000 of them. Its law: a metric's name rides along with a
mark that it is to be dropped (Prometheus 3's delayed removal), so that `label_replace` and `by (__name__)`
can still see it; it goes when the whole expression is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from alerting.errors import EvaluationError
from alerting.model import NO_LABELS, Gap, Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.samples import Samples
    from alerting.core.windows import Points
    from alerting.model import Millis, Value

NAME: Final = "__name__"
BUDGET: Final = 600_000  # units of work of one evaluation, 0.1 to 0.4 us each: 0.25 s, for which all else waits
MAX_STEPS: Final = 50_000  # evaluations that nested subqueries may ask for
_REMEMBERED = 20_000  # label sets whose projection is kept

Entry: TypeAlias = "tuple[Labels, Value, str, bool]"  # labels, value, name, whether the name is to be dropped
Vector: TypeAlias = "list[Entry]"


class Stretch(NamedTuple):
    """One series of a range vector: its samples `[low, high)`."""

    labels: Labels
    name: str
    dropped: bool
    points: Points
    low: int
    high: int


class Span(NamedTuple):
    """The window `(start, end]`, when it is asked for (`at` differs from `end` by the offset), and the scalars."""

    start: Millis
    end: Millis
    at: Millis
    numbers: Sequence[float] = ()
    since: Millis | None = None


class Ranges(NamedTuple):
    """A range vector over `(start, end]`; `selection` is None for a subquery."""

    stretches: list[Stretch]
    start: Millis
    end: Millis
    asked: int = 0  # series that were looked at, with or without samples in the window
    shortage: Callable[[int], Sequence[Gap]] | None = None  # those short of so many samples through our fault


ScalarOf: TypeAlias = "Callable[[Moment, Millis], float]"
VectorOf: TypeAlias = "Callable[[Moment, Millis], Vector]"
RangesOf: TypeAlias = "Callable[[Moment, Millis], Ranges]"


class Moment:
    """One evaluation of one condition: where it looks, when, and what it could not see.

    `wide` lets comparisons pass everything: what is left is what the condition looks at. `recall` lets
    selectors give the last value of series that ended a short while ago. Both serve `judge`.
    """

    __slots__ = ("budget", "gaps", "now", "recall", "samples", "since", "wide")

    def __init__(
        self,
        samples: Samples,
        now: Millis,
        since: Millis | None = None,
        *,
        wide: bool = False,
        recall: bool = False,
    ) -> None:
        self.samples = samples
        self.now = now  # `@ start()` and `@ end()`, whatever step of a subquery is being taken
        self.since = since
        self.gaps: list[Gap] = []
        self.budget = BUDGET
        self.wide = wide
        self.recall = recall

    def spend(self, count: int) -> None:
        """Count work in place of a clock: a unit or so for each series that is touched, more where that is dear.

        Raises EvaluationError beyond the budget.
        """
        self.budget -= count
        if self.budget < 0:
            raise EvaluationError("over its budget: it looks at too many samples; narrow its selectors or windows")

    def unknown(self, mark: int) -> bool:
        """Tell whether gaps came up since `mark`; they then stand for any series, as a scalar has no labels."""
        if len(self.gaps) == mark:
            return False
        self.gaps[mark:] = [gap._replace(labels=NO_LABELS) for gap in self.gaps[mark:]]
        return True


class Projection:
    """Labels reduced to some of them, or to all but some, remembered: the same sets come at each evaluation."""

    __slots__ = ("_known", "_named", "_names", "_only")

    def __init__(self, names: Sequence[str], *, only: bool) -> None:
        self._names = frozenset(names)
        self._only = only
        self._named = only and NAME in self._names
        self._known: dict[Labels, Labels] = {}

    @property
    def named(self) -> bool:
        """Tell whether the metric's name is one of the labels that are kept."""
        return self._named

    def of(self, labels: Labels) -> Labels:
        """Reduce."""
        found = self._known.get(labels)
        if found is None:
            found = labels.only(self._names) if self._only else labels.without(self._names)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[labels] = found
        return found


def label_of(entry: Entry, name: str) -> str:
    """Give a label's value; the name is one, and may already be marked to be dropped."""
    return entry[2] if name == NAME else entry[0].get(name)


def named(labels: Labels, name: str) -> str:
    """Write a series as people read it."""
    return f"{name}{labels}" or "{}"


def mistyped(labels: Labels, name: str, value: Value, *, wanted: str = "a number") -> Gap:
    """Say that a value is of the wrong type: unknown, never false."""
    is_ = f"the text {value!r}" if isinstance(value, str) else f"the number {value:g}"
    return Gap(f"{named(labels, name)} is {is_} where {wanted} is expected", labels)


def check_unique(vector: Vector) -> Vector:
    """Raise EvaluationError when two entries have the same name and labels."""
    if len(vector) > 1 and len({(labels, name) for labels, _, name, _ in vector}) != len(vector):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return vector


def finished(vector: Vector) -> list[tuple[Labels, Value, str]]:
    """Drop the names that are marked. Raises EvaluationError when two entries are then the same."""
    found = [(labels, value, "" if dropped else name) for labels, value, name, dropped in vector]
    if len(found) > 1 and len({(labels, name) for labels, _, name in found}) != len(found):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return found
