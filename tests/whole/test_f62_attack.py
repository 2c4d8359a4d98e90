"""F62: clients that mean to exhaust the web server take neither memory nor time from evaluating and paging."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds
from tests.whole.attack import KINDS
from tests.whole.paging import p99, page
from tests.whole.series import Series, reckon
from tests.whole.test_web import REPOSITORY, TOKEN, address, ask, push

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytestmark = pytest.mark.slow
CRON = f"  cron: {{type: push, token: {TOKEN}, jobs: {{nightly: {{every: 7d}}}}}}\n"
RULES = "alert: High\ncondition: jobs.load > 85\nnotify: pagerduty\n---\nalert: Failed\ncondition: cron.failed == 1\n"


@contextmanager
def attack(kind: str, url: str, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process do it meanwhile."""
    line = [sys.executable, "-m", "tests.whole.attack", kind, url, TOKEN, str(seconds)]
    with subprocess.Popen(line, cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        yield process
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said.decode()


def _memory(daemon: Daemon, what: str) -> float:
    """Read `VmRSS` or `VmHWM` (the most since `_begin`), MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines())
    return int(lines[what].split()[0]) / 1024


@pytest.mark.timeout(900)
def test_f62_who_means_to_exhaust_it_delays_no_page(tmp_path: Path, figure: Figure) -> None:
    """100 MiB of body, 1,000 slow connections, many ranges, deep JSON, 10,000 wrong tokens: one after the other."""
    lasts = rounds(1, full=60)
    took: list[float] = []
    with Series(tmp_path, rules=RULES + "notify: pagerduty\n", more="web: {listen: '127.0.0.1:0'}") as scene:
        scene.settings(scene.settings_text().replace("receivers:\n", CRON + "receivers:\n"))
        with scene.daemon() as daemon:
            url = address(daemon)
            for _ in range(2):  # what is loaded at the first time is there
                page(scene)
                ask(url, "/metrics")
                assert push(url).status == 200
            Path(f"/proc/{daemon.process.pid}/clear_refs").write_text("5")
            before = _memory(daemon, "VmRSS")
            for kind in KINDS:
                with attack(kind, url, lasts) as process:
                    ends = time.monotonic() + lasts
                    while process.poll() is None and time.monotonic() < ends:
                        took.append(page(scene))
                        time.sleep(0.05)
                print(f"after {kind}: {_memory(daemon, 'VmHWM') - before:.1f} MiB at most, {len(took)} pages")
            grown = _memory(daemon, "VmHWM") - before
            assert ask(url).status == 200
            assert TOKEN not in daemon.log
            if len(took) % 2:
                page(scene)
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told = reckon(scene)
    figure("paging p99 during the attacks", round(p99(took), 2), at_most=2, n=len(took), unit="s", timed=True)
    figure("peak memory above the baseline", round(max(0, grown), 1), at_most=100, n=len(KINDS), unit="MiB")
    assert told.lost == told.extra == []
    assert told.copies == told.balance == 0
