"""What becomes of a message after an attempt, as a table and as laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.backoff import Limits, after, exhausted, pause, words
from alerting.model import Answer, DeliveryState, Outcome

LIMITS = Limits(first=1_000, longest=30_000, longest_wish=3_600_000, patience=86_400_000, least=10, most=100)
NOW = 1_700_000_000_000
DAY = 86_400_000
SENT, PENDING, PARKED = DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.PARKED

TABLE = [
    # attempts, answer, age, state, wait, what the reason says
    (1, Answer(Outcome.SENT, "ok"), 0, SENT, 0, "ok"),
    (99, Answer(Outcome.SENT), 9 * DAY, SENT, 0, ""),
    (1, Answer(Outcome.RETRY, "500"), 0, PENDING, 1_000, "500"),
    (2, Answer(Outcome.RETRY, "500"), 0, PENDING, 2_000, "500"),
    (5, Answer(Outcome.RETRY, "500"), 0, PENDING, 16_000, "500"),
    (6, Answer(Outcome.RETRY, "500"), 0, PENDING, 30_000, "500"),
    (99, Answer(Outcome.RETRY, "500"), 0, PENDING, 30_000, "500"),
    (1, Answer(Outcome.UNKNOWN), 0, PENDING, 1_000, "the answer was lost"),
    (1, Answer(Outcome.RETRY), 0, PENDING, 1_000, "no reason was given"),
    (1, Answer(Outcome.REFUSED, "no such channel"), 0, PARKED, 0, "refused for good: no such channel"),
    (1, Answer(Outcome.RETRY, "429", 20_000), 0, PENDING, 20_000, "429"),
    (1, Answer(Outcome.RETRY, "429", 0), 0, PENDING, 1_000, "429"),
    (1, Answer(Outcome.RETRY, "429", -5), 0, PENDING, 1_000, "429"),
    (1, Answer(Outcome.RETRY, "429", 3_600_000), 0, PENDING, 3_600_000, "429"),
    (1, Answer(Outcome.RETRY, "429", 86_400_000), 0, PARKED, 0, "asks to wait 1d, longer than the 1h allowed (429)"),
    (9, Answer(Outcome.RETRY, "500"), 2 * DAY, PENDING, 30_000, "500"),  # old, but hardly tried: it was not running
    (10, Answer(Outcome.RETRY, "500"), DAY - 1, PENDING, 30_000, "500"),
    (10, Answer(Outcome.RETRY, "500"), DAY, PARKED, 0, "given up after 10 attempts in 1d: 500"),
    (10, Answer(Outcome.UNKNOWN), DAY, PARKED, 0, "given up after 10 attempts in 1d: the answer was lost"),
    (100, Answer(Outcome.RETRY, "500"), 0, PARKED, 0, "given up after 100 attempts in 0s: 500"),
    (100, Answer(Outcome.RETRY, "500"), -DAY, PARKED, 0, "given up after 100 attempts in 0s: 500"),
]


@pytest.mark.parametrize("row", TABLE)
def test_an_answer_decides_what_becomes_of_the_message(row) -> None:
    """Sent, again at a time, or given up, each with its reason."""
    attempts, answer, age, state, wait, why = row
    found = after(attempts, answer, NOW - age, NOW, limits=LIMITS, jitter=0.0)
    assert (found.state, found.at) == (state, NOW + wait)
    assert why in found.why


ANSWERS = st.builds(
    Answer,
    st.sampled_from(Outcome),
    st.sampled_from(("", "500")),
    st.none() | st.integers(-DAY, 10 * DAY),
)


@given(st.integers(1, 10_000), ANSWERS, st.integers(-DAY, 100 * DAY), st.floats(0, 1, exclude_max=True))
def test_whatever_happens_there_is_a_decision_with_a_reason(attempts, answer, age, jitter) -> None:
    """A message that is tried again waits a bounded time; one that is given up says why; only SENT is sent."""
    found = after(attempts, answer, NOW - age, NOW, limits=LIMITS, jitter=jitter)
    assert (found.state is SENT) == (answer.outcome is Outcome.SENT)
    if found.state is PENDING:
        assert NOW + LIMITS.first // 2 <= found.at <= NOW + LIMITS.longest_wish
        assert found.at >= NOW + max(0, answer.retry_after or 0)
    if found.state is not SENT:
        assert found.why


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 1_000_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_half_and_the_whole_of_its_step(failures, first, longest, jitter) -> None:
    """Waits grow, never beyond the longest, and differ by jitter only downwards."""
    whole = pause(failures, first, longest, 0.0)
    assert whole <= longest
    assert whole / 2 <= pause(failures, first, longest, jitter) <= whole
    assert pause(failures + 1, first, longest, 0.0) >= whole


def test_a_message_that_always_fails_ends() -> None:
    """F22: its attempts are bounded, by time and by number."""
    now, attempts, created = NOW, 0, NOW
    state = PENDING
    while state is PENDING:
        attempts += 1
        state, now, _ = after(attempts, Answer(Outcome.RETRY, "500"), created, now, limits=Limits(), jitter=0.5)
    assert DAY <= now - created <= DAY + 30_000
    assert attempts < Limits().most


def test_an_outage_of_an_hour_is_survived_and_its_end_noticed_within_half_a_minute() -> None:
    """F18: nothing is given up within the hour, and no wait is longer than 30 s."""
    now, attempts = NOW, 0
    while now < NOW + 3_600_000:
        attempts += 1
        found = after(attempts, Answer(Outcome.RETRY, "refused"), NOW, now, limits=Limits(), jitter=0.0)
        assert found.state is PENDING
        assert found.at - now <= 30_000
        now = found.at


def test_exhausted_says_why_or_nothing() -> None:
    """The same law, asked before an attempt is made."""
    assert exhausted(1, NOW - 9 * DAY, NOW, LIMITS) == ""
    assert exhausted(100, NOW, NOW, LIMITS) == "after 100 attempts in 0s"


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0, "0s"), (999, "0s"), (45_000, "45s"), (5_400_000, "1h 30m"), (90_061_000, "1d 1h"), (86_405_000, "1d")],
)
def test_durations_are_written_in_their_two_largest_units(duration, text) -> None:
    """As people say them."""
    assert words(duration) == text
