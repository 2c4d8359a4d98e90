"""Silences in the form of Alertmanager's API, as `amtool silence query -o json` prints them and `import` reads them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alerting.cli.finding import compiled
from alerting.cli.times import iso, moment
from alerting.errors import AlertingError
from alerting.model import Matcher, Silence

if TYPE_CHECKING:
    from alerting.model import Millis

_OPERATORS = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
_MOST_BYTES = 16 * 1024 * 1024
_LONGEST_ID = 64


def exported(silence: Silence, state: str) -> dict[str, Any]:
    """Give a silence in Alertmanager's form."""
    return {
        "id": silence.id,
        "status": {"state": state},
        "updatedAt": iso(silence.created),
        "comment": silence.comment,
        "createdBy": silence.author,
        "endsAt": iso(silence.ends),
        "startsAt": iso(silence.starts),
        "matchers": [
            {"name": each.name, "value": each.value, "isRegex": each.op[-1] == "~", "isEqual": each.op[0] == "="}
            for each in silence.matchers
        ],
    }


def imported(path: str, now: Millis, author: str) -> tuple[list[Silence], int]:
    """Read a file of silences (`-`: standard input); give those that are not over, and how many are.

    A silence without an id has an empty one. Raises AlertingError that names everything that is wrong.
    """
    rows = _rows(path)
    silences, wrong = [], []
    for number, row in enumerate(rows, 1):
        try:
            silences.append(_silence(row, now, author))
        except AlertingError as error:
            wrong.append(f"{_named(path)}: silence {number}: {error}")
    if wrong:
        raise AlertingError("\n".join([*wrong, "nothing was imported"]))
    kept = [each for each in silences if each.ends > now]
    return kept, len(silences) - len(kept)


def _rows(path: str) -> list[Any]:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:  # noqa: PTH123  a path as text
                data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise AlertingError(f"{_named(path)} cannot be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise AlertingError(f"{_named(path)} is longer than {_MOST_BYTES // 2**20} MiB")
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError):
        raise AlertingError(f"{_named(path)} is no JSON; write it with `amtool silence query -o json`") from None
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        raise AlertingError(f"{_named(path)} is no list of silences")
    return rows


def _named(path: str) -> str:
    return "standard input" if path == "-" else path


def _silence(row: Any, now: Millis, author: str) -> Silence:
    """Read one silence. Raises AlertingError."""
    if not isinstance(row, dict):
        raise AlertingError("it is no object")
    matchers = row.get("matchers")
    if not isinstance(matchers, list) or not matchers:
        raise AlertingError("it has no matchers")
    read = tuple(map(_matcher, matchers))
    if compiled(read).fits({}):
        raise AlertingError("it fits alerts of any rule; at least one matcher must ask for something")
    id_ = _text(row, "id", "")
    if len(id_) > _LONGEST_ID or not all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in id_):
        raise AlertingError(f"its id {id_[:80]!r} is none: letters, digits and dashes")
    starts = moment(_text(row, "startsAt", iso(now)), now)
    ends = moment(_text(row, "endsAt", ""), now)
    if ends <= starts:
        raise AlertingError("it ends before it begins")
    return Silence(id_, read, starts, ends, _text(row, "createdBy", author), _text(row, "comment", ""), now)


def _matcher(row: Any) -> Matcher:
    if not isinstance(row, dict) or not row.get("name"):
        raise AlertingError("a matcher is no object with a name")
    flags = row.get("isRegex", False), row.get("isEqual", True)
    if not all(isinstance(flag, bool) for flag in flags):
        raise AlertingError("isRegex and isEqual are true or false")
    return Matcher(_text(row, "name", ""), _OPERATORS[flags], _text(row, "value", ""))


def _text(row: dict[str, Any], name: str, otherwise: str) -> str:
    found = row.get(name, otherwise)
    if not isinstance(found, str):
        raise AlertingError(f"{name} is no text")
    return found
