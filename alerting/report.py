"""What a tick did, for whoever drives the engine: log lines, tables, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.telling.effects import Telling
    from alerting.core.turn import Turn
    from alerting.model import Decision, Notification, Transition


class TickReport(NamedTuple):
    """What one tick did."""

    evaluated: int  # rules
    missed: int  # evaluations that were due since the last report and left out
    transitions: Sequence[Transition]
    notifications: Sequence[Notification]
    decisions: Sequence[Decision]  # who was told of what, who was not, and why
    faults: Mapping[str, str]  # source -> why it fails now
    blind: Mapping[str, str]  # rule id -> why it could not be judged, for a reason other than a failed source
    trouble: str  # the state could not be saved: what was decided then is undone; empty: it was saved
    notices: Sequence[str]  # worth a log line: a step of the wall clock, samples that are not kept

    @property
    def incomplete(self) -> bool:
        """Tell whether something could not be read, judged or saved."""
        return bool(self.faults or self.blind or self.trouble)


class Log:
    """A report in the making."""

    def __init__(self) -> None:
        self.evaluated = 0
        self.transitions: list[Transition] = []
        self.notifications: list[Notification] = []
        self.decisions: list[Decision] = []
        self.trouble = ""
        self.notices: list[str] = []

    def add(self, turn: Turn, telling: Telling) -> None:
        """Add what a turn did that was saved."""
        self.evaluated += turn.evaluated
        self.transitions += turn.transitions
        self.notifications += telling.notifications
        self.decisions += telling.decisions
