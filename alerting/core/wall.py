"""How old a stamp is, whatever the wall showed since.

A stamp says what the wall showed when it was made. Where the wall was set back and put right again, a stamp from in
between looks as old as the step was wide, although no time has passed. So what the wall showed is noted beside a time
that only runs on, as stretches between its steps, and a stamp that lies in one is as old as that time says.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alerting.model import Millis

_DRIFT: Millis = 1_000  # less between two looks is no step
_STRETCHES = 16  # so many are remembered


class _Stretch(NamedTuple):
    """The wall was ahead by so much, from and to these times of the one that only runs on."""

    ahead: Millis
    since: Millis
    until: Millis


class Wall:
    """What the wall has shown since this process began. Not for several threads."""

    def __init__(self, now: Millis, shown: Millis) -> None:
        """`now` is of the time that only runs on, `shown` what the wall shows."""
        self._began = shown - now
        self._stretches = deque([_Stretch(self._began, now, now)], _STRETCHES)

    def note(self, now: Millis, shown: Millis) -> None:
        """Take in what the wall shows; to be called often: a stamp of a stretch that was never seen is not known."""
        last, ahead = self._stretches[-1], shown - now
        if abs(ahead - last.ahead) <= _DRIFT:
            self._stretches[-1] = _Stretch(ahead, last.since, now)
        else:
            self._stretches.append(_Stretch(ahead, last.until, now))  # when it stepped since then is not known

    def age(self, stamp: Millis) -> Millis:
        """Give how old a stamp is by now, as it was noted last: the least that can be; negative: it lies ahead.

        Of a moment that the wall showed twice the later counts. What lies in no stretch was stamped before this process
        began: then the wall counts, as it began and as it stands, whichever makes it younger.
        """
        last = self._stretches[-1]
        for each in reversed(self._stretches):
            if each.since - _DRIFT <= stamp - each.ahead <= each.until + _DRIFT:
                return last.until - (stamp - each.ahead)
        return last.until + min(self._began, last.ahead) - stamp
