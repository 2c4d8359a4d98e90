"""Conditions made from the grammar, for property tests, and trees compared without their places."""

from __future__ import annotations

from math import isnan
from typing import Any

from hypothesis import strategies as st

from alerting.errors import Span

NUMBERS = ["1", "0.5", "1e3", "1_000", "0x1F", "Inf", "nan", ".5", "5.", "5m", "1h30m", "1000ms", "85%", "2GiB", "1.5h"]
NAMES = ["up", "sum", "per", "offset", "job:x:rate5m", ":x", "http_requests_total", "by", "and", "start"]
PATHS = ["health.database.status", 'health."disk-space"', '"my source".x', 'a."b.c".d', "true.x", 'inf."y z"', "sum.x"]
STRINGS = ['"ok"', "'it'", "`raw\\n`", r'"a\"b"', r'"tab\t\x41é\101"', "''"]
DURATIONS = ["5m", "1h30m", "90", "1d", "500ms"]


@st.composite
def _matchers(draw: Any) -> str:
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["job", "on", "le", '"a b"', "__x__"]),
                st.sampled_from(["=", "!=", "=~", "!~"]),
                st.sampled_from(STRINGS),
            ),
            max_size=3,
        )
    )
    return (
        "{" + ", ".join("".join(each) for each in found) + draw(st.sampled_from([",}", "}"]) if found else st.just("}"))
    )


@st.composite
def _selectors(draw: Any) -> str:
    name = draw(st.sampled_from([*NAMES, *PATHS]))
    bare = ['{"odd.name", job="x"}', '{job=~"a.+"}', '{__name__="on"}']
    return str(draw(st.sampled_from([name, name + draw(_matchers()), *bare])))


@st.composite
def _moved(draw: Any, text: str) -> str:
    offset = draw(st.sampled_from(["", "", " offset 5m", " offset -1h", " offset 30"]))
    at = draw(st.sampled_from(["", "", " @ 1609746000.5", " @ start()", " @ -3", " @ end()"]))
    return text + (offset + at if draw(st.booleans()) else at + offset)


def _vectors() -> st.SearchStrategy[str]:
    return _selectors().flatmap(_moved)


@st.composite
def _ranges(draw: Any) -> str:
    return draw(_moved(f"{draw(_selectors())}[{draw(st.sampled_from(DURATIONS))}]"))


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    labels = st.sampled_from(["()", "(job)", "(job, instance)", '(on, "a b",)'])
    grouping = st.sampled_from(["", " by (job) ", " without (a, b) ", " by () "])
    modifiers = st.one_of(
        st.just(""),
        labels.map(lambda each: f" on {each}"),
        labels.map(lambda each: f" ignoring{each} group_left(x)"),
        st.just(" on (z) group_right ()"),
    )
    simple = st.sampled_from(["and", "OR", "unless"]), st.sampled_from(["+", "-", "*", "/", "^", "atan2", "% "])
    comparisons = st.sampled_from(["==", "!=", ">", "<=", "< bool", ">= bool", "=~", "!~"])
    closed = inner.map(lambda each: f"({each})")
    operand = st.one_of(closed, inner.map(lambda each: f"-({each})"))
    return st.one_of(
        closed,
        st.tuples(closed, simple[0], st.sampled_from(["", " on (a)", " ignoring()"]), operand).map(" ".join),
        st.tuples(closed, simple[1], modifiers, operand).map(" ".join),
        st.tuples(closed, comparisons, modifiers, operand).map(" ".join),
        st.tuples(closed, st.sampled_from(["==", "!=", "=~"]), st.sampled_from(STRINGS)).map(" ".join),
        st.tuples(_vectors(), st.sampled_from([">", "=="]), st.sampled_from(["10 per minute", "3 per 5m", "true"])).map(
            " ".join
        ),
        st.tuples(inner, st.sampled_from("+-*/^"), inner).map(" ".join),
        inner.map(lambda each: f"- {each}"),
        st.tuples(st.sampled_from(["sum", "MAX", "count"]), grouping, closed).map("".join),
        st.tuples(st.sampled_from(["sum", "avg"]), closed, grouping).map("".join),
        inner.map(lambda each: f"topk(3, {each})"),
        inner.map(lambda each: f"abs({each})"),
        _ranges().map(lambda each: f"rate({each})"),
        closed.flatmap(lambda each: _moved(f"{each}[1h:5m]")),
        closed.flatmap(lambda each: _moved(f"{each}[1h:]")),
        inner.map(lambda each: f"label_replace({each}, 'a', \"$1\", `b`, '(.*)')"),
    )


def conditions() -> st.SearchStrategy[str]:
    """Texts that the grammar has a tree for (whatever the types say), with every form in them."""
    leaves = st.one_of(st.sampled_from(NUMBERS), _vectors(), _ranges(), st.just("true"), st.just("time()"))
    return st.recursive(leaves, _grow, max_leaves=12)


def without_places(node: Any) -> Any:
    """Give a tree as plain tuples, with every Span left out."""
    if isinstance(node, Span):
        return None
    if isinstance(node, tuple):
        return type(node).__name__, *(without_places(each) for each in node)
    return "NaN" if isinstance(node, float) and isnan(node) else node
