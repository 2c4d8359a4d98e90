"""The example of docs/testing.md holds, and fails in the words that the page shows."""

from __future__ import annotations

import re
from pathlib import Path

from alerting.casework.runner import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
NAME = "rules/database-down.test.yaml"


def written(folder):
    """Write the files of the example, each under the name in its first line; give the test file's."""
    found = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    for name, text in found:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"# {name}\n{text}")
    return dict(found)[NAME]


def test_the_example_holds(tmp_path, monkeypatch):
    """As it stands."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    assert run([NAME]).text() == "9 checks passed, 2 tests in 1 file"


def test_the_failure_that_is_shown_is_the_one_that_comes(tmp_path, monkeypatch):
    """With the change that the page names."""
    monkeypatch.chdir(tmp_path)
    text = written(tmp_path)
    change = re.search(r"\(`(exp_messages: .*?)` in place of `exp_held`\)", PAGE)
    held = re.search(r"exp_held: \[.*?\]", text)
    assert change
    assert held
    (tmp_path / NAME).write_text(f"# {NAME}\n{text.replace(held[0], change[1])}")
    (shown,) = re.findall(r"```\n(FAILED .*?)\n```", PAGE, re.DOTALL)
    assert run([NAME]).text() == shown


def test_the_settings_that_are_shown_within_a_test_load(tmp_path):
    """As a part of a test file."""
    (block,) = re.findall(r"```yaml\n(settings:\n.*?)```", PAGE, re.DOTALL)
    (tmp_path / "x.test.yaml").write_text(
        f"{block}tests: [{{promql_expr_test: [{{expr: '1', eval_time: 0s, exp_samples: [{{value: 1}}]}}]}}]\n"
    )
    assert run([tmp_path / "x.test.yaml"]).text() == "1 check passed, 1 test in 1 file"


def test_the_rules_of_the_readme_are_those_of_the_case():
    """Which tests them with Slack and PagerDuty."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```yaml\n(alert: .*?)```", readme, re.DOTALL)
    assert first
    assert first[1] == (ROOT / "tests" / "cases" / "guide.yaml").read_text()
