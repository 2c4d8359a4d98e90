"""The timers of groups: when what waits for a group's next message is due.

`group_wait` counts from when the first of what waits came; `group_interval` from the group's last message. What waits
is due when both are over. So a group that was quiet for long does not wait for a fixed beat, as it would in
Alertmanager, and never has more messages than one for each `group_interval`. What cannot wait (it got worse, it was
acknowledged, it escalates) goes at once and takes along what waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.owing import HURRY
from alerting.model import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.telling.owing import Owed
    from alerting.model import Millis, Route


class Group(NamedTuple):
    """What a group remembers between messages."""

    receiver: str
    name: str  # Direction.group
    waiting_since: Millis | None = None  # since when something waits
    spoken_at: Millis | None = None  # its last message


def joined(group: Group, now: Millis) -> Group:
    """Note that something waits."""
    return group if group.waiting_since is not None else group._replace(waiting_since=now)


def spoke(group: Group, now: Millis) -> Group:
    """Note that a message was owed."""
    return group._replace(waiting_since=None, spoken_at=now)


def due_at(group: Group, route: Route, waiting: Sequence[Owed], now: Millis, *, patient: bool) -> Millis:
    """Say when what waits is to be told. `patient`: False where nobody comes back soon (`check`): no `group_wait`."""
    if any(each.step in HURRY for each in waiting):
        return now
    new = any(each.step is Step.FIRING for each in waiting)
    since = now if group.waiting_since is None else min(now, group.waiting_since)
    ready = since + route.group_wait if new and patient else since
    if group.spoken_at is None:
        return ready
    return max(ready, min(now, group.spoken_at) + route.group_interval)


def has_timers(route: Route) -> bool:
    """Tell whether a group of this route must be remembered."""
    return bool(route.group_wait or route.group_interval or route.repeat_interval)
