"""Alertmanager's own files: what it loads is taken, what it refuses is refused, and no secret is ever written."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alerting.config.importing import imported
from alerting.config.settings import load_settings
from alerting.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.config.settings import Settings

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "alertmanager"
REFUSED = ("-both", "-no-", "-invalid", ".nil-", "-old-team", "-update-message-and-webhook")  # by its own tests
LOADS = ("conf.smtp-no-username-or-password.yml",)  # whatever its name says
FILES = sorted(CORPUS.glob("*.yml"))


def is_good(path: Path) -> bool:
    """Tell whether Alertmanager loads a file of its own tests."""
    return path.name in LOADS or not any(part in path.name for part in REFUSED)


def made(text: str) -> dict[str, Any]:
    """Import, and read what was written."""
    found: dict[str, Any] = yaml.safe_load(imported(text.encode(), "am.yml").text)
    return found


def said(text: str) -> list[str]:
    """Import, and give what could not be taken, or what is wrong."""
    try:
        problems = imported(text.encode(), "am.yml").warnings
    except ConfigError as error:
        problems = error.problems
    return [str(each).splitlines()[0].removeprefix("am.yml:") for each in problems]


def loaded(tmp_path: Path, text: str) -> Settings:
    """Load settings from a text."""
    (tmp_path / "alerting.yaml").write_text(text)
    return load_settings(tmp_path / "alerting.yaml", {}, tmp_path)


@pytest.mark.skipif(not FILES, reason="Alertmanager's own configuration files are not here")
def test_alertmanagers_own_files_are_taken_or_refused_as_there(tmp_path: Path) -> None:
    """All good ones load, as settings too and as what is written of them; all bad ones are refused by both."""
    taken, refused = 0, 0
    for path in FILES:
        text = path.read_text()
        if is_good(path):
            taken += 1
            direct, written = loaded(tmp_path, text), loaded(tmp_path, imported(text.encode(), path.name).text)
            assert {**direct.receivers}.keys() == {**written.receivers}.keys()
            assert direct.route is not None
            assert written.route is not None
            assert _bare(direct) == _bare(written), path.name
        else:
            refused += 1
            for load in (lambda text: imported(text.encode(), "x"), lambda text: loaded(tmp_path, text)):
                with pytest.raises(ConfigError):
                    load(text)
    print(f"{taken} files load, {refused} are refused")
    assert (taken, refused) == (22, 26)


def _bare(settings: Settings) -> list[tuple[Any, ...]]:
    """Give the routes and inhibitions of settings without the places where they stand."""

    def nodes(route: Any) -> Iterator[Any]:
        yield route._replace(routes=(), origin=None)
        for each in route.routes:
            yield from nodes(each)

    return [*nodes(settings.route), *(each._replace(origin=None) for each in settings.inhibitions)]


WHOLE = """\
global:
  smtp_smarthost: "[::1]:465"
  smtp_from: a@example.org
  smtp_auth_username: ann
  smtp_auth_password_file: /run/secrets/smtp
  slack_api_url: http://hooks.example.org/S3CRET
  pagerduty_url: https://events.eu.pagerduty.com/v2/enqueue
route:
  receiver: team x
  group_by: [...]
  routes:
  - match: {severity: critical, code: 500}
    match_re: {team: "db|web"}
    matchers: [a!="b", 'c=~"d|e",f=g']
    receiver: pager
    continue: true
    group_wait: 90s
    mute_time_intervals: [nights]
  - receiver: "null"
inhibit_rules:
- source_matchers: [alertname="Down"]
  target_match: {severity: warning}
  equal: [node]
- {name: n, source_match: {a: b}, target_match: {c: d}}
mute_time_intervals:
- name: nights
  time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}], weekdays: ["monday:friday"]}]
receivers:
- name: team x
  email_configs: [{to: "ops@example.org, b@example.org", require_tls: false}]
  slack_configs:
  - {channel: "#a", send_resolved: false}
  - {app_token_file: /run/secrets/slack, channel: "#b", send_resolved: true}
  webhook_configs:
  - url: http://hooks.example.org/S3CRET
    max_alerts: 10
    timeout: 5s
    http_config: {authorization: {credentials: S3CRET2}}
- name: pager
  pagerduty_configs: [{routing_key: "${KEY}", severity: warning, client_url: "https://am.example.org"}]
- name: "null"
"""


def test_an_inhibition_with_several_sources_keeps_them_all() -> None:
    """All of them must fire, as in Alertmanager; one alone is written in the older form, which says the same."""
    head = "route: {receiver: a}\nreceivers: [{name: a}]\ninhibit_rules:\n"
    several = '- {sources: [{matchers: [a="b"], equal: [x]}, {matchers: [c="d"]}], target_matchers: [e="f"]}\n'
    one = '- {name: n, sources: [{matchers: [a="b"], equal: [x]}], target_matchers: [e="f"]}\n'
    written = made(head + several + one)["inhibit_rules"]
    assert written == [
        {"sources": [{"matchers": ['a="b"'], "equal": ["x"]}, {"matchers": ['c="d"']}], "target_matchers": ['e="f"']},
        {"name": "n", "source_matchers": ['a="b"'], "target_matchers": ['e="f"'], "equal": ["x"]},
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{sources: [{matchers: [a="b"]}], source_matchers: [c="d"]}', "does not stand beside `sources`"),
        ('{sources: [{matchers: [a="b"]}], equal: [c]}', "does not stand beside `sources`"),
        ("{sources: [{matchers: []}]}", "matchers"),
        ('{sources: [{matchers: [a=""]}], target_matchers: [c="d"]}', "fits any alert"),
        ("{sources: [{equal: [a]}]}", "matchers"),
        ('{sources: [{matchers: [a="b"], name: x}]}', "unknown key 'name'"),
    ],
)
def test_sources_of_an_inhibition_that_alertmanager_refuses_are_refused(rule: str, expected: str) -> None:
    """With the place."""
    with pytest.raises(ConfigError, match=r"am\.yml:4:") as refused:
        made(f"route: {{receiver: a}}\nreceivers: [{{name: a}}]\ninhibit_rules:\n- {rule}\n")
    assert expected in str(refused.value)


def test_receivers_routes_inhibitions_and_windows_are_written_in_our_form() -> None:
    """Files become references, secrets become variables (one for each value), references stay."""
    assert made(WHOLE) == {
        "receivers": {
            "team_x.email": {
                "type": "email",
                "host": "::1",
                "port": 465,
                "tls": "implicit",
                "from": "a@example.org",
                "to": "ops@example.org, b@example.org",
                "username": "ann",
                "password": "${file:/run/secrets/smtp}",
            },
            "team_x.slack": {"type": "slack", "webhook_url": "${SLACK_API_URL}"},
            "team_x.slack-2": {"type": "slack", "token": "${file:/run/secrets/slack}", "channel": "#b"},
            "team_x.webhook": {
                "type": "webhook",
                "url": "${SLACK_API_URL}",
                "max_alerts": 10,
                "timeout": "5s",
                "token": "${TEAM_X_WEBHOOK_CREDENTIALS}",
            },
            "pager": {
                "type": "pagerduty",
                "routing_key": "${KEY}",
                "base_url": "https://events.eu.pagerduty.com",
                "severity": "warning",
                "client_url": "https://am.example.org",
            },
        },
        "route": {
            "receiver": ["team_x.email", "team_x.slack", "team_x.slack-2", "team_x.webhook"],
            "group_by": ["..."],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": [
                        'severity="critical"',
                        'code="500"',
                        'team=~"db|web"',
                        'a!="b"',
                        'c=~"d|e"',
                        'f="g"',
                    ],
                    "receiver": "pager",
                    "group_wait": "1m30s",
                    "mute_time_intervals": ["nights"],
                    "continue": True,
                },
                {"receiver": []},
            ],
        },
        "inhibit_rules": [
            {"source_matchers": ['alertname="Down"'], "target_matchers": ['severity="warning"'], "equal": ["node"]},
            {"name": "n", "source_matchers": ['a="b"'], "target_matchers": ['c="d"']},
        ],
        "time_intervals": [
            {
                "name": "nights",
                "time_intervals": [
                    {"times": [{"start_time": "22:00", "end_time": "24:00"}], "weekdays": ["monday:friday"]}
                ],
            }
        ],
    }


def test_what_is_written_loads_and_what_was_left_out_is_said_and_no_secret_is(tmp_path: Path) -> None:
    """With file, line and column."""
    found = imported(WHOLE.encode(), "am.yml")
    told = "whoever was told that an alert fires is told of its end too"
    assert [str(each).removeprefix("am.yml:") for each in found.warnings] == [
        "6:18: warning: a secret stands here: set SLACK_API_URL to it in the environment",
        "32:6: warning: not taken: 'channel', docs/receivers.md says what receivers take",
        f"32:36: warning: 'send_resolved: false' is not taken, {told}",
        "38:48: warning: a secret stands here: set TEAM_X_WEBHOOK_CREDENTIALS to it in the environment",
    ]
    assert "S3CRET" not in found.text + "".join(map(str, found.warnings))
    settings = loaded(tmp_path, found.text)
    assert all("is not set" in each.message or "cannot be read" in each.message for each in settings.warnings)


def test_a_receiver_of_which_nothing_can_be_taken_prints_and_says_so() -> None:
    """Kinds that are not here, and addresses that are templates."""
    text = (
        "route: {receiver: a}\nreceivers:\n- {name: a, opsgenie_configs: [{api_key: x}]}\n"
        "- {name: b, slack_configs: [{app_token: x, channel: '#{{ .CommonLabels.team }}'}]}\n"
    )
    assert made(text)["receivers"] == {"a": {"type": "console"}, "b": {"type": "console"}}
    assert [each.partition(", ")[0] for each in said(text)] == [
        "3:3: warning: nothing of receiver 'a' could be taken: its messages are printed to the console",
        "3:32: warning: opsgenie_configs is not taken: there is no such kind here",
        "4:3: warning: nothing of receiver 'b' could be taken: its messages are printed to the console",
        "4:29: warning: not taken: 'channel' is a template",
        "4:41: warning: a secret stands here: set B_APP_TOKEN to it in the environment",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("route: {receiver: a}\n", "1:19: no receiver 'a'"),
        ("receivers: []\n", "has no route"),
        ("- a\n", "holds no settings of Alertmanager"),
        ("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]\n", "2:31: receiver 'a' stands here again"),
        (
            "route: {receiver: a}\nreceivers: [{name: a, slak_configs: []}]\n",
            "2:23: unknown key 'slak_configs', did you",
        ),
        ("route: {receiver: a}\nreceivers: [{name: a}]\nfoo: 1\n", "3:1: unknown key 'foo'"),
        ("route: {receiver: a, matchers: [a=b]}\nreceivers: [{name: a}]\n", "1:22: the first route takes every alert"),
        ("route: {receiver: a, repeat_interval: 0s}\nreceivers: [{name: a}]\n", "1:39: 'repeat_interval' must be"),
        ("route: {receiver: a}\nreceivers: {a: b}\n", "2:12: must be a list"),
        (
            "route: {receiver: a}\nglobal: {slack_api_url: ftp://x}\nreceivers: [{name: a}]\n",
            "2:25: 'slack_api_url' must",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: http://x, max_alerts: many}]}]\n",
            "2:41: 'max_alerts' must be a whole number, not 'many'",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, email_configs: [{to: a@b.c, from: x@b.c, smarthost: b}]}]\n",
            "2:75: must be a host and a port",
        ),
    ],
)
def test_what_alertmanager_refuses_is_refused_with_its_place(text: str, expected: str) -> None:
    """Keys, types, names, addresses."""
    assert any(each.strip().startswith(expected) for each in said(text)), said(text)


ODD = (None, True, 0, -1, 1.5, "", "x", "5m", [], {}, ["x"], [[]], {"a": "b"}, [{}], "${X}", "a=~(", "[", "09:00")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a value: its container and the key or index."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@pytest.mark.parametrize("seed", range(4))
def test_no_odd_file_crashes_the_import_and_what_it_writes_loads(tmp_path: Path, seed: int) -> None:
    """With one to three values changed for odd ones."""
    chance = random.Random(seed)
    for _ in range(25):
        tree = copy.deepcopy(yaml.safe_load(WHOLE))
        for _ in range(chance.randint(1, 3)):
            container, key = chance.choice(list(places(tree)))
            container[key] = copy.deepcopy(chance.choice(ODD))
        text = yaml.safe_dump(tree)
        with suppress(ConfigError):
            loaded(tmp_path, text)
        try:
            written = imported(text.encode(), "x").text
        except ConfigError:
            continue
        assert loaded(tmp_path, written).route is not None
