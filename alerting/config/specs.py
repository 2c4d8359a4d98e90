"""RuleSpecs as JSON and back: for the cache and for the last good set that the store keeps."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any

from alerting.errors import Problem
from alerting.model import Escalation, Level, OnMissing, Origin, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


_REPEATED = frozenset(("group", "severity", "dialect"))  # texts that many rules share: each is held once
_LISTS = frozenset(("notify", "depends_on", "mute_time_intervals", "active_time_intervals"))  # of names
_DEFAULTS = tuple((name, RuleSpec._field_defaults.get(name)) for name in RuleSpec._fields)


def rows_of(specs: Iterable[RuleSpec]) -> Iterator[dict[str, Any]]:
    """Give each spec as what JSON can hold: the fields that are not as by default."""
    for spec in specs:
        both = zip(spec, _DEFAULTS, strict=True)
        yield {name: value for value, (name, default) in both if value != default}


def specs_of(rows: Iterable[Mapping[str, Any]]) -> list[RuleSpec]:
    """Give the specs again. Raises TypeError, KeyError or ValueError where the rows are not what `rows_of` made."""
    specs = []
    for row in rows:
        values: dict[str, Any] = {
            name: intern(value) if name in _REPEATED else value for name, value in dict(row).items()
        }
        if "origin" in values:
            file, line, column = values["origin"]
            values["origin"] = Origin(intern(file), line, column)
        for name in _LISTS & values.keys():
            values[name] = tuple(values[name])
        if "levels" in values:
            values["levels"] = tuple(Level(name, text, tuple(notify)) for name, text, notify in values["levels"])
        if "escalate" in values:
            values["escalate"] = tuple(Escalation(after, tuple(notify)) for after, notify in values["escalate"])
        if "on_missing" in values:
            values["on_missing"] = OnMissing(values["on_missing"])
        specs.append(RuleSpec(**values))
    return specs


def problem_rows(problems: Iterable[Problem]) -> list[list[Any]]:
    """Give problems as what JSON can hold."""
    return [list(each) for each in problems]


def problems_of(rows: Iterable[Sequence[Any]]) -> list[Problem]:
    """Give the problems again."""
    return [Problem(*row) for row in rows]
