"""`alerting completion SHELL`: the script that a shell sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.main import parser
from alerting.cli.terminal import say

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Namespace) -> Exit:
    """Print the script for `arguments.shell`."""
    import shtab  # noqa: PLC0415  nothing else needs it

    say(shtab.complete(parser(), shell=arguments.shell))
    return Exit.OK
