"""Every problem in rules and settings, as `alerting validate` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.config.cache import NOTHING, Cache
from alerting.config.files import TEST_SUFFIXES, shown
from alerting.config.rules import check_rules
from alerting.config.settings import DEFAULT_RULES, FILE_NAME, Settings, find_settings, load_settings
from alerting.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from alerting.model import Patterns


def validate(
    explicit: str | None,
    files: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    patterns: Patterns,
    *,
    cache: Cache = NOTHING,
) -> list[Problem]:
    """Give all problems and warnings, of the settings first. None that is no warning: all is well.

    With `files` only those are checked, by themselves: names are open and receivers are not looked up. A settings
    file among them is checked as what it is. Without `files` the settings and all rules that they name are checked;
    where the settings cannot be used, the rules are still checked by themselves.
    """
    problems: list[Problem] = []
    try:
        settings = load_settings(find_settings(explicit, env, cwd), env, cwd, cache)
    except ConfigError as error:
        settings = Settings(path=None, root=cwd)
        if not files:
            problems += error.problems
            files = sorted(shown(path, cwd) for pattern in DEFAULT_RULES for path in cwd.glob(pattern))
            files = [name for name in files if not name.endswith(TEST_SUFFIXES)]
            return problems + (
                check_rules(settings, patterns, files=[cwd / name for name in files], cache=cache) if files else []
            )
    if not files:
        return [*settings.warnings, *check_rules(settings, patterns, cache=cache)]
    rules: list[Path] = []
    for name in files:
        path = cwd / name
        if path == settings.path or (path.name == FILE_NAME and not _holds_rules(path)):
            problems += _settings(path, env, cwd, cache)
        elif path.name.endswith(TEST_SUFFIXES):
            problems.append(Problem("holds tests, not rules", name, hint=f"run them: alerting test {name}"))
        else:
            rules.append(path)
    return problems + (check_rules(settings, patterns, files=rules, cache=cache) if rules else [])


def _holds_rules(path: Path) -> bool:
    """Tell whether a file begins as only a file of rules does, whatever it is called."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.startswith((b"groups:", b"alert:", b"record:", b"- alert:", b"- record:")) for line in lines)


def _settings(path: Path, env: Mapping[str, str], cwd: Path, cache: Cache) -> Sequence[Problem]:
    try:
        return load_settings(path, env, cwd, cache).warnings
    except ConfigError as error:
        return error.problems
