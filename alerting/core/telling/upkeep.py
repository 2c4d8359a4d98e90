"""What a round of telling keeps and forgets in passing: silences that are long over, and the pace of storms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.telling import keeping
from alerting.core.telling.digest import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.state import State
    from alerting.model import Millis

_ASKED_FOR: Millis = 30 * 86_400_000  # a silence that is over for so long is forgotten, as the history is

Texts = dict[str, "str | None"]


def silences_over(state: State, now: Millis) -> tuple[list[str], Texts]:
    """Find the silences (their ids) that nobody will ask for any more."""
    over = [each.id for each in state.silences.values() if now - each.ends >= _ASKED_FOR]
    return over, {keeping.silence_name(each): None for each in over}


def storms(state: State, bundles: Sequence[Bundle], now: Millis) -> tuple[list[tuple[str, str]], Texts]:
    """Find the summaries that stand for nothing any more; write when others were told, for a process to come."""
    told: Mapping[tuple[str, str], Bundle] = {(each.receiver, each.group_key): each for each in bundles if each.storm}
    over: list[tuple[str, str]] = []
    texts: Texts = {}
    for place in {**state.storms, **told}:
        if _ends(state, place, told.get(place)):
            over.append(place)
            texts[keeping.storm_name(*place)] = None
        elif place in told:
            texts[keeping.storm_name(*place)] = keeping.storm_text(*place, now)
    return over, texts


def _ends(state: State, place: tuple[str, str], bundle: Bundle | None) -> bool:
    if bundle is not None:
        return bundle.reason is Reason.ALL_RESOLVED
    return not tuple(state.announced.members(*place))
