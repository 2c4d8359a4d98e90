"""F25: signals at any moment: while starting, while sending, during a long back-off, while reloading, twice."""

from __future__ import annotations

import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ledger import Step
from tests.full import rounds, seed
from tests.whole.scene import eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytestmark = pytest.mark.slow
STREETS = 2  # deployments side by side
HANGS, GRACE = 12.0, 8.0  # s
RULES = "alert: High\ncondition: jobs.load > 85\nnotify: pagerduty, slack\n"


class Street:
    """One deployment, whose daemon gets signals without end."""

    def __init__(self, folder: Path, number: int, signals: int) -> None:
        folder.mkdir()
        self.scene = Series(folder, rules=RULES)
        self.dice = random.Random(number)
        self.left = signals
        self.sent = self.lives = self.stops = self.twice = 0
        self.took: list[float] = []
        self.wrong: list[str] = []

    def live(self) -> None:
        """Play until all signals are used up, then let it come to rest."""
        with self.scene as scene:
            while self.left > 0:
                self._life(scene)
            log = scene.end_well()
            self.reckoning = reckon(scene)
            self.wrong += ["a trace"] if "Traceback" in log else []

    def _life(self, scene: Series) -> None:
        """Start a daemon, let alerts come and go under receivers of any mood, signal, and see how it ends."""
        dice = self.dice
        self.lives += 1
        for fake in (scene.pagerduty, scene.slack):
            fake.clear()
            fake.script(*(self._mood() for _ in range(dice.randrange(6))))
        daemon = scene.start()
        try:
            if dice.random() < 0.9:
                daemon.ready()
            else:  # while it starts
                time.sleep(dice.uniform(0, 0.6))
            while True:
                scene.say(**{name: dice.choice((10.0, 99.0)) for name in "abcd"})
                time.sleep(dice.uniform(0, 0.5))
                self.left -= 1
                self.sent += 1
                if self.left > 0 and dice.random() < 0.4 and f'"pid": {daemon.process.pid},' in daemon.log:
                    daemon.signal(signal.SIGHUP)
                    continue
                self._stop(daemon)
                return
        finally:
            daemon.kill()

    def _mood(self) -> Step:
        return self.dice.choice(
            (
                Step(delay=self.dice.uniform(0, 0.4)),
                Step(delay=self.dice.uniform(0, 0.4), times=3),
                Step(status=500),
                Step(status=429, headers={"Retry-After": str(rounds(2, 20))}),
                Step(wire="reset"),
                Step(delay=HANGS) if self.dice.random() < rounds(0, 1) / 10 else Step(status=503, times=4),
            )
        )

    def _stop(self, daemon: Daemon) -> None:
        """Ask it to end, perhaps twice, and take the time."""
        number = self.dice.choice((signal.SIGTERM, signal.SIGINT))
        young = f'"pid": {daemon.process.pid},' not in daemon.log
        began = time.monotonic()
        daemon.signal(number)
        self.stops += 1
        again = self.left > 0 and self.dice.random() < 0.25
        if again:
            time.sleep(self.dice.uniform(0, 0.3))
            if daemon.process.poll() is None:
                began = time.monotonic()
                daemon.signal(number)
                self.left -= 1
                self.sent += 1
                self.twice += 1
        code = daemon.process.wait(60)
        self.took.append(time.monotonic() - began)
        if code not in {0, *((128 + number, -number) if again or young else ())}:
            self.wrong.append(f"exit {code} after {signal.Signals(number).name}")


@pytest.mark.timeout(1200)
def test_f25_a_daemon_that_is_signalled_ends_in_time_and_loses_nothing(tmp_path: Path, figure: Figure) -> None:
    """TERM, INT and HUP at random moments, some twice: within 10 s it is over; all that was owed arrives later."""
    number, signals = seed(25), rounds(10, 200)
    streets = [Street(tmp_path / str(each), number + each, signals // STREETS) for each in range(STREETS)]
    threads = [threading.Thread(target=street.live) for street in streets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = [each for street in streets for each in street.took]
    told = [street.reckoning for street in streets]
    wrong = [each for street in streets for each in street.wrong]
    lost = [each for reckoning in told for each in (*reckoning.lost, *reckoning.open)]
    episodes, stops = sum(each.episodes for each in told), len(took)
    print(*wrong, *lost, sep="\n")
    sent = sum(street.sent for street in streets)
    assert sent >= signals
    figure("longest way from the signal to the end", max(took), at_most=10, n=stops, seed=number, unit="s", timed=True)
    figure("lost", len(lost), at_most=0, n=episodes, seed=number)
    figure("extra incidents", sum(len(each.extra) for each in told), at_most=0, n=episodes, seed=number)
    figure("copies of one message, for each stop", sum(each.copies for each in told) / stops, at_most=2, n=stops)
    figure("other exit codes, and traces", len(wrong), at_most=0, n=sent, seed=number)
    assert [each.balance for each in told] == [0] * STREETS


def test_f25_a_reload_that_is_asked_for_during_the_start_is_obeyed(tmp_path: Path, figure: Figure) -> None:
    """HUP as soon as the state file is there: it waits until the daemon can obey it, and ends nothing."""
    lives, ended = rounds(2, 20), 0
    with Series(tmp_path, rules=RULES) as scene:
        for _ in range(lives):
            (tmp_path / "alerting.db.lock").unlink(missing_ok=True)
            (tmp_path / "alerting.db").unlink(missing_ok=True)
            (tmp_path / "daemon.log").unlink(missing_ok=True)
            with scene.daemon() as daemon:
                eventually((tmp_path / "alerting.db.lock").exists, "the lock")
                daemon.signal(signal.SIGHUP)
                eventually(lambda daemon=daemon: ended_or_reloaded(daemon), "the reload")  # type: ignore[misc]
                ended += daemon.process.poll() is not None
    figure("daemons that HUP ended while they started", ended, at_most=0, n=lives)


def ended_or_reloaded(daemon: Daemon) -> bool:
    """Tell whether it is known how it took the signal."""
    return daemon.process.poll() is not None or '"action": "reloaded"' in daemon.log
