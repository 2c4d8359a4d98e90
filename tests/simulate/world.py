"""The sources: what is true at each moment, and what a fetch is told of it.

A source answers as the plan says. What the model is told is not what the source said but what the program took in:
a reading says so when it is looked at, a fetch that was called off or that raised is heard as a failure.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model import SHARED, Fault, FaultKind, Kind, Labels, Metric, Reading, Sample
from tests.simulate.plan import LEVELS, METRICS, PLACES, M, S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alerting.model import Need
    from tests.simulate.loop import Clock
    from tests.simulate.plan import Dice, Place, Plan, Window

OWN_DEADLINE = 10 * S  # a source's own; the engine's stands behind it


class Seen(NamedTuple):
    """What the program has taken in of one source: a fault, or every series by metric."""

    fault: str
    series: Mapping[str, dict[Labels, float]]
    nameless: bool = False  # it failed before it could say what its series carry
    at: int = 0  # wall time, where it was read


class _Noticed(tuple[Sample, ...]):  # noqa: SLOT001  it carries one thing more than a tuple
    """Samples that say when they are looked at for the first time."""

    look: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[Sample]:
        look, self.look = self.look, None
        if look is not None:
            look()
        return super().__iter__()


class World:
    """All sources of one run. It outlives the processes that read it."""

    def __init__(self, plan: Plan, dice: Dice, heard: Callable[[str, Seen], None]) -> None:
        self.plan = plan
        self.dice = dice
        self.heard = heard
        self.fetched = 0
        self.said: set[str] = set()  # sources of which this process knows what their series carry
        self._surges: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._truths: dict[str, tuple[int, int, dict[str, dict[Labels, float]]]] = {}  # from, until, what
        self._labels = {
            (place.name, zone): Labels({**dict(place.labels), "zone": zone}) for place in PLACES for zone in "ab"
        }

    def value(self, source: str, metric: str, zone: str, at: int) -> float | None:
        """Give what is true of one series; None: it is not there."""
        surge = self._surges.get((source, metric, zone))
        if surge is not None and surge[0] <= at < surge[1]:
            return max(LEVELS)
        times, values = self.plan.series[source, metric, zone]
        value = values[bisect_right(times, at) - 1]
        return values[0] if value is None and at >= self.plan.end else value  # in the end everything is there

    def surge(self, source: str, metric: str, zone: str, start: int) -> None:
        """Let one series rise as high as any, for some minutes: what somebody has taken on gets worse."""
        self._surges[source, metric, zone] = start, min(start + 4 * M, self.plan.end)

    def truth(self, place: Place, at: int) -> Mapping[str, dict[Labels, float]]:
        """Give what is true at one source; the very same until one of its series changes."""
        at, end = min(at, self.plan.end), self.plan.end
        begins, ends, found = self._truths.get(place.name, (0, 0, {}))
        if begins <= at < ends:
            return found
        begins, ends, found = (0, end, {}) if at < end else (end, end + 1, {})
        for metric in METRICS[place.namespace]:
            of_metric = found[metric] = {}
            for zone in "ab":
                times = self.plan.series[place.name, metric, zone][0]
                next_ = bisect_right(times, at)
                begins, ends = max(begins, times[next_ - 1]), min([ends, *times[next_ : next_ + 1]])
                value = self.value(place.name, metric, zone, at)
                if value is not None:
                    of_metric[self._labels[place.name, zone]] = value
        self._truths[place.name] = begins, ends, found
        return found


class Source:
    """The Source port of one process onto one place of the world."""

    def __init__(self, world: World, place: Place, clock: Clock) -> None:
        self.name = place.name
        self.namespace = place.namespace
        self._place = place
        self._world = world
        self._clock = clock
        self._labels = Labels(place.labels)
        self.closing = False  # the program ends by itself: what is called off now is not heard

    async def fetch(self, _needs: Sequence[Need], _since: int | None) -> Reading:
        world, clock = self._world, self._clock
        world.fetched += 1
        window = world.plan.sources[self.name].at(clock.monotonic())
        try:
            await clock.sleep(self._delay(window))
        except BaseException:
            if clock.alive and not self.closing:
                world.heard(self.name, self._unread("called off"))
            raise
        if window is not None and window.kind == "raises":
            self._soon(3)
            raise RuntimeError("a source that raises")
        kind = self._failure(window)
        if kind is not None:
            fault = Fault(FaultKind[kind], f"{kind} of {self.name}")
            return self._reading({}, fault)
        return self._reading(self._answer(window), None)

    async def close(self) -> None:
        """Nothing is held."""

    def _delay(self, window: Window | None) -> int:
        kind, dice = window.kind if window else "", self._world.dice
        if kind == "hangs":
            return 40 * S
        if kind == "times out":
            return OWN_DEADLINE
        if kind == "slow":
            return dice.whole(200, 9 * S)
        return 1 + dice.whole(0, 20)

    def _failure(self, window: Window | None) -> str | None:
        if window is None:
            return None
        if window.kind == "times out":
            return FaultKind.TIMEOUT.name
        if window.kind == "flaky":
            return FaultKind.RESET.name if self._world.dice.chance(0.5) else None
        return window.kind if window.kind in FaultKind.__members__ else None

    def _answer(self, window: Window | None) -> Mapping[str, dict[Labels, float]]:
        at = self._clock.monotonic()
        if window is None:
            return self._world.truth(self._place, at)
        truth = self._world.truth(self._place, window.start if window.kind == "frozen" else at)
        if window.kind == "absent":
            metrics = METRICS[self.namespace]
            truth = {**truth, metrics[int(window.detail) % len(metrics)]: {}}
        if window.kind == "empty":
            truth = {metric: {} for metric in METRICS[self.namespace]}
        return truth

    def _reading(self, series: Mapping[str, dict[Labels, float]], fault: Fault | None) -> Reading:
        at = self._clock.now()
        up = Sample("up", self._labels, 0.0 if fault else 1.0, at)
        samples = [up, *(Sample(m, labels, v, at) for m, of in series.items() for labels, v in of.items())]
        noticed = _Noticed(samples)
        seen = Seen(fault.message if fault else "", series, at=at)

        def look() -> None:
            self._world.said.add(self.name)
            self._world.heard(self.name, seen)

        noticed.look = look
        kinds: tuple[Metric, ...] = ()
        return Reading(self.name, self.namespace, at, noticed, labels=self._labels, fault=fault, kinds=kinds)

    def _unread(self, why: str) -> Seen:
        return Seen(why, {}, bool(self._place.labels) and self.name not in self._world.said)

    def _soon(self, callbacks: int) -> None:
        """Be heard as failing a few callbacks from now, when the engine has made a reading of the exception."""
        if callbacks == 0:
            if self._clock.alive:
                self._world.heard(self.name, self._unread("raised"))
            return
        self._clock.loop.call_soon(self._soon, callbacks - 1)


def names() -> Any:
    """Give the vocabulary that the plan's conditions are compiled with."""
    from alerting.core.lang.names import Names, SourceNames

    return Names(
        [
            SourceNames(
                place.name,
                place.namespace,
                "host" if place.closed else "prometheus" if place.namespace == SHARED else "health",
                place.closed,
                tuple(Metric(metric, place.namespace, Kind.GAUGE, "", ("zone",)) for metric in METRICS[place.namespace])
                if place.closed
                else (),
            )
            for place in PLACES
        ]
    )
