"""F73: a real daemon for which the machine has no thread left says so, loses nothing, and is well again by itself."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds
from tests.whole.lacks import Lacks
from tests.whole.scene import eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytestmark = pytest.mark.slow
LACK = 2.5  # s without any thread that is new
WORDS = "the machine has no thread"
# The limit does not bind root, so the daemon is somebody whom nobody else is; it may read what root may.
USER = ("--reuid", "64073", "--clear-groups")
MAY = tuple(f"--{held}=-all,+dac_override" for held in ("bounding-set", "inh-caps", "ambient-caps"))
OTHER = ("prlimit", "--nproc=48", "setpriv", *USER, *MAY)
GREEDY = """
import _thread, time
said = False
while True:
    try:
        _thread.start_new_thread(time.sleep, (1_000,))
    except RuntimeError:
        said or print("all are taken", flush=True)
        said = True
        time.sleep(0.01)
"""


def may_be_other() -> bool:
    """Tell whether a process of somebody else's can be started here, in which Python runs."""
    if not all(shutil.which(word) for word in ("prlimit", "setpriv")):
        return False
    return not subprocess.run([*OTHER, sys.executable, "-c", ""], capture_output=True, check=False).returncode


@contextmanager
def without_threads(daemon: Daemon) -> Iterator[None]:
    """Leave the daemon the threads that it has: its limit is low, or a process of its user has all others."""
    if os.geteuid():
        most = resource.prlimit(daemon.process.pid, resource.RLIMIT_NPROC)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NPROC, (1, most[1]))
        yield
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NPROC, most)
        return
    greedy = subprocess.Popen([*OTHER, sys.executable, "-c", GREEDY], stdout=subprocess.PIPE)
    try:
        assert greedy.stdout is not None
        assert greedy.stdout.readline(), "it has taken all"
        yield
    finally:
        greedy.kill()
        greedy.communicate()


def reload(daemon: Daemon) -> None:
    """Have it read its settings anew: what reads and tells from now on has no thread yet."""
    reloaded = daemon.log.count('"reloaded"')
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.log.count('"reloaded"') > reloaded, "reloaded")


def test_f73_without_threads_nothing_is_lost_and_all_is_well_again_by_itself(tmp_path: Path, figure: Figure) -> None:
    """Whoever is read and told by new threads after a reload waits for them; alerts stay as they are meanwhile."""
    if not os.geteuid() and not may_be_other():
        pytest.skip("RLIMIT_NPROC does not bind root, and no process of another user can be started here")
    times = rounds(1, 20)
    with Series(tmp_path, interval="200ms") as scene:
        scene.before = () if os.geteuid() else OTHER
        scene.say(before=99, during=10)
        with scene.daemon() as daemon:
            daemon.ready()
            eventually(scene.settled, "that the first alert is told")
            with without_threads(daemon):
                daemon.signal(signal.SIGHUP)
                eventually(lambda: WORDS in daemon.log, "that it says that the reload waits for a thread")
                assert '"reloaded"' not in daemon.log
            eventually(lambda: '"reloaded"' in daemon.log, "that the reload has found its thread")
            lacks = Lacks(scene, daemon, WORDS, lasting=LACK)
            for _ in range(times):
                lacks.come_through(without_threads(daemon), partial(reload, daemon))
            scene.say(before=10, during=10)
            scene.come_to_rest()
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told = reckon(scene)
    figure("process deaths without threads", lacks.deaths, at_most=1, n=times)
    figure("recovery of threads", lacks.slowest, at_most=30, n=times, unit="s")
    figure("alerts changed while there were no threads", lacks.taken_back, at_most=0, n=times)
    figure("lost", len(told.lost + told.open), at_most=0, n=told.episodes)
    figure("duplicates", told.copies + len(told.extra), at_most=0, n=told.episodes)
    figure("accounts are off by", abs(told.balance), at_most=0, n=1)
