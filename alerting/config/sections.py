"""Entries under `sources:` and `receivers:`: defaults filled in, durations in ms, secrets wrapped.

All by the schema: `default`, `x-type: duration`, `writeOnly` (a secret), and `x-env` (the variable that a key is
taken from where the settings do not have it). Nothing here knows a vendor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from alerting.config import schema as schemas
from alerting.config.durations import millis
from alerting.config.references import resolved
from alerting.model import Secret, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerting.model import Origin

    Steps: TypeAlias = tuple[str | int, ...]  # keys and indexes from the top of the file
    Trouble: TypeAlias = Callable[[Steps, str], None]

SECTIONS = {"sources": "sources", "receivers": "notifiers"}  # key of the settings -> schema of its entries
OBJECTS = ("web", "heartbeat", "canary")  # keys of the settings that hold one object


def with_environment(entry: Mapping[str, Any], home: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Add the keys that the entry leaves out and a well-known variable gives; a secret one as its reference."""
    filled = dict(entry)
    kind = filled.get("type")
    if isinstance(kind, str) and kind in schemas.kinds(home):
        for key, part in schemas.load(home)["$defs"][kind]["properties"].items():
            variable = part.get("x-env")
            if variable and key not in filled and env.get(variable):
                filled[key] = f"${{{variable}}}" if part.get("writeOnly") else env[variable].replace("$", "$$")
    return filled


def section(name: str, entry: Mapping[str, Any], home: str, origin: Origin, trouble: Trouble) -> Section:
    """Make the section of an entry that fits its schema; references that are none go to `trouble`."""
    kind = entry["type"]
    part = schemas.load(home)["$defs"][kind]
    values = _mapping(entry, part, home, (), trouble)
    del values["type"]
    return Section(name, kind, values, origin)


def values_of(entry: Mapping[str, Any], part: Mapping[str, Any], home: str, trouble: Trouble) -> dict[str, Any]:
    """Give the values of an object that fits `part` and has no kinds, as `web:` in the settings."""
    return _mapping(entry, part, home, (), trouble)


def _mapping(
    value: Mapping[str, Any], part: Mapping[str, Any], home: str, path: Steps, trouble: Trouble
) -> dict[str, Any]:
    known = part.get("properties", {})
    other = part.get("additionalProperties", True)
    made = {
        key: _value(item, known.get(key, other if isinstance(other, dict) else {}), home, (*path, key), trouble)
        for key, item in value.items()
    }
    for key, each in known.items():
        if key not in made and "default" in each:
            made[key] = _value(each["default"], each, home, (*path, key), trouble)
    return made


def _value(value: Any, part: Mapping[str, Any], home: str, path: Steps, trouble: Trouble) -> Any:
    if "$ref" in part:
        found, home = schemas.follow(part["$ref"], home)
        part = {**found, **part}
    if part.get("x-type") == "duration":
        return millis(value)
    if isinstance(value, dict):
        return _mapping(value, part, home, path, trouble)
    if isinstance(value, list):
        items = part.get("items", {})
        return [_value(item, items, home, (*path, index), trouble) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        text = resolved(value)
    except ValueError as error:
        trouble(path, str(error))
        text = ""
    return Secret.literal(text) if part.get("writeOnly") and isinstance(text, str) else text


def secrets_in(value: Any, part: Mapping[str, Any], home: str, path: Steps = ()) -> list[tuple[Steps, str]]:
    """Find the texts under keys that the schema calls secret, with their paths."""
    if "$ref" in part:
        found, home = schemas.follow(part["$ref"], home)
        part = {**found, **part}
    if isinstance(value, str):
        return [(path, value)] if part.get("writeOnly") else []
    if isinstance(value, list):
        items = part.get("items", {})
        return [each for at, item in enumerate(value) for each in secrets_in(item, items, home, (*path, at))]
    if not isinstance(value, dict):
        return []
    known, other = part.get("properties", {}), part.get("additionalProperties", True)
    return [
        each
        for key, item in value.items()
        for each in secrets_in(item, known.get(key, other if isinstance(other, dict) else {}), home, (*path, key))
    ]
