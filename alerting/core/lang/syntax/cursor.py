"""Walking over tokens: the ground that the parser's grammar rules stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from alerting.core.lang.syntax.tokens import END, NAME
from alerting.core.lang.syntax.wording import shown
from alerting.errors import ConditionError, Diagnostic, Span

if TYPE_CHECKING:
    from alerting.core.lang.syntax.tokens import Token

MAX_NESTING = 100  # parentheses, calls, signs within one another
MAX_HEIGHT = 200  # of the tree: long chains of operators too are walked by recursion


class Cursor:
    """Where the reading stands. `token` is the next one; `height` is that of the tree that was read last."""

    __slots__ = ("at", "height", "native", "nesting", "problems", "token", "tokens")

    def __init__(self, tokens: list[Token], *, native: bool) -> None:
        self.tokens = tokens
        self.native = native
        self.at = 0
        self.token = tokens[0]
        self.nesting = 0
        self.height = 0
        self.problems: list[Diagnostic] = []

    def advance(self) -> Token:
        """Take the next token; the end is never passed."""
        token = self.token
        if token.kind != END:
            self.at += 1
            self.token = self.tokens[self.at]
        return token

    def peek(self) -> Token:
        """Give the token after the next one."""
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    def word(self) -> str:
        """Give the next token in lower case if it is a name: PromQL's keywords know no case."""
        return self.token.text.lower() if self.token.kind == NAME else ""

    def expect(self, kind: str, what: str, hint: str = "") -> Token:
        """Take the next token, which must be a `kind`."""
        if self.token.kind != kind:
            self.fail(f"expected {what}, found {shown(self.token)}", hint=hint)
        return self.advance()

    def fail(self, message: str, start: int | None = None, end: int | None = None, hint: str = "") -> NoReturn:
        """Raise; the place is the next token unless it is given."""
        begin = self.token.start if start is None else start
        stop = self.token.end if end is None else end
        raise ConditionError([Diagnostic(message, Span(begin, max(begin, stop)), hint)])

    def complain(self, message: str, span: Span, hint: str = "") -> None:
        """Note a problem that does not keep the rest from being read."""
        self.problems.append(Diagnostic(message, span, hint))

    def only_native(self, span: Span, what: str, meaning: str) -> None:
        """Complain about an addition of the native form where the text must be PromQL."""
        if not self.native:
            self.complain(f"{what} not PromQL", span, f"in a rule of our own form, outside `groups:`, {meaning}")

    def since(self, start: int) -> Span:
        """Give the span from `start` to the end of the token that was read last."""
        return Span(start, self.tokens[self.at - 1].end)

    def grow(self, *heights: int) -> None:
        """Note the height of a tree over trees of these heights; refuse what is too high to walk."""
        self.height = max(heights, default=0) + 1
        if self.height > MAX_HEIGHT:
            self.fail(f"more than {MAX_HEIGHT} operators hang on one another", hint="split the rule")

    def enter(self) -> None:
        """Note that what follows stands inside something; whoever calls this takes one off when it is read."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail(f"nested deeper than {MAX_NESTING} levels", hint="split the rule")
