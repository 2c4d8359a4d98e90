"""Times, values and texts: what the other records are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

Millis: TypeAlias = int
Value: TypeAlias = float | str
Why: TypeAlias = Callable[[], str]  # a reason in words, made only when somebody asks
Redact: TypeAlias = Callable[[str], str]  # text in, the same text with known secrets starred out

LATEST: Millis = 253_402_300_799_000  # the end of the year 9999: no date can be later

NO_TEXTS: Mapping[str, str] = MappingProxyType({})

RECEIVER_DOWN = "alerting/ReceiverDown/"  # and the receiver: the id of the built-in rule that watches it
ALERTS = "ALERTS"  # the name, in SHARED, of the series that stand for alerts: `core.alertseries` makes them
SHARED = ""  # the namespace that all metrics pages share; every other source is its own namespace
