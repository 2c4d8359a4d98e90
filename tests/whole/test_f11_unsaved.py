"""`alerting run` on a state that cannot be written: people are told as if it could, and nothing is lost afterwards."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.fakes.pagerduty import incidents_of
from tests.full import rounds, seed
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.figures import Figure

pytestmark = pytest.mark.slow  # each test runs the daemon
RULE = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty, slack\n"
INTERVAL = 0.5  # s
PATIENCE = 60  # s: nothing below is a figure that such a wait would hide


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", folder), capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "-l", folder), check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process is in the middle of a transaction."""
    with closing(sqlite3.connect(folder / "alerting.db", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


class Told:
    """One deployment, and how its only rule's alert stands at PagerDuty."""

    def __init__(self, scene: Scene, state: Path) -> None:
        self.scene = scene
        self.state = state
        self.falls = 0  # how often the database broke

    def break_(self) -> None:
        """The database breaks, and people are told."""
        self.falls += 1
        self.scene.app.break_database()
        eventually(lambda: len(self.incidents("DatabaseDown")) == self.falls, "the page", PATIENCE)
        eventually(lambda: self.said("firing") == self.falls, "the message", PATIENCE)

    def mend(self) -> None:
        """It is mended, and people are told."""
        self.scene.app.mend_database()
        eventually(lambda: "triggered" not in self.incidents("DatabaseDown").values(), "the end of the page", PATIENCE)
        eventually(lambda: self.said("resolved") == self.falls, "the end of the message", PATIENCE)

    def incidents(self, name: str) -> dict[str, str]:
        """By key, how the incidents of an alert stand."""
        books = incidents_of(self.scene.folder / "pagerduty.jsonl")
        keys = {
            event["dedup_key"]
            for event in self.scene.pagerduty.accepted
            if name in event.get("payload", {}).get("summary", "")
        }
        return {key: state for (_, key), state in books.state.items() if key in keys}

    def said(self, what: str) -> int:
        """Count the messages at Slack that say it of the rule's alert."""
        texts = [json.dumps(each) for each in self.scene.slack.accepted]
        word = {"firing": "FIRING", "resolved": "RESOLVED"}[what]
        return sum("DatabaseDown" in text and word in text.upper() for text in texts)

    def counts(self) -> dict[str, int]:
        """The accounts of the state."""
        return json.loads(self.scene.run("status", "--output", "json", code=0).stdout)["counts"]


@contextmanager
def told(folder: Path, state: Path) -> Iterator[Told]:
    """The deployment, with its state in a folder of its own."""
    with Scene(folder, interval=f"{INTERVAL * 1000:g}ms") as scene:
        scene.settings((folder / "alerting.yaml").read_text() + f"store: sqlite:///{state}/alerting.db\n")
        scene.rules(RULE)
        yield Told(scene, state)


def logged(log: str, **wanted: str) -> list[float]:
    """When lines of the log were written that hold all of this; s."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    found = [line for line in lines if all(each in str(line.get(name, "")) for name, each in wanted.items())]
    return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in found]


def lived_through(case: Told, fault: Callable[[Path], object], lasts: float, dice: random.Random) -> dict[str, float]:
    """Break, mend and break again while the state cannot be written; then kill, start again, and mend.

    Gives what is to be 0, and `late`: after how long people were told of the fault itself, s.
    """
    scene = case.scene
    with scene.daemon() as daemon:
        daemon.ready()
        case.break_()
        case.mend()
        time.sleep(dice.random() * INTERVAL)
        with fault(case.state):
            began = time.monotonic()
            case.break_()
            eventually(lambda: case.incidents("StateUnsaved"), "that people are told of the state", PATIENCE)
            case.mend()
            case.break_()
            time.sleep(max(0.0, lasts - (time.monotonic() - began)))
        eventually(lambda: "resolved" in case.incidents("StateUnsaved").values(), "that it is saved again", PATIENCE)
        eventually(
            lambda: logged(daemon.log, action="trouble_over", message="could not be"), "its end in the log", PATIENCE
        )
        eventually(lambda: case.counts()["claimed"] == case.counts()["pending"] == 0, "nothing owed", PATIENCE)
        daemon.kill()
    (first, *_) = logged(daemon.log, action="transition", rule="alerting/StateUnsaved")
    known = logged(daemon.log, action="transition", rule="DatabaseDown")
    failed_at = max(at for at in known if at <= first)
    before = len(scene.pagerduty.requests), len(scene.slack.requests)
    with scene.daemon() as daemon:
        daemon.ready()
        time.sleep(2 * INTERVAL)
        again = (len(scene.pagerduty.requests) - before[0]) + (len(scene.slack.requests) - before[1])
        still_open = list(case.incidents("DatabaseDown").values()).count("triggered")
        case.mend()
        eventually(lambda: case.counts()["claimed"] == case.counts()["pending"] == 0, "nothing owed", PATIENCE)
        assert daemon.end() == 0
    counts = case.counts()
    told_of = len(case.incidents("DatabaseDown"))
    return {
        "lost": (case.falls - told_of) + (case.falls - case.said("firing")) + (case.falls - case.said("resolved")),
        "false pages": max(0, told_of - case.falls) + max(0, incidents_of(scene.folder / "pagerduty.jsonl").total - 4),
        "false resolves": 1 - still_open,
        "told again by the next start": again,
        "accounts are off by": counts["created"] - counts["sent"] - counts["folded"],
        "late": first - failed_at,
    }


def state_it(figure: Figure, found: list[dict[str, float]], seeded: int) -> None:
    """State the figures of some runs."""
    for name in ("lost", "false pages", "false resolves", "told again by the next start", "accounts are off by"):
        figure(name, sum(each[name] for each in found), at_most=0, n=len(found), seed=seeded)


def test_f11_a_full_disk_keeps_nobody_from_being_told(tmp_path: Path, figure: Figure) -> None:
    """All of a disk of 2 MiB is taken while alerts fire and end; then there is room again, and the daemon is killed."""
    trials, seeded = rounds(1, full=8), seed()
    found = []
    for number in range(trials):
        folder = tmp_path / str(number)
        folder.mkdir()
        with small_disk(folder / "disk") as disk, told(folder, disk) as case:
            lasts = 120 if number == 1 else 0
            found.append(lived_through(case, full, lasts, random.Random(seeded + number)))
    state_it(figure, found, seeded)
    late = max(each["late"] for each in found)
    figure("self-alert after the first failure", late / INTERVAL, at_most=2, n=trials, seed=seeded, unit="intervals")


def test_f13_a_state_that_another_process_holds_keeps_nobody_from_being_told(tmp_path: Path, figure: Figure) -> None:
    """Held for longer than is waited for; in full also for half a minute. Half an hour is played in tests/store."""
    found, times = [], (8, *((30,) if rounds(0, full=1) else ()))
    for lasts in times:
        folder = tmp_path / str(lasts)
        state = folder / "state"
        state.mkdir(parents=True, mode=0o700)
        with told(folder, state) as case:
            found.append(lived_through(case, held, lasts, random.Random(lasts)))
    state_it(figure, found, 0)
