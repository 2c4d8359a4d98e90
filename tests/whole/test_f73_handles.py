"""F73: a real daemon that has no file handle left says so, loses nothing, and is well again by itself."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds
from tests.whole.scene import Daemon, eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from tests.figures import Figure

pytestmark = pytest.mark.slow
AMPLE = 64  # handles, as the row has it
LACK = 2.0  # s without any


def allow(daemon: Daemon, handles: int) -> None:
    """Set how many handles a running process may have."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (handles, AMPLE))


def first_free(daemon: Daemon) -> int:
    """Give the lowest handle that a process holds at no look: with that limit it can open nothing."""
    home, held = Path(f"/proc/{daemon.process.pid}/fd"), []
    for _ in range(20):
        held.append({int(each.name) for each in home.iterdir()})
        time.sleep(0.02)
    lasting = set.intersection(*held)
    return next(number for number in range(AMPLE) if number not in lasting)


def test_f73_without_a_file_handle_nothing_is_lost_and_all_is_well_again_by_itself(
    tmp_path: Path, figure: Figure
) -> None:
    """An alert that fires is not taken back, one that begins meanwhile is told afterwards, the same process lives."""
    times = rounds(1, 10)
    slowest = deaths = taken_back = 0.0
    with Series(tmp_path, interval="200ms") as scene:
        scene.say(before=99, during=10)
        with scene.daemon() as daemon:
            daemon.ready()
            allow(daemon, AMPLE)
            eventually(scene.settled, "that the first alert is told")
            for turn in range(times):
                said = daemon.log.count("Too many open files")
                allow(daemon, first_free(daemon))
                scene.say(during=10 if turn % 2 else 99)
                time.sleep(LACK)
                deaths += daemon.process.poll() is not None
                assert daemon.log.count("Too many open files") > said, "it has said why it is blind"
                taken_back += len(scene.pagerduty.incidents.open) != 1 + turn % 2
                allow(daemon, AMPLE)
                began = time.monotonic()
                scene.come_to_rest(30)
                slowest = max(slowest, time.monotonic() - began)
            scene.say(before=10, during=10)
            scene.come_to_rest()
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told = reckon(scene)
    figure("process deaths", deaths, at_most=0, n=times)
    figure("recovery", slowest, at_most=30, n=times, unit="s")
    figure("alerts changed while nothing could be read", taken_back, at_most=0, n=times)
    figure("lost", len(told.lost + told.open), at_most=0, n=told.episodes)
    figure("duplicates", told.copies + len(told.extra), at_most=0, n=told.episodes)
    figure("accounts are off by", abs(told.balance), at_most=0, n=1)
