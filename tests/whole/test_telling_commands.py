"""`silence`, `ack`, `explain`, `history`, `status`: as people type them, without a daemon and beside one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from alerting.cli.main import _guarded, read
from alerting.store.lock import Lock
from tests.fakes.ledger import Step
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SETTINGS = """\
interval: 100ms
sources:
  jobs: {{type: file, paths: ["{folder}/load.prom"], reads: metrics}}
receivers:
  slack:     {{type: slack, webhook_url: "${{SLACK_WEBHOOK_URL}}"}}
  pagerduty: {{type: pagerduty, routing_key: "${{PAGERDUTY_ROUTING_KEY}}", base_url: {pagerduty}}}
"""
RULES = """\
alert: Loaded
condition: jobs.load > 85
severity: warning
labels: {team: db}
notify: slack
---
alert: Slow
condition: jobs.wait_seconds > 1500ms
for: 1h
notify: pagerduty
"""


class Load(Scene):
    """A deployment whose series are written into a file."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.settings(SETTINGS.format(pagerduty=self.pagerduty.url, folder=self.folder))
        self.rules(RULES)
        self.load(a=10, b=10)
        return self

    def load(self, wait: float = 0.5, **values: float) -> None:
        """Set the load of each database."""
        lines = [f'load{{db="{name}"}} {value}\n' for name, value in values.items()]
        young = self.folder / "young"
        young.write_text("".join(["# TYPE load gauge\n", *lines, f"wait_seconds {wait}\n"]))
        young.rename(self.folder / "load.prom")

    def json(self, *words: str) -> Any:
        """Run a command for its JSON."""
        return json.loads(self.run(*words, "-o", "json", code=0).stdout)

    def slack_texts(self) -> str:
        """All that Slack was told."""
        return json.dumps(self.slack.accepted)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Load]:
    """Two databases, neither under load."""
    with Load(tmp_path) as made:
        yield made


def refused(words: tuple[str, ...], scene: Load, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command within this process, where many bad words are tried; give its exit code."""
    monkeypatch.chdir(scene.folder)
    for name, value in scene.environment.items():
        monkeypatch.setenv(name, value)
    try:
        return _guarded(read(words))
    except SystemExit as end:
        return int(end.code or 0)


# ------------------------------------------------------------------------------------------- silence


BAD_SILENCES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "say what is silenced"),
    "an empty value": (("severity=",), "any rule"),
    "everything": (("alertname=~.*",), "any rule"),
    "every name": (("alertname=~.+",), "any rule"),
    "all but one": (("severity!=info",), "any rule"),
    "no pattern": (("alertname=~(",), "("),
    "half a matcher": (("team=~",), "any rule"),
    "an open quote": (('team="db',), "^"),
    "two ends": (("Loaded", "--for", "1h", "--until", "23:59"), "give one"),
    "an end in the past": (("Loaded", "--until", "2020-01-01T00:00Z"), "before it"),
    "an end before its beginning": (("Loaded", "--from", "2990-01-02", "--until", "2990-01-01"), "before it begins"),
    "no time": (("Loaded", "--until", "soon"), "is no time"),
    "no duration": (("Loaded", "--for", "5"), "no duration"),
    "no length": (("Loaded", "--for", "0s"), "before it"),
    "a length beyond all dates": (("Loaded", "--for", "99999999d"), "longer than 100 years"),
    "an end beyond all dates": (("Loaded", "--from", "9999-12-31", "--for", "2d"), "after the year 9999"),
    "a pattern among others": (("Loaded", "db=~["), 'the pattern in db=~"["'),
}


@pytest.mark.parametrize("case", sorted(BAD_SILENCES))
def test_a_silence_that_cannot_be_meant_is_refused(
    case: str, scene: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, one reason, and no state comes of it."""
    words, reason = BAD_SILENCES[case]
    assert refused(("silence", "add", *words), scene, monkeypatch) == 2
    assert reason in capsys.readouterr().err
    assert not (scene.folder / "alerting.db").exists()


def test_what_is_silenced_is_not_told_and_told_when_the_silence_ends(scene: Load) -> None:
    """F29: nothing is sent meanwhile, the list says what was hidden, the end brings exactly one message."""
    added = scene.run(
        "silence", "add", "Loaded", "--for", "2h", "db=~a|b", "--comment", "moving", "--author", "ann", code=0
    )
    assert "fits nothing that is pending or firing now" in added.stderr
    scene.load(a=90, b=10)
    assert scene.check(code=1)["deliveries"] == []
    (listed,) = scene.json("silence", "list")["silences"]
    assert (listed["state"], listed["author"], listed["comment"], listed["hid"]) == (
        "active",
        "ann",
        "moving",
        {"Loaded": 1},
    )
    assert [each["labels"]["db"] for each in listed["fits_now"]] == ["a"]
    text = scene.run("silence", "list", code=0).stdout
    assert "Loaded ×1" in text  # noqa: RUF001  times
    page = scene.run("explain", "Loaded", code=0).stdout
    assert f"firing held by silence {listed['id']} until {_written(listed['ends'])}: silenced by ann: moving" in page
    assert "held back: Loaded to slack" in scene.run("status", code=0).stdout
    assert "ends now" in scene.run("silence", "expire", listed["id"][:3], code=0).stdout
    assert "already" in scene.run("silence", "expire", listed["id"], code=0).stdout
    scene.check(code=1)
    scene.check(code=1)
    assert len(scene.slack.accepted) == 1
    assert "no silence is in force" in scene.run("silence", "list", code=0).stdout
    assert "expired" in scene.run("silence", "list", "--all", code=0).stdout
    scene.run("silence", "expire", "zzzz", code=2)


@pytest.mark.slow
def test_an_end_is_told_through_a_silence_to_whoever_heard_of_the_beginning(scene: Load) -> None:
    """F29: silenced means not told of firings; no incident stays open for it."""
    scene.load(a=90, b=10)
    scene.check(code=1)
    assert "it fits Loaded" in scene.run("silence", "add", "team=db", code=0).stdout
    scene.load(a=10, b=10)
    scene.check(code=0)
    assert len(scene.slack.accepted) == 2


def test_all_of_an_author_end_together(scene: Load) -> None:
    """And nobody else's; ids are told apart by their beginnings."""
    scene.run("silence", "add", "Loaded", "--author", "ann", code=0)
    scene.run("silence", "add", "Slow", "--author", "ann", "--from", "2990-01-01", code=0)
    scene.run("silence", "add", "Slow", "--author", "bob", code=0)
    assert len(scene.run("silence", "expire", "--all-mine", "--author", "ann", code=0).stdout.splitlines()) == 2
    (left,) = scene.json("silence", "list")["silences"]
    assert left["author"] == "bob"
    matcher = {"name": "alertname", "value": "Slow"}
    two = [{"id": each, "matchers": [matcher], "endsAt": "2990-01-01"} for each in ("same-a", "same-b")]
    (scene.folder / "two.json").write_text(json.dumps(two))
    scene.run("silence", "import", "two.json", code=0)
    assert "several" in scene.run("silence", "expire", "same", code=2).stderr
    scene.run("silence", "expire", code=2)


def test_what_is_exported_can_be_imported(scene: Load) -> None:
    """The same silence again is the same silence; those that are over are passed by; one bad one refuses the file."""
    scene.run("silence", "add", "Loaded", 'team=~"d.*"', "db!=x", "--comment", 'a "b"', code=0)
    text = scene.run("silence", "export", code=0).stdout
    (row,) = json.loads(text)
    assert {"name": "db", "value": "x", "isRegex": False, "isEqual": False} in row["matchers"]
    assert row["status"] == {"state": "active"}
    (scene.folder / "kept.json").write_text(text)
    assert "1 imported" in scene.run("silence", "import", "kept.json", code=0).stdout
    (only,) = json.loads(scene.run("silence", "export", code=0).stdout)
    assert {**only, "updatedAt": ""} == {**row, "updatedAt": ""}
    fresh = {**row, "id": "", "comment": "new"}
    over = {**row, "id": "gone", "startsAt": "2020-01-01T00:00:00.000Z", "endsAt": "2020-01-02T00:00:00.000Z"}
    (scene.folder / "two.json").write_text(json.dumps([fresh, over]))
    assert "1 imported; 1 that is over passed by" in scene.run("silence", "import", "two.json", code=0).stdout
    assert len(scene.json("silence", "list")["silences"]) == 2
    (scene.folder / "bad.json").write_text(json.dumps([{**fresh, "comment": "third"}, {**row, "matchers": []}]))
    assert "silence 2: it has no matchers" in scene.run("silence", "import", "bad.json", code=2).stderr
    assert len(scene.json("silence", "list")["silences"]) == 2


BAD_FILES: Mapping[str, str] = {
    "nothing": "",
    "a text": '"x"',
    "a list of texts": '["x"]',
    "no end": '[{"matchers": [{"name": "a", "value": "b"}]}]',
    "an end that is none": '[{"matchers": [{"name": "a", "value": "b"}], "endsAt": 5}]',
    "a flag that is none": '[{"matchers": [{"name": "a", "value": "b", "isRegex": "yes"}], "endsAt": "2990-01-01"}]',
    "a pattern that is none": '[{"matchers": [{"name": "a", "value": "(", "isRegex": true}], "endsAt": "2990-01-01"}]',
    "all alerts": '[{"matchers": [{"name": "a", "value": ".*", "isRegex": true}], "endsAt": "2990-01-01"}]',
    "an id that leads elsewhere": '[{"id": "../x", "matchers": [{"name": "a", "value": "b"}], "endsAt": "2990-01-01"}]',
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("case", sorted(BAD_FILES))
def test_a_file_that_holds_no_silences_is_refused(
    case: str, scene: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, in words."""
    (scene.folder / "bad.json").write_text(BAD_FILES[case])
    assert refused(("silence", "import", "bad.json"), scene, monkeypatch) == 2
    assert "bad.json" in capsys.readouterr().err
    assert refused(("silence", "import", "absent.json"), scene, monkeypatch) == 2
    assert not (scene.folder / "alerting.db").exists()


# ------------------------------------------------------------------------------------------- ack


@pytest.mark.slow
def test_an_alert_is_taken_on_given_back_and_listed(scene: Load) -> None:
    """By name, by labels, by fingerprint; what does not fire is said to."""
    assert "nothing was evaluated here yet" in scene.run("ack", "Loaded", code=2).stderr
    scene.load(a=90, b=91)
    scene.check(code=1)
    ambiguous = scene.run("ack", "Loaded", code=2).stderr
    assert "may be one of 2 alerts" in ambiguous
    fingerprint = ambiguous.splitlines()[1].rpartition("; ")[2].rstrip(")")
    acked = scene.json("ack", fingerprint, "--for", "30m", "--author", "ann", "--comment", "on it")
    assert (acked["by"], acked["until"] - acked["at"], acked["severity"]) == ("ann", 1_800_000, "warning")
    other = "b" if acked["labels"]["db"] == "a" else "a"
    scene.run("ack", f'Loaded{{db="{other}"}}', code=0)
    assert len(scene.json("ack", "list")["acks"]) == 2
    assert "instead of ann" in scene.run("ack", fingerprint, "--author", "bob", code=0).stdout
    status = scene.run("status", code=0).stdout
    assert "firing (acknowledged)" in status
    assert "acknowledged by bob" in status
    assert "by bob at" in scene.run("explain", fingerprint, code=0).stdout
    assert "withdrawn" in scene.run("ack", fingerprint, "--withdraw", code=0).stdout
    assert "by nobody" in scene.run("ack", fingerprint, "--withdraw", code=2).stderr
    assert len(scene.json("ack")["acks"]) == 1
    scene.load(a=10, b=10)
    scene.check(code=0)
    assert "does not fire: it is resolved" in scene.run("ack", fingerprint, code=2).stderr
    assert "nothing is acknowledged" in scene.run("ack", code=0).stdout


BAD_NAMES: Mapping[str, tuple[str, str]] = {
    "nothing, as of a variable that is not set": ("", "the name of the alert is empty"),
    "a slip": ("Loadde", "did you mean Loaded?"),
    "nothing like it": ("zzzzzzzzzz", "a fingerprint"),
    "an open brace": ('Loaded{db="a"', "closing brace"),
    "an open quote": ('Loaded{db="a}', "^"),
    "a label that none has": ('Loaded{db="c"}', "no alert now"),
    "a terminal's command": ("\x1b[31mred", "\\x1b[31mred"),
}


def test_a_name_that_nothing_has_is_answered_with_what_was_meant(
    scene: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2; what was typed goes back as text."""
    scene.load(a=90, b=10)
    scene.check(code=1)
    for words in (("ack", "Loaded", "--for", "0s"), ("ack", "Loaded", "--for", "99999999d"), ("ack", "--withdraw")):
        assert refused(words, scene, monkeypatch) == 2, words
    assert refused(("silence", "add", "Loaded"), scene, monkeypatch) == 0
    assert refused(("silence", "expire", ""), scene, monkeypatch) == 2
    capsys.readouterr()
    for case, (text, reason) in BAD_NAMES.items():
        assert refused(("ack", text), scene, monkeypatch) == 2, case
        said = capsys.readouterr().err
        assert reason in said, case
        assert "\x1b" not in said, case


# ------------------------------------------------------------------------------------------- explain


def test_explain_says_what_was_read_what_it_is_held_against_and_who_was_told(scene: Load) -> None:
    """One page: the rule's place, raw value and unit, the reason in words, the life, each attempt and its answer."""
    scene.load(a=90.5, b=10, wait=2)
    scene.slack.script(Step(status=503, times=0))
    scene.check(code=3)
    page = scene.run("explain", "Loaded", code=0).stdout
    for expected in (
        'Loaded{db="a"',
        ": firing since",
        "rules/all.yaml:1",
        "condition  jobs.load > 85",
        "= 90.5; read",
        "true: ",
        "inactive -> firing",
        "To slack",
        "chosen by  the rule's notify",
        "attempt 1: ",
        "to be tried again",
        "is tried next at",
    ):
        assert expected in page, page
    pending = scene.run("explain", "Slow", code=0).stdout
    for expected in ("pending since", "1500ms is compared as 1.5 s", "of 1h", "fires at", "nobody yet: it is pending"):
        assert expected in pending, pending
    document = scene.json("explain", "Loaded")
    (message,) = document["messages"]
    assert [each["outcome"] for each in message["tries"]][:1] == ["retry"]
    assert document["value"]["samples"][0]["value"] == 90.5
    assert {each["outcome"] for each in document["decisions"]} == {"told"}


def test_explain_judges_by_a_sample_that_came_in_while_the_turn_before_it_was_saved(scene: Load) -> None:
    """Its file then says that it was received before it was read: it is no sample of the future."""
    scene.load(a=90.5)
    scene.check(code=1)
    with sqlite3.connect(scene.folder / "alerting.db.samples") as rows:
        rows.execute("UPDATE sample SET received = at - 3")
    rows.close()
    page = scene.run("explain", "Loaded", code=0).stdout
    assert "true: jobs.load{" in page
    assert "vanished" not in page


def test_explain_says_how_a_held_alert_would_be_told_and_what_keeps_it_firing(scene: Load) -> None:
    """By which route, though no message has been made; and the samples that `clear` reads, with its verdict."""
    scene.rules(
        "alert: Loaded\ncondition: jobs.load > 85\nclear: jobs.idle > 1s\nseverity: warning\n"
        "---\nalert: Down\ncondition: jobs.up == 0\nnotify: slack\n"
    )
    settings = SETTINGS.format(pagerduty=scene.pagerduty.url, folder=scene.folder)
    routes = "route: {receiver: [], routes: [{matchers: [severity=warning], receiver: slack}]}\n"
    scene.settings(settings + routes)
    scene.load(a=90.5)
    with (scene.folder / "load.prom").open("a") as file:
        file.write('idle{db="a"} 0.5\n')
    scene.run("silence", "add", "Loaded", code=0)
    scene.check(code=1)
    page = scene.run("explain", "Loaded", code=0).stdout
    for expected in (
        "To slack",
        'chosen by  route > severity="warning"',
        "firing held by silence",
        "jobs.idle{",
        "= 0.5; read",
        "clear is false: jobs.idle{",
    ):
        assert expected in page, page
    assert {each["route"] for each in scene.json("explain", "Loaded")["decisions"]} == {'route > severity="warning"'}


def test_explain_says_why_nobody_was_told(scene: Load) -> None:
    """Of a rule that never fired, with the value that is nearest to it; of one that nothing has evaluated."""
    assert "nothing was evaluated here yet" in scene.run("explain", "Loaded", code=0).stderr
    assert "did you mean Loaded" in scene.run("explain", "Loadde", code=2).stderr
    scene.load(a=10, b=42)
    scene.check(code=0)
    page = scene.run("explain", "Loaded", code=0).stdout
    for expected in ("inactive, and never fired", "false: ", "= 42, not > 85", "nobody: it did not fire"):
        assert expected in page, page
    scene.rules("alert: Young\ncondition: jobs.load > 1\nnotify: slack\n", "rules/young.yaml")
    assert "not in force yet" in scene.run("explain", "Young", code=0).stderr


@pytest.mark.slow
def test_explain_at_a_time_leaves_out_what_happened_later(scene: Load) -> None:
    """As it stood then: neither the message nor the firing were there."""
    scene.load(a=90, b=10)
    scene.check(code=1)
    fired = scene.json("explain", "Loaded")["transitions"][0]["at"]
    scene.load(a=10, b=10)
    time.sleep(1.1)  # times are given by the second
    scene.check(code=0)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fired / 1000 + 1))
    then, now = scene.json("explain", "Loaded", "--at", moment), scene.json("explain", "Loaded")
    assert (then["state"], now["state"]) == ("firing", "resolved")
    assert (len(then["transitions"]), len(now["transitions"])) == (1, 2)
    before = scene.run("explain", "Loaded", "--at", "1h", code=0).stdout
    assert "never fired" in before
    assert "is still to come" in scene.run("explain", "Loaded", "--at", "2990-01-01", code=2).stderr


@pytest.mark.slow
def test_explain_of_what_is_built_in_and_of_what_is_gone(scene: Load) -> None:
    """Alerts that no rule file holds have a page as well."""
    scene.load(a=90, b=10)
    scene.check(code=1)
    scene.rules("alert: Other\ncondition: jobs.load > 1000\nnotify: slack\n")
    scene.check(code=0)
    page = scene.run("explain", "Loaded", code=0).stdout
    assert "no longer among the rules" in page
    assert "rule removed" in page


# ------------------------------------------------------------------------------------------- history and status


@pytest.mark.slow
def test_history_lists_what_happened_to_alerts_and_messages(scene: Load) -> None:
    """Newest last; of one alert, of one receiver, with decisions; as JSON."""
    assert "nothing was evaluated here yet" in scene.run("history", code=0).stdout
    scene.load(a=90, b=10)
    scene.check(code=1)
    scene.load(a=10, b=91)
    scene.check(code=1)
    lines = scene.run("history", code=0).stdout.splitlines()
    assert sum("inactive -> firing" in line for line in lines) == 2
    assert sum("to slack, attempt 1: sent" in line for line in lines) == 2
    assert lines == sorted(lines, key=lambda line: line[:20])
    of_one = scene.json("history", 'Loaded{db="a"}')["events"]
    assert [each["after"] for each in of_one if each["event"] == "transition"] == ["firing", "resolved"]
    events = scene.json("history", "--all", "--receiver", "slack")["events"]
    assert {each["event"] for each in events} == {"decision", "attempt"}
    assert "did you mean slack" in scene.run("history", "--receiver", "slak", code=0).stderr
    assert "nothing happened since" in scene.run("history", "--since", "1ms", code=0).stdout
    scene.run("history", "--since", "yesterday", code=2)
    scene.run("history", "Nobody", code=2)


def test_history_follows_until_it_is_interrupted(scene: Load) -> None:
    """What a later run does is shown, one line as it comes; an interrupt is a clean end."""
    scene.check(code=0)
    environment = scene._environment({})
    following = subprocess.Popen(
        [sys.executable, "-m", "alerting", "history", "--follow", "-o", "json"],
        cwd=scene.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a terminal: where the tests run in a shell's background, SIGINT is ignored and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  before any thread
    )
    assert following.stdout is not None
    try:
        scene.load(a=90, b=10)
        scene.check(code=1)
        seen = [json.loads(following.stdout.readline()) for _ in range(2)]
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 0
        assert following.stderr is not None
        assert following.stderr.read() == ""
    finally:
        following.kill()
        following.communicate()
    assert [each["event"] for each in seen] == ["transition", "attempt"]


def test_f59_texts_from_outside_do_not_drive_the_terminal(scene: Load) -> None:
    """Labels, comments and authors are shown with their control characters as escapes, by every command."""
    young = scene.folder / "load.prom"
    young.write_text('# TYPE load gauge\nload{db="\x1b[2J\x07a"} 95\nwait_seconds 0\n')
    outputs = [
        scene.run("check", "--dry-run"),
        scene.run("check"),
        scene.run("check", "--only", "\x1b[31m", code=2),
        scene.run("query", "jobs.load \x1b[31m", code=2),
        scene.run("silence", "import", "\x1b[31m", code=2),
        scene.run("silence", "add", "db=~.*a", "--comment", "\x1b[31m", "--author", "\x1b]0;x\x07", code=0),
        scene.run("ack", "Loaded", "--comment", "\x1b[1m", "--author", "\x1b[1m", code=0),
        scene.run("check"),
        *(scene.run(*words, code=0) for words in (("silence", "list"), ("ack",), ("status",), ("history", "--all"))),
        scene.run("explain", "Loaded", code=0),
    ]
    for done in outputs:
        assert "\x1b" not in done.stdout + done.stderr, done.args
        assert "\x07" not in done.stdout + done.stderr, done.args


@pytest.mark.slow
def test_no_secret_is_shown(scene: Load) -> None:
    """Addresses of receivers that fail are secrets: neither history nor explain nor the state holds them."""
    scene.environment["SLACK_WEBHOOK_URL"] = "http://127.0.0.1:9/services/MARK1/B/MARK2"
    scene.load(a=90, b=10)
    scene.check(code=3)
    for words in (("explain", "Loaded"), ("explain", "Loaded", "-o", "json"), ("history", "--all"), ("status",)):
        done = scene.run(*words, code=0)
        assert "MARK" not in done.stdout + done.stderr


# ------------------------------------------------------------------------------------------- beside a daemon


@pytest.mark.slow
def test_f29_a_daemon_obeys_at_once(scene: Load) -> None:
    """A silence hides, its end tells; an acknowledgement reaches PagerDuty; all through the socket."""
    scene.rules(RULES.replace("notify: slack", "notify: [slack, pagerduty]"))
    with scene.daemon() as daemon:
        daemon.ready()
        eventually((scene.folder / "alerting.db.sock").exists, "the socket")
        id_ = scene.json("silence", "add", "Loaded")["id"]
        scene.load(a=90, b=10)
        eventually(lambda: "held" in json.dumps(scene.json("explain", "Loaded")["decisions"]), "that it is held")
        assert f"a daemon watches (process {daemon.process.pid})" in scene.run("status", code=0).stdout
        assert (scene.slack.accepted, scene.pagerduty.requests) == ([], [])
        scene.run("silence", "expire", id_, code=0)
        eventually(lambda: len(scene.slack.accepted) == 1 and scene.pagerduty.incidents.open, "both messages")
        scene.run("ack", "Loaded", code=0)
        eventually(lambda: "acknowledge" in json.dumps(scene.pagerduty.accepted), "the acknowledgement")
        assert daemon.log.count('"action": "handed_over"') == 3
        assert daemon.end() == 0
    assert not (scene.folder / "alerting.db.sock").exists()


@pytest.mark.slow
def test_a_state_that_is_held_by_nobody_who_listens_is_said(scene: Load) -> None:
    """After five seconds, exit 4, and nothing was changed."""
    scene.check(code=0)
    lock = Lock(str(scene.folder / "alerting.db"))
    lock.take()
    try:
        began = time.monotonic()
        done = scene.run("silence", "add", "Loaded", code=4)
        assert 4 < time.monotonic() - began < 10
        assert "nothing was changed" in done.stderr
    finally:
        lock.release()
    assert scene.json("silence", "list")["silences"] == []


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("amtool") and shutil.which("prometheus-alertmanager")), reason="needs Debian's Alertmanager"
)
def test_amtool_and_alertmanager_take_what_is_exported_and_give_what_is_imported(scene: Load) -> None:
    """A silence there and back, by the real programs."""
    (scene.folder / "am.yml").write_text("route: {receiver: x}\nreceivers: [{name: x}]\n")
    line = [
        "prometheus-alertmanager",
        "--config.file=am.yml",
        f"--storage.path={scene.folder / 'am'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
    ]
    log = scene.folder / "am.log"
    with log.open("w") as output:
        peer = subprocess.Popen(line, cwd=scene.folder, stdout=output, stderr=output)
    try:
        eventually(lambda: _port(log), "its address")
        url = f"--alertmanager.url=http://127.0.0.1:{_port(log)}"
        scene.run("silence", "add", "Loaded", "team=~d.*", "db!=x", "--comment", "there", code=0)
        (scene.folder / "ours.json").write_text(scene.run("silence", "export", code=0).stdout)
        eventually(lambda: _amtool("silence", "import", "ours.json", "--force", url, folder=scene.folder), "the import")
        theirs = _amtool("silence", "query", "-o", "json", url, folder=scene.folder)
        (row,) = json.loads(theirs)
        assert (row["comment"], len(row["matchers"])) == ("there", 3)
        (scene.folder / "theirs.json").write_text(theirs)
        assert "1 imported" in scene.run("silence", "import", "theirs.json", code=0).stdout
        first, second = scene.json("silence", "list")["silences"]
        key = lambda each: sorted(map(tuple, (m.values() for m in each["matchers"])))  # noqa: E731  a key
        assert key(first) == key(second)
    finally:
        peer.terminate()
        peer.wait(20)


def _written(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at / 1000))


def _port(log: Path) -> str:
    found = [line.rpartition("127.0.0.1:")[2] for line in log.read_text().splitlines() if "127.0.0.1:" in line]
    return "".join(letter for letter in found[-1] if letter.isdigit()) if found else ""


def _amtool(*words: str, folder: Path) -> str:
    done = subprocess.run(
        ["amtool", *words], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout if done.returncode == 0 else ""
