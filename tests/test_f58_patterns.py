"""F58: patterns that take exponential time elsewhere are matched in linear time, whatever the text.

Rules, routes, silences and searches all get their patterns from `compile_pattern`.
"""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

import pytest

from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.figures import Figure

LONGEST = 50  # ms of CPU for one match
LENGTH = 10_000

BAD = [
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(a|aa)+$",
    "(a|a?)+$",
    "(a|b|ab)*c",
    "(.*a){20}",
    "(.*a){50}",
    "(x+x+)+y",
    "([a-zA-Z]+)*$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(a?){100}a{100}",
    "(a?){500}a{500}",
    "(.*)*=(.*)*",
    ".*.*=.*",
    ".*?.*?=.*?;",
    r"^(\w+\s?)*$",
    r'([^"\\]|\\.)*"',
    r"(\d+)*[^\d]",
    "^(.?){50}aaaaa$",
    "(0|1)*1(0|1){200}",
    "[ab]*a[ab]{300}",
    "(a{0,30}){0,30}$",
    "(([a-c]+)+)+d",
    "^((ab)*)+$",
    "(?i)(k|K|K)*z",
    "(é|e)*$",
    r"\s+$",
    r"^[\s ]+|[\s ]+$",
    "(((((a*)*)*)*)*)*b",
    r"(.+)+@(.+)+\.(.+)+",
    "^(?:.*,){11}P",
    "(a{1,100}){1,10}",
]
TEXTS = {
    "one letter": "a" * LENGTH,
    "pairs": "ab" * (LENGTH // 2),
    "almost": "x" * (LENGTH - 1) + "!",
    "digits": "0110" * (LENGTH // 4),
    "spaces": " " * (LENGTH - 1) + "x",
    "mixed": ('aB1 é,="@' * LENGTH)[:LENGTH],
    "two bytes each": "é" * (LENGTH // 2),
}


def cost(match: Callable[[str], object], text: str) -> float:
    """Time a match: the better of two, as the first may still build what the second uses."""
    times = []
    for _ in range(2):
        started = thread_time()
        match(text)
        times.append(thread_time() - started)
    return min(times)


@pytest.mark.parametrize("pattern", BAD)
def test_f58_no_pattern_takes_long_on_any_text(pattern: str, figure: Figure) -> None:
    """Whether the whole text is matched, a part of it searched, or groups of it filled into a label."""
    compiled = compile_pattern(pattern)
    ways = (compiled.fullmatch, compiled.search, lambda text: compiled.expand(text, "$1"))
    longest = max(cost(match, text) for text in TEXTS.values() for match in ways)
    figure("longest match", round(1000 * longest, 1), at_most=LONGEST, n=len(TEXTS) * len(ways), unit="ms", timed=True)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing ): ("),
        ("a)(b", "unexpected ): a)(b"),
        ("(?=a)b", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        ("a{1001}", "invalid repetition size"),
        ("(((a{100}){100}){100}){100}", "invalid repetition size"),
        ("a" * 8193, "longer than 8192 bytes"),
    ],
)
def test_what_cannot_be_matched_so_is_no_pattern(pattern: str, reason: str) -> None:
    """Refused when it is loaded, and the reason shows the pattern as it was written."""
    with pytest.raises(ValueError) as caught:
        compile_pattern(pattern)
    assert str(caught.value).startswith(reason)


def test_a_dot_takes_every_character_as_in_prometheus() -> None:
    """Line ends too; a pattern may switch that off for itself."""
    assert compile_pattern("a.b").fullmatch("a\nb")
    assert not compile_pattern("(?-s)a.b").fullmatch("a\nb")
