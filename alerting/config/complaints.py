"""What is wrong with a value by its schema, in words for who wrote it: jsonschema finds, this file says.

Imported only when `schema.fits` has said no, because jsonschema costs more to import than most files to read.
A schema may carry its own words for a pattern under `x-message`. No text is repeated that may be a secret: none
under a key that the schema calls `writeOnly`, and none where a mapping or a list belongs.
"""

from __future__ import annotations

import re
from functools import cache, reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from alerting.config import schema as schemas
from alerting.core.lang.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jsonschema import ValidationError

_WORDED = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}
_TRUTHS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_MOST = 200  # errors that are put into words; whoever has more mends these first
_SHOWN = 60  # characters of a value in a message


class Complaint(NamedTuple):
    """One thing that is wrong: where (keys and indexes from the top), what, and what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False  # the key itself is wrong, not its value
    lacks: tuple[str, ...] = ()  # keys that would mend it


def complaints(value: Any, name: str, pointer: str = "") -> list[Complaint]:
    """Say all that is wrong with a value by the schema `name` (or its part); empty when it fits."""
    validator = _validator(name, pointer)
    found = [each for error in islice(validator.iter_errors(value), _MOST) for each in _said(error)]
    mistyped = {(each.path[:-1], word) for each in found for word in each.hint.rstrip("?").split() if each.at_key}
    return [each for each in dict.fromkeys(found) if not any((each.path, key) in mistyped for key in each.lacks)]


@cache
def _validator(name: str, pointer: str) -> Draft202012Validator:
    registry: Registry[Any] = Registry().with_resources(
        [(schemas.load(each)["$id"], Resource.from_contents(schemas.load(each))) for each in schemas.NAMES]
    )
    return Draft202012Validator({"$ref": f"{schemas.load(name)['$id']}#{pointer}"}, registry=registry)


def _said(error: ValidationError) -> Iterator[Complaint]:
    """Put one error of jsonschema into words."""
    path = tuple(error.absolute_path)
    value: Any = error.instance
    keyword: Any = error.validator
    argument: Any = error.validator_value
    part = error.schema if isinstance(error.schema, dict) else {}
    if part.get("x-type") == "duration":
        yield Complaint(path, *_duration(value))
    elif keyword == "additionalProperties":
        known = part.get("properties", {})
        for key in value:
            if key not in known:
                near = did_you_mean(key, known) or f"known keys: {', '.join(known)}"
                yield Complaint((*path, key), f"unknown key {_quoted(key)}", near, at_key=True)
    elif keyword == "required":
        for key in argument:
            if key not in value and f"'{key}'" in error.message:
                yield Complaint(path, f"key {key!r} is missing", _example(part, key), lacks=(key,))
    elif keyword in ("anyOf", "oneOf"):
        yield from _choice(error, path)
    elif keyword == "not" and not argument:
        yield Complaint(path, f"key {_last(path)} {part.get('x-message', 'does not belong here')}", at_key=True)
    elif keyword == "type":
        yield Complaint(path, *_type(path, value, [argument] if isinstance(argument, str) else argument))
    elif keyword in ("enum", "const") and not part.get("writeOnly"):
        allowed = [str(each) for each in (argument if keyword == "enum" else [argument])]
        near = did_you_mean(value, allowed) if isinstance(value, str) else ""
        yield Complaint(path, f"{_described(value)} is not one of {', '.join(allowed)}", near)
    else:
        yield _plain(error, path, part)


def _plain(error: ValidationError, path: tuple[str | int, ...], part: dict[str, Any]) -> Complaint:
    """Say what the keywords on texts, numbers and lists want."""
    value, keyword, argument = error.instance, str(error.validator), error.validator_value
    at_key = "propertyNames" in error.absolute_schema_path
    if at_key:
        path = (*path, str(value))
    if "x-message" in part:
        return Complaint(path, f"{_last(path)} {part['x-message']}", at_key=at_key)
    said = {
        "minLength": "must not be empty",
        "minItems": "must not be empty",
        "minProperties": "must not be empty",
        "maxLength": f"is longer than {argument} characters",
        "minimum": f"must be at least {argument}",
        "maximum": f"must be at most {argument}",
    }
    return Complaint(path, f"{_last(path)} {said.get(keyword, 'does not fit')}", at_key=at_key)


def _last(path: tuple[str | int, ...]) -> str:
    """Name what a path leads to: its last key."""
    if not path:
        return "what stands here"
    return _quoted(path[-1]) if isinstance(path[-1], str) else "this item"


def _choice(error: ValidationError, path: tuple[str | int, ...]) -> Iterator[Complaint]:
    """Say what none, or more than one, of several alternatives accept."""
    value: Any = error.instance
    branches: Any = error.validator_value
    if isinstance(value, dict) and all(set(branch) == {"required"} for branch in branches):
        groups = [" and ".join(repr(key) for key in branch["required"]) for branch in branches]
        fitting = [each for each, branch in zip(groups, branches, strict=True) if set(branch["required"]) <= set(value)]
        if fitting:
            yield Complaint(path, f"{' and '.join(fitting)} exclude each other", "keep one of them")
        else:
            lacks = tuple(key for branch in branches for key in branch["required"])
            yield Complaint(path, f"either {' or '.join(groups)} must be given", lacks=lacks)
        return
    if not isinstance(value, dict) and all("required" in branch for branch in branches):
        return  # that it is no mapping is said by `type`
    closest = [each for each in error.context or () if each.validator != "type" or each.relative_path]
    if closest and len({each.schema_path[0] for each in closest}) == 1:  # the type fits one of them: why not the rest?
        for each in closest:
            yield from _said(each)
        return
    yield Complaint(path, *_type(path, value, [str(branch.get("type", "")) for branch in branches]))


def _type(path: tuple[str | int, ...], value: Any, wanted: Sequence[str]) -> tuple[str, str]:
    """Say that a value is of the wrong type, and how it has to be written."""
    words = [each for each in wanted if each != "null"]
    if "string" in words and "null" in wanted:
        words = ["string"]  # any scalar: what is written is the text
    expected = f"{_last(path)} must be {' or '.join(_WORDED.get(each, each) for each in words)}"
    if isinstance(value, str) and not {"integer", "number", "boolean"} & set(wanted):
        return f"{expected}, not a text", ""
    message = f"{expected}, not {_described(value)}"
    if isinstance(value, str):
        return message, _surprise(value, wanted)
    if "string" in wanted:
        if isinstance(value, bool | int | float):
            return message, f"put quotes around it: '{str(value).lower()}'"
        if isinstance(value, dict | list):
            return message, f"put quotes around a text that begins with {'{' if isinstance(value, dict) else '['}"
    return message, ""


def _surprise(text: str, wanted: Sequence[str]) -> str:
    """Say how to write what YAML versions read differently, where a number or a truth value belongs."""
    if "boolean" in wanted and text.lower() in _TRUTHS:
        return f"write {_TRUTHS[text.lower()]}: YAML versions differ on {text!r}"
    if not {"integer", "number"} & set(wanted):
        return ""
    plain = text.replace("_", "")
    bases = {"0x": 16, "0o": 8, "0b": 2}
    try:
        if re.fullmatch(r"\d+(:[0-5]?\d)+", plain):
            sixties = reduce(lambda sum_, part: sum_ * 60 + int(part), plain.split(":"), 0)
            return f"YAML 1.1 reads {text} as {sixties}; write {sixties} or what you mean"
        if plain[:2].lower() in bases:
            return f"write {int(plain[2:], bases[plain[:2].lower()])}"
        if re.fullmatch(r"0[0-7]+", plain):
            return f"YAML 1.1 reads {text} as {int(plain, 8)} and YAML 1.2 as {int(plain)}; write one of them"
        number = float(plain)
        return f"write {number:g}" if f"{number:g}".lstrip("0") == plain.lstrip("+0") else ""
    except ValueError:
        return ""


def _duration(value: Any) -> tuple[str, str]:
    """Say what is wrong with a duration."""
    written = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if re.fullmatch(r"-?[0-9.]+", written):
        return f"{written} has no unit", f"write {written}s or {written}m" if written.isdigit() else "write such as 30s"
    if re.fullmatch(r"\d+:\d\d(:\d\d)?", written):
        hours, minutes = written.split(":")[:2]
        return f"{written!r} is no duration", f"write {hours}h{minutes}m or {hours}m{minutes}s"
    if re.fullmatch(r"\d*\.\d+[a-z]+", written):
        return f"{written!r} is no duration: only whole numbers", "write 1h30m for one hour and a half"
    hint = "write such as 500ms, 30s, 5m, 1h30m or 1d, larger units first"
    return f"{_described(value)} is no duration", hint


def _described(value: Any) -> str:
    """Show a value; long ones are cut."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return kind if value else f"{kind} that is empty"
    return _quoted(value) if isinstance(value, str) else f"the number {str(value)[:_SHOWN]}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _example(part: dict[str, Any], key: str) -> str:
    examples = part.get("properties", {}).get(key, {}).get("examples", ())
    return f"write such as {key}: {examples[0]}" if examples and isinstance(examples[0], str | int) else ""
