"""Who is told, as the settings say it: the route tree, inhibitions, windows of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from alerting.model.rules import NOWHERE, Origin

if TYPE_CHECKING:
    from alerting.model.basics import Millis
    from alerting.model.metrics import Matcher

StandsFor = Literal["alert", "group"]


class Route(NamedTuple):
    """One node of the route tree, with what it inherits filled in. Words and meaning are Alertmanager's."""

    receivers: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    continue_: bool = False  # go on with the siblings after a match
    group_by: tuple[str, ...] = ()  # names of labels; ("...",): each alert by itself
    group_wait: Millis = 30_000
    group_interval: Millis = 300_000
    repeat_interval: Millis | None = 14_400_000  # None: never
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    name: str = "route"  # where it is in the tree, as people read it: `route > team="db"`
    origin: Origin = NOWHERE


class Cause(NamedTuple):
    """An alert that must fire for others to be kept back: what it must fit, and which labels both must share."""

    matchers: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


class Inhibition(NamedTuple):
    """While an alert fires that `sources` fit, those that `targets` fit are not told, where `equal` labels agree."""

    sources: tuple[Matcher, ...]
    targets: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    name: str = ""
    origin: Origin = NOWHERE
    more: tuple[Cause, ...] = ()  # for each of these too an alert must fire

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All that must fire."""
        return (Cause(self.sources, self.equal), *self.more)


class TimeSpan(NamedTuple):
    """One entry of a window: the moments that fit all that it says. What it leaves empty fits always.

    All but `times` are pairs of first and last, both included.
    """

    times: tuple[tuple[int, int], ...] = ()  # minutes of the day: from, until; until before from: across midnight
    weekdays: tuple[tuple[int, int], ...] = ()  # 0 is Sunday
    days_of_month: tuple[tuple[int, int], ...] = ()  # -1 is the last one
    months: tuple[tuple[int, int], ...] = ()
    years: tuple[tuple[int, int], ...] = ()
    zone: str = "UTC"  # of the IANA database, or `Local`: this machine's


class Flapping(NamedTuple):
    """When an alert that comes and goes counts as flapping, and when it does no more."""

    firings: int  # that many or more …
    within: Millis  # … in this time: it flaps
    calm: Millis  # without a change for so long: it does not


class Storm(NamedTuple):
    """When new groups are summed up: more than so many for one receiver, in so short a time."""

    messages: int = 20
    within: Millis = 60_000


class Receiver(NamedTuple):
    """What the telling must know of a receiver."""

    stands_for: StandsFor = "group"  # what one message of it means
    pictures: bool = False  # wants the value over time
    fallback: tuple[str, ...] = ()  # who gets what it cannot be told
