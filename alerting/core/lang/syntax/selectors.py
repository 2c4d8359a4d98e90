"""The grammar rules about series: names, matchers, lists of labels, ranges and shifts in time.

The whole grammar stands in `parser`.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from alerting.core.lang.syntax.cursor import Cursor
from alerting.core.lang.syntax.literals import read_duration, read_number
from alerting.core.lang.syntax.tokens import END, NAME, NUMBER, STRING, unquote
from alerting.core.lang.syntax.wording import shown
from alerting.core.lang.tree import At, Range, Selector, Subquery
from alerting.errors import ConditionError, Span
from alerting.model import Matcher

if TYPE_CHECKING:
    from alerting.core.lang.tree import Node
    from alerting.model import Millis

_MATCH_OPS = frozenset({"=", "!=", "=~", "!~"})
_NOT_MATCH_OPS = frozenset({"==", ">", "<", ">=", "<="})


class SeriesReader(Cursor):
    """Reads selectors and what may hang behind them."""

    __slots__ = ()

    # ---------------------------------------------------------------------------------- names and labels

    def rest_of_path(self, path: list[str]) -> list[str]:
        """Read name := NAME { . STRING [. NAME] }: no spaces around the dots."""
        end = self.tokens[self.at - 1].end
        while self.token.start == end:
            if self.token.kind == NUMBER and self.token.text.startswith("."):
                name = self.token.text[1:]
                self.fail(f"expected a field, found {shown(self.token)}", hint=f'quote it: {path[0]}."{name}"')
            if self.token.kind != ".":
                break
            self.advance()
            follower = self.token
            if follower.start != end + 1 or follower.kind not in (STRING, NAME):
                self.fail("expected the name of a field right after the dot", end, end + 1, 'or quoted: source."name"')
            self.advance()
            path.extend([unquote(follower)] if follower.kind == STRING else follower.text.split("."))
            end = follower.end
        if "" in path:
            self.fail("a name is empty", self.tokens[self.at - 1].start, end)
        return path

    def selector(self, path: tuple[str, ...], start: int) -> Selector:
        """Read selector := name [matchers] | matchers."""
        if self.token.kind != "{":
            return Selector(path, (), 0, None, self.since(start))
        names, matchers = self.matchers()
        span = self.since(start)
        by_matcher = [matcher for matcher in matchers if matcher.name == "__name__"]
        if len(by_matcher) == 1 and not path and not names and by_matcher[0].op == "=" and by_matcher[0].value:
            path = (by_matcher[0].value,)
            matchers = tuple(matcher for matcher in matchers if matcher.name != "__name__")
            by_matcher = []
        given = [".".join(path)] * bool(path) + names + [matcher.value for matcher in by_matcher]
        if len(given) > 1 and (path or names):
            self.complain(f"the metric's name is given twice: {given[0]} and {given[1]}", span)
        path = path or tuple(names[:1])
        if not path and all(_matches_empty(matcher) for matcher in matchers):
            hint = "name a metric, or say what some label must be"
            self.complain("this selects every series there is", span, hint)
        return Selector(path, matchers, 0, None, span)

    def matchers(self) -> tuple[list[str], tuple[Matcher, ...]]:
        """Read matchers := { [matcher { , matcher } [,]] }; give the quoted metric names and the matchers."""
        start = self.advance().start
        names: list[str] = []
        found: list[Matcher] = []
        while self.token.kind != "}":
            try:
                self.matcher(names, found)
                if self.token.kind not in (",", "}"):
                    hint = "a label's value is compared by = != =~ !~" if self.token.kind in _NOT_MATCH_OPS else ""
                    self.fail(f"expected `,` or `}}` after a matcher, found {shown(self.token)}", hint=hint)
            except ConditionError as error:
                self.problems.extend(error.diagnostics)
                self.skip_to(",", "}")
            if self.token.kind == ",":
                self.advance()
            elif self.token.kind == END:
                self.fail("this { is not closed", start, start + 1)
        self.advance()
        return names, tuple(found)

    def matcher(self, names: list[str], found: list[Matcher]) -> None:
        """Read matcher := (NAME | STRING) (= | != | =~ | !~) STRING | STRING."""
        label = self.token
        if label.kind not in (NAME, STRING):
            self.fail(f"expected a label's name, found {shown(label)}")
        self.advance()
        name = unquote(label) if label.kind == STRING else label.text
        if label.kind == STRING and self.token.kind in (",", "}"):
            if not name:
                self.fail("the metric's name is empty", label.start, label.end)
            names.append(name)
            return
        if label.kind == NAME and ("." in name or ":" in name):
            hint = f'a label is matched like {name[:-1]}="…"' if name.endswith(":") else f'quote it: "{name}"'
            self.fail(f"{name} is no plain label", label.start, label.end, hint)
        if not name:
            self.fail("the label's name is empty", label.start, label.end)
        if self.token.kind not in _MATCH_OPS:
            hint = "labels are matched by a single =" if self.token.kind == "==" else ""
            self.fail(f"expected one of = != =~ !~ after the label {name}, found {shown(self.token)}", hint=hint)
        op = self.advance().kind
        value = self.token
        if value.kind != STRING:
            hint = f'put it in quotes: {name}{op}"{self.unquoted()}"'
            self.fail(f"expected a quoted value for the label {name}, found {shown(value)}", hint=hint)
        self.advance()
        found.append(Matcher(name, op, unquote(value)))

    def unquoted(self) -> str:
        """Put together what stands where a quoted text should, as far as no space parts it."""
        written, end = "", self.token.start
        for token in self.tokens[self.at :]:
            if token.kind in (",", "}", END) or token.start != end:
                break
            written, end = written + token.text, token.end
        return written or "…"

    def skip_to(self, *kinds: str) -> None:
        """Pass over what was not understood."""
        while self.token.kind not in kinds and self.token.kind != END:
            self.advance()

    def labels(self, where: str) -> tuple[str, ...]:
        """Read labels := ( [label { , label } [,]] )."""
        start = self.expect("(", f"`(` and labels {where}").start
        found: list[str] = []
        while self.token.kind != ")":
            token = self.advance()
            plain = token.kind == NAME and "." not in token.text and ":" not in token.text
            label = unquote(token) if token.kind == STRING else token.text
            if token.kind == END:
                self.fail("this ( is not closed", start, start + 1)
            if (not plain and token.kind != STRING) or not label:
                hint = f'quote it: "{label}"' if token.kind == NAME else ""
                self.complain(f"expected a label, found {shown(token)}", Span(token.start, token.end), hint)
            elif self.token.kind not in (",", ")"):
                self.fail(f"expected `,` or `)` in the labels {where}, found {shown(self.token)}")
            found.append(label)
            if self.token.kind == ",":
                self.advance()
        self.advance()
        return tuple(found)

    # ---------------------------------------------------------------------------------- time

    def duration(self, what: str) -> Millis:
        """Read a length of time."""
        if self.token.kind != NUMBER:
            hint = "a length of time is written like 30s, 5m, 1h30m"
            self.fail(f"expected {what}, found {shown(self.token)}", hint=hint)
        return read_duration(self.advance(), native=self.native)

    def bracket(self, node: Node) -> Node:
        """Read range := [ duration ]; subquery := [ duration : [duration] ]."""
        opening = self.advance()
        length = self.token
        behind = [each.kind for each in self.tokens[self.at + 1 : self.at + 3]]
        if self.native and length.text.isdigit() and behind == ["]", "."]:
            hint = (
                f'the items of a list are series with labels, such as {{index="{length.text}"}} behind the whole name'
            )
            self.fail("a field has no places to count", opening.start, length.end + 1, hint)
        window = self.duration("a length of time")
        if not window:
            self.complain("a range of no length holds nothing", Span(length.start, length.end), "write it like [5m]")
        if self.token.kind == ":":
            self.advance()
            step = self.token
            every = 0 if step.kind == "]" else self.duration("a step or `]`")
            if not every and step.kind != "]":
                self.complain("a step must be longer than nothing", Span(step.start, step.end))
            self.expect("]", "`]`")
            self.grow(self.height)
            return Subquery(node, window, every, 0, None, self.since(node.span.start))
        self.expect("]", "`]` or `:`", "a range is [5m], a subquery [1h:5m]")
        span = self.since(node.span.start)
        if not isinstance(node, Selector):
            hint = "a range over an expression is a subquery: [5m:], or [5m:1m] with its step"
            self.complain("a range goes right behind a selector", self.since(opening.start), hint)
            return Range(Selector(("_",)), window, span)
        if node.offset or node.at is not None:
            self.complain("`offset` and `@` come after the range", node.span, "write x[5m] offset 1h")
        return Range(node, window, span)

    def moved_by(self, node: Node) -> Node:
        """Read offset := offset [-] duration."""
        word = self.advance()
        sign = -1 if self.token.kind == "-" else 1
        if self.token.kind in ("-", "+"):
            self.advance()
        offset = sign * self.duration("a length of time after `offset`")
        inner = node.selector if isinstance(node, Range) else node
        if not isinstance(inner, Selector | Subquery):
            self.fail("`offset` goes behind a selector, a range or a subquery", word.start, word.end)
        if inner.offset:
            self.complain("`offset` is given twice", self.since(word.start))
        return self.with_time(node, inner._replace(offset=offset))

    def moved_at(self, node: Node) -> Node:
        """Read at := @ ( [+ | -] NUMBER | start() | end() )."""
        sign = self.advance()
        inner = node.selector if isinstance(node, Range) else node
        if not isinstance(inner, Selector | Subquery):
            self.fail("`@` goes behind a selector, a range or a subquery", sign.start, sign.end)
        if inner.at is not None:
            self.complain("`@` is given twice", Span(sign.start, sign.end))
        return self.with_time(node, inner._replace(at=self.instant()))

    def instant(self) -> At:
        """Read what stands behind an `@`."""
        word = self.word()
        if word in ("start", "end"):
            self.advance()
            self.expect("(", f"`{word}()`")
            self.expect(")", f"`{word}()`")
            return At("start" if word == "start" else "end")
        begin = self.token.start
        minus = self.token.kind == "-"
        if self.token.kind in ("-", "+"):
            self.advance()
        if self.token.kind != NUMBER:
            hint = "seconds since 1970, start() or end()"
            self.fail(f"expected a time after `@`, found {shown(self.token)}", hint=hint)
        seconds = read_number(self.advance(), native=False).value * (-1 if minus else 1)
        if not isfinite(seconds) or abs(seconds) > 2**53 / 1000:  # as far as milliseconds are exact in a float
            self.complain("this time is out of range", self.since(begin))
            return At("time")
        return At("time", round(seconds * 1000))

    def with_time(self, node: Node, moved: Selector | Subquery) -> Node:
        """Put a selector or subquery that was moved in time back to where it stood."""
        span = self.since(node.span.start)
        if isinstance(node, Range) and isinstance(moved, Selector):
            return Range(moved, node.window, span)
        return moved._replace(span=span)


def _matches_empty(matcher: Matcher) -> bool:
    """Tell whether a series without the label fits, as far as that shows without trying the pattern.

    What only the pattern could tell counts as "does not fit"; `check` asks the pattern itself.
    """
    op, value = matcher.op, matcher.value
    if op == "=":
        return not value
    if op == "!=":
        return bool(value)
    alternatives = value.split("|") if "(" not in value and "[" not in value and "\\" not in value else [value]
    empty = any(each in ("", ".*", ".?", ".*?") for each in alternatives)
    return empty if op == "=~" else not empty
