"""A condition from its text to its verdicts.

Theory. `compile_condition` parses, settles and compiles once per change. What comes out is small, because there
may be 50,000 of them: no tree is kept. A condition of the commonest shape, `selector OP number`, is a Threshold:
one loop over the live list of its series. All others hold a closure. When somebody asks why, or an alert that is
active does not hold any more, the text is parsed again (`judge`): that is rare, and evaluating is not.

An evaluation never raises for what the data is like: series that do not pair, or a budget that is used up, leave
nothing true and a gap that says so.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from alerting.core.lang.binary import BETWEEN, MIRRORED
from alerting.core.lang.bucketed import with_buckets
from alerting.core.lang.check import settle
from alerting.core.lang.compile import Compiled, Compiler
from alerting.core.lang.needs import needs_of
from alerting.core.lang.parser import parse
from alerting.core.lang.tree import Binary, Number, Paren, Selector
from alerting.core.lang.values import NAME, Moment, finished
from alerting.errors import EvaluationError
from alerting.model import NO_LABELS, Gap, Kind, Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.lang.check import Purpose
    from alerting.core.lang.names import Names
    from alerting.core.lang.parser import Dialect
    from alerting.core.lang.tree import Node
    from alerting.core.samples import Samples
    from alerting.core.selection import Selection
    from alerting.errors import Diagnostic
    from alerting.model import Labels, Millis, Need, Patterns, Value, Why

Outcome: TypeAlias = "float | str | Sequence[tuple[Labels, Value]]"

_INTERVAL = 30_000
_LOOKBACK = 300_000


class Found:
    """What one evaluation found (model.Result)."""

    __slots__ = ("condition", "gaps", "now", "samples", "since", "true")

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

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series that is not in `true`: FALSE only on evidence, else UNKNOWN or VANISHED."""
        return self.condition.judge(self, labels)

    def why(self, labels: Labels, value: Value) -> str:
        """Say in words why the series is in `true`."""
        return self.condition.explain(self, labels, value)


class CompiledCondition:
    """A condition that can be evaluated, and asked for its reasons (model.Condition)."""

    __slots__ = ("_dialect", "_interval", "_names", "_patterns", "_run", "needs", "text", "unit", "watches_buckets")

    def __init__(
        self,
        text: str,
        origin: tuple[Names, Patterns, Dialect, Millis],
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
        return Found(self, samples, now, since, true, tuple(dict.fromkeys(moment.gaps)) if moment.gaps else ())

    def judge(self, found: Found, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series of an evaluation; see Found.judge."""
        from alerting.core.lang.judge import Judge  # noqa: PLC0415  only when an alert is active

        return Judge(self, found.samples, found.now, found.since).verdict(labels)

    def explain(self, found: Found, labels: Labels, value: Value) -> str:
        """Give the reason of a series of an evaluation; see Found.why."""
        from alerting.core.lang.judge import Judge  # noqa: PLC0415  only when somebody asks

        return Judge(self, found.samples, found.now, found.since).reason(labels, value)

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


class Threshold(CompiledCondition):
    """`selector OP number`: the shape of nearly all rules, evaluated in one loop."""

    __slots__ = ("_bound", "_found", "_holds", "_open", "op")

    def __init__(
        self,
        text: str,
        origin: tuple[Names, Patterns, Dialect, Millis],
        needs: tuple[Need, ...],
        unit: str,
        shape: tuple[str, float, bool],
    ) -> None:
        super().__init__(text, origin, needs, unit, None)
        self.op, self._bound, self._open = shape
        self._holds = _HOLDS[self.op]
        self._found: Selection | None = None

    def evaluate(self, samples: Samples, now: Millis, since: Millis | None = None) -> Found:
        """Evaluate at `now`."""
        selection = self._found
        if selection is None or selection.owner is not samples:
            selection = self._look(samples)
        holds, bound = self._holds, self._bound
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
        selection = self._found
        if selection is None or selection.owner is not found.samples or not self.needs[0].name:
            return None
        for series in selection.series:
            if series.labels == labels and series.at <= found.now < series.expires:
                return None if isinstance(series.last, str) or self._holds(series.last, self._bound) else series.last
        return None

    def _words(self, labels: Labels, value: Value, between: str) -> str:
        from alerting.core.lang.explain import compared  # noqa: PLC0415  only when somebody asks

        need = self.needs[0]
        name = f"{need.namespace}.{need.name}" if need.namespace and "." in self.text else need.name
        return compared(name, labels, value, self.op, self._bound, self.unit, between=between)

    def _look(self, samples: Samples) -> Selection:
        need = self.needs[0]
        found = self._found = samples.selection(need.namespace, need.name, need.matchers, self._patterns)
        return found


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
    origin = (names, patterns, dialect, interval)
    shape = _shape(node)
    if shape is not None:
        return Threshold(text, origin, _shared(settled.needs), settled.unit, shape), settled.diagnostics
    run = Compiler(patterns, interval).compile(node)
    needs = tuple(
        need._replace(window=need.window + lookback) if need.window else need
        for need in dict.fromkeys((*settled.needs, *needs_of(with_buckets(node))))
    )
    return CompiledCondition(text, origin, _shared(needs), settled.unit, run), settled.diagnostics


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


def _shape(node: Node) -> tuple[str, float, bool] | None:
    """Recognise `selector OP number`, either way round; None: another shape."""
    while isinstance(node, Paren):
        node = node.expr
    if not isinstance(node, Binary) or node.bool_ or node.op not in _HOLDS:
        return None
    left, right, op = node.left, node.right, node.op
    if isinstance(left, Number):
        left, right, op = right, left, MIRRORED[op]
    if not isinstance(left, Selector) or not isinstance(right, Number) or left.at is not None or left.offset:
        return None
    return op, right.value, left.metric is None or left.metric.kind is Kind.UNKNOWN
