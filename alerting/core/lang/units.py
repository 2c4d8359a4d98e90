"""Units: what they measure, how one becomes another, and how a value is written for people.

The only place that knows any of this. Units are the ones that settings and literals may name (UNITS), and,
for what `rate` yields, one of them with `/s` behind it. An empty unit means: not known.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

TIME = "a duration"
SIZE = "a size"
SHARE = "a share"


class Unit(NamedTuple):
    """A dimension, and how many of its base (second, byte, whole) one is: `times / over`, both exact."""

    dimension: str
    times: int = 1
    over: int = 1


UNITS = {
    "s": Unit(TIME),
    "ms": Unit(TIME, over=1000),
    "us": Unit(TIME, over=1_000_000),
    "m": Unit(TIME, 60),
    "h": Unit(TIME, 3600),
    "d": Unit(TIME, 86_400),
    "w": Unit(TIME, 7 * 86_400),
    "y": Unit(TIME, 365 * 86_400),
    "bytes": Unit(SIZE),
    "kB": Unit(SIZE, 10**3),
    "MB": Unit(SIZE, 10**6),
    "GB": Unit(SIZE, 10**9),
    "TB": Unit(SIZE, 10**12),
    "KiB": Unit(SIZE, 2**10),
    "MiB": Unit(SIZE, 2**20),
    "GiB": Unit(SIZE, 2**30),
    "TiB": Unit(SIZE, 2**40),
    "ratio": Unit(SHARE),
    "percent": Unit(SHARE, over=100),
}
_ALIASES = {"B": "bytes", "%": "percent", "seconds": "s", "milliseconds": "ms"}
_SUFFIXES = (
    ("_milliseconds", "ms"),
    ("_seconds", "s"),
    ("_bytes", "bytes"),
    ("_ratio", "ratio"),
    ("_percent", "percent"),
)


def unit_named(name: str) -> Unit | None:
    """Give the unit of that name or literal suffix; a rate (`bytes/s`) is measured by its numerator."""
    return UNITS.get(name) or UNITS.get(_ALIASES.get(name.removesuffix("/s"), name.removesuffix("/s")))


def dimension(name: str) -> str:
    """Say what a unit measures, in words; empty when that is not known."""
    unit = unit_named(name)
    return unit.dimension if unit else ""


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """Express `value` in another unit of the same dimension: `convert(1, "s", "ms") == 1000`.

    Raises ValueError when one of them is not known or they measure different things.
    """
    source, target = unit_named(from_unit), unit_named(to_unit)
    if source is None or target is None or source.dimension != target.dimension:
        raise ValueError(f"{from_unit or 'no unit'} does not become {to_unit or 'no unit'}")
    times, over = source.times * target.over, source.over * target.times
    if times % over == 0:
        return value * (times // over)
    if over % times == 0:
        return value / (over // times)
    return value * times / over


def unit_of_name(name: str) -> str:
    """Read the unit that a metric's name ends in, by Prometheus' naming habits; empty when there is none.

    `_total` and a histogram's `_sum` are taken off first; `_bucket` and `_count` are numbers of events.
    """
    stem = name.removesuffix("_total").removesuffix("_sum")
    for suffix, unit in _SUFFIXES:
        if stem.endswith(suffix):
            return unit
    return ""


def format_value(value: float | str, unit: str = "") -> str:
    """Write a value for people: `91.2%`, `1.2 s`, `850 ms`, `3.4 GiB`, `14`; texts stand in quotes."""
    if isinstance(value, str):
        return f"'{value}'"
    if not isfinite(value):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"  # noqa: PLR0124  what NaN is
    known = unit_named(unit) if unit else None
    if known is None:
        return _digits(value)
    base = convert(value, unit, {TIME: "s", SIZE: "bytes", SHARE: "percent"}[known.dimension])
    if not isfinite(base):  # only the unit made it too large
        return f"{_digits(value)} {unit}"
    if known.dimension == SHARE:
        return f"{_digits(base)}%"
    text = _duration(base) if known.dimension == TIME else _size(base)
    return f"{text}/s" if unit.endswith("/s") else text


def format_literal(value: float) -> str:
    """Write a number so that it can be read back: as short as that allows, whole numbers without a point."""
    if not isfinite(value):
        return "NaN" if value != value else "Inf" if value > 0 else "-Inf"  # noqa: PLR0124  what NaN is
    whole = value == int(value) and abs(value) < 1e16  # noqa: PLR2004  where repr turns to exponents
    return str(int(value)) if whole else repr(value)


def _digits(value: float) -> str:
    """Three significant digits, but every digit before the point; no zeros that say nothing."""
    size = abs(value)
    if value == int(value) and size < 1e15:  # noqa: PLR2004  as far as floats hold every whole number
        return str(int(value))
    if size >= 1e15 or size < 1e-4:  # noqa: PLR2004  beyond this people read exponents more easily
        return f"{value:.3g}"
    decimals = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 4  # noqa: PLR2004  the rule above
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(seconds: float) -> str:
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 0.001:  # noqa: PLR2004
        return f"{_digits(seconds * 1_000_000)} us"
    if size < 1:
        return f"{_digits(seconds * 1000)} ms"
    if size < 120:  # noqa: PLR2004  90 s reads better than 1 m 30 s
        return f"{_digits(seconds)} s"
    if size >= 1e12:  # noqa: PLR2004  30,000 years: no duration at all
        return f"{_digits(seconds)} s"
    rest = round(size)
    parts: list[str] = []
    for name, length in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if rest >= length:
            parts.append(f"{rest // length:,} {name}")
            rest %= length
    return ("-" if seconds < 0 else "") + " ".join(parts[:2])


def _size(count: float) -> str:
    size = abs(count)
    for name in ("TiB", "GiB", "MiB", "KiB"):
        if size >= UNITS[name].times:
            return f"{_digits(count / UNITS[name].times)} {name}"
    return f"{_digits(count)} B"
