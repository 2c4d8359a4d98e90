"""How outside text is shown and cut."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.notifiers import _text as text
from tests.notifiers.desk import notice, over, telling

COSTS = {"&": 5, "<": 4, ">": 4}
CUTS = [
    ("short", 10, "short"),
    ("exactly10!", 10, "exactly10!"),
    ("exactly11!!", 10, "exactly11…"),
    ("", 5, ""),
    ("\U0001f600" * 4, 8, "\U0001f600" * 4),
    ("\U0001f600" * 4, 7, "\U0001f600" * 3 + "…"),
    ("\U0001f600" * 4, 6, "\U0001f600" * 2 + "…"),
    ("ae\u0301e\u0301", 4, "ae\u0301…"),  # a letter keeps its accent
    ("ae\u0301e\u0301", 3, "a…"),
    ("x\U0001f44d\U0001f3fdy", 4, "x…"),  # a thumb keeps its colour
    ("ab\U0001f468\u200d\U0001f469\u200d\U0001f467x", 9, "ab…"),  # a family stays together, or goes
    ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", 7, "\U0001f1e9\U0001f1ea…"),  # two letters make one flag
    ("a" + "\u0301" * 200, 100, "a" + "\u0301" * 98 + "…"),  # no honest letter: cut wherever it is
]


@pytest.mark.parametrize(("given_text", "limit", "expected"), CUTS)
def test_f26_a_cut_never_splits_what_a_reader_sees_as_one(given_text: str, limit: int, expected: str) -> None:
    """Surrogates, accents, skin tones, joined emoji and flags stay whole; the mark says that there was more."""
    assert text.cut(given_text, limit) == expected


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_a_cut_keeps_to_its_limit_in_every_way_of_counting(whole: str, limit: int) -> None:
    """At most `limit` characters, UTF-16 units, and units after the entities were put in; else it is untouched."""
    short = text.cut(whole, limit, COSTS)
    escaped = short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert len(escaped.encode("utf-16-le", "surrogatepass")) // 2 <= limit
    assert short == whole or (short.endswith("…") and whole.startswith(short[:-1]))


@given(st.text(st.characters()))
def test_f64_what_is_shown_cannot_steer_a_terminal(raw: str) -> None:
    """No control, no line separator, nothing that turns the direction, and it can be written as UTF-8."""
    shown = text.line(raw)
    shown.encode()
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")]
    assert not [char for char in shown if unicodedata.bidirectional(char) in ("RLO", "LRO", "RLE", "LRE", "RLI", "LRI")]
    assert "\n" not in shown
    assert text.lines(raw).replace("\n", "\\n") == shown


def test_halves_of_a_character_are_joined_or_replaced() -> None:
    """JSON may hold surrogates by themselves."""
    assert text.line("\ud83d\ude00 \ud83d x") == "\U0001f600 \ufffd x"


LINKS = [
    ("https://runbooks.example.org/disk?x=1#top", "https://runbooks.example.org/disk?x=1#top"),
    ("HTTP://example.org", "HTTP://example.org"),
    (" https://example.org/a ", "https://example.org/a"),
    ("https://example.org/a b|c>d<e`f", "https://example.org/a%20b%7Cc%3Ed%3Ce%60f"),
    ("https://example.org/\u00fc", "https://example.org/\u00fc"),
    ("javascript:alert(1)", ""),
    ("javascript://example.org/%0aalert(1)", ""),
    ("data:text/html,x", ""),
    ("file:///etc/passwd", ""),
    ("//example.org", ""),
    ("example.org", ""),
    ("https://", ""),
    ("https:///path", ""),
    ("https://user:pass@example.org/", ""),
    ("https://slack.com@evil.example/", ""),
    ("https://example.org/\u202egpj.exe", ""),
    ("https://example.org/\nx", ""),
    ("https://example.org/" + "x" * 3000, ""),
    ("", ""),
]


@pytest.mark.parametrize(("url", "expected"), LINKS)
def test_f59_only_plain_web_addresses_become_links(url: str, expected: str) -> None:
    """Http and https with a host and without credentials; what could end a link's markup is percent-encoded."""
    assert text.link(url) == expected


def test_links_come_from_the_rule_and_from_prometheus_annotations() -> None:
    """The rule's own runbook goes before an annotation of that name."""
    annotated = {"runbook_url": "https://a.example/", "dashboard": "https://b.example/", "summary": "x"}
    assert text.links(notice(annotations=annotated, runbook_url="")) == {
        "runbook": "https://a.example/",
        "dashboard": "https://b.example/",
    }
    assert text.links(notice(annotations=annotated))["runbook"] == "https://runbooks.example.org/disk"
    assert text.remarks(notice(annotations=annotated)) == [("summary", "x")]


STATES = [
    (notice(), "FIRING"),
    (notice(step="ongoing"), "STILL FIRING"),
    (notice(resolved_at=1, ended="recovered"), "RESOLVED"),
    (notice(resolved_at=1, ended="no longer reported"), "ENDED"),
    (notice(resolved_at=1, ended="ended: no data"), "ENDED"),
    (notice(resolved_at=1, ended="rule removed"), "ENDED"),
]


@pytest.mark.parametrize(("given_notice", "expected"), STATES)
def test_nothing_is_called_resolved_without_evidence(given_notice, expected: str) -> None:
    """An alert that merely ended says so."""
    assert text.state(given_notice) == expected


def test_what_changed_stands_before_what_goes_on() -> None:
    """A message that has to leave something out leaves out what its reader knows."""
    new, old, gone = notice(), notice(step="ongoing"), notice(resolved_at=1, ended="recovered")
    assert text.changed_first(telling(old, new, gone)) == [new, gone, old]
    assert text.headline(telling(old, gone)).startswith("FIRING ")
    assert text.headline(over()).startswith("DiskSpaceLow resolved")
