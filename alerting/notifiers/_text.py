"""Outside text, made safe to show and cut to fit. The same words go to every receiver; only markup differs.

Names, labels, values, reasons and annotations come from series, pages and rule files: data, never markup. Here
they lose what could steer a terminal or turn a line around, and a cut never splits what a reader sees as one
character. What a channel's own markup needs on top of that (Slack's entities) stands in that channel's file.
"""

from __future__ import annotations

import time
import unicodedata
from typing import TYPE_CHECKING

from alerting.model import Ended, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.model import Millis, Notice, Notification

MARK = "…"  # stands where a text was cut
_LINKS = (("runbook", "runbook_url"), ("dashboard", "dashboard"), ("dashboard", "dashboard_url"))  # words, annotation
_IMAGE = "image_url"
_LINK_MOST = 2000  # characters; browsers and chat clients cut longer ones
_NOT_IN_LINKS = frozenset(' "<>\\^`{|}')  # RFC 3986 has none of them; in Slack's markup some would end the link
_ZWJ = "\u200d"  # joins emoji to one picture; it is kept, unlike other invisible characters
_LONGEST = 20_000  # characters; no receiver shows more, and each costs time
_BACK = 64  # characters; no honest combination is longer, and a hostile one is cut wherever it is

# Controls (C0, DEL, C1), invisible marks, line separators, and what turns the direction of a line around.
_HIDDEN = (*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F))
_HIDDEN += (*range(0x2060, 0x2070), 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB)
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN}  # noqa: PLR2004  one byte
_LINES = {**_SHOWN, 0x09: " ", 0x0A: "\n"}
_LINE = {**_SHOWN, 0x09: " ", 0x0A: "\\n"}


def lines(text: str) -> str:
    r"""Show hidden and steering characters as escapes (`\x1b`, `\u202e`); line breaks stay."""
    return _shown(text, _LINES)


def line(text: str) -> str:
    """Show hidden and steering characters as escapes, line breaks too: what comes out is one line."""
    return _shown(text, _LINE)


def _shown(text: str, table: Mapping[int, str]) -> str:
    if text.isprintable():  # nearly all are; it also means no half characters
        return text
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + MARK
    return whole(text).replace("\r\n", "\n").translate(table)


def whole(text: str) -> str:
    """Put U+FFFD for half characters (lone surrogates), which no UTF-8 can carry."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


NO_COSTS: Mapping[str, int] = {}


def cut(text: str, limit: int, costs: Mapping[str, int] = NO_COSTS) -> str:
    """Give at most `limit` units of `text`, with a mark where it was cut, at a border between characters.

    A unit is one of UTF-16, the strictest reading of a vendor's "characters"; `costs` says what single
    characters become (an entity) when they are sent.
    """
    if len(text) * (max(2, *costs.values()) if costs else 2) <= limit:
        return text
    room = limit - len(MARK)
    end = used = 0
    for char in text:
        used += costs.get(char, 0) or (2 if char > "\uffff" else 1)
        if used > limit:
            return text[: _border(text, end)] + MARK
        end += used <= room
    return text


def _border(text: str, end: int) -> int:
    """Move `end` back to where one visible character ends and the next begins; stay where that leaves nothing."""
    for at in range(end, max(0, end - _BACK), -1):
        if not _joined(text, at):
            return at
    return end


def _joined(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if _ZWJ in (before, after) or unicodedata.category(after).startswith("M"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, flags' tags
        return True
    flags = 0  # two regional indicators make one flag
    while flags < at and "\U0001f1e6" <= text[at - 1 - flags] <= "\U0001f1ff":
        flags += 1
    return flags % 2 == 1 and "\U0001f1e6" <= after <= "\U0001f1ff"


def link(url: str) -> str:
    """Give an address that may be followed from a message: http or https, a host, no credentials; else nothing."""
    url = url.strip()
    scheme, _, rest = url.partition("://")
    host = rest.replace("?", "/").replace("#", "/").partition("/")[0]
    if scheme.lower() not in ("http", "https") or not host.strip(".:") or "@" in host or not url.isprintable():
        return ""
    safe = "".join(f"%{ord(char):02X}" if char in _NOT_IN_LINKS else char for char in url)
    return safe if len(safe) <= _LINK_MOST else ""


def links(notice: Notice) -> dict[str, str]:
    """Give what a person would open next: `runbook` and `dashboard`, each with its address."""
    named = {**notice.annotations}
    if notice.runbook_url:
        named["runbook_url"] = notice.runbook_url
    found = ((words, link(named.get(annotation, ""))) for words, annotation in _LINKS)
    return {words: url for words, url in found if url}


def image(notice: Notice) -> str:
    """Give the address of a picture of the matter, the annotation `image_url`, if it is https; else nothing."""
    url = link(notice.annotations.get(_IMAGE, ""))
    return url if url[:8].lower() == "https://" else ""


def remarks(notice: Notice) -> list[tuple[str, str]]:
    """Give the annotations that are prose, the summary first."""
    first = ("summary", "description")
    skipped = {_IMAGE, *(annotation for _, annotation in _LINKS)}
    names = [*(name for name in first if name in notice.annotations), *notice.annotations]
    return [(name, notice.annotations[name]) for name in dict.fromkeys(names) if name not in skipped]


def state(notice: Notice) -> str:
    """Say (STILL) FIRING, RESOLVED, or ENDED: without evidence of recovery nothing is called resolved."""
    if notice.resolved_at is None:
        return "STILL FIRING" if notice.step == Step.ONGOING else "FIRING"
    return "RESOLVED" if notice.ended in ("", Ended.RECOVERED) else "ENDED"


def overall(notification: Notification) -> str:
    """Say FIRING while any alert of the message fires; else RESOLVED if at least one recovered, or ENDED."""
    if notification.firing:
        return "FIRING"
    ended = [state(notice) == "ENDED" for notice in notification.resolved]
    return "ENDED" if ended and all(ended) else "RESOLVED"


def headline(notification: Notification) -> str:
    """Give the title with the state; the title of what is over says itself how it ended."""
    title = line(notification.title)
    return f"FIRING {title}" if notification.firing else title


def changed_first(notification: Notification) -> list[Notice]:
    """Give every notice: what is new, what is over, then what merely goes on."""
    ongoing = [notice for notice in notification.firing if notice.step == Step.ONGOING]
    new = [notice for notice in notification.firing if notice.step != Step.ONGOING]
    return [*new, *notification.resolved, *ongoing]


def labels(pairs: Mapping[str, str], enough: int = _LONGEST) -> str:
    """Write labels on one line: `host="web-1", mount="/"`; more than `enough` characters are not begun."""
    return joined((f'{line(name)}="{line(value)}"' for name, value in pairs.items()), ", ", enough)


def joined(parts: Iterable[str], between: str, enough: int) -> str:
    """Join parts until there are more than `enough` characters: what comes after would be cut anyway."""
    taken: list[str] = []
    length = 0
    for part in parts:
        taken.append(part)
        length += len(part) + len(between)
        if length > enough + len(between):
            break
    return between.join(taken)


def utc(at: Millis) -> str:
    """Write a time as `2026-11-24 04:07:12Z`."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at // 1000))
