"""The webhook speaks Alertmanager's version 4, so that what takes its messages takes ours."""

from __future__ import annotations

import base64
import hmac
import time
from typing import Any

import pytest

from alerting.model import Outcome, Secret
from alerting.notifiers.webhook import payload, signature
from tests.fakes.sink import Sink
from tests.notifiers.desk import AT, attempt, notice, over, telling


def test_the_payload_is_alertmanagers() -> None:
    """Names, times and the way to write an unset time are those of its documentation."""
    assert payload(telling()) == {
        "version": "4",
        "groupKey": "alerting-5f2c",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "DiskSpaceLow"},
        "commonLabels": {"alertname": "DiskSpaceLow", "instance": "web-1", "mount": "/", "severity": "critical"},
        "commonAnnotations": {
            "runbook_url": "https://runbooks.example.org/disk",
            "summary": "The disk fills",
            "value": "91.2%",
            "why": 'disk_usage{mount="/"} = 91.2% > 85%',
        },
        "externalURL": "",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "DiskSpaceLow", "instance": "web-1", "mount": "/", "severity": "critical"},
                "annotations": {
                    "runbook_url": "https://runbooks.example.org/disk",
                    "summary": "The disk fills",
                    "value": "91.2%",
                    "why": 'disk_usage{mount="/"} = 91.2% > 85%',
                },
                "startsAt": "2025-11-24T15:55:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "0123456789abcdef0123456789abcdef",
            }
        ],
    }


def test_the_installations_own_address_goes_along() -> None:
    """`external_url` of the settings, under Alertmanager's name."""
    assert (
        payload(telling(), external_url="https://alerting.example.org")["externalURL"] == "https://alerting.example.org"
    )


def test_an_end_has_its_time_and_its_way() -> None:
    """`ended` tells a recovery from a series that is only no longer reported."""
    [alert] = payload(over())["alerts"]
    assert (alert["status"], alert["endsAt"]) == ("resolved", "2025-11-24T16:00:00.000Z")
    assert alert["annotations"]["ended"] == "recovered"
    assert payload(over())["status"] == "resolved"


def test_what_all_alerts_share_is_common_and_nothing_else() -> None:
    """One alert of two being over leaves the group firing."""
    gone = notice(labels={"mount": "/data"}, resolved_at=AT, ended="recovered", annotations={"x": "1"})
    document = payload(telling(notice(labels={"mount": "/", "empty": ""}), gone))
    assert document["status"] == "firing"
    assert [alert["status"] for alert in document["alerts"]] == ["firing", "resolved"]
    assert "mount" not in document["commonLabels"]
    assert document["commonLabels"]["instance"] == "web-1"
    assert "summary" not in document["commonAnnotations"]
    assert "empty" not in document["alerts"][0]["labels"]


def test_the_headers_of_the_settings_go_with_each_request() -> None:
    """Their values are secrets, and an end of line that came with one is dropped."""
    headers = {"Authorization": Secret.literal("Bearer abc\n"), "X-Team": "ops"}
    with Sink() as sink:
        answer = attempt("webhook", sink, headers=headers)
    assert answer.outcome == Outcome.SENT
    assert (sink.requests[0].headers["authorization"], sink.requests[0].headers["x-team"]) == ("Bearer abc", "ops")


def test_headers_that_http_cannot_carry_are_no_crash() -> None:
    """A secret store may hold anything."""
    for value in ("\u20ac", "a\r\nX-Evil: 1", "\x00"):
        with Sink() as sink:
            answer = attempt("webhook", sink, headers={"Authorization": Secret.literal(value)})
        assert (answer.outcome, len(sink.accepted)) == (Outcome.RETRY, 0), answer


def test_a_signature_can_be_checked_by_whoever_shares_the_secret() -> None:
    """As docs/receivers.md shows it: time and raw body, HMAC-SHA256, compared in constant time."""
    with Sink() as sink:
        answer = attempt("webhook", sink, secret=Secret.literal("s3cret\n"))
    assert answer.outcome == Outcome.SENT
    [request] = sink.requests
    parts = dict(part.split("=", 1) for part in request.headers["x-alerting-signature"].split(","))
    expected = hmac.new(b"s3cret", parts["t"].encode() + b"." + request.body, "sha256").hexdigest()
    assert hmac.compare_digest(expected, parts["v1"])
    assert abs(int(parts["t"]) - time.time()) < 60
    assert not hmac.compare_digest(expected, signature("another", int(parts["t"]), request.body).partition("v1=")[2])


CREDENTIALS = [
    ({"token": Secret.literal("abc\n")}, "Bearer abc"),
    ({"username": "u", "password": Secret.literal("p:w")}, "Basic " + base64.b64encode(b"u:p:w").decode()),
    ({"token": "abc", "headers": {"AUTHORIZATION": "Own way"}}, "Own way"),
    ({}, None),
]


@pytest.mark.parametrize(("values", "expected"), CREDENTIALS)
def test_credentials_go_with_each_request(values: dict[str, Any], expected: str | None) -> None:
    """A header of the settings goes before what is made of them."""
    with Sink() as sink:
        attempt("webhook", sink, **values)
    assert sink.requests[0].headers.get("authorization") == expected


def test_the_most_alerts_are_a_setting_and_the_others_are_counted() -> None:
    """What changed goes before what merely goes on."""
    many = [notice(step="ongoing", labels={"mount": f"/{each}"}) for each in range(5)]
    with Sink() as sink:
        attempt("webhook", sink, telling(*many, notice(labels={"mount": "/new"})), max_alerts=2)
    [document] = sink.accepted
    assert (len(document["alerts"]), document["truncatedAlerts"]) == (2, 4)
    assert document["alerts"][0]["labels"]["mount"] == "/new"


def test_what_a_group_is_and_what_people_should_know_go_along() -> None:
    """The labels of the route's `group_by`, notes, the fields of the settings; absent where there are none."""
    told = telling(notice(acked="ann, until 14:05Z"), notes=("hides 3 others",), group_labels={"team": "db"})
    with Sink() as sink:
        attempt("webhook", sink, told, fields={"channel": "{{ group_labels.team }}-ops"})
        attempt("webhook", sink)
    full, bare = sink.accepted
    assert (full["groupLabels"], full["notes"], full["fields"]) == (
        {"team": "db"},
        ["hides 3 others"],
        {"channel": "db-ops"},
    )
    assert full["alerts"][0]["annotations"]["acknowledged"] == "ann, until 14:05Z"
    assert {"notes", "fields"}.isdisjoint(bare)
    assert "acknowledged" not in bare["alerts"][0]["annotations"]
