"""F10, a power cut: what an ext4 disk holds at some moment, without all that was not synced by then.

The state lies on an image that is mounted through a loop device. What programs wrote and nobody synced is in the
kernel's memory and not in the image, so a copy of it is what a disk would hold after a power cut at that moment. It is
copied twice: if both copies are equal, nothing was written meanwhile, and they are of one moment.
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
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.errors import AlertingError
from alerting.store import sqlite
from tests.full import rounds, seed
from tests.store.made import balance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

ROOT = Path(__file__).parents[2]
SIZE = 24 * 1024 * 1024
AT_ONCE = 15  # images of one process that writes


def run(*words: object) -> None:
    """Run a command of the system; skip the test where it cannot be."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip(f"{words[0]} is not installed")
    if done.returncode:
        pytest.skip(f"{words[0]} does not work here: {done.stderr.strip()}")


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """The file system of an image, for as long as the block lasts."""
    place.mkdir(exist_ok=True)
    run("mount", "-t", "ext4", "-o", "loop", image, place)
    try:
        yield place
    finally:
        subprocess.run(("umount", place), check=True, timeout=60)


class Writer:
    """A process that commits, sends and settles without end, and what it has acknowledged so far."""

    def __init__(self, folder: Path, ledger: Path, first: int) -> None:
        line = (sys.executable, "-m", "tests.store.writer", str(folder), str(first), "100000", str(ledger))
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._output = self.process.stdout.fileno()
        self._rest = b""
        self.said: list[str] = []

    def hear(self, seconds: float) -> bool:
        """Take in what it says within so long; tell whether there was something."""
        if not select.select((self._output,), (), (), seconds)[0]:
            return False
        *lines, self._rest = (self._rest + os.read(self._output, 1 << 20)).split(b"\n")
        self.said += [line.decode() for line in lines]
        return True

    def numbers(self, word: str) -> set[int]:
        """The numbers that it said `word` of."""
        return {int(line.split()[1]) for line in self.said if line.startswith(f"{word} ")}

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()


def of_one_moment(image: Path, writer: Writer) -> bytes:
    """Copy an image as it is at one moment; where the writer leaves none, it is stopped for it."""
    for attempt in range(40):
        if attempt == 8:
            writer.process.send_signal(signal.SIGSTOP)
        first = image.read_bytes()
        if image.read_bytes() == first:
            writer.process.send_signal(signal.SIGCONT)
            return first
    raise AssertionError("the image is never still")


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
        self.lost: list[str] = []
        self.unopened: list[str] = []
        self.damaged: list[str] = []
        self.uneven = 0

    def look(self, folder: Path, owed: set[int], sent: set[int], ledger: set[int]) -> None:
        """Open the state of an image, of which so much had been acknowledged."""
        self.images += 1
        self.acknowledged += len(owed) + len(sent)
        try:
            states, off = asyncio.run(contents(folder))
        except AlertingError as error:
            self.unopened += [str(error)] if owed else []
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
    """Cuts at random moments, and right after a commit, a receiver's answer and the start."""
    cuts, seeded = rounds(10, full=300), seed(10)
    dice, found = random.Random(seeded), Found()
    image, ledger = tmp_path / "image", tmp_path / "ledger"
    while found.images < cuts:
        image.write_bytes(b"")
        os.truncate(image, SIZE)
        ledger.write_bytes(b"")
        run("mkfs.ext4", "-q", "-F", "-b", "4096", image)
        with mounted(image, tmp_path / "disk") as disk:
            writer = Writer(disk, ledger, 0)
            try:
                for _ in range(min(AT_ONCE, cuts - found.images)):
                    cut_at(writer, dice)
                    owed, sent = writer.numbers("owed"), writer.numbers("sent")
                    arrived = {int(line[1:]) for line in ledger.read_text().split()}
                    # A file of its own: a loop device that is let go of late would show the copy before it.
                    copy = tmp_path / f"copy-{found.images}"
                    copy.write_bytes(of_one_moment(image, writer))
                    with mounted(copy, tmp_path / "after") as after:
                        found.look(after, owed, sent, arrived)
                    copy.unlink()
            finally:
                writer.end()
    print(*found.lost[:20], *found.unopened, *found.damaged, sep="\n")
    assert found.acknowledged > cuts
    figure("acknowledged writes lost", len(found.lost), at_most=0, n=found.images, seed=seeded)
    figure("failed opens", len(found.unopened), at_most=0, n=found.images, seed=seeded)
    figure("failed integrity checks", len(found.damaged), at_most=0, n=found.images, seed=seeded)
    figure("accounts that are off", found.uneven, at_most=0, n=found.images, seed=seeded)


def cut_at(writer: Writer, dice: random.Random) -> None:
    """Wait for the moment of a cut: any, or right after something was said."""
    if dice.random() < 0.5:
        for _ in range(dice.randrange(1, 6)):
            writer.hear(5)
    else:
        begun = dice.random() * 0.2
        while writer.hear(begun):
            begun /= 2
