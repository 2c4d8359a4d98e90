"""A condition from its text to its verdicts.

Theory. `compile_condition` parses, settles and compiles once per change. What comes out is small, because there
may be 50,000 of them: no tree is kept. The two commonest shapes, `selector OP number` and `rate(selector[5m]) OP
number` and its like, are one loop over the live list of their series; all others hold a closure. When somebody
asks why, or an alert that is active does not hold any more, the text is parsed again (`judge`): that is rare, and
evaluating is not.

An evaluation never raises for what the data is like: series that do not pair, or a budget that is used up, leave
nothing true and a gap that says so.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from alerting.core.lang.checking.check import settle
from alerting.core.lang.needs import needs_of
from alerting.core.lang.running.binary import BETWEEN, MIRRORED
from alerting.core.lang.running.bucketed import with_buckets
from alerting.core.lang.running.compile import Compiled, Compiler
from alerting.core.lang.running.explain import compared, inside
from alerting.core.lang.running.judge import Judge, Parts
from alerting.core.lang.running.over_time import FUNCTIONS
from alerting.core.lang.running.selecting import is_open
from alerting.core.lang.running.values import BUDGET, NAME, Moment, Span, Stretch, finished
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.tree import Binary, Call, Number, Range, Selector
from alerting.errors import EvaluationError
from alerting.model import NO_LABELS, Gap, Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.lang.checking.check import Purpose
    from alerting.core.lang.names import Names
    from alerting.core.lang.syntax.parser import Dialect
    from alerting.core.lang.tree import Node
    from alerting.core.samples import Samples
    from alerting.core.selection import Selection
    from alerting.errors import Diagnostic
    from alerting.model import Labels, Millis, Need, Patterns, Value, Why

Origin: TypeAlias = "tuple[Names, Patterns, Dialect, Millis]"  # what the text is compiled with, and again
Outcome: TypeAlias = "float | str | Sequence[tuple[Labels, Value]]"

_INTERVAL = 30_000
_LOOKBACK = 300_000
_STEP = 12  # units of work for each step of a subquery, until the first evaluation tells


class Found:
    """What one evaluation found (model.Result)."""

    __slots__ = ("condition", "gaps", "judged", "now", "samples", "since", "true")

    def __init__(  # noqa: PLR0917  hot: keyword arguments cost
        self,
        condition: CompiledCondition,
        samples: Samples,
        now: Millis,
        since: Millis | None,
        true: Sequence[tuple[Labels, Value]],
        gaps: Sequence[Gap],
    ) -> None:
        self.condition = condition
        self.samples = samples
        self.now = now
        self.since = since
        self.true = true
        self.gaps = gaps
        self.judged: Judge | None = None  # made when the first series is asked for, and kept for the others

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series that is not in `true`: FALSE only on evidence, else UNKNOWN or VANISHED."""
        return self.condition.judge(self, labels)

    def why(self, labels: Labels, value: Value) -> str:
        """Say in words why the series is in `true`."""
        return self.condition.explain(self, labels, value)


class CompiledCondition:
    """A condition that can be evaluated, and asked for its reasons (model.Condition)."""

    __slots__ = (
        *("_dialect", "_interval", "_names", "_parts", "_patterns", "_run", "_tree"),
        *("needs", "text", "unit", "watches_buckets", "weight"),
    )

    def __init__(
        self,
        text: str,
        origin: Origin,
        needs: tuple[Need, ...],
        unit: str,
        run: Compiled | None,
    ) -> None:
        self.text = text
        self.needs = needs
        self.unit = unit
        self.watches_buckets = any(need.bucket for need in needs)
        self._names, self._patterns, self._dialect, self._interval = origin
        self._run = run
        self._tree: Node | None = None  # once a series was judged by it: it will be at the next evaluation, too
        self._parts: Parts | None = None
        self.weight = 0

    def evaluate(self, samples: Samples, now: Millis, since: Millis | None = None) -> Found:
        """Evaluate at `now`; `since` is the rule's previous evaluation."""
        run = self._run or self._compiled()
        moment = Moment(samples, now, since)
        try:
            if run.vector is not None:
                vector = run.vector(moment, now)
                true: Sequence[tuple[Labels, Value]] = (
                    [(labels, value) for labels, value, _ in finished(vector)] if vector else ()
                )
            elif run.scalar is not None:
                value = run.scalar(moment, now)
                true = () if moment.gaps else ((NO_LABELS, value),)
            else:
                return Found(self, samples, now, since, (), (Gap("this is a text or a range, which says nothing"),))
        except EvaluationError as error:
            return Found(self, samples, now, since, (), (Gap(str(error)),))
        finally:
            self.weight = BUDGET - moment.budget
        return Found(self, samples, now, since, true, tuple(dict.fromkeys(moment.gaps)) if moment.gaps else ())

    def judge(self, found: Found, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series of an evaluation; see Found.judge."""
        return self._judge(found).verdict(labels)

    def explain(self, found: Found, labels: Labels, value: Value) -> str:
        """Give the reason of a series of an evaluation; see Found.why."""
        return self._judge(found).reason(labels, value)

    def _judge(self, found: Found) -> Judge:
        if found.judged is None:
            if self._tree is None or self._parts is None:
                self._tree, self._parts = self.tree(), Parts(self.compiler())
            found.judged = Judge(self._tree, self._parts, found.samples, now=found.now, since=found.since)
        return found.judged

    def tree(self) -> Node:
        """Parse and settle the text again."""
        return settle(
            parse(self.text, dialect=self._dialect), self._names, dialect=self._dialect, text=self.text, purpose="query"
        ).node

    def compiler(self) -> Compiler:
        """Give what compiles parts of the tree."""
        return Compiler(self._patterns, self._interval)

    def _compiled(self) -> Compiled:
        run = self._run = self.compiler().compile(self.tree())
        return run


class Shaped(CompiledCondition):
    """One selector against one number: its series are found once, and its bound is at hand."""

    __slots__ = ("_found", "_holds", "_open", "bound", "op")

    def __init__(self, text: str, origin: Origin, needs: tuple[Need, ...], unit: str, shape: _Shape) -> None:
        super().__init__(text, origin, needs, unit, None)
        self.op, self.bound = shape.op, shape.bound
        self._holds = _HOLDS[shape.op]
        self._open = is_open(shape.selector)
        self._found: Selection | None = None

    def _look(self, samples: Samples) -> Selection:
        need = self.needs[0]
        found = self._found = samples.selection(need.namespace, need.name, need.matchers, self._patterns)
        return found


class Threshold(Shaped):
    """`selector OP number`: the shape of nearly all rules, evaluated in one loop."""

    __slots__ = ()

    def evaluate(self, samples: Samples, now: Millis, since: Millis | None = None) -> Found:
        """Evaluate at `now`."""
        selection = self._found
        if selection is None or selection.owner is not samples:
            selection = self._look(samples)
        holds, bound = self._holds, self.bound
        true: list[tuple[Labels, Value]] | None = None
        seen = False
        try:
            for series in selection.series:
                if series.at > now:
                    return super().evaluate(samples, now, since)  # the past: by the general way
                if now < series.expires:
                    seen = True
                    if holds(series.last, bound):
                        if true is None:
                            true = []
                        true.append((series.labels, series.last))
        except TypeError:  # a text among the numbers
            return super().evaluate(samples, now, since)
        if not seen or now < selection.space.bad_until:
            return Found(self, samples, now, since, true or (), tuple(selection.gaps(now, open_=self._open)))
        return Found(self, samples, now, since, true or (), ())

    def judge(self, found: Found, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series: the plain case, where it is there and within its bound, needs no tree."""
        value = self._value(found, labels)
        if value is None:
            return super().judge(found, labels)
        return Truth.FALSE, lambda: self._words(labels, value, ", not")

    def explain(self, found: Found, labels: Labels, value: Value) -> str:
        """Give the reason."""
        return self._words(labels, value, "") if self.needs[0].name else super().explain(found, labels, value)

    def _value(self, found: Found, labels: Labels) -> float | None:
        selection, name = self._found, self.needs[0].name
        if selection is None or selection.owner is not found.samples or not name or selection.record is None:
            return None
        series = selection.record.series.get(labels)
        if series is None or not selection.takes(name, labels) or not series.at <= found.now < series.expires:
            return None
        return None if isinstance(series.last, str) or self._holds(series.last, self.bound) else series.last

    def _words(self, labels: Labels, value: Value, between: str) -> str:
        need = self.needs[0]
        written = need.namespace and f"{need.namespace}." in self.text
        name = f"{need.namespace}.{need.name}" if written else need.name
        return compared(name, labels, value, self.op, self.bound, self.unit, between=between)


class WindowThreshold(Shaped):
    """`rate(selector[5m]) OP number` and its like, where the function does not walk through the window."""

    __slots__ = ("_compute", "_window")

    def __init__(self, text: str, origin: Origin, needs: tuple[Need, ...], unit: str, shape: _Shape) -> None:
        super().__init__(text, origin, needs, unit, shape)
        self._compute = FUNCTIONS[shape.function].compute
        self._window = shape.window

    def evaluate(self, samples: Samples, now: Millis, since: Millis | None = None) -> Found:
        """Evaluate at `now`. Whatever is not plain (a gap, a series without an answer) goes the general way."""
        selection = self._found
        if selection is None or selection.owner is not samples:
            selection = self._look(samples)
        if now < selection.space.bad_until or not selection.series or not self.needs[0].name:
            return super().evaluate(samples, now, since)
        holds, bound, compute = self._holds, self.bound, self._compute
        span = Span(now - self._window, now, now)
        true: list[tuple[Labels, Value]] = []
        try:
            for series in selection.series:
                low, high = series.bounds(span.start, now)
                stretch = Stretch(series.labels, series.name, False, series, low, high)  # noqa: FBT003  hot: by position
                value = compute(stretch, span) if low < high else None
                if value is None:
                    return super().evaluate(samples, now, since)
                if holds(value, bound):
                    true.append((series.labels, value))
        except TypeError:  # a text among the numbers
            return super().evaluate(samples, now, since)
        self.weight = 8 * len(selection.series)
        return Found(self, samples, now, since, true, ())


_HOLDS: dict[str, Callable[[Value, Value], bool]] = {  # a text raises TypeError
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": BETWEEN["=="],
    "!=": BETWEEN["!="],
}


def compile_condition(
    text: str,
    names: Names,
    patterns: Patterns,
    *,
    dialect: Dialect = "native",
    interval: Millis = _INTERVAL,
    lookback: Millis = _LOOKBACK,
    purpose: Purpose = "alert",
) -> tuple[CompiledCondition, tuple[Diagnostic, ...]]:
    """Compile a condition; the warnings ride along. Raises ConditionError with everything that is wrong.

    `interval` is the rule's own: the step of a subquery that names none. `lookback` is for how long a sample
    holds; what looks back needs samples that are older by it. `purpose`: see `check.settle`.
    """
    tree = parse(text, dialect=dialect)
    settled = settle(tree, names, dialect=dialect, text=text, purpose=purpose, patterns=patterns)
    node = settled.node
    wide = with_buckets(node)
    origin = (names, patterns, dialect, interval)
    needs = _shared(
        tuple(
            need._replace(window=need.window + lookback) if need.window else need
            for need in (settled.needs if wide is node else dict.fromkeys((*settled.needs, *needs_of(wide))))
        )
    )
    shape = _shape(node)
    if shape is not None:
        make = WindowThreshold if shape.function else Threshold
        return make(text, origin, needs, settled.unit, shape), settled.diagnostics
    compiler = Compiler(patterns, interval)
    condition = CompiledCondition(text, origin, needs, settled.unit, compiler.compile(node))
    if compiler.steps > 1:
        condition.weight = _STEP * compiler.steps
    return condition, settled.diagnostics


def evaluate_expression(condition: CompiledCondition, samples: Samples, now: Millis) -> Outcome:
    """Evaluate as a query does: a number, a text, or series with their name as `__name__`.

    Raises EvaluationError where PromQL fails too, and when the budget is used up.
    """
    run = condition._run or condition._compiled()  # noqa: SLF001  of the same module
    moment = Moment(samples, now)
    if run.vector is not None:
        found = finished(run.vector(moment, now))
        return [(labels.merged({NAME: name}) if name else labels, value) for labels, value, name in found]
    if run.scalar is not None:
        return run.scalar(moment, now)
    if run.ranges is not None:
        raise EvaluationError("a range has no value of its own; put a function around it, such as last_over_time()")
    return run.text


@lru_cache(maxsize=65_536)
def _shared(needs: tuple[Need, ...]) -> tuple[Need, ...]:
    """Give the first of equal needs: ten rules on one series hold one."""
    return needs


class _Shape(NamedTuple):
    """A condition of one of the two commonest shapes; without a function it is the newest sample that counts."""

    selector: Selector
    op: str
    bound: float
    function: str = ""
    window: Millis = 0


def _shape(node: Node) -> _Shape | None:
    """Recognise `selector OP number` and `function(selector[window]) OP number`, either way round; None: another."""
    node = inside(node)
    if not isinstance(node, Binary) or node.bool_ or node.op not in _HOLDS:
        return None
    left, right, op = inside(node.left), inside(node.right), node.op
    if isinstance(left, Number):
        left, right, op = right, left, MIRRORED[op]
    if not isinstance(right, Number):
        return None
    function, window, selector = "", 0, left
    if isinstance(left, Call) and len(left.args) == 1 and left.func in FUNCTIONS and not FUNCTIONS[left.func].walks:
        stretch = inside(left.args[0])
        if isinstance(stretch, Range):
            function, window, selector = left.func, stretch.window, stretch.selector
    if not isinstance(selector, Selector) or selector.at is not None or selector.offset:
        return None
    return _Shape(selector, op, right.value, function, window)
