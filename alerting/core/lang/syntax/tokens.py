"""Text to tokens, each with its place. The law: every character is in a token, in white space or in a comment.

Keywords are no kind of their own: PromQL lets most of them be names of metrics and labels too, so only the
parser, which knows where it stands, can tell. A number takes the letters that follow it without a space as
its suffix (`5m`, `1h30m`, `2GiB`); a percent sign stays an operator, because only what follows it decides
between percent and modulo.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from alerting.errors import ConditionError, Diagnostic, Span

MAX_TEXT = 64 * 1024  # characters; no person writes a longer condition

NAME = "name"  # possibly dotted: `up`, `job:errors:rate5m`, `health_check.database.status`
NUMBER = "number"
STRING = "string"
END = "end"


class Token(NamedTuple):
    """One token. `kind` is NAME, NUMBER, STRING, END, or the operator itself."""

    kind: str
    text: str
    start: int
    end: int


_HINTS = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `!=`, or turn the comparison around; `a unless b` is PromQL's `a and not b`",
    "~": "patterns are compared with `=~` and `!~`",
    ";": "one condition is one expression; join two by `and` or `or`",
    "?": "there is no choice operator; use `and`, `or`, `unless`",
    "≥": "write `>=`",
    "≤": "write `<=`",
    "≠": "write `!=`",
    "\u201c": 'use plain quotes: "…"',
    "\u201d": 'use plain quotes: "…"',
    "\u2018": "use plain quotes: '…'",
    "\u2019": "use plain quotes: '…'",
    "$": "variables of dashboards and templates have no value here",
}


@cache
def _pattern() -> re.Pattern[str]:
    """Compile on first use: commands that find their rules in the cache never need it."""
    return re.compile(
        r"(?:[ \t\r\n]++|#[^\n]*+)*+(?:"
        r"((?:[A-Za-z_]|:(?=[A-Za-z_:]))[A-Za-z0-9_:]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"  # 1 name
        r"|((?:0[xX]_?[0-9A-Fa-f]+(?:_[0-9A-Fa-f]+)*"  # 2 number, and its suffix
        r"|(?:[0-9]+(?:_[0-9]+)*\.?|\.(?=[0-9]))(?:[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?)[A-Za-z0-9_]*)"
        r"""|("(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'|`[^`]*`)"""  # 3 string
        r"|(=~|!~|==|!=|>=|<=|[-+*/%^<>=(){}\[\],@:.])"  # 4 operator
        r"|(\Z))"  # 5 end
    )


_KINDS = ("", NAME, NUMBER, STRING, "", END)


def tokenize(text: str) -> list[Token]:
    """Split `text`; the last token is END. Raises ConditionError at the first character that fits nowhere."""
    if len(text) > MAX_TEXT:
        raise ConditionError(
            [Diagnostic(f"a condition may have {MAX_TEXT:,} characters; this has {len(text):,}", Span(0, 1))]
        )
    match = _pattern().match
    tokens: list[Token] = []
    at = 0
    while True:
        found = match(text, at)
        if found is None:
            raise _stray(text, at)
        group = found.lastindex or 0
        word = found[group]
        at = found.end()
        tokens.append(Token(_KINDS[group] or word, word, at - len(word), at))
        if group == 5:  # noqa: PLR2004  the group of the end, see the pattern
            return tokens


def _stray(text: str, at: int) -> ConditionError:
    """Say what is wrong at the first place that no token fits."""
    while at < len(text) and (text[at] in " \t\r\n" or text[at] == "#"):
        at = text.find("\n", at) + 1 if text[at] == "#" else at + 1
    char = text[at]
    if char in "\"'`":
        line = text.find("\n", at)
        end = len(text) if char == "`" or line < 0 else line
        problem = Diagnostic("this string is not closed", Span(at, end), f"end it with {char}")
    else:
        shown = f"`{char}`" if char.isprintable() else f"the character U+{ord(char):04X}"
        hint = _HINTS.get(char, "")
        if not hint and (char.isalpha() or char.isdigit()):
            hint = 'names with such letters are quoted: source."name", or {"name"} for a metrics page'
        problem = Diagnostic(f"{shown} has no meaning here", Span(at, at + 1), hint)
    return ConditionError([problem])


_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_CODES = {"x": (16, 2), "u": (16, 4), "U": (16, 8)}  # letter: base, number of digits
_OCTAL = (8, 3)
_DIGITS = {8: frozenset("01234567"), 16: frozenset("0123456789abcdefABCDEF")}


def unquote(token: Token) -> str:
    """Read a string token: back-ticks take all as it stands, the other two know Go's escapes.

    Raises ConditionError for an escape that is none, or for escaped bytes that are not UTF-8.
    """
    body = token.text[1:-1]
    if token.text[0] == "`" or "\\" not in body:
        return body
    out = bytearray()
    at = 0
    while at < len(body):
        slash = body.find("\\", at)
        if slash < 0:
            slash = len(body)
        out += body[at:slash].encode("utf-8", "surrogatepass")
        if slash == len(body):
            break
        at = _unescape(token, body, slash + 1, out)
    try:
        return out.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise _bad_escape(token, 0, len(body), "the escapes in this string do not add up to UTF-8") from None


def _unescape(token: Token, body: str, at: int, out: bytearray) -> int:
    """Read one escape after its backslash; give where to go on."""
    char = body[at]
    if char in _ESCAPES:
        out += _ESCAPES[char].encode()
        return at + 1
    base, width = _CODES.get(char, _OCTAL)
    start = at + 1 if char in _CODES else at
    digits = body[start : start + width]
    if len(digits) < width or not _DIGITS[base].issuperset(digits):
        hint = r"a backslash itself is written \\, or put the text into `…`"
        raise _bad_escape(token, at - 1, at + 1, "this is no escape that strings know", hint)
    code = int(digits, base)
    if char in "uU":
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004  what Unicode defines
            raise _bad_escape(token, at - 1, start + width, "there is no such character")
        out += chr(code).encode()
    elif code > 0xFF:  # noqa: PLR2004  a byte
        raise _bad_escape(token, at - 1, start + width, "an octal escape is one byte, 377 at most")
    else:
        out.append(code)
    return start + width


def _bad_escape(token: Token, start: int, end: int, message: str, hint: str = "") -> ConditionError:
    begin = token.start + 1
    return ConditionError([Diagnostic(message, Span(begin + start, min(begin + end, token.end)), hint)])
