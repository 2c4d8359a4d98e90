"""A check of messages that fails says what differs, who was held back and why, and what else led there."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from alerting.casework.runner import run

FILES = {
    "alerting.yaml": """\
        receivers:
          chat: {type: console}
          pager: {type: pagerduty, routing_key: none}
        route:
          receiver: chat
          group_by: [alertname]
          routes: [{matchers: [paged="yes"], receiver: [chat, pager]}]
        """,
    "rules.yaml": """\
        - alert: High
          condition: level > 10
        - alert: Slow
          condition: slow > 10
          for: 5m
        """,
}
OVER = 'High resolved: recovered (level{host="a"} = 5, not > 10)'
HEAD = """\
rule_files: [rules.yaml]
settings: alerting.yaml
evaluation_interval: 1m
tests:
- input_series:
  - {series: 'level{host="a"}', values: 20 20 20 5x20}
  - {series: 'level{host="b", paged="yes"}', values: 5 20x20}
  - {series: slow, values: 20x20}
"""


def play(tmp_path, tests, head=HEAD):
    """Write the files and what a test says of people, and run it."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(dedent(text))
    (tmp_path / "x.test.yaml").write_text(head + indent(dedent(tests), "  "))
    return run([tmp_path / "x.test.yaml"])


def said(report):
    """The lines of all failures, without where they stand."""
    return [
        line for outcome in report.outcomes() for failure in outcome.failures for line in (failure.what, *failure.lines)
    ]


def test_all_differences_of_messages_are_said(tmp_path):
    """Each message beside the nearest one, with its time; then what was decided."""
    report = play(
        tmp_path,
        """\
          notifications:
          - receiver: chat
            eval_time: 3m
            exp_messages:
            - exp_at: 0s
              exp_reason: all resolved
              exp_title: High
              exp_text: tomorrow
              exp_notes: [late]
              exp_loud: false
              exp_alerts: [{exp_labels: {alertname: High, host: b}, exp_step: worse, exp_reason: 21 > 10}]
            - {exp_at: 1m, exp_alerts: [{exp_step: firing}]}
            - {exp_at: 2m, exp_reason: still firing, exp_title: T, exp_notes: [n], exp_alerts: [{exp_step: resolved}]}
        """,
    )
    assert said(report) == [
        "chat at 3m",
        'differs     0s firing (1 new): High: level{host="a"} = 20 > 10',
        "            reason: expected 'all resolved' in 'firing (1 new)'",
        "            title: expected 'High'",
        "            title:      got 'High: level{host=\"a\"} = 20 > 10'",
        "            text: expected 'tomorrow' in",
        "                FIRING High",
        '                    why      level{host="a"} = 20 > 10',
        "                    value    20",
        "                    since    1970-01-01 00:00:00Z",
        '                    labels   host="a"',
        "",
        "                firing (1 new) · route",
        "            notes: expected ['late'], got []",
        "            loud: expected false, got true",
        '            alert: expected {alertname="High",host="b"}, got {alertname="High",host="a"}',
        '            step of {alertname="High",host="a"}: expected worse, got firing',
        '            reason of {alertname="High",host="a"}: expected \'21 > 10\' in \'level{host="a"} = 20 > 10\'',
        f"differs     3m all resolved (1 resolved), quietly: {OVER}",
        "            time: expected 2m, got 3m",
        "            reason: expected 'still firing' in 'all resolved (1 resolved)'",
        "            title: expected 'T'",
        f"            title:      got '{OVER}'",
        "            notes: expected ['n'], got []",
        '0s          told firing of High{host="a"} to chat: route',
        '1m          told firing of High{host="b",paged="yes"} to chat: route > paged="yes"',
        '3m          told resolved of High{host="a"} to chat: was told that it fired',
    ]


PAGED = 'High{host="b",paged="yes"}'
SITUATIONS = [
    (
        "a silence holds it",
        """\
          silences: [{at: 0s, matchers: [High], author: ann, comment: planned}]
          notifications:
          - receiver: chat
            eval_time: 2m
            exp_messages: [{exp_alerts: [{exp_labels: {alertname: High, host: a}}]}]
        """,
        [
            "chat at 2m",
            'missing     a message about {alertname="High",host="a"}',
            '0s          held firing of High{host="a"} to chat by silence: silenced by ann: planned, until 1h',
            f"1m          held firing of {PAGED} to chat by silence: silenced by ann: planned, until 1h",
        ],
    ),
    (
        "it goes to somebody else",
        """\
          notifications:
          - {receiver: pager, eval_time: 30s, exp_messages: [{exp_reason: firing}]}
          - {receiver: pager, eval_time: 2m, exp_messages: [{}]}
        """,
        [
            "pager at 30s",
            "missing     a message because 'firing'",
            '0s          told firing of High{host="a"} to chat: route',
            'beside it   chat was told at 0s firing (1 new): High: level{host="a"} = 20 > 10',
        ],
    ),
    (
        "it does not fire yet",
        """\
          notifications:
          - {receiver: pager, eval_time: 4m, exp_messages: [{}, {exp_alerts: [{exp_labels: {alertname: Slow}}]}]}
        """,
        [
            "pager at 4m",
            'missing     a message about {alertname="Slow"}',
            '1m          told firing of High{host="b",paged="yes"} to pager: route > paged="yes"',
            "            nothing of Slow fired:",
            "the rule    slow > 10 (rules.yaml:3)",
            "            slow 0s=20  1m=20  2m=20  3m=20  4m=20",
            "0s          inactive -> pending: slow = 20 > 10",
            'beside it   chat was told at 0s firing (1 new): High: level{host="a"} = 20 > 10',
            'beside it   chat was told at 1m firing (1 new): High: level{host="b",paged="yes"} = 20 > 10',
            f"beside it   chat was told at 3m all resolved (1 resolved), quietly: {OVER}",
        ],
    ),
    (
        "nothing happened at all",
        """\
          notifications:
          - {receiver: pager, eval_time: 2m, exp_messages: [{}]}
          - {receiver: pager, eval_time: 2m30s, exp_messages: [{exp_alerts: []}]}
        """,
        [
            "pager at 2m30s",
            "missing     a message about no alert",
            "            nothing was decided in that time: no alert began, ended or was due",
        ],
    ),
    (
        "more comes after the last check",
        """\
          notifications:
          - {receiver: chat, eval_time: 0s, exp_messages: [{}]}
          - {receiver: pager, eval_time: 2m, exp_messages: [{}]}
        """,
        [
            "chat after its last check, at 0s",
            'unexpected  1m firing (1 new): High: level{host="b",paged="yes"} = 20 > 10',
            '            firing {alertname="High",host="b",paged="yes"} because level{host="b",paged="yes"} = 20 > 10',
        ],
    ),
    (
        "it is held for another reason",
        """\
          silences: [{at: 0s, matchers: [High]}]
          notifications:
          - {receiver: pager, eval_time: 2m, exp_held: [it is nights, no more]}
        """,
        [
            "pager at 2m",
            "held        High{host=\"b\",paged=\"yes\"}: expected 'it is nights' in 'silence: silenced by the test'",
            "not held    because 'no more'",
            '1m          held firing of High{host="b",paged="yes"} to pager by silence: silenced by the test, until 1h',
        ],
    ),
    (
        "nothing was to be held",
        """\
          silences: [{at: 0s, matchers: [High]}]
          notifications:
          - {receiver: pager, eval_time: 2m, exp_held: []}
        """,
        [
            "pager at 2m",
            'held        High{host="b",paged="yes"} because silence: silenced by the test',
            '1m          held firing of High{host="b",paged="yes"} to pager by silence: silenced by the test, until 1h',
        ],
    ),
    (
        "an alert is taken on that does not fire, or is one of several",
        """\
          acks:
          - {at: 0s, alert: 'High{host="b"}'}
          - {at: 1m, alert: High}
          - {at: 2m, alert: Hihg}
          notifications: [{receiver: pager, eval_time: 2m, exp_messages: [{}]}]
        """,
        [
            'High{host="b"} cannot be acknowledged at 0s',
            "nothing of that name fires then",
            "the rule    level > 10 (rules.yaml:1)",
            '            level{host="a"} 0s=20',
            '            level{host="b",paged="yes"} 0s=5',
            '0s          inactive -> firing {host="a"}: level{host="a"} = 20 > 10',
            "High cannot be acknowledged at 1m",
            'it may mean one of 2 alerts: High{host="a"}, High{host="b",paged="yes"}',
            "Hihg cannot be acknowledged at 2m",
            "nothing of that name fires then",
            "no rule is called Hihg, did you mean High?",
        ],
    ),
]


@pytest.mark.parametrize(("tests", "lines"), [each[1:] for each in SITUATIONS], ids=[each[0] for each in SITUATIONS])
def test_a_check_that_fails_says_why(tmp_path, tests, lines):
    """It answers why nobody was told, or who else was."""
    report = play(tmp_path, tests)
    assert said(report) == lines, report.text()


KEYS = [
    ("two incidents", "{exp_key: a, exp_at: 1m}", "{exp_key: b, exp_at: 6m}", []),
    (
        "one name for two incidents",
        "{exp_key: a, exp_at: 1m}",
        "{exp_key: a, exp_at: 6m}",
        ["key: it is not that of the messages called 'a' before"],
    ),
    (
        "two names for one incident",
        "{exp_key: a, exp_at: 1m}",
        "{exp_key: b, exp_at: 3m}",
        ["key: it is that of the messages called 'a' before"],
    ),
]


@pytest.mark.parametrize(("one", "two", "lines"), [each[1:] for each in KEYS], ids=[each[0] for each in KEYS])
def test_names_of_keys_tell_incidents_apart(tmp_path, one, two, lines):
    """The same name is the same key, another name another key."""
    tests = f"""\
        notifications:
        - {{receiver: pager, eval_time: 2m, exp_messages: [{one}]}}
        - {{receiver: pager, eval_time: 3m, exp_messages: [{two if "3m" in two else "{}"}]}}
        - {{receiver: pager, eval_time: 7m, exp_messages: [{two if "6m" in two else "{}"}]}}
        """
    head = HEAD.replace("values: 5 20x20", "values: 5 20 20 5 5 5 20x20")
    report = play(tmp_path, tests, head)
    assert [line.strip() for line in said(report) if "key:" in line] == lines
    assert report.exit_code == bool(lines)


def test_receivers_that_no_check_names_are_not_looked_at(tmp_path):
    """Who is to hear nothing is named in a check without messages."""
    only_pager = "notifications: [{receiver: pager, eval_time: 20m, exp_messages: [{}]}]\n"
    assert play(tmp_path, only_pager).exit_code == 0
    both = only_pager.replace("}]}]", "}]}, {receiver: chat, eval_time: 20m}]")
    assert [line for line in said(play(tmp_path, both)) if " at 20m" in line] == ["chat at 20m"]


def test_a_silence_is_in_force_for_the_evaluation_at_its_beginning_and_an_ack_is_of_what_fires_then(tmp_path):
    """At one and the same time."""
    tests = """\
          silences: [{at: 1m, matchers: ['host="b"']}]
          acks: [{at: 0s, alert: High, author: ann}]
          notifications:
          - {receiver: pager, eval_time: 2m, exp_held: [silence]}
          - receiver: chat
            eval_time: 2m
            exp_messages: [{exp_at: 0s, exp_reason: firing}, {exp_at: 0s, exp_reason: acknowledged}]
        """
    assert play(tmp_path, tests).text() == "5 checks passed, 1 test in 1 file"


def test_a_month_of_reminders_takes_no_time(tmp_path):
    """Time is made up."""
    (tmp_path / "rules.yaml").write_text("alert: High\ncondition: level > 10\n")
    (tmp_path / "x.test.yaml").write_text(
        dedent("""\
        rule_files: [rules.yaml]
        settings: {receivers: {chat: {type: console}}, route: {receiver: chat, repeat_interval: 1d}}
        evaluation_interval: 1h
        tests:
        - input_series: [{series: level, values: 20x720}]
          notifications: [{receiver: chat, eval_time: 30d, exp_messages: [{exp_reason: firing}]}]
        """)
    )
    report = run([tmp_path / "x.test.yaml"])
    reminders = [line for line in said(report) if line.startswith("unexpected")]
    assert len(reminders) == 30
    assert all("still firing" in line for line in reminders)
