"""F4, as far as values reach a condition: NaN, infinities, -0, the edges of floats, and texts that look like numbers.

The outcome of every value against every comparison is worked out here from two rules alone: numbers compare as
IEEE 754 has it, and a text against a number (or the other way round) is unknown.
"""

from __future__ import annotations

import operator
from math import inf, nan
from typing import TYPE_CHECKING

import pytest

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
