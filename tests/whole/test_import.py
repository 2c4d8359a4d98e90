"""`alerting import`: a real process takes an Alertmanager file, and what it writes is checked and used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = """\
route: {receiver: team, group_wait: 0s}
receivers:
- name: team
  webhook_configs: [{url: "http://127.0.0.1:9/S3CRET"}]
  victorops_configs: [{api_key: S3CRET, routing_key: x}]
"""


def alerting(folder: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    """Run a command in a folder."""
    line = [sys.executable, "-m", "alerting", *words]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        line, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_file_becomes_settings_that_validate(tmp_path: Path) -> None:
    """Written once, never over another; what is left out is said, and no secret is."""
    (tmp_path / "alertmanager.yml").write_text(THEIRS)
    words = ("import", "alertmanager", "alertmanager.yml", "-o", "alerting.yaml")
    code, out, err = alerting(tmp_path, *words)
    assert (code, out) == (0, "wrote alerting.yaml\n")
    other = "a `webhook` or `apprise` receiver may do"
    assert err.splitlines() == [
        "alertmanager.yml:4:27: warning: a secret stands here: set TEAM_URL to it in the environment",
        f"alertmanager.yml:5:23: warning: victorops_configs is not taken: there is no such kind here, {other}",
    ]
    assert "S3CRET" not in out + err + (tmp_path / "alerting.yaml").read_text()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text("alert: A\ncondition: disk_usage > 101%\n")
    code, out, _ = alerting(tmp_path, "validate")
    assert code == 0, out
    code, _, err = alerting(tmp_path, *words)
    assert (code, err) == (2, "alerting: alerting.yaml is there already and was left as it is; name another file\n")


def test_standard_input_is_read_and_standard_output_written(tmp_path: Path) -> None:
    """And a file that Alertmanager refuses is refused, with its place."""
    code, out, _ = alerting(tmp_path, "import", "alertmanager", "-", given=THEIRS)
    assert code == 0
    assert out.startswith("# Made from standard input by `alerting import alertmanager`.\nreceivers:\n")
    code, out, err = alerting(tmp_path, "import", "alertmanager", "-", given="route: {receiver: x}\nreceivers: []\n")
    assert (code, out) == (2, "")
    assert err.startswith("standard input:1:19: no receiver 'x'")
    assert alerting(tmp_path, "import", "alertmanager", "nowhere.yml")[0] == 2


def test_a_test_goes_to_all_for_whom_alertmanagers_name_stands(tmp_path: Path) -> None:
    """And is said to go to nobody where that is so."""
    (tmp_path / "alerting.yaml").write_text(
        "route: {receiver: none}\nreceivers:\n- name: none\n- name: team\n"
        '  webhook_configs: [{url: "http://127.0.0.1:9/a"}, {url: "http://127.0.0.1:9/b"}]\n'
    )
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text("alert: A\ncondition: disk_usage > 101%\nnotify: team\n")
    code, _, err = alerting(tmp_path, "send-test", "team")
    assert code == 3
    assert [line.partition(" did not take")[0] for line in err.splitlines()] == ["team.webhook", "team.webhook-2"]
    code, _, err = alerting(tmp_path, "send-test", "none")
    assert (code, "'none' is nobody" in err) == (2, True)
