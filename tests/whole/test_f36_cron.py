"""F36: `alerting check` from cron overlaps with itself and with a daemon, is killed, and is not run for a while."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.full import rounds, seed
from tests.tick import H, House, M, S, rule
from tests.whole.series import Watched, reckon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.figures import Figure

RULES = "alert: High\ncondition: health_check.a > 85\nnotify: pagerduty, slack\n"
HELD = 4  # the exit code of whoever finds the state in use


def start(scene: Watched) -> subprocess.Popen[bytes]:
    """Start a check as cron does; `finished` takes its code."""
    line = [sys.executable, "-m", "alerting", "check", "--quiet", "--every", "1m"]
    return subprocess.Popen(
        line,
        cwd=scene.folder,
        env=scene._environment({}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def finished(process: subprocess.Popen[bytes]) -> int:
    """Wait for a check; give its exit code."""
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f36_starts_that_overlap_and_die_evaluate_once_and_lose_nothing(tmp_path: Path, figure: Figure) -> None:
    """Four at a time, some beside a daemon; then one after another, killed at any moment."""
    number, starts, kills = seed(36), rounds(4, 200), rounds(3, 100)
    dice = random.Random(number)
    codes: Counter[int] = Counter()
    double: list[str] = []
    with Watched(tmp_path, interval="1h", rules=RULES) as scene:
        scene.say(a=10)
        for turn in range(starts // 4):
            scene.say(a=dice.choice((10, 99)))
            asked = len(scene.asked)
            if turn % 10 == 9:  # beside a daemon, whose one look this turn is
                with scene.daemon() as daemon:
                    daemon.ready()
                    ended = [finished(each) for each in [start(scene) for _ in range(4)]]
                assert ended == [HELD] * 4
                allowed = 1
            else:
                ended = [finished(each) for each in [start(scene) for _ in range(4)]]
                allowed = sum(code != HELD for code in ended)
                assert allowed >= 1, "nobody did the work"
            codes.update(ended)
            looks = len(scene.asked) - asked
            double += [f"{looks} looks by {allowed} that held the state"] if looks > allowed else []
        for _ in range(kills):
            scene.say(a=dice.choice((10, 99)))
            check = start(scene)
            time.sleep(dice.uniform(0.1, 0.7))
            check.kill()
            check.communicate(timeout=60)
        scene.say(a=10)
        while (code := finished(start(scene))) != 0:
            assert code in (1, 3), "what a kill left behind is taken up by the next run"
        told = reckon(scene)
    print(dict(codes), *double, *told.lost, *told.extra, sep="\n")
    assert set(codes) <= {0, 1, 3, HELD}
    figure("double evaluations", len(double), at_most=0, n=starts, seed=number)
    figure("lost", len(told.lost) + len(told.open), at_most=0, n=kills, seed=number)
    figure("extra incidents", len(told.extra), at_most=0, n=kills, seed=number)
    figure("copies of a message, for each kill", told.copies / kills, at_most=2, n=kills, seed=number)
    assert told.balance == 0


async def fired_at(gaps: Sequence[int], for_: int, every: int) -> int | None:
    """Run once after each gap, each time as a new process, while the condition holds; say at which run it fires."""
    house = await House(rule(for_=for_), max_gap=2 * every).open()
    for number, gap in enumerate(gaps):
        await house.restart()
        await house.tick(20, gap)
        if house.states()["High"] == "firing":
            return number
    return None


def test_f36_time_in_which_nobody_looked_is_not_time_in_pending(figure: Figure) -> None:
    """Runs of cron with gaps between them: only those of at most twice `--every` count towards `for`."""
    number, trials, every = seed(36), rounds(30, 1000), M
    dice = random.Random(number)
    wrong = []
    for _ in range(trials):
        for_ = dice.choice((0, 3 * M, 10 * M))
        gaps = [dice.choice((every, every + dice.randrange(-S, S), 2 * every, 2 * every + 1, H)) for _ in range(30)]
        held, wanted = 0, None
        for run, gap in enumerate(gaps):
            held += gap if run and gap <= 2 * every else 0
            if held >= for_:
                wanted = run
                break
        seen = asyncio.run(fired_at(gaps, for_, every))
        wrong += [f"fires at run {seen}, not {wanted}: {gaps}, for {for_}"] if seen != wanted else []
    print(*wrong[:10], sep="\n")
    figure("wrong `for`", len(wrong), at_most=0, n=trials, seed=number)
