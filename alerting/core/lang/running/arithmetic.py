"""Numbers as IEEE 754 and Prometheus have them: nothing raises, whatever the operands.

Python raises where Go gives an infinity or NaN; each function here says what Go says. A text raises
TypeError, which callers turn into a gap.
"""

from __future__ import annotations

import math
from math import copysign, inf, isinf, isnan, nan
from typing import TYPE_CHECKING

from alerting.core.windows import mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.model import Value


def divide(left: float, right: float) -> float:
    """`left / right`; by zero: an infinity, or NaN for `0 / 0`."""
    try:
        return left / right
    except ZeroDivisionError:
        if left == 0 or isnan(left):
            return nan
        return copysign(inf, left) * copysign(1.0, right)


def plus(left: Value, right: Value) -> float:
    """`left + right`; texts are not joined."""
    if isinstance(left, str) or isinstance(right, str):
        raise TypeError
    return left + right


def modulo(left: float, right: float) -> float:
    """`left % right` with the sign of `left`, as C's fmod."""
    try:
        return math.fmod(left, right)
    except ValueError:
        return nan


def power(left: float, right: float) -> float:
    """`left ^ right`."""
    try:
        return math.pow(left, right)
    except OverflowError:
        return -inf if left < 0 and right % 2 == 1 else inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        if left == 0:
            return copysign(inf, left) if right % 2 == 1 else inf
        return nan


def _guarded(function: Callable[[float], float], beyond: Callable[[float], float]) -> Callable[[float], float]:
    """Wrap a function of `math`; `beyond` gives the result where it raises."""

    def call(value: float) -> float:
        try:
            return float(function(value))
        except (ValueError, OverflowError):
            return beyond(value)

    return call


def _nan(_value: float) -> float:
    return nan


def _signed_inf(value: float) -> float:
    return copysign(inf, value)


def _log_edge(value: float) -> float:
    return -inf if value == 0 else nan


def _atanh_edge(value: float) -> float:
    return copysign(inf, value) if abs(value) == 1 else nan


def floor(value: float) -> float:
    """Round down; keeps infinities, NaN and the sign of zero."""
    return copysign(float(math.floor(value)), value) if math.isfinite(value) else value


def ceil(value: float) -> float:
    """Round up; keeps infinities, NaN and the sign of zero."""
    return copysign(float(math.ceil(value)), value) if math.isfinite(value) else value


def sign(value: float) -> float:
    """-1, 1, or the value itself when it is zero or NaN."""
    return 1.0 if value > 0 else -1.0 if value < 0 else value


def round_to(value: float, nearest: float) -> float:
    """Round to a multiple of `nearest`, halves up."""
    inverse = divide(1.0, nearest)
    return divide(floor(value * inverse + 0.5), inverse)


def clamp(value: float, least: float, most: float) -> float:
    """Keep within bounds; NaN of any of the three gives NaN."""
    if isnan(value) or isnan(least) or isnan(most):
        return nan
    return max(least, min(most, value))


MATH: dict[str, Callable[[float], float]] = {
    "abs": lambda value: math.fabs(value),  # noqa: PLW0108  a text must raise TypeError, as it does here
    "ceil": ceil,
    "floor": floor,
    "sgn": sign,
    "exp": _guarded(math.exp, lambda _: inf),
    "sqrt": _guarded(math.sqrt, _nan),
    "ln": _guarded(math.log, _log_edge),
    "log2": _guarded(math.log2, _log_edge),
    "log10": _guarded(math.log10, _log_edge),
    "acos": _guarded(math.acos, _nan),
    "acosh": _guarded(math.acosh, _nan),
    "asin": _guarded(math.asin, _nan),
    "asinh": _guarded(math.asinh, _signed_inf),
    "atan": _guarded(math.atan, _nan),
    "atanh": _guarded(math.atanh, _atanh_edge),
    "cos": _guarded(math.cos, _nan),
    "cosh": _guarded(math.cosh, lambda _: inf),
    "sin": _guarded(math.sin, _nan),
    "sinh": _guarded(math.sinh, _signed_inf),
    "tan": _guarded(math.tan, _nan),
    "tanh": _guarded(math.tanh, _nan),
    "deg": lambda value: value * 180 / math.pi,
    "rad": lambda value: value * math.pi / 180,
}


def quantile(fraction: float, values: Sequence[Value]) -> float:
    """Interpolate between the two nearest values; outside of 0 to 1: an infinity. TypeError for a text."""
    if not values or isnan(fraction):
        return nan
    if fraction < 0:
        return -inf
    if fraction > 1:
        return inf
    numbers: list[float] = sorted(value for value in values if not isnan(value))  # type: ignore[arg-type, misc]
    ordered = [nan] * (len(values) - len(numbers)) + numbers  # NaN is below everything
    rank = fraction * (len(ordered) - 1)
    low = max(0, math.floor(rank))
    high = min(len(ordered) - 1, low + 1)
    weight = rank - math.floor(rank)
    return ordered[low] * (1 - weight) + ordered[high] * weight


def variance(values: Sequence[Value]) -> float:
    """Give the population variance; NaN when any value is not finite. TypeError for a text."""
    if any(isnan(value) or isinf(value) for value in values):  # type: ignore[arg-type]  # a text raises
        return nan
    middle = mean(values)
    middle += mean([value - middle for value in values])  # type: ignore[operator]  # equal values vary by nothing
    return mean([(value - middle) * (value - middle) for value in values])  # type: ignore[operator]


def as_text(value: Value) -> str:
    """Write a number as `count_values` does: no exponent, no more digits than needed."""
    if isinstance(value, str):
        return value
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, exponent = text.partition("e")
    whole, _, fraction = digits.lstrip("-").partition(".")
    point = len(whole) + int(exponent)
    figures = whole + fraction
    if point <= 0:
        written = "0." + "0" * -point + figures
    elif point >= len(figures):
        written = figures + "0" * (point - len(figures))
    else:
        written = figures[:point] + "." + figures[point:]
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return ("-" if text.startswith("-") else "") + written
