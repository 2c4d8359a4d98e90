"""The lines beside what a message says: why it comes late, what it hides, that a rule has another name by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.core.telling.digest import Bundle
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

# (receiver, name of a rule) -> names of the rules that depend on it and are not told.
Hidden = dict[tuple[str, str], dict[str, None]]


def hidden_by(
    held: Mapping[tuple[AlertKey, str], tuple[Step, Held]], subjects: Mapping[AlertKey, Subject | None]
) -> Hidden:
    """Find what is not told as it depends on something else."""
    found: Hidden = {}
    for (key, receiver), (_, why) in held.items():
        subject = subjects.get(key)
        if why.stage == "depends" and subject is not None:
            found.setdefault((receiver, why.by), {})[subject.spec.name] = None
    return found


def notes(bundle: Bundle, state: State, hidden: Hidden) -> Iterator[str]:
    """Write the notes of one message."""
    places = ((each.key, bundle.receiver) for each in bundle.changed)
    released = (state.held[place][1] for place in places if place in state.held)
    yield from dict.fromkeys(f"{_RELEASES[held.stage]} ({held.why})" for held in released if held.stage in _RELEASES)
    names: dict[str, None] = {}
    for each in bundle.changed:
        if each.step is Step.FIRING:
            names.update(hidden.get((bundle.receiver, each.subject.spec.name), {}))
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"not told meanwhile, as it depends on this: {', '.join(list(names)[:_NAMED])}{more}"
    for each in bundle.resolved:
        name, announced = each.subject.spec.name, state.notices.get(each.key)
        if announced is not None and name not in (announced.name, each.key.rule_id):
            yield f"the rule is called {name} by now"
