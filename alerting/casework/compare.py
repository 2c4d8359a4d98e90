"""What was expected against what came: all differences, in words, the nearest two held against each other.

The law: order never matters, nothing that differs is left out, and two floats are the same when they differ by
no more than a millionth of their size, as in Prometheus' own tests.
"""

from __future__ import annotations

from math import isinf, isnan
from sys import float_info
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from alerting.model import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import Millis

Series: TypeAlias = tuple[Labels, float | str]  # the name stands among the labels
One = TypeVar("One")
Other = TypeVar("Other")

_EPSILON = 1e-6
_ROUND = 1e15  # whole floats below it are written without an exponent


class Got(NamedTuple):
    """One alert that fires, as a receiver would be told of it."""

    labels: Labels
    annotations: Mapping[str, str]
    reason: str


class Wanted(NamedTuple):
    """One alert that must fire."""

    labels: Labels
    annotations: Mapping[str, str]
    reason: str  # a part of it; empty: any


def same_value(one: float | str, other: float | str) -> bool:
    """Tell whether two values are the same; a text is never a number."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if one == other or (isnan(one) and isnan(other)):
        return True
    if isnan(one) or isnan(other) or isinf(one) or isinf(other):
        return False
    size, difference = abs(one) + abs(other), abs(one - other)
    if one == 0 or other == 0 or size < float_info.min:
        return difference < _EPSILON * float_info.min
    return difference / min(size, float_info.max) < _EPSILON


def written(value: float | str) -> str:
    """Write a value as a test file has it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isnan(value) or isinf(value):
        return repr(value).replace("inf", "Inf").replace("nan", "NaN")
    return str(int(value)) if value == int(value) and abs(value) < _ROUND else repr(value)


def span(length: Millis) -> str:
    """Write a duration as a test file has it: `1h30m`."""
    parts = []
    for size, unit in ((3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")):
        count, length = divmod(length, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def series_text(labels: Labels) -> str:
    """Write a series with its name before the braces."""
    name = labels.get("__name__")
    rest = str(labels.without(("__name__",)))
    return f"{name}{rest}" if name or rest else "{}"


def alert_differences(wanted: Sequence[Wanted], got: Sequence[Got]) -> list[str]:
    """Say how the alerts differ; empty where they do not."""
    lines: list[str] = []
    for one, other in _different(wanted, got, _alert_distance):
        if other is None and one is not None:
            lines += [f"missing     {one.labels or '{}'}", *_annotations(one.annotations)]
        elif one is None and other is not None:
            lines += [f"unexpected  {other.labels or '{}'}", *_annotations(other.annotations)]
            lines.append(f"            because {other.reason}")
        elif one is not None and other is not None:
            lines += [f"differs     {other.labels or '{}'}", *(f"            {each}" for each in _details(one, other))]
    return lines


def sample_differences(wanted: Sequence[Series], got: Sequence[Series]) -> list[str]:
    """Say how the series differ; empty where they do not."""
    lines: list[str] = []
    for one, other in _different(wanted, got, _sample_distance):
        if other is None and one is not None:
            lines.append(f"missing     {series_text(one[0])} = {written(one[1])}")
        elif one is None and other is not None:
            lines.append(f"unexpected  {series_text(other[0])} = {written(other[1])}")
        elif one is not None and other is not None:
            lines.append(f"expected    {series_text(one[0])} = {written(one[1])}")
            lines.append(f"got         {series_text(other[0])} = {written(other[1])}")
    return lines


def _different(
    wanted: Sequence[One], got: Sequence[Other], distance: Callable[[One, Other], int]
) -> list[tuple[One | None, Other | None]]:
    """Pair what is nearest, drop what is the same (distance 0), keep what is left over."""
    pairs = paired(wanted, got, distance)
    return [(one, other) for one, other in pairs if one is None or other is None or distance(one, other)]


def paired(
    wanted: Sequence[One], got: Sequence[Other], distance: Callable[[One, Other], int]
) -> list[tuple[One | None, Other | None]]:
    """Pair what is nearest, keep what is left over."""
    ranked = sorted(
        (distance(one, other), place, index) for place, one in enumerate(wanted) for index, other in enumerate(got)
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, place, index in ranked:
        if place not in partner and index not in taken:
            partner[place] = index
            taken.add(index)
    pairs: list[tuple[One | None, Other | None]] = [
        (one, got[partner[place]] if place in partner else None) for place, one in enumerate(wanted)
    ]
    return pairs + [(None, other) for index, other in enumerate(got) if index not in taken]


def _sample_distance(one: Series, other: Series) -> int:
    return 2 * _label_distance(one[0], other[0]) + (not same_value(one[1], other[1]))


def _alert_distance(one: Wanted, other: Got) -> int:
    return 2 * _label_distance(one.labels, other.labels) + bool(_details(one, other))


def _label_distance(one: Labels, other: Labels) -> int:
    return len({*one.pairs} ^ {*other.pairs})


def _details(one: Wanted, other: Got) -> list[str]:
    details = _mapping_details("label", one.labels.as_dict(), other.labels.as_dict())
    details += _mapping_details("annotation", one.annotations, other.annotations)
    if one.reason not in other.reason:
        details.append(f"reason: expected {one.reason!r} in {other.reason!r}")
    return details


def _mapping_details(what: str, one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    shown = {name: (repr(one[name]) if name in one else "none") for name in {*one, *other}}
    return [
        f"{what} {name}: expected {shown[name]}, got {repr(other[name]) if name in other else 'none'}"
        for name in sorted(shown)
        if one.get(name) != other.get(name)
    ]


def _annotations(annotations: Mapping[str, str]) -> list[str]:
    return [f"            annotation {name}: {text!r}" for name, text in sorted(annotations.items())]
