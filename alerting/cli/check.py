"""`alerting check`: evaluate once, send what is due, end. The form for cron."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alerting.cli import forms
from alerting.cli.exit import Exit
from alerting.cli.loading import Loaded, adopt, load_for_work, opened
from alerting.cli.terminal import clean, paint, say, say_json, table, warn
from alerting.core.lasting import kind_of
from alerting.errors import AlertingError, StoreError
from alerting.model import AlertState, DeliveryState, Secret
from alerting.wiring import Program, dry_store, environment

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection, Sequence

    from alerting.engine import RuleStatus, TickReport
    from alerting.model import Delivery, Notification

COLOURS = {"firing": "red", "pending": "yellow", "unknown": "blue", "ok": "green"}
DEFAULT_GAP = 300_000  # ms without evaluation that `for` runs on over, where --every does not say
_FAULTS = "fault/"  # in the state: when a kind of fault was last reported
_AGAIN = 3_600_000  # ms between two reports of one kind
_LEAST_FOR_SENDING = 1_000  # ms kept for sending, however long the reading took


def main(arguments: Namespace) -> int:
    """Run the command; give the exit code."""
    return asyncio.run(_check(arguments))


async def _check(arguments: Namespace) -> int:
    loaded = load_for_work(arguments.config)
    quiet = arguments.quiet or arguments.output == "json"
    dry = await dry_store(loaded.settings) if arguments.dry_run else None
    faults: list[tuple[str, BaseException]] = []
    program = Program(
        loaded.settings,
        say=_silent if arguments.output == "json" else say,
        dry=dry,
        on_fault=lambda part, error: faults.append((part, error)),
    )
    started = program.clock.monotonic()
    snapshot = await opened(program, loaded.settings)
    heartbeat = None if arguments.dry_run else program.heartbeat(loaded.settings, _silent if quiet else warn)
    if heartbeat is not None:
        heartbeat.begin(os.urandom(16).hex(), arguments.every)
    code = Exit.FAULT
    try:
        gap = 2 * arguments.every if arguments.every else DEFAULT_GAP
        whole = await adopt(program, loaded, snapshot, max_gap=gap)
        warn(*map(str, loaded.problems if not quiet or not loaded.good else ()))
        program.engine.report_receivers(await program.outbox.standing())
        report = await program.engine.tick(only=_chosen(program, arguments.only, whole=whole))
        left = max(_LEAST_FOR_SENDING, arguments.deadline - (program.clock.monotonic() - started))
        sent = [] if arguments.dry_run else await program.outbox.drain(left)
        statuses = program.engine.statuses()
        if arguments.only:
            statuses = [each for each in statuses if {each.rule.name, each.rule.id} & set(arguments.only)]
        owed = 0 if arguments.dry_run else len(await program.store.owing())
        code = _code(loaded, report, statuses, sent, owed)
        if arguments.output == "json":
            say_json(_document(statuses, report, sent, code, program))
        elif not quiet or _changed(report, sent, snapshot.faults):
            _print(statuses, report, sent, program, dry_run=arguments.dry_run)
        return code
    finally:
        if heartbeat is not None:
            await heartbeat.end(well=code in (Exit.OK, Exit.FIRING))
        if faults and not arguments.dry_run and os.environ.get("SENTRY_DSN"):
            await _report_faults(faults, program, environment(loaded.settings))
        await program.close()


async def _report_faults(found: Sequence[tuple[str, BaseException]], program: Program, environment: str) -> None:
    """Report faults of ours to Sentry, of each kind one in an hour, as a daemon does; the state keeps when that was."""
    from alerting.selfwatch import faults  # noqa: PLC0415  only where there is something to report

    dsn = Secret.literal(os.environ["SENTRY_DSN"])
    dsn.reveal()
    program.redact.watch([dsn])
    now, kinds = program.clock.now(), {_FAULTS + kind_of(error): (part, error) for part, error in found}
    with suppress(StoreError):  # then it is said once too often
        kept = await program.store.kept(_FAULTS)
        recent = {kind for kind, at in kept.items() if at.isdecimal() and 0 <= now - int(at) < _AGAIN}
        kinds = {kind: each for kind, each in kinds.items() if kind not in recent}
        await program.store.keep({**dict.fromkeys(kept.keys() - recent), **dict.fromkeys(kinds, str(now))})
    if kinds:
        where = [(f"a fault of alerting itself in {part}", error) for part, error in kinds.values()]
        faults.report(where, os.environ, program.redact, environment)


def _silent(_: str) -> None:
    """Say nothing."""


def _chosen(program: Program, only: Sequence[str] | None, *, whole: bool) -> Collection[str] | None:
    """Give the ids of the rules that `--only` names. Raises AlertingError for a name that no rule has.

    Where the rules in force are not the whole set, those that are missing must not count as removed: all are named.
    """
    rules = [status.rule for status in program.engine.statuses()]
    if not only:
        return None if whole else {rule.id for rule in rules}
    for name in only:
        if not any(name in (rule.name, rule.id) for rule in rules):
            known = ", ".join(sorted({rule.name for rule in rules}))
            raise AlertingError(f"--only: no rule has the name or id {name!r}; there are: {known}")
    return {rule.id for rule in rules if {rule.name, rule.id} & set(only)}


def _code(
    loaded: Loaded, report: TickReport, statuses: Sequence[RuleStatus], sent: Sequence[Delivery], owed: int
) -> Exit:
    if not loaded.good:
        return Exit.CONFIG
    if report.incomplete or owed or any(each.state is not DeliveryState.SENT for each in sent):
        return Exit.INCOMPLETE
    return Exit.FIRING if any(status.state == "firing" for status in statuses) else Exit.OK


def _changed(report: TickReport, sent: Sequence[Delivery], faults_before: object) -> bool:
    """Tell whether there is anything that the last run did not say: not that a message is owed for longer still."""
    news = any(each.after is not AlertState.PENDING for each in report.transitions)
    fresh = {each.id for each in report.notifications}
    settled = any(each.state in (DeliveryState.SENT, DeliveryState.PARKED) for each in sent)
    troubled = settled or any(each.notification.id in fresh for each in sent)
    return bool(news or troubled or report.trouble or dict(report.faults) != faults_before)


def _print(
    statuses: Sequence[RuleStatus],
    report: TickReport,
    sent: Sequence[Delivery],
    program: Program,
    *,
    dry_run: bool,
) -> None:
    rows = [(each.shown, each.rule.name, each.value, _reason(each)) for each in statuses]
    say(*table(("STATE", "RULE", "VALUE", "REASON"), rows, [COLOURS[each.state] for each in statuses]))
    say(*(paint(f"source {clean(program.redact(why))}", "blue") for _, why in sorted(report.faults.items())))
    for notice in report.notices:
        say(f"note: {clean(notice)}")
    if report.trouble:
        say(paint(f"not saved: {clean(report.trouble)}", "red"))
    if dry_run:
        say(*(f"would send to {each.receiver}: {clean(each.title)}" for each in report.notifications))
    for delivery in sent:
        say(*_delivery(delivery))


def _reason(status: RuleStatus) -> str:
    """Say why a rule stands as it does, and, where it fires on, what cannot be seen of it now."""
    if status.why and status.unknown and status.why != status.unknown:
        return f"{status.why} (now unknown: {status.unknown})"
    return status.why or status.unknown


def _delivery(delivery: Delivery) -> Sequence[str]:
    notification = delivery.notification
    if delivery.state is DeliveryState.SENT:
        return (f"sent to {notification.receiver}: {clean(notification.title)}",)
    tries = f"{delivery.attempts} attempt{'s' * (delivery.attempts != 1)}"
    what = "given up" if delivery.state is DeliveryState.PARKED else "still owed"
    said = clean(f"{notification.title} ({delivery.why})")
    return (paint(f"{what} to {notification.receiver} after {tries}: {said}", "red"),)


def _document(
    statuses: Sequence[RuleStatus], report: TickReport, sent: Sequence[Delivery], code: Exit, program: Program
) -> Any:
    return {
        "exit": int(code),
        "rules": [
            {
                "id": each.rule.id,
                "name": each.rule.name,
                "state": each.state,
                "level": each.level,
                "flapping": each.flapping,
                "value": each.value,
                "why": each.why,
                "unknown": each.unknown,
                "alerts": [forms.alert(alert) for alert in each.alerts],
            }
            for each in statuses
        ],
        "faults": {name: program.redact(why) for name, why in report.faults.items()},
        "transitions": [forms.transition(each) for each in report.transitions],
        "notifications": [_notification(each) for each in report.notifications],
        "deliveries": [forms.delivery(each) for each in sent],
        "trouble": report.trouble,
        "notices": list(report.notices),
    }


def _notification(notification: Notification) -> Any:
    return {
        "id": notification.id,
        "receiver": notification.receiver,
        "title": notification.title,
        "reason": notification.reason,
    }
