"""The tree of a condition: what the parser makes, the checker settles, the compiler reads.

Nodes are named tuples: a third of the cost of frozen dataclasses, at import and for each rule. `span` is where
the node stands in the text. Times are milliseconds. The parser leaves names, units and rates in words as they
were written; `check.settle` gives back a tree in which each Selector is resolved, each literal is in the unit of
the metric it stands against, and no unit, Per or Truth is left: plain PromQL and texts, which is all that the
compiler knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from alerting.errors import Span

if TYPE_CHECKING:
    from alerting.model import Matcher, Metric, Millis

NOWHERE = Span(0, 0)


class Number(NamedTuple):
    """A number; hex and exponents are already read. In Prometheus' form durations are seconds (`5m` is 300).

    In the native form `value` is in `unit`, as both were written (`5m` is 5 m; `1h30m` is 5400 s); after
    `settle` every Number is bare, in the unit of what it stands against, and durations are seconds otherwise.
    """

    value: float
    span: Span = NOWHERE
    unit: str = ""  # as written: ms s m h d w y % B KiB MB GiB …; empty: a bare number. Native form only
    text: str = ""  # as written, for messages and printing


class Text(NamedTuple):
    """A string literal."""

    value: str
    span: Span = NOWHERE


class Truth(NamedTuple):
    """`true` or `false` (native form only): 1 and 0."""

    value: bool
    span: Span = NOWHERE


class Per(NamedTuple):
    """`10 per minute` (native form only): so many events in each `every`."""

    number: float
    every: Millis
    span: Span = NOWHERE


class At(NamedTuple):
    """`@ 1609746000`, `@ start()`, `@ end()`."""

    kind: Literal["time", "start", "end"]
    time: Millis = 0


class Selector(NamedTuple):
    """The newest sample of each series that fits: `name.path{label="x"} offset 5m @ end()`."""

    path: tuple[str, ...]  # ("health_check", "database", "status"); empty: by matchers alone
    matchers: tuple[Matcher, ...] = ()
    offset: Millis = 0
    at: At | None = None
    span: Span = NOWHERE
    metric: Metric | None = None  # set by check: namespace, name, kind, unit. name "": any name


class Range(NamedTuple):
    """The samples of the last `window` of each series: open on the left, closed on the right."""

    selector: Selector
    window: Millis
    span: Span = NOWHERE


class Subquery(NamedTuple):
    """`expr[window:step]`; step 0: the rule's interval."""

    expr: Node
    window: Millis
    step: Millis = 0
    offset: Millis = 0
    at: At | None = None
    span: Span = NOWHERE


class Paren(NamedTuple):
    """`( expr )`, kept so that printing gives back what was written."""

    expr: Node
    span: Span = NOWHERE


class Unary(NamedTuple):
    """`-expr`, `+expr`."""

    op: Literal["-", "+"]
    expr: Node
    span: Span = NOWHERE


class Matching(NamedTuple):
    """How the two sides of a binary operator are paired."""

    on: bool  # True: `on (labels)`; False: `ignoring (labels)`
    labels: tuple[str, ...]
    group: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()


class Binary(NamedTuple):
    """`left op right`; op one of + - * / % ^ atan2, == != > < >= <= =~ !~, and or unless.

    `=~` and `!~` between an expression and a text are native form only.
    """

    op: str
    left: Node
    right: Node
    bool_: bool = False
    matching: Matching | None = None
    span: Span = NOWHERE
    op_span: Span = NOWHERE


class Aggregate(NamedTuple):
    """`sum by (job) (expr)`, `topk(3, expr)`."""

    op: str
    expr: Node
    param: Node | None = None
    grouping: tuple[str, ...] = ()
    without: bool = False
    span: Span = NOWHERE


class Call(NamedTuple):
    """`rate(x[5m])`, and what `check` makes of the left side of `error_count > 10 per 5m`.

    On a counter that is `Call("gained", (Range(selector, D),))`, see running/gained.py. On counts of events per closed
    minute (Kind.COUNT) it is `Call("peak", (Range(selector, D + 59 min), Number(D in seconds)))`: D is a whole number
    of minutes; the sum of any D/1min consecutive buckets is a candidate; the value is the highest candidate that
    ended since the rule's last evaluation (the newest one if none did), of at most 60. Labels are kept.
    """

    func: str
    args: tuple[Node, ...]
    span: Span = NOWHERE


Node: TypeAlias = Number | Text | Truth | Per | Selector | Range | Subquery | Paren | Unary | Binary | Aggregate | Call
