"""What a test file says of people is read whole, and whatever is wrong with it is said at once, with its place."""

from __future__ import annotations

from textwrap import dedent

import pytest

from alerting.casework.people import AckGiven, HeardAlert, HeardMessage, SilenceGiven
from alerting.casework.runner import run
from alerting.casework.testfile import read_cases
from alerting.errors import ConfigError
from alerting.model import Matcher

SETTINGS = "settings: {receivers: {chat: {type: console}}, route: {receiver: chat}}\n"


def read(tmp_path, text):
    """Write a test file and read it."""
    path = tmp_path / "x.test.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_cases(path, "x.test.yaml")


def test_people_are_read_whole(tmp_path):
    """Every key, with its default where it is not given."""
    file = read(
        tmp_path,
        SETTINGS
        + """\
tests:
- notifications:
  - eval_time: 5m
    receiver: chat
    exp_held: [silenced]
    exp_messages:
    - exp_at: 1m30s
      exp_reason: firing
      exp_title: T
      exp_text: x
      exp_notes: [n]
      exp_loud: false
      exp_key: k
      exp_alerts: [{exp_labels: {alertname: A, tier: 1}, exp_step: worse, exp_reason: y}, {}]
    - {}
  - {eval_time: 2h, receiver: chat}
  silences:
  - {at: 0s, matchers: [High, 'mount=~"/d.*"'], duration: 2h, author: ann, comment: c, expired_at: 1h}
  - {at: 1m, matchers: 'a="b", c!="d"'}
  acks:
  - {at: 2m, alert: 'High{mount="/"}', author: bob, withdrawn_at: 3m}
  - {at: 3m, alert: High, duration: 5m}
  unreachable:
  - {receiver: chat, from: 1m, to: 2m, why: refused}
  - {receiver: chat}
""",
    )
    (case,) = file.cases
    people = case.people
    first, second = people.hearings
    alerts = (HeardAlert({"alertname": "A", "tier": "1"}, "worse", "y"), HeardAlert(None, "", ""))
    assert first.messages == (
        HeardMessage(90_000, "firing", "T", "x", ("n",), loud=False, key="k", alerts=alerts),
        HeardMessage(),
    )
    assert (first.at, first.receiver, first.held) == (300_000, "chat", ("silenced",))
    assert (second.messages, second.held, case.length) == ((), None, 7_200_000)
    named, both = (Matcher("alertname", "=", "High"), Matcher("mount", "=~", "/d.*")), people.silences[1].matchers
    assert people.silences[0] == SilenceGiven(0, named, 7_200_000, "ann", "c", 3_600_000, people.silences[0].origin)
    assert both == (Matcher("a", "=", "b"), Matcher("c", "!=", "d"))
    assert (people.silences[1].lasts, people.silences[1].author) == (3_600_000, "the test")
    assert people.acks[0] == AckGiven(
        120_000, 'High{mount="/"}', "High", (Matcher("mount", "=", "/"),), 3_600_000, "bob", "", 180_000,
        people.acks[0].origin,
    )  # fmt: skip
    assert people.acks[1].matchers == ()
    assert [(each.start, each.end) for each in people.unreachable] == [(60_000, 120_000), (0, None)]
    assert people.unreachable[1].why == "made to fail by the test"


def hearing(text):
    """Write a test with one check of messages."""
    return f"tests:\n- notifications: [{{eval_time: 1h, receiver: chat, {text}}}]\n"


def beside(text):
    """Write a test with something beside its check of messages."""
    return f"tests:\n- notifications: [{{eval_time: 1h, receiver: chat}}]\n  {text}\n"


BAD = [
    ("no receiver", "tests:\n- notifications: [{eval_time: 1h}]\n", "3:19: key 'receiver' is missing"),
    ("no time", "tests:\n- notifications: [{receiver: chat}]\n", "3:19: key 'eval_time' is missing"),
    ("a key that is none", hearing("messages: []"), "3:51: unknown key 'messages', did you mean exp_messages?"),
    (
        "no such step",
        hearing("exp_messages: [{exp_alerts: [{exp_step: fires}]}]"),
        "3:91: 'fires' is not one of firing, worse",
    ),
    ("a silence of nothing", beside("silences: [{at: 0s, matchers: []}]"), "4:33: 'matchers' must not be empty"),
    ("a silence of braces", beside("silences: [{at: 0s, matchers: '{}'}]"), "4:33: a silence needs a matcher"),
    ("no matcher", beside("silences: [{at: 0s, matchers: ['{a b}']}]"), "4:38: expected = or"),
    ("no pattern", beside("silences: [{at: 0s, matchers: ['a=~\"(\"']}]"), "4:35: "),
    ("lasts for nothing", beside("silences: [{at: 0s, matchers: A, duration: 0s}]"), "4:46: duration must be longer"),
    ("ended too late", beside("silences: [{at: 0s, matchers: A, expired_at: 2h}]"), "4:48: expired_at must be later"),
    ("after the test", beside("silences: [{at: 2h, matchers: A}]"), "4:19: this comes after the last check"),
    ("an ack of no matcher", beside("acks: [{at: 0s, alert: 'A{b}'}]"), "4:30: expected = or != or =~ or !~"),
    (
        "given back too early",
        beside("acks: [{at: 9m, alert: A, withdrawn_at: 9m}]"),
        "4:43: withdrawn_at must be later",
    ),
    ("back before it went", beside("unreachable: [{receiver: chat, from: 2m, to: 1m}]"), "4:48: `to` must be later"),
]


@pytest.mark.parametrize(("text", "message"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, message):
    """File, line, column, and what to do."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, SETTINGS + text)
    first = str(caught.value.problems[0]).removeprefix("x.test.yaml:")
    assert first[: len(message)] == message, first


def test_all_of_it_is_said_at_once(tmp_path):
    """In the order of the file; without settings nobody can be told."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, beside("silences: [{at: 2h, matchers: '{a}'}]\n  acks: [{at: 3h, alert: 'A{'}]"))
    assert [(each.line, each.message.partition(" ")[0]) for each in caught.value.problems] == [
        (2, "`notifications`"),
        (3, "this"),
        (3, "expected"),
        (4, "this"),
        (4, "this"),
    ]


WRONG_FILES = [
    ("no settings file", "settings: no.yaml\n", "x.test.yaml:1:11: there is no settings file no.yaml"),
    (
        "settings that do not load",
        "settings: {receivers: {chat: {type: consol}}}\n",
        "x.test.yaml:1:37: 'consol' is not one of slack",
    ),
    (
        "a key of settings that is none",
        "settings:\n  receivers: {chat: {type: console}}\n  router: {receiver: chat}\n",
        "x.test.yaml:3:3: unknown key 'router', did you mean route?",
    ),
    (
        "a route to nobody",
        "settings:\n  receivers: {chat: {type: console}}\n  route: {receiver: cat}\n",
        "x.test.yaml:3:21: no receiver 'cat'",
    ),
    (
        "a rule that tells nobody",
        "settings: {receivers: {chat: {type: console}}}\n",
        "r.yaml:1:1: A tells nobody",
    ),
]


@pytest.mark.parametrize(("text", "message"), [each[1:] for each in WRONG_FILES], ids=[each[0] for each in WRONG_FILES])
def test_settings_within_a_test_are_judged_as_settings_are(tmp_path, monkeypatch, text, message):
    """Their problems stand where they are written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("alert: A\ncondition: a > 1\n")
    tests = "rule_files: [r.yaml]\ntests: [{notifications: [{eval_time: 1m, receiver: chat}]}]\n"
    (tmp_path / "x.test.yaml").write_text(text + tests)
    report = run(["x.test.yaml"])
    assert report.exit_code == 2
    assert message in report.text()


@pytest.mark.parametrize(
    "text",
    [
        "settings: {receivers: {c: {type: slack, webhook_url: SECRET, x: 1}}}\ntests: []\n",
        "{settings: {receivers: {c: {type: slack, webhook_url: SECRET}}}, tests: [{intervall: 1m}]}\n",
        "settings:\n  receivers: {c: {type: slack, webhook_url: SECRET, webhook_url: SECRET}}\ntests: []\n",
        "settings:\n  receivers: {c: {type: slack, webhook_url: SECRET}\ntests: []\n",
    ],
)
def test_a_line_that_may_hold_a_secret_is_not_shown(tmp_path, text):
    """Wherever the settings stand in the file, and whatever is wrong with it."""
    (tmp_path / "x.test.yaml").write_text(text.replace("SECRET", "https://hooks.slack.com/services/T0/B0/abcdef"))
    report = run([tmp_path / "x.test.yaml"])
    assert report.exit_code == 2
    assert "abcdef" not in report.text() + report.json() + report.junit()


def test_receivers_that_are_none_are_named_with_what_was_meant(tmp_path, monkeypatch):
    """Of checks and of outages, all at once; and in rules."""
    monkeypatch.chdir(tmp_path)
    tests = beside("unreachable: [{receiver: pager}]").replace("receiver: chat", "receiver: caht")
    (tmp_path / "x.test.yaml").write_text(SETTINGS + tests)
    text = run(["x.test.yaml"]).text()
    assert "x.test.yaml:3:45: no receiver 'caht', did you mean chat?" in text
    assert "x.test.yaml:4:28: no receiver 'pager', the settings' receivers: chat" in text
    (tmp_path / "r.yaml").write_text("alert: A\ncondition: a > 1\nnotify: caht\n")
    (tmp_path / "x.test.yaml").write_text(f"rule_files: [r.yaml]\n{SETTINGS}tests: []\n")
    assert "r.yaml:3:9: no receiver 'caht', did you mean chat?" in run(["x.test.yaml"]).text()


def test_a_settings_file_is_found_from_the_test_file(tmp_path):
    """With its own paths, and secrets that nobody has set."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (tmp_path / "alerting.yaml").write_text(
        "receivers: {chat: {type: slack, webhook_url: '${NOBODY_SETS_THIS}'}}\nroute: {receiver: chat}\n"
    )
    (folder / "r.yaml").write_text("alert: A\ncondition: http_request_duration_p95 > 1s\n")
    (folder / "r.test.yaml").write_text(
        dedent("""\
        rule_files: [r.yaml]
        settings: ../alerting.yaml
        tests:
        - input_series: [{series: http_request_duration_p95, values: 1500}]
          notifications:
          - {eval_time: 1m, receiver: chat, exp_messages: [{exp_title: 'A: http_request_duration_p95 = 1.5 s > 1 s'}]}
        """)
    )
    report = run([folder / "r.test.yaml"])
    assert (report.exit_code, len(report.outcomes())) == (0, 1), report.text()
