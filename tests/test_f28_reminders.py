"""F28: a reminder is due by its own time, however often the process that owes it ends and begins again."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING

from alerting.model import Route
from alerting.store.sqlite import build as sqlite_store
from tests.clock import FakeClock
from tests.full import rounds, seed
from tests.sending import Receiver
from tests.store.made import balance
from tests.street import H, M, S, Street
from tests.tick import Above, rule

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure

REPEAT, INTERVAL = 4 * H, M
DOWN = 20 * S  # the longest that no process runs
TREE = Route(("chat",), group_by=("alertname",), group_wait=30 * S, group_interval=5 * M, repeat_interval=REPEAT)
NAMES = ("A", "B", "C", "D")


async def play(folder: Path, number: int, restarts: int) -> tuple[int, list[str], list[str]]:
    """Restart and reload through one reminder interval and into the next; give reminders, and which were off."""
    dice, clock = random.Random(number), FakeClock()
    chat = Receiver(clock, "chat")
    rules = [rule(name, Above(10 * each), notify=(), interval=INTERVAL) for each, name in enumerate(NAMES, start=1)]
    street = Street(*rules, people=[chat], store=sqlite_store("sqlite:///state.db", folder), route=TREE)
    await street.open()
    limit = 0
    for _ in NAMES:  # one after another, so that each has a time of its own
        limit += 10
        await street.tick(limit + 5.0, dice.randrange(S, INTERVAL))
        await street.tick(limit + 5.0, dice.randrange(31 * S, 20 * M))
    began, ends = clock.monotonic(), clock.monotonic() + REPEAT
    moments = sorted(began + dice.randrange(REPEAT) for _ in range(restarts))
    while clock.monotonic() < ends + H:
        if moments and moments[0] <= clock.monotonic():
            moments.pop(0)
            await street.end()
            await street.engine.close()
            await street.store.close()
            await clock.advance(dice.choice((0, S, DOWN)))  # until another takes over, perhaps on another machine
            street.store = sqlite_store("sqlite:///state.db", folder)
            await street.restart()
        elif dice.random() < 0.1:
            street.engine.adopt(street.setup())
        await street.tick(limit + 5.0, INTERVAL)
    told: dict[str, list[int]] = defaultdict(list)
    for at, message in zip(chat.times, chat.ledger, strict=True):
        assert message.reason.startswith("still firing" if told[message.firing[0].name] else "firing"), message.reason
        told[message.firing[0].name].append(at)
    early, late, reminders = [], [], 0
    for name in NAMES:
        first, *later = told[name]
        reminders += len(later)
        due = first + REPEAT
        early += [f"{name}: at {at - first} ms" for at in later if at < due]
        if len(later) != 1 or later[0] > due + INTERVAL + DOWN:
            late.append(f"{name}: {[at - first for at in later]} ms")
    assert balance(await street.counts()) == 0
    await street.end()
    await street.engine.close()
    await street.store.close()
    return reminders, early, late


def test_f28_a_reminder_keeps_its_time_over_restarts_and_reloads(tmp_path: Path, figure: Figure) -> None:
    """Four alerts, 50 restarts within the four hours to their reminders: none early, none late, each once."""
    number, restarts, trials = seed(28), 50, rounds(1, 20)
    reminders, early, late = 0, [], []
    for trial in range(trials):
        folder = tmp_path / str(trial)
        folder.mkdir()
        count, soon, behind = asyncio.run(play(folder, number + trial, restarts))
        reminders, early, late = reminders + count, early + soon, late + behind
    print(*early, *late, sep="\n")
    figure("early reminders", len(early), at_most=0, n=trials * len(NAMES), seed=number)
    figure(
        "late by more than an interval, doubled or missing", len(late), at_most=0, n=trials * len(NAMES), seed=number
    )
    assert reminders == trials * len(NAMES)
