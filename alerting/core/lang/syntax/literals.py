"""Number tokens to numbers: plain, hex and octal ones, durations, and the suffixes of the native form.

One text has one reading. Where PromQL reads a text otherwise than people do (`010` is 8), the native form
refuses it and Prometheus' form keeps PromQL's reading.
"""

from __future__ import annotations

import re
from functools import cache
from math import isinf
from typing import TYPE_CHECKING, NoReturn

from alerting.core.lang.tree import Number
from alerting.core.lang.units import TIME, UNITS, unit_named
from alerting.errors import ConditionError, Diagnostic, Span

if TYPE_CHECKING:
    from alerting.core.lang.syntax.tokens import Token
    from alerting.model import Millis

_LONGEST = 292 * UNITS["y"].times * 1000  # ms; Prometheus counts nanoseconds in 64 bits
_WIDEST = 400  # characters; 1.8e308 written out has 309 digits
_PARTS = ("y", "w", "d", "h", "m", "s", "ms")  # a duration's parts, in the only order they may come in
_MISTAKEN = {
    "K": "kB (1000) or KiB (1024)",
    "KB": "kB (1000) or KiB (1024)",
    "kb": "kB or KiB",
    "mb": "MB or MiB",
    "gb": "GB or GiB",
    "tb": "TB or TiB",
    "k": "the number in full: 5k is 5000",
    "M": "MB or MiB for a size, m for minutes",
    "G": "GB or GiB",
    "T": "TB or TiB",
    "sec": "s",
    "secs": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minutes": "m",
    "hours": "h",
    "days": "d",
    "H": "h",
    "D": "d",
    "S": "s",
    "MS": "ms",
    "percent": "%",
}


def read_number(token: Token, *, native: bool) -> Number:
    """Read a NUMBER token. Raises ConditionError when it is none."""
    text = token.text
    span = Span(token.start, token.end)
    if len(text) > _WIDEST:
        _fail(span, f"this number has {len(text):,} characters", f"{_WIDEST} are enough for any")
    try:
        value = float(text)
    except ValueError:
        return _with_suffix(token, span, native=native)
    if isinf(value):
        _fail(span, f"{text} is too large for a number", "the largest is about 1.8e308; write Inf for infinity")
    if text[0] == "0" and len(text) > 1 and text.replace("_", "").isdigit():
        value = _octal(text, span, native=native)
    return Number(value, span, "", text)


def _octal(text: str, span: Span, *, native: bool) -> float:
    """Read a whole number that starts with 0 as Go does: in base 8, or base 10 where that cannot be."""
    plain = text.replace("_", "").lstrip("0") or "0"
    try:
        value = float(int(plain, 8))
    except ValueError:
        return float(plain)
    if native and value != float(plain):
        _fail(span, f"PromQL reads {text} in base 8, as {value:.0f}", f"write {value:.0f}, or {plain} without the 0")
    return value


def _with_suffix(token: Token, span: Span, *, native: bool) -> Number:
    text = token.text
    if text[:2] in ("0x", "0X"):
        return _hex(text, span)
    millis = _duration(text)
    if millis is not None and not native:
        return Number(millis / 1000, span, "", text)
    digits, suffix = _split(text)
    unit = unit_named(suffix) if suffix in UNITS or suffix == "B" else None
    if unit is not None and suffix not in ("ratio", "percent", "bytes"):
        value = float(digits)
        if not native:
            hint = "in a rule of our own form, outside `groups:`, it is a number with a unit"
            _fail(span, f"{text} is no number in PromQL", hint)
        if isinf(value):
            _fail(span, f"{text} is too large for a number")
        return Number(value, span, suffix, text)
    if millis is not None:
        return Number(millis / 1000, span, "s", text)
    return _bad(text, digits, suffix, span, native=native)


def _hex(text: str, span: Span) -> Number:
    try:
        return Number(float(int(text.replace("_", ""), 16)), span, "", text)
    except ValueError:
        _fail(span, f"{text} is no number", "a hex number is 0x and the digits 0-9 a-f")
    except OverflowError:
        _fail(span, f"{text} is too large for a number")


def _bad(text: str, digits: str, suffix: str, span: Span, *, native: bool) -> NoReturn:
    if native and suffix in _MISTAKEN:
        _fail(span, f"{text}: there is no unit {suffix}", f"write {_MISTAKEN[suffix]}")
    if suffix[:1] in ("e", "E"):
        _fail(span, f"{text} is no number", f"an exponent has digits, as in {digits}e6")
    if suffix[:1] == "_" or not suffix:
        _fail(span, f"{text} is no number", "digits may be grouped with single underscores, as in 1_000")
    if any(char.isdigit() for char in suffix):
        hint = "each part has a unit and the long ones come first: 1d12h, 1h30m, 1m500ms"
        _fail(span, f"{text} is no duration", hint)
    units = "ms s m h d w y" + (" % B kB MB GB TB KiB MiB GiB TiB" if native else "")
    _fail(span, f"{text}: there is no unit {suffix}", f"the units are {units}; {digits} alone is a bare number")


def read_duration(token: Token, *, native: bool) -> Millis:
    """Read a NUMBER token as a length of time, ms; a bare number is seconds. Raises ConditionError."""
    millis = _duration(token.text) if len(token.text) <= _WIDEST else None
    if millis is None:
        span = Span(token.start, token.end)
        number = read_number(token, native=native)
        unit = UNITS["s"] if not number.unit else unit_named(number.unit)
        if unit is None or unit.dimension != TIME:
            _fail(span, f"{token.text} is no length of time", "write it like 30s, 5m or 1h30m")
        seconds = number.value * unit.times / unit.over
        millis = round(seconds * 1000) if seconds * 1000 <= _LONGEST else _LONGEST + 1
    if millis > _LONGEST:
        _fail(Span(token.start, token.end), f"{token.text} is too long", "the longest is 292y")
    return millis


@cache
def _part() -> re.Pattern[str]:
    return re.compile(r"([0-9]+)(ms|[smhdwy])")


def _duration(text: str) -> Millis | None:
    """Read Prometheus' form of a duration, `1h30m`: whole numbers, each part once, long ones first."""
    total, after, at = 0, -1, 0
    for match in _part().finditer(text):
        rank = _PARTS.index(match[2])
        if match.start() != at or rank <= after or len(match[1]) > 15:  # noqa: PLR2004  beyond any limit
            return None
        unit = UNITS[match[2]]
        total += int(match[1]) * unit.times * 1000 // unit.over
        after, at = rank, match.end()
    return total if at == len(text) and at else None


@cache
def _head() -> re.Pattern[str]:
    return re.compile(r"(?:[0-9]+(?:_[0-9]+)*\.?|\.)(?:[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?")


def _split(text: str) -> tuple[str, str]:
    """Part a number from its suffix: `1.5e3ms` into `1.5e3` and `ms`."""
    match = _head().match(text)
    end = match.end() if match else 0
    return text[:end], text[end:]


def _fail(span: Span, message: str, hint: str = "") -> NoReturn:
    raise ConditionError([Diagnostic(message, span, hint)])
