"""F54: 5,000 rules over 50,000 series, a hundred evaluations a second, by a real daemon that asks real sources.

The full form lasts ten minutes, where the row asks for an hour: some at a quicker pace, so that what is remembered of
alerts and values is full, then six at a hundred evaluations a second, over which the slope of memory is taken.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from statistics import linear_regression
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ledger import Fake, Reply, Request
from tests.full import FULL, rounds
from tests.whole.paging import p99
from tests.whole.scene import eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytestmark = pytest.mark.slow
SOURCES = rounds(4, full=50)
VALUES = rounds(25, full=1_000)  # of each source
RULES = rounds(25, full=100)  # over each source
INTERVAL = rounds(1, full=50)  # s: a hundred rules are evaluated each second
QUICK = "200ms" if not FULL else "3s"  # until caches and histories are full
WARM, LASTS = rounds(1, full=210), rounds(3, full=390)  # s: so long at that pace, and then at the interval
RULE = "alert: R{1}\nid: r{0}.{1}\ncondition: app{0}.s{1} > 85\nnotify: pagerduty\n"
MIB = 1024 * 1024


class Apps(Fake):
    """So many apps, each at a path of its own; all values are others at each look, and the first one is too high."""

    name = "apps"

    def __init__(self) -> None:
        self.looks: Counter[str] = Counter()
        super().__init__()

    def judge(self, request: Request) -> Reply:
        self.looks[request.path] += 1
        turn = self.looks[request.path]
        values = {f"s{each}": (each * turn) % 80 for each in range(VALUES)}
        self.requests.clear()  # the ledger of a fake that is asked for so much is of no use
        return Reply.of(200, values | {"s0": 99 if turn % 2 else 10})


def held(daemon: Daemon) -> tuple[float, float, int]:
    """Give the time, the resident memory of a daemon in MiB, and how many file handles it has."""
    home = Path(f"/proc/{daemon.process.pid}")
    pages = int((home / "statm").read_text().split()[1])
    return time.monotonic(), pages * 4096 / MIB, len(list((home / "fd").iterdir()))


def lags(moments: Sequence[int]) -> list[float]:
    """Give by how much each evaluation of one batch was later than the most punctual one, s."""
    pace = INTERVAL * 1000
    offs = [at - round((at - moments[0]) / pace) * pace for at in moments]
    return [(off - min(offs)) / 1000 for off in offs]


@pytest.mark.timeout(1200)
def test_f54_five_thousand_rules_are_on_time_and_memory_is_flat(tmp_path: Path, figure: Figure) -> None:
    """Of each source one alert begins or ends at each look: when it did so is when its hundred rules were judged."""
    texts = [RULE.format(source, number) for source in range(SOURCES) for number in range(RULES)]
    with Apps() as apps, Series(tmp_path, QUICK, "---\n".join(texts)) as scene:
        sources = [f"  app{each}: {{type: health, url: {apps.url}/{each}}}\n" for each in range(SOURCES)]
        scene.settings(scene.settings_text().replace("receivers:\n", f"{''.join(sources)}receivers:\n"))
        with scene.daemon() as daemon:
            daemon.ready()
            time.sleep(WARM)
            text = (tmp_path / "alerting.yaml").read_text()
            scene.settings(text.replace(f"interval: {QUICK}", f"interval: {INTERVAL}s"))
            daemon.signal(signal.SIGHUP)
            eventually(lambda: '"action": "reloaded"' in daemon.log, "the interval")
            began, looks = time.time(), []
            while time.time() - began < LASTS:
                time.sleep(LASTS / 200)
                looks.append(held(daemon))
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        with closing(scene.state()) as state:
            rows = state.execute("SELECT rule_id, at FROM transition WHERE rule_id LIKE 'r%.0' ORDER BY at").fetchall()
        evaluated = sum(apps.looks.values()) * RULES
    moments: defaultdict[str, list[int]] = defaultdict(list)
    for rule, at in rows:
        if at >= 1000 * (began + INTERVAL):  # what was under way at the reload is of the quicker pace
            moments[rule].append(at)
    late = [lag for each in moments.values() for lag in lags(each)]
    assert len(moments) == SOURCES
    assert late
    times, memory, handles = zip(*looks, strict=True)
    slope = linear_regression(times, memory).slope * 3600
    print(f"{evaluated} evaluations; memory {memory[0]:.1f} to {memory[-1]:.1f} MiB; lag at most {max(late):.3f} s")
    figure("lag p99", round(p99(late), 3), at_most=1, n=len(late) * RULES, unit="s", timed=True)
    # Of a few seconds it says nothing.
    figure("slope of memory", round(slope, 2), at_most=1, n=len(looks), unit="MiB/h", aim=not FULL)
    half = len(handles) // 2
    grown = min(handles[half:]) - min(handles[:half])
    figure("growth of file handles", max(0, grown), at_most=0, n=len(handles))
    told = reckon(scene)
    assert told.extra == []
    assert told.copies == told.balance == 0
    assert json.loads(scene.run("status", "--output", "json").stdout)
