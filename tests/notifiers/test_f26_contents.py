"""F26: whatever length the texts of an alert have, no receiver refuses it, and who, what and where survive each cut."""

from __future__ import annotations

import json
import random
import re
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import AlertKey, Notification, Outcome
from alerting.notifiers import _changes as changes
from alerting.notifiers import _pagerduty_event as pagerduty
from alerting.notifiers import _slack_message as slack_message
from alerting.notifiers import _text as text
from alerting.notifiers import webhook
from alerting.notifiers._email_message import Correspondents, addresses, compose
from alerting.notifiers._templates import Filled
from tests.fakes import pagerduty as fake_pagerduty
from tests.fakes import slack as fake_slack
from tests.fakes.ledger import Request
from tests.fakes.sink import faults as sink_faults
from tests.full import rounds
from tests.full import seed as chosen_seed
from tests.notifiers.desk import AT, WAYS, attempt, notice, shapes, telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.figures import Figure

PIECES = (
    "disk ",
    "&",
    "<",
    ">",
    '"',
    "\\",
    "`",
    "|",
    "\n",
    "\x00",
    "e\u0301",
    "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea",
    "\u0915\u094d\u0937\u093f",
    "\u202e",
    "\ud800",
    "a" * 100,
    "&<>" * 50,
)
LENGTHS = (0, 1, 3, 10, 60, 60, 400, 400, 4000)


def anything(rng: random.Random, longest: int = 4000) -> str:
    """A text of these pieces, short or very long."""
    pieces = rng.choice([n for n in LENGTHS if n <= longest])
    return "".join(rng.choices(PIECES, k=rng.randint(pieces // 2, pieces)))[: longest * 2]


def generated(seed: int) -> Notification:
    """A message about one to 300 alerts whose texts may be anything."""
    rng = random.Random(seed)
    count = rng.choice((1, 1, 1, 2, 5, 20, 50, 300))
    longest = 4000 if count < 5 else 60

    def one(number: int) -> Any:
        over = rng.random() < 0.3
        return notice(
            key=AlertKey("r", f"{number:032x}"),
            name=f"Rule{seed} {anything(rng, longest)}",
            labels={anything(rng, 60): anything(rng, longest) for _ in range(rng.choice((0, 1, 3, 40)))},
            severity=rng.choice(("critical", "", "warning", anything(rng, 60))),
            value=anything(rng, 60),
            why=anything(rng, longest),
            annotations={
                rng.choice(("summary", "x")): anything(rng, longest),
                "image_url": rng.choice(("https://i.example.org/a.png", anything(rng, 60))),
            },
            acked=rng.choice(("", "", f"ann, until 14:05Z {anything(rng, 60)}")),
            flapping=rng.choice(("", "", anything(rng, 60))),
            was=rng.choice(("", "warning", anything(rng, 60))),
            runbook_url="https://runbooks.example.org/" + "a&b" * rng.choice((0, 10, 300)),
            step="resolved" if over else rng.choice(("firing", "ongoing", "worse", "escalated", "acknowledged")),
            resolved_at=1_764_000_000_000 if over else None,
            ended=rng.choice(("recovered", "no longer reported", anything(rng, 60))) if over else "",
        )

    notices = [one(number) for number in range(count)]
    title = f"{notices[0].name}: {notices[0].why}"
    group_key = f"alerting-{seed}" + "k" * rng.choice((0, 0, 200, 246, 5000))
    return telling(
        *notices,
        title=title,
        group_key=group_key,
        external_labels={"instance": anything(rng, 400)},
        loud=rng.random() < 0.7,
        notes=tuple(anything(rng, longest) for _ in range(rng.choice((0, 0, 1, 5)))),
        route=anything(rng, 60),
        group_labels={anything(rng, 60): anything(rng, 60)},
    )


class RefusedError(AssertionError):
    """A receiver would not take it."""


class SplitError(AssertionError):
    """It was cut in the middle of what is one."""


def take(faults: object) -> None:
    """See to it that a receiver finds no fault."""
    if faults:
        raise RefusedError(str(faults))


def whole(text_: str) -> None:
    """See to it that no half of a character, and of an entity, is left."""
    try:
        text_.encode()
    except UnicodeEncodeError as error:
        raise SplitError(str(error)) from None
    if re.search(r"&(?!(amp|lt|gt);)", text_):
        raise SplitError(text_[-200:])


def check_slack(notification: Notification, seed: int) -> None:
    """Slack takes every shape; state, rule and link stand in the message, and each alert is shown or counted."""
    rng = random.Random(seed)
    fields = {anything(rng, 60): anything(rng, 400) for _ in range(rng.choice((0, 0, 3, 15)))}
    own = slack_message.Own(anything(rng, 400), anything(rng), fields)
    for message in shapes(notification, own):
        take(fake_slack.faults(message))
        whole(json.dumps(message, ensure_ascii=False))
    for message in (slack_message.compose(notification), slack_message.compose_plain(notification)):
        said = json.dumps(message, ensure_ascii=False)
        assert f"Rule{seed} " in said
        assert ("FIRING" if notification.firing else text.overall(notification)) in said
    for shown in (slack_message.compose(notification), shapes(notification, own)[0]):
        check_alerts(notification, shown)


def check_alerts(notification: Notification, shown: dict[str, Any]) -> None:
    """Each alert that is shown has its id, its state and its link; the others are counted."""
    blocks = shown["attachments"][0]["blocks"]
    contexts = [json.dumps(block) for block in blocks if block["type"] == "context"][:-1]
    every = changes.ordered(notification)
    assert len(shown["blocks"] + blocks) <= 50
    assert 1 <= len(contexts) <= (20 if len(every) <= 20 else 3)
    for each, context in zip(every, contexts, strict=False):
        assert f"alert {each.key.fingerprint[:8]}" in context
        assert "runbooks.example.org" in context
        assert text.state(each) in context or len(every) == 1
    missing = len(every) - len(contexts)
    assert (f"and {missing} more" in json.dumps(blocks)) == bool(missing)


def check_pagerduty(notification: Notification, seed: int) -> None:
    """PagerDuty takes it, and key, rule and link are there; so it is with further details and severities of ours."""
    key = pagerduty.dedup_key(notification.group_key)
    event: dict[str, Any] = {"dedup_key": key, "routing_key": fake_pagerduty.ROUTING_KEY}
    event["event_action"] = pagerduty.action(notification)
    if event["event_action"] == "trigger":
        fields = {"runbook": "x" * 600_000, "team": notification.firing[0].why} if seed % 3 == 0 else {}
        event |= pagerduty.trigger(notification, "web-1", "error", "", severities={"": "info"}, fields=fields)
        assert event["payload"]["summary"].startswith(f"Rule{seed} ")
        assert event["links"][0]["href"].startswith("https://runbooks.example.org/")
        assert event["payload"]["custom_details"]["alert"] == notification.firing[0].key.fingerprint
    body = json.dumps(event).encode()
    take(fake_pagerduty.faults(event) or len(body) > 512 * 1024)
    try:
        json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SplitError(str(error)) from None


def check_webhook(notification: Notification, _seed: int) -> None:
    """The payload is of version 4 and holds every alert, or says how many it leaves out."""
    count = len(notification.firing) + len(notification.resolved)
    for most in (0, 3):
        payload = webhook.payload(notification, most, {"team": "ops"})
        body = json.dumps(payload, ensure_ascii=False).encode()
        take(sink_faults(Request("POST", "/", {"content-type": "application/json"}, body)))
        assert len(payload["alerts"]) + payload["truncatedAlerts"] == count
        assert payload["status"] == ("firing" if notification.firing else "resolved")


def check_email(notification: Notification, seed: int) -> None:
    """The letter is plain ASCII on the wire, in lines that SMTP takes, with nothing between its headers."""
    between = Correspondents(addresses("alerting@example.org")[0], addresses("ops@example.org"))
    letter = compose(Filled(notification), between, AT, "")
    wire = letter.as_bytes()
    take(max(map(len, wire.split(b"\r\n"))) > 998 or b"\n" in wire.replace(b"\r\n", b""))
    read = message_from_bytes(wire, policy=default)
    assert sorted(read.keys()) == sorted(letter.keys())
    assert f"Rule{seed} " in str(read["Subject"])
    for kind in ("plain", "html"):
        content = read.get_body((kind,)).get_content()  # type: ignore[union-attr]
        assert f"Rule{seed} " in content
        assert "https://runbooks.example.org/" in content


CHECKS: tuple[Callable[[Notification, int], None], ...] = (check_slack, check_pagerduty, check_webhook, check_email)


def wrong(number: int) -> list[AssertionError]:
    """Put a generated message before every receiver; give what each finds fault with."""
    notification = generated(number)
    found: list[AssertionError] = []
    for check in CHECKS:
        try:
            check(notification, number)
        except AssertionError as error:
            print(f"seed {number}: {check.__name__}: {type(error).__name__} {error}")
            found.append(error)
    return found


def state(figure: Figure, first: int, count: int) -> None:
    """Put many messages before every receiver, and state what became of them."""
    found = [error for number in range(first, first + count) for error in wrong(number)]
    refused, split = (sum(isinstance(each, kind) for each in found) for kind in (RefusedError, SplitError))
    figure("refused by the receiver", refused, at_most=0, n=count, seed=first)
    figure("identities, states and links cut", len(found) - refused - split, at_most=0, n=count, seed=first)
    figure("characters cut in their middle", split, at_most=0, n=count, seed=first)


def test_f26_no_content_is_refused(figure: Figure) -> None:
    """A few generated messages, for the quick suite."""
    state(figure, 0, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f26_no_content_is_refused_in_many(figure: Figure) -> None:
    """In full 1,000 generated messages, each by the rules of every service; who it is about survives each cut."""
    state(figure, chosen_seed(100), rounds(80, full=1000))


@pytest.mark.parametrize("way", WAYS)
def test_f26_generated_contents_arrive(way: str) -> None:
    """Through real HTTP and the strict fakes."""
    with WAYS[way][0]() as fake:
        for seed in range(8):
            answer = attempt(way, fake, generated(seed))
            assert answer.outcome == Outcome.SENT, (seed, answer)


def test_f26_an_event_that_is_too_large_keeps_who_what_and_where() -> None:
    """Long details are cut first, then all of them go; summary, source, key and links stay."""
    for number, length, left in ((40, 19_000, "labels"), (2000, 400, "note")):
        labels = {f"label{each}": "x" * length for each in range(number)}
        event = pagerduty.trigger(telling(notice(labels=labels)), "web-1", "error", "")
        assert len(json.dumps(event)) < 512 * 1024
        assert event["payload"]["summary"] == 'DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%'
        assert event["links"] == [{"href": "https://runbooks.example.org/disk", "text": "runbook"}]
        assert event["payload"]["custom_details"]["alert"] == notice().key.fingerprint
        assert left in event["payload"]["custom_details"]


def test_f26_keys_that_are_too_long_stay_different() -> None:
    """Two keys that begin alike must not close each other's incidents."""
    first, second = pagerduty.dedup_key("k" * 300 + "a"), pagerduty.dedup_key("k" * 300 + "b")
    assert first != second
    assert max(len(first), len(second)) <= 255
    assert pagerduty.dedup_key("k" * 255) == "k" * 255
