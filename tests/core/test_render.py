"""The words of a message."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.core import builtin
from alerting.core.telling.digest import Announced, digest
from alerting.core.telling.render import Context, Ending, notice, notification, over, value_text
from alerting.model import (
    Alert,
    AlertKey,
    AlertState,
    Ended,
    Gap,
    Labels,
    Notification,
    Receiver,
    RuleSpec,
    Step,
    Told,
    Truth,
)
from tests.core.subjects import key, owed

LABELS = Labels({"mount": "/"})
ALERT = Alert(
    AlertKey("disk", LABELS.fingerprint), LABELS, AlertState.FIRING, 1000, 91.23, "disk_usage = 91.2% > 85%",
    fired_at=1000, episode="e1",
)  # fmt: skip


def spec(**more: Any) -> RuleSpec:
    """Make a rule."""
    return RuleSpec("disk", "DiskSpaceLow", "disk_usage > 85%", **more)


def test_a_notice_says_what_fires_in_the_metrics_unit() -> None:
    """Name, value, reason, since when, how serious, where to read on."""
    made = notice(
        ALERT, spec(severity="warning", labels={"team": "ops"}, runbook_url="https://x"), "percent", Context()
    )
    assert (made.name, made.value, made.why, made.fired_at) == (
        "DiskSpaceLow", "91.2%", "disk_usage = 91.2% > 85%", 1000,
    )  # fmt: skip
    assert (made.severity, made.labels, made.runbook_url) == ("warning", {"mount": "/", "team": "ops"}, "https://x")


def test_the_severity_of_prometheus_rules_is_their_label() -> None:
    """Where a rule has no severity of its own."""
    assert notice(ALERT, spec(labels={"severity": "page"}), "", Context()).severity == "page"


TEMPLATES = [
    ("plain", "plain"),
    ("{{ $labels.mount }} at {{ $value }}", "/ at 91.23"),
    ("{{ .Why }}", "disk_usage = 91.2% > 85%"),
    ("{{ $externalLabels.instance }}", "host-1"),
    ("{{ $labels.nothing }}", ""),
]


@pytest.mark.parametrize(("template", "text"), TEMPLATES)
def test_annotations_and_labels_are_filled(template: str, text: str) -> None:
    """From the series' labels, the value, the reason and the external labels."""
    made = notice(ALERT, spec(annotations={"summary": template}), "", Context({"instance": "host-1"}))
    assert made.annotations == {"summary": text}
    made = notice(ALERT, spec(labels={"place": f"x{template}"}), "", Context({"instance": "host-1"}))
    assert made.labels["place"] == f"x{text}"


@pytest.mark.parametrize("template", ['{{ query "up" }}', "{{ $value | humanizeTimestamp | nothing }}", "{{ if }}"])
def test_f57_a_template_that_fails_goes_out_plain_and_says_so(template: str) -> None:
    """No alert is lost to a template."""
    text = notice(ALERT, spec(annotations={"summary": template}), "", Context()).annotations["summary"]
    assert text.startswith(f"{template} [this template failed: ")


def test_f57_a_value_is_put_in_and_never_read() -> None:
    """A label that looks like a template is a text."""
    labels = Labels({"mount": "{{ $value }}"})
    alert = Alert(ALERT.key, labels, AlertState.FIRING, 1, 1.0, "so", fired_at=1)
    assert notice(alert, spec(annotations={"s": "on {{ $labels.mount }}"}), "", Context()).annotations == {
        "s": "on {{ $value }}"
    }


def told(steps: list[tuple[str, Step]], before: tuple[str, ...] = ()) -> Notification:
    """Write the message for these (series, step) to one group."""
    owing = [owed("chat", series, step, why=f"v = {series}") for series, step in steps]
    alerts = {each.key: each.subject for each in (*owing, *(owed("chat", name, why=f"v = {name}") for name in before))}
    known = {*before, *(series for series, step in steps if step is Step.RESOLVED)}
    announced = Announced({(key(series), "chat"): Told("k") for series in known})
    for series in known:
        announced.place(key(series), "chat", "rule r")
    (bundle,) = digest(owing, announced, {"chat": Receiver("group")}, "i")
    notices = {each: found.notice for each, found in alerts.items()}
    endings = {key(series): Ending(Ended.RECOVERED, f"v = {series} is fine", 9) for series, _ in steps}
    return notification(bundle, notices, endings, 42, {"instance": "host-1"})


TITLES = [
    ([("1", Step.FIRING)], (), "R: v = 1", "firing (1 new)"),
    ([("1", Step.FIRING), ("2", Step.FIRING)], (), "R: v = 1; v = 2", "firing (2 new)"),
    ([(str(n), Step.FIRING) for n in range(9)], (), "R: 9 firing", "firing (9 new)"),
    ([("1", Step.FIRING)], ("2",), "R: v = 1, 1 still firing", "more firing (1 new, 1 still firing)"),
    ([("1", Step.RESOLVED)], (), "R resolved: recovered (v = 1 is fine)", "all resolved (1 resolved)"),
    ([("1", Step.RESOLVED)], ("2",), "R: recovered (v = 1 is fine), 1 still firing",
     "some resolved (1 resolved, 1 still firing)"),
    ([("1", Step.RESOLVED), ("2", Step.FIRING)], (), "R: v = 2, recovered (1)",
     "some firing, some resolved (1 new, 1 resolved)"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "before", "title", "reason"), TITLES)
def test_the_title_says_what_changed(
    steps: list[tuple[str, Step]], before: tuple[str, ...], title: str, reason: str
) -> None:
    """One line that a phone can show."""
    message = told(steps, before)
    assert (message.title, message.reason) == (title, reason)
    assert message.external_labels == {"instance": "host-1"}
    assert [each.step for each in message.firing] == [step for _, step in steps if step == Step.FIRING] + [
        "ongoing"
    ] * len(before)
    assert message.all_resolved is not bool(message.firing)


@pytest.mark.parametrize("ended", list(Ended))
def test_a_resolve_says_in_what_way_it_ended(ended: Ended) -> None:
    """Only one of the ways claims that things are well."""
    found = over(notice(ALERT, spec(), "percent", Context()), Ending(ended, "why", 5000))
    assert (found.step, found.ended, found.why, found.resolved_at) == (Step.RESOLVED, ended.value, "why", 5000)
    assert (found.name, found.value) == ("DiskSpaceLow", "91.2%")


def test_values_are_written_for_people() -> None:
    """Numbers in their unit, texts as they are."""
    assert [value_text(each, "s") for each in (1.2, "error")] == ["1.2 s", "error"]


# ------------------------------------------------------------------------------------------- built-in rules


def test_built_in_rules_tell_whoever_the_blind_rules_would_have_told_and_as_seriously() -> None:
    """The union of receivers, the worst severity."""
    rules = [spec(notify=("chat",), severity="info"), spec(notify=("pager", "chat"), labels={"severity": "critical"})]
    made = builtin.source_down("app", 60_000, rules, ())
    assert (made.notify, made.severity, made.for_) == (("chat", "pager"), "critical", 60_000)
    assert builtin.rule_blind(spec(), 1, ("console",)).notify == ("console",)
    assert builtin.config_broken([], ()).severity == "error"


@pytest.mark.parametrize(
    ("gaps", "overflow", "why"),
    [
        ([], "", ""),
        ([Gap("app is down", source="app")], "", ""),
        ([Gap("no reading has ever held it")], "", "no reading has ever held it"),
        ([Gap("one"), Gap("two"), Gap("one"), Gap("down", source="app")], "", "one (and 1 more)"),
        ([], "5 more series", "5 more series"),
    ],
)
def test_a_rule_is_blind_for_what_is_not_a_failed_source(gaps: list[Gap], overflow: str, why: str) -> None:
    """A failed source has an alert of its own."""
    assert builtin.blindness(gaps, overflow) == why


def test_a_built_in_alert_outlives_an_edit_but_not_what_it_speaks_of() -> None:
    """Rules and sources that are gone take theirs along."""

    def about(rule_id: str, **labels: str) -> Alert:
        return Alert(AlertKey(rule_id, ""), Labels(labels), AlertState.FIRING, 0, 1.0, "")

    down = about("alerting/SourceDown/app", source="app")
    blind = about("alerting/RuleBlind/r1", rule="R")
    assert builtin.still_meant(down, {"app"}, (), ())
    assert not builtin.still_meant(down, {"other"}, (), ())
    assert builtin.still_meant(blind, (), {"r1"}, ())
    assert not builtin.still_meant(blind, (), {"r2"}, ())
    assert builtin.still_meant(about("alerting/ConfigBroken"), (), (), ())
    silent = about("alerting/ReceiverDown/pager", receiver="pager")
    assert builtin.still_meant(silent, (), (), {"pager"})
    assert not builtin.still_meant(silent, (), (), ())
    assert builtin.is_builtin(down.key.rule_id)
    assert not builtin.is_builtin("rules/a.yaml:SourceDown")


def test_names_in_a_reason_are_few() -> None:
    """Five by name, the rest as a number."""
    verdict = builtin.source_verdict(
        "id", Labels({"source": "app"}), "app: refused", lambda: [f"R{n}" for n in range(7)]
    )
    assert verdict.truth is Truth.TRUE
    assert verdict.why() == "app: refused; cannot be judged meanwhile: R0, R1, R2, R3, R4 and 2 more"
