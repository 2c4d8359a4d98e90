"""From a place in a text to its place in the file, through YAML's quoting and folding.

However a scalar is written, its characters other than white space stand in the file in the same order. So the
place of a character is found by counting those; only escapes must be understood on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.config.placed import place, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.config.placed import At, File, Map
    from alerting.errors import Diagnostic, Problem, Span

_HEX = {"x": 2, "u": 4, "U": 8}
_BLANK_ESCAPES = frozenset("tnvfrNLP_ \t")  # those that stand for white space


def spot(file: File, at: At, text: str, offset: int) -> At:
    """Give where character `offset` of the text stands; `at` is where its scalar begins."""
    wanted = sum(1 for letter in text[:offset] if not letter.isspace())
    before = at
    for count, found in enumerate(_letters(file, at)):
        if count == wanted and not (offset >= len(text) or text[offset].isspace()):
            return found
        if count == wanted - 1:
            before = found + 1
            if offset >= len(text) or text[offset].isspace():
                return before
    return before


def problem_of(file: File, at: At, text: str, diagnostic: Diagnostic) -> Problem:
    """Turn what is wrong in a text (a condition, a template) into a problem of its file."""
    start, width = stretch(file, at, text, diagnostic.span)
    return file.problem(diagnostic.message, start, hint=diagnostic.hint, width=width, warning=diagnostic.warning)


def spot_of_name(file: File, mapping: Map, key: str, name: str) -> At:
    """Give where a name stands in a list of names, or in a text of names with commas between."""
    value, at = mapping[key], mapping.value_at(key)
    if isinstance(value, str):
        return spot(file, at, value, value.find(name))
    return next((mark for item, mark in zip(value, value.marks, strict=True) if item.strip() == name), at)


def stretch(file: File, at: At, text: str, span: Span) -> tuple[At, int]:
    """Give where a span begins, and how wide it is on that line."""
    start = spot(file, at, text, span.start)
    end = spot(file, at, text, max(span.end - 1, span.start))
    line, column = place(start)
    if end >= start and place(end)[0] == line:
        return start, min(end - start + 1, max(1, len(file.line(line - 1)) - column + 1))
    return start, max(1, len(file.line(line - 1).rstrip()) - column + 1)


def _letters(file: File, at: At) -> Iterator[At]:
    """Give the position of each character of a scalar that is no white space."""
    line, column = place(at)
    first = file.line(line - 1)[column - 1 :]
    if first[:1] in "|>":
        for row, text in enumerate(file.lines_from(line), line):
            yield from (position(row, index) for index, letter in enumerate(text) if not letter.isspace())
        return
    quote = first[:1] if first[:1] in ("'", '"') else ""
    offset = column - 1 + len(quote)
    for row, text in enumerate(file.lines_from(line - 1), line - 1):
        index = offset
        while index < len(text):
            length, counts = _step(text, index, quote)
            if counts:
                yield position(row, index)
            index += length
        offset = 0


def _step(text: str, index: int, quote: str) -> tuple[int, bool]:
    """Read one character or escape: how long it is in the file, and whether it counts."""
    letter = text[index]
    if quote == "'" and text.startswith("''", index):
        return 2, True
    if quote == '"' and letter == "\\":
        escape = text[index + 1 : index + 2]
        if escape in _HEX:
            length = 2 + _HEX[escape]
            code = text[index + 2 : index + length]
            return length, not chr(int(code, 16)).isspace()
        return 2, bool(escape) and escape not in _BLANK_ESCAPES
    return 1, not letter.isspace()
