"""The settings file: found, with defaults, secrets wrapped, and what the environment stands in for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from alerting.config import references
from alerting.config.durations import millis
from alerting.config.names import names_in
from alerting.config.references import is_literal
from alerting.config.settings import Settings, find_settings, load_settings
from alerting.errors import ConfigError, SecretError
from alerting.model import Secret
from alerting.secrets import env as env_secrets
from alerting.secrets import file as file_secrets
from tests.config.reading import FIXTURES, SETTINGS

if TYPE_CHECKING:
    from pathlib import Path


def loaded(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Settings:
    """Load settings from a text."""
    path = tmp_path / "alerting.yaml"
    path.write_text(text)
    return load_settings(path, env or {}, tmp_path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("500ms", 500),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("1y", 31_536_000_000),
        ("1y2w3d4h5m6s7ms", 31_536_000_000 + 2 * 604_800_000 + 3 * 86_400_000 + 4 * 3_600_000 + 306_007),
        ("0", 0),
        (0, 0),
        ("0s", 0),
    ],
)
def test_durations_are_milliseconds(written: str | int, expected: int) -> None:
    """In all units that Prometheus has."""
    assert millis(written) == expected


def test_the_settings_as_they_are_printed_load() -> None:
    """Names, kinds, defaults in ms, secrets that print stars."""
    settings = load_settings(SETTINGS, {}, FIXTURES)
    assert settings.configured
    assert (settings.interval, settings.store) == (30_000, "sqlite:///alerting.db")
    assert {name: each.kind for name, each in settings.sources.items()} == {
        "health_check": "health",
        "metrics": "prometheus",
        "sentry": "sentry",
        "host": "host",
    }
    assert {name: each.kind for name, each in settings.receivers.items()} == {
        "slack": "slack",
        "chat": "slack",
        "pagerduty": "pagerduty",
    }
    health = settings.sources["health_check"]
    assert health.values["timeout"] == 10_000
    assert (health.origin.line, health.origin.column) == (6, 3)
    assert str(settings.receivers["slack"].values["webhook_url"]) == "***"
    assert settings.receivers["chat"].values["channel"] == "#ops"


def test_a_secret_is_followed_at_each_use(tmp_path: Path) -> None:
    """A rotated value takes effect; part of a text may be a reference; `$$` is a dollar sign."""
    key = tmp_path / "key"
    key.write_text("one\n")
    settings = loaded(
        tmp_path,
        f'receivers:\n  a: {{type: pagerduty, routing_key: "${{file:{key}}}"}}\n'
        f'  b: {{type: webhook, url: "https://x.example.org/${{file:{key}}}?a=$$b"}}\n'
        '  c: {type: webhook, url: "https://x.example.org/$$d$"}\n',
    )
    first, second, third = (
        settings.receivers["a"].values["routing_key"],
        settings.receivers["b"].values["url"],
        settings.receivers["c"].values["url"],
    )
    assert (first.reveal(), second.reveal()) == ("one", "https://x.example.org/one?a=$b")
    key.write_text("two")
    assert (first.reveal(), second.reveal()) == ("two", "https://x.example.org/two?a=$b")
    assert third.reveal() == "https://x.example.org/$d$"
    assert first.label == f"${{file:{key}}}"


def test_only_who_needs_an_unset_variable_is_degraded(tmp_path: Path) -> None:
    """Loading goes on with a warning; revealing says which variable it is."""
    settings = loaded(tmp_path, 'receivers:\n  a: {type: pagerduty, routing_key: "${NOT_SET_ANYWHERE}"}\n')
    [warning] = settings.warnings
    assert warning.warning
    with pytest.raises(SecretError, match="NOT_SET_ANYWHERE is not set"):
        settings.receivers["a"].values["routing_key"].reveal()


def test_values_of_headers_are_secrets_and_plain_keys_are_not(tmp_path: Path) -> None:
    """By the schema's mark, whether or not a reference stands there."""
    settings = loaded(
        tmp_path,
        "sources:\n  app: {type: health, url: https://a.example.org/health, headers: {Authorization: Bearer x}}\n",
    )
    values = settings.sources["app"].values
    assert isinstance(values["headers"]["Authorization"], Secret)
    assert values["headers"]["Authorization"].reveal() == "Bearer x"
    assert values["url"] == "https://a.example.org/health"


def test_what_the_deployment_sets_already_is_not_repeated(tmp_path: Path) -> None:
    """SENTRY_DSN and SENTRY_ENVIRONMENT stand in for keys that are left out, and never for those that are there."""
    env = {"SENTRY_DSN": "https://key@o1.ingest.sentry.io/42", "SENTRY_ENVIRONMENT": "stag$ing"}
    settings = loaded(tmp_path, 'sources:\n  s: {type: sentry, token: "${T}"}\n', env)
    values = settings.sources["s"].values
    assert values["environment"] == "stag$ing"
    assert values["dsn"].label == "${SENTRY_DSN}"
    text = 'sources:\n  s: {type: sentry, token: "${T}", organization: o, project: p, environment: x}\n'
    assert loaded(tmp_path, text, env).sources["s"].values["environment"] == "x"
    assert "environment" not in loaded(tmp_path, text.replace(", environment: x", "")).sources["s"].values


def test_without_a_file_the_host_is_read_and_no_receiver_is_looked_up(tmp_path: Path) -> None:
    """So that a folder with one rule is enough to begin."""
    settings = load_settings(None, {}, tmp_path)
    assert not settings.configured
    assert list(settings.sources) == ["host"]
    assert settings.sources["host"].values["timeout"] == 10_000


def test_settings_without_sources_read_the_host(tmp_path: Path) -> None:
    """And an empty list of sources reads none."""
    assert list(loaded(tmp_path, "interval: 1m\n").sources) == ["host"]
    assert list(loaded(tmp_path, "sources: {}\n").sources) == []


def test_references_at_the_top_are_followed_at_once(tmp_path: Path) -> None:
    """They are needed before anything runs; external labels are texts as written."""
    name = tmp_path / "name"
    name.write_text("eu-1")
    text = f'external_labels: {{region: "${{file:{name}}}", rack: 012}}\nstore: "sqlite:///${{file:{name}}}.db"\n'
    settings = loaded(tmp_path, text)
    assert settings.external_labels == {"region": "eu-1", "rack": "012"}
    assert settings.store == "sqlite:///eu-1.db"
    host = f'"https://${{file:{name}}}.example.org/x"'
    assert loaded(tmp_path, f"external_url: {host}\n").external_url == "https://eu-1.example.org/x"
    assert loaded(tmp_path, "interval: 1m\n").external_url == ""


@pytest.mark.parametrize("address", ["alerting.example.org", "https://ann:secret@alerting.example.org", "javascript:x"])
def test_an_address_that_a_reference_brings_is_looked_at_too(tmp_path: Path, address: str) -> None:
    """It goes out in messages, so it is an address of the web and holds no password; what was found is not shown."""
    name = tmp_path / "name"
    name.write_text(address)
    with pytest.raises(ConfigError, match="what it refers to is no address") as caught:
        loaded(tmp_path, f'external_url: "${{file:{name}}}"\n')
    assert address not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "explicit", "env", "expected"),
    [
        (["alerting.yaml"], None, {}, "alerting.yaml"),
        ([], None, {}, None),
        (["a.yaml", "alerting.yaml"], "a.yaml", {}, "a.yaml"),
        (["a.yaml", "alerting.yaml"], None, {"ALERTING_CONFIG": "a.yaml"}, "a.yaml"),
        (["a.yaml", "b.yaml"], "b.yaml", {"ALERTING_CONFIG": "a.yaml"}, "b.yaml"),
        (["alerting.yaml"], None, {"ALERTING_CONFIG": ""}, "alerting.yaml"),
    ],
)
def test_the_file_asked_for_goes_before_the_variable_and_that_before_the_folder(
    tmp_path: Path, files: list[str], explicit: str | None, env: dict[str, str], expected: str | None
) -> None:
    """--config, ALERTING_CONFIG, alerting.yaml here, none."""
    for name in files:
        (tmp_path / name).write_text("interval: 1m\n")
    found = find_settings(explicit, env, tmp_path)
    assert found == (None if expected is None else tmp_path / expected)


@pytest.mark.parametrize(
    ("explicit", "env", "said"),
    [
        ("gone.yaml", {}, "gone.yaml: the settings file that --config names is not there"),
        (
            None,
            {"ALERTING_CONFIG": "gone.yaml"},
            "gone.yaml: the settings file that ALERTING_CONFIG names is not there",
        ),
        (None, {}, "alerting.yml: is not read by this name, rename it to alerting.yaml"),
    ],
)
def test_a_settings_file_that_is_asked_for_is_never_passed_over(
    tmp_path: Path, explicit: str | None, env: dict[str, str], said: str
) -> None:
    """Else a mistyped path would mean "nothing configured", and nobody would be told of anything."""
    (tmp_path / "alerting.yml").write_text("interval: 1m\n")
    with pytest.raises(ConfigError) as caught:
        find_settings(explicit, env, tmp_path)
    assert str(caught.value) == said


@pytest.mark.parametrize("what", ["folder", "pipe", "device"])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path, what: str) -> None:
    """For settings and for secrets alike."""
    path = tmp_path / "alerting.yaml"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_settings(path, {}, tmp_path)
    with pytest.raises(SecretError, match="is not a regular file"):
        file_secrets.resolve(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ("$", ["$"]),
        ("$$", ["$"]),
        ("a$b", ["a$b"]),
        ("$${A}", ["${A}"]),
        ("${A}", ["${A}"]),
        ("x${A}y${file:/b}z", ["x", "${A}", "y", "${file:/b}", "z"]),
        ("${env:A}", ["${A}"]),
    ],
)
def test_references_are_cut_out_of_texts(text: str, expected: list[str]) -> None:
    """A lone dollar sign is itself."""
    assert [str(each) for each in references.parts(text)] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${", "has no `}`"),
        ("${A", "has no `}`"),
        ("${}", "holds no name"),
        ("${1A}", "holds no name"),
        ("${a-b}", "holds no name"),
        ("${a b}", "holds no name"),
        ("${é}", "holds no name"),
        ("${nope:x}", "unknown kind of secret 'nope'; known kinds: "),
        ("${fil:/x}", "did you mean file?"),
    ],
)
def test_what_is_no_reference_is_said_to_be_none(text: str, said: str) -> None:
    """Never taken for plain text: the author meant a secret."""
    with pytest.raises(ValueError, match=re.escape(said)):
        references.parts(text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("value\n", "value"), ("value\r\n", "value"), ("two\nlines\n", "two\nlines"), (" spaced ", " spaced ")],
)
def test_a_secret_file_gives_its_text_without_the_last_line_end(tmp_path: Path, content: str, expected: str) -> None:
    """Editors and `echo` add one."""
    (tmp_path / "s").write_bytes(content.encode())
    assert file_secrets.resolve(str(tmp_path / "s")) == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * 100_000])
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, not UTF-8, or far too large."""
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(SecretError, match="secret file"):
        file_secrets.resolve(str(tmp_path / "s"))


@pytest.mark.parametrize("path", ["relative/path", "", "/not/there", "/nul\0byte"])
def test_a_secret_file_is_named_when_it_cannot_be_read(path: str) -> None:
    """By its path, with what to do."""
    with pytest.raises(SecretError, match="secret file"):
        file_secrets.resolve(path)


def test_an_unset_variable_is_named() -> None:
    """And PATH, which is set, gives its value."""
    with pytest.raises(SecretError, match="environment variable NOT_SET_ANYWHERE is not set"):
        env_secrets.resolve("NOT_SET_ANYWHERE")
    assert env_secrets.resolve("PATH") == os.environ["PATH"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${TOKEN}", False),
        ("Bearer ${TOKEN}", False),
        ("application/json", False),
        ("https://hooks.example.org/alerts", False),
        ("R015FOOBAR7QUUX0123456789ABCDEFG", True),
        ("https://hooks.slack.com/services/T000/B000/abcdefghijklmn0pqrst", True),
        ("Bearer sntrys_eyJpYXQiOjE2ODczMzY1NDM", True),
    ],
)
def test_a_literal_secret_is_told_from_other_texts(text: str, expected: bool) -> None:
    """A long word of letters and digits."""
    assert is_literal(text) is expected


def test_a_rule_file_that_no_pattern_matches_for_its_ending_is_a_warning(tmp_path: Path) -> None:
    """Prometheus' files are called `.yml`, our pattern ends in `.yaml`: a file nobody reads watches nothing."""
    (tmp_path / "rules").mkdir()
    for name in ("a.yaml", "b.yml", "b.test.yml", ".c.yml"):
        (tmp_path / "rules" / name).touch()
    (tmp_path / "compose.yml").touch()
    path = tmp_path / "alerting.yaml"
    for patterns, said in (
        ("rules/*.yaml", ["rules/b.yml: warning: is not read, rename it, or add rules/*.yml to `rules:`"]),
        ("['rules/*.yaml', 'rules/*.yml']", []),
        ("['*.yaml', '/rules/*.yaml']", []),
        ("rules/b.yml", []),
    ):
        path.write_text(f"rules: {patterns}\n")
        assert [str(each) for each in load_settings(path, {}, tmp_path).warnings] == said


def test_one_fallback_may_stand_in_for_all_receivers(tmp_path: Path) -> None:
    """Save for whoever names one of his own, nobody among them; nobody is his own fallback."""
    text = (
        "fallback: mail, screen\nreceivers:\n"
        "  hook: {type: webhook, url: http://127.0.0.1/}\n"
        "  mail: {type: console}\n"
        "  own: {type: console, fallback: hook}\n"
        "  none: {type: console, fallback: []}\n"
        "  screen: {type: console}\n"
    )
    receivers = loaded(tmp_path, text).receivers
    assert {name: names_in(each.values.get("fallback", ())) for name, each in receivers.items()} == {
        "hook": ["mail", "screen"],
        "mail": ["screen"],
        "own": ["hook"],
        "none": [],
        "screen": ["mail"],
    }
    with pytest.raises(ConfigError, match=r"alerting.yaml:1:11: no receiver 'mial'.*did you mean mail"):
        loaded(tmp_path, text.replace("fallback: mail, screen", "fallback: mial"))
