"""`validate --online`: whether the names that rules read are there now, asked of the sources themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.loading import load
from alerting.cli.reading import read
from alerting.core.lang.suggest import did_you_mean
from alerting.errors import Problem
from alerting.model import ALERTS, SHARED, Need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.config.settings import Settings
    from alerting.model import Reading, Rule


def look(config: str | None) -> list[Problem]:
    """Give warnings: a source that cannot be read, a name that no reading holds."""
    loaded = load(config)
    needs = list(dict.fromkeys(need for rule in loaded.rules.rules for need in rule.needs))
    all_names = [Need(space, "") for space in dict.fromkeys(need.namespace for need in needs)]  # for "did you mean"
    readings = asyncio.run(read(loaded.settings, [*needs, *all_names]))
    problems = [
        Problem(f"could not read {each.fault.told(each.source)}", "online", warning=True)
        for each in readings
        if each.fault is not None
    ]
    found = _found(readings)
    for rule in loaded.rules.rules:
        problems += [_missing(rule, need, found) for need in rule.needs if _is_missing(need, found)]
    return problems


def near(settings: Settings, needs: Sequence[Need]) -> list[str]:
    """Say of each name that the sources do not have now what it probably meant; nothing where nothing is near."""
    spaces = dict.fromkeys(need.namespace for need in needs)
    found = _found(asyncio.run(read(settings, [Need(space, "") for space in spaces])))
    missing = dict.fromkeys((need.namespace, need.name) for need in needs if _is_missing(need, found))
    hints = {name: did_you_mean(name, found[space]) for space, name in missing}
    return [f"there is no {name} just now, {hint}" for name, hint in hints.items() if hint]


def _found(readings: Sequence[Reading]) -> Mapping[str, frozenset[str]]:
    """Give the names that each namespace holds now; namespaces with a failed reading are left out."""
    failed = {each.namespace for each in readings if each.fault is not None}
    spaces: dict[str, set[str]] = {}
    for reading in readings:
        if reading.namespace not in failed:
            spaces.setdefault(reading.namespace, set()).update(sample.name for sample in reading.samples)
    return {space: frozenset(names) for space, names in spaces.items()}


def _is_missing(need: Need, found: Mapping[str, frozenset[str]]) -> bool:
    if need.namespace == SHARED and need.name == ALERTS:  # no source has it: it is made of the alerts
        return False
    return bool(need.name) and need.namespace in found and need.name not in found[need.namespace]


def _missing(rule: Rule, need: Need, found: Mapping[str, frozenset[str]]) -> Problem:
    name = f"{need.namespace}.{need.name}" if need.namespace else need.name
    origin = rule.spec.origin
    return Problem(
        f"{rule.name}: no series {name!r} just now",
        origin.file,
        origin.line,
        origin.column,
        hint=did_you_mean(need.name, found[need.namespace]),
        warning=True,
    )
