"""PagerDuty: incidents open and close under one key, and an event says what a person on call needs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alerting.model import Answer, ChangeEvent, Outcome, Section
from alerting.notifiers import _pagerduty_event as pagerduty
from alerting.notifiers.pagerduty import build
from alerting.ports import TakesChanges
from tests.fakes.ledger import Step
from tests.fakes.pagerduty import ROUTING_KEY, PagerDuty
from tests.notifiers.desk import AT, attempt, attempts, new_tools, notice, over, telling


def event(**fields: Any) -> dict[str, Any]:
    """The trigger event for one alert."""
    return pagerduty.trigger(telling(notice(**fields)), "web-1", "error", "")


def test_an_alert_opens_one_incident_and_its_end_closes_it() -> None:
    """Trigger, trigger again (a lost answer), resolve: one incident, and it is closed."""
    with PagerDuty() as service:
        service.script(Step(wire="reset"))
        answers = attempts("pagerduty", service, [(telling(), None), (telling(), None)])
        assert service.incidents.open == ["alerting-5f2c"]
        answers += attempts("pagerduty", service, [(over(), None)])
    assert [each.outcome for each in answers] == [Outcome.UNKNOWN, Outcome.SENT, Outcome.SENT]
    assert answers[-1].receipt == {"dedup_key": "alerting-5f2c"}
    assert (service.incidents.total, service.incidents.open) == (1, [])
    assert service.incidents.events[ROUTING_KEY, "alerting-5f2c"] == ["trigger", "trigger", "resolve"]


def test_an_event_says_what_where_and_how_grave() -> None:
    """The fields of PagerDuty's common event format, from the alert's own words."""
    payload = event(labels={"mount": "/", "host": "db-7", "service": "orders", "cluster": "eu"})["payload"]
    assert {name: payload[name] for name in payload if name != "custom_details"} == {
        "summary": 'DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%',
        "source": "db-7",  # the series' own host goes before ours
        "severity": "critical",
        "timestamp": "2025-11-24T15:55:00Z",
        "class": "DiskSpaceLow",
        "component": "orders",
        "group": "eu",
    }
    details = payload["custom_details"]
    assert (details["rule"], details["value"]) == ("DiskSpaceLow", "91.2%")
    assert details["why"] == 'disk_usage{mount="/"} = 91.2% > 85%'
    assert details["labels"]["host"] == "db-7"
    assert details["annotations"] == {"summary": "The disk fills"}


def test_a_link_to_us_is_shown_when_it_is_set() -> None:
    """`client_url` in the settings; only a web address is used."""
    with PagerDuty() as service:
        attempt("pagerduty", service, client_url="https://status.example.org")
        attempt("pagerduty", service, client_url="javascript:alert(1)")
    first, second = service.accepted
    assert (first["client"], first["client_url"]) == ("alerting", "https://status.example.org")
    assert "client_url" not in second


SEVERITIES = [
    ("critical", "critical"),
    ("Critical ", "critical"),
    ("page", "critical"),
    ("P1", "critical"),
    ("error", "error"),
    ("high", "error"),
    ("warning", "warning"),
    ("warn", "warning"),
    ("info", "info"),
    ("none", "info"),
    ("", "error"),
    ("mauve", "error"),
]


@pytest.mark.parametrize(("severity", "expected"), SEVERITIES)
def test_severities_are_mapped_to_the_four_that_pagerduty_has(severity: str, expected: str) -> None:
    """What it does not know becomes the default of the settings, `error` where they say nothing."""
    assert event(severity=severity)["payload"]["severity"] == expected


def test_the_default_severity_is_a_setting() -> None:
    """For those whose rules say no severity."""
    with PagerDuty() as service:
        attempt("pagerduty", service, telling(notice(severity="")), severity="info")
    assert service.accepted[0]["payload"]["severity"] == "info"


@pytest.mark.parametrize("key", ["short", "r" * 33, "", " "])
def test_f22_a_wrong_routing_key_keeps_the_page_owed(key: str) -> None:
    """It can be mended, and the page is still wanted then; of the key we say no more than its name."""
    with PagerDuty() as service:
        answer = attempt("pagerduty", service, routing_key=key)
    assert answer.outcome == Outcome.RETRY, answer
    assert "routing_key is not accepted" in answer.why or not key.strip()


def test_f20_the_limit_of_events_a_minute_is_passed_on() -> None:
    """The service's own limit, as the fake keeps it; one request for each attempt."""
    with PagerDuty(limit=2) as service:
        answers = attempts("pagerduty", service, [(telling(), None)] * 3)
    assert [each.outcome for each in answers] == [Outcome.SENT, Outcome.SENT, Outcome.RETRY]
    assert len(service.requests) == 3


# ------------------------------------------------------------------------------------------- the life of an incident

TAKEN = telling(notice(step="acknowledged", acked="ann, until 14:05Z"), loud=False)


def test_an_acknowledgement_is_passed_on_and_what_gets_worse_triggers_again() -> None:
    """Trigger, acknowledge, trigger (worse: loud, though it is still taken), resolve: one incident."""
    worse = telling(notice(step="worse", severity="critical", acked="ann, until 14:05Z"), loud=True)
    with PagerDuty() as service:
        attempts("pagerduty", service, [(each, None) for each in (telling(), TAKEN, worse, over())])
    key = ROUTING_KEY, "alerting-5f2c"
    assert service.incidents.events[key] == ["trigger", "acknowledge", "trigger", "resolve"]
    assert (service.incidents.total, service.incidents.open) == (1, [])


def test_a_group_is_acknowledged_only_as_a_whole() -> None:
    """One alert that nobody has taken keeps the incident open."""
    half = telling(notice(acked="ann, until 14:05Z"), notice(), loud=False)
    assert (pagerduty.action(TAKEN), pagerduty.action(half)) == ("acknowledge", "trigger")


def test_an_incident_per_group_is_as_grave_as_its_gravest_alert() -> None:
    """It began with the first of them, and its details name them all."""
    group = telling(
        notice(severity="warning", labels={"mount": "/"}, fired_at=AT),
        notice(severity="critical", labels={"mount": "/srv"}, fired_at=AT - 60_000),
        *[notice(severity="info", labels={"mount": f"/{each}"}, fired_at=AT) for each in range(60)],
    )
    with PagerDuty() as service:
        answer = attempt("pagerduty", service, group, per="group")
    payload = service.accepted[0]["payload"]
    assert answer.outcome == Outcome.SENT
    assert (payload["severity"], payload["timestamp"]) == ("critical", "2025-11-24T15:59:00Z")
    assert 'mount="/srv"' in payload["custom_details"]["firing"]
    assert payload["custom_details"]["firing"].endswith("and 12 more")


@pytest.mark.parametrize(("per", "expected"), [(None, "alert"), ("alert", "alert"), ("group", "group")])
def test_what_an_incident_stands_for_is_a_setting(per: str | None, expected: str) -> None:
    """Each alert by itself where nothing is said."""
    values = {"routing_key": ROUTING_KEY} | ({} if per is None else {"per": per})
    assert build(Section("ops", "pagerduty", values), new_tools()).stands_for == expected


def test_levels_of_our_own_are_mapped_by_the_settings() -> None:
    """Before the names that everybody knows."""
    with PagerDuty() as service:
        for severity in ("grave", "warning", "mild"):
            attempt(
                "pagerduty",
                service,
                telling(notice(severity=severity)),
                severities={"grave": "critical", "warning": "info"},
            )
    assert [event["payload"]["severity"] for event in service.accepted] == ["critical", "info", "error"]


def test_a_picture_and_what_people_should_know_go_along() -> None:
    """Only a picture by https: PagerDuty takes no other."""
    told = telling(
        notice(annotations={"image_url": "https://grafana.example.org/render/1.png"}, flapping="4 times in 30 m"),
        notes=("silence 7f ended",),
        route='route > team="db"',
    )
    with PagerDuty() as service:
        attempt("pagerduty", service, told)
        attempt("pagerduty", service, telling(notice(annotations={"image_url": "http://x.example.org/1.png"})))
    first, second = service.accepted
    assert [image["src"] for image in first["images"]] == ["https://grafana.example.org/render/1.png"]
    assert "images" not in second
    details = first["payload"]["custom_details"]
    assert (details["notes"], details["route"]) == ("silence 7f ended", 'route > team="db"')
    assert details["flapping"] == "4 times in 30 m"
    assert "annotations" not in details  # its address is no prose


# ------------------------------------------------------------------------------------------- changes

CHANGE = ChangeEvent("shop 1.4.2 deployed", "ci", AT, ("https://ci.example.org/7", "javascript:x"), {"by": "ann"})


def changed(service: PagerDuty, event: ChangeEvent = CHANGE) -> Answer:
    """Tell of one change."""

    async def run() -> Answer:
        tools = new_tools()
        values = {"routing_key": ROUTING_KEY, "base_url": service.url}
        notifier = build(Section("ops", "pagerduty", values), tools)
        assert isinstance(notifier, TakesChanges)
        try:
            return await notifier.send_change(event)
        finally:
            await tools.http.close()

    return asyncio.run(run())


def test_a_change_is_told_and_pages_nobody() -> None:
    """By one request; only addresses of pages become links."""
    with PagerDuty() as service:
        answer = changed(service)
    assert answer.outcome == Outcome.SENT
    assert service.incidents.total == 0
    [event] = service.changes
    assert event["payload"] == {
        "summary": "shop 1.4.2 deployed",
        "source": "ci",
        "timestamp": "2025-11-24T16:00:00Z",
        "custom_details": {"by": "ann"},
    }
    assert [link["href"] for link in event["links"]] == ["https://ci.example.org/7"]


def test_f26_a_change_of_any_size_is_taken() -> None:
    """Details go first."""
    big = ChangeEvent("s" * 5000, "x" * 5000, AT, (), {f"k{each}": "v" * 20_000 for each in range(60)})
    with PagerDuty() as service:
        assert changed(service, big).outcome == Outcome.SENT
    assert set(service.changes[0]["payload"]["custom_details"]) == {"note"}


CHANGE_ANSWERS = [
    (Step(status=202, body='{"status": "success"}'), Outcome.SENT),
    (Step(status=202, body="<html>"), Outcome.UNKNOWN),
    (Step(status=200, body='{"status": "success"}'), Outcome.UNKNOWN),
    (Step(status=302, headers={"location": "/x"}), Outcome.RETRY),
    (Step(status=400, body='{"errors": ["no"]}'), Outcome.REFUSED),
    (Step(status=429), Outcome.RETRY),
    (Step(status=500), Outcome.RETRY),
    (Step(wire="reset"), Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("step", "outcome"), CHANGE_ANSWERS)
def test_f19_f21_an_answer_to_a_change_is_what_pagerduty_means_by_it(step: Step, outcome: Outcome) -> None:
    """And one request is all there is."""
    with PagerDuty() as service:
        service.script(step)
        assert changed(service).outcome == outcome
        assert len(service.requests) == 1
