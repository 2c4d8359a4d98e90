"""New Relic's GraphQL API, against a stand-in that takes just the document that the source writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerting.model import FaultKind, Need, Reading, Secret
from tests.fakes.ledger import Step
from tests.fakes.newrelic import NewRelic
from tests.sources.judging import BUSY, HOSTILE, NO_ANSWERS, SECRET, STATUSES, bears, failed, good, is_refused, secret
from tests.sources.reading import read, run, source, values

MINUTE = 60_000
SHARE = "SELECT percentage(count(*), WHERE error IS true) FROM Transaction FACET appName"
ERRORS = "SELECT count(*) FROM TransactionError"
METRICS = {"error_share": {"query": SHARE, "unit": "percent"}}
COUNT = {"app_errors": {"query": ERRORS, "kind": "count"}}


def ask(url: str, metrics: dict[str, Any] | None = None, since: int | None = None, **more: Any) -> Reading:
    """Read everything once."""
    keys = {"api_key": Secret.literal(NewRelic.api_key), "account": NewRelic.account}
    return read("newrelic", (), since, url=url, metrics=metrics or METRICS, **{**keys, **more})


def stand_in() -> NewRelic:
    """One that knows both queries above."""
    fake = NewRelic()
    fake.answers[SHARE] = (["appName"], [(["api"], {"percentage": 1.5}), (["web"], {"percentage": 0})])
    fake.answers[ERRORS] = ([], [([], {"count": 3})])
    return fake


def answered(rows: Any, facets: Any = None, metrics: dict[str, Any] | None = None, **more: Any) -> Reading:
    """Read from a service that answers 200 with these rows, or with this whole document or text."""
    body = rows
    if isinstance(rows, list):
        found = {"results": rows, "metadata": {"facets": facets}}
        body = {"data": {"actor": {"account": {"m0": found}}}}
    with NewRelic() as fake:
        fake.script(Step(status=200, body=body if isinstance(body, str) else json.dumps(body), times=0))
        return ask(fake.url, metrics, **more)


# ------------------------------------------------------------------------------------------- what is asked


def test_all_metrics_go_in_one_request_and_facets_become_labels() -> None:
    """Over `window`, ended `delay` ago."""
    with stand_in() as fake:
        reading = good(ask(fake.url, {**METRICS, "errors": ERRORS}, window=600_000, delay=120_000))
        assert len(fake.requests) == 1
        periods = fake.periods
    assert values(reading) == {'error_share{appName="api"}': 1.5, 'error_share{appName="web"}': 0.0, "errors": 3.0}
    end = (reading.at - 120_000) // 1000 * 1000
    assert periods == [(end - 600_000, end)] * 2
    assert {sample.at for sample in reading.samples} == {reading.at}


def test_counts_come_by_the_closed_minute() -> None:
    """Each minute once, dated by its end; nothing is asked while no new one has closed."""
    with stand_in() as fake:
        first = good(ask(fake.url, COUNT))
        newest = max(sample.at for sample in first.samples if sample.name == "app_errors")
        again = good(ask(fake.url, COUNT, since=newest - 5 * MINUTE))
        none = good(ask(fake.url, COUNT, since=newest + MINUTE))
        assert len(fake.requests) == 2
    assert newest == (first.at - MINUTE) // MINUTE * MINUTE
    found = [(sample.at, sample.value) for sample in again.samples if sample.name == "app_errors"]
    assert found == [(newest - minutes * MINUTE, 3.0) for minutes in (4, 3, 2, 1, 0)]
    assert values(none) == {}


def test_a_longer_unit_brings_the_minutes_that_it_adds_up() -> None:
    """`N per 5m` needs five at the first reading."""

    async def work() -> None:
        with stand_in() as fake:
            values_ = {"url": fake.url, "metrics": COUNT, "api_key": fake.api_key, "account": fake.account}
            async with source("newrelic", **values_) as built:
                need = (Need("newrelic", "app_errors", bucket=5 * MINUTE),)
                assert len((await built.fetch(need, None)).samples) == 1 + 5

    run(work())


def test_a_day_of_minutes_comes_in_pieces() -> None:
    """New Relic tells 366 buckets apart; each minute comes once all the same, and in one request."""

    async def work() -> None:
        with stand_in() as fake:
            values_ = {"url": fake.url, "metrics": COUNT, "api_key": fake.api_key, "account": fake.account}
            async with source("newrelic", **values_) as built:
                need = (Need("newrelic", "app_errors", bucket=1000 * MINUTE),)
                reading = good(await built.fetch(need, None))
            assert len(fake.requests) == 1
        times = sorted(sample.at for sample in reading.samples if sample.name == "app_errors")
        assert times == list(range(times[-1] - 999 * MINUTE, times[-1] + 1, MINUTE))

    run(work())


def test_ten_facets_without_a_limit_may_be_a_part_and_are_refused() -> None:
    """The eleventh, which might be the worst, would be told to be gone; with a LIMIT the number is the user's will."""
    rows = [([str(number)], {"count": number}) for number in range(11)]
    with stand_in() as fake:
        for query in (many := "SELECT count(*) FROM T WHERE a = 'no limit' FACET host", f"{many} LIMIT MAX"):
            fake.answers[query] = (["host"], rows)
        failed(ask(fake.url, {"x": many}), FaultKind.TOO_LARGE, "x: the query gives 10 facets")
        assert len(values(good(ask(fake.url, {"x": f"{many} LIMIT MAX"})))) == 11
        fake.answers[many] = (["host"], rows[:9])
        assert len(values(good(ask(fake.url, {"x": many})))) == 9


def test_a_query_needs_no_escapes() -> None:
    """It goes as a variable, whatever is in it."""
    odd = "SELECT count(*) FROM T WHERE a = \"x\\y\" AND b LIKE '%$m0{}%'\n FACET `ü`"
    with stand_in() as fake:
        fake.answers[odd] = (["ü"], [(["x"], {"count": 1})])
        assert values(good(ask(fake.url, {"x": odd}))) == {'x{_="x"}': 1.0}


def test_zero_is_zero_null_is_no_value_and_no_facet_is_empty() -> None:
    """A count of nothing is knowledge; an average of nothing is not; no facet at all is an empty vector."""
    assert values(good(answered([{"count": 0}]))) == {"error_share": 0.0}
    null = good(answered([{"average.duration": None}]))
    assert (values(null), null.kinds) == ({}, ())
    empty = good(answered([], ["appName"]))
    assert (values(empty), [metric.name for metric in empty.kinds]) == ({}, ["error_share"])


def test_what_one_value_looks_like() -> None:
    """Percentiles come in a mapping; several facets in a list; a facet may have a name of the query's own."""
    assert values(good(answered([{"percentile.duration": {"95": 0.3}}]))) == {"error_share": 0.3}
    row = {"facet": ["api", None], "appName": "api", "host": None, "count": 2}
    assert values(good(answered([row], ["appName", "host"]))) == {'error_share{appName="api"}': 2.0}
    row = {"facet": "api", "app": "api", "count": 2}
    assert values(good(answered([row], ["appName"]))) == {'error_share{appName="api"}': 2.0}


# ------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("SERVER_ERROR", FaultKind.SERVER_ERROR),
        ("TIMEOUT", FaultKind.TIMEOUT),
        ("TOO_MANY_REQUESTS", FaultKind.RATE_LIMITED),
        ("ACCESS_DENIED", FaultKind.FORBIDDEN),
        ("VALIDATION_ERROR", FaultKind.BAD_STATUS),
        (None, FaultKind.BAD_STATUS),
    ],
)
def test_errors_in_an_answer_of_200_are_told_apart(told: str | None, kind: FaultKind) -> None:
    """Beside good data of another query, too; the metric is named, and the words are printable."""
    error = {"message": "boom \x1b[31m", "extensions": {"errorClass": told} if told else None, "path": ["actor", "m0"]}
    data = {"actor": {"account": {"m0": {"results": [{"count": 1}], "metadata": None}}}}
    message = failed(answered({"data": data, "errors": [error]}), kind, "error_share: New Relic could not answer: boom")
    assert "\x1b" not in message


def test_a_query_that_is_none_names_its_metric() -> None:
    """Of several in one request."""
    with stand_in() as fake:
        failed(
            ask(fake.url, {**METRICS, "b": "SELECT"}),
            FaultKind.SERVER_ERROR,
            "b: New Relic could not answer: NRQL Syntax",
        )


def test_a_wrong_key_is_told_apart_and_not_shown() -> None:
    """A missing one is named by its reference."""
    with stand_in() as fake:
        failed(ask(fake.url, api_key=secret()), FaultKind.UNAUTHORIZED, "`api_key`")
        failed(ask(fake.url, api_key=Secret(lambda: "", "${NR_KEY}")), FaultKind.SECRET, "${NR_KEY}")
        failed(ask(fake.url, api_key=Secret.literal(f"{SECRET}\n")), FaultKind.MALFORMED)
        failed(ask(fake.url, account=1), FaultKind.BAD_STATUS, "no such account")


@pytest.mark.parametrize(
    "body", ["", '{"errors": [{"message": "x", "extensions": {"errorClass": "TOO_MANY_REQUESTS"}}]}']
)
def test_a_limit_is_kept_for_a_minute(body: str) -> None:
    """By status, or in an answer of 200. No call is made meanwhile."""

    async def work() -> None:
        with NewRelic() as fake:
            fake.script(Step(status=200 if body else 429, body=body, times=0))
            async with source("newrelic", url=fake.url, metrics=METRICS, api_key="a", account=1) as built:
                reading = await built.fetch((), None)
                failed(reading, FaultKind.RATE_LIMITED)
                assert reading.fault is not None
                assert reading.fault.retry_at is not None
                assert 60_000 <= reading.fault.retry_at - reading.at <= 60_500
                failed(await built.fetch((), None), FaultKind.RATE_LIMITED)
                assert len(fake.requests) == 1

    run(work())


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_f2_statuses_are_told_apart(status: int, kind: FaultKind) -> None:
    """With or without words of New Relic's own."""
    for body in ("", '{"errors": [{"message": "boom"}]}'):
        with NewRelic() as fake:
            fake.script(Step(status=status, body=body))
            failed(ask(fake.url), kind)


def results(rows: Any, metadata: Any = None) -> dict[str, Any]:
    """An answer's frame around what may be no rows."""
    return {"data": {"actor": {"account": {"m0": {"results": rows, "metadata": metadata}}}}}


def minute(start: Any, end: Any, **fields: Any) -> dict[str, Any]:
    """A row of a TIMESERIES."""
    return {"beginTimeSeconds": start, "endTimeSeconds": end, **fields}


ODD: list[Any] = [
    {"data": None},
    {"data": {"actor": None}},
    {"data": {"actor": {"account": None}}},
    {"data": {"actor": {"account": {}}}},
    {"data": {"actor": {"account": {"m0": None}}}},
    {"data": {"actor": {"account": {"m1": {"results": [{"count": 1}]}}}}},
    {"errors": 5},
    {"errors": [None]},
    {"errors": {"message": "x"}},
    results(None),
    results(5),
    results("text"),
    results({"count": 1}),
    results([None]),
    results([1]),
    results([[]]),
    results([{}]),
    results([{"count": "3"}]),
    results([{"count": True}]),
    results([{"count": [3]}]),
    results([{"count": {}}]),
    results([{"percentile": {"95": 1, "99": 2}}]),
    results([{"count": 1, "average": 2}]),
    results([{"count": 1}, {"count": 2}]),
    results([{"count": 1}], {"facets": ["appName"]}),
    results([{"count": 1, "facet": "a"}], {"facets": ["appName", "host"]}),
    results([{"count": 1, "facet": ["a", "b"]}], {"facets": ["appName"]}),
    results([{"count": 1, "facet": "a"}, {"count": 2, "facet": "a"}], {"facets": ["appName"]}),
    results([{"count": 1, "facet": "x" * 2000}], {"facets": ["appName"]}),
    results([{"count": 1, "facet": "a"}], {"facets": 5}),
    results([{"count": 1, "facet": "a"}], 5),
    json.dumps(results([{"count": "@"}])).replace('"@"', "1e999"),
    json.dumps(results([{"count": "@"}])).replace('"@"', "NaN"),
    *NO_ANSWERS,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_f4_f45_an_answer_of_another_shape_is_a_fault(body: Any) -> None:
    """One damaged row, and nothing is taken."""
    failed(answered(body if not isinstance(body, list) else json.dumps(body)), FaultKind.MALFORMED)


@pytest.mark.parametrize(
    "row",
    [
        {"count": 1},
        minute(None, 60, count=1),
        minute(0, "60", count=1),
        minute(0, 300, count=1),
        minute(30, 90, count=1),
        minute(60, 0, count=1),
    ],
)
def test_a_count_that_is_not_by_the_minute_is_a_fault(row: dict[str, Any]) -> None:
    """Five minutes taken for one would page five times too early."""
    failed(answered([row], metrics=COUNT), FaultKind.MALFORMED, "app_errors: ")


def test_too_many_rows_are_refused_whole() -> None:
    """One below the limit is fine."""
    rows = [{"facet": str(i), "count": i} for i in range(11)]
    assert len(values(good(answered(rows, ["i"], series_limit=11)))) == 11
    failed(answered(rows, ["i"], series_limit=10), FaultKind.TOO_LARGE, "more than `series_limit` (10)")


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", HOSTILE)
def test_f43_f44_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """In time, whole, and without the key in its words."""
    bears(behaviour, lambda **more: ask(**more, api_key=secret()))


def test_a_server_where_nobody_listens_is_told_apart() -> None:
    """And a slow one is left at the deadline."""
    is_refused(ask)
    with stand_in() as fake:
        fake.script(Step(delay=30, times=0))
        reading = ask(fake.url, timeout=200)
    failed(reading, FaultKind.TIMEOUT)
    assert reading.took < 200 + BUSY
