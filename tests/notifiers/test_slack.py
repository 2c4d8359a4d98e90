"""The life of a message in Slack: posted, changed, gone, made plainer; and what it looks like."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.model import Answer, Outcome, Receipt
from alerting.notifiers._slack_message import compose
from tests.fakes.ledger import Step
from tests.fakes.slack import CHANNELS, Slack
from tests.notifiers.desk import AT, attempt, attempts, notice, over, telling

BOT, HOOK = "slack bot", "slack webhook"


def methods(slack: Slack) -> list[str]:
    """What was asked of the Web API."""
    return [request.path.removeprefix("/api/") for request in slack.requests]


def test_a_bot_turns_the_message_green_when_all_is_over() -> None:
    """One message per group: the resolve changes it, under the channel's id and the ts of the post."""
    with Slack() as slack:
        posted = attempt(BOT, slack)
        ended = attempt(BOT, slack, over(), previous=posted.receipt)
    assert methods(slack) == ["chat.postMessage", "chat.update"]
    assert posted.receipt == ended.receipt == {"channel": CHANNELS["#ops"], "ts": "1700000000.000001"}
    [message] = slack.messages.values()
    assert message["attachments"][0]["color"] == "good"
    assert message["blocks"][0]["text"]["text"] == "RESOLVED DiskSpaceLow"


def test_what_gets_better_changes_the_message_and_what_gets_worse_is_posted() -> None:
    """A new alert must be seen by somebody; an edit notifies nobody."""
    old, new = notice(step="ongoing"), notice(labels={"mount": "/data"})
    better = telling(old, notice(resolved_at=AT, ended="recovered"), reason="some resolved")
    worse = telling(old, new, reason="more firing")
    with Slack() as slack:
        first = attempt(BOT, slack).receipt
        second = attempt(BOT, slack, worse, previous=first).receipt
        third = attempt(BOT, slack, better, previous=second).receipt
    assert methods(slack) == ["chat.postMessage", "chat.postMessage", "chat.update"]
    assert second == third != first


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"])
def test_a_message_that_cannot_be_changed_is_posted_anew(error: str) -> None:
    """The attempt that meets it makes one request; its receipt tells the next one to forget the message."""
    with Slack() as slack:
        slack.script(Step(status=200, body=f'{{"ok": false, "error": "{error}"}}'))
        first = attempt(BOT, slack, over(), previous={"channel": CHANNELS["#ops"], "ts": "1.2"})
        second = attempt(BOT, slack, over(), previous=first.receipt)
    assert first == Answer(Outcome.RETRY, f"{error}: the message cannot be changed; posting anew", 0, {})
    assert second.outcome == Outcome.SENT
    assert methods(slack) == ["chat.update", "chat.postMessage"]


def test_a_message_that_somebody_deleted_is_posted_anew() -> None:
    """The same by the fake's own rules."""
    with Slack() as slack:
        posted = attempt(BOT, slack)
        slack.messages.clear()
        gone = attempt(BOT, slack, over(), previous=posted.receipt)
        assert attempt(BOT, slack, over(), previous=gone.receipt).outcome == Outcome.SENT
        assert len(slack.messages) == 1


REFUSED_BLOCKS = [
    (BOT, Step(status=200, body='{"ok": false, "error": "invalid_blocks"}')),
    (BOT, Step(status=200, body='{"ok": false, "error": "msg_blocks_too_long"}')),
    (HOOK, Step(status=400, body="invalid_blocks")),
    (HOOK, Step(status=400, body="invalid_payload")),
]


@pytest.mark.parametrize(("way", "refusal"), REFUSED_BLOCKS)
def test_a_payload_that_slack_will_not_take_goes_out_as_bare_text(way: str, refusal: Step) -> None:
    """Once more without blocks; if that fails too, for good."""
    with Slack() as slack:
        slack.script(refusal)
        first = attempt(way, slack)
        second = attempt(way, slack, previous=first.receipt)
        slack.script(refusal)
        third = attempt(way, slack, previous=first.receipt)
    assert [each.outcome for each in (first, second, third)] == [Outcome.RETRY, Outcome.SENT, Outcome.REFUSED]
    assert (first.retry_after, first.receipt) == (0, {"plain": "yes"})
    [sent] = slack.accepted
    assert sent["blocks"] == sent["attachments"] == []
    for words in ("FIRING DiskSpaceLow", "91.2% &gt; 85%", 'mount="/"', "<https://runbooks.example.org/disk|runbook>"):
        assert words in sent["text"]


def test_a_plainer_update_still_changes_the_same_message() -> None:
    """What an earlier attempt learned about the message is not lost with its blocks."""
    with Slack() as slack:
        posted = attempt(BOT, slack).receipt
        slack.script(Step(status=200, body='{"ok": false, "error": "invalid_blocks"}'))
        first = attempt(BOT, slack, over(), previous=posted)
        second = attempt(BOT, slack, over(), previous=first.receipt)
    assert methods(slack) == ["chat.postMessage", "chat.update", "chat.update"]
    assert second.receipt == posted


def test_a_webhook_posts_every_message() -> None:
    """It gives no ts back, so nothing can be changed."""
    with Slack() as slack:
        answers = attempts(HOOK, slack, [(telling(), None), (over(), None)])
    assert [each.outcome for each in answers] == [Outcome.SENT] * 2
    assert len(slack.messages) == 2


def test_a_message_lost_on_the_way_out_may_come_twice_but_not_more() -> None:
    """F19: a post whose answer was lost is sent again; an update whose answer was lost changes nothing twice."""
    with Slack() as slack:
        slack.script(Step(wire="reset"))
        posted = [attempt(BOT, slack), attempt(BOT, slack)]
        slack.script(Step(wire="reset"))
        previous: Receipt | None = posted[1].receipt
        updated = [attempt(BOT, slack, over(), previous=previous), attempt(BOT, slack, over(), previous=previous)]
    assert [each.outcome for each in posted] == [Outcome.UNKNOWN, Outcome.SENT]
    assert [each.outcome for each in updated] == [Outcome.UNKNOWN, Outcome.SENT]
    assert len(slack.messages) == 2


COLOURS = [
    ({"severity": "critical"}, "danger"),
    ({"severity": "error"}, "danger"),
    ({"severity": "warning"}, "warning"),
    ({"severity": ""}, "warning"),
    ({"severity": "info"}, "#439fe0"),
    ({"resolved_at": AT, "ended": "recovered"}, "good"),
    ({"resolved_at": AT, "ended": "no longer reported"}, "#808080"),
]


@pytest.mark.parametrize(("fields", "colour"), COLOURS)
def test_the_colour_says_how_grave_it_is(fields: dict[str, Any], colour: str) -> None:
    """Green is for recovery only: what merely ended is grey."""
    assert compose(telling(notice(**fields)))["attachments"][0]["color"] == colour


def test_the_gravest_alert_colours_the_message() -> None:
    """A critical alert among warnings is not orange."""
    message = compose(telling(notice(severity="info"), notice(severity="critical"), notice(severity="warning")))
    assert message["attachments"][0]["color"] == "danger"


def test_a_flood_becomes_a_summary_and_nothing_is_dropped_unsaid() -> None:
    """300 alerts: the first ones in full, the rest by labels, the number of all in the header."""
    many = [notice(labels={"mount": f"/disk{number}"}) for number in range(300)]
    message = compose(telling(*many))
    blocks = message["attachments"][0]["blocks"]
    assert message["blocks"][0]["text"]["text"] == "FIRING DiskSpaceLow (300 alerts)"
    sections = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    shown = len(sections) - 1
    assert sections[-1].startswith(f'and {300 - shown} more: FIRING mount="/disk{shown}"')
