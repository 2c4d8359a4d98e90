"""From a settled tree to what must be kept for it: one Need per selector, without repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.tree import Aggregate, Binary, Call, Number, Paren, Range, Selector, Subquery, Unary
from alerting.model import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.core.lang.tree import Node
    from alerting.model import Millis


def needs_of(node: Node) -> tuple[Need, ...]:
    """Collect. A window of 0 is the newest sample alone; with an offset it reaches back by it; lookback is not in it.

    `@` with a fixed time asks for no more than the same selector without it.
    """
    return tuple(dict.fromkeys(_walk(node, 0, 0)))


def _walk(node: Node, back: Millis, bucket: Millis) -> Iterator[Need]:
    """Go down; `back` is how far subqueries around it reach, `bucket` the D of a `peak` around it."""
    match node:
        case Selector():
            yield from _need(node, back + node.offset, bucket)
        case Range():
            yield from _need(node.selector, back + node.window + node.selector.offset, bucket)
        case Subquery():
            yield from _walk(node.expr, back + node.window + node.offset, 0)
        case Binary():
            yield from _walk(node.left, back, 0)
            yield from _walk(node.right, back, 0)
        case Call():
            if node.func == "peak" and isinstance(node.args[1], Number):
                bucket = round(node.args[1].value * 1000)
            for arg in node.args:
                yield from _walk(arg, back, bucket)
        case Aggregate():
            if node.param is not None:
                yield from _walk(node.param, back, 0)
            yield from _walk(node.expr, back, 0)
        case Paren() | Unary():
            yield from _walk(node.expr, back, 0)
        case _:
            return


def _need(selector: Selector, window: Millis, bucket: Millis) -> Iterator[Need]:
    metric = selector.metric
    if metric is not None:
        yield Need(metric.namespace, metric.name, selector.matchers, max(0, window), bucket)
