"""One attempt at a message: one request, judged by its raw answer, under a total deadline.

Whatever a notifier does, an attempt ends: with its answer, with none in time, or with a fault of ours. `core.backoff`
decides what becomes of the message; whoever asked for the attempt records that. What the answer says of the receiver
is noted in its lane: one that failed twice in a row, or that asked for it, is left alone for a while.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.core import pace
from alerting.core.backoff import after, exhausted, pause
from alerting.model import Answer, DeliveryState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.backoff import Limits
    from alerting.lane import Lane, Terms, Watch
    from alerting.model import Delivery, Millis, Redact
    from alerting.ports import Clock, Notifier

_REST = (2_000, 20_000)  # first and longest rest of a receiver that fails; so at most ten attempts a minute


class Attempts:
    """Makes them."""

    def __init__(
        self,
        clock: Clock,
        now: Callable[[], Millis],
        age: Callable[[Millis], Millis],
        random: Callable[[], float],
        *,
        terms_of: Callable[[Lane], Terms],
        limits: Limits,
        deadline: Millis,
        redact: Redact,
        on_fault: Callable[[str, BaseException], None],
    ) -> None:
        """`now` gives the time of waits, `age` how old a stamp of the wall is by then, `random` numbers in [0, 1).

        `terms_of` gives what holds for a lane at that moment. `deadline` is of one attempt. `on_fault` is called with
        what a notifier raises, and the part that it was in.
        """
        self._clock = clock
        self._now = now
        self._age = age
        self._random = random
        self._terms_of = terms_of
        self._limits = limits
        self._deadline = deadline
        self._redact = redact
        self._on_fault = on_fault

    async def make(
        self, delivery: Delivery, lane: Lane, notifier: Notifier | None, deadline: Millis, watch: Watch
    ) -> Delivery:
        """Make one attempt at a claimed message and decide what becomes of it; the caller records that."""
        notification = delivery.notification
        if delivery.attempts >= self._limits.most:  # nobody saw their ends: the process died in them
            spent = exhausted(delivery.attempts, notification.created, self._clock.now(), self._limits)
            why = f"given up {spent}: {delivery.why}"
            return delivery._replace(state=DeliveryState.PARKED, why=why, settled_at=self._clock.now())
        began = self._clock.monotonic()
        answer = await self._ask(delivery, notifier, min(self._deadline, deadline), watch)
        answer = answer._replace(why=self._redact(answer.why))
        self._note(lane, answer, began)
        attempts, now = delivery.attempts + 1, self._now()
        since = now - self._age(notification.created)  # no step of the wall makes it old
        decided = after(attempts, answer, since, now, limits=self._limits, jitter=self._random())
        owed = decided.state is DeliveryState.PENDING
        kept = delivery.receipt if owed and answer.receipt is None else answer.receipt  # a note to the next attempt
        return delivery._replace(
            state=decided.state,
            attempts=attempts,
            next_at=decided.at,
            why=decided.why,
            outcome=answer.outcome,
            receipt=kept,
            settled_at=0 if owed else self._clock.now(),
            tried_at=self._clock.now(),
        )

    async def _ask(self, delivery: Delivery, notifier: Notifier | None, deadline: Millis, watch: Watch) -> Answer:
        """Ask the notifier under a total deadline. Whatever it does, there is an answer."""
        notification = delivery.notification
        if notifier is None:
            return Answer(Outcome.RETRY, f"the settings have no receiver named {notification.receiver!r}")
        try:
            previous = delivery.previous if delivery.receipt is None else delivery.receipt
            attempt = asyncio.ensure_future(notifier.deliver(notification, previous))
            await watch.wait(attempt, deadline)
            if not attempt.done() or attempt.cancelled():
                return Answer(Outcome.UNKNOWN, f"no answer within {deadline / 1000:g} s")
            return attempt.result()
        except Exception as error:  # noqa: BLE001  a notifier may not raise; if one does, the message stays owed
            self._on_fault(f"sending to {notification.receiver}", error)
            return Answer(Outcome.UNKNOWN, f"a fault of alerting itself: {type(error).__name__}")

    def _note(self, lane: Lane, answer: Answer, began: Millis) -> None:
        """Let a receiver rest that failed twice in a row, or that asked for it; several at once fail as one."""
        now = self._clock.monotonic()
        lane.took = now - began
        terms = self._terms_of(lane)
        if terms.pace is not None:
            lane.paid_until = pace.answered(terms.pace, lane.paid_until, now)
        if answer.outcome in (Outcome.SENT, Outcome.REFUSED):
            lane.failures, lane.failing_since = 0, None
            return
        if not lane.failures or began >= lane.failed_at:
            lane.failures += 1
        lane.failed_at, lane.why = now, answer.why
        if lane.failing_since is None:
            lane.failing_since = now
        rest = pause(lane.failures - 1, *_REST, self._random()) if lane.failures > 1 else 0
        wish = min(answer.retry_after or 0, self._limits.longest_wish)
        lane.rests_until = max(lane.rests_until, now + max(rest, wish))
