"""`alerting test`: tests of rules and of who is told, in Prometheus' unit-test format and beyond."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alerting.casework.runner import run
from alerting.cli.terminal import coloured, say

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Namespace) -> int:
    """Run the files; exit 1 where a test failed, 2 where a file cannot be used."""
    report = run([Path(each) for each in arguments.files], arguments.run)
    if arguments.output == "json":
        say(report.json())
    elif arguments.output == "junit":
        say(report.junit())
    else:
        say(report.text(coloured()))
    return report.exit_code
