"""What people type who do not know the language yet, and the one sentence that helps each of them."""

from __future__ import annotations

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.errors import ConditionError
from alerting.patterns import compile_pattern
from tests.core.lang.back.world import NAMES

TYPED = [
    # the condition, what is pointed at, and what is said to do
    ("if disk_usage > 85%", "disk_usage", "the condition alone is enough"),
    ("disk_usage is above 85%", "is", "values are compared by == != > >= < <="),
    ("disk_usage above 85%", "above", "write > or >="),
    ("disk_usage between 80% and 90%", "between", "write two comparisons: x > 80 and x < 90"),
    ("disk_usage > 85% for 5m", "5m", "the time a condition must hold stands beside it: `for: 5m`"),
    ("disk_usage <> 85", ">", "write `!=`"),
    ("disk_usage === 85", "=", "write `==`"),
    ("disk_usage !== 85", "=", "write `!=`"),
    ("disk_usage > 1,5", ",", "decimals take a point: 1.5"),
    ("disk_usage > '85%'", ">", "take the quotes off if it is a number"),
    ("disk_usage > 'full'", ">", "compare them by == != =~ !~"),
    ("disk_usage{mount=/var} > 85%", "/", 'put it in quotes: mount="/var"'),
    ("hits_total{status=~5..} > 5", "5.", 'put it in quotes: status=~"5.."'),
    ('hits_total{status:"500"} > 5', "status:", 'a label is matched like status="…"'),
    ('hits_total(status="500") > 5', "=", 'labels stand in braces: {status="500"}'),
    ("health_check.uptime > 1h 30m", "30m", "a length of time has no spaces: 1h30m"),
    ("health_check.uptime > 5e", "5e", "an exponent has digits, as in 5e6"),
    (
        "health_check.status != null",
        "null",
        "what is missing makes the condition unknown by itself; absent(…) asks for it",
    ),
    (
        "health_check.services[0].status != 'ok'",
        "[0]",
        'the items of a list are series with labels, such as {index="0"} behind the whole name',
    ),
    ("error_count per minute > 10", "per", "it stands behind the number: x > 10 per minute"),
    ("error_count > 10 in 5m", "in", "so many in a time are written 10 per 5m"),
    ("error_count > 10 per 5kB", "5kB", "write it like 30s, 5m or 1h30m"),
    ("error_count > 12ms", "12ms", "write 10 per minute"),
    ("sum(error_count[5m]) > 10", "error_count[5m]", "write sum_over_time(…)"),
    ("rate(error_count[5m]) > 1", "rate(error_count[5m])", "write sum_over_time(error_count[5m])"),
    ("avg(disk_usage, 5m) > 80%", "avg(disk_usage, 5m)", "over a time it is avg_over_time(x[5m])"),
    ("topk(disk_usage) > 80%", "topk(disk_usage)", ""),
    (
        "p95(http_request_duration) > 1s",
        "p95(http_request_duration)",
        "a percentile is a part of a metric's name: x_p95; of a histogram histogram_quantile(…)",
    ),
    ("now() - backup_timestamp_seconds > 1d", "now()", "write time()"),
    ("mean(disk_usage) > 85", "mean(disk_usage)", "write avg(…), or avg_over_time(x[5m])"),
]


@pytest.mark.parametrize(("text", "place", "hint"), TYPED, ids=[text for text, _, _ in TYPED])
def test_what_is_typed_wrong_is_pointed_at_and_mended(text: str, place: str, hint: str) -> None:
    """The first error stands at the right place and says what to write."""
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, NAMES, compile_pattern)
    first = next(each for each in caught.value.diagnostics if not each.warning)
    assert (text[first.span.start : first.span.end], first.hint) == (place, hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("disk > 5", "did you mean disk_usage, of host?"),
        ("health_check.disk-space.status != 'ok'", 'a field with a dash is written health_check."disk-space".status'),
    ],
)
def test_what_may_be_meant_otherwise_is_said(text: str, hint: str) -> None:
    """As a warning, beside whatever else there is to say."""
    try:
        said = compile_condition(text, NAMES, compile_pattern)[1]
    except ConditionError as error:
        said = tuple(error.diagnostics)
    assert hint in [each.hint for each in said if each.warning]
