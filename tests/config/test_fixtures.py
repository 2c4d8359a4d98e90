"""Files with one defect each, and what is said of it: file, line, column, what is wrong, what was probably meant."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from alerting.config.files import TEST_SUFFIXES
from tests.config.reading import FIXTURES, expected, rule_problems, settings_problems

if TYPE_CHECKING:
    from pathlib import Path

RULES = [path for path in sorted(FIXTURES.glob("*.yaml")) if not path.name.endswith(TEST_SUFFIXES)]
SETTINGS = sorted((FIXTURES / "settings").glob("*.yaml"))


def by_name(path: Path) -> str:
    """Name a case by its file."""
    return path.name


@pytest.mark.parametrize("path", RULES, ids=by_name)
def test_each_rule_file_has_the_problems_that_its_first_comments_say(path: Path) -> None:
    """A `.bad.yaml` has exactly these problems, a `.good.yaml` none; each takes less than a second."""
    began = perf_counter()
    found = rule_problems(path)
    assert perf_counter() - began < 1
    assert_said(found, [] if path.name.endswith(".good.yaml") else expected(path))


@pytest.mark.parametrize("path", SETTINGS, ids=by_name)
def test_each_settings_file_has_the_problems_that_its_first_comments_say(path: Path) -> None:
    """The same for settings; a `.warn.yaml` can be used, and its problems are warnings."""
    found = settings_problems(path)
    said = [each for each in expected(path) if each[0].isdigit()]
    if path.name.endswith(".warn.yaml"):
        assert all("warning: " in each for each in said)
    if path.name == "as-printed.good.yaml":
        said = [each for each in found if "is not set" in each]  # its four variables; nothing else
        assert len(said) == 4
    assert_said(found, said)


def assert_said(found: list[str], said: list[str]) -> None:
    """Each problem begins as its comment says (those of conditions are given in part), and there are no others."""
    assert len(found) == len(said), found
    assert [each[: len(begin)] for each, begin in zip(found, said, strict=True)] == said


def test_every_bad_fixture_expects_something() -> None:
    """A fixture without an expectation would prove nothing."""
    bad = [path for path in [*RULES, *SETTINGS] if path.name.endswith((".bad.yaml", ".warn.yaml"))]
    assert len(bad) > 100
    assert [path.name for path in bad if not expected(path)] == []


def test_no_message_about_settings_repeats_a_text_that_may_be_a_secret() -> None:
    """Passwords and tokens in the fixtures stand in no problem, whatever is wrong around them."""
    secrets = ("hunter2", "R015FOOBAR7QUUX0123456789ABCDEF", "sntrys_abcdefgh12345678", "MARKED0SECRET")
    texts = "".join(path.read_text(encoding="utf-8") for path in SETTINGS)
    assert all(secret in texts for secret in secrets)
    told = "\n".join("\n".join(settings_problems(path)) for path in SETTINGS)
    assert not any(secret in told for secret in secrets)
