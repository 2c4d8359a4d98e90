"""F7: rules that would take very long end at their budget, and the others do not wait for them.

Times are CPU time of the engine's one thread: that is what the others wait for, and a busy machine does not decide.
"""

from __future__ import annotations

import asyncio
from statistics import quantiles
from time import thread_time
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.lang.condition import CompiledCondition, compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.core.lang.running.values import BUDGET
from alerting.core.lifecycle import Policy
from alerting.core.turn import FULL, SLOW, Track, parted
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.tick import Above, House, S, rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis
    from alerting.ports import Change
    from tests.figures import Figure

NAMES = Names([SourceNames("app", "app", "health", False, ())])  # noqa: FBT003  closed
GOOD = 200
SERIES = 200
OVER, OTHERS = 0.5, 0.25  # seconds: the longest that a rule may take, and that the others may wait

NESTED = "max_over_time(" * 3 + "app.v" + "[30s:10s])[1m:3s])[15m:2s])"
PATHOLOGICAL = [
    "sum_over_time((app.v)[49s:1ms]) > 1",
    "sum_over_time((app.v + app.v)[10s:1ms]) > 1",
    "quantile_over_time(0.5, (app.v ^ 2 % 7)[40s:1ms]) > 1",
    "avg_over_time((app.v and app.v or app.v unless app.v)[40s:1ms]) > 1",
    f"{NESTED} > 1",
    "max_over_time((sum by (a) (app.v))[40s:1ms]) > 1",
    "max_over_time((count_values('x', app.v))[40s:1ms]) > 1",
    "max_over_time((topk(3, app.v))[40s:1ms]) > 1",
    "max_over_time((quantile(0.9, app.v))[40s:1ms]) > 1",
    "max_over_time((stddev(app.v))[40s:1ms]) > 1",
    "max_over_time((label_replace(app.v, 'x', '$1', 'a', '((a|b|.)*)*'))[40s:1ms]) > 1",
    "max_over_time((label_join(app.v, 'x', '-', 'a', 'a', 'a'))[40s:1ms]) > 1",
    "max_over_time((day_of_year(app.v) + days_in_month(app.v))[40s:1ms]) > 1",
    "max_over_time((app.v{a=~'(x+x+)+y|(.|\\\\d)*'})[40s:1ms]) > 1",
    "max_over_time((app.v * on (a) group_left () app.v)[40s:1ms]) > 1",
    "deriv((rate(app.v[10m]))[40s:1ms]) > 1",
    "stddev_over_time((quantile_over_time(0.5, app.v[10m]))[40s:1ms]) > 1",
    "max_over_time((absent(app.v{a='none'}) * scalar(sum(app.v)))[49s:1ms]) > 1",
    " + ".join(["sum_over_time((vector(time()))[49s:1ms])"] * 30) + " > 1",
    "-" * 90 + "sum_over_time((round(app.v, 3) - floor(app.v))[40s:1ms]) > 1",
]


class Timed:
    """A condition that notes how long it took, and when it was through."""

    def __init__(self, text: str, ended: list[float], took: list[float]) -> None:
        self.condition: CompiledCondition = compile_condition(text, NAMES, compile_pattern, interval=10 * S)[0]
        self.text, self.needs, self.unit, self.watches_buckets = text, self.condition.needs, "", False
        self.ended, self.took = ended, took

    @property
    def weight(self) -> int:
        return self.condition.weight

    def evaluate(self, samples: Any, now: Millis, since: Millis | None = None) -> Any:
        started = thread_time()
        found = self.condition.evaluate(samples, now, since)
        self.ended.append(thread_time())
        self.took.append(self.ended[-1] - started)
        return found


class Noting(MemoryStore):
    """A store that notes when it has taken something."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[float] = []

    async def commit(self, change: Change) -> None:
        await super().commit(change)
        self.commits.append(thread_time())


@pytest.mark.slow
def test_f7_twenty_rules_without_end_do_not_delay_two_hundred_good_ones(figure: Figure) -> None:
    """From the first tick on: what the good rules found is saved long before the last of the others has ended."""

    async def story() -> tuple[list[float], list[float], dict[str, str]]:
        ended: list[float] = []
        took: list[float] = []
        lags: list[float] = []
        rules = [rule(f"Bad{i}", Timed(text, [], took)) for i, text in enumerate(PATHOLOGICAL)]
        rules += [rule(f"Good{i}", Timed(f'app.v{{a="{i}"}} > 5', ended, [])) for i in range(GOOD)]
        store = Noting()
        house = await House(*rules, store=store).open()
        for round_ in range(3):
            ended.clear()
            store.commits.clear()
            started = thread_time()
            await house.tick({str(i): 9 if round_ else 1 for i in range(SERIES)}, passed=10 * S)
            lags += [min(at for at in store.commits if at >= mine) - started for mine in ended]
        statuses = {each.rule.name: each.unknown or each.state for each in house.engine.statuses()}
        return lags, took, statuses

    lags, took, statuses = asyncio.run(story())
    assert len(lags) == 3 * GOOD
    assert len(took) == 3 * len(PATHOLOGICAL) == 60
    late = round(1000 * quantiles(lags, n=100)[98])
    figure("lag of the others p99", late, at_most=1000 * OTHERS, n=len(lags), unit="ms of CPU", timed=True)
    figure("longest rule", round(max(took), 2), at_most=OVER, n=len(took), unit="s of CPU", timed=True)
    assert {statuses[f"Good{i}"] for i in range(GOOD)} == {"firing"}
    assert all("over its budget" in statuses[f"Bad{i}"] for i in range(len(PATHOLOGICAL))), statuses


def _tracks(weights: Sequence[int]) -> list[Track]:
    made = []
    for name, weight in enumerate(weights):
        condition = Above()
        condition.weight = weight
        spoken = rule(str(name), condition)
        made.append(Track(spoken.spec, spoken, Policy()))
    return made


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ([], [""]),
        ([0, 0, 0], ["012"]),
        ([SLOW + 1, 0, 5], ["012"]),  # there is room for all: in order
        ([FULL, 0, 5, 0], ["123", "0"]),
        ([BUDGET, 0, BUDGET, 1], ["13", "0", "2"]),
        ([FULL // 2, FULL // 2, FULL // 2], ["01", "2"]),
    ],
)
def test_a_turn_takes_what_is_quick_first_and_no_more_than_fills_it(weights: list[int], turns: list[str]) -> None:
    """One turn is the rule; where it would block all else for long, there are several."""
    assert ["".join(rule_id[-1] for rule_id in turn) for turn in parted(_tracks(weights))] == turns


def test_what_reads_a_slow_recording_rule_comes_after_it() -> None:
    """So that it reads what was recorded now, not what was recorded the time before."""
    slow, other, reader = tracks = _tracks([FULL + 1, 0, 0])
    reader.upstream = (slow,)
    assert [rule_id for turn in parted(tracks) for rule_id in turn] == [
        track.spec.id for track in (other, slow, reader)
    ]


def test_a_condition_learns_its_weight() -> None:
    """Steps that can be counted beforehand count at once; the rest is known after the first evaluation."""
    plain, steps = (compile_condition(t, NAMES, compile_pattern)[0] for t in ("app.v > 1", PATHOLOGICAL[0]))
    assert plain.weight == 0
    assert steps.weight > FULL
