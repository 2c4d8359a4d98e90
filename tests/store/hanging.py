"""A process over whose state the disk hangs, for tests of what is gone on with meanwhile.

`python -m tests.store.hanging FOLDER SEED plain|back|killed`, with `tests/hang.c` preloaded and ALERTING_HANG naming
FOLDER/hang, plays a history (`tests.store.test_unsaved.step`). `plain`: without faults; standard output says after each
of its calls what the file holds, by its digest. `back`: the disk hangs in some stretches and comes back; it says what
the file holds in the end. `killed`: it hangs until the process kills itself, at some moment while it hangs or comes
back. Besides, it says what was unsaved.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sqlite3 as driver
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from alerting.pool import Pool
from alerting.store import schema, sqlite
from tests.store.test_unsaved import STEPS, TABLES, step

PATIENCE = 100  # ms
HELD = 3  # steps for which somebody else writes
LETTERS = ("s", "S", "w", "rsw")  # before a sync, after it, before a write, before whatever comes first


class Watched:
    """A store of which each call is followed by a look at its file, if `look` is given."""

    def __init__(self, store: sqlite.SqliteStore, look: Any) -> None:
        self._store = store
        self._look = look

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def made(*arguments: Any, **options: Any) -> Any:
            result = await call(*arguments, **options)
            self._look()
            return result

        return made


def digest(folder: Path) -> str:
    """Tell by a short word what the file holds, apart from what differs from run to run."""
    with closing(driver.connect(":memory:")) as rows:
        with closing(driver.connect(folder / "state.db", timeout=10)) as file:
            file.backup(rows)
        rows.execute("UPDATE delivery SET claimed_by = ''")
        rows.execute("UPDATE meta SET commits = 0")
        held = [sorted(rows.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES]  # noqa: S608  names from above
    return hashlib.sha256(repr(held).encode()).hexdigest()[:16]


def hangs(flag: Path, letter: str) -> None:
    """Let the disk hang, or go on."""
    if letter:
        flag.write_text(letter)
    else:
        flag.unlink()


def say(*words: object) -> None:
    """Say it in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def played(folder: Path, which: int, how: str) -> None:
    """Play one history."""
    schema.create(str(folder / "state.db"), "installed")
    hang, dice, faults = folder / "hang", random.Random(which), random.Random(-which)
    patience = None if how == "plain" else PATIENCE
    store = sqlite.build("sqlite:///state.db", folder, blocking=Pool(1), busy=0, lasting=True, patience=patience)
    watched = Watched(store, (lambda: say("held", digest(folder))) if how == "plain" else lambda: None)
    await store.open()
    watched._look()
    for block in range(5):
        hurt = how != "plain" and block > 0 and (how == "killed" or faults.random() < 0.7)
        begins = faults.randrange(STEPS // 2) if hurt else -1
        holder = driver.connect(folder / "state.db", isolation_level=None)  # whom a part of the hangs follows upon
        for number in range(STEPS):
            if number == begins - HELD and faults.random() < 0.5:
                holder.execute("BEGIN IMMEDIATE")
            if number == begins:
                holder.close()  # first: it would write, too, and hang the loop
                hangs(hang, faults.choice(LETTERS))
            await step(watched, dice, STEPS * block + number)
        holder.close()
        if hurt:
            say("unsaved" if store.unsaved else "saved", store.unsaved)
        if hurt and how == "killed":
            hangs(hang, "")
            await asyncio.sleep(faults.random() * 0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        if hurt:
            await come_back(store, hang, faults)
    await store.close()
    say("ended", digest(folder))


async def come_back(store: sqlite.SqliteStore, hang: Path, faults: random.Random) -> None:
    """Let the disk go on, perhaps hang once more while it is being saved to, and wait until all is saved."""
    hangs(hang, "")
    if faults.random() < 0.5:
        await asyncio.sleep(faults.random() * 0.01)
        hangs(hang, faults.choice(LETTERS))
        await asyncio.sleep(3 * PATIENCE / 1000)
        hangs(hang, "")
    for _ in range(1_000):
        if not store.unsaved:
            return
        await asyncio.sleep(0.02)
    say("never saved", store.unsaved)


if __name__ == "__main__":
    asyncio.run(played(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
