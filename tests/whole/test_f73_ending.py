"""F73: a daemon whose loop hangs, as for want of memory, is at its end in time when it is asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import FULL
from tests.whole.scene import Daemon, eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from tests.figures import Figure

pytestmark = pytest.mark.slow

# The daemon as `alerting run` makes it; a second after its start, its loop waits for what never comes.
CHILD = """
import asyncio, threading
from argparse import Namespace
from contextlib import AsyncExitStack
from alerting.cli.run import _ready

def hang():
    print("it waits for ever", flush=True)
    threading.Event().wait()

async def main():
    async with AsyncExitStack() as stack:
        daemon = await _ready(Namespace(config=None, log_level="info", log_format="json", grace=500), stack)
        asyncio.get_running_loop().call_later(1, hang)
        await daemon.run()

asyncio.run(main())
"""


def hanging(scene: Series) -> Daemon:
    """Start one, and wait until it hangs; whoever calls must end it."""
    root = str(Path(__file__).parents[2])
    log = scene.folder / "daemon.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            cwd=scene.folder,
            env={**os.environ, **scene.environment, "PYTHONPATH": root},
            stdout=file,
            stderr=file,
        )
    daemon = Daemon(process, log)
    eventually(lambda: "it waits for ever" in daemon.log or process.poll() is not None, "that it hangs")
    return daemon


@pytest.mark.parametrize("signals", [1, 2] if FULL else [2])
def test_f73_a_loop_that_hangs_does_not_hold_up_the_end(signals: int, tmp_path: Path, figure: Figure) -> None:
    """It ends 10 s after the first signal and 2 s after a second, says so, and the next start loses nothing."""
    with Series(tmp_path) as scene:
        scene.say(a=99)
        daemon = hanging(scene)
        try:
            eventually(lambda: daemon.process.poll() is None and scene.settled(), "that the alert is told")
            for _ in range(signals):
                began = time.monotonic()
                daemon.signal(signal.SIGTERM)
                time.sleep(0.2)
            assert daemon.process.wait(30) == os.EX_SOFTWARE
            took = time.monotonic() - began
        finally:
            daemon.process.kill()
            daemon.process.wait()
        assert "something hangs, so it is ended by force" in daemon.log
        assert "Traceback" not in daemon.log
        scene.end_well()
        told = reckon(scene)
    wanted = 2 if signals > 1 else 10
    figure(f"end of what hangs, after signal {signals}", took, at_most=wanted + 1, n=1, unit="s")
    figure("lost", len(told.lost + told.open), at_most=0, n=told.episodes)
    figure("duplicates", told.copies + len(told.extra), at_most=0, n=told.episodes)
