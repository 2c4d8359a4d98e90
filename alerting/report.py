"""What a tick did: for the store, and for whoever drives the engine (log lines, tables, exit codes)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.ports import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.core.book import Book
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

    def report(self, missed: int, faults: Mapping[str, str], blind: Mapping[str, str]) -> TickReport:
        """Make the report; see there."""
        told = self.transitions, self.notifications, self.decisions
        return TickReport(self.evaluated, missed, *told, dict(faults), dict(blind), self.trouble, self.notices)


def change_of(
    book: Book,
    turn: Turn,
    telling: Telling,
    *,
    good_config: str | None,
    faults: Mapping[str, str],
    faults_before: Mapping[str, str],
) -> Change:
    """Write down what a turn changes. `faults`: why each source fails now, and as the store has it."""
    forgotten = (*book.forgotten, *turn.forgotten)
    alerts = {key: alert for key, alert in book.moved.items() if key not in turn.dropped} | turn.alerts
    fresh: dict[str, str | None] = {name: why for name, why in faults.items() if faults_before.get(name) != why}
    fresh.update(dict.fromkeys(faults_before.keys() - faults.keys()))
    return Change(
        at=turn.now,
        alerts=tuple(alerts.values()),
        dropped=tuple(turn.dropped),
        transitions=tuple(turn.transitions),
        notifications=tuple(telling.notifications),
        evaluated={name: at for name, at in {**book.restamped, **turn.times}.items() if name not in forgotten},
        forgotten=forgotten,
        faults=fresh,
        good_config=good_config,
        texts=telling.texts,
        decisions=tuple(telling.decisions),
    )
