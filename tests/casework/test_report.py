"""The report: for people, as JSON and as JUnit, with one exit code."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from alerting.casework.report import Failure, FileOutcome, Outcome, Report
from alerting.errors import Problem
from alerting.model import Origin

HERE = Origin("a.test.yaml", 3, 5)
GOOD = Outcome("all is well", HERE, 2)
BAD = Outcome(
    'it <breaks> \x1b & "more"', HERE, 3, (Failure("Down at 5m", ("missing     {}", "the rule    up == 0 \x00"), HERE),)
)
BROKEN = FileOutcome("b.test.yaml", problems=(Problem("unknown key 'x'", "b.test.yaml", 1, 1),))

CODES = [
    (Report(()), 0),
    (Report((FileOutcome("a", (GOOD,)),)), 0),
    (Report((FileOutcome("a", (GOOD, BAD)),)), 1),
    (Report((FileOutcome("a", (GOOD, BAD)), BROKEN)), 2),
    (Report((FileOutcome("a", (GOOD,), (Problem("odd", warning=True),)),)), 0),
    (Report((FileOutcome("a"),), selected=True), 2),
    (Report((FileOutcome("a"),)), 0),
]


@pytest.mark.parametrize(("report", "code"), CODES)
def test_the_exit_code_says_passed_failed_or_unusable(report, code):
    """2 goes before 1; a pattern that fits nothing is no success."""
    assert report.exit_code == code


def test_people_read_what_failed_and_one_line_for_all():
    """A test that passed is only counted."""
    assert Report((FileOutcome("a.test.yaml", (GOOD, BAD)),)).text() == (
        'FAILED a.test.yaml:3:5 it <breaks> \x1b & "more"\n'
        "  a.test.yaml:3:5: Down at 5m\n"
        "    missing     {}\n"
        "    the rule    up == 0 \x00\n"
        "1 of 5 checks failed, 2 tests in 1 file"
    )


SUMMARIES = [
    (Report((FileOutcome("a", (GOOD,)),)), "2 checks passed, 1 test in 1 file"),
    (Report((FileOutcome("a"),), selected=True), "no test has a name that fits the pattern"),
    (Report((BROKEN,)), "1 file cannot be used; 0 of 0 checks failed, 0 tests in 1 file"),
]


@pytest.mark.parametrize(("report", "summary"), SUMMARIES)
def test_the_last_line_sums_up(report, summary):
    """Whatever came before."""
    assert report.text().splitlines()[-1] == summary


def test_colour_is_only_there_when_asked_for():
    """On a terminal, that is."""
    report = Report((FileOutcome("a", (GOOD, BAD)),))
    assert ("\x1b[31m" in report.text(colour=True), "\x1b[31m" in report.text()) == (True, False)


def test_machines_read_the_same():
    """All files, tests, failures and problems."""
    value = json.loads(Report((FileOutcome("a.test.yaml", (GOOD, BAD)), BROKEN)).json())
    assert (value["exit"], value["tests"], value["checks"], value["failed"]) == (2, 2, 5, 1)
    assert value["files"][0]["tests"][1]["failures"] == [
        {"what": "Down at 5m", "line": 3, "column": 5, "lines": ["missing     {}", "the rule    up == 0 \x00"]}
    ]
    assert value["files"][1]["problems"][0]["message"] == "unknown key 'x'"


def test_build_servers_read_well_formed_junit():
    """Names with markup and control characters included."""
    root = ET.fromstring(Report((FileOutcome("a.test.yaml", (GOOD, BAD)), BROKEN)).junit())  # noqa: S314  our own text
    suites = [(each.get("name"), each.get("tests"), each.get("failures"), each.get("errors")) for each in root]
    assert suites == [("a.test.yaml", "2", "1", "0"), ("b.test.yaml", "1", "0", "1")]
    case = root[0][1]
    assert (case.get("name"), case.get("assertions")) == ('it <breaks> \ufffd & "more"', "3")
    assert case[0].text == "a.test.yaml:3:5: Down at 5m\nmissing     {}\nthe rule    up == 0 \ufffd"
    assert root[1][0][0].text == "b.test.yaml:1:1: unknown key 'x'"
