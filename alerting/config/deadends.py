"""What no alert can reach: matchers that contradict each other, routes that stand behind others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.telling.matchers import Matchers, choices, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Matcher, Origin, Patterns, Route, RuleSpec

_ANYTHING = (".*", "(.*)", ".*.*")  # patterns that fit every text


def contradiction(matchers: Sequence[Matcher], patterns: Patterns) -> str:
    """Say why no alert can fit all of them; empty where one can, or where nobody can tell."""
    for name in dict.fromkeys(each.name for each in matchers):
        own = [each for each in matchers if each.name == name]
        for each in own:
            if each.op == "!~" and each.value in _ANYTHING:
                return f"{written([each])} fits no alert: the pattern fits every value"
        lists = [found for each in own if (found := _listed(each)) is not None]
        if lists and not any(Matchers(own, patterns).fits({name: value}) for value in frozenset.union(*lists)):
            return f"no alert can fit {written(own)}"
    return ""


def shadows(former: Route, later: Route) -> bool:
    """Tell whether a route takes all that its later sibling would: it asks for no more, and does not `continue`."""
    return not former.continue_ and set(former.matchers) <= set(later.matchers)


def unused_severities(route: Route | None, specs: Sequence[RuleSpec]) -> Iterator[tuple[Origin, str]]:
    """Give each route that wants a severity which no rule has, with words for it; templates may give any."""
    used = {level.name for spec in specs for level in spec.levels} | {spec.severity for spec in specs}
    if route is None or any("{{" in severity for severity in used):
        return
    for each in route.routes:
        for matcher in each.matchers:
            wanted = _listed(matcher) if matcher.name == "severity" else None
            if wanted is not None and not wanted & used:
                yield each.origin, f"{written([matcher])} fits no rule: their severities are {_named(used)}"
        yield from unused_severities(each, specs)


def _named(severities: set[str]) -> str:
    return ", ".join(sorted(each for each in severities if each)) or "all empty"


def _listed(matcher: Matcher) -> frozenset[str] | None:
    """Give the values that alone can fit; None: there is no list of them."""
    if matcher.op == "=":
        return frozenset((matcher.value,))
    return choices(matcher.value) if matcher.op == "=~" else None
