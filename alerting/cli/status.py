"""`alerting status`: what fires, what is unknown and why, what is still owed. Reads the state beside a daemon."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from alerting.cli import forms
from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_only
from alerting.cli.terminal import paint, say, say_json, table
from alerting.model import AlertState, DeliveryState
from alerting.ports import SECRETS
from alerting.store.sqlite import build, file_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from alerting.config.settings import Settings
    from alerting.model import Delivery, Millis
    from alerting.ports import Overview

    Secrets: TypeAlias = Mapping[str, tuple[Millis, str]]  # document -> since when it is old or missing, and why

_COLOURS = {AlertState.FIRING: "red", AlertState.PENDING: "yellow", AlertState.RESOLVED: "green"}
_ORDER = (AlertState.FIRING, AlertState.PENDING, AlertState.RESOLVED)


def main(arguments: Namespace) -> int:
    """Show the state. The exit code says only whether it could be read."""
    settings = load_settings_only(arguments.config)
    if not os.path.exists(file_of(settings.store, settings.root)):  # noqa: PTH110  a path as text
        if arguments.output == "json":
            say_json({"state": None})
        else:
            say("nothing was evaluated here yet; run `alerting check` or `alerting run`")
        return Exit.OK
    overview, secrets = asyncio.run(_read(settings))
    if arguments.output == "json":
        say_json({**_document(overview), "secrets": {name: why for name, (_, why) in secrets.items()}})
    else:
        _print(overview, secrets)
    return Exit.OK


async def _read(settings: Settings) -> tuple[Overview, Secrets]:
    store = build(settings.store, settings.root, read_only=True)
    await store.open()
    try:
        notes = await store.kept(SECRETS)
        secrets = {name.removeprefix(SECRETS): note.partition(" ")[::2] for name, note in notes.items()}
        return await store.overview(), {name: (int(since), why) for name, (since, why) in secrets.items()}
    finally:
        await store.close()


def _print(overview: Overview, secrets: Secrets) -> None:
    alerts = sorted(overview.alerts, key=lambda each: (_ORDER.index(each.state), each.key.rule_id, each.labels.pairs))
    if alerts:
        rows = [(str(each.state), each.key.rule_id, str(each.labels), _time(each.since), each.why) for each in alerts]
        colours = [_COLOURS[each.state] for each in alerts]
        say(*table(("STATE", "RULE", "SERIES", "SINCE", "REASON"), rows, colours))
    else:
        say("no alert is pending or firing")
    for _, why in sorted(overview.faults.items()):
        say(paint(f"source {why}", "red"))
    for name, (since, why) in sorted(secrets.items()):
        say(paint(f"secrets of {name}, since {_time(since)}: {why}", "red"))
    owed = [each for each in overview.deliveries if each.state in (DeliveryState.PENDING, DeliveryState.CLAIMED)]
    parked = [each for each in overview.deliveries if each.state is DeliveryState.PARKED]
    if owed or parked:
        say("")
        messages = [_delivery(each) for each in (*owed, *parked)]
        say(*table(("MESSAGE", "TO", "ATTEMPTS", "NEXT", "TITLE", "REASON"), messages))
    counts = ", ".join(f"{number} {state}" for state, number in overview.counts.items() if number)
    written = f"state last written {_time(overview.written_at)}" if overview.written_at else "nothing written yet"
    say("", f"messages: {counts or 'none'}; {written}")


def _delivery(each: Delivery) -> tuple[str, ...]:
    parked = each.state is DeliveryState.PARKED
    notification = each.notification
    return (
        "given up" if parked else "owed",
        notification.receiver,
        str(each.attempts),
        "never" if parked else _time(each.next_at),
        notification.title,
        each.why,
    )


def _time(at: Millis | None) -> str:
    """Show a time as messages and reasons do: UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def _document(overview: Overview) -> Any:
    return {
        "state": {"installation": overview.installation, "written_at": overview.written_at},
        "alerts": [forms.alert(each) for each in overview.alerts],
        "faults": dict(overview.faults),
        "deliveries": [forms.delivery(each) for each in overview.deliveries],
        "counts": dict(overview.counts),
        "transitions": [forms.transition(each) for each in overview.transitions],
    }
