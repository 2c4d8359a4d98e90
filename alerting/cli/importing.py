"""`alerting import`: a configuration of Alertmanager as settings of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.terminal import clean, say, warn
from alerting.config.files import MOST_BYTES, read_bytes
from alerting.config.importing import imported
from alerting.errors import AlertingError

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Namespace) -> int:
    """Print or write the settings; what could not be taken goes to standard error. Raises ConfigError."""
    if arguments.file == "-":
        made = imported(sys.stdin.buffer.read(MOST_BYTES + 1), "standard input")
    else:
        made = imported(read_bytes(Path(arguments.file), arguments.file), arguments.file)
    if arguments.output is None:
        say(*made.text.splitlines())
    else:
        _write(Path(arguments.output), made.text)
    for each in made.warnings:
        warn(*map(clean, str(each).split("\n")))
    return Exit.OK


def _write(path: Path, text: str) -> None:
    """Write a new file; one that is there is left as it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise AlertingError(f"{path} is there already and was left as it is; name another file") from None
    except OSError as error:
        raise AlertingError(f"{path} could not be written: {error.strerror}") from None
    say(f"wrote {path}")
