"""F10, a power cut: what an ext4 disk holds after it, when all that was not synced may be missing.

The state lies on a disk of our own (`tests/store/disk.py`), which has seen each block and each flush of its cache, and
says what a cut at some moment may leave. What a writer had acknowledged before that moment has to be in it.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sqlite3 as driver
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.errors import AlertingError, StoreError
from alerting.store import sqlite
from tests.full import rounds, seed
from tests.store.disk import BLOCK, Disk, among_own_mounts, mounted, run
from tests.store.made import balance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

ROOT = Path(__file__).parents[2]
SIZE = 24 * 1024 * 1024
AT_ONCE = 15  # cuts of one process that writes
CROWD = 30  # blocks in the disk's cache, as there are only while the log is taken into the file


class Writer:
    """A process that commits, sends and settles without end, and what it has acknowledged so far."""

    def __init__(self, folder: Path, ledger: Path) -> None:
        line = (sys.executable, "-m", "tests.store.writer", str(folder), "0", "100000", str(ledger))
        self._output, its_end = os.pipe()
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=its_end)
        os.close(its_end)
        self._rest = b""
        self.said: list[str] = []

    def hear(self, seconds: float) -> bool:
        """Take in what it says within so long; tell whether there was something."""
        if not select.select((self._output,), (), (), seconds)[0]:
            return False
        heard = os.read(self._output, 1 << 20)
        assert heard, f"it wrote no more and ended with {self.process.wait(30)}; the last was {self.said[-1:]}"
        *lines, self._rest = (self._rest + heard).split(b"\n")
        self.said += [line.decode() for line in lines]
        return True

    def numbers(self, word: str) -> set[int]:
        """The numbers that it said `word` of."""
        return {int(line.split()[1]) for line in self.said if line.startswith(f"{word} ")}

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(30)
        os.close(self._output)


async def contents(folder: Path) -> tuple[dict[int, str], int]:
    """How each message stands in the state of a folder, and by how much the accounts are off."""
    store = sqlite.build("sqlite:///state.db", folder)
    try:
        snapshot = await store.open()
        overview = await store.overview(limit=1_000_000)
    finally:
        await store.close()
    alerts = {int(each.key.rule_id.split("#m")[1]) for each in snapshot.alerts}
    states = {int(each.notification.id[1:]): each.state.value for each in overview.deliveries}
    return states, balance(overview.counts) + len(alerts ^ states.keys())


class Found:
    """What came of all images."""

    def __init__(self) -> None:
        self.images = self.acknowledged = 0
        self.cut_short = self.taken = 0  # images that lack something the disk was told, and blocks that they lack
        self.lost: list[str] = []
        self.unopened: list[str] = []
        self.damaged: list[str] = []
        self.uneven = 0

    def look(self, folder: Path, owed: set[int], sent: set[int], ledger: set[int]) -> None:
        """Open the state of an image, of which so much had been acknowledged."""
        self.acknowledged += len(owed) + len(sent)
        try:
            states, off = asyncio.run(contents(folder))
        except AlertingError as error:
            self.unopened.append(str(error))
            return
        with closing(driver.connect(folder / "state.db")) as file:
            verdict = file.execute("PRAGMA integrity_check").fetchone()[0]
        self.damaged += [] if verdict == "ok" else [verdict]
        self.uneven += off != 0
        self.lost += [f"{number} was said to be owed" for number in owed - states.keys()]
        self.lost += [f"{number} was said to be sent" for number in sent if states.get(number) != "sent"]
        self.lost += [f"{number} reached its receiver" for number in ledger - states.keys()]


@pytest.mark.slow
def test_f10_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path, figure: Figure) -> None:
    """Cuts at random moments, right after a commit and a receiver's answer, and while the log is taken in."""
    cuts, seeded = rounds(10, full=300), seed(10)
    found = Found()
    dice = random.Random(seeded)

    def work() -> None:
        while found.images < cuts:
            folder = tmp_path / f"disk-{found.images}"
            folder.mkdir()
            with writing(folder) as (disk, writer):
                for _ in range(min(AT_ONCE, cuts - found.images)):
                    cut(folder, disk, writer, found, dice)

    among_own_mounts(work)
    print(*found.lost[:20], *found.unopened, *found.damaged, sep="\n")
    print(f"{found.acknowledged} acknowledged, {found.cut_short} cuts took {found.taken} blocks")
    assert found.acknowledged > cuts
    assert found.taken, "the cuts took nothing from the disk, so they show nothing"
    figure("acknowledged writes lost", len(found.lost), at_most=0, n=found.images, seed=seeded)
    figure("failed opens", len(found.unopened), at_most=0, n=found.images, seed=seeded)
    figure("failed integrity checks", len(found.damaged), at_most=0, n=found.images, seed=seeded)
    figure("accounts that are off", found.uneven, at_most=0, n=found.images, seed=seeded)


@pytest.mark.slow
def test_f10_a_disk_that_does_not_keep_what_it_flushed_is_seen(tmp_path: Path) -> None:
    """Else the test above would find nothing, whatever a store left out."""
    found, dice = Found(), random.Random(1)

    def work() -> None:
        with writing(tmp_path) as (disk, writer):
            while len(writer.numbers("sent")) < 20:
                assert writer.hear(30)
            disk.lies = True
            while len(writer.numbers("sent")) < 40:
                assert writer.hear(30)
            while found.images < 8 and not found.lost:
                cut(tmp_path, disk, writer, found, dice)

    among_own_mounts(work)
    assert found.lost or found.unopened, f"{found.cut_short} cuts took {found.taken} blocks, and nothing is missing"


@pytest.mark.slow
def test_f10_a_disk_that_is_full_after_a_cut_says_so_and_has_everything(tmp_path: Path) -> None:
    """Without room for the index of its log a state cannot be opened: not lost, and said in words."""

    def work() -> None:
        with writing(tmp_path) as (disk, writer):
            while len(writer.numbers("sent")) < 20:
                assert writer.hear(30)
            fill(tmp_path / "mounted" / "other")
            while not any(line.startswith("failed") for line in writer.said):
                assert writer.hear(30)
            owed, sent = writer.numbers("owed"), writer.numbers("sent")
            run("sync", "--file-system", tmp_path / "mounted")  # else the cut makes room
            left, _ = disk.after_a_cut(random.Random(1))
        with Disk(left).served(tmp_path / "left") as file, mounted(file, tmp_path / "after") as after:
            (after / "state.db-shm").unlink(missing_ok=True)
            fill(after / "another")
            with pytest.raises(StoreError, match="could not be opened: the disk is full"):
                asyncio.run(contents(after))
            (after / "another").unlink()
            (after / "other").unlink()
            states, off = asyncio.run(contents(after))
            assert off == 0
            assert owed <= states.keys()
            assert {states[number] for number in sent} == {"sent"}

    among_own_mounts(work)


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(BLOCK))


@contextmanager
def writing(folder: Path) -> Iterator[tuple[Disk, Writer]]:
    """A disk with a file system, and one who writes on it."""
    empty, ledger = folder / "empty", folder / "ledger"
    empty.touch()
    os.truncate(empty, SIZE)
    run("mkfs.ext4", "-q", "-F", "-b", BLOCK, empty)
    disk = Disk(empty.read_bytes())
    empty.unlink()
    ledger.touch()
    with disk.served(folder / "disk") as file, ExitStack() as mounts:
        try:
            place = mounts.enter_context(mounted(file, folder / "mounted"))
        except OSError as error:
            pytest.skip(f"no disk can be mounted here: {error}")
        writer = Writer(place, ledger)
        try:
            yield disk, writer
        finally:
            writer.end()


def cut(folder: Path, disk: Disk, writer: Writer, found: Found, dice: random.Random) -> None:
    """Cut the power at some moment, and look at what is left; who writes waits meanwhile, so that the disk lasts."""
    found.images += 1
    with disk.stopped(*moment(writer, dice)):
        while writer.hear(0.01):  # what was said after the disk stopped, was said because of what it had done
            pass
        owed, sent = writer.numbers("owed"), writer.numbers("sent")
        arrived = {int(line[1:]) for line in (folder / "ledger").read_text().split()}
        left, taken = disk.after_a_cut(dice)
        writer.process.send_signal(signal.SIGSTOP)
    found.cut_short += taken > 0
    found.taken += taken
    try:
        with Disk(left).served(folder / "left") as file, mounted(file, folder / "after") as after:
            found.look(after, owed, sent, arrived)
    except OSError as error:
        found.unopened.append(str(error))
    writer.process.send_signal(signal.SIGCONT)


def moment(writer: Writer, dice: random.Random) -> tuple[int, int]:
    """How many blocks the disk still takes before the cut, and how many its cache holds when that is counted.

    One cut in ten is while the log is taken into the file or soon after, four are right after something was said, and
    five anywhere.
    """
    match dice.randrange(10):
        case 0:
            return dice.randint(1, 120), CROWD
        case 1 | 2 | 3 | 4:
            for _ in range(dice.randrange(1, 6)):
                writer.hear(5)
            return 0, 0
    return dice.randint(1, 200), 0
