"""From a notification to what Slack shows: a header, and in a coloured attachment two blocks for each alert.

The law of this file: outside text stands in `plain_text` objects, which know no markup, and with `& < >` as
entities, so that nothing in it becomes a mention or a link in whatever way it is shown. `mrkdwn` is written only
from numbers and from addresses that were checked. The one exception is the message's own `text`, which
notifications show: there the entities alone do it, and links are written by this file.

Slack's limits (docs.slack.dev, Block Kit reference): header 150, text object 3,000, 50 blocks; all blocks together
about 13,000 characters, which is not documented. A message that would be larger shows less of each alert, then
fewer alerts with the rest by name, so it is never refused for its size. One about many alerts is a summary: how many
of each rule and severity, the gravest in full, the rest by name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.backoff import words
from alerting.model import NO_TEXTS, Step
from alerting.notifiers import _changes as changes
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.model import Millis, Notice, Notification

ACKNOWLEDGE, SILENCE = "alerting_acknowledge", "alerting_silence"  # names of the buttons, as Slack gives them back

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED = str.maketrans(_ENTITIES)
_COSTS = {char: len(entity) for char, entity in _ENTITIES.items()}
_HEADER = 150
_NAME = 90  # characters of a rule's name in the header: what follows it must fit too
_FALLBACK = 3000  # of `text`; Slack advises at most 4,000
_LARGEST = 11_500  # characters of all blocks as JSON
_STEPS = ((2400, 20), (900, 20), (300, 20), (300, 8), (300, 1))  # characters an alert, alerts shown
_MANY = 20  # alerts; a message about more of them is a summary
_IN_SUMMARY = 3  # alerts that a summary shows in full
_RULES = 8  # rules that a summary counts by name
_REST = 1200  # characters for the names of alerts that are not shown
_NOTES = 900  # characters
_OWN, _FIELDS, _FIELD = 2000, 10, 300  # characters of the receiver's own text; its fields, characters of each
_PLAIN_ALERTS = 3
_PLAIN_LINK = 300  # with these two, bare text stays near the length that Slack advises
_REPLY_LINES, _REPLY_LINE = 6, 400
_KEY = 300  # characters of a group key that a button can carry; ours have at most 41
_COLOURS = {"critical": "danger", "error": "danger", "info": "#439fe0", "RESOLVED": "good", "ENDED": "#808080"}
_TOLD = (Step.FIRING, Step.ONGOING, Step.RESOLVED)  # steps that the message's state says already


class Own(NamedTuple):
    """What the receiver's own templates made of a message; empty: there is none."""

    title: str = ""  # in place of state and rule in the header
    text: str = ""  # in place of reason, labels and prose of each alert
    fields: Mapping[str, str] = NO_TEXTS


NOTHING = Own()


def compose(
    notification: Notification, own: Own = NOTHING, *, earlier: str = "", buttons: bool = False
) -> dict[str, Any]:
    """Give `text`, `blocks` and `attachments`, within Slack's limits.

    `earlier` is the address of the message that this one replaced; `buttons` are shown while something fires.
    """
    *steps, last = _STEPS
    if len(notification.firing) + len(notification.resolved) > _MANY:
        steps, last = [(budget, _IN_SUMMARY) for budget, _ in steps[:3]], (300, 1)
    top = [*_own(own), *_notes(notification)]
    tail = [*(_buttons(notification) if buttons else ()), _footer(notification, earlier)]
    tries = (_message(notification, own, *step, (top, tail)) for step in steps)
    fitting = next((message for message in tries if _size(message) <= _LARGEST), None)
    return fitting or _message(notification, own, *last, (top, tail))


def compose_plain(notification: Notification, own: Own = NOTHING) -> dict[str, Any]:
    """Give the same as bare text: for a second try after Slack would not take the blocks."""
    notices = changes.ordered(notification)
    parts = [_safe(own.title or text.headline(notification), _HEADER)]
    for notice in notices[:_PLAIN_ALERTS]:
        parts.append(_safe(text.line(f"{text.state(notice)} {notice.name}: {notice.why}"), 250))
        parts.append(_safe(text.labels(notice.labels, 200), 200))
        links = (_link(label, url) for label, url in text.links(notice).items())
        parts += [link for link in links if len(link) <= _PLAIN_LINK]
    if len(notices) > _PLAIN_ALERTS:
        parts.append(f"and {len(notices) - _PLAIN_ALERTS} more")
    parts.append(_safe(_footing(notification), 200))
    return {"text": "\n".join(part for part in parts if part), "blocks": [], "attachments": []}


def compose_reply(notification: Notification, earlier: str = "") -> dict[str, Any]:
    """Give what a thread is told: one line for each alert that changed, and where the earlier part of it is."""
    changed = changes.changed(notification)
    several = len(notification.firing) + len(notification.resolved) > 1
    lines = [changes.line(each, notification.created, named=several) for each in changed[:_REPLY_LINES]]
    if rest := changed[_REPLY_LINES:]:
        lines.append(f"and {len(rest)} more changes: {changes.counts(rest)}")
    story = "\n".join(text.cut(each, _REPLY_LINE, _COSTS) for each in lines) or text.line(notification.reason)
    about = [{"type": "mrkdwn", "text": _date(notification.created)}]
    if link := text.link(earlier):
        about.append({"type": "mrkdwn", "text": _link("what happened before", link)})
    blocks = [_section(story, 2900), {"type": "context", "elements": about}]
    return {"text": _safe(story, _FALLBACK), "blocks": blocks}


def compose_moved(notification: Notification, link: str) -> dict[str, Any]:
    """Give what is left of a message that a new one has replaced: a line that says where it goes on."""
    name = text.cut(_named(changes.ordered(notification), notification), _NAME, _COSTS)
    said = _safe(f"{name}: this goes on in a newer message", _HEADER)
    elements = [_plain(f"{name}: this goes on in", 200), {"type": "mrkdwn", "text": _link("a newer message", link)}]
    return {"text": said, "blocks": [{"type": "context", "elements": elements}], "attachments": []}


def aside(said: str) -> dict[str, str]:
    """Give a line that one person sees, as text and nothing else."""
    return {"text": _safe(said, _HEADER * 2), "parse": "none"}


def _message(
    notification: Notification, own: Own, budget: int, most: int, around: tuple[Sequence[Any], Sequence[Any]]
) -> dict[str, Any]:
    notices = changes.ordered(notification)
    blocks = [*around[0]]
    if len(notices) > _MANY:
        counted = [f"{len(notices)} alerts: {changes.counts(notices)}", *changes.by_rule(notices, _RULES)]
        blocks.append(_section("\n".join(text.cut(each, 200, _COSTS) for each in counted), _REST))
    for notice in notices[:most]:
        if not own.text:
            blocks.append(_matter(notification, notice, budget))
        blocks.append(_facts(notice, stated=bool(own.title) or len(notices) > 1))
    if rest := notices[most:]:
        names = (f"{text.state(each)} {text.labels(each.labels, _REST) or text.line(each.name)}" for each in rest)
        blocks.append(_section(f"and {len(rest)} more: {text.joined(names, '; ', _REST)}", _REST))
    return {
        "text": _safe(own.title or text.headline(notification), _FALLBACK),
        "blocks": [{"type": "header", "text": _plain(own.title or _header(notification, notices), _HEADER)}],
        "attachments": [{"color": _colour(notification), "blocks": [*blocks, *around[1]]}],
    }


def _own(own: Own) -> Iterator[dict[str, Any]]:
    """Give what the receiver's own templates say besides the title."""
    if own.text:
        yield _section(own.text, _OWN)
    if shown := [(name, value) for name, value in own.fields.items() if value][:_FIELDS]:
        fields = (f"{text.cut(text.line(name), 100, _COSTS)}\n{value}" for name, value in shown)
        yield {"type": "section", "fields": [_plain(field, _FIELD) for field in fields]}


def _notes(notification: Notification) -> Iterator[dict[str, Any]]:
    """Give the lines for people: what the message hides, which silence ended, what it sums up."""
    if notification.notes:
        notes = (text.cut(text.line(note), _REPLY_LINE, _COSTS) for note in notification.notes)
        yield _section(text.joined(notes, "\n", _NOTES), _NOTES)


def _header(notification: Notification, notices: list[Notice]) -> str:
    """Say state, rule and how long it took; the reasons of the title stand with the alerts."""
    state = text.overall(notification)
    name = text.cut(_named(notices, notification), _NAME, _COSTS)
    count = f" ({len(notices)} alerts)" if len(notices) > 1 else ""
    ends = [notice.resolved_at for notice in notices if notice.resolved_at is not None]
    if ends and not notification.firing:
        return f"{state} after {words(max(0, max(ends) - min(each.fired_at for each in notices)))}: {name}{count}"
    return f"{state}{', acknowledged:' if notification.acknowledged else ''} {name}{count}"


def _named(notices: list[Notice], notification: Notification) -> str:
    """Name the rules that a message is about: one, or one and the number of the others."""
    names = list(dict.fromkeys(text.line(notice.name) for notice in notices))
    if not names:
        return text.line(notification.title)
    if len(names) == 1:
        return names[0]
    others = f" and {len(names) - 1} other rule{'s' if len(names) > 2 else ''}"  # noqa: PLR2004  one other
    return text.cut(names[0], _NAME - len(others), _COSTS) + others


def _matter(notification: Notification, notice: Notice, budget: int) -> dict[str, Any]:
    """Say what is the matter with one alert."""
    share = budget // 3  # reason, labels and prose may each be endless; none pushes another out
    parts = [text.cut(part, share, _COSTS) for part in (text.line(notice.why), text.labels(notice.labels, budget))]
    if notice.step not in _TOLD:
        parts.insert(0, text.cut(text.line(changes.phrase(notice, notification.created)), min(share, 200), _COSTS))
    for name, prose in text.remarks(notice):
        known = name in ("summary", "description")
        parts.append(text.lines(prose).strip() if known else f"{text.line(name)}: {text.lines(prose).strip()}")
    return _section("\n".join(part for part in parts if part), budget)


def _facts(notice: Notice, *, stated: bool) -> dict[str, Any]:
    """Say which alert, how grave, since when, who has taken it on, and where to look; `stated`: the state too."""
    held = notice.resolved_at is None
    facts = (
        text.state(notice) if stated else "",
        _short(notice),
        notice.severity,
        f"value {notice.value}" if notice.value else "",
        f"acknowledged by {notice.acked}" if notice.acked and held else "",
        f"flapping: {notice.flapping}" if notice.flapping and held else "",
        notice.ended,
    )
    elements = [
        _plain(" · ".join(text.cut(text.line(fact), 100, _COSTS) for fact in facts if fact), 600),
        {"type": "mrkdwn", "text": _times(notice)},
    ]
    elements += [{"type": "mrkdwn", "text": _link(label, url)} for label, url in text.links(notice).items()]
    return {"type": "context", "elements": elements}


def _buttons(notification: Notification) -> list[dict[str, Any]]:
    """Give what can be pressed. What a button says back is looked up and never believed: see alerting.interaction."""
    if not notification.firing or len(notification.group_key) > _KEY:
        return []
    value = f"{notification.created} {notification.group_key}"
    offers = [(SILENCE, "Silence 1 h")]
    if not notification.acknowledged:
        offers.insert(0, (ACKNOWLEDGE, "Acknowledge"))
    elements = [
        {"type": "button", "action_id": action, "value": value, "text": {"type": "plain_text", "text": label}}
        for action, label in offers
    ]
    return [{"type": "actions", "elements": elements}]


def _colour(notification: Notification) -> str:
    if not notification.firing:
        return _COLOURS[text.overall(notification)]
    severities = {notice.severity.lower() for notice in notification.firing}
    return next((colour for name, colour in _COLOURS.items() if name in severities), "warning")


def _short(notice: Notice) -> str:
    """Tell alerts of one rule apart even where their labels had to be cut."""
    return f"alert {notice.key.fingerprint[:8]}"


def _footer(notification: Notification, earlier: str) -> dict[str, Any]:
    elements = [_plain(_footing(notification), 600)]
    if link := text.link(earlier):
        elements.append({"type": "mrkdwn", "text": _link("what happened before", link)})
    return {"type": "context", "elements": elements}


def _footing(notification: Notification) -> str:
    """Say why it is sent, from where, and by which way."""
    parts = [notification.reason, text.labels(notification.external_labels, 300), notification.route]
    return " · ".join(text.cut(text.line(part), 300, _COSTS) for part in parts if part) or "alerting"


def _times(notice: Notice) -> str:
    since = f"since {_date(notice.fired_at)}"
    return since if notice.resolved_at is None else f"{since}, until {_date(notice.resolved_at)}"


def _date(at: Millis) -> str:
    """Write a time that Slack shows in each reader's own zone."""
    return f"<!date^{at // 1000}^{{date_short_pretty}} {{time_secs}}|{text.utc(at)}>"


def _link(label: str, url: str) -> str:
    return f"<{url.translate(_ESCAPED)}|{label}>"


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
