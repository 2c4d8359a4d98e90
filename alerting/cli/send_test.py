"""`alerting send-test`: one message to one receiver, marked as a test, and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.loading import load
from alerting.cli.terminal import say, warn
from alerting.core.lang.suggest import did_you_mean
from alerting.errors import AlertingError
from alerting.model import AlertKey, Notice, Notification, Outcome
from alerting.wiring import Program, dry_store, external_labels, host_name

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from alerting.config.settings import Settings
    from alerting.model import Millis


_MEANS = {
    Outcome.UNKNOWN: "it may have arrived; an alert would be sent again",
    Outcome.RETRY: "an alert would be sent again",
    Outcome.REFUSED: "an alert would be given up",
}


def main(arguments: Namespace) -> int:
    """Send; exit 3 when it did not arrive."""
    return asyncio.run(_send(arguments))


async def _send(arguments: Namespace) -> int:
    loaded = load(arguments.config)
    settings = loaded.settings
    name, receivers, teams = arguments.receiver, settings.receivers, settings.teams
    if settings.configured and name not in receivers and name not in teams:
        names = {**receivers, **teams}
        hint = did_you_mean(name, names) or f"there are: {', '.join(names) or 'none'}"
        raise AlertingError(f"the settings have no receiver {name!r}; {hint}")
    members = (name,) if name in receivers or name not in teams else teams[name]
    if not members:
        raise AlertingError(f"{name!r} is nobody: nothing of it could be taken from the settings")
    program = Program(settings, say=say, dry=await dry_store(settings))
    try:
        await program.fetch_secrets(settings)
        taken = [await _told(each, program, settings) for each in members]
    finally:
        await program.close()
    return Exit.OK if all(taken) else Exit.INCOMPLETE


async def _told(name: str, program: Program, settings: Settings) -> bool:
    """Send the messages to one receiver; tell whether it took them."""
    notifier, before = program.notifier(name, settings), None
    for notification in _messages(name, program.clock.now(), external_labels(settings)):
        answer = await notifier.deliver(notification, before)
        before = answer.receipt
        state = "resolve" if notification.all_resolved else "alert"
        if answer.outcome is not Outcome.SENT:
            warn(f"{name} did not take the test {state}: {program.redact(answer.why)} ({_MEANS[answer.outcome]})")
            return False
        say(f"{name} took the test {state}")
    return True


def _messages(receiver: str, now: Millis, common: Mapping[str, str]) -> list[Notification]:
    """Make a firing message and its resolve, both saying plainly what they are."""
    notice = Notice(
        key=AlertKey("alerting/test", "test"),
        episode=f"test-{now}",
        step="firing",
        name="TestMessage",
        labels={},
        severity="info",
        value="",
        why=f"a test sent by `alerting send-test {receiver}`; nothing is wrong",
        fired_at=now,
    )
    ended = Notice(
        key=notice.key,
        episode=notice.episode,
        step="resolved",
        name=notice.name,
        labels=notice.labels,
        severity=notice.severity,
        value="",
        why=notice.why,
        fired_at=now,
        resolved_at=now,
        ended="the test is over",
    )
    key = f"alerting-test-{host_name()}-{now}"
    return [
        Notification(f"{key}-1", receiver, key, "test", now, "TEST: TestMessage", (notice,), (), common),
        Notification(f"{key}-2", receiver, key, "test over", now, "TEST over: TestMessage", (), (ended,), common),
    ]
