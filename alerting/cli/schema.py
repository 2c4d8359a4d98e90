"""`alerting schema`: a JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.terminal import say_json
from alerting.config.schema import load

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Namespace) -> int:
    """Print the schema that `arguments.name` names."""
    say_json(load(arguments.name))
    return Exit.OK
