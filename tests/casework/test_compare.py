"""Differences: all of them, the nearest held against each other, none where there is none."""

from __future__ import annotations

import math
from itertools import permutations

import pytest

from alerting.casework.compare import (
    Got,
    Wanted,
    alert_differences,
    same_value,
    sample_differences,
    series_text,
    written,
)
from alerting.model import NO_LABELS, Labels

SAME = [
    (1.0, 1.0, True),
    (1.0, 1.0000001, True),
    (1.0, 1.00001, False),
    (0.0, 1e-300, False),
    (0.0, -0.0, True),
    (1e300, 1.0000001e300, True),
    (1e-320, 1.1e-320, True),
    (math.nan, math.nan, True),
    (math.nan, 0.0, False),
    (math.inf, math.inf, True),
    (math.inf, -math.inf, False),
    (math.inf, 1e308, False),
    ("ok", "ok", True),
    ("1", 1.0, False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_two_values_are_the_same_within_a_millionth(one, other, same):
    """Either way round; a text is never a number."""
    assert (same_value(one, other), same_value(other, one)) == (same, same)


WRITTEN = [
    (1.0, "1"),
    (-3.0, "-3"),
    (0.1, "0.1"),
    (1e20, "1e+20"),
    (math.inf, "Inf"),
    (-math.inf, "-Inf"),
    (math.nan, "NaN"),
    ("ok", "'ok'"),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_values_are_written_as_a_test_file_has_them(value, text):
    """Whole numbers without a point, texts in quotes."""
    assert written(value) == text


def test_a_series_is_written_with_its_name_first():
    """And braces where there is nothing else."""
    assert [
        series_text(each) for each in (NO_LABELS, Labels({"__name__": "up"}), Labels({"__name__": "up", "a": "b"}))
    ] == [
        "{}",
        "up",
        'up{a="b"}',
    ]


A, B, C = (Labels({"i": each, "job": "x"}) for each in "abc")
SAMPLES = [
    ([], [], []),
    ([(A, 1.0), (B, 2.0)], [(B, 2.0), (A, 1.0)], []),
    ([(A, 1.0)], [], ['missing     {i="a",job="x"} = 1']),
    ([], [(A, 1.0)], ['unexpected  {i="a",job="x"} = 1']),
    ([(A, 1.0)], [(A, 2.0)], ['expected    {i="a",job="x"} = 1', 'got         {i="a",job="x"} = 2']),
    ([(A, 1.0)], [(B, 1.0)], ['expected    {i="a",job="x"} = 1', 'got         {i="b",job="x"} = 1']),
    (
        [(A, 1.0), (B, 2.0)],
        [(B, 2.0), (A, 3.0), (C, 4.0)],
        ['expected    {i="a",job="x"} = 1', 'got         {i="a",job="x"} = 3', 'unexpected  {i="c",job="x"} = 4'],
    ),
]


@pytest.mark.parametrize(("wanted", "got", "lines"), SAMPLES)
def test_series_differ_in_words(wanted, got, lines):
    """In any order of what came."""
    for order in permutations(got):
        assert sample_differences(wanted, order) == lines


def test_the_same_series_twice_is_not_once():
    """Each expectation takes one of what came."""
    assert sample_differences([(A, 1.0), (A, 1.0)], [(A, 1.0)]) == ['missing     {i="a",job="x"} = 1']
    assert sample_differences([(A, 1.0)], [(A, 1.0), (A, 1.0)]) == ['unexpected  {i="a",job="x"} = 1']


ALERTS = [
    ([Wanted(A, {}, "")], [Got(A, {}, "why")], []),
    ([Wanted(A, {}, "wh")], [Got(A, {}, "why")], []),
    (
        [Wanted(A, {}, "no")],
        [Got(A, {}, "why")],
        ['differs     {i="a",job="x"}', "            reason: expected 'no' in 'why'"],
    ),
    (
        [Wanted(A, {"s": "x"}, "")],
        [],
        ['missing     {i="a",job="x"}', "            annotation s: 'x'"],
    ),
    (
        [],
        [Got(A, {"s": "x"}, "why")],
        ['unexpected  {i="a",job="x"}', "            annotation s: 'x'", "            because why"],
    ),
    (
        [Wanted(A.with_(severity="page"), {"s": "x", "t": "y"}, "")],
        [Got(A.with_(severity="info"), {"s": "z", "u": "w"}, "why")],
        [
            'differs     {i="a",job="x",severity="info"}',
            "            label severity: expected 'page', got 'info'",
            "            annotation s: expected 'x', got 'z'",
            "            annotation t: expected 'y', got none",
            "            annotation u: expected none, got 'w'",
        ],
    ),
]


@pytest.mark.parametrize(("wanted", "got", "lines"), ALERTS)
def test_alerts_differ_in_words(wanted, got, lines):
    """Labels, annotations, reasons: each that differs."""
    assert alert_differences(wanted, got) == lines
