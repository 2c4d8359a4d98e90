"""How a rule stands, for people: its state, a value, and why.

The words are made when somebody asks for them: a table of four rules costs little, ten thousand rules that nobody
looks at cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from alerting.core.evaluate import uncleared
from alerting.core.lang.nearest import nearest
from alerting.core.telling.flapping import judge
from alerting.core.telling.render import value_text
from alerting.model import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.samples import Samples
    from alerting.core.turn import Track
    from alerting.model import Alert, Flapping, Rule

_RANK = {AlertState.FIRING: 0, AlertState.PENDING: 1}  # which alert speaks for its rule


class RuleStatus:
    """One rule as of its last evaluation."""

    def __init__(self, track: Track, rule: Rule, samples: Samples, flapping: Flapping | None = None) -> None:
        levels = {level.name: rank for rank, level in enumerate(rule.spec.levels)}
        alerts = sorted(
            (each for each in track.alerts.values() if each.state in _RANK),
            key=lambda each: (_RANK[each.state], -levels.get(each.level, -1)),
        )
        reasons = [gap.why for gap in track.gaps] + ([track.overflow] if track.overflow else [])
        self.rule = rule
        self.alerts: Sequence[Alert] = alerts  # pending and firing ones, worst first
        self.unknown = "; ".join(dict.fromkeys(reasons))  # why something could not be judged; empty: all could
        self.evaluated_at = track.previous
        self._track = track
        self._flapping = flapping
        self._samples = samples
        self._words: tuple[str, str] | None = None

    @property
    def state(self) -> Literal["ok", "pending", "firing", "unknown"]:
        """Give the state of the worst alert; unknown only where nothing is pending or firing."""
        if self.alerts:
            return "firing" if self.alerts[0].state is AlertState.FIRING else "pending"
        return "unknown" if self.unknown or self.evaluated_at is None else "ok"

    @property
    def level(self) -> str:
        """Give the level of the worst alert; empty: there is none, or the rule has no levels."""
        return self.alerts[0].level if self.alerts else ""

    @property
    def flapping(self) -> str:
        """Say why an alert of the rule counts as flapping, whether it fires just now or not; empty: none does."""
        at = self.evaluated_at
        if self._flapping is None or at is None:
            return ""
        return next(filter(None, (judge(each, at, self._flapping) for each in self._track.alerts.values())), "")

    @property
    def shown(self) -> str:
        """Give the state as tables have it: `firing (critical, flapping)`."""
        notes = ", ".join(filter(None, (self.level, "flapping" if self.flapping else "")))
        return f"{self.state} ({notes})" if notes else self.state

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
        least = self.rule.levels[0] if self.rule.levels else condition
        found = nearest(least, self._samples, at, at)
        return (value_text(found.value, least.unit), found.why) if found is not None else ("", "nothing is reported")

    def _tell_alert(self, alert: Alert, unit: str) -> tuple[str, str]:
        """Tell of an alert as it was when it last changed, or as it is now where it still holds or is not clear yet."""
        at, clear = self.evaluated_at, self.rule.clear
        if at is None or alert.paused_at is not None:
            return value_text(alert.value, unit), alert.why
        found = self.rule.condition.evaluate(self._samples, at, at)
        value = next((value for labels, value in found.true if labels == alert.labels), None)
        if value is not None:
            return value_text(value, unit), found.why(alert.labels, value)
        if clear is not None and alert.state is AlertState.FIRING:
            held, why = uncleared(clear, self._samples, at, alert.labels)
            if held is not None:
                return value_text(held, clear.unit), why
        return value_text(alert.value, unit), alert.why
