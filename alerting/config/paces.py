"""Rules that look back less far than two readings: of one reading nobody can tell a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.condition import CompiledCondition
from alerting.core.lang.running.over_time import FUNCTIONS
from alerting.core.lang.syntax.printer import duration, show
from alerting.core.lang.tree import Aggregate, Binary, Call, Paren, Range, Subquery, Unary
from alerting.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.core.lang.tree import Node
    from alerting.model import Millis, Rule

_PAIR = 2  # samples that tell a change


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
        if any(need.window and need.window - lookback < _PAIR * paces[need.namespace] for need in rule.needs):
            yield from _of_rule(rule, paces)


def _of_rule(rule: Rule, paces: Mapping[str, Millis]) -> Iterator[Problem]:
    spec = rule.spec
    for node, window, namespace in dict.fromkeys(found for tree in _trees(rule) for found in _pairs(tree)):
        pace = paces.get(namespace)
        if pace is not None and window < _PAIR * pace:
            message = (
                f"{spec.name}: {node} needs two readings within {duration(window)}, and they are {duration(pace)} apart"
            )
            hint = f"write an `interval:` of at most {duration(window // _PAIR)}, or look back {duration(_PAIR * pace)}"
            yield Problem(message, *spec.origin, hint=hint, warning=True)


def _trees(rule: Rule) -> Iterator[Node]:
    for condition in (*(rule.levels or (rule.condition,)), rule.clear):
        if isinstance(condition, CompiledCondition):
            yield condition.tree()


def _pairs(node: Node) -> Iterator[tuple[str, Millis, str]]:
    """Give each function that needs two samples of what was read: as it is written, its window, whose samples."""
    match node:
        case Call():
            function = FUNCTIONS.get(node.func)
            for arg in node.args:
                if isinstance(arg, Range) and function is not None and function.least >= _PAIR:
                    metric = arg.selector.metric
                    if metric is not None:
                        yield show(node), arg.window, metric.namespace
                else:
                    yield from _pairs(arg)
        case Subquery() | Paren() | Unary():
            yield from _pairs(node.expr)
        case Aggregate():
            yield from _pairs(node.expr)
        case Binary():
            yield from _pairs(node.left)
            yield from _pairs(node.right)
