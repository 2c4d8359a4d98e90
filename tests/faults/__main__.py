"""What `make faults` asks for: the files with the tests of rows, and the report on what they said.

`python -m tests.faults --files F9,F12` (or `all`) prints the files. `python -m tests.faults FIGURES [FILE]` prints how
the rows went that were run, and puts the whole table into FILE; with `--keep` only the rows that were run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.faults import report


def main(arguments: list[str]) -> int:
    """Give 0, or 1 where a row that was run is not met, or 2 where there is nothing to report."""
    match arguments:
        case ["--files", wanted]:
            return _files(wanted)
        case [figures] | [figures, _] if not figures.startswith("-"):
            return _report(Path(figures), *map(Path, arguments[1:]))
        case [figures, file, "--keep"]:
            return _report(Path(figures), Path(file), keep=True)
    print("usage: python -m tests.faults --files ROWS, or FIGURES [FILE [--keep]]", file=sys.stderr)
    return 2


def _files(wanted: str) -> int:
    known = report.known()
    rows = set(known) if wanted == "all" else set(wanted.upper().replace(",", " ").split())
    found = sorted({test.partition("::")[0] for row in rows for test in known.get(row, ())})
    print("\n".join(found))
    if missing := sorted(rows - set(known)):
        print(f"no test has {', '.join(missing)} in its name", file=sys.stderr)
    return 2 if missing else 0


def _report(figures: Path, file: Path | None = None, *, keep: bool = False) -> int:
    try:
        run = report.read(figures)
    except (OSError, ValueError) as error:
        print(f"no figures in {figures}: {error}; `make faults` makes them", file=sys.stderr)
        return 2
    if not run.about:
        print(f"{figures} does not begin with a run; remove it and `make faults` again", file=sys.stderr)
        return 2
    if keep and not run.about["full"]:
        print("only what was run in full is kept: leave SHORT out", file=sys.stderr)
        return 2
    lines = report.table(run, report.known())
    played = {row for each in run.tests.values() for row in each["rows"]}
    mine = [each for each in lines if each.row.id in played]
    if file is not None and keep:
        whole = [each for each in mine if "**not run**" not in each.verdict]  # of others a test or two was run along
        file.write_text(report.page(run, whole, file.read_text(encoding="utf-8")), encoding="utf-8")
    elif file is not None:
        file.write_text(report.page(run, lines), encoding="utf-8")
        mine = list(lines)
    print(report.printed(mine))
    print(report.summary(run, lines if file is not None and not keep else ()))
    return int(not mine or any("**" in each.verdict for each in mine))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
