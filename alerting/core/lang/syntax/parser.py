r"""Tokens to a tree: recursive descent, one function to a rule of this grammar.

::

    expression := operand { operator modifiers operand }        by strength, see _STRENGTH; `^` groups from the right
    operator   := + - * / % ^ atan2  == != > < >= <=  and or unless            | =~ !~                        (native)
    modifiers  := [bool] [(on | ignoring) labels [(group_left | group_right) [labels]]]
    operand    := (+ | -) operand | primary { range | subquery | offset | at }           a sign is weaker than `^` only
    primary    := ( expression ) | number | STRING | selector | aggregate | call | true | false     (last two: native)
    number     := NUMBER | Inf | NaN | NUMBER % | NUMBER per period                              (last two: native)
    period     := second | minute | hour | day | duration
    selector   := name [matchers] | matchers
    name       := NAME { . STRING [. NAME] } | STRING . name                              (dots and texts: native)
    matchers   := { [matcher { , matcher } [,]] }
    matcher    := (NAME | STRING) (= | != | =~ | !~) STRING | STRING                       the last: the metric's name
    aggregate  := AGGREGATION [by labels | without labels] ( [expression ,] expression ) [by labels | without labels]
    call       := NAME ( [expression { , expression }] )
    labels     := ( [label { , label } [,]] )         label := NAME | STRING
    range      := [ duration ]        subquery := [ duration : [duration] ]
    offset     := offset [-] duration
    at         := @ ( [+ | -] NUMBER | start() | end() )

It is PromQL's, and where PromQL lets a keyword be a name this does too. The additions are errors in the
prometheus dialect, with a hint of what they mean in the native one. Nothing here knows types, kinds or
names: that is `check`. After an error inside braces or a list of labels it goes on, so as to report all.
"""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Literal, TypeAlias

from alerting.core.lang.signatures import AGGREGATIONS
from alerting.core.lang.syntax.literals import read_duration, read_number
from alerting.core.lang.syntax.selectors import SeriesReader
from alerting.core.lang.syntax.tokens import END, NAME, NUMBER, STRING, Token, tokenize, unquote
from alerting.core.lang.syntax.wording import CALLS_FOR, TWICE, expected_operator, shown
from alerting.core.lang.tree import (
    Aggregate,
    Binary,
    Call,
    Matching,
    Number,
    Paren,
    Per,
    Text,
    Truth,
    Unary,
)
from alerting.errors import ConditionError, Span

if TYPE_CHECKING:
    from alerting.core.lang.tree import Node

Dialect: TypeAlias = Literal["native", "prometheus"]

MOST = 20  # problems that are reported; who has more mends these first
_STRENGTH = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<=", "=~", "!~"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_POWER = _STRENGTH["^"]
COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<=", "=~", "!~"})
_NOT_NAMES = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})  # never metrics, as in PromQL
_SPECIAL = {*AGGREGATIONS, *_NOT_NAMES, "inf", "nan", "true", "false", "and", "or", "unless", "not"}
RESERVED = frozenset(_SPECIAL | {"offset", "by", "without", "per", "start", "end"})  # printed in quotes as names
_PERIODS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def parse(text: str, *, dialect: Dialect = "native") -> Node:
    """Read a condition. Raises ConditionError with every problem found, at least one, each with its place."""
    parser = _Parser(tokenize(text), native=dialect == "native")
    try:
        node = parser.whole()
    except ConditionError as error:
        parser.problems.extend(error.diagnostics)
    else:
        if not parser.problems:
            return node
    raise ConditionError(sorted(parser.problems, key=lambda each: each.span.start)[:MOST])


class _Parser(SeriesReader):
    """Reads whole expressions."""

    __slots__ = ()

    # ---------------------------------------------------------------------------------- expressions

    def whole(self) -> Node:
        """Read condition := expression END."""
        node = self.expression()
        if self.token.kind != END:
            message, hint = expected_operator(self.tokens, self.at)
            self.fail(message, hint=hint)
        return node

    def expression(self, weakest: int = 1) -> Node:
        """Read expression := operand { operator modifiers operand }, as far as operators are at least `weakest`."""
        left = self.operand()
        while True:
            token = self.token
            op = token.text
            strength = _STRENGTH.get(op, 0)
            if not strength and token.kind == NAME:
                op = op.lower()
                strength = _STRENGTH.get(op, 0)
            if not strength or strength < weakest:
                return left
            height = self.height
            self.advance()
            bool_, matching = self.modifiers(op)
            if op == "^":
                self.enter()
                right = self.expression(_POWER)
                self.nesting -= 1
            else:
                right = self.expression(strength + 1)
            self.grow(height, self.height)
            op_span = Span(token.start, token.end)
            if op in ("=~", "!~"):
                self.only_native(op_span, f"`{op}` between two values is", "it compares a text value with a pattern")
            left = Binary(op, left, right, bool_, matching, Span(left.span.start, right.span.end), op_span)

    def modifiers(self, op: str) -> tuple[bool, Matching | None]:
        """Read modifiers := [bool] [(on | ignoring) labels [(group_left | group_right) [labels]]]."""
        if self.token.kind != NAME:
            return False, None
        bool_ = False
        word = self.word()
        if word == "bool":
            bool_ = True
            if op not in COMPARISONS:
                self.complain("`bool` goes with comparisons only", Span(self.token.start, self.token.end))
            self.advance()
            word = self.word()
        if word not in ("on", "ignoring"):
            if word in ("group_left", "group_right"):
                self.fail(f"`{word}` comes after on(…) or ignoring(…)", hint=f"write on(labels) {word}(labels)")
            return bool_, None
        self.advance()
        labels = self.labels(f"after `{word}`")
        group: Literal["", "left", "right"] = ""
        include: tuple[str, ...] = ()
        side = self.word()
        if side in ("group_left", "group_right"):
            start = self.advance().start
            group = "left" if side == "group_left" else "right"
            include = self.labels(f"after `{side}`") if self.token.kind == "(" else ()
            self.check_grouping(op, word, labels, include, self.since(start))
        return bool_, Matching(word == "on", labels, group, include)

    def check_grouping(self, op: str, word: str, labels: tuple[str, ...], include: tuple[str, ...], span: Span) -> None:
        if op in ("and", "or", "unless"):
            self.complain(f"`{op}` pairs many with many; it takes no group_left or group_right", span)
        both = [label for label in labels if label in include]
        if word == "on" and both:
            self.complain(f"label {both[0]} stands in on(…) and in the group as well", span, "leave it in one of them")

    def operand(self) -> Node:
        """Read operand := (+ | -) operand | primary { range | subquery | offset | at }."""
        token = self.token
        if token.kind in ("-", "+"):
            self.advance()
            self.enter()
            inner = self.expression(_POWER)
            self.nesting -= 1
            self.grow(self.height)
            return Unary("-" if token.kind == "-" else "+", inner, Span(token.start, inner.span.end))
        self.height = 0
        node = self.primary()
        while True:
            kind = self.token.kind
            if kind == "[":
                node = self.bracket(node)
            elif kind == "@":
                node = self.moved_at(node)
            elif kind == NAME and self.word() == "offset":
                node = self.moved_by(node)
            else:
                return node

    def primary(self) -> Node:
        """Read primary := ( expression ) | number | STRING | selector | aggregate | call | true | false."""
        token = self.token
        kind = token.kind
        if kind == NAME:
            return self.named()
        if kind == NUMBER:
            return self.number()
        if kind == "(":
            return self.paren()
        if kind == STRING:
            return self.text()
        if kind == "{":
            return self.selector((), token.start)
        before = self.tokens[self.at - 1] if self.at else None
        message, hint = f"expected a value, found {shown(token)}", CALLS_FOR.get(kind, "")
        if before is not None and (before.kind, kind) in TWICE:
            hint = TWICE[before.kind, kind]
        elif before is not None and before.kind == "%":
            hint = "a percentage is written without a space: 85%"
            if not self.native:
                hint = "in PromQL `%` is modulo; in a rule of our own form, outside `groups:`, 85% is a percentage"
        elif before is not None and kind == END:
            message = f"expected a value after {shown(before)}, found the end"
        elif kind == END:
            message, hint = "there is no condition", "write one, such as `disk_usage > 85%`"
        return self.fail(message, hint=hint)

    def paren(self) -> Node:
        start = self.advance().start
        self.enter()
        inner = self.expression()
        self.nesting -= 1
        self.closing(start)
        self.grow(self.height)
        return Paren(inner, self.since(start))

    def closing(self, start: int) -> None:
        """Expect the `)` that belongs to the `(` at `start`."""
        if self.token.kind == ")":
            self.advance()
            return
        message, hint = expected_operator(self.tokens, self.at, "`)`")
        if self.token.kind == END:
            self.fail("this ( is not closed", start, start + 1, hint)
        self.fail(message, hint=hint)

    def number(self) -> Node:
        """Read number := NUMBER | NUMBER % | NUMBER per period."""
        token = self.advance()
        following = self.token
        number = read_number(token, native=self.native)
        if following.kind == "%" and following.start == token.end and self.native and not self.modulo():
            self.advance()
            if number.unit:
                self.complain(f"{number.text}% has two units", self.since(token.start))
            number = Number(number.value, self.since(token.start), "%", f"{number.text}%")
        if self.token.kind == NAME and self.word() == "per":
            return self.per(number)
        return number

    def modulo(self) -> bool:
        """Tell whether the `%` that comes next has a right side, which makes it PromQL's modulo."""
        after = self.peek()
        if after.kind == NAME:
            word = after.text.lower()
            return word not in _STRENGTH and word not in _NOT_NAMES and word not in ("offset", "per", "by", "without")
        return after.kind in (NUMBER, STRING, "(", "{", "-", "+")

    def per(self, number: Number) -> Node:
        """Read number per period."""
        self.advance()
        token = self.token
        period = _PERIODS.get(self.word(), 0)
        if period:
            self.advance()
        elif token.kind == NUMBER and not token.text.isdigit():  # `per 5`: of what?
            period = read_duration(self.advance(), native=True)
        if not period:
            self.fail(
                f"expected a period after `per`, found {shown(token)}",
                token.start,
                token.end,
                "write second, minute, hour, day, or a duration such as 5m",
            )
        span = self.since(number.span.start)
        if number.unit:
            self.complain(f"`{number.text} per …`: a rate counts events, so it has no unit", number.span)
        self.only_native(span, "`per` is", "`10 per minute` is a number of events in each minute")
        return Per(number.value, period, span)

    def text(self) -> Node:
        token = self.advance()
        if self.token.kind == "." and self.token.start == token.end:
            return self.field([unquote(token)], token.start)
        return Text(unquote(token), Span(token.start, token.end))

    # ---------------------------------------------------------------------------------- names

    def named(self) -> Node:
        """Read what a name begins: a selector, a call, an aggregation, or a word that is a value."""
        token = self.advance()
        text = token.text
        word = text.lower()
        follower = self.token
        goes_on = follower.start == token.end and (follower.kind == "." or follower.text.startswith("."))
        if word in _SPECIAL and not goes_on:
            node = self.special(token, word)
            if node is not None:
                return node
        if "." in text or goes_on:
            return self.field(text.split("."), token.start)
        if follower.kind == "(":
            return self.call(token)
        return self.selector((text,), token.start)

    def field(self, path: list[str], start: int) -> Node:
        """Read the rest of a dotted name."""
        path = self.rest_of_path(path)
        span = self.since(start)
        self.only_native(span, "a dotted name is", "it is a field of a source")
        if self.token.kind == "(":
            self.fail(f"{'.'.join(path)} is a field of a source, not a function", start, span.end)
        return self.selector(tuple(path), start)

    def special(self, token: Token, word: str) -> Node | None:
        """Read a word that is more than a name; None where it is just the name of a metric."""
        span = Span(token.start, token.end)
        if word in AGGREGATIONS:
            return self.aggregate(token, word) if self.token.kind == "(" or self.word() in ("by", "without") else None
        if word in ("inf", "nan"):
            return Number(inf if word == "inf" else nan, span, "", token.text)
        if word in ("true", "false"):
            return Truth(word == "true", span) if self.native and self.token.kind not in ("{", "[", "(") else None
        if word in _NOT_NAMES:
            self.fail(f"expected a value, found `{word}`", token.start, token.end)
        begins_value = self.token.kind in (NUMBER, STRING, "(") or (
            self.token.kind == NAME and self.word() not in _STRENGTH and self.word() != "offset"
        )
        if begins_value:
            hint = "turn the comparison around, or use `unless`" if word == "not" else ""
            self.fail(f"expected a value before `{word}`", token.start, token.end, hint)
        return None

    # ---------------------------------------------------------------------------------- calls

    def call(self, name: Token) -> Node:
        """Read call := NAME ( [expression { , expression }] )."""
        args = self.arguments()
        return Call(name.text, args, self.since(name.start))

    def arguments(self) -> tuple[Node, ...]:
        start = self.expect("(", "`(`").start
        self.enter()
        args: list[Node] = []
        heights = [0]
        while self.token.kind != ")":
            args.append(self.expression())
            heights.append(self.height)
            if self.token.kind != ",":
                break
            comma = self.advance()
            if self.token.kind == ")":
                self.fail("expected another argument after the comma", comma.start, comma.end)
        self.closing(start)
        self.nesting -= 1
        self.grow(*heights)
        return tuple(args)

    def aggregate(self, name: Token, op: str) -> Node:
        """Read aggregate := AGGREGATION [by labels | without labels] ( [expression ,] expression ) [the same]."""
        grouping = self.grouping()
        args = self.arguments()
        height = self.height
        if grouping is None:
            grouping = self.grouping()
        elif self.word() in ("by", "without"):
            self.fail(f"{op} is grouped twice", hint="leave one of the two")
        self.height = height
        span = self.since(name.start)
        wanted = 2 if AGGREGATIONS[op].param else 1
        if len(args) != wanted:
            what = "a parameter and an expression" if wanted > 1 else "one expression"
            has = f"this has {len(args)} argument{'s' * (len(args) != 1)}"
            over_time = wanted == 1 and len(args) > 1 and isinstance(args[1], Number) and args[1].unit
            hint = f"over a time it is {op}_over_time(x[{args[1].text}])" if over_time else ""  # type: ignore[union-attr]
            self.fail(f"{op} takes {what}, {has}", span.start, span.end, hint)
        labels, without = grouping or ((), False)
        return Aggregate(op, args[-1], args[0] if wanted > 1 else None, labels, without, span)

    def grouping(self) -> tuple[tuple[str, ...], bool] | None:
        word = self.word()
        if word not in ("by", "without"):
            return None
        self.advance()
        return self.labels(f"after `{word}`"), word == "without"
