"""Matchers as people write them: both of Alertmanager's grammars, and where what is wrong stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.config.matchers import parse_matchers
from alerting.core.telling.matchers import written
from alerting.errors import ConditionError
from alerting.model import Matcher


def read(text: str) -> list[tuple[str, str, str]]:
    """Read, as plain tuples."""
    return [tuple(each) for each in parse_matchers(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("{}", []),
        (" { } ", []),
        ("foo=bar", [("foo", "=", "bar")]),
        ("{foo=bar,}", [("foo", "=", "bar")]),
        ("foo = bar , baz != qux, ", [("foo", "=", "bar"), ("baz", "!=", "qux")]),
        ("foo=~[a-z]+", [("foo", "=~", "[a-z]+")]),
        ('{"foo"!~"[a-z]+"}', [("foo", "!~", "[a-z]+")]),
        ('"foo bar"="x"', [("foo bar", "=", "x")]),
        ("föö=🙂bar", [("föö", "=", "🙂bar")]),
        (r'"foo"="\xf0\x9f\x99\x82"', [("foo", "=", "🙂")]),
        (r'"foo"="\U0001f642\u00e4\101"', [("foo", "=", "🙂äA")]),
        (r'"foo"="a\tb\n\"\\"', [("foo", "=", 'a\tb\n"\\')]),
        # What only the classic grammar takes.
        ("job=", [("job", "=", "")]),
        ("{foo=}", [("foo", "=", "")]),
        ("{foo=", [("foo", "=", "")]),
        ("{foo=bar}}", [("foo", "=", "bar}")]),
        ("{foo=,bar=}}", [("foo", "=", ""), ("bar", "=", "}")]),
        ("{foo='}", [("foo", "=", "'")]),
        ("tricky=~~~", [("tricky", "=~", "~~")]),
        (r"trickier==\\=\=\"", [("trickier", "=", '=\\=\\="')]),
        ("a=two words", [("a", "=", "two words")]),
        ('a="two\nlines"', [("a", "=", "two\nlines")]),
        (r"foo=bar\n", [("foo", "=", "bar\n")]),
        (r"{foo=bar\}", [("foo", "=", "bar\\")]),
        # What both take, and read differently: the classic reading.
        (r'foo="bar\t"', [("foo", "=", "bar\\t")]),
        # Quotes and commas.
        ('a="x,y", b="{}"', [("a", "=", "x,y"), ("b", "=", "{}")]),
        ('contains_quote != "\\"" , contains_comma !~ "foo,bar" , ', [
            ("contains_quote", "!=", '"'),
            ("contains_comma", "!~", "foo,bar"),
        ]),
    ],
)  # fmt: skip
def test_all_of_alertmanagers_forms_are_read_as_it_reads_them(text: str, expected: list[tuple[str, str, str]]) -> None:
    """Names, operators and values; quoted and plain, with and without braces."""
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "start", "message"),
    [
        (",", 0, "expected a name of a label, not `,`"),
        ("{,}", 1, "expected a name of a label, not `,`"),
        ("{", 0, "this brace is not closed"),
        ("}", 0, "expected a name of a label, not `}`"),
        ("severity", 8, "expected = or != or =~ or !~ here"),
        ("severity critical", 9, "expected = or != or =~ or !~, not `c`"),
        ('in-valid = "x" y', 15, "expected a comma or the end, not `y`"),
        ('job="value', 4, "this text is not closed"),
        ('job=value"', 9, 'expected a comma or the end, not `"`'),
        (r'"a"="bar\w"', 8, "this escape has no meaning"),
        (r'"a"="\ud800"', 5, "this escape has no meaning"),
        (r'"a"="\x4"', 5, "this escape has no meaning"),
        (r'"a"="\xf0\x9f"', 4, "the escapes in this text give no UTF-8"),
        ('""="x"', 0, "a name of a label must not be empty"),
        ('{"a"=b} c', 8, "expected the end, not `c`"),
        ("{{foo=", 1, "expected a name of a label, not `{`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, start: int, message: str) -> None:
    """The offset of the first character that does not fit."""
    with pytest.raises(ConditionError) as caught:
        parse_matchers(text)
    [found] = caught.value.diagnostics
    assert (found.span.start, found.message) == (start, message)


NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True) | st.text(min_size=1, max_size=4)
VALUES = st.text(max_size=8) | st.text('"\\n,{}=~! ', max_size=6)
MATCHERS = st.builds(Matcher, NAMES, st.sampled_from(["=", "!=", "=~", "!~"]), VALUES)


@given(st.lists(MATCHERS, max_size=3))
def test_what_is_written_is_read_again(matchers: list[Matcher]) -> None:
    """Any name and any value, in braces too."""
    assert list(parse_matchers(written(matchers))) == matchers
    assert list(parse_matchers(f"{{{written(matchers)}}}")) == matchers


@given(st.text(max_size=20) | st.text('ab"\\,{}=~! \n', max_size=20))
def test_no_text_crashes_the_reader(text: str) -> None:
    """It is read or refused."""
    try:
        read(text)
    except ConditionError as error:
        found = [each.span.start for each in error.diagnostics]
    else:
        found = []
    assert all(0 <= start <= len(text) for start in found)
