"""What an attempt's answer means for an owed message: sent, again at a time, or given up with a reason.

The law. Nothing is given up while there is hope that trying again helps, and nothing is tried for ever. Waits double
from `first` to `longest`, each shortened by up to half at random, so that many messages do not come back in step. A
receiver's own wish (`Retry-After`) is honoured up to `longest_wish`; one that asks for more would hold a message back
longer than it is worth, and is given up with a notice. A message is given up once it is older than `patience` *and*
was tried `least` times: age alone says little of a process that was not running, or of a clock that was set. `most`
attempts end it in any case, so that a message which kills the process that sends it does not do so for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from alerting.model import DeliveryState, Outcome

if TYPE_CHECKING:
    from alerting.model import Answer, Millis

_DOUBLINGS = 40  # beyond this a wait would not fit anywhere


class Limits(NamedTuple):
    """How long, how often. Durations in ms."""

    first: Millis = 1_000
    longest: Millis = 30_000  # short, so that a receiver which is back is found within half a minute
    longest_wish: Millis = 3_600_000
    patience: Millis = 86_400_000
    least: int = 10
    most: int = 5_000


class Next(NamedTuple):
    """What becomes of the message."""

    state: Literal[DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.PARKED]
    at: Millis  # pending: not before; otherwise now
    why: str


def after(attempts: int, answer: Answer, created: Millis, now: Millis, *, limits: Limits, jitter: float) -> Next:
    """Decide after attempt number `attempts` (from 1) of a message owed since `created`. `jitter` is in [0, 1)."""
    if answer.outcome is Outcome.SENT:
        return Next(DeliveryState.SENT, now, answer.why)
    why = answer.why or ("the answer was lost" if answer.outcome is Outcome.UNKNOWN else "no reason was given")
    if answer.outcome is Outcome.REFUSED:
        return Next(DeliveryState.PARKED, now, f"refused for good: {why}")
    wish = max(0, answer.retry_after or 0)
    if wish > limits.longest_wish:
        asked = f"the receiver asks to wait {words(wish)}, longer than the {words(limits.longest_wish)} allowed"
        return Next(DeliveryState.PARKED, now, f"given up: {asked} ({why})")
    hopeless = exhausted(attempts, created, now, limits)
    if hopeless:
        return Next(DeliveryState.PARKED, now, f"given up {hopeless}: {why}")
    return Next(DeliveryState.PENDING, now + max(wish, pause(attempts, limits.first, limits.longest, jitter)), why)


def exhausted(attempts: int, created: Millis, now: Millis, limits: Limits) -> str:
    """Say why a message is not tried again; empty: it is."""
    age = now - created
    if attempts >= limits.most or (attempts >= limits.least and age >= limits.patience):
        return f"after {attempts} attempts in {words(max(0, age))}"
    return ""


def pause(failures: int, first: Millis, longest: Millis, jitter: float) -> Millis:
    """Give the wait after the n-th failure in a row: doubling, at most `longest`, and at least half of that."""
    whole = min(longest, first << min(max(0, failures - 1), _DOUBLINGS))
    return whole - int(whole * jitter / 2)


def words(duration: Millis) -> str:
    """Write a duration as people say it, in its largest two units: `1h 30m`, `45s`."""
    seconds = duration // 1_000
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if seconds >= size:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"
