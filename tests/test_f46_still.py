"""F46: a source that answers, and always the same: by an old time stamp of its own, or with values that never move.

Where its time stamps stand still, what it says counts as unknown once it is older than any value may be (five minutes);
a rule that wants to know sooner, or of values that never move, says so: `time() - timestamp(…)`, `changes(…)`.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names
from alerting.model import OnMissing
from alerting.patterns import compile_pattern
from tests.full import rounds, seed
from tests.tick import App, House, M, S, rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis, Need, Reading
    from tests.figures import Figure

PACE = 30 * S
LONGEST = 5 * M  # that a value counts, where the rule says nothing else
HIGH, WELL = 20.0, 3.0


class Standing(App):
    """An app whose page has time stamps, and stands still from some moment on. `fresh` has its own series, `b`."""

    since: Millis | None = None
    fresh = False

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        reading = await super().fetch(needs, since)
        if self.since is None:
            return reading
        old = [each.name != "up" and each.labels.get("a") == "1" for each in reading.samples]
        samples = [
            each._replace(at=self.since) if still else each for each, still in zip(reading.samples, old, strict=True)
        ]
        return reading._replace(samples=tuple(samples))


class Case(NamedTuple):
    """A rule, what it is to come to, and how long after the source began to stand still."""

    condition: str
    on_missing: OnMissing
    before: float  # the value until then, and from then on
    due: Millis
    stamped: bool  # by time stamps; else by values alone
    beside: bool  # another series of the source goes on


def cases(dice: random.Random, count: int) -> list[Case]:
    """Draw so many."""
    made = []
    for _ in range(count):
        on_missing, limit = dice.choice(list(OnMissing)), dice.randrange(2, 9) * PACE
        kind = dice.choice(("plain", "plain", "stamp", "changes"))
        if kind == "plain":
            condition, due, before = "app.v > 10", LONGEST, dice.choice((HIGH, WELL))
        elif kind == "stamp":
            condition, due, before = f"time() - timestamp(app.v) > {limit // S}", limit + PACE, WELL
        else:  # the last value that was another is out of the window
            condition, due, before = f"changes(app.v[{limit // S}s]) == 0", limit - PACE, WELL
        made.append(Case(condition, on_missing, before, due, kind != "changes", dice.random() < 0.3))
    return made


async def faults(case: Case, lead: int) -> list[str]:
    """Play it, with so many looks before, and say what was wrong."""
    condition, *_ = compile_condition(case.condition, Names.anything(), compile_pattern, interval=PACE)
    house = House(rule("Still", condition, on_missing=case.on_missing, notify=("chat",), interval=PACE))
    house.app = app = Standing(house.clock)
    house.targets = [house.targets[0]._replace(source=app)]
    await house.open()
    for turn in range(12 + lead):  # as many as a window of changes may hold
        await house.tick(_values(case, turn), passed=PACE)
    app.since = house.clock.now() if case.stamped else None
    began, wrong = house.clock.now(), []
    firing = _firing(house)
    for turn in range(40):  # twenty minutes
        await house.tick(_values(case, 11 + lead, turn), passed=PACE)
        after = house.clock.now() - began
        wanted = _wanted(case, after, firing)
        if wanted != (_unknown(house), _firing(house)):
            wrong.append(f"{case}: after {after // S} s {wanted} wanted: {_unknown(house)}, {_firing(house)}")
    return wrong


def _values(case: Case, turn: int, later: int = 0) -> dict[str, float]:
    moving = 0.0 if case.stamped else turn / 100  # values move until it stands still
    values = {"1": case.before + moving}
    return values | {"2": WELL + (turn + later) / 100} if case.beside else values


def _unknown(house: House) -> bool:
    return bool(house.engine.statuses()[0].unknown)


def _firing(house: House) -> bool:
    return any(each.labels.get("a") == "1" for each in house.engine.statuses()[0].alerts if each.state == "firing")


def _wanted(case: Case, after: Millis, firing: bool) -> tuple[bool, bool]:
    """Tell whether something is unknown, and whether the alert of the series fires, so long after."""
    unknown = case.stamped and after >= LONGEST
    if case.due < LONGEST or not case.stamped:
        firing = after >= case.due
    if unknown and case.on_missing is not OnMissing.KEEP:
        firing = case.on_missing is OnMissing.FIRE
    return unknown, firing


def test_f46_a_source_that_stands_still_is_noticed_on_time(figure: Figure) -> None:
    """And what its last answer said neither clears nor ends anything, unless the rule says that it should."""
    number, count = seed(46), rounds(60, full=1_000)
    dice = random.Random(number)
    played = [(case, dice.randrange(5)) for case in cases(dice, count)]

    async def story() -> list[str]:
        return [each for case, lead in played for each in await faults(case, lead)]

    wrong = asyncio.run(story())
    print(*wrong[:5], sep="\n")
    figure("late or missing stale states", len(wrong), at_most=0, n=count, seed=number)


def test_a_series_that_goes_on_beside_one_that_stands_still_is_judged() -> None:
    """One exporter behind a gateway is gone, the other is not."""

    async def story() -> None:
        condition, *_ = compile_condition("app.v > 10", Names.anything(), compile_pattern, interval=PACE)
        house = House(rule("High", condition, notify=("chat",)))
        house.app = app = Standing(house.clock)
        house.targets = [house.targets[0]._replace(source=app)]
        await house.open()
        await house.tick({"1": HIGH, "2": HIGH})
        app.since = house.clock.now()
        for _ in range(30):
            await house.tick({"1": HIGH, "2": HIGH})
        report = await house.tick({"1": HIGH, "2": WELL})
        assert [(each.labels.get("a"), str(each.after)) for each in report.transitions] == [("2", "resolved")]
        assert house.engine.statuses()[0].unknown == "app stands still: its newest app.v is 930 s old"
        app.since = None
        report = await house.tick({"1": WELL, "2": WELL})
        assert [(each.labels.get("a"), str(each.after)) for each in report.transitions][:1] == [("1", "resolved")]
        assert not house.engine.statuses()[0].unknown

    asyncio.run(story())
