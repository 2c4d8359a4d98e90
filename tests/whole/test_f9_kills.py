"""F9: `kill -9` at any moment, while alerts fire, end and are sent; the next start goes on as if nothing had been."""

from __future__ import annotations

import json
import math
import random
import statistics
import threading
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ledger import Step
from tests.full import rounds, seed
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure

pytestmark = pytest.mark.slow
STREETS = 2  # deployments side by side
FOR = 3.0  # s: longer than most lives
FALLEN = 10.0  # the value of what is well
RULES = f"""\
alert: High
condition: jobs.load{{db!="patient"}} > 85
notify: pagerduty, slack
---
alert: Patient
condition: jobs.load{{db="patient"}} > 85
for: {FOR:g}s
notify: pagerduty, slack
"""


class Street:
    """One deployment, whose daemon is killed again and again."""

    def __init__(self, folder: Path, number: int, kills: int) -> None:
        folder.mkdir()
        self.scene = Series(folder, rules=RULES)
        self.dice = random.Random(number)
        self.kills = kills
        self.in_flight = 0  # messages to Slack that were claimed when their daemon was killed
        self.began: list[float] = []  # from the start of a process to its first evaluation, s

    def live(self) -> None:
        """Kill as often as is wanted, then let it come to rest."""
        with self.scene as scene:
            for number in range(self.kills):
                self._life(scene, number)
            assert "Traceback" not in scene.end_well()
            self.reckoning = reckon(scene)
            with closing(scene.state()) as state:
                sent = "SELECT count(*) FROM delivery WHERE receiver = 'slack' AND state = 'sent'"
                self.copies = len(scene.slack.accepted) - state.execute(sent).fetchone()[0]
                moves = "SELECT at, record FROM transition WHERE rule_id LIKE '%:Patient' ORDER BY seq"
                self.waits = _waits([(at, json.loads(text)) for at, text in state.execute(moves)])

    def _life(self, scene: Series, number: int) -> None:
        """Two alerts begin or end, and the daemon is killed while it starts, judges, commits or sends."""
        dice = self.dice
        odd, even = ((99.0, FALLEN), (FALLEN, 99.0))[number % 2]
        scene.say(a=odd, b=even, patient=99.0 if number % 16 < 11 else FALLEN)
        fake = dice.choice((scene.pagerduty, scene.slack))
        fake.clear()
        fake.script(Step(delay=dice.uniform(0, 0.04), times=4))
        log = scene.folder / "daemon.log"
        said, began = log.stat().st_size if log.exists() else 0, time.time()
        daemon = scene.start()
        try:
            if dice.random() < 0.9:
                daemon.ready()
            time.sleep(dice.uniform(0, 0.8))
        finally:
            daemon.kill()
        self.began += [at - began for at in _judged(log.read_bytes()[said:])[:1]]
        with closing(scene.state()) as state:
            claimed = "SELECT count(*) FROM delivery WHERE receiver = 'slack' AND state = 'claimed'"
            self.in_flight += state.execute(claimed).fetchone()[0]


def _judged(log: bytes) -> list[float]:
    """When a daemon said that an alert moved, s; the values had changed before it started."""
    lines = [json.loads(line) for line in log.splitlines() if b'"action": "transition"' in line and line.endswith(b"}")]
    return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]


def _waits(moves: list[tuple[int, dict[str, str]]]) -> list[float]:
    """Give how long the alert pended each time until it fired, s; without end where it began anew though it held.

    Quick lives may be over before the time is: a value that fell by then is no fault.
    """
    waits, since = [], None
    for at, move in moves:
        if move["after"] == "pending":
            since = at
        elif move["before"] == "pending" and since is not None:
            fell = f"= {FALLEN:g}, not" in move["why"]
            waits += [(at - since) / 1000] if move["after"] == "firing" else [] if fell else [math.inf]
    return waits


@pytest.mark.timeout(1800)
def test_f9_a_daemon_that_is_killed_loses_nothing_and_pages_nobody_twice(tmp_path: Path, figure: Figure) -> None:
    """Two alerts begin or end with each life, and a third one has to pend through several of them."""
    number, kills = seed(9), rounds(50, full=1000)
    streets = [Street(tmp_path / str(each), number + each, kills // STREETS) for each in range(STREETS)]
    threads = [threading.Thread(target=street.live) for street in streets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [street.reckoning for street in streets]
    lost = [each for reckoning in told for each in reckoning.lost]
    extra = [each for reckoning in told for each in (*reckoning.extra, *reckoning.open)]
    copies = sum(street.copies for street in streets)
    waits = [wait for street in streets for wait in street.waits]
    began = [each for street in streets for each in street.began]
    print(*lost, *extra, f"{sum(each.episodes for each in told)} episodes", sep="\n")
    figure("lost", len(lost), at_most=0, n=kills, seed=number)
    figure("extra incidents", len(extra), at_most=0, n=kills, seed=number)
    in_flight = sum(street.in_flight for street in streets)
    figure("Slack copies beyond what was in flight", max(0, copies - in_flight), at_most=0, n=in_flight, seed=number)
    figure("Slack copies for each kill", copies / kills, at_most=0.1, n=kills, seed=number)
    figure("alerts that had to begin to pend anew", waits.count(math.inf), at_most=0, n=len(waits), seed=number)
    figure("shortest time of pending", min(waits), at_least=FOR, n=len(waits), seed=number, unit="s")
    # The longest of many starts is that of the machine's worst moment: two deployments and the rest of the tests share
    # its processors. So it is an aim, and what a start usually takes is the judge.
    figure("first evaluation after a start", max(began), at_most=2, n=len(began), seed=number, unit="s", aim=True)
    figure(
        "the same, in the middle", statistics.median(began), at_most=2, n=len(began), seed=number, unit="s", timed=True
    )
    assert [each.balance for each in told] == [0] * STREETS
