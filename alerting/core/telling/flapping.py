"""Whether an alert flaps: told by when it began and ceased to fire, and by nothing else.

Theory. It begins to flap with the firing that makes `firings` of them within `within`. From then on it flaps, however
slowly it goes on, until it has fired or has not fired for `calm` at a stretch. So it is remembered to flap beyond the
time in which it fired often enough, and what was said of it once need not be said at each turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.backoff import words

if TYPE_CHECKING:
    from alerting.model import Alert, Flapping, Millis


def judge(alert: Alert, now: Millis, flapping: Flapping | None) -> str:
    """Say why an alert counts as flapping; empty: it does not."""
    since = _since(alert, flapping)
    if since is None or flapping is None or not 0 <= now - _last_change(alert) < flapping.calm:
        return ""  # a change that is still to come was stamped before the clock was set back: better tell than hold
    count = sum(1 for at in alert.firings if at >= since)
    return f"it fired {count} times in {words(alert.firings[-1] - since)}"


def calm_at(alert: Alert, flapping: Flapping | None) -> Millis | None:
    """Say when an alert that flaps ceases to, if nothing changes; None: it does not flap."""
    if flapping is None or _since(alert, flapping) is None:
        return None
    return _last_change(alert) + flapping.calm


def _last_change(alert: Alert) -> Millis:
    return max((*alert.firings[-1:], *alert.endings[-1:]))


def _since(alert: Alert, flapping: Flapping | None) -> Millis | None:
    """Give the first of the firings that made it flap, as of its last change; None: it does not flap."""
    if flapping is None or len(alert.firings) < flapping.firings:
        return None
    changes = sorted([(at, True) for at in alert.firings] + [(at, False) for at in alert.endings])
    since: Millis | None = None
    recent: list[Millis] = []
    last = changes[0][0]
    for at, fires in changes:
        if at - last >= flapping.calm:
            since = None
        last = at
        if fires:
            recent = [each for each in recent if at - each < flapping.within]
            recent.append(at)
            if since is None and len(recent) >= flapping.firings:
                since = recent[0]
    return since
