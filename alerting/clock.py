"""The machine's clock: the only place that reads it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerting.model import Millis


class SystemClock:
    """The Clock port over the operating system."""

    def now(self) -> Millis:
        """Wall time, ms since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> Millis:
        """Milliseconds since some fixed moment."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, duration: Millis) -> None:
        """Wait for `duration`."""
        await asyncio.sleep(duration / 1000)
