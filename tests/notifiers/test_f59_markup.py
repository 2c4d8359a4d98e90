"""F59: nothing from outside that stands in an alert becomes a mention, markup or a link, whatever receiver shows it."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from alerting.notifiers import _pagerduty_event as pagerduty
from alerting.notifiers import _slack_message as slack_message
from alerting.notifiers import _text as text
from alerting.notifiers._email_message import page
from alerting.notifiers._templates import Filled
from tests.fakes import slack as fake_slack
from tests.notifiers.desk import LINK, notice, shapes, telling

if TYPE_CHECKING:
    from alerting.model import Notification
    from tests.figures import Figure

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
        checked |= {f"<{LINK}|{words}>" for words in ("what happened before", "a newer message")}
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
