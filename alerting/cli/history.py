"""`alerting history`: what happened to alerts and to messages, one line each, the newest last."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.cli import finding, forms, state
from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_for_state
from alerting.cli.stories import attempted, decided
from alerting.cli.terminal import clean, flush, paint, say, say_json, warn
from alerting.cli.times import back, shown
from alerting.core.builtin import CANARY
from alerting.core.lang.suggest import did_you_mean
from alerting.model import DeliveryState

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from alerting.cli.state import Seen
    from alerting.config.settings import Settings
    from alerting.model import AlertKey, Attempt, Decision, Millis, Notification, Transition
    from alerting.ports import History
    from alerting.store.sqlite import SqliteStore

_POLL = 0.5  # s between two looks
_MOST = 10_000  # events of each kind
_RANK = {"transition": 0, "decision": 1, "attempt": 2}  # of what happened at one moment
_COLOURS = {"firing": "red", "pending": "yellow", "resolved": "green"}


class Event(NamedTuple):
    """One line."""

    at: Millis
    kind: str  # transition, decision, attempt
    line: str
    document: dict[str, Any]
    colour: str = ""


def main(arguments: Namespace) -> int:
    """List what happened; with --follow go on until interrupted."""
    settings = load_settings_for_state(arguments.config)
    try:
        return asyncio.run(_history(settings, arguments))
    except KeyboardInterrupt:
        if not arguments.follow:
            raise
        return Exit.OK


async def _history(settings: Settings, arguments: Namespace) -> int:
    since = back(arguments.since, state.now_ms())
    while not state.exists(settings):
        if not arguments.follow:
            _none(arguments)
            return Exit.OK
        await asyncio.sleep(_POLL)
    async with state.reading(settings) as store:
        seen = await state.look(settings, store)
        wanted = None if arguments.alert is None else await _keys(seen, store, arguments)
        found = await store.history(since, limit=_MOST)
        if max(len(found.transitions), len(found.decisions), len(found.attempts)) == _MOST:
            warn(f"note: more happened than is shown: of each kind the newest {_MOST}; --since can be nearer")
        events = _events(found, seen, wanted, arguments)
        _print(events, arguments)
        unheard_of = not settings.partial and arguments.receiver not in (None, *settings.receivers)
        if not events and unheard_of:
            hint = did_you_mean(arguments.receiver, settings.receivers)
            warn(f"note: the settings have no receiver {clean(arguments.receiver)!r}; {hint}".rstrip("; "))
        while arguments.follow:
            flush()
            await asyncio.sleep(_POLL)
            found = await store.history(since, found.marks)
            if found.transitions or found.decisions or found.attempts:
                seen = await state.look(settings, store)  # rules may have come and gone
                if arguments.alert is not None:
                    wanted = await _keys(seen, store, arguments)
                _print(_events(found, seen, wanted, arguments), arguments)
    return Exit.OK


def _none(arguments: Namespace) -> None:
    if arguments.output == "json":
        say_json({"events": []})
    else:
        say("nothing was evaluated here yet; run `alerting check` or `alerting run`")


async def _keys(seen: Seen, store: SqliteStore, arguments: Namespace) -> frozenset[AlertKey]:
    """Find all alerts that are meant: here many may be. Raises AlertingError where nothing has that name."""
    past = (await store.history(1)).transitions
    return frozenset(each.key for each in finding.meant(arguments.alert, finding.candidates(seen, past), seen.specs))


def _print(events: list[Event], arguments: Namespace) -> None:
    if arguments.output != "json":
        if not events and not arguments.follow:
            say(f"nothing happened since {shown(back(arguments.since, state.now_ms()))}")
        say(*(f"{shown(each.at)}  {paint(clean(each.line), each.colour)}" for each in events))
    elif arguments.follow:
        say(*(json.dumps(each.document, ensure_ascii=False) for each in events))  # one a line, as they come
    else:
        say_json({"events": [each.document for each in events]})


def _events(found: History, seen: Seen, wanted: frozenset[AlertKey] | None, arguments: Namespace) -> list[Event]:
    """Make lines of what was found and is wanted, oldest first."""
    receiver = arguments.receiver
    moves = [] if receiver is not None else [each for each in found.transitions if _is_wanted(each.key, wanted)]
    events = [_transition(each, seen) for each in moves]
    if arguments.all:
        mine = (each for each in found.decisions if receiver in (None, each.receiver) and _is_wanted(each.key, wanted))
        events.extend(_decision(each, seen) for each in mine)
    for attempt, message in found.attempts:
        keys = list(_named(message))
        named = any(_is_wanted(key, wanted) for key in keys) if keys else wanted is None
        if named and receiver in (None, message.receiver):
            events.append(_attempt(attempt, message))
    return sorted(events, key=lambda event: (event.at, _RANK[event.kind]))


def _is_wanted(key: AlertKey, wanted: frozenset[AlertKey] | None) -> bool:
    return key.rule_id != CANARY if wanted is None else key in wanted


def _named(message: Notification) -> Iterator[AlertKey]:
    return (notice.key for notice in (*message.firing, *message.resolved))


def _transition(each: Transition, seen: Seen) -> Event:
    level = f" ({each.level})" if each.level else ""
    moved = f"{each.before} -> {each.after}" if each.before is not each.after else str(each.after)
    line = f"{seen.name(each.key)}{each.labels}  {moved}{level}: {each.why}"
    document = {"event": "transition", "name": seen.name(each.key), **forms.transition(each)}
    return Event(each.at, "transition", line, document, _COLOURS.get(each.after, ""))


def _decision(each: Decision, seen: Seen) -> Event:
    whom = f"to {each.receiver}" if each.receiver else "to nobody"
    line = f"{seen.name(each.key)}  {whom}: {decided(each)}"
    return Event(each.at, "decision", line, {"event": "decision", "name": seen.name(each.key), **forms.decision(each)})


def _attempt(attempt: Attempt, message: Notification) -> Event:
    line = f"message {message.id[:8]} to {message.receiver}, {attempted(attempt)}: {message.title}"
    document = {
        "event": "attempt",
        "notification": message.id,
        "receiver": message.receiver,
        "title": message.title,
        **forms.attempt(attempt),
    }
    bad = attempt.state is not DeliveryState.SENT and attempt.state is not DeliveryState.CLAIMED
    return Event(attempt.at, "attempt", line, document, "red" if bad else "")
