"""Whom an alert is for, and what keeps it from them: docs/routing.md once more, in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.simulate.model import Key, behind, name_of, others

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alerting.model import Matcher, Notification, Route
    from tests.simulate.model import Hush
    from tests.simulate.people import People
    from tests.simulate.plan import RuleDef

    Named = Mapping[str, str]  # labels

RANKS = ("info", "warning", "error", "critical")


class Way(NamedTuple):
    """One way by which a receiver is to hear of an alert."""

    receiver: str
    group: str
    after: int = 0  # an escalation: so long after the firing
    wait: int = 0
    interval: int = 0
    repeat: int | None = None
    muted: tuple[str, ...] = ()
    active: tuple[str, ...] = ()


def meant_for(message: Notification) -> str:
    """Give the receiver by whose way a message goes: who is told in others' place need not be told by his own."""
    return message.instead_of[0] if message.instead_of else message.receiver


def fits(matchers: Iterable[Matcher], labels: Named) -> bool:
    """Tell whether labels fit; only `=` and `!=` are played."""
    return all((labels.get(each.name, "") == each.value) is (each.op == "=") for each in matchers)


def severity_of(rules: Mapping[str, RuleDef], key: Key, level: str) -> str:
    """Say how grave an alert is."""
    if level or not key.rule.startswith("alerting/"):
        return level or rules[key.rule].severity
    found = {rule.severity for rule in behind(rules, key.rule)}
    return next((each for each in reversed(RANKS) if each in found), "error")


def labels_of(rules: Mapping[str, RuleDef], key: Key, severity: str) -> Named:
    """Give what routes, inhibitions and silences see of an alert."""
    rule = rules.get(key.rule)
    added = {"team": rule.team if rule else "", "severity": severity}
    return {**key.labels.as_dict(), **{n: v for n, v in added.items() if v}, "alertname": name_of(key.rule)}


def ways(people: People, rules: Mapping[str, RuleDef], key: Key, labels: Named) -> dict[str, list[Way]]:
    """Give the ways of an alert, by receiver."""
    rule = rules.get(key.rule)
    direct = f"rule {key.rule}"
    if rule is None:
        names = dict.fromkeys(name for each in behind(rules, key.rule) for name in _told_by(people, each))
        names |= dict.fromkeys(others(key.rule, people.fallback))
        found = [Way(name, direct) for name in names] or list(_routed(people.route, labels))
    else:
        found = [Way(name, direct) for name in rule.notify] or list(_routed(people.route, labels))
        found += [Way(name, direct, after) for after, names in rule.escalate for name in names]
    by_receiver: dict[str, list[Way]] = {}
    for way in found:
        by_receiver.setdefault(way.receiver, []).append(way)
    return by_receiver


def _told_by(people: People, rule: RuleDef) -> Iterable[str]:
    """Give whom a rule would tell, whatever its series."""
    if rule.notify:
        return rule.notify
    labels = {"alertname": name_of(rule.id), "team": rule.team, "severity": rule.severity}
    return [way.receiver for way in _routed(people.route, {n: v for n, v in labels.items() if v})]


def _routed(route: Route | None, labels: Named) -> Iterator[Way]:
    below = False
    for child in route.routes if route is not None else ():
        if fits(child.matchers, labels):
            below = True
            yield from _routed(child, labels)
            if not child.continue_:
                break
    if below or route is None:
        return
    names = sorted(labels) if "..." in route.group_by else route.group_by
    group = f"{route.name} {[(name, labels.get(name)) for name in names]}"
    for receiver in route.receivers:
        yield Way(
            receiver,
            group,
            0,
            route.group_wait,
            route.group_interval,
            route.repeat_interval,
            route.mute_time_intervals,
            route.active_time_intervals,
        )


class Quiet(NamedTuple):
    """What may keep something from people, at one moment."""

    people: People
    rules: Mapping[str, RuleDef]
    wall: int
    hushes: Sequence[Hush]  # in force
    firing: Mapping[Key, Named]

    def held(self, key: Key, labels: Named, way: Way) -> str:
        """Say what keeps an alert back; empty: nothing."""
        rule = self.rules.get(key.rule)
        for name in rule.depends if rule else ():
            if any(each["alertname"] == name for each in self.firing.values()):
                return f"{name} fires"
        for hush in self.hushes:
            if labels.get(hush.name) == hush.value:
                return f"{hush.name}={hush.value} is silenced"
        for name in (*(rule.muted if rule else ()), *way.muted):
            if self._open(name):
                return f"it is {name}"
        for names_ in (rule.active if rule else (), way.active):
            if names_ and not any(map(self._open, names_)):
                return f"it is not {names_}"
        return self._inhibited(key, labels)

    def _inhibited(self, key: Key, labels: Named) -> str:
        for each in self.people.inhibitions:
            if not fits(each.targets, labels):
                continue
            both = fits(each.sources, labels)
            for other, theirs in self.firing.items():
                if other == key or not fits(each.sources, theirs) or (both and fits(each.targets, theirs)):
                    continue
                if all(labels.get(name, "") == theirs.get(name, "") for name in each.equal):
                    return f"{other.rule} fires"
        return ""

    def _open(self, window: str) -> bool:
        minute = self.wall // 60_000 % 1440
        return any(
            start <= minute < end if start < end else minute >= start or minute < end
            for start, end in self.people.windows[window]
        )
