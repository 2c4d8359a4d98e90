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
    """Sum up what would be too many messages."""
    kept: list[Bundle] = []
    fresh: dict[str, list[Bundle]] = {}
    waiting: list[tuple[Owed, Millis]] = []
    for bundle in bundles:
        place = bundle.receiver, bundle.group_key
        if place in state.storms:
            bundle = bundle._replace(storm=True)  # noqa: PLW2901  the same message, known for what it is
            _say_or_wait(bundle, _due(state, place, plan, now), now, kept, waiting)
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
        _sum_up(receiver, new[room:], state, plan, now, kept, waiting)
    order = {bundle.id: number for number, bundle in enumerate(bundles)}
    kept.sort(key=lambda bundle: order.get(bundle.id, len(order)))
    return Calmed(kept, waiting)


def _sum_up(  # noqa: PLR0917  what it adds to stands last
    receiver: str,
    rest: Sequence[Bundle],
    state: State,
    plan: Plan,
    now: Millis,
    kept: list[Bundle],
    waiting: list[tuple[Owed, Millis]],
) -> None:
    changed = [owed for bundle in rest for owed in bundle.changed]
    open_ = [key for (name, key) in state.storms if name == receiver and any(state.announced.members(receiver, key))]
    alert = changed[0].subject.alert
    group_key = open_[-1] if open_ else group_key_of(state.installation, f"storm {receiver}", alert.episode)
    due = _due(state, (receiver, group_key), plan, now) if open_ else now
    _say_or_wait(bundled((receiver, group_key), changed, (), state.announced, storm=True), due, now, kept, waiting)


def _due(state: State, place: tuple[str, str], plan: Plan, now: Millis) -> Millis:
    """Say when the next message of a summary is due; the wall may have been set back since the last."""
    return min(state.storms[place], now) + plan.storm.within


def _say_or_wait(
    bundle: Bundle, due: Millis, now: Millis, kept: list[Bundle], waiting: list[tuple[Owed, Millis]]
) -> None:
    if now >= due or bundle.reason is Reason.ALL_RESOLVED:
        kept.append(bundle)
    else:
        waiting.extend((owed, due) for owed in (*bundle.changed, *bundle.resolved))


def took(bundles: Sequence[Bundle], state: State, plan: Plan, now: Millis) -> None:
    """Note what was said: when new groups were spoken of, and which keys are those of summaries."""
    for bundle in bundles:
        place = bundle.receiver, bundle.group_key
        if bundle.storm:
            state.storms[place] = now
        elif any(owed.step is Step.FIRING for owed in bundle.changed) and not bundle.ongoing:
            lately = state.opened.setdefault(bundle.receiver, [])
            lately[:] = [*(at for at in lately[-plan.storm.messages :] if now - at < plan.storm.within), now]
