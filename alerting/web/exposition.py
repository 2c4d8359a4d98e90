"""Writes a page in Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Point(NamedTuple):
    """One line: `name` + `suffix`, its labels, its value."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Family(NamedTuple):
    """One metric with all its lines."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    help: str
    points: Sequence[Point]


def page(families: Iterable[Family]) -> str:
    """Write the page. A family without a line is declared: a rule over it finds nothing, and is not unknown."""
    lines: list[str] = []
    for name, kind, words, points in families:
        help_text = words.replace("\\", "\\\\").replace("\n", "\\n")
        lines += (f"# HELP {name} {help_text}", f"# TYPE {name} {kind}")
        lines += (f"{name}{suffix}{_labels(labels)} {_number(value)}" for value, labels, suffix in points)
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))  # noqa: PLR2004  exact
