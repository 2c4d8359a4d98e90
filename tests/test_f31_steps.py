"""F31, within the process: the same hours with a wall that steps and with one that does not must be the same hours."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model import Route
from tests.full import rounds, seed
from tests.sending import LOST, RETRY, Receiver
from tests.store.made import OK
from tests.street import H, M, S, Street
from tests.tick import Above, FakeClock, rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.figures import Figure

STEPS = (-S, S, H, -H, 24 * H, -24 * H)
TREE = Route(("chat",), group_by=("alertname",), group_wait=30 * S, group_interval=M, repeat_interval=5 * M)
NEGATIVE = re.compile(r"(?<![\w.:-])-\d+(\.\d+)? ?(ms|s|m|min|h|d)\b")
HOURS, PACE = 1, 20 * S


class Noting(Receiver):
    """A receiver that notes when it took each message."""

    def __init__(self, clock: FakeClock, name: str, stands_for: str = "group") -> None:
        super().__init__(clock, name, stands_for=stands_for)
        self.taken_at: list[int] = []

    async def deliver(self, notification: Any, previous: Any) -> Any:
        before = len(self.ledger)
        answer = await super().deliver(notification, previous)
        self.taken_at += [self.clock.monotonic()] * (len(self.ledger) - before)
        return answer


class Hours(NamedTuple):
    """What happened, by a clock that does not step."""

    firing: list[Any]
    resolved: list[Any]
    evaluated: int
    missed: int
    negative: list[str]


async def play(number: int, steps: Mapping[int, int]) -> Hours:
    """Play ticks with values, moods of a receiver, and steps of the wall before some of them."""
    dice, clock = random.Random(number), FakeClock()
    chat, pager = Noting(clock, "chat"), Noting(clock, "pager", stands_for="alert")
    rules = [
        rule("Now", notify=("pager",), interval=PACE),
        rule("Slow", for_=2 * M, keep_firing_for=M, notify=("pager",), interval=PACE),
        rule("Told", Above(5), notify=(), interval=PACE),  # by the tree: with group_wait and reminders
    ]
    street = Street(*rules, people=[chat, pager], route=TREE)
    await street.open()
    evaluated = missed = 0
    negative: list[str] = []
    for tick in range(HOURS * H // PACE):
        values = {name: dice.choice((3.0, 7.0, 20.0)) if dice.random() < 0.3 else None for name in "ab"}
        street.app.values = {**street.app.values, **{name: each for name, each in values.items() if each is not None}}
        chat.otherwise, pager.otherwise = dice.choice((OK, OK, RETRY, LOST)), dice.choice((OK, OK, RETRY))
        if tick in steps:
            clock.step(steps[tick])
        await clock.advance(PACE)
        while due := street.engine.due():
            task = asyncio.ensure_future(street.engine.tick(due))
            await clock.run(task)
            evaluated, missed = evaluated + task.result().evaluated, missed + task.result().missed
        if street.engine.tells():
            await clock.run(asyncio.ensure_future(street.engine.tick(())))
        for alert in street.engine.alerts():
            began = [at for at in (alert.quiet_since, alert.paused_at, alert.gone_since) if at is not None]
            began += [alert.since] if alert.state == "pending" else []
            negative += [
                f"{alert.key.rule_id} waits since {at - clock.now()} ms from now" for at in began if at > clock.now()
            ]
    chat.otherwise = pager.otherwise = OK
    await clock.advance(10 * M)
    said = [
        (at // PACE, receiver.name, what, notice.name)  # of two that end in one tick either may be told first
        for receiver in (chat, pager)
        for at, message in zip(receiver.taken_at, receiver.ledger, strict=True)
        for what, notices in (("firing", message.firing), ("resolved", message.resolved))
        for notice in notices
        if "a" in notice.labels
    ]
    texts = [text for each in (*chat.ledger, *pager.ledger) for text in (each.title, each.reason, *each.notes)]
    negative += [text for text in texts if NEGATIVE.search(text)]
    await street.end()
    return Hours(
        [each for each in said if each[2] == "firing"],
        [each for each in said if each[2] == "resolved"],
        evaluated,
        missed,
        negative,
    )


def test_f31_hours_with_steps_are_like_hours_without(figure: Figure) -> None:
    """Hundred steps in an hour: the same firings, ends, reminders and retries, to the tick."""
    number, trials = seed(31), rounds(3, 60)
    pages, ends, lost, negative = [], [], 0, []
    for trial in range(number, number + trials):
        dice = random.Random(trial)
        ticks = sorted(dice.sample(range(HOURS * H // PACE), 100))
        plain = asyncio.run(play(trial, {}))
        stepped = asyncio.run(play(trial, {tick: dice.choice(STEPS) for tick in ticks}))
        assert plain.firing
        assert plain.resolved
        pages += (Counter(stepped.firing) - Counter(plain.firing)).elements()
        ends += (Counter(stepped.resolved) - Counter(plain.resolved)).elements()
        lost += plain.evaluated - stepped.evaluated + stepped.missed - plain.missed
        lost += len(plain.firing) - len(stepped.firing)
        negative += stepped.negative
    print(*pages[:10], *ends[:10], *negative[:10], sep="\n")
    figure("false pages", len(pages), at_most=0, n=100 * trials, seed=number)
    figure("false resolves", len(ends), at_most=0, n=100 * trials, seed=number)
    figure("missed evaluations, and pages that did not come", lost, at_most=0, n=100 * trials, seed=number)
    figure("negative durations", len(negative), at_most=0, n=100 * trials, seed=number)
