"""Inhibition: while one alert fires, others that only follow from it are not told.

Alertmanager's rule: a firing alert that the sources of an inhibition fit keeps back each alert that its targets
fit, where both have the same value for every label under `equal` (a label that both lack is the same). An alert
that fits both sides is not kept back by another that does too: they would silence each other, and nobody be told.

What fires is looked at once for all (`look`); whether one alert is kept back is then a matter of a few look-ups.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.matchers import MatcherIndex, Matchers, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alerting.model import AlertKey, Inhibition, Patterns

_LABELS_SHOWN = 8  # of the alert that inhibits, in a reason


class _Source(NamedTuple):
    """An alert that inhibits others."""

    key: AlertKey
    labels: Mapping[str, str]


class _Compiled(NamedTuple):
    inhibition: Inhibition
    sources: Matchers
    targets: Matchers
    equal: Callable[[Mapping[str, str]], object]  # the values that must agree


class Inhibitor:
    """All inhibitions, compiled."""

    __slots__ = ("_inhibitions", "_sources", "_targets")

    def __init__(self, inhibitions: Sequence[Inhibition], patterns: Patterns) -> None:
        """Compile. Raises ValueError for a pattern that is not valid."""
        self._inhibitions = tuple(
            _Compiled(each, Matchers(each.sources, patterns), Matchers(each.targets, patterns), _values(each.equal))
            for each in inhibitions
        )
        self._sources = MatcherIndex([each.sources for each in self._inhibitions])
        self._targets = MatcherIndex([each.targets for each in self._inhibitions])

    def look(self, firing: Iterable[tuple[AlertKey, Mapping[str, str]]]) -> Inhibited:
        """Take in all that fires now. Of several that would do, the first one counts."""
        one_sided: dict[tuple[int, object], _Source] = {}
        two_sided: dict[tuple[int, object], _Source] = {}
        inhibitions, fitting = self._inhibitions, self._sources.fitting
        if inhibitions:
            for key, labels in firing:
                for number in fitting(labels):
                    each = inhibitions[number]
                    found = two_sided if each.targets.fits(labels) else one_sided
                    found.setdefault((number, each.equal(labels)), _Source(key, labels))
        return Inhibited(inhibitions, self._targets, one_sided, two_sided)


class Inhibited:
    """Who is kept back by what fires."""

    __slots__ = ("_inhibitions", "_one_sided", "_targets", "_two_sided")

    def __init__(
        self,
        inhibitions: Sequence[_Compiled],
        targets: MatcherIndex,
        one_sided: Mapping[tuple[int, object], _Source],
        two_sided: Mapping[tuple[int, object], _Source],
    ) -> None:
        self._inhibitions = inhibitions
        self._targets = targets
        self._one_sided = one_sided  # sources that are no targets of the same inhibition
        self._two_sided = two_sided

    def why(self, key: AlertKey, labels: Mapping[str, str]) -> tuple[str, str] | None:
        """Say by which alert this one is kept back, and give the inhibition's name; None: by none."""
        if not (self._one_sided or self._two_sided):
            return None
        for number in sorted(self._targets.fitting(labels)):
            each = self._inhibitions[number]
            place = (number, each.equal(labels))
            source = self._one_sided.get(place)
            if source is None and self._two_sided and not each.sources.fits(labels):
                source = self._two_sided.get(place)
            if source is not None and source.key != key:
                return f"{_described(source.labels)} fires", each.inhibition.name
        return None


def _values(equal: Sequence[str]) -> Callable[[Mapping[str, str]], object]:
    """Give what reads the values of these labels; most often all are there."""
    if not equal:
        return lambda _labels: ()
    read = itemgetter(*equal)

    def values(labels: Mapping[str, str]) -> object:
        try:
            return read(labels)
        except KeyError:
            found = tuple(labels.get(name, "") for name in equal)
            return found if len(found) > 1 else found[0]

    return values


def _described(labels: Mapping[str, str]) -> str:
    """Name an alert: `ClusterDown{cluster="eu"}`."""
    pairs = [f"{name}={quoted(value)}" for name, value in sorted(labels.items()) if name != "alertname" and value]
    more = ", …" if len(pairs) > _LABELS_SHOWN else ""
    inner = ", ".join(pairs[:_LABELS_SHOWN]) + more
    return labels.get("alertname", "an alert") + (f"{{{inner}}}" if inner else "")
