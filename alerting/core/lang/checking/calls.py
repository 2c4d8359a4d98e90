"""Checking function calls: that the function exists, what it is given, and whether it fits the metric's kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.checking import facts as known
from alerting.core.lang.checking.facts import TEXTS, UNKNOWN
from alerting.core.lang.checking.measure import literal_of, measured
from alerting.core.lang.signatures import AGGREGATIONS, COUNTER_FUNCTIONS, FUNCTIONS, GAUGE_FUNCTIONS, REFUSED
from alerting.core.lang.suggest import did_you_mean
from alerting.model import Kind

if TYPE_CHECKING:
    from alerting.core.lang.checking.checker import Checker
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.signatures import Signature
    from alerting.core.lang.tree import Call, Node

_MEASURED = frozenset({"clamp", "clamp_min", "clamp_max", "round"})  # their scalars are in the vector's unit
_CALLED = {  # what other languages call it
    "now": "write time()",
    **dict.fromkeys(("mean", "average"), "write avg(…), or avg_over_time(x[5m])"),
    **dict.fromkeys(("percentile", "median"), "write quantile(0.95, …), or quantile_over_time(0.95, x[5m])"),
    **dict.fromkeys(("len", "size"), "write count(…)"),
    **dict.fromkeys(("last", "first"), "write last_over_time(x[5m])"),
    **dict.fromkeys(("exists", "missing", "isnull", "is_null"), "write absent(x)"),
}
_WHAT = {
    "scalar": "a single number",
    "vector": "series with a value now",
    "range": "a range such as x[5m]",
    "string": "a quoted text",
}


def check_call(checker: Checker, node: Call) -> tuple[Node, Facts]:
    """Settle a call."""
    signature = FUNCTIONS.get(node.func)
    if signature is None:
        refuse(checker, node)
        for arg in node.args:
            checker.visit(arg)
        return node, UNKNOWN
    least, most = signature.least, signature.most
    count = len(node.args)
    if count < least or (most is not None and count > most):
        wanted = str(least) if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        checker.error(f"{node.func} takes {wanted} argument{'s' * (wanted != '1')}, this has {count}", node.span)
    args, found = arguments(checker, node, signature)
    for arg, facts in zip(node.args, found, strict=True):
        check_kind(checker, node, arg, facts)
    settled = node._replace(args=tuple(args))
    return settled, known.of_call(node.func, signature.gives, signature.unit, settled.args, found)


def refuse(checker: Checker, node: Call) -> None:
    """Say why there is no such function."""
    name = node.func
    if name in REFUSED:
        checker.error(f"{name} is not available: {REFUSED[name]}", node.span)
    else:
        hint = _CALLED.get(name.lower(), "") or did_you_mean(name, [*FUNCTIONS, *AGGREGATIONS])
        if name[:1] in "pP" and name[1:].isdecimal():
            hint = f"a percentile is a part of a metric's name: x_{name.lower()}; of a histogram histogram_quantile(…)"
        checker.error(f"there is no function {name}", node.span, hint or "functions are those of Prometheus 3")


def arguments(checker: Checker, node: Call, signature: Signature) -> tuple[list[Node], list[Facts]]:
    """Settle the arguments and check their types."""
    args: list[Node] = []
    found: list[Facts] = []
    for index, arg in enumerate(node.args):
        wanted = signature.args[min(index, len(signature.args) - 1)] if signature.args else None
        settled: Node
        if node.func in _MEASURED and index and literal_of(arg) is not None:
            settled, facts = measured(checker, arg, found[0], node.args[0]), known.SCALAR
        else:
            settled, facts = checker.visit(arg)
        if wanted is not None and facts.type != wanted:
            hint = ""
            if wanted == "range" and facts.type == "vector":
                hint = f"write {node.func}({checker.shown(arg)}[5m])" if facts.metric else "write (…)[5m:]"
            elif wanted == "vector" and facts.type == "scalar":
                hint = f"write vector({checker.shown(arg)})"
            checker.error(f"{node.func} takes {_WHAT[wanted]} here, not {_WHAT[facts.type]}", arg.span, hint)
        elif facts.value == TEXTS and facts.type in ("vector", "range") and not signature.texts:
            checker.error(f"{node.func} takes numbers, {checker.shown(arg)} is a text", arg.span)
        args.append(settled)
        found.append(facts)
    return args, found


def check_kind(checker: Checker, node: Call, arg: Node, facts: Facts) -> None:
    """Check that a function for counters gets one, as far as kinds are known."""
    name = facts.metric.name if facts.metric is not None else ""
    if node.func in COUNTER_FUNCTIONS and facts.kind is Kind.GAUGE:
        hint = f"for levels there are delta, deriv and avg_over_time: delta({checker.shown(arg)})"
        checker.mistake(f"{node.func} is for counters, {name} is a gauge", node.span, hint)
    elif node.func in COUNTER_FUNCTIONS and facts.kind is Kind.COUNT:
        hint = f"write sum_over_time({checker.shown(arg)}{'[5m]' * (facts.type == 'vector')})"
        checker.mistake(f"{node.func} is for counters, {name} is already events per minute", node.span, hint)
    elif node.func in GAUGE_FUNCTIONS and facts.kind is Kind.COUNTER:
        hint = f"write increase({checker.shown(arg)}) or rate(…)"
        checker.warn(f"{node.func} is for gauges, {name} is a counter", node.span, hint)
