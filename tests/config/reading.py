"""Reads the fixtures: files named by their verdict, whose first comments are the problems that must be found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.errors import ConfigError
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.errors import Problem
    from alerting.model import TimeSpan

FIXTURES = Path(__file__).parent / "fixtures"
SETTINGS = FIXTURES / "settings" / "as-printed.good.yaml"


def expected(path: Path) -> list[str]:
    """Give what the file's first comments say."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        found.append(line.removeprefix("# "))
    return found


def rule_problems(path: Path) -> list[str]:
    """Give the problems of one rule file under the settings as they are printed."""
    windows: dict[str, tuple[TimeSpan, ...]] = dict.fromkeys(("nights", "weekends", "office-hours"), ())
    settings = load_settings(SETTINGS, {}, FIXTURES)
    settings = settings._replace(root=path.parent, rules=(path.name,), intervals=windows)
    return told(load_rules(settings, None, compile_pattern).problems)


def settings_problems(path: Path) -> list[str]:
    """Give the problems of one settings file; no variable is set."""
    try:
        return told(load_settings(path, {}, path.parent).warnings)
    except ConfigError as error:
        return told(error.problems)


def told(problems: Sequence[Problem]) -> list[str]:
    """Write each as `line:column: message, hint`, without the file's name."""
    return [str(each).splitlines()[0].partition(".yaml")[2].removeprefix(":").strip() for each in problems]
