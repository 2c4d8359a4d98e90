"""The JSON Schemas: the closed list of keys and kinds, and a fast yes or no by them.

`jsonschema` is the law and explains what is wrong (`complaints.py`), but its import and its walk cost more than
reading the files. So each schema is compiled here to closures that only say whether a value fits; a test holds
both to the same verdict. A keyword that is not known here is an error, never passed over.
"""

from __future__ import annotations

import json
import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import alerting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check: TypeAlias = Callable[[Any], bool]
    Schema: TypeAlias = Mapping[str, Any] | bool

NAMES = ("rules", "settings", "sources", "notifiers", "tests")

_SUFFIX = ".schema.json"
_UNDERWAY: set[int] = set()  # ids of the definitions that are being compiled
_NOTES = frozenset(("title", "description", "default", "examples", "writeOnly", "$defs", "$schema", "$id"))


@cache
def load(name: str) -> dict[str, Any]:
    """Give a schema by name: the packaged one, or in a checkout the one at the top."""
    package = Path(alerting.__path__[0])
    packaged = package / "schemas"
    folder = packaged if packaged.is_dir() else package.parent / "schemas"
    loaded: dict[str, Any] = json.loads((folder / f"{name}{_SUFFIX}").read_bytes())
    return loaded


def kinds(name: str) -> tuple[str, ...]:
    """Give the kinds that `sources` or `notifiers` lists."""
    return tuple(load(name)["properties"]["type"]["enum"])


def follow(reference: str, home: str) -> tuple[dict[str, Any], str]:
    """Give what a `$ref` that stands in schema `home` points to, and the schema that it stands in."""
    file, _, pointer = reference.partition("#")
    name = file.removesuffix(_SUFFIX) or home
    found = load(name)
    for part in pointer.split("/")[1:]:
        found = found[part]
    return found, name


@cache
def fits(name: str, pointer: str = "") -> Check:
    """Give the check of a whole schema, or of the part that a pointer such as `/$defs/rule` names."""
    found, home = follow(f"{name}{_SUFFIX}#{pointer}", name)
    return _compiled(found, home)


def _compiled(schema: Schema, home: str) -> Check:
    """Compile one schema to a check; all of its keywords must hold."""
    if isinstance(schema, bool):
        return lambda _value: schema
    checks = [
        _KEYWORDS[keyword](argument, schema, home)
        for keyword, argument in schema.items()
        if keyword not in _NOTES and keyword not in _PARTNERS and not keyword.startswith("x-")
    ]
    if "properties" in schema or "additionalProperties" in schema:
        checks.append(_object(schema, home))
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: list[Check]) -> Check:
    def check(value: Any) -> bool:
        for each in checks:  # noqa: SIM110  a plain loop: this is the hot one
            if not each(value):
                return False
        return True

    return check


def _object(schema: Mapping[str, Any], home: str) -> Check:
    """`properties` and `additionalProperties` in one walk over the keys."""
    known = {key: _compiled(part, home) for key, part in schema.get("properties", {}).items()}
    other = _compiled(schema.get("additionalProperties", True), home)

    def check(value: Any) -> bool:
        if isinstance(value, dict):
            for key, item in value.items():
                if not known.get(key, other)(item):
                    return False
        return True

    return check


def _ref(reference: str, _schema: Mapping[str, Any], home: str) -> Check:
    found, where = follow(reference, home)
    if id(found) in _UNDERWAY:  # it stands inside itself, as a route in a route: compiled when it is needed
        pointer = f"/{reference.partition('#/')[2]}"
        return lambda value: fits(where, pointer)(value)  # noqa: PLW0108  it cannot be had before it is compiled
    _UNDERWAY.add(id(found))
    try:
        return _compiled(found, where)
    finally:
        _UNDERWAY.discard(id(found))


def _type(wanted: str | list[str], _schema: Mapping[str, Any], _home: str) -> Check:
    names = [wanted] if isinstance(wanted, str) else wanted
    if "integer" in names:  # takes 1.0 as well: no matter of the class alone
        tests = [_TYPES[each] for each in names]
        return lambda value: any(test(value) for test in tests)
    classes = tuple(kind for each in names for kind in _CLASSES[each])
    if "number" in names and "boolean" not in names:
        return lambda value: isinstance(value, classes) and not isinstance(value, bool)
    return lambda value: isinstance(value, classes)


def _enum(allowed: list[Any], schema: Mapping[str, Any], home: str) -> Check:
    return _any_of([{"const": each} for each in allowed], schema, home)


def _const(wanted: Any, _schema: Mapping[str, Any], _home: str) -> Check:
    truth = isinstance(wanted, bool)  # JSON's true is not 1
    return lambda value: bool(value == wanted) and isinstance(value, bool) == truth


def _pattern(pattern: str, _schema: Mapping[str, Any], _home: str) -> Check:
    search = re.compile(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _length(limit: int, kind: type[str | list[Any] | dict[str, Any]], *, least: bool) -> Check:
    if least:
        return lambda value: not isinstance(value, kind) or len(value) >= limit
    return lambda value: not isinstance(value, kind) or len(value) <= limit


def _bound(limit: float, *, least: bool) -> Check:
    if least:
        return lambda value: not _TYPES["number"](value) or value >= limit
    return lambda value: not _TYPES["number"](value) or value <= limit


def _required(keys: list[str], _schema: Mapping[str, Any], _home: str) -> Check:
    wanted = frozenset(keys)
    return lambda value: not isinstance(value, dict) or value.keys() >= wanted


def _each(part: Schema, kind: type[dict[str, Any] | list[Any]], home: str) -> Check:
    """Check each item of a list, or each key of a mapping."""
    fits_part = _compiled(part, home)

    def check(value: Any) -> bool:
        if isinstance(value, kind):
            for each in value:
                if not fits_part(each):
                    return False
        return True

    return check


def _all_of(parts: list[Schema], _schema: Mapping[str, Any], home: str) -> Check:
    return _all([_compiled(part, home) for part in parts])


def _any_of(parts: list[Schema], _schema: Mapping[str, Any], home: str) -> Check:
    checks = [_compiled(part, home) for part in parts]
    return lambda value: any(check(value) for check in checks)


def _one_of(parts: list[Schema], _schema: Mapping[str, Any], home: str) -> Check:
    checks = [_compiled(part, home) for part in parts]
    return lambda value: sum(check(value) for check in checks) == 1


def _not(part: Schema, _schema: Mapping[str, Any], home: str) -> Check:
    check = _compiled(part, home)
    return lambda value: not check(value)


def _if(part: Schema, schema: Mapping[str, Any], home: str) -> Check:
    condition = _compiled(part, home)
    then, otherwise = _compiled(schema.get("then", True), home), _compiled(schema.get("else", True), home)
    return lambda value: then(value) if condition(value) else otherwise(value)


def _dependent(parts: Mapping[str, Schema], _schema: Mapping[str, Any], home: str) -> Check:
    checks = [(key, _compiled(part, home)) for key, part in parts.items()]
    return lambda value: not isinstance(value, dict) or all(key not in value or check(value) for key, check in checks)


def _instance(classes: tuple[type, ...], value: Any) -> bool:
    return isinstance(value, classes)


_CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
    "number": (int, float),
}

_TYPES: Mapping[str, Check] = {
    **{name: partial(_instance, classes) for name, classes in _CLASSES.items()},
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}

_PARTNERS = frozenset(("properties", "additionalProperties", "then", "else"))  # compiled with their partner

_KEYWORDS: Mapping[str, Callable[[Any, Mapping[str, Any], str], Check]] = {
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": lambda limit, _schema, _home: _length(limit, str, least=True),
    "maxLength": lambda limit, _schema, _home: _length(limit, str, least=False),
    "minItems": lambda limit, _schema, _home: _length(limit, list, least=True),
    "maxItems": lambda limit, _schema, _home: _length(limit, list, least=False),
    "minProperties": lambda limit, _schema, _home: _length(limit, dict, least=True),
    "minimum": lambda limit, _schema, _home: _bound(limit, least=True),
    "maximum": lambda limit, _schema, _home: _bound(limit, least=False),
    "required": _required,
    "items": lambda part, _schema, home: _each(part, list, home),
    "propertyNames": lambda part, _schema, home: _each(part, dict, home),
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "dependentSchemas": _dependent,
}
