"""A tree back to text. The law: what is read from the text is the same tree again, apart from places.

Trees that `check` made print too (for messages), though what it put in is not always something to read back.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from alerting.core.lang.syntax.parser import RESERVED
from alerting.core.lang.tree import (
    Aggregate,
    Binary,
    Call,
    Number,
    Paren,
    Per,
    Range,
    Selector,
    Subquery,
    Text,
    Truth,
    Unary,
)
from alerting.core.lang.units import format_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alerting.core.lang.tree import At, Node
    from alerting.model import Millis

_PERIODS = {1000: "second", 60_000: "minute", 3_600_000: "hour", 86_400_000: "day"}
_PARTS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def show(node: Node) -> str:
    """Write a tree as a condition."""
    match node:
        case Selector():
            return _selector(node) + _moved(node.offset, node.at)
        case Number():
            return node.text or format_literal(node.value)
        case Binary():
            return f"{show(node.left)} {node.op}{_modifiers(node)} {show(node.right)}"
        case Range():
            inner = node.selector
            return f"{_selector(inner)}[{duration(node.window)}]{_moved(inner.offset, inner.at)}"
        case Call():
            named = quantile_name(node)
            return f"{node.func}({', '.join(map(show, node.args))})" if named is None else show(named)
        case Aggregate():
            return _aggregate(node)
        case Paren():
            return f"({show(node.expr)})"
        case Unary():
            return node.op + show(node.expr)
        case Text():
            return quoted(node.value)
        case Subquery():
            step = duration(node.step) if node.step else ""
            return f"{show(node.expr)}[{duration(node.window)}:{step}]{_moved(node.offset, node.at)}"
        case Truth():
            return "true" if node.value else "false"
        case Per():
            return f"{format_literal(node.number)} per {period(node.every)}"


def quantile_name(node: Call) -> Selector | None:
    """Give the selector that was written, where `check` made the call of a quantile's name: `latency_p95`."""
    if node.func not in ("histogram_quantile", "quantile_over_time"):
        return None
    inner = node.args[-1]
    if isinstance(inner, Call):  # rate(…) of a histogram's buckets
        inner = inner.args[-1]
    if not isinstance(inner, Range):
        return None
    selector = inner.selector
    made = selector.path and selector.metric is not None and not ".".join(selector.path).endswith(selector.metric.name)
    return selector if made else None


def duration(millis: Millis) -> str:
    """Write a length of time as PromQL does: `1h30m`, `-5m`."""
    rest = abs(millis)
    text = "-" if millis < 0 else ""
    for name, length in _PARTS:
        if rest >= length:
            text += f"{rest // length}{name}"
            rest %= length
    return text or "0s"


def period(millis: Millis) -> str:
    """Write the period of a rate in words: `minute`, `5m`."""
    return _PERIODS.get(millis) or duration(millis)


def quoted(text: str) -> str:
    """Write a string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@cache
def _plain(kind: str) -> re.Pattern[str]:
    return re.compile(r"(?:[A-Za-z_]|:(?=[A-Za-z_:]))[A-Za-z0-9_:]*" if kind == "metric" else r"[A-Za-z_][A-Za-z0-9_]*")


def _word(text: str) -> str:
    """Write a label's name or a part of a path: as it is where that reads as a name, else quoted."""
    return text if _plain("label").fullmatch(text) else quoted(text)


def _selector(node: Selector) -> str:
    path, inner = node.path, [f"{_word(name)}{op}{quoted(value)}" for name, op, value in node.matchers]
    name = ""
    if len(path) > 1:
        first = quoted(path[0]) if path[0].lower() in RESERVED else _word(path[0])
        name = ".".join([first, *map(_word, path[1:])])
    elif path and (not _plain("metric").fullmatch(path[0]) or path[0].lower() in RESERVED):
        inner.insert(0, quoted(path[0]))
    elif path:
        name = path[0]
    return f"{name}{{{', '.join(inner)}}}" if inner or not name else name


def _moved(offset: Millis, at: At | None) -> str:
    text = f" offset {duration(offset)}" if offset else ""
    if at is None:
        return text
    return f"{text} @ {format_literal(at.time / 1000) if at.kind == 'time' else f'{at.kind}()'}"


def _modifiers(node: Binary) -> str:
    text = " bool" if node.bool_ else ""
    if node.matching is not None:
        text += f" {'on' if node.matching.on else 'ignoring'} {_labels(node.matching.labels)}"
        if node.matching.group:
            text += f" group_{node.matching.group} {_labels(node.matching.include)}"
    return text


def _aggregate(node: Aggregate) -> str:
    grouped = (
        f" {'without' if node.without else 'by'} {_labels(node.grouping)} " if node.grouping or node.without else ""
    )
    param = f"{show(node.param)}, " if node.param is not None else ""
    return f"{node.op}{grouped}({param}{show(node.expr)})"


def _labels(labels: Iterable[str]) -> str:
    return f"({', '.join(map(_word, labels))})"
