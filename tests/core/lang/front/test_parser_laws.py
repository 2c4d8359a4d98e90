"""Laws of the parser: any text ends in a tree or in errors with places; what is printed is read back."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.core.lang.checking.check import settle
from alerting.core.lang.names import Names
from alerting.core.lang.syntax.parser import Dialect, parse
from alerting.core.lang.syntax.printer import show
from alerting.core.lang.syntax.tokens import MAX_TEXT
from alerting.core.lang.tree import Number
from alerting.errors import ConditionError, Diagnostic
from tests.core.lang.front.conditions import conditions, without_places
from tests.core.lang.front.sources import ALL, NO_PAGE

DIALECTS = get_args(Dialect)
PIECES = st.sampled_from(
    """( ) { } [ ] , . : @ + - * / % ^ == != > < >= <= = =~ !~ and or unless bool on ignoring group_left offset by
    without sum topk rate x y.z "a" 'b' `c` "\\q" 5 5m 1h30m 85% 2GiB 1000ms 10 per minute true false inf NaN 0x1f 010
    start() end() # \n""".split(" ")  # noqa: SIM905  a list of words
)


def read(text: str, dialect: Dialect) -> Any:
    """Parse; None where the text has errors, which have words and a place within it."""
    problems: tuple[Diagnostic, ...] = ()
    try:
        return parse(text, dialect=dialect)
    except ConditionError as error:
        problems = error.diagnostics
    assert problems
    for each in problems:
        assert each.message
        assert 0 <= each.span.start <= each.span.end <= max(len(text), 1)
    return None


@given(st.text(), st.sampled_from(DIALECTS))
def test_any_text_gives_a_tree_or_errors_with_places(text: str, dialect: Dialect) -> None:
    """Nothing else may come out of the parser, whatever goes in."""
    read(text, dialect)


@given(st.lists(PIECES, max_size=25), st.sampled_from(DIALECTS), st.sampled_from(["", " "]))
@settings(max_examples=150, deadline=None)
def test_any_row_of_words_gives_a_tree_or_errors_and_trees_print(words: list[str], dialect: Dialect, gap: str) -> None:
    """Rows of real tokens come further than random letters do; a tree that results survives printing."""
    node = read(gap.join(words), dialect)
    if node is not None:
        assert without_places(parse(show(node), dialect=dialect)) == without_places(node)


@given(conditions())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_printed_is_read_back(text: str) -> None:
    """For conditions made from the grammar: the tree of the printed text is the tree itself."""
    node = parse(text)
    assert without_places(parse(show(node))) == without_places(node)
    assert show(parse(show(node))) == show(node)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "(" * 30_000 + "1" + ")" * 30_000,
        "-" * 30_000 + "1",
        "1" + "^1" * 20_000,
        "a" + " or a" * 10_000,
        "abs(" * 10_000,
        "sum by (a) " * 3000,
        "a[5m:]" + "[5m:]" * 10_000,
        "x{" + 'a="b",' * 8000 + "}",
        "x{" + "," * 60_000 + "}",
        "x{" + "! " * 30_000,
        " " * 60_000 + "&",
        "#" * 60_000,
        "1" * 60_000,
        "0" * 60_000 + "1",
        "1" + "a" * 60_000,
        "1h" * 30_000,
        "0x" + "f" * 60_000,
        "a." * 30_000,
        "'" + "\\" * 60_000,
        '"' + "\\n" * 30_000 + '"',
        "x" * MAX_TEXT + "x",
        "a" + "+(a" * 90 + ")" * 90 + " or a" * 150,
    ],
    ids=lambda text: f"{text[:8]}…{len(text)}",
)
def test_deep_and_long_texts_end_soon(text: str, dialect: Dialect) -> None:
    """Nesting, chains and length are bounded by errors, never by the interpreter's stack or patience."""
    node = read(text, dialect)
    if node is not None:
        show(node)


@given(conditions(), st.sampled_from([ALL, NO_PAGE, Names.anything()]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_read_settles_or_is_refused(text: str, names: Names) -> None:
    """With a place for each problem, and in our own form never with a literal or a name left as it was."""
    node = parse(text)
    try:
        settled = settle(node, names, text=text, purpose="query")
    except ConditionError as error:
        problems = error.diagnostics
        assert any(not each.warning for each in problems)
    else:
        problems = settled.diagnostics
        assert not any(each.unit for each in numbers(settled.node))
    assert all(each.message and 0 <= each.span.start <= each.span.end <= len(text) for each in problems)


def numbers(node: Any) -> list[Number]:
    """Give every number in a tree."""
    if isinstance(node, Number):
        return [node]
    flat = [item for part in node for item in (part if type(part) is tuple else (part,))]
    return [found for item in flat if hasattr(item, "span") for found in numbers(item)]


def test_a_hundred_levels_are_allowed() -> None:
    """The limits are far from what people write: parentheses, calls and chains of that size are read."""
    for text in ("(" * 99 + "x" + ")" * 99, "abs(" * 99 + "x" + ")" * 99, "x" + " or x" * 199):
        node = parse(text)
        assert without_places(parse(show(node))) == without_places(node)
