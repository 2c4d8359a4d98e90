"""What is known over time of one series and of one target that reports series.

A series that is gone has an end; a target that failed has a fault, and while it lasts nothing is concluded
from its series. Buckets (`count` metrics) are dated by their end, and come late.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Final

from alerting.core.windows import Points
from alerting.model import Kind

if TYPE_CHECKING:
    from alerting.model import Labels, Millis, Value

NEVER: Final = -(2**62)
FOREVER: Final = 2**62
_FAULTS = 64  # past failures of one target that are remembered
_ROOM = 16  # a list is looked at for old entries when it has doubled, not before this length


class Series(Points):
    """One series: its newest sample at hand, older ones as far back as some window reaches."""

    __slots__ = (
        "at",
        "ends",
        "expires",
        "kind",
        "labels",
        "last",
        "live",
        "name",
        "namespace",
        "received",
        "room",
        "stamp",
        "target",
        "window",
    )

    def __init__(self, namespace: str, name: str, labels: Labels, kind: Kind) -> None:
        super().__init__()
        self.namespace = namespace
        self.name = name
        self.labels = labels  # without the name
        self.kind = kind
        self.target: Target | None = None  # who reports it; None: only known from the file so far
        self.at: Millis = NEVER  # of the newest sample
        self.last: Value = 0.0  # its value
        self.expires: Millis = NEVER  # from here on the newest sample says nothing any more
        self.live = False  # in the newest good answer of its target
        self.ends: list[Millis] = []  # when it was seen to be gone
        self.received: list[Millis] | None = [] if kind is Kind.COUNT else None  # when each bucket came in
        self.window: Millis = 0  # how far back some selection looks
        self.room = _ROOM
        self.stamp = -1  # the reading that touched it last

    def take(self, at: Millis, value: Value, received: Millis, lookback: Millis) -> None:
        """Take a sample in. The newest time again corrects it; an older one is dropped."""
        if at > self.at:
            self.push(at, value)
            if self.received is not None:
                self.received.append(received)
            self.at = at
            self.last = value
            self.expires = (at if self.received is None else received) + lookback
            if self.ends and self.ends[-1] >= at:  # it is reported again: that end was only a late sample
                del self.ends[-1]
            if len(self.times) >= self.room:
                self._trim()
        elif at == self.at:
            if value != self.last:
                self.replace_last(value)
                self.last = value
                if self.received is not None:
                    self.received[-1] = received
            if self.ends and self.ends[-1] >= at:
                del self.ends[-1]
            self.expires = (at if self.received is None else received) + lookback

    def end(self, at: Millis) -> None:
        """Note that it is gone from `at` on."""
        insort(self.ends, at)
        if at >= self.at:
            self.expires = min(self.expires, at)

    def instant(self, t: Millis, lookback: Millis) -> int:
        """Give the place of the sample that holds at `t`, which may be in the past; -1: none does."""
        place = bisect_right(self.times, t) - 1
        if place < 0:
            return -1
        at = self.times[place]
        if t - at >= lookback and not (self.received and t - self.received[place] < lookback):
            return -1
        if self.ends:
            first = bisect_left(self.ends, at)
            if first < len(self.ends) and self.ends[first] <= t:
                return -1
        return place

    def withheld(self, t: Millis) -> bool:
        """Tell whether its target was failing at `t`. `up` is what says so, and is never withheld."""
        return self.target is not None and self.name != "up" and self.target.failed_at(t) is not None

    def _trim(self) -> None:
        before = self.base
        self.cut(self.at - self.window)
        if self.received is not None:
            del self.received[: self.base - before]
        if self.ends and self.ends[0] < self.times[0]:
            del self.ends[: bisect_left(self.ends, self.times[0])]
        self.room = max(_ROOM, 2 * len(self.times))


class Target:
    """One thing that is fetched: when it answered, and when it did not."""

    __slots__ = ("faults", "fetches", "labels", "only", "series", "source", "still", "why")

    def __init__(self, source: str, labels: Labels, only: str = "") -> None:
        self.source = source
        self.labels = labels
        self.only = only  # the one name that it ever holds; empty: any
        self.fetches: list[Millis] = []  # good answers, as far back as any window of the namespace reaches
        self.faults: list[tuple[Millis, Millis, str]] = []  # from, until, why; FOREVER: still failing
        self.series: set[Series] = set()
        self.still: list[Series] = []  # in its newest answer, by time stamps of its own that are old or soon will be
        self.why = ""

    @property
    def failing(self) -> bool:
        """Tell whether its newest reading failed."""
        return bool(self.faults) and self.faults[-1][1] == FOREVER

    def failed_at(self, t: Millis) -> str | None:
        """Give the reason when it was failing at `t`."""
        for start, until, why in reversed(self.faults):
            if start <= t < until:
                return why
        return None

    def fail(self, at: Millis, why: str) -> None:
        """Note a failed reading: nothing newer is known of its series."""
        if self.failing:
            self.faults[-1] = (self.faults[-1][0], FOREVER, why)
        else:
            self.faults.append((at, FOREVER, why))
            del self.faults[:-_FAULTS]
        for series in self.series:
            series.expires = min(series.expires, at)

    def answer(self, at: Millis, horizon: Millis) -> None:
        """Note a good reading."""
        if self.failing:
            start, _, why = self.faults[-1]
            self.faults[-1] = (start, at, why)
        if self.faults and self.faults[0][1] <= horizon:
            self.faults = [fault for fault in self.faults if fault[1] > horizon]
        if not self.fetches or at > self.fetches[-1]:
            self.fetches.append(at)
        if len(self.fetches) > _ROOM and self.fetches[len(self.fetches) // 2] <= horizon:
            del self.fetches[: min(bisect_right(self.fetches, horizon), len(self.fetches) - 2)]

    def fetched(self, start: Millis, end: Millis) -> int:
        """Count the good answers in `(start, end]`."""
        return bisect_right(self.fetches, end) - bisect_right(self.fetches, start)
