"""`alerting explain ALERT`: one page about one alert: its rule, its value, its life, who was told, who not, and why.

The page is made from the state and the samples beside it, so that it is the same beside a daemon and without one.
`--at` shows what was known then: what happened later is left out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.cli import finding, forms, state
from alerting.cli.evidence import Evidence, faults, gather
from alerting.cli.exit import Exit
from alerting.cli.loading import load, load_settings_for_state
from alerting.cli.stories import Story, stories
from alerting.cli.terminal import clean, paint, say, say_json, warn
from alerting.cli.times import back, distance, shown
from alerting.core.backoff import words
from alerting.errors import AlertingError
from alerting.model import AlertState, DeliveryState
from alerting.ports import Account

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from alerting.cli.finding import Meant
    from alerting.cli.state import Seen
    from alerting.config.settings import Settings
    from alerting.model import Ack, Alert, Attempt, Delivery, Millis, RuleSpec, Transition

_LIFE = 12  # transitions that a page shows
_EVER: Millis = 1


class Page(NamedTuple):
    """All that is known of one alert at one moment."""

    at: Millis
    title: str  # how it can be named
    spec: RuleSpec | None  # None: built in, or gone
    alert: Alert | None  # as it is kept now; None: inactive, or the page shows an earlier moment
    account: Account
    evidence: Evidence | None
    faults: Sequence[str] = ()
    notes: Sequence[str] = ()
    ack: Ack | None = None  # in force now


def main(arguments: Namespace) -> int:
    """Show the page. The exit code says only whether there is one."""
    settings = load_settings_for_state(arguments.config)
    page = asyncio.run(_page(settings, arguments))
    if arguments.output == "json":
        say_json(_document(page))
    else:
        for heading, lines in _sections(page):
            say(paint(heading, "bold"), *(f"  {clean(line)}" for line in lines), "")
        for note in page.notes:
            warn(f"note: {note}")
    return Exit.OK


async def _page(settings: Settings, arguments: Namespace) -> Page:
    text, now = arguments.alert, state.now_ms()
    then = None if arguments.at is None else back(arguments.at, now)
    if then is not None and then > now:
        raise AlertingError(f"{shown(then)} is still to come; --at shows what was")
    if not state.exists(settings):
        return _unjudged(settings, arguments, now, "nothing was evaluated here yet")
    async with state.reading(settings) as store:
        seen = await state.look(settings, store)
        at = seen.now if then is None else then
        past = (await store.history(_EVER)).transitions
        try:
            found = finding.meant(text, finding.candidates(seen, past), seen.specs)
        except AlertingError:
            if settings.partial or not _in_files(arguments):
                raise
            return _unjudged(settings, arguments, at, "it is in the files and not in force yet: nothing evaluated it")
        specs = finding.rules(text.partition("{")[0].strip(), seen.specs)
        if not found and specs:
            return _of_rule(seen, settings, specs, text, at)
        one = finding.one(text, found)
        account = until(await store.account(one.key), at)
    return _of_alert(seen, settings, one, account, at)


def _of_rule(seen: Seen, settings: Settings, specs: Sequence[RuleSpec], text: str, at: Millis) -> Page:
    """Make the page of a rule that has no alert, and had none lately."""
    if len(specs) > 1:
        named = "\n".join(f"  {spec.id}  ({spec.origin.file}:{spec.origin.line})" for spec in specs)
        raise AlertingError(f"{clean(text)} is the name of {len(specs)} rules; name the one by its id:\n{named}")
    spec = specs[0]
    evidence = gather(spec, settings, None, at, _recorded(seen)) if spec.enabled else None
    return Page(at, spec.name, spec, None, Account(), evidence, _faults(seen, settings, evidence, at), _notes(seen, at))


def _of_alert(seen: Seen, settings: Settings, one: Meant, account: Account, at: Millis) -> Page:
    spec = seen.specs.get(one.key.rule_id)
    evidence = gather(spec, settings, one.series, at, _recorded(seen)) if spec is not None else None
    alert = one.alert if at == seen.now else None
    troubles, notes = _faults(seen, settings, evidence, at), _notes(seen, at)
    ack = None if alert is None else seen.ack(alert)
    return Page(at, str(one), spec, alert, account, evidence, troubles, notes, ack)


def _unjudged(settings: Settings, arguments: Namespace, at: Millis, note: str) -> Page:
    """Make the page of a rule that is only in the files. Raises AlertingError where it is not."""
    name = arguments.alert.partition("{")[0].strip()
    loaded = load(arguments.config)
    specs = {rule.id: rule.spec for rule in loaded.rules.rules}
    finding.meant(name, (), specs)
    spec = finding.rules(name, specs)[0]
    return Page(at, spec.name, spec, None, Account(), gather(spec, settings, None, at, frozenset()), (), (note,))


def _in_files(arguments: Namespace) -> bool:
    name = arguments.alert.partition("{")[0].strip()
    return bool(finding.rules(name, {rule.id: rule.spec for rule in load(arguments.config).rules.rules}))


def _recorded(seen: Seen) -> frozenset[str]:
    return frozenset(spec.record for spec in seen.specs.values() if spec.record)


def _faults(seen: Seen, settings: Settings, evidence: Evidence | None, at: Millis) -> Sequence[str]:
    known = evidence is not None and at == seen.now
    return faults(settings, seen.snapshot.faults, evidence.needs) if evidence is not None and known else ()


def _notes(seen: Seen, at: Millis) -> Sequence[str]:
    return () if at == seen.now else (f"this is what was known at {shown(at)}",)


def until(account: Account, at: Millis) -> Account:
    """Leave out what happened after a moment."""
    return Account(
        tuple(each for each in account.transitions if each.at <= at),
        tuple(each for each in account.decisions if each.at <= at),
        tuple(_then(*message, at) for message in account.messages if message[0].notification.created <= at),
    )


def _then(delivery: Delivery, attempts: tuple[Attempt, ...], at: Millis) -> tuple[Delivery, tuple[Attempt, ...]]:
    """Show a message as it stood at a moment."""
    known = tuple(each for each in attempts if each.at <= at)
    if len(known) == len(attempts) and delivery.settled_at <= at:
        return delivery, known
    number, why = (known[-1].number, known[-1].why) if known else (0, "")
    state = known[-1].state if known else DeliveryState.PENDING
    return delivery._replace(state=state, attempts=number, why=why, next_at=0, settled_at=0), known


# ------------------------------------------------------------------------------------------- as text


def _sections(page: Page) -> Iterator[tuple[str, list[str]]]:
    yield _headline(page), list(_rule(page))
    if page.evidence is not None:
        yield "Value", list(_value(page, page.evidence))
    yield "Life", list(_life(page))
    if page.ack is not None:
        said = f": {page.ack.comment}" if page.ack.comment else ""
        yield "Acknowledged", [f"by {page.ack.by} at {shown(page.ack.at)} until {shown(page.ack.until)}{said}"]
    told = stories(page.account, _episode(page), page.at)
    if not told:
        yield "Who was told", [_nobody(page)]
    for story in told:
        yield f"To {clean(story.receiver)}" if story.receiver else "To nobody", list(_story(story))


def _headline(page: Page) -> str:
    last = _last(page)
    standing, since = _standing(page, last)
    if standing is None:
        return f"{page.title}: inactive, and never fired as far as is kept"
    level = f" ({page.alert.level})" if page.alert is not None and page.alert.level else ""
    return f"{page.title}: {standing}{level} since {shown(since)} ({words(max(0, page.at - since))})"


def _standing(page: Page, last: Transition | None) -> tuple[AlertState | None, Millis]:
    if page.alert is not None:
        return page.alert.state, page.alert.since
    return (None, 0) if last is None else (last.after, last.at)


def _last(page: Page) -> Transition | None:
    return page.account.transitions[-1] if page.account.transitions else None


def _rule(page: Page) -> Iterator[str]:
    spec = page.spec
    if spec is None:
        yield "rule       built into alerting, or no longer among the rules"
        return
    where = f"{spec.origin.file}:{spec.origin.line}" if spec.origin.file else "built in"
    yield f"rule       {where} (id {spec.id})" + ("" if spec.enabled else "; it is disabled")
    for level in spec.levels:
        yield f"level      {level.name}: {' '.join(level.condition.split())}"
    if not spec.levels:
        yield f"condition  {' '.join(spec.condition.split())}"
    if spec.clear:
        yield f"clear      {' '.join(spec.clear.split())}"
    waits = [f"for {words(spec.for_)}"] if spec.for_ else []
    waits += [f"keep_firing_for {words(spec.keep_firing_for)}"] if spec.keep_firing_for else []
    yield f"judged     {', '.join([f'every {words(spec.interval)}', *waits, f'on_missing {spec.on_missing}'])}"


def _value(page: Page, evidence: Evidence) -> Iterator[str]:
    for each in evidence.samples:
        name = f"{each.namespace}.{each.sample.name}" if each.namespace else each.sample.name
        read = f"read {shown(each.sample.at)} ({distance(each.sample.at, page.at)})"
        yield f"{name}{each.sample.labels} = {each.raw}; {read}"
    if evidence.more:
        yield f"and {evidence.more} more series"
    if evidence.compared:
        yield evidence.compared
    if evidence.why:
        truth = "not known" if evidence.truth is None else evidence.truth
        yield f"{truth}: {evidence.why}"
    if evidence.clear:
        yield f"clear is {evidence.clear}"
    if evidence.problem:
        yield evidence.problem
    yield from (f"cannot be read now: {why}" for why in page.faults)
    yield from _clock(page)


def _clock(page: Page) -> Iterator[str]:
    """Say which clock runs: that of `for`, or that of the end."""
    alert, spec = page.alert, page.spec
    if alert is None or spec is None:
        return
    if alert.paused_at is not None and alert.state in (AlertState.PENDING, AlertState.FIRING):
        yield f"unknown since {shown(alert.paused_at)}: its clocks stand until it can be judged"
    elif alert.state is AlertState.PENDING:
        held, due = max(0, page.at - alert.since), alert.since + spec.for_
        yield f"it has held for {words(held)} of {words(spec.for_)}; if it goes on it fires at {shown(due)}"
    elif alert.state is AlertState.FIRING and alert.quiet_since is not None:
        due = alert.quiet_since + spec.keep_firing_for
        yield f"the condition is false since {shown(alert.quiet_since)}; if it stays so it resolves at {shown(due)}"


def _life(page: Page) -> Iterator[str]:
    moves = page.account.transitions
    if len(moves) > _LIFE:
        yield f"{len(moves) - _LIFE} earlier changes: alerting history '{page.title}' --since 30d"
    for each in moves[-_LIFE:]:
        level = f" ({each.level})" if each.level else ""
        ended = f" [{each.ended}]" if each.ended else ""
        yield f"{shown(each.at)}  {each.before} -> {each.after}{level}{ended}: {each.why}"
    if not moves:
        yield "nothing happened to it as far as is kept (30 days)"


def _nobody(page: Page) -> str:
    standing, _ = _standing(page, _last(page))
    if standing is None:
        return "nobody: it did not fire"
    if standing is AlertState.PENDING:
        return "nobody yet: it is pending"
    return "nobody: nothing is kept of a message or of a decision"


def _story(story: Story) -> Iterator[str]:
    if story.route:
        yield f"chosen by  {story.route}"
    if story.group:
        yield f"group      {story.group}"
    for at, line in story.lines:
        yield f"{shown(at)}  {line}"


def _episode(page: Page) -> str:
    """Give the newest episode: what is told of earlier ones is left to `history`."""
    if page.alert is not None and page.alert.episode:
        return page.alert.episode
    return next((each.episode for each in reversed(page.account.transitions) if each.episode), "")


# ------------------------------------------------------------------------------------------- as JSON


def _document(page: Page) -> dict[str, Any]:
    spec, evidence, last = page.spec, page.evidence, _last(page)
    standing, since = _standing(page, last)
    return {
        "at": page.at,
        "alert": page.title,
        "state": standing or AlertState.INACTIVE,
        "since": since or None,
        "rule": None if spec is None else _rule_document(spec),
        "kept": None if page.alert is None else forms.alert(page.alert),
        "value": None if evidence is None else _evidence_document(evidence),
        "faults": list(page.faults),
        "transitions": [forms.transition(each) for each in page.account.transitions],
        "decisions": [forms.decision(each) for each in page.account.decisions],
        "messages": [
            forms.delivery(delivery) | {"tries": [forms.attempt(each) for each in attempts]}
            for delivery, attempts in page.account.messages
        ],
        "ack": None if page.ack is None else {"by": page.ack.by, "at": page.ack.at, "until": page.ack.until},
        "notes": list(page.notes),
    }


def _rule_document(spec: RuleSpec) -> dict[str, Any]:
    return {
        "id": spec.id,
        "name": spec.name,
        "file": spec.origin.file,
        "line": spec.origin.line,
        "condition": spec.condition,
        "for": spec.for_,
        "keep_firing_for": spec.keep_firing_for,
        "interval": spec.interval,
        "on_missing": spec.on_missing,
        "enabled": spec.enabled,
        "levels": [each._asdict() for each in spec.levels],
        "clear": spec.clear,
        "notify": list(spec.notify),
    }


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
    return {
        "judged_at": evidence.at,
        "truth": evidence.truth,
        "value": evidence.value,
        "why": evidence.why,
        "compared": evidence.compared,
        "clear": evidence.clear,
        "problem": evidence.problem,
        "samples": [
            {
                "source": each.namespace,
                "name": each.sample.name,
                "labels": each.sample.labels.as_dict(),
                "value": each.sample.value,
                "unit": each.unit,
                "at": each.sample.at,
            }
            for each in evidence.samples
        ],
    }
