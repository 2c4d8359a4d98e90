"""PagerDuty: incidents open and close under one key, and an event says what a person on call needs."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.model import Outcome
from alerting.notifiers import pagerduty
from tests.fakes.ledger import Step
from tests.fakes.pagerduty import ROUTING_KEY, PagerDuty
from tests.notifiers.desk import attempt, attempts, notice, over, telling


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
