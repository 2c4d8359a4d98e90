"""Floods become summaries, never drops.

New groups for one receiver, more than `Storm.messages` within `Storm.within`, share one message: the gravest keep
messages of their own, as many as there is room for; all others are told under one key, at most once in `within`. It is
a group like any other from then on: what resolves changes it, and its last resolve ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.digest import Reason, bundled, group_key_of
from alerting.model import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.owing import Owed
    from alerting.core.telling.plan import Plan
    from alerting.core.telling.state import State
    from alerting.model import Millis


class Calmed(NamedTuple):
    """What is said after all, and what waits for the next summary, until when."""

    bundles: list[Bundle]
    waiting: Sequence[tuple[Owed, Millis]]


def calmed(bundles: Sequence[Bundle], state: State, plan: Plan, now: Millis) -> Calmed:
    """Sum up what would be too many messages. There is one message for each key."""
    kept: list[Bundle] = []
    fresh: dict[str, list[Bundle]] = {}
    summaries: dict[tuple[str, str], Bundle] = {}  # by receiver and key
    for bundle in bundles:
        place = bundle.receiver, bundle.group_key
        if place in state.storms:
            summaries[place] = bundle._replace(storm=True)  # the same message, known for what it is
        elif bundle.reason is Reason.FIRST and plan.stands_for_group(bundle.receiver):
            fresh.setdefault(bundle.receiver, []).append(bundle)
        else:
            kept.append(bundle)
    for receiver, new in fresh.items():
        lately = sum(now - at < plan.storm.within for at in state.opened.get(receiver, ()))
        room = max(0, plan.storm.messages - lately)
        if len(new) <= room:
            kept += new
            continue
        new.sort(key=lambda bundle: not bundle.urgent)
        kept += new[:room]
        place = _place_of_summary(receiver, new[room:], state)
        summaries[place] = _added(summaries.get(place), place, new[room:], state)
    waiting: list[tuple[Owed, Millis]] = []
    for place, bundle in summaries.items():
        due = _due(state, place, plan, now)
        if now >= due or bundle.reason is Reason.ALL_RESOLVED:
            kept.append(bundle)
        else:
            waiting.extend((owed, due) for owed in (*bundle.changed, *bundle.resolved))
    order = {bundle.id: number for number, bundle in enumerate(bundles)}
    kept.sort(key=lambda bundle: order.get(bundle.id, len(order)))
    return Calmed(kept, waiting)


def _place_of_summary(receiver: str, rest: Sequence[Bundle], state: State) -> tuple[str, str]:
    """Give receiver and key of the summary that is open, or of a new one."""
    open_ = [key for (name, key) in state.storms if name == receiver and any(state.announced.members(receiver, key))]
    alert = rest[0].changed[0].subject.alert
    return receiver, open_[-1] if open_ else group_key_of(state.installation, f"storm {receiver}", alert.episode)


def _added(summary: Bundle | None, place: tuple[str, str], rest: Sequence[Bundle], state: State) -> Bundle:
    """Add new groups to what a summary has to say besides."""
    changed = [owed for bundle in ((summary,) if summary else ()) for owed in bundle.changed]
    changed += [owed for bundle in rest for owed in bundle.changed]
    return bundled(place, changed, summary.resolved if summary else (), state.announced, storm=True)


def _due(state: State, place: tuple[str, str], plan: Plan, now: Millis) -> Millis:
    """Say when the next message of a summary is due; the wall may have been set back since the last."""
    return min(state.storms[place], now) + plan.storm.within if place in state.storms else now


def took(bundles: Sequence[Bundle], state: State, plan: Plan, now: Millis) -> None:
    """Note what was said: when new groups were spoken of, and which keys are those of summaries."""
    for bundle in bundles:
        place = bundle.receiver, bundle.group_key
        if bundle.storm:
            state.storms[place] = now
        elif any(owed.step is Step.FIRING for owed in bundle.changed) and not bundle.ongoing:
            lately = state.opened.setdefault(bundle.receiver, [])
            lately[:] = [*(at for at in lately[-plan.storm.messages :] if now - at < plan.storm.within), now]
