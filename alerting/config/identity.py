"""The identity of rules: what their alerts' state hangs on, so it must survive an edit of the condition.

A rule's `id` is the declared one, or made from the file's path relative to the settings, the group, the name and
the labels, with `#2`, `#3` behind it where that repeats (real rule files repeat names). Never from the condition,
and not from a native rule's `severity:`, so that changing that loses no state either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.model import Origin, RuleSpec


class Ids:
    """Gives the rules of one loading their ids, in order; each only once."""

    def __init__(self) -> None:
        self._given: dict[str, Origin] = {}
        self._repeats: dict[str, int] = {}

    def declared(self, declared: str, origin: Origin) -> Origin | None:
        """Take an id that a rule declares; give the rule that has it already, if one has."""
        other = self._given.setdefault(declared, origin)
        return None if other is origin else other

    def made(self, group: str, name: str, labels: Mapping[str, str], origin: Origin) -> str:
        """Make the id of a rule that declares none. `labels` are those that tell it from others of its name."""
        made = f"{origin.file}:{group}:{name}" if group else f"{origin.file}:{name}"
        if labels:
            made += "{" + ",".join(f'{label}="{labels[label]}"' for label in sorted(labels)) + "}"
        unique = made
        while unique in self._given:
            self._repeats[made] = count = self._repeats.get(made, 1) + 1
            unique = f"{made}#{count}"
        self._given[unique] = origin
        return unique


def keep_ids(specs: Sequence[RuleSpec], previous: Iterable[RuleSpec]) -> Sequence[RuleSpec]:
    """Give rules that moved to another file or group the id that they had, where name and labels match uniquely.

    `previous` is the last good set. A rule counts as moved when its new id was not there before and exactly one
    rule that is gone has its name and labels, and no other new rule has them.
    """
    before = {spec.id: spec for spec in previous}
    present = {spec.id for spec in specs}
    gone = _by_nature(spec for spec in before.values() if spec.id not in present)
    if not gone:
        return specs
    new = _by_nature(spec for spec in specs if spec.id not in before)
    moved = {
        spec.id: gone[nature][0].id
        for nature, [spec, *others] in new.items()
        if not others and len(gone.get(nature, ())) == 1
    }
    return [spec._replace(id=moved[spec.id]) if spec.id in moved else spec for spec in specs] if moved else specs


def _by_nature(specs: Iterable[RuleSpec]) -> dict[tuple[object, ...], list[RuleSpec]]:
    found: dict[tuple[object, ...], list[RuleSpec]] = {}
    for spec in specs:
        labels = tuple(sorted(item for item in spec.labels.items() if spec.group or item[0] != "severity"))
        found.setdefault((spec.dialect, spec.name, spec.record, labels), []).append(spec)
    return found
