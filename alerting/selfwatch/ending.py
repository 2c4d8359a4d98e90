"""The end of a daemon that was asked to end, which nothing may hold up.

What asyncio calls at a signal is called by its loop, and a loop that hangs obeys none. The handlers here are Python's
own: they run in the main thread between two of its steps, and interrupt it where it waits for a lock or a file. Those
of asyncio would not, as the system takes up again what they interrupt. They set a timer of the system's, and its
signal ends the process, whatever has not come to its end by then. What is on disk is as after a crash: whole, and the
next start goes on from it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerting.model import Millis

_LEAST: Millis = 10_000  # from the first signal to the end by force
_CLOSING: Millis = 2_000  # after the grace time: to let go of files and threads; and after a second signal
_WORDS = b"alerting: something hangs, so it is ended by force; what is still owed is sent by the next start\n"


def see_to(grace: Millis) -> None:
    """From now on TERM and INT set the timer, besides what the running loop does about them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: end_by(grace))


def end_by(grace: Millis) -> None:
    """End the process by force when the grace time is over and it is still there; called again, soon."""
    signal.signal(signal.SIGALRM, _end)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    whole = max(_LEAST, grace + _CLOSING) / 1000
    signal.setitimer(signal.ITIMER_REAL, min(left, _CLOSING / 1000) if left else whole)


def _end(_number: int, _frame: object) -> None:
    with suppress(OSError):
        os.set_blocking(2, False)  # or words that nobody takes would hold it up as well
        os.write(2, _WORDS)
    os._exit(os.EX_SOFTWARE)
