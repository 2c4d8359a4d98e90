"""Durations as people write them: `30s`, `5m`, `1h30m`, `500ms`, `1d`; the schema has already checked the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerting.model import Millis

_UNITS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}


def millis(written: str | float) -> Millis:
    """Read a duration that fits the schema's form. A year has 365 days, as in Prometheus."""
    total = 0
    number = unit = ""
    for character in str(written):
        if character.isdigit() and unit:
            total += int(number) * _UNITS[unit]
            number = unit = ""
        if character.isdigit():
            number += character
        else:
            unit += character
    return total + (int(number) * _UNITS[unit] if unit else 0)
