"""F35: a daemon that gets a tenth of a processor leaves evaluations out and counts them; pages still arrive."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.full import FULL, rounds
from tests.whole.paging import ONE, p99, page
from tests.whole.scene import eventually
from tests.whole.series import Watched, reckon
from tests.whole.test_web import address, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytestmark = pytest.mark.slow
GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD = 100_000  # us
SHARE = 0.1  # of one processor
COUNT = 200  # rules
INTERVAL = 0.05  # s: a look at 200 rules takes more than the 5 ms that this leaves for it
LOOKS = 15  # from which it is told when counting began
FOR = 5.0  # s that pages may take
RULE = "alert: High{0}\ncondition: health_check.{1} > 85\nnotify: pagerduty\n"
MORE = "max_gap: 1h\nweb: {listen: '127.0.0.1:0'}"


@contextmanager
def little_cpu(pid: int) -> Iterator[None]:
    """Let a process have a tenth of a processor."""
    group = GROUPS / f"alerting-test-{os.getpid()}-{pid}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * SHARE)))
    except OSError as error:
        pytest.skip(f"the processor cannot be withheld here (cgroup v1): {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (GROUPS / "cgroup.procs").write_text(str(pid))
        group.rmdir()


class Counting(Watched):
    """An app that notes how many read it at the same time, and takes a moment to answer."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.most = self._now = 0
        self._counting = threading.Lock()
        reply = self.app.reply

        def counted(path: str) -> tuple[int, str, str]:
            with self._counting:
                self._now += 1
                self.most = max(self.most, self._now)
            time.sleep(0.005)
            try:
                return reply(path)
            finally:
                with self._counting:
                    self._now -= 1

        self.app.reply = counted  # type: ignore[method-assign]
        return self


def counted(url: str) -> tuple[int, int]:
    """Read the daemon's own counters: evaluations, and those that were left out."""
    page = ask(url, "/metrics").body
    done, missed = (
        re.search(rf"^alerting_evaluations{name}_total (\d+)", page, re.MULTILINE) for name in ("", "_missed")
    )
    assert done
    assert missed
    return int(done[1]), int(missed[1])


def began(scene: Counting, url: str) -> float:
    """Give when counting began, if one slot after the other was counted, by a clock that does not step.

    It is taken from the least late of some looks: of how many slots the counters then know, and when the app was asked.
    """
    found: dict[int, float] = {}
    ends = time.monotonic() + 30
    while len(found) < LOOKS and time.monotonic() < ends:
        looks = len(scene.asked)
        done, missed = counted(url)
        if looks == len(scene.asked) == done / COUNT:  # else one is under way
            found[looks] = scene.asked[-1] - (done + missed) / COUNT * INTERVAL
        time.sleep(INTERVAL / 5)
    assert found, "evaluations and looks at the app never agree"
    return min(found.values())


@pytest.mark.timeout(1200)
def test_f35_too_little_cpu_leaves_evaluations_out_and_stacks_none(tmp_path: Path, figure: Figure) -> None:
    """200 rules twenty times a second, a page after the other, and somebody who reads the metrics all the time."""
    lasts = rounds(3, full=600)
    rules = [RULE.format("", ONE)] + [RULE.format(each, f"s{each}") for each in range(1, COUNT)]
    with Counting(tmp_path, f"{INTERVAL * 1000:g}ms", "---\n".join(rules), MORE) as scene:
        scene.say(**{ONE: 10}, **{f"s{each}": 10 for each in range(1, COUNT)})
        with scene.daemon() as daemon:
            url = address(daemon)
            eventually(lambda: len(scene.asked) > 2, "three looks")
            page(scene)
            page(scene)
            before = began(scene, url)
            took: list[float] = []
            with little_cpu(daemon.process.pid):
                ends = time.monotonic() + lasts
                looked, since = len(scene.asked), time.monotonic()
                while time.monotonic() < ends or len(took) < 2:
                    took.append(page(scene))
                    ask(url, "/metrics")
                looks = (time.monotonic() - since) / INTERVAL
                left_out = looks - (len(scene.asked) - looked)
            stacked = counted(url)[0] - COUNT * len(scene.asked)  # of one reading
            off = round((began(scene, url) - before) / INTERVAL)
            slots = sum(counted(url)) // COUNT
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told = reckon(scene)
    print(f"{left_out:.0f} of {looks:.0f} looks left out; {len(took)} pages")
    assert left_out > 0, "there was enough of it"
    figure("overlapping evaluations", scene.most - 1 + max(0, stacked), at_most=0, n=len(scene.asked))
    figure("missed evaluations that the counter is off by", abs(off) * COUNT, at_most=0, aim=not FULL, n=COUNT * slots)
    figure("page delivery p99", round(p99(took), 2), at_most=FOR, n=len(took), unit="s", timed=True)
    assert told.lost == told.extra == []
    assert told.copies == told.balance == 0
