"""The report on the fault rows: complete, and it claims nothing that a run did not say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.faults.__main__ import main
from tests.faults.report import known, page, read, table
from tests.faults.rows import ROWS

REPOSITORY = Path(__file__).parents[2]
MATRIX = REPOSITORY.parent / "shared" / "FAULT_MATRIX.md"
RUN = {"commit": "abc", "at": 0, "machine": "2 cores", "software": "Python 3", "full": True}
TESTS = {row: [f"tests/test_it.py::test_{row.lower()}_it"] for row in ("F55", "F56")}


def figure(name: str = "lost", value: float = 0, *, n: int | None = 10, met: bool = True, row: str = "F55") -> object:
    """Write a figure as a test states it."""
    told = {"rows": [row], "name": name, "value": value, "unit": "", "target": "at most 0", "met": met, "n": n}
    return told | {"seed": 7}


def ended(*figures: object, outcome: str = "passed", row: str = "F55", case: str = "", why: str = "") -> object:
    """Write a test's end as it is kept."""
    test = f"tests/test_it.py::test_{row.lower()}_it{case}"
    return {"test": test, "rows": [row], "outcome": outcome, "seconds": 1.5, "why": why, "figures": figures}


def written(path: Path, *ends: object, finished: bool = True) -> Path:
    """Write what a run keeps."""
    lines = [{"run": RUN}, *ends, *([{"seconds": 60}] if finished else [])]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    return path


MADE = [  # what the tests of F55 said, and what the report says of it
    ([ended(figure())], "met"),
    ([ended(figure(), case="[a]"), ended(figure(), case="[::1]")], "met"),
    ([ended()], "in part: 0 of 1 targets stated"),
    ([ended(figure(value=2, met=False))], "**not met**: lost"),
    ([ended(figure(), case="[a]"), ended(figure(value=2, met=False), case="[b]")], "**not met**: lost"),
    ([ended(outcome="failed")], "**failed**: `test_f55_it`"),
    ([ended(figure()), ended(figure(), outcome="failed")], "**failed**: `test_f55_it`"),
    ([ended(outcome="failed"), ended(figure())], "**failed**: `test_f55_it`"),
    ([ended(outcome="skipped", why="Skipped: no mount")], "in part: 0 of 1 targets stated; skipped: no mount"),
    ([ended(figure(), case="[a]"), ended(outcome="skipped", case="[b]", why="Skipped: no cc")], "met; skipped: no cc"),
    ([ended(row="F56")], "**not run**"),
]


@pytest.mark.parametrize(("ends", "verdict"), MADE)
def test_a_row_is_met_only_by_figures_of_tests_that_passed(tmp_path: Path, ends: list[object], verdict: str) -> None:
    """Failed, skipped, left out, or silent is not met."""
    lines = table(read(written(tmp_path / "it", *ends)), TESTS)
    assert [each.verdict for each in lines if each.row.id == "F55"] == [verdict]


def test_cases_of_one_figure_are_summed_up_by_the_worst(tmp_path: Path) -> None:
    """And their trials are added; of a count that stayed 0 the bound is given."""
    ends = [ended(figure(value=value, n=50, met=value < 2), case=f"[{value}]") for value in range(3)]
    lines = table(read(written(tmp_path / "it", *ends)), TESTS)
    assert [str(each) for each in lines[54].measures] == ["lost 2 (at most 0, n 150)"]
    clean = table(read(written(tmp_path / "it", ended(figure(n=1000)))), TESTS)
    assert [str(each) for each in clean[54].measures] == ["lost 0 (at most 0, n 1000, rate below 0.30%)"]


def test_a_run_that_was_cut_short_says_so(tmp_path: Path) -> None:
    """What was kept until then counts."""
    run = read(written(tmp_path / "it", ended(figure()), finished=False))
    assert "; cut short; full form" in page(run, table(run, TESTS))
    run = read(written(tmp_path / "it", ended(figure())))
    assert "; 60 s; full form" in page(run, table(run, TESTS))


def test_every_row_has_its_line_whatever_was_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has all; the terminal those that were run; the exit code tells."""
    target = tmp_path / "faults.md"
    kept = written(tmp_path / "it", ended(figure()))
    assert main([str(kept), str(target)]) == 1, "of the real tests of F55 none was run"
    assert [line.split(" | ")[0] for line in _lines(target)] == [f"| {row.id}" for row in ROWS]
    assert capsys.readouterr().out.startswith("F1 ")
    assert main([str(kept)]) == 1
    assert capsys.readouterr().out.startswith("F55 ")
    assert main([str(tmp_path / "none")]) == 2
    assert "make faults" in capsys.readouterr().err
    assert main([str(written(tmp_path / "it"))]) == 1


def test_one_row_can_be_put_among_those_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row names the commit that it was run at, and the others stay; no short form, and no half of a row."""
    target = tmp_path / "faults.md"
    main([str(written(tmp_path / "it", ended(figure()))), str(target)])
    before = target.read_text(encoding="utf-8")
    newer = read(written(tmp_path / "it", ended(figure(row="F56"), row="F56")))._replace(about=RUN | {"commit": "def"})
    after = page(newer, [each for each in table(newer, TESTS) if each.row.id == "F56"], before)
    changed = [each for each in after.splitlines() if each not in before.splitlines() and each.startswith("| ")]
    assert [each.split(" | ")[0] for each in changed] == ["| F56"]
    assert " | def | " in changed[0]
    assert "Of 73 rows 1 are met" in after
    assert main([str(tmp_path / "it"), str(target), "--keep"]) == 1
    assert _lines(target) == [each for each in before.splitlines() if re.match(r"\| F\d+ \|", each)]
    (tmp_path / "it").write_text(json.dumps({"run": RUN | {"full": False}}))
    assert main([str(tmp_path / "it"), str(target), "--keep"]) == 2
    assert "in full" in capsys.readouterr().err


def test_the_files_of_a_row_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """So that one row takes no longer than it must; a row that nobody tests is said."""
    assert main(["--files", "f58"]) == 0
    assert capsys.readouterr().out.split() == ["tests/test_f58_patterns.py"]
    assert main(["--files", "F58,F99"]) == 2
    assert "F99" in capsys.readouterr().err
    assert main(["--files", "all"]) == 0
    assert set(capsys.readouterr().out.split()) == {each.partition("::")[0] for row in known().values() for each in row}
    assert main([]) == main(["--figures"]) == 2


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\| F\d+ \|", line)]


def test_the_rows_are_those_of_the_matrix() -> None:
    """Numbered without a gap, each with a title of its own; and no sentence of the matrix is copied."""
    assert [row.id for row in ROWS] == [f"F{number}" for number in range(1, 74)]
    assert len({row.title for row in ROWS}) == len(ROWS)
    assert all(row.title and row.figures for row in ROWS)
    if not MATRIX.is_file():
        pytest.skip("no ../shared here")
    theirs = re.findall(r"^\| (F\d+) \|", MATRIX.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row.id for row in ROWS] == theirs


def test_the_file_names_only_tests_that_there_are() -> None:
    """docs/faults.md: every row with its title, eight cells each, and no test that is gone."""
    path = REPOSITORY / "docs" / "faults.md"
    if not path.is_file():
        pytest.skip("no `make faults` was run yet")
    lines = _lines(path)
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines]
    assert [tuple(each[:2]) for each in cells] == [(row.id, row.title) for row in ROWS]
    assert {line.count(" | ") for line in lines} == {7}
    there = {each.rpartition("::")[2] for tests in known().values() for each in tests}
    named = set(re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8")))
    assert sorted(named - there) == []


def test_every_test_of_a_row_carries_it_where_it_is_found() -> None:
    """`test_f9_…`: a row at the end of a name would be left out of the report."""
    names = re.compile(r"def (test_\w+)\(")
    found = {
        name for path in (REPOSITORY / "tests").rglob("test_*.py") for name in names.findall(path.read_text("utf-8"))
    }
    assert sorted(name for name in found if re.search(r"(?<!^test)(?<!\d)_f\d+$", name)) == []
