"""`alerting silence`: say what nobody wants to be told of for a time; see what is silenced, and what that hid."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.cli import finding, state
from alerting.cli.amtool import exported, imported
from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_for_state
from alerting.cli.terminal import clean, paint, say, say_json, table, warn
from alerting.cli.times import distance, moment, shown
from alerting.core.telling.keeping import silence_name, silence_text
from alerting.core.telling.matchers import Matchers, written
from alerting.errors import AlertingError
from alerting.model import LATEST, AlertKey, Matcher, Silence
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.cli.finding import Meant
    from alerting.cli.state import Seen
    from alerting.config.settings import Settings
    from alerting.model import Decision, Millis

EVERY_ALERT = Matcher("alertname", "=~", ".+")
_HOUR: Millis = 3_600_000
_MOST_HID = 50_000  # decisions that are looked through for what silences hid
_NAMED = 5  # alerts that a line names
_UNHEARD_OF = {"alertname": "\x1fno rule has this name\x1f"}
_COLOURS = {"active": "yellow", "pending": "blue", "expired": "grey"}


def main(arguments: Namespace) -> int:
    """Do what the verb says."""
    verbs = {"add": _add, "list": _list, "expire": _expire, "import": _import, "export": _export}
    return asyncio.run(verbs[arguments.verb](load_settings_for_state(arguments.config), arguments))


# ------------------------------------------------------------------------------------------- add


async def _add(settings: Settings, arguments: Namespace) -> int:
    matchers = _matchers(arguments.matchers, everything=arguments.all_alerts)
    now = state.now_ms()
    starts = now if arguments.start is None else moment(arguments.start, now)
    if arguments.until is not None and arguments.duration is not None:
        raise AlertingError("--for and --until both say when it ends; give one")
    length = _HOUR if arguments.duration is None else arguments.duration
    ends = starts + length if arguments.until is None else moment(arguments.until, now)
    if ends <= max(starts, now):
        raise AlertingError(
            f"the silence would end at {shown(ends)}, before it {'begins' if ends <= starts else 'is made'}"
        )
    if ends > LATEST:
        raise AlertingError("the silence would end after the year 9999; give an end that comes sooner")
    seen = await state.seen(settings)
    id_ = _new_id(each.id for each in _of(seen))
    silence = Silence(id_, matchers, starts, ends, state.author(arguments.author), arguments.comment, now)
    await state.keep(settings, {silence_name(id_): silence_text(silence)})
    fitting = _fitting(silence, finding.candidates(seen)) if seen is not None else []
    if arguments.output == "json":
        say_json(_document(silence, now, fitting, []))
        return Exit.OK
    begins = "begins now" if starts <= now else f"begins {shown(starts)} ({distance(starts, now)})"
    say(f"silence {silence.id} {begins} and ends {shown(ends)} ({distance(ends, now)}): {clean(written(matchers))}")
    if fitting:
        say(f"it fits {_listed(map(str, fitting), len(fitting))}")
    else:
        warn("note: it fits nothing that is pending or firing now")
    return Exit.OK


def _matchers(texts: Sequence[str], *, everything: bool) -> tuple[Matcher, ...]:
    """Read matchers as `amtool` does: a first word without an operator is the name of a rule. Raises AlertingError."""
    found: list[Matcher] = []
    for number, text in enumerate(texts):
        if not number and not any(sign in text for sign in "=~{"):
            found.append(Matcher("alertname", "=", text))
            continue
        found.extend(finding.matchers_in(text))
    if not found and not everything:
        raise AlertingError(
            'say what is silenced: a rule\'s name, or matchers such as severity="warning" team=~"db|web"'
        )
    matchers = tuple(dict.fromkeys(found)) or (EVERY_ALERT,)
    fits = finding.compiled(matchers).fits
    if not everything and (fits({}) or fits(_UNHEARD_OF)):
        raise AlertingError(
            f"{clean(written(matchers))} would silence alerts of any rule; add a matcher, or --all-alerts"
        )
    return matchers


def _new_id(known: Iterable[str]) -> str:
    """Mint an id: eight hex digits that no other silence has."""
    taken = frozenset(known)
    while True:
        minted = os.urandom(4).hex()
        if minted not in taken:
            return minted


# ------------------------------------------------------------------------------------------- list


class _Hid(NamedTuple):
    """What silences held back: of each the alerts, by the names of their rules."""

    alerts: Mapping[str, frozenset[tuple[str, AlertKey, str]]] = {}  # id -> (rule's name, alert, episode)

    def told(self, silence_id: str) -> list[tuple[str, int]]:
        """Give names of rules, each with how many alerts of it were hidden, the most first."""
        return Counter(name for name, _, _ in self.alerts.get(silence_id, ())).most_common()


async def _list(settings: Settings, arguments: Namespace) -> int:
    if not state.exists(settings):
        seen, hid = None, _Hid()
    else:
        async with state.reading(settings) as store:
            seen = await state.look(settings, store)
            since = min((each.starts for each in seen.silences), default=seen.now)
            hid = _hidden((await store.history(since, limit=_MOST_HID)).decisions, seen)
    chosen = [each for each in _of(seen) if arguments.all or each.ends > seen.now] if seen is not None else []
    alerts = finding.candidates(seen) if seen is not None else []
    if arguments.output == "json":
        now = state.now_ms()
        say_json({"silences": [_document(each, now, _fitting(each, alerts), hid.told(each.id)) for each in chosen]})
        return Exit.OK
    if seen is None or not chosen:
        say("no silence" if arguments.all else "no silence is in force or to come")
        return Exit.OK
    rows = [_row(each, seen.now, _fitting(each, alerts), hid.told(each.id)) for each in chosen]
    head = ("ID", "STATE", "MATCHERS", "ENDS", "AUTHOR", "FITS NOW", "HID", "COMMENT")
    say(*table(head, rows, [_COLOURS[state_of(each, seen.now)] for each in chosen]))
    for name in seen.odd:
        warn(f"note: {clean(name)} in the state cannot be read; it has no effect")
    return Exit.OK


def _of(seen: Seen | None) -> Sequence[Silence]:
    return () if seen is None else seen.silences


def _hidden(decisions: Iterable[Decision], seen: Seen) -> _Hid:
    found: dict[str, set[tuple[str, AlertKey, str]]] = {}
    for each in decisions:
        if each.stage == "silence" and each.outcome != "told":
            found.setdefault(each.by, set()).add((seen.name(each.key), each.key, each.episode))
    return _Hid({by: frozenset(alerts) for by, alerts in found.items()})


def _row(silence: Silence, now: Millis, fitting: Sequence[Meant], hid: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return (
        silence.id,
        state_of(silence, now),
        written(silence.matchers),
        f"{shown(silence.ends)} ({distance(silence.ends, now)})",
        silence.author,
        str(len(fitting)) if silence.ends > now else "-",
        _listed((f"{name} ×{number}" for name, number in hid), len(hid)) or "-",  # noqa: RUF001  times
        silence.comment,
    )


def state_of(silence: Silence, now: Millis) -> str:
    """Tell whether a silence is pending, active or expired."""
    return "expired" if silence.ends <= now else "pending" if silence.starts > now else "active"


def _fitting(silence: Silence, alerts: Iterable[Meant]) -> list[Meant]:
    """Give the alerts that are pending or firing and that it fits."""
    try:
        fits = Matchers(silence.matchers, compile_pattern).fits
    except ValueError:
        return []
    return [each for each in alerts if each.active and fits(each.labels)]


def _listed(words: Iterable[str], number: int) -> str:
    shown_words = [word for word, _ in zip(words, range(_NAMED), strict=False)]
    return ", ".join(shown_words) + (f" and {number - _NAMED} more" if number > _NAMED else "")


def _document(
    silence: Silence, now: Millis, fitting: Iterable[Meant], hid: Iterable[tuple[str, int]]
) -> dict[str, Any]:
    return {
        "id": silence.id,
        "state": state_of(silence, now),
        "matchers": [each._asdict() for each in silence.matchers],
        "starts": silence.starts,
        "ends": silence.ends,
        "author": silence.author,
        "comment": silence.comment,
        "created": silence.created,
        "fits_now": [
            {"rule": each.key.rule_id, "name": each.name, "labels": each.series.as_dict(), "state": each.state}
            for each in fitting
        ],
        "hid": dict(hid),
    }


# ------------------------------------------------------------------------------------------- expire


async def _expire(settings: Settings, arguments: Namespace) -> int:
    seen = await state.seen(settings)
    silences = _of(seen)
    now = state.now_ms()
    if arguments.all_mine:
        mine = state.author(arguments.author)
        chosen = [each for each in silences if each.author == mine and each.ends > now]
        if not chosen:
            say(f"no silence of {clean(mine)} is in force or to come")
            return Exit.OK
    elif arguments.ids:
        chosen = list(dict.fromkeys(_by_id(each, silences) for each in arguments.ids))
    else:
        raise AlertingError("say which: ids as `alerting silence list` shows them, or --all-mine")
    ending = [each for each in chosen if each.ends > now]
    if ending:
        ended = [each._replace(ends=now, starts=min(each.starts, now)) for each in ending]
        await state.keep(settings, {silence_name(each.id): silence_text(each) for each in ended})
    for each in chosen:
        over = "" if each in ending else f" already, at {shown(each.ends)}"
        say(f"silence {each.id} {'ended' if over else 'ends now'}{over}: {clean(written(each.matchers))}")
    return Exit.OK


def _by_id(text: str, silences: Sequence[Silence]) -> Silence:
    """Find a silence by its id or the beginning of it. Raises AlertingError."""
    if not text:
        raise AlertingError("an id is empty; `alerting silence list` shows them")
    found = [each for each in silences if each.id == text] or [each for each in silences if each.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise AlertingError(f"no silence has the id {clean(text)!r}; `alerting silence list --all` shows them")
    raise AlertingError(
        f"several silences have ids that begin with {clean(text)}: {', '.join(each.id for each in found)}"
    )


# ------------------------------------------------------------------------------------------- import, export


async def _import(settings: Settings, arguments: Namespace) -> int:
    now = state.now_ms()
    seen = await state.seen(settings)
    known = {each.id for each in _of(seen)}
    silences, over = imported(arguments.file, now, state.author(None))
    made = [each if each.id else each._replace(id=_new_id(known)) for each in silences]
    if made:
        await state.keep(settings, {silence_name(each.id): silence_text(each) for each in made})
    for each in made:
        say(f"silence {each.id} ends {shown(each.ends)}: {clean(written(each.matchers))}")
    passed = f"; {over} that {'is' if over == 1 else 'are'} over passed by" if over else ""
    say(f"{len(made)} imported{passed}")
    return Exit.OK


async def _export(settings: Settings, arguments: Namespace) -> int:
    seen = await state.seen(settings)
    now = state.now_ms()
    chosen = [each for each in _of(seen) if arguments.all or each.ends > now]
    say_json([exported(each, state_of(each, now)) for each in chosen])
    return Exit.OK


def lines_of(seen: Seen) -> list[str]:
    """Say which silences are in force, for `status`."""
    alerts = finding.candidates(seen)
    return [
        paint(
            f"silence {each.id} by {clean(each.author)} until {shown(each.ends)}: {clean(written(each.matchers))} "
            f"(fits {len(_fitting(each, alerts))} now)",
            "yellow",
        )
        for each in seen.silences
        if state_of(each, seen.now) == "active"
    ]
