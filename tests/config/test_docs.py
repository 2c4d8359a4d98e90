"""The documentation of keys is made from the schemas, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerting.config import schema as schemas
from alerting.config.complaints import complaints
from alerting.config.documents import parse
from alerting.config.reference import filled

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["rules.md", "settings.md"])
def test_the_tables_are_those_of_the_schemas(name: str) -> None:
    """Else: python -m alerting.config.reference docs/rules.md docs/settings.md."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert filled(page) == page


def test_every_key_is_documented() -> None:
    """Keys of rules, groups, settings, and of every kind of source and receiver."""
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("rules.md", "settings.md"))
    parts = [schemas.load("rules")["$defs"][each] for each in ("rule", "group", "groupRule")]
    parts += [schemas.load("settings")]
    parts += [schemas.load(home)["$defs"][kind] for home in ("sources", "notifiers") for kind in schemas.kinds(home)]
    missing = [key for part in parts for key in part["properties"] if f"| `{key}` |" not in text]
    assert missing == []


def test_the_examples_in_the_text_fit_the_schemas() -> None:
    """Those of rules and those of settings."""
    for name in ("rules", "settings"):
        examples = re.findall(r"```yaml\n(.*?)```", (DOCS / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
        assert examples
        for example in examples:
            file = parse(example.encode(), "x.yaml")
            assert file.problems == ()
            assert [complaints(document.value, name) for document in file.documents] == [[]]


def test_a_mark_that_is_not_closed_is_an_error() -> None:
    """It would swallow the rest of the page."""
    with pytest.raises(ValueError, match="end"):
        filled("<!-- keys: rules rule -->\ntext\n")
