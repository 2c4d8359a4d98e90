"""What a lane does not send: what is silenced by now is called back, what its receiver cannot be told is handed over.

A silence or a window may begin while a message waits. So a lane asks just before each attempt; a message that is hushed
goes back to the store unsent, and the lane has called back what is silenced before it claims again. One that may have
arrived is sent on: it cannot be taken back. What stays after a calling back was looked at, and is sent after all.

What was parked, or has waited for longer than `Terms.late_after`, is handed over once: the receiver's fallback is told.
What is silenced of it is called back first, so that nobody is told in another's place of what is not wanted.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from alerting.model import DeliveryState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Protocol

    from alerting.lane import Lane
    from alerting.model import Delivery, Millis, Notification
    from alerting.ports import Clock, Store

    class Amends(Protocol):
        """Changes what is owed already (`alerting.amendments`). What is asynchronous raises StoreError."""

        async def pass_on(self, waiting: Sequence[Delivery]) -> bool:
            """Owe messages of one group key to the fallback of their receiver; tell whether anybody is told by that."""
            ...

        def hushes(self, message: Notification) -> bool:
            """Tell whether something of a message is silenced by now. Any thread may ask."""
            ...

        async def call_back(self, receiver: str) -> bool:
            """Call back what waits for a receiver and is silenced; tell whether all was looked at."""
            ...


LOOK: Millis = 5_000  # how often a lane looks for what its fallback should be told


class Returns:
    """See the module's text. What it remembers of a lane stands in the lane."""

    def __init__(self, store: Store, clock: Clock, now: Callable[[], Millis], amends: Amends | None) -> None:
        """`now` gives the time of waits. Without `amends` nothing is silenced and nothing handed over."""
        self._store = store
        self._clock = clock
        self._now = now
        self._amends = amends

    # ------------------------------------------------------------------------------------- what is silenced by now

    def is_hushed(self, lane: Lane, delivery: Delivery) -> bool:
        """Tell whether a message is not to be sent, as it is silenced by now; one that may have arrived goes on."""
        id_ = delivery.notification.id
        if self._amends is None or delivery.outcome is Outcome.UNKNOWN or id_ in lane.looked_at:
            lane.looked_at.discard(id_)
            return False
        return self._amends.hushes(delivery.notification)

    def audible(self, waiting: Iterable[Notification]) -> Iterator[Notification]:
        """Give messages up to the first that is silenced by now. Any thread may ask."""
        amends = self._amends
        return iter(waiting) if amends is None else takewhile(lambda each: not amends.hushes(each), waiting)

    async def call_back(self, lane: Lane) -> bool:
        """Have called back what was found to be silenced; what stays is sent after all.

        Tells whether the lane may go on. Raises StoreError.
        """
        hushed, lane.hushed = lane.hushed, set()
        if self._amends is None or not await self._amends.call_back(lane.receiver):
            return False
        lane.looked_at = hushed
        return True

    # ------------------------------------------------------------------------------------- what cannot be told

    async def hand_over(self, lane: Lane, late_after: Millis | None) -> bool:
        """Pass on what was parked or is late, each once; tell whether anybody is told by that. Raises StoreError."""
        if late_after is None or self._amends is None:
            return False
        found = await self._unheard(lane, late_after)
        if any(map(self._could_be_called_back, found)):
            await self._amends.call_back(lane.receiver)  # once for all of its keys
            found = await self._unheard(lane, late_after)
        waiting: dict[str, list[Delivery]] = {}
        for each in found:
            waiting.setdefault(each.notification.group_key, []).append(each)
        lane.passed = bool(waiting)
        passed = [await self._amends.pass_on(each) for each in waiting.values()]
        lane.look_at = self._clock.monotonic() + LOOK
        return any(passed)

    async def _unheard(self, lane: Lane, late_after: Millis) -> Sequence[Delivery]:
        before = min(self._now(), self._clock.now()) - late_after
        return await self._store.unheard(lane.receiver, before)

    def _could_be_called_back(self, delivery: Delivery) -> bool:
        """Tell whether a message is owed, has surely reached nobody, and is silenced by now."""
        unsent = delivery.state is DeliveryState.PENDING and delivery.outcome is not Outcome.UNKNOWN
        return unsent and self._amends is not None and self._amends.hushes(delivery.notification)
