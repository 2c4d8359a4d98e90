"""The cases under tests/cases hold, each by the runner that users have, and each of their expectations can fail."""

from __future__ import annotations

import copy
import random
import re
import shutil
from pathlib import Path

import pytest
import yaml

from alerting.casework.runner import run
from tests.full import rounds, seed

CASES = Path(__file__).parents[1] / "cases"
FILES = sorted(CASES.glob("*.test.yaml"))
NAMES = [path.name.removesuffix(".test.yaml") for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_case_holds(path):
    """What it says of rules, routes and messages is so."""
    report = run([path])
    assert report.exit_code == 0, report.text()
    assert all(outcome.checks for outcome in report.outcomes())


def test_every_rule_file_of_the_cases_is_used():
    """None is left behind."""
    named = {name for path in FILES for name in yaml.safe_load(path.read_text())["rule_files"]}
    assert named == {path.name for path in CASES.glob("*.yaml") if path not in FILES}


MADE_WRONG = {
    "exp_at": lambda at: "1ms" if at == "0s" else f"{at}1ms",
    "exp_reason": lambda text: f"{text}, says nobody",
    "exp_title": lambda text: f"{text}!",
    "exp_text": lambda text: f"{text}, says nobody",
    "exp_notes": lambda notes: [*notes, "no such note"],
    "exp_loud": lambda loud: not loud,
    "exp_held": lambda held: held[1:] if held else ["nothing of that kind"],
    "exp_step": lambda step: "worse" if step != "worse" else "better",
    "exp_labels": lambda labels: {**labels, "no_such": "label"},
    "exp_messages": lambda messages: messages[1:] if messages else [{}],
    "exp_alerts": lambda alerts: alerts[1:],
}


def places(value, path=()):
    """Give every place of what is expected that can be made wrong."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        if key in MADE_WRONG:
            yield (*path, key)
        if key != "settings":
            yield from places(each, (*path, key))


def spoiled(whole, path):
    """Give a test file with one thing made wrong, and the name of the test that it is in."""
    wrong = copy.deepcopy(whole)
    value = wrong
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = MADE_WRONG[path[-1]](value[path[-1]])
    return wrong


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_an_expectation_that_is_made_wrong_fails(tmp_path, path):
    """A case that cannot fail says nothing: times, reasons, words, alerts, steps, what is held, too many messages."""
    for each in CASES.glob("*.yaml"):
        shutil.copy(each, tmp_path)
    whole = yaml.safe_load(path.read_text())
    found = [each for each in places(whole["tests"], ("tests",)) if "notifications" in each]
    chosen = random.Random(seed(11)).sample(found, min(len(found), rounds(12, len(found))))
    survived = []
    for place in chosen:
        (tmp_path / path.name).write_text(yaml.safe_dump(spoiled(whole, place)))
        name = whole["tests"][place[1]].get("name")
        report = run([tmp_path / path.name], name and f"^{re.escape(name)}$")
        if report.exit_code != 1:
            survived.append((place, report.text()))
    assert survived == []
