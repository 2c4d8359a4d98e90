"""`alerting send-change`: tell of a change to what is watched, for the record of incidents. It pages nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.loading import load
from alerting.cli.terminal import say, warn
from alerting.core.lang.suggest import did_you_mean
from alerting.errors import AlertingError
from alerting.model import ChangeEvent, Outcome
from alerting.ports import TakesChanges
from alerting.wiring import Program, dry_store, host_name

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from alerting.config.settings import Settings
    from alerting.model import Millis
    from alerting.ports import Notifier

_MEANS = {
    Outcome.UNKNOWN: "it may have arrived",
    Outcome.RETRY: "it is not kept: run this again",
    Outcome.REFUSED: "it would not be taken again",
}


def main(arguments: Namespace) -> int:
    """Send; exit 3 when somebody did not take it."""
    return asyncio.run(_send(arguments))


async def _send(arguments: Namespace) -> int:
    settings = load(arguments.config).settings
    program = Program(settings, say=say, dry=await dry_store(settings))
    complete = True
    try:
        event = _event(arguments, program.clock.now())
        takers = _takers(program, settings, arguments.receiver)
        await program.fetch_secrets(settings)
        for name, taker in takers.items():
            answer = await taker.send_change(event)
            if answer.outcome is Outcome.SENT:
                say(f"{name} took the change")
            else:
                warn(f"{name} did not take the change: {program.redact(answer.why)} ({_MEANS[answer.outcome]})")
                complete = False
    finally:
        await program.close()
    return Exit.OK if complete else Exit.INCOMPLETE


def _event(arguments: Namespace, now: Millis) -> ChangeEvent:
    """Read the words of the command line. Raises AlertingError."""
    if not arguments.summary.strip():
        raise AlertingError("the summary is empty: say what was changed")
    for url in arguments.link:
        if not url.lower().startswith(("http://", "https://")):
            raise AlertingError(f"--link {url!r} is no address of a page: it must begin with http:// or https://")
    return ChangeEvent(
        summary=arguments.summary,
        source=arguments.source or host_name(),
        at=now,
        links=tuple(arguments.link),
        details=_details(arguments.details),
    )


def _details(words: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for word in words:
        name, found, value = word.partition("=")
        if not found or not name.strip():
            raise AlertingError(f"--details {word!r} has no name: write NAME=VALUE")
        pairs[name.strip()] = value
    return pairs


def _takers(program: Program, settings: Settings, wanted: str | None) -> Mapping[str, TakesChanges]:
    """Give the receivers that keep a record of changes: the one that is asked for, or all. Raises AlertingError."""
    receivers = settings.receivers
    if wanted is not None and wanted not in receivers:
        hint = did_you_mean(wanted, receivers) or f"there are: {', '.join(receivers) or 'none'}"
        raise AlertingError(f"the settings have no receiver {wanted!r}; {hint}")
    names = receivers if wanted is None else (wanted,)
    built: Mapping[str, Notifier] = {name: program.notifier(name, settings) for name in names}
    takers = {name: each for name, each in built.items() if isinstance(each, TakesChanges)}
    if not takers:
        who = "no receiver of the settings takes" if wanted is None else f"the receiver {wanted!r} does not take"
        raise AlertingError(f"{who} changes: only PagerDuty's do")
    return takers
