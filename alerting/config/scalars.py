"""What a plain scalar is: text, unless it is one of the few words and numbers that all readers of YAML agree on."""

from __future__ import annotations

import re

TYPED_START = frozenset("0123456789-tTfFnN~")  # first letters of all that may be more than text

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_MOST_DIGITS = 400  # of a number; longer ones stay text, which no schema takes for a number


def typed(text: str) -> str | float | bool | None:
    """Read true, false, null and numbers as JSON writes them; anything else stays the text that it is."""
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > _MOST_DIGITS:
        return text
    if match[1] is None and match[2] is None:
        return int(text)
    number = float(text)
    return number if number - number == 0 else text  # 1e999 is no number that JSON has
