"""Go templates, split into tokens: text outside `{{ }}`, and the words and signs inside.

Trim markers and comments are settled here; whoever reads the tokens sees neither.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from alerting.core.lang.syntax import tokens
from alerting.errors import ConditionError, Diagnostic, Span

_KEYWORDS: Final = frozenset(
    ("if", "with", "range", "else", "end", "break", "continue", "define", "template", "block"),
)
_CONSTANTS: Final[dict[str, Any]] = {"true": True, "false": False, "nil": None}
_SPACE: Final = " \t\r\n"


class Token(NamedTuple):
    """One piece of a template."""

    kind: str  # text, string, number, word, field, variable, constant, open "{{", close "}}", or the sign itself; end
    value: Any
    start: int
    end: int
    spaced: bool = False  # blanks stand before it


def wrong(message: str, start: int, end: int, hint: str = "") -> ConditionError:
    """Make the error for what stands from `start` to `end`."""
    return ConditionError([Diagnostic(message, Span(start, max(end, start + 1)), hint)])


def tokens_of(text: str) -> list[Token]:
    """Split the whole template into text and the tokens of actions; comments are gone."""
    out: list[Token] = []
    at, trims = 0, False
    while True:
        opening = text.find("{{", at)
        plain = text[at:] if opening < 0 else text[at:opening]
        if trims:
            plain = plain.lstrip(_SPACE)
        if opening < 0:
            out.append(Token("text", plain, at, len(text)))
            out.append(Token("end", None, len(text), len(text)))
            return out
        inside = opening + 2
        if text.startswith("-", inside) and text[inside + 1 : inside + 2] in tuple(_SPACE):
            plain, inside = plain.rstrip(_SPACE), inside + 2
        out.append(Token("text", plain, at, opening))
        at, trims = _action_tokens(text, opening, inside, out)


def _action_tokens(text: str, opening: int, at: int, out: list[Token]) -> tuple[int, bool]:
    """Read one action up to its `}}`; give the place behind it and whether blanks go after it."""
    after = _comment_end(text, opening, at)
    if after is not None:
        return after
    out.append(Token("open", None, opening, at))
    while True:
        start = at
        while text[at : at + 1] in tuple(_SPACE) and at < len(text):
            at += 1
        spaced = at > start
        if at >= len(text):
            raise wrong("the action is not closed", opening, opening + 2, "write }}")
        if text.startswith("}}", at):
            out.append(Token("close", None, at, at + 2))
            return at + 2, False
        if spaced and text.startswith("-}}", at):
            out.append(Token("close", None, at, at + 3))
            return at + 3, True
        token = _token(text, at, spaced)
        out.append(token)
        at = token.end


def _comment_end(text: str, opening: int, at: int) -> tuple[int, bool] | None:
    if not text.startswith("/*", at):
        return None
    end = text.find("*/", at)
    if end < 0:
        raise wrong("the comment is not closed", opening, at + 2, "write */}}")
    end += 2
    if text.startswith("}}", end):
        return end + 2, False
    trimmed = end
    while text[trimmed : trimmed + 1] in tuple(_SPACE) and trimmed < len(text):
        trimmed += 1
    if trimmed > end and text.startswith("-}}", trimmed):
        return trimmed + 3, True
    raise wrong("}} was expected directly after the comment", end, end + 1)


def _token(text: str, at: int, spaced: bool) -> Token:
    character = text[at]
    if character in "\"`'":
        value, end = _quoted(text, at)
        if character != "'":
            return Token("string", value, at, end, spaced)
        if len(value) != 1:
            raise wrong("a text stands in double quotes", at, end, "single quotes hold one character, as a number")
        return Token("number", ord(value), at, end, spaced)
    following = text[at + 1 : at + 2]
    if character.isdigit() or (character in "+-." and following.isdigit()):
        return _number(text, at, spaced)
    if character == ".":
        end = _word_end(text, at + 1)
        return Token("field" if end > at + 1 else ".", text[at + 1 : end], at, end, spaced)
    if character == "$":
        end = _word_end(text, at + 1)
        return Token("variable", text[at + 1 : end], at, end, spaced)
    if character.isalpha() or character == "_":
        end = _word_end(text, at)
        word = text[at:end]
        kind = "constant" if word in _CONSTANTS else "keyword" if word in _KEYWORDS else "word"
        return Token(kind, _CONSTANTS.get(word, word), at, end, spaced)
    if text.startswith(":=", at):
        return Token(":=", None, at, at + 2, spaced)
    if character in "|(),=":
        return Token(character, None, at, at + 1, spaced)
    raise wrong(f"unexpected {character!r} in a template's action", at, at + 1)


def _word_end(text: str, at: int) -> int:
    while at < len(text) and (text[at].isalnum() or text[at] == "_"):
        at += 1
    return at


def _number(text: str, at: int, spaced: bool) -> Token:
    end = at + 1
    while end < len(text) and (
        text[end].isalnum() or text[end] in "._" or (text[end] in "+-" and text[end - 1] in "eE" and text[at] != "0")
    ):
        end += 1
    written = text[at:end]
    try:
        value: float = float(written) if _is_float(written) else int(written, 0)
    except ValueError:
        raise wrong(f"{written} is no number", at, end) from None
    return Token("number", value, at, end, spaced)


def _is_float(written: str) -> bool:
    return not written.lower().startswith("0x") and any(each in written for each in ".eE")


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Read a text in "…" or '…' (with escapes) or `…` (as it stands); give it and the place behind it."""
    quote, start = text[at], at
    at += 1
    while text[at : at + 1] != quote:
        if at >= len(text) or (text[at] == "\n" and quote != "`"):
            raise wrong(f"the closing {quote} is missing", start, at)
        at += 2 if text[at] == "\\" and quote != "`" else 1
    at += 1
    return tokens.unquote(tokens.Token(tokens.STRING, text[start:at], start, at)), at
