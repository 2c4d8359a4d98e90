"""The samples of one series over time, and what can be told of a window of them without walking through it.

Its law: an answer is the same whether it was carried along or worked out anew, whatever order of times is
asked. What only depends on a window's ends is found by bisection; falls (counter resets) and turns (changes)
are noted as samples arrive; sums and extremes slide on two stacks. Nothing is ever subtracted: when 1e17 has
left a window, the 2 beside it is still there. A window is half open: `[low, high)` of the lists.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import isfinite, isinf, isnan, nan
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from alerting.model import Millis, Value

Slide: TypeAlias = Literal["sum", "min", "max"]

_Pair: TypeAlias = tuple[float, float]

_SHORT = 24  # up to so many samples, C code over a slice is quicker than any bookkeeping


class Points:
    """Times (ascending) and values of one series, or of one result of a subquery."""

    __slots__ = ("_falls", "_slides", "_turns", "base", "times", "values")

    def __init__(self, times: list[Millis] | None = None, values: list[Value] | None = None) -> None:
        self.times: list[Millis] = [] if times is None else times
        self.values: list[Value] = [] if values is None else values
        self.base = 0  # how many were cut off at the left: positions that are kept are absolute
        self._falls: list[int] | None = None  # where a value is lower than the one before; None: nobody asked
        self._turns: list[int] | None = None  # where a value differs from the one before
        self._slides: dict[tuple[Slide, Millis], _Sliding] | None = None

    def push(self, at: Millis, value: Value) -> None:
        """Add the newest sample; `at` is later than all before."""
        values = self.values
        if values:
            before = values[-1]
            if self._falls is not None and _falls(before, value):
                self._falls.append(self.base + len(values))
            if self._turns is not None and _turns(before, value):
                self._turns.append(self.base + len(values))
        self.times.append(at)
        values.append(value)

    def replace_last(self, value: Value) -> None:
        """Take another value for the newest time: everything that was carried along is worked out anew."""
        self.values[-1] = value
        self._falls = self._turns = self._slides = None

    def forget_carried(self) -> None:
        """Let go of what slides, so that windows which nobody asks for any more cost nothing."""
        self._slides = None

    def cut(self, horizon: Millis, keep: int = 2) -> None:
        """Forget samples at or before `horizon`, but keep the newest `keep`."""
        count = min(bisect_right(self.times, horizon), len(self.times) - keep)
        if count <= 0:
            return
        del self.times[:count]
        del self.values[:count]
        self.base += count
        for positions in (self._falls, self._turns):
            if positions:
                del positions[: bisect_right(positions, self.base)]

    def bounds(self, start: Millis, end: Millis) -> tuple[int, int]:
        """Give the window `(start, end]`: open on the left, closed on the right."""
        times = self.times
        high = len(times) if times and times[-1] <= end else bisect_right(times, end)
        return bisect_right(times, start, 0, high), high

    def falls(self, low: int, high: int) -> Sequence[int]:
        """Give the places within the window whose value is lower than the one before it in the window."""
        if self._falls is None:
            self._falls = _positions(self, _falls)
        falls = self._falls
        if not falls or falls[-1] <= self.base + low:
            return ()
        first, end = _within(falls, self.base, low, high)
        return [position - self.base for position in falls[first:end]]

    def fall_count(self, low: int, high: int) -> int:
        """Count the falls of value within the window."""
        if self._falls is None:
            self._falls = _positions(self, _falls)
        first, end = _within(self._falls, self.base, low, high)
        return max(0, end - first)

    def turn_count(self, low: int, high: int) -> int:
        """Count the changes of value within the window. NaN after NaN is none."""
        if self._turns is None:
            self._turns = _positions(self, _turns)
        first, end = _within(self._turns, self.base, low, high)
        return max(0, end - first)

    def total(self, low: int, high: int, window: Millis) -> float:
        """Sum the window. Raises TypeError when a value is a text."""
        if high - low > _SHORT:
            slid = self._slide("sum", low, high, window)
            if slid is not None and isfinite(slid):
                return slid
        return total(self.values[low:high])

    def least(self, low: int, high: int, window: Millis) -> float:
        """Give the lowest value; NaN only where nothing else is there. Raises TypeError for a text."""
        slid = self._slide("min", low, high, window) if high - low > _SHORT else None
        return lowest(self.values[low:high]) if slid is None else slid

    def most(self, low: int, high: int, window: Millis) -> float:
        """Give the highest value; NaN only where nothing else is there. Raises TypeError for a text."""
        slid = self._slide("max", low, high, window) if high - low > _SHORT else None
        return highest(self.values[low:high]) if slid is None else slid

    def _slide(self, kind: Slide, low: int, high: int, window: Millis) -> float | None:
        """Slide to the window; None when time went back, so that it must be worked out anew."""
        if self._slides is None:
            self._slides = {}
        sliding = self._slides.get((kind, window))
        if sliding is None:
            sliding = self._slides[kind, window] = _Sliding(kind)
        return sliding.at(self, low, high)


class _Sliding:
    """Two stacks over one moving window of one series.

    The front holds, for each position up to `pivot`, the result from there to `pivot`; the back is one
    result from `pivot` on. Leaving samples pop the front, entering ones are added to the back; when the
    front is empty everything is turned over once. A sum is a pair: the sum and what rounding took from it.
    """

    __slots__ = ("back", "front", "front_lost", "front_low", "high", "low", "pivot", "step")

    def __init__(self, kind: Slide) -> None:
        self.step = _STEPS[kind]
        self.front = array("d")
        self.front_lost = array("d")
        self.front_low = self.low = self.high = self.pivot = 0
        self.back: _Pair | None = None

    def at(self, points: Points, low: int, high: int) -> float | None:
        """Slide to `[low, high)`, which holds at least one sample; None when it lies further back than the last."""
        base, values, step = points.base, points.values, self.step
        low += base
        high += base
        if low < self.low or high < self.high:
            return None
        if low >= self.pivot:
            self._turn_over(values, base, low, high)
        else:
            back = self.back
            for position in range(self.high, high):
                value = values[position - base]
                back = step(back, value, 0.0) if back else (value + 0.0, 0.0)  # type: ignore[operator, arg-type]
            self.back = back
        self.low, self.high = low, high
        place = low - self.front_low
        whole = (self.front[place], self.front_lost[place])
        if self.back:
            whole = step(whole, *self.back)
        return whole[0] + whole[1]

    def _turn_over(self, values: list[Value], base: int, low: int, high: int) -> None:
        step = self.step
        whole: _Pair = (values[high - 1 - base] + 0.0, 0.0)  # type: ignore[operator]  # a text raises TypeError
        front, lost = array("d", whole[:1]), array("d", whole[1:])
        for position in range(high - 2, low - 1, -1):
            whole = step(whole, values[position - base], 0.0)  # type: ignore[arg-type]
            front.append(whole[0])
            lost.append(whole[1])
        front.reverse()
        lost.reverse()
        self.front, self.front_lost, self.front_low, self.pivot, self.back = front, lost, low, high, None


def _add(one: _Pair, value: float, lost: float) -> _Pair:
    """Add with what rounding takes away kept apart (Neumaier's form of Kahan's summation)."""
    total = one[0] + value
    if isinf(total):
        return total, 0.0
    if abs(one[0]) >= abs(value):
        return total, one[1] + lost + ((one[0] - total) + value)
    return total, one[1] + lost + ((value - total) + one[0])


def _low(one: _Pair, value: float, _lost: float) -> _Pair:
    return (value, 0.0) if value < one[0] or isnan(one[0]) else one


def _high(one: _Pair, value: float, _lost: float) -> _Pair:
    return (value, 0.0) if value > one[0] or isnan(one[0]) else one


_STEPS = {"sum": _add, "min": _low, "max": _high}


def _falls(before: Value, value: Value) -> bool:
    return value < before if type(value) is type(before) else False  # type: ignore[operator]  # same type


def _turns(before: Value, value: Value) -> bool:
    return value != before and not (value != value and before != before)  # noqa: PLR0124  NaN is what differs from itself


def _positions(points: Points, differs: Callable[[Value, Value], bool]) -> list[int]:
    values, base = points.values, points.base
    return [base + i for i in range(1, len(values)) if differs(values[i - 1], values[i])]


def _within(positions: list[int], base: int, low: int, high: int) -> tuple[int, int]:
    """Find those after the window's first sample: which of the positions they are."""
    return bisect_right(positions, base + low), bisect_left(positions, base + high)


def total(values: Iterable[Value]) -> float:
    """Sum as Prometheus does, by Neumaier's form of Kahan's summation. TypeError for a text.

    Not by `fsum`, which is quicker and exact: where terms cancel beyond 32 digits, the two differ.
    """
    whole = lost = 0.0
    for value in values:
        so_far = whole + value  # type: ignore[operator]
        if isinf(so_far):
            lost = 0.0
        elif abs(whole) >= abs(value):  # type: ignore[arg-type]
            lost += (whole - so_far) + value  # type: ignore[operator]
        else:
            lost += (value - so_far) + whole  # type: ignore[operator]
        whole = so_far
    return whole if isinf(whole) else whole + lost


def mean(values: Sequence[Value]) -> float:
    """Average; a sum beyond the largest float does not spoil it. TypeError for a text."""
    whole = total(values)
    if not isinf(whole):
        return whole / len(values)
    so_far, lost = 0.0, 0.0
    for count, value in enumerate(values, 1):
        keep = (count - 1) / count
        so_far, lost = _add((keep * so_far if count > 1 else 0.0, keep * lost), value / count, 0.0)  # type: ignore[operator]
    return so_far + lost


def lowest(values: Sequence[Value]) -> float:
    """Give the lowest value; NaN only where nothing else is there. TypeError for a text."""
    found: Any = min(values)
    if isinstance(found, str):
        raise TypeError
    if found != found:  # noqa: PLR0124  NaN came first and nothing is below it
        found = min((value for value in values if value == value), default=nan)  # noqa: PLR0124
    return float(found)


def highest(values: Sequence[Value]) -> float:
    """Give the highest value; NaN only where nothing else is there. TypeError for a text."""
    found: Any = max(values)
    if isinstance(found, str):
        raise TypeError
    if found != found:  # noqa: PLR0124
        found = max((value for value in values if value == value), default=nan)  # noqa: PLR0124
    return float(found)
