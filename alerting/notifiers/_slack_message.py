"""From a notification to what Slack shows: a header, and in a coloured attachment two blocks for each alert.

The law of this file: outside text stands in `plain_text` objects, which know no markup, and with `& < >` as
entities, so that nothing in it becomes a mention or a link in whatever way it is shown. `mrkdwn` is written only
from numbers and from addresses that were checked. The one exception is the message's own `text`, which
notifications show: there the entities alone do it, and links are written by this file.

Slack's limits (docs.slack.dev, Block Kit reference): header 150, text object 3,000, 50 blocks; all blocks together
about 13,000 characters, which is not documented. A message that would be larger shows less of each alert, then
fewer alerts with the rest by name, so it is never refused for its size.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.model import Millis, Notice, Notification

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED = str.maketrans(_ENTITIES)
_COSTS = {char: len(entity) for char, entity in _ENTITIES.items()}
_HEADER = 150
_FALLBACK = 3000  # of `text`; Slack advises at most 4,000
_LARGEST = 11_500  # characters of all blocks as JSON
_STEPS = ((2400, 20), (900, 20), (300, 20), (300, 8), (300, 1))  # characters an alert, alerts shown
_REST = 1200  # characters for the names of alerts that are not shown
_PLAIN_ALERTS = 3
_PLAIN_LINK = 300  # with these two, bare text stays near the length that Slack advises
_COLOURS = {"critical": "danger", "error": "danger", "info": "#439fe0", "RESOLVED": "good", "ENDED": "#808080"}


def compose(notification: Notification) -> dict[str, Any]:
    """Give `text`, `blocks` and `attachments`, within Slack's limits."""
    *steps, last = _STEPS
    tries = (_message(notification, *step) for step in steps)
    return next((message for message in tries if _size(message) <= _LARGEST), None) or _message(notification, *last)


def compose_plain(notification: Notification) -> dict[str, Any]:
    """Give the same as bare text: for a second try after Slack would not take the blocks."""
    notices = text.changed_first(notification)
    parts = [_safe(text.headline(notification), _HEADER)]
    for notice in notices[:_PLAIN_ALERTS]:
        parts.append(_safe(text.line(f"{text.state(notice)} {notice.name}: {notice.why}"), 250))
        parts.append(_safe(text.labels(notice.labels, 200), 200))
        links = (_link(words, url) for words, url in text.links(notice).items())
        parts += [link for link in links if len(link) <= _PLAIN_LINK]
    if len(notices) > _PLAIN_ALERTS:
        parts.append(f"and {len(notices) - _PLAIN_ALERTS} more")
    parts.append(_safe(_footer(notification), 200))
    return {"text": "\n".join(part for part in parts if part), "blocks": [], "attachments": []}


def _message(notification: Notification, budget: int, most: int) -> dict[str, Any]:
    notices = text.changed_first(notification)
    blocks = [block for notice in notices[:most] for block in _alert(notification, notice, budget)]
    if rest := notices[most:]:
        names = (f"{text.state(each)} {text.labels(each.labels, _REST) or text.line(each.name)}" for each in rest)
        blocks.append(_section(f"and {len(rest)} more: {text.joined(names, '; ', _REST)}", _REST))
    blocks.append({"type": "context", "elements": [_plain(_footer(notification), 300)]})
    return {
        "text": _safe(text.headline(notification), _FALLBACK),
        "blocks": [{"type": "header", "text": _plain(_header(notification, notices), _HEADER)}],
        "attachments": [{"color": _colour(notification), "blocks": blocks}],
    }


def _header(notification: Notification, notices: list[Notice]) -> str:
    """Say state and rule; the reasons of the title stand with the alerts."""
    name = text.line(notices[0].name if notices else notification.title)
    count = f" ({len(notices)} alerts)" if len(notices) > 1 else ""
    return f"{text.overall(notification)} {text.cut(name, 100, _COSTS)}{count}"


def _alert(notification: Notification, notice: Notice, budget: int) -> Iterator[dict[str, Any]]:
    """Give two blocks: what is the matter; and since when, how grave, where to look."""
    parts = [text.line(notice.why), text.labels(notice.labels, budget)]
    share = budget // 3  # reason, labels and prose may each be endless; none pushes another out
    parts = [text.cut(part, share, _COSTS) for part in parts]
    for name, prose in text.remarks(notice):
        known = name in ("summary", "description")
        parts.append(text.lines(prose).strip() if known else f"{text.line(name)}: {text.lines(prose).strip()}")
    yield _section("\n".join(part for part in parts if part), budget)
    several = len(notification.firing) + len(notification.resolved) > 1
    value = f"value {notice.value}" if notice.value else ""
    facts = [text.state(notice) if several else "", _short(notice), notice.severity, value, notice.ended]
    elements = [
        _plain(" · ".join(text.cut(text.line(fact), 100, _COSTS) for fact in facts if fact), 600),
        {"type": "mrkdwn", "text": _times(notice)},
    ]
    elements += [{"type": "mrkdwn", "text": _link(words, url)} for words, url in text.links(notice).items()]
    yield {"type": "context", "elements": elements}


def _colour(notification: Notification) -> str:
    if not notification.firing:
        return _COLOURS[text.overall(notification)]
    severities = {notice.severity.lower() for notice in notification.firing}
    return next((colour for name, colour in _COLOURS.items() if name in severities), "warning")


def _short(notice: Notice) -> str:
    """Tell alerts of one rule apart even where their labels had to be cut."""
    return f"alert {notice.key.fingerprint[:8]}"


def _footer(notification: Notification) -> str:
    parts = [notification.reason, text.labels(notification.external_labels, 300)]
    return " · ".join(text.line(part) for part in parts if part) or "alerting"


def _times(notice: Notice) -> str:
    since = f"since {_date(notice.fired_at)}"
    return since if notice.resolved_at is None else f"{since}, until {_date(notice.resolved_at)}"


def _date(at: Millis) -> str:
    """Write a time that Slack shows in each reader's own zone."""
    return f"<!date^{at // 1000}^{{date_short_pretty}} {{time_secs}}|{text.utc(at)}>"


def _link(words: str, url: str) -> str:
    return f"<{url.translate(_ESCAPED)}|{words}>"


def _section(content: str, limit: int) -> dict[str, Any]:
    return {"type": "section", "text": _plain(content, limit)}


def _plain(content: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": _safe(content, limit) or "-", "emoji": False}


def _safe(content: str, limit: int) -> str:
    """Show what is hidden, cut, then write the entities: no cut can split one, and the limit counts them."""
    return text.cut(text.lines(content), limit, _COSTS).translate(_ESCAPED)


def _size(message: dict[str, Any]) -> int:
    blocks = [message["blocks"], message["attachments"]]
    return len(json.dumps(blocks, ensure_ascii=False).encode("utf-16-le")) // 2
