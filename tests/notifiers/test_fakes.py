"""The fakes themselves: their ledger, their scripts, and their strictness against the vendors' descriptions."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fakes.ledger import Step, read_ledger
from tests.fakes.pagerduty import ROUTING_KEY, PagerDuty, faults, incidents_of
from tests.fakes.sink import Sink
from tests.fakes.slack import TOKEN, Slack
from tests.notifiers.desk import attempt, over, telling

SPECS = Path(__file__).parents[3] / "shared" / "specs"
needs_specs = pytest.mark.skipif(not SPECS.is_dir(), reason=f"the vendors' descriptions are not in {SPECS}")


def ask(url: str, document: Any, token: str = "") -> tuple[int, str]:
    """POST JSON and give status and body."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_what_was_accepted_is_on_disk_before_the_answer(tmp_path: Path) -> None:
    """Even when the answer never leaves: the ledger, not the sender, says what was delivered."""
    with Slack(ledger=tmp_path / "ledger") as slack:
        slack.script(Step(wire="reset"), Step(status=503))
        for _ in range(3):
            attempt("slack webhook", slack)
    entries = read_ledger(tmp_path / "ledger")
    assert [(entry["accepted"], entry["status"]) for entry in entries] == [(True, 200), (False, 503), (True, 200)]


def test_incidents_can_be_counted_from_the_ledger_alone(tmp_path: Path) -> None:
    """For tests whose fake runs in another process."""
    with PagerDuty(ledger=tmp_path / "ledger") as service:
        for notification in (telling(), telling(), over(), telling()):
            attempt("pagerduty", service, notification)
        assert service.incidents.state == incidents_of(tmp_path / "ledger").state
    assert incidents_of(tmp_path / "ledger").total == 2


def test_a_fake_that_stopped_refuses_connections() -> None:
    """Also the ones that were kept open."""
    with Sink() as sink:
        attempt("webhook", sink)
    with pytest.raises(urllib.error.URLError):
        ask(sink.hook, {})


@pytest.mark.parametrize("module", ["slack", "pagerduty", "sink"])
def test_a_fake_runs_as_a_process_and_takes_a_script(module: str, tmp_path: Path) -> None:
    """`python -m tests.fakes.X --port 0 --ledger FILE` prints its address first."""
    command = [sys.executable, "-m", f"tests.fakes.{module}", "--port", "0", "--ledger", str(tmp_path / "ledger")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert ask(f"{url}/control/script", [{"status": 418, "times": 2}])[0] == 200
            assert [ask(f"{url}/v2/enqueue", {})[0] for _ in range(2)] == [418, 418]
            assert ask(f"{url}/v2/enqueue", {})[0] != 418
            assert json.loads(ask(f"{url}/control/requests", {})[1]) == {"requests": 3, "accepted": 0}
        finally:
            process.kill()
    assert len(read_ledger(tmp_path / "ledger")) == 3


EVENT = {
    "routing_key": ROUTING_KEY,
    "event_action": "trigger",
    "dedup_key": "k",
    "payload": {"summary": "s", "source": "web-1", "severity": "critical"},
}
EVENTS: list[tuple[dict[str, Any], bool]] = [
    (EVENT, True),
    ({**EVENT, "links": [{"href": "https://x.example", "text": "x"}], "client": "c", "client_url": "https://x"}, True),
    ({"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "k"}, True),
    ({"routing_key": ROUTING_KEY, "event_action": "acknowledge", "dedup_key": "k"}, True),
    ({"routing_key": ROUTING_KEY, "event_action": "resolve"}, False),
    ({**EVENT, "routing_key": "short"}, False),
    ({**EVENT, "dedup_key": "k" * 256}, False),
    ({**EVENT, "event_action": "close"}, False),
    ({**EVENT, "payload": {"summary": "s", "source": "x", "severity": "mauve"}}, False),
    ({**EVENT, "payload": {"summary": "s" * 1025, "source": "x", "severity": "info"}}, False),
    ({**EVENT, "payload": {"summary": "s", "severity": "info"}}, False),
    ({"routing_key": ROUTING_KEY, "event_action": "trigger"}, False),
]


@needs_specs
def test_the_pagerduty_fake_judges_as_the_published_description_does() -> None:
    """Good and bad events: both say the same, and the answer has the published shape."""
    document = json.loads((SPECS / "pagerduty" / "events-v2.mock.openapi.json").read_text())
    operation = document["paths"]["/v2/enqueue"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    published = jsonschema.Draft202012Validator({**body, "components": document["components"]})
    for event, good in EVENTS:
        assert (published.is_valid(event), faults(event) == []) == (good, good), event
    success = document["components"]["responses"]["Success"]["content"]["application/json"]["schema"]
    with PagerDuty() as service:
        status, answer = ask(f"{service.url}/v2/enqueue", EVENT)
    assert status == 202
    jsonschema.validate(json.loads(answer), {**success, "components": document["components"]})


@needs_specs
def test_our_events_fit_the_published_description() -> None:
    """What the receiver really sent, judged by PagerDuty's own document and not by our fake."""
    document = json.loads((SPECS / "pagerduty" / "events-v2.mock.openapi.json").read_text())
    body = document["paths"]["/v2/enqueue"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    with PagerDuty() as service:
        for notification in (telling(), over()):
            attempt("pagerduty", service, notification, client_url="https://status.example.org")
    for event in service.accepted:
        jsonschema.validate(event, {**body, "components": document["components"]})


@needs_specs
def test_the_slack_fake_answers_in_the_published_shapes() -> None:
    """Required fields, the forms of channel and ts, and the names of errors."""
    document = json.loads((SPECS / "slack" / "web-api.alerting.swagger2.json").read_text())
    forms = document["definitions"]
    with Slack() as slack:
        posted = json.loads(ask(f"{slack.api}chat.postMessage", {"channel": "#ops", "text": "x"}, TOKEN)[1])
        again = {"channel": posted["channel"], "ts": posted["ts"], "text": "y"}
        updated = json.loads(ask(f"{slack.api}chat.update", again, TOKEN)[1])
        errors = {
            json.loads(ask(f"{slack.api}{method}", fields, token)[1])["error"]
            for method, fields, token in (
                ("chat.postMessage", {"channel": "#ops", "text": "x"}, "wrong"),
                ("chat.postMessage", {"channel": "#ops", "text": "x"}, ""),
                ("chat.postMessage", {"channel": "#nowhere", "text": "x"}, TOKEN),
                ("chat.postMessage", {"channel": "#ops"}, TOKEN),
                ("chat.postMessage", {"channel": "#ops", "text": "x" * 40_001}, TOKEN),
                ("chat.postMessage", {"channel": "#ops", "attachments": [{}] * 101}, TOKEN),
            )
        }
    for method, answer in (("chat.postMessage", posted), ("chat.update", updated)):
        published = document["paths"][f"/{method}"]["post"]["responses"]
        assert set(published["200"]["schema"]["required"]) <= set(answer), method
        jsonschema.validate(answer["channel"], forms["defs_channel"])
        jsonschema.validate(answer["ts"], forms["defs_ts"])
    published = document["paths"]["/chat.postMessage"]["post"]["responses"]["default"]
    assert errors <= set(published["schema"]["properties"]["error"]["enum"])
    assert len(errors) == 6


_BUTTON = {"type": "button", "action_id": "a", "value": "v", "text": {"type": "plain_text", "text": "Press"}}
SLACK_LIMITS: list[tuple[dict[str, Any], str]] = [
    ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
    ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
    ({"blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": []}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [{"type": "button"}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [_BUTTON | {"value": "x" * 2001}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [_BUTTON | {"action_id": ""}]}]}, "invalid_blocks"),
    ({"attachments": [{"color": "blue"}]}, "invalid_attachments"),
    ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 5}, "msg_blocks_too_long"),
]


@pytest.mark.parametrize(("fields", "error"), SLACK_LIMITS)
def test_the_slack_fake_keeps_slacks_limits(fields: dict[str, Any], error: str) -> None:
    """A fake that takes anything would prove nothing."""
    with Slack() as slack:
        answer = json.loads(ask(f"{slack.api}chat.postMessage", {"channel": "#ops", "text": "x", **fields}, TOKEN)[1])
        status, words = ask(slack.hook, {"text": "x", **fields})
    assert answer == {"ok": False, "error": error}
    assert (status, words) == (400, error)
