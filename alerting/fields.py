"""A JSON object as fields: each value by its dotted name, and by labels where it stands in a list.

What is not one whole, unambiguous JSON object is refused, never guessed at: of two equal keys nobody knows which is
meant, and NaN or 1e999 is no measurement.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerting.model import NO_LABELS, Labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.model import Value

_VALUES = 20_000
_DEPTH = 64
_NAME = 512  # characters of a dotted name
_LABEL = 256  # characters of what tells the objects of a list apart
_DIGITS = 20  # of an integer that may be an `id`, and of a number in a message
_TEXT = 4096  # characters of a text

Fields = dict[tuple[str, Labels], "Value"]


class UnreadableError(ValueError):
    """The text is no JSON object that has one clear meaning; says why."""


def read_fields(body: bytes) -> Fields:
    """Flatten a JSON object to dotted names. Raises UnreadableError.

    Numbers become floats (the nearest, as for integers beyond 2^53), true and false 1 and 0, texts stay texts
    (`"12"` too; cut at 4,096 characters, lone surrogates as `?`), null and empty lists and objects give nothing.
    The items of a list become series told apart by the label `name` or `id`, where each has one of its own, else
    by `index`. A field with an empty name has no name in conditions and is left out. Two fields of one dotted
    name, equal keys, NaN, infinities, numbers beyond a float, and more than 20,000 values or 64 levels are refused.
    """
    fields: Fields = {}
    for name, labels, value in _walk(_decode(body), "", NO_LABELS, 0):
        if (name, labels) in fields:
            raise UnreadableError(f"two fields give the one name {name[:80]!r}")
        fields[name, labels] = value
    return fields


def _decode(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise UnreadableError("the answer is empty")
    if body.lstrip()[:1] == b"<":
        raise UnreadableError("the answer is a web page (HTML), not JSON; set `url` to where JSON is given")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _VALUES:
        raise UnreadableError(f"the answer has more than {_VALUES} values")
    try:
        document = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_distinct,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise UnreadableError("the answer is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"the answer is not whole JSON (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise UnreadableError(f"the answer nests deeper than {_DEPTH} levels") from None
    if not isinstance(document, dict):
        words = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}
        raise UnreadableError(f"the answer is {words.get(type(document), 'a number')}, not a JSON object")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise UnreadableError(f"the key {key[:80]!r} stands twice in one object")
        fields[key] = value
    return fields


def _integer(text: str) -> float:
    # Kept whole where it is short, so that an `id` reads as it was written; Python refuses int() of 10,000 digits.
    return int(text) if len(text) <= _DIGITS else _number(text)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise UnreadableError(f"the number {text[:_DIGITS]}{'…' if len(text) > _DIGITS else ''} is too large")
    return value


def _constant(text: str) -> float:
    raise UnreadableError(f"{text} is not JSON, and no measurement")


def _walk(value: Any, name: str, labels: Labels, depth: int) -> Iterator[tuple[str, Labels, Value]]:
    if depth > _DEPTH:
        raise UnreadableError(f"the answer nests deeper than {_DEPTH} levels")
    if isinstance(value, dict):
        for key, field in value.items():
            if len(name) + len(key) > _NAME:
                raise UnreadableError(f"the name of a field is longer than {_NAME} characters")
            if key:
                yield from _walk(field, f"{name}.{_clean(key)}" if name else _clean(key), labels, depth + 1)
    elif isinstance(value, list):
        for item, apart in zip(value, _told_apart(value, name, labels), strict=True):
            yield from _walk(item, name, apart, depth + 1)
    elif isinstance(value, str):
        yield name, labels, _clean(value[:_TEXT])
    elif value is not None:
        yield name, labels, float(value)


def _told_apart(items: list[Any], name: str, labels: Labels) -> list[Labels]:
    """Give each item of a list its labels: by `name` or `id` where every item has its own, else by `index`."""
    for key in ("name", "id"):
        values = [_identity(item.get(key)) if isinstance(item, dict) else "" for item in items]
        if all(values) and len(set(values)) == len(values):
            break
    else:
        key, values = "index", [str(index) for index in range(len(items))]
    while labels.get(key):  # a list within a list: name the inner one after its field
        key = f"{name.rpartition('.')[2]}_{key}"
    return [labels.with_(**{key: value}) for value in values]


def _identity(value: Any) -> str:
    if isinstance(value, str) and len(value) <= _LABEL:
        return _clean(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
