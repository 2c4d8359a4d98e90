"""Rule files: all forms, identity, patterns, problems of all files at once."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from alerting.config.rules import RuleSet, load_rules
from alerting.config.settings import Settings, load_settings
from alerting.config.snapshot import dump_good, load_good, specs_in, with_kept_ids
from alerting.core.lang.names import Names
from alerting.model import NOWHERE, Escalation, Level, OnMissing, RuleSpec
from alerting.patterns import compile_pattern
from tests.config.reading import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "rules"
SETTINGS = """
sources:
  host: {type: host}
  metrics: {type: prometheus, url: http://127.0.0.1:1/metrics}
receivers:
  slack: {type: console}
  pagerduty: {type: console}
route: {receiver: slack}
time_intervals:
  - {name: nights, time_intervals: [{times: [{start_time: 22:00, end_time: 06:00}]}]}
  - {name: weekends, time_intervals: [{weekdays: [saturday, sunday]}]}
  - {name: office-hours, time_intervals: [{times: [{start_time: 09:00, end_time: 17:00}]}]}
"""


def settings_in(folder: Path, text: str = SETTINGS) -> Settings:
    """Write and load a settings file."""
    (folder / "alerting.yaml").write_text(text)
    return load_settings(folder / "alerting.yaml", {}, folder)


def load(folder: Path, **files: str) -> RuleSet:
    """Load rule files given as NAME=text."""
    settings = settings_in(folder)
    (folder / "rules").mkdir(exist_ok=True)
    for old in (folder / "rules").glob("*.yaml"):
        old.unlink()
    for name, text in files.items():
        (folder / "rules" / f"{name}.yaml").write_text(text)
    return load_rules(settings, None, compile_pattern)


def specs(folder: Path, **files: str) -> list[RuleSpec]:
    """Load rule files that must be good."""
    ruleset = load(folder, **files)
    assert ruleset.problems == ()
    return [rule.spec for rule in ruleset.rules]


def rule(name: str, condition: str = "disk_usage > 85%", more: str = "") -> str:
    """Write one rule."""
    return f"alert: {name}\ncondition: {condition}\n{more}"


def test_every_form_of_a_native_file_gives_the_same_rules(tmp_path: Path) -> None:
    """One to a document, a list, under `rules:`; `expr` is `condition`."""
    expected = ["rules/a.yaml:A", "rules/a.yaml:B"]
    item = "- alert: {}\n  expr: disk_usage > 85%\n"
    forms = [
        rule("A") + "---\n" + rule("B"),
        item.format("A") + item.format("B"),
        "rules:\n" + item.format("A") + item.format("B"),
        item.format("A") + "---\n" + rule("B"),
    ]
    for form in forms:
        assert [spec.id for spec in specs(tmp_path, a=form)] == expected


def test_every_key_of_a_native_rule_reaches_the_spec(tmp_path: Path) -> None:
    """With durations in ms; the severity is a label too."""
    [spec] = specs(tmp_path, a=(FIXTURES / "every-key.good.yaml").read_text())
    assert spec._replace(origin=NOWHERE) == RuleSpec(
        id="everything",
        name="Everything",
        condition="disk_usage > 85%",
        interval=500,
        for_=5_400_000,
        keep_firing_for=86_400_000,
        on_missing=OnMissing.FIRE,
        severity="critical",
        labels={"team": "infra", "severity": "critical"},
        annotations={"summary": "{{ $labels.mount }} at {{ $value }}"},
        notify=("slack",),
        runbook_url="https://wiki.example.org/disk",
        enabled=False,
        clear="disk_usage < 80%",
        escalate=(Escalation(900_000, ("pagerduty",)),),
        mute_time_intervals=("nights",),
        active_time_intervals=("office-hours",),
    )


LEVELS = """
alert: Disk
levels:
  warning: disk_usage > 85%
  critical: {condition: disk_usage > 95%, notify: "pagerduty, slack"}
clear: disk_usage < 80% and on() load1 < 3
depends_on: [Host, Host]
notify: slack
---
alert: Host
condition: load5 > 3
notify: slack
"""


def test_levels_are_one_rule_that_needs_what_all_its_conditions_need(tmp_path: Path) -> None:
    """The first level's condition is the rule's; the severity is none of its labels, and the id hangs on neither."""
    found = load(tmp_path, a=LEVELS)
    assert found.problems == ()
    rule, host = found.rules
    assert rule.spec.levels == (
        Level("warning", "disk_usage > 85%"),
        Level("critical", "disk_usage > 95%", ("pagerduty", "slack")),
    )
    assert (rule.id, rule.spec.condition) == ("rules/a.yaml:Disk", "disk_usage > 85%")
    assert (rule.spec.severity, rule.spec.labels, rule.spec.depends_on) == ("", {}, ("Host",))
    assert [each.text for each in rule.levels] == ["disk_usage > 85%", "disk_usage > 95%"]
    assert rule.clear is not None
    assert rule.clear.text == "disk_usage < 80% and on() load1 < 3"
    assert [need.name for need in rule.needs] == ["disk_usage", "load1"]
    assert rule.condition.unit == "percent"
    assert (host.levels, host.clear, host.needs) == ((), None, host.condition.needs)


def test_a_file_checked_by_itself_looks_up_no_rule_and_no_receiver(tmp_path: Path) -> None:
    """Those may stand in other files; what it says of itself is checked all the same."""
    text = LEVELS.replace("pagerduty, slack", "nobody").replace("[Host, Host]", "[Host, Elsewhere]")
    (tmp_path / "a.yaml").write_text(text)
    alone = load_rules(settings_in(tmp_path), None, compile_pattern, files=[tmp_path / "a.yaml"])
    assert alone.problems == ()
    (tmp_path / "a.yaml").write_text(text.replace("condition: load5 > 3", "depends_on: Disk\ncondition: load5 > 3"))
    alone = load_rules(settings_in(tmp_path), None, compile_pattern, files=[tmp_path / "a.yaml"])
    assert ["Disk depends on itself: Disk -> Host -> Disk" in str(each) for each in alone.problems] == [True]


def test_a_name_that_a_broken_file_may_hold_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """One mistake is one problem."""
    found = load(tmp_path, a=LEVELS.partition("---")[0], b="alert: Host\ncondition: load5 > 3\nnotfy: slack\n")
    assert [each.message for each in found.problems] == ["unknown key 'notfy'"]
    missing = load(tmp_path, a=LEVELS.partition("---")[0])
    assert [each.message for each in missing.problems] == ["no rule 'Host'"]


def test_a_long_row_of_dependencies_takes_little_time(tmp_path: Path) -> None:
    """Each is gone down once, however many rules lead there."""
    count = 2_000
    row = "".join(
        f"- {{alert: R{n}, condition: load1 > 3, notify: slack, depends_on: [R{n + 1}, R{count}]}}\n"
        for n in range(count)
    )
    began = perf_counter()
    found = load(tmp_path, a=f"{row}- {{alert: R{count}, condition: load1 > 3, notify: slack, depends_on: R1999}}\n")
    assert perf_counter() - began < 10
    assert [each.message for each in found.problems] == ["R1999 depends on itself: R1999 -> R2000 -> R1999"]


def test_labels_are_the_texts_that_are_written(tmp_path: Path) -> None:
    """`012` stays `012`; what is empty is no label's value."""
    [spec] = specs(tmp_path, a=(FIXTURES / "texts-as-written.good.yaml").read_text())
    assert spec.name == "no"
    assert spec.labels == {
        "code": "012",
        "on_call": "no",
        "version": "1.10",
        "truth": "True",
        "hex": "0x1F",
        "time": "1:30",
        "nothing": "",
        "tilde": "",
        "big": "1_000",
    }


def test_a_group_is_in_prometheus_form(tmp_path: Path) -> None:
    """Its keys, its labels under the rule's own, its defaults, its dialect; series that are gone end at once."""
    text = """
groups:
- name: g
  interval: 1m
  limit: 7
  query_offset: 10s
  labels: {team: infra, tier: 1}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: job:up:sum < 1
    for: 5m
    keep_firing_for: 10m
    labels: {severity: page, tier: "2"}
    annotations: {summary: "{{ $labels.job }} is down", runbook_url: https://wiki.example.org/down}
- name: empty
  rules:
"""
    recorded, alert = specs(tmp_path, a=text)
    assert (recorded.record, recorded.name, recorded.condition) == ("job:up:sum", "job:up:sum", "sum by (job) (up)")
    assert recorded.id == 'rules/a.yaml:g:job:up:sum{team="infra",tier="1"}'
    assert alert.labels == {"team": "infra", "tier": "2", "severity": "page"}
    assert (alert.group, alert.limit, alert.query_offset, alert.interval) == ("g", 7, 10_000, 60_000)
    assert (alert.for_, alert.keep_firing_for, alert.vanish_after) == (300_000, 600_000, 0)
    assert (alert.dialect, alert.severity, alert.runbook_url) == (
        "prometheus",
        "page",
        "https://wiki.example.org/down",
    )


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of public rule files is not here")
def test_rule_files_written_for_prometheus_load_unchanged(tmp_path: Path) -> None:
    """Every file of the corpus, with settings and without: hundreds of rules, no problem, no id twice."""
    files = sorted(CORPUS.glob("*.yaml"))
    alone = load_rules(load_settings(None, {}, tmp_path), None, compile_pattern, files=files)
    assert [str(each) for each in alone.problems if not each.warning] == []
    assert len(alone.rules) > 200
    assert len({rule.id for rule in alone.rules}) == len(alone.rules)
    with_settings = load(tmp_path, **{path.stem: path.read_text() for path in files})
    assert [str(each) for each in with_settings.problems if not each.warning] == []
    assert len(with_settings.rules) == len(alone.rules)


def test_an_id_does_not_hang_on_what_people_tune(tmp_path: Path) -> None:
    """Condition, severity, duration and texts may change; name, labels and file make the id; repeats are numbered."""
    first = specs(tmp_path, a=rule("A", more="severity: warning\nfor: 1m\nlabels: {team: x}\n"))
    second = specs(tmp_path, a=rule("A", "disk_usage > 95%", "severity: critical\nlabels: {team: x}\n"))
    assert first[0].id == second[0].id == 'rules/a.yaml:A{team="x"}'
    repeated = specs(tmp_path, a="---\n".join([rule("A"), rule("B"), rule("A"), rule("A")]))
    assert [spec.id for spec in repeated] == [
        "rules/a.yaml:A",
        "rules/a.yaml:B",
        "rules/a.yaml:A#2",
        "rules/a.yaml:A#3",
    ]


def test_many_rules_of_one_name_are_numbered_in_little_time(tmp_path: Path) -> None:
    """Counting goes on from the last, not from the first."""
    found = specs(tmp_path, a="---\n".join([rule("A")] * 3_000))
    assert found[-1].id == "rules/a.yaml:A#3000"
    assert len({spec.id for spec in found}) == 3_000


def test_a_rule_that_moved_keeps_its_id(tmp_path: Path) -> None:
    """Into another file or group, where its name and labels tell which it is; and again after the next load."""
    before = load(tmp_path, old=rule("A") + "---\n" + rule("B"))
    moved = with_kept_ids(load(tmp_path, new=rule("A"), old=rule("B")), [each.spec for each in before.rules])
    assert [each.id for each in moved.rules] == ["rules/old.yaml:A", "rules/old.yaml:B"]
    again = with_kept_ids(load(tmp_path, new=rule("A"), old=rule("B")), specs_in(dump_good(moved)))
    assert [each.id for each in again.rules] == ["rules/old.yaml:A", "rules/old.yaml:B"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rule("A") + "---\n" + rule("A"), rule("A")),  # which of the two?
        (rule("A"), rule("A") + "---\n" + rule("A")),  # into which?
        (rule("A", more="labels: {team: x}\n"), rule("A")),  # another one
        (rule("A"), rule("B")),
    ],
)
def test_a_rule_that_may_be_another_one_gets_an_id_of_its_own(tmp_path: Path, old: str, new: str) -> None:
    """State is never given to a rule by a guess."""
    before = load(tmp_path, old=old)
    after = with_kept_ids(load(tmp_path, new=new), [each.spec for each in before.rules])
    assert all(each.id.startswith("rules/new.yaml") for each in after.rules)


def test_a_rule_that_stayed_keeps_its_id_from_one_that_comes(tmp_path: Path) -> None:
    """A copy in another file is a new rule while the first is there."""
    before = load(tmp_path, old=rule("A"))
    after = with_kept_ids(load(tmp_path, old=rule("A"), new=rule("A")), [each.spec for each in before.rules])
    assert [each.id for each in after.rules] == ["rules/new.yaml:A", "rules/old.yaml:A"]


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """In the order of files and lines; good rules beside bad ones are compiled; the set is not good."""
    found = load(tmp_path, a=rule("A", "disk_usage > > 1") + "---\n" + rule("B"), b="alert: C\ncondition: [1]\nx: 1\n")
    assert [(each.file, each.line) for each in found.problems] == [
        ("rules/a.yaml", 2),
        ("rules/b.yaml", 2),
        ("rules/b.yaml", 3),
    ]
    assert [each.name for each in found.rules] == ["B"]
    assert not found.good


def test_one_bad_rule_spoils_no_other_of_its_document(tmp_path: Path) -> None:
    """In a list, under `rules:` and in a group."""
    items = "- {alert: A, expr: up == 0, nope: 1}\n- {alert: B, expr: up == 0}\n- {alert: C, expr: up == }\n"
    indented = "".join(f"  {line}\n" for line in items.splitlines())
    for form in (items, f"rules:\n{items}", f"groups:\n- name: g\n  rules:\n{indented}"):
        found = load(tmp_path, a=form)
        assert [each.name for each in found.rules] == ["B"]
        assert len(found.problems) == 2


def test_a_recorded_series_is_a_name_for_other_rules(tmp_path: Path) -> None:
    """Also in native rules of other files, and without any metrics page."""
    text = "groups:\n- {name: g, rules: [{record: a:b, expr: vector(1)}]}\n"
    (tmp_path / "rules").mkdir()
    settings = settings_in(
        tmp_path, SETTINGS.replace("  metrics: {type: prometheus, url: http://127.0.0.1:1/metrics}\n", "")
    )
    (tmp_path / "rules" / "b.yaml").write_text(text)
    (tmp_path / "rules" / "a.yaml").write_text(rule("A", "a:b > 0"))
    found = load_rules(settings, None, compile_pattern)
    assert found.good, found.problems
    assert found.recorded == {"a:b"}


def test_a_template_that_fails_for_a_made_up_alert_is_a_warning(tmp_path: Path) -> None:
    """It would go out as plain text; the rule works."""
    found = load(tmp_path, a=rule("A", more="annotations: {summary: '{{ index $value 3 }}'}\n"))
    assert found.good
    assert [each.warning for each in found.problems] == [True]


# ------------------------------------------------------------------------------------------- which files


def test_without_settings_the_rules_of_the_folder_are_read(tmp_path: Path) -> None:
    """rules/*.yaml where there are some, else *.yaml; nobody looks up receivers; no rule at all is an error."""
    settings = load_settings(None, {}, tmp_path)
    assert "alerting init" in str(load_rules(settings, None, compile_pattern).problems[0])
    (tmp_path / "disk.yaml").write_text(rule("A", more="notify: whoever\n"))
    here = load_rules(settings, None, compile_pattern)
    assert (here.good, [each.id for each in here.rules]) == (True, ["disk.yaml:A"])
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "b.yaml").write_text(rule("B"))
    assert [each.id for each in load_rules(settings, None, compile_pattern).rules] == ["rules/b.yaml:B"]


# ------------------------------------------------------------------------------------------- the last good set


def test_the_last_good_set_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every field of every rule, recorded names too; it holds no settings."""
    text = (FIXTURES / "every-key.good.yaml").read_text() + "---\n" + rule("B") + "---" + LEVELS
    before = load(tmp_path, a=text, b="groups:\n- {name: g, rules: [{record: a:b, expr: up}]}\n")
    after = load_good(dump_good(before), settings_in(tmp_path), compile_pattern)
    assert [each.spec for each in after.rules] == [each.spec for each in before.rules]
    for one, other in zip(after.rules, before.rules, strict=True):
        assert one.condition.text == other.condition.text
        assert [each.text for each in one.levels] == [each.text for each in other.levels]
        assert (one.clear and one.clear.text, one.needs) == (other.clear and other.clear.text, other.needs)
    assert (after.problems, after.recorded) == ((), before.recorded)


def packed(rows: bytes, form: int = 2) -> str:
    """A good set with these bytes as its rules."""
    return json.dumps({"form": form, "rules": b64encode(zlib.compress(rows)).decode()})


ROW = b'{"id":"a","name":"A","condition":"disk_usage > 85%"}'


def test_a_good_set_is_packed_rules_one_to_a_line(tmp_path: Path) -> None:
    """So that the damaged ones below differ from a whole one by their damage alone."""
    found = load_good(packed(ROW + b"\n" + ROW.replace(b'"a"', b'"b"')), settings_in(tmp_path), compile_pattern)
    assert ([each.id for each in found.rules], found.problems) == (["a", "b"], ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"form": 2, "rules": []}',
        '{"form": 2, "rules": "é"}',
        '{"form": 2, "rules": "AAAA"}',
        json.dumps({"form": 2, "rules": b64encode(zlib.compress(ROW)[:-1]).decode()}),
        packed(ROW, form=1),
        packed(b'{"x": 1}'),
        packed(b"[1]"),
        packed(b"1"),
        packed(ROW[:-1] + b',"origin":"rules/a.yaml"}'),
        packed(ROW[:-1] + b',"group":1}'),
    ],
)
def test_a_good_set_that_cannot_be_read_is_a_problem_and_no_traceback(tmp_path: Path, text: str) -> None:
    """It may be another release's."""
    found = load_good(text, settings_in(tmp_path), compile_pattern)
    assert (found.rules, found.good, len(found.problems)) == ((), False, 1)


def test_a_good_set_that_does_not_go_with_new_settings_says_so(tmp_path: Path) -> None:
    """A rule whose source is gone is a problem with its place; the others stay in force."""
    before = load(tmp_path, a=rule("A", "metrics_of_mine > 1") + "---\n" + rule("B"))
    less = settings_in(tmp_path, "sources: {host: {type: host}}\n")
    after = load_good(dump_good(before), less, compile_pattern)
    assert [each.name for each in after.rules] == ["B"]
    assert [(each.file, each.line) for each in after.problems] == [("rules/a.yaml", 1)]


def test_names_may_be_given(tmp_path: Path) -> None:
    """As the runner of rule tests does."""
    path = tmp_path / "a.yaml"
    path.write_text(rule("A", "anything_at_all > 1"))
    files: Sequence[Path] = [path]
    found = load_rules(load_settings(None, {}, tmp_path), Names.anything(), compile_pattern, files=files)
    assert found.good
