"""The route tree: from an alert's labels to who is told, and in what groups.

Alertmanager's rule: the walk goes down as deep as it can. A node whose children fit is not itself used; the first
child that fits ends the search among its siblings, unless it says `continue`. A node that fits, and none of whose
children does, is a way for each of its receivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.matchers import Matchers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.model import Patterns, Route


class Way(NamedTuple):
    """One receiver that is told, and the node of the tree that says so: it holds the groups and their times."""

    receiver: str
    route: Route


class _Node(NamedTuple):
    matchers: Matchers
    ways: tuple[Way, ...]
    children: tuple[_Node, ...]
    continue_: bool


class Tree:
    """A route with all below it, compiled."""

    __slots__ = ("_root",)

    def __init__(self, route: Route, patterns: Patterns) -> None:
        """Compile. Raises ValueError for a pattern that is not valid."""
        self._root = _compiled(route, patterns)

    def ways(self, labels: Mapping[str, str]) -> Sequence[Way]:
        """Give the ways of an alert with these labels: at least one, unless the root itself does not fit."""
        if not self._root.matchers.fits(labels):
            return ()
        return tuple(_walk(self._root, labels))


def _compiled(route: Route, patterns: Patterns) -> _Node:
    return _Node(
        Matchers(route.matchers, patterns),
        tuple(Way(receiver, route) for receiver in route.receivers),
        tuple(_compiled(each, patterns) for each in route.routes),
        route.continue_,
    )


def _walk(node: _Node, labels: Mapping[str, str]) -> Iterator[Way]:
    """Give the ways below a node that fits."""
    found = False
    for child in node.children:
        if child.matchers.fits(labels):
            found = True
            yield from _walk(child, labels)
            if not child.continue_:
                break
    if not found:
        yield from node.ways
