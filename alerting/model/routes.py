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


class Inhibition(NamedTuple):
    """While an alert fires that `sources` fit, those that `targets` fit are not told, where `equal` labels agree."""

    sources: tuple[Matcher, ...]
    targets: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    name: str = ""
    origin: Origin = NOWHERE


class Receiver(NamedTuple):
    """What the telling must know of a receiver."""

    stands_for: StandsFor = "group"  # what one message of it means
    pictures: bool = False  # wants the value over time
    fallback: tuple[str, ...] = ()  # who gets what it cannot be told
