"""The route tree: whom an alert's labels lead to, by Alertmanager's rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.tree import Tree
from alerting.model import Matcher, Route
from alerting.patterns import compile_pattern


def node(receiver: str, where: str = "", *routes: Route, go_on: bool = False) -> Route:
    """Make a node; `where` is `label=value`, or nothing."""
    name, _, value = where.partition("=")
    matchers = (Matcher(name, "=", value),) if where else ()
    return Route(tuple(receiver.split(",")), matchers, continue_=go_on, routes=routes)


TREE = node(
    "everybody",
    "",
    node("db", "team=db", node("db-pager", "severity=critical"), node("db-log", "severity=info")),
    node("audit", "audit=yes", go_on=True),
    node("web,web-log", "team=web"),
    node("never", "team=web"),
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, ["everybody"]),
        ({"team": "db"}, ["db"]),  # no child fits: the node itself
        ({"team": "db", "severity": "critical"}, ["db-pager"]),  # a child fits: not the node itself
        ({"team": "web"}, ["web", "web-log"]),  # each receiver; the sibling after it is not looked at
        ({"audit": "yes"}, ["audit"]),
        ({"audit": "yes", "team": "web"}, ["audit", "web", "web-log"]),  # `continue` goes on with the siblings
        ({"audit": "yes", "team": "db", "severity": "info"}, ["db-log"]),  # without it the search ends
    ],
)
def test_the_walk_goes_as_deep_as_it_can(labels: dict[str, str], expected: list[str]) -> None:
    """And ends at the first sibling that fits, unless it says otherwise."""
    assert [way.receiver for way in Tree(TREE, compile_pattern).ways(labels)] == expected


def test_a_way_holds_the_node_that_it_comes_from() -> None:
    """For its groups and times."""
    [way] = Tree(TREE, compile_pattern).ways({"team": "db"})
    assert way.route is TREE.routes[0]


def test_a_root_that_does_not_fit_leads_nowhere() -> None:
    """Settings refuse such a root; the tree says nothing of its own."""
    assert Tree(node("x", "a=b"), compile_pattern).ways({}) == ()


ROUTES = st.recursive(
    st.builds(node, st.just("r"), st.sampled_from(["", "a=1", "a=2", "b=1"]), go_on=st.booleans()),
    lambda inner: st.builds(
        lambda where, routes, go_on: node("r", where, *routes, go_on=go_on),
        st.sampled_from(["", "a=1", "a=2", "b=1"]),
        st.lists(inner, max_size=3),
        st.booleans(),
    ),
    max_leaves=12,
)


def by_the_book(route: Route, labels: dict[str, str]) -> list[Route]:
    """Find the nodes as Alertmanager's documentation says it, with no thought for speed."""
    if any(labels.get(each.name, "") != each.value for each in route.matchers):
        return []
    found: list[Route] = []
    for child in route.routes:
        below = by_the_book(child, labels)
        found += below
        if below and not child.continue_:
            break
    return found or [route]


@given(ROUTES, st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")))
def test_any_tree_gives_what_the_book_says(route: Route, labels: dict[str, str]) -> None:
    """And never nobody, where the root fits everything."""
    root = route._replace(matchers=())
    ways = Tree(root, compile_pattern).ways(labels)
    assert [id(way.route) for way in ways] == [id(each) for each in by_the_book(root, labels)]
    assert ways
