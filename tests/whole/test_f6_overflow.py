"""F6: a rule that suddenly has 100,000 series holds up nobody else, and takes nothing from what fires."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.fakes.page import Page
from tests.full import FULL, rounds
from tests.whole.paging import p99
from tests.whole.series import Watched

if TYPE_CHECKING:
    from tests.figures import Figure

pytestmark = pytest.mark.slow
INTERVAL = 0.2  # s, of the others
COUNT = 50  # of them
PACE = "1s" if not FULL else "5s"  # of the rule that has too many
OTHER = "alert: Other{0}\ncondition: health_check.other > {0}\ninterval: 200ms\nnotify: slack\n"
RULES = "---\n".join(["alert: High\ncondition: load > 85\nnotify: pagerduty\n", *map(OTHER.format, range(COUNT))])


class Both(Watched):
    """A metrics page, whose series become many; and an app that notes when it was asked."""

    def __init__(self, folder: Path, interval: str, rules: str) -> None:
        self.page = Page()
        super().__init__(folder, interval, rules)

    def __enter__(self) -> Self:
        self._open.enter_context(self.page)
        return super().__enter__()

    def settings_text(self, more: str | None = None) -> str:
        """Give the settings."""
        source = f"  jobs: {{type: prometheus, url: {self.page.url}/metrics}}\n"
        return super().settings_text(more).replace("receivers:\n", f"{source}receivers:\n")

    def say(self, **values: float) -> None:
        """Change series of the page."""
        self.values.update(values)
        self.page.text = "".join(f'load{{db="{name}"}} {value}\n' for name, value in self.values.items())


def peak(pid: int) -> float:
    """Give the most memory that a process ever held, MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


@pytest.mark.timeout(600)
def test_f6_others_are_on_time_while_a_rule_has_too_many_series(tmp_path: Path, figure: Figure) -> None:
    """Three fire; then there are thousands, for a while; then three again: nothing began, nothing ended."""
    appeared, lasts = rounds(5_000, full=100_000), rounds(3, full=120)
    with Both(tmp_path, PACE, RULES) as scene:
        scene.app.set_fields(other=-1)
        scene.say(a=99, b=99, c=99)
        with scene.daemon() as daemon:
            daemon.ready()
            scene.come_to_rest()
            before, events = peak(daemon.process.pid), len(scene.pagerduty.accepted)
            kept = dict(scene.values)
            scene.say(**{f"s{each}": 99 for each in range(appeared - 3)})
            looked = len(scene.asked)
            time.sleep(lasts)
            asked = scene.asked[looked:]
            scene.values.clear()
            scene.say(**kept)
            time.sleep(rounds(2, full=10))
            grown = peak(daemon.process.pid) - before
            said = scene.pagerduty.accepted[events:]
            ended = [each for each in said if each["event_action"] == "resolve" and "High resolved" in str(each)]
            assert [each for each in daemon.log.splitlines() if "RuleBlind" in each]
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
    lags = [max(0.0, later - earlier - INTERVAL) for earlier, later in pairwise(asked)]
    figure("cleared alerts", len(ended), at_most=0, n=3)
    figure("peak memory above the baseline", round(grown), at_most=200, n=1, unit="MiB")
    figure("lag of the others p99", round(p99(lags), 3), at_most=1, n=COUNT * len(lags), unit="s", timed=True)
