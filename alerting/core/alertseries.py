"""The series that rules may read of alerts: `ALERTS`, as Prometheus makes it.

`ALERTS{alertname="…", alertstate="pending|firing", LABELS} 1` stands for each alert of a rule that is pending or
firing, under the labels that messages show. It is made right after its rule was evaluated and with the time of that,
as in Prometheus: rules behind that one see it at once, those before it when they are evaluated next.

Beyond Prometheus it follows the alerts that are kept, not only evaluations: a rule that cannot be judged keeps its
alerts, and so their series. All are made anew, from what the store has, before they grow too old to be seen, when a
process begins, and after a turn that was not saved. So nothing of them is ever unknown: where no alert is, there is
no series. Built-in rules and the canary have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core import builtin
from alerting.core.telling import render
from alerting.model import ALERTS, SHARED, AlertState, Labels, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.core.samples import Samples
    from alerting.model import Alert, Kind, Millis, Rule, RuleSpec

    Kept = Mapping[Labels, Alert]  # of one rule, by the labels of their series
    Taken = Sequence[tuple[str, Kind, Sample]]  # for the file of samples

SOURCE = "the alerts of rules"  # what reports the series, as a target of the samples
_STATES = (AlertState.PENDING, AlertState.FIRING)


def as_reading(alerts: Iterable[tuple[Alert, RuleSpec]], context: render.Context, now: Millis) -> Reading:
    """Give the series of alerts as one reading, for commands that look and evaluate nothing."""
    made = dict.fromkeys(_labels(alert, spec, context) for alert, spec in alerts if alert.state in _STATES)
    return _reading(made, now)


def is_read(rules: Iterable[Rule]) -> bool:
    """Tell whether some rule may read alerts: by their name, or by labels alone."""
    return any(need.namespace == SHARED and need.name in (ALERTS, "") for rule in rules for need in rule.needs)


class AlertSeries:
    """What was made of them, and for which alerts. `begin` each turn, `show` each rule, `settle` what was saved."""

    def __init__(self, context: render.Context) -> None:
        self._context = context
        self._shown: dict[str, dict[Labels, tuple[Alert, Labels]]] = {}  # rule id -> alert's labels -> it, its series
        self._makers: dict[Labels, int] = {}  # how many rules have made a series
        self._samples: Samples | None = None
        self._renewed: Millis = 0  # when all were made
        self._settled = False  # what was made since belongs to turns that were saved

    def begin(self, rules: Iterable[tuple[RuleSpec, Kept]], samples: Samples, now: Millis) -> Taken:
        """Bring all series up to what the store has; nearly always they are."""
        age = now - self._renewed
        sound = self._settled and samples is self._samples and 0 <= age < samples.lookback // 2
        self._settled = False
        if sound:
            samples.append(_reading((), now), partial=True)  # it was asked: what it said still holds
            return ()
        self._samples, self._renewed, self._shown, self._makers = samples, now, {}, {}
        for spec, alerts in rules:
            if alerts:
                self._change(spec, alerts)
        if not samples.promql:
            for series in samples.series(SHARED, ALERTS):
                if series.target is None and series.labels not in self._makers:  # of the file, and over since
                    samples.end(SHARED, ALERTS, series.labels, now)
        return samples.append(_reading(self._makers, now))

    def show(self, spec: RuleSpec, alerts: Kept, samples: Samples, now: Millis) -> Taken:
        """Make the series of one rule that was evaluated, and end those that it has no more."""
        for labels in self._change(spec, alerts):
            samples.end(SHARED, ALERTS, labels, now)
        made = _series(self._shown.get(spec.id, {}))
        return samples.append(_reading(made, now), partial=True) if made else ()

    def settle(self) -> None:
        """Take note that the turn was saved."""
        self._settled = True

    def _change(self, spec: RuleSpec, alerts: Kept) -> list[Labels]:
        """Remember what a rule has made by now; give the series that no rule makes any more."""
        rule_id = spec.id
        if builtin.is_builtin(rule_id) or rule_id == builtin.CANARY:
            return []
        before = self._shown.get(rule_id, {})
        made = {}
        for key, alert in alerts.items():
            if alert.state in _STATES:
                known = before.get(key)
                made[key] = (
                    known if known is not None and known[0] is alert else (alert, _labels(alert, spec, self._context))
                )
        old, new = _series(before), _series(made)
        for labels in new:
            if labels not in old:
                self._makers[labels] = self._makers.get(labels, 0) + 1
        gone = []
        for labels in old:
            if labels not in new:
                self._makers[labels] -= 1
                if not self._makers[labels]:
                    del self._makers[labels]
                    gone.append(labels)
        if made:
            self._shown[rule_id] = made
        else:
            self._shown.pop(rule_id, None)
        return gone


def _labels(alert: Alert, spec: RuleSpec, context: render.Context) -> Labels:
    labels = render.labels_of(alert, spec, context)
    return Labels({**labels, "alertname": spec.name, "alertstate": alert.state.value})


def _series(made: Mapping[Labels, tuple[Alert, Labels]]) -> dict[Labels, None]:
    """Give the series of some alerts, each once: labels that a rule sets may make several one."""
    return dict.fromkeys(labels for _, labels in made.values())


def _reading(made: Iterable[Labels], now: Millis) -> Reading:
    return Reading(SOURCE, SHARED, now, tuple(Sample(ALERTS, labels, 1.0, now) for labels in made), only=ALERTS)
