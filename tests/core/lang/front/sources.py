"""A vocabulary like that of a real settings file, small enough to read."""

from __future__ import annotations

from alerting.core.lang.names import Names, SourceNames
from alerting.model import SHARED, Kind, Metric


def metrics(namespace: str, *rows: tuple[object, ...]) -> tuple[Metric, ...]:
    """Make metrics from rows of name, kind, unit, labels."""
    return tuple(Metric(str(row[0]), namespace, Kind(str(row[1])), str(row[2]), tuple(row[3:])) for row in rows)  # type: ignore[arg-type]


HEALTH = SourceNames(
    "health_check",
    "health_check",
    "health",
    closed=False,
    metrics=metrics(
        "health_check",
        ("up", "gauge", ""),
        ("status_code", "gauge", ""),
        ("response_time", "gauge", "s"),
        ("mode", "state", ""),
    ),
    units={"database.latency": "ms", "memory.used": "MiB"},
)
PAGE = SourceNames(
    "metrics",
    SHARED,
    "prometheus",
    closed=False,
    metrics=metrics(SHARED, ("up", "gauge", "", "job", "instance")),
    units={"lag_p50": "ms"},
)
SENTRY = SourceNames(
    "sentry",
    "sentry",
    "sentry",
    closed=True,
    metrics=metrics(
        "sentry",
        ("error_count", "count", ""),
        ("http_request_duration_p95", "gauge", "ms"),
        ("failure_rate", "gauge", "ratio"),
    ),
)
HOST = SourceNames(
    "host",
    "host",
    "host",
    closed=True,
    metrics=metrics(
        "host",
        ("disk_usage", "gauge", "percent", "mount"),
        ("disk_free", "gauge", "bytes", "mount"),
        ("cpu_usage", "gauge", "percent"),
        ("network_receive_bytes_total", "counter", "bytes", "interface"),
        ("host_uptime", "gauge", "s"),
    ),
)
ALL = Names([HEALTH, PAGE, SENTRY, HOST], recorded=["job:errors:rate5m"])
NO_PAGE = Names([HEALTH, SENTRY, HOST])
