"""F72: nobody takes what the daemon says of itself: the log's disk is full, scrapers hang, the error tracker is down.

Pages are timed before, then with one fault more at each step; all the while somebody asks whether all goes round.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.fakes.envelopes import Envelopes
from tests.fakes.ledger import Step
from tests.full import rounds
from tests.whole.paging import p99, pages
from tests.whole.scene import Daemon, eventually
from tests.whole.series import Series, reckon
from tests.whole.test_f11_unsaved import full, small_disk
from tests.whole.test_web import address, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("sentry_sdk", reason="the extra `sentry` is not installed")
pytestmark = pytest.mark.slow

# The daemon, and within it a fault of ours every twentieth of a second, each of another kind: all are reported.
FAULTY = """
import itertools, logging, sys, threading, time
from alerting.cli.main import main

def fail():
    for number in itertools.count():
        time.sleep(0.05)
        kind = type(f"Fault{number}Error", (Exception,), {})
        logging.getLogger("alerting").error("a fault", exc_info=kind("x" * 1000), extra={"action": "fault"})

threading.Thread(target=fail, daemon=True).start()
sys.exit(main(["run", "--log-format", "json", "--log-level", "debug"]))
"""


@contextmanager
def faulty(scene: Series, log: Path, **environment: str) -> Iterator[Daemon]:
    """Run the daemon with its faults; its lines go to a file."""
    with log.open("ab") as lines:
        process = subprocess.Popen(
            [sys.executable, "-c", FAULTY],
            cwd=scene.folder,
            env=scene._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
        )
    daemon = Daemon(process, log)
    try:
        yield daemon
    finally:
        daemon.end()


@contextmanager
def hanging(url: str, count: int) -> Iterator[None]:
    """Scrapers that ask for the metrics and never read them; cut off, they come again."""
    done = threading.Event()
    host, _, port = url.removeprefix("http://").partition(":")

    def scrape() -> None:
        while not done.is_set():
            with suppress(OSError), socket.socket() as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                line.settimeout(1)
                line.connect((host, int(port)))
                line.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                done.wait(1)

    threads = [threading.Thread(target=scrape) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(600)
def test_f72_where_nobody_takes_what_it_says_pages_go_out_all_the_same(tmp_path: Path, figure: Figure) -> None:
    """What could not be written is counted, and lines are written again when there is room."""
    count = rounds(4, full=200)
    wedged: list[str] = []
    took: dict[str, list[float]] = {}
    with (
        Series(tmp_path, more="web: {listen: '127.0.0.1:0'}") as scene,
        small_disk(tmp_path / "small") as disk,
        Envelopes() as tracker,
        faulty(scene, disk / "log", SENTRY_DSN=tracker.dsn) as daemon,
    ):
        url = address(daemon)

        def look() -> None:
            answer = ask(url)
            wedged.extend(str(each) for each in answer.json()["problems"] if each["wedged"])
            wedged.extend([f"status {answer.status}"] if answer.status != 200 else [])

        def play(what: str) -> None:
            took[what] = pages(scene, count, look)

        pages(scene, 2)  # what is loaded at the first time is there
        play("as it should be")
        eventually(lambda: tracker.events, "a fault that is reported")
        with full(disk):
            play("the log's disk is full")
            with hanging(url, 20):
                play("and its scrapers hang")
                tracker.script(Step(delay=3600, times=0))
                play("and its error tracker hangs")
                tracker.stop()
                play("and its error tracker is gone")
            lost = re.search(r"^alerting_log_lines_lost_total (\d+)", ask(url, "/metrics").body, re.MULTILINE)
            size = (disk / "log").stat().st_size
        eventually(lambda: (disk / "log").stat().st_size > size, "lines when there is room again")
        assert daemon.end() == 0
        assert lost
        assert int(lost[1]) > 0
        told = reckon(scene)
    for what, each in took.items():
        print(f"{what}: {sorted(round(one, 2) for one in each)}")
    normal, *others = map(p99, took.values())
    above = round(max(others) - normal, 2)
    figure("paging p99 above normal", max(0.0, above), at_most=1, n=count * len(others), unit="s", timed=True)
    figure("wedges", len(wedged), at_most=0, n=count * len(took))
    assert told.lost == told.extra == []
    assert told.copies == told.balance == 0
