"""A disk that hangs without an error: what goes on in memory, and what the call that hangs comes to."""

from __future__ import annotations

import asyncio
import os
import sqlite3 as driver
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.errors import LockHeld, StateMoved, StoreError
from alerting.pool import Pool
from alerting.ports import Change
from alerting.store import sqlite
from tests import hang
from tests.full import rounds, seed
from tests.store.hanging import PATIENCE
from tests.store.made import AT, alert, balance, key, owed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lets the disk hang."""
    return hang.library(tmp_path_factory.mktemp("hang"))


def play(library: Path, folder: Path, which: int, how: str) -> list[list[str]]:
    """Play one history in a process of its own; give what it said, word by word."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.hanging", folder, str(which), how],
        cwd=ROOT,
        env={**os.environ, **hang.environment(library, folder / "hang", "state.db")},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert (done.returncode == 0) == (how != "killed"), done.stderr.decode()
    return [line.split() for line in done.stdout.decode().splitlines()]


@pytest.mark.slow
def test_f12_what_a_disk_that_hung_left_in_memory_is_saved_as_if_nothing_had_been(library, tmp_path, figure) -> None:
    """Random histories in which calls hang before or after they reach the disk, and again while it is saved."""
    trials, first = rounds(2, full=60), seed()
    differ = hung = 0
    for which in range(first, first + trials):
        plain = play(library, tmp_path / f"plain{which}", which, "plain")
        hurt = play(library, tmp_path / f"hurt{which}", which, "back")
        assert plain[-1][0] == hurt[-1][0] == "ended"
        differ += plain[-1] != hurt[-1]
        hung += sum(line[0] == "unsaved" for line in hurt)
        assert not any(line[0] in ("never", "saved") for line in hurt), (which, hurt)
    assert hung
    figure("histories over a disk that hung that end otherwise", differ, at_most=0, n=trials, seed=first)


@pytest.mark.slow
def test_f12_a_disk_that_hung_until_the_process_was_killed_holds_a_moment_of_its_history(
    library, tmp_path, figure
) -> None:
    """What hung may have reached it, and so may all that was saved when it came back; never half of something."""
    trials, first = rounds(3, full=100), seed()
    torn = 0
    for which in range(first, first + trials):
        moments = {line[1] for line in play(library, tmp_path / f"plain{which}", which, "plain")}
        folder = tmp_path / f"killed{which}"
        (said,) = play(library, folder, which, "killed")
        assert said[0] == "unsaved", said
        look = subprocess.run(
            [sys.executable, "-c", f"from tests.store.hanging import *; print(digest(Path({str(folder)!r})))"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        torn += look.stdout.strip() not in moments
    figure(
        "states that were never those of a moment, after a kill while the disk hung",
        torn,
        at_most=0,
        n=trials,
        seed=first,
    )


def build(folder: Path, **options) -> sqlite.SqliteStore:
    """A store whose thread waits for others longer than it is waited for: so it hangs."""
    return sqlite.build("sqlite:///state.db", folder, blocking=Pool(1), busy=5_000, **{"patience": PATIENCE, **options})


def held(folder: Path) -> Iterator[driver.Connection]:
    """Somebody who holds the file until it is closed."""
    other = driver.connect(folder / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


async def saved(store: sqlite.SqliteStore) -> None:
    """Wait until everything is on disk."""
    for _ in range(400):
        if not store.unsaved:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(store.unsaved)


def test_f12_all_that_waits_for_a_call_that_hangs_is_done_in_memory(tmp_path, figure) -> None:
    """Within the patience, once; and what comes then does not wait at all."""

    async def main():
        store = build(tmp_path, lasting=True)
        await store.open()
        await store.commit(Change(AT, [alert("a")], notifications=[owed("n1", name="a")]))
        with held(tmp_path):
            began = time.monotonic()
            _, (claimed,), owing = await asyncio.gather(
                store.commit(Change(AT, [alert("b")], notifications=[owed("n2", name="b")])),
                store.claim("slack", AT, 1_000, 1),
                store.owing(),
            )
            took = time.monotonic() - began
            assert (claimed.notification.id, owing) == ("n1", ["slack"])
            assert "gave no answer in 0.1 s; look at its disk" in store.unsaved
            began = time.monotonic()
            await store.commit(Change(AT + 1, [alert("c")]))
            assert len((await store.open()).alerts) == 3
            at_once = time.monotonic() - began
        await saved(store)
        counts = (await store.overview()).counts
        assert (counts["created"], counts["claimed"], counts["pending"], balance(counts)) == (2, 1, 1, 0)
        await store.close()
        await store.open()
        assert [each.key for each in (await store.open()).alerts] == [key("a"), key("b"), key("c")]
        await store.close()
        figure("until what waits goes on", took, at_most=3 * PATIENCE / 1000, n=1, unit="s", timed=True)
        figure("until what comes then is done", at_once, at_most=0.05, n=1, unit="s", timed=True)

    asyncio.run(main())


def test_f12_a_store_with_nothing_to_go_on_from_says_so_and_is_read_anew(tmp_path) -> None:
    """Who comes while it hangs is told at once; what was saved late is noticed."""

    async def main():
        store = build(tmp_path)
        await store.open()
        with held(tmp_path):
            with pytest.raises(StoreError, match=r"gave no answer in 0\.1 s; look at its disk"):
                await store.commit(Change(AT, [alert("late")]))
            began = time.monotonic()
            with pytest.raises(StoreError, match="gave no answer"):
                await store.owing()
            assert time.monotonic() - began < PATIENCE / 1000
        for _ in range(400):
            await asyncio.sleep(0.02)
            try:
                await store.commit(Change(AT, [alert("next")]))
            except StateMoved:
                break
            except StoreError:
                continue
        assert [each.key for each in (await store.open()).alerts] == [key("late")]
        await store.close()

    asyncio.run(main())


def test_f12_a_process_that_was_stopped_takes_no_disk_for_one_that_hangs(tmp_path) -> None:
    """While it was stopped it did not look."""

    async def main():
        store = build(tmp_path, lasting=True, patience=1_000)
        await store.open()
        with held(tmp_path):
            waits = asyncio.ensure_future(store.commit(Change(AT, [alert("a")])))
            await asyncio.sleep(0.3)
            time.sleep(1.5)  # noqa: ASYNC251  as a signal would stop it
            await asyncio.sleep(0.3)
            assert not waits.done()
        await waits
        assert store.unsaved == ""
        await store.close()

    asyncio.run(main())


def test_f12_the_lock_of_a_disk_that_hangs_stays_until_the_process_is_gone(tmp_path) -> None:
    """What hangs may still be written. That something was not saved is said."""

    async def main():
        store = build(tmp_path, lasting=True)
        await store.open()
        with held(tmp_path):
            await store.commit(Change(AT, [alert("a")]))
            with pytest.raises(StoreError, match="look at its disk; what happened since it failed is not in it"):
                await store.close()
            other = sqlite.build("sqlite:///state.db", tmp_path)
            with pytest.raises(LockHeld, match="is in use by process"):
                await other.open()

    asyncio.run(main())
