"""The series notation of rule tests: `http_requests_total{job="api"}` and `0+10x5 _ _x3 stale 'ok'`.

It is promtool's, word for word, with one addition: quoted texts, for sources whose fields are texts, and
dotted names for those fields. Its law: what is written is what is read. Nothing is rounded, guessed or cut
short, and each error has its place in the text::

    series  = [ name ] [ "{" [ pair { "," pair } [ "," ] ] "}" ]
    name    = part { "." part }            a part: letters, digits, _ and :, or (after the first) a quoted text
    pair    = label "=" text | text        a quoted text alone is the metric's name
    values  = { item }                     split by spaces; each item stands one interval after the last
    item    = "_" [ "x" count ]            no sample, `count` times
            | start [ step ] [ "x" count ] `start`, and `count` more, each greater by `step`: count + 1 samples
            | text [ "x" count ]           the same for texts
    start   = number | "stale"             stale: the series ends here (Prometheus' staleness mark)

Two things surprise and are promtool's as well: `1x3` is four samples while `_x3` is three gaps, and there
are no hexadecimal numbers, because `0x10` is a zero and ten more.
"""

from __future__ import annotations

from enum import Enum
from math import isinf
from typing import Final, Literal, TypeAlias

from alerting.core.lang.syntax.tokens import STRING, Token, unquote
from alerting.errors import ConditionError, Diagnostic, Span
from alerting.model import Labels

NAME: Final = "__name__"
MAX_VALUES: Final = 250_000  # samples of one series; a week at 3 s
MAX_STEPS: Final = 10**10  # samples and gaps of one series
MAX_TEXT: Final = 1024 * 1024  # characters of one description


class Stale(Enum):
    """The type of STALE, the mark that ends a series."""

    STALE = "stale"

    def __repr__(self) -> str:
        return "STALE"


STALE: Final = Stale.STALE
Step: TypeAlias = tuple[int, float | str | Literal[Stale.STALE]]

_SPACE: Final = " \t\n\r"
_QUOTES: Final = ("'", '"', "`")


def parse_series(text: str) -> tuple[str, Labels]:
    """Read a series: its name (dotted for a field, "" where there is none) and its labels without `__name__`.

    Raises ConditionError with the place of what is wrong.
    """
    cursor = _Cursor(text)
    cursor.spaces()
    name, labels = _metric(cursor)
    cursor.spaces()
    if not cursor.done():
        raise cursor.wrong("the end of the series was expected here")
    return name, labels


def parse_values(text: str) -> list[Step]:
    """Read values: (step, value) pairs, steps from 0; steps without a sample are left out.

    `value` is a float, a text or STALE. Raises ConditionError with the place of what is wrong.
    """
    cursor = _Cursor(text)
    steps: list[Step] = []
    at = 0
    cursor.spaces()
    while not cursor.done():
        at = _item(cursor, steps, at)
        if not cursor.done() and not cursor.spaces():
            raise cursor.wrong("a space was expected between two values")
    return steps


# ------------------------------------------------------------------------------------------- series


def _metric(cursor: _Cursor) -> tuple[str, Labels]:
    name = cursor.word(":")
    while name and cursor.take("."):
        part = cursor.quoted() if cursor.peek() in _QUOTES else cursor.word(":", first_digit=True)
        if not part:
            raise cursor.wrong("the next part of the dotted name was expected")
        name = f"{name}.{part}"
    cursor.spaces()
    pairs: dict[str, str] = {}
    if cursor.take("{"):
        name = _pairs(cursor, name, pairs)
    elif not name:
        raise cursor.wrong("a metric's name or '{' was expected")
    return name or pairs.pop(NAME, ""), Labels(pairs)


def _pairs(cursor: _Cursor, name: str, pairs: dict[str, str]) -> str:
    """Read what stands between braces, the closing one included; give the metric's name."""
    cursor.spaces()
    while not cursor.take("}"):
        start = cursor.at
        quoted = cursor.peek() in _QUOTES
        label = cursor.quoted() if quoted else cursor.word()
        cursor.spaces()
        if quoted and cursor.peek() != "=":
            if name:
                raise cursor.wrong(f"the name is given twice: {name} and {label}", start)
            name = label
        elif not label:
            raise cursor.wrong("a label's name or '}' was expected")
        else:
            _value(cursor, label, name, pairs, start)
        cursor.spaces()
        if not cursor.take(",") and cursor.peek() != "}":
            raise cursor.wrong("',' or '}' was expected")
        cursor.spaces()
    return name


def _value(cursor: _Cursor, label: str, name: str, pairs: dict[str, str], start: int) -> None:
    if label in pairs:
        raise cursor.wrong(f"the label {label} is given twice", start)
    if label == NAME and name:
        raise cursor.wrong(f"the name is given twice: {name} and {NAME}", start)
    if not cursor.take("=") or cursor.peek() in ("=", "~"):
        raise cursor.wrong("'=' was expected", hint="a series has exact labels; !=, =~ and !~ are for conditions")
    cursor.spaces()
    if cursor.peek() not in _QUOTES:
        raise cursor.wrong(f"the value of {label} was expected, in quotes")
    pairs[label] = cursor.quoted()


# ------------------------------------------------------------------------------------------- values


def _item(cursor: _Cursor, steps: list[Step], at: int) -> int:
    """Read one item that begins at step `at`, append its samples, give the next step."""
    start = cursor.at
    if cursor.take("_"):
        count = cursor.count() if cursor.take("x") else 1
        return cursor.bounded(at + count, MAX_STEPS, start)
    value: float | str | Stale
    step = 0.0
    if cursor.peek() in _QUOTES:
        value = cursor.quoted()
    elif cursor.peek() == "{":
        raise cursor.wrong("native histograms ({{…}}) cannot be tested", hint="write the classic buckets, with `le`")
    else:
        value = cursor.number_or_stale()
        if cursor.peek() in ("+", "-"):
            if value is STALE:
                raise cursor.wrong("stale has no step")
            step = cursor.number()
            if cursor.peek() != "x":
                raise cursor.wrong("'x' and a count were expected, as in 0+10x5")
    more = cursor.count() if cursor.take("x") else 0
    end = cursor.bounded(at + 1 + more, MAX_STEPS, start)
    cursor.bounded(len(steps) + 1 + more, MAX_VALUES, start)
    for each in range(at, end):
        steps.append((each, value))
        if step and isinstance(value, float):
            value += step  # added up one by one, as promtool does: 0+0.1x3 ends at 0.30000000000000004
    return end


# ------------------------------------------------------------------------------------------- text


class _Cursor:
    """A place in the text that moves on, and the errors that name it."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        if len(text) > MAX_TEXT:
            raise self.wrong(f"longer than {MAX_TEXT} characters")

    def wrong(self, message: str, start: int | None = None, *, hint: str = "") -> ConditionError:
        """Make the error for what stands here, or from `start` to here."""
        begin = self.at if start is None else start
        return ConditionError([Diagnostic(message, Span(begin, max(self.at, begin + 1)), hint)])

    def done(self) -> bool:
        return self.at >= len(self.text)

    def peek(self) -> str:
        """Give the next character; at the end a NUL, which stands in no notation."""
        return self.text[self.at] if self.at < len(self.text) else "\0"

    def take(self, character: str) -> bool:
        """Move over `character` if it comes next."""
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def spaces(self) -> bool:
        """Move over blanks and line ends; tell whether there were any."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1
        return self.at > start

    def word(self, extra: str = "", *, first_digit: bool = False) -> str:
        """Read a name of ASCII letters, digits, `_` and `extra`; "" where none stands here."""
        start = self.at
        if not first_digit and self.peek().isdigit():
            return ""
        while (character := self.peek()) and character.isascii() and (character.isalnum() or character in f"_{extra}"):
            self.at += 1
        return self.text[start : self.at]

    def count(self) -> int:
        """Read the whole number after an `x`."""
        start = self.at
        while self.peek().isascii() and self.peek().isdigit():
            self.at += 1
        if self.at == start:
            raise self.wrong("a count was expected after 'x'")
        if self.at - start > len(str(MAX_STEPS)):
            raise self.wrong(f"more than {MAX_STEPS} steps", start)
        return int(self.text[start : self.at])

    def bounded(self, number: int, limit: int, start: int) -> int:
        """Give `number` back, or the error that the item begun at `start` goes over `limit`."""
        if number > limit:
            raise self.wrong(f"more than {limit:,} {'steps' if limit == MAX_STEPS else 'samples'} in one series", start)
        return number

    def number_or_stale(self) -> float | Stale:
        if self.text.startswith("stale", self.at):
            self.at += len("stale")
            return STALE
        return self.number()

    def number(self) -> float:
        """Read `1`, `-.5`, `+2e3`, `Inf`, `NaN` (any case)."""
        start = self.at
        if self.peek() in ("+", "-"):
            self.at += 1
        word = self.text[self.at : self.at + 3].lower()
        if word in ("inf", "nan"):
            self.at += 3
            return float(self.text[start : self.at])
        digits = self._digits()
        if self.take("."):
            digits += self._digits()
        if not digits:
            raise self.wrong("a number, `_`, `stale` or a text in quotes was expected")
        if self.peek() in ("e", "E"):
            self.at += 1
            if self.peek() in ("+", "-"):
                self.at += 1
            if not self._digits():
                raise self.wrong("the digits of the exponent were expected")
        value = float(self.text[start : self.at])
        if isinf(value):
            raise self.wrong("the number is too large for a float", start)
        return value

    def _digits(self) -> int:
        start = self.at
        while self.peek().isascii() and self.peek().isdigit():
            self.at += 1
        return self.at - start

    def quoted(self) -> str:
        """Read a text in '…', "…" (with Go's escapes) or `…` (as it stands)."""
        start = self.at
        quote = self.text[start]
        self.at += 1
        while self.peek() != quote:
            if self.done():
                raise self.wrong(f"the closing {quote} is missing", start)
            self.at += 2 if self.peek() == "\\" and quote != "`" else 1
        self.at += 1
        return unquote(Token(STRING, self.text[start : self.at], start, self.at))
