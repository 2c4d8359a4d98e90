"""From a notification to a letter: subject, a part in plain text, the same in HTML, and what makes a thread of it.

A letter's Message-ID is made from the message's own id, so a letter that arrives twice is seen to be one. All letters
of a group refer to one root that was never sent, and each to the one before it: mail programs show them as a thread.
Outside text goes into headers as one line and into HTML escaped; only checked addresses become links.
"""

from __future__ import annotations

import hashlib
import html
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import TYPE_CHECKING, NamedTuple

from alerting.notifiers import _plain as plain
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Millis, Notice, Notification
    from alerting.notifiers._templates import Filled

_SUBJECT = 200
_SHOWN = 50  # alerts in the part in HTML
_PROSE = 2000
_ADDRESS = 254  # RFC 5321, 4.5.3.1.3, without the brackets
_COLOURS = {"critical": "#b3261e", "error": "#b3261e", "info": "#2f6db5", "RESOLVED": "#2e7d32", "ENDED": "#808080"}
_OTHER_COLOUR = "#c77700"


class Correspondents(NamedTuple):
    """Who writes to whom, checked."""

    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()

    @property
    def recipients(self) -> Sequence[str]:
        """Give the addresses that the server is asked to deliver to, each once."""
        return list(dict.fromkeys(each.addr_spec for each in (*self.to, *self.cc)))


def addresses(written: str | Sequence[str]) -> tuple[Address, ...]:
    """Read addresses from a list, or from a text with commas. Raises ValueError that says which one is none."""
    lines = [written] if isinstance(written, str) else list(written)
    if not all(each.isprintable() for each in lines):
        raise ValueError("an address of mail is one line of characters that can be seen")
    made = []
    for name, spec in getaddresses(lines):
        local, at, domain = spec.rpartition("@")
        fits = local and at and domain and spec.isascii() and spec.isprintable() and len(spec) <= _ADDRESS
        if not fits or set(spec) & set(' "(),:;<>[\\]') or spec.count("@") > 1:
            raise ValueError(f"{text.cut(text.line(spec or name), 80)!r} is no address of mail")
        made.append(Address(text.line(name), local, domain))
    if not made:
        raise ValueError("there is no address of mail in it")
    return tuple(made)


def compose(filled: Filled, between: Correspondents, now: Millis, before: str) -> EmailMessage:
    """Write a letter; `before` is the Message-ID of the last one about this group, or empty."""
    notification = filled.notification
    domain = between.sender.domain
    root = _id("group", notification.group_key, domain)
    letter = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    letter["From"] = between.sender
    letter["To"] = between.to
    if between.cc:
        letter["Cc"] = between.cc
    letter["Subject"] = text.cut(subject(filled), _SUBJECT)
    letter["Date"] = format_datetime(datetime.fromtimestamp(now / 1000, UTC))
    letter["Message-ID"] = message_id(notification, domain)
    letter["In-Reply-To"] = before or root
    letter["References"] = f"{root} {before}" if before else root
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office note may answer
    notes = "".join(f"{text.line(note)}\n" for note in notification.notes)
    plainly = f"{notes}{filled.text}\n" if filled.text else f"{subject(filled)}\n\n{plain.body(notification)}\n"
    letter.set_content(plainly)
    letter.add_alternative(filled.html or page(filled), subtype="html")
    return letter


def subject(filled: Filled) -> str:
    """Give the subject: the template's, or the title with the state."""
    return filled.notification.title if filled.titled else text.headline(filled.notification)


def message_id(notification: Notification, domain: str) -> str:
    """Give the id of a message's letter: the same, however often it is tried."""
    return _id("message", f"{notification.id}\n{notification.receiver}", domain)


def _id(kind: str, name: str, domain: str) -> str:
    digest = hashlib.sha256(f"{kind}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{digest[:32]}.alerting@{domain}>"


# ------------------------------------------------------------------------------------------- HTML


def page(filled: Filled) -> str:
    """Give the part in HTML: a coloured bar, and a table for each alert. Styles stand inline, as mail needs them."""
    notification = filled.notification
    notices = text.changed_first(notification)
    parts = [f"<p>{_safe(note)}</p>" for note in notification.notes]
    if filled.text:
        parts.append(f'<p style="white-space:pre-wrap">{html.escape(filled.text)}</p>')
    else:
        parts += [_alert(notice) for notice in notices[:_SHOWN]]
        if len(notices) > _SHOWN:
            parts.append(f"<p>and {len(notices) - _SHOWN} more</p>")
    parts.append(f'<p style="color:#666;font-size:12px">{_safe(plain.footer(notification), _PROSE)}</p>')
    title = f'<h2 style="font-size:18px">{_safe(subject(filled))}</h2>'
    style = f"font-family:sans-serif;border-left:6px solid {_colour(notification)};padding-left:12px"
    lines = "\n".join(parts)
    return f'<html><body><div style="{style}">{title}\n{lines}\n</div></body></html>\n'


def _alert(notice: Notice) -> str:
    rows = "".join(
        f'<tr><td style="color:#666;padding-right:12px;vertical-align:top">{name}</td><td>{value}</td></tr>\n'
        for name, value in _rows(notice)
    )
    links = " · ".join(f'<a href="{html.escape(url)}">{words}</a>' for words, url in text.links(notice).items())
    heading = f"<b>{_safe(plain.heading(notice))}</b>"
    below = f"<p>{links}</p>" if links else ""
    return f'<p>{heading}</p><table style="font-size:14px">\n{rows}</table>{below}'


def _rows(notice: Notice) -> Iterator[tuple[str, str]]:
    over = "" if notice.resolved_at is None else text.utc(notice.resolved_at)
    facts = {
        "why": notice.why,
        "value": notice.value,
        "since": text.utc(notice.fired_at),
        "until": f"{over} ({notice.ended})" if over and notice.ended else over,
        "taken by": notice.acked,
        "flapping": notice.flapping,
        "labels": text.labels(notice.labels, _PROSE),
    }
    yield from ((name, _safe(value, _PROSE)) for name, value in facts.items() if value)
    for name, prose in text.remarks(notice):
        yield _safe(name), html.escape(text.cut(text.lines(prose).strip(), _PROSE)).replace("\n", "<br>")


def _safe(value: str, most: int = 500) -> str:
    return html.escape(text.cut(text.line(value), most))


def _colour(notification: Notification) -> str:
    if not notification.firing:
        return _COLOURS[text.overall(notification)]
    severities = {notice.severity.lower() for notice in notification.firing}
    return next((colour for name, colour in _COLOURS.items() if name in severities), _OTHER_COLOUR)
