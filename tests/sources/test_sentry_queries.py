"""The Sentry source beyond errors and durations: own queries, cron jobs, dropped events, regressions, users."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

import alerting
from alerting.model import FaultKind, Kind, Need, Reading, Secret
from alerting.sources.sentry import offered
from tests.fakes.ledger import Step
from tests.fakes.sentry import MINUTE, Sentry, monitor
from tests.sources.reading import run, source, values
from tests.sources.test_sentry import ask, buckets, failed, good, newest, settings

SCHEMA = json.loads((Path(alerting.__file__).parents[1] / "schemas" / "sources.schema.json").read_text())
PART = SCHEMA["$defs"]["sentry"]


def need(*names: str) -> tuple[Need, ...]:
    """Needs for these."""
    return tuple(Need("sentry", name) for name in names)


def queries(sentry: Sentry) -> list[dict[str, str]]:
    """The parameters of each call; of those that repeat, the last one."""
    return [dict(parse_qsl(urlsplit(request.path).query)) for request in sentry.requests]


def test_what_is_offered_is_what_the_schema_declares() -> None:
    """Names, kinds and units, in one order; and none of them can be taken by a query of one's own."""
    declared = [(each["name"], each["kind"], each["unit"]) for each in PART["x-metrics"] if each["name"] != "up"]
    told = [(each.name, each.kind.value, each.unit) for query in offered("sentry") for each in query.metrics]
    assert told == declared
    pattern = PART["properties"]["metrics"]["propertyNames"]["pattern"]
    assert [name for name, _, _ in [*declared, ("up", "", "")] if re.search(pattern, name)] == []
    assert re.search(pattern, "error_counts")


# ------------------------------------------------------------------------------------------- own queries


def own(**said: Any) -> dict[str, Any]:
    """One metric of the settings' own, called `mine`."""
    return {"mine": {"dataset": "errors", "function": "count()", **said}}


def test_a_gauge_of_ones_own_asks_the_table_as_it_says() -> None:
    """Dataset, function, filter and window; stamped with the time of the fetch, like every gauge."""
    with Sentry() as sentry:
        said = own(dataset="spans", function="avg(span.duration)", filter="transaction:/buy", window=120_000)
        sentry.functions["avg(span.duration)"] = 12.5
        reading = good(ask(sentry, need("mine"), metrics=said))
        (query,) = queries(sentry)
        assert "/events/?" in sentry.requests[0].path
    assert values(reading) == {"mine": 12.5}
    assert [sample.at for sample in reading.samples if sample.name == "mine"] == [reading.at]
    assert (query["dataset"], query["query"]) == ("spans", "transaction:/buy")
    assert time.mktime(time.strptime(query["end"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(
        time.strptime(query["start"], "%Y-%m-%dT%H:%M:%SZ")
    ) == pytest.approx(120)


def test_a_count_of_ones_own_comes_by_the_closed_minute() -> None:
    """Like `error_count`, with its filter; and the reading says that it is a count."""
    with Sentry() as sentry:
        sentry.errors = 7
        since = newest(int(time.time() * 1000)) - 3 * MINUTE
        reading = good(ask(sentry, need("mine"), since, metrics=own(kind="count", filter="x:1")))
        (query,) = queries(sentry)
    assert {value for _, value in buckets(reading, "mine")} == {7.0}
    assert len(buckets(reading, "mine")) >= 3
    assert (query["query"], query["yAxis"], query["interval"]) == ("x:1", "count()", "60")
    assert [(each.name, each.kind) for each in reading.kinds] == [("mine", Kind.COUNT)]


# function, what the setting says, events -> whether there is a value
LEAST: list[tuple[str, dict[str, int], int, bool]] = [
    ("p95(span.duration)", {}, 19, False),
    ("p95(span.duration)", {}, 20, True),
    ("p95(span.duration)", {"minimum_count": 5}, 5, True),
    ("p95(span.duration)", {"minimum_count": 50}, 49, False),
    ("failure_rate()", {}, 0, False),
    ("count()", {}, 0, True),
    ("count()", {}, 3, True),
    ("count()", {"minimum_count": 5}, 4, False),
    ("count_unique(user)", {}, 1, True),
    ("epm()", {}, 0, True),
]


@pytest.mark.parametrize(("function", "more", "events", "shown"), LEAST)
def test_a_share_of_a_few_events_is_no_value_and_a_count_is(
    function: str, more: dict[str, int], events: int, shown: bool
) -> None:
    """Percentiles and rates need events; zero events are a count of 0."""
    with Sentry() as sentry:
        sentry.transactions = events
        sentry.functions = {"count_unique(user)": 1.0, "epm()": 0.0}
        reading = good(ask(sentry, need("mine"), metrics=own(function=function, dataset="spans", **more)))
    assert ("mine" in values(reading)) is shown
    assert [each.name for each in reading.kinds] == ["mine"]  # known, and empty: false, not unknown


def test_queries_of_one_window_share_a_call_and_others_do_not() -> None:
    """Calls are limited: what can stand in one table does."""
    spans = {"dataset": "spans", "filter": "is_transaction:true"}
    metrics = {
        "a": {**spans, "function": "p75(span.duration)"},
        "b": {**spans, "function": "p75(span.duration)"},
        "c": {**spans, "function": "p50(span.duration)", "window": 60_000},
        "d": {"dataset": "errors", "function": "count()"},
    }
    with Sentry() as sentry:
        asked = need("a", "b", "c", "d", "http_request_duration_p95", "failure_rate")
        reading = good(ask(sentry, asked, metrics=metrics))
        assert len(sentry.requests) == 3
    assert set(values(reading)) == {"a", "b", "c", "d", "http_request_duration_p95", "failure_rate"}


def test_more_functions_than_a_table_has_room_for_are_asked_in_two() -> None:
    """Sentry takes 20 fields, of which one is `count()`."""
    metrics = {f"m{n}": {"dataset": "spans", "function": f"p{n}(x)"} for n in range(25)}
    with Sentry() as sentry:
        sentry.functions = {f"p{n}(x)": float(n) for n in range(25)}
        reading = good(ask(sentry, need(*metrics), metrics=metrics))
        assert len(sentry.requests) == 2
    assert values(reading) == {f"m{n}": float(n) for n in range(25)}


@pytest.mark.parametrize("kind", ["gauge", "count"])
def test_a_filter_may_be_a_reference(kind: str) -> None:
    """As any text of the settings; one that cannot be followed is a fault of this source."""
    with Sentry() as sentry:
        said = own(kind=kind, filter=Secret(lambda: "release:1", "release:${RELEASE}"))
        good(ask(sentry, need("mine"), metrics=said))
        assert queries(sentry)[0]["query"] == "release:1"
        empty = own(kind=kind, filter=Secret(lambda: "", "${RELEASE}"))
        failed(ask(sentry, need("mine"), metrics=empty), FaultKind.SECRET, "${RELEASE}")


def test_a_function_that_sentry_does_not_know_is_a_fault_in_its_words() -> None:
    """400, and why; nothing else of the reading is used."""
    with Sentry() as sentry:
        failed(ask(sentry, need("mine"), metrics=own(function="nope(x)")), FaultKind.BAD_STATUS, "is no function")


def test_a_server_that_is_too_old_for_a_call_is_told_apart_from_a_wrong_organization() -> None:
    """A page for people is no answer of the API."""
    with Sentry() as sentry:
        sentry.script(Step(status=404, body="<!doctype html><title>Page Not Found</title>", times=2))
        failed(ask(sentry, need("error_count")), FaultKind.NOT_FOUND, "does not know the call `events-stats`")
        wrong = ask(sentry, need("error_count"), organization="other")
        failed(wrong, FaultKind.NOT_FOUND, "no such organization")


# ------------------------------------------------------------------------------------------- issues and users


def test_regressed_issues_are_a_level() -> None:
    """As many as Sentry lists now; none is a 0."""
    with Sentry() as sentry:
        for count in (3, 0):
            sentry.regressed = count
            assert values(good(ask(sentry, need("regressed_issues")))) == {"regressed_issues": float(count)}
        assert queries(sentry)[0]["query"] == "is:unresolved is:regressed"
        sentry.regressed = 250
        assert values(good(ask(sentry, need("regressed_issues")))) == {"regressed_issues": 250.0}


def test_users_and_sessions_are_one_call_and_each_needs_its_own_number() -> None:
    """A rate over three users is no value, however many sessions they had."""
    with Sentry() as sentry:
        both = need("crash_free_users", "crash_free_sessions")
        reading = good(ask(sentry, both))
        assert len(sentry.requests) == 1
        assert values(reading) == pytest.approx({"crash_free_users": 99.0, "crash_free_sessions": 99.8})
        sentry.users = 3
        assert set(values(good(ask(sentry, both)))) == {"crash_free_sessions"}
        sentry.crash_free_users, sentry.users = None, 300
        assert values(good(ask(sentry, need("crash_free_users")))) == {}


# ------------------------------------------------------------------------------------------- cron jobs

PLACE = {"name": "production", "status": "ok", "isMuted": False, "lastCheckIn": None, "activeIncident": None}

# a job -> whether it fails; None: no series
JOBS: list[tuple[dict[str, Any], float | None]] = [
    (monitor("job", "ok", None), 0.0),
    (monitor("job", "active", None), 0.0),
    (monitor("job", "error", None), 1.0),
    (monitor("job", "missed_checkin", None), 1.0),
    (monitor("job", "timeout", None), 1.0),
    (monitor("job", "a word of tomorrow", None), 1.0),
    (monitor("job", "ok", None, environments=[{**PLACE, "activeIncident": {"startingTimestamp": "x"}}]), 1.0),
    (monitor("job", "error", None, isMuted=True), None),
    ({**monitor("job", "error", None), "status": "disabled"}, None),
    (monitor("job", "disabled", None), None),
    (monitor("job", "error", None, environments=[{**PLACE, "isMuted": True}]), None),
    (monitor("job", "error", None, environments=[]), None),
]


@pytest.mark.parametrize(("job", "fails"), JOBS, ids=range(len(JOBS)))
def test_a_job_fails_while_sentry_says_so(job: dict[str, Any], fails: float | None) -> None:
    """Missed, too long, failed or with an open incident; those that nobody wants to hear of have no series."""
    with Sentry() as sentry:
        sentry.monitors = [job]
        found = values(good(ask(sentry, need("cron_failing"))))
    name = 'cron_failing{environment="production",monitor="job",project="backend"}'
    assert found == ({} if fails is None else {name: fails})


def test_the_age_of_a_job_is_that_of_its_last_report() -> None:
    """In seconds, by environment; a job that never reported has none."""
    now = int(time.time() * 1000)
    with Sentry() as sentry:
        sentry.monitors = [
            monitor("a", "ok", now - 3_600_000),
            monitor("b", "ok", None),
            monitor("c", "ok", now + 60_000),
        ]
        sentry.monitors[0]["environments"] += [{**PLACE, "name": "staging"}]
        found = values(good(ask(sentry, need("cron_age"))))
        assert len(sentry.requests) == 1
    assert found == {
        'cron_age{environment="production",monitor="a",project="backend"}': pytest.approx(3600, abs=30),
        'cron_age{environment="production",monitor="c",project="backend"}': 0.0,
    }


def test_f47_pages_of_jobs_are_followed_and_bounded() -> None:
    """250 jobs are three pages; a list without end is a fault, not a shorter list."""
    with Sentry() as sentry:
        sentry.monitors = [monitor(f"job{n}", "ok", None) for n in range(250)]
        assert len(values(good(ask(sentry, need("cron_failing"))))) == 250
        assert len(sentry.requests) == 3
        sentry.page_size = 10
        failed(ask(sentry, need("cron_failing")), FaultKind.TOO_LARGE, "more monitors than 10 pages hold")


def test_a_job_that_is_listed_twice_is_no_answer() -> None:
    """Two values of one series cannot both be true."""
    with Sentry() as sentry:
        sentry.monitors = [monitor("a", "ok", None), monitor("a", "error", None)]
        failed(ask(sentry, need("cron_failing")), FaultKind.MALFORMED)


# ------------------------------------------------------------------------------------------- dropped events


def test_dropped_events_come_by_closed_minute_outcome_and_category() -> None:
    """What was accepted is not dropped; no environment is asked for, which `stats_v2` does not know."""
    with Sentry() as sentry:
        sentry.drops = {("rate_limited", "error"): 3, ("client_discard", "transaction"): 5, ("accepted", "error"): 90}
        since = newest(int(time.time() * 1000)) - 4 * MINUTE
        reading = good(ask(sentry, need("dropped_events"), since))
        (query,) = queries(sentry)
    assert "environment" not in query
    assert query["interval"] == "1m"
    limited = [s for s in reading.samples if s.labels.get("outcome") == "rate_limited"]
    assert [s.at for s in limited] == list(range(since + MINUTE, newest(reading.at) + 1, MINUTE))
    assert {s.value for s in limited} == {3.0}
    assert {s.labels.get("category"): s.value for s in reading.samples if s.name != "up"} == {
        "error": 3.0,
        "transaction": 5.0,
    }


def test_a_day_of_drops_is_asked_for_as_far_as_sentry_tells_minutes() -> None:
    """Six hours at most, which it rounds to whole ones."""
    with Sentry() as sentry:
        reading = good(ask(sentry, (Need("sentry", "dropped_events", bucket=86_400_000),)))
    assert len(buckets(reading, "dropped_events")) == 300


def test_no_drops_are_known_to_be_none() -> None:
    """No group is an empty answer and no fault; the name is known."""
    with Sentry() as sentry:
        sentry.drops = {}
        reading = good(ask(sentry, need("dropped_events")))
    assert values(reading) == {}
    assert [(each.name, each.kind) for each in reading.kinds] == [("dropped_events", Kind.COUNT)]


@pytest.mark.parametrize("offset", [-300_000, 0, 300_000])
def test_f47_a_minute_of_drops_is_closed_by_both_clocks(offset: int) -> None:
    """None is newer than 90 s by ours or by Sentry's."""
    with Sentry() as sentry:
        sentry.now_offset = offset
        since = newest(int(time.time() * 1000)) - 10 * MINUTE
        reading = good(ask(sentry, need("dropped_events"), since))
    ends = [end for end, _ in buckets(reading, "dropped_events")]
    assert ends == sorted(ends)
    assert all(end <= newest(reading.at + min(offset, 0)) for end in ends)
    assert len(ends) >= (10 if offset >= 0 else 4)


def test_a_server_that_tells_no_minutes_is_a_fault() -> None:
    """An hour's drops are not those of a minute."""
    with Sentry() as sentry:
        sentry.drop_step = 300_000
        failed(ask(sentry, need("dropped_events")), FaultKind.MALFORMED, "longer stretches than minutes")


STARTS = ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"]
GROUP: dict[str, Any] = {"by": {"outcome": "invalid", "category": "error"}, "series": {"sum(quantity)": [1, 2]}}
ODD: list[tuple[str, Any]] = [
    ("dropped_events", {}),
    ("dropped_events", {"intervals": None, "groups": []}),
    ("dropped_events", {"intervals": ["soon", "later"], "groups": []}),
    ("dropped_events", {"intervals": STARTS, "groups": {}}),
    ("dropped_events", {"intervals": STARTS, "groups": [{**GROUP, "by": {"outcome": "invalid"}}]}),
    ("dropped_events", {"intervals": STARTS, "groups": [{**GROUP, "by": {"outcome": 1, "category": "error"}}]}),
    ("dropped_events", {"intervals": STARTS, "groups": [{**GROUP, "series": {}}]}),
    ("dropped_events", {"intervals": STARTS, "groups": [{**GROUP, "series": {"sum(quantity)": [1]}}]}),
    ("dropped_events", {"intervals": STARTS[:1], "groups": [{**GROUP, "series": {"sum(quantity)": [1, 2]}}]}),
    ("cron_failing", {}),
    ("cron_failing", [1]),
    ("cron_failing", [{**monitor("a", "ok", None), "environments": {}}]),
    ("cron_failing", [{**monitor("a", "ok", None), "environments": [{}]}]),
    ("cron_failing", [{**monitor("a", "ok", None), "project": None}]),
    ("cron_failing", [{**monitor("a", "ok", None), "slug": 7}]),
    ("cron_age", [{**monitor("a", "ok", None), "environments": [{**PLACE, "lastCheckIn": "yesterday"}]}]),
    ("cron_age", [{**monitor("a", "ok", None), "environments": [{**PLACE, "lastCheckIn": 5}]}]),
    ("regressed_issues", [{}]),
    ("regressed_issues", {"detail": "x"}),
    ("crash_free_users", {"groups": [{}]}),
    ("crash_free_users", {"groups": [{"totals": {"count_unique(user)": "many"}}]}),
    ("crash_free_users", {"groups": None}),
]


@pytest.mark.parametrize(("name", "document"), ODD, ids=range(len(ODD)))
def test_f45_an_answer_of_another_shape_is_a_fault(name: str, document: Any) -> None:
    """Nothing is made of what is not understood; nothing crashes."""
    with Sentry() as sentry:
        sentry.script(Step(status=200, body=json.dumps(document)))
        failed(ask(sentry, need(name)), FaultKind.MALFORMED)


@pytest.mark.parametrize(
    ("name", "scope"), [("cron_age", "org:read"), ("dropped_events", "org:read"), ("regressed_issues", "event:read")]
)
def test_a_missing_scope_is_named(name: str, scope: str) -> None:
    """403 names the scope that the call wants."""
    with Sentry() as sentry:
        sentry.scopes = set()
        failed(ask(sentry, need(name)), FaultKind.FORBIDDEN, scope)


# ------------------------------------------------------------------------------------------- servers of one's own


def ask_twice(sentry: Sentry) -> list[Reading]:
    """Read twice with one source."""

    async def both() -> list[Reading]:
        async with source("sentry", **settings(sentry)) as sentrys:
            return [await sentrys.fetch(need("error_count"), None) for _ in range(2)]

    return run(both())


def test_an_older_server_is_asked_by_the_call_that_it_knows() -> None:
    """The same minutes by `events-stats`, and the newer call is not tried again each time."""
    with Sentry() as sentry:
        sentry.old, sentry.errors = True, 7
        first, second = ask_twice(sentry)
        calls = [urlsplit(request.path).path.split("/")[5] for request in sentry.requests]
    assert [value for _, value in buckets(good(first))] == [7.0]
    assert [value for _, value in buckets(good(second))] == [7.0]
    assert calls == ["events-timeseries", "events-stats", "events-stats"]


def test_f47_an_older_server_tells_a_minute_by_its_own_clock() -> None:
    """It does not say what is complete: a minute that ended less than 90 s ago by its clock is left out."""
    with Sentry() as sentry:
        sentry.old, sentry.now_offset = True, -30 * MINUTE
        reading = good(ask(sentry, need("error_count")))
    assert buckets(reading) == []


ODD_STATS = {
    "no data": {},
    "a table": {"data": [{"count()": 3}]},
    "a hole": {"data": [[0, [{"count": 1}]], [60, [{"count": 1}]], [240, [{"count": 1}]]]},
    "a text": {"data": [[0, [{"count": "7"}]]]},
    "null": {"data": [[0, [{"count": None}]]]},
    "two values": {"data": [[0, [{"count": 1}, {"count": 2}]]]},
    "not a number": {"data": [["x", [{"count": 1}]]]},
    "longer stretches": {"data": [[0, [{"count": 1}]], [300, [{"count": 1}]]]},
}


@pytest.mark.parametrize("name", ODD_STATS)
def test_f45_an_odd_answer_of_an_older_server_is_a_fault(name: str) -> None:
    """Never a low count."""
    newest_minute = (time.time_ns() // 1_000_000 - 90_000) // MINUTE * 60
    document = json.loads(json.dumps(ODD_STATS[name]))
    rows = document.get("data", [])
    for row in rows:
        if isinstance(row, list) and isinstance(row[0], int):
            row[0] += newest_minute - 300
    with Sentry() as sentry:
        sentry.old = True
        sentry.script(Step(status=404, body="Route not found"), Step(status=200, body=json.dumps(document)))
        failed(ask(sentry, (Need("sentry", "error_count", bucket=5 * MINUTE),)), FaultKind.MALFORMED, "does not look")


# ------------------------------------------------------------------------------------------- groups


def test_a_query_by_group_gives_a_series_for_each_of_the_highest() -> None:
    """Fields become labels; too few events are no value; a field without a value is no label."""
    with Sentry() as sentry:
        sentry.functions["p95(span.duration)"] = None
        sentry.groups = [
            {"transaction": "/buy", "user.geo": None, "p95(span.duration)": 900.0, "count()": 50},
            {"transaction": "/pay", "user.geo": "de", "p95(span.duration)": 800.0, "count()": 40},
            {"transaction": "/rare", "user.geo": "de", "p95(span.duration)": 700.0, "count()": 3},
            {"transaction": "/null", "user.geo": "de", "p95(span.duration)": None, "count()": 50},
            {"transaction": "/more", "user.geo": "de", "p95(span.duration)": 10.0, "count()": 50},
        ]
        said = own(dataset="spans", function="p95(span.duration)", group_by=["transaction", "user.geo"], top=4)
        reading = good(ask(sentry, need("mine"), metrics=said))
        (query,) = queries(sentry)
    assert query["sort"] == "-p95(span.duration)"
    assert query["per_page"] == "4"
    assert {str(each.labels): each.value for each in reading.samples if each.name == "mine"} == {
        '{transaction="/buy"}': 900.0,
        '{transaction="/pay",user_geo="de"}': 800.0,
    }


def test_no_group_is_known_to_be_none() -> None:
    """Nothing happened: no series, and nothing unknown."""
    with Sentry() as sentry:
        reading = good(ask(sentry, need("mine"), metrics=own(group_by=["transaction"], function="count()")))
    assert "mine" not in values(reading)
    assert [each.name for each in reading.kinds] == ["mine"]


@pytest.mark.parametrize(
    "groups",
    [
        [{"transaction": "/a", "count()": 1}, {"transaction": "/a", "count()": 2}],
        [{"transaction": "/a" * 1000, "count()": 1}],
        [{"transaction": "/a", "count()": "many"}],
    ],
)
def test_f45_groups_that_cannot_be_told_apart_are_a_fault(groups: list[dict[str, Any]]) -> None:
    """Twice the same, too long, or no number."""
    with Sentry() as sentry:
        sentry.groups = groups
        answer = ask(sentry, need("mine"), metrics=own(group_by=["transaction"], function="count()"))
        failed(answer, FaultKind.MALFORMED, "does not look like Sentry's")
