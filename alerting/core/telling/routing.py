"""Who is to hear of an alert: the rule's own `notify`, or the route tree.

`notify` names receivers and bypasses the tree; a level may name more of them, and an escalation yet more after a
time. Where a rule names nobody, the tree's nodes that fit the alert's labels do. Whatever was chosen once, **a resolve
goes to whoever was told of the firing**: that is not asked here, the desk remembers it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.core.telling.tree import Tree
    from alerting.model import Alert, Millis, Notice, RuleSpec, Transition

DIRECT = Route((), group_by=("alertname",), group_wait=0, group_interval=0, repeat_interval=None, name="notify")
EACH = "..."  # in `group_by`: every alert by itself


class News(NamedTuple):
    """A change of an alert, with the alert as it is after it and the rule that it belongs to."""

    transition: Transition
    alert: Alert
    spec: RuleSpec


class Direction(NamedTuple):
    """One receiver of an alert: why it is one, and with which others the alert shares its messages."""

    receiver: str
    why: str
    route: Route
    group: str  # the same for alerts that share messages to this receiver
    group_labels: Mapping[str, str]
    after: Millis = 0  # an escalation: so long after the firing, unless somebody has taken it on


class Subject(NamedTuple):
    """An alert that fires, as the telling sees it."""

    alert: Alert
    spec: RuleSpec
    notice: Notice  # what is or would be said of it
    labels: Mapping[str, str]  # what routes, inhibitions and silences match
    directions: tuple[Direction, ...] = ()
    fired: Millis = 0  # since when it fires, as durations count it: the steps of the wall move it along

    @property
    def severity(self) -> str:
        """The level that it has reached, or the rule's severity."""
        return self.alert.level or self.notice.severity

    def following(self, before: Subject | None) -> Subject:
        """Give it as it goes on where the same episode stood before."""
        return self._replace(fired=before.fired) if before and before.alert.episode == self.alert.episode else self


def matched(notice: Notice, severity: str, external: Mapping[str, str]) -> dict[str, str]:
    """Give the labels that routes, inhibitions and silences match; the external ones give way to the alert's own."""
    named = {"alertname": notice.name, "severity": severity}
    return {**external, **notice.labels, **{name: value for name, value in named.items() if value}}


def directions(subject: Subject, tree: Tree | None, fallback: Sequence[str]) -> tuple[Direction, ...]:
    """Direct an alert. Where nobody is named and no route fits, nobody is told: an empty answer."""
    spec = subject.spec
    found = list(_named(subject)) or list(_routed(subject, tree)) or list(_default(subject, fallback))
    found += (
        _direct(spec, name, f"escalated {each.after // 1000} s after the firing", each.after)
        for each in spec.escalate
        for name in each.notify
    )
    each_once: dict[tuple[str, str, Millis], Direction] = {}
    for direction in found:
        each_once.setdefault((direction.receiver, direction.group, direction.after), direction)
    return tuple(each_once.values())


def way_back(subject: Subject, receiver: str) -> Direction:
    """Give the direction by which a receiver was told; where it leads elsewhere by now, the plainest one."""
    found = next((each for each in subject.directions if each.receiver == receiver), None)
    why = "was told that it fired"
    if found is not None:
        return found._replace(why=why)
    spec = subject.spec
    return Direction(receiver, why, DIRECT, f"rule {spec.id}", {"alertname": subject.notice.name})


def receivers_of(specs: Iterable[RuleSpec], fallback: Sequence[str]) -> tuple[str, ...]:
    """Give everybody whom these rules would tell, each once, in order."""
    return tuple(dict.fromkeys(name for spec in specs for name in (spec.notify or tuple(fallback))))


def _named(subject: Subject) -> Iterable[Direction]:
    """Follow `notify`: the rule's, and that of each level up to the one that the alert has reached."""
    spec = subject.spec
    yield from (_direct(spec, name, "the rule's notify") for name in spec.notify)
    for level in spec.levels:
        yield from (_direct(spec, name, f"notify of level {level.name}") for name in level.notify)
        if level.name == subject.alert.level:
            return


def _routed(subject: Subject, tree: Tree | None) -> Iterable[Direction]:
    for way in tree.ways(subject.labels) if tree is not None else ():
        route = way.route
        each = EACH in route.group_by
        names = sorted(subject.labels) if each else route.group_by
        shared = {name: subject.labels[name] for name in names if name in subject.labels}
        group = json.dumps([route.name, shared, *(subject.alert.key if each else ())])
        yield Direction(way.receiver, route.name, route, group, shared)


def _default(subject: Subject, fallback: Sequence[str]) -> Iterable[Direction]:
    return (_direct(subject.spec, name, "the rule names nobody: told by default") for name in fallback)


def _direct(spec: RuleSpec, receiver: str, why: str, after: Millis = 0) -> Direction:
    return Direction(receiver, why, DIRECT, f"rule {spec.id}", {"alertname": spec.name}, after)
