"""The simulator itself: it finds nothing, finds what is planted, and plays a seed the same way always."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.full import rounds
from tests.simulate.gallery import GALLERY
from tests.simulate.mistakes import find, planted
from tests.simulate.run import simulate

QUICK = (
    "lost_answer_taken_for_success",
    "unknown_resolves",
    "durations_by_the_wall",
    "each_alert_lets_its_group_wait_anew",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(rounds(10, 200)))
def test_nothing_is_lost_doubled_or_said_without_reason_whatever_fails(seed: int) -> None:
    """One seed: faults of sources, receivers, disk, clocks and ourselves, then rest; the judge finds nothing."""
    outcome = simulate(seed, rounds(1, 2))
    assert not outcome.violation, f"python -m tests.simulate --seed {seed} --hours {rounds(1, 2)}"
    assert outcome.faults


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_mistake_is_found(name: str) -> None:
    """Four of the gallery, of sending, judging, time and telling; `make simulate MISTAKES=1` looks for all."""
    assert find(name, longest=60).violation


@pytest.mark.parametrize("name", sorted(GALLERY))
def test_every_mistake_can_be_planted_and_taken_back(name: str) -> None:
    """The gallery follows the code: what a mistake changes is there, and is as before afterwards."""
    with planted(name):
        pass


def test_the_gallery_is_large_enough() -> None:
    """At least twenty mistakes, each with a sentence."""
    assert len(GALLERY) >= 20
    assert all((planting.__doc__ or "").strip().endswith(".") for planting in GALLERY.values())


def test_a_seed_gives_the_same_history_in_every_process() -> None:
    """Byte for byte, with other hashes of texts in each process, and after another seed in the same one."""
    histories = [_history(hash_seed) for hash_seed in ("0", "1")]
    simulate(8, 0.2)
    again = "\n".join(simulate(7, 0.3, keep_history=True).history)
    assert histories[0] == histories[1] == again
    assert len(again) > 10_000


def _history(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulate", "--seed", "7", "--hours", "0.3"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.rstrip("\n")
