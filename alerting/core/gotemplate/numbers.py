"""Numbers as Prometheus' templates write them for people: `humanize` and its kin, and the readings of arguments."""

from __future__ import annotations

from math import isinf, isnan
from typing import TYPE_CHECKING, Any, Final

from alerting.core.gotemplate.format import GoTime, a_type, format_float, format_value
from alerting.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence


def text_of(value: Any) -> str:
    """Give a text back. Raises TemplateError for anything else."""
    if not isinstance(value, str):
        raise TemplateError(f"a text was expected, not {a_type(value)}")
    return value


def number(value: Any) -> float:
    """Read a float from a float, a whole number or a text. Raises TemplateError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TemplateError(f"{value[:40]!r} is no number") from None
    raise TemplateError(f"{a_type(value)} is no number")


def _four(value: float) -> str:
    return format_float(value, "g", 4)


_LARGE: Final = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_LARGE_1024: Final = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_SMALL: Final = ("m", "u", "n", "p", "f", "a", "z", "y")


def _odd(value: float) -> bool:
    return value == 0 or isnan(value) or isinf(value)


def _scaled(value: float, prefixes: Sequence[str], base: float) -> str:
    """Divide by `base` until less than it, and write the prefix."""
    prefix = ""
    for each in prefixes:
        if abs(value) < base:
            break
        prefix, value = each, value / base
    return _four(value) + prefix


def _small(value: float) -> str:
    """Multiply by 1000 until at least 1, and write the prefix."""
    prefix = ""
    for each in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = each, value * 1000
    return _four(value) + prefix


def humanize(raw: Any) -> str:
    """Write with a prefix of 1000: `1.235M`, `12.3m`."""
    value = number(raw)
    if _odd(value):
        return _four(value)
    return _scaled(value, _LARGE, 1000.0) if abs(value) >= 1 else _small(value)


def humanize1024(raw: Any) -> str:
    """Write with a prefix of 1024: `976.6ki`."""
    value = number(raw)
    return _four(value) if abs(value) <= 1 or _odd(value) else _scaled(value, _LARGE_1024, 1024.0)


def humanize_duration(raw: Any) -> str:
    """Write seconds as `1d 3h 46m 40s` or `12.3ms`."""
    value = number(raw)
    if isnan(value) or isinf(value):
        return _four(value)
    if abs(value) < 1:
        return f"{_four(value) if value == 0 else _small(value)}s"
    sign = "-" if value < 0 else ""
    whole = int(abs(value))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four(abs(value))}s"


def humanize_percentage(raw: Any) -> str:
    """Write a ratio as `12.35%`."""
    return f"{_four(number(raw) * 100)}%"


def humanize_timestamp(raw: Any) -> str:
    """Write seconds since 1970 as a date."""
    value = number(raw)
    return _four(value) if isnan(value) or isinf(value) else str(to_time(value))


def to_time(raw: Any) -> GoTime:
    """Read seconds since 1970."""
    value = number(raw)
    if not abs(value) < 9_223_372_036:  # noqa: PLR2004  2**63 nanoseconds, where Go's time ends
        raise TemplateError(f"{format_value(value)} is outside the range of times")
    return GoTime(value)


_UNITS: Final = (
    ("y", 31_536_000.0),
    ("w", 604_800.0),
    ("d", 86_400.0),
    ("h", 3_600.0),
    ("ms", 0.001),
    ("m", 60.0),
    ("s", 1.0),
)


def parse_duration(raw: Any) -> float:
    """Read `1h30m` as seconds."""
    text, total, at = text_of(raw), 0.0, 0
    while at < len(text):
        start = at
        while at < len(text) and text[at].isascii() and text[at].isdigit():
            at += 1
        unit = next((each for each in _UNITS if text.startswith(each[0], at)), None)
        if at == start or at - start > 15 or unit is None:  # noqa: PLR2004  more digits than a float holds
            break
        total += int(text[start:at]) * unit[1]
        at += len(unit[0])
    if not text or (at < len(text) and text != "0"):
        raise TemplateError(f"{text[:40]!r} is no duration such as 1h30m")
    return total
