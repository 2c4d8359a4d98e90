"""Rules that look back less far than two readings are warned of when they load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.patterns import compile_pattern
from tests.config.reading import told

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """
interval: 1m
sources:
  host: {type: host}
  metrics: {type: prometheus, url: http://127.0.0.1:1/metrics}
  other: {type: health, url: http://127.0.0.1:1/health}
receivers: {ops: {type: console}}
route: {receiver: ops}
"""
FASTER = "alert: B\ncondition: b > 1\ninterval: 10s\n"
WORDED = (
    "1:1: warning: A: {} needs readings at most {} apart, and they are {} apart, write an `interval:` of at most {}"
)
SAID = "1:1: warning: A: {} needs two readings within {}, and they are {} apart, write an `interval:` of at most {}"

CASES = [
    ("a_total > 10 per minute", "", ""),  # the reading before the minute is taken along
    ("increase(a_total[1m]) > 10", "", SAID.format("increase(a_total[1m])", "1m", "1m", "30s, or look back 2m")),
    ("a_total > 5 per 30s", "", WORDED.format("a_total per 30s", "45s", "1m", "45s, or write a number per minute")),
    ("sum(a_total) > 5 per 30s", FASTER, ""),
    ("sum(a_total) > 5 per 30s", "", WORDED.format("a_total per 30s", "45s", "1m", "45s, or write")),
    ("a_total > 5 per hour\ninterval: 1h", "", ""),
    ("a_total > 5 per day\ninterval: 2h", "", WORDED.format("a_total per day", "1h30m", "2h", "1h30m")),
    ("rate(a_total[90s]) > 1", "", SAID.format("rate(a_total[1m30s])", "1m30s", "1m", "45s, or look back 2m")),
    ("sum(b) / -(sum(deriv(b[1m])) + 1) > 1", "", SAID.format("deriv(b[1m])", "1m", "1m", "30s, or look back 2m")),
    ("a_total > 10 per 2m", "", ""),
    ("a_total > 10 per minute", FASTER, ""),  # one fetch serves all rules
    ("avg_over_time(b[1m]) > 1", "", ""),  # one reading is an average
    ("b offset 30s > 1", "", ""),
    ("rate(a_total[10m:1m]) > 1", "", ""),
    ("other.size > 1", "", ""),
    ("a_total > 5 per 30s", FASTER + "enabled: false\n", WORDED.format("a_total per 30s", "45s", "1m", "45s")),
]


@pytest.mark.parametrize(("condition", "beside", "warning"), CASES)
def test_a_window_that_need_not_hold_two_readings_is_warned_of(
    condition: str, beside: str, warning: str, tmp_path: Path
) -> None:
    """By the pace of the rule that reads the source most often; of what needs one reading alone nothing is said."""
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(f"alert: A\ncondition: {condition}\n---\n{beside}")
    settings = load_settings(tmp_path / "alerting.yaml", {}, tmp_path)
    found = told(load_rules(settings, None, compile_pattern).problems)
    found = [each for each in found if "readings" in each]
    assert len(found) == bool(warning)
    assert all(each.startswith(warning) for each in found)
