"""A state whose file cannot be written: what goes on in memory, and that all of it is saved later."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3 as driver
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import pytest

from alerting.core.telling.folding import folded
from alerting.model import Decision
from alerting.ports import Change
from alerting.store import schema, sqlite
from tests.full import rounds, seed
from tests.store.made import AT, alert, balance, failed, key, owed, parked, sent, transition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = 60_000
STEPS = 20  # with the file as it is, then it may change
TABLES = ("meta", "kept", "alert", "transition", "evaluated", "announced", "fault", "delivery", "attempt", "decision")


def build(folder: Path, **options) -> sqlite.SqliteStore:
    """A store that goes on when its file cannot be written."""
    return sqlite.build("sqlite:///state.db", folder, busy=0, lasting=True, **options)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Somebody else is in the middle of writing the file."""
    with closing(driver.connect(folder / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(_folder: Path) -> Iterator[None]:
    """No file may grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FAULTS = {"held": held, "full": full}


def dump(folder: Path) -> dict[str, list[tuple]]:
    """All that the file holds, apart from what differs from run to run."""
    with closing(driver.connect(folder / "state.db")) as file:
        file.execute("UPDATE delivery SET claimed_by = ''")
        file.execute("UPDATE meta SET commits = 0")
        every = ((table, file.execute(f"SELECT * FROM {table}")) for table in TABLES)  # noqa: S608  names from above
        return {table: sorted(rows, key=repr) for table, rows in every}


def decision(name: str, at: int) -> Decision:
    """Somebody was told."""
    return Decision(at, key(name), f"{name}-1", "firing", "slack", "told", "route", "by its rule", "")


async def step(store: sqlite.SqliteStore, dice: random.Random, number: int) -> None:
    """Do one thing that the engine or the outbox does."""
    name, at = f"a{dice.randrange(6)}", AT + number * MINUTE
    match dice.randrange(7):
        case 0 | 1:
            told = dice.choice(("firing", "resolved"))
            message = owed(f"n{number}", dice.choice(("slack", "pager")), name, name, told)._replace(created=at)
            moves, why = [transition(name, at)], [decision(name, at)]
            await store.commit(Change(at, [alert(name, version=number)], (), moves, [message], decisions=why))
        case 2:
            await store.commit(Change(at, dropped=[key(name)], evaluated={name: at}, forgotten=["a1"]))
        case 3:
            await store.commit(Change(at, faults={"host": dice.choice((None, "down"))}, texts={name: str(number)}))
        case 4 | 5:
            fold = partial(folded, stands_for="group")
            for claimed in await store.claim("slack", at, 10 * MINUTE, 3, fold):
                ends = (sent, lambda each, at: parked(each, at=at), lambda each, at: failed(each, at + MINUTE), None)
                end = dice.choice(ends)
                if end is not None:
                    await store.settle(end(claimed, at)._replace(tried_at=at))
        case 6:
            await store.keep({f"silence/{name}": dice.choice((None, str(number)))})


async def played(folder: Path, which: int, faults: dict[int, str]) -> dict[str, list[tuple]]:
    """Play a history, with faults of the file before some of its steps; give what the file holds in the end."""
    schema.create(str(folder / "state.db"), "installed")
    dice, store = random.Random(which), build(folder)
    await store.open()
    for number in range(STEPS):
        await step(store, dice, number)
    assert store.unsaved == ""
    for block in range(1, 5):
        with FAULTS[faults[block]](folder) if block in faults else nullcontext():
            for number in range(STEPS * block, STEPS * (block + 1)):
                await step(store, dice, number)
            if block in faults:
                assert "could not be" in store.unsaved
            counts = (await store.overview()).counts
            assert balance(counts) == 0
        await store.commit(Change(AT + STEPS * (block + 1) * MINUTE - MINUTE // 2))
        assert store.unsaved == "", f"seed {which}"
    await store.close()
    return dump(folder)


@pytest.mark.slow
def test_f11_f13_what_was_held_in_memory_is_saved_as_if_nothing_had_been(tmp_path, figure) -> None:
    """Random histories with a full disk and a holder in between: row for row what a store without faults holds."""
    trials, first = rounds(6, full=200), seed()
    differ = 0
    for number in range(trials):
        which = first + number
        dice = random.Random(-which)
        faults = {block: dice.choice(tuple(FAULTS)) for block in dice.sample(range(1, 5), dice.randint(1, 4))}
        ends = []
        for name, suffered in (("plain", {}), ("hurt", faults)):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            ends.append(asyncio.run(played(folder, which, suffered)))
        differ += ends[0] != ends[1]
    figure("histories that end otherwise", differ, at_most=0, n=trials, seed=first)
