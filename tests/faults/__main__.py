"""`python -m tests.faults FIGURES [FILE]`: the table of a run's figures into FILE, or what was run to the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.faults import report


def main(arguments: list[str]) -> int:
    """Give 0, or 1 where a row that was run is not met, or 2 where there is nothing to report."""
    if len(arguments) not in {1, 2}:
        print("usage: python -m tests.faults FIGURES [FILE]", file=sys.stderr)
        return 2
    try:
        run = report.read(Path(arguments[0]))
    except (OSError, ValueError) as error:
        print(f"no figures in {arguments[0]}: {error}; `make faults` makes them", file=sys.stderr)
        return 2
    if not run.about:
        print(f"{arguments[0]} does not begin with a run; remove it and `make faults` again", file=sys.stderr)
        return 2
    lines = report.table(run, report.known())
    played = {row for each in run.tests.values() for row in each["rows"]}
    mine = [each for each in lines if each.row.id in played]
    if len(arguments) == 2:
        Path(arguments[1]).write_text(report.page(run, lines), encoding="utf-8")
    print(report.printed(mine))
    print(report.summary(run, lines))
    return int(not mine or any("**" in each.verdict for each in mine))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
