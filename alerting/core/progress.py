"""Whether what runs without end still goes round.

Theory. A loop that hangs cannot say so, but before each step a loop can say by when it will be back: the longest that
the step may take by its own deadlines, or the time that it is about to sleep. Whoever asks compares that with the
clock. A promise that is not kept is a wedge, whatever the cause: a call that never returns, a task that died, an
event that was lost. A loop that only fails keeps its promises; what it cannot do is an ailment of another kind, which
a restart of the process does not mend.

Times are milliseconds of a clock that never steps (the monotonic one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alerting.model import Millis

SLACK: Millis = 10_000  # how far beyond its own deadlines a step may run: a busy machine is not a wedge


class Loop(NamedTuple):
    """One thing that must go on for ever, and its promise."""

    part: str  # as people read it: `evaluation`, `sending to slack`
    back_by: Millis  # by then it takes its next step
    ended: bool = False  # it is over, although it never should be


class Ailment(NamedTuple):
    """One part that does not do its work."""

    part: str
    why: str
    wedged: bool = False  # it does not go round any more: a restart of the process is the remedy


def wedged(loops: Iterable[Loop], now: Millis, slack: Millis = SLACK) -> list[Ailment]:
    """Give the loops that broke their promise, each part once."""
    found: dict[str, Ailment] = {}
    for part, back_by, ended in loops:
        late = now - back_by
        if ended:
            found[part] = Ailment(part, "it has ended, and nothing does its work", wedged=True)
        elif late > slack:
            found.setdefault(part, Ailment(part, f"it should have gone on {late / 1000:.0f} s ago", wedged=True))
    return list(found.values())
