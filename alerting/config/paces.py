"""Rules that look back less far than two readings: of one reading nobody can tell a change.

A rate in words takes the reading before its window along, so it only asks that readings are not too far apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.condition import CompiledCondition
from alerting.core.lang.needs import FARTHEST, farthest
from alerting.core.lang.running.explain import shown
from alerting.core.lang.running.over_time import FUNCTIONS
from alerting.core.lang.syntax.printer import duration, period, show
from alerting.core.lang.tree import Aggregate, Binary, Call, Paren, Range, Subquery, Unary
from alerting.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.core.lang.tree import Node
    from alerting.model import Millis, Rule

_TWO = 2  # samples that tell a change


class Pair(NamedTuple):
    """What takes two readings: as it is written, its window, whose samples; and whether it is a rate in words."""

    text: str
    window: Millis
    namespace: str
    worded: bool


def too_seldom(rules: Sequence[Rule], lookback: Millis) -> Iterator[Problem]:
    """Warn of each rate (or its like) whose window need not hold two readings, as often as any rule has them made.

    The pace is the settings' and the rules' own; how often cron runs `check` is not known here.
    """
    paces: dict[str, Millis] = {}
    judged = [rule for rule in rules if rule.spec.enabled]
    for rule in judged:
        for need in rule.needs:
            known = paces.get(need.namespace, rule.spec.interval)
            paces[need.namespace] = min(known, rule.spec.interval)
    for rule in judged:
        seldom = (
            need.window and (need.window - lookback < _TWO * (pace := paces[need.namespace]) or pace > FARTHEST)
            for need in rule.needs
        )
        if any(seldom):
            yield from _of_rule(rule, paces)


def _of_rule(rule: Rule, paces: Mapping[str, Millis]) -> Iterator[Problem]:
    spec = rule.spec
    for text, window, namespace, worded in dict.fromkeys(found for tree in _trees(rule) for found in _pairs(tree)):
        pace = paces.get(namespace, 0)
        if pace > (most := farthest(window) if worded else window // _TWO):
            wanted = f"readings at most {duration(most)} apart" if worded else f"two readings within {duration(window)}"
            message = f"{spec.name}: {text} needs {wanted}, and they are {duration(pace)} apart"
            longer = f", or write a number per {period(pace)}" if pace <= FARTHEST else ""
            longer = longer if worded else f", or look back {duration(_TWO * pace)}"
            hint = f"write an `interval:` of at most {duration(most)}{longer}"
            yield Problem(message, *spec.origin, hint=hint, warning=True)


def _trees(rule: Rule) -> Iterator[Node]:
    for condition in (*(rule.levels or (rule.condition,)), rule.clear):
        if isinstance(condition, CompiledCondition):
            yield condition.tree()


def _pairs(node: Node) -> Iterator[Pair]:
    """Give each function that needs two samples of what was read."""
    match node:
        case Call():
            function = FUNCTIONS.get(node.func)
            for arg in node.args:
                worded = node.func == "gained"
                if isinstance(arg, Range) and function is not None and (worded or function.least >= _TWO):
                    metric = arg.selector.metric
                    if metric is not None:
                        text = f"{shown(node)} per {period(arg.window)}" if worded else show(node)
                        yield Pair(text, arg.window, metric.namespace, worded)
                else:
                    yield from _pairs(arg)
        case Subquery() | Paren() | Unary():
            yield from _pairs(node.expr)
        case Aggregate():
            yield from _pairs(node.expr)
        case Binary():
            yield from _pairs(node.left)
            yield from _pairs(node.right)
