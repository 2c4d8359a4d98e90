"""Inhibition: while one alert fires, others that only follow from it are not told.

Alertmanager's rule: a firing alert that the sources of an inhibition fit keeps back each alert that its targets
fit, where both have the same value for every label under `equal` (a label that both lack is the same). An alert
that fits both sides is not kept back by another that does too: they would silence each other, and nobody be told.
Where an inhibition has several causes, an alert must fire for each of them.

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


class _Cause(NamedTuple):
    number: int  # of its inhibition
    sources: Matchers
    equal: Callable[[Mapping[str, str]], object]  # the values that must agree


class _Compiled(NamedTuple):
    inhibition: Inhibition
    targets: Matchers
    causes: tuple[int, ...]  # numbers of causes: an alert must fire for each


class Inhibitor:
    """All inhibitions, compiled."""

    __slots__ = ("_causes", "_inhibitions", "_sources", "_targets")

    def __init__(self, inhibitions: Sequence[Inhibition], patterns: Patterns) -> None:
        """Compile. Raises ValueError for a pattern that is not valid."""
        self._causes: list[_Cause] = []
        compiled = []
        for number, each in enumerate(inhibitions):
            first = len(self._causes)
            self._causes += [
                _Cause(number, Matchers(cause.matchers, patterns), _values(cause.equal)) for cause in each.causes
            ]
            causes = tuple(range(first, len(self._causes)))
            compiled.append(_Compiled(each, Matchers(each.targets, patterns), causes))
        self._inhibitions = tuple(compiled)
        self._sources = MatcherIndex([each.sources for each in self._causes])
        self._targets = MatcherIndex([each.targets for each in self._inhibitions])

    def look(self, firing: Iterable[tuple[AlertKey, Mapping[str, str]]]) -> Inhibited:
        """Take in all that fires now. Of several that would do, the first one counts."""
        one_sided: dict[tuple[int, object], _Source] = {}
        two_sided: dict[tuple[int, object], _Source] = {}
        causes, inhibitions, fitting = self._causes, self._inhibitions, self._sources.fitting
        if inhibitions:
            for key, labels in firing:
                for number in fitting(labels):
                    cause = causes[number]
                    found = two_sided if inhibitions[cause.number].targets.fits(labels) else one_sided
                    found.setdefault((number, cause.equal(labels)), _Source(key, labels))
        return Inhibited(inhibitions, causes, self._targets, one_sided, two_sided)


class Inhibited:
    """Who is kept back by what fires."""

    __slots__ = ("_causes", "_inhibitions", "_one_sided", "_targets", "_two_sided")

    def __init__(
        self,
        inhibitions: Sequence[_Compiled],
        causes: Sequence[_Cause],
        targets: MatcherIndex,
        one_sided: Mapping[tuple[int, object], _Source],
        two_sided: Mapping[tuple[int, object], _Source],
    ) -> None:
        self._inhibitions = inhibitions
        self._causes = causes
        self._targets = targets
        self._one_sided = one_sided  # sources that are no targets of the same inhibition
        self._two_sided = two_sided

    @property
    def sources(self) -> frozenset[AlertKey]:
        """Give the alerts that may keep others back."""
        return frozenset(each.key for each in (*self._one_sided.values(), *self._two_sided.values()))

    def why(self, key: AlertKey, labels: Mapping[str, str]) -> tuple[str, str] | None:
        """Say by which alerts this one is kept back, and give the inhibition's name; None: by none."""
        sources, name = self._found(key, labels)
        if not sources:
            return None
        said = " and ".join(dict.fromkeys(_described(each.labels) for each in sources))
        return f"{said} {'fires' if len({each.key for each in sources}) == 1 else 'fire'}", name

    def by(self, key: AlertKey, labels: Mapping[str, str]) -> Sequence[AlertKey]:
        """Give the alerts that together keep this one back; empty: it is not."""
        return [each.key for each in self._found(key, labels)[0]]

    def _found(self, key: AlertKey, labels: Mapping[str, str]) -> tuple[Sequence[_Source], str]:
        if not (self._one_sided or self._two_sided):
            return (), ""
        for number in sorted(self._targets.fitting(labels)):
            each = self._inhibitions[number]
            sources = [self._source(cause, key, labels) for cause in each.causes]
            found = [source for source in sources if source is not None]
            if len(found) == len(sources):
                return found, each.inhibition.name
        return (), ""

    def _source(self, number: int, key: AlertKey, labels: Mapping[str, str]) -> _Source | None:
        """Give what fires for one cause and agrees with an alert."""
        cause = self._causes[number]
        place = (number, cause.equal(labels))
        source = self._one_sided.get(place)
        if source is None and self._two_sided and not cause.sources.fits(labels):
            source = self._two_sided.get(place)
        return None if source is None or source.key == key else source


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
