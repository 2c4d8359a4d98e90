"""Timing whole commands in turn, A B A B …, so that a drift of the machine falls on both; medians are quoted."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Cost(NamedTuple):
    """What one run took: seconds of wall, seconds of CPU."""

    wall: float
    cpu: float


def once(line: Sequence[str], folder: Path, codes: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end; its exit code must be one of `codes`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(line, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in codes, f"{line}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def paired(ours: Sequence[str], peer: Sequence[str], folder: Path, runs: int, codes: Sequence[int] = (0,)) -> str:
    """Run both in turn and say what they took and the median of the ratios."""
    once(ours, folder, codes)
    once(peer, folder)
    rows = [(once(ours, folder, codes), once(peer, folder)) for _ in range(runs)]
    walls = statistics.median(mine.wall / theirs.wall for mine, theirs in rows)
    cpus = statistics.median(mine.cpu / theirs.cpu for mine, theirs in rows)
    mine = statistics.median(row[0].wall for row in rows) * 1e3
    theirs = statistics.median(row[1].wall for row in rows) * 1e3
    return f"{walls:.3f} (wall {mine:.0f} ms to {theirs:.0f} ms; CPU ratio {cpus:.3f}; {runs} pairs)"


def process(pid: int) -> tuple[float, float]:
    """Give the CPU seconds that a process has used so far, and its resident memory in MiB."""
    with open(f"/proc/{pid}/schedstat") as file:  # noqa: PTH123  a kernel file
        main_thread = int(file.read().split()[0]) / 1e9
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        words = file.read().rpartition(")")[2].split()
    ticks = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024
    return max(ticks, main_thread), resident
