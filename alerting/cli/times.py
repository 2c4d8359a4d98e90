"""Times as people write and read them on the command line. Everything is UTC, as it is in messages and reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from alerting.config.durations import millis
from alerting.core.backoff import words
from alerting.errors import AlertingError
from alerting.model import LATEST

if TYPE_CHECKING:
    from alerting.model import Millis


def shown(at: Millis | None) -> str:
    """Show a time as messages and reasons do."""
    return datetime.fromtimestamp(min(at, LATEST) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def iso(at: Millis) -> str:
    """Write a time as Alertmanager does: `2026-11-24T10:05:00.000Z`."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def distance(at: Millis, now: Millis) -> str:
    """Say how far away a time is: `in 2 h`, `12 min ago`."""
    return f"in {words(at - now)}" if at > now else f"{words(now - at)} ago"


def moment(text: str, now: Millis) -> Millis:
    """Read a time: `2026-11-24T10:05:00Z`, with or without seconds, zone and date. Raises AlertingError.

    Without a zone it is UTC, and without a date today's: so what this program prints can be given back to it.
    """
    written = text.strip()
    if len(written) <= len("10:05:00Z") and ":" in written[:3]:
        written = f"{shown(now)[:10]} {written}"
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        examples = "2026-11-24T10:05Z, or 10:05 for today (UTC)"
        raise AlertingError(f"{text!r} is no time; write {examples}") from None
    at = round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 < at <= LATEST:
        raise AlertingError(f"{text!r} is too far away")
    return at


def back(text: str, now: Millis) -> Millis:
    """Read a time in the past: a time, or how long ago, such as `24h`. Raises AlertingError."""
    if text[-1:] in ("s", "m", "h", "d", "w") and text[:1].isdigit():
        try:
            return max(1, now - millis(text))
        except (KeyError, ValueError):
            raise AlertingError(f"{text!r} is no duration; write a number with its unit, such as 24h") from None
    return moment(text, now)
