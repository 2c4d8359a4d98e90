"""What the parser says of a token that does not fit: how it is shown, and what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.syntax.tokens import END, NAME, NUMBER, STRING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.lang.syntax.tokens import Token

_WIDEST = 40  # characters of a token that messages show

CALLS_FOR = {  # hints for operators that stand where a value should
    "=": "two values are compared by ==",
    ")": "there is nothing between the parentheses, or one too many",
    "*": 'wrap names by pattern in a matcher: {__name__=~"http_.*"}',
    ">": "`>=` and `!=` are one sign each, without a space",
    ".": "a field is written source.field, without spaces",
}
TWICE = {("<", ">"): "write `!=`", ("==", "="): "write `==`", ("!=", "="): "write `!=`"}  # two tokens in a row
_UNIT_WORDS = {
    "ms": "ms",
    "milliseconds": "ms",
    "s": "s",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "m": "m",
    "min": "m",
    "minute": "m",
    "minutes": "m",
    "h": "h",
    "hour": "h",
    "hours": "h",
    "d": "d",
    "day": "d",
    "days": "d",
    "percent": "%",
    **{size: size for size in ("B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB")},
    "bytes": "B",
}
_WORDS = {
    "is": "values are compared by == != > >= < <=",
    "between": "write two comparisons: x > 80 and x < 90",
    "per": "it stands behind the number: x > 10 per minute",
    "equals": "values are compared by ==",
    "not": "write `!=`, or `unless` between two conditions",
    "in": 'several values are a pattern: =~ "a|b"',
    "for": "the time a condition must hold stands beside it: `for: 5m`",
    **dict.fromkeys(("if", "when", "alert"), "the condition alone is enough"),
    **dict.fromkeys(("above", "over", "exceeds", "greater"), "write > or >="),
    **dict.fromkeys(("below", "under", "less"), "write < or <="),
    "then": "what happens stands beside the condition: `notify:`",
    **dict.fromkeys(("contains", "like", "matches"), 'a part of a text is found by a pattern: =~ ".*part.*"'),
    "xor": "there are `and`, `or`, `unless`",
}


def shown(token: Token) -> str:
    """Show a token in a message."""
    if token.kind == END:
        return "the end"
    text = token.text if len(token.text) <= _WIDEST else token.text[: _WIDEST - 1] + "…"
    return text if token.kind == STRING else f"`{text}`"


def expected_operator(tokens: Sequence[Token], at: int, closing: str = "the end") -> tuple[str, str]:
    """Say what is wrong, and what was probably meant, with a token that stands after a whole value."""
    token = tokens[at]
    before = tokens[at - 1] if at else token
    message = f"expected an operator or {closing}, found {shown(token)}"
    text = token.text
    after = tokens[at + 1] if at + 1 < len(tokens) else token
    hint = ""
    if token.kind == "=":
        hint = f"write {after.kind}=" if after.kind in (">", "<") else "two values are compared by =="
        if after.kind == STRING and at > 1 and tokens[at - 2].kind == "(":
            hint = f"labels stand in braces: {{{before.text}={after.text}}}"
    elif token.kind == ")":
        message, hint = "this ) closes nothing", "take it away, or open a ( before"
    elif token.kind == NAME and before.kind == NUMBER and text in _UNIT_WORDS:
        hint = f"a unit follows its number without a space: {before.text}{_UNIT_WORDS[text]}"
    elif text == "in" and before.kind == after.kind == NUMBER:
        hint = f"so many in a time are written {before.text} per {after.text}"
    elif token.kind == NAME and text.lower() in _WORDS:
        hint = _WORDS[text.lower()]
    elif before.kind == NAME and before.text.lower() in _WORDS:  # `85% for 5m`: the word was taken for a metric
        hint = _WORDS[before.text.lower()]
    elif token.kind == before.kind == NUMBER and not text[-1].isdigit():
        hint = f"a length of time has no spaces: {before.text}{text}"
    elif token.kind == "," and before.kind == after.kind == NUMBER and before.end + 1 == after.start:
        hint = f"decimals take a point: {before.text}.{after.text}"
    elif token.kind == ",":
        hint = "a comma parts arguments and labels; conditions are joined by `and` and `or`"
    elif token.kind in ("(", "{") and before.kind == STRING:
        hint = 'a quoted metric name stands inside the braces: {"name"}'
    return message, hint
