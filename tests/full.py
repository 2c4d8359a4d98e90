"""How much is played: a short form in seconds, all of it with ALERTING_FULL=1, which `make full` sets.

The full form is the number of trials that the figures in docs/ are about; both forms run the same test. A random test
takes its seed from here, and ALERTING_SEED plays it again.
"""

from __future__ import annotations

import os
import random

FULL = os.environ.get("ALERTING_FULL", "") not in ("", "0")


def rounds(short: int, full: int) -> int:
    """Give the number of trials for this run."""
    return full if FULL else short


def seed(default: int | None = None) -> int:
    """Give the seed of a random test: ALERTING_SEED, else the test's own, else a new one; printed, to play it again."""
    wanted = os.environ.get("ALERTING_SEED")
    chosen = int(wanted) if wanted else random.SystemRandom().randrange(10**6) if default is None else default
    print(f"\nseed {chosen} (again: ALERTING_SEED={chosen})")
    return chosen
