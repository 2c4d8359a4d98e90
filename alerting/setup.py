"""What the engine is given to work by: rules, targets, receivers, how people are told; and its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.config.names import names_in
from alerting.config.zones import find_zone
from alerting.core.telling.calendar import Calendar
from alerting.core.telling.inhibition import Inhibitor
from alerting.core.telling.plan import Plan
from alerting.core.telling.tree import Tree
from alerting.model import Receiver, Storm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.config.settings import Settings
    from alerting.intake import Target
    from alerting.model import Flapping, Inhibition, Millis, Patterns, Route, Rule, Section
    from alerting.ports import Notifier


class Setup(NamedTuple):
    """What the engine works on: one consistent set, taken over whole by `adopt`."""

    rules: Sequence[Rule]  # all that are in force, in order
    targets: Sequence[Target]
    receivers: Mapping[str, Receiver]
    fallback: tuple[str, ...] = ()  # who is told of what nobody names and no route fits
    external_labels: Mapping[str, str] = {}
    external_url: str = ""
    unknown_after: Millis = 300_000
    max_gap: Millis | None = None  # None: the larger of 2 intervals and 1 m, per rule
    good_config: str | None = None  # saved with the next commit as the last good set
    route: Route | None = None
    inhibitions: Sequence[Inhibition] = ()
    calendar: Calendar | None = None
    flapping: Flapping | None = None
    storm: Storm = Storm()
    silence_warning: Millis = 900_000
    patient: bool = True  # False: nobody comes back soon, so nothing waits for `group_wait`


class Limits(NamedTuple):
    """Bounds that hold whatever a source or a rule does."""

    series: int = 1_000  # alerts of one rule, where the rule sets no `limit`
    fetches: int = 50  # at once
    fetch_deadline: Millis = 15_000  # a second line behind the source's own
    lookback: Millis = 300_000


DEFAULT_LIMITS = Limits()


def setup_of(settings: Settings, rules: Sequence[Rule], receivers: Mapping[str, Receiver]) -> Setup:
    """Take from the settings how people are told; the rest has its defaults."""
    return Setup(
        rules,
        (),
        receivers,
        external_labels=settings.external_labels,
        external_url=settings.external_url,
        unknown_after=settings.unknown_after,
        route=settings.route,
        inhibitions=settings.inhibitions,
        calendar=Calendar(settings.intervals, find_zone) if settings.intervals else None,
        flapping=settings.flapping,
        storm=settings.storm,
        silence_warning=settings.silence_warning,
    )


def receiver_of(notifier: Notifier, section: Section | None) -> Receiver:
    """Say what the telling must know of a receiver; without a section it is one of ours."""
    fallback = () if section is None else tuple(names_in(section.values.get("fallback", ())))
    return Receiver(notifier.stands_for, getattr(notifier, "pictures", False), fallback)


def plan_of(setup: Setup, patterns: Patterns) -> Plan:
    """Make ready how people are told."""
    return Plan(
        setup.receivers,
        None if setup.route is None else Tree(setup.route, patterns),
        setup.fallback,
        Inhibitor(setup.inhibitions, patterns) if setup.inhibitions else None,
        setup.calendar,
        setup.flapping,
        setup.storm,
        setup.silence_warning,
        setup.external_labels,
        setup.patient,
    )
