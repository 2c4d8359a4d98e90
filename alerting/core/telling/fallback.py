"""What a receiver could not be told, written for another one.

The law. What fires and the fallback does not know of yet is told to it as new, in a message of its own that says who
could not be told and why. From then on it counts as told: the end goes to it as to anybody else. What came and went
meanwhile, and ends that could not be told, go to those whose message stands for a group; a pager is woken by nothing
that is over, got better or was taken on. A message is never passed to a receiver that it was passed on from: there are
no circles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.digest import group_key_of, hashed
from alerting.core.telling.folding import came_and_went, folded
from alerting.model import LOUD, Decision, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alerting.model import Millis, Notice, Notification, Receiver


class Knowledge(NamedTuple):
    """What is known now of that which a message speaks of."""

    installation: str
    now: Millis
    fires: Callable[[Notice], bool]  # the episode still goes on
    knows: Callable[[Notice, str], bool]  # a receiver was told of it, or must not be


def passed_on(
    waiting: Sequence[Notification], why: str, receivers: Mapping[str, Receiver], knowledge: Knowledge
) -> list[Notification]:
    """Write what a receiver could not be told for its fallback. `waiting` is of one group key, in order, not empty."""
    receiver = waiting[0].receiver
    told = folded(waiting, "group").told
    passed = (*told.instead_of, receiver)
    known = receivers.get(receiver)
    others = [each for each in (known.fallback if known else ()) if each in receivers and each not in passed]
    message = told._replace(
        instead_of=passed, created=knowledge.now, notes=(*told.notes, _note(receiver, why)), noted_ends=()
    )
    return [
        each
        for other in dict.fromkeys(others)
        for each in _written(message, other, receivers[other].stands_for == "group", knowledge)
    ]


def reasons(passed: Sequence[Notification]) -> list[Decision]:
    """Say why each of these was told to somebody else."""
    return [
        Decision(
            message.created,
            notice.key,
            notice.episode,
            str(notice.step),
            message.receiver,
            "told",
            "fallback",
            f"told in place of {message.instead_of[-1]}, which could not be",
            message.id,
        )
        for message in passed
        for notice in (*message.firing, *message.resolved)
    ]


def _note(receiver: str, why: str) -> str:
    return f"{receiver} could not be told: {why}"


def _written(message: Notification, receiver: str, group: bool, knowledge: Knowledge) -> Iterator[Notification]:
    news = [
        (each._replace(step=Step.FIRING, was="") if each.step in LOUD else each)._replace(before=None, heard="")
        for each in message.firing
        if each.step != Step.ONGOING and not knowledge.knows(each, receiver)
    ]
    alive = [each for each in news if knowledge.fires(each)]
    if not group:
        for each in alive:
            if each.step != Step.FIRING:
                continue  # that somebody has taken it on, or that it got better, wakes nobody
            key = group_key_of(knowledge.installation, each.key.rule_id, each.episode)
            yield message._replace(
                id=hashed("fallback", receiver, message.id, *each.key, each.episode),
                receiver=receiver,
                group_key=key,
                title=message.title if len(message.firing) == 1 else f"{each.name}: {each.why}",
                firing=(each,),
                resolved=(),
                loud=True,
            )
        return
    gone = [each for each in news if not knowledge.fires(each)]
    ended = tuple(each for each in message.resolved if not knowledge.knows(each, receiver))
    says = (*alive, *ended)  # the same message is passed on once more where a part of it was silenced
    if alive or gone or ended:
        own = hashed("in place of", message.instead_of[-1], message.group_key)  # its own group may have that very key
        yield message._replace(
            id=hashed("fallback", receiver, message.id, *(text for each in says for text in (*each.key, each.episode))),
            receiver=receiver,
            group_key=f"alerting-{own}",
            firing=tuple(alive),
            resolved=ended,
            loud=bool(alive),
            notes=(*message.notes, *came_and_went(gone)),
        )
