"""`alerting test`: rules are judged as Prometheus' own tool judges them, and differences say what led there."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from alerting.casework.runner import run
from alerting.errors import ConfigError

PEER = Path(__file__).parent / "fixtures" / "peer"
SHIPPED = Path(__file__).parents[2] / "rules"
PROMQL = Path(__file__).parents[3] / "shared" / "promql"
PROMTOOL = shutil.which("promtool")


def play(tmp_path, tests, pattern=None, **files):
    """Write rule files and a test file (without its `rule_files`), and run it."""
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(dedent(text))
    path = tmp_path / "x.test.yaml"
    named = ", ".join(f"{name}.yaml" for name in files)
    path.write_text(f"rule_files: [{named}]\n{dedent(tests)}")
    return run([path], pattern)


def said(report):
    """The lines of all failures, without where they stand."""
    return [
        line for outcome in report.outcomes() for failure in outcome.failures for line in (failure.what, *failure.lines)
    ]


# ------------------------------------------------------------------------------------------- as the real one


def test_a_file_that_promtool_passes_passes_here():
    """Recording rules, `for`, `keep_firing_for`, templates, ALERTS, staleness, order of groups."""
    report = run([PEER / "peer.test.yaml"])
    assert report.text() == "23 checks passed, 3 tests in 1 file"


def mutations():
    """Give the peer file 23 times, each with another check made wrong."""
    whole = yaml.safe_load((PEER / "peer.test.yaml").read_text())
    for place, test in enumerate(whole["tests"]):
        for kind, key in (("alert_rule_test", "exp_alerts"), ("promql_expr_test", "exp_samples")):
            for index in range(len(test.get(kind, ()))):
                wrong = copy.deepcopy(whole)
                check = wrong["tests"][place][kind][index]
                other = {"exp_labels": {"no": "such"}} if kind == "alert_rule_test" else {"labels": "none", "value": 1}
                check[key] = check[key][1:] if check.get(key) else [other]
                yield pytest.param(wrong, id=f"{place}-{kind}-{index}")


@pytest.mark.parametrize("wrong", list(mutations()))
def test_a_check_that_is_wrong_fails_and_no_other_does(tmp_path, wrong):
    """Each of them, made wrong one by one."""
    shutil.copytree(PEER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "peer.test.yaml").write_text(yaml.safe_dump(wrong))
    report = run([tmp_path / "peer.test.yaml"])
    assert (report.exit_code, sum(len(each.failures) for each in report.outcomes())) == (1, 1)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_passes_the_peer_file():
    """The real one, on the very same files."""
    ran = subprocess.run(
        [PROMTOOL, "test", "rules", "peer.test.yaml"], cwd=PEER, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("wrong", list(mutations()))
def test_promtool_fails_what_fails_here(tmp_path, wrong):
    """The same 23 wrong files."""
    shutil.copytree(PEER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "peer.test.yaml").write_text(yaml.safe_dump(wrong))
    ran = subprocess.run([PROMTOOL, "test", "rules", "peer.test.yaml"], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 1


@pytest.mark.skipif(not PROMQL.is_dir(), reason="Prometheus' own cases are not beside this checkout")
def test_prometheus_own_cases_hold():
    """All of them."""
    report = run(sorted(PROMQL.glob("*.yaml")))
    checks = sum(outcome.checks for outcome in report.outcomes())
    assert (said(report), report.exit_code, checks) == ([], 0, 382)


# ------------------------------------------------------------------------------------------- our own rules


def test_every_shipped_rule_has_tests_that_hold():
    """One test file beside each."""
    tests = sorted(SHIPPED.glob("*.test.yaml"))
    rules = [path for path in SHIPPED.glob("*.yaml") if path not in tests]
    assert sorted(path.name.replace(".test", "") for path in tests) == sorted(path.name for path in rules)
    report = run(tests)
    assert (said(report), report.exit_code) == ([], 0)
    assert len(report.outcomes()) >= len(tests)


BROKEN = [
    ("database-down", "!= 'ok'", "== 'error'"),
    ("disk-space-low", "> 85%", ">= 85%"),
    ("disk-space-low", "> 85%", "> 90%"),
    ("high-error-rate", "> 10", ">= 10"),
    ("high-error-rate", "> 10", "> 30"),
    ("slow-api", "> 1000ms", ">= 1000ms"),
    ("slow-api", "> 1000ms", "> 1000s"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), BROKEN)
def test_the_tests_of_shipped_rules_notice_a_wrong_threshold(tmp_path, name, right, wrong):
    """A test that cannot fail says nothing."""
    text = (SHIPPED / f"{name}.yaml").read_text()
    assert right in text
    (tmp_path / f"{name}.yaml").write_text(text.replace(right, wrong))
    shutil.copy(SHIPPED / f"{name}.test.yaml", tmp_path)
    assert run([tmp_path / f"{name}.test.yaml"]).exit_code == 1


# ------------------------------------------------------------------------------------------- what led there

LEVEL = """\
    groups:
    - name: g
      rules:
      - {alert: High, expr: level > 10, for: 1m, labels: {severity: page}, annotations: {s: 'is {{ $value }}'}}
    """


def test_a_difference_of_alerts_says_expected_got_and_what_led_there(tmp_path):
    """Labels, annotations, the rule, its samples and the life of its alerts."""
    tests = """\
        tests:
        - interval: 1m
          input_series:
          - {series: 'level{host="a"}', values: 5 20 30}
          - {series: 'level{host="b"}', values: 20 20 5}
          alert_rule_test:
          - eval_time: 2m
            alertname: High
            exp_alerts:
            - {exp_labels: {host: a, severity: info}, exp_annotations: {s: is 31}}
            - {exp_labels: {host: c, severity: page}}
        """
    report = play(tmp_path, tests, rules=LEVEL)
    assert said(report) == [
        "High at 2m",
        'differs     {alertname="High",host="a",severity="page"}',
        "            label severity: expected 'info', got 'page'",
        "            annotation s: expected 'is 31', got 'is 30'",
        'missing     {alertname="High",host="c",severity="page"}',
        f"the rule    level > 10 ({report.files[0].file.replace('x.test', 'rules')}:4)",
        '            level{host="a"} 0s=5  1m=20  2m=30',
        '            level{host="b"} 0s=20  1m=20  2m=5',
        '0s          inactive -> pending {host="b"}: level{host="b"} = 20 > 10',
        '1m          inactive -> pending {host="a"}: level{host="a"} = 20 > 10',
        '1m          pending -> firing {host="b"}: level{host="b"} = 20 > 10',
        '2m          pending -> firing {host="a"}: level{host="a"} = 30 > 10',
        '2m          firing -> resolved {host="b"}: level{host="b"} = 5, not > 10',
    ]
    assert f"{report.files[0].file}:8:5: High at 2m" in report.text()


def test_a_difference_of_series_says_expected_got_and_the_samples(tmp_path):
    """All series that differ."""
    tests = """\
        tests:
        - interval: 1m
          input_series: [{series: 'x{a="1"}', values: 1 2}, {series: 'x{a="2"}', values: 3 stale}]
          promql_expr_test:
          - {expr: x * 2, eval_time: 1m, exp_samples: [{labels: '{a="1"}', value: 5}, {labels: '{a="2"}', value: 6}]}
        """
    assert said(play(tmp_path, tests)) == [
        "x * 2 at 1m",
        'expected    {a="1"} = 5',
        'got         {a="1"} = 4',
        'missing     {a="2"} = 6',
        '            x{a="1"} 0s=1  1m=2',
        '            x{a="2"} 0s=3',
    ]


FAILURES = [
    (
        "a rule that is not there",
        "{eval_time: 1m, alertname: Higher, exp_alerts: [{}]}",
        ['missing     {alertname="Higher"}', "no rule is called Higher, did you mean High?"],
    ),
]


@pytest.mark.parametrize(("check", "lines"), [each[1:] for each in FAILURES], ids=[each[0] for each in FAILURES])
def test_a_check_that_cannot_hold_says_why(tmp_path, check, lines):
    """Names that are none."""
    report = play(tmp_path, f"tests:\n- alert_rule_test: [{check}]\n", rules=LEVEL)
    assert said(report)[1:] == lines


EXPRESSIONS = [
    ("does not parse", "sum(", "(character"),
    ("many to many", "x * on () x", "no answer"),
    ("a text is compared exactly", "s == 'no'", "missing"),
    ("a range is no answer", "x[5m]", ""),
]


@pytest.mark.parametrize(
    ("expression", "part"), [each[1:] for each in EXPRESSIONS], ids=[each[0] for each in EXPRESSIONS]
)
def test_an_expression_without_an_answer_fails_in_words(tmp_path, expression, part):
    """And never raises."""
    check = f'{{expr: "{expression}", eval_time: 1m, exp_samples: [{{labels: z, value: 1}}]}}'
    tests = f"""\
tests:
- input_series:
  - {{series: 'x{{a="1"}}', values: 1 2}}
  - {{series: 'x{{a="2"}}', values: 3 4}}
  - {{series: s, values: "'a' 'b'"}}
  promql_expr_test: [{check}]
"""
    report = play(tmp_path, tests)
    assert report.exit_code == 1
    assert any(part in line for line in said(report)[1:])


def test_a_rule_that_cannot_be_evaluated_fails_the_test(tmp_path):
    """Once, with its reason, even where every check holds."""
    rules = """\
        groups:
        - name: g
          rules: [{alert: Bad, expr: x * on () x > 0}]
        """
    tests = """\
        tests:
        - input_series: [{series: 'x{a="1"}', values: 1x9}, {series: 'x{a="2"}', values: 1x9}]
          alert_rule_test: [{eval_time: 5m, alertname: Bad}]
        """
    report = play(tmp_path, tests, rules=rules)
    assert said(report)[0] == "Bad could not be evaluated at 0s"
    assert len([line for line in said(report) if "could not be evaluated" in line]) == 1


# ------------------------------------------------------------------------------------------- meaning of keys


def test_groups_are_evaluated_in_the_order_asked_for(tmp_path):
    """A rule sees what a group before it recorded at the same moment."""
    rules = """\
        groups:
        - {name: reads, rules: [{record: second, expr: first + 1}]}
        - {name: writes, rules: [{record: first, expr: x}]}
        """
    tests = """\
        group_eval_order: [writes, reads]
        tests:
        - input_series: [{series: x, values: 1 2 3}]
          promql_expr_test: [{expr: second, eval_time: 2m, exp_samples: [{labels: second, value: 4}]}]
        """
    assert play(tmp_path, tests, rules=rules).exit_code == 0
    assert play(tmp_path, tests.replace("[writes, reads]", "[reads, writes]"), rules=rules).exit_code == 1


def test_time_begins_at_the_start_timestamp(tmp_path):
    """Of the test, as seconds or as a date; times of checks count from there."""
    tests = """\
        tests:
        - start_timestamp: 2026-01-01T00:00:00Z
          input_series: [{series: x, values: 1 2}]
          promql_expr_test:
          - {expr: time(), eval_time: 1m, exp_samples: [{value: 1767225660}]}
          - {expr: timestamp(x), eval_time: 1m, exp_samples: [{value: 1767225660}]}
        - start_timestamp: 1000.5
          promql_expr_test: [{expr: time(), eval_time: 0, exp_samples: [{value: 1000.5}]}]
        """
    assert said(play(tmp_path, tests)) == []


def test_a_subquery_without_a_step_takes_the_evaluation_interval(tmp_path):
    """In rules and in expressions, as promtool does."""
    rules = "groups: [{name: g, rules: [{record: steps, expr: 'count_over_time(x[10m:])'}]}]\n"
    tests = """\
        evaluation_interval: 2m
        tests:
        - interval: 1m
          input_series: [{series: x, values: 1x30}]
          promql_expr_test:
          - {expr: steps, eval_time: 20m, exp_samples: [{labels: steps, value: 5}]}
          - {expr: 'count_over_time(x[10m:])', eval_time: 20m, exp_samples: [{value: 5}]}
        """
    assert said(play(tmp_path, tests, rules=rules)) == []


def test_a_pattern_runs_the_tests_whose_names_hold_it(tmp_path):
    """Tests without a name are `test 1`, `test 2` …; a pattern that fits none is an error."""
    tests = """\
        tests:
        - {name: the good one, promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 1}]}]}
        - {promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 2}]}]}
        """
    codes = {pattern: play(tmp_path, tests, pattern).exit_code for pattern in (None, "good", "^test 2$", "none")}
    assert codes == {None: 1, "good": 0, "^test 2$": 1, "none": 2}
    with pytest.raises(ConfigError, match="no regular expression for names of tests: missing"):
        run([], "(")


def test_a_rule_that_is_switched_off_does_not_fire(tmp_path):
    """As in earnest."""
    rule = "alert: Off\ncondition: x > 0\nenabled: false\n"
    tests = """\
        tests:
        - input_series: [{series: x, values: 1x5}]
          alert_rule_test: [{eval_time: 5m, alertname: 'Off'}]
        """
    assert play(tmp_path, tests, rules=rule).exit_code == 0
    assert play(tmp_path, tests, rules=rule.replace("false", "true")).exit_code == 1


# ------------------------------------------------------------------------------------------- missing data

PAGE = "alert: Slow\ncondition: latency > 1\nfor: 2m\nannotations: {why: '{{ $why }}'}\n"


def test_pages_fail_by_their_labels(tmp_path):
    """The page of one job cannot be read: its alert stays, the other's goes on; `for` stands still meanwhile."""
    tests = """\
        tests:
        - interval: 1m
          input_series:
          - {series: 'latency{job="a"}', values: 2 _x3 2 2 2}
          - {series: 'latency{job="b"}', values: 2 2 2 2 0 0 0 0}
          faults: [{series: '{job="a"}', from: 1m, to: 4m, why: timed out}]
          alert_rule_test:
          - eval_time: 2m
            alertname: Slow
            exp_alerts: [{exp_labels: {job: b}, exp_annotations: {why: 'latency{job="b"} = 2 > 1'}}]
            exp_unknown: 'could not read metrics: timed out'
          - {eval_time: 4m, alertname: Slow}
          - eval_time: 5m
            alertname: Slow
            exp_alerts: [{exp_labels: {job: a}, exp_annotations: {why: 'latency{job="a"} = 2 > 1'}}]
          promql_expr_test:
          - {expr: 'up{job="a"}', eval_time: 3m, exp_samples: [{labels: 'up{job="a"}', value: 0}]}
          - {expr: 'up{job="a"}', eval_time: 6m, exp_samples: [{labels: 'up{job="a"}', value: 1}]}
        """
    assert said(play(tmp_path, tests, rules=PAGE)) == []


def test_a_source_that_fails_is_not_up(tmp_path):
    """`source.up` is 0 then, and a field of its answer is unknown, whatever the bound."""
    rules = """\
        rules:
        - {alert: Down, condition: health_check.up == 0}
        - {alert: High, condition: health_check.queue > 5, on_missing: fire}
        - {alert: Low, condition: health_check.queue < 5}
        """
    tests = """\
        tests:
        - interval: 1m
          input_series: [{series: health_check.queue, values: 1 _x2 1}]
          faults: [{source: health_check, from: 1m, to: 3m, why: connection refused}]
          alert_rule_test:
          - {eval_time: 0, alertname: Down}
          - {eval_time: 1m, alertname: Down, exp_alerts: [{exp_reason: health_check.up = 0}]}
          - {eval_time: 1m, alertname: High, exp_alerts: [{exp_reason: connection refused}]}
          - {eval_time: 2m, alertname: Low, exp_alerts: [{}], exp_unknown: connection refused}
          - {eval_time: 3m, alertname: Down}
          - {eval_time: 3m, alertname: High}
        """
    assert said(play(tmp_path, tests, rules=rules)) == []


def test_what_was_to_be_unknown_and_is_not_is_a_difference(tmp_path):
    """And the reason that there is, is told."""
    tests = """\
        tests:
        - interval: 1m
          input_series: [{series: 'latency', values: 0 0}]
          faults: []
          alert_rule_test: [{eval_time: 1m, alertname: Slow, exp_unknown: timed out}]
        """
    assert "unknown     expected because 'timed out', got: everything could be judged" in said(
        play(tmp_path, tests, rules=PAGE)
    )


# ------------------------------------------------------------------------------------------- files that are wrong

WRONG = [
    ("rule_files: [none.yaml]\ntests: []\n", "x.test.yaml:1:14: there is no rule file none.yaml"),
    ("rule_files: [none/*.yaml]\ntests: []\n", "x.test.yaml:1:14: no rule file fits none/*.yaml"),
    ("rule_files: [bad.yaml]\ntests: []\n", "bad.yaml:2:1: unknown key 'conditon'"),
    ("alert: A\ncondition: x > 1\n", "x.test.yaml:1:1: holds rules, not tests"),
    ("tests: [{intervl: 1m}]\n", "x.test.yaml:1:10: unknown key 'intervl'"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_file_that_is_wrong_is_not_run(tmp_path, text, message):
    """Exit code 2, with the place; other files still run."""
    (tmp_path / "bad.yaml").write_text("alert: A\nconditon: x > 1\n")
    (tmp_path / "x.test.yaml").write_text(text)
    report = run([tmp_path / "x.test.yaml", PEER / "peer.test.yaml"])
    assert (report.exit_code, report.files[0].outcomes, len(report.files[1].outcomes)) == (2, (), 3)
    assert message in report.text()


# ------------------------------------------------------------------------------------------- levels and clear

LEVELS = """
alert: Disk
levels: {warning: disk_usage > 85%, critical: disk_usage > 95%}
clear: disk_usage < 80%
annotations: {summary: "{{ $value }} on {{ $labels.mount }}"}
"""
FILLING = """
tests:
  - interval: 1m
    input_series: [{series: 'disk_usage{mount="/"}', values: 80 90 96 90 82 70}]
    alert_rule_test:
      - {eval_time: 0m, alertname: Disk}
      - eval_time: 1m
        alertname: Disk
        exp_alerts: [{exp_labels: {mount: /, severity: warning}, exp_annotations: {summary: 90 on /}}]
      - eval_time: 2m
        alertname: Disk
        exp_alerts: [{exp_labels: {mount: /, severity: critical}, exp_annotations: {summary: 96 on /}}]
      - eval_time: 4m
        alertname: Disk
        exp_alerts: [{exp_labels: {mount: /, severity: SEVERITY}, exp_annotations: {summary: 90 on /}}]
      - {eval_time: 5m, alertname: Disk}
    promql_expr_test:
      - expr: count(ALERTS{severity="critical"})
        eval_time: 2m
        exp_samples: [{labels: "{}", value: 1}]
"""


def test_a_level_is_the_severity_that_a_test_expects(tmp_path):
    """It moves up and down, and the alert is held until it is clear."""
    assert (
        play(tmp_path, FILLING.replace("SEVERITY", "warning"), a=LEVELS).text() == "6 checks passed, 1 test in 1 file"
    )


def test_a_difference_shows_every_level_and_how_it_came_to_it(tmp_path):
    """The conditions by name, and each move with its reason."""
    lines = said(play(tmp_path, FILLING.replace("SEVERITY", "critical"), a=LEVELS))
    rule = "warning: disk_usage > 85%; critical: disk_usage > 95%; clear: disk_usage < 80%"
    assert any(line.startswith(f"the rule    {rule} (") for line in lines)
    assert "            label severity: expected 'critical', got 'warning'" in lines
    assert any('firing -> firing (critical) {mount="/"}: disk_usage{mount="/"} = 96% > 95%' in line for line in lines)
