"""F73: a real daemon that has no file handle left says so, loses nothing, and is well again by itself."""

from __future__ import annotations

import resource
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds
from tests.whole.lacks import Lacks
from tests.whole.scene import Daemon, eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

pytestmark = pytest.mark.slow
AMPLE = 64  # handles, as the row has it
LACK = 2.0  # s without any


@contextmanager
def without_handles(daemon: Daemon) -> Iterator[None]:
    """Leave the daemon the handles that it has."""
    allow(daemon, first_free(daemon))
    yield
    allow(daemon, AMPLE)


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
    with Series(tmp_path, interval="200ms") as scene:
        scene.say(before=99, during=10)
        with scene.daemon() as daemon:
            daemon.ready()
            allow(daemon, AMPLE)
            eventually(scene.settled, "that the first alert is told")
            lacks = Lacks(scene, daemon, "Too many open files", lasting=LACK)
            for _ in range(times):
                lacks.come_through(without_handles(daemon))
            scene.say(before=10, during=10)
            scene.come_to_rest()
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told = reckon(scene)
    figure("process deaths", lacks.deaths, at_most=0, n=times)
    figure("recovery", lacks.slowest, at_most=30, n=times, unit="s")
    figure("alerts changed while nothing could be read", lacks.taken_back, at_most=0, n=times)
    figure("lost", len(told.lost + told.open), at_most=0, n=told.episodes)
    figure("duplicates", told.copies + len(told.extra), at_most=0, n=told.episodes)
    figure("accounts are off by", abs(told.balance), at_most=0, n=1)
