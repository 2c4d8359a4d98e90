"""F33: a real daemon is stopped (SIGSTOP, a paused machine) and goes on: no burst, no alert from the gap."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ledger import Step
from tests.full import rounds, seed
from tests.whole.scene import eventually
from tests.whole.series import Watched, reckon
from tests.whole.test_web import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytestmark = pytest.mark.slow
INTERVAL = 0.5  # s
RULES = """\
alert: High
condition: health_check.a > 85
notify: pagerduty
---
alert: Ripe
condition: health_check.b > 85
for: 2s
notify: pagerduty
---
alert: Idle
condition: health_check.c > 85
notify: pagerduty
"""
COUNT = 3  # rules
MORE = "max_gap: 1s\nunknown_after: 1s\nweb: {listen: '127.0.0.1:0'}"


def counted(url: str, what: str) -> int:
    """Read one of the daemon's own counters."""
    found = re.search(rf"^alerting_evaluations{what}_total (\d+)", ask(url, "/metrics").body, re.MULTILINE)
    assert found, ask(url, "/metrics").body
    return int(found[1])


@pytest.mark.timeout(600)
def test_f33_a_daemon_that_was_stopped_looks_once_and_counts_the_rest(tmp_path: Path, figure: Figure) -> None:
    """Pauses of a second or more at an interval of half a second, while messages are under way and a `for` runs."""
    number, pauses = seed(33), rounds(3, 50)
    dice = random.Random(number)
    bursts: list[str] = []
    with Watched(tmp_path, rules=RULES, more=MORE) as scene:
        scene.say(a=10, b=10, c=10)
        with scene.daemon() as daemon:
            daemon.ready()
            serving = next(each for each in map(json.loads, daemon.log.splitlines()) if each["action"] == "serving")
            url = serving["address"]
            eventually(lambda: len(scene.asked) > 2, "three looks")
            first = scene.asked[2] - 2 * INTERVAL  # the first look itself takes longer: it sets things up
            for _ in range(pauses):
                scene.pagerduty.clear()
                scene.pagerduty.script(Step(delay=dice.uniform(0, 1)))
                scene.say(a=dice.choice((10, 99)), b=99)
                looked = len(scene.asked)
                eventually(lambda looked=looked: len(scene.asked) > looked, "a look")  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.2))
                daemon.signal(signal.SIGSTOP)
                # It goes on in the middle of a slot, so that what was passed over can be counted to the one.
                slot = int((time.monotonic() - first) / INTERVAL) + dice.randrange(5, rounds(6, 12))
                time.sleep(max(0, first + (slot + 0.5) * INTERVAL - time.monotonic()))
                went_on = time.monotonic()
                daemon.signal(signal.SIGCONT)
                next_slot = first + (int((went_on - first) / INTERVAL) + 1) * INTERVAL - 0.05
                time.sleep(max(0, next_slot - time.monotonic()))
                looks = sum(went_on <= at < next_slot for at in scene.asked)
                bursts += [f"{looks} looks in the first interval"] if looks > 1 else []
                scene.say(b=10)
                time.sleep(dice.uniform(0.6, 1))
            scene.pagerduty.clear()
            scene.say(a=10, b=10)
            scene.come_to_rest()
            off = evaluated = -1
            for _ in range(5):  # asked between two looks; on a busy machine the answer may come after the next one
                quiet = first + (int((time.monotonic() - first) / INTERVAL) + 1.4) * INTERVAL
                time.sleep(quiet - time.monotonic())
                slots = int((quiet - first) / INTERVAL) + 1
                off = counted(url, "_missed") - COUNT * (slots - len(scene.asked))
                evaluated = counted(url, "") - COUNT * len(scene.asked)
                if off == evaluated == 0:
                    break
            assert daemon.end() == 0
        told = reckon(scene, lambda rule: rule.endswith(":High"))
    false_pages = [
        each for each in map(json.dumps, scene.pagerduty.accepted) if '"High' not in each and "resolve" not in each
    ]
    print(*bursts, *false_pages, *told.lost, *told.extra, sep="\n")
    figure("false pages", len(false_pages), at_most=0, n=pauses, seed=number)
    figure("pauses after which a rule was evaluated twice in the first interval", len(bursts), at_most=0, n=pauses)
    figure("missed evaluations that the counter is off by", abs(off), at_most=0, n=pauses, seed=number)
    figure("lost, or doubled by a lease from before", len(told.lost + told.extra), at_most=0, n=told.episodes)
    assert evaluated == 0
    assert told.copies == told.balance == 0
