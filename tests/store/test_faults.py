"""The store under faults of the machine: sudden death, failing syncs, other holders, a full disk, a disk that hangs."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import signal
import sqlite3 as driver
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.errors import StateMoved, StoreError
from alerting.pool import Pool
from alerting.ports import Change
from alerting.store import schema, sqlite
from tests.full import rounds, seed
from tests.store.made import AT, alert, balance, owed, sent, transition

if TYPE_CHECKING:
    from tests.figures import Figure

WRITER = (sys.executable, "-m", "tests.store.writer")
ROOT = Path(__file__).parents[2]


def build(folder, **options):
    """The store of a folder."""
    return sqlite.build("sqlite:///state.db", folder, **options)


def acknowledged(lines: list[str], word: str) -> set[int]:
    """The numbers that the writer said `word` of."""
    return {int(line.split()[1]) for line in lines if line.startswith(f"{word} ")}


def held(folder: Path) -> tuple[set[int], dict[str, int]]:
    """The numbers whose alert, transition and message the file holds (always all three), and the counts."""

    async def main():
        store = build(folder)
        snapshot = await store.open()
        overview = await store.overview(limit=100_000)
        await store.close()
        return snapshot, overview

    snapshot, overview = asyncio.run(main())
    alerts = {int(each.key.rule_id.split("#m")[1]) for each in snapshot.alerts}
    assert alerts == {int(each.key.rule_id.split("#m")[1]) for each in overview.transitions}
    assert alerts == {int(each.notification.id[1:]) for each in overview.deliveries}
    assert balance(overview.counts) == 0
    return alerts, dict(overview.counts)


def entries(folder: Path) -> list[int]:
    """What the receiver's ledger says, in order."""
    return [int(line[1:]) for line in (folder / "ledger").read_text().split()]


def killed_again_and_again(folder: Path, kills: int, figure: Figure) -> None:
    """Kill -9 at random moments; nothing acknowledged is lost, nothing is sent twice but what was in flight."""
    number = seed()
    dice = random.Random(number)
    owed_so_far: set[int] = set()
    for cycle in range(kills):
        with subprocess.Popen(
            (*WRITER, folder, str(cycle * 100_000), "100000"), cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            lines = []
            if cycle % 3:  # otherwise it may die while it opens
                lines = [writer.stdout.readline().decode() for _ in range(2)]
            time.sleep(dice.random() * (0.05 if cycle % 3 else 0.3))
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().decode().splitlines()
        assert not any(line.startswith(("refused", "unopened", "failed")) for line in lines), (lines, cycle)
        owed_so_far |= acknowledged(lines, "owed")
    closing = subprocess.run((*WRITER, folder, "99999999", "1"), cwd=ROOT, capture_output=True, check=True)
    assert b"sent 99999999" in closing.stdout
    found, counts = held(folder)
    ledger = entries(folder)
    assert owed_so_far  # the test did something
    unsent = found - set(ledger)
    figure("lost from the state", len(owed_so_far - found), at_most=0, n=kills, seed=number)
    figure("owed and never sent", len(unsent) + counts["pending"] + counts["claimed"], at_most=0, n=kills, seed=number)
    copies = len(ledger) - len(set(ledger))
    figure("copies for each kill, one message being in flight", copies / kills, at_most=1, n=kills, seed=number)


def test_f9_sudden_death_loses_nothing(tmp_path, figure) -> None:
    """A few kills, for the quick suite."""
    killed_again_and_again(tmp_path, 4, figure)


@pytest.mark.slow
def test_f9_many_sudden_deaths_lose_nothing(tmp_path, figure) -> None:
    """The same, again and again over one file; daemons are killed in tests/whole."""
    killed_again_and_again(tmp_path, rounds(30, full=300), figure)


def with_failing_syncs(folder: Path, when: str, *more: str) -> list[str]:
    """Run the writer while the sync calls named by `when` fail with EIO."""
    folder.mkdir()
    inject = ("strace", "-f", "-o", "/dev/null", "-e", f"inject=fsync,fdatasync:error=EIO:when={when}")
    line = (*inject, *WRITER, folder, "0", "6", *more)
    done = subprocess.run(line, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.stdout.decode().splitlines()


def missing(folder: Path, lines: list[str]) -> int:
    """Count what was acknowledged and is not in the file.

    What was said to have failed is not in it, or the writer heard of it; what was said to be unsaved may be.
    It hears with its next commit that works; so nothing can be said of a failure that no commit followed.
    """
    found = held(folder)[0] if (folder / "state.db").exists() else set()
    done, failed, moved = (acknowledged(lines, word) for word in ("owed", "failed", "moved"))
    surprising = found - done - acknowledged(lines, "unsaved")
    assert surprising <= failed, lines
    heard = {number for number in surprising if any(number < other for other in moved)}
    assert not any(number < other for number in surprising - heard for other in done), lines
    return len(done - found)


strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@strace
@pytest.mark.parametrize("when", ["10", "15", "16", "18", "18+", "16..17", "18..26"])
def test_f12_a_failed_sync_is_never_a_success(tmp_path, when, figure) -> None:
    """One call fails, or all from then on."""
    folder = tmp_path / "x"
    figure("acknowledged and not on disk", missing(folder, with_failing_syncs(folder, when)), at_most=0, n=1)


@strace
@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True])
def test_f12_every_sync_failing_once_for_a_while_or_for_good(tmp_path, figure, lasting) -> None:
    """The 1st to the 50th call (in full: each of them), once, for a while, or for good.

    Also with a store that goes on in memory: then it says of what it took whether that is on disk.
    """
    runs = failures = lost = 0
    took = []
    for number in range(1, 51, rounds(25 if lasting else 4, full=1)):
        longer = (
            (f"{number}+", f"{number}..{number + 2}", f"{number}..{number + 7}")
            if number % rounds(12, full=4) == 1
            else ()
        )
        for when in (str(number), *longer):
            folder = tmp_path / when
            began = time.monotonic()
            lines = with_failing_syncs(folder, when, *(("", "lasting") if lasting else ()))
            took.append(time.monotonic() - began)
            lost += missing(folder, lines)
            runs += 1
            failures += any(line.startswith(("failed", "unopened", "unsaved")) for line in lines)
    assert failures > runs // 4  # the injection did something
    figure("acknowledged and not on disk", lost, at_most=0, n=runs)
    figure("longest life of a process", max(took), at_most=30, n=runs, unit="s", timed=True)


def test_f13_a_file_held_by_another_process_is_waited_for_in_bounds(tmp_path, figure) -> None:
    """Held for a moment: the commit waits and succeeds. Held for longer: StoreError after the bound, nothing saved."""

    async def main():
        store = build(tmp_path, blocking=Pool(1), busy=600)
        await store.open()
        other = driver.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.commit(Change(AT, alerts=[alert("a")])))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreError, match="could not be written: database is locked"):
            await store.commit(Change(AT, alerts=[alert("b")]))
        figure(
            "a wait that is bounded by 0.6 s",
            time.monotonic() - began,
            at_least=0.5,
            at_most=5,
            n=1,
            unit="s",
            timed=True,
        )
        other.execute("COMMIT")
        other.close()
        await store.commit(Change(AT, alerts=[alert("c")]))
        names = {each.key.rule_id for each in (await store.open()).alerts}
        await store.close()
        return names

    assert asyncio.run(main()) == {alert("a").key.rule_id, alert("c").key.rule_id}


def test_f13_a_reader_that_stays_open_holds_up_no_commit(tmp_path) -> None:
    """Its view stays as it was; the writer goes on."""

    async def main():
        store = build(tmp_path, busy=100)
        await store.open()
        await store.commit(Change(AT, alerts=[alert("a")]))
        reader = driver.connect(tmp_path / "state.db", isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM alert").fetchone() == (1,)
        for number in range(50):
            await store.commit(Change(AT, alerts=[alert(f"b{number}")]))
        assert reader.execute("SELECT count(*) FROM alert").fetchone() == (1,)
        reader.close()
        assert len((await store.open()).alerts) == 51
        await store.close()

    asyncio.run(main())


def wal_of(folder: Path) -> float:
    """The size of the write-ahead log, MiB."""
    return (folder / "state.db-wal").stat().st_size / 2**20


@pytest.mark.slow
@pytest.mark.parametrize("per_day", [10_000, 50_000])
def test_f13_a_reader_that_stays_open_for_an_hour_lets_the_log_grow_and_shrink_again(tmp_path, figure, per_day) -> None:
    """An hour's messages at a steady pace: each is owed, claimed and settled while somebody reads an old view.

    SQLite cannot take up again a log that somebody reads, and what is committed must be somewhere: the log's size is
    that of the pages that the commits touched.
    """
    hourly = per_day // 24 // rounds(10, full=1)

    async def main():
        store = build(tmp_path)
        await store.open()
        reader = driver.connect(tmp_path / "state.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM alert").fetchone()
        for number in range(hourly):
            name, at = f"m{number}", AT + 3_600_000 * number // hourly
            change = Change(
                at,
                alerts=[alert(name)],
                transitions=[transition(name)],
                notifications=[owed(name, group_key=name, name=name)],
            )
            await store.commit(change)
            for delivery in await store.claim("slack", at, 60_000, 5):
                await store.settle(sent(delivery, at)._replace(tried_at=at))
        grown = wal_of(tmp_path)
        reader.close()
        for number in range(2):
            await store.commit(Change(AT + 7_200_000 + number, alerts=[alert("later", version=number)]))
        shrunk = wal_of(tmp_path)
        assert balance((await store.overview()).counts) == 0
        await store.close()
        return grown, shrunk

    grown, shrunk = asyncio.run(main())
    name = f"the log after an hour of {per_day} messages a day"
    if rounds(0, full=1):
        figure(name, grown, at_most=64, n=hourly, unit="MiB")
    assert 1024 * grown / hourly <= 64 * 1024 / (50_000 / 24), "more KiB of log for a message than the bound allows"
    figure("the log when the reader has gone", shrunk, at_most=16.1, n=hourly, unit="MiB")


def test_a_disk_that_hangs_is_given_up_and_what_it_saved_late_is_noticed(tmp_path) -> None:
    """No answer within the deadline is a StoreError; the next commit waits for the state to be read anew."""

    async def main():
        store = build(tmp_path, blocking=Pool(1), busy=2_000, deadline=200)
        await store.open()
        other = driver.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"gave no answer in 0\.2 s"):
            await store.commit(Change(AT, alerts=[alert("late")]))
        other.execute("COMMIT")
        for _ in range(200):
            if other.execute("SELECT count(*) FROM alert").fetchone() == (1,):
                break
            await asyncio.sleep(0.05)
        other.close()
        with pytest.raises(StateMoved):
            await store.commit(Change(AT, alerts=[alert("next")]))
        assert [each.key for each in (await store.open()).alerts] == [alert("late").key]
        await store.commit(Change(AT, alerts=[alert("next")]))
        await store.close()

    asyncio.run(main())


def test_f11_a_full_disk_fails_a_commit_whole_and_is_survived(tmp_path) -> None:
    """Half of a change is never kept; once there is room, the same store goes on."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.commit(Change(AT, alerts=[alert("a")]))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        large = Change(AT, alerts=[alert(f"b{n}") for n in range(2_000)], notifications=[owed("n1")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(StoreError, match="could not be written"):
                await store.commit(large)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len((await store.open()).alerts) == 1
        assert (await store.overview()).counts["created"] == 0
        await store.commit(large)
        assert len((await store.open()).alerts) == 2_001
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_removed_or_replaced_under_a_live_store_is_noticed(tmp_path, replace) -> None:
    """Writing on into a file that has no name any more would lose it all in silence."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.commit(Change(AT, alerts=[alert("a")]))
        path = tmp_path / "state.db"
        copy = path.read_bytes()
        path.unlink()
        if replace:
            path.write_bytes(copy[:5_000])
            path.chmod(0o600)
        with pytest.raises(StoreError, match=r"left as it is|is gone"):
            await store.commit(Change(AT, alerts=[alert("b")]))
        await store.close()

    asyncio.run(main())


def test_f17_old_history_goes_in_small_steps_and_nothing_open_with_it(tmp_path, figure) -> None:
    """Transitions and settled messages older than 30 days; not what is owed, nor what an open alert's end needs."""
    month = 31 * 86_400_000

    async def main():
        store = build(tmp_path)
        await store.open()
        told = [owed(f"t{n}", group_key=f"t{n}", name=f"t{n}") for n in range(3)]  # still firing
        over = [owed(f"o{n}", group_key=f"o{n}", step="resolved") for n in range(1_200)]
        waiting = [owed(f"w{n}", "down", group_key=f"w{n}", step="resolved") for n in range(5)]
        await store.commit(
            Change(AT, alerts=[alert("t0")], notifications=told + over + waiting, transitions=[transition()] * 1_200)
        )
        for delivery in await store.claim("slack", AT, 1_000, 2_000):
            await store.settle(sent(delivery, AT))
        sizes = []
        for minute in range(4):
            await store.commit(Change(AT + month + minute * 60_000, evaluated={"r": minute}))
            overview = await store.overview(limit=10_000)
            assert balance(overview.counts) == 0
            assert (overview.counts["created"], overview.counts["sent"], overview.counts["pending"]) == (
                1_208,
                1_203,
                5,
            )
            sizes.append((len(overview.deliveries), len(overview.transitions)))
        assert sizes == [(708, 700), (208, 200), (8, 0), (8, 0)]
        figure(
            "rows that are left of 1,203 settled and 1,200 transitions, beyond what is open",
            sizes[-1][0] - 8,
            at_most=0,
        )
        assert await store.previous_receipt("slack", "t1") == {"ts": "1.2"}
        await store.close()

    asyncio.run(main())


def test_f15_an_upgrade_is_whole_or_did_not_happen(tmp_path, figure) -> None:
    """Script and version number are one transaction: a death in the middle leaves the version before."""
    connection = driver.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("CREATE TABLE fault (x)")  # makes the script fail in its middle
    with pytest.raises(driver.OperationalError):
        schema.upgrade(connection, 0)
    connection.close()
    connection = driver.connect(tmp_path / "x.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    left = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    figure("tables of half an upgrade", len(left) - 1, at_most=0, n=1)
    assert left == [("fault",)]
    connection.close()
