"""Functions of instant vectors and scalars: mathematics, dates, order, labels.

Each gets compiled arguments and gives a closure. A text where a number is expected becomes a gap for that
series; every other series goes on.
"""

from __future__ import annotations

from math import isfinite, isnan, nan, pi
from typing import TYPE_CHECKING

from alerting.core.lang.running.arithmetic import MATH, clamp, round_to
from alerting.core.lang.running.values import NAME, check_unique, label_of, mistyped
from alerting.errors import EvaluationError
from alerting.model import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.core.lang.running.values import Entry, Moment, ScalarOf, Vector, VectorOf
    from alerting.model import Millis, Pattern

    OfNumber = Callable[..., float]


def each(function: OfNumber, of: VectorOf, params: Sequence[ScalarOf] = ()) -> VectorOf:
    """Apply a function of a number (and of scalars) to every sample; the metric's name goes."""

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        numbers = [param(m, t) for param in params]
        if params and m.unknown(mark):
            return []
        vector = of(m, t)
        m.spend(len(vector))
        try:
            return [(labels, function(value, *numbers), name, True) for labels, value, name, _ in vector]
        except TypeError:
            return _one_by_one(m, lambda value: function(value, *numbers), vector)

    return run


def _one_by_one(m: Moment, function: OfNumber, vector: Vector) -> Vector:
    found: Vector = []
    for labels, value, name, _ in vector:
        try:
            found.append((labels, function(value), name, True))
        except TypeError:
            m.gaps.append(mistyped(labels, name, value))
    return found


def clamped(of: VectorOf, least: ScalarOf | None, most: ScalarOf | None) -> VectorOf:
    """`clamp`, `clamp_min`, `clamp_max`. Bounds that are the wrong way round give nothing."""
    params = [bound for bound in (least, most) if bound is not None]
    if least is None:
        return each(lambda value, high: clamp(value, float("-inf"), high), of, params)
    if most is None:
        return each(lambda value, low: clamp(value, low, float("inf")), of, params)
    inner = each(clamp, of, params)

    def run(m: Moment, t: Millis) -> Vector:
        return [] if most(m, t) < least(m, t) else inner(m, t)

    return run


def rounded(of: VectorOf, nearest: ScalarOf | None) -> VectorOf:
    """`round(v, to_nearest)`."""
    return each(round_to, of, [nearest or (lambda _m, _t: 1.0)])


def scalar(of: VectorOf) -> ScalarOf:
    """`scalar(v)`: the value of the only series, else NaN."""

    def run(m: Moment, t: Millis) -> float:
        mark = len(m.gaps)
        vector = of(m, t)
        if m.unknown(mark) or len(vector) != 1:
            return nan
        labels, value, name, _ = vector[0]
        if isinstance(value, str):
            m.gaps.append(mistyped(labels, name, value)._replace(labels=NO_LABELS))
            return nan
        return value

    return run


def vector(of: ScalarOf) -> VectorOf:
    """`vector(s)`: one series without labels."""

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        value = of(m, t)
        return [] if m.unknown(mark) else [(NO_LABELS, value, "", False)]

    return run


def time(_m: Moment, t: Millis) -> float:
    """`time()`: the moment of evaluation in seconds."""
    return t / 1000


def circle(_m: Moment, _t: Millis) -> float:
    """`pi()`."""
    return pi


def ordered(of: VectorOf, *, descending: bool) -> VectorOf:
    """`sort`, `sort_desc`: by value, NaN last either way."""

    def run(m: Moment, t: Millis) -> Vector:
        numbers, others = [], []
        for entry in of(m, t):
            if isinstance(entry[1], str):
                m.gaps.append(mistyped(entry[0], entry[2], entry[1]))
            elif isnan(entry[1]):
                others.append(entry)
            else:
                numbers.append(entry)
        m.spend(len(numbers))
        return sorted(numbers, key=lambda entry: entry[1], reverse=descending) + others

    return run


# ------------------------------------------------------------------------------------------- dates


def _day(value: float) -> int:
    """Days since 1970; seconds are cut towards zero, as Go does."""
    return int(value) // 86_400


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of the Gregorian calendar, for any year (eras of 400 years, years that begin in March)."""
    shifted = days + 719_468
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9  # noqa: PLR2004  January follows December
    return year_of_era + era * 400 + (month <= 2), month, day  # noqa: PLR2004


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _days_in_month(value: float) -> float:
    year, month, _ = _civil(_day(value))
    return float(_LENGTHS[month - 1] + (month == 2 and _leap(year)))  # noqa: PLR2004  February


def _day_of_year(value: float) -> float:
    year, month, day = _civil(_day(value))
    return float(sum(_LENGTHS[: month - 1]) + day + (month > 2 and _leap(year)))  # noqa: PLR2004


_DATES: dict[str, Callable[[float], float]] = {
    "minute": lambda value: float(int(value) // 60 % 60),
    "hour": lambda value: float(int(value) // 3600 % 24),
    "day_of_week": lambda value: float((_day(value) + 4) % 7),
    "day_of_month": lambda value: float(_civil(_day(value))[2]),
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
    "month": lambda value: float(_civil(_day(value))[1]),
    "year": lambda value: float(_civil(_day(value))[0]),
}


def _dated(function: Callable[[float], float]) -> OfNumber:
    return lambda value: function(value) if isfinite(value) else nan


DATES: dict[str, OfNumber] = {name: _dated(function) for name, function in _DATES.items()}
OF_NUMBER: dict[str, OfNumber] = {**MATH, **DATES}


# ------------------------------------------------------------------------------------------- labels


def label_replace(of: VectorOf, target: str, template: str, source: str, pattern: Pattern) -> VectorOf:
    """`label_replace(v, dst, replacement, src, regex)`: series whose label does not fit stay as they are."""
    _checked_label(target, "label_replace")

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        found = []
        entries = of(m, t)
        m.spend(32 * len(entries))
        for entry in entries:
            value = pattern.expand(label_of(entry, source), template)
            found.append(entry if value is None else _with_label(entry, target, value))
        _loosen(m, mark, target)
        return check_unique(found)

    return run


def label_join(of: VectorOf, target: str, separator: str, sources: Sequence[str]) -> VectorOf:
    """`label_join(v, dst, separator, src…)`."""
    _checked_label(target, "label_join")

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        entries = of(m, t)
        m.spend(16 * len(entries))
        found = [
            _with_label(entry, target, separator.join(label_of(entry, source) for source in sources))
            for entry in entries
        ]
        _loosen(m, mark, target)
        return check_unique(found)

    return run


def _checked_label(name: str, function: str) -> None:
    if not name:
        raise EvaluationError(f"invalid label name {name!r} in {function}()")


def _with_label(entry: Entry, target: str, text: str) -> Entry:
    labels, value, name, dropped = entry
    if target == NAME:
        return labels, value, text, False
    return labels.merged({target: text}), value, name, dropped


def _loosen(m: Moment, mark: int, target: str) -> None:
    """Widen the gaps: a series that is missing may carry any value of a label that is made up here."""
    if len(m.gaps) > mark:
        m.gaps[mark:] = [gap._replace(labels=gap.labels.without((target,))) for gap in m.gaps[mark:]]
