"""What tests of sources say of a reading, and what every source over HTTP must bear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import FaultKind, Reading, Secret
from tests.fakes.hostile import BEHAVIOURS, ENDLESS, Hostile, refused_url
from tests.sources.reading import up

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cr3t-0f-a-t3st"  # what no message may hold
BUSY = 1_500  # ms that a machine with other work may add to a deadline; what has none lasts for longer by far

# status of an answer without a body that explains -> the class of the fault
STATUSES = {
    301: FaultKind.REDIRECTED,
    304: FaultKind.REDIRECTED,
    400: FaultKind.BAD_STATUS,
    401: FaultKind.UNAUTHORIZED,
    403: FaultKind.FORBIDDEN,
    404: FaultKind.NOT_FOUND,
    418: FaultKind.BAD_STATUS,
    429: FaultKind.RATE_LIMITED,
    500: FaultKind.SERVER_ERROR,
    502: FaultKind.SERVER_ERROR,
    503: FaultKind.SERVER_ERROR,
}

# bodies that are no answer of any of these services
NO_ANSWERS = [
    "",
    " ",
    "{",
    "}",
    "null",
    "true",
    "1",
    '"text"',
    "[]",
    "{}",
    "[{}]",
    "<!doctype html><title>Log in</title>",
    '{"error": "proxy"}',
    '{"data": null}',
    '{"data": NaN}',
    "\ufeff{}",
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 10_000,
]


def good(reading: Reading) -> Reading:
    """Check that a reading did not fail."""
    assert reading.fault is None, reading.fault
    assert up(reading) == 1
    return reading


def failed(reading: Reading, kind: FaultKind, text: str = "") -> str:
    """Check that a reading failed whole, for this reason, and tells no secret; give the message."""
    assert reading.fault is not None, reading.samples
    assert reading.fault.kind is kind, reading.fault
    assert text in reading.fault.message
    assert reading.fault.message.startswith(f"{reading.source}: ")
    assert SECRET not in str(reading.fault)
    assert [(sample.name, sample.value) for sample in reading.samples] == [("up", 0.0)]
    assert reading.kinds == ()
    return reading.fault.message


def secret() -> Secret:
    """A secret that `failed` looks for."""
    return Secret.literal(SECRET)


def bears(behaviour: str, ask: Callable[..., Reading]) -> None:
    """Check rows F43 to F45: `ask(url=…, timeout=…)` of a hostile server fails, in time, with one `up`."""
    with Hostile(behaviour) as server:
        deadline = 300 if behaviour in ENDLESS else 5000
        reading = ask(url=server.url.removesuffix("/health"), timeout=deadline)
    assert reading.fault is not None
    assert len(reading.samples) == 1
    assert reading.took < deadline + BUSY
    assert SECRET not in reading.fault.message


def is_refused(ask: Callable[..., Reading]) -> None:
    """Check that an address where nobody listens is told apart."""
    failed(ask(url=refused_url().removesuffix("/health"), timeout=2000), FaultKind.REFUSED)


HOSTILE = sorted(BEHAVIOURS)
