"""The conditions of a rule with `levels:` as one condition: it holds where any of them does.

Its law: an alert rises on evidence, and falls on evidence only. A series is at the gravest level whose condition holds
for it; while a graver one cannot be judged, an alert that was graver keeps its level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Condition, Gap, Labels, Millis, Need, Result, Value, Why


class Reached:
    """What one evaluation of all levels found (model.Result), and at which level each series is."""

    def __init__(self, names: Sequence[str], results: Sequence[Result]) -> None:
        """Take the results in the order of the levels, the least grave first."""
        self._names = names
        self._results = results
        values: dict[Labels, Value] = {}
        self._ranks: dict[Labels, int] = {}
        for rank in range(len(results) - 1, -1, -1):  # the gravest speaks first
            for labels, value in results[rank].true:
                if self._ranks.setdefault(labels, rank) == rank:
                    values.setdefault(labels, value)
        self.true: Sequence[tuple[Labels, Value]] = list(values.items())
        self.gaps: Sequence[Gap] = tuple(dict.fromkeys(gap for result in results for gap in result.gaps))

    def level(self, labels: Labels, kept: str, *, doubted: bool = False) -> str:
        """Give the level of a series in `true`.

        `kept` is that of its alert; empty: it has none. `doubted`: what is not in `true` may be so for want of data.
        """
        rank = self._ranks[labels]
        if kept in self._names and self._names.index(kept) > rank:
            graver = (result.judge(labels)[0] for result in self._results[rank + 1 :])
            if doubted or any(truth is not Truth.FALSE for truth in graver):
                return kept
        return self._names[rank]

    def judge(self, labels: Labels, kept: str = "") -> tuple[Truth, Why]:
        """Judge a series that is not in `true`: UNKNOWN if one level is, else as the level says that it was at."""
        judged = [result.judge(labels) for result in self._results]
        truths = [truth for truth, _ in judged]
        if Truth.UNKNOWN in truths:
            truth = Truth.UNKNOWN
        elif kept in self._names:
            truth = truths[self._names.index(kept)]
        else:
            truth = Truth.FALSE if Truth.FALSE in truths else Truth.VANISHED
        return judged[truths.index(truth)]

    def why(self, labels: Labels, value: Value) -> str:
        """Say in words why the series is at its level."""
        return self._results[self._ranks[labels]].why(labels, value)


class Levels:
    """All conditions of a rule with levels, from the least grave to the gravest (model.Condition)."""

    def __init__(self, names: Sequence[str], conditions: Sequence[Condition]) -> None:
        self._names = names
        self._conditions = conditions
        self.text = conditions[0].text
        self.needs: tuple[Need, ...] = tuple(dict.fromkeys(need for each in conditions for need in each.needs))
        units = {each.unit for each in conditions}
        self.unit = units.pop() if len(units) == 1 else ""
        self.watches_buckets = any(each.watches_buckets for each in conditions)
        self.weight = sum(each.weight for each in conditions)

    def evaluate(self, samples: object, now: Millis, since: Millis | None = None) -> Reached:
        """Evaluate every level."""
        results = [each.evaluate(samples, now, since) for each in self._conditions]
        self.weight = sum(each.weight for each in self._conditions)
        return Reached(self._names, results)
