"""A state whose file cannot be written: what goes on in memory, and that all of it is saved later."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3 as driver
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from alerting.core.telling.folding import folded
from alerting.errors import StoreError
from alerting.model import Decision
from alerting.ports import Change
from alerting.store import schema, sqlite
from alerting.store.memory import MemoryStore
from tests.full import rounds, seed
from tests.store.made import AT, alert, balance, failed, key, owed, parked, sent, transition
from tests.tick import House, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from alerting.ports import Store

MINUTE = 60_000
BEGINS, ENDS = 4, 6  # ticks before a fault begins and from its end on
STEPS = 20  # with the file as it is, then it may change
TABLES = ("meta", "kept", "alert", "transition", "evaluated", "announced", "fault")
TABLES += ("delivery", "message", "attempt", "decision")


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (schema.PAGE, before[1]))
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


async def heard(store: Store, values: Sequence[float], fault: tuple[Path, str] | None) -> Heard:
    """Evaluate every 30 s what a rule says of these values, for most of the time under a fault of the file."""
    house = await House(rule(for_=MINUTE), store=store).open()
    told, busy, unsaved = [], 0, []
    with ExitStack() as suffered:
        for number, value in enumerate(values):
            if number == BEGINS and fault is not None:
                suffered.enter_context(FAULTS[fault[1]](fault[0]))
            if number == len(values) - ENDS:
                suffered.close()
            report = await house.tick(value)
            busy += bool(report.trouble)
            for each in report.notifications:
                if "StateUnsaved" in each.title:
                    unsaved.append((number, each.title))
                else:
                    told.append((number, each.receiver, each.title))
    await house.engine.close()
    await store.close()
    return Heard(told, busy, unsaved)


class Heard(NamedTuple):
    """Of a history, by the number of the tick: what people were told, and how often the state was in the way."""

    told: list[tuple[int, str, str]]
    busy: int
    unsaved: list[tuple[int, str]]  # what was told of the state itself


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_f11_f13_evaluation_and_paging_go_on_from_memory(tmp_path, figure, fault) -> None:
    """Half an hour of a full disk, or of somebody who holds the state: people hear what they would have heard."""
    trials, first = rounds(4, full=100), seed()
    false, first_told, busy = 0, [], 0
    for number in range(trials):
        dice = random.Random(first + number)
        values = [dice.choice((1, 1, 20, 20, 20)) for _ in range(70)]
        values[BEGINS : BEGINS + 4] = (1, 20, 20, 20)  # so that there is something to write
        folder = tmp_path / str(number)
        folder.mkdir()
        well = asyncio.run(heard(MemoryStore(), values, None))
        hurt = asyncio.run(heard(build(folder), values, (folder, fault)))
        false += len(set(well.told) ^ set(hurt.told))
        busy += hurt.busy
        ((begun, what), (ended, over)) = hurt.unsaved[::2]
        assert "could not be written" in what
        assert "the state is saved again" in over
        assert ended - (len(values) - ENDS) <= 1
        first_told.append(begun - BEGINS - 1)  # the first change under the fault comes with the second tick
    figure("lost, false pages and false resolves", false, at_most=0, n=trials, seed=first)
    figure("evaluations that the state was in the way of", busy, at_most=0, n=trials * 70, seed=first)
    figure("self-alert after the first failure", max(first_told), at_most=2, n=trials, seed=first, unit="intervals")


class OnceFull(list):
    """Alerts at whose first reading the disk is full; at the second there is room again."""

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def __iter__(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if before == self.limits:
            resource.setrlimit(resource.RLIMIT_FSIZE, (schema.PAGE, before[1]))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        return super().__iter__()


def test_a_fault_of_one_moment_is_saved_at_once_and_nobody_hears_of_it(tmp_path) -> None:
    """What went into memory is put into the file before the commit returns."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.commit(Change(AT, OnceFull([alert("a")])))
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == OnceFull.limits
        assert store.unsaved == ""
        await store.close()
        await store.open()
        assert [each.key for each in (await store.open()).alerts] == [key("a")]
        await store.close()

    asyncio.run(main())


def test_a_daemon_that_ends_unsaved_says_so(tmp_path) -> None:
    """Nobody must take it for a clean stop; what was on disk before stays."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.commit(Change(AT, [alert("a")]))
        with held(tmp_path):
            await store.commit(Change(AT, [alert("b")]))
            with pytest.raises(StoreError, match="is locked; what happened since it failed is not in it"):
                await store.close()
        await store.open()
        assert [each.key for each in (await store.open()).alerts] == [key("a")]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("died", [False, True])
def test_f11_a_daemon_that_starts_on_a_full_disk_goes_on_from_what_is_there(tmp_path, figure, died) -> None:
    """There is no room even for the file's companions; what it held is known, and what comes is saved later."""

    async def main():
        before = build(tmp_path)
        await before.open()
        await before.commit(Change(AT, [alert("a")], notifications=[owed("n1", name="a")]))
        if died:
            before._handle._lock.release()
        else:
            await before.close()
        store = build(tmp_path)
        with full(tmp_path):
            alerts = [each.key for each in (await store.open()).alerts]
            (claimed,) = await store.claim("slack", AT, 1_000, 5)
            await store.settle(sent(claimed))
            await store.commit(Change(AT + MINUTE, [alert("b")]))
            assert "could not be" in store.unsaved
        await store.commit(Change(AT + 2 * MINUTE))
        assert store.unsaved == ""
        await store.close()
        await store.open()
        counts, kept = (await store.overview()).counts, {each.key for each in (await store.open()).alerts}
        await store.close()
        figure("lost", 3 - len(kept) - counts["sent"], at_most=0, n=1)
        assert (alerts, kept, balance(counts)) == ([key("a")], {key("a"), key("b")}, 0)

    asyncio.run(main())


def test_a_file_that_somebody_else_wrote_meanwhile_is_not_written_over(tmp_path) -> None:
    """An older copy that was put in its place, as when somebody restores a backup to make room."""

    async def main():
        store = build(tmp_path)
        await store.open()
        old = (tmp_path / "state.db").read_bytes()
        await store.commit(Change(AT, [alert("a")]))
        await store.commit(Change(AT, [alert("b")]))
        with held(tmp_path):
            await store.commit(Change(AT, [alert("c")]))
        for end in ("-wal", "-shm"):
            (tmp_path / f"state.db{end}").unlink(missing_ok=True)
        (tmp_path / "state.db").write_bytes(old)
        await store.commit(Change(AT + MINUTE, [alert("d")]))
        assert "was written by somebody else" in store.unsaved
        assert len((await store.open()).alerts) == 4
        with pytest.raises(StoreError):
            await store.close()
        assert (tmp_path / "state.db").read_bytes() == old

    asyncio.run(main())


def test_what_is_held_in_memory_is_bounded(tmp_path) -> None:
    """Beyond the bound nothing is taken, and whoever asks hears why."""

    async def main():
        store = build(tmp_path)
        await store.open()
        with held(tmp_path):
            await store.commit(Change(AT, [alert("a")]))
            store._handle._unsaved._rows.execute("PRAGMA max_page_count = 200")
            with pytest.raises(
                StoreError, match=r"is locked; and it cannot be held in memory: database or disk is full"
            ):
                await store.commit(Change(AT, [alert(f"b{number}") for number in range(5_000)]))
            assert len((await store.open()).alerts) == 1
        await store.commit(Change(AT + MINUTE, [alert("c")]))
        assert store.unsaved == ""
        await store.close()

    asyncio.run(main())


def test_of_a_long_history_only_what_is_alive_comes_along(tmp_path) -> None:
    """A state of any age is gone on with; its accounts agree, in memory and afterwards."""

    async def main():
        store = build(tmp_path)
        await store.open()
        old = [owed(f"o{number}", "slack", f"k{number}", f"k{number}", "resolved") for number in range(3_000)]
        await store.commit(Change(AT, transitions=[transition()] * 3_000, notifications=old))
        claimed = await store.claim("slack", AT, 1_000, 5_000)
        await store.settle(*(sent(delivery, AT) for delivery in claimed))
        later = AT + sqlite.HISTORY + 10 * MINUTE  # from now on the oldest ones are forgotten, some each minute
        await store.commit(Change(later, [alert("a")], notifications=[owed("n1", name="a")]))
        with held(tmp_path):
            await store.commit(Change(later + 2 * MINUTE, [alert("b")], notifications=[owed("n2", name="b")]))
            counts = (await store.overview()).counts
            assert (counts["created"], counts["sent"], counts["pending"]) == (3_002, 3_000, 2)
            rows = store._handle._unsaved._rows
            assert rows.execute("SELECT count(*) FROM delivery").fetchone()[0] < 10
            assert rows.execute("SELECT count(*) FROM transition").fetchone()[0] <= 1_000
        await store.commit(Change(later + 3 * MINUTE))
        assert store.unsaved == ""
        overview = await store.overview(10_000)
        assert (len(overview.deliveries), len(overview.transitions)) == (2_502, 2_500)
        counts = overview.counts
        assert (counts["created"], counts["sent"], counts["pending"], balance(counts)) == (3_002, 3_000, 2, 0)
        await store.close()

    asyncio.run(main())


def test_a_file_that_is_taken_away_is_gone_on_without_until_it_is_back(tmp_path) -> None:
    """Somebody moved it, to make room or by mistake; a new one is never made in its place."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.commit(Change(AT, [alert("a")]))
        names = [f"state.db{end}" for end in ("", "-wal", "-shm")]
        (tmp_path / "away").mkdir()
        for name in names:
            (tmp_path / name).rename(tmp_path / "away" / name)
        await store.commit(Change(AT + 1, [alert("b")]))
        assert "is gone" in store.unsaved
        assert len((await store.open()).alerts) == 2
        await store.commit(Change(AT + MINUTE, [alert("c")]))
        assert not (tmp_path / "state.db").exists()
        for name in names:
            if (tmp_path / "away" / name).exists():
                (tmp_path / "away" / name).rename(tmp_path / name)
        await store.commit(Change(AT + 2 * MINUTE))
        assert store.unsaved == ""
        await store.close()
        await store.open()
        assert len((await store.open()).alerts) == 3
        await store.close()

    asyncio.run(main())
