"""What the tests of sources share: the tools that `build` is given, sections with defaults, one way to read."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from alerting.clock import SystemClock
from alerting.model import Need, Reading, Section
from alerting.net.http import HttpClient
from alerting.net.reach import SystemResolver
from alerting.pool import Pool
from alerting.ports import Clock, Tools
from alerting.registry import build_source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from alerting.ports import Resolve, Source

DEFAULTS = {
    "health": {"timeout": 2000},
    "prometheus": {"timeout": 2000, "series_limit": 100_000},
    "sentry": {"timeout": 2000, "window": 600_000, "minimum_count": 20},
    "host": {"timeout": 5000},
    "tcp": {"timeout": 2000, "tls": False},
    "tls": {"timeout": 2000},
    "dns": {"timeout": 2000, "record": "A"},
    "command": {"timeout": 5000, "reads": "exit"},
    "file": {"timeout": 2000, "reads": "facts"},
    "prometheus_query": {"timeout": 2000, "series_limit": 10_000, "partial_answers": False},
    "cloudwatch": {"timeout": 15_000, "delay": 120_000},
    "datadog": {"timeout": 2000, "window": 300_000, "delay": 60_000, "series_limit": 10_000},
    "newrelic": {"timeout": 2000, "region": "us", "window": 300_000, "delay": 60_000, "series_limit": 10_000},
    "sql": {"timeout": 5000, "row_limit": 1000},
    "push": {},
}


@asynccontextmanager
async def source(
    kind: str, name: str = "", clock: Clock | None = None, resolve: Resolve | None = None, **values: Any
) -> AsyncIterator[Source]:
    """Build the one source of a section over real HTTP, and close everything behind it."""
    resolve = resolve or SystemResolver()
    http = HttpClient("alerting/test", resolve)
    tools = Tools(clock or SystemClock(), http, Pool, "testhost", "0", print, resolve)
    (built,) = build_source(Section(name or kind, kind, {**DEFAULTS[kind], **values}), tools)
    try:
        yield built
    finally:
        await built.close()
        await http.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run one coroutine in a loop of its own."""
    return asyncio.run(work)


def read(kind: str, needs: Sequence[Need] = (), since: int | None = None, times: int = 1, **values: Any) -> Reading:
    """Read once (or `times`, and give the last reading) from a new source."""

    async def work() -> Reading:
        async with source(kind, **values) as built:
            for _ in range(times - 1):
                await built.fetch(needs, since)
            return await built.fetch(needs, since)

    return run(work())


def values(reading: Reading) -> dict[str, float | str]:
    """`name{labels}` -> value, without `up`."""
    return {f"{s.name}{s.labels}": s.value for s in reading.samples if s.name != "up"}


def up(reading: Reading) -> float | str:
    """Give the one `up` of a reading."""
    (value,) = [sample.value for sample in reading.samples if sample.name == "up"]
    return value
