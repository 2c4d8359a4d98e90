"""From a settled tree to what must be kept for it: one Need per selector, without repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.tree import Aggregate, Binary, Call, Number, Paren, Range, Selector, Subquery, Unary
from alerting.model import Need

if TYPE_CHECKING:
    from alerting.core.lang.tree import Node
    from alerting.model import Millis

FARTHEST: Millis = 5_400_000  # however long the period: memory is held for it


def farthest(period: Millis) -> Millis:
    """Say how much older than the sample after it an anchor may be: one and a half periods, 90 minutes at most.

    Of `N per period` on a counter, see running/gained.py. Late by half a period is late; twice as late is left out.
    """
    return min(period * 3 // 2, FARTHEST)


def needs_of(node: Node) -> tuple[Need, ...]:
    """Collect. A window of 0 is the newest sample alone; with an offset it reaches back by it; lookback is not in it.

    Under `gained` it also reaches back to where an anchor may lie. `@` with a fixed time asks for no more than the same
    selector without it.
    """
    found: dict[Need, None] = {}
    _collect(node, 0, 0, found)
    return tuple(found)


def _collect(node: Node, back: Millis, bucket: Millis, found: dict[Need, None]) -> None:
    """Go down; `back` is how far subqueries around it reach, `bucket` the D of a `peak` around it."""
    match node:
        case Selector():
            _note(node, back + node.offset, bucket, found)
        case Range():
            _note(node.selector, back + node.window + node.selector.offset, bucket, found)
        case Binary():
            _collect(node.left, back, 0, found)
            _collect(node.right, back, 0, found)
        case Call():
            if node.func == "peak" and isinstance(node.args[1], Number):
                bucket = round(node.args[1].value * 1000)
            for arg in node.args:
                anchored = node.func == "gained" and isinstance(arg, Range) and farthest(arg.window)
                _collect(arg, back + anchored, bucket, found)
        case Subquery():
            _collect(node.expr, back + node.window + node.offset, 0, found)
        case Aggregate():
            if node.param is not None:
                _collect(node.param, back, 0, found)
            _collect(node.expr, back, 0, found)
        case Paren() | Unary():
            _collect(node.expr, back, 0, found)


def _note(selector: Selector, window: Millis, bucket: Millis, found: dict[Need, None]) -> None:
    metric = selector.metric
    if metric is not None:
        found[Need(metric.namespace, metric.name, selector.matchers, max(0, window), bucket)] = None
