"""Routes, inhibitions and windows of the settings: what they become, and what is said of those that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.cache import Cache
from alerting.config.rules import check_rules, load_rules
from alerting.config.settings import load_settings
from alerting.config.zones import find_zone
from alerting.errors import ConfigError
from alerting.model import Flapping, Inhibition, Matcher, Origin, Route, Storm, TimeSpan
from alerting.patterns import compile_pattern
from tests.config.reading import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

    from alerting.config.settings import Settings

WHOLE = (FIXTURES / "settings" / "routes.good.yaml").read_text()
RECEIVERS = "receivers: {ops: {type: console}, db: {type: console}}\n"


def loaded(tmp_path: Path, text: str, cache: Cache | None = None) -> Settings:
    """Load settings from a text."""
    path = tmp_path / "alerting.yaml"
    path.write_text(text)
    return load_settings(path, {}, tmp_path, cache or Cache(None))


def refused(tmp_path: Path, text: str) -> str:
    """Give what is said of settings that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    return str(caught.value)


def test_the_tree_is_read_with_what_each_route_inherits(tmp_path: Path) -> None:
    """Every key, both forms of matchers, names of receivers in both forms."""
    root = loaded(tmp_path, WHOLE).route
    assert root is not None
    assert root._replace(routes=()) == Route(
        ("ops",), group_by=("alertname", "cluster"), origin=Origin("alerting.yaml", 3, 3)
    )  # its times are those that Alertmanager has by default
    [team] = root.routes
    assert team._replace(routes=(), origin=root.origin) == Route(
        ("db", "ops"),
        (Matcher("team", "=~", "db|cache"), Matcher("severity", "!=", "info")),
        group_by=("alertname", "cluster"),
        repeat_interval=None,
        active_time_intervals=("office",),
        name='route > team=~"db|cache", severity!="info"',
        origin=root.origin,
    )
    critical, replica = team.routes
    assert critical.matchers == (
        Matcher("severity", "=", "critical"),
        Matcher("code", "=", "500"),  # a number in the file is the text that stands there
        Matcher("instance", "=~", "db-.*"),
    )
    assert (critical.receivers, critical.group_by, critical.continue_) == (("db", "ops"), ("...",), True)
    assert replica.matchers == (Matcher("kind", "=", "replica"), Matcher("odd name", "=", "x"))
    assert (replica.receivers, replica.active_time_intervals) == (("db", "ops"), ())  # windows are not inherited
    assert (replica.mute_time_intervals, replica.origin.line) == (("nights",), 19)


def test_inhibitions_windows_and_the_rest_are_read(tmp_path: Path) -> None:
    """Both names of windows; times across midnight; defaults of objects."""
    settings = loaded(tmp_path, WHOLE)
    first, second = settings.inhibitions
    assert first == Inhibition(
        (Matcher("alertname", "=", "NodeDown"),),
        (Matcher("alertname", "=~", "(Slow|High).*"),),
        ("instance",),
        "node down",
        Origin("alerting.yaml", 22, 5),
    )
    assert (second.name, second.equal) == ('severity="critical" > severity="warning"', ())
    assert settings.intervals == {
        "office": (TimeSpan(times=((540, 1020),), weekdays=((1, 5),), zone="Europe/Berlin"),),
        "nights": (
            TimeSpan(times=((1320, 360),)),
            TimeSpan(days_of_month=((-1, -1), (1, 2)), months=((12, 12), (1, 1)), years=((2026, 2028),)),
        ),
    }
    assert settings.flapping == Flapping(4, 1_800_000, 900_000)
    assert (settings.storm, settings.silence_warning) == (Storm(5, 60_000), 0)


def test_a_route_that_says_nothing_tells_at_once_by_rule_and_never_again(tmp_path: Path) -> None:
    """Without a route at all there is none; without `flapping` nothing flaps."""
    settings = loaded(tmp_path, f"{RECEIVERS}route: {{receiver: ops}}\n")
    assert settings.route == Route(
        ("ops",),
        group_by=("alertname",),
        group_wait=0,
        group_interval=0,
        repeat_interval=None,
        origin=Origin("alerting.yaml", 2, 8),
    )
    none = loaded(tmp_path, RECEIVERS)
    assert (none.route, none.inhibitions, none.intervals, none.flapping) == (None, (), {}, None)
    assert (none.storm, none.silence_warning) == (Storm(20, 60_000), 900_000)


def test_nobody_is_a_receiver_too(tmp_path: Path) -> None:
    """`[]` is not the same as nothing: nothing inherits."""
    route = loaded(tmp_path, f"{RECEIVERS}route: {{receiver: ops, routes: [{{matchers: a=b, receiver: []}}]}}\n").route
    assert route is not None
    assert route.routes[0].receivers == ()


def test_the_cache_gives_the_same_tree_and_the_same_warnings(tmp_path: Path) -> None:
    """A second run reads no YAML, and says what the first one said."""
    text = (FIXTURES / "settings" / "route-unreachable.warn.yaml").read_text()
    text += f"inhibit_rules:{WHOLE.partition('inhibit_rules:')[2]}"
    cache = Cache(tmp_path / "cache")
    first = loaded(tmp_path, text, cache)
    again = load_settings(tmp_path / "alerting.yaml", {}, tmp_path, cache)
    assert list((tmp_path / "cache").iterdir())
    assert again == first
    assert len(first.warnings) == 2
    assert first.inhibitions


def test_what_is_wrong_is_shown_with_its_line_where_that_holds_no_secret(tmp_path: Path) -> None:
    """Under `route` and its like; never where another key shares the line."""
    shown = refused(tmp_path, f"{RECEIVERS}route:\n  receiver: ops, dba\n")
    assert shown.splitlines() == [
        "alerting.yaml:3:18: no receiver 'dba', did you mean db?",
        "      receiver: ops, dba",
        "                     ^^^",
    ]
    for secret in (
        "{receivers: {a: {type: pagerduty, routing_key: S3CRET}}, route: {receiver: b}}",
        "{receivers: {a: {type: pagerduty, routing_key:\n  S3CRET}}, route: {receiver: b}}",
        "{receivers: {a: {type: pagerduty, routing_key: x}}, route:\n {receiver: b}, external_labels: {a: S3CRET}}",
    ):
        assert "S3CRET" not in refused(tmp_path, secret)
        assert "no receiver 'b'" in refused(tmp_path, secret)


@pytest.mark.parametrize(
    ("matchers", "possible"),
    [
        (["a=x", "a=y"], False),
        (['a=~"x|y"', 'a=~"y|z"'], True),
        (['a=~"x|y"', 'a=~"z"'], False),
        (['a=~"x|y"', 'a!~"x|y|z"'], False),
        (["a=x", 'a=~"x.*"'], True),
        (["a=y", 'a=~"x.*"'], False),
        (['a=""', 'a=~".+"'], False),
        (['a=~"x.+"', 'a=~"y.+"'], True),  # nobody can tell: it is not said
        (['a!~".*"'], False),
        (["a=x", "b=y"], True),
    ],
)
def test_matchers_that_no_alert_can_fit_are_refused(tmp_path: Path, matchers: list[str], possible: bool) -> None:
    """As far as lists of values tell."""
    text = f"{RECEIVERS}route: {{receiver: ops, routes: [{{matchers: {matchers}}}]}}\n"
    if possible:
        assert loaded(tmp_path, text).warnings == ()
    else:
        assert "fit" in refused(tmp_path, text)


def test_a_rule_names_windows_that_are_there_and_routes_severities_that_rules_have(tmp_path: Path) -> None:
    """An unknown window is an error; a severity that no rule has is odd, as a series may bring its own."""
    settings = loaded(
        tmp_path,
        f"{RECEIVERS}route:\n  receiver: ops\n  routes:\n"
        '  - matchers: [severity="critcal"]\n  - matchers: [severity=~"warning|page"]\n'
        '    routes: [{matchers: [severity="page"]}]\n'
        "time_intervals: [{name: nights, time_intervals: [{weekdays: [sunday]}]}]\n",
    )
    (tmp_path / "rules").mkdir()
    rule = "alert: A\ncondition: disk_usage > 85%\nseverity: warning\n"
    (tmp_path / "rules" / "a.yaml").write_text(f"{rule}mute_time_intervals: [nights, nigths]\n")
    found = [str(each).splitlines()[0] for each in check_rules(settings, compile_pattern)]
    assert found == [
        'alerting.yaml:5:5: warning: severity="critcal" fits no rule: their severities are warning',
        'alerting.yaml:7:14: warning: severity="page" fits no rule: their severities are warning',
        "rules/a.yaml:4:31: no window 'nigths', did you mean nights?",
    ]


def test_zones_are_those_of_the_database_and_this_machines() -> None:
    """An unknown one is named, with what was probably meant."""
    assert str(find_zone("Asia/Kathmandu")) == "Asia/Kathmandu"
    assert find_zone("Local") is not None
    with pytest.raises(ValueError, match="did you mean America/New_York"):
        find_zone("America/New_Yrok")
    for odd in ("", "../etc/passwd", "/etc/passwd", "Europe", "\0"):
        with pytest.raises(ValueError, match="no time zone"):
            find_zone(odd)


ALERTMANAGERS = """\
receivers:
- name: team
  slack_configs: [{api_url: "${HOOK}"}]
  pagerduty_configs: [{routing_key: "${KEY}", severity: warning}]
- name: "null"
- name: pager
  opsgenie_configs: [{api_key: x}]
route:
  receiver: team
  routes:
  - {matchers: [severity="none"], receiver: "null"}
  - {matchers: [severity="page"], receiver: pager}
"""


def test_alertmanagers_list_of_receivers_loads_as_it_stands(tmp_path: Path) -> None:
    """A name may stand for several of ours, or none; defaults are Alertmanager's; what is left out is said always."""
    settings = loaded(tmp_path, ALERTMANAGERS)
    assert {name: each.kind for name, each in settings.receivers.items()} == {
        "team.slack": "slack",
        "team.pagerduty": "pagerduty",
        "pager": "console",
    }
    assert settings.teams == {"team": ("team.slack", "team.pagerduty"), "null": (), "pager": ("pager",)}
    route = settings.route
    assert route is not None
    assert (route.receivers, route.group_by, route.group_wait) == (("team.slack", "team.pagerduty"), (), 30_000)
    assert [each.receivers for each in route.routes] == [(), ("pager",)]
    assert settings.receivers["team.pagerduty"].origin == Origin("alerting.yaml", 4, 23)
    said = "\n".join(map(str, settings.warnings))
    assert "6:3: warning: nothing of receiver 'pager' could be taken" in said
    assert "4:37: warning: environment variable KEY is not set" in said
    loaded(tmp_path, ALERTMANAGERS, Cache(tmp_path / "cache"))
    again = load_settings(tmp_path / "alerting.yaml", {}, tmp_path, Cache(tmp_path / "cache"))
    assert (again.warnings, again.teams, again.route) == (settings.warnings, settings.teams, settings.route)


def test_a_rule_may_name_a_receiver_of_alertmanagers_list(tmp_path: Path) -> None:
    """It tells all that the name stands for."""
    settings = loaded(tmp_path, ALERTMANAGERS)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text("alert: A\ncondition: disk_usage > 85%\nnotify: team\n")
    [rule] = load_rules(settings, None, compile_pattern).rules
    assert rule.spec.notify == ("team.slack", "team.pagerduty")
