"""The life of a message in Slack: posted, changed, replaced, gone, made plainer; its thread; and what it looks like."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from alerting import registry
from alerting.model import Answer, Notification, Outcome, Picture, Receipt, Section
from alerting.notifiers._slack_message import compose, compose_reply
from alerting.ports import THEN, Follows
from tests.fakes.ledger import Step
from tests.fakes.slack import CHANNELS, Slack
from tests.notifiers.desk import AT, WAYS, attempt, attempts, new_tools, notice, over, telling

BOT, HOOK = "slack bot", "slack webhook"
OPS = CHANNELS["#ops"]


def methods(slack: Slack) -> list[str]:
    """What was asked of the Web API."""
    return [request.path.removeprefix("/api/") for request in slack.requests]


def life(slack: Slack, *messages: Notification, steps: bool = True, **values: Any) -> list[Receipt]:
    """Tell one message after another as the outbox does, and after each what is beside it."""

    async def run() -> list[Receipt]:
        tools = new_tools()
        kind, settings = WAYS[BOT][1](slack)
        notifier = registry.build_notifier(Section("ops", kind, {"timeout": 5000, **settings, **values}), tools)
        assert isinstance(notifier, Follows)
        receipts: list[Receipt] = []
        for message in messages:
            answer = await notifier.deliver(message, receipts[-1] if receipts else None)
            assert answer.outcome is Outcome.SENT, answer
            assert answer.receipt is not None
            receipts.append(answer.receipt)
            left = answer.receipt
            while steps and THEN in left:
                left = await notifier.follow(message, left)
        await tools.http.close()
        return receipts

    return asyncio.run(run())


def thread(slack: Slack, ts: str) -> list[str]:
    """What stands in the thread under a message, as text."""
    return [each["text"] for each in slack.messages.values() if each.get("thread_ts") == ts]


worse = telling(notice(step="worse", was="warning", why="disk_usage = 97% > 95%"), reason="worse")
acked = telling(notice(step="acknowledged", acked="ann, until 16:05Z"), reason="acknowledged", loud=False)


def test_a_bot_turns_the_message_green_when_all_is_over() -> None:
    """One message per group: the resolve changes it, under the channel's id and the ts of the post."""
    with Slack() as slack:
        posted = attempt(BOT, slack)
        ended = attempt(BOT, slack, over(), previous=posted.receipt)
    assert methods(slack) == ["chat.postMessage", "chat.update"]
    assert posted.receipt == {"channel": OPS, "ts": "1700000000.000001"}
    assert ended.receipt == {**posted.receipt, THEN: "thread"}
    [message] = slack.messages.values()
    assert message["attachments"][0]["color"] == "good"
    assert message["blocks"][0]["text"]["text"] == "RESOLVED after 5m: DiskSpaceLow"


def test_a_life_is_told_in_the_thread() -> None:
    """Posted once, changed twice, and each change is one line in words under it; a first post needs no line."""
    with Slack() as slack:
        *_, last = life(slack, telling(), acked, over(step="resolved", why="disk_usage = 40% is not > 85%"))
        ts = "1700000000.000001"
        assert last["ts"] == ts
        assert methods(slack)[:3] == ["chat.postMessage", "chat.update", "chat.postMessage"]
        assert thread(slack, ts) == [
            'acknowledged by ann, until 16:05Z: disk_usage{mount="/"} = 91.2% &gt; 85%',
            "resolved after 5m: disk_usage = 40% is not &gt; 85%",
        ]


def test_what_gets_worse_is_posted_anew_and_the_old_message_says_where_it_goes_on() -> None:
    """Nobody is notified of a change. One message alone shows how things stand, and each leads to the other."""
    with Slack() as slack:
        life(slack, telling(), worse, over())
        first, second = "1700000000.000001", "1700000000.000002"
        link = f"https://fake.slack.com/archives/{OPS}/p"
        old, new = slack.messages[OPS, first], slack.messages[OPS, second]
        assert old["attachments"] == []
        assert f"<{link}1700000000000002|a newer message>" in json.dumps(old["blocks"])
        assert new["blocks"][0]["text"]["text"] == "RESOLVED after 5m: DiskSpaceLow"
        assert f"<{link}1700000000000001|what happened before>" in json.dumps(new["attachments"])
        assert thread(slack, second)[0] == "worse: warning → critical: disk_usage = 97% &gt; 95%"
        assert thread(slack, first) == []


def test_what_gets_better_changes_the_message_and_what_is_new_is_posted() -> None:
    """A new alert must be seen by somebody; an edit notifies nobody."""
    old, new = notice(step="ongoing"), notice(labels={"mount": "/data"})
    better = telling(old, notice(resolved_at=AT, ended="recovered"), reason="some resolved", loud=False)
    with Slack() as slack:
        receipts = life(slack, telling(), telling(old, new, reason="more firing"), better, steps=False)
    assert methods(slack) == ["chat.postMessage", "chat.postMessage", "chat.update"]
    assert [each["ts"][-1] for each in receipts] == ["1", "2", "2"]


@pytest.mark.parametrize("step", ["firing", "worse", "reminder", "escalated", "returned", "flapping"])
def test_what_somebody_should_see_is_posted(step: str) -> None:
    """These steps are loud."""
    with Slack() as slack:
        life(slack, telling(), telling(notice(step=step)), steps=False)
    assert methods(slack) == ["chat.postMessage"] * 2


@pytest.mark.parametrize(
    ("step", "loud"), [("better", True), ("acknowledged", True), ("ongoing", True), ("worse", False)]
)
def test_anything_else_changes_what_was_posted(step: str, loud: bool) -> None:
    """A quiet step, and a message that says itself that it is quiet."""
    with Slack() as slack:
        life(slack, telling(), telling(notice(step=step), loud=loud), steps=False)
    assert methods(slack) == ["chat.postMessage", "chat.update"]


BESIDE = [
    Step(status=200, body='{"ok": false, "error": "not_in_channel"}'),
    Step(status=200, body="<html>"),
    Step(status=500, times=2),
    Step(wire="reset", times=2),
    Step(status=429, headers={"Retry-After": "3600"}, times=2),
]


@pytest.mark.parametrize("failure", BESIDE)
def test_a_failed_line_in_the_thread_repeats_no_message(failure: Step) -> None:
    """It is tried again once where Slack asks for that, then given up; the message itself is sent and stays sent."""
    with Slack() as slack:

        async def run() -> Receipt:
            tools = new_tools()
            kind, settings = WAYS[BOT][1](slack)
            notifier: Any = registry.build_notifier(Section("ops", kind, {"timeout": 5000, **settings}), tools)
            posted = await notifier.deliver(telling(), None)
            changed = await notifier.deliver(acked, posted.receipt)
            assert changed.outcome is Outcome.SENT
            slack.script(failure)
            left: Receipt = changed.receipt
            for _ in range(2):
                left = await notifier.follow(acked, left) if THEN in left else left
            slack.clear()
            await tools.http.close()
            return left

        assert THEN not in asyncio.run(run())
        main = [each for each in slack.messages.values() if "thread_ts" not in each]
        assert len(main) == 1
        assert methods(slack)[:2] == ["chat.postMessage", "chat.update"]
        assert len(methods(slack)) <= 4


POINTS = tuple((AT - 60_000 * back, 91.2 - back) for back in range(30, -1, -1))


def test_a_picture_goes_into_the_thread_of_a_new_message() -> None:
    """A PNG of the value over time, in the thread of the post; a change brings none."""
    drawn = notice(picture=Picture(POINTS, 85.0, "percent"))
    with Slack() as slack:
        life(slack, telling(drawn), telling(drawn._replace(step="better"), loud=False), pictures=True)
        [file] = slack.files.values()
    assert file["data"].startswith(b"\x89PNG\r\n")
    assert (file["channel_id"], file["thread_ts"]) == (OPS, "1700000000.000001")
    assert (file["filename"], file["title"]) == ("value.png", "DiskSpaceLow")


@pytest.mark.parametrize("failing", ["files.getUploadURLExternal", "/upload/", "files.completeUploadExternal"])
def test_a_picture_that_cannot_be_sent_harms_nothing(failing: str) -> None:
    """The message is there, and the outbox goes on."""

    class Failing(Slack):
        def judge(self, request: Any) -> Any:
            return self._no() if failing in request.path else super().judge(request)

        def _no(self) -> Any:
            from tests.fakes.ledger import Reply

            return Reply.of(500, {"ok": False, "error": "fatal_error"})

    drawn = notice(picture=Picture(POINTS, 85.0, "percent"))
    with Failing() as slack:
        [receipt] = life(slack, telling(drawn), pictures=True)
        assert len(slack.messages) == 1
    assert receipt[THEN] == "picture"


def test_a_picture_is_sent_to_slack_alone() -> None:
    """An upload address on another host is not followed."""
    with Slack() as other, Slack() as slack:
        place = {"ok": True, "upload_url": f"{other.url}/upload/F00000000", "file_id": "F00000000"}

        class Astray(Slack):
            def judge(self, request: Any) -> Any:
                from tests.fakes.ledger import Reply

                return Reply.of(200, place) if "getUpload" in request.path else super().judge(request)

        with Astray() as astray:
            life(astray, telling(notice(picture=Picture(POINTS))), pictures=True)
            assert methods(astray) == ["chat.postMessage", *["files.getUploadURLExternal"] * 2]
        assert other.requests == slack.requests == []


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"])
def test_a_message_that_cannot_be_changed_is_posted_anew(error: str) -> None:
    """The attempt that meets it makes one request; its receipt tells the next one to forget the message."""
    with Slack() as slack:
        slack.script(Step(status=200, body=f'{{"ok": false, "error": "{error}"}}'))
        first = attempt(BOT, slack, over(), previous={"channel": OPS, "ts": "1.2"})
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
    assert second.receipt == {**posted, THEN: "thread"}


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
    """300 alerts: how many of each rule and severity, the gravest in full, the rest by labels."""
    many = [
        notice(labels={"mount": f"/disk{number}"}, name="SlowAPI" if number % 3 else "DiskSpaceLow", severity=severity)
        for number in range(300)
        for severity in ("critical" if number in (7, 200) else "warning",)
    ]
    message = compose(telling(*many))
    blocks = message["attachments"][0]["blocks"]
    assert message["blocks"][0]["text"]["text"] == "FIRING SlowAPI and 1 other rule (300 alerts)"
    counted, *shown, rest = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert counted.split("\n") == [
        "300 alerts: 2 critical, 298 warning",
        "SlowAPI: 2 critical, 198 warning",
        "DiskSpaceLow: 100 warning",
    ]
    assert ['mount="/disk7"' in shown[0], 'mount="/disk200"' in shown[1], len(shown)] == [True, True, 3]
    assert rest.startswith('and 297 more: FIRING mount="/disk1"')
    assert len(blocks) < 12


def test_a_header_counts_the_rules_that_it_has_no_room_to_name() -> None:
    """However long the first one's name is."""
    message = compose(telling(notice(name="A" * 500), notice(name="B"), notice(name="C")))
    header = message["blocks"][0]["text"]["text"]
    assert header.endswith("A… and 2 other rules (3 alerts)")
    assert header.startswith("FIRING AAA")


def test_a_message_says_what_it_knows() -> None:
    """Notes, what happened, who has taken it on, whether it flaps, the way it came: each where it belongs."""
    one = notice(step="reminder", acked="ann, until 16:05Z", flapping="4 times in 30m", fired_at=AT - 4 * 3_600_000)
    message = compose(telling(one, notes=("hides 3 alerts of rules that depend on it",), route='route > team="db"'))
    shown = json.dumps(message, ensure_ascii=False)
    assert message["blocks"][0]["text"]["text"] == "FIRING, acknowledged: DiskSpaceLow"
    for words in (
        "hides 3 alerts of rules that depend on it",
        "still firing after 4h\\n",
        "acknowledged by ann, until 16:05Z",
        "flapping: 4 times in 30m",
        'route &gt; team=\\"db\\"',
        "value 91.2%",
    ):
        assert words in shown


PHRASES = [
    ({"step": "worse", "was": "warning"}, "worse: warning → critical"),
    ({"step": "worse"}, "worse: now critical"),
    ({"step": "better", "severity": "info", "was": "warning"}, "better: warning → info"),
    ({"step": "reminder"}, "still firing after 5m"),
    ({"step": "escalated"}, "not acknowledged for 5m"),
    ({"step": "returned"}, "no longer acknowledged, and still firing"),
    ({"step": "flapping", "flapping": "4 times"}, "flapping: 4 times"),
    ({"step": "firing"}, "firing"),
    ({"resolved_at": AT, "ended": "recovered"}, "resolved after 5m"),
    ({"resolved_at": AT, "ended": "no longer reported"}, "ended after 5m, no longer reported"),
]


@pytest.mark.parametrize(("fields", "words"), PHRASES)
def test_a_line_of_the_timeline_says_what_happened_and_why(fields: dict[str, Any], words: str) -> None:
    """One line for one change; where a message tells of several alerts the line names its own."""
    assert compose_reply(telling(notice(**fields, why="x = 1")))["text"] == f"{words}: x = 1"
    several = compose_reply(telling(notice(**fields, why="x = 1"), notice(step="ongoing")))["text"]
    assert several == f'DiskSpaceLow{{mount="/"}} {words}: x = 1'


BUTTONS = [
    (telling(), True, ["Acknowledge", "Silence 1 h"]),
    (acked, True, ["Silence 1 h"]),
    (over(), True, []),
    (telling(), False, []),
    (telling(group_key="k" * 5000), True, []),
]


@pytest.mark.parametrize(("message", "wanted", "words"), BUTTONS)
def test_buttons_are_shown_while_they_can_do_something(message: Notification, wanted: bool, words: list[str]) -> None:
    """An app token asks for them; what a press may mean is over with the alert."""
    blocks = compose(message, buttons=wanted)["attachments"][0]["blocks"]
    rows = [block["elements"] for block in blocks if block["type"] == "actions"]
    assert [button["text"]["text"] for row in rows for button in row] == words
    assert {button["value"] for row in rows for button in row} <= {f"{AT} alerting-5f2c"}


def test_templates_of_the_receiver_go_into_header_text_and_fields() -> None:
    """The alert's id, state, times and links stay, whatever they say; what they make is text, never markup."""
    own = {
        "title": "{{ alert.name }} <!channel>",
        "text": "*{{ alert.why }}*",
        "fields": {"Mount": "{{ alert.labels.mount }}"},
    }
    with Slack() as slack:
        assert attempt(BOT, slack, **own).outcome == Outcome.SENT
    [message] = slack.accepted
    blocks = message["attachments"][0]["blocks"]
    assert message["blocks"][0]["text"] == {
        "type": "plain_text",
        "text": "DiskSpaceLow &lt;!channel&gt;",
        "emoji": False,
    }
    assert message["text"] == "DiskSpaceLow &lt;!channel&gt;"
    assert blocks[0]["text"]["text"] == '*disk_usage{mount="/"} = 91.2% &gt; 85%*'
    assert blocks[1]["fields"][0]["text"] == "Mount\n/"
    assert blocks[2]["elements"][0]["text"].startswith("FIRING · alert 01234567 · critical")
    assert "runbooks.example.org" in json.dumps(blocks[2])
