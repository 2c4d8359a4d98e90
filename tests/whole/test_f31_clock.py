"""F31: the wall clock steps under a real daemon, by a library that shifts CLOCK_REALTIME of that process alone."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import subprocess
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds, seed
from tests.whole.scene import eventually
from tests.whole.series import Watched

if TYPE_CHECKING:
    from tests.figures import Figure

pytestmark = pytest.mark.slow
INTERVAL = 0.5  # s
RIPENS = 1.5  # s, the `for` of Ripe
HOUR, DAY = 3_600, 86_400
STEPS = (-1, 1, HOUR, -HOUR, DAY, -DAY)  # s; a leap second that is repeated is a step of -1
ROUTE = "route: {receiver: pagerduty, group_wait: 0s, group_interval: 1s, repeat_interval: 4h}"
RULES = """\
alert: Never
condition: health_check.a > 85
for: 30m
---
alert: Always
condition: health_check.a > 80
---
alert: Quiet
condition: health_check.b > 85
keep_firing_for: 30m
---
alert: Ripe
condition: health_check.c > 85
for: 1500ms
"""
NEGATIVE = re.compile(r"(?<![\w.:-])-\d+(\.\d+)? ?(ms|s|m|min|h|d)\b")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler: the wall clock of a process cannot be shifted")
    made = tmp_path_factory.mktemp("wall") / "wall.so"
    source = Path(__file__).parent / "wall.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source], check=True, timeout=60)
    return made


class Wall:
    """How far the daemon's wall is off."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wall"
        self.seconds = 0
        self.path.write_bytes(struct.pack("q", 0))

    def step(self, by: int) -> None:
        """Let it step; the file is written in place, as it is mapped."""
        self.seconds += by
        with self.path.open("r+b") as file:
            file.write(struct.pack("q", self.seconds * 1_000_000_000))


def about(scene: Watched, name: str) -> list[str]:
    """Give what PagerDuty was told of a rule's alert: trigger, resolve, in order."""
    said: dict[str, str] = {}
    found = []
    for event in scene.pagerduty.accepted:
        key = event["dedup_key"]
        said.setdefault(key, json.dumps(event))
        if f'"{name}' in said[key]:
            found.append(event["event_action"])
    return found


def told(scene: Watched, what: str, times: int) -> bool:
    """Tell whether PagerDuty was told so of Ripe so many times."""
    return about(scene, "Ripe").count(what) == times


@pytest.mark.timeout(600)
def test_f31_a_real_daemon_keeps_its_durations_and_its_pace(tmp_path: Path, library: Path, figure: Figure) -> None:
    """Steps of a second, an hour, a day, both ways: nothing ripens, ends, or is repeated by them."""
    number, steps = seed(31), rounds(8, 100)
    dice, wall = random.Random(number), Wall(tmp_path)
    ripened, wanted = [], 0
    with Watched(tmp_path, rules=RULES, more=ROUTE) as scene:
        scene.say(a=99, b=99, c=10)
        with scene.daemon(LD_PRELOAD=str(library), ALERTING_WALL=str(wall.path)) as daemon:
            daemon.ready()
            eventually(lambda: len(scene.pagerduty.incidents.open) == 2, "Always and Quiet")
            scene.say(b=10)
            begins = len(scene.asked)
            for step in range(steps):
                if step % 4 == 0:  # Ripe begins, and must ripen over the steps that come
                    scene.say(c=99)
                    wanted += 1
                    asked, since = len(scene.asked), time.monotonic()
                by = dice.choice(STEPS)
                wall.step(by if abs(wall.seconds + by) < 20 * DAY else -by)
                time.sleep(dice.uniform(0.2, 0.9))
                if step % 4 == 3:
                    eventually(partial(told, scene, "trigger", wanted), "that Ripe fires", 10)
                    ripened.append(time.monotonic() - max(since, *scene.asked[asked : asked + 1]))
                    scene.say(c=10)
                    eventually(partial(told, scene, "resolve", wanted), "that it is over", 10)
            asked_at = scene.asked[begins:]
            seen = daemon.log.count('"action": "clock_stepped"')
            assert daemon.end() == 0
        log = daemon.log
        false_pages = [
            *about(scene, "Never"),
            *["Always again"] * (len(about(scene, "Always")) - 1),
            *["Quiet again"] * (about(scene, "Quiet").count("trigger") - 1),
            *["Ripe too soon"] * sum(each < RIPENS - 0.01 for each in ripened),
        ]
        false_ends = [each for name in ("Always", "Quiet") for each in about(scene, name) if each == "resolve"]
        passed_over = [b - a for a, b in pairwise(asked_at) if b - a > 2 * INTERVAL]
        texts = [*log.splitlines(), *map(json.dumps, scene.pagerduty.accepted)]
        negative = [each for each in texts if NEGATIVE.search(each) and "the wall clock has stepped" not in each]
    print(*false_pages, *passed_over, *negative, sep="\n")
    assert seen >= steps // 2, "the steps were not seen at all"  # one that is taken back at once may not be
    assert "Traceback" not in log
    figure("false pages", len(false_pages), at_most=0, n=steps, seed=number)
    figure("false resolves", len(false_ends), at_most=0, n=steps, seed=number)
    figure("missed evaluations", len(passed_over), at_most=0, n=len(asked_at), seed=number)
    figure("negative durations", len(negative), at_most=0, n=len(texts), seed=number)
