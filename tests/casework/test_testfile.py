"""Test files are read whole, and everything that is wrong with one is said at once, with its place."""

from __future__ import annotations

from textwrap import dedent

import pytest

from alerting.casework.testfile import Outage, read_cases
from alerting.core.lang.syntax.series import STALE
from alerting.errors import ConfigError
from alerting.model import NO_LABELS, Labels


def read(tmp_path, text):
    """Write a test file and read it."""
    path = tmp_path / "x.test.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_cases(path, "x.test.yaml")


def test_a_file_is_read_whole(tmp_path):
    """Every key, with its default where it is not given."""
    file = read(
        tmp_path,
        """\
        rule_files: [a.yaml]
        evaluation_interval: 30s
        group_eval_order: [g2, g1]
        tests:
        - name: first
          interval: 1m
          start_timestamp: 2026-01-01T00:00:00Z
          input_series:
          - {series: 'up{job="api"}', values: 1 _ stale}
          - {series: health_check.database.status, values: "'ok'x1"}
          - {series: '{"a.b"}', values: 7}
          alert_rule_test:
          - eval_time: 5m
            alertname: A
            exp_alerts: [{exp_labels: {job: api, tier: 1}, exp_annotations: {on: true}, exp_reason: why}]
            exp_unknown: could not
          promql_expr_test:
          - expr: up
            eval_time: 1h30m
            exp_samples: [{labels: 'up{job="api"}', value: .inf}, {value: -.Inf}, {labels: "", value: ok}]
          faults: [{source: health_check, from: 1m, to: 2m, why: dead}, {series: '{job="api"}'}]
          external_labels: {region: eu}
          external_url: http://x.test
        - alert_rule_test: [{eval_time: 0, alertname: B}]
        """,
    )
    first, second = file.cases
    assert [name for name, _ in file.rule_files] == ["a.yaml"]
    assert (file.interval, file.group_order) == (30_000, ("g2", "g1"))
    assert (first.name, first.interval, first.start, first.length) == ("first", 60_000, 1_767_225_600_000, 5_400_000)
    assert [(each.path, each.labels, each.steps) for each in first.series] == [
        (("up",), Labels({"job": "api"}), [(0, 1.0), (2, STALE)]),
        (("health_check", "database", "status"), NO_LABELS, [(0, "ok"), (1, "ok")]),
        (("a.b",), NO_LABELS, [(0, 7.0)]),
    ]
    (alert,) = first.alerts
    assert (alert.at, alert.alertname, alert.unknown) == (300_000, "A", "could not")
    assert alert.expected == (({"job": "api", "tier": "1"}, {"on": "true"}, "why"),)
    (expression,) = first.expressions
    assert expression.expected == (
        (Labels({"__name__": "up", "job": "api"}), float("inf")),
        (NO_LABELS, float("-inf")),
        (NO_LABELS, "ok"),
    )
    assert first.outages == (
        Outage("health_check", NO_LABELS, 60_000, 120_000, "dead"),
        Outage("", Labels({"job": "api"}), 0, None, "made to fail by the test"),
    )
    assert (first.external_labels, first.external_url) == ({"region": "eu"}, "http://x.test")
    assert (second.name, second.interval, second.start, second.outages) == ("test 2", 30_000, 0, None)
    assert second.alerts[0].expected == ()


BAD = [
    ("unknown key", "tests: []\nrule_file: [a]\n", "2:1: unknown key 'rule_file', did you mean rule_files?"),
    ("no tests", "rule_files: [a.yaml]\n", "1:1: key 'tests' is missing"),
    ("a list", "- tests: []\n", "1:1: what stands here must be a mapping"),
    ("empty", "# nothing\n", ":1: holds nothing"),
    ("two documents", "tests: []\n---\ntests: []\n", "3:1: a test file is one document"),
    ("not YAML", "tests: [\n", "2:1: is not YAML"),
    ("unknown key in a test", "tests:\n- intervall: 1m\n", "2:3: unknown key 'intervall', did you mean interval?"),
    (
        "histograms",
        "tests:\n- promql_expr_test:\n  - expr: x\n    eval_time: 1m\n    exp_samples: [{histogram: '{{}}'}]\n",
        "5:20: key 'histogram' is a native histogram: only numbers are compared, so write the classic buckets",
    ),
    ("bad eval_time", "tests:\n- alert_rule_test: [{eval_time: soon, alertname: A}]\n", "2:33: 'soon' is no duration"),
    ("eval_time without unit", "tests:\n- alert_rule_test: [{eval_time: 5, alertname: A}]\n", "2:33: 5 has no unit"),
    ("no alertname", "tests:\n- alert_rule_test: [{eval_time: 5m}]\n", "2:21: key 'alertname' is missing"),
    ("interval of nothing", "tests:\n- interval: 0s\n", "2:13: interval must be longer than nothing"),
    (
        "evaluation of nothing",
        "evaluation_interval: 0\ntests: []\n",
        "1:22: evaluation_interval must be longer than nothing",
    ),
    ("bad series", "tests:\n- input_series: [{series: 'up{job=~\"a\"}', values: '1'}]\n", "2:35: '=' was expected"),
    ("no name", "tests:\n- input_series: [{series: '{a=\"b\"}', values: '1'}]\n", "2:27: a series needs a name"),
    (
        "bad values",
        "tests:\n- input_series: [{series: up, values: 1 2 x3}]\n",
        "2:43: a number, `_`, `stale` or a text in quotes was expected",
    ),
    (
        "bad values in a fold",
        "tests:\n- input_series:\n  - series: up\n    values: >-\n      1\n      2 y\n",
        "4:13: a number, `_`, `stale` or a text in quotes was expected (character 5 of the text)",
    ),
    (
        "series twice",
        "tests:\n- input_series: [{series: up, values: 1}, {series: 'up{}', values: 1}]\n",
        "2:52: this series stands here twice",
    ),
    ("no values", "tests:\n- input_series: [{series: up}]\n", "2:18: key 'values' is missing"),
    ("group twice", "group_eval_order: [a, a]\ntests: []\n", "1:19: a group is named twice"),
    ("tests as rules", "rule_files: [a.test.yaml]\ntests: []\n", "1:14: this names tests, not rules"),
    ("bad start", "tests:\n- start_timestamp: yesterday\n", "2:20: 'yesterday' is no time"),
    (
        "unknown without faults",
        "tests:\n- alert_rule_test: [{eval_time: 1m, alertname: A, exp_unknown: x}]\n",
        "2:51: nothing is unknown in a test without `faults`",
    ),
    ("fault of nothing", "tests:\n- faults: [{from: 1m}]\n", "2:12: either 'source' or 'series' must be given"),
    (
        "fault of a metric",
        "tests:\n- faults: [{series: 'up{}'}]\n",
        "2:21: only labels stand here: a page fails as a whole",
    ),
    ("fault backwards", "tests:\n- faults: [{source: a, from: 2m, to: 1m}]\n", "2:38: `to` must be later than `from`"),
    (
        "bad labels",
        "tests:\n- promql_expr_test: [{expr: x, eval_time: 1m, exp_samples: [{labels: 'a b', value: 1}]}]\n",
        "2:73: the end of the series was expected here",
    ),
    (
        "too long",
        "rule_files: [a]\nevaluation_interval: 1ms\ntests:\n- promql_expr_test: [{eval_time: 1d, expr: a}]\n",
        "4:3: more than 1,000,000 evaluations",
    ),
    (
        "too many readings",
        "tests:\n- interval: 1ms\n  faults: []\n  alert_rule_test: [{eval_time: 1d, alertname: A}]\n",
        "2:3: more than 1,000,000 readings",
    ),
]


@pytest.mark.parametrize(("text", "message"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, message):
    """File, line, column, what, and what to do."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    found = [str(problem) for problem in caught.value.problems]
    assert any(message in line and line.startswith("x.test.yaml") for line in found), found


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    """Not the first only."""
    text = """\
        tests:
        - input_series: [{series: 'up{', values: 1}, {series: a, values: x}]
          start_timestamp: never
        """
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert [(each.line, each.column) for each in caught.value.problems] == [(2, 31), (2, 66), (3, 20)]


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    """And no traceback."""
    with pytest.raises(ConfigError) as caught:
        read_cases(tmp_path / "none.yaml", "none.yaml")
    assert "cannot be read" in str(caught.value)
