"""How long a page takes: from a value that changes to the request in PagerDuty's ledger, again and again."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from tests.whole.scene import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.whole.series import Series

LONGEST = 60.0  # s that a page is waited for
ONE = "paged"  # the series that rises and falls


def page(scene: Series) -> float:
    """Let an alert begin where it is over, or end where it fires; give how long it took to arrive, s."""
    rises = scene.values.get(ONE, 0) <= 85
    before = len(scene.pagerduty.accepted)
    began = time.monotonic()
    scene.say(**{ONE: 99 if rises else 10})
    eventually(lambda: len(scene.pagerduty.accepted) > before, "a page", LONGEST)
    return time.monotonic() - began


def pages(scene: Series, count: int, meanwhile: Callable[[], object] = lambda: None) -> list[float]:
    """Page so many times, one after the other; give how long each took, s. `meanwhile` is done after each."""
    took = []
    for _ in range(count):
        took.append(page(scene))
        meanwhile()
    return took


def p99(values: Sequence[float]) -> float:
    """Give what 99 of a hundred do not exceed; of few, the greatest."""
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else max(values)
