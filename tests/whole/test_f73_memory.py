"""F73: a real daemon that has no memory left says so, loses nothing, and is well again by itself.

The limits are those of the system on the data of a process (RLIMIT_DATA), so that an allocation fails; a kernel that
kills instead is played by the rows of kills and power cuts.
"""

from __future__ import annotations

import resource
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds
from tests.whole.scene import eventually
from tests.whole.series import HIGH, Series, reckon

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytestmark = pytest.mark.slow
MIB = 2**20
MOST = 128 * MIB  # as the row has it
LACK = 3.0  # s without
SLACK = MIB // 4  # what is left to a daemon beyond what it has
PAGES = 3
WIDE = "".join(f'filler{{number="{number}",more="{"y" * 40}"}} {number}\n' for number in range(80_000))
RULES = f"{HIGH}---\nalert: Filler\ncondition: filler > 100000000\nnotify: pagerduty\ninterval: 1s\n"


class Pages(Series):
    """Beside the alerts' own source, pages that grow from one series to 80,000; they need more than there is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, interval="200ms", rules=RULES)
        self.wide = False
        self.app.reply = lambda _path: (200, "text/plain", WIDE if self.wide else "filler 1\n")  # type: ignore[method-assign]

    def settings_text(self, more: str | None = None) -> str:
        """Give the settings."""
        pages = ", ".join(f"{self.app.url}/{number}" for number in range(PAGES))
        source = f"  page: {{type: prometheus, targets: [{pages}]}}"
        return super().settings_text(more).replace("receivers:", f"{source}\nreceivers:")


class Watch:
    """Starts a daemon anew a second after it died, sooner than the unit file has it (10 s), and counts."""

    def __init__(self, scene: Series) -> None:
        self.deaths = 0
        self._scene = scene
        self.daemon = scene.start()

    def said(self) -> int:
        """Count how often it was said that there is no memory."""
        return self.daemon.log.count("MemoryError") + self.daemon.log.count("no memory left")

    def look(self, seconds: float, until: Callable[[], bool]) -> None:
        """Let time pass, and on a machine that is busy some more until something holds."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds or (passed < seconds + 30 and not until()):
            time.sleep(0.1)
            if self.daemon.process.poll() is not None:
                self.deaths += 1
                time.sleep(1)
                self.daemon = self._scene.start()


def data_of(daemon: Daemon) -> int:
    """Give the bytes that RLIMIT_DATA is about."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


def settle(scene: Series, watch: Watch, figure: Figure, what: str, *, slowest: float, times: int) -> None:
    """End all alerts and the daemon, and state the figures."""
    scene.say(before=10, during=10)
    scene.come_to_rest()
    assert watch.daemon.end() == 0
    told = reckon(scene)
    figure(f"process deaths {what}", watch.deaths, at_most=1, n=times)
    figure(f"recovery {what}", slowest, at_most=30, n=times, unit="s")
    figure("lost", len(told.lost + told.open), at_most=0, n=told.episodes)
    figure("duplicates", told.copies + len(told.extra), at_most=0, n=told.episodes)
    figure("accounts are off by", abs(told.balance), at_most=0, n=1)


def test_f73_pages_for_which_128_mib_are_too_little_are_refused(tmp_path: Path, figure: Figure) -> None:
    """The pages' rules are blind, with the reason; there is no crash loop, and what was missed is told afterwards."""
    if shutil.which("prlimit") is None:
        pytest.skip("there is no `prlimit` to start the daemon within a limit")
    times = rounds(1, 10)
    slowest = 0.0
    with Pages(tmp_path) as scene:
        scene.before = ("prlimit", f"--data={MOST}")
        scene.say(before=99, during=10)
        watch = Watch(scene)
        try:
            watch.daemon.ready()
            eventually(scene.settled, "that the first alert is told")
            for turn in range(times):
                scene.wide = True
                scene.say(during=10 if turn % 2 else 99)
                watch.look(LACK, lambda: "no memory left for a page" in watch.daemon.log)
                scene.wide = False
                began = time.monotonic()
                scene.come_to_rest(30)
                slowest = max(slowest, time.monotonic() - began)
            assert "no memory left for a page" in watch.daemon.log, "it has said what it cannot read"
            settle(scene, watch, figure, "within 128 MiB", slowest=slowest, times=times)
        finally:
            watch.daemon.end()


def test_f73_without_memory_beyond_what_it_has_nothing_is_lost_and_all_is_well_again(
    tmp_path: Path, figure: Figure
) -> None:
    """Much comes in, for which there is nothing left; alerts stay as they are, and go on when there is memory again."""
    times = rounds(1, 20)
    slowest = taken_back = 0.0
    short = 0  # turns in which it said that there was none
    with Pages(tmp_path) as scene:
        scene.say(before=99, during=10)
        watch = Watch(scene)
        try:
            watch.daemon.ready()
            eventually(scene.settled, "that the first alert is told")
            for turn in range(times):
                said = watch.said()
                most = resource.prlimit(watch.daemon.process.pid, resource.RLIMIT_DATA)
                resource.prlimit(
                    watch.daemon.process.pid, resource.RLIMIT_DATA, (data_of(watch.daemon) + SLACK, most[1])
                )
                scene.wide = True
                watch.look(LACK, lambda more=said, before=short: bool(before) or watch.said() > more)
                short += watch.said() > said  # else what it had let go of was enough, or it had said the same just now
                taken_back += len(scene.pagerduty.incidents.open) != 1 + turn % 2
                scene.wide = False
                resource.prlimit(watch.daemon.process.pid, resource.RLIMIT_DATA, most)
                scene.say(during=10 if turn % 2 else 99)
                began = time.monotonic()
                scene.come_to_rest(30)
                slowest = max(slowest, time.monotonic() - began)
            figure("shortages that it spoke of", short, at_least=1, n=times)
            figure("alerts changed while there was no memory", taken_back, at_most=0, n=times)
            settle(scene, watch, figure, "without memory", slowest=slowest, times=times)
        finally:
            watch.daemon.end()
