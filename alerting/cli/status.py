"""`alerting status`: what fires, what is unknown and why, what is still owed. Reads the state beside a daemon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from alerting.cli import forms, state
from alerting.cli.ack import document, in_force
from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_for_state
from alerting.cli.silence import lines_of as silences_in_force
from alerting.cli.silence import state_of
from alerting.cli.stories import decided
from alerting.cli.terminal import clean, paint, say, say_json, table
from alerting.cli.times import shown
from alerting.control import ping
from alerting.core.builtin import CANARY
from alerting.core.telling.flapping import judge
from alerting.errors import LockHeld
from alerting.model import AlertState, DeliveryState
from alerting.ports import SECRETS
from alerting.store.sqlite import file_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.cli.state import Seen
    from alerting.config.settings import Settings
    from alerting.model import Alert, AlertKey, Decision, Delivery, Millis
    from alerting.ports import Overview

    Secrets: TypeAlias = Mapping[str, tuple[Millis, str]]  # document -> since when it is old or missing, and why

_LOOKED_AT = 500  # firing alerts of which it is shown what is held back
_COLOURS = {AlertState.FIRING: "red", AlertState.PENDING: "yellow", AlertState.RESOLVED: "green"}
_ORDER = (AlertState.FIRING, AlertState.PENDING, AlertState.RESOLVED)


class Standing(NamedTuple):
    """All that `status` shows."""

    overview: Overview
    seen: Seen
    secrets: Secrets
    held: Sequence[Decision]  # what is owed of firing alerts and held back now
    flapping: Mapping[AlertKey, str]  # why alerts count as flapping
    daemon: str  # what is known of the one that holds the state; empty: none does


def main(arguments: Namespace) -> int:
    """Show the state. The exit code says only whether it could be read."""
    settings = load_settings_for_state(arguments.config)
    if not state.exists(settings):
        if arguments.output == "json":
            say_json({"state": None})
        else:
            say("nothing was evaluated here yet; run `alerting check` or `alerting run`")
        return Exit.OK
    standing = asyncio.run(_read(settings))
    if arguments.output == "json":
        say_json(_document(standing))
    else:
        _print(standing)
    return Exit.OK


async def _read(settings: Settings) -> Standing:
    async with state.reading(settings) as store:
        seen = await state.look(settings, store)
        notes = await store.kept(SECRETS)
        secrets = {name.removeprefix(SECRETS): note.partition(" ")[::2] for name, note in notes.items()}
        overview = _without_canary(await store.overview())
        firing = [each for each in overview.alerts if each.state is AlertState.FIRING]
        decisions = [await store.decisions(each.key) for each in firing[:_LOOKED_AT]]
    flapping = {each.key: judge(each, seen.now, settings.flapping) for each in overview.alerts}
    return Standing(
        overview,
        seen,
        {name: (int(since), why) for name, (since, why) in secrets.items()},
        [each for of_one in decisions for each in _held(of_one)],
        {key: why for key, why in flapping.items() if why},
        _daemon(file_of(settings.store, settings.root)),
    )


def _held(decisions: Sequence[Decision]) -> Iterator[Decision]:
    """Give what is held back now of one alert: the newest word on each receiver, where it is that."""
    newest: dict[str, Decision] = {}
    for each in decisions:
        if each.episode == decisions[0].episode:
            newest.setdefault(each.receiver, each)
    return (each for each in newest.values() if each.outcome == "held")


def _daemon(path: str) -> str:
    try:
        pid = ping(path)
    except LockHeld as error:
        return str(error)
    return f"a daemon watches (process {pid})" if pid else ""


def _without_canary(overview: Overview) -> Overview:
    """Leave out what alerting tells itself; in the counts of messages it is counted."""
    return overview._replace(
        alerts=tuple(each for each in overview.alerts if each.key.rule_id != CANARY),
        transitions=tuple(each for each in overview.transitions if each.key.rule_id != CANARY),
    )


def _print(standing: Standing) -> None:
    overview, seen = standing.overview, standing.seen
    alerts = sorted(overview.alerts, key=lambda each: (_ORDER.index(each.state), each.key.rule_id, each.labels.pairs))
    if alerts:
        rows = [
            (_state(each, standing), seen.name(each.key), str(each.labels), shown(each.since), each.why)
            for each in alerts
        ]
        colours = [_COLOURS[each.state] for each in alerts]
        say(*table(("STATE", "RULE", "SERIES", "SINCE", "REASON"), rows, colours))
    else:
        say("no alert is pending or firing")
    for found, ack in in_force(seen):
        say(paint(clean(f"{found}: acknowledged by {ack.by} until {shown(ack.until)}{_said(ack.comment)}"), "yellow"))
    say(*silences_in_force(seen))
    for each in standing.held:
        say(paint(clean(f"held back: {seen.name(each.key)} to {each.receiver}: {decided(each)}"), "yellow"))
    for key, why in standing.flapping.items():
        say(paint(clean(f"{seen.name(key)} flaps: {why}"), "yellow"))
    for _, why in sorted(overview.faults.items()):
        say(paint(clean(f"source {why}"), "red"))
    for name, (since, why) in sorted(standing.secrets.items()):
        say(paint(clean(f"secrets of {name}, since {shown(since)}: {why}"), "red"))
    _print_messages(overview, standing.daemon)


def _state(alert: Alert, standing: Standing) -> str:
    """Give the state with what there is to know of it: `firing (critical, acknowledged)`."""
    acked = alert.state is AlertState.FIRING and standing.seen.ack(alert) is not None
    more = (alert.level, "acknowledged" if acked else "", "flapping" if alert.key in standing.flapping else "")
    told = ", ".join(filter(None, more))
    return f"{alert.state} ({told})" if told else str(alert.state)


def _said(comment: str) -> str:
    return f": {comment}" if comment else ""


def _print_messages(overview: Overview, daemon: str) -> None:
    owed = [each for each in overview.deliveries if each.state in (DeliveryState.PENDING, DeliveryState.CLAIMED)]
    parked = [each for each in overview.deliveries if each.state is DeliveryState.PARKED]
    if owed or parked:
        say("")
        messages = [_delivery(each) for each in (*owed, *parked)]
        say(*table(("MESSAGE", "TO", "ATTEMPTS", "NEXT", "TITLE", "REASON"), messages))
    counts = ", ".join(f"{number} {state}" for state, number in overview.counts.items() if number)
    written = f"state last written {shown(overview.written_at)}" if overview.written_at else "nothing written yet"
    say("", "; ".join(filter(None, (f"messages: {counts or 'none'}", written, daemon))))


def _delivery(each: Delivery) -> tuple[str, ...]:
    parked = each.state is DeliveryState.PARKED
    notification = each.notification
    return (
        "given up" if parked else "owed",
        notification.receiver,
        str(each.attempts),
        "never" if parked else shown(each.next_at),
        notification.title,
        each.why,
    )


def _document(standing: Standing) -> Any:
    overview, seen = standing.overview, standing.seen
    return {
        "state": {"installation": overview.installation, "written_at": overview.written_at},
        "daemon": standing.daemon,
        "alerts": [
            forms.alert(each) | {"level": each.level, "flapping": standing.flapping.get(each.key, "")}
            for each in overview.alerts
        ],
        "acks": [document(found, ack) for found, ack in in_force(seen)],
        "silences": [each.id for each in seen.silences if state_of(each, seen.now) == "active"],
        "held": [forms.decision(each) for each in standing.held],
        "faults": dict(overview.faults),
        "secrets": {name: why for name, (_, why) in standing.secrets.items()},
        "deliveries": [forms.delivery(each) for each in overview.deliveries],
        "counts": dict(overview.counts),
        "transitions": [forms.transition(each) for each in overview.transitions],
    }
