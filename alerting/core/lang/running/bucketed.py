"""A histogram by its own name: `histogram_quantile(0.9, sum(rate(latency[5m])))` for `latency_bucket`.

Native histograms are asked like that, and people write it so for classic ones too. Where the name as written
has no series with `le`, the buckets of that name are meant: every selector gains `_bucket`, and every
aggregation keeps `le`, without which there is no histogram.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.tree import Aggregate, Binary, Call, Paren, Range, Selector, Subquery, Unary

if TYPE_CHECKING:
    from alerting.core.lang.tree import Node

BUCKET = "le"
SUFFIX = "_bucket"
FUNCTIONS = frozenset({"histogram_quantile", "histogram_fraction"})


def bucketed(node: Node) -> Node | None:
    """Give the tree over the buckets; None where the tree speaks of buckets itself, or of no name."""
    match node:
        case Selector():
            return _selector(node)
        case Range():
            selector = _selector(node.selector)
            return None if selector is None else node._replace(selector=selector)
        case Subquery() | Paren() | Unary():
            inner = bucketed(node.expr)
            return None if inner is None else node._replace(expr=inner)
        case Aggregate():
            inner = bucketed(node.expr)
            if inner is None or BUCKET in node.grouping:
                return None
            grouping = node.grouping if node.without else (*node.grouping, BUCKET)
            return node._replace(expr=inner, grouping=grouping)
        case Call():
            args = tuple(bucketed(arg) or arg for arg in node.args)
            return None if args == node.args else node._replace(args=args)
        case Binary():
            left, right = bucketed(node.left), bucketed(node.right)
            if left is None and right is None:
                return None
            return node._replace(left=left or node.left, right=right or node.right)
        case _:
            return None


def _selector(node: Selector) -> Selector | None:
    name = node.path[-1] if node.path else ""
    metric = node.metric
    if not name or any(matcher.name == BUCKET for matcher in node.matchers):
        return None
    if (name if metric is None else metric.name).endswith(SUFFIX):  # `latency_p95` is written, and buckets are meant
        return None
    if metric is not None:
        metric = metric._replace(name=metric.name + SUFFIX)
    return node._replace(path=(*node.path[:-1], name + SUFFIX), metric=metric)


def with_buckets(node: Node) -> Node:
    """Give a tree that holds, beside each histogram by its name, its buckets too: what must be kept for it.

    Where there is none it is the very same tree.
    """
    match node:
        case Call():
            args = tuple(with_buckets(arg) for arg in node.args)
            if node.func in FUNCTIONS:
                buckets = bucketed(node.args[-1])
                args = (*args, buckets) if buckets is not None else args
            return node if args == node.args else node._replace(args=args)
        case Subquery() | Paren() | Unary() | Aggregate():
            inner = with_buckets(node.expr)
            return node if inner is node.expr else node._replace(expr=inner)
        case Binary():
            left, right = with_buckets(node.left), with_buckets(node.right)
            same = left is node.left and right is node.right
            return node if same else node._replace(left=left, right=right)
        case _:
            return node
