"""F4, as far as values reach a condition: NaN, infinities, -0, the edges of floats, and texts that look like numbers.

The outcome of every value against every comparison is worked out here from two rules alone: numbers compare as
IEEE 754 has it, and a text against a number (or the other way round) is unknown.
"""

from __future__ import annotations

import operator
from math import inf, nan
from typing import TYPE_CHECKING

import pytest

from alerting.errors import ConditionError
from tests.core.lang.back.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Value

VALUES: list[Value] = [
    *(nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 12.0, 1e308, -1e308, 5e-324, 0.1 + 0.2, 2.0**53, 1e16),
    *("", "12", "NaN", "true", "null", "ok", " ok", "OK", "ö́", "[1]", "x" * 10_000),
]
NUMBERS = {"0": 0.0, "-0": -0.0, "12": 12.0, "1e308": 1e308, "Inf": inf, "-Inf": -inf, "NaN": nan, "0.3": 0.3}
TEXTS = {"'ok'": "ok", "'12'": "12", "''": ""}
OPERATORS: dict[str, Callable[[object, object], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
CASES = [
    (value, op, written, bound)
    for value in VALUES
    for op in OPERATORS
    for written, bound in (*NUMBERS.items(), *TEXTS.items())
    if isinstance(bound, float) or op in ("==", "!=")
]


def outcome(world: World) -> str:
    """Evaluate: true, false or unknown."""
    found = world.evaluate()
    if found.gaps:
        assert not found.true
        return "unknown"
    return "true" if found.true else "false"


def test_every_value_against_every_comparison_has_its_outcome() -> None:
    """More than a thousand pairs; each is true, false or unknown as the two rules say, and none raises."""
    assert len(CASES) > 1000
    worlds = {(op, written): World(f"health_check.v {op} {written}") for _, op, written, _ in CASES}
    for value, op, written, bound in CASES:
        world = worlds[op, written].after(1000).source("health_check", ("v", {}, value))
        if isinstance(value, str) is not isinstance(bound, str):
            expected = "unknown"
        else:
            expected = "true" if OPERATORS[op](value, bound) else "false"
        assert outcome(world) == expected, (value, op, written)


FORMS = ["abs({})", "{} + 1", "-{}", "sum({})", "max({})", "sum_over_time({}[5m])", "round({})", "sqrt({})", "hour({})"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", VALUES[:14])
def test_functions_take_every_number(form: str, value: float) -> None:
    """No number makes a function raise or leave a gap."""
    world = World(form.format("health_check.v") + " != -77").source("health_check", ("v", {}, value))
    assert outcome(world) == "true"


@pytest.mark.parametrize("value", VALUES)
def test_reasons_can_be_given_for_every_value(value: Value) -> None:
    """Also for NaN and for long texts there is a reason in words."""
    world = World("health_check.v != 'never'" if isinstance(value, str) else "health_check.v != -77")
    found = world.source("health_check", ("v", {}, value)).evaluate()
    (labels, found_value), *_ = found.true
    assert found.why(labels, found_value).startswith("health_check.v = ")


WRITTEN: dict[str, float] = {
    "0": 0.0,
    "-0": -0.0,
    "+0": 0.0,
    "00": 0.0,
    "0e0": 0.0,
    "0x0": 0.0,
    "0X1F": 31.0,
    "0xfffffffffffffff": 2.0**60,
    ".5": 0.5,
    "5.": 5.0,
    "1_000": 1000.0,
    "1E5": 1e5,
    "1e-999": 0.0,
    "1e308": 1e308,
    "5e-324": 5e-324,
    "07": 7.0,
    "inf": inf,
    "+Inf": inf,
    "-INF": -inf,
    "nan": nan,
    "NaN": nan,
    "--1": 1.0,
    "+-1": -1.0,
    "- 1": -1.0,
    "((5))": 5.0,
    "true": 1.0,
    "FALSE": 0.0,
    "5 ": 5.0,
    "5 # five": 5.0,
    "0." + "0" * 390 + "1": 0.0,
    "5m": 300.0,
    "-5m": -300.0,
    "1h30m": 5400.0,
    "0s": 0.0,
    "1.5h": 5400.0,
    ".5s": 0.5,
    "12ms": 0.012,
    "5us": 5e-6,
    "1e18y": 3.1536e25,
    "9" * 308: float("9" * 308),
}
REFUSED = [
    *("1e999", "-1e999", "1.8e308", "9" * 309, "9" * 10_000, "0." + "0" * 10_000 + "1", "0x" + "f" * 300, "1e400m"),
    *("1e", "1e+", "5e", "0x", "0x1p4", "0b1", "0o7", "010", "1__0", "1_", "1.2.3", "1..2", "1,5", "1.5e3.2", "1e5.0"),
    *("１２", "٣", "½", "1²", "∞", "−1", "‒1"),  # noqa: RUF001  what looks like a digit or a minus is the point
    *("5€", "$5", "@5", "#5", "5;", "1\u00a0", "1\u200b", "1\x00", "\ufeff1"),
    *("'12'", "'1e999'", "''", '""', "`12`", "'1", "'\\xff'", "'\\ud800'", "[1]", "[]", "{}", "{a='1'", "()", "(5"),
    *("5)", "5 5", "5%%", "12 %", "5 ms", "1h 30m", "1h30", "1m1h", "1d1d", "5ns", "5µs", "1k", "1K", "1M", "1KB"),
    *(
        "1Ki",
        "1gb",
        "12%",
        "2GiB",
        "5B",
        "1PB",
        "5 per minute",
        "5 per",
        "5 per 0s",
        "5 per -1m",
        "5 per 5",
        "5per minute",
    ),
]


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written[:20])
def test_odd_numbers_in_a_condition_are_read_as_documented(written: str) -> None:
    """The value shows by comparing with it: a series that has it is equal to it, save for NaN."""
    expected = WRITTEN[written]
    world = World(f"health_check.v == {written}").source("health_check", ("v", {}, expected))
    assert outcome(world) == ("true" if expected == expected else "false")  # noqa: PLR0124  NaN is not itself


@pytest.mark.parametrize("written", REFUSED, ids=lambda written: ascii(written[:20]))
def test_what_is_no_number_is_refused_when_it_is_loaded(written: str) -> None:
    """With its place, never read as 0 or as something near."""
    text = f"health_check.v > {written}"
    with pytest.raises(ConditionError) as caught:
        World(text)
    for each in caught.value.diagnostics:
        assert each.message
        assert 0 <= each.span.start <= each.span.end <= len(text)
