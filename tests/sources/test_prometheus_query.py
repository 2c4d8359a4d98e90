"""PromQL of a remote server: against the real Prometheus where it is installed, and against a strict stand-in."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from alerting.model import FaultKind, Kind, Labels, Need, Reading, Secret
from tests.fakes.app import App
from tests.fakes.ledger import Step
from tests.fakes.prometheus_api import PrometheusApi, error, success
from tests.sources.judging import BUSY, HOSTILE, NO_ANSWERS, SECRET, STATUSES, bears, failed, good, is_refused, secret
from tests.sources.reading import read, run, source, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUERY = {"errors": "sum by (service) (rate(errors_total[5m]))"}


def ask(url: str, metrics: dict[str, Any] | None = None, names: tuple[str, ...] = (), **more: Any) -> Reading:
    """Read once what `names` need; all that `metrics` define otherwise."""
    needs = [Need("prometheus_query", name) for name in names]
    return read("prometheus_query", needs, url=url, metrics=metrics or QUERY, **more)


def answered(data: Any, metrics: dict[str, Any] | None = None, **more: Any) -> Reading:
    """Read from a server that answers 200 with this, whatever is asked."""
    with PrometheusApi() as server:
        server.script(Step(status=200, body=data if isinstance(data, str) else json.dumps(data), times=0))
        return ask(server.url, metrics, **more)


def vector(*series: Any) -> dict[str, Any]:
    """A vector's frame."""
    return success({"resultType": "vector", "result": list(series)})


# ------------------------------------------------------------------------------------------- the real server

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: app
    metrics_path: /health/metrics
    static_configs: [{{targets: ["{target}"]}}]
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus on loopback that scrapes a small app."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    url = f"http://127.0.0.1:{free_port()}"
    with App() as app, (folder / "log").open("wb") as log:
        (folder / "prometheus.yml").write_text(CONFIG.format(target=app.url.removeprefix("http://")))
        address = url.removeprefix("http://")
        options = [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={address}",
            "--query.max-samples=9999",
        ]
        with subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=log) as process:
            try:
                wait_for(url)
                yield url
            finally:
                process.send_signal(signal.SIGTERM)


def wait_for(url: str) -> None:
    """Wait until the app was scraped."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?query=up==1", timeout=1) as answer:  # noqa: S310  ours
                if json.load(answer)["data"]["result"]:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("prometheus did not come up")


@pytest.mark.slow
def test_the_real_prometheus_answers_vectors_and_scalars(prometheus: str) -> None:
    """Labels without the name, every float, and the empty vector of a query that finds nothing."""
    metrics = {
        "seen": "up{job='app'}",
        "two": "scalar(vector(2))",
        "nan": "vector(0)/0",
        "high": "vector(1)/0",
        "many": 'label_replace(vector(3), "a", "b", "", "") or label_replace(vector(4), "a", "c", "", "")',
        "nothing": "up == 7",
    }
    found = values(reading := good(ask(prometheus, metrics)))
    assert math.isnan(found.pop("nan"))  # type: ignore[arg-type]
    instance = next(sample.labels.get("instance") for sample in reading.samples if sample.name == "seen")
    assert found == {
        f'seen{{instance="{instance}",job="app"}}': 1.0,
        "two": 2.0,
        "high": math.inf,
        'many{a="b"}': 3.0,
        'many{a="c"}': 4.0,
    }
    assert {metric.name for metric in reading.kinds} == set(metrics)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("sum(", "x: the query is not taken: invalid parameter"),
        (
            "up * on(nothing) group_left() (vector(1) or label_replace(vector(2), 'a', 'b', '', ''))",
            "cannot be computed",
        ),
        ("up[5m]", "the query gives a range"),
        ("count_over_time(vector(1)[1d:1s])", "the query cannot be computed: query processing would load too many"),
        ('"text"', "the query gives a text"),
        ('{__name__=~"up|scrape_duration_seconds"}', "differ by their name alone"),
    ],
)
def test_the_real_prometheus_refuses_and_says_why(prometheus: str, query: str, text: str) -> None:
    """400, 422, and what is no vector: each told apart, with the metric's name."""
    reading = ask(prometheus, {"x": query})
    assert reading.fault is not None
    failed(reading, reading.fault.kind, text)


# ------------------------------------------------------------------------------------------- what is asked


def test_one_query_is_one_post_with_the_headers_of_the_settings() -> None:
    """The tenant's header, the form, and the time that is left as the server's own limit."""
    with PrometheusApi() as server:
        server.vectors[QUERY["errors"]] = [({"__name__": "x", "service": "api"}, "0.25")]
        reading = good(ask(server.url, headers={"X-Scope-OrgID": "acme"}))
        (request,) = server.requests
    assert values(reading) == {'errors{service="api"}': 0.25}
    assert (request.method, request.path, request.headers["x-scope-orgid"]) == ("POST", "/api/v1/query", "acme")
    form = dict(parse_qsl(request.body.decode()))
    assert form["query"] == QUERY["errors"]
    assert 1000 < int(form["timeout"].removesuffix("ms")) <= 2000


def test_only_what_rules_need_is_asked() -> None:
    """`up` alone asks one; no needs at all ask everything, as `alerting sources` does."""
    metrics = {"a": "qa", "b": {"query": "qb"}, "c": "qc"}
    with PrometheusApi() as server:
        for names, asked in (("b",), ["qb"]), (("up",), ["qa"]), ((), ["qa", "qb", "qc"]), (("c", "a"), ["qa", "qc"]):
            server.queries.clear()
            good(ask(server.url, metrics, names))
            assert server.queries == asked


def test_a_query_that_finds_nothing_is_known_to_be_empty() -> None:
    """It is declared, so that a condition over it is false, as in Prometheus, and not unknown for ever."""
    with PrometheusApi() as server:
        metrics = {"queue_seconds": {"query": "q", "kind": "counter"}, "share": {"query": "r", "unit": "percent"}}
        reading = good(ask(server.url, metrics))
    assert values(reading) == {}
    assert [(each.name, each.kind, each.unit) for each in reading.kinds] == [
        ("queue_seconds", Kind.COUNTER, "s"),
        ("share", Kind.GAUGE, "percent"),
    ]


def test_one_query_that_fails_fails_the_reading() -> None:
    """Half of what rules asked for would pass for all of it."""
    with PrometheusApi() as server:
        server.script(Step(), Step(status=500))
        failed(ask(server.url, {"a": "qa", "b": "qb"}), FaultKind.SERVER_ERROR)


@pytest.mark.parametrize(
    ("keys", "authorization"),
    [
        ({"token": Secret.literal("t0ken")}, "Bearer t0ken"),
        ({"username": "acme", "password": Secret.literal("pä:ss")}, "Basic YWNtZTpww6Q6c3M="),
        ({"headers": {"Authorization": Secret.literal("Custom x")}}, "Custom x"),
    ],
)
def test_credentials_go_where_they_belong(keys: dict[str, Any], authorization: str) -> None:
    """Bearer, basic, and any header of one's own."""
    with PrometheusApi() as server:
        server.authorization = authorization
        good(ask(server.url, **keys))
        failed(ask(server.url, token=secret()), FaultKind.UNAUTHORIZED, "`token`")


def test_a_secret_that_is_missing_is_named() -> None:
    """By its reference; nothing is asked."""
    with PrometheusApi() as server:
        failed(ask(server.url, token=Secret(lambda: "", "${MIMIR_TOKEN}")), FaultKind.SECRET, "${MIMIR_TOKEN}")
        failed(ask(server.url, {"a": Secret(lambda: "", "${Q}")}), FaultKind.SECRET, "${Q}")
        assert server.requests == []


# ------------------------------------------------------------------------------------------- what goes wrong


def test_a_partial_answer_is_a_fault_unless_it_is_wanted() -> None:
    """Thanos and Mimir say so in warnings, VictoriaMetrics by a flag; remarks on the query are no matter."""
    series = {"metric": {}, "value": [1, "3"]}
    partial = {**vector(series), "warnings": ["No StoreAPIs matched for this query"]}
    failed(answered(partial), FaultKind.SERVER_ERROR, "may be partial: No StoreAPIs matched")
    failed(answered({**vector(series), "isPartial": True}), FaultKind.SERVER_ERROR, "may be partial")
    assert values(good(answered(partial, partial_answers=True))) == {"errors": 3.0}
    remark = {**vector(series), "warnings": ["PromQL warning: bucket label is missing"], "infos": ["x"]}
    assert values(good(answered(remark))) == {"errors": 3.0}


@pytest.mark.parametrize(
    ("status", "what", "kind", "text"),
    [
        (400, "bad_data", FaultKind.BAD_STATUS, "errors: the query is not taken: boom"),
        (422, "execution", FaultKind.BAD_STATUS, "errors: the query cannot be computed: boom"),
        (503, "timeout", FaultKind.TIMEOUT, "errors: it took the server too long: boom"),
        (503, "canceled", FaultKind.TIMEOUT, "boom"),
        (503, "unavailable", FaultKind.SERVER_ERROR, "boom"),
        (500, "internal", FaultKind.SERVER_ERROR, "boom"),
        (401, "no org id", FaultKind.UNAUTHORIZED, "boom"),
        (429, "too_many_requests", FaultKind.RATE_LIMITED, "boom"),
    ],
)
def test_errors_of_the_api_are_told_apart(status: int, what: str, kind: FaultKind, text: str) -> None:
    """Its own words are shown, without what a terminal would act on."""
    reply = error(status, what, "boom \x1b[31m")
    with PrometheusApi() as server:
        server.script(Step(status=status, body=reply.body))
        message = failed(ask(server.url), kind, text)
    assert "\x1b" not in message


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_f2_statuses_without_words_are_told_apart(status: int, kind: FaultKind) -> None:
    """A proxy before the server speaks no JSON."""
    with PrometheusApi() as server:
        server.script(Step(status=status, body="<html>proxy</html>"))
        failed(ask(server.url), kind)


def test_no_question_is_asked_while_the_server_wants_to_be_left_alone() -> None:
    """After a 429 with Retry-After the same fault is given until then."""

    async def work() -> None:
        with PrometheusApi() as server:
            server.script(Step(status=429, headers={"retry-after": "1"}))
            async with source("prometheus_query", url=server.url, metrics=QUERY) as built:
                for _ in range(3):
                    failed(await built.fetch((), None), FaultKind.RATE_LIMITED)
                assert len(server.requests) == 1
                await asyncio.sleep(1.1)
                good(await built.fetch((), None))

    run(work())


def test_too_many_series_are_refused_whole() -> None:
    """One below the limit is fine."""
    series = [{"metric": {"i": str(i)}, "value": [1, "1"]} for i in range(11)]
    assert len(values(good(answered(vector(*series), series_limit=11)))) == 11
    failed(answered(vector(*series), series_limit=10), FaultKind.TOO_LARGE, "more than `series_limit` (10)")
    failed(answered(" " * (8 * 1024 * 1024 + 1)), FaultKind.TOO_LARGE)


def test_labels_are_texts_that_every_file_can_hold() -> None:
    """Empty ones are no labels; a lone surrogate is replaced."""
    series = '{"metric": {"a": "", "b": "\\ud800", "c": "ü"}, "value": [1, "1"]}'
    body = json.dumps(vector("@")).replace('"@"', series)
    (sample,) = (each for each in good(answered(body)).samples if each.name == "errors")
    assert sample.labels == Labels({"b": "?", "c": "ü"})


ODD: list[Any] = [
    success(None),
    success([]),
    success({"resultType": "vector"}),
    success({"resultType": "vector", "result": None}),
    success({"resultType": "vector", "result": {"a": 1}}),
    success({"resultType": "vector", "result": "text"}),
    success({"resultType": "tensor", "result": []}),
    success({"resultType": "matrix", "result": []}),
    success({"resultType": "string", "result": [1, "x"]}),
    success({"resultType": "scalar", "result": []}),
    success({"resultType": "scalar", "result": [1]}),
    success({"resultType": "scalar", "result": [1, None]}),
    {"status": "error", "data": {"resultType": "vector", "result": []}},
    {"data": {"resultType": "vector", "result": []}},
    {"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": 5},
    vector(None),
    vector(1),
    vector({}),
    vector({"metric": {}}),
    vector({"value": [1, "1"]}),
    vector({"metric": None, "value": [1, "1"]}),
    vector({"metric": {"a": 1}, "value": [1, "1"]}),
    vector({"metric": {"a": None}, "value": [1, "1"]}),
    vector({"metric": {}, "value": None}),
    vector({"metric": {}, "value": []}),
    vector({"metric": {}, "value": [1, "1", "1"]}),
    vector({"metric": {}, "value": [1, 1]}),
    vector({"metric": {}, "value": [1, True]}),
    vector({"metric": {}, "value": [1, ""]}),
    vector({"metric": {}, "value": [1, "1_000"]}),
    vector({"metric": {}, "value": [1, " 1"]}),
    vector({"metric": {}, "value": [1, "0x10"]}),
    vector({"metric": {}, "value": [1, "12 ms"]}),
    vector({"metric": {}, "histogram": [1, {"count": "1", "sum": "1"}]}),
    vector({"metric": {}, "value": [1, "1"]}, {"metric": {}, "value": [1, "2"]}),
    vector({"metric": {}, "value": [1, "1"]}, {"metric": {"a": "b"}}),
    *NO_ANSWERS,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_f4_f45_an_answer_of_another_shape_is_a_fault(body: Any) -> None:
    """Nothing is made of what is not understood, and no series of an answer of which one is damaged."""
    failed(answered(body), FaultKind.MALFORMED, "prometheus_query: errors: ")


def test_the_frame_of_the_table_above_is_an_answer_that_is_taken() -> None:
    """Else it would prove nothing."""
    assert values(good(answered(vector({"metric": {}, "value": [1, "1"]})))) == {"errors": 1.0}


@pytest.mark.parametrize("behaviour", HOSTILE)
def test_f43_f44_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """In time, whole, and without the token in its words."""
    bears(behaviour, lambda **more: ask(**more, token=secret()))


def test_all_queries_share_one_deadline() -> None:
    """Three slow ones do not take three times as long; a server where nobody listens is told apart."""
    with PrometheusApi() as server:
        server.script(Step(delay=0.9, times=0))
        reading = ask(server.url, {"a": "qa", "b": "qb", "c": "qc"}, timeout=1000)
    failed(reading, FaultKind.TIMEOUT)
    assert reading.took < 1000 + BUSY
    is_refused(ask)


def test_secrets_of_the_address_and_of_headers_stay_out_of_messages() -> None:
    """User, password and query of an address, and a header that cannot be sent."""
    with PrometheusApi() as server:
        server.authorization = "x"
        hidden = server.url.replace("://", f"://user:{SECRET}@")
        failed(ask(hidden), FaultKind.MALFORMED)  # refused before anything is sent
        failed(ask(Secret.literal(f"ftp://{SECRET}")), FaultKind.MALFORMED)  # type: ignore[arg-type]
        failed(ask(server.url, token=Secret.literal(f"{SECRET}\n")), FaultKind.MALFORMED)
