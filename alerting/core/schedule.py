"""When what is evaluated: a heap of batches, and no clock.

Theory. Rules that share an interval and the namespaces they read form one batch, and a group of Prometheus' form
is one by itself, as its rules run in order. Batches that read a source in common share a *phase*, so that one
fetch serves them all; phases are spread evenly over the start, so that neither fetches nor evaluations come in a
burst, and they are stable while the sources stay the same. A batch is due at its phase plus a whole number of
intervals. After a pause it is due once: what was passed over is counted, never made up for.

Times are milliseconds of a clock that never steps (the monotonic one).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.alertseries import is_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.model import Millis, Rule

SPREAD: Millis = 400  # between two phases at the start; less where the shortest interval has no room for it
CLOSEST: Millis = 200  # no two phases are closer: a process that is woken for each of many sources pays most for waking


class Batch(NamedTuple):
    """Rules that are evaluated together, in this order."""

    name: str  # stable while interval, group and namespaces stay the same
    interval: Millis
    namespaces: frozenset[str]
    rules: tuple[str, ...]  # their ids
    reads_alerts: bool = False  # some of them read the alerts of others


def batches_of(rules: Sequence[Rule]) -> tuple[Batch, ...]:
    """Part rules into batches: by interval and namespaces, groups of Prometheus' form each by itself.

    Batches that read alerts come last, so that what others find at the same moment is there for them.
    """
    parts: dict[tuple[str, Millis, frozenset[str]], list[Rule]] = {}
    groups: dict[tuple[str, str, Millis], list[Rule]] = {}
    for rule in rules:
        spec = rule.spec
        if spec.group:
            groups.setdefault((spec.origin.file, spec.group, spec.interval), []).append(rule)
        else:
            parts.setdefault(("", spec.interval, namespaces_of(rule)), []).append(rule)
    for (file, group, interval), members in groups.items():
        namespaces = frozenset().union(*map(namespaces_of, members))
        parts.setdefault((f"{file}:{group}", interval, namespaces), []).extend(members)
    made = [
        Batch(
            f"{name}@{interval}:{','.join(sorted(spaces))}",
            interval,
            spaces,
            tuple(rule.id for rule in members),
            is_read(members),
        )
        for (name, interval, spaces), members in parts.items()
    ]
    return tuple(sorted(made, key=lambda batch: batch.reads_alerts))


def narrowed(batches: Iterable[Batch], rules: Mapping[str, Rule]) -> list[Batch]:
    """Leave in batches only these rules, by their ids, and what they read."""
    found = []
    for batch in batches:
        kept = [rules[rule_id] for rule_id in batch.rules if rule_id in rules]
        if kept:
            spaces = frozenset().union(*map(namespaces_of, kept))
            found.append(batch._replace(namespaces=spaces, rules=tuple(rule.id for rule in kept)))
    return found


def namespaces_of(rule: Rule) -> frozenset[str]:
    """Tell what a rule reads."""
    return frozenset(need.namespace for need in rule.needs)


class Schedule:
    """The heap, and what of it runs. It changes in place, and only by what it is told."""

    def __init__(self, batches: Iterable[Batch] = (), start: Millis = 0) -> None:
        self.missed = 0  # rule evaluations that were due and passed over, or left out as their batch still ran
        self.running: dict[str, Millis] = {}  # names of batches, and since when
        self._heap: list[tuple[Millis, int, Batch]] = []
        self.replace(batches, start)

    def replace(self, batches: Iterable[Batch], now: Millis) -> None:
        """Take other batches. Those that were there before keep their pace; new ones join those that read the same."""
        batches = tuple(batches)
        known = {batch.name: at for at, _, batch in self._heap}
        first = _first(batches, now, known)
        self._heap = [(at, order, batch) for order, (batch, at) in enumerate(zip(batches, first, strict=True))]
        heapq.heapify(self._heap)

    def due(self, now: Millis) -> tuple[Batch, ...]:
        """Take off what is due; each batch at most once, however much time has passed."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, order, batch = self._heap[0]
            passed_over = (now - at) // batch.interval
            self.missed += len(batch.rules) * passed_over
            heapq.heapreplace(self._heap, (at + (passed_over + 1) * batch.interval, order, batch))
            found.append(batch)
        return tuple(found)

    def begin(self, batches: Iterable[Batch], now: Millis) -> list[Batch]:
        """Have batches run; one that runs already is left out, and counted. Gives the others: `end` them."""
        free = []
        for batch in batches:
            if batch.name in self.running:
                self.missed += len(batch.rules)
            else:
                free.append(batch)
        self.running.update((batch.name, now) for batch in free)
        return free

    def end(self, batches: Iterable[Batch]) -> None:
        """Note that batches have run."""
        for batch in batches:
            self.running.pop(batch.name, None)

    def next_at(self) -> Millis | None:
        """When something is due next; None: never."""
        return self._heap[0][0] if self._heap else None


def _first(batches: Sequence[Batch], now: Millis, known: dict[str, Millis]) -> list[Millis]:
    """Say when each batch is due first: those that are known when they were; new ones with their cluster."""
    cluster = _clusters(batches)
    names = [cluster[min(batch.namespaces, default="")] for batch in batches]
    pace: dict[str, Millis] = {}  # cluster -> when the next of its known batches is due
    for name, batch in zip(names, batches, strict=True):
        if batch.name in known:
            pace[name] = min(known[batch.name], pace.get(name, known[batch.name]))
    fresh = sorted(set(names) - set(pace))
    shortest = min((batch.interval for batch in batches), default=0)
    room = min(SPREAD * len(fresh), shortest)
    for slot, name in enumerate(fresh):
        after = room * slot // len(fresh)
        pace[name] = now + after - after % CLOSEST
    return [known.get(batch.name, max(now, pace[name])) for name, batch in zip(names, batches, strict=True)]


def _clusters(batches: Sequence[Batch]) -> dict[str, str]:
    """Join namespaces that some batch reads together: namespace -> the first name of its cluster."""
    root: dict[str, str] = {"": ""}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for batch in batches:
        names = sorted(batch.namespaces)
        for name in names:
            first, other = sorted((find(names[0]), find(name)))
            root[other] = first
    return {name: find(name) for name in root}
