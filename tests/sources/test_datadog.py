"""Datadog's metrics query API, against a stand-in that is stricter than the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml

import alerting
from alerting.model import FaultKind, Need, Reading, Secret
from tests.fakes.datadog import Datadog
from tests.fakes.ledger import Step
from tests.fakes.openapi import nullable
from tests.sources.judging import BUSY, HOSTILE, NO_ANSWERS, SECRET, STATUSES, bears, failed, good, is_refused, secret
from tests.sources.reading import read, run, source, values

MINUTE = 60_000
CPU = {"cpu": {"query": "avg:system.cpu.user{*} by {host}", "unit": "percent"}}
FAILED = {"orders_failed": {"query": "sum:orders.failed{*}.as_count().rollup(sum, 60)", "kind": "count"}}
SPECIFICATION = Path(alerting.__file__).parents[2] / "shared" / "specs" / "datadog" / "metrics-query.v1.openapi.yaml"


def ask(url: str, metrics: dict[str, Any] | None = None, since: int | None = None, **more: Any) -> Reading:
    """Read everything once."""
    keys = {"api_key": Secret.literal(Datadog.api_key), "application_key": Secret.literal(Datadog.application_key)}
    return read("datadog", (), since, url=url, metrics=metrics or CPU, **{**keys, **more})


def with_groups(*groups: list[str]) -> Datadog:
    """A stand-in that knows both queries above, with these groups."""
    fake = Datadog()
    fake.groups = {entry["query"]: list(groups or ([],)) for entry in ({**CPU, **FAILED}).values()}
    return fake


def answered(series: Any, metrics: dict[str, Any] | None = None, **more: Any) -> Reading:
    """Read from a service that answers 200 with these series, or with this whole document or text."""
    body = {"status": "ok", "series": series} if isinstance(series, list) else series
    with Datadog() as fake:
        fake.script(Step(status=200, body=body if isinstance(body, str) else json.dumps(body), times=0))
        return ask(fake.url, metrics, **more)


def one(points: Any, tags: Any = (), interval: Any = 60) -> dict[str, Any]:
    """A series; `points` may be the value of its newest closed bucket alone."""
    return {"tag_set": list(tags) if isinstance(tags, tuple) else tags, "interval": interval, "pointlist": points}


# ------------------------------------------------------------------------------------------- what is asked


def test_a_gauge_is_the_newest_closed_bucket_of_each_group() -> None:
    """Never the last one, which is still filling; tags become labels."""
    with with_groups(["host:a", "availability-zone:eu-1"], ["host:b"]) as fake:
        reading = good(ask(fake.url))
    assert values(reading) == {'cpu{availability_zone="eu-1",host="a"}': 12.0, 'cpu{host="b"}': 12.0}
    assert {sample.at for sample in reading.samples} == {reading.at}
    assert [(metric.name, metric.unit) for metric in reading.kinds] == [("cpu", "percent")]


def test_what_is_asked_is_what_the_api_wants() -> None:
    """Whole seconds, `window` long, ended `delay` ago, and the two keys."""
    with with_groups() as fake:
        reading = good(ask(fake.url, window=600_000, delay=120_000))
        (request,) = fake.requests
    query = dict(parse_qsl(urlsplit(request.path).query))
    assert query["query"] == CPU["cpu"]["query"]
    assert int(query["to"]) == (reading.at - 120_000) // 1000
    assert int(query["to"]) - int(query["from"]) == 600


def test_the_newest_bucket_with_a_value_counts() -> None:
    """Nulls are passed over; where there are only nulls, nothing is known."""
    with with_groups() as fake:
        fake.nulls = 3
        assert values(good(ask(fake.url))) == {"cpu": 12.0}
        fake.nulls = 10
        reading = good(ask(fake.url))
    assert values(reading) == {}
    assert reading.kinds == ()


def test_no_series_is_no_value_and_not_zero() -> None:
    """A metric that nobody reports is not known: a condition over it is unknown, never false."""
    reading = good(answered([]))
    assert values(reading) == {}
    assert reading.kinds == ()


def test_counts_come_by_the_closed_minute() -> None:
    """Each minute once, dated by its end, none that is still filling."""
    with with_groups(["shop:eu"]) as fake:
        first = good(ask(fake.url, FAILED))
        newest = max(sample.at for sample in first.samples if sample.name == "orders_failed")
        again = good(ask(fake.url, FAILED, since=newest - 5 * MINUTE))
        none = good(ask(fake.url, FAILED, since=newest + MINUTE))
        assert len(fake.requests) == 2
    assert newest == (first.at - MINUTE) // MINUTE * MINUTE
    found = [(sample.at, sample.value) for sample in again.samples if sample.name == "orders_failed"]
    assert found == [(newest - minutes * MINUTE, 12.0) for minutes in (4, 3, 2, 1, 0)]
    assert values(none) == {}


def test_a_longer_unit_brings_the_minutes_that_it_adds_up() -> None:
    """`N per 5m` needs five at the first reading; at most 60 D are caught up after a pause."""

    async def work() -> None:
        with with_groups() as fake:
            keys = {"api_key": Datadog.api_key, "application_key": Datadog.application_key}
            async with source("datadog", url=fake.url, metrics=FAILED, **keys) as built:
                need = (Need("datadog", "orders_failed", bucket=5 * MINUTE),)
                assert len((await built.fetch(need, None)).samples) == 1 + 5
                assert len((await built.fetch(need, 1)).samples) == 1 + 300

    run(work())


def test_a_minute_that_was_not_asked_for_is_left_out() -> None:
    """Services round the beginning of a stretch down; an old minute must not come as a new one."""
    with Datadog() as fake:
        end = (int(good(answered([])).at) - MINUTE) // MINUTE * MINUTE
        points = [[end - minutes * MINUTE, minutes] for minutes in range(6, 0, -1)]
        fake.script(Step(status=200, body=json.dumps({"status": "ok", "series": [one(points)]})))
        reading = good(ask(fake.url, FAILED, since=end - 2 * MINUTE))
    found = [(sample.at, sample.value) for sample in reading.samples if sample.name == "orders_failed"]
    assert found == [(end - MINUTE, 2.0), (end, 1.0)]


@pytest.mark.parametrize("interval", [20, 300, 20_000, 300_000])
def test_a_count_by_other_buckets_says_how_to_ask_for_minutes(interval: int) -> None:
    """Five minutes taken for one would page five times too early."""
    failed(answered([one([], interval=interval)], FAILED), FaultKind.MALFORMED, ".rollup(sum, 60)")


@pytest.mark.parametrize("interval", [60, 60_000])
def test_the_length_of_a_bucket_is_read_in_seconds_and_in_milliseconds(interval: int) -> None:
    """The specification speaks of milliseconds, the service answers seconds."""
    now = int(good(answered([])).at)
    start = (now - MINUTE) // MINUTE * MINUTE - MINUTE
    points = [[float(start - MINUTE), 3], [float(start), 4], [float(start + MINUTE), 99], [start + 2 * MINUTE, 99]]
    found = values(good(answered([one(points, ("a:b:c", "lone"), interval)])))
    assert found in ({'cpu{a="b:c",lone="true"}': 4.0}, {'cpu{a="b:c",lone="true"}': 99.0})  # a minute may pass here


# ------------------------------------------------------------------------------------------- what goes wrong


def test_a_failed_query_is_a_fault_though_the_status_is_200() -> None:
    """With Datadog's own words, printable."""
    body = {"status": "error", "error": "Too many\x1b[31m groups", "series": []}
    message = failed(answered(body), FaultKind.BAD_STATUS, "cpu: Datadog could not answer: Too many")
    assert "\x1b" not in message
    failed(answered({"status": "error"}), FaultKind.BAD_STATUS, "no reason given")
    with with_groups() as fake:
        text = "x: Datadog does not take the query: Error parsing"
        failed(ask(fake.url, {"x": "nonsense"}), FaultKind.BAD_STATUS, text)


@pytest.mark.parametrize("key", ["api_key", "application_key"])
def test_wrong_keys_are_told_apart_and_not_shown(key: str) -> None:
    """Datadog answers 403 to both; a missing one is named by its reference."""
    with with_groups() as fake:
        failed(ask(fake.url, **{key: secret()}), FaultKind.FORBIDDEN, "timeseries_query")
        failed(ask(fake.url, **{key: Secret(lambda: "", "${DD_KEY}")}), FaultKind.SECRET, "${DD_KEY}")
        failed(ask(fake.url, **{key: Secret.literal(f"{SECRET}\n")}), FaultKind.MALFORMED)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 60_000, 60_000),
        ({"X-RateLimit-Reset": "7"}, 7_000, 7_000),
        ({"X-RateLimit-Reset": "soon"}, 60_000, 60_000),
        ({"X-RateLimit-Reset": "0"}, 1_000, 1_000),
        ({"X-RateLimit-Reset": "999999999"}, 3_600_000, 3_600_000),
        ({"Retry-After": "9"}, 9_000, 9_000),
    ],
)
def test_a_limit_is_kept_for_as_long_as_datadog_says(headers: dict[str, str], least: int, most: int) -> None:
    """`X-RateLimit-Reset` is seconds left; a second to an hour, whatever stands there. No call is made meanwhile."""

    async def work() -> None:
        with Datadog() as fake:
            fake.script(Step(status=429, body="{}", headers=headers, times=0))
            async with source("datadog", url=fake.url, metrics=CPU, api_key="a", application_key="b") as built:
                reading = await built.fetch((), None)
                failed(reading, FaultKind.RATE_LIMITED, "limits our calls")
                assert reading.fault is not None
                assert reading.fault.retry_at is not None
                assert least <= reading.fault.retry_at - reading.at <= most + 500
                failed(await built.fetch((), None), FaultKind.RATE_LIMITED)
                assert len(fake.requests) == 1

    run(work())


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_f2_statuses_are_told_apart(status: int, kind: FaultKind) -> None:
    """With or without words of Datadog's own."""
    for body in ("", '{"errors": ["boom"]}', '{"errors": 5}'):
        with Datadog() as fake:
            fake.script(Step(status=status, body=body))
            failed(ask(fake.url), kind)


ODD: list[Any] = [
    {"series": []},
    {"status": "ok"},
    {"status": "ok", "series": None},
    {"status": "ok", "series": 5},
    {"status": "ok", "series": {"a": 1}},
    [None],
    [1],
    [{}],
    [one(None)],
    [one("text")],
    [one([None])],
    [one([1])],
    [one([[1]])],
    [one([[1, 2, 3]])],
    [one([["x", 2]])],
    [one([[None, 2]])],
    [one([[True, 2]])],
    [one([[0, "12"]])],
    [one([[0, True]])],
    [one([[0, [1]]])],
    [one([[0, 1], [1, {}]])],
    [one([[0, 1], [0, 2]])],
    [one([], tags=None)],
    [one([], tags=[1])],
    [one([], tags=[None])],
    [one([[0, 1]], tags=["a:1", "a:2"])],
    [one([[0, 1]], tags=["a:" + "x" * 2000])],
    [one([], interval=None)],
    [one([], interval="60")],
    [one([], interval=0)],
    [one([], interval=-60)],
    [one([[0, 1]], tags=["a:1"]), one([[0, 2]], tags=["a:1"])],
    '{"status": "ok", "series": [{"tag_set": [], "interval": 60, "pointlist": [[0, 1e999]]}]}',
    '{"status": "ok", "series": [{"tag_set": [], "interval": 60, "pointlist": [[0, NaN]]}]}',
    *NO_ANSWERS,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_f4_f45_an_answer_of_another_shape_is_a_fault(body: Any) -> None:
    """One damaged point or series, and nothing is taken."""
    failed(answered(body), FaultKind.MALFORMED, "datadog: cpu: ")


def test_a_query_whose_series_cannot_be_told_apart_says_what_to_do() -> None:
    """Two metrics in one query, or a tag that stands twice: that is about the query, and not about the address."""
    message = failed(answered([one([[0, 1]]), one([[0, 2]])]), FaultKind.MALFORMED, "two series with the same tags")
    assert "check `site`" not in message
    failed(answered([one([[0, 1]], tags=("a:1", "a:2"))]), FaultKind.MALFORMED, "the tags of a series cannot be")


def test_the_frame_of_the_table_above_is_an_answer_that_is_taken() -> None:
    """Else it would prove nothing."""
    assert values(good(answered([one([[0, 1]], tags=("a:1",)), one([[0, 2]])]))) == {'cpu{a="1"}': 1.0, "cpu": 2.0}


def test_too_many_series_are_refused_whole() -> None:
    """One below the limit is fine; an answer that would fill the memory is not even decoded."""
    failed(answered("[" + "[]," * 200_000 + "[]]"), FaultKind.TOO_LARGE, "more than 200000 values")
    series = [one([[0, 1]], tags=(f"i:{i}",)) for i in range(11)]
    assert len(values(good(answered(series, series_limit=11)))) == 11
    failed(answered(series, series_limit=10), FaultKind.TOO_LARGE, "more than `series_limit` (10)")


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", HOSTILE)
def test_f43_f44_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """In time, whole, and without a key in its words."""
    bears(behaviour, lambda **more: ask(**more, api_key=secret()))


def test_all_queries_share_one_deadline() -> None:
    """Three slow ones do not take three times as long; a server where nobody listens is told apart."""
    with with_groups() as fake:
        fake.script(Step(delay=0.9, times=0))
        reading = ask(fake.url, dict.fromkeys("abc", CPU["cpu"]), timeout=1000)
    failed(reading, FaultKind.TIMEOUT)
    assert reading.took < 1000 + BUSY
    is_refused(ask)


def test_without_a_url_the_site_is_asked() -> None:
    """`https://api.SITE`; the name is one that never exists."""
    failed(ask(None, site="datadog.invalid", timeout=5000), FaultKind.DNS, "https://api.datadog.invalid/api/v1/query")  # type: ignore[arg-type]


def test_the_stand_in_and_what_we_ask_fit_datadogs_specification() -> None:
    """Its OpenAPI file, reduced; it is not part of the project."""
    if not SPECIFICATION.exists():
        pytest.skip(f"{SPECIFICATION.name} is not here")
    document = yaml.safe_load(SPECIFICATION.read_text())
    operation = document["paths"]["/api/v1/query"]["get"]
    with with_groups(["host:a"]) as fake:
        good(ask(fake.url))
        (request,) = fake.requests
        answer = json.loads(fake.judge(request).body)
    sent = dict(parse_qsl(urlsplit(request.path).query))
    assert set(sent) == {each["name"] for each in operation["parameters"]}
    for each in operation["parameters"]:
        value: Any = sent[each["name"]]
        jsonschema.validate(int(value) if each["schema"]["type"] == "integer" else value, each["schema"])
    schema = {
        **nullable(document["components"]["schemas"]["MetricsQueryResponse"]),
        "components": nullable(document["components"]),
    }
    jsonschema.validate(answer, schema)
