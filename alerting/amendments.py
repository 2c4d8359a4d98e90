"""What is owed already and is changed between two turns: passed on to a fallback, or called back.

A turn owes messages; from then on they are the outbox's. Two things may still become of one that was not sent: its
receiver cannot be told, so another is; or a silence or a window begins that holds it. The desk works out what that
changes, one transaction writes it, and only then does the desk follow, as in a turn. None of it is a turn's: nothing is
evaluated, and the store goes on naming the newest turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.backoff import words
from alerting.core.telling.fallback import reasons
from alerting.errors import TooLate
from alerting.ports import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from alerting.core.telling.desk import Desk
    from alerting.model import Delivery, Notification
    from alerting.ports import Clock, Store


class Amendments:
    """See the module's text."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        desk: Callable[[], Desk],
        alone: Callable[[], AbstractAsyncContextManager[None]],
        on_commit: Callable[[Collection[str]], None],
    ) -> None:
        """`desk` gives the one in force, `alone` a time in which no turn runs.

        `on_commit` is called with the receivers to which something new is owed, once it is on disk.
        """
        self._store = store
        self._clock = clock
        self._desk = desk
        self._alone = alone
        self._on_commit = on_commit

    async def pass_on(self, waiting: Sequence[Delivery]) -> bool:
        """Owe what a receiver could not be told (of one group key, in order) to its fallback, once.

        What is silenced by now is left for later. Tells whether anybody is told by that. Raises StoreError.
        """
        async with self._alone():
            now, head, desk = self._clock.now(), waiting[0], self._desk()
            whole = [each.notification for each in waiting]
            messages = desk.audible(whole, now)
            if not messages:
                return False
            why = head.why or f"{len(waiting)} waiting, the oldest since {words(max(0, now - head.owed_since))}"
            passed = desk.passed_on(messages, why, now)
            ids = [each.id for each in messages if each in whole]  # what is left of the others comes again
            told, texts = reasons(passed), desk.stand_ins(passed, now)
            change = Change(now, notifications=passed, passed_on=ids, texts=texts, decisions=told, is_turn=False)
            await self._store.commit(change)
            desk.note(passed, now)
        if passed:
            self._on_commit(tuple(dict.fromkeys(each.receiver for each in passed)))
        return bool(passed)

    def hushes(self, message: Notification) -> bool:
        """Tell whether something of a message that waits is silenced now, or in a window. For any thread."""
        return self._desk().hushes(message, self._clock.now())

    async def call_back(self, receiver: str) -> bool:
        """Call back what waits for a receiver and is silenced; tells whether all was looked at. Raises StoreError."""
        async with self._alone():
            try:
                await self._call_back(receiver)
            except TooLate:
                return False
        return True

    async def call_back_all(self) -> None:
        """Call back all that waits and is silenced, if a silence or a window has begun; for a turn, as it begins.

        Raises StoreError, TooLate where something of it is being sent.
        """
        if self._desk().may_call_back(self._clock.now()):
            await self._call_back("")

    async def _call_back(self, receiver: str) -> None:
        """Call back what waits for a receiver, or (empty) for all, and is silenced. Raises StoreError, TooLate."""
        now, desk = self._clock.now(), self._desk()
        found = desk.call_back(await self._store.unsent(receiver), now)
        if found.recalls:
            change = Change(
                now,
                recalled=found.recalls,
                unsaid=found.unsaid,
                decisions=found.decisions,
                texts=found.texts,
                is_turn=False,
            )
            await self._store.commit(change)
        desk.called_back(found, now, everywhere=not receiver)
