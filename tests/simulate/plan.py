"""What happens in one run, by its seed: the rules, how the world goes, what fails when. Drawn before anything runs.

Windows of faults follow one another per source, per receiver and for the disk; each run leans on some kinds of fault
more than on others, so that rare neighbours meet. Each concern has dice of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model import SHARED, FaultKind, OnMissing
from tests.simulate.dice import Dice, H, M, S
from tests.simulate.people import RECEIVERS, People, dressed, people

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES = 20
INTERVAL = 10 * S
METRICS = {"app": ("load", "errors", "queue"), "host": ("cpu", "disk", "swap"), SHARED: ("load", "errors", "queue")}
LEVELS = (10.0, 40.0, 60.0, 75.0, 90.0)
LIMITS = (30, 50, 50, 70, 80)
HYSTERESIS = 15  # between the limit of a rule and that of its `clear`


class Place(NamedTuple):
    """One source of the plan."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]  # what its series carry
    unknown_after: int
    says_what_it_lacks: bool  # a JSON answer without a field: unknown, not gone
    closed: bool  # its vocabulary is declared


PLACES = (
    Place("app", "app", (), M, says_what_it_lacks=True, closed=False),
    Place("host", "host", (), 2 * M, says_what_it_lacks=False, closed=True),
    Place("web-1", SHARED, (("instance", "web-1"), ("job", "web-1")), 3 * M, says_what_it_lacks=False, closed=False),
    Place("web-2", SHARED, (("instance", "web-2"), ("job", "web-2")), 3 * M, says_what_it_lacks=False, closed=False),
)

FAILS = tuple(
    kind.name
    for kind in FaultKind
    if kind not in (FaultKind.INTERNAL, FaultKind.SECRET, FaultKind.UNREADABLE, FaultKind.TIMEOUT)
)
ODD_SOURCE = ("times out", "hangs", "slow", "absent", "empty", "frozen", "flaky", "raises")
RECEIVER = (
    *("down", "down", "reset", "black hole", "500", "503", "429", "429", "lost", "lost", "late", "late", "slow"),
    *("odd", "odd", "refused", "gone", "flaky", "flaky", "poison"),
)
DISK = ("busy", "flaky", "full", "full", "slow", "stall", "torn", "torn", "dead")
LASTS = {"full": 5}  # so many times as long as other windows


class RuleDef(NamedTuple):
    """A rule as the plan has it. Everything that the model must know."""

    id: str
    namespace: str
    metric: str
    limit: int
    for_: int = 0
    keep: int = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish: int = 3 * M
    notify: tuple[str, ...] = RECEIVERS
    zone: str = ""  # a matcher; empty: none
    severity: str = "critical"
    team: str = ""  # a label of the rule's own; empty: none
    second: int = 0  # the limit of the level `critical`, above that of `warning`; 0: it has no levels
    escalate: tuple[tuple[int, tuple[str, ...]], ...] = ()
    depends: tuple[str, ...] = ()  # names of rules
    muted: tuple[str, ...] = ()  # windows
    active: tuple[str, ...] = ()
    hysteresis: bool = False  # over only once it is below `clear`

    @property
    def clear(self) -> int:
        """Below what it is clear."""
        return self.limit - HYSTERESIS

    def text(self, limit: int = 0) -> str:
        name = self.metric if self.namespace == SHARED else f"{self.namespace}.{self.metric}"
        matcher = f"{{zone={self.zone!r}}}" if self.zone else ""
        return f"{name}{matcher} > {limit or self.limit}"

    def clear_text(self) -> str:
        """Write when it is over; empty: when its condition does not hold."""
        return f"{self.text().rpartition(' > ')[0]} < {self.clear}" if self.hysteresis else ""


_NEVER = 10**15


class Window(NamedTuple):
    """A stretch of time in which something is wrong."""

    start: int
    end: int
    kind: str
    detail: str = ""


class Windows:
    """Windows that follow one another."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows
        self._starts = [each.start for each in windows]
        self.met: set[int] = set()  # windows that somebody ran into
        self._known: tuple[int, int, Window | None] = (0, 0, None)  # from, until, what is on

    def at(self, time: int) -> Window | None:
        """Give the window that is on; it counts as met."""
        begins, ends, found = self._known
        if begins <= time < ends:
            return found
        place = bisect_right(self._starts, time) - 1
        found = self.windows[place] if place >= 0 and time < self.windows[place].end else None
        if found is not None:
            self.met.add(place)
            self._known = found.start, found.end, found
        else:
            ends = self._starts[place + 1] if place + 1 < len(self._starts) else _NEVER
            self._known = self.windows[place].end if place >= 0 else 0, ends, None
        return found

    def since(self, time: int) -> int:
        """For how long nothing has been wrong."""
        place = bisect_right(self._starts, time) - 1
        return time - (self.windows[place].end if place >= 0 else -H)


class Event(NamedTuple):
    """Something that happens at one moment."""

    at: int
    kind: str
    detail: Any = None


class Plan(NamedTuple):
    """A whole run."""

    seed: int
    end: int  # from here on nothing fails and nothing changes
    rules: tuple[RuleDef, ...]
    series: dict[tuple[str, str, str], tuple[list[int], list[float | None]]]  # (source, metric, zone) -> changes
    sources: dict[str, Windows]
    receivers: dict[str, Windows]
    disk: Windows
    ours: Windows  # the program's own code fails in some conditions
    events: tuple[Event, ...]
    at_once: int
    people: People


def plan(seed: int, hours: float) -> Plan:
    """Draw a run."""
    end = int(hours * H)
    dice = Dice(seed, "plan")
    rules = tuple(_rule(dice, number) for number in range(RULES))
    taste = Dice(seed, "people")
    told = people(taste, rich=seed % 3 != 0)
    rules = dressed(rules, taste) if told.rich else rules
    slow = Dice(seed, "clear")
    rules = tuple(rule._replace(hysteresis=slow.chance(0.25)) for rule in rules)
    lean = [dice.pick((0.3, 1.0, 1.0, 2.0)) for _ in range(4)]
    series = {
        (place.name, metric, zone): _course(dice, end)
        for place in PLACES
        for metric in METRICS[place.namespace]
        for zone in "ab"
    }
    sources = {place.name: _windows(dice, end, AT_SOURCES, lean[0]) for place in PLACES}
    receivers = {name: _windows(dice, end, AT_RECEIVERS, lean[1]) for name in RECEIVERS}
    disk = _windows(dice, end, AT_DISK, lean[2])
    drawn = (*_events(dice, end, rules, lean[3]), *_acks(taste, end, told), *_within(disk, Dice(seed, "within")))
    events = sorted((*drawn, *_retunes(Dice(seed, "retune"), end, told)), key=lambda event: event.at)
    ours = _windows(dice, end, IN_OUR_CODE, 1.0)
    return Plan(seed, end, rules, series, sources, receivers, disk, ours, tuple(events), dice.pick((1, 1, 3, 8)), told)


def _rule(dice: Dice, number: int) -> RuleDef:
    namespace = dice.pick(("app", "app", "host", SHARED, SHARED))
    missing = dice.pick((OnMissing.KEEP,) * 6 + (OnMissing.RESOLVE, OnMissing.FIRE))
    if missing is OnMissing.FIRE and namespace == SHARED:
        missing = OnMissing.KEEP  # what a gap of one of several pages stands for is told by their labels: not modelled
    return RuleDef(
        f"rules.yaml:R{number}",
        namespace,
        dice.pick(METRICS[namespace]),
        dice.pick(LIMITS),
        dice.pick((0, 0, 20 * S, M, 90 * S)),
        dice.pick((0, 0, 0, 30 * S, M)),
        missing,
        dice.pick((0, 30 * S, M, 3 * M)),
        dice.some(RECEIVERS),
        dice.pick(("", "", "", "a")) if namespace != "app" and missing is not OnMissing.FIRE else "",
        dice.pick(("critical", "warning")),
    )


def _course(dice: Dice, end: int) -> tuple[list[int], list[float | None]]:
    """Draw how one series goes: levels, and times at which it is not there."""
    restless = dice.pick((3 * M, 30 * M, H, H, 2 * H))
    times, values = [0], [10.0 if dice.chance(0.7) else dice.pick(LEVELS)]
    course: list[float | None] = list(values)
    at = 0
    while (at := at + dice.whole(restless // 5, 2 * restless)) < end:
        times.append(at)
        course.append(None if dice.chance(0.08) else 10.0 if dice.chance(0.4) else dice.pick(LEVELS))
    return times, course


class Weather(NamedTuple):
    """How windows of faults come: all is well for so long, then ill for so long, in one of these ways."""

    well: tuple[int, int]
    ill: tuple[int, int]
    kinds: Sequence[str]


AT_SOURCES = Weather((3 * M, 22 * M), (5 * S, 4 * M), (*FAILS, *ODD_SOURCE * 2))
AT_RECEIVERS = Weather((3 * M, 14 * M), (10 * S, 6 * M), RECEIVER)
AT_DISK = Weather((5 * M, 25 * M), (2 * S, 90 * S), DISK)
IN_OUR_CODE = Weather((20 * M, 60 * M), (S, 90 * S), ("fault of ours",))


def _windows(dice: Dice, end: int, weather: Weather, lean: float) -> Windows:
    found, at = [], 0
    while True:
        at += int(dice.whole(*weather.well) / lean)
        kind = dice.pick(weather.kinds)
        until = at + dice.whole(*weather.ill) * LASTS.get(kind, 1)
        if until >= end:
            return Windows(found)
        found.append(Window(at, until, kind, str(dice.whole(0, 1_000_000))))
        at = until


def _hush(dice: Dice) -> tuple[str, str, int]:
    """Draw a silence: a label, its value, for how long; 0: the last one is ended early."""
    if dice.chance(0.2):
        return "", "", 0
    names = [f"R{number}" for number in range(RULES)]
    name, values = dice.pick((("alertname", ["SourceDown", *names]), ("zone", ["a", "b"]), ("job", ["web-1", "web-2"])))
    return name, dice.pick(values), dice.whole(20 * S, 12 * M)


def _within(disk: Windows, dice: Dice) -> list[Event]:
    """Draw what ends the process while its state cannot be written."""
    found = []
    for each in disk.windows:
        at = dice.whole(each.start, each.end)
        if each.kind == "full" and dice.chance(0.5):
            crash = dice.pick(("any", "any", "after", "sent")), dice.whole(0, 60), dice.whole(S, 2 * M)
            found.append(dice.pick((Event(at, "crash", crash), Event(at, "crash", crash), Event(at, "restart"))))
    return found


def _acks(dice: Dice, end: int, told: People) -> list[Event]:
    """Draw when somebody takes on something: which of what fires, and for how long."""
    times = [dice.whole(M, max(M + 1, end - M)) for _ in range(5 * end // H if told.rich else 0)]
    return [Event(at, "ack", (dice.random(), dice.whole(M, 25 * M))) for at in times]


def _retunes(dice: Dice, end: int, told: People) -> list[Event]:
    """Draw when the settings are edited."""
    times = [dice.whole(M, max(M + 1, end - M)) for _ in range(4 * end // H if told.rich else 0)]
    return [Event(at, "retune", (dice.random(), dice.random())) for at in times]


def _events(dice: Dice, end: int, rules: tuple[RuleDef, ...], lean: float) -> list[Event]:
    hours = end / H
    crashes = ("any", "any", "any", "before", "before", "after", "after", "sent", "sent")
    found: list[Event] = []

    def some(per_hour: float, kind: str, details: Sequence[Any]) -> None:
        times = [dice.whole(M, max(M + 1, end - M)) for _ in range(round(per_hour * lean * hours))]
        found.extend(Event(at, kind, dice.pick(details)) for at in times)

    some(3, "crash", [(how, dice.whole(0, 60), dice.whole(S, dice.pick((5 * S, 30 * S, 6 * M)))) for how in crashes])
    some(1, "restart", [dice.whole(0, 20 * S) for _ in range(3)])
    some(1.5, "step", [-S, -S, 2 * S, -30 * S, 40 * S, H, -H, 24 * H, -24 * H])
    some(0.7, "pause", [dice.whole(2 * S, 40 * S), dice.whole(M, 4 * M), 10 * M])
    some(0.7, "break", [dice.whole(5 * S, 5 * M) for _ in range(3)])
    some(2, "silence", [_hush(dice) for _ in range(9)])
    some(3, "edit", [(dice.random(), dice.random()) for _ in range(9)])
    return found
