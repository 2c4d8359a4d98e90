"""Mistakes in going on while the state cannot be written, and in what comes after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.store import unsaved
from alerting.store.handle import Handle
from alerting.store.sqlite import SqliteStore
from alerting.store.unsaved import Unsaved
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from tests.simulate.mistakes import Plant


@mistake
def unsaved_and_nobody_is_told(plant: Plant) -> None:
    """The state is in memory only, and no alert says so."""
    plant.swap(SqliteStore, "unsaved", property(lambda _self: ""))


@mistake
def unsaved_for_ever(plant: Plant) -> None:
    """When the file can be written again, nothing is: the next crash costs all that happened since."""
    plant.swap(Handle, "save", lambda _self: None)


@mistake
def unsaved_alerts_are_not_put_back(plant: Plant) -> None:
    """What is put into the file leaves out which alerts there are by now."""
    plant.swap(unsaved, "_REPLACED", tuple(each for each in unsaved._REPLACED if each != "alert"))


@mistake
def unsaved_messages_are_not_put_back(plant: Plant) -> None:
    """What is put into the file leaves out what was owed meanwhile, and what became of what was owed before."""
    original = unsaved._copy_rows

    def copy_rows(source: Any, target: Any, table: str, *rest: Any) -> None:
        if table != "delivery" or rest[0] != "SELECT * FROM delivery":
            original(source, target, table, *rest)

    plant.swap(unsaved, "_copy_rows", copy_rows)


@mistake
def unsaved_without_what_is_owed(plant: Plant) -> None:
    """While the file cannot be written, what was owed before is not sent."""
    plant.swap(unsaved, "_LIVING", unsaved._LIVING.replace("WHERE settled_at IS NULL", "WHERE seq < 0"))


@mistake
def unsaved_counts_twice(plant: Plant) -> None:
    """What was settled long before counts once more when the file is written again."""
    original = Unsaved.put_into

    def put_into(self: Unsaved, file: Any) -> None:
        original(self, file)
        self._count_as_gone(file, dict.fromkeys(self._left, 1))

    plant.swap(Unsaved, "put_into", put_into)


@mistake
def given_up_when_not_saved(plant: Plant) -> None:
    """A state that cannot be written stops the telling, as if nobody had to know."""
    plant.swap(Handle, "_go_on_unsaved", _refuses)


def _refuses(_self: Handle, error: Exception) -> Any:
    raise error
