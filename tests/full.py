"""How much is played: a short form in seconds, all of it with ALERTING_FULL=1, which `make full` sets.

The full form is the number of trials that the figures in docs/ are about; both forms run the same test.
"""

from __future__ import annotations

import os

FULL = os.environ.get("ALERTING_FULL", "") not in ("", "0")


def rounds(short: int, full: int) -> int:
    """Give the number of trials for this run."""
    return full if FULL else short
