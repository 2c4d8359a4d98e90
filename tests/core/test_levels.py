"""Rules with `levels:` and with `clear:`: at which level a series is, when it falls, and when it is over."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest

from alerting.config.rules import assembled
from alerting.core.evaluate import QUIET, evaluate, uncleared
from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names
from alerting.core.levels import Levels
from alerting.core.lifecycle import NO_DATA, policy_of
from alerting.core.samples import Samples
from alerting.core.turn import Track, Turn
from alerting.model import (
    Alert,
    AlertKey,
    AlertState,
    Flapping,
    Gap,
    Labels,
    Level,
    OnMissing,
    Reading,
    Rule,
    RuleSpec,
    Sample,
    Truth,
)
from alerting.patterns import compile_pattern
from tests.core.test_evaluate import Says
from tests.tick import Above, House

A, B = (Labels({"a": name}) for name in "ab")
NAMES = ("warning", "error", "critical")
TRUE, FALSE, UNKNOWN, VANISHED = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN, Truth.VANISHED


def rule(*conditions: Any, clear: Any = None, **more: Any) -> Rule:
    """Make a rule of levels, the least grave first; of one condition a plain one."""
    texts = [each.text for each in conditions]
    levels = tuple(map(Level, NAMES, texts)) if len(conditions) > 1 else ()
    spec = RuleSpec("r", "R", texts[0], levels=levels, clear=clear.text if clear else "", **more)
    return assembled(spec, [*conditions, *([clear] if clear else ())])


def firing(level: str = "", labels: Labels = A, **more: Any) -> dict[Labels, Alert]:
    """Make an alert that fires."""
    alert = Alert(AlertKey("r", labels.fingerprint), labels, AlertState.FIRING, 0, 20.0, "was so", level=level)
    return {labels: alert._replace(**more)}


def says(truth: Truth) -> Says:
    """Make a condition that says this of A."""
    return {
        TRUE: Says([(A, 20.0)], [A]),
        FALSE: Says(seen=[A]),
        UNKNOWN: Says(gaps=[Gap("not read")]),
        VANISHED: Says(),
    }[truth]


def judged(made: Rule, alerts: dict[Labels, Alert], **more: Any) -> list[tuple[Truth, str]]:
    """Evaluate; give truth and level of each verdict."""
    return [(each.truth, each.level) for each in evaluate(made, None, alerts, 0, None, **more).verdicts]


def expected(truths: tuple[Truth, ...], kept: str) -> tuple[Truth, str]:
    """The law, written another way: walk down from the gravest."""
    doubtful = False
    for name, truth in zip(reversed(NAMES), reversed(truths), strict=True):
        if truth is TRUE:
            falls = bool(kept) and NAMES.index(kept) > NAMES.index(name)
            return TRUE, kept if falls and doubtful else name
        doubtful = doubtful or truth is not FALSE
    if UNKNOWN in truths:
        return UNKNOWN, kept
    return truths[NAMES.index(kept)] if kept else FALSE, kept


@pytest.mark.parametrize("kept", ["", *NAMES])
def test_every_combination_of_what_the_levels_say(kept: str) -> None:
    """It rises on evidence, falls on evidence only, and recovers when the level that it was at does."""
    for truths in product(Truth, repeat=3):
        made = rule(*map(says, truths))
        found = judged(made, firing(kept, quiet_since=5) if kept else {})
        if kept:
            assert found == [expected(truths, kept)], truths
        else:
            assert found == ([expected(truths, kept)] if TRUE in truths else []), truths


def test_what_fires_steadily_at_its_level_needs_no_verdict() -> None:
    """And one that has changed its level does."""
    made = rule(says(TRUE), says(TRUE), says(FALSE))
    assert judged(made, firing("error")) == []
    assert judged(made, firing("warning")) == [(TRUE, "error")]
    assert judged(made, firing("critical")) == [(TRUE, "error")]
    assert judged(made, firing("a level that it had once")) == [(TRUE, "error")]
    assert judged(rule(says(TRUE)), firing("critical")) == [(TRUE, "")]


def test_a_rule_with_levels_that_holds_for_nothing_costs_nothing() -> None:
    """The very same empty evaluation; each level is asked once."""
    levels = [says(FALSE) for _ in NAMES]
    assert evaluate(rule(*levels), None, {}, 100, 70) is QUIET
    assert [each.asked for each in levels] == [[(100, 70)]] * 3


def test_each_series_has_a_level_of_its_own() -> None:
    """Value and reason are those of the gravest level that holds; the gravest come first."""
    made = rule(Says([(A, 20.0), (B, 90.0)]), Says([(B, 91.0)]))
    found = evaluate(made, None, {}, 0, None).verdicts
    assert [(each.labels, each.value, each.level, each.why()) for each in found] == [
        (B, 91.0, "error", 'v{a="b"} = 91.0 > 10'),
        (A, 20.0, "warning", 'v{a="a"} = 20.0 > 10'),
    ]


def test_what_a_recording_rule_could_not_compute_lets_no_level_fall() -> None:
    """The graver level may read it."""
    made = rule(says(TRUE), says(FALSE))
    assert judged(made, firing("error"), inherited=[Gap("not recorded")]) == []
    assert judged(made, firing("error"), inherited=[Gap("not recorded", B)]) == [(TRUE, "warning")]


def test_a_resolved_alert_has_no_level_to_keep() -> None:
    """Its next life begins where the conditions say."""
    resolved = firing("error", state=AlertState.RESOLVED)
    assert judged(rule(says(TRUE), says(UNKNOWN)), resolved) == [(TRUE, "warning")]


def test_want_of_data_fires_at_the_least_grave_level_and_lowers_none() -> None:
    """`on_missing: fire`: nothing is known to be worse."""
    made = rule(says(UNKNOWN), says(UNKNOWN), on_missing=OnMissing.FIRE)
    [verdict] = evaluate(made, None, {}, 0, None).verdicts
    assert (verdict.truth, verdict.level, verdict.value) == (UNKNOWN, "warning", NO_DATA)
    assert judged(made, firing("error")) == [(UNKNOWN, "error")]


def test_a_fault_of_ours_keeps_the_level() -> None:
    """As it keeps everything else."""
    assert judged(rule(says(TRUE), Says(error=ValueError())), firing("error")) == [(UNKNOWN, "error")]


def test_as_one_condition_levels_have_what_all_of_them_have() -> None:
    """Needs without repeats, work added up, buckets if one watches them, a unit where all agree."""
    one, other, third = Above(), Above(20), Above(namespace="db")
    one.weight, other.weight, third.unit, third.watches_buckets = 3, 4, "s", True
    levels = Levels(NAMES, [one, other, third])
    assert (levels.needs, levels.weight) == ((one.needs[0], third.needs[0]), 7)
    assert (levels.unit, levels.watches_buckets) == ("", True)
    assert (Levels(NAMES, [third]).unit, Levels(NAMES, [one]).watches_buckets) == ("s", False)


# ------------------------------------------------------------------------------------------- clear

CLEARS = [
    # condition, clear, what comes of a firing alert
    (TRUE, TRUE, []),
    (FALSE, TRUE, [(FALSE, "")]),
    (FALSE, FALSE, []),
    (FALSE, UNKNOWN, [(UNKNOWN, "")]),
    (FALSE, VANISHED, [(VANISHED, "")]),
    (UNKNOWN, TRUE, [(UNKNOWN, "")]),
    (VANISHED, TRUE, [(VANISHED, "")]),
]


@pytest.mark.parametrize(("condition", "clear", "verdicts"), CLEARS)
def test_an_alert_is_over_when_it_is_clear(condition: Truth, clear: Truth, verdicts: list[Any]) -> None:
    """The condition goes first; unknown is unknown whichever of the two it is."""
    assert judged(rule(says(condition), clear=says(clear)), firing()) == verdicts


def test_clear_is_asked_only_where_an_alert_may_be_over() -> None:
    """Not for what never fired, not for what is pending, not while the condition holds."""
    clear = says(FALSE)
    pending = firing(state=AlertState.PENDING)
    assert evaluate(rule(says(FALSE), clear=clear), None, {}, 0, None) is QUIET
    assert judged(rule(says(TRUE), clear=clear), firing()) == []
    assert judged(rule(says(FALSE), clear=clear), pending) == [(FALSE, "")]
    assert judged(rule(says(FALSE), clear=clear), firing(value=NO_DATA)) == [(FALSE, "")]
    assert clear.asked == []
    evaluate(rule(says(FALSE), clear=clear), None, {**firing(), **firing(labels=B)}, 9, 3)
    assert clear.asked == [(9, 3)]


def test_what_is_not_clear_yet_begins_no_end() -> None:
    """One that was ending is held again; and it says what it waits for."""
    made = rule(says(FALSE), clear=says(FALSE))
    [verdict] = evaluate(made, None, firing(quiet_since=5), 0, None).verdicts
    assert (verdict.truth, verdict.why()) == (TRUE, 'not clear yet: v{a="a"} = 1 <= 10')


def test_what_clear_cannot_tell_is_a_gap_of_the_rule() -> None:
    """Else nobody would learn why the alert does not end."""
    found = evaluate(rule(says(FALSE), clear=says(UNKNOWN)), None, firing(), 0, None)
    assert found.gaps == (Gap("not read"),)
    assert found.verdicts[0].why() == "clear: not read"


def test_an_alert_that_is_not_clear_is_at_the_least_grave_level() -> None:
    """Whichever way it came down: of no level it is known that it holds."""
    made = rule(says(FALSE), says(FALSE), clear=says(FALSE))
    assert judged(made, firing("error")) == [(TRUE, "warning")]
    assert judged(made, firing("warning")) == []
    assert judged(rule(says(FALSE), says(UNKNOWN), clear=says(FALSE)), firing("error")) == [(UNKNOWN, "error")]


# ------------------------------------------------------------------------------------------- the language, the engine


def disk(**more: Any) -> Rule:
    """Make the rule of the documentation."""
    texts = ("disk_usage > 85", "disk_usage > 95", "disk_usage < 80")
    made = [compile_condition(text, Names.anything(), compile_pattern)[0] for text in texts]
    return rule(made[0], made[1], clear=made[2], **more)


def test_a_disk_that_fills_and_is_emptied_is_one_alert() -> None:
    """It rises, falls, is held until it is clear, and each move has its value and its reason in words."""
    made, samples = disk(), Samples()
    samples.require(made.needs, compile_pattern)
    track = Track(made.spec, made, policy_of(made.spec, 60_000))
    told: list[tuple[Any, ...]] = []
    for now, value in enumerate((80, 90, 96, 99, 90, 97, 82, 84, 80.0, 79.5), 1):
        samples.append(Reading("host", "", now * 30_000, (Sample("disk_usage", A, float(value), now * 30_000),)))
        turn = Turn(now * 30_000, samples)
        turn.evaluate(track)
        turn.apply()
        told += [(str(each.after), each.level, each.value, each.why) for each in turn.transitions]
    assert told == [
        ("firing", "warning", 90.0, 'disk_usage{a="a"} = 90 > 85'),
        ("firing", "error", 96.0, 'disk_usage{a="a"} = 96 > 95'),
        ("firing", "warning", 90.0, 'disk_usage{a="a"} = 90 > 85'),
        ("firing", "error", 97.0, 'disk_usage{a="a"} = 97 > 95'),
        ("firing", "warning", 82.0, 'not clear yet: disk_usage{a="a"} = 82, not < 80'),
        ("resolved", "warning", 82.0, 'clear: disk_usage{a="a"} = 79.5 < 80'),
    ]
    assert made.clear is not None
    assert uncleared(made.clear, samples, 270_000, A) == (80.0, 'not clear yet: disk_usage{a="a"} = 80, not < 80')
    assert uncleared(made.clear, samples, 300_000, A) == (None, "")


def test_a_status_shows_the_level_the_hold_and_the_flapping() -> None:
    """The worst alert speaks for its rule."""

    async def scene() -> None:
        made = rule(Above(10), Above(20), Above(30), notify=("chat",))
        house = House(made, flapping=Flapping(3, 600_000, 120_000))
        await house.open()

        def shown() -> tuple[str, str]:
            [status] = house.engine.statuses()
            return status.shown, status.why

        await house.tick({"1": 15, "2": 25})
        assert shown() == ("firing (error)", 'v{a="2"} = 25 > 20')
        await house.tick({"1": 35, "2": 25})
        assert shown() == ("firing (critical)", 'v{a="1"} = 35 > 30')
        for value in (5, 15, 5):
            await house.tick({"1": value, "2": 5})
        assert shown()[0] == "ok"
        await house.tick({"1": 12})
        assert shown() == ("firing (warning, flapping)", 'v{a="1"} = 12 > 10')
        await house.tick({"1": 5})
        assert shown()[0] == "ok (flapping)"
        assert house.engine.statuses()[0].flapping == "it fired 3 times in 2m 30s"
        await house.restart()
        await house.tick({"1": 5})
        assert shown()[0] == "ok (flapping)"
        await house.tick({"1": 5}, 120_000)
        assert shown()[0] == "ok"
        await house.engine.close()

    asyncio.run(scene())


def test_a_status_says_what_an_alert_waits_for_until_it_is_clear() -> None:
    """With the value that holds it, not the one that it fired with."""

    async def scene() -> None:
        names = Names.anything()
        fires, clears = (compile_condition(text, names, compile_pattern)[0] for text in ("app.v > 10", "app.v < 5"))
        house = House(rule(fires, clear=clears, notify=("chat",)))
        await house.open()
        for value, state, shown in ((12, "firing", "12"), (7, "firing", "7"), (4, "ok", "4")):
            await house.tick({"1": value})
            [status] = house.engine.statuses()
            assert (status.state, status.value) == (state, shown)
            if value == 7:
                assert status.why == 'not clear yet: app.v{a="1"} = 7, not < 5'
        await house.engine.close()

    asyncio.run(scene())
