"""Who is told, by seed: routes with timers, levels, escalation, inhibitions, windows, fallbacks, storms, flapping.

A third of the seeds is *plain*: each rule names its receivers and everything is told at once, so that of each turn can
be said exactly who hears of what (`exact`). The others draw from all that settings and rules can say of people; there
laws are held against what is told (`laws`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.model import Flapping, Inhibition, Matcher, OnMissing, Route, Storm
from tests.simulate.dice import H, M, S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulate.dice import Dice
    from tests.simulate.plan import RuleDef

RECEIVERS = ("chat", "room", "pager")  # Slack by bot token, Slack by webhook, PagerDuty
GROUPS = ("chat", "room")  # one message stands for a group
TEAMS = ("", "db", "web")
WARNING, CRITICAL = "warning", "critical"
_FALLBACKS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {},
    {"pager": ("chat",)},
    {"chat": ("room",), "room": ("pager",), "pager": ("chat",)},
    {"room": ("pager",)},
)
_FIRST_MINUTE = 22 * 60 + 13  # of the day on which a run begins, in UTC


class People(NamedTuple):
    """How people are told. What is not played in a plain run is empty."""

    rich: bool = False
    route: Route | None = None
    inhibitions: tuple[Inhibition, ...] = ()
    windows: Mapping[str, tuple[tuple[int, int], ...]] = {}  # minutes of the day, UTC: from, until
    flapping: Flapping | None = None
    storm: Storm = Storm(messages=1_000_000)  # summaries are not in the exact model
    fallback: Mapping[str, tuple[str, ...]] = {}
    late_after: int = 5 * M
    silence_warning: int = 15 * M


def people(dice: Dice, *, rich: bool) -> People:
    """Draw how people are told."""
    if not rich:
        return People()
    return People(
        rich=True,
        route=tree(dice),
        inhibitions=inhibitions(dice),
        windows=windows(dice),
        flapping=dice.pick((None, None, Flapping(3, 20 * M, 4 * M))),
        storm=dice.pick((Storm(), Storm(), Storm(2, M), Storm(4, 90 * S))),
        fallback=fallbacks(dice),
        late_after=dice.pick((M, 3 * M)),
        silence_warning=dice.pick((2 * M, 15 * M)),
    )


def dressed(rules: Sequence[RuleDef], dice: Dice) -> tuple[RuleDef, ...]:
    """Give rules what they may say of people: teams, routes instead of names, levels, escalation, windows."""
    made = []
    for number, rule in enumerate(rules):
        rule = rule._replace(team=dice.pick(TEAMS))  # noqa: PLW2901  the same rule, with more to say
        if dice.chance(0.6):
            rule = rule._replace(notify=())  # noqa: PLW2901
        if rule.on_missing is OnMissing.KEEP and dice.chance(0.45):
            rule = rule._replace(second=rule.limit + dice.pick((10, 20)), severity="")  # noqa: PLW2901
        if dice.chance(0.3):
            rule = rule._replace(escalate=escalation(dice))  # noqa: PLW2901
        if number and dice.chance(0.15):
            rule = rule._replace(depends=(f"R{dice.whole(0, number)}",))  # noqa: PLW2901
        if dice.chance(0.2):
            rule = rule._replace(muted=("nights",))  # noqa: PLW2901
        elif dice.chance(0.05):
            rule = rule._replace(active=("office",))  # noqa: PLW2901
        made.append(rule)
    return tuple(made)


def inhibitions(dice: Dice) -> tuple[Inhibition, ...]:
    """Draw what hides what."""
    return tuple(_inhibition(dice, number) for number in range(dice.pick((0, 1, 1, 2))))


def windows(dice: Dice) -> Mapping[str, tuple[tuple[int, int], ...]]:
    """Draw when it is night, and when somebody is at the office."""
    return {name: _minutes(dice) for name in ("nights", "office")}


def fallbacks(dice: Dice) -> Mapping[str, tuple[str, ...]]:
    """Draw who is told what somebody else cannot be told."""
    return dice.pick(_FALLBACKS)


def escalation(dice: Dice) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Draw who is told when nobody has taken an alert on for some time."""
    first = dice.pick((M, 3 * M, 8 * M))
    steps = ((first, (dice.pick(RECEIVERS),)), (first + 5 * M, dice.some(RECEIVERS)))
    return steps[: dice.pick((1, 1, 2))]


def tree(dice: Dice) -> Route:
    """Draw a tree of routes."""
    critical = _node(dice, "critical", (("severity", "=", CRITICAL),), ("pager", *dice.pick(((), (), ("chat",)))))
    database = _node(dice, "db", (("team", "=", "db"),), dice.some(GROUPS))
    zone = _node(dice, "zone", (("zone", "=", "a"), ("team", "!=", "web")), ("chat",))
    nobody = _node(dice, "nobody", (("team", "=", "web"), ("severity", "=", WARNING)), ())
    children = [each for each in (critical, database, zone, nobody) if dice.chance(0.6 if each.receivers else 0.2)]
    return _node(dice, "route", (), dice.some(GROUPS))._replace(routes=tuple(children))


def _node(dice: Dice, name: str, matchers: Sequence[tuple[str, str, str]], receivers: tuple[str, ...]) -> Route:
    return Route(
        receivers,
        tuple(Matcher(*each) for each in matchers),
        continue_=bool(matchers) and dice.chance(0.4),
        group_by=dice.pick((("alertname",), ("alertname",), (), ("zone", "job"), ("...",))),
        group_wait=dice.pick((0, 10 * S, 30 * S)),
        group_interval=dice.pick((0, 30 * S, 2 * M, 5 * M)),
        repeat_interval=dice.pick((None, None, 8 * M, 20 * M)),
        mute_time_intervals=("nights",) if matchers and dice.chance(0.25) else (),
        active_time_intervals=("office",) if matchers and dice.chance(0.1) else (),
        name=name,
    )


def _inhibition(dice: Dice, number: int) -> Inhibition:
    sources, targets = dice.pick(
        (
            ((("severity", "=", CRITICAL),), (("severity", "=", WARNING),)),
            ((("alertname", "=", f"R{dice.whole(0, 20)}"),), (("zone", "=", "a"),)),
            ((("alertname", "=", "SourceDown"),), (("team", "!=", "db"),)),
        )
    )
    equal = dice.pick(((), ("zone",), ("job", "zone"), ("alertname",)))
    return Inhibition(tuple(Matcher(*e) for e in sources), tuple(Matcher(*e) for e in targets), equal, f"i{number}")


def _minutes(dice: Dice) -> tuple[tuple[int, int], ...]:
    starts = [_FIRST_MINUTE + dice.whole(0, 2 * H // M) for _ in range(dice.pick((1, 2, 3)))]
    return tuple((start % 1440, (start + dice.whole(3, 25)) % 1440) for start in starts)
