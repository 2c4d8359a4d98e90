"""How silences, acknowledgements and the telling's own small state are written as kept texts of the store.

Each is one JSON text under a name with a prefix, so that a command which finds no daemon can write it as well as the
engine. A text that cannot be read is no reason to lose an alert: whoever reads it says so and goes on without it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerting.core.telling.grouping import Group
from alerting.core.telling.muting import Held
from alerting.core.telling.render import Ending
from alerting.model import LATEST, Ack, AlertKey, Ended, Matcher, Silence, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis

SILENCE = "silence/"  # and the id
ACK = "ack/"  # and rule id, `#`, fingerprint
GROUP = "group/"  # and receiver, `#`, the group: what the timers of a group must remember
OVER = "over/"  # and rule id, `#`, fingerprint: how an alert ended of whose end somebody was not told
HELD = "held/"  # and rule id, `#`, fingerprint, `#`, receiver: what holds something back
STORM = "storm/"  # and receiver, `#`, group key: when a summary was told last
STAND_IN = "stand-in/"  # and rule id, `#`, fingerprint, `#`, receiver: which episode it was told in another's place
ERA = "era"  # the whole name: how often stamps have gone back, since the wall was set back
PREFIXES = (SILENCE, ACK, GROUP, OVER, HELD, STORM, STAND_IN, ERA)


def silence_name(silence_id: str) -> str:
    """Name the text of a silence."""
    return f"{SILENCE}{silence_id}"


def ack_name(key: AlertKey) -> str:
    """Name the text of an acknowledgement: there is one for an alert."""
    return f"{ACK}{key.rule_id}#{key.fingerprint}"


def silence_text(silence: Silence) -> str:
    """Write a silence."""
    return _dump({**silence._asdict(), "matchers": [list(each) for each in silence.matchers]})


def read_silence(text: str) -> Silence:
    """Read what `silence_text` wrote. Raises ValueError."""
    fields = _load(text, Silence._fields)
    matchers = tuple(Matcher(*(str(part) for part in each)) for each in fields.pop("matchers"))
    if not matchers:
        raise ValueError("a silence without matchers")
    _look(fields, ("starts", "ends", "created"), ("id", "author", "comment"))
    return Silence(matchers=matchers, **fields)


def ack_text(ack: Ack) -> str:
    """Write an acknowledgement."""
    return _dump({**ack._asdict(), "key": list(ack.key)})


def read_ack(text: str) -> Ack:
    """Read what `ack_text` wrote. Raises ValueError."""
    fields = _load(text, Ack._fields)
    _look(fields, ("at", "until"), ("episode", "by"))
    return Ack(key=AlertKey(*(str(part) for part in fields.pop("key"))), **fields)


def group_name(group: Group) -> str:
    """Name the text of a group's timers."""
    return f"{GROUP}{group.receiver}#{group.name}"


def group_text(group: Group) -> str:
    """Write a group's timers."""
    return _dump(group._asdict())


def read_group(text: str) -> Group:
    """Read what `group_text` wrote. Raises ValueError."""
    return Group(**_timed(_load(text, Group._fields), "waiting_since", "spoken_at"))


def over_name(key: AlertKey) -> str:
    """Name the text of an end that was not told to all."""
    return f"{OVER}{key.rule_id}#{key.fingerprint}"


def over_text(key: AlertKey, ending: Ending) -> str:
    """Write how an alert ended."""
    return _dump({**ending._asdict(), "key": list(key)})


def read_over(text: str) -> tuple[AlertKey, Ending]:
    """Read what `over_text` wrote. Raises ValueError."""
    fields = _timed(_load(text, ("key", *Ending._fields)), "at")
    return AlertKey(*fields.pop("key")), Ending(**{**fields, "ended": Ended(fields["ended"])})


def held_name(key: AlertKey, receiver: str) -> str:
    """Name the text of what holds something back."""
    return f"{HELD}{key.rule_id}#{key.fingerprint}#{receiver}"


def held_text(key: AlertKey, receiver: str, step: Step, held: Held) -> str:
    """Write what holds something back."""
    return _dump({"key": list(key), "receiver": receiver, "step": step, **held._asdict()})


def read_held(text: str) -> tuple[tuple[AlertKey, str], tuple[Step, Held]]:
    """Read what `held_text` wrote. Raises ValueError."""
    fields = _timed(_load(text, ("key", "receiver", "step", *Held._fields)), "until")
    place = AlertKey(*fields.pop("key")), str(fields.pop("receiver"))
    return place, (Step(fields.pop("step")), Held(**fields))


def storm_name(receiver: str, group_key: str) -> str:
    """Name the text of a storm's summary."""
    return f"{STORM}{receiver}#{group_key}"


def storm_text(receiver: str, group_key: str, at: Millis) -> str:
    """Write when a summary was told last."""
    return _dump({"receiver": receiver, "group_key": group_key, "at": at})


def read_storm(text: str) -> tuple[tuple[str, str], Millis]:
    """Read what `storm_text` wrote. Raises ValueError or KeyError."""
    fields = _load(text, ("receiver", "group_key", "at"))
    return (str(fields["receiver"]), str(fields["group_key"])), int(fields["at"])


def stand_in_name(key: AlertKey, receiver: str) -> str:
    """Name the text of what a receiver was told in another's place: there is one for an alert."""
    return f"{STAND_IN}{key.rule_id}#{key.fingerprint}#{receiver}"


def stand_in_text(key: AlertKey, receiver: str, episode: str, at: Millis) -> str:
    """Write which episode a receiver was told in another's place, and when."""
    return _dump({"key": list(key), "receiver": receiver, "episode": episode, "at": at})


def read_stand_in(text: str) -> tuple[tuple[AlertKey, str], tuple[str, Millis]]:
    """Read what `stand_in_text` wrote. Raises ValueError or KeyError."""
    fields = _load(text, ("key", "receiver", "episode", "at"))
    _look(fields, ("at",), ("receiver", "episode"))
    return (AlertKey(*(str(part) for part in fields["key"])), fields["receiver"]), (fields["episode"], fields["at"])


def _look(fields: Mapping[str, Any], times: Sequence[str], texts: Sequence[str]) -> None:
    """See to it that what others may write is of its kind, and no time beyond all dates. Raises ValueError."""
    for name in times:
        if type(fields.get(name)) is not int or not 0 <= fields[name] <= LATEST:
            raise ValueError(f"{name} is no time")
    for name in texts:
        if not isinstance(fields.get(name), str):
            raise ValueError(f"{name} is no text")  # noqa: TRY004  as all that is wrong with a text


def _timed(fields: dict[str, Any], *times: str) -> dict[str, Any]:
    """Give fields back whose times are times, or none. Raises ValueError: what is reckoned with later must be sound."""
    for name in times:
        if fields.get(name) is not None and type(fields[name]) is not int:
            raise ValueError(f"{name} is no time")
    return fields


def _dump(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


def _load(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        fields = json.loads(text)
        found = {name: fields[name] for name in names if name in fields}
    except (ValueError, TypeError) as error:
        raise ValueError(f"not readable: {type(error).__name__}") from None
    if missing := {"key", "id", "ends", "episode"}.intersection(names) - found.keys():
        raise ValueError(f"{' and '.join(sorted(missing))} is missing")
    return found
