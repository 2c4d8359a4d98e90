"""`alerting schema`: a JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.terminal import say_json
from alerting.config.schema import load

if TYPE_CHECKING:
    from argparse import Namespace


_FILES = {"receivers": "notifiers"}  # what users call receivers are notifiers in code


def main(arguments: Namespace) -> int:
    """Print the schema that `arguments.name` names."""
    say_json(load(_FILES.get(arguments.name, arguments.name)))
    return Exit.OK
