"""One rule over the samples: verdicts where they are needed, and honesty about the rest."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.core.evaluate import QUIET, evaluate, record
from alerting.core.lifecycle import NO_DATA
from alerting.model import Alert, AlertKey, AlertState, Gap, Labels, OnMissing, Rule, RuleSpec, Truth
from tests.tick import Found

A, B, C = (Labels({"a": name}) for name in "abc")


class Says:
    """A condition that says what it is told."""

    text = "v > 10"
    needs = ()
    unit = ""
    watches_buckets = False
    weight = 0

    def __init__(self, true: Any = (), seen: Any = (), gaps: Any = (), error: Exception | None = None) -> None:
        self.true, self.seen, self.gaps, self.error = list(true), dict.fromkeys(seen, 1), tuple(gaps), error
        self.asked: list[tuple[int, int | None]] = []

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Found:
        self.asked.append((now, since))
        if self.error:
            raise self.error
        return Found(10, self.true, self.seen, self.gaps)


def rule(condition: Says, **more: Any) -> Rule:
    """Make a rule."""
    return Rule(RuleSpec("r", "R", "v > 10", **more), condition)


def active(*labels: Labels, state: AlertState = AlertState.FIRING, value: Any = 20.0) -> dict[Labels, Alert]:
    """Make alerts."""
    return {each: Alert(AlertKey("r", each.fingerprint), each, state, 0, value, "was so") for each in labels}


def verdicts(found: Any) -> dict[str, tuple[Truth, str]]:
    """Show verdicts by label: truth and reason."""
    return {each.labels.get("a"): (each.truth, each.why()) for each in found.verdicts}


def test_a_rule_that_holds_for_nothing_costs_nothing() -> None:
    """The very same empty evaluation, and the condition asked once."""
    condition = Says(seen=[A])
    assert evaluate(rule(condition), None, {}, 100, 70) is QUIET
    assert condition.asked == [(100, 70)]


def test_query_offset_moves_what_is_looked_at() -> None:
    """Prometheus' group option: evaluate as of a moment ago."""
    condition = Says()
    evaluate(rule(condition, query_offset=30), None, {}, 100, 70)
    assert condition.asked == [(70, 70)]


def test_what_holds_is_true_and_active_ones_are_judged() -> None:
    """True, false on evidence, vanished without."""
    alerts = {**active(A, state=AlertState.PENDING), **active(B, C)}
    found = evaluate(rule(Says([(A, 20.0)], [A, B])), None, alerts, 0, None)
    assert verdicts(found) == {
        "a": (Truth.TRUE, 'v{a="a"} = 20.0 > 10'),
        "b": (Truth.FALSE, 'v{a="b"} = 1 <= 10'),
        "c": (Truth.VANISHED, 'v{a="c"} is not reported any more'),
    }


def test_what_fires_steadily_needs_no_verdict() -> None:
    """Its condition holds and nothing can come of that; one with a clock running gets its verdict."""
    assert evaluate(rule(Says([(A, 20.0)])), None, active(A), 0, None).verdicts == []
    quiet = {A: active(A)[A]._replace(quiet_since=5)}
    assert verdicts(evaluate(rule(Says([(A, 20.0)])), None, quiet, 0, None))["a"][0] is Truth.TRUE


def test_a_resolved_alert_is_not_judged_anew() -> None:
    """It is only shown; its condition need not be asked."""
    found = evaluate(rule(Says([(A, 20.0)])), None, active(B, state=AlertState.RESOLVED), 0, None)
    assert verdicts(found)["b"] == (Truth.FALSE, "was so")


def test_two_series_that_are_equal_without_their_names_are_one_alert() -> None:
    """The first speaks for both."""
    found = evaluate(rule(Says([(A, 20.0), (A, 30.0)])), None, {}, 0, None)
    assert [(each.labels, each.value) for each in found.verdicts] == [(A, 20.0)]


@pytest.mark.parametrize(
    ("limit", "own", "alerts", "true", "left"),
    [
        (0, 0, (), (A, B, C), 0),
        (2, 0, (), (A, B), 1),
        (2, 1, (), (A,), 2),
        (1, 3, (), (A, B, C), 0),
        (2, 0, (C,), (A, C), 1),
        (1, 0, (B, C), (B, C), 1),
    ],
)
def test_f6_the_limit_takes_nothing_away_from_those_that_fire(
    limit: int, own: int, alerts: tuple[Labels, ...], true: tuple[Labels, ...], left: int
) -> None:
    """It applies to new series only; the rule's own goes before the general one."""
    condition = Says([(A, 20.0), (B, 20.0), (C, 20.0)])
    pending = active(*alerts, state=AlertState.PENDING)
    found = evaluate(rule(condition, limit=own), None, pending, 0, None, limit=limit)
    assert tuple(each.labels for each in found.verdicts) == true
    text = f"{left} more series than the limit of {own or limit}: no alert is made for them"
    assert found.overflow == (text if left else "")


def test_a_condition_that_raises_leaves_everything_unknown_and_shows_no_text_of_the_error() -> None:
    """Ours to answer for; what the exception says may hold a secret."""
    found = evaluate(rule(Says(error=KeyError("token=abc"))), None, active(A), 0, None)
    why = "a fault of alerting itself: KeyError while the condition was evaluated; please report it"
    assert verdicts(found) == {"a": (Truth.UNKNOWN, why)}
    assert found.gaps == (Gap(why),)
    assert found.fault is not None


def test_what_a_recording_rule_could_not_compute_is_unknown_here() -> None:
    """A gap that is inherited turns neither into false nor into vanished; what is true stays true."""
    gap = Gap("job:v is not recorded", Labels({"a": "b"}))
    alerts = {**active(A, state=AlertState.PENDING), **active(B, C)}
    found = evaluate(rule(Says([(A, 20.0)], [A, C])), None, alerts, 0, None, inherited=[gap])
    assert {name: truth for name, (truth, _) in verdicts(found).items()} == {
        "a": Truth.TRUE,
        "b": Truth.UNKNOWN,
        "c": Truth.FALSE,
    }
    assert found.gaps == (gap,)


MISSING = [
    # (gaps, alerts, true) -> labels of what fires for want of data
    ([Gap("down")], (), (), [Labels()]),
    ([Gap("down", A), Gap("late", A)], (), (), [A]),
    ([Gap("down", A), Gap("down", B)], (), (), [A, B]),
    ([Gap("down")], (A,), (), []),
    ([Gap("down", B)], (A,), (), [B]),
    ([Gap("down")], (), (A,), []),
]


@pytest.mark.parametrize(("gaps", "alerts", "true", "expected"), MISSING)
def test_on_missing_fire_has_something_to_fire(
    gaps: list[Gap], alerts: tuple[Labels, ...], true: tuple[Labels, ...], expected: list[Labels]
) -> None:
    """One for each gap that no alert of the rule stands for."""
    condition = Says([(each, 20.0) for each in true], gaps=gaps)
    found = evaluate(rule(condition, on_missing=OnMissing.FIRE), None, active(*alerts), 0, None)
    made = [each.labels for each in found.verdicts if each.value == NO_DATA]
    assert made == expected
    kept = evaluate(rule(condition), None, active(*alerts), 0, None)
    assert [each.labels for each in kept.verdicts] == [*(each for each in true), *alerts]


def test_an_alert_for_want_of_data_ends_when_readings_are_back() -> None:
    """It never was a series, so its absence is no riddle."""
    firing = active(Labels(), value=NO_DATA)
    found = evaluate(rule(Says([(A, 20.0)]), on_missing=OnMissing.FIRE), None, firing, 0, None)
    judged = next(each for each in found.verdicts if each.labels == Labels())
    assert (judged.truth, judged.why()) == (Truth.FALSE, "readings are back")


def test_recording_gives_samples_with_the_rules_labels() -> None:
    """The name is the record's; the rule's labels win, empty ones remove."""
    recorder = rule(Says([(A, 1.0), (B, 2.0)]), record="job:v", labels={"team": "x"})
    samples, gaps, _ = record(recorder, None, 500)
    assert [(each.name, each.labels.as_dict(), each.value, each.at) for each in samples] == [
        ("job:v", {"a": "a", "team": "x"}, 1.0, 500),
        ("job:v", {"a": "b", "team": "x"}, 2.0, 500),
    ]
    assert gaps == ()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"labels": {"a": ""}}, "series become equal once the rule's own labels are set: none is recorded"),
        ({"limit": 1}, "2 series, more than the limit of 1: none is recorded"),
    ],
)
def test_a_recording_that_would_lie_records_nothing_and_says_why(more: dict[str, Any], why: str) -> None:
    """As Prometheus does; here it is a gap for whoever reads it."""
    samples, gaps, _ = record(rule(Says([(A, 1.0), (B, 2.0)]), record="job:v", **more), None, 0)
    assert (samples, gaps) == ((), (Gap(why),))


def test_a_recording_that_raises_is_a_gap() -> None:
    """No exception leaves."""
    samples, gaps, fault = record(rule(Says(error=ValueError()), record="job:v"), None, 0)
    assert isinstance(fault, ValueError)
    assert samples == ()
    assert gaps[0].why.startswith("a fault of alerting itself: ValueError")
