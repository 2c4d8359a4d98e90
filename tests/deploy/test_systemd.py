"""The systemd units and the crontab line, held against systemd's own judgement and against the program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from alerting.cli.exit import Exit
from tests.deploy.container import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOME = ROOT / "deploy" / "systemd"
FORMS = ("daemon", "timer")
PROGRAM = "/opt/alerting/bin/alerting"
EXPOSURE = 2.0  # systemd's score, 0 (shut) to 10 (open); its own word for up to 2.x is OK


def unit(form: str) -> str:
    """The text of a form's service."""
    return (HOME / form / "alerting.service").read_text()


def values(text: str, key: str) -> list[str]:
    """What a unit says under a key, each time that it stands there."""
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze, which needs no running systemd for this; skips where it is absent."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *words],
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("form", FORMS)
def test_systemd_finds_nothing_wrong_with_the_units(form: str, tmp_path: Path) -> None:
    """Each key known, each value understood; the program is stood in for by one that is there."""
    for path in (HOME / form).iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, sys.executable))
    done = analyze("verify", "--man=no", *map(str, sorted(tmp_path.iterdir())))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_have_found_a_mistake(tmp_path: Path) -> None:
    """The test above is able to fail."""
    text = unit("daemon").replace(PROGRAM, sys.executable)
    (tmp_path / "alerting.service").write_text(text.replace("ProtectHome=", "ProtectHomes="))
    done = analyze("verify", "--man=no", str(tmp_path / "alerting.service"))
    assert "ProtectHomes" in done.stdout + done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_the_services_are_shut_as_far_as_reading_the_host_allows(form: str) -> None:
    """By systemd's own score."""
    done = analyze("security", "--offline=true", str(HOME / form / "alerting.service"))
    found = re.search(r"Overall exposure level for alerting\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found.group(1)) <= EXPOSURE


def test_both_forms_are_the_same_but_for_how_they_run() -> None:
    """The same user, state, secrets and walls: who changes from one to the other keeps everything."""
    begin = re.compile(r"^OOMScoreAdjust=.*?(?=\n\[Install\]|\Z)", re.MULTILINE | re.DOTALL)
    daemon, timer = (begin.search(unit(form)) for form in FORMS)
    assert daemon
    assert timer
    assert daemon.group(0).rstrip() == timer.group(0).rstrip()


@pytest.mark.parametrize("form", FORMS)
def test_the_settings_refer_to_the_credentials_that_the_unit_loads(form: str) -> None:
    """Name by name; and the state lies in the unit's own folder."""
    settings = (HOME / "alerting.yaml").read_text()
    loaded = [value.partition(":")[0] for value in values(unit(form), "LoadCredential")]
    assert sorted(re.findall(r"\$\{file:/run/credentials/alerting\.service/(\w+)\}", settings)) == sorted(loaded)
    assert "store: sqlite:////var/lib/alerting/" in settings
    assert values(unit(form), "StateDirectory") == ["alerting"]


@pytest.mark.parametrize("form", FORMS)
def test_the_command_of_the_unit_runs(form: str, tmp_path: Path) -> None:
    """As it stands, with the program and the settings of this test; `run` is asked for its help."""
    words = shlex.split(values(unit(form), "ExecStart")[0])
    assert words[0] == PROGRAM
    assert words[words.index("--config") + 1] == "/etc/alerting/alerting.yaml"
    _settings(tmp_path)
    words = [sys.executable, "-m", "alerting", *words[1:]]
    words[words.index("--config") + 1] = str(tmp_path / "alerting.yaml")
    if form == "daemon":
        words.append("--help")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_exit_codes_mean_to_systemd_what_they_mean() -> None:
    """A firing alert is no failed unit; what a restart cannot mend is not started again and again."""
    assert values(unit("timer"), "SuccessExitStatus") == [str(Exit.FIRING.value)]
    kept_down = values(unit("daemon"), "RestartPreventExitStatus")
    assert kept_down == [f"{Exit.CONFIG.value} {Exit.STATE.value}"]


def test_the_daemon_is_stopped_no_sooner_than_it_needs() -> None:
    """Its own grace time is 8 s; the oneshot's deadline is 50 s."""
    assert values(unit("daemon"), "TimeoutStopSec") == ["20s"]
    assert values(unit("timer"), "TimeoutStartSec") == ["60s"]


def test_the_timer_runs_as_often_as_the_check_believes() -> None:
    """`--every` and the calendar say the same."""
    text = (HOME / "timer" / "alerting.timer").read_text()
    (calendar,) = values(text, "OnCalendar")
    assert "--every 1m" in unit("timer")
    done = analyze("calendar", "--iterations=3", "--base-time=2026-01-01 00:00:30", calendar)
    times = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ [\d-]+ ([\d:]+)", done.stdout)
    assert times == ["00:01:00", "00:02:00", "00:03:00"], done.stdout + done.stderr


def test_the_user_is_one_that_sysusers_knows(tmp_path: Path) -> None:
    """And the one of the units."""
    lines = [line for line in (HOME / "alerting.sysusers").read_text().splitlines() if not line.startswith("#")]
    assert [shlex.split(line)[:2] for line in lines] == [["u", "alerting"]]
    assert {value for form in FORMS for value in values(unit(form), "User")} == {"alerting"}
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    line = ["systemd-sysusers", f"--root={tmp_path}", str(HOME / "alerting.sysusers")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "alerting:" in (tmp_path / "etc/passwd").read_text()


def test_the_line_of_the_crontab_runs(tmp_path: Path) -> None:
    """Five fields, a user, and a command that a plain shell runs with cron's bare environment."""
    (line,) = [each for each in (ROOT / "deploy/crontab").read_text().splitlines() if each.startswith("*")]
    fields = line.split(None, 6)
    assert fields[:6] == ["*", "*", "*", "*", "*", "alerting"]
    assert "%" not in fields[6], "cron would end the line there"
    _settings(tmp_path)
    command = fields[6].replace("/etc/alerting", str(tmp_path))
    command = command.replace(PROGRAM, f"PYTHONPATH={ROOT} {sys.executable} -m alerting")
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def _settings(folder: Path) -> None:
    (folder / "alerting.yaml").write_text("receivers:\n  ops: {type: console}\n")
    (folder / "rules").mkdir()
    (folder / "rules" / "disk.yaml").write_text("alert: Disk\ncondition: disk_usage > 101%\nnotify: ops\n")
