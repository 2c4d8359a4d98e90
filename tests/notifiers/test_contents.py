"""Whatever stands in an alert: no receiver refuses it (F26), and nothing in it becomes a mention or a link (F59)."""

from __future__ import annotations

import html
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
from alerting.notifiers._email_message import Correspondents, addresses, compose, page
from alerting.notifiers._templates import Filled
from tests.fakes import pagerduty as fake_pagerduty
from tests.fakes import slack as fake_slack
from tests.fakes.ledger import Request
from tests.fakes.sink import faults as sink_faults
from tests.full import rounds
from tests.full import seed as chosen_seed
from tests.notifiers.desk import AT, WAYS, attempt, notice, telling

if TYPE_CHECKING:
    from tests.figures import Figure

# ------------------------------------------------------------------------------------------- F26: any length

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


_LINK = "https://fake.slack.com/archives/C00000OPS/p1700000000000001"


def shapes(notification: Notification, own: slack_message.Own = slack_message.NOTHING) -> list[dict[str, Any]]:
    """Everything that Slack is sent about a message: the message in its forms, what is beside it, and an answer."""
    return [
        slack_message.compose(notification, own, earlier=_LINK, buttons=True),
        slack_message.compose(notification),
        slack_message.compose_plain(notification, own),
        slack_message.compose_reply(notification, _LINK),
        slack_message.compose_moved(notification, _LINK),
        slack_message.aside(notification.title),
    ]


def check_slack(notification: Notification, seed: int) -> None:
    """Slack takes every shape; state, rule and link stand in the message, and each alert is shown or counted."""
    rng = random.Random(seed)
    fields = {anything(rng, 60): anything(rng, 400) for _ in range(rng.choice((0, 0, 3, 15)))}
    own = slack_message.Own(anything(rng, 400), anything(rng), fields)
    for message in shapes(notification, own):
        assert fake_slack.faults(message) == []
        whole = json.dumps(message, ensure_ascii=False)
        whole.encode()  # no half characters
        assert not re.search(r"&(?!(amp|lt|gt);)", whole)  # no entity was cut
    for message in (slack_message.compose(notification), slack_message.compose_plain(notification)):
        whole = json.dumps(message, ensure_ascii=False)
        assert f"Rule{seed} " in whole
        assert ("FIRING" if notification.firing else text.overall(notification)) in whole
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
    json.dumps(event, ensure_ascii=False).encode()
    assert len(body) <= 512 * 1024
    assert fake_pagerduty.faults(event) == []


def check_webhook(notification: Notification) -> None:
    """The payload is of version 4 and holds every alert, or says how many it leaves out."""
    count = len(notification.firing) + len(notification.resolved)
    for most in (0, 3):
        payload = webhook.payload(notification, most, {"team": "ops"})
        body = json.dumps(payload, ensure_ascii=False).encode()
        assert sink_faults(Request("POST", "/", {"content-type": "application/json"}, body)) == []
        assert len(payload["alerts"]) + payload["truncatedAlerts"] == count
        assert payload["status"] == ("firing" if notification.firing else "resolved")


def check_email(notification: Notification, seed: int) -> None:
    """The letter is plain ASCII on the wire, in lines that SMTP takes, with nothing between its headers."""
    between = Correspondents(addresses("alerting@example.org")[0], addresses("ops@example.org"))
    letter = compose(Filled(notification), between, AT, "")
    wire = letter.as_bytes()
    assert max(map(len, wire.split(b"\r\n"))) <= 998
    assert b"\n" not in wire.replace(b"\r\n", b"")
    read = message_from_bytes(wire, policy=default)
    assert sorted(read.keys()) == sorted(letter.keys())
    assert f"Rule{seed} " in str(read["Subject"])
    for kind in ("plain", "html"):
        content = read.get_body((kind,)).get_content()  # type: ignore[union-attr]
        assert f"Rule{seed} " in content
        assert "https://runbooks.example.org/" in content


def check_contents(seeds: range) -> None:
    """Put every seed's message before every receiver."""
    for seed in seeds:
        notification = generated(seed)
        try:
            check_slack(notification, seed)
            check_pagerduty(notification, seed)
            check_webhook(notification)
            check_email(notification, seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_f26_no_content_is_refused() -> None:
    """A few generated messages, for the quick suite."""
    check_contents(range(30))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f26_no_content_is_refused_in_many(figure: Figure) -> None:
    """In full 1,000 generated messages, each by the rules of every service; who it is about survives each cut."""
    count, chosen = rounds(80, full=1000), chosen_seed(100)
    refused = []
    for number in range(chosen, chosen + count):
        try:
            check_contents(range(number, number + 1))
        except AssertionError as error:
            refused.append(str(error))
    print("\n".join(refused))
    figure("refused, or cut where it may not be", len(refused), at_most=0, n=count, seed=chosen)


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


# ------------------------------------------------------------------------------------------- F59: hostile text

_CORES = (
    "<!channel>",
    "<!here>",
    "<!everyone>",
    "<@U012AB3CD>",
    "<#C012AB3CD>",
    "<!subteam^S012AB3CD>",
    "<!subteam^S012AB3CD|@team>",
    "<!date^0^{date}|x>",
    "<https://evil.example|https://good.example>",
    "<https://evil.example>",
    "<mailto:a@evil.example|mail>",
    "<javascript:alert(1)|click>",
    "&lt;!channel&gt;",
    "&amp;lt;!channel&amp;gt;",
    "&#60;!channel&#62;",
    "`code` ```block```",
    "*bold* _italic_ ~gone~",
    "> quote",
    "@channel @here @everyone",
    "https://evil.example/path",
    "javascript:alert(1)",
    "\u202e<!channel>\u202c",
    "\u200f\u2067<!here>\u2069",
    "<\u200b!channel>",
    "|runbook><!channel><https://evil.example|",
)
HOSTILE = [wrap.format(core) for core in _CORES for wrap in ("{}", "{0}{0}", "https://x.example/{}", "\n{}\n")]
FIELDS = [
    "name",
    "why",
    "value",
    "severity",
    "ended",
    "summary",
    "annotation",
    "annotation_name",
    "label",
    "label_name",
    "title",
    "reason",
    "external",
    "external_name",
    "runbook_url",
    "dashboard",
    "receiver",
    "acked",
    "flapping",
    "was",
    "notes",
    "route",
    "own",
]


def poisoned(field: str, evil: str) -> Notification:
    """A message with `evil` in one field."""
    fields: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    if field in ("name", "why", "value", "severity", "runbook_url"):
        fields[field] = evil
    elif field == "ended":
        fields |= {"ended": evil, "resolved_at": 1_764_000_000_000}
    elif field in ("summary", "dashboard"):
        fields["annotations"] = {field: evil}
    elif field in ("acked", "flapping", "was"):
        fields |= {field: evil, "step": {"acked": "acknowledged", "flapping": "flapping", "was": "worse"}[field]}
    elif field == "notes":
        whole["notes"] = (evil, evil)
    elif field == "own":
        pass  # of the receiver's templates, not of the message
    elif field.startswith("annotation"):
        fields["annotations"] = {evil: "x"} if field.endswith("name") else {"x": evil}
    elif field.startswith("label"):
        fields["labels"] = {evil: "x"} if field.endswith("name") else {"x": evil}
    elif field.startswith("external"):
        whole["external_labels"] = {evil: "x"} if field.endswith("name") else {"x": evil}
    else:
        whole[field] = evil
    return telling(notice(**fields), **whole)


_TAGS = {"html", "body", "div", "h2", "p", "b", "br", "table", "tr", "td", "a"}  # of our letters in HTML
_DATE = re.compile(r"<!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|[0-9:Z -]+>")


@pytest.mark.parametrize("field", FIELDS)
def test_f59_outside_text_is_shown_as_text(field: str, figure: Figure) -> None:
    """100 strings in every field: of what Slack would act on, only our dates and checked links are left."""
    assert len(HOSTILE) == 100
    active = 0
    for evil in HOSTILE:
        notification = poisoned(field, evil)
        every = (*notification.firing, *notification.resolved)
        checked = {f"<{html.escape(url, quote=False)}|{words}>" for n in every for words, url in text.links(n).items()}
        checked |= {f"<{_LINK}|{words}>" for words in ("what happened before", "a newer message")}
        own = slack_message.Own(evil, evil, {evil: evil}) if field == "own" else slack_message.NOTHING
        for message in shapes(notification, own):
            acts = [found for found in fake_slack.active(message) if not _DATE.fullmatch(found)]
            active += len(set(acts) - checked)
            assert message.get("link_names") is not True
            assert fake_slack.faults(message) == []
            assert not set(json.dumps(message, ensure_ascii=False)) & set("\u202e\u202c\u200f\u2067\u2069\u200b")
        if notification.firing:
            event = pagerduty.trigger(notification, "web-1", "error", "")
            assert all(text.link(link["href"]) == link["href"] for link in event["links"])
            assert not set(json.dumps(event, ensure_ascii=False)) & set("\u202e\u202c\u200f\u2067\u2069\u200b")
        shown = page(Filled(notification))
        links = {html.unescape(each) for each in re.findall(r'href="([^"]*)"', shown)}
        active += len(links - {url for n in every for url in text.links(n).values()})
        assert set(re.findall(r"<[/!?]?(\w*)", shown)) <= _TAGS, evil
        assert not set(shown) & set("\u202e\u202c\u200f\u2067\u2069\u200b")
    figure("active mentions and foreign links", active, at_most=0, n=len(HOSTILE))


def test_f59_only_our_own_markup_is_mrkdwn() -> None:
    """Outside text stands in plain_text objects, which know no markup at all."""
    for field in FIELDS:
        for evil in ("*bold* `code` _x_ ~y~ marker", "https://x.example/marker"):
            message = slack_message.compose(poisoned(field, evil))
            found = [each for each in texts_of(message, "mrkdwn") if "marker" in each]
            assert all(each.startswith("<https://x.example/marker|") for each in found), field


def texts_of(value: Any, kind: str) -> list[str]:
    """The texts of all text objects of a kind."""
    if isinstance(value, dict):
        mine = [value["text"]] if value.get("type") == kind else []
        return mine + [found for each in value.values() for found in texts_of(each, kind)]
    return [found for each in value for found in texts_of(each, kind)] if isinstance(value, list) else []


def test_f59_text_arrives_whole() -> None:
    """Escaped is not lost: what Slack shows after it has read the entities is the text itself."""
    message = slack_message.compose(telling(notice(why="a < b && c > d `x` <!channel>")))
    shown = [html.unescape(each) for each in texts_of(message, "plain_text")]
    assert any("a < b && c > d `x` <!channel>" in each for each in shown)
