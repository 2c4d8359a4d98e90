"""What the checker makes of conditions, and what it refuses: each rule with its own cases."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.core.lang.checking.check import Settled, settle
from alerting.core.lang.names import Names
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.syntax.printer import show
from alerting.core.lang.tree import Binary, Call, Number, Range, Selector, Text
from alerting.errors import ConditionError, Diagnostic
from alerting.model import SHARED, Kind, Matcher, Need
from alerting.patterns import compile_pattern
from tests.core.lang.front.sources import ALL, HOST, PAGE, SENTRY


def check(text: str, names: Names = ALL, *, dialect: Any = "native", purpose: Any = "alert") -> Settled:
    """Parse and settle."""
    return settle(
        parse(text, dialect=dialect), names, dialect=dialect, text=text, purpose=purpose, patterns=compile_pattern
    )


def problems(text: str, names: Names = ALL, **options: Any) -> tuple[Diagnostic, ...]:
    """Give what the checker has to say, errors or warnings."""
    try:
        return check(text, names, **options).diagnostics
    except ConditionError as error:
        return error.diagnostics


@pytest.mark.parametrize(
    ("text", "printed", "unit", "needs"),
    [
        (
            "error_count > 10 per minute",
            "peak(error_count[1h], 60) > 10",
            "",
            [Need("sentry", "error_count", (), 3_600_000, 60_000)],
        ),
        (
            "health_check.database.status != 'ok'",
            'health_check.database.status != "ok"',
            "",
            [Need("health_check", "database.status")],
        ),
        (
            "http_request_duration_p95 > 1000ms",
            "http_request_duration_p95 > 1000ms",
            "ms",
            [Need("sentry", "http_request_duration_p95")],
        ),
        ("disk_usage > 85%", "disk_usage > 85%", "percent", [Need("host", "disk_usage")]),
    ],
)
def test_the_four_rules_of_the_mission(text: str, printed: str, unit: str, needs: list[Need]) -> None:
    """They settle as they stand, without a word."""
    settled = check(text)
    assert (show(settled.node), settled.type, settled.unit, list(settled.needs)) == (printed, "vector", unit, needs)
    assert settled.diagnostics == ()


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("disk_usage > 85%", 85, "percent"),
        ("failure_rate > 5%", 0.05, "ratio"),
        ("http_request_duration_p95 > 1.5s", 1500, "ms"),
        ("http_request_duration_p95 > 1500", 1500, "ms"),
        ("health_check.database.latency > 1s", 1000, "ms"),
        ("health_check.memory.used > 1GiB", 1024, "MiB"),
        ("disk_free < 2GiB", 2**31, "bytes"),
        ("disk_free < 2GB", 2e9, "bytes"),
        ("-85% > disk_usage", -85, "percent"),
        ("disk_usage > (85%)", 85, "percent"),
        ("host_uptime < 5m", 300, "s"),
        ("host_uptime < 1h30m", 5400, "s"),
        ("foo > 5m", 300, ""),
        ("avg_over_time(disk_free[5m]) < 1MiB", 2**20, "bytes"),
        ("sum by (mount) (disk_free) < 1KiB", 1024, "bytes"),
        ("max(http_request_duration_p95) > 1s", 1000, "ms"),
        ("rate(x_bytes_total[5m]) > 10MB", 1e7, "bytes/s"),
        ("rate(process_cpu_seconds_total[5m]) > 85%", 0.85, "ratio"),
        ("a_bytes / b_bytes > 85%", 0.85, "ratio"),
        ("1 - a_bytes / b_bytes > 85%", 0.85, "ratio"),
        ("100 * (1 - a_bytes / b_bytes) > 85%", 85, "percent"),
        ("time() - x_timestamp_seconds > 5m", 300, "s"),
        ("histogram_quantile(0.9, sum by (le) (rate(x_seconds_bucket[5m]))) > 500ms", 0.5, "s"),
        ("request_p95 > 500ms", 0.5, "s"),
        ("health_check.response_time_p95 > 500ms", 0.5, "s"),
        ("a_seconds * on (x) group_left b_info > 500ms", 0.5, "s"),
        ("rate(x_seconds_sum[5m]) / rate(x_seconds_count[5m]) > 500ms", 0.5, ""),
        ("scalar(x_bytes) > bool 1KiB", 1024, ""),
        ("(x_bytes or y_bytes) > 1KiB", 1024, "bytes"),
        ("max_over_time(x_bytes[1h:]) > 1KiB", 1024, "bytes"),
    ],
)
def test_literals_go_into_the_unit_that_they_stand_against(text: str, value: float, unit: str) -> None:
    """Declared, by suffix, by the settings, or through what keeps or makes units; durations are seconds otherwise."""
    settled = check(text, purpose="query")
    assert isinstance(settled.node, Binary)
    sides = [side.expr if hasattr(side, "expr") else side for side in (settled.node.left, settled.node.right)]
    (number,) = [side for side in sides if isinstance(side, Number)]
    assert (number.value, number.unit, settled.unit) == (pytest.approx(value, rel=1e-15), "", unit)


def test_literals_within_functions_that_clamp() -> None:
    """`clamp` and `round` take scalars in the unit of their vector; elsewhere a duration is seconds."""
    assert "5368709120" in repr(check("clamp_min(disk_free, 5GiB) > 6GiB").node)
    node = check("predict_linear(disk_free[1h], 4h) < 0").node
    assert isinstance(node, Binary)
    assert isinstance(node.left, Call)
    assert isinstance(node.left.args[1], Number)
    assert node.left.args[1].value == 14_400


ERRORS = [  # text with the place marked by » «, words of the message, words of the hint
    # units
    ("disk_usage > »5m«", "disk_usage is in percent, which is a share; 5m is a duration", "in percent"),
    ("health_check.database.latency > »85%«", "is in ms, which is a duration; 85% is a share", ""),
    ("disk_free < »5s«", "is in bytes, which is a size", ""),
    ("health_check.queue > »85%«", "unit of health_check.queue is not known", "`units: {queue: percent}`"),
    ("foo > »2GiB«", "unit of foo is not known", "under the source of the metrics page: `units: {foo: bytes}`"),
    ("foo / bar > »5%«", "unit of foo / bar is not known", "0.05 of a ratio, 5 of a percentage"),
    ("x_bytes / 1024 > »2MiB«", "is not known", "2097152 in bytes"),
    ("foo * »85%« > 1", "nothing that 85% could be measured against", "0.85 of a ratio"),
    ("vector(»2MB«) > 1", "nothing that 2MB could be measured against", ""),
    ("quantile(»95%«, foo) > 1", "95% as a parameter", "write 0.95"),
    ("a_seconds »>« b_bytes", "a_seconds is in s, b_bytes in bytes", "different things"),
    ("http_request_duration_p95 »>« on () a_seconds", "in ms, a_seconds in s", "a_seconds * 1000"),
    ("a_seconds »+« on () http_request_duration_p95", "in s, http_request_duration_p95 in ms", "/ 1000"),
    # rates in words
    ("»cpu_usage« > 5 per minute", "cpu_usage is a gauge", "cpu_usage > 5"),
    ("»health_check.mode« > 5 per minute", "is a text", ""),
    ("»foo« > 5 per 5m", "foo is not known to be a counter", "increase(foo[5m])"),
    ("»health_check.jobs« > 5 per minute", "is not known to be a counter", "increase(health_check.jobs[1m])"),
    ("error_count > »3 per second«", "cannot tell per second", "180 per minute"),
    ("error_count > »3 per 90s«", "cannot tell per 1m30s", "whole minutes"),
    ("foo_total > »3 per second«", "read too rarely", "180 per minute"),
    ("»rate(foo_total[5m])« > 3 per minute", "is no count or counter", "write it out"),
    ("»error_count + 3 per minute«", "is compared with one count or counter", ""),
    ("»3 per minute > 4 per minute«", "is compared with one count or counter", ""),
    ("abs(»3 per minute«) > foo", "is compared with a count or a counter", ""),
    # kinds
    ("»rate(disk_usage[5m])« > 1", "rate is for counters, disk_usage is a gauge", "delta(disk_usage[5m])"),
    ("»increase(cpu_usage[5m])« > 1", "increase is for counters", ""),
    ("»rate(error_count[5m])« > 1", "already events per minute", "sum_over_time(error_count[5m])"),
    # texts
    ("»disk_usage == 'ok'«", "disk_usage is a number, 'ok' a text", "quotes"),
    ("»foo == 'ok'«", "foo is a number", ""),
    ("»health_check.mode > 5«", "health_check.mode is a text, 5 a number", "'5'"),
    ("health_check.status »>« 'ok'", "`>` is not for texts", "== != =~ !~"),
    ("health_check.status »+« 'ok'", "`+` is not for texts", "quotes"),
    ("'ok' »=~« health_check.status", "on its right", "metric on the left"),
    ("health_check.status »=~« health_check.mode", "quoted pattern", ""),
    ("health_check.status »=~« 5", "quoted pattern", ""),
    ("'a' »==« 'b'", "compares a series with a quoted text", ""),
    ("»time() == 'b'«", "a single number", ""),
    ("»health_check.mode« + 1 > 2", "is a text; `+` is for numbers", ""),
    ("health_check.mode »<« health_check.status", "texts have no order", ""),
    ("rate(»health_check.mode[5m]«) > 1", "rate takes numbers", ""),
    ("sum(»health_check.mode«) > 1", "sum takes numbers", "count"),
    ("»-health_check.mode« > 1", "has no sign", ""),
    ("health_check.mode =~ »'('«", "the pattern '(' is not valid", "RE2"),
    ("»foo{a=~'('}« > 1", "the pattern '(' is not valid", ""),
    # types
    ("1 »>« 2", "compares two plain numbers", "== bool"),
    ("true »==« true", "compares two plain numbers", ""),
    ("1 »and« foo", "joins series", "vector(1)"),
    ("foo »>« on (x) 1", "pair series", ""),
    ("»foo[5m]« > 1", "is a range of time", "avg_over_time(foo[5m])"),
    ("sum(»foo[5m]«) > 1", "sum takes a vector", ""),
    ("rate(»foo«) > 1", "rate takes a range", "rate(foo[5m])"),
    ("rate(»sum(foo)«) > 1", "rate takes a range", "[5m"),
    ("abs(»foo[5m]«) > 1", "abs takes series", ""),
    ("abs(»1«) > 1", "abs takes series", "vector(1)"),
    ("»abs()« > 1", "abs takes 1 argument, this has 0", ""),
    ("»time(foo)« > 1", "time takes 0 arguments, this has 1", ""),
    ("»round(foo, 1, 2)« > 1", "round takes 1 to 2 arguments, this has 3", ""),
    ("»label_join(foo)« > 1", "at least 3 arguments", ""),
    ("topk(»foo«, foo) > 1", "the parameter of topk is a scalar", ""),
    ("count_values(»1«, foo) > 1", "the parameter of count_values is a string", ""),
    ("»time()«[5m:] > 1", "not a vector", ""),
    ("»-'a'« > foo", "a sign goes before numbers", ""),
    ("»foo[5m]«", "the whole is a range", ""),
    ("»'ok'«", "the whole is a text", ""),
    ("»rat(foo[5m])« > 1", "no function rat", "rate"),
    ("»mad_over_time(foo[5m])« > 1", "experimental", ""),
    ("»histogram_count(foo)« > 1", "native histograms", ""),
    ("»holt_winters(foo[5m], 1, 1)« > 1", "double_exponential_smoothing", ""),
    ("»peak(foo[5m], 60)« > 1", "no function peak", ""),
    # sides that never pair
    ("disk_usage > 85% »and« error_count > 10 per minute", "always has the label mount", "and on()"),
    (
        "cpu_usage > 5 »and« disk_usage > 5",
        "disk_usage > 5 always has the label mount, cpu_usage > 5 never",
        "and on()",
    ),
    ("disk_usage > 5 »and« on (mount) cpu_usage > 5", "label mount", ""),
    ("sum by (job) (foo) > 1 »and« sum(bar) > 1", "always has the label job", ""),
    ("health_check.jobs{name='x'} > 1 »and« cpu_usage > 5", "always has the label name, cpu_usage > 5 never", ""),
    ("disk_usage »*« cpu_usage > 5", "always has the label mount", "* on(…)"),
    ("disk_usage »>« cpu_usage", "always has the label mount", "> on(…)"),
    # names
    ("»{a=~'(x|y)?'}« > 1", "selects every series", "name a metric"),
    ("»{a!~'(x|y)+', b=''}« > 1", "selects every series", ""),
    ("»zzz.up« == 0", "no source called zzz", ""),
]


@pytest.mark.parametrize(("marked", "message", "hint"), ERRORS, ids=[each[0] for each in ERRORS])
def test_what_cannot_be_meant_is_an_error(marked: str, message: str, hint: str) -> None:
    """With the place, what is wrong and what to do."""
    start, end = marked.index("»"), marked.index("«") - 1
    text = marked.replace("»", "").replace("«", "")
    with pytest.raises(ConditionError) as raised:
        check(text)
    found = next(each for each in raised.value.diagnostics if not each.warning)
    assert message in found.message
    assert hint in found.hint
    assert (found.span.start, found.span.end) == (start, end)


WARNINGS = [
    ("http_request_duration_seconds > »1000«", "is in seconds; this is 1000 s", "did you mean 1000ms?"),
    ("»disk_usage«", "fires for every series", "compare it"),
    ("disk_usage »>« bool 5", "always fires", "leave `bool` away"),
    ("»time()«", "one number", ""),
    ("»error_count > 10«", "its newest minute alone", "10 per minute"),
    ("»health_check.disk-space« > 5", "this subtracts space", 'health_check."disk-space"'),
    ("»disk_usage{device='x'}« > 5", "disk_usage has no label device", "mount"),
    ("»delta(network_receive_bytes_total[5m])« > 5", "delta is for gauges", "increase"),
    ("health_check.database.status != 'ok' »and« foo > 5", "same labels on both sides", "and on()"),
    ("»10 / min« < foo", "divides by a metric called min", "write 10 per minute"),
    ("health_check.database.status != »ok«", "ok is taken for a metric", "in quotes: 'ok'"),
    ("»disk_usge« > 5", "taken to be on the metrics pages", "did you mean disk_usage"),
    ("disk_usage > »0.85«", "disk_usage is in percent, from 0 to 100; this is 0.85 %", "did you mean 85%?"),
    ("failure_rate > »5«", "failure_rate is a ratio, from 0 to 1; this is 5", "did you mean 5%?"),
]


@pytest.mark.parametrize(("marked", "message", "hint"), WARNINGS, ids=[each[0] for each in WARNINGS])
def test_what_is_odd_is_a_warning(marked: str, message: str, hint: str) -> None:
    """The condition settles all the same."""
    start, end = marked.index("»"), marked.index("«") - 1
    (found,) = check(marked.replace("»", "").replace("«", "")).diagnostics
    assert found.warning
    assert message in found.message
    assert hint in found.hint
    assert (found.span.start, found.span.end) == (start, end)


@pytest.mark.parametrize(
    "text",
    [
        "foo{a='b'} and bar{c='d'}",
        "disk_usage > 85% and on () error_count > 10 per minute",
        "disk_usage > 85% and disk_free < 5GiB",
        "disk_usage > 85 and ignoring (mount) cpu_usage > 5",
        "disk_usage > 85 or cpu_usage > 5",
        "disk_usage > 85 unless cpu_usage > 5",
        "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m]))) > 1 and cpu_usage > 5",
        "label_replace(cpu_usage, 'mount', '/', '', '') > 5 and disk_usage > 5",
        "http_request_duration_seconds > 600",
        "http_request_duration_seconds > 90",
        "batch_seconds > 1000",
        "health_check.status == health_check.mode",
        "health_check.ok == true",
        "health_check.whatever > 5",
        "rate(foo[5m]) > 1",
        "rate(health_check.jobs[5m]) > 1",
        "absent(foo)",
        "vector(1)",
        "up == 0",
        "count(health_check.mode) > 1",
        "hour() > 5",
        "label_replace(foo, 'a', '$1', 'b', '(.*)') > 1",
        "foo - bar > 1",
        "health_check.a - health_check.b > 1",
    ],
)
def test_what_is_not_known_is_no_error(text: str) -> None:
    """Nothing is said of units, kinds and labels that nobody told."""
    assert problems(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "foo{a='b'} and bar",
        "a_seconds > b_bytes",
        "http_request_duration_seconds > 600",
        "x_p95 > 1",
        "foo_total > 5m",
        "foo / bar > 5",
    ],
)
def test_prometheus_form_leaves_units_and_quantile_names_alone(text: str) -> None:
    """What Prometheus loads is not refused, nor commented on, for habits that only we have."""
    assert problems(text, Names([PAGE]), dialect="prometheus") == ()


@pytest.mark.parametrize(
    "text",
    [
        "rate(disk_usage[5m]) > 1",
        "disk_usage > 85 and cpu_usage > 5",
        "rate(error_count[5m]) > 1",
        "sum by (job) (foo) > 1 and sum(bar) > 1",
    ],
)
def test_mistakes_that_prometheus_accepts_are_warnings_there(text: str) -> None:
    """And errors in our own form."""
    assert all(each.warning for each in problems(text, dialect="prometheus"))
    assert problems(text, dialect="prometheus")
    assert not all(each.warning for each in problems(text))


def test_a_text_is_no_operand_in_prometheus_form() -> None:
    """The hint says where it is one."""
    (found,) = problems("foo == 'ok'", dialect="prometheus")
    assert not found.warning
    assert "in a rule of our own form" in found.hint


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("foo_total > 5 per minute", "gained(foo_total[1m]) > 5"),
        ("network_receive_bytes_total > 5 per hour", "gained(network_receive_bytes_total[1h]) > 5"),
        ("sum by (job) (foo_total{code=~'5..'}) > 5 per 5m", 'sum by (job) (gained(foo_total{code=~"5.."}[5m])) > 5'),
        ("5 per minute < bool (foo_count)", "5 < bool (gained(foo_count[1m]))"),
        ("error_count == 0 per 10m", "peak(error_count[1h9m], 600) == 0"),
        ("health_check.jobs_total > 5 per minute", "gained(health_check.jobs_total[1m]) > 5"),
        ("'ok' != health_check.status", 'health_check.status != "ok"'),
        ("health_check.ok == false", "health_check.ok == false"),
    ],
)
def test_what_the_additions_become(text: str, printed: str) -> None:
    """Rates in words by the metric's kind; texts go to the right."""
    assert show(check(text).node) == printed


def test_a_quantile_name_becomes_a_function_of_a_histogram() -> None:
    """The metric is the buckets', the name and the matchers stay as written."""
    settled = check("request_p95{job='api'} offset 1h > 2s")
    assert isinstance(settled.node, Binary)
    call = settled.node.left
    assert isinstance(call, Call)
    assert (call.func, call.args[0]) == ("histogram_quantile", Number(0.95, call.span))
    rate = call.args[1]
    assert isinstance(rate, Call)
    window = rate.args[0]
    assert isinstance(window, Range)
    assert window.selector.metric is not None
    assert (rate.func, window.window, window.selector.path) == ("rate", 300_000, ("request_p95",))
    assert settled.needs == (
        Need(SHARED, "request_seconds_bucket", (Matcher("job", "=", "api"),), 300_000 + 3_600_000),
    )
    (error,) = [each for each in problems("avg_over_time(request_p95[5m]) > 1") if not each.warning]
    assert error.hint == "write request_p95[5m:]"


def test_no_native_form_is_left() -> None:
    """Every selector has its metric, every number is bare, texts stand on the right."""
    settled = check("disk_usage > 85% or on () health_check.mode == 'x' or on () request_p95 > -5m * 2")

    def walk(node: Any) -> None:
        assert type(node).__name__ not in ("Truth", "Per")
        if isinstance(node, Number):
            assert node.unit == ""
        if isinstance(node, Selector):
            assert node.metric is not None
        for value in node:
            for each in value if type(value) is tuple else (value,):
                if hasattr(each, "span"):
                    walk(each)

    walk(settled.node)


def test_signs_become_part_of_numbers() -> None:
    """`x > -5` compares with one number."""
    node = check("foo > -5").node
    assert isinstance(node, Binary)
    assert node.right == Number(-5.0, node.right.span, "", "-5")


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("foo > 1", [0]),
        ("foo offset 5m > 1", [300_000]),
        ("foo offset -5m > 1", [0]),
        ("rate(foo[5m] offset 1h) > 1", [3_900_000]),
        ("max_over_time(rate(foo[5m])[1h:1m] offset 1d) > 1", [300_000 + 3_600_000 + 86_400_000]),
        ("foo > 1 and foo < 5", [0]),
        ("foo > 1 and foo offset 1h < 5", [0, 3_600_000]),
        ("topk(scalar(bar), foo) > 1", [0, 0]),
        ("foo @ end() > 1", [0]),
        ("time() > bool 5", []),
    ],
)
def test_needs(text: str, windows: list[int]) -> None:
    """One for each selector, without repeats, reaching back over ranges, offsets and subqueries."""
    assert [need.window for need in check(text).needs] == windows


def test_all_errors_are_reported_with_the_warnings_in_order() -> None:
    """Not only the first."""
    with pytest.raises(ConditionError) as raised:
        check("sentry.zzz > 1 and rat(foo) > 85% and http_request_duration_seconds > 1000 or disk_usage > 5m")
    found = raised.value.diagnostics
    assert [each.warning for each in found] == [False, False, True, False]
    assert [each.span.start for each in found] == sorted(each.span.start for each in found)


def test_what_the_value_is_for_decides_what_it_may_be() -> None:
    """A query may be a text, and is not told that it would always fire; a range is the value of nothing."""
    for text, type_ in (("'ok'", "string"), ("1 + 1", "scalar"), ("disk_usage", "vector")):
        settled = check(text, purpose="query")
        assert (settled.type, settled.diagnostics) == (type_, ())
    assert check("disk_usage", purpose="record").diagnostics == ()
    with pytest.raises(ConditionError):
        check("'ok'", purpose="record")
    with pytest.raises(ConditionError):
        check("foo[5m]", purpose="query")


def test_files_checked_by_themselves() -> None:
    """Where names are open nothing is declared: a share is percent, a size bytes, a count a counter."""
    names = Names.anything()
    for text in (
        "disk_usage > 85%",
        "foo > 2KiB",
        "error_count > 10 per minute",
        "errors > 10 per minute",
        "a.b == 'x'",
    ):
        assert problems(text, names) == ()
    assert show(check("errors > 10 per minute", names).node) == "gained(errors[1m]) > 10"
    known = Names.anything([SENTRY, HOST])
    assert show(check("error_count > 10 per minute", known).node) == "peak(error_count[1h], 60) > 10"
    assert check("http_request_duration_p95 > 1s", known).unit == "ms"


def test_metrics_are_set_on_selectors() -> None:
    """With namespace, name, kind and unit, for the compiler."""
    node = check("disk_usage > 85%").node
    assert isinstance(node, Binary)
    assert isinstance(node.left, Selector)
    metric = node.left.metric
    assert metric is not None
    assert (metric.namespace, metric.name, metric.kind, metric.unit) == ("host", "disk_usage", Kind.GAUGE, "percent")
    assert isinstance(check("health_check.s == 'x'").node.right, Text)  # type: ignore[union-attr]


def test_no_more_is_said_than_anybody_reads() -> None:
    """However much is wrong, the first twenty errors are reported, and no warning in their place."""
    found = problems(f"rate({', '.join(['up'] * 5000)}) > 1")
    assert len(found) == 20
    assert not any(each.warning for each in found)
