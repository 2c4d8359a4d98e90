"""What is told to whoever waits for a sign of life: by HTTP, to a URL and to Sentry's cron monitors."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import AlertingError, SecretError
from alerting.model import Secret
from alerting.net.http import HttpClient
from alerting.selfwatch.heartbeat import FAILED, OK, Heartbeat, check_in_url
from tests.clock import FakeClock
from tests.fakes.ledger import Fake, Reply, Step

if TYPE_CHECKING:
    from tests.fakes.ledger import Request

KEY = "0123456789abcdef0123456789abcdef"


class Monitors(Fake):
    """Takes pings as healthchecks does, and check-ins as Sentry does: strictly."""

    name = "monitors"

    def judge(self, request: Request) -> Reply:
        path = request.path
        if re.fullmatch(r"/ping/[a-z-]+(/start|/fail)?", path) and request.method == "GET":
            return Reply(200, "OK", accepted=True)
        if not re.fullmatch(rf"/api/42/cron/[a-z0-9_-]{{1,50}}/{KEY}/", path):
            return Reply(404, why="path")
        document = request.json()
        if not isinstance(document, dict) or request.headers.get("content-type") != "application/json":
            return Reply(400, why="no JSON object")
        if document.get("status") not in ("in_progress", "ok", "error"):
            return Reply(400, why="status")
        config = document["monitor_config"]
        schedule = config["schedule"]
        whole = all(isinstance(config[key], int) and config[key] > 0 for key in ("checkin_margin", "max_runtime"))
        if schedule.keys() != {"type", "value", "unit"} or not isinstance(schedule["value"], int) or not whole:
            return Reply(400, why="monitor_config")
        return Reply(202, accepted=True)

    @property
    def dsn(self) -> str:
        return f"http://{KEY}@127.0.0.1:{self.port}/42"


def beat(work: Any, **settings: Any) -> list[str]:
    """Run `work` with a heartbeat over real HTTP; give what it said of trouble."""
    said: list[str] = []

    async def main() -> None:
        http = HttpClient("alerting/test")
        clock = FakeClock()
        try:
            await work(Heartbeat({"every": 60_000, **settings}, http, clock, "production", said.append), clock)
        finally:
            await http.close()

    asyncio.run(main())
    return said


def test_a_url_is_asked_and_a_monitor_is_told() -> None:
    """Both, with the monitor's configuration, so that it is made at the first check-in."""
    with Monitors() as monitors:

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            await heartbeat.send(OK)
            assert heartbeat.beats == {"ok": 1, "error": 0, "lost": 0}

        settings = {"url": f"{monitors.url}/ping/x", "sentry_monitor": "alerting", "dsn": monitors.dsn, "every": 90_000}
        assert beat(work, **settings) == []
        assert len(monitors.accepted) == 2
        (told,) = [each for each in monitors.accepted if each]
    assert told == {
        "status": "ok",
        "environment": "production",
        "monitor_config": {
            "schedule": {"type": "interval", "value": 2, "unit": "minute"},
            "checkin_margin": 1,
            "max_runtime": 2,
        },
    }


def test_sentry_is_told_at_most_every_half_minute() -> None:
    """It takes six check-ins a minute; the URL hears every beat."""
    with Monitors() as monitors:

        async def work(heartbeat: Heartbeat, clock: FakeClock) -> None:
            for _ in range(13):
                await heartbeat.send(OK)
                await clock.advance(10_000)

        beat(work, url=f"{monitors.url}/ping/x", sentry_monitor="a", dsn=monitors.dsn, every=10_000)
        paths = [request.path for request in monitors.requests]
    assert paths.count("/ping/x") == 13
    assert len(paths) - 13 == 5


def test_a_run_of_check_begins_and_ends_under_one_id() -> None:
    """In progress, then ok or error; with the pace of the runs."""
    with Monitors() as monitors:

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            heartbeat.begin("ab" * 16, 300_000)
            await heartbeat.end(well=False)

        urls = {"url": f"{monitors.url}/ping/x", "start_url": f"{monitors.url}/ping/x/start"}
        beat(work, **urls, fail_url=f"{monitors.url}/ping/x/fail", sentry_monitor="a", dsn=monitors.dsn)
        pings = [request.path for request in monitors.requests if request.path.startswith("/ping")]
        told = [each for each in monitors.accepted if each]
    assert pings == ["/ping/x/start", "/ping/x/fail"]
    assert [(each["status"], each["check_in_id"]) for each in told] == [
        ("in_progress", "ab" * 16),
        ("error", "ab" * 16),
    ]
    assert told[0]["monitor_config"]["schedule"]["value"] == 5


TROUBLES = {
    "503": (Step(status=503), "answered 503"),
    "a redirect is no success": (Step(status=302, headers={"location": "http://127.0.0.1:1/"}), "answered 302"),
    "a reset": (Step(wire="reset"), "connection broke"),
    "no HTTP": (Step(wire="close"), "connection broke"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_its_own_failure_is_said_once_and_names_no_address(name: str) -> None:
    """The address is a secret; what comes next is tried all the same."""
    step, expected = TROUBLES[name]
    with Monitors() as monitors:
        monitors.script(step, step)

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            await heartbeat.send(OK)
            await heartbeat.send(OK)
            await heartbeat.send(OK)
            assert heartbeat.beats == {"ok": 1, "error": 0, "lost": 2}

        said = beat(work, url=Secret.literal(f"{monitors.url}/ping/secret-part"))
    assert len(said) == 1
    assert expected in said[0]
    assert "secret-part" not in said[0]


@pytest.mark.slow
def test_a_monitor_that_hangs_is_not_waited_for() -> None:
    """Five seconds, then the round goes on."""
    with Monitors() as monitors:
        monitors.script(Step(delay=60))

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            async with asyncio.timeout(8):
                await heartbeat.send(OK)

        (said,) = beat(work, url=f"{monitors.url}/ping/x")
    assert "no whole answer within 5 s" in said


def test_a_secret_that_is_missing_is_said_by_its_name() -> None:
    """And the other of the two is told."""

    def missing() -> str:
        raise SecretError("SENTRY_DSN is not set; set it")

    with Monitors() as monitors:

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            await heartbeat.send(OK)

        settings = {"url": f"{monitors.url}/ping/x", "sentry_monitor": "a", "dsn": Secret(missing, "${SENTRY_DSN}")}
        (said,) = beat(work, **settings)
        assert [request.path for request in monitors.requests] == ["/ping/x"]
    assert "SENTRY_DSN is not set" in said


def test_nobody_is_told_of_a_failure_who_did_not_ask() -> None:
    """Without `fail_url` there is silence: whoever waits hears nothing."""
    with Monitors() as monitors:

        async def work(heartbeat: Heartbeat, _clock: Any) -> None:
            await heartbeat.send(FAILED)

        assert beat(work, url=f"{monitors.url}/ping/x") == []
        assert monitors.requests == []


DSNS = [
    ("https://k@o1.ingest.sentry.io/42", "https://o1.ingest.sentry.io/api/42/cron/m/k/"),
    ("https://k:s@sentry.example.org/42", "https://sentry.example.org/api/42/cron/m/k/"),
    ("http://k@127.0.0.1:9000/sub/path/42", "http://127.0.0.1:9000/sub/path/api/42/cron/m/k/"),
]


@pytest.mark.parametrize(("dsn", "url"), DSNS)
def test_check_ins_go_where_the_dsn_points(dsn: str, url: str) -> None:
    """Self-hosted ones may live under a path."""
    assert check_in_url(dsn, "m") == url


@pytest.mark.parametrize(
    "dsn", ["", "x", "https://o1.ingest.sentry.io/42", "https://k@/42", "ftp://k@h/42", "https://k@h/"]
)
def test_what_is_no_dsn_is_refused_without_showing_it(dsn: str) -> None:
    """It holds a key."""
    with pytest.raises(AlertingError) as refusal:
        check_in_url(dsn, "m")
    assert json.dumps(str(refusal.value))
    assert "o1.ingest" not in str(refusal.value)
