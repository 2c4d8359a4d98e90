"""From a checked tree to closures: after this nothing walks a tree.

`Compiler.compile` gives a Compiled: what type it is, and a closure `(moment, t)` that gives its value at `t`.
The table of functions is `signatures`; each of its names is made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from alerting.core.lang import tree
from alerting.core.lang.running import aggregations, functions, histogram, matching, over_time, selecting
from alerting.core.lang.running.binary import COMPARISONS, Operand, arithmetic, comparison, negated
from alerting.core.lang.running.bucketed import bucketed
from alerting.core.lang.running.values import MAX_STEPS, Span, mistyped
from alerting.errors import ConditionError, Diagnostic, EvaluationError
from alerting.model import NO_LABELS, Gap, Labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.lang.running.values import Moment, RangesOf, ScalarOf, Stretch, Vector, VectorOf
    from alerting.model import Millis, Patterns


class Compiled(NamedTuple):
    """A closure, and what it gives. Of the four exactly the one that `type` names is there."""

    type: Literal["scalar", "vector", "range", "string"]
    scalar: ScalarOf | None = None
    vector: VectorOf | None = None
    ranges: RangesOf | None = None
    text: str = ""
    constant: float | None = None  # of a scalar that is always the same


class Compiler:
    """What compiling needs besides the tree; lives as long as one condition is being compiled."""

    def __init__(self, patterns: Patterns, interval: Millis) -> None:
        self.patterns = patterns
        self.interval = interval  # the step of a subquery that names none
        self.steps = 1  # how often the innermost part is evaluated at each evaluation

    def compile(self, node: tree.Node, steps: int = 1) -> Compiled:
        """Compile one node. Raises ConditionError for what can only be seen here: patterns, too many steps."""
        match node:
            case tree.Number():
                return _constant(node.value)
            case tree.Truth():
                return _constant(float(node.value))
            case tree.Text():
                return Compiled("string", text=node.value)
            case tree.Paren():
                return self.compile(node.expr, steps)
            case tree.Selector():
                return Compiled("vector", vector=selecting.instant(self._looking(node), node.offset, node.at))
            case tree.Range():
                selector = node.selector
                looking = self._looking(selector)
                ranges = selecting.stretch(looking, node.window, selector.offset, selector.at)
                return Compiled("range", ranges=ranges)
            case tree.Subquery():
                return self._subquery(node, steps)
            case tree.Unary():
                return self._unary(node, steps)
            case tree.Binary():
                return self._binary(node, steps)
            case tree.Aggregate():
                return self._aggregate(node, steps)
            case tree.Call():
                return self._call(node, steps)
        raise _wrong("this cannot be evaluated here", node)

    def vector(self, node: tree.Node, steps: int = 1) -> VectorOf:
        """Compile a node that must be an instant vector."""
        made = self.compile(node, steps)
        if made.vector is None:
            raise _wrong(f"expected an instant vector, got a {made.type}", node)
        return made.vector

    def scalar(self, node: tree.Node, steps: int = 1) -> ScalarOf:
        """Compile a node that must be a scalar."""
        made = self.compile(node, steps)
        if made.scalar is None:
            raise _wrong(f"expected a number, got a {made.type}", node)
        return made.scalar

    def _looking(self, node: tree.Selector) -> selecting.Looking:
        for matcher in node.matchers:
            if matcher.op in ("=~", "!~"):
                self._pattern(matcher.value, node)
        return selecting.Looking(node, self.patterns)

    def _pattern(self, pattern: str, node: tree.Node) -> object:
        try:
            return self.patterns(pattern)
        except ValueError as error:
            raise _wrong(f"the pattern {pattern!r} is not valid: {error}", node) from None

    def _subquery(self, node: tree.Subquery, steps: int) -> Compiled:
        step = node.step or self.interval
        steps *= node.window // step + 1
        if steps > MAX_STEPS:
            raise _wrong(
                f"this asks for {steps:,} evaluations at each evaluation",
                node,
                f"at most {MAX_STEPS:,} are made; use a shorter window or a longer step",
            )
        self.steps = max(self.steps, steps)
        ranges = selecting.subquery(self.vector(node.expr, steps), node.window, step, node.offset, node.at)
        return Compiled("range", ranges=ranges)

    def _unary(self, node: tree.Unary, steps: int) -> Compiled:
        inner = self.compile(node.expr, steps)
        if node.op == "+":
            return inner
        if inner.constant is not None:
            return _constant(-inner.constant)
        if inner.scalar is not None:
            scalar = inner.scalar
            return Compiled("scalar", scalar=lambda m, t: -scalar(m, t))
        if inner.vector is None:
            raise _wrong(f"expected numbers, got a {inner.type}", node)
        return Compiled("vector", vector=negated(inner.vector))

    def _binary(self, node: tree.Binary, steps: int) -> Compiled:
        if node.op in ("and", "or", "unless"):
            left, right = self.vector(node.left, steps), self.vector(node.right, steps)
            keys = matching.Keys(node.matching)
            make = {"and": matching.and_, "or": matching.or_, "unless": matching.unless}[node.op]
            return Compiled("vector", vector=make(left, right, keys))
        left_made, right_made = self.compile(node.left, steps), self.compile(node.right, steps)
        try:
            operate = comparison if node.op in COMPARISONS else arithmetic
            made = operate(node, _operand(left_made), _operand(right_made), self.patterns)
        except ValueError as error:
            raise _wrong(str(error), node) from None
        if callable(made):
            return Compiled("vector", vector=made)
        return _constant(made.constant) if made.constant is not None else Compiled("scalar", scalar=made.scalar)

    def _aggregate(self, node: tree.Aggregate, steps: int) -> Compiled:
        of = self.vector(node.expr, steps)
        if node.op == "count_values":
            label = self.compile(node.param, steps).text if node.param else ""
            if not label:
                raise _wrong(f"invalid label name {label!r} in count_values", node)
            counted = aggregations.count_values(label, of, node.grouping, without=node.without)
            return Compiled("vector", vector=counted)
        grouping = aggregations.Grouping(node.grouping, without=node.without)
        param = self.scalar(node.param, steps) if node.param is not None else None
        if node.op in aggregations.PICKING and param is not None:
            return Compiled("vector", vector=aggregations.pick(node.op, of, param, grouping))
        return Compiled("vector", vector=aggregations.simple(node.op, of, param, grouping))

    def _call(self, node: tree.Call, steps: int) -> Compiled:
        name, args = node.func, node.args
        if name in over_time.FUNCTIONS:
            return Compiled("vector", vector=self._over_time(node, steps))
        if name in functions.OF_NUMBER:
            of = self.vector(args[0], steps) if args else functions.vector(functions.time)
            return Compiled("vector", vector=functions.each(functions.OF_NUMBER[name], of))
        make = _CALLS.get(name)
        if make is None:
            raise _wrong(f"unknown function {name}", node)
        try:
            return make(self, node, steps)
        except EvaluationError as error:
            raise _wrong(str(error), node) from None

    def _over_time(self, node: tree.Call, steps: int) -> VectorOf:
        ranges: RangesOf | None = None
        numbers: list[ScalarOf] = []
        for arg in node.args:
            made = self.compile(arg, steps)
            if made.ranges is not None:
                ranges = made.ranges
            elif made.scalar is not None:
                numbers.append(made.scalar)
        if ranges is None:
            raise _wrong(f"{node.func} expects a range such as x[5m]", node)
        return over(over_time.FUNCTIONS[node.func], ranges, numbers)


def over(function: over_time.OverTime, ranges: RangesOf, params: list[ScalarOf]) -> VectorOf:
    """Make a function of stretches of time. Where it has no answer because we fetched too seldom: a gap."""
    compute, least, keeps, walks, slides, lacking = function

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        numbers = [param(m, t) for param in params]
        if params and m.unknown(mark):
            return []
        stretches, start, end, asked, shortage = ranges(m, t)
        span = Span(start, end, t, numbers, m.since)
        m.spend(8 * len(stretches))
        if walks or (slides and t != m.now):
            m.spend(sum([stretch.high - stretch.low for stretch in stretches]) << walks)
        found: Vector = []
        for stretch in stretches:
            try:
                value = compute(stretch, span)
            except TypeError:
                m.gaps.append(_text_among(stretch))
                continue
            if value is None:
                gap = lacking(stretch, span) if lacking is not None else None
                if gap is not None and (not m.gaps or m.gaps[-1] != gap):  # one of a whole page's series is enough
                    m.gaps.append(gap)
                continue
            found.append((stretch.labels, value, stretch.name, not keeps or stretch.dropped))
        if len(found) < asked and shortage is not None:
            m.gaps += shortage(least)
        return found

    return run


def _text_among(stretch: Stretch) -> Gap:
    values = stretch.points.values[max(0, stretch.low - 1) : stretch.high]  # an anchor lies before the window
    value = next((value for value in reversed(values) if isinstance(value, str)), values[-1])
    return mistyped(stretch.labels, stretch.name, value)


def _constant(value: float) -> Compiled:
    return Compiled("scalar", scalar=lambda _m, _t: value, constant=value)


def _operand(made: Compiled) -> Operand:
    return Operand(made.scalar, made.vector, made.text if made.type == "string" else None, made.constant)


def _wrong(message: str, node: tree.Node, hint: str = "") -> ConditionError:
    return ConditionError((Diagnostic(message, node.span, hint),))


# ------------------------------------------------------------------------------------------- functions


def _absent(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    """`absent(v)`: 1 when nothing is there. A failed reading is absence, so gaps do not count."""
    arg = node.args[0]
    selector = arg.selector if isinstance(arg, tree.Range) else arg
    labels = NO_LABELS
    if isinstance(selector, tree.Selector):
        labels = Labels(selecting.absent_labels(selector.matchers))
    made = compiler.compile(arg, steps)

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        if m.wide:
            return [(labels, 0.0, "", False)]
        held = made.vector(m, t) if made.vector else cast("RangesOf", made.ranges)(m, t).stretches
        del m.gaps[mark:]
        return [] if held else [(labels, 1.0, "", False)]

    return Compiled("vector", vector=run)


def _timestamp(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    arg = node.args[0]
    while isinstance(arg, tree.Paren):
        arg = arg.expr
    if isinstance(arg, tree.Selector):
        looking = compiler._looking(arg)  # noqa: SLF001  a part of the same compiler
        return Compiled("vector", vector=selecting.timestamps(looking, arg.offset, arg.at))
    of = compiler.vector(arg, steps)

    def run(m: Moment, t: Millis) -> Vector:
        return [(labels, t / 1000, name, True) for labels, _, name, _ in of(m, t)]

    return Compiled("vector", vector=run)


def _label_replace(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    of = compiler.vector(node.args[0], steps)
    target, template, source, pattern = (compiler.compile(arg).text for arg in node.args[1:])
    compiled = compiler._pattern(pattern, node)  # noqa: SLF001  a part of the same compiler
    return Compiled("vector", vector=functions.label_replace(of, target, template, source, compiled))  # type: ignore[arg-type]


def _label_join(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    of = compiler.vector(node.args[0], steps)
    target, separator, *sources = (compiler.compile(arg).text for arg in node.args[1:])
    return Compiled("vector", vector=functions.label_join(of, target, separator, sources))


def _buckets(measure: Callable[[list[float], histogram.Buckets], float]) -> Maker:
    def make(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
        *params, of = node.args
        numbers = [compiler.scalar(param, steps) for param in params]
        buckets = bucketed(of)
        named = compiler.vector(buckets, steps) if buckets is not None else None
        return Compiled("vector", vector=histogram.over_buckets(compiler.vector(of, steps), numbers, measure, named))

    return make


def _vector_and_scalars(make: Callable[..., VectorOf]) -> Maker:
    def made(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
        of = compiler.vector(node.args[0], steps)
        return Compiled("vector", vector=make(of, *(compiler.scalar(arg, steps) for arg in node.args[1:])))

    return made


def _round(of: VectorOf, nearest: ScalarOf | None = None) -> VectorOf:
    return functions.rounded(of, nearest)


def _scalar(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    return Compiled("scalar", scalar=functions.scalar(compiler.vector(node.args[0], steps)))


def _vector(compiler: Compiler, node: tree.Call, steps: int) -> Compiled:
    return Compiled("vector", vector=functions.vector(compiler.scalar(node.args[0], steps)))


def _fixed(scalar: ScalarOf) -> Maker:
    return lambda _compiler, _node, _steps: Compiled("scalar", scalar=scalar)


if TYPE_CHECKING:
    Maker = Callable[[Compiler, tree.Call, int], Compiled]

_CALLS: dict[str, Maker] = {
    "absent": _absent,
    "absent_over_time": _absent,
    "clamp": _vector_and_scalars(functions.clamped),
    "clamp_max": _vector_and_scalars(lambda of, most: functions.clamped(of, None, most)),
    "clamp_min": _vector_and_scalars(lambda of, least: functions.clamped(of, least, None)),
    "histogram_fraction": _buckets(histogram.fraction_of),
    "histogram_quantile": _buckets(histogram.quantile_of),
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": _fixed(functions.circle),
    "round": _vector_and_scalars(_round),
    "scalar": _scalar,
    "sort": _vector_and_scalars(lambda of: functions.ordered(of, descending=False)),
    "sort_desc": _vector_and_scalars(lambda of: functions.ordered(of, descending=True)),
    "time": _fixed(functions.time),
    "timestamp": _timestamp,
    "vector": _vector,
}
