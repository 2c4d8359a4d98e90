"""`alerting status`: what fires, what is unknown and why, what is still owed. Reads the state beside a daemon."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_only
from alerting.cli.terminal import paint, say, say_json, table
from alerting.model import AlertState, DeliveryState
from alerting.store.sqlite import build, file_of

if TYPE_CHECKING:
    from argparse import Namespace

    from alerting.config.settings import Settings
    from alerting.model import Alert, Delivery, Millis
    from alerting.ports import Overview

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
    overview = asyncio.run(_overview(settings))
    if arguments.output == "json":
        say_json(_document(overview))
    else:
        _print(overview)
    return Exit.OK


async def _overview(settings: Settings) -> Overview:
    store = build(settings.store, settings.root, read_only=True)
    await store.open()
    try:
        return await store.overview()
    finally:
        await store.close()


def _print(overview: Overview) -> None:
    alerts = sorted(overview.alerts, key=lambda each: (_ORDER.index(each.state), each.key.rule_id, each.labels.pairs))
    if alerts:
        rows = [(str(each.state), each.key.rule_id, str(each.labels), _time(each.since), each.why) for each in alerts]
        colours = [_COLOURS[each.state] for each in alerts]
        say(*table(("STATE", "RULE", "SERIES", "SINCE", "REASON"), rows, colours))
    else:
        say("no alert is pending or firing")
    for _, why in sorted(overview.faults.items()):
        say(paint(f"source {why}", "red"))
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
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def _document(overview: Overview) -> Any:
    return {
        "state": {"installation": overview.installation, "written_at": overview.written_at},
        "alerts": [_alert(each) for each in overview.alerts],
        "sources": dict(overview.faults),
        "deliveries": [
            {
                "notification": each.notification.id,
                "receiver": each.notification.receiver,
                "title": each.notification.title,
                "state": each.state,
                "attempts": each.attempts,
                "next_at": each.next_at,
                "why": each.why,
            }
            for each in overview.deliveries
        ],
        "counts": dict(overview.counts),
        "transitions": [
            {
                "rule": each.key.rule_id,
                "labels": each.labels.as_dict(),
                "before": each.before,
                "after": each.after,
                "at": each.at,
                "why": each.why,
                "ended": each.ended,
            }
            for each in overview.transitions
        ],
    }


def _alert(each: Alert) -> Any:
    return {
        "rule": each.key.rule_id,
        "labels": each.labels.as_dict(),
        "state": each.state,
        "since": each.since,
        "value": each.value,
        "why": each.why,
        "episode": each.episode,
        "unknown_since": each.paused_at,
    }
