"""When what is evaluated: shared phases, an even spread, no burst after a pause."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from alerting.core.schedule import Batch, Schedule, batches_of, narrowed
from alerting.model import Need, Origin, Rule, RuleSpec
from tests.tick import Above

if TYPE_CHECKING:
    from tests.figures import Figure

S, M = 1_000, 60_000


def batch(name: str, interval: int = 30 * S, *spaces: str) -> Batch:
    """Make a batch of one rule."""
    return Batch(name, interval, frozenset(spaces or (name,)), (f"rule of {name}",))


def reading(*spaces: str, **more: object) -> Rule:
    """Make a rule that reads these namespaces."""
    condition = Above()
    condition.needs = tuple(Need(space, "v") for space in spaces)
    return Rule(RuleSpec(name="x", condition="", **{"id": str(id(condition)), **more}), condition)  # type: ignore[arg-type]


def test_rules_that_read_alike_at_one_pace_are_one_batch() -> None:
    """By interval and namespaces; a group of Prometheus' form is one by itself, in its order."""
    rules = [
        reading("a", id="1"),
        reading("a", "b", id="2"),
        reading("a", id="3"),
        reading("a", id="4", interval=M),
        reading("a", id="5", group="g", origin=Origin("f.yaml")),
        reading("b", id="6", group="g", origin=Origin("f.yaml")),
        reading("b", id="7", group="g", origin=Origin("other.yaml")),
    ]
    found = sorted((each.rules, sorted(each.namespaces), each.interval) for each in batches_of(rules))
    assert found == [
        (("1", "3"), ["a"], 30 * S),
        (("2",), ["a", "b"], 30 * S),
        (("4",), ["a"], M),
        (("5", "6"), ["a", "b"], 30 * S),
        (("7",), ["b"], 30 * S),
    ]
    assert len({each.name for each in batches_of(rules)}) == 5


def test_batches_that_share_a_source_are_due_together_and_others_apart() -> None:
    """One fetch serves all; a minute's batch meets every second one of half a minute."""
    schedule = Schedule([batch("a"), batch("ab", 30 * S, "a", "b"), batch("b", M), batch("c")])
    due: dict[str, list[int]] = {}
    for now in range(0, 2 * M, 10):
        for each in schedule.due(now):
            due.setdefault(each.name, []).append(now)
    assert due["a"] == due["ab"] == [0, 30 * S, 60 * S, 90 * S]
    assert due["b"] == due["a"][::2]
    assert set(due["c"]).isdisjoint(due["a"])


def test_f34_the_first_round_is_spread_and_within_one_interval(figure: Figure) -> None:
    """1,000 rules on 50 sources: no second has more than three times its share."""
    schedule = Schedule([batch(f"s{number}") for number in range(50)])
    seconds: Counter[int] = Counter()
    for now in range(0, 30 * S, 10):
        seconds[now // S] += len(schedule.due(now))
    assert sum(seconds.values()) == 50
    figure("busiest second, by the mean", max(seconds.values()) / (50 / 30), at_most=3, n=50)
    figure("first pass", max(seconds) + 1, at_most=30 + 2, n=50, unit="s")


def test_many_sources_at_a_quick_pace_share_a_few_moments() -> None:
    """Whoever is woken for each of 40 sources once a second spends most of the CPU on waking up."""
    schedule = Schedule([batch(f"s{number}", S) for number in range(40)])
    due = {now: len(found) for now in range(0, 2 * S, 5) if (found := schedule.due(now))}
    assert due == dict.fromkeys(range(0, 2 * S, 200), 8)


def test_few_sources_are_all_read_within_two_seconds_of_the_start() -> None:
    """Nobody waits half a minute for the first look."""
    schedule = Schedule([batch(f"s{number}") for number in range(5)])
    assert len(schedule.due(2 * S)) == 5


def test_f33_after_a_pause_each_is_due_once_and_the_rest_is_counted() -> None:
    """And the pace is what it was."""
    schedule = Schedule([batch("a"), batch("a2", 10 * S, "a")])
    schedule.due(0)
    assert schedule.missed == 0
    assert sorted(each.name for each in schedule.due(10 * M + 1)) == ["a", "a2"]
    assert schedule.missed == 19 + 59
    assert schedule.due(10 * M + 9_999) == ()
    assert schedule.next_at() == 10 * M + 10 * S


def test_a_reload_keeps_the_pace_of_what_was_there() -> None:
    """Only what is new begins; what is gone is gone."""
    schedule = Schedule([batch("a"), batch("b")], start=5)
    schedule.due(5)
    schedule.replace([batch("a"), batch("a2", 60 * S, "a"), batch("new")], 12 * S)
    assert [each.name for each in schedule.due(12 * S)] == ["new"]
    due = {each.name for now in range(12 * S + 1, 30 * S + 6) for each in schedule.due(now)}
    assert due == {"a", "a2"}
    schedule.replace([], 31 * S)
    assert schedule.next_at() is None
    assert schedule.due(10 * M) == ()


def test_a_batch_that_still_runs_is_left_out_and_counted() -> None:
    """It runs again once it has ended; others are not held up by it."""
    schedule, slow, quick = Schedule(), batch("slow"), batch("quick")
    assert schedule.begin([slow], 5) == [slow]
    assert schedule.begin([slow, quick], 7) == [quick]
    assert schedule.missed == 1
    assert schedule.running == {slow.name: 5, quick.name: 7}
    schedule.end([slow])
    assert schedule.begin([slow, quick], 9) == [slow]
    assert schedule.missed == 2


def test_narrowed_batches_read_only_for_what_is_left_in_them() -> None:
    """A batch of which nothing is left is gone; the order of rules stays."""
    a, b, c = reading("a", id="1"), reading("b", id="2"), reading("a", "c", id="3")
    whole = [Batch("x", M, frozenset("abc"), ("3", "2", "1")), Batch("y", M, frozenset("d"), ("4",))]
    assert narrowed(whole, {"1": a, "3": c}) == [Batch("x", M, frozenset("ac"), ("3", "1"))]
    assert narrowed(whole, {"2": b}) == [Batch("x", M, frozenset("b"), ("2",))]


INTERVALS = st.lists(st.sampled_from([S, 7 * S, 30 * S, M]), min_size=1, max_size=6)


@given(INTERVALS, st.lists(st.integers(1, 50 * S), max_size=40))
def test_what_is_due_and_what_is_missed_is_all_there_is(intervals: list[int], pauses: list[int]) -> None:
    """However time passes, evaluations and missed ones together are what the interval says."""
    batches = [batch(str(number), interval) for number, interval in enumerate(intervals)]
    schedule, now, ran = Schedule(batches), 0, Counter[str]()
    first = {each.name: at for at, _, each in schedule._heap}
    for pause in pauses:
        now += pause
        before = schedule.missed
        due = schedule.due(now)
        assert len({each.name for each in due}) == len(due)
        assert schedule.missed >= before
        assert (schedule.next_at() or 0) > now
        ran.update(each.name for each in due)
    owed = 0
    for each in batches:
        owed += (now - first[each.name]) // each.interval + 1 if now >= first[each.name] and pauses else 0
    assert sum(ran.values()) + schedule.missed == owed
