"""Signs of life from real processes: to systemd, to whoever waits for a heartbeat, to Sentry, and into a log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.envelopes import Envelopes
from tests.fakes.ledger import Step
from tests.test_heartbeat import Monitors
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # each test runs the daemon
DOWN = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty, slack\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment, ten evaluations a second."""
    with Scene(tmp_path, interval="100ms") as made:
        made.rules(DOWN)
        yield made


def test_systemd_is_told_ready_alive_reloading_and_stopping(scene: Scene) -> None:
    """And not alive while the process is stopped: then systemd starts it anew."""
    address = str(scene.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)
        with scene.daemon(NOTIFY_SOCKET=address, WATCHDOG_USEC="400000") as daemon:
            seen: list[str] = []

            def hear(what: str) -> None:
                ends = time.monotonic() + 10
                while not any(what in each for each in seen):
                    assert time.monotonic() < ends, (what, seen)
                    seen.append(manager.recv(4096).decode())
                seen.clear()

            hear("READY=1\nSTATUS=watching")
            hear("WATCHDOG=1")
            daemon.signal(signal.SIGHUP)
            hear("RELOADING=1\nMONOTONIC_USEC=")
            hear("READY=1")
            daemon.signal(signal.SIGSTOP)
            time.sleep(0.5)
            manager.settimeout(0)
            while True:
                try:
                    manager.recv(4096)
                except BlockingIOError:
                    break
            time.sleep(0.7)
            with pytest.raises(BlockingIOError):
                manager.recv(4096)
            manager.settimeout(5)
            daemon.signal(signal.SIGCONT)
            hear("WATCHDOG=1")
            daemon.signal(signal.SIGTERM)
            hear("STOPPING=1")


def test_f69_the_heartbeat_stops_when_the_state_or_the_process_does(scene: Scene) -> None:
    """F69: a state file that is gone under it, a process that is stopped; paging goes on where the monitor fails."""
    with Monitors() as monitors:
        text = f"heartbeat: {{url: '{monitors.url}/ping/x', every: 200ms}}\n"
        scene.settings(text + (scene.folder / "alerting.yaml").read_text())
        with scene.daemon() as daemon:
            daemon.ready()
            eventually(lambda: len(monitors.requests) >= 3, "three beats")
            monitors.script(Step(wire="reset", times=0))
            scene.app.break_database()
            eventually(lambda: scene.pagerduty.incidents.open, "an incident while the monitor is down")
            monitors.clear()
            eventually(lambda: monitors.accepted, "beats again")
            daemon.signal(signal.SIGSTOP)
            time.sleep(0.3)
            before = len(monitors.requests)
            time.sleep(1)
            assert len(monitors.requests) == before
            daemon.signal(signal.SIGCONT)
            eventually(lambda: len(monitors.requests) > before, "beats when it goes on")
            (scene.folder / "alerting.db").rename(scene.folder / "gone.db")
            time.sleep(0.8)
            before = len(monitors.requests)
            time.sleep(1)
            assert len(monitors.requests) == before, "a beat without a state"
            (scene.folder / "gone.db").rename(scene.folder / "alerting.db")
            eventually(lambda: len(monitors.requests) > before, "beats with the state back")


def test_check_tells_how_each_run_went(scene: Scene) -> None:
    """Started and ok, started and failed; nothing from a dry run or from one that found the state taken."""
    with Monitors() as monitors:
        ping = f"{monitors.url}/ping/x"
        urls = f"url: '{ping}', start_url: '{ping}/start', fail_url: '{ping}/fail'"
        text = f"heartbeat: {{{urls}, sentry_monitor: nightly, dsn: '${{MONITOR_DSN}}'}}\n"
        scene.settings(text + (scene.folder / "alerting.yaml").read_text())
        scene.environment["MONITOR_DSN"] = monitors.dsn
        scene.run("check", "--every", "5m", code=0)
        assert sorted(each.path for each in monitors.requests if "ping" in each.path) == ["/ping/x", "/ping/x/start"]
        first, last = [each for each in monitors.accepted if each]
        assert (first["status"], last["status"]) == ("in_progress", "ok")
        assert first["check_in_id"] == last["check_in_id"]
        assert first["monitor_config"]["schedule"] == {"type": "interval", "value": 5, "unit": "minute"}
        scene.app.break_database()
        scene.run("check", code=1)
        assert monitors.requests[-1].path.startswith(("/ping/x", "/api/42/cron"))
        assert [each["status"] for each in monitors.accepted if each][-1] == "ok", "something fires: the run is well"
        scene.app.hang(0)
        scene.app.answer(500, "<html>")
        scene.run("check", code=3)
        assert [each["status"] for each in monitors.accepted if each][-1] == "error"
        assert "/ping/x/fail" in [each.path for each in monitors.requests]
        count = len(monitors.requests)
        scene.run("check", "--dry-run")
        assert len(monitors.requests) == count
        with scene.daemon() as daemon:
            daemon.ready()
            count = len([each for each in monitors.accepted if each])
            scene.run("check", code=4)
            assert len([each for each in monitors.accepted if each]) == count


def test_a_monitor_that_fails_changes_no_exit_code(scene: Scene) -> None:
    """It is said on standard error, unless asked to be quiet."""
    text = "heartbeat: {url: 'http://127.0.0.1:1/ping'}\n"
    scene.settings(text + (scene.folder / "alerting.yaml").read_text())
    assert "heartbeat: the address could not be told: connection refused" in scene.run("check", code=0).stderr
    assert scene.run("check", "--quiet", code=0).stderr == ""


def test_a_dsn_is_honoured_and_never_shown(scene: Scene) -> None:
    """The daemon starts, says nothing of it, and reports nothing where there is nothing."""
    pytest.importorskip("sentry_sdk", reason="the extra `sentry` is not installed")
    with Envelopes() as sentry:
        scene.environment |= {"SENTRY_DSN": sentry.dsn, "SENTRY_ENVIRONMENT": "staging"}
        with scene.daemon() as daemon:
            daemon.ready()
            scene.app.break_database()
            eventually(lambda: scene.pagerduty.incidents.open, "an incident")
            assert daemon.end() == 0
            assert '"env": "staging"' in daemon.log
            assert sentry.dsn not in daemon.log
        assert sentry.events == []


@pytest.mark.parametrize("which", ["stderr", "stdout"])
def test_f72_an_output_that_nobody_reads_holds_up_no_page(scene: Scene, which: str) -> None:
    """F72: the pipe is full from the start; the alert reaches PagerDuty, and the daemon ends when it is told to."""
    text = (scene.folder / "alerting.yaml").read_text()
    scene.settings(text.replace("receivers:\n", "receivers:\n  out: {type: console}\n"))
    scene.rules(DOWN.replace("slack", "out"))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    others = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, which: writing}
    process = subprocess.Popen(
        [sys.executable, "-m", "alerting", "run", "--log-format", "json", "--log-level", "debug"],
        cwd=scene.folder,
        env=scene._environment({}),
        stdin=subprocess.DEVNULL,
        **others,  # type: ignore[call-overload]
    )
    try:
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.incidents.open, "an incident")
        scene.app.mend_database()
        eventually(lambda: not scene.pagerduty.incidents.open, "its end")
    finally:
        process.terminate()
        assert process.wait(20) == 0
        os.close(reading)
        os.close(writing)
    if which == "stdout":
        counts = json.loads(scene.run("status", "--output", "json").stdout)
        assert counts["counts"]["pending"] == 2, "what nobody read is still owed"
