"""`alerting run`: evaluates without end, survives anything, reloads, drains."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.ledger import Step
from tests.whole.scene import FOUR_RULES, Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # each test runs the daemon
DATABASE_DOWN = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty, slack\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment, ten evaluations a second."""
    with Scene(tmp_path, interval="100ms") as made:
        made.rules(DATABASE_DOWN)
        yield made


def test_it_pages_and_resolves_without_being_asked(scene: Scene) -> None:
    """Down: an incident and a message. Up: both end."""
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.incidents.open, "an incident")
        eventually(lambda: len(scene.slack.accepted) == 1, "a Slack message")
        scene.app.mend_database()
        eventually(lambda: not scene.pagerduty.incidents.open, "the incident's end")
        eventually(lambda: len(scene.slack.accepted) == 2, "a second Slack message")
        assert daemon.end() == 0
    assert scene.pagerduty.incidents.total == 1


def test_a_second_daemon_leaves_with_its_own_code(scene: Scene) -> None:
    """And so does a check."""
    with scene.daemon() as daemon:
        daemon.ready()
        scene.run("run", code=4)
        scene.run("check", code=4)
        assert "no alert is pending or firing" in scene.run("status", code=0).stdout


def test_sigterm_finishes_what_is_being_sent(scene: Scene) -> None:
    """The answer is slow; the stop waits for it, and nothing is sent again by the next start."""
    scene.pagerduty.script(Step(delay=1.5))
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.requests, "a request")
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 10
    requests = len(scene.pagerduty.requests)
    scene.check(code=1)
    assert len(scene.pagerduty.requests) == requests


def test_a_second_signal_ends_at_once(scene: Scene) -> None:
    """Whoever asks twice does not want to wait; the message stays owed."""
    scene.pagerduty.script(Step(delay=6))
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.requests, "a request")
        daemon.signal(signal.SIGTERM)
        eventually(lambda: '"action": "stopping"' in daemon.log, "that it is stopping")
        began = time.monotonic()
        assert daemon.end() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 3
    scene.pagerduty.clear()
    scene.check(code=1)
    assert len(scene.pagerduty.incidents.open) == 1


def test_sighup_takes_good_rules_and_refuses_bad_ones(scene: Scene) -> None:
    """Bad: the old rules stay, the log says where, ConfigBroken is told. Good: the new ones work, ConfigBroken ends."""
    with scene.daemon() as daemon:
        daemon.ready()
        scene.rules(DATABASE_DOWN + "for: 5\n")
        daemon.signal(signal.SIGHUP)
        eventually(lambda: '"action": "reload_refused"' in daemon.log, "a refusal")
        assert "rules/all.yaml:4" in daemon.log
        eventually(
            lambda: any("ConfigBroken" in key for key in map(json.dumps, scene.pagerduty.accepted)), "ConfigBroken"
        )
        scene.app.break_database()
        eventually(
            lambda: any("DatabaseDown" in key for key in map(json.dumps, scene.pagerduty.accepted)), "the old rule"
        )
        scene.rules(FOUR_RULES)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: '"action": "reloaded"' in daemon.log, "the new rules")
        eventually(lambda: len(scene.pagerduty.incidents.open) == 1, "the end of ConfigBroken alone")
        assert daemon.end() == 0


def test_a_hanging_source_delays_only_its_own_rules(scene: Scene) -> None:
    """The host's rule goes on while the health endpoint says nothing."""
    scene.rules(DATABASE_DOWN + "---\nalert: Disk\ncondition: disk_usage >= 0%\nnotify: slack\n")
    scene.app.hang(60)
    with scene.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(scene.slack.accepted) == 1, "the host's alert", 5)
        assert scene.pagerduty.requests == []
        scene.app.mend()


def test_a_source_that_stays_down_becomes_an_alert_of_its_own(scene: Scene) -> None:
    """After `unknown_after`; and it ends when the source is back."""
    text = (scene.folder / "alerting.yaml").read_text()
    scene.settings(text.replace("/health}", "/health, unknown_after: 300ms}"))
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.answer(503, "<html>")
        eventually(
            lambda: any("SourceDown" in each for each in map(json.dumps, scene.pagerduty.accepted)), "SourceDown"
        )
        scene.app.mend()
        eventually(lambda: not scene.pagerduty.incidents.open, "its end")
    assert scene.pagerduty.incidents.total == 1
