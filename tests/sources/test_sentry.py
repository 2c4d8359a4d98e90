"""The Sentry source: what it asks, what it makes of the answers, and how it waits."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from alerting.model import FaultKind, Matcher, Need, Reading, Secret
from alerting.sources._sentry_client import read_dsn
from tests.fakes.hostile import BEHAVIOURS, ENDLESS, Hostile
from tests.fakes.ledger import Step
from tests.fakes.sentry import Sentry
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.figures import Figure

MINUTE = 60_000
ERRORS = (Need("sentry", "error_count"),)
P95 = (Need("sentry", "http_request_duration_p95"),)
ISSUES = (Need("sentry", "new_issues"),)
SESSIONS = (Need("sentry", "crash_free_sessions"),)
FAILURES = (Need("sentry", "failure_rate"),)


def settings(sentry: Sentry, **more: Any) -> dict[str, Any]:
    """A section's values for the fake."""
    fixed = {"organization": "vivaform", "project": "backend", "environment": "production"}
    return {"url": sentry.url, "token": Secret.literal(sentry.token), **fixed, **more}


def ask(sentry: Sentry, needs: Sequence[Need] = (), since: int | None = None, **more: Any) -> Reading:
    """Read once from the fake."""
    return read("sentry", needs, since, **settings(sentry, **more))


def good(reading: Reading) -> Reading:
    """Check that a reading did not fail."""
    assert reading.fault is None, reading.fault
    assert up(reading) == 1
    return reading


def failed(reading: Reading, kind: FaultKind, text: str = "") -> Reading:
    """Check that a reading failed whole, for this reason."""
    assert reading.fault is not None
    assert reading.fault.kind is kind, reading.fault
    assert text in reading.fault.message
    assert [(sample.name, sample.value) for sample in reading.samples] == [("up", 0.0)]
    return reading


def newest(now: int) -> int:
    """The end of the newest minute that is closed at `now`."""
    return (now - 90_000) // MINUTE * MINUTE


def buckets(reading: Reading, name: str = "error_count") -> list[tuple[int, float | str]]:
    """(end, value) of each minute."""
    return [(sample.at, sample.value) for sample in reading.samples if sample.name == name]


# ------------------------------------------------------------------------------------------- errors


def test_errors_come_by_the_closed_minute() -> None:
    """One sample for the newest minute that ended at least 90 s ago, stamped with its end."""
    with Sentry() as sentry:
        sentry.errors = 14
        reading = good(ask(sentry, ERRORS))
    assert buckets(reading) == [(newest(reading.at), 14.0)]


def test_what_is_asked_is_what_the_api_wants() -> None:
    """The path with its slash, dataset, axis, whole seconds, the scope of the settings, and nothing else."""
    with Sentry() as sentry:
        ask(sentry, ERRORS)
        (request,) = sentry.requests
    parts = urlsplit(request.path)
    query = dict(parse_qsl(parts.query))
    assert parts.path == "/api/0/organizations/vivaform/events-timeseries/"
    assert request.headers["authorization"] == "Bearer sntryu_test"
    assert query.pop("start") < query.pop("end")
    assert query == {
        "dataset": "errors",
        "yAxis": "count()",
        "interval": "60",
        "project": "backend",
        "environment": "production",
    }


def test_only_new_minutes_are_asked_for_and_none_is_missed() -> None:
    """A five-minute cron sees each of its five minutes once."""
    with Sentry() as sentry:
        now = int(time.time() * 1000)
        since = newest(now) - 5 * MINUTE
        sentry.minutes[since + 2 * MINUTE] = 40
        reading = good(ask(sentry, ERRORS, since))
    ends = [end for end, _ in buckets(reading)]
    assert ends == list(range(since + MINUTE, newest(reading.at) + 1, MINUTE))
    assert dict(buckets(reading))[since + 3 * MINUTE] == 40


def test_nothing_is_asked_while_no_new_minute_has_closed() -> None:
    """Between two minutes there is nothing to learn."""
    with Sentry() as sentry:
        reading = good(ask(sentry, ERRORS, newest(int(time.time() * 1000)) + MINUTE))
        assert sentry.requests == []
    assert buckets(reading) == []


def test_at_most_sixty_are_caught_up() -> None:
    """After a day of silence the last hour counts."""
    with Sentry() as sentry:
        now = int(time.time() * 1000)
        reading = good(ask(sentry, ERRORS, newest(now) - 86_400_000))
    assert len(buckets(reading)) == 60


def test_a_longer_unit_brings_the_minutes_it_adds_up() -> None:
    """`N per 5m` needs five minutes at the first reading."""
    with Sentry() as sentry:
        reading = good(ask(sentry, (Need("sentry", "error_count", bucket=5 * MINUTE),)))
    assert len(buckets(reading)) == 5


def test_zero_errors_are_a_zero() -> None:
    """Zero events are 0: that is knowledge, not a gap."""
    with Sentry() as sentry:
        sentry.errors = 0
        assert [value for _, value in buckets(good(ask(sentry, ERRORS)))] == [0.0]


@pytest.mark.parametrize("offset", [-300_000, -61_000, 0, 61_000, 300_000])
def test_f47_a_minute_that_sentry_is_still_filling_is_never_a_low_one(offset: int, figure: Figure) -> None:
    """Whatever the difference between the clocks: an unfinished minute is not taken for a quiet one."""
    with Sentry() as sentry:
        sentry.errors, sentry.now_offset = 14, offset
        reading = good(ask(sentry, ERRORS, newest(int(time.time() * 1000)) - 10 * MINUTE))
    low = sum(value != 14.0 for _, value in buckets(reading))
    figure("unfinished minutes taken for low ones", low, at_most=0, n=len(buckets(reading)))


def test_f47_a_minute_is_closed_by_sentrys_clock_as_well_as_ours() -> None:
    """Where our clock runs ahead, what Sentry calls complete may only be a minute that has not come yet."""
    behind = formatdate(time.time() - 300, usegmt=True)
    with Sentry() as sentry:
        sentry.script(Step(status=200, body=at_test_time(series(point())), headers={"date": behind}))
        assert buckets(good(ask(sentry, ERRORS))) == []


def test_a_project_that_nobody_sees_is_no_zero() -> None:
    """With no projects Sentry answers 200 and no series; that is a fault, not a quiet project."""
    with Sentry() as sentry:
        sentry.sees_project = False
        failed(ask(sentry, ERRORS), FaultKind.NOT_FOUND, "project")


def test_the_made_up_answers_are_good_but_for_their_fault() -> None:
    """The frame of the table below is an answer that is taken."""
    with Sentry() as sentry:
        sentry.script(Step(status=200, body=at_test_time(series(point(value=7)))))
        assert [value for _, value in buckets(good(ask(sentry, ERRORS)))] == [7.0]


def test_no_closed_minute_is_no_sample_and_no_fault() -> None:
    """Sentry's clock may be behind ours: then it has nothing to tell yet."""
    with Sentry() as sentry:
        for body in (series(), series(point(incomplete=True)), series(point(timestamp=1e300))):
            sentry.script(Step(status=200, body=at_test_time(body)))
            assert buckets(good(ask(sentry, ERRORS))) == []


# ------------------------------------------------------------------------------------------- the others


def test_percentiles_are_milliseconds_of_transactions_over_the_window() -> None:
    """Dataset spans, is_transaction:true, a window that ended 90 s ago; `count()` is asked for beside it."""
    with Sentry() as sentry:
        sentry.durations["p95"] = 1250.0
        reading = good(ask(sentry, P95, window=300_000))
        (request,) = sentry.requests
    query = parse_qsl(urlsplit(request.path).query)
    assert values(reading) == {"http_request_duration_p95": 1250.0}
    assert [value for name, value in query if name == "field"] == ["p95(span.duration)", "count()"]
    assert ("dataset", "spans") in query
    assert ("query", "is_transaction:true") in query


@pytest.mark.parametrize(("count", "shown"), [(0, False), (19, False), (20, True), (5000, True)])
def test_a_percentile_of_a_few_events_is_no_value(count: int, shown: bool) -> None:
    """No series, and no fault: the source was read."""
    with Sentry() as sentry:
        sentry.transactions = count
        reading = good(ask(sentry, (*P95, *FAILURES)))
    assert (len(values(reading)) == 2) is shown


def test_a_null_is_no_value() -> None:
    """What Sentry cannot say is left out."""
    with Sentry() as sentry:
        sentry.failure_rate = None
        assert values(good(ask(sentry, FAILURES))) == {}
        sentry.crash_free = None
        assert values(good(ask(sentry, SESSIONS))) == {}


def test_one_call_serves_all_percentiles_and_the_failure_rate() -> None:
    """Calls are limited: what stands in one table is asked for once."""
    with Sentry() as sentry:
        reading = good(ask(sentry, (*P95, *FAILURES, Need("sentry", "http_request_duration_p50"))))
        assert len(sentry.requests) == 1
    assert values(reading) == {
        "http_request_duration_p50": 85.0,
        "http_request_duration_p95": 240.0,
        "failure_rate": 0.01,
    }


def test_new_issues_are_counted_by_the_minute_of_their_first_sight() -> None:
    """Zeroes included; issues of minutes that are not closed wait."""
    with Sentry() as sentry:
        now = int(time.time() * 1000)
        end = newest(now)
        sentry.issues = [end - 30_000, end - 31_000, end - 150_000, end + 1, now - 1000, end - 3_600_000]
        reading = good(ask(sentry, ISSUES, end - 4 * MINUTE))
    found = dict(buckets(reading, "new_issues"))
    assert (found[end], found[end - 2 * MINUTE]) == (2.0, 1.0)
    assert found[end - MINUTE] == found[end - 3 * MINUTE] == 0.0


def test_f47_pages_of_issues_are_followed_and_bounded() -> None:
    """250 issues are three pages; 1,500 are a fault that says so, not a smaller number."""
    with Sentry() as sentry:
        end = newest(int(time.time() * 1000))
        sentry.issues = [end - 1000 - n for n in range(250)]
        assert buckets(good(ask(sentry, ISSUES, end - MINUTE)), "new_issues")[0] == (end, 250.0)
        assert len(sentry.requests) == 3
        sentry.issues = [end - 1000 - n for n in range(1500)]
        failed(ask(sentry, ISSUES, end - MINUTE), FaultKind.TOO_LARGE, "more issues than 10 pages hold")
        assert len(sentry.requests) == 13


def test_f47_a_cursor_that_goes_in_a_circle_ends(figure: Figure) -> None:
    """The same page again and again is a broken answer."""
    link = '<http://127.0.0.1/>; rel="next"; results="true"; cursor="0:100:0"'
    with Sentry() as sentry:
        sentry.script(Step(status=200, body="[]", headers={"link": link}, times=0))
        failed(ask(sentry, ISSUES), FaultKind.MALFORMED)
        figure("calls beyond the second of a circle", len(sentry.requests) - 2, at_most=0, n=1)


def test_crash_free_sessions_are_percent() -> None:
    """Sentry says 0 to 1; we say 0 to 100, as the host does for disks."""
    with Sentry() as sentry:
        assert values(good(ask(sentry, SESSIONS))) == {"crash_free_sessions": pytest.approx(99.8)}
        sentry.sessions = 3
        assert values(good(ask(sentry, SESSIONS))) == {}


def test_only_what_rules_need_is_asked() -> None:
    """`up` alone costs one call; no needs at all ask for everything, as `alerting sources` does."""
    with Sentry() as sentry:
        ask(sentry, (Need("sentry", "up"),))
        assert len(sentry.requests) == 1
        reading = good(ask(sentry))
        assert len(sentry.requests) == 8
        assert good(ask(sentry, (Need("sentry", "", (Matcher("x", "=", "y"),)),)))
    assert len({sample.name for sample in reading.samples}) == 15


def test_a_number_is_a_project_too() -> None:
    """An integer in the settings is the project's id; without an environment all are asked."""
    with Sentry() as sentry:
        good(ask(sentry, ERRORS, project=4507, environment=None))
        query = dict(parse_qsl(urlsplit(sentry.requests[0].path).query))
    assert query["project"] == "4507"
    assert "environment" not in query


DSNS = [
    ("https://k@o1.ingest.sentry.io/2", ("https://sentry.io", "1", "2")),
    ("https://k@o451.ingest.de.sentry.io/4507", ("https://de.sentry.io", "451", "4507")),
    ("https://k@o1.ingest.us.sentry.io/2", ("https://us.sentry.io", "1", "2")),
    ("https://k:old@sentry.example.org/2", ("https://sentry.example.org", "", "2")),
    ("http://k@127.0.0.1:9000/prefix/2", ("http://127.0.0.1:9000/prefix", "", "2")),
    ("https://k@o1.ingest.sentry.io.example.org/2", ("https://o1.ingest.sentry.io.example.org", "", "2")),
]


@pytest.mark.parametrize(("dsn", "expected"), DSNS)
def test_a_dsn_tells_server_project_and_mostly_the_organization(dsn: str, expected: tuple[str, str, str]) -> None:
    """Sentry's own hosts carry the organization's number and the region."""
    assert read_dsn(dsn)[:3] == expected


@pytest.mark.parametrize(
    "dsn", ["", "x", "https://k@h/", "https://k@h/x", "ftp://k@h/1", "https:///1", "https://[k@h/1"]
)
def test_a_dsn_that_is_none_is_a_fault_that_does_not_quote_it(dsn: str) -> None:
    """A DSN holds a key."""
    with pytest.raises(ValueError, match="the DSN cannot be read") as caught:
        read_dsn(dsn)
    assert "k@h" not in str(caught.value)


def test_what_the_settings_say_goes_before_the_dsn() -> None:
    """Server and project from the DSN, the organization from the settings; the key goes nowhere."""
    with Sentry() as sentry:
        dsn = Secret.literal(f"{sentry.url.replace('://', '://k3y@')}/4507")
        good(ask(sentry, ERRORS, url=None, project=None, dsn=dsn))
        assert dict(parse_qsl(urlsplit(sentry.requests[0].path).query))["project"] == "4507"
        sentry.scopes = set()
        reading = failed(ask(sentry, ERRORS, url=None, project=None, dsn=dsn), FaultKind.FORBIDDEN)
        assert reading.fault is not None
        assert "the server of the DSN/api/0" in reading.fault.message
    failed(ask(sentry, ERRORS, dsn=dsn, organization=None), FaultKind.MALFORMED, "`organization` is not set")
    failed(ask(sentry, ERRORS, dsn="x", organization=None), FaultKind.MALFORMED, "the DSN cannot be read")
    unset = Secret(lambda: "", "${SENTRY_DSN}")
    failed(ask(sentry, ERRORS, dsn=unset, organization=None), FaultKind.SECRET, "${SENTRY_DSN}")


def test_settings_that_are_references_are_followed() -> None:
    """Any text of the settings may be `${…}`."""
    with Sentry() as sentry:
        names = {name: Secret.literal(value) for name, value in settings(sentry).items() if name != "token"}
        good(ask(sentry, ERRORS, **names))


# ------------------------------------------------------------------------------------------- what goes wrong


def test_refusals_say_what_to_do() -> None:
    """401, 403 and 404 are told apart, each with its remedy; the token is in none."""
    with Sentry() as sentry:
        for more, kind, text in (
            ({"token": Secret.literal("sntryu_wrong")}, FaultKind.UNAUTHORIZED, "make a new one"),
            ({"organization": "other"}, FaultKind.NOT_FOUND, "organization"),
            ({"project": "other"}, FaultKind.FORBIDDEN, "project"),
            ({"organization": None}, FaultKind.MALFORMED, "`organization` is not set"),
            ({"token": Secret(lambda: "", "${SENTRY_AUTH_TOKEN}")}, FaultKind.SECRET, "${SENTRY_AUTH_TOKEN}"),
        ):
            reading = failed(ask(sentry, ERRORS, **more), kind, text)
            assert reading.fault is not None
            assert "sntryu" not in reading.fault.message


@pytest.mark.parametrize(
    ("needs", "scope"), [(ERRORS, "org:read"), (P95, "org:read"), (ISSUES, "event:read"), (SESSIONS, "org:read")]
)
def test_a_missing_scope_is_named(needs: Sequence[Need], scope: str) -> None:
    """403 names the scope that the call wants."""
    with Sentry() as sentry:
        sentry.scopes = set()
        failed(ask(sentry, needs), FaultKind.FORBIDDEN, scope)


def test_a_question_that_took_too_long_is_asked_again() -> None:
    """Sentry's own timeout is a 400; any other 400 is our mistake and quotes Sentry."""
    with Sentry() as sentry:
        detail = "Query timeout. Please try again. If the problem persists try a smaller date range"
        sentry.script(Step(status=400, body=json.dumps({"detail": detail})))
        failed(ask(sentry, ERRORS), FaultKind.TIMEOUT, "asked again")
        sentry.script(Step(status=400, body='{"detail": "Invalid\\u001b[31m query"}'))
        reading = failed(ask(sentry, ERRORS), FaultKind.BAD_STATUS, "Invalid")
        assert reading.fault is not None
        assert "\x1b" not in reading.fault.message


def test_f47_a_limit_is_kept_until_sentrys_own_reset(figure: Figure) -> None:
    """After a 429 no call is made before the reset, by Sentry's clock; the fault says until when."""

    async def work() -> None:
        with Sentry() as sentry:
            sentry.limit, sentry.now_offset, sentry.window = 1, 7_200_000, 1
            async with source("sentry", **settings(sentry)) as built:
                first = await built.fetch(ERRORS, None)
                for _ in range(5):
                    again = await built.fetch(ERRORS, None)
                    failed(again, FaultKind.RATE_LIMITED, "limits our calls")
                    assert again.fault is not None
                    assert again.fault.retry_at is not None
                    assert again.at < again.fault.retry_at <= again.at + 3000
                figure("calls while limited", len(sentry.requests) - 1 + sentry.limited, at_most=0, n=5)
                good(first)
                await asyncio.sleep(1.05)
                good(await built.fetch(ERRORS, None))

    run(work())


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 59_000, 60_000),
        ({"retry-after": "7"}, 6_000, 7_000),
        ({"x-sentry-rate-limit-reset": "0"}, 0, 1_000),
        ({"x-sentry-rate-limit-reset": "99999999999999"}, 3_599_000, 3_600_000),
        ({"x-sentry-rate-limit-reset": "soon"}, 59_000, 60_000),
    ],
)
def test_a_429_always_means_a_bounded_wait(headers: dict[str, str], least: int, most: int) -> None:
    """From a second to an hour, whatever the headers say or do not say."""
    with Sentry() as sentry:
        sentry.script(Step(status=429, body="{}", headers=headers))
        reading = failed(ask(sentry, ERRORS), FaultKind.RATE_LIMITED)
    assert reading.fault is not None
    assert reading.fault.retry_at is not None
    assert least - 500 <= reading.fault.retry_at - reading.at <= most + 500


def test_a_limit_on_one_call_holds_up_no_other() -> None:
    """Limits are counted per endpoint."""

    async def work() -> None:
        with Sentry() as sentry:
            sentry.script(Step(status=429, body="{}"))
            async with source("sentry", **settings(sentry)) as built:
                failed(await built.fetch(ISSUES, None), FaultKind.RATE_LIMITED)
                good(await built.fetch(ERRORS, None))

    run(work())


def test_one_failing_call_fails_the_reading() -> None:
    """Half of what rules asked for would pass for all of it."""
    with Sentry() as sentry:
        sentry.scopes = {"org:read"}
        failed(ask(sentry), FaultKind.FORBIDDEN, "event:read")


def test_all_calls_share_one_deadline() -> None:
    """Four slow calls do not take four times as long."""
    with Sentry() as sentry:
        sentry.script(Step(status=200, body="{}", delay=0.3), Step(delay=0.3, times=0))
        began = time.monotonic()
        reading = ask(sentry, (*P95, *ISSUES, *SESSIONS), timeout=500)
        assert time.monotonic() - began < 1.5
    assert reading.fault is not None
    with Sentry() as sentry:
        sentry.script(Step(delay=0.2, times=0))
        failed(ask(sentry, timeout=500), FaultKind.TIMEOUT)


SERIES = {"yAxis": "count()", "meta": {"interval": 60_000}, "values": []}
META = {"dataset": "errors", "start": 0, "end": 0}


def series(*values_: Any, interval: Any = 60_000) -> str:
    """An events-timeseries answer with these points."""
    one = {"yAxis": "count()", "meta": {"interval": interval}, "values": list(values_)}
    return json.dumps({"meta": META, "timeSeries": [one]})


def point(**fields: Any) -> dict[str, Any]:
    """The newest closed minute, with fields of one's own; `at_test_time` fills its time in."""
    return {"timestamp": "@MINUTE", "value": 1, "incomplete": False, **fields}


def at_test_time(body: str) -> str:
    """Put the beginning of the newest closed minute where it is wanted."""
    return body.replace('"@MINUTE"', str(newest(int(time.time() * 1000)) - MINUTE))


ODD = [
    "",
    "null",
    "[]",
    "1",
    "{",
    "<html>",
    '{"meta": {}}',
    '{"meta": {}, "timeSeries": null}',
    '{"meta": {}, "timeSeries": []}',
    '{"meta": {}, "timeSeries": [1]}',
    '{"meta": {}, "timeSeries": {}}',
    json.dumps({"meta": META, "timeSeries": [SERIES, SERIES]}),
    series(point(), interval=300_000),
    series(point(), interval="1m"),
    series(point(), interval=None),
    series({}),
    series(None),
    series([1]),
    series(point(value=None)),
    series(point(value="12")),
    series(point(value=True)),
    series(point(value=[1])),
    series(point(value=float("nan"))),
    series(point(value=1)).replace('"value": 1,', '"value": 1e999,'),
    series(point(timestamp=None)),
    series(point(timestamp="x")),
    series(point(timestamp=float("inf"))),
    series({"timestamp": point()["timestamp"], "value": 1}),
    series(point(), point()),
    "[" * 100_000,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_f4_f45_an_answer_of_another_shape_is_a_fault(body: str) -> None:
    """Nothing is made of what is not understood; nothing crashes."""
    with Sentry() as sentry:
        sentry.script(Step(status=200, body=at_test_time(body)))
        reading = ask(sentry, ERRORS)
    assert reading.fault is not None
    assert reading.fault.kind in (FaultKind.MALFORMED, FaultKind.NOT_FOUND)
    assert len(reading.samples) == 1


TABLES = [
    '{"data": [{}]}',
    '{"data": {}}',
    '{"data": [{"count()": "many", "p95(span.duration)": 1}]}',
    '{"data": [{"count()": 100, "p95(span.duration)": "slow"}]}',
    '{"data": [{"count()": 100}]}',
    '{"data": null}',
    "{}",
    "[]",
]


@pytest.mark.parametrize(("needs", "body"), [(P95, body) for body in TABLES] + [(ISSUES, '[{"id": "1"}]')])
def test_the_other_calls_are_as_strict(needs: Sequence[Need], body: str) -> None:
    """Tables, issues and sessions too."""
    with Sentry() as sentry:
        sentry.script(Step(status=200, body=body))
        failed(ask(sentry, needs), FaultKind.MALFORMED)


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """Rows F43 to F45."""
    with Hostile(behaviour) as server:
        url = server.url.removesuffix("/health")
        timeout = 300 if behaviour in ENDLESS else 5000
        reading = read("sentry", ERRORS, url=url, token="t", organization="o", timeout=timeout)
    assert reading.fault is not None
    assert len(reading.samples) == 1


def test_names_are_escaped_in_the_path() -> None:
    """A slash in a setting does not become another path."""
    with Sentry() as sentry:
        failed(ask(sentry, ERRORS, organization="a/../b?x=#"), FaultKind.NOT_FOUND)
        assert sentry.requests[0].path.startswith("/api/0/organizations/a%2F..%2Fb%3Fx%3D%23/events-timeseries/?")
