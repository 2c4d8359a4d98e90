"""The vocabulary: each rule of `names` with its own cases."""

from __future__ import annotations

import pytest

from alerting.core.lang.names import Found, Names
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.tree import Selector
from alerting.model import SHARED, Kind, Metric
from tests.core.lang.front.sources import ALL, HEALTH, HOST, NO_PAGE, PAGE, SENTRY


def resolve(names: Names, text: str, *, promql: bool = False) -> Found:
    """Resolve the selector that `text` is."""
    node = parse(text)
    assert isinstance(node, Selector)
    return names.resolve(node, promql=promql)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("health_check.database.status", ("health_check", "database.status", Kind.UNKNOWN, "")),
        ("health_check.database.latency", ("health_check", "database.latency", Kind.UNKNOWN, "ms")),
        ("health_check.cache.age_seconds", ("health_check", "cache.age_seconds", Kind.UNKNOWN, "s")),
        ('health_check."disk-space"', ("health_check", "disk-space", Kind.UNKNOWN, "")),
        ("health_check.up", ("health_check", "up", Kind.GAUGE, "")),
        ("health_check.response_time", ("health_check", "response_time", Kind.GAUGE, "s")),
        ("sentry.error_count", ("sentry", "error_count", Kind.COUNT, "")),
        ("sentry.up", ("sentry", "up", Kind.GAUGE, "")),
        ("error_count", ("sentry", "error_count", Kind.COUNT, "")),
        ("disk_usage", ("host", "disk_usage", Kind.GAUGE, "percent")),
        ("up", (SHARED, "up", Kind.GAUGE, "")),
        ("metrics.up", (SHARED, "up", Kind.GAUGE, "")),
        ("metrics.disk_usage", (SHARED, "disk_usage", Kind.UNKNOWN, "")),
        ("http_requests_total", (SHARED, "http_requests_total", Kind.UNKNOWN, "")),
        ("process_cpu_seconds_total", (SHARED, "process_cpu_seconds_total", Kind.UNKNOWN, "s")),
        ("job:errors:rate5m", (SHARED, "job:errors:rate5m", Kind.UNKNOWN, "")),
        ('{"http.server.duration"}', (SHARED, "http.server.duration", Kind.UNKNOWN, "")),
        ('{job="x"}', (SHARED, "", Kind.UNKNOWN, "")),
        ("lag_p50", (SHARED, "lag_p50", Kind.UNKNOWN, "ms")),
    ],
)
def test_what_a_name_means(text: str, expected: tuple[str, str, Kind, str]) -> None:
    """Qualified names, closed vocabularies before pages, recorded names, suffixes and `units:`."""
    found = resolve(ALL, text)
    assert found.metric is not None
    assert (found.metric.namespace, found.metric.name, found.metric.kind, found.metric.unit) == expected
    assert found.quantile is None
    assert found.diagnostics == ()


@pytest.mark.parametrize(
    ("names", "text", "message", "hint"),
    [
        (ALL, "sentry.eror_count", "sentry has no metric eror_count", "did you mean error_count?"),
        (ALL, "sentry.zzz", "sentry has no metric zzz", "it has error_count, http_request_duration_p95"),
        (ALL, "helth_check.up", "no source called helth_check", "did you mean health_check?"),
        (ALL, "zzz.up", "no source called zzz", "health_check, metrics, sentry, host"),
        (ALL, "sentry", "sentry is a source", "sentry.up"),
        (NO_PAGE, "eror_count", "no source offers eror_count", "did you mean error_count?"),
        (NO_PAGE, "foo", "no source offers foo", "health_check (health) offers up, status_code, response_time, mode"),
        (NO_PAGE, "up", "no source offers up", "health_check.up"),
        (NO_PAGE, "status_code", "by that name alone", "write health_check.status_code"),
        (NO_PAGE, "response_time_p95", "by that name alone", "write health_check.response_time_p95"),
        (NO_PAGE, '{job="x"}', "come from metrics pages, and there is none", "type: prometheus"),
        (Names([]), "foo", "no source offers foo", "no source is configured"),
        (
            Names([SENTRY, SENTRY._replace(source="other", namespace="other")]),
            "error_count",
            "error_count is offered by several sources",
            "write other.error_count or sentry.error_count",
        ),
        (
            Names([HEALTH, HOST]),
            "http_request_duration_p95",
            "no source offers http_request_duration_p95",
            "response_time, mode and what it reads; host (host) offers disk_usage, disk_free",
        ),
    ],
)
def test_a_name_that_nothing_offers_is_an_error(names: Names, text: str, message: str, hint: str) -> None:
    """It says what was asked and what was probably meant."""
    found = resolve(names, text)
    assert found.metric is None
    (problem,) = found.diagnostics
    assert not problem.warning
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.span.start, problem.span.end) == (0, len(text))


def test_a_closed_vocabulary_goes_before_the_pages_with_a_notice() -> None:
    """Where the pages are known to have the name too; the qualified name is without it."""
    page = PAGE._replace(metrics=(*PAGE.metrics, Metric("disk_usage", SHARED)))
    names = Names([page, HOST])
    found = resolve(names, "disk_usage")
    assert found.metric is not None
    assert found.metric.namespace == "host"
    assert [each.warning for each in found.diagnostics] == [True]
    assert "metrics.disk_usage is theirs, host.disk_usage says which is meant" in found.diagnostics[0].hint
    assert resolve(names, "host.disk_usage").diagnostics == ()
    other = resolve(names, "metrics.disk_usage")
    assert other.metric is not None
    assert other.metric.namespace == SHARED


@pytest.mark.parametrize(
    ("text", "bucket", "quantile", "unit"),
    [
        ("request_duration_p95", "request_duration_seconds_bucket", 0.95, "s"),
        ("request_seconds_p99", "request_seconds_bucket", 0.99, "s"),
        ("response_bytes_p50", "response_bytes_bucket", 0.5, "bytes"),
        ("request_duration_p999", "request_duration_seconds_bucket", 0.999, "s"),
        ("request_duration_p100", "request_duration_seconds_bucket", 1.0, "s"),
        ("queue_p90", "queue_bucket", 0.9, "MB"),
        ("size_p90", "size_bucket", 0.9, ""),
    ],
)
def test_quantile_names_are_those_of_a_histogram_of_the_pages(
    text: str, bucket: str, quantile: float, unit: str
) -> None:
    """With a warning that says so, because nobody declared them; the name's unit, the settings' or seconds."""
    page = PAGE._replace(metrics=(*PAGE.metrics, Metric("size_bucket", SHARED)), units={"queue": "MB"})
    found = resolve(Names([page, HOST]), text)
    assert found.metric == Metric(bucket, SHARED, Kind.HISTOGRAM, unit)
    assert found.quantile == quantile
    assert [each.warning for each in found.diagnostics] == [True]
    assert "host (host) offers disk_usage" in found.diagnostics[0].hint


def test_quantile_names_of_a_closed_source_and_of_a_probe() -> None:
    """Sentry declares its own; a health probe's metric has them under the source's name."""
    declared = resolve(ALL, "http_request_duration_p95")
    assert declared.metric is not None
    assert (declared.metric.namespace, declared.quantile) == ("sentry", None)
    probe = resolve(ALL, "health_check.response_time_p95")
    assert probe.metric is not None
    assert (probe.metric.name, probe.quantile) == ("response_time", 0.95)
    bare = resolve(Names([HEALTH, PAGE]), "response_time_p95")
    assert "health_check.response_time_p95 is the probe's own" in bare.diagnostics[0].hint


@pytest.mark.parametrize("text", ["lag_p50", "x_p5", "x_p", "_p95", "x_p12345", "x_p105", "x_p9a"])
def test_names_that_only_look_like_quantiles(text: str) -> None:
    """What the settings give a unit is a series; so is what has not two to four digits."""
    assert resolve(ALL, text).quantile is None


def test_promql_has_no_quantile_names() -> None:
    """In Prometheus' own files `x_p95` is a series."""
    found = resolve(ALL, "x_p95", promql=True)
    assert found.metric == Metric("x_p95", SHARED)
    assert found.diagnostics == ()


def test_names_a_letter_away_are_warned_about() -> None:
    """Where the pages make any name possible: of a closed source's metric and of a probe's own."""
    (mistyped,) = resolve(ALL, "disk_usge").diagnostics
    assert mistyped.warning
    assert mistyped.hint == "did you mean disk_usage, of host?"
    (field,) = resolve(ALL, "health_check.reponse_time").diagnostics
    assert field.warning
    assert field.hint == "did you mean health_check.response_time?"


def test_several_pages_are_one_namespace() -> None:
    """A page's own name does not pick its series; the warning says what does."""
    names = Names([PAGE, PAGE._replace(source="other")])
    assert resolve(names, "foo").diagnostics == ()
    (warning,) = resolve(names, "other.foo").diagnostics
    assert warning.warning
    assert warning.hint == '{job="other"} picks one of them'


def test_anything_goes_where_files_are_checked_by_themselves() -> None:
    """Names are open there; what is given besides is known."""
    names = Names.anything()
    for text, namespace, name in (
        ("foo", SHARED, "foo"),
        ("a.b.c", "a", "b.c"),
        ("x_p95", SHARED, "x_p95"),
        ("up", SHARED, "up"),
    ):
        found = resolve(names, text)
        assert found.metric is not None
        assert (found.metric.namespace, found.metric.name, found.quantile, found.diagnostics) == (
            namespace,
            name,
            None,
            (),
        )
    assert resolve(Names.anything([SENTRY]), "error_count").metric == SENTRY.metrics[0]


def test_labels_are_known_for_declared_metrics_and_partly_for_pages() -> None:
    """A page's series carry job and instance; of a JSON field nothing is known."""

    def labels(text: str) -> tuple[frozenset[str], frozenset[str] | None]:
        metric = resolve(ALL, text).metric
        assert metric is not None
        return ALL.labels(metric)

    assert labels("disk_usage") == ({"mount"}, {"mount"})
    assert labels("error_count") == (frozenset(), frozenset())
    assert labels("foo") == ({"job", "instance"}, None)
    assert labels("job:errors:rate5m") == (frozenset(), None)
    assert labels("health_check.database.status") == (frozenset(), None)
