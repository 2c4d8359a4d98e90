"""What a YAML text holds, as values that know where they stand, and the text that they stand in.

`Map` and `Seq` are a dict and a list that also hold positions; a position is one number, `line << 20 | column`,
both from 0 (see `place`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from alerting.config.scalars import typed
from alerting.config.syntax import COMMENT
from alerting.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

At: TypeAlias = int
Value: TypeAlias = Any  # Map, Seq, str, int, float, bool or None

COLUMN_BITS = 20
_COLUMN_MASK = (1 << COLUMN_BITS) - 1
_BLOCK = 4096  # bytes between counts of lines
_LONGEST_SHOWN = 200  # characters of a line that is shown with a problem
_WORD = re.compile(r"[^\s,\[\]{}#]*")


class Map(dict[str, Value]):
    """A mapping. `marks` holds the positions of key and value, in the order of the keys."""

    __slots__ = ("at", "marks")

    at: At
    marks: list[At]

    def key_at(self, key: str) -> At:
        """Give the position of a key."""
        return self.marks[2 * list(self).index(key)]

    def value_at(self, key: str) -> At:
        """Give the position of a key's value."""
        return self.marks[2 * list(self).index(key) + 1]


class Seq(list[Value]):
    """A list. `marks` holds the positions of its items."""

    __slots__ = ("at", "marks")

    at: At
    marks: list[At]


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its value and where that stands."""

    value: Value
    at: At


@dataclass(frozen=True, slots=True)
class File:
    """What one file holds. `problems` is empty when all of it could be read."""

    name: str  # as people are to see it
    data: bytes
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    _ends: list[int] = field(default_factory=list)  # lines that end before the end of each block of the data

    def line(self, number: int) -> str:
        """Give one line, counted from 0, without its end."""
        start = self._start(number)
        end = self.data.find(b"\n", start)
        raw = self.data[start : len(self.data) if end < 0 else end]
        return raw[:_COLUMN_MASK].rstrip(b"\r").decode("utf-8", "replace")

    def lines_from(self, number: int) -> Iterator[str]:
        """Give the lines from `number` on."""
        for index in range(number, self.data.count(b"\n") + 1):
            yield self.line(index)

    def _start(self, number: int) -> int:
        """Give the index at which a line begins; found by counts per block, so that nothing is cut up."""
        if not self._ends:
            total = 0
            for block in range(0, len(self.data), _BLOCK):
                total += self.data.count(b"\n", block, block + _BLOCK)
                self._ends.append(total)
        block = bisect_left(self._ends, number)
        if block == len(self._ends):
            return len(self.data)
        at = block * _BLOCK - 1
        for _ in range(number - (self._ends[block - 1] if block else 0)):
            at = self.data.find(b"\n", at + 1)
        return at + 1

    def problem(self, message: str, at: At, *, hint: str = "", width: int = 1, warning: bool = False) -> Problem:
        """Make a problem of this file, with the line that it stands in."""
        line, column = place(at)
        text = self.line(line - 1)
        return Problem(
            message=message,
            file=self.name,
            line=line,
            column=column,
            hint=hint,
            source_line=text if len(text) <= _LONGEST_SHOWN else "",
            width=width,
            warning=warning,
        )


def place(at: At) -> tuple[int, int]:
    """Turn a position into line and column, both counted from 1."""
    return (at >> COLUMN_BITS) + 1, (at & _COLUMN_MASK) + 1


def position(line: int, column: int) -> At:
    """Turn line and column, both counted from 0, into a position."""
    return line << COLUMN_BITS | min(column, _COLUMN_MASK)


def locate(document: Document, path: Sequence[str | int], *, at_key: bool = False) -> At:
    """Give the position of what keys and indexes lead to, as far as they lead; `at_key`: of the last key itself."""
    value, at = document.value, document.at
    for count, step in enumerate(path, 1):
        if isinstance(value, Map) and isinstance(step, str) and step in value:
            at = value.key_at(step) if at_key and count == len(path) else value.value_at(step)
            value = value[step]
        elif isinstance(value, Seq) and isinstance(step, int) and step < len(value):
            at, value = value.marks[step], value[step]
        else:
            break
    return at


def comment_hint(file: File, document: Document, path: Sequence[str | int]) -> str:
    """Say so where a value is missing because a comment begins in its place, as in `channel: #ops`."""
    line = file.line(place(locate(document, path, at_key=True))[0] - 1)
    if path and line.partition(f"{path[-1]}:")[2].lstrip().startswith("#"):
        return COMMENT
    return ""


def texts(file: File, mapping: Map) -> dict[str, str]:
    """Give a mapping of scalars as texts: numbers and truth values as they are written in the file."""
    return {
        key: value if isinstance(value, str) else written(file, value, mapping.value_at(key))
        for key, value in mapping.items()
    }


def written(file: File, value: Value, at: At) -> str:
    """Give a scalar as the text that stands in the file."""
    if isinstance(value, str):
        return value
    line, column = place(at)
    word = _WORD.match(file.line(line - 1), column - 1)
    if word and typed(word[0]) == value:
        return word[0] if value is not None else ""
    return "" if value is None else str(value).lower()  # it stands elsewhere: an alias
