"""`alerting check` over its whole way: rule files, real sources, durable state, Slack and PagerDuty."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.whole.scene import FOUR_RULES, Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment."""
    with Scene(tmp_path) as made:
        yield made


def states(document: Any) -> dict[str, str]:
    """Rule name -> state."""
    return {rule["name"]: rule["state"] for rule in document["rules"]}


def test_all_is_well(scene: Scene) -> None:
    """Four rules, three sources and this host: nothing fires and nothing is sent."""
    assert states(scene.check(code=0)) == dict.fromkeys(
        ("HighErrorRate", "DatabaseDown", "SlowAPI", "DiskSpaceLow"), "ok"
    )
    assert scene.slack.requests == []
    assert scene.pagerduty.requests == []


def test_the_page_goes_out_once_and_its_resolve_has_the_same_key(scene: Scene) -> None:
    """The main job: the database breaks, the incident opens; it recovers, that very incident is closed."""
    scene.app.break_database()
    assert states(scene.check(code=1))["DatabaseDown"] == "firing"
    assert len(scene.pagerduty.incidents.open) == 1
    before = len(scene.pagerduty.requests), len(scene.slack.requests)
    scene.check(code=1)
    assert (len(scene.pagerduty.requests), len(scene.slack.requests)) == before, "the second check sent something"
    scene.app.mend_database()
    scene.check(code=0)
    assert scene.pagerduty.incidents.open == []
    trigger, resolve = scene.pagerduty.accepted
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert [trigger["event_action"], resolve["event_action"]] == ["trigger", "resolve"]
    assert "health_check.database.status = 'error' != 'ok'" in json.dumps(trigger)


def test_errors_and_slowness_in_sentry_reach_both_receivers(scene: Scene) -> None:
    """`10 per minute` and a p95 in milliseconds, from Sentry's API, to Slack and PagerDuty."""
    scene.sentry.errors = 25
    scene.sentry.durations["p95"] = 1500.0
    found = states(scene.check(code=1))
    assert found == {"HighErrorRate": "firing", "SlowAPI": "firing", "DatabaseDown": "ok", "DiskSpaceLow": "ok"}
    said = json.dumps([request.json() for request in scene.slack.requests])
    assert "HighErrorRate" in said
    assert "SlowAPI" in said
    assert len(scene.pagerduty.incidents.open) == 1


def test_for_works_across_cron_runs(scene: Scene) -> None:
    """Pending is kept in the state; it ripens by stored times."""
    scene.rules("alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nfor: 1s\nnotify: pagerduty\n")
    scene.app.break_database()
    first = scene.check(code=0)
    assert states(first) == {"DatabaseDown": "pending"}
    threading.Event().wait(1.1)
    assert states(scene.check(code=1)) == {"DatabaseDown": "firing"}


PAGE_ALONE = """\
sources:
  health_check: {{type: health, url: {app}/health}}
  metrics: {{type: prometheus, url: {app}/health/metrics, units: {{http_request_duration_p95: ms}}}}
  host: {{type: host}}
receivers:
  slack:     {{type: slack, webhook_url: "${{SLACK_WEBHOOK_URL}}"}}
  pagerduty: {{type: pagerduty, routing_key: "${{PAGERDUTY_ROUTING_KEY}}", base_url: {pagerduty}}}
"""


def passed(scene: Scene, seconds: int) -> None:
    """Let what was read so far be so much older: in life cron waits as long."""
    with closing(sqlite3.connect(scene.folder / "alerting.db.samples")) as file, file:
        file.execute("UPDATE sample SET at = at - ?, received = received - ?", (1000 * seconds, 1000 * seconds))


@pytest.mark.slow
def test_the_four_rules_run_from_cron_once_a_minute_where_errors_are_a_counter_on_a_page(scene: Scene) -> None:
    """The guide's rules as they stand, without Sentry: of each run one reading; the first alone knows nothing."""
    scene.settings(PAGE_ALONE.format(app=scene.app.url, pagerduty=scene.pagerduty.url))
    assert "warning" not in scene.run("validate", code=0).stderr
    story = [  # seconds since the last run, the counter, the exit code, the state, and why
        (0, 4000, 3, "unknown", "one reading of metrics so far, and what happens per minute takes two"),
        (57, 4025, 1, "firing", "> 10 per minute"),
        (58, 4025, 0, "ok", ", not > 10 per minute"),
        (59, 25, 1, "firing", "> 10 per minute"),  # the app began again
        (120, 99, 3, "firing", "readings of metrics are 2m"),
        (57, 99, 0, "ok", ", not > 10 per minute"),
    ]
    for number, (seconds, errors, code, state, why) in enumerate(story):
        scene.app.set_series(error_count=errors, http_request_duration_p95=420)
        if number:
            passed(scene, seconds)
        document = scene.check("--every", "1m", code=code)
        (found,) = [rule for rule in document["rules"] if rule["name"] == "HighErrorRate"]
        assert states(document) == {"HighErrorRate": state, "DatabaseDown": "ok", "SlowAPI": "ok", "DiskSpaceLow": "ok"}
        assert why in json.dumps(found), found
        assert len(scene.pagerduty.incidents.open) == (state == "firing")
    assert [each["event_action"] for each in scene.pagerduty.accepted] == ["trigger", "resolve"] * 2


def test_a_gap_longer_than_every_allows_does_not_ripen(scene: Scene) -> None:
    """Time that nobody looked is not time in pending."""
    scene.rules("alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nfor: 1s\nnotify: pagerduty\n")
    scene.app.break_database()
    scene.check("--every", "200ms", code=0)
    threading.Event().wait(1.1)
    assert states(scene.check("--every", "200ms", code=0)) == {"DatabaseDown": "pending"}


def test_a_dry_run_sends_and_stores_nothing(scene: Scene) -> None:
    """It says what it would send."""
    scene.app.break_database()
    done = scene.run("check", "--dry-run", code=1)
    assert "would send to pagerduty: DatabaseDown" in done.stdout
    assert scene.pagerduty.requests == []
    assert not (scene.folder / "alerting.db").exists()


def test_only_names_one_rule_and_removes_none(scene: Scene) -> None:
    """The other rule's incident stays open."""
    scene.app.break_database()
    scene.check(code=1)
    document = scene.check("--only", "DiskSpaceLow", code=0)
    assert states(document) == {"DiskSpaceLow": "ok"}
    assert len(scene.pagerduty.incidents.open) == 1
    done = scene.run("check", "--only", "DiskSpace", code=2)
    assert "no rule has the name or id 'DiskSpace'" in done.stderr


def test_quiet_prints_on_change_only(scene: Scene) -> None:
    """Cron mails when there is something to read."""
    assert scene.run("check", "--quiet", code=0).stdout == ""
    scene.app.break_database()
    assert "DatabaseDown" in scene.run("check", "--quiet", code=1).stdout
    assert scene.run("check", "--quiet", code=1).stdout == ""


def test_quiet_says_once_that_a_message_is_owed(scene: Scene) -> None:
    """A receiver that is down for an hour is one mail, and its end another."""
    scene.pagerduty.stop()
    scene.app.break_database()
    assert "still owed to pagerduty" in scene.run("check", "--quiet", "--deadline", "2s", code=3).stdout
    assert scene.run("check", "--quiet", "--deadline", "2s", code=3).stdout == ""


def test_a_second_check_leaves_soon(scene: Scene) -> None:
    """While one holds the state the other has no effect, and an exit code of its own."""
    scene.app.hang(5)
    line = [sys.executable, "-m", "alerting", "check"]
    first = subprocess.Popen(line, cwd=scene.folder, env=scene._environment({}), stdout=subprocess.DEVNULL)
    try:
        lock = scene.folder / "alerting.db"
        for _ in range(500):
            if lock.exists() and scene.app.requests:
                break
            threading.Event().wait(0.02)
        done = scene.run("check", code=4)
        assert "is in use by process" in done.stderr
    finally:
        scene.app.mend()
        first.wait(30)
    scene.check(code=0)


# ------------------------------------------------------------------------------------- bad input: sources

BAD_HEALTH = {
    "refused": lambda scene: scene.app.stop(),
    "hangs": lambda scene: scene.app.hang(60),
    "401": lambda scene: scene.app.answer(401, "no"),
    "404": lambda scene: scene.app.answer(404, "<html>not found</html>"),
    "500": lambda scene: scene.app.answer(500, "<html>broken</html>"),
    "html": lambda scene: scene.app.answer(200, "<!doctype html><title>Login</title>"),
    "half a body": lambda scene: scene.app.answer(200, '{"status": "ok", "data'),
    "null": lambda scene: scene.app.answer(200, "null"),
    "field missing": lambda scene: scene.app.answer(200, '{"status": "ok", "database": {}}'),
    "number for text": lambda scene: scene.app.answer(200, '{"database": {"status": 7}}'),
}


QUICK = {"field missing", "refused"}  # one that answers and one that does not


@pytest.mark.parametrize(
    "how", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in sorted(BAD_HEALTH)]
)
def test_a_source_that_gives_nothing_usable_makes_its_rule_unknown(scene: Scene, how: str) -> None:
    """Nothing fires falsely, nothing resolves, `check` exits 3, and `status` has the reason."""
    scene.settings(
        (scene.folder / "alerting.yaml")
        .read_text()
        .replace("/health}", "/health, timeout: 1s}")
        .replace("  metrics:", "  # metrics:")
    )
    scene.rules("alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty\n")
    scene.check(code=0)
    scene.app.break_database()
    scene.check(code=1)
    requests = len(scene.pagerduty.requests)
    BAD_HEALTH[how](scene)
    document = scene.check(code=3)
    (rule,) = document["rules"]
    assert rule["state"] == "firing", "an alert was resolved without evidence"
    assert rule["unknown"], "no reason"
    assert len(scene.pagerduty.requests) == requests
    status = json.loads(scene.run("status", "--output", "json", code=0).stdout)
    assert status["faults"] or any("unknown" in json.dumps(each) for each in status["alerts"])


@pytest.mark.parametrize("how", ["500", "html", "field missing", "number for text"])
def test_a_quiet_rule_does_not_fire_on_nothing(scene: Scene, how: str) -> None:
    """Missing data is never "down" either."""
    scene.rules("alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty\n")
    BAD_HEALTH[how](scene)
    document = scene.check(code=3)
    assert states(document) == {"DatabaseDown": "unknown"}
    assert scene.pagerduty.requests == []


# ------------------------------------------------------------------------------------- bad input: receivers, files


@pytest.mark.slow
def test_a_receiver_that_fails_keeps_its_message_owed_and_delays_nobody(scene: Scene) -> None:
    """Slack is down, PagerDuty is told; the next run tells Slack."""
    from tests.fakes.ledger import Step

    scene.slack.script(Step(status=503, times=0))
    scene.sentry.errors = 25
    scene.check(code=3)
    assert len(scene.pagerduty.incidents.open) == 1
    status = scene.run("status", code=0).stdout
    assert "firing  HighErrorRate " in status, "by its name, as in check"
    assert "owed" in status
    assert "503" in status
    scene.slack.clear()
    eventually(lambda: scene.run("check").returncode == 1, "nothing owed")
    assert len(scene.slack.accepted) == 1


def test_a_damaged_state_is_refused_and_left_alone(scene: Scene) -> None:
    """Never a silent fresh start."""
    scene.check(code=0)
    state = scene.folder / "alerting.db"
    damaged = bytes(64) + state.read_bytes()[64:]
    state.write_bytes(damaged)
    for beside in ("alerting.db-wal", "alerting.db-shm"):
        (scene.folder / beside).unlink(missing_ok=True)
    done = scene.run("check", code=5)
    assert "alerting.db" in done.stderr
    assert state.read_bytes() == damaged


def test_a_newer_state_is_refused(scene: Scene) -> None:
    """A downgrade does not guess."""
    scene.check(code=0)
    with sqlite3.connect(scene.folder / "alerting.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert "newer" in scene.run("check", code=5).stderr


def test_a_broken_rule_file_leaves_the_last_good_set_in_force(scene: Scene) -> None:
    """The alert still fires, the breakage is told once, nothing counts as removed, and `check` exits 2."""
    scene.check(code=0)
    scene.rules(FOUR_RULES.replace("> 10 per minute", ">> 10"))
    scene.app.break_database()
    done = scene.run("check", code=2)
    assert "rules/all.yaml:2" in done.stderr
    assert [event["payload"]["summary"].split(":")[0] for event in scene.pagerduty.accepted].count("DatabaseDown") == 1
    told = len(scene.pagerduty.accepted), len(scene.slack.accepted)
    assert any("ConfigBroken" in json.dumps(each) for each in (*scene.pagerduty.accepted, *scene.slack.accepted))
    scene.run("check", code=2)
    assert (len(scene.pagerduty.accepted), len(scene.slack.accepted)) == told
    scene.rules(FOUR_RULES)
    scene.app.mend_database()
    scene.check(code=0)
    assert scene.pagerduty.incidents.open == []


def test_a_removed_rule_ends_its_alert_and_says_so(scene: Scene) -> None:
    """The set loaded whole, without the rule: its incident is closed, as removed and not as recovered."""
    scene.app.break_database()
    scene.check(code=1)
    scene.rules(FOUR_RULES.partition("alert: DatabaseDown")[0].removesuffix("---\n"))
    scene.check(code=0)
    assert scene.pagerduty.incidents.open == []
    document = json.loads(scene.run("status", "--output", "json", code=0).stdout)
    assert document["transitions"][0]["ended"] == "rule removed"


def test_an_unset_secret_degrades_only_who_needs_it(scene: Scene) -> None:
    """`validate` warns; PagerDuty is told; Slack's message stays owed with the reason."""
    done = scene.run("validate", code=0, SLACK_WEBHOOK_URL="")
    assert "SLACK_WEBHOOK_URL" in done.stdout
    scene.sentry.errors = 25
    document = scene.check(code=3, SLACK_WEBHOOK_URL="")
    assert len(scene.pagerduty.incidents.open) == 1
    owed = [each for each in document["deliveries"] if each["receiver"] == "slack"]
    assert "SLACK_WEBHOOK_URL" in owed[0]["why"]


def test_a_folder_with_one_rule_and_nothing_else_works(tmp_path: Path) -> None:
    """No settings: this host, and the console for every receiver."""
    (tmp_path / "disk.yaml").write_text("alert: DiskSpaceLow\ncondition: disk_usage >= 0%\nnotify: slack\n")
    line = [sys.executable, "-m", "alerting", "check"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "FIRING DiskSpaceLow" in done.stdout
