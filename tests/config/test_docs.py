"""The documentation of keys is made from the schemas, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerting.config import schema as schemas
from alerting.config.complaints import complaints
from alerting.config.documents import parse
from alerting.config.reference import filled
from alerting.config.validate import validate
from alerting.patterns import compile_pattern

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["routing.md", "rules.md", "settings.md", "testing.md"])
def test_the_tables_are_those_of_the_schemas(name: str) -> None:
    """Else: python -m alerting.config.reference docs/routing.md docs/rules.md docs/settings.md docs/testing.md."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert filled(page) == page


def test_every_key_is_documented() -> None:
    """Keys of rules, groups, tests, settings, and of every kind of source and receiver."""
    pages = ("rules.md", "settings.md", "testing.md")
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in pages)
    parts = [schemas.load("rules")["$defs"][each] for each in ("rule", "group", "groupRule")]
    parts += [schemas.load("settings"), schemas.load("tests")]
    parts += [schemas.load("tests")["$defs"][each] for each in ("test", "hearing", "message", "toldAlert", "fault")]
    parts += [schemas.load(home)["$defs"][kind] for home in ("sources", "notifiers") for kind in schemas.kinds(home)]
    missing = [key for part in parts for key in part["properties"] if f"| `{key}` |" not in text]
    assert missing == []


def test_the_examples_in_the_text_fit_the_schemas() -> None:
    """Those of rules and those of settings."""
    for page, name in (("rules", "rules"), ("settings", "settings"), ("routing", "settings")):
        examples = re.findall(r"```yaml\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
        assert examples
        for example in examples:
            file = parse(example.encode(), "x.yaml")
            assert file.problems == ()
            assert [complaints(document.value, name) for document in file.documents] == [[]]


def test_a_mark_that_is_not_closed_is_an_error() -> None:
    """It would swallow the rest of the page."""
    with pytest.raises(ValueError, match="end"):
        filled("<!-- keys: rules rule -->\ntext\n")


README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))} | {"README.md": README}
SETTINGS = next(
    each for each in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if each.startswith("# alerting.yaml")
)


def rules_shown(page: str) -> list[str]:
    """Give the rules of a page; a condition that stands alone is put into one."""
    blocks = re.findall(r"```(yaml|promql)\n(.*?)```", PAGES[page], re.DOTALL)
    alone = [line for language, each in blocks if language == "promql" for line in each.splitlines()]
    alone += [each.partition(": ")[2] for _, each in blocks if each.startswith("condition: ")]
    whole = [each for _, each in blocks if each.startswith("alert: ")]
    return [*whole, *(f"alert: A\nnotify: slack\ncondition: |\n  {each}\n" for each in alone)]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_rule_and_condition_in_the_docs_loads(tmp_path: Path, page: str) -> None:
    """Under the README's settings; on pages that bring sources of their own, as files checked by themselves."""
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    (tmp_path / "rules").mkdir()
    rules = rules_shown(page)
    assert rules or page not in ("README.md", "rules.md", "conditions.md")
    for rule in rules:
        (tmp_path / "rules" / "a.yaml").write_text(rule)
        files = () if page in ("README.md", "rules.md", "conditions.md") else ("rules/a.yaml",)
        found = validate(None, files, {}, tmp_path, compile_pattern)
        assert (rule, [str(each) for each in found if not each.warning]) == (rule, [])


def test_every_link_and_path_in_the_docs_leads_somewhere() -> None:
    """Prose that no test checks drifts."""
    root = DOCS.parent
    pages = {**{f"docs/{name}": text for name, text in PAGES.items() if name != "README.md"}, "README.md": README}
    pages["CONTRIBUTING.md"] = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lost = [
        (page, target)
        for page, text in pages.items()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
        if not ((root / page).parent / target).exists()
    ]
    lost += [
        (page, path)
        for page, text in pages.items()
        for path in re.findall(r"`((?:alerting|tests|schemas|docs)/[\w./-]+)`", text)
        if not (root / path).exists() and "KIND" not in path
    ]
    assert lost == []
