"""Rules, as they are written and as they run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from alerting.model.basics import NO_TEXTS, Millis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model.conditions import Condition
    from alerting.model.metrics import Need


class Origin(NamedTuple):
    """Where a rule or a setting was written."""

    file: str = ""
    line: int = 0
    column: int = 0


NOWHERE = Origin()


class OnMissing(StrEnum):
    """What *unknown* does to an alert."""

    KEEP = "keep"
    FIRE = "fire"
    RESOLVE = "resolve"


class Level(NamedTuple):
    """One level of a rule with `levels:`; its name is the severity of an alert that has reached it."""

    name: str
    condition: str
    notify: tuple[str, ...] = ()  # who is told from this level on, besides the rule's own


class Escalation(NamedTuple):
    """Who is told besides when nobody has taken on an alert in time."""

    after: Millis  # since it began to fire
    notify: tuple[str, ...]


class RuleSpec(NamedTuple):
    """One rule as it was written, checked for shape, with defaults filled in. The condition is still text."""

    id: str
    name: str
    condition: str
    origin: Origin = NOWHERE
    interval: Millis = 30_000
    for_: Millis = 0
    keep_firing_for: Millis = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish_after: Millis = 300_000
    severity: str = ""
    labels: Mapping[str, str] = NO_TEXTS
    annotations: Mapping[str, str] = NO_TEXTS
    notify: tuple[str, ...] = ()
    runbook_url: str = ""
    enabled: bool = True
    group: str = ""  # a group of Prometheus' form; empty: the rule stands by itself
    record: str = ""  # a recording rule's metric; empty: an alerting rule
    limit: int = 0  # of series, for the group; 0: none
    query_offset: Millis = 0
    dialect: Literal["native", "prometheus"] = "native"
    levels: tuple[Level, ...] = ()  # from the least grave to the gravest; `condition` is then the first one's
    clear: str = ""  # what must hold before a firing alert counts as over
    depends_on: tuple[str, ...] = ()  # names of rules: while one of them fires, this one is not told
    escalate: tuple[Escalation, ...] = ()  # by `after`
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    unheld: bool = False  # no silence, window or other stage holds its messages back: the canary's

    @property
    def conditions(self) -> tuple[str, ...]:
        """The texts of all its conditions: its own, or those of its levels; then that of `clear`."""
        own = tuple(level.condition for level in self.levels) or (self.condition,)
        return (*own, self.clear) if self.clear else own


class Rule(NamedTuple):
    """A rule ready to run."""

    spec: RuleSpec
    condition: Condition  # of a rule with levels: all of them as one (core.levels)
    levels: tuple[Condition, ...] = ()  # of spec.levels, in their order
    clear: Condition | None = None

    @property
    def needs(self) -> tuple[Need, ...]:
        """What all of its conditions must be given."""
        if self.clear is None:
            return self.condition.needs
        return tuple(dict.fromkeys((*self.condition.needs, *self.clear.needs)))

    @property
    def watches_buckets(self) -> bool:
        """Tell whether one of its conditions looks at closed buckets since the last evaluation."""
        return self.condition.watches_buckets or (self.clear is not None and self.clear.watches_buckets)

    @property
    def id(self) -> str:
        """The identity that survives an edit of the condition."""
        return self.spec.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.spec.name
