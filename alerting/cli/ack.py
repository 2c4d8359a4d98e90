"""`alerting ack`: take on an alert, so that nobody else is woken for it; give it back; list who has taken on what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli import finding, state
from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_for_state
from alerting.cli.terminal import clean, say, say_json, table
from alerting.cli.times import distance, shown
from alerting.core.telling.keeping import ack_name, ack_text
from alerting.errors import AlertingError
from alerting.model import Ack, AlertState

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from alerting.cli.finding import Meant
    from alerting.cli.state import Seen
    from alerting.model import Alert

NOTHING = "nothing was evaluated here yet, so nothing fires; run `alerting check` or `alerting run`"


def main(arguments: Namespace) -> int:
    """Acknowledge, withdraw or list."""
    return asyncio.run(_ack(arguments))


async def _ack(arguments: Namespace) -> int:
    settings = load_settings_for_state(arguments.config)
    seen = await state.seen(settings)
    if arguments.alert in (None, "list"):
        if arguments.withdraw:
            raise AlertingError("say which acknowledgement is withdrawn: `alerting ack ALERT --withdraw`")
        return _list(seen, arguments)
    if not arguments.duration:
        raise AlertingError("an acknowledgement for 0s is over at once; to take one back write --withdraw")
    if seen is None:
        raise AlertingError(NOTHING)
    found = finding.one(arguments.alert, finding.meant(arguments.alert, finding.candidates(seen), seen.specs))
    alert = found.alert
    before = None if alert is None else seen.ack(alert)
    if arguments.withdraw:
        if before is None:
            raise AlertingError(f"{found} is acknowledged by nobody")
        await state.keep(settings, {ack_name(found.key): None})
        return _tell(arguments, f"{found}: the acknowledgement of {clean(before.by)} is withdrawn", found, before)
    if alert is None or alert.state is not AlertState.FIRING:
        since = f" since {shown(alert.since)}" if alert is not None else ""
        raise AlertingError(f"{found} does not fire: it is {found.state}{since}")
    ack = Ack(
        found.key,
        alert.episode,
        state.author(arguments.author),
        seen.now,
        seen.now + arguments.duration,
        found.labels.get("severity", ""),
        arguments.comment,
    )
    await state.keep(settings, {ack_name(ack.key): ack_text(ack)})
    instead = f" (instead of {clean(before.by)})" if before is not None and before.by != ack.by else ""
    text = (
        f"{found}: acknowledged by {clean(ack.by)}{instead} until {shown(ack.until)} ({distance(ack.until, seen.now)})"
    )
    return _tell(arguments, text, found, ack)


def _tell(arguments: Namespace, text: str, found: Meant, ack: Ack) -> int:
    if arguments.output == "json":
        say_json(document(found, ack) | {"withdrawn": arguments.withdraw})
    else:
        say(text)
    return Exit.OK


def _list(seen: Seen | None, arguments: Namespace) -> int:
    acks = [] if seen is None else in_force(seen)
    if arguments.output == "json":
        say_json({"acks": [document(found, ack) for found, ack in acks]})
    elif seen is None or not acks:
        say("nothing is acknowledged")
    else:
        rows = [
            (
                str(found),
                clean(ack.by),
                shown(ack.at),
                f"{shown(ack.until)} ({distance(ack.until, seen.now)})",
                ack.comment,
            )
            for found, ack in acks
        ]
        say(*table(("ALERT", "BY", "SINCE", "UNTIL", "COMMENT"), rows))
    return Exit.OK


def in_force(seen: Seen) -> list[tuple[Meant, Ack]]:
    """Give the acknowledgements that are in force, each with its alert, those that end first before the others."""
    found = [(each, ack) for each in finding.candidates(seen) if (ack := _of(seen, each.alert)) is not None]
    return sorted(found, key=lambda pair: (pair[1].until, pair[0].key))


def _of(seen: Seen, alert: Alert | None) -> Ack | None:
    return seen.ack(alert) if alert is not None and alert.state is AlertState.FIRING else None


def document(found: Meant, ack: Ack) -> dict[str, Any]:
    """Give an acknowledgement as JSON shows it."""
    return {
        "rule": found.key.rule_id,
        "name": found.name,
        "labels": found.series.as_dict(),
        "fingerprint": found.key.fingerprint,
        "episode": ack.episode,
        "by": ack.by,
        "at": ack.at,
        "until": ack.until,
        "severity": ack.severity,
        "comment": ack.comment,
    }
