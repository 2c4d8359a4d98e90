"""What the laws of telling keep in mind: what fires, who was told of it, and when.

Moments are spans. What is kept by the wall, and was written under another one than a new process finds, may look as if
more or less time had passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.simulate.model import Key


@dataclass(slots=True)
class Stamp:
    """A moment: as it was, and between which times the program may think that it was."""

    at: int
    offset: int  # of the wall, when it was written
    early: int
    late: int

    def copy(self) -> Stamp:
        """Give another that is the same."""
        return replace(self)

    def reread(self, now: int, offset: int) -> None:
        """A new process reads it, and the wall is off by `offset`."""
        if offset > self.offset:
            self.early = min(self.early, self.at - (offset - self.offset))
        elif offset < self.offset:
            self.late = now


@dataclass(slots=True)
class Fires:
    """An alert that fires."""

    episode: str
    since: Stamp
    level: str

    def copy(self) -> Fires:
        """Give another that is the same."""
        return replace(self, since=self.since.copy())


@dataclass(slots=True)
class Told:
    """What a receiver was told last of an alert whose end it has not heard of."""

    group_key: str
    at: Stamp
    severity: str
    acked: bool
    flapping: bool

    def copy(self) -> Told:
        """Give another that is the same."""
        return replace(self, at=self.at.copy())


class Taken(NamedTuple):
    """An acknowledgement."""

    episode: str
    until: int  # wall
    severity: str


class Owed(NamedTuple):
    """Something that must be said, within so long."""

    key: Key
    receiver: str
    step: str
    within: int


@dataclass(slots=True)
class Changes:
    """How an alert has come and gone."""

    firings: int = 0
    at: int = 0  # the last change
    wall: int = 0
    episodes: set[str] = field(default_factory=set)  # that anybody was told of

    def copy(self) -> Changes:
        """Give another that is the same."""
        return replace(self, episodes=set(self.episodes))
