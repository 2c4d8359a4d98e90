"""The tick over conditions as people write them: the rules of the mission, from reading to message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.engine import Engine, Setup, Target
from alerting.model import (
    NO_LABELS,
    SHARED,
    Fault,
    FaultKind,
    Kind,
    Labels,
    Metric,
    Reading,
    Receiver,
    Rule,
    RuleSpec,
    Sample,
)
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

S, M = 1_000, 60_000
ERRORS = Metric("error_count", "sentry", Kind.COUNT)
P95 = Metric("http_request_duration_p95", "sentry", Kind.GAUGE, "ms")
DISK = Metric("disk_usage", "host", Kind.GAUGE, "percent", ("mount",))
NAMES = Names(
    [
        SourceNames("health_check", "health_check", "health", closed=False, metrics=()),
        SourceNames("metrics", SHARED, "prometheus", closed=False, metrics=()),
        SourceNames("sentry", "sentry", "sentry", closed=True, metrics=(ERRORS, P95)),
        SourceNames("host", "host", "host", closed=True, metrics=(DISK,)),
    ]
)
MISSION = {
    "HighErrorRate": "error_count > 10 per minute",
    "DatabaseDown": "health_check.database.status != 'ok'",
    "SlowAPI": "http_request_duration_p95 > 1000ms",
    "DiskSpaceLow": "disk_usage > 85%",
}


class Kept:
    """The file of samples, in memory."""

    trouble = ""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Kind, Sample, int]] = []

    async def open(self) -> Sequence[tuple[str, Kind, Sample, int]]:
        return tuple(self.rows)

    async def append(self, kept: Sequence[tuple[str, Kind, Sample]], received: int, horizon: int) -> None:
        self.rows = [row for row in self.rows if row[2].at > horizon]
        self.rows += [(*row, received) for row in kept]

    async def close(self) -> None:
        """Nothing to let go of."""


class Said:
    """A source that gives what `samples` says: (name, labels, value) or (name, labels, value, at)."""

    def __init__(self, clock: FakeClock, name: str, namespace: str | None = None) -> None:
        self.clock, self.name = clock, name
        self.namespace = name if namespace is None else namespace
        self.samples: list[tuple[Any, ...]] = []
        self.fault: Fault | None = None
        self.asked: list[int | None] = []

    async def fetch(self, needs: Any, since: int | None) -> Reading:
        self.asked.append(since)
        at = self.clock.now()
        up = Sample("up", NO_LABELS, 0.0 if self.fault else 1.0, at)
        if self.fault:
            return Reading(self.name, self.namespace, at, (up,), fault=self.fault)
        made = [Sample(name, Labels(labels), value, *(rest or (at,))) for name, labels, value, *rest in self.samples]
        return Reading(self.name, self.namespace, at, (up, *made))

    async def close(self) -> None:
        """Nothing to let go of."""


class World:
    """An engine over four sources, that can be started again."""

    def __init__(self, rules: dict[str, str], **more: Any) -> None:
        self.clock = FakeClock(1_700_000_040_000)  # a whole minute
        self.store, self.kept = MemoryStore(), Kept()
        self.health, self.sentry, self.host = (Said(self.clock, name) for name in ("health_check", "sentry", "host"))
        self.page = Said(self.clock, "metrics", SHARED)
        self.rules = [
            Rule(
                RuleSpec(name, name, text, notify=("chat",), **more), compile_condition(text, NAMES, compile_pattern)[0]
            )
            for name, text in rules.items()
        ]

    async def start(self) -> None:
        self.engine = Engine(self.store, self.clock, compile_pattern, sample_store=self.kept)
        await self.engine.open()
        targets = [Target(source) for source in (self.health, self.sentry, self.host, self.page)]
        self.engine.adopt(Setup(self.rules, targets, {"chat": Receiver()}))

    async def tick(self, passed: int = 30 * S) -> list[str]:
        await self.clock.advance(passed)
        return [each.title for each in (await self.engine.tick()).notifications]

    def told(self) -> dict[str, tuple[str, str, str]]:
        return {each.rule.name: (each.state, each.value, each.why) for each in self.engine.statuses()}


def test_the_four_rules_fire_and_end_with_their_reasons() -> None:
    """From reading to message: value in its unit, the comparison, the series."""

    async def story() -> None:
        world = World(MISSION)
        await world.start()
        bucket = world.clock.now() - 2 * M
        world.sentry.samples = [("error_count", {}, 3.0, bucket), ("http_request_duration_p95", {}, 850.0)]
        world.health.samples = [("database.status", {}, "ok")]
        world.host.samples = [("disk_usage", {"mount": "/"}, 40.0)]
        assert await world.tick() == []
        assert {name: state for name, (state, _, _) in world.told().items()} == dict.fromkeys(MISSION, "ok")
        assert world.told()["DiskSpaceLow"][1:] == ("40%", 'disk_usage{mount="/"} = 40%, not > 85%')
        world.sentry.samples = [("error_count", {}, 14.0, bucket + M), ("http_request_duration_p95", {}, 1250.0)]
        world.health.samples = [("database.status", {}, "error")]
        world.host.samples = [("disk_usage", {"mount": "/"}, 91.23), ("disk_usage", {"mount": "/data"}, 12.0)]
        assert sorted(await world.tick()) == [
            "DatabaseDown: health_check.database.status = 'error' != 'ok'",
            'DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%',
            "HighErrorRate: error_count = 14 > 10 per minute (22:12 to 22:13)",
            "SlowAPI: http_request_duration_p95 = 1.25 s > 1 s",
        ]
        assert await world.tick() == []
        world.sentry.samples = [("error_count", {}, 0.0, bucket + 2 * M), ("http_request_duration_p95", {}, 850.0)]
        world.health.samples = [("database.status", {}, "ok")]
        world.host.samples = [("disk_usage", {"mount": "/"}, 40.0), ("disk_usage", {"mount": "/data"}, 12.0)]
        over = await world.tick()
        assert len(over) == 4
        assert all(" resolved: recovered (" in title for title in over)

    asyncio.run(story())


@pytest.mark.parametrize(
    "broken",
    [
        [("database.other", {}, "ok")],  # the field is gone
        [],
        [("database.status", {}, 5.0)],  # a number where a text is expected
    ],
)
def test_a_health_answer_that_lost_its_field_says_nothing(broken: list[tuple[Any, ...]]) -> None:
    """Neither well nor down: unknown, and what fires goes on."""

    async def story() -> None:
        world = World({"DatabaseDown": MISSION["DatabaseDown"]})
        await world.start()
        world.health.samples = [("database.status", {}, "error")]
        assert len(await world.tick()) == 1
        world.health.samples = broken
        assert await world.tick() == []
        (status,) = world.engine.statuses()
        assert (status.state, bool(status.unknown)) == ("firing", True)

    asyncio.run(story())


@pytest.mark.parametrize("restart", [False, True])
def test_a_bucket_that_was_judged_is_not_judged_again(restart: bool) -> None:
    """Between two ticks, or two processes, each closed minute counts once and none is missed."""

    async def story() -> list[list[str]]:
        world = World({"HighErrorRate": MISSION["HighErrorRate"]})
        await world.start()
        first = world.clock.now() - 2 * M
        heard = []
        for minutes in ([3.0], [14.0, 2.0, 2.0], [1.0], [2.0, 30.0, 1.0, 1.0], [0.0]):
            world.sentry.samples = [("error_count", {}, value, first + n * M) for n, value in enumerate(minutes)]
            first += len(minutes) * M
            heard.append(await world.tick(len(minutes) * M))
            if restart:
                await world.start()
        assert world.sentry.asked[1:] == [first - n * M for n in (10, 7, 6, 2)]
        return heard

    heard = asyncio.run(story())
    assert [len(each) for each in heard] == [0, 1, 1, 1, 1]
    assert [each[0].split(" (")[0] for each in heard[1:]] == [
        "HighErrorRate: error_count = 14 > 10 per minute",
        "HighErrorRate resolved: recovered",
        "HighErrorRate: error_count = 30 > 10 per minute",
        "HighErrorRate resolved: recovered",
    ]


def test_a_window_survives_a_restart() -> None:
    """`rate(x[5m])` from cron: what an earlier process read is there."""

    async def story() -> None:
        world = World({"Busy": "rate(requests_total[5m]) > 1"})
        for number in range(6):
            await world.start()
            world.page.samples = [("requests_total", {"job": "api"}, 600.0 * number)]
            heard = await world.tick(M)
            assert bool(heard) is (number == 1)  # with two points there is a rate, and it is told once
            await world.engine.close()
        assert world.told()["Busy"][0] == "firing"

    asyncio.run(story())


CRON: list[tuple[int, float | None, str, str]] = [  # seconds since the last look, the counter (None: it fails), then
    (60, 100.0, "unknown", "one reading of metrics so far, and what happens per minute takes two"),
    (60, 112.0, "firing", "http_errors_total = 12 > 10 per minute"),
    (58, 112.0, "ok", "http_errors_total = 0.4, not > 10 per minute (0 in 58s, 12 in the 1m before)"),
    (63, 122.0, "ok", "http_errors_total = 9.52, not > 10 per minute (10 in 1m3s)"),
    (59, 133.0, "firing", "http_errors_total = 11.2 > 10 per minute (11 in 59s, 10 in the 1m3s before)"),
    (61, 11.0, "firing", "http_errors_total = 10.8 > 10 per minute (11 in 1m1s)"),  # it began again
    (120, 99.0, "firing", "the last two readings of metrics are 2m apart"),
    (60, None, "firing", "could not read metrics"),
    (60, 99.0, "firing", "the last two readings of metrics are 2m apart"),
    (60, 99.0, "ok", "http_errors_total = 0, not > 10 per minute"),
    (3600, 999.0, "unknown", "the last two readings of metrics are 1h apart"),
    (60, 999.0, "ok", "http_errors_total = 0, not > 10 per minute"),
]


@pytest.mark.parametrize("restart", [False, True], ids=["daemon", "cron"])
def test_a_rate_in_words_over_a_counter_read_once_a_minute(restart: bool) -> None:
    """It fires and ends, late or early; a look that was left out and a failed one tell neither."""

    async def story() -> None:
        world = World({"Errors": "http_errors_total > 10 per minute"})
        await world.start()
        for number, (passed, value, state, why) in enumerate(CRON):
            world.page.fault = Fault(FaultKind.REFUSED, "refused") if value is None else None
            world.page.samples = [("http_errors_total", {}, value)]
            await world.tick(passed * S)
            (status,) = world.engine.statuses()
            told = status.unknown or status.why
            assert (number, status.state) == (number, state)
            assert told.startswith(why), (number, told)
            if restart:
                await world.engine.close()
                await world.start()
        assert {row[2].name for row in world.kept.rows} >= {"http_errors_total"}

    asyncio.run(story())


def test_up_sees_a_failure_that_everything_else_does_not() -> None:
    """`up == 0` fires on a failed reading; other conditions over the same source are unknown."""

    async def story() -> None:
        world = World({"Down": "health_check.up == 0", "Slow": "health_check.response_time > 1"})
        await world.start()
        world.health.samples = [("response_time", {}, 0.2)]
        assert await world.tick() == []
        world.health.fault = Fault(FaultKind.TIMEOUT, "no answer within 10 s")
        assert await world.tick() == ["Down: health_check.up = 0 == 0"]
        assert world.told()["Slow"][0] == "unknown"

    asyncio.run(story())
