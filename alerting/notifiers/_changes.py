"""What happened to one alert, in a few words: the line of a timeline, the same whoever shows it.

Words come from the notice and the message alone, so that a line that is written late still says what was true then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.backoff import words
from alerting.model import Step
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis, Notice, Notification

_RANKS = {"critical": 0, "error": 1, "info": 3}  # any other is 2: unknown severities count as warnings


def rank(notice: Notice) -> int:
    """Sort by gravity; the gravest is 0."""
    return _RANKS.get(notice.severity.lower(), 2)


def ordered(notification: Notification) -> list[Notice]:
    """Give every notice: what changed, what is over, what merely goes on; of each the gravest first."""
    return sorted(text.changed_first(notification), key=lambda each: (*_class(each), rank(each)))


def changed(notification: Notification) -> list[Notice]:
    """Give the notices that say something new."""
    return [each for each in ordered(notification) if each.step != Step.ONGOING]


def phrase(notice: Notice, now: Millis) -> str:
    """Say what happened, without the reason: `worse: warning → critical`, `resolved after 12m`."""
    lasts = words(max(0, (now if notice.resolved_at is None else notice.resolved_at) - notice.fired_at))
    if notice.resolved_at is not None:
        over = text.state(notice).lower()
        return f"{over} after {lasts}" if over == "resolved" else f"{over} after {lasts}, {notice.ended}"
    match notice.step:
        case Step.WORSE | Step.BETTER:
            before = f"{notice.was} → " if notice.was else "now "
            return f"{notice.step}: {before}{notice.severity or 'no severity'}"
        case Step.REMINDER:
            return f"still firing after {lasts}"
        case Step.ESCALATED:
            return f"not acknowledged for {lasts}"
        case Step.ACKNOWLEDGED:
            return f"acknowledged by {notice.acked or 'somebody'}"
        case Step.RETURNED:
            return "no longer acknowledged, and still firing"
        case Step.FLAPPING:
            return f"flapping: {notice.flapping}" if notice.flapping else "flapping"
        case Step.ONGOING:
            return f"firing for {lasts}"
        case _:
            return "firing"


def line(notice: Notice, now: Millis, *, named: bool) -> str:
    """Write one change as one line of a timeline; `named` where the message tells of several alerts."""
    name = f"{notice.name}{{{text.labels(notice.labels, 200)}}} " if named else ""
    return text.line(f"{name}{phrase(notice, now)}: {notice.why}" if notice.why else f"{name}{phrase(notice, now)}")


def counts(notices: Sequence[Notice]) -> str:
    """Count by severity, the gravest first: `2 critical, 31 warning`."""
    found: dict[str, int] = {}
    for notice in sorted(notices, key=rank):
        severity = text.line(notice.severity) or "of no severity"
        found[severity] = found.get(severity, 0) + 1
    return text.joined((f"{number} {severity}" for severity, number in found.items()), ", ", 200)


def by_rule(notices: Sequence[Notice], most: int) -> list[str]:
    """Count by rule and severity, the largest first; more than `most` rules are summed up in a last line."""
    rules: dict[str, list[Notice]] = {}
    for notice in notices:
        rules.setdefault(notice.name, []).append(notice)
    largest = sorted(rules.items(), key=lambda entry: -len(entry[1]))
    lines = [f"{text.line(name)}: {counts(some)}" for name, some in largest[:most]]
    if rest := [notice for _, some in largest[most:] for notice in some]:
        lines.append(f"{len(largest) - most} other rules: {counts(rest)}")
    return lines


def _class(notice: Notice) -> tuple[bool, bool]:
    return notice.step == Step.ONGOING, notice.resolved_at is not None
