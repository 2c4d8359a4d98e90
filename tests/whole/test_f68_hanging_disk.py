"""`alerting run` on a disk that hangs without an error: people are told from memory, and all is saved afterwards."""

from __future__ import annotations

import json
import random
import re
import signal
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests import hang
from tests.full import FULL, rounds, seed
from tests.whole.scene import Daemon, eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.figures import Figure

pytestmark = pytest.mark.slow  # each test runs the daemon
PATIENCE = 1.0  # s
INTERVAL = 0.25  # s
LETTERS = ("s", "S", "w", "rsw")  # before a sync, after it, before a write, before whatever comes first
WEB = "web: {listen: 127.0.0.1:0}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lets the disk hang."""
    return hang.library(tmp_path_factory.mktemp("hang"))


class Hung(Series):
    """A deployment whose state lies on a disk that hangs while the file `hang` is there."""

    def __init__(self, library: Path, folder: Path, patience: float = PATIENCE) -> None:
        super().__init__(folder, f"{INTERVAL * 1000:g}ms", more=f"store_patience: {patience * 1000:g}ms\n{WEB}")
        self._flag = folder / "hang"
        self._preload = hang.environment(library, self._flag, "alerting.db")

    @contextmanager
    def over_it(self) -> Iterator[Daemon]:
        """Run a daemon to which one alert is known; the disk goes on before it is asked to end."""
        try:
            with self.daemon(**self._preload) as daemon:
                daemon.ready()
                self.say(a=99)
                self.come_to_rest()
                try:
                    yield daemon
                finally:
                    self.goes_on()
        finally:
            self.goes_on()

    def hangs(self, letter: str) -> None:
        """From now on these calls wait."""
        self._flag.write_text(letter)

    def goes_on(self) -> None:
        """They wait no more."""
        self._flag.unlink(missing_ok=True)

    def open(self, what: str) -> int:
        """Count the open incidents that were opened with these words."""
        keys = {each["dedup_key"] for each in self.pagerduty.accepted if what in json.dumps(each.get("payload", ""))}
        return len(keys & set(self.pagerduty.incidents.open))


def health(daemon: Daemon) -> dict[str, Any]:
    """Ask the daemon how it is."""
    (address,) = set(re.findall(r'"address": "([^"]+)"', daemon.log))
    with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:  # noqa: S310  on loopback
        return json.load(answer)  # type: ignore[no-any-return]


def lived_through(scene: Hung, letter: str, dice: random.Random) -> dict[str, float]:
    """Let an alert begin and another end while the disk hangs; let it come back; kill the daemon, and start again."""
    with scene.over_it() as daemon:
        time.sleep(dice.random() * INTERVAL)
        scene.hangs(letter)
        began = time.monotonic()
        scene.say(b=99)
        eventually(lambda: scene.open('db=\\"b\\"'), "the page", 60)
        paged = time.monotonic() - began
        eventually(lambda: scene.open("StateUnsaved"), "that people are told of the state")
        page = health(daemon)
        assert page["status"] == "degraded"
        assert [each["name"] for each in page["problems"] if "gave no answer in 1 s" in each["why"]] == ["state"]
        assert page["database"]["status"] == "error"
        scene.say(a=10)
        eventually(lambda: not scene.open('db=\\"a\\"'), "its end")
        scene.run("status", code=0)
        time.sleep(dice.random())
        scene.goes_on()
        eventually(lambda: not scene.open("StateUnsaved"), "that it is saved again", 60)
        scene.come_to_rest()
        assert not health(daemon)["problems"]
        daemon.kill()
    before = len(scene.pagerduty.requests)
    with scene.daemon() as daemon:
        daemon.ready()
        time.sleep(3 * INTERVAL)
        again = len(scene.pagerduty.requests) - before
    scene.end_well()
    told = reckon(scene)
    return {
        "page": paged,
        "lost": len(told.lost) + len(told.open),
        "duplicates": told.copies + len(told.extra),
        "told again by the next start": again,
        "accounts are off by": abs(told.balance),
    }


def test_f12_f68_a_disk_that_hangs_keeps_nobody_from_being_told(library: Path, tmp_path: Path, figure: Figure) -> None:
    """Syncs and writes that do not return for a while; then they do, and the daemon is killed."""
    trials, first = rounds(1, full=12), seed()
    found = []
    for number in range(trials):
        dice = random.Random(first + number)
        folder = tmp_path / str(number)
        folder.mkdir()
        with Hung(library, folder) as scene:
            found.append(lived_through(scene, dice.choice(LETTERS), dice))
    for name in ("lost", "duplicates", "told again by the next start", "accounts are off by"):
        figure(name, sum(each[name] for each in found), at_most=0, n=trials, seed=first)
    late = max(each["page"] for each in found) - PATIENCE
    figure("page beyond the patience with the disk", late, at_most=4 * INTERVAL, n=trials, unit="s", timed=True)


def test_f12_f68_killed_while_the_disk_hangs_it_loses_nothing(library: Path, tmp_path: Path, figure: Figure) -> None:
    """What was told from memory only may be told again by the next start; what fires is told, and its end."""
    trials, first = rounds(1, full=8), seed()
    lost = again = 0
    for number in range(trials):
        dice = random.Random(first + number)
        folder = tmp_path / str(number)
        folder.mkdir()
        with Hung(library, folder) as scene:
            with scene.over_it() as daemon:
                scene.hangs(dice.choice(LETTERS))
                scene.say(b=99)
                eventually(lambda scene=scene: scene.open("StateUnsaved"), "that people are told of the state", 60)
                time.sleep(dice.random())
                daemon.kill()
            before = len(scene.pagerduty.accepted)
            scene.say(a=10)
            with scene.daemon() as daemon:
                daemon.ready()
                eventually(lambda scene=scene: not scene.open('db=\\"a\\"'), "its end", 60)
                time.sleep(3 * INTERVAL)
                assert daemon.end() == 0
            told = scene.pagerduty.accepted[before:]
            again += sum(each["event_action"] == "trigger" for each in told)
            lost += not scene.open('db=\\"b\\"')
            assert not [each for each in told if 'db="a"' in each.get("payload", {}).get("summary", "")]
    figure("lost", lost, at_most=0, n=trials, seed=first)
    figure("told again, of one alert that was told from memory", again, at_most=trials, n=trials, seed=first)


@pytest.mark.parametrize("letter", LETTERS if FULL else random.sample(LETTERS, 1))
def test_f68_a_daemon_whose_disk_hangs_ends_in_time_and_says_so(
    letter: str, library: Path, tmp_path: Path, figure: Figure
) -> None:
    """Asked to end in the first moment of the hang, long before the patience is over."""
    with Hung(library, tmp_path, patience=10) as scene, scene.over_it() as daemon:
        scene.hangs(letter)
        scene.say(b=99)
        time.sleep(2 * INTERVAL)
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        code = daemon.process.wait(30)
        figure("end", time.monotonic() - began, at_most=10.5, n=1, unit="s")
        assert code in (3, 70), daemon.log
        said = "what happened since it failed is not in it" if code == 3 else "it is ended by force"
        assert said in daemon.log
        assert "Traceback" not in daemon.log


@pytest.mark.skipif(not FULL, reason="it waits for more than half a minute")
def test_f68_a_start_and_commands_on_a_disk_that_hangs_say_so(library: Path, tmp_path: Path, figure: Figure) -> None:
    """None of them waits for ever."""
    with Hung(library, tmp_path) as scene:
        with scene.over_it():
            pass
        scene.hangs("w")
        took = {}
        for bound, words in ((10, ("status",)), (10, ("history",)), (30, ("run",))):
            began = time.monotonic()
            done = scene.run(*words, code=3, **scene._preload)
            took[words] = time.monotonic() - began - bound
            assert f"gave no answer in {bound} s; look at its disk" in done.stderr
        figure("beyond the bound of the command", max(took.values()), at_most=3, n=3, unit="s", timed=True)
        scene.goes_on()
