"""The names that conditions may use: what each kind of source offers, by its schema, and what the settings add."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alerting.config import schema as schemas
from alerting.core.defined import defined
from alerting.core.lang.names import Names, SourceNames
from alerting.model import SHARED, Kind, Metric, Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from alerting.config.settings import Settings


def names_of(settings: Settings, recorded: Collection[str] = ()) -> Names:
    """Give the vocabulary of the settings' sources and of the series that rules record."""
    return Names(_of_settings(settings), recorded)


def offered(settings: Settings) -> list[Metric]:
    """Give every metric that the settings' sources declare."""
    return [metric for source in _of_settings(settings) for metric in source.metrics]


def closed_spaces(settings: Settings) -> frozenset[str]:
    """Give the namespaces whose names conditions write without the source: all that they offer is declared."""
    return frozenset(source.namespace for source in _of_settings(settings) if source.closed)


def open_names(settings: Settings, recorded: Collection[str] = ()) -> Names:
    """Give the vocabulary for files that are checked by themselves: every name goes, known ones keep their units.

    Without a settings file, one source of each kind is taken to be there under the kind's own name.
    """
    sources = (
        _of_settings(settings) if settings.configured else [_offered(kind, kind) for kind in schemas.kinds("sources")]
    )
    return Names.anything(sources, recorded)


def _of_settings(settings: Settings) -> list[SourceNames]:
    return [_offered(each.name, each.kind, each.values) for each in settings.sources.values()]


@cache
def _metrics(kind: str, namespace: str) -> tuple[Metric, ...]:
    offered: list[dict[str, Any]] = schemas.load("sources")["$defs"][kind]["x-metrics"]
    return tuple(
        Metric(each["name"], namespace, Kind(each["kind"]), each["unit"], tuple(each["labels"]), each["help"])
        for each in offered
    )


def _labels_added(part: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[str]:
    """Give the labels that keys of an entry put on all that it gives: `labels`, its targets' own, and their name."""
    targets = values.get("targets") or ()
    groups = [values, *(targets.values() if isinstance(targets, dict) else ())]
    added = [label for each in groups if not isinstance(each, str | Secret) for label in each.get("labels") or ()]
    name = [part["x-target-label"]] if targets and "x-target-label" in part else []
    return tuple(dict.fromkeys(name + added))


def _offered(name: str, kind: str, values: Mapping[str, Any] = MappingProxyType({})) -> SourceNames:
    """Give what a source offers: what its kind declares, and what the key that `x-metrics-from` names defines."""
    part = schemas.load("sources")["$defs"][kind]
    namespace = SHARED if part["x-namespace"] == "shared" else name
    closed = part["x-names"] == "closed"
    own = [each for of in defined(namespace, values.get(part.get("x-metrics-from")) or {}).values() for each in of]
    added = _labels_added(part, values)
    metrics = (*(each._replace(labels=(*each.labels, *added)) for each in _metrics(kind, namespace)), *own)
    return SourceNames(
        name, namespace, kind, closed, metrics, values.get("units") or {}, frozenset(each.name for each in own)
    )
