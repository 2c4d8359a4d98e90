"""The series notation of rule tests reads as promtool reads it, and says where it is wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.lang.syntax.series import MAX_VALUES, STALE, parse_series, parse_values
from alerting.errors import ConditionError
from alerting.model import Labels

VALUES = [
    ("", {}),
    ("  ", {}),
    ("1 2 3", {0: 1.0, 1: 2.0, 2: 3.0}),
    ("1\n2\t3 ", {0: 1.0, 1: 2.0, 2: 3.0}),
    ("-1 +2 -.5 2.", {0: -1.0, 1: 2.0, 2: -0.5, 3: 2.0}),
    ("1e3 1E-2 2e+1", {0: 1000.0, 1: 0.01, 2: 20.0}),
    ("Inf -Inf +inf", {0: math.inf, 1: -math.inf, 2: math.inf}),
    ("1+2x3", {0: 1.0, 1: 3.0, 2: 5.0, 3: 7.0}),
    ("1-2x3", {0: 1.0, 1: -1.0, 2: -3.0, 3: -5.0}),
    ("-1-1x2", {0: -1.0, 1: -2.0, 2: -3.0}),
    ("7x2", {0: 7.0, 1: 7.0, 2: 7.0}),
    ("7x0", {0: 7.0}),
    ("0x3", {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}),
    ("1+0x2", {0: 1.0, 1: 1.0, 2: 1.0}),
    ("0+0.1x3", {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.1 + 0.1 + 0.1}),
    ("_ 1 _", {1: 1.0}),
    ("_x3 1", {3: 1.0}),
    ("_x0 1", {0: 1.0}),
    ("_x9999999999 1", {9_999_999_999: 1.0}),
    ("1 stale 2", {0: 1.0, 1: STALE, 2: 2.0}),
    ("stalex1", {0: STALE, 1: STALE}),
    ("'ok' \"error\"x2 `x`", {0: "ok", 1: "error", 2: "error", 3: "error", 4: "x"}),
    (r"'a\'b\n' '\u00e9\x41'", {0: "a'b\n", 1: "éA"}),
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[text for text, _ in VALUES])
def test_values_are_read_as_promtool_reads_them(text, expected):
    """Each item stands one interval after the last; steps without a sample are left out."""
    assert dict(parse_values(text)) == expected


def test_nan_is_a_value_and_no_gap():
    """`NaN` in any case is a sample."""
    assert [(step, math.isnan(value)) for step, value in parse_values("nan NaN")] == [(0, True), (1, True)]


BAD_VALUES = [
    ("1 x2", 2, "a number, `_`, `stale` or a text in quotes was expected"),
    ("1+2", 3, "'x' and a count were expected, as in 0+10x5"),
    ("1+2 3", 3, "'x' and a count were expected, as in 0+10x5"),
    ("1xx", 2, "a count was expected after 'x'"),
    ("1x-2", 2, "a count was expected after 'x'"),
    ("1x2.5", 3, "a space was expected between two values"),
    ("0x1F", 3, "a space was expected between two values"),
    ("1,2", 1, "a space was expected between two values"),
    ("1 abc", 2, "a number, `_`, `stale` or a text in quotes was expected"),
    ("1e", 2, "the digits of the exponent were expected"),
    ("1 1e999", 2, "the number is too large for a float"),
    ("stales", 5, "a space was expected between two values"),
    ("stale+1x2", 5, "stale has no step"),
    ("'ok", 0, "the closing ' is missing"),
    ("1 'ok\\'", 2, "the closing ' is missing"),
    ("'ok'+1x2", 4, "a space was expected between two values"),
    ("{{schema:1 count:2}}", 0, "native histograms ({{…}}) cannot be tested"),
    ("{{schema:1}}x3", 0, "native histograms ({{…}}) cannot be tested"),
    ("1 2x999999999", 2, f"more than {MAX_VALUES:,} samples in one series"),
    ("_x99999999999999", 2, "more than 10000000000 steps"),
    ("_x9999999999 _x9999999999", 13, "more than 10,000,000,000 steps in one series"),
]


@pytest.mark.parametrize(("text", "at", "message"), BAD_VALUES, ids=[text for text, _, _ in BAD_VALUES])
def test_wrong_values_say_where_and_what(text, at, message):
    """The error stands at the character that does not belong there."""
    with pytest.raises(ConditionError) as caught:
        parse_values(text)
    (found,) = caught.value.diagnostics
    assert (found.span.start, found.message) == (at, message)


SERIES = [
    ("up", "up", {}),
    (' up{ a = "b" , c="d", } ', "up", {"a": "b", "c": "d"}),
    ("job:errors:rate5m{a='b'}", "job:errors:rate5m", {"a": "b"}),
    ('{__name__="up",job="x"}', "up", {"job": "x"}),
    ('{"http.requests", "service name"="a b"}', "http.requests", {"service name": "a b"}),
    ("{}", "", {}),
    ('{a="b"}', "", {"a": "b"}),
    ('a{b=""}', "a", {}),
    (r'a{b="\"\\\n\x41"}', "a", {"b": '"\\\nA'}),
    ("a{b=`\\n`}", "a", {"b": "\\n"}),
    ('health_check.database.status{name="db"}', "health_check.database.status", {"name": "db"}),
    ('health_check."disk-space".free', "health_check.disk-space.free", {}),
    ("health_check.checks.0", "health_check.checks.0", {}),
]


@pytest.mark.parametrize(("text", "name", "labels"), SERIES, ids=[text for text, _, _ in SERIES])
def test_a_series_is_a_name_and_labels(text, name, labels):
    """The name stands apart from the labels, whichever way it was written."""
    assert parse_series(text) == (name, Labels(labels))


BAD_SERIES = [
    ("", 0, "a metric's name or '{' was expected"),
    ("9a", 0, "a metric's name or '{' was expected"),
    ("a b", 2, "the end of the series was expected here"),
    ("a.", 2, "the next part of the dotted name was expected"),
    ("a{", 2, "a label's name or '}' was expected"),
    ("a{b", 3, "'=' was expected"),
    ('a{b=~"c"}', 4, "'=' was expected"),
    ('a{b!="c"}', 3, "'=' was expected"),
    ("a{b=c}", 4, "the value of b was expected, in quotes"),
    ('a{b="c" d="e"}', 8, "',' or '}' was expected"),
    ('a{b="c",b="d"}', 8, "the label b is given twice"),
    ('a{"x"}', 2, "the name is given twice: a and x"),
    ('a{__name__="x"}', 2, "the name is given twice: a and __name__"),
    ('a{b="c}', 4, 'the closing " is missing'),
    (r'a{b="\q"}', 5, "this is no escape that strings know"),
]


@pytest.mark.parametrize(("text", "at", "message"), BAD_SERIES, ids=[text for text, _, _ in BAD_SERIES])
def test_a_wrong_series_says_where_and_what(text, at, message):
    """The error stands at the character that does not belong there."""
    with pytest.raises(ConditionError) as caught:
        parse_series(text)
    (found,) = caught.value.diagnostics
    assert (found.span.start, found.message) == (at, message)


@given(st.text(alphabet="0123456789+-xX_ .eE'\"`\\{}=,aInfstale\n", max_size=30))
def test_any_text_is_read_or_refused_with_a_place_in_it(text):
    """Nothing else is raised, and the place is inside the text or directly behind it."""
    for parse in (parse_values, parse_series):
        try:
            parse(text)
        except ConditionError as error:
            assert all(0 <= found.span.start <= len(text) for found in error.diagnostics)  # noqa: PT017


@given(st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.none(), st.just(STALE))))
def test_values_written_out_are_read_back(values):
    """A float survives to the last digit."""
    text = " ".join("_" if each is None else "stale" if each is STALE else repr(each) for each in values)
    assert parse_values(text) == [(step, each) for step, each in enumerate(values) if each is not None]
