"""Matchers on labels: Alertmanager's meaning, and the index that finds which of many fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.matchers import MatcherIndex, Matchers, choices
from alerting.model import Matcher
from alerting.patterns import compile_pattern

LABELS = {"alertname": "DiskFull", "severity": "critical", "team": "db"}


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (("severity", "=", "critical"), True),
        (("severity", "=", "crit"), False),
        (("severity", "!=", "critical"), False),
        (("severity", "=~", "crit.*"), True),
        (("severity", "=~", "crit"), False),  # anchored at both ends
        (("severity", "=~", "critical|warning"), True),
        (("severity", "!~", "critical|warning"), False),
        (("severity", "!~", "crit.*"), False),
        (("absent", "=", ""), True),  # a label that is missing is empty
        (("absent", "!=", ""), False),
        (("absent", "!=", "x"), True),
        (("absent", "=~", ""), True),
        (("absent", "=~", ".*"), True),
        (("absent", "=~", ".+"), False),
        (("absent", "!~", ".+"), True),
        (("team", "=~", "|db"), True),
        (("absent", "=~", "|db"), True),
    ],
)
def test_one_matcher_means_what_alertmanager_means(matcher: tuple[str, str, str], expected: bool) -> None:
    """Equal or not, by text or by pattern; what is not there is empty."""
    assert Matchers([Matcher(*matcher)], compile_pattern).fits(LABELS) is expected


def test_all_must_fit_and_none_fit_everything() -> None:
    """A conjunction, whose empty form is true."""
    both = [Matcher("severity", "=", "critical"), Matcher("team", "!~", "web|db")]
    assert not Matchers(both, compile_pattern).fits(LABELS)
    assert Matchers([], compile_pattern).fits({})


def test_matchers_are_written_as_people_write_them() -> None:
    """Values in quotes; names only where they need them."""
    several = [Matcher("a", "=~", 'x"y\\z'), Matcher("odd name", "!=", "two\nlines")]
    assert Matchers(several, compile_pattern).written == 'a=~"x\\"y\\\\z", "odd name"!="two\\nlines"'


def test_a_pattern_that_is_not_valid_is_refused() -> None:
    """With the reason."""
    with pytest.raises(ValueError, match="missing"):
        Matchers([Matcher("a", "=~", "x(")], compile_pattern)


WORDS = st.sampled_from(["", "a", "b", "ab", "a-b", "a|b", "a.b", "."])
LABEL_SETS = st.dictionaries(st.sampled_from("xyz"), WORDS, max_size=3)
MATCHERS = st.builds(Matcher, st.sampled_from("xyz"), st.sampled_from(("=", "!=", "=~", "!~")), WORDS)


@given(st.lists(st.lists(MATCHERS, max_size=3), max_size=6), LABEL_SETS)
def test_the_index_finds_exactly_those_that_fit(many: list[list[Matcher]], labels: dict[str, str]) -> None:
    """Each once, whatever the label that it is found by."""
    compiled = [Matchers(each, compile_pattern) for each in many]
    found = sorted(MatcherIndex(compiled).fitting(labels))
    assert found == [number for number, each in enumerate(compiled) if each.fits(labels)]


@given(st.text("ab|-_ .:/", max_size=6), st.text("ab-_ .:/", max_size=3))
def test_a_list_of_texts_is_the_pattern_that_it_was_written_as(pattern: str, text: str) -> None:
    """Only what has no other meaning in a pattern is taken as a list."""
    found = choices(pattern)
    assert found is None or (text in found) == compile_pattern(pattern).fullmatch(text)
