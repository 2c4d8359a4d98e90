"""Mistakes in following settings that are edited, and in saying which receivers are down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.core.book import Book
from alerting.core.telling.desk import Desk
from alerting.core.telling.routing import Subject
from alerting.engine import Engine
from alerting.outbox import Outbox
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from tests.simulate.mistakes import Plant


@mistake
def alerts_keep_the_ways_of_old_settings(plant: Plant) -> None:
    """What fires when routes are edited goes by the old ones until its end."""
    original = Subject.following

    def following(self: Subject, before: Subject | None) -> Subject:
        found = original(self, before)
        return found if before is None else found._replace(directions=before.directions)

    plant.swap(Subject, "following", following)


@mistake
def edited_settings_are_not_looked_at(plant: Plant) -> None:
    """What new settings make owed is told with other news, not when they come into force."""
    original = Desk.adopt

    def adopt(self: Desk, *arguments: Any) -> None:
        original(self, *arguments)
        if not self._fresh:
            self._disturbed, self._state.looks = False, {}

    plant.swap(Desk, "adopt", adopt)


@mistake
def inhibitions_and_windows_stay_as_they_were(plant: Plant) -> None:
    """A process goes by the inhibitions and windows with which it began."""
    original = Desk.follow

    def follow(self: Desk, plan: Any, *rest: Any) -> None:
        if self._patterns is not None:
            plan = plan._replace(inhibitor=self._plan.inhibitor, calendar=self._plan.calendar)
        original(self, plan, *rest)

    plant.swap(Desk, "follow", follow)


@mistake
def receivers_are_never_down(plant: Plant) -> None:
    """That a receiver cannot be told is told to nobody."""
    plant.swap(Engine, "report_receivers", lambda *_: None)


@mistake
def told_of_its_own_failure(plant: Plant) -> None:
    """That a receiver cannot be told is told to itself, too."""
    original = Book._others
    plant.swap(Book, "_others", lambda self, receiver: (*original(self, receiver), receiver))


@mistake
def down_for_ever(plant: Plant) -> None:
    """That a receiver can be told again is not noticed."""
    original = Outbox.standing

    async def standing(self: Outbox) -> Any:
        return {name: why for name, why in (await original(self)).items() if why}

    plant.swap(Outbox, "standing", standing)
