"""`alerting init`: a commented settings file and one rule that work as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.terminal import say
from alerting.config.starter import RULE, RULE_FILE, SETTINGS, SETTINGS_FILE
from alerting.errors import AlertingError

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Namespace) -> int:
    """Write both files; nothing that exists is touched."""
    folder = Path(arguments.folder)
    files = {folder / SETTINGS_FILE: SETTINGS, folder / RULE_FILE: RULE}
    for path in files:
        if path.exists():
            raise AlertingError(f"{path} is there already and was left as it is; name another folder")
    try:
        for path in files:  # first: a folder that cannot be made must not leave half of it
            path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AlertingError(f"{error.filename or path} could not be written: {error.strerror}") from None
    say(*(f"wrote {path}" for path in files))
    where = "" if arguments.folder == "." else f"cd {arguments.folder}, then "
    say(f"Next: {where}alerting validate, alerting check.")
    return Exit.OK
