"""Expressions of Prometheus' own suite and of public rule collections: all of them parse, print and settle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from alerting.core.lang.checking.check import settle
from alerting.core.lang.names import Names
from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.syntax.printer import show
from tests.core.lang.front.conditions import without_places
from tests.core.lang.front.sources import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).parents[5] / "shared"


def expressions() -> Iterator[str]:
    """Give every expression of the collections."""
    for path in sorted([*SHARED.glob("promql/*.yaml"), *SHARED.glob("corpus/rules/*.yaml")]):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for test in document.get("tests", []):
            yield from (case["expr"] for case in test.get("promql_expr_test", []))
        for group in document.get("groups", []):
            yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collections of expressions are not part of the project")
def test_every_expression_of_the_collections_is_promql() -> None:
    """In Prometheus' form against pages alone, and in ours where every name is open; printing keeps the tree."""
    texts = list(expressions())
    assert len(texts) > 600
    pages = Names([PAGE])
    for text in texts:
        node = parse(text, dialect="prometheus")
        settle(node, pages, dialect="prometheus", text=text, purpose="record")
        settle(parse(text), Names.anything(), text=text, purpose="record")
        assert without_places(parse(show(node), dialect="prometheus")) == without_places(node)
