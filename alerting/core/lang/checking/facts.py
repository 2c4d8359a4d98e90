"""What the checker knows of an expression, and how operators and functions change that.

Everything here errs on the side of not knowing: an empty unit, an empty `value`, `may` None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.signatures import BUCKET, KEEPS, PER_SECOND
from alerting.core.lang.tree import Number, Text
from alerting.core.lang.units import unit_of_name
from alerting.model import SHARED, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.lang.names import Names
    from alerting.core.lang.signatures import Type
    from alerting.core.lang.tree import Aggregate, Binary, Node, Selector
    from alerting.model import Metric

NUMBERS = "number"
TEXTS = "text"
_NO_LABELS: frozenset[str] = frozenset()
_PERCENT = 100.0


class Facts(NamedTuple):
    """What is known of an expression's values and series."""

    type: Type
    unit: str = ""  # of the values
    value: str = ""  # NUMBERS, TEXTS, or not known
    always: frozenset[str] = _NO_LABELS  # labels that every series has
    may: frozenset[str] | None = None  # all labels that a series may have; None: not known
    bucket: str = ""  # the unit of `le`, for a histogram's buckets
    kind: Kind = Kind.UNKNOWN
    namespaces: frozenset[str] = frozenset()
    metric: Metric | None = None  # for a selector, or what keeps its unit


SCALAR = Facts("scalar", value=NUMBERS, may=_NO_LABELS)
STRING = Facts("string", value=TEXTS)
UNKNOWN = Facts("vector")  # of what was already refused: one mistake is not reported twice


def of_metric(metric: Metric, selector: Selector, names: Names) -> Facts:
    """Give what is known of the series that a resolved selector selects."""
    always, may = names.labels(metric)
    for matcher in selector.matchers:
        if matcher.op == "=" and matcher.value and matcher.name != "__name__":
            always = always | {matcher.name}
    if metric.kind is Kind.UNKNOWN:
        value = NUMBERS if metric.namespace == SHARED and not names.open else ""
    else:
        value = TEXTS if metric.kind is Kind.STATE else NUMBERS
    bucket = unit = ""
    if metric.kind is Kind.HISTOGRAM:
        bucket = metric.unit
    elif metric.name.endswith("_bucket"):
        bucket = metric.unit or unit_of_name(metric.name.removesuffix("_bucket"))
    else:
        unit = metric.unit
    return Facts("vector", unit, value, always, may, bucket, metric.kind, frozenset((metric.namespace,)), metric)


def of_call(func: str, gives: Type, unit_rule: str, args: Sequence[Node], known: Sequence[Facts]) -> Facts:
    """Give what is known of a function's result from what is known of its arguments."""
    source = next((each for each in known if each.type in ("vector", "range")), None)
    if source is None:
        source = known[0] if known and func == "vector" else SCALAR
    unit = unit_rule
    if unit_rule == KEEPS:
        unit = source.unit
    elif unit_rule == PER_SECOND:
        unit = {"s": "ratio", "bytes": "bytes/s"}.get(source.unit, "")
    elif unit_rule == BUCKET:
        unit = source.bucket
    always, may = source.always, source.may
    value = source.value if func in ("last_over_time", "label_replace", "label_join") else NUMBERS
    if gives == "scalar" or func == "vector":
        always, may = _NO_LABELS, _NO_LABELS
    elif func.startswith("absent"):
        always, may = _NO_LABELS, None
    elif func in ("histogram_quantile", "histogram_fraction"):
        always, may = always - {"le"}, None if may is None else may - {"le"}
    elif func in ("label_replace", "label_join"):
        target = args[1].value if len(args) > 1 and isinstance(args[1], Text) else ""
        always, may = always - {target}, None if may is None or not target else may | {target}
    metric = source.metric if unit_rule == KEEPS else None
    return Facts(gives, unit, value, always, may, source.bucket, namespaces=source.namespaces, metric=metric)


def of_aggregate(node: Aggregate, unit_rule: str, inner: Facts) -> Facts:
    """Give what is known of an aggregation's result."""
    named = frozenset(node.grouping)
    if node.op in ("topk", "bottomk"):
        always, may = inner.always, inner.may
    elif node.without:
        always, may = inner.always - named, None if inner.may is None else inner.may - named
    else:
        always, may = inner.always & named, named if inner.may is None else inner.may & named
    if node.op == "count_values":
        may = None
    unit = inner.unit if unit_rule == KEEPS else ""
    metric = inner.metric if unit_rule == KEEPS else None
    return Facts("vector", unit, NUMBERS, always, may, inner.bucket, namespaces=inner.namespaces, metric=metric)


def of_set(op: str, left: Facts, right: Facts) -> Facts:
    """Give what is known of `and`, `or`, `unless`."""
    if op != "or":
        return left
    unit = left.unit if left.unit == right.unit else ""
    value = left.value if left.value == right.value else ""
    may = None if left.may is None or right.may is None else left.may | right.may
    namespaces = left.namespaces | right.namespaces
    return Facts("vector", unit, value, left.always & right.always, may, namespaces=namespaces)


def of_arithmetic(node: Binary, left: Facts, right: Facts) -> Facts:
    """Give what is known of `+ - * / % ^ atan2`."""
    unit = _unit(node, left, right)
    if left.type == right.type == "scalar":
        return SCALAR._replace(unit=unit)
    if right.type == "scalar" or left.type == "scalar":
        kept = left if right.type == "scalar" else right
        metric = kept.metric if unit else None
        return Facts("vector", unit, NUMBERS, kept.always, kept.may, namespaces=kept.namespaces, metric=metric)
    matching = node.matching
    always, may = left.always & right.always, None
    if matching is not None and not matching.group:
        named = frozenset(matching.labels)
        always = (left.always | right.always) & named if matching.on else always - named
        may = named if matching.on else None
    return Facts("vector", unit, NUMBERS, always, may, namespaces=left.namespaces | right.namespaces)


def _unit(node: Binary, left: Facts, right: Facts) -> str:
    op = node.op
    if op in ("+", "-"):
        if left.unit == right.unit or (right.type == "scalar" and not right.unit):
            return left.unit
        return right.unit if left.type == "scalar" and not left.unit else ""
    if op == "*":
        for one, other, factor in ((left, right, node.right), (right, left, node.left)):
            if one.unit == "ratio" and isinstance(factor, Number) and factor.value == _PERCENT:
                return "percent"
            if other.metric is not None and other.metric.name.endswith("_info"):  # its value is always 1
                return one.unit
        return ""
    if op == "/" and left.unit:
        if left.unit == right.unit:
            return "ratio"
        if left.unit == "percent" and isinstance(node.right, Number) and node.right.value == _PERCENT:
            return "ratio"
        return ""
    return left.unit if op == "%" and right.type == "scalar" else ""


def never_pair(node: Binary, left: Facts, right: Facts) -> tuple[str, bool]:
    """Give a label that shows that no series of one side can pair with one of the other; "" if there is none.

    Besides, whether it is the left side that always has it (and the right side that never has).
    """
    matching = node.matching
    for one, other, on_left in ((left, right, True), (right, left, False)):
        if other.may is None:
            continue
        apart = one.always - other.may
        if matching is not None:
            named = frozenset(matching.labels)
            apart = apart & named if matching.on else apart - named
        if apart:
            return min(apart), on_left
    return "", False
