"""The figures of the fault rows: what a test measured, beside what is asked for.

A test of a row carries the row in its name (`test_f9_…`, of several: `test_f19_f21_…`) and states each figure by the
fixture `figure`:

    figure("lost", len(lost), at_most=0, n=kills, seed=seed)

The figure is printed and judged: one that misses its target fails the test, or with `aim=True` is only recorded as
missed. A time of this machine is `timed=True`: the short form also runs where others keep the machine busy, and fails
only where the target is missed by far. Where ALERTING_FIGURES names a file, a figure is kept there with the test's
outcome, and `make faults` makes docs/faults.md of them. ALERTING_ROWS leaves only the tests of some rows: `F9,F12`, or
`all` that have one.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.full import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence

# Times its target, a time may take in the short form: four times what it takes at rest was seen, CPU time included.
SHARED = 10

_NAME = re.compile(r"test_((?:f\d+_)+)")


class Figure:
    """States one figure of the row that the running test is named after.

    `n`: independent trials. `seed`: with which they can be run again. `unit`: of the value and its bounds.
    `row`: only this one of the rows in the test's name.
    """

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def __call__(
        self,
        name: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        n: int | None = None,
        seed: int | str | None = None,
        unit: str = "",
        row: str | None = None,
        aim: bool = False,
        timed: bool = False,
    ) -> None:
        """State it. Fails when the target is missed, unless it is only aimed at; a time in the short form, by far."""
        rows = rows_of(self._node.nodeid)
        assert rows, "a figure belongs to a row, and the test's name says to which"
        assert row is None or row in rows, f"{row} is not in the test's name"
        enough = at_least is None or value >= at_least
        met = enough and (at_most is None or value <= at_most)
        bounds = {"at most": at_most, "at least": at_least}
        target = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        told = {"rows": [row] if row else list(rows), "name": name, "value": value, "unit": unit, "target": target}
        told |= {"met": met, "n": n, "seed": seed}
        self._node.user_properties.append(("figure", told))
        line = f"{'/'.join(rows)}: {name} {value:g} {unit} ({target or 'no target'}; n={n}, seed={seed})"
        print("\n" + line)
        near = timed and not FULL and enough and at_most is not None and value <= SHARED * at_most
        assert met or aim or near, line


def rows_of(nodeid: str) -> tuple[str, ...]:
    """Give the rows in a test's name: `…::test_f19_f21_an_answer[x]` is of F19 and F21."""
    named = _NAME.match(nodeid.partition("[")[0].rpartition("::")[2])
    return tuple(named.group(1).upper().strip("_").split("_")) if named else ()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Give the means to state what was measured."""
    return Figure(request.node)


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the tests of the rows that ALERTING_ROWS names, where it is set."""
    wanted = os.environ.get("ALERTING_ROWS", "").upper()
    if not wanted:
        return
    rows = set(wanted.replace(",", " ").split())
    left = [each for each in items if rows & {"ALL", *rows_of(each.nodeid)} and rows_of(each.nodeid)]
    config.hook.pytest_deselected(items=[each for each in items if each not in left])
    items[:] = left


def begun() -> None:
    """Keep what is run, where and when, before the first figure."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    software = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    _write(
        {"run": {"commit": _commit(), "at": int(time.time()), "machine": machine, "software": software, "full": FULL}}
    )


def kept(report: pytest.TestReport) -> None:
    """Keep a test's outcome and figures; called where the results come together."""
    rows = rows_of(report.nodeid)
    # A worker of xdist that died, and its test with it, is reported as of no phase at all.
    ended = report.when == "call" or report.outcome == "failed" or (report.when == "setup" and report.skipped)
    if not rows or not ended:
        return
    figures: Sequence[object] = [value for name, value in report.user_properties if name == "figure"]
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    line = {"test": report.nodeid, "rows": rows, "outcome": report.outcome, "seconds": round(report.duration, 2)}
    _write(line | {"why": why, "figures": figures})


def finished(seconds: float) -> None:
    """Keep that the run came to its end."""
    _write({"seconds": round(seconds)})


def _write(line: object) -> None:
    path = os.environ.get("ALERTING_FIGURES")
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(path).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def _commit() -> str:
    """Give the commit that is checked out, and whether anything differs from it but the report itself."""
    told = []
    for words in (
        ["rev-parse", "--short=12", "HEAD"],
        ["status", "--porcelain", ":(top)", ":(top,exclude)docs/faults.md"],
    ):
        line = ["git", "-C", str(Path(__file__).parent), *words]
        try:
            told.append(subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip())
        except (OSError, subprocess.CalledProcessError):  # no git, or no clone
            return "unknown"
    return told[0] + (" with changes" if told[1] else "")
