"""`alerting sources`: every metric on offer, with kind, unit, labels, and what it reads now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_only
from alerting.cli.reading import read
from alerting.cli.terminal import clean, paint, say, say_json, table
from alerting.config.vocabulary import closed_spaces, offered
from alerting.core.lang.names import UP
from alerting.core.lang.units import format_value
from alerting.model import SHARED, Kind, Metric, Need
from alerting.net.endpoint import distinct

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection, Sequence

    from alerting.config.settings import Settings
    from alerting.model import Reading, Sample

_BUCKET = 60_000  # ms: what is asked of counts
_UNSAID = Metric("", "")


def main(arguments: Namespace) -> int:
    """Read everything once; exit 3 where a source failed."""
    settings = load_settings_only(arguments.config)
    metrics = offered(settings)
    readings = asyncio.run(read(settings, _everything(settings, metrics)))
    rows = _rows(metrics, readings, closed_spaces(settings))
    failed = [(each.source, each.fault.told(each.source)) for each in readings if each.fault is not None]
    faults = dict(zip(distinct([source for source, _ in failed]), (why for _, why in failed), strict=True))
    if arguments.output == "json":
        say_json({"metrics": rows, "faults": faults})
    else:
        head = ("METRIC", "SOURCE", "KIND", "UNIT", "LABELS", "VALUE NOW")
        say(*table(head, [_cells(row) for row in rows]))
        for _, why in sorted(faults.items()):
            say(paint(f"source {clean(why)}", "red"))
    return Exit.INCOMPLETE if faults else Exit.OK


def _everything(settings: Settings, metrics: Sequence[Metric]) -> list[Need]:
    """Ask for every declared name, and for any name of sources that declare none."""
    needs = [Need(each.namespace, each.name, bucket=_BUCKET if each.kind is Kind.COUNT else 0) for each in metrics]
    return [*needs, *(Need(space, "") for space in dict.fromkeys((SHARED, *settings.sources)))]


def _rows(metrics: Sequence[Metric], readings: Sequence[Reading], bare: Collection[str]) -> list[dict[str, Any]]:
    """Give one row a name: what is declared of it, and its newest samples."""
    declared = {(each.namespace, each.name): each for each in metrics}
    declared |= {(each.namespace, each.name): each for reading in readings for each in reading.kinds}
    found: dict[tuple[str, str], list[Sample]] = {key: [] for key in declared}
    sources: dict[tuple[str, str], str] = {}
    for reading in readings:
        for sample in reading.samples:
            key = (reading.namespace, sample.name)
            found.setdefault(key, []).append(sample)
            sources[key] = reading.source
    closed = [name for space, name in found if space in bare]
    alone = {(space, name) for space, name in found if space in bare and name != UP and closed.count(name) == 1}
    return [
        _row(sources.get(key, key[0]), key, declared.get(key, _UNSAID), samples, bare=key[0] == SHARED or key in alone)
        for key, samples in sorted(found.items())
    ]


def _row(source: str, key: tuple[str, str], metric: Metric, samples: Sequence[Sample], *, bare: bool) -> dict[str, Any]:
    namespace, name = key
    return {
        "name": name if bare else f"{namespace}.{name}",  # as conditions write it
        "source": source,
        "kind": str(metric.kind),
        "unit": metric.unit,
        "labels": sorted({label for sample in samples for label, _ in sample.labels} or metric.labels),
        "help": metric.help,
        "samples": [{"labels": each.labels.as_dict(), "value": each.value, "at": each.at} for each in samples],
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    samples = row["samples"]
    value = "-"
    if samples:
        newest = max(samples, key=lambda each: each["at"])
        value = _text(newest["value"], row["unit"])
        others = len({tuple(sorted(each["labels"].items())) for each in samples}) - 1
        value += f" and {others} more series" if others else ""
    return (row["name"], row["source"], row["kind"], row["unit"], ",".join(row["labels"]), value)


def _text(value: float | str, unit: str) -> str:
    return repr(value) if isinstance(value, str) else format_value(value, unit)
