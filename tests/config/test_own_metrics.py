"""Metrics that the settings define by queries of their own are names like any other in conditions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.config.vocabulary import offered
from alerting.errors import ConfigError
from alerting.model import Kind
from alerting.patterns import compile_pattern
from tests.config.reading import told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTINGS = """\
sources:
  host: {type: host}
  mimir:
    type: prometheus_query
    url: https://mimir.example.org
    metrics:
      api_error_rate: sum by (service) (rate(http_errors_total[5m]))
      queue_age_seconds: max(queue_age)
      latency: {query: avg(latency), unit: ms, help: how long they wait}
      requests: {query: sum(requests_total), kind: counter}
  db:
    type: sql
    dsn: ${DATABASE_URL}
    metrics:
      jobs: {query: "SELECT 1 AS waiting, 2 AS oldest", columns: [waiting, oldest], unit: s}
  dd:
    type: datadog
    api_key: ${A}
    application_key: ${B}
    metrics:
      orders_failed: {query: "sum:x{*}.as_count().rollup(sum, 60)", kind: count}
      latency: "avg:latency{*}"
receivers: {out: {type: console}}
route: {receiver: out}
"""
VARIABLES = ("DATABASE_URL", "A", "B", "AWS_REGION")


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """References that can be followed."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "postgresql://h/d")


def problems(folder: Path, condition: str) -> list[str]:
    """Check one rule under the settings above."""
    (folder / "alerting.yaml").write_text(SETTINGS)
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "a.yaml").write_text(f"alert: A\ncondition: {condition}\n")
    settings = load_settings(folder / "alerting.yaml", {}, folder)
    return told(load_rules(settings, None, compile_pattern).problems)


@pytest.mark.parametrize(
    "condition",
    [
        "api_error_rate > 0.1",
        "mimir.api_error_rate{service='api'} > 0.1",
        "queue_age_seconds > 10m",
        "mimir.latency > 1s",
        "jobs_waiting > 5",
        "db.jobs_oldest > 2h",
        "orders_failed > 10 per minute",
        "requests > 1000 per 5m",
        "rate(requests[5m]) > 3",
        "api_error_rate > 0.1 and queue_age_seconds > 1m",
        "api_error_rate > 0.1 and on(service) dd.latency > 3",
        "dd.up == 0",
    ],
)
def test_what_the_settings_define_is_known(tmp_path: Path, condition: str) -> None:
    """Bare or qualified, with its unit, its kind, and any label: only answers tell which there are."""
    assert problems(tmp_path, condition) == []


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("api_eror_rate > 1", "no source offers api_eror_rate, did you mean api_error_rate?"),
        ("mimir.queue_age > 1", "mimir has no metric queue_age"),
        ("latency > 1s", "latency is offered by several sources, write dd.latency or mimir.latency"),
        ("mimir.latency > 85%", "share"),
        ("jobs > 1", "no source offers jobs"),
        ("api_error_rate > 3 per minute", "api_error_rate is a gauge"),
        ("rate(api_error_rate[5m]) > 3", "rate is for counters"),
    ],
)
def test_what_they_do_not_define_is_an_error_that_helps(tmp_path: Path, condition: str, problem: str) -> None:
    """Names, units and kinds are checked at load, before anything is asked."""
    (found, *_) = problems(tmp_path, condition)
    assert problem in found


def test_what_is_on_offer_tells_unit_kind_and_help(tmp_path: Path) -> None:
    """For `alerting sources`."""
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    metrics = {
        (each.namespace, each.name): each for each in offered(load_settings(tmp_path / "alerting.yaml", {}, tmp_path))
    }
    assert metrics["mimir", "latency"][2:] == (Kind.GAUGE, "ms", (), "how long they wait")
    assert metrics["mimir", "queue_age_seconds"].unit == "s"
    assert metrics["dd", "orders_failed"].kind is Kind.COUNT
    assert ("db", "jobs") not in metrics


PROMETHEUS = {"type": "prometheus_query", "url": "http://127.0.0.1:1", "metrics": {"a": "up"}}
SQL = {"type": "sql", "dsn": "sqlite:////x", "metrics": {"a": "SELECT 1"}}
NEWRELIC = {"type": "newrelic", "account": 1, "api_key": "${A}", "metrics": {"a": "SELECT count(*) FROM T"}}
CPU = {"namespace": "AWS/EC2", "metric": "CPU"}
CLOUDWATCH = {"type": "cloudwatch", "region": "eu-central-1", "metrics": {"a": CPU}}
COUNT = {"dataset": "errors", "function": "count()"}
SENTRY = {"type": "sentry", "organization": "o", "project": "p", "token": "${A}", "metrics": {"a": COUNT}}
WRONG: list[tuple[Mapping[str, Any], Mapping[str, Any], str]] = [
    (PROMETHEUS, {"metrics": {"up": "x"}}, "'up' must be a name of letters, digits and _, and not `up`"),
    (PROMETHEUS, {"metrics": {"a-b": "x"}}, "'a-b' must be a name"),
    (PROMETHEUS, {"metrics": {"a": ""}}, "'a' must not be empty"),
    (PROMETHEUS, {"metrics": {"a": 5}}, "'a' must be a text or a mapping, not"),
    (PROMETHEUS, {"metrics": {"a": {"query": "x", "unti": "s"}}}, "unknown key 'unti', did you mean unit?"),
    (PROMETHEUS, {"metrics": {"a": {"unit": "s"}}}, "key 'query' is missing"),
    (PROMETHEUS, {"metrics": {"a": {"query": "x", "kind": "count"}}}, "'count' is not one of gauge, counter"),
    (PROMETHEUS, {"metrics": {}}, "'metrics' must define at least one metric"),
    (PROMETHEUS, {"username": "u"}, "key 'password' is missing"),
    (PROMETHEUS, {"username": "u", "password": "p", "token": "t"}, "'username' does not go with `token`"),
    (
        NEWRELIC,
        {"metrics": {"a": "SELECT count(*) FROM T SINCE 1 day ago"}},
        "'a' must leave SINCE, UNTIL and TIMESERIES",
    ),
    (NEWRELIC, {"metrics": {"a": {"query": "SELECT 1 FROM T\ntimeseries 1 hour"}}}, "'query' must leave SINCE"),
    (NEWRELIC, {"account": "x"}, "'account' must be a whole number"),
    (CLOUDWATCH, {"metrics": {"a": "x"}}, "'a' must be a mapping"),
    (
        CLOUDWATCH,
        {"metrics": {"a": {**CPU, "kind": "count", "period": "5m"}}},
        "'period' does not go with `kind: count`",
    ),
    (
        SENTRY,
        {"metrics": {"a": {**COUNT, "kind": "count", "group_by": ["transaction"]}}},
        "'group_by' does not go with",
    ),
    (SENTRY, {"metrics": {"a": {**COUNT, "top": 5}}}, "key 'group_by' is missing"),
    (SENTRY, {"metrics": {"a": {**COUNT, "group_by": "transaction"}}}, "'group_by' must be a list"),
    (SENTRY, {"metrics": {"a": {**COUNT, "group_by": ["x"], "top": 500}}}, "'top' must be"),
    (SQL, {"dsn": "mysql://user:hunter2@h/d"}, "'dsn' must begin with postgresql:// or sqlite:///"),
    (SQL, {"metrics": {"a": {"query": "SELECT 1", "columns": []}}}, "'columns' must not be empty"),
]


@pytest.mark.parametrize(("entry", "change", "problem"), WRONG)
def test_slips_in_the_settings_are_named(
    tmp_path: Path, entry: Mapping[str, Any], change: Mapping[str, Any], problem: str
) -> None:
    """By key, with what belongs there; no secret is shown."""
    (tmp_path / "alerting.yaml").write_text(json.dumps({"sources": {"s": {**entry, **change}}}))
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "alerting.yaml", {}, tmp_path)
    (found,) = told(caught.value.problems)
    assert problem in found
    assert "hunter2" not in found


def test_the_region_comes_from_the_environment_where_it_is_not_written(tmp_path: Path) -> None:
    """AWS_REGION, as the guide has it."""
    entry = {key: value for key, value in CLOUDWATCH.items() if key != "region"}
    (tmp_path / "alerting.yaml").write_text(f"sources: {{s: {entry}}}\n".replace("'", '"'))
    settings = load_settings(tmp_path / "alerting.yaml", {"AWS_REGION": "us-east-1"}, tmp_path)
    assert settings.sources["s"].values["region"] == "us-east-1"
