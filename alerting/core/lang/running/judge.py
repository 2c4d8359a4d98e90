"""What an alert that does not hold any more is: false, unknown, or gone; and why one holds.

Theory. Evaluating says only what is true. For a series that is not among it, this looks again, slowly, at one
series: the parts of `and`, `or` and `unless` are asked one by one, and their answers joined. A part without these
is asked three things: is it true; did it see the series at all (the part with its comparisons open); did it see
it a short while ago (the same, with series that ended). So false needs evidence. A side of `or` that lost the
series lately is no evidence; one that never had it does not count. Of alerts (`ALERTS`) all are known: that one is
there no more is evidence.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.needs import needs_of
from alerting.core.lang.running.explain import clock, compared, inside, period_of, rate_of, shown, unit_of
from alerting.core.lang.running.gained import gain_of
from alerting.core.lang.running.matching import Keys
from alerting.core.lang.running.over_time import peak_bucket
from alerting.core.lang.running.values import Moment, Projection, Span
from alerting.core.lang.syntax.printer import period
from alerting.core.lang.tree import Binary, Call, Number, Text, Unary
from alerting.core.lang.units import format_value
from alerting.errors import EvaluationError
from alerting.model import ALERTS, SHARED, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.core.lang.running.compile import Compiled, Compiler
    from alerting.core.lang.running.values import Entry, Vector
    from alerting.core.lang.tree import Node
    from alerting.core.samples import Samples
    from alerting.model import Gap, Labels, Millis, Value, Why

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<=", "=~", "!~"})


class Stand(IntEnum):
    """How a part stands to a series. NEVER: it knows nothing of it, now or lately."""

    TRUE = 0
    FALSE = 1
    UNKNOWN = 2
    VANISHED = 3
    NEVER = 4


class Opinion(NamedTuple):
    """What a part says of a series, and why."""

    stand: Stand
    why: str


class Key(NamedTuple):
    """The series that is asked for: those whose labels come to `labels` under `project` (None: as they are)."""

    labels: Labels
    project: Projection | None = None

    def hidden_by(self, gap: Gap) -> bool:
        """Tell whether a gap may hide the series."""
        return self.labels.includes(self.project.of(gap.labels) if self.project else gap.labels)

    def through(self, keys: Keys) -> Key:
        """Give what a series must come to on the other side of a set operator."""
        return Key(keys.project.of(self.labels), keys.project)


class View(NamedTuple):
    """What a part gives, and by series under each projection that was asked for."""

    vector: Vector
    gaps: Sequence[Gap]
    by: dict[Projection | None, dict[Labels, Entry]]

    def find(self, key: Key) -> Entry | None:
        """Give the first entry of the series."""
        known = self.by.get(key.project)
        if known is None:
            of = key.project.of if key.project else None
            known = self.by[key.project] = {of(entry[0]) if of else entry[0]: entry for entry in reversed(self.vector)}
        return known.get(key.labels)


class Part:
    """One part of the condition, compiled; how it looks, each way at most once. A failure is remembered too."""

    def __init__(self, made: Compiled, samples: Samples, now: Millis, since: Millis | None) -> None:
        self.made = made
        self._samples = samples
        self._now = now
        self._since = since
        self._views: dict[tuple[bool, bool], View | EvaluationError] = {}

    def view(self, *, wide: bool = False, recall: bool = False) -> View:
        """Evaluate; see Moment. Raises EvaluationError."""
        found = self._views.get((wide, recall))
        if found is None:
            found = self._views[wide, recall] = self._evaluated(wide=wide, recall=recall)
        if isinstance(found, EvaluationError):
            raise found
        return found

    def _evaluated(self, *, wide: bool, recall: bool) -> View | EvaluationError:
        moment = Moment(self._samples, self._now, self._since, wide=wide, recall=recall)
        try:
            vector = self.made.vector(moment, self._now) if self.made.vector else []
        except EvaluationError as error:
            return error
        return View(vector, tuple(dict.fromkeys(moment.gaps)), {})


def _is_of_alerts(node: Node) -> bool:
    """Tell whether a part reads alerts and nothing else."""
    return {(need.namespace, need.name) for need in needs_of(node)} == {(SHARED, ALERTS)}


class Parts:
    """The parts of one condition, compiled: each once, however often it is judged by."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._made: dict[int, tuple[Node, Compiled]] = {}  # by the identity of the node, which is kept alive

    def made(self, node: Node) -> Compiled:
        """Give a part, compiled."""
        found = self._made.get(id(node))
        if found is None:
            found = self._made[id(node)] = node, self._compiler.compile(node)
        return found[1]


class Judge:
    """One look at one evaluation of one condition, part by part; serves for every series of it."""

    def __init__(self, node: Node, parts: Parts, samples: Samples, *, now: Millis, since: Millis | None) -> None:
        self._node = node
        self._compiled = parts
        self._samples = samples
        self._now = now
        self._since = since
        self._parts: dict[int, Part] = {}  # by the identity of their nodes, which `_node` keeps alive
        self._keys: dict[int, Keys] = {}

    def verdict(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series that is not true."""
        try:
            stand, why = self._opinion(self._node, Key(labels))
        except EvaluationError as error:
            stand, why = Stand.UNKNOWN, str(error)
        if stand is Stand.TRUE:  # the parts hold, yet the whole does not: its series could not be told apart
            stand, why = Stand.UNKNOWN, f"{why}, but the whole could not be evaluated"
        return _TRUTHS[stand], lambda: why

    def reason(self, labels: Labels, value: Value) -> str:
        """Say why a series is true."""
        try:
            stand, why = self._opinion(self._node, Key(labels))
        except EvaluationError:
            stand, why = Stand.UNKNOWN, ""
        if stand is Stand.TRUE:
            return why
        return f"{shown(self._node)}{labels} = {format_value(value, unit_of(self._node))}"

    # ---------------------------------------------------------------------------------- parts

    def _opinion(self, node: Node, key: Key) -> Opinion:
        node = inside(node)
        if isinstance(node, Binary) and node.op in ("and", "or", "unless"):
            return self._joined(node, key)
        return self._part(node, key)

    def _joined(self, node: Binary, key: Key) -> Opinion:
        keys = self._keys_of(node)
        left = self._opinion(node.left, key)
        if node.op == "or":
            right = self._opinion(node.right, key)
            return _either(left, right)
        right = self._opinion(node.right, key.through(keys))
        if node.op == "and":
            return _both(left, right)
        return _without(left, right, shown(node.right))

    def _part(self, node: Node, key: Key) -> Opinion:
        """Ask a part that has no set operator at its top."""
        part = self._part_of(node)
        made = part.made
        if made.vector is None:
            value = made.scalar(Moment(self._samples, self._now), self._now) if made.scalar else made.text
            return Opinion(Stand.TRUE, f"{shown(node)} = {format_value(value, unit_of(node))}")
        narrow = part.view()
        entry = narrow.find(key)
        if entry is not None:
            return Opinion(Stand.TRUE, self._words(node, entry, held=True))
        seen = part.view(wide=True)
        entry, gaps, more = seen.find(key), narrow.gaps, seen.gaps
        if entry is not None:  # what it sees is evidence, unless it does not know what to leave out of it
            gaps = [gap for gap in gaps if key.hidden_by(gap) and gap not in more]
        hidden = next((gap for gap in (*gaps, *more) if key.hidden_by(gap)), None)
        if entry is not None and (hidden is None or hidden in more):
            return Opinion(Stand.FALSE, self._words(node, entry, held=False))
        if hidden is not None:
            return Opinion(Stand.UNKNOWN, hidden.why)
        what = shown(node.left if isinstance(node, Binary) else node)
        entry = part.view(wide=True, recall=True).find(key)
        if entry is not None:
            name = shown(node.left if isinstance(node, Binary) else node, entry[2])
            if _is_of_alerts(node):  # all alerts are known, so that one which is not there is over
                return Opinion(Stand.FALSE, f"{name}{entry[0]} is over")
            return Opinion(Stand.VANISHED, f"{name}{entry[0]} is no longer reported")
        return Opinion(Stand.NEVER, f"{what or 'nothing'}{key.labels} is not reported")

    def _part_of(self, node: Node) -> Part:
        part = self._parts.get(id(node))
        if part is None:
            part = Part(self._compiled.made(node), self._samples, self._now, self._since)
            self._parts[id(node)] = part
        return part

    def _keys_of(self, node: Binary) -> Keys:
        return self._keys.setdefault(id(node), Keys(node.matching))

    # ---------------------------------------------------------------------------------- words

    def _words(self, node: Node, entry: Entry, *, held: bool) -> str:
        labels, value, name, _ = entry
        if not isinstance(node, Binary) or node.op not in _COMPARISONS or node.bool_:
            return f"{shown(node, name)}{labels} = {format_value(value, unit_of(node))}"
        left, right, op = node.left, node.right, node.op
        if isinstance(inside(left), Number | Text):
            left, right, op = right, left, _MIRRORED.get(op, op)
        between = "" if held else ", not"
        bound = self._bound(right)
        unit = unit_of(left) or unit_of(right)
        counted = rate_of(left)
        if bound is not None:
            said = compared(shown(left, name), labels, value, op, bound, unit, between=between)
            return said if counted is None else f"{said} {self._stretch(left, counted, labels)}"
        other = self._other(node, right, labels)
        return f"{shown(left, name)}{labels} = {format_value(value, unit)}{between} {op} {other}"

    def _bound(self, node: Node) -> Value | None:
        """Give the value of a literal."""
        node = inside(node)
        if isinstance(node, Unary):  # `-5`: in Prometheus' form the sign stays apart
            number = self._bound(node.expr)
            return -number if isinstance(number, float) and node.op == "-" else number
        return node.value if isinstance(node, Number | Text) else None

    def _other(self, node: Binary, right: Node, labels: Labels) -> str:
        """Write the other side of a comparison that is no literal, with its value."""
        part = self._part_of(right)
        made = part.made
        unit = unit_of(right) or unit_of(node.left)
        if made.scalar is not None:
            value: Value = made.scalar(Moment(self._samples, self._now), self._now)
            return f"{shown(right)} = {format_value(value, unit)}"
        keys = self._keys_of(node)
        partner = part.view(wide=True).find(Key(keys.project.of(labels), keys.project))
        if partner is None:
            return shown(right)
        return f"{shown(right, partner[2])}{partner[0]} = {format_value(partner[1], unit)}"

    def _stretch(self, node: Node, call: Call, labels: Labels) -> str:
        """Write of which stretch a rate is: `per minute (12:03 to 12:04)`; of a counter `per minute (10 in 63s)`."""
        length = period_of(call)
        per = f"per {period(length)}"
        if inside(node) is not call:
            return per  # of several series
        made = self._part_of(call.args[0]).made
        assert made.ranges is not None, "check makes it of a range"  # noqa: S101
        ranges = made.ranges(Moment(self._samples, self._now), self._now)
        span = Span(ranges.start, ranges.end, self._now, (length / 1000,), self._since)
        for stretch in ranges.stretches:
            if stretch.labels != labels:
                continue
            if call.func == "gained":
                seen = gain.seen() if (gain := gain_of(stretch, span)) is not None else ""
                return f"{per} ({seen})" if seen else per
            if (best := peak_bucket(stretch, span)) is not None:
                return f"{per} ({clock(best[1] - length)} to {clock(best[1])})"
        return per


_TRUTHS = {
    Stand.FALSE: Truth.FALSE,
    Stand.UNKNOWN: Truth.UNKNOWN,
    Stand.VANISHED: Truth.VANISHED,
    Stand.NEVER: Truth.VANISHED,
}
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


def _both(left: Opinion, right: Opinion) -> Opinion:
    """`and`: one that is false decides, whatever the other; unknown goes before gone."""
    for stand in (Stand.FALSE, Stand.UNKNOWN, Stand.VANISHED, Stand.NEVER):
        for side in (left, right):
            if side.stand is stand:
                return side
    return Opinion(Stand.TRUE, f"{left.why} and {right.why}")


def _either(left: Opinion, right: Opinion) -> Opinion:
    """`or`: one that is true decides; a side that lost the series lately outweighs one that sees it as false."""
    for stand in (Stand.TRUE, Stand.UNKNOWN, Stand.VANISHED):
        for side in (left, right):
            if side.stand is stand:
                return side
    false = [side.why for side in (left, right) if side.stand is Stand.FALSE]
    if false:
        return Opinion(Stand.FALSE, " and ".join(false))
    return Opinion(Stand.NEVER, left.why)


def _without(left: Opinion, right: Opinion, what: str) -> Opinion:
    """`unless`: what is true on the right makes it false; what is false or gone there leaves the left as it is."""
    if left.stand is Stand.FALSE:
        return left
    if right.stand is Stand.TRUE:
        return Opinion(Stand.FALSE, f"{right.why}, which excepts it")
    if left.stand is Stand.TRUE and right.stand is Stand.UNKNOWN:
        return right
    if left.stand is Stand.TRUE:
        return Opinion(Stand.TRUE, f"{left.why}, and not {what}")
    return left
