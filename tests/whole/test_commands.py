"""Every other command, as a user types it: on a good day, on a bad one, and what the help says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.cli.main import parser
from tests.whole.scene import ROUTING_KEY, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
COMMANDS = sorted(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment."""
    with Scene(tmp_path) as made:
        yield made


def alerting(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder."""
    line = [sys.executable, "-m", "alerting", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_init_writes_what_works_at_once(tmp_path: Path) -> None:
    """Init, validate, check: no problem, and nothing that exists is touched."""
    assert alerting(tmp_path, "init").returncode == 0
    assert alerting(tmp_path, "validate").stdout == "no problems\n"
    assert alerting(tmp_path, "check").returncode in (0, 1)
    before = (tmp_path / "alerting.yaml").read_text()
    again = alerting(tmp_path, "init")
    assert again.returncode == 2
    assert "left as it is" in again.stderr
    assert (tmp_path / "alerting.yaml").read_text() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "rules").write_text("no folder")
    refused = alerting(other, "init")
    assert (refused.returncode, refused.stderr) == (2, "alerting: rules could not be written: File exists\n")
    assert not (other / "alerting.yaml").exists(), "half of it would be in the way of the next try"


def test_validate_reports_all_problems_at_once(scene: Scene) -> None:
    """With file, line, column and what was probably meant; exit 2."""
    scene.rules(
        "alert: A\nconditon: disk_usage > 85%\nnotify: slack\n---\n"
        "alert: B\ncondition: disk_usge > 85%\nnotify: slak\n---\n"
        "alert: C\ncondition: disk_usage > 5 parsecs\nnotify: slack\n"
    )
    done = scene.run("validate", code=2)
    for expected in (
        "all.yaml:2:1",
        "did you mean condition",
        "all.yaml:6:",
        "disk_usage",
        "all.yaml:7:",
        "slack",
        "all.yaml:10:",
    ):
        assert expected in done.stdout
    document = json.loads(scene.run("validate", "-o", "json", code=2).stdout)
    assert len([each for each in document["problems"] if each["level"] == "error"]) >= 4


def test_validate_online_names_what_is_not_there(scene: Scene) -> None:
    """An open name that no page holds is a warning, found by asking."""
    scene.rules("alert: A\ncondition: http_eroors_total > 5\nnotify: slack\n")
    done = scene.run("validate", "--online", code=0)
    assert "http_eroors_total" in done.stdout
    assert "http_errors_total" in done.stdout


def test_validate_checks_files_by_themselves(scene: Scene) -> None:
    """Names are open and receivers are not looked up."""
    scene.rules("alert: A\ncondition: whatever_total > 5\nnotify: nobody\n", "other.yaml")
    scene.run("validate", "other.yaml", code=0)
    scene.run("validate", "absent.yaml", code=2)


def test_query_prints_series_of_every_source(scene: Scene) -> None:
    """With units; unknown things say why; a slip shows a caret."""
    assert "85" not in scene.run("query", "disk_usage > 200%", code=0).stdout
    assert 'disk_usage{mount="/"}' in scene.run("query", "disk_usage >= 0%", code=0).stdout
    document = json.loads(scene.run("query", "-o", "json", "health_check.database.status", code=0).stdout)
    assert document["series"][0]["value"] == "ok"
    assert json.loads(scene.run("query", "-o", "json", "http_errors_total + 1", code=0).stdout)["series"]
    rate = "rate(http_errors_total[5m])"
    once = scene.run("query", rate, code=3).stderr
    assert "unknown" in once
    assert "--wait 30s" in once
    twice = scene.run("query", "--wait", "1s", "-o", "json", rate, code=0).stdout
    assert json.loads(twice)["series"][0]["value"] >= 0
    bad = scene.run("query", "disk_usage >", code=2)
    assert "^" in bad.stderr
    assert "did you mean database.status?" in scene.run("query", "health_check.datbase.status", code=3).stderr
    scene.app.answer(503, "<html>")
    assert "unknown" in scene.run("query", "health_check.database.status", code=3).stderr


def test_sources_prints_every_metric_with_its_value(scene: Scene) -> None:
    """Names as conditions write them, kinds, units; a source that fails is said, exit 3."""
    rows = json.loads(scene.run("sources", "-o", "json", code=0).stdout)["metrics"]
    found = {row["name"]: row for row in rows}
    assert found["disk_usage"]["unit"] == "percent"
    assert found["error_count"]["samples"]
    assert {"up", "host.up", "sentry.up", "health_check.up"} <= set(found), "a bare `up` is that of the pages"
    assert found["health_check.database.status"]["samples"][0]["value"] == "ok"
    assert found["http_errors_total"]["kind"] in ("counter", "unknown")
    assert "disk_usage" in scene.run("sources", code=0).stdout
    scene.sentry.token = "rotated"
    done = scene.run("sources", code=3)
    assert "401" in done.stdout


def test_send_test_reaches_each_receiver(scene: Scene) -> None:
    """An alert marked as a test, and its end; a refusal is exit 3, an unknown name exit 2."""
    scene.run("send-test", "slack", code=0)
    scene.run("send-test", "pagerduty", code=0)
    assert len(scene.slack.accepted) == 2
    assert (scene.pagerduty.incidents.total, scene.pagerduty.incidents.open) == (1, [])
    assert "slack" in scene.run("send-test", "slak", code=2).stderr
    scene.run("send-test", "pagerduty", code=3, PAGERDUTY_ROUTING_KEY="wrong")


def test_send_change_tells_pagerduty_and_pages_nobody(scene: Scene) -> None:
    """All receivers that keep a record of changes, or one; nobody to tell or wrong words: exit 2; a refusal: 3."""
    words = ("send-change", "shop 1.4.2 deployed", "--link", "https://ci.example.org/7", "--details", "by=ann")
    assert "pagerduty took the change" in scene.run(*words, "--source", "ci", code=0).stdout
    scene.run(*words, "--receiver", "pagerduty", code=0)
    first, second = scene.pagerduty.changes
    assert first["payload"]["summary"] == second["payload"]["summary"] == "shop 1.4.2 deployed"
    assert (first["payload"]["source"], first["payload"]["custom_details"]) == ("ci", {"by": "ann"})
    assert scene.pagerduty.incidents.total == 0
    assert not (scene.folder / "alerting.db").exists()
    assert "only PagerDuty's" in scene.run(*words, "--receiver", "slack", code=2).stderr
    assert "did you mean pagerduty" in scene.run(*words, "--receiver", "pagerdutty", code=2).stderr
    assert "NAME=VALUE" in scene.run("send-change", "x", "--details", "by", code=2).stderr
    assert "http://" in scene.run("send-change", "x", "--link", "javascript:x", code=2).stderr
    assert "empty" in scene.run("send-change", " ", code=2).stderr
    assert "run this again" in scene.run(*words, code=3, PAGERDUTY_ROUTING_KEY="wrong").stderr


def test_status_before_anything_ran(scene: Scene) -> None:
    """It says so, and makes no state."""
    assert "nothing was evaluated here yet" in scene.run("status", code=0).stdout
    assert not (scene.folder / "alerting.db").exists()


def test_test_runs_the_files_beside_the_shipped_rules() -> None:
    """Exit 0, and JUnit for CI."""
    files = sorted(str(path) for path in (REPOSITORY / "rules").glob("*.test.yaml"))
    assert files
    done = alerting(REPOSITORY, "test", *files)
    assert done.returncode == 0, done.stdout
    assert "<testsuites" in alerting(REPOSITORY, "test", "--output", "junit", *files).stdout


@pytest.mark.parametrize("name", ["rules", "settings", "sources", "receivers", "tests"])
def test_schema_prints_json(tmp_path: Path, name: str) -> None:
    """For editors."""
    assert json.loads(alerting(tmp_path, "schema", name).stdout)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(tmp_path: Path, shell: str) -> None:
    """For three shells."""
    script = alerting(tmp_path, "completion", shell).stdout
    assert all(command in script for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_and_is_documented(tmp_path: Path, command: str) -> None:
    """`--help` works, and the README names the command."""
    done = alerting(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "usage: alerting" in done.stdout
    assert f"`{command}" in (REPOSITORY / "README.md").read_text()


BAD_LINES = {
    "no command": (),
    "unknown command": ("chekc",),
    "settings that are not there": ("check", "--config", "absent.yaml"),
    "a duration without a unit": ("check", "--every", "5"),
    "no rules": ("check",),
    "an expression that is none": ("query", ")"),
}


@pytest.mark.parametrize("case", sorted(BAD_LINES))
def test_a_slip_is_one_sentence_and_exit_2(tmp_path: Path, case: str) -> None:
    """Never a traceback."""
    done = alerting(tmp_path, *BAD_LINES[case])
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_slip_where_nothing_ever_ran_leaves_nothing_behind(tmp_path: Path) -> None:
    """A wrong folder gets no state file."""
    for command in ("check", "run"):
        assert alerting(tmp_path, command).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_without_settings_it_is_said_what_that_means(tmp_path: Path) -> None:
    """This host alone is read, and messages are printed."""
    (tmp_path / "one.yaml").write_text("alert: Up\ncondition: host_uptime > 0\nnotify: whoever\n")
    done = alerting(tmp_path, "check")
    assert (done.returncode, "-> whoever" in done.stdout) == (1, True)
    assert "messages are printed" in done.stderr
    assert alerting(tmp_path, "check", "--quiet").stderr == ""


def test_an_output_that_takes_nothing_is_said_and_no_fault_of_ours(tmp_path: Path) -> None:
    """A full disk behind standard output: exit 3, in one sentence. A closed one: the work is done all the same."""
    alerting(tmp_path, "init")
    for script, code in (
        ("exec python -m alerting status >/dev/full", 3),
        ("exec python -m alerting check >/dev/full", 3),
        ("exec python -m alerting check >&-", 0),
        ("set -o pipefail; python -m alerting schema | head -1", 0),
    ):
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (script, done.returncode, done.stderr.count("\n")) == (script, code, int(code == 3)), done.stderr


def test_a_wrong_variable_is_refused_like_a_wrong_word(scene: Scene) -> None:
    """Log levels come from either."""
    assert "'loud' is not one of" in scene.run("run", code=2, ALERTING_LOG_LEVEL="loud").stderr
    assert "loud" in scene.run("run", "--log-level", "loud", code=2).stderr


@pytest.mark.slow
def test_f63_no_secret_in_any_output(scene: Scene) -> None:
    """Every command, good and bad days, debug logs: then all output and every file of the state is searched."""
    secrets = {
        "SENTRY_AUTH_TOKEN": "sntryu_MARK1",
        "SLACK_WEBHOOK_URL": f"{scene.slack.url}/services/MARK2/B/MARK3",
        "PAGERDUTY_ROUTING_KEY": "MARK4" + ROUTING_KEY[5:],
    }
    scene.environment = dict(secrets)
    outputs = []
    for words in (
        ("validate",),
        ("validate", "--online"),
        ("sources",),
        ("query", "error_count"),
        ("check",),
        ("status",),
        ("status", "-o", "json"),
        ("check", "-o", "json"),
        ("send-test", "slack"),
        ("send-test", "pagerduty"),
        ("send-change", "x"),
    ):
        done = scene.run(*words)
        outputs.append(done.stdout + done.stderr)
    scene.app.break_database()
    scene.slack.stop()
    scene.pagerduty.stop()
    with scene.daemon("--log-level", "debug", ALERTING_DEBUG="1") as daemon:
        daemon.ready()
    outputs.append(scene.run("check").stdout)
    outputs.append(scene.run("status").stdout)
    ours = [path for path in scene.folder.rglob("*") if path.is_file() and path.name != "pagerduty.jsonl"]
    outputs += [path.read_text("latin-1") for path in ours]
    for text in outputs:
        for mark in ("MARK1", "MARK2", "MARK3", "MARK4"):
            assert mark not in text, text[max(0, text.index(mark) - 300) : text.index(mark) + 60]
