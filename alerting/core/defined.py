"""The metrics that settings define: a name under a source's `metrics:`, and the query that gives its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.core.lang.units import unit_of_name
from alerting.model import Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping


def defined(namespace: str, metrics: Mapping[str, Any]) -> dict[str, tuple[Metric, ...]]:
    """Give what each entry defines: one metric, or with `columns` one for each, named `NAME_COLUMN`.

    An entry is the query alone, or a mapping that may hold `kind` (a gauge otherwise), `unit` (what the name tells
    otherwise), `help` and `columns`.
    """
    return {name: tuple(_metrics(namespace, name, entry)) for name, entry in metrics.items()}


def _metrics(namespace: str, name: str, entry: Any) -> list[Metric]:
    said = entry if isinstance(entry, dict) else {}
    names = [f"{name}_{column}" for column in said["columns"]] if "columns" in said else [name]
    kind, help_ = Kind(said.get("kind", Kind.GAUGE)), str(said.get("help", ""))
    return [Metric(each, namespace, kind, said.get("unit") or unit_of_name(each), help=help_) for each in names]
