"""The page about conditions: its examples are conditions, and what it says of ambiguous texts is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerting.core.lang.checking.check import settle
from alerting.core.lang.syntax.cursor import MAX_HEIGHT, MAX_NESTING
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.syntax.tokens import MAX_TEXT
from tests.core.lang.front.sources import ALL

PAGE = (Path(__file__).parents[4] / "docs" / "conditions.md").read_text(encoding="utf-8")
EXAMPLES = re.search(r"```promql\n(.*?)```", PAGE, re.DOTALL)
ADDITIONS = re.search(r"## What is added.*?\n\n(\|.*?)\n\n", PAGE, re.DOTALL)


def conditions() -> list[str]:
    """Give the examples, those of the table of additions, and those that stand as rules."""
    assert EXAMPLES is not None
    assert ADDITIONS is not None
    examples = [line.split("|")[2] for line in ADDITIONS[1].splitlines()[2:]]
    added = [each for cell in examples for each in re.findall(r"`([^`]+)`", cell)]
    return [*EXAMPLES[1].splitlines(), *added, *re.findall(r"^condition: (.*)$", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("text", conditions())
def test_every_example_settles_without_a_word(text: str) -> None:
    """Neither an error nor a warning, against sources like those that the page speaks of."""
    assert settle(parse(text), ALL, text=text).diagnostics == ()


def test_the_limits_are_those_of_the_program() -> None:
    """As the last section says."""
    assert f"{MAX_TEXT:,} characters" in PAGE
    assert f"at most {MAX_NESTING} levels" in PAGE
    assert f"at most {MAX_HEIGHT} operators" in PAGE
