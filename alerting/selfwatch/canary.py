"""A canary: an alert that means nothing, sent the whole way again and again, so that somebody notices when it stops.

Theory of operation. A canary is an ordinary source, an ordinary rule over it and an ordinary receiver. The source
turns its one value when the last turn has arrived; the rule fires, or is well again; that is saved, owed, claimed and
delivered like any other alert. A turn that is not saved, or not delivered, is given on until it is, so its delay grows:
from the moment when it was due, over reading, judging, saving and sending, to the receiver's taking it.

Where no receiver is named, one takes it that only takes note, and people never see it. Times are of the monotonic
clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from alerting.core.builtin import CANARY
from alerting.model import (
    NO_LABELS,
    AlertState,
    Answer,
    DeliveryState,
    Kind,
    Metric,
    Outcome,
    Reading,
    Rule,
    RuleSpec,
    Sample,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from alerting.model import Alert, Delivery, Millis, Need, Notification, Patterns, Receipt
    from alerting.ports import Clock

NAME = "(canary)"  # of the source, and of the receiver that only takes note; names in settings have no brackets
LATE: Millis = 120_000  # so long it may be on its way before that is an ailment, as for receivers
_METRIC = "canary_sings"


class Canary:
    """The source, and what became of its turns."""

    name = namespace = NAME

    def __init__(self, clock: Clock, every: Millis, alerts: Callable[[], Iterable[Alert]]) -> None:
        """`alerts` are those that are kept now: an earlier run may have left one."""
        self.every = every
        self.arrivals = 0
        self._clock = clock
        self._alerts = alerts
        self._due = clock.monotonic() + every  # when the turn that is on its way, or comes next, was or is to begin
        self._turn: bool | None = None  # on its way: True to firing, False to well; None: it has arrived
        self._took: Millis = 0  # the last one that arrived

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  there is one value
        """Give the turn that is on its way, or begin the next one."""
        if self._turn is None:
            mine = (each for each in self._alerts() if each.key.rule_id == CANARY)
            self._turn = not any(each.state is AlertState.FIRING for each in mine)
            self._due = min(self._due, self._clock.monotonic())
        at = self._clock.now()
        samples = (Sample("up", NO_LABELS, 1.0, at), Sample(_METRIC, NO_LABELS, float(self._turn), at))
        return Reading(NAME, NAME, at, samples)

    async def close(self) -> None:
        """Nothing to let go of."""

    def settled(self, delivery: Delivery) -> None:
        """Take note of how an attempt ended: a turn has arrived, is tried again, or is given up for the next one."""
        notification, now = delivery.notification, self._clock.monotonic()
        if not is_canary(notification) or self._turn is not bool(notification.firing):
            return
        if delivery.state is DeliveryState.PARKED:
            self._turn = None
        elif delivery.state is DeliveryState.SENT:
            self.arrivals += 1
            self._took = now - self._due
            self._turn, self._due = None, self.every + (self._due if self._took < self.every else now)

    def delay(self) -> Millis:
        """Give how long the last turn took to arrive, or for how long one is overdue, if that is longer."""
        return max(self._took, self._overdue())

    def trouble(self) -> str:
        """Say that it does not arrive; empty: it does, or is not late yet."""
        overdue = self._overdue()
        return f"it should have arrived {overdue / 1000:.0f} s ago" if overdue > LATE else ""

    def _overdue(self) -> Millis:
        return max(0, self._clock.monotonic() - self._due)

    def rule(self, receiver: str, patterns: Patterns) -> Rule:
        """Make the rule that is told to `receiver`."""
        from alerting.core.lang.condition import compile_condition  # noqa: PLC0415  nothing else here needs it
        from alerting.core.lang.names import Names, SourceNames  # noqa: PLC0415  the same

        text = f"{_METRIC} == 1"
        names = Names([SourceNames(NAME, NAME, "canary", closed=True, metrics=(Metric(_METRIC, NAME, Kind.GAUGE),))])
        condition, _ = compile_condition(text, names, patterns, interval=self.every)
        spec = RuleSpec(
            CANARY,
            "Canary",
            text,
            interval=self.every,
            severity="info",
            annotations={"description": "Nothing is wrong: this shows that alerts are found and arrive."},
            notify=(receiver,),
            unheld=True,
        )
        return Rule(spec, condition)


class Nest:
    """The receiver that only takes note. It is always there: an earlier run may owe it something."""

    name = NAME
    stands_for: Literal["alert", "group"] = "group"

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  a port
        """Take it."""
        return Answer(Outcome.SENT)

    async def close(self) -> None:
        """Nothing to let go of."""


def is_canary(notification: Notification) -> bool:
    """Tell whether a message is about the canary alone."""
    return all(each.key.rule_id == CANARY for each in (*notification.firing, *notification.resolved))
