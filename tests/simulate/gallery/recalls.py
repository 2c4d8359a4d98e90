"""Mistakes in what is called back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.amendments import Amendments
from alerting.core.telling import recall
from alerting.core.telling.desk import Desk
from alerting.model import DeliveryState
from alerting.store import deliveries
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from tests.simulate.mistakes import Plant


@mistake
def silences_call_nothing_back(plant: Plant) -> None:
    """What is owed is sent, though it is silenced before its first attempt."""
    plant.swap(Desk, "may_call_back", lambda *_: False)
    plant.swap(Amendments, "hushes", lambda *_: False)


@mistake
def what_may_have_arrived_is_called_back(plant: Plant) -> None:
    """A page of which the answer was lost counts as one that nobody has."""
    plant.swap(recall, "_is_unsent", lambda delivery: delivery.state is DeliveryState.PENDING)
    plant.swap(deliveries, "all_unsent", lambda *_: True)


@mistake
def what_was_called_back_counts_as_told(plant: Plant) -> None:
    """A page is called back, and never told when the silence is over."""
    original = Desk.call_back

    def call_back(self: Desk, *arguments: Any) -> Any:
        return original(self, *arguments)._replace(unsaid=())

    plant.swap(Desk, "call_back", call_back)


@mistake
def only_the_beginning_is_called_back(plant: Plant) -> None:
    """A page is called back, and its end, which waits behind it, is told to somebody who never heard of it."""

    def asked(original: Any) -> Any:
        return lambda message: (each for each in original(message) if not message.resolved)

    original = recall._Found._strip

    def strip(self: Any, message: Any, held: Any, first: Any, steps: Any) -> None:
        if not message.all_resolved:
            original(self, message, held, first, steps)

    plant.swap(recall, "asked", asked(recall.asked))
    plant.swap(recall._Found, "_strip", strip)
