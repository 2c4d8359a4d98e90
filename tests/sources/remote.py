"""Local servers for the examples of the schema whose kinds read remote services: each answers the example's queries."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from alerting.model import Secret
from tests.fakes.aws import CREDENTIALS, CloudWatch
from tests.fakes.datadog import Datadog
from tests.fakes.newrelic import NewRelic
from tests.fakes.prometheus_api import PrometheusApi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TABLES = """
CREATE TABLE orders (state TEXT);
INSERT INTO orders VALUES ('waiting'), ('paid');
CREATE TABLE jobs (queue TEXT, age REAL);
INSERT INTO jobs VALUES ('mail', 12.5), ('mail', 3);
"""
MINUTE = 60_000


@contextmanager
def remote(kind: str, settings: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Give the settings that lead an example to a server of its own; none for the other kinds."""
    start = {"prometheus_query": _prometheus, "cloudwatch": _cloudwatch, "datadog": _datadog, "newrelic": _newrelic}
    with ExitStack() as stack:
        if kind == "sql":
            yield _sql(folder)
        elif kind in start:
            yield start[kind](settings["metrics"], stack)
        else:
            yield {}


def queries(metrics: Mapping[str, Any]) -> list[str]:
    """The texts of the queries."""
    return [entry["query"] if isinstance(entry, dict) else entry for entry in metrics.values()]


def _prometheus(metrics: Mapping[str, Any], stack: ExitStack) -> dict[str, Any]:
    server = stack.enter_context(PrometheusApi())
    server.vectors = {query: [({"service": "api"}, "1.5")] for query in queries(metrics)}
    return {"url": server.url, "password": Secret.literal("pw")}


def _datadog(metrics: Mapping[str, Any], stack: ExitStack) -> dict[str, Any]:
    server = stack.enter_context(Datadog())
    server.groups = {query: [["host:a"]] for query in queries(metrics)}
    keys = {"api_key": server.api_key, "application_key": server.application_key}
    return {"url": server.url, **{name: Secret.literal(key) for name, key in keys.items()}}


def _newrelic(metrics: Mapping[str, Any], stack: ExitStack) -> dict[str, Any]:
    server = stack.enter_context(NewRelic())
    server.answers = {query: (["appName"], [(["api"], {"count": 2})]) for query in queries(metrics)}
    return {"url": server.url, "api_key": Secret.literal(server.api_key)}


def _cloudwatch(metrics: Mapping[str, Any], stack: ExitStack) -> dict[str, Any]:
    for name, value in CREDENTIALS.items():
        stack.callback(_put_back, name, os.environ.get(name))
        os.environ[name] = value
    server = stack.enter_context(CloudWatch())
    newest = (int(time.time() * 1000) - 120_000) // MINUTE * MINUTE
    for entry in metrics.values():
        server.put(entry["metric"], newest - MINUTE, 7, entry["namespace"], **entry["dimensions"])
    return {"url": server.url}


def _put_back(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def _sql(folder: Path) -> dict[str, Any]:
    path = folder / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
    return {"dsn": Secret.literal(f"sqlite:///{path}")}
