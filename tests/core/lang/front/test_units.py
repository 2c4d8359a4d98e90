"""Units: conversion, what names tell, and how values are written for people."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.lang.units import UNITS, convert, dimension, format_literal, format_value, unit_of_name


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1, "s", "ms", 1000),
        (1100, "ms", "s", 1.1),
        (57, "ms", "ms", 57),
        (5, "m", "s", 300),
        (90, "s", "m", 1.5),
        (1, "w", "d", 7),
        (2, "GiB", "bytes", 2**31),
        (2, "GB", "bytes", 2e9),
        (1, "B", "bytes", 1),
        (1, "MB", "MiB", 1e6 / 2**20),
        (85, "%", "ratio", 0.85),
        (0.85, "ratio", "percent", 85),
        (10, "MB", "bytes/s", 1e7),
        (1, "seconds", "milliseconds", 1000),
    ],
)
def test_convert(value: float, source: str, target: str, expected: float) -> None:
    """Within a dimension, by whole factors."""
    assert convert(value, source, target) == expected


@pytest.mark.parametrize(("source", "target"), [("s", "bytes"), ("percent", "s"), ("", "s"), ("s", ""), ("x", "s")])
def test_convert_refuses_what_measures_something_else(source: str, target: str) -> None:
    """And what is not known."""
    with pytest.raises(ValueError, match="does not become"):
        convert(1, source, target)


@given(st.floats(min_value=1e-3, max_value=1e9), st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_there_and_back_is_the_same(value: float, source: str, target: str) -> None:
    """Up to rounding, for any two units of one dimension."""
    if dimension(source) == dimension(target):
        assert convert(convert(value, source, target), target, source) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("http_request_duration_seconds", "s"),
        ("http_request_duration_seconds_sum", "s"),
        ("http_request_duration_seconds_bucket", ""),
        ("http_request_duration_seconds_count", ""),
        ("process_cpu_seconds_total", "s"),
        ("node_network_receive_bytes_total", "bytes"),
        ("cache_age_milliseconds", "ms"),
        ("hit_ratio", "ratio"),
        ("cpu_percent", "percent"),
        ("database.pool.wait_seconds", "s"),
        ("up", ""),
        ("seconds", ""),
        ("errors_total", ""),
    ],
)
def test_units_that_names_end_in(name: str, unit: str) -> None:
    """Prometheus' naming habits."""
    assert unit_of_name(name) == unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (91.23, "percent", "91.2%"),
        (85.0, "percent", "85%"),
        (0.0512, "ratio", "5.12%"),
        (100.0, "percent", "100%"),
        (1200, "ms", "1.2 s"),
        (850, "ms", "850 ms"),
        (0.85, "s", "850 ms"),
        (0.000012, "s", "12 us"),
        (0, "s", "0 s"),
        (90, "s", "90 s"),
        (300, "s", "5 m"),
        (5405, "s", "1 h 30 m"),
        (90_061, "s", "1 d 1 h"),
        (-300, "s", "-5 m"),
        (3.4 * 2**30, "bytes", "3.4 GiB"),
        (512, "MiB", "512 MiB"),
        (1023, "bytes", "1023 B"),
        (1e7, "bytes/s", "9.54 MiB/s"),
        (14, "", "14"),
        (14.0, "", "14"),
        (0.5, "", "0.5"),
        (1234.567, "", "1235"),
        (12.345, "", "12.3"),
        (1.2345, "", "1.23"),
        (0.001234, "", "0.0012"),
        (1e-9, "", "1e-09"),
        (1e18, "", "1e+18"),
        (-0.0, "", "0"),
        (nan, "s", "NaN"),
        (inf, "percent", "+Inf"),
        (-inf, "", "-Inf"),
        ("error", "", "'error'"),
        (5, "parsec", "5"),
    ],
)
def test_values_as_people_read_them(value: float | str, unit: str, text: str) -> None:
    """Three digits that count, the unit that fits the size, no zeros that say nothing."""
    assert format_value(value, unit) == text


@given(st.floats(), st.sampled_from(["", *sorted(UNITS), "bytes/s"]))
def test_any_value_can_be_written(value: float, unit: str) -> None:
    """No number breaks a message."""
    text = format_value(value, unit)
    assert text
    assert len(text) < 350


@given(st.floats(allow_nan=False))
def test_literals_are_read_back(value: float) -> None:
    """Up to the sign of zero, which no condition tells apart."""
    assert float(format_literal(value)) == value
