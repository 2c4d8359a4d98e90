"""What a run of the fault rows measured, as one table; nothing is in it that the run did not say."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.faults.rows import ROWS, Row
from tests.figures import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_TEST = re.compile(r"^def (test_f\d+_\w+)\(", re.MULTILINE)
TESTS = Path(__file__).parents[1]

_COLUMNS = """| row | fault | met? | figures (target, n) | seed | s | commit | tests |
|---|---|---|---|---|---|---|---|"""
SEEDS = 3  # shown; more are counted

HEAD = """\
# Faults

What happens to alerts when something breaks: a row for each fault, with what its tests measured. This file is made by
runs of `make faults` in full and by nothing else; a figure that is not in it is not claimed. `make faults ROW=F9` runs
one row and prints it, with `KEEP=1` it puts the row in here; `SEED=…` plays random trials again. Each row names the
commit that it was run at.

"""
NOTES = """
*Met*: every target that the row has was stated by a figure, each was met, and no test failed. *In part*: what was
stated was met, and targets remain that no figure states yet. A figure over several tests or cases is the worst of them,
and n is their sum. Of a count that is 0 in n independent trials, the rate may with 95 % certainty still be 3/n: that is
given.
"""


class Run(NamedTuple):
    """What was kept of one run: about itself, and of each test its outcome. `seconds` is None if it was cut short."""

    about: Mapping[str, Any]
    tests: Mapping[str, Mapping[str, Any]]
    seconds: int | None


class Measure(NamedTuple):
    """One figure of a row: the worst over all tests and cases that state it; `n` is the sum of their trials."""

    name: str
    value: float
    unit: str
    target: str
    met: bool
    n: int

    def __str__(self) -> str:
        told = f"{self.name} {self.value:g}{'' if self.unit == '%' else ' '}{self.unit}".rstrip()
        told += f" ({self.target or 'no target'}{f', n {self.n}' if self.n else ''}"
        if self.value == 0 and self.target == "at most 0" and self.n:
            told += f", rate below {min(1.0, 3 / self.n):.2%}"
        return told + ")"


class Line(NamedTuple):
    """One row of the table, of one run."""

    row: Row
    verdict: str
    measures: Sequence[Measure]
    seeds: Sequence[str]
    seconds: float
    tests: Sequence[str]


def read(path: Path) -> Run:
    """Read what a run kept; what was appended to it by a further run counts as of the same one."""
    about: dict[str, Any] = {}
    tests: dict[str, Mapping[str, Any]] = {}
    seconds = None
    for text in path.read_text(encoding="utf-8").splitlines():
        kept = json.loads(text)
        if "run" in kept:
            about, seconds = about or kept["run"], None
        elif "test" not in kept:
            seconds = kept["seconds"]
        elif kept["test"] not in tests or tests[kept["test"]]["outcome"] != "failed":  # it may pass, and its end fail
            tests[kept["test"]] = kept
    return Run(about, tests, seconds)


def known(folder: Path = TESTS) -> Mapping[str, Sequence[str]]:
    """Give the tests that each row has in the source, run or not, as pytest names them without their cases."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        place = path.relative_to(folder.parent).as_posix()
        for name in _TEST.findall(path.read_text(encoding="utf-8")):
            for row in rows_of(f"{place}::{name}"):
                found[row].append(f"{place}::{name}")
    return found


def table(run: Run, tests: Mapping[str, Sequence[str]]) -> Sequence[Line]:
    """Give a line for each row; `tests` are those that there are."""
    return [_line(row, run, tests.get(row.id, ())) for row in ROWS]


def _line(row: Row, run: Run, names: Sequence[str]) -> Line:
    ran = [each for each in run.tests.values() if row.id in each["rows"]]
    figures = [figure for test in ran for figure in test["figures"] if row.id in figure["rows"]]
    measures = _measures(figures)
    seeds = sorted({str(each["seed"]) for each in figures if each["seed"] is not None})
    return Line(row, _verdict(row, ran, measures, names), measures, seeds, sum(each["seconds"] for each in ran), names)


def _measures(figures: Iterable[Mapping[str, Any]]) -> Sequence[Measure]:
    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for each in figures:
        alike[each["name"], each["target"], each["unit"]].append(each)
    return [
        Measure(
            name,
            (min if target.startswith("at least") else max)(each["value"] for each in stated),
            unit,
            target,
            all(each["met"] for each in stated),
            sum(each["n"] or 0 for each in stated),
        )
        for (name, target, unit), stated in alike.items()
    ]


def _verdict(row: Row, ran: Sequence[Mapping[str, Any]], measures: Sequence[Measure], names: Sequence[str]) -> str:
    if not names:
        return "no test"
    if not ran:
        return "**not run**"
    failed = {_function(each["test"]) for each in ran if each["outcome"] == "failed"}
    missed = {each.name for each in measures if not each.met}
    unrun = set(names) - {_function(each["test"]) for each in ran}
    left = {each["why"].removeprefix("Skipped: ") for each in ran if each["outcome"] == "skipped"}
    stated = len({each.name for each in measures if each.target})
    whole = "met" if stated >= row.figures else f"in part: {stated} of {row.figures} targets stated"
    words = [
        f"**not met**: {', '.join(sorted(missed))}" if missed else "",
        f"**failed**: {_names(failed)}" if failed else "",
        f"**not run**: {_names(unrun)}" if unrun else "",
        "" if missed or failed or unrun else whole,
        f"skipped: {', '.join(sorted(left))}" if left else "",
    ]
    return "; ".join(filter(None, words))


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _names(nodeids: Iterable[str]) -> str:
    """Give the tests by name; a name is often that of one test for each kind of source, in files of their own."""
    return ", ".join(sorted({f"`{each.rpartition('::')[2]}`" for each in nodeids}))


def page(run: Run, lines: Sequence[Line], before: str = "") -> str:
    """Write the whole file: these rows, and of all others what it said `before`."""
    rows = {text.split(" | ", 1)[0]: text for text in before.splitlines() if text.startswith("| F")}
    rows |= {text.split(" | ", 1)[0]: text for text in _rows(run, lines)}
    places = [f"| {row.id}" for row in ROWS]
    whole = [rows[place] for place in places if place in rows]
    verdicts = [text.split(" | ")[2] for text in whole]
    return f"{HEAD}{told_of(run)}\n{_count(verdicts)}\n{NOTES}\n{_COLUMNS}\n" + "\n".join(whole) + "\n"


def summary(run: Run, lines: Sequence[Line]) -> str:
    """Say in a few lines what was run, and how these rows went."""
    return f"{told_of(run)}\n{_count([each.verdict for each in lines])}" if lines else told_of(run)


def told_of(run: Run) -> str:
    """Say in a line what was run, where and when."""
    about = run.about
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about["at"]))
    took = "cut short" if run.seconds is None else f"{run.seconds} s"
    form = "full form" if about["full"] else "short form, with fewer trials than the targets ask for"
    return f"The newest run: commit {about['commit']}, {at}, {about['machine']}, {about['software']}; {took}; {form}.\n"


def _count(verdicts: Sequence[str]) -> str:
    ways = Counter(each if each in {"met", "no test"} else "else" for each in verdicts)
    return (
        f"Of {len(verdicts)} rows {ways['met']} are met, {ways['no test']} have no test, "
        f"and {ways['else']} are so in part or not at all, as it says there.\n"
    )


def _rows(run: Run, lines: Sequence[Line]) -> Iterator[str]:
    for each in lines:
        seeds = ", ".join(each.seeds) if len(each.seeds) <= SEEDS else f"{len(each.seeds)} of them"
        figures = "<br>".join(map(str, each.measures))
        tests = _names(each.tests).replace(", ", "<br>")
        told = (each.row.title, each.verdict, figures, seeds, f"{each.seconds:.0f}", run.about["commit"], tests)
        cells = (each.row.id, *told)
        yield f"| {' | '.join(text.replace('|', '&#124;') for text in cells)} |"


def printed(lines: Sequence[Line]) -> str:
    """Write some rows for a terminal."""
    told = []
    for each in lines:
        told.append(
            f"{each.row.id} {each.row.title}: {each.verdict.replace('*', '').replace('`', '')} ({each.seconds:.0f} s)"
        )
        told += [f"    {measure}" for measure in each.measures]
    return "\n".join(told) + "\n"
