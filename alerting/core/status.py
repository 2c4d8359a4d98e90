"""How a rule stands, for people: its state, a value, and why.

The words are made when somebody asks for them: a table of four rules costs little, ten thousand rules that nobody
looks at cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from alerting.core.lang.nearest import nearest
from alerting.core.telling.render import value_text
from alerting.model import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.samples import Samples
    from alerting.core.turn import Track
    from alerting.model import Alert, Rule


class RuleStatus:
    """One rule as of its last evaluation."""

    def __init__(self, track: Track, rule: Rule, samples: Samples) -> None:
        rank = {AlertState.FIRING: 0, AlertState.PENDING: 1}
        alerts = sorted(
            (each for each in track.alerts.values() if each.state in rank), key=lambda each: rank[each.state]
        )
        reasons = [gap.why for gap in track.gaps] + ([track.overflow] if track.overflow else [])
        self.rule = rule
        self.alerts: Sequence[Alert] = alerts  # pending and firing ones, worst first
        self.unknown = "; ".join(dict.fromkeys(reasons))  # why something could not be judged; empty: all could
        self.evaluated_at = track.previous
        self._samples = samples
        self._words: tuple[str, str] | None = None

    @property
    def state(self) -> Literal["ok", "pending", "firing", "unknown"]:
        """Give the state of the worst alert; unknown only where nothing is pending or firing."""
        if self.alerts:
            return "firing" if self.alerts[0].state is AlertState.FIRING else "pending"
        return "unknown" if self.unknown or self.evaluated_at is None else "ok"

    @property
    def value(self) -> str:
        """Give the value of the worst alert, or of the series nearest to being one, as people read it."""
        return self._told()[0]

    @property
    def why(self) -> str:
        """Say why it stands so."""
        return self._told()[1]

    def _told(self) -> tuple[str, str]:
        if self._words is None:
            self._words = self._tell()
        return self._words

    def _tell(self) -> tuple[str, str]:
        condition, at = self.rule.condition, self.evaluated_at
        if self.alerts:
            return self._tell_alert(self.alerts[0], condition.unit)
        if self.unknown or at is None:
            return "", self.unknown or "not evaluated yet"
        found = nearest(condition, self._samples, at, at)
        return (
            (value_text(found.value, condition.unit), found.why) if found is not None else ("", "nothing is reported")
        )

    def _tell_alert(self, alert: Alert, unit: str) -> tuple[str, str]:
        """Tell of an alert as it was when it last changed, or as it is now where its condition still holds."""
        if self.evaluated_at is not None and alert.paused_at is None:
            found = self.rule.condition.evaluate(self._samples, self.evaluated_at, self.evaluated_at)
            value = next((value for labels, value in found.true if labels == alert.labels), None)
            if value is not None:
                return value_text(value, unit), found.why(alert.labels, value)
        return value_text(alert.value, unit), alert.why
