"""The lines beside what a message says: why it comes late, what it hides, which values are old, a rule's other name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import LOUD, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.inhibition import Inhibited
    from alerting.core.telling.muting import Held
    from alerting.core.telling.routing import Subject
    from alerting.core.telling.state import State
    from alerting.model import AlertKey

_RELEASES = {  # what is said of a message that was held, by the stage that held it
    "silence": "told now: the silence is over",
    "window": "told now: the window is over",
    "depends": "told now: what it depends on fires no more",
    "inhibit": "told now: what hid it fires no more",
    "acknowledge": "told now: the acknowledgement is over",
}
_NAMED = 5  # so many names stand in a note

# (receiver, what keeps others back: the name of a rule or an alert) -> names of rules, each with how many of its alerts
# are not told.
Hidden = dict[tuple[str, "str | AlertKey"], dict[str, int]]


def hidden_by(
    held: Mapping[tuple[AlertKey, str], tuple[Step, Held]],
    subjects: Mapping[AlertKey, Subject | None],
    inhibited: Inhibited | None,
    spoken_of: Collection[AlertKey],
) -> Hidden:
    """Find what is not told as it depends on something else, or as one of the alerts that are spoken of inhibits it."""
    found: Hidden = {}
    inhibits = inhibited is not None and not inhibited.sources.isdisjoint(spoken_of)
    for (key, receiver), (_, why) in held.items():
        subject = subjects.get(key)
        if subject is None:
            continue
        causes: Sequence[str | AlertKey] = [why.by] if why.stage == "depends" else []
        if inhibits and inhibited is not None and why.stage == "inhibit":
            causes = inhibited.by(key, subject.labels)
        for cause in dict.fromkeys(causes):
            names = found.setdefault((receiver, cause), {})
            names[subject.spec.name] = names.get(subject.spec.name, 0) + 1
    return found


def notes(bundle: Bundle, state: State, hidden: Hidden, doubts: Mapping[AlertKey, str]) -> Iterator[str]:
    """Write the notes of one message. `doubts`: of which alerts the value is an older one, and why."""
    places = ((each.key, bundle.receiver) for each in bundle.changed)
    released = (state.held[place][1] for place in places if place in state.held)
    yield from dict.fromkeys(filter(None, map(lateness, released)))
    loud = [each for each in bundle.changed if each.step in LOUD]
    by_rule: dict[str | AlertKey, None] = dict.fromkeys(each.subject.spec.name for each in loud)
    by_alert: dict[str | AlertKey, None] = dict.fromkeys(each.key for each in loud)
    for causes, why in ((by_rule, "it depends on this"), (by_alert, "this inhibits it")):
        names: dict[str, int] = {}
        for cause in causes:
            for name, number in hidden.get((bundle.receiver, cause), {}).items():
                names[name] = names.get(name, 0) + number
        if names:
            yield f"not told meanwhile, as {why}: {_listed(names)}"
    yield from _doubts(bundle, doubts)
    for each in bundle.resolved:
        name, announced = each.subject.spec.name, state.notices.get(each.key)
        if announced is not None and name not in (announced.name, each.key.rule_id):
            yield f"the rule is called {name} by now"


def lateness(held: Held) -> str:
    """Say why something comes late that was held back; empty: nothing but timers held it."""
    return f"{_RELEASES[held.stage]} ({held.why})" if held.stage in _RELEASES else held.late


def _doubts(bundle: Bundle, doubts: Mapping[AlertKey, str]) -> Iterator[str]:
    """Say where a message shows a value that is not the one of now."""
    found: dict[tuple[str, str], int] = {}
    for each in bundle.changed:
        if each.key in doubts:
            place = each.subject.spec.name, doubts[each.key]
            found[place] = found.get(place, 0) + 1
    for (name, why), number in list(found.items())[:_NAMED]:
        yield f"{_listed({name: number})}: {why}, so the value shown is older"


def _listed(names: Mapping[str, int]) -> str:
    """Name some rules, each with how many of its alerts are meant where they are several."""
    shown = [name if number == 1 else f"{name} ({number} alerts)" for name, number in list(names.items())[:_NAMED]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(shown)}{more}"
