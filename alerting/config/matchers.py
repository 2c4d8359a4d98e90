r"""Matchers as people write them: `severity="critical", team=~"db|web"`.

All of Alertmanager's forms, and its rule where its two grammars differ. The newer one takes any name and any value
in quotes, with the escapes of Go; the classic one takes values without quotes, in which a lone `\` or `}` is just
that. What only one of them takes is read by that one; what both take is read as the classic one reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from alerting.errors import ConditionError, Diagnostic, Span
from alerting.model import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPERATORS = ("=~", "!~", "!=", "=")  # the longer ones first
_RESERVED = frozenset("{}!=~,\\\"'`")  # besides white space: ends what stands without quotes
_BLANK = " \t\r\n\f"
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
_DIGITS = {"x": 2, "u": 4, "U": 8}  # letter -> hex digits of a code
_OCTAL = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")
_BYTE, _LAST, _SURROGATES = 0xFF, 0x10FFFF, range(0xD800, 0xE000)


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read matchers with commas between, in braces or not; none at all give (). Raises ConditionError.

    Patterns are not compiled here.
    """
    classic = _classic(text)
    try:
        found = tuple(_Reader(text).matchers())
    except ConditionError:
        if not classic:
            raise
        return classic
    return found if classic is None else classic


def is_classic_name(name: str) -> bool:
    """Tell whether a name of a label needs no quotes in any grammar."""
    return name.isascii() and name.isidentifier()


class _Reader:
    """The newer grammar. Its errors are the ones that people are told."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def matchers(self) -> Iterator[Matcher]:
        braces = self._take("{")
        while not self._ends(braces=braces):
            name = self._word("a name of a label")
            if not name:
                self._fail("a name of a label must not be empty", self.at - 2)
            operator = self._operator()
            yield Matcher(name, operator, self._word("a value"))
            if not self._take(",") and not self._ends(braces=braces):
                self._expected("a comma or the end" if not braces else "a comma or }")
        if braces:
            self.at += 1
            self._skip()
        if self.at < len(self.text):
            self._expected("the end")

    def _ends(self, *, braces: bool) -> bool:
        self._skip()
        if self.at == len(self.text) and braces:
            self._fail("this brace is not closed", self.text.index("{"), "end it with }")
        return self.at == len(self.text) or (braces and self.text[self.at] == "}")

    def _operator(self) -> str:
        self._skip()
        for operator in _OPERATORS:
            if self._take(operator):
                return operator
        return self._expected("= or != or =~ or !~")

    def _word(self, what: str) -> str:
        """Read a name or a value, in quotes or without."""
        self._skip()
        if self.text.startswith('"', self.at):
            return self._quoted()
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] not in _RESERVED and not self.text[self.at].isspace():
            self.at += 1
        if self.at == begin:
            self._expected(what)
        return self.text[begin : self.at]

    def _quoted(self) -> str:
        begin, out = self.at, bytearray()
        self.at += 1
        while not self.text.startswith('"', self.at):
            if self.at == len(self.text) or self.text[self.at] == "\n":
                self._fail("this text is not closed", begin, 'end it with "', self.at)
            out += self._letter()
        self.at += 1
        try:
            return out.decode()
        except UnicodeDecodeError:
            return self._fail("the escapes in this text give no UTF-8", begin, "", self.at)

    def _letter(self) -> bytes:
        """Read one character between quotes, or what an escape stands for."""
        letter = self.text[self.at]
        self.at += 1
        if letter != "\\":
            return letter.encode("utf-8", "surrogatepass")
        escape = self.text[self.at : self.at + 1]
        self.at += 1
        if escape in _ESCAPES:
            return bytes([_ESCAPES[escape]])
        if escape in _DIGITS:
            return self._code(self.at, _DIGITS[escape], 16, wide=escape != "x")
        if escape in _OCTAL:
            return self._code(self.at - 1, 3, 8, wide=False)
        return self._fail("this escape has no meaning", self.at - 2, r"a plain \ is written \\", self.at)

    def _code(self, begin: int, length: int, base: int, *, wide: bool) -> bytes:
        digits = self.text[begin : begin + length]
        self.at = begin + length
        known = _OCTAL if base == len(_OCTAL) else _HEX
        code = int(digits, base) if len(digits) == length and known.issuperset(digits) else -1
        if not 0 <= code <= (_LAST if wide else _BYTE) or (wide and code in _SURROGATES):
            self._fail("this escape has no meaning", begin - 2, r"a plain \ is written \\", self.at)
        return chr(code).encode() if wide else bytes([code])

    def _take(self, token: str) -> bool:
        self._skip()
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _expected(self, what: str) -> NoReturn:
        self._skip()
        hint = 'a matcher is such as severity="critical" or team=~"db|web"'
        found = self.text[self.at] if self.at < len(self.text) else ""
        said = f"expected {what}, not `{found}`" if found else f"expected {what} here"
        self._fail(said, self.at, hint)

    def _fail(self, message: str, at: int, hint: str = "", end: int = 0) -> NoReturn:
        raise ConditionError([Diagnostic(message, Span(at, max(end, at + 1)), hint)])


def _classic(text: str) -> tuple[Matcher, ...] | None:
    """Read by the classic grammar; None for what it does not take."""
    pieces = _pieces(text.removeprefix("{").removesuffix("}"))
    found = [_classic_one(piece) for piece in pieces]
    return None if None in found else tuple(each for each in found if each is not None)


def _pieces(text: str) -> list[str]:
    """Cut at commas that stand outside quotes; the last piece may be empty, and is none then."""
    pieces, begin, inside, escaped = [], 0, False, False
    for at, letter in enumerate(text):
        if letter == "," and not inside:
            pieces.append(text[begin:at])
            begin = at + 1
        if letter == '"' and not escaped:
            inside = not inside
        escaped = letter == "\\" and not escaped
    last = text[begin:]
    return [*pieces, last] if last.strip(_BLANK) else pieces


def _classic_one(text: str) -> Matcher | None:
    text = text.strip(_BLANK)
    end = 0
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] in "_:"):
        end += 1
    name, rest = text[:end], text[end:].lstrip(_BLANK)
    operator = next((each for each in ("=~", "=", "!=", "!~") if rest.startswith(each)), "")
    if not operator or not name or name[0].isdigit():
        return None
    value = _classic_value(rest[len(operator) :].lstrip(_BLANK))
    return None if value is None else Matcher(name, operator, value)


def _classic_value(raw: str) -> str | None:
    r"""Take off the quotes, if there are any; `\n`, `\"` and `\\` are escapes, any other `\` is itself."""
    closing = raw.startswith('"')
    text = raw[1:] if closing else raw
    out, at = [], 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            at += 1
            out.append({"n": "\n", '"': '"', "\\": "\\"}.get(text[at], f"\\{text[at]}"))
        elif letter == '"':
            if not closing or at + 1 < len(text):
                return None
            return "".join(out)
        else:
            out.append(letter)
        at += 1
    return None if closing else "".join(out)
