"""The newest that is known of alerts which fire: what a message says that is written long after they began.

Each condition is evaluated once for a moment, however many of its alerts are spoken of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.evaluate import Clearing
from alerting.core.lang.nearest import values_of
from alerting.model import Truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model import Alert, Condition, Labels, Millis, Result, Rule, Value


class _Found(NamedTuple):
    """What one evaluation found."""

    result: Result
    true: Mapping[Labels, Value]


class Newest:
    """The samples of one moment, asked for the values of alerts."""

    def __init__(self, samples: Any, now: Millis) -> None:
        self.samples = samples
        self.now = now
        self._found: dict[tuple[str, str], _Found | None] = {}  # by rule id and level
        self._clearing: dict[str, tuple[Clearing, Mapping[Labels, Value]]] = {}  # by rule id

    def of(self, rule: Rule, alert: Alert) -> tuple[Value, str] | None:
        """Give value and reason as they are now; None: the condition does not hold, or that is not known."""
        try:
            return self._holds(rule, alert) or self._is_not_clear(rule, alert)
        except Exception:  # noqa: BLE001  a fault of ours in a condition: rather an old value than no message
            return None

    def _holds(self, rule: Rule, alert: Alert) -> tuple[Value, str] | None:
        place = rule.id, alert.level
        if place not in self._found:
            self._found[place] = None  # what raises once is not asked again
            at = self.now - rule.spec.query_offset
            result = condition_of(rule, alert).evaluate(self.samples, at, at)
            self._found[place] = _Found(result, dict(reversed(result.true)))  # of equal series the first speaks
        found = self._found[place]
        if found is None or alert.labels not in found.true:
            return None
        value = found.true[alert.labels]
        return value, found.result.why(alert.labels, value)

    def _is_not_clear(self, rule: Rule, alert: Alert) -> tuple[Value, str] | None:
        """Give the value of what fires on only as its `clear` does not hold yet."""
        if rule.clear is None:
            return None
        if rule.id not in self._clearing:
            at = self.now - rule.spec.query_offset
            clearing = Clearing(rule.clear, self.samples, at, at)
            self._clearing[rule.id] = clearing, values_of(rule.clear, self.samples, at, at)
        clearing, values = self._clearing[rule.id]
        truth, why = clearing.judge(alert.labels)
        return (values[alert.labels], why()) if truth is Truth.TRUE and alert.labels in values else None


def condition_of(rule: Rule, alert: Alert) -> Condition:
    """Give the condition that an alert's value is of: the rule's, or that of the level it has reached."""
    names = [level.name for level in rule.spec.levels]
    return rule.levels[names.index(alert.level)] if alert.level in names and rule.levels else rule.condition
