"""Flapping: what begins it, how long it is remembered, and what ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.lifecycle import Policy, advance, policy_of
from alerting.core.telling.flapping import calm_at, judge
from alerting.model import Alert, AlertState, Flapping, Labels, RuleSpec, Truth, Verdict

S, M = 1_000, 60_000
FLAPPING = Flapping(firings=4, within=30 * M, calm=15 * M)
T0 = 1_700_000_000_000


def lived(*minutes: int, policy: Policy | None = None) -> Alert | None:
    """Live through changes at these minutes: it fires, ceases, fires … and is evaluated each half minute besides."""
    policy = policy or policy_of(RuleSpec("r", "R", "v > 1"), M, FLAPPING)
    alert, truth, previous = None, Truth.FALSE, None
    for half in range(2 * max(minutes) + 1):
        now = T0 + half * 30 * S
        if half % 2 == 0 and half // 2 in minutes:
            truth = Truth.TRUE if truth is Truth.FALSE else Truth.FALSE
        alert = advance(alert, Verdict("r", Labels(), truth, 2.0, lambda: "so"), now, policy, previous).alert
        previous = now
    return alert


def verdicts(alert: Alert | None, *minutes: int) -> list[bool]:
    """Tell whether it flaps at these minutes."""
    assert alert is not None
    return [bool(judge(alert, T0 + minute * M, FLAPPING)) for minute in minutes]


def test_the_fourth_firing_within_half_an_hour_makes_it_flap() -> None:
    """Three do not; and it says how often it fired, in what time."""
    assert verdicts(lived(0, 1, 5, 6, 10), 10) == [False]
    alert = lived(0, 1, 5, 6, 10, 11, 20)
    assert judge(alert, T0 + 20 * M, FLAPPING) == "it fired 4 times in 20m"
    assert calm_at(alert, FLAPPING) == T0 + 35 * M


def test_firings_that_are_too_far_apart_do_not_make_it_flap() -> None:
    """`within` counts from the first to the last of them."""
    assert verdicts(lived(0, 1, 10, 11, 20, 21, 30), 30) == [False]
    assert verdicts(lived(0, 1, 10, 11, 20, 21, 29), 29) == [True]


def test_it_flaps_until_it_has_been_in_one_state_for_long_enough() -> None:
    """Whether that is firing or not."""
    assert verdicts(lived(0, 1, 2, 3, 4, 5, 6), 6, 20, 21, 60) == [True, True, False, False]
    assert verdicts(lived(0, 1, 2, 3, 4, 5, 6, 7), 7, 21, 22) == [True, True, False]


def test_it_is_remembered_to_flap_though_it_goes_slower_now() -> None:
    """One change in 14 minutes is too seldom to begin with, and not calm."""
    slower = (0, 1, 2, 3, 4, 5, 6, 20, 34, 48, 62)
    assert verdicts(lived(*slower), 62, 76, 77) == [True, True, False]
    assert verdicts(lived(0, 14, 28, 42, 56), 56) == [False]


def test_after_a_calm_it_has_to_flap_anew() -> None:
    """A single firing after it is news again."""
    assert verdicts(lived(0, 1, 2, 3, 4, 5, 6, 7, 40), 40) == [False]
    assert verdicts(lived(0, 1, 2, 3, 4, 5, 6, 7, 40, 41, 42, 43, 44, 45, 46), 46) == [True]


@pytest.mark.parametrize("flapping", [None, Flapping(99, 30 * M, 15 * M)])
def test_without_a_setting_or_enough_firings_nothing_flaps(flapping: Flapping | None) -> None:
    """It is off unless given."""
    alert = lived(0, 1, 2, 3, 4, 5, 6)
    assert alert is not None
    assert (judge(alert, T0 + 6 * M, flapping), calm_at(alert, flapping)) == ("", None)


def test_a_change_that_is_still_to_come_holds_nothing_back() -> None:
    """Its stamp is older than a clock that was set back: better tell than hold."""
    assert verdicts(lived(0, 1, 2, 3, 4, 5, 6), 5) == [False]


def test_a_resolved_alert_is_kept_as_long_as_its_firings_matter() -> None:
    """Longer than it is shown otherwise, and not for ever."""
    policy = policy_of(RuleSpec("r", "R", "v > 1"), M, FLAPPING)
    alert = lived(0, 1, policy=policy)
    assert alert is not None
    quiet = Verdict("r", Labels(), Truth.FALSE, 0.0, lambda: "so")
    assert advance(alert, quiet, T0 + 31 * M - 1, policy, T0 + 30 * M).alert is alert
    assert advance(alert, quiet, T0 + 31 * M, policy, T0 + 30 * M).alert is None
    shown = policy_of(RuleSpec("r", "R", "v > 1"), M)
    assert advance(alert, quiet, T0 + 16 * M, shown, T0 + 15 * M).alert is None


def test_a_pending_alert_that_comes_to_nothing_forgets_no_firing() -> None:
    """It rests again as the resolved one that it was; without a setting it is forgotten, as ever."""
    alert = lived(0, 1)
    assert alert is not None
    waits = policy_of(RuleSpec("r", "R", "v > 1", for_=5 * M), M, FLAPPING)
    said = {truth: Verdict("r", Labels(), truth, 2.0, lambda: "so") for truth in Truth}
    pending = advance(alert, said[Truth.TRUE], T0 + 2 * M, waits, T0 + M).alert
    assert pending is not None
    assert pending.state is AlertState.PENDING
    step = advance(pending, said[Truth.FALSE], T0 + 3 * M, waits, T0 + 2 * M)
    assert step.transition is not None
    assert step.transition.after is AlertState.INACTIVE
    assert step.alert is not None
    assert step.alert._replace(version=alert.version, why=alert.why) == alert
    plain = policy_of(RuleSpec("r", "R", "v > 1", for_=5 * M), M)
    assert advance(pending, said[Truth.FALSE], T0 + 3 * M, plain, T0 + 2 * M).alert is None


def test_what_is_remembered_is_bounded() -> None:
    """The newest 32 changes of each kind, and none older than a day."""
    alert = lived(*range(100))
    assert alert is not None
    assert (len(alert.firings), len(alert.endings)) == (32, 32)
    assert alert.endings[-1] == T0 + 99 * M
    late = advance(alert, Verdict("r", Labels(), Truth.TRUE, 2.0, lambda: "so"), T0 + 24 * 60 * M + 90 * M, Policy())
    assert late.alert is not None
    assert late.alert.firings == (T0 + 92 * M, T0 + 94 * M, T0 + 96 * M, T0 + 98 * M, T0 + 24 * 60 * M + 90 * M)


def test_what_makes_it_flap_may_be_days_apart() -> None:
    """A `within` beyond a day is remembered for as long as it says."""
    week = Flapping(firings=3, within=7 * 24 * 60 * M, calm=2 * 24 * 60 * M)
    policy = policy_of(RuleSpec("r", "R", "v > 1"), M, week)
    alert, day = None, 24 * 60 * M
    for at, truth in ((0, Truth.TRUE), (M, Truth.FALSE), (2 * day, Truth.TRUE), (2 * day + M, Truth.FALSE)):
        alert = advance(alert, Verdict("r", Labels(), truth, 2.0, lambda: "so"), T0 + at, policy, T0 + at).alert
    alert = advance(alert, Verdict("r", Labels(), Truth.TRUE, 2.0, lambda: "so"), T0 + 4 * day, policy, T0).alert
    assert alert is not None
    assert judge(alert, T0 + 4 * day, week) == "it fired 3 times in 4d"


# ------------------------------------------------------------------------------------------- against a model

STEPS = st.lists(st.integers(1, 20), min_size=1, max_size=20)


@given(STEPS, st.integers(2, 5), st.integers(5, 40), st.integers(2, 20), st.integers(0, 30))
def test_it_is_as_a_model_says_that_walks_minute_by_minute(
    steps: list[int], firings: int, within: int, calm: int, after: int
) -> None:
    """The same law written another way: with a state of its own, at every minute."""
    flapping = Flapping(firings, within * M, calm * M)
    changes = [sum(steps[: index + 1]) for index in range(len(steps))]
    policy = policy_of(RuleSpec("r", "R", "v > 1"), M, flapping)._replace(keep_resolved=24 * 60 * M)
    alert = lived(*changes, policy=policy)
    assert alert is not None
    fires, flaps, last, fired = False, False, 0, []
    for minute in range(changes[-1] + after + 1):
        if minute - last >= calm:
            flaps = False
        if minute in changes:
            fires, last = not fires, minute
            if fires:
                fired.append(minute)
                flaps = flaps or sum(1 for each in fired if minute - each < within) >= firings
    assert bool(judge(alert, T0 + (changes[-1] + after) * M, flapping)) is flaps
    ends = calm_at(alert, flapping)
    assert not flaps or (ends is not None and ends > T0 + (changes[-1] + after) * M)
