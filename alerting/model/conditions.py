"""What a condition is asked and what it answers: truth, gaps, verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alerting.model.labels import NO_LABELS, Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model.basics import Millis, Value, Why
    from alerting.model.metrics import Need


class Truth(StrEnum):
    """What a condition says of one series."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"  # no usable reading: nothing may be concluded
    VANISHED = "vanished"  # its source was read, but the series is gone


class Gap(NamedTuple):
    """Something a condition should have been given and was not."""

    why: str
    labels: Labels = NO_LABELS  # series that carry all of these may be missing; empty: any
    source: str = ""  # the source that failed, where that is the cause


class Verdict(NamedTuple):
    """What a rule says of one series now."""

    rule_id: str
    labels: Labels
    truth: Truth
    value: Value
    why: Why
    level: str = ""  # of a rule with levels: the one that it has reached, or keeps


class Pattern(Protocol):
    """A regular expression that matches in linear time."""

    def fullmatch(self, text: str) -> bool:
        """Tell whether the whole text fits (Prometheus anchors at both ends)."""
        ...

    def expand(self, text: str, template: str) -> str | None:
        """Fill `$1`, `${name}` of the template from a full match; None when the text does not fit."""
        ...

    def search(self, text: str) -> bool:
        """Tell whether some part of the text fits."""
        ...

    def replace_all(self, text: str, template: str, limit: int) -> str:
        """Replace each part that fits by the filled template. Raises ValueError beyond `limit` characters."""
        ...


class Patterns(Protocol):
    """Makes patterns; injected into the core, which has no regular expressions of its own."""

    def __call__(self, pattern: str) -> Pattern:
        """Compile. Raises ValueError with a reason for an author when the pattern is not valid."""
        ...


class Result(Protocol):
    """What one evaluation of a condition found."""

    true: Sequence[tuple[Labels, Value]]  # the series for which it holds (metric name dropped)
    gaps: Sequence[Gap]  # what could not be judged

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series that is not in `true`: FALSE only on evidence, else UNKNOWN or VANISHED."""
        ...

    def why(self, labels: Labels, value: Value) -> str:
        """Say in words why the series is in `true`: `disk_usage{mount="/"} = 91.2% > 85%`."""
        ...


class Condition(Protocol):
    """A condition, compiled."""

    text: str
    needs: tuple[Need, ...]
    unit: str  # of the value that the condition yields; empty: unknown or none
    watches_buckets: bool  # looks at closed buckets since the last evaluation (`N per D` on a count)
    weight: int  # units of work that evaluating it took last time, of up to 0.4 us; before that, an estimate

    def evaluate(self, samples: Any, now: Millis, since: Millis | None = None) -> Result:
        """Evaluate at `now` over core.samples.Samples; `since` is the rule's previous evaluation."""
        ...
