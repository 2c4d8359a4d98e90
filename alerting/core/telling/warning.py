"""A silence that is about to end while it hides something: said once, to whom the hidden would have been told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from alerting.core.backoff import words
from alerting.model import Notification, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from alerting.core.telling.muting import Held
    from alerting.core.telling.plan import Plan
    from alerting.core.telling.routing import Subject
    from alerting.core.telling.state import State
    from alerting.model import AlertKey, Millis, Silence


def ending_silences(
    state: State,
    plan: Plan,
    now: Millis,
    held: Mapping[tuple[AlertKey, str], tuple[Step, Held]],
    subject_of: Callable[[AlertKey], Subject | None],
) -> tuple[list[Notification], list[tuple[str, Millis]]]:
    """Give the warnings that are due, and which silences (id, end) they are of. Pagers are left alone.

    `subject_of` gives what fires by now: one that began to at this moment would else be hidden without a name, and a
    message that names nothing reads as if all were well.
    """
    messages: list[Notification] = []
    warned: list[tuple[str, Millis]] = []
    for silence in state.silences.values():
        if not _is_worth(silence, plan) or not silence.ends - plan.silence_warning <= now < silence.ends:
            continue
        if (silence.id, silence.ends) in state.warned:
            continue
        hidden: dict[str, list[AlertKey]] = {}
        for (key, receiver), (_, why) in held.items():
            if why.stage == "silence" and why.by == silence.id and plan.stands_for_group(receiver):
                hidden.setdefault(receiver, []).append(key)
        messages += [
            _warning(silence, receiver, [each for key in keys if (each := subject_of(key))], state, plan, now)
            for receiver, keys in hidden.items()
        ]
        if hidden:
            warned.append((silence.id, silence.ends))
    return messages, warned


def warns_at(state: State, plan: Plan, hiding: Collection[str], now: Millis) -> list[Millis]:
    """Give the times of the warnings to come, of silences (their ids) that hide something."""
    return [
        silence.ends - plan.silence_warning
        for silence in state.silences.values()
        if silence.id in hiding and now < silence.ends and _is_worth(silence, plan)
        if (silence.id, silence.ends) not in state.warned
    ]


def _is_worth(silence: Silence, plan: Plan) -> bool:
    """Tell whether a silence lasts long enough: a short one is over before a warning helps."""
    return silence.ends - silence.starts > plan.silence_warning


def _warning(  # noqa: PLR0917  the parts of a message
    silence: Silence, receiver: str, subjects: Sequence[Subject], state: State, plan: Plan, now: Millis
) -> Notification:
    text = f"{silence.id} {silence.ends} {receiver} {state.installation}"
    identity = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    firing = [subject.notice._replace(step=Step.ONGOING) for subject in subjects]
    many = f"{len(firing)} alerts" if len(firing) > 1 else "1 alert"
    return Notification(
        id=identity,
        receiver=receiver,
        group_key=f"alerting-{identity}",
        reason=f"a silence ends ({many} hidden)",
        created=now,
        title=f"the silence of {silence.author} ends in {words(silence.ends - now)}: {many} still firing then told",
        firing=tuple(firing),
        external_labels=dict(plan.external_labels),
        notes=tuple(note for note in (silence.comment, f"silence {silence.id}") if note),
        route="would be told of what the silence hides",
        announces=False,
    )
