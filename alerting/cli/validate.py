"""`alerting validate`: every problem in rules and settings, with file, line and column."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.terminal import clean, paint, say, say_json
from alerting.config.cache import Cache
from alerting.config.validate import validate
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from argparse import Namespace

    from alerting.errors import Problem


def main(arguments: Namespace) -> int:
    """Print what is wrong or odd; exit 2 where something is wrong."""
    env, cwd = os.environ, Path.cwd()
    cache = Cache.of_user(env)
    problems = validate(arguments.config, arguments.files, env, cwd, compile_pattern, cache=cache)
    if arguments.online and all(each.warning for each in problems):
        from alerting.cli.online import look  # noqa: PLC0415  reads the sources: nothing else here needs them

        problems += look(arguments.config)
    wrong = sum(not each.warning for each in problems)
    if arguments.output == "json":
        say_json({"good": not wrong, "problems": [_row(each) for each in problems]})
    else:
        for problem in problems:
            say(*_lines(problem))
        odd = len(problems) - wrong
        say(_verdict(wrong, odd))
    return Exit.CONFIG if wrong else Exit.OK


def _lines(problem: Problem) -> list[str]:
    head, *rest = str(problem).split("\n")
    return [paint(clean(head), "yellow" if problem.warning else "red"), *map(clean, rest)]


def _verdict(wrong: int, odd: int) -> str:
    warnings = f"{odd} warning{'s' * (odd != 1)}"
    if wrong:
        return f"{wrong} problem{'s' * (wrong != 1)}, {warnings}"
    return f"no problems, {warnings}" if odd else "no problems"


def _row(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "level": "warning" if problem.warning else "error",
        "message": problem.message,
        "hint": problem.hint,
    }
