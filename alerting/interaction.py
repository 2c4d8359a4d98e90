"""What people answer in a chat: presses of a message's buttons become acknowledgements and silences.

The law: a press says which message was meant, and nothing else of it counts. What the message stands for is looked up,
it must stand where this installation's own receipt says, and only what fired when it was made and fires still is acted
upon. What comes of a press is kept like what a command asks for, and told by the same way. It is a convenience:
without it alerts are judged and told all the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import TYPE_CHECKING

from alerting.core.telling.keeping import ack_name, ack_text, silence_name, silence_text
from alerting.errors import StoreError
from alerting.model import Ack, Matcher, Silence
from alerting.ports import Listens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from alerting.model import Millis, Notice
    from alerting.ports import Clock, Notifier, Press, Store

HOUR: Millis = 3_600_000  # for so long a press acknowledges or silences
_REST: Millis = 60_000  # before a receiver is listened to again after a fault of ours
_ANSWER: Millis = 10_000  # the longest that the store may take to find a receipt
_COMMENT = "a button in a message"
_PATTERN = 6_000  # bytes of all values of one silence: no pattern may have more than 8 KiB
_MOST_SILENCES = 50


class Interaction:
    """The listening to all receivers that can be answered, in the daemon."""

    def __init__(  # noqa: PLR0917  what it works with, then whom it tells
        self,
        store: Store,
        clock: Clock,
        told: Callable[[str, str], Sequence[Notice]],
        take: Callable[[Mapping[str, str | None]], Awaitable[None]],
        say: Callable[[str], None] = lambda _: None,
        on_fault: Callable[[str, BaseException], None] = lambda _part, _error: None,
    ) -> None:
        """`told` gives what fires and was told to a receiver under a group key; `take` puts texts in force.

        `say` hears why a receiver cannot be listened to, `on_fault` what was raised by a fault of ours.
        """
        self._store = store
        self._clock = clock
        self._told = told
        self._take = take
        self._say = say
        self._on_fault = on_fault
        self._receivers: tuple[Listens, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._runs = False

    def adopt(self, notifiers: Iterable[Notifier]) -> None:
        """Listen to these from now on, where listening is wanted at all (`run`)."""
        self._receivers = tuple(each for each in notifiers if isinstance(each, Listens))
        if self._runs:
            self._start()

    async def run(self) -> None:
        """Listen until cancelled."""
        self._runs = True
        self._start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._runs = False
            self._end()

    def _start(self) -> None:
        self._end()
        self._tasks = [asyncio.create_task(self._listen(each)) for each in self._receivers]

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _listen(self, receiver: Listens) -> None:
        while True:
            try:
                await receiver.listen(self.pressed, self._say)
            except Exception as error:  # noqa: BLE001  no fault in listening may end the daemon, or listening for good
                self._on_fault("listening to buttons", error)
            else:
                return  # its settings want no buttons
            await self._clock.sleep(_REST)

    async def pressed(self, press: Press) -> str:
        """Do what was asked for; give what the person is told, or nothing where the press was not one of ours."""
        try:
            async with asyncio.timeout(_ANSWER / 1000):
                receipt = await self._store.previous_receipt(press.receiver, press.group_key)
        except (StoreError, TimeoutError):
            return "The state cannot be read now; nothing was done. Please try again."
        if receipt is None or any(receipt.get(name) != value for name, value in press.place.items()):
            self._say(f"{press.receiver}: a button was pressed that belongs to no message of this installation")
            return ""
        meant = [each for each in self._told(press.receiver, press.group_key) if each.fired_at <= press.told_at]
        if not meant:
            return "Nothing that this message is about fires any more."
        now = self._clock.now()
        until = time.strftime("%H:%MZ", time.gmtime((now + HOUR) // 1000))
        if press.action == "acknowledge":
            texts = {ack_name(each.key): ack_text(acknowledged(each, press.by, now)) for each in meant}
            done = f"Acknowledged until {until}"
        else:
            parts = list(_parts(meant))
            if len(parts) > _MOST_SILENCES:
                return f"These are {len(meant)} alerts, too many for a button: use `alerting silence add`."
            silences = [silenced(some, press.by, now, os.urandom(4).hex()) for some in parts]
            texts = {silence_name(each.id): silence_text(each) for each in silences}
            ids = ", ".join(each.id for each in silences)
            done = f"Silenced until {until} ({'silence' if len(silences) == 1 else 'silences'} {ids})"
        try:
            await self._take({**texts})
        except StoreError:
            return "It could not be kept; nothing was done. Please try again."
        except ValueError:
            return "This cannot be written as a silence; nothing was done. Use `alerting silence add`."
        return f"{done}: {len(meant)} {'alert' if len(meant) == 1 else 'alerts'}."


def acknowledged(notice: Notice, by: str, now: Millis) -> Ack:
    """Give the acknowledgement of one alert: for an hour, its episode and its severity."""
    return Ack(notice.key, notice.episode, by, now, now + HOUR, notice.severity, _COMMENT)


def silenced(notices: Sequence[Notice], by: str, now: Millis, silence_id: str) -> Silence:
    """Give one silence that fits these alerts: the labels that all of them have, each with any of their values.

    The severity is left out, so that an alert which moves between its levels stays silenced.
    """
    values: dict[str, set[str]] = {"alertname": {notice.name for notice in notices}}
    for name in sorted(set.intersection(*({*notice.labels} for notice in notices)) - {"alertname", "severity"}):
        values[name] = {notice.labels[name] for notice in notices}
    matchers = tuple(_matcher(name, some) for name, some in values.items())
    return Silence(silence_id, matchers, now, now + HOUR, by, _COMMENT, now)


def _parts(notices: Sequence[Notice]) -> Iterator[Sequence[Notice]]:
    """Part alerts so that each part can be one silence: of very many, the pattern would be too long to be one."""
    matchers = silenced(notices, "", 0, "").matchers
    if len(notices) == 1 or sum(len(each.value.encode("utf-8", "surrogatepass")) for each in matchers) <= _PATTERN:
        yield notices
        return
    half = len(notices) // 2
    yield from _parts(notices[:half])
    yield from _parts(notices[half:])


def _matcher(name: str, values: set[str]) -> Matcher:
    if len(values) == 1:
        return Matcher(name, "=", *values)
    return Matcher(name, "=~", "|".join(re.escape(value) for value in sorted(values)))
