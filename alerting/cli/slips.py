"""What a mistyped command line probably meant. Each of these ends the program with usage, a sentence, and code 2."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NoReturn

from alerting.cli.exit import Exit
from alerting.core.lang.suggest import did_you_mean

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Collection, Sequence


def no_command(grammar: ArgumentParser, words: Sequence[str], commands: Collection[str]) -> None:
    """Say what is wrong where the first word is no command. Returns where it may be an option of the program's own."""
    if not words:
        grammar.print_help(sys.stderr)
        sys.exit(Exit.CONFIG)
    first = words[0]
    if not first.startswith("-"):
        hint = did_you_mean(first, commands) or "`alerting --help` lists them"
        grammar.error(f"there is no command {first!r}, {hint}")
    behind = next((word for word in words if word in commands), None)
    if behind is not None:
        grammar.error(f"{first} goes behind the command: alerting {behind} {first} …")


def unknown(grammar: ArgumentParser, rest: Sequence[str]) -> NoReturn:
    """Say which words a command does not take."""
    known = re.findall(r"(?<!\w)--?[a-z][a-z-]*", grammar.format_usage())
    option = next((word.partition("=")[0] for word in rest if word.startswith("-")), "")
    hint = did_you_mean(option, known) if option else ""
    grammar.error(f"unrecognized arguments: {' '.join(rest)}{hint and ', '}{hint}")
