"""The runbook is true: what it names is there, and what it tells to do was done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from alerting.cli.exit import Exit
from tests.deploy.container import ROOT
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
RULE = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty\n"


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment."""
    with Scene(tmp_path, interval="100ms") as made:
        made.rules(RULE)
        yield made


def test_each_exit_code_is_told_and_no_other() -> None:
    """What on-call reads at night."""
    rows = re.findall(r"^\| (\d+) \|", section("Exit codes, for whoever is called"), re.MULTILINE)
    assert [int(row) for row in rows] == sorted(code.value for code in Exit)


def test_each_file_that_is_named_is_there() -> None:
    """Of this tree; trailing slashes are folders."""
    named = set(re.findall(r"\b(?:deploy/[\w./-]+|docker-compose\.yml)", PAGE))
    assert len(named) >= 8
    assert [name for name in sorted(named) if not (ROOT / name.rstrip("./")).exists()] == []


def test_each_command_that_is_named_is_there() -> None:
    """As the program's own help lists them."""
    line = [sys.executable, "-m", "alerting", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    known = set(re.findall(r"^    ([a-z-]+)", done.stdout, re.MULTILINE))
    named = set(re.findall(r"(?:^|`|alerting )alerting ([a-z][a-z-]+)", PAGE, re.MULTILINE))
    assert {"validate", "send-test", "check", "status", "test"} <= named
    assert named <= known


def test_each_link_leads_somewhere() -> None:
    """To a page beside it, and to a heading there."""
    for name, anchor in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", PAGE):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-")
            for each in re.findall(r"^#+ (.*)", text, re.MULTILINE)
        }
        assert not anchor or anchor in headings


def test_a_backup_made_beside_the_daemon_restores_what_was_announced(scene: Scene) -> None:
    """By the runbook's own lines: the alert that fires is not announced again, and its end goes out."""
    backup, restore = re.findall(r"```sh\n(.*?)```", section("Back up and restore"), re.DOTALL)
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.incidents.open, "an incident")
        eventually(lambda: '"action": "delivery"' in daemon.log, "its receipt")
        _shell(scene, backup)
    for path in scene.folder.glob("alerting.db*"):
        path.write_bytes(b"damaged")
    scene.run("check", code=5)
    _shell(scene, restore.replace("-o alerting -g alerting ", ""))
    scene.check(code=1)
    assert len(scene.pagerduty.accepted) == 1, "announced again"
    scene.app.mend_database()
    scene.check(code=0)
    assert not scene.pagerduty.incidents.open


def test_a_rule_that_is_switched_off_ends_its_alert_and_comes_back(scene: Scene) -> None:
    """As the table under `Quiet for a while` says."""
    assert 'ends as "rule removed"' in section("Quiet for a while")
    scene.app.break_database()
    scene.check(code=1)
    assert scene.pagerduty.incidents.open
    scene.rules(RULE + "enabled: false\n")
    assert [each["ended"] for each in scene.check(code=0)["transitions"]] == ["rule removed"]
    assert not scene.pagerduty.incidents.open
    scene.rules(RULE)
    scene.check(code=1)
    assert scene.pagerduty.incidents.open


def _shell(scene: Scene, lines: str) -> None:
    """Run lines of the runbook with this test's folders."""
    home = scene.folder / "bin"
    home.mkdir(exist_ok=True)
    if not (home / "python3").exists():
        (home / "python3").symlink_to(sys.executable)
    for theirs, ours in (("/var/lib/alerting", scene.folder), ("/var/backups", scene.folder / "bin")):
        lines = lines.replace(theirs, str(ours))
    assert shutil.which("sh")
    environment = {"PATH": f"{home}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", lines], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
