"""`validate`: what is checked, and against what."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerting.config import starter
from alerting.config.validate import validate
from alerting.patterns import compile_pattern
from tests.config.reading import FIXTURES, SETTINGS

ROOT = Path(__file__).parents[2]
GOOD = "alert: A\ncondition: disk_usage > 85%\nnotify: nobody_knows\n"


def checked(folder: Path, *files: str, explicit: str | None = None) -> list[str]:
    """Validate, with no variable set."""
    return [str(each).splitlines()[0] for each in validate(explicit, files, {}, folder, compile_pattern)]


def test_files_named_are_checked_by_themselves(tmp_path: Path) -> None:
    """Settings or not, even broken ones: names are open and receivers are not looked up."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("alert: B\ncondition: app.status != 'ok' or anything > 1\n")
    for settings in (None, "receivers: {ops: {type: console}}\n", "nonsense: true\n", "{"):
        if settings is not None:
            (tmp_path / "alerting.yaml").write_text(settings)
        assert checked(tmp_path, "a.yaml", "b.yaml") == []
    (tmp_path / "a.yaml").write_text("alert: A\ncondition: disk_usage > 1000ms\n")
    assert "a.yaml:2:" in checked(tmp_path, "a.yaml")[0]


def test_a_settings_file_named_is_checked_as_what_it_is(tmp_path: Path) -> None:
    """Not as a rule with unknown keys."""
    (tmp_path / "alerting.yaml").write_text("intervall: 1m\n")
    assert checked(tmp_path, "alerting.yaml") == ["alerting.yaml:1:1: unknown key 'intervall', did you mean interval?"]
    (tmp_path / "other.yaml").write_text("interval: 1m\n")
    assert checked(tmp_path, "other.yaml", explicit="other.yaml") == []


def test_a_test_file_named_is_sent_to_its_own_command(tmp_path: Path) -> None:
    """`alerting test` runs it."""
    assert checked(tmp_path, "a.test.yaml") == [
        "a.test.yaml: holds tests, not rules, run them: alerting test a.test.yaml"
    ]


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str) -> None:
    """With the system's reason."""
    [problem] = checked(tmp_path, name)
    assert "cannot be read" in problem or "not a regular file" in problem


def test_rules_are_checked_even_where_settings_are_broken(tmp_path: Path) -> None:
    """All at once: the settings' problems first."""
    (tmp_path / "alerting.yaml").write_text("intervall: 1m\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text("alert: A\ncondition: disk_usage > > 1\n")
    (tmp_path / "rules" / "a.test.yaml").write_text("tests: []\n")
    first, second = checked(tmp_path)
    assert first.startswith("alerting.yaml:1:1:")
    assert second.startswith("rules/a.yaml:2:")


def test_problems_of_settings_and_rules_come_together(tmp_path: Path) -> None:
    """Warnings among them."""
    text = "receivers:\n  ops: {type: slack, webhook_url: '${NOT_SET_ANYWHERE}'}\n"
    (tmp_path / "alerting.yaml").write_text(text)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(GOOD)
    first, second = checked(tmp_path)
    assert "warning: environment variable NOT_SET_ANYWHERE" in first
    assert "no receiver 'nobody_knows', known receivers: ops" in second


def test_files_are_named_as_seen_from_the_working_folder(tmp_path: Path) -> None:
    """Settings and rules of another folder, so that a click leads there; ids hang on the settings' folder."""
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there / "rules", here):
        folder.mkdir(parents=True)
    (there / "alerting.yaml").write_text("receivers:\n  ops: {type: slack, webhook_url: '${NOT_SET_ANYWHERE}'}\n")
    (there / "rules" / "a.yaml").write_text(GOOD)
    assert [each.partition(":")[0] for each in checked(tmp_path, explicit="there/alerting.yaml")] == [
        "there/alerting.yaml",
        "there/rules/a.yaml",
    ]
    assert [each.partition(":")[0] for each in checked(here, explicit="../there/alerting.yaml")] == [
        "../there/alerting.yaml",
        "../there/rules/a.yaml",
    ]


def test_what_init_writes_is_good(tmp_path: Path) -> None:
    """The settings, the rule, and every line of the settings that is commented out."""
    (tmp_path / "rules").mkdir()
    (tmp_path / starter.SETTINGS_FILE).write_text(starter.SETTINGS)
    (tmp_path / starter.RULE_FILE).write_text(starter.RULE)
    assert checked(tmp_path) == []
    lines = [
        line.replace("  # ", "  ", 1) if line.startswith("  # ") else line
        for line in starter.SETTINGS.splitlines()
        if not line.startswith("  ops: {type: console}")
    ]
    (tmp_path / starter.SETTINGS_FILE).write_text("\n".join(lines))
    assert [each for each in checked(tmp_path) if "is not set" not in each] == []
    assert len(checked(tmp_path)) == 3


def test_the_shipped_rules_are_good_under_the_settings_as_printed(tmp_path: Path) -> None:
    """And say exactly what was asked for."""
    (tmp_path / "alerting.yaml").write_text(SETTINGS.read_text())
    texts = ""
    (tmp_path / "rules").mkdir()
    for path in sorted((ROOT / "rules").glob("*.yaml")):
        (tmp_path / "rules" / path.name).write_text(path.read_text())
        texts += path.read_text() if not path.name.endswith(".test.yaml") else ""
    assert [each for each in checked(tmp_path) if "is not set" not in each] == []
    assert checked(ROOT, *(f"rules/{path.name}" for path in (ROOT / "rules").glob("*e.yaml"))) == []
    for line in (FIXTURES / "four-rules.good.yaml").read_text().splitlines():
        assert line == "---" or line in texts
