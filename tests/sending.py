"""What tests of the sending share: receivers as they behave, a store that refuses, a bench to put them on."""

from __future__ import annotations

import asyncio
import random

from alerting.errors import StoreError
from alerting.model import Answer, Outcome
from alerting.outbox import Outbox
from alerting.ports import Change
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.store.made import AT, OK, balance, owed

RETRY = Answer(Outcome.RETRY, "500")
LOST = Answer(Outcome.UNKNOWN, "it was taken, and the answer was lost")
HOUR = 3_600_000


class Receiver:
    """A notifier that keeps a ledger of what it was asked and answers by a script, then `otherwise`."""

    def __init__(self, clock, name="slack", script=(), otherwise=OK, takes=0, stands_for="group"):  # noqa: PLR0917
        self.name, self.clock, self.takes, self.stands_for = name, clock, takes, stands_for
        self.script, self.otherwise = list(script), otherwise
        self.asked = []  # (time, notification id, previous receipt)
        self.ledger = []  # what it has taken
        self.closed = False

    async def deliver(self, notification, previous):
        self.asked.append((self.clock.monotonic(), notification.id, previous))
        answer = self.script.pop(0) if self.script else self.otherwise
        if callable(answer):
            answer = answer(notification)
        if answer in (OK, LOST):
            self.ledger.append(notification)
        if self.takes:
            await self.clock.sleep(self.takes)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def close(self):
        self.closed = True

    @property
    def ids(self):
        return [each[1] for each in self.asked]

    @property
    def times(self):
        return [each[0] for each in self.asked]


class Strict(Receiver):
    """Takes at most so many in any window of time, and answers 429 to the rest."""

    def __init__(self, clock, most, window, dice, **more):
        super().__init__(clock, otherwise=self._judge, **more)
        self.most, self.window, self.dice = most, window, dice
        self.taken = []
        self.refused = 0

    async def deliver(self, notification, previous):
        self.takes = self.dice.randrange(5, 250)
        await self.clock.sleep(self.dice.randrange(5, 100))  # on its way
        return await super().deliver(notification, previous)

    def _judge(self, _):
        now = self.clock.monotonic()
        self.taken = [at for at in self.taken if at > now - self.window]
        if len(self.taken) >= self.most:
            self.refused += 1
            return Answer(Outcome.RETRY, "429", 1_000)
        self.taken.append(now)
        return OK


def episode(id_, alert, number, *, over, receiver="slack"):
    """A message about one episode of one alert: that it fires, or that it is over."""
    made = owed(id_, receiver, f"key of {alert}", alert, "resolved" if over else "firing")
    return made._replace(
        firing=tuple(each._replace(episode=f"{alert}-{number}", fired_at=AT + 60_000 * number) for each in made.firing),
        resolved=tuple(
            each._replace(episode=f"{alert}-{number}", fired_at=AT + 60_000 * number) for each in made.resolved
        ),
    )


class Failing(MemoryStore):
    """A store that refuses some calls, as a full disk does: `broken` names the methods."""

    def __init__(self):
        super().__init__()
        self.broken = set()
        self.calls = []

    def _check(self, name):
        self.calls.append(name)
        if name in self.broken:
            raise StoreError("the state is full")

    async def settle(self, *ended):
        self._check("settle")
        await super().settle(*ended)

    async def claim(self, *arguments):
        self._check("claim")
        return await super().claim(*arguments)

    async def owing(self):
        self._check("owing")
        return await super().owing()


class Bench:
    """An outbox with what it stands between."""

    def __init__(self, *receivers, store=None, clock=None, **options):
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.settled, self.troubles, self.faults = [], [], []
        self.outbox = Outbox(
            self.store,
            {each.name: each for each in receivers},
            self.clock,
            random.Random(7).random,
            on_settled=self.settled.append,
            on_trouble=self.troubles.append,
            on_fault=lambda part, error: self.faults.append((part, repr(error))),
            **options,
        )
        self.stop = asyncio.Event()

    async def owe(self, *notifications):
        created = [each._replace(created=self.clock.now()) for each in notifications]
        await self.store.commit(Change(self.clock.now(), notifications=created))
        for receiver in {each.receiver for each in notifications}:
            self.outbox.wake(receiver)

    async def start(self):
        await self.store.open()
        self.task = asyncio.ensure_future(self.outbox.run(self.stop))
        await self.clock.advance(0)

    async def end(self):
        self.stop.set()
        await self.clock.run(self.task)
        await self.task
        assert balance((await self.store.overview()).counts) == 0

    async def counts(self):
        return (await self.store.overview()).counts


def many(count, receiver="slack", keys=None):
    """So many messages to one receiver, of so many group keys (each its own, where not said)."""
    return [owed(f"{receiver}-{n}", receiver, f"k{n % keys if keys else n}") for n in range(count)]
