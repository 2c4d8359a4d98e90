"""What a round keeps and forgets in passing: silences and stand-ins that are long over, and the pace of storms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.telling import keeping
from alerting.core.telling.digest import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.telling.digest import Bundle
    from alerting.core.telling.state import State
    from alerting.model import AlertKey, Millis

_ASKED_FOR: Millis = 30 * 86_400_000  # a silence that is over for so long is forgotten, as the history is
_PASSED_ON: Millis = 2 * 86_400_000  # no message waits for so long to be passed on

Texts = dict[str, "str | None"]


def silences_over(state: State, now: Millis) -> tuple[list[str], Texts]:
    """Find the silences (their ids) that nobody will ask for any more."""
    over = [each.id for each in state.silences.values() if now - each.ends >= _ASKED_FOR]
    return over, {keeping.silence_name(each): None for each in over}


def stand_ins_over(state: State, now: Millis) -> tuple[list[tuple[AlertKey, str]], Texts]:
    """Find what was told in another's place so long ago that nothing more of it can be passed on."""
    over = []
    for place, (_, at) in state.stand_ins.items():  # the oldest comes first
        if now - at < _PASSED_ON:
            break
        over.append(place)
    return over, {keeping.stand_in_name(*place): None for place in over}


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
