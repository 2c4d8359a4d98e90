"""The exit codes: a promise to cron jobs and scripts."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the number says that a command ends with."""

    OK = 0
    FIRING = 1  # `check`: something fires; `test`: a test failed
    CONFIG = 2  # rules, settings or the command line are wrong
    INCOMPLETE = 3  # a source or a delivery failed
    LOCKED = 4  # another process holds the state
    STATE = 5  # the state was refused
    FAULT = 70  # our own
