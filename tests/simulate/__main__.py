"""`python -m tests.simulate`: play seeds, replay one, or look whether planted mistakes are found."""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.simulate import mistakes
from tests.simulate.gallery import GALLERY
from tests.simulate.processes import look_for, settle_collector, workers
from tests.simulate.run import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.simulate.run import Outcome

H = 3_600_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 1 when something was found that must not be, or a mistake was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds (20)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--hours", type=float, default=2.0, help="simulated hours of each, until faults end (2)")
    parser.add_argument("--seed", type=int, help="play one seed and print its history")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--mistakes", action="store_true", help="plant one mistake after another; each must be found")
    parser.add_argument("--only", default="", help="with --mistakes or --seed: this mistake alone")
    options = parser.parse_args(arguments)
    if options.only and options.only not in GALLERY:
        parser.error(f"there is no mistake {options.only!r}; there are: {', '.join(GALLERY)}")
    settle_collector()
    if options.seed is not None:
        return _replay(options.seed, options.hours, options.only)
    if options.mistakes:
        return _gallery([options.only] if options.only else list(GALLERY), options.jobs)
    return _play(range(options.first, options.first + options.seeds), options.hours, options.jobs)


def _replay(seed: int, hours: float, mistake: str) -> int:
    with mistakes.planted(mistake):
        outcome = simulate(seed, hours, keep_history=True)
    print("\n".join(outcome.history))
    return bool(outcome.violation)


def _play(seeds: range, hours: float, jobs: int) -> int:
    """Play seeds, each by itself, and print what came of all of them."""
    began = time.monotonic()
    found: list[Outcome] = []
    with workers(jobs) as pool:
        for outcome in pool.map(partial(simulate, hours=hours), seeds):
            found.append(outcome)
            if outcome.violation:
                print(f"seed {outcome.seed}: {outcome.violation}", flush=True)
                print(f"  python -m tests.simulate --seed {outcome.seed} --hours {hours:g}", flush=True)
    print(_figures(found, time.monotonic() - began, jobs))
    return any(outcome.violation for outcome in found)


def _figures(found: Sequence[Outcome], seconds: float, jobs: int) -> str:
    simulated = sum(outcome.simulated for outcome in found)
    processor = sum(outcome.processor for outcome in found)
    bad = sum(bool(outcome.violation) for outcome in found)
    counts = {
        "faults": sum(outcome.faults for outcome in found),
        "lives of the program": sum(outcome.lives for outcome in found),
        "messages owed": sum(outcome.messages for outcome in found),
        "requests": sum(outcome.requests for outcome in found),
        "accepted twice": sum(outcome.duplicates for outcome in found),
    }
    bound = f" (below {3 / len(found):.2g} of seeds with 95 % confidence)" if not bad else ""
    return "\n".join(
        (
            f"{len(found)} seeds, {simulated / H:,.1f} simulated hours: {bad} with a violation{bound}",
            ", ".join(f"{number:,} {what}" for what, number in counts.items()),
            f"{counts['faults'] / simulated * H:.0f} faults an hour",
            f"{seconds:.1f} s: {simulated / 1000 / seconds:,.0f} : 1 with {jobs} processes",
            f"{processor:.1f} s of processor time: {simulated / 1000 / processor:,.0f} : 1 for each core",
        )
    )


def _gallery(names: Iterable[str], jobs: int) -> int:
    """Plant each mistake and play seeds until it is found."""
    missed = 0
    with workers(jobs) as pool:
        for find in pool.map(look_for, names):
            missed += not find.violation
            how = f"{find.seeds:>3} seeds {find.seconds:6.1f} s" if find.violation else "NOT FOUND"
            print(f"{how}  {find.name}: {find.violation}", flush=True)
    print("every mistake was found" if not missed else f"{missed} not found")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
