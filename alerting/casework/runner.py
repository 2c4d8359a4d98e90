"""`alerting test`: test files read, their settings and rules loaded once each, every test played, a Report made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alerting.casework.play import Plan, play
from alerting.casework.reader import problem_in
from alerting.casework.report import FileOutcome, Report
from alerting.casework.testfile import read_cases
from alerting.config import placed
from alerting.config.files import TEST_SUFFIXES
from alerting.config.rules import RuleSet, compiled, load_rules
from alerting.config.settings import Settings
from alerting.config.vocabulary import open_names
from alerting.errors import ConfigError, Problem
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from alerting.casework.testfile import CaseFile
    from alerting.core.lang.names import Names
    from alerting.model import Origin, Patterns, Rule


def run(
    paths: Sequence[Path | str],
    pattern: str | None = None,
    *,
    settings: Settings | None = None,
    patterns: Patterns = compile_pattern,
) -> Report:
    """Run test files, or of them the tests whose names hold what `pattern` (a regular expression) fits.

    `settings` give names their sources and units; without them one source of each kind is taken to be there.
    Raises ConfigError where the pattern is not valid; all else that is wrong stands in the report.
    """
    try:
        selects = patterns(pattern).search if pattern is not None else None
    except ValueError as error:
        raise ConfigError([Problem(f"{pattern!r} is no regular expression for names of tests: {error}")]) from None
    known = settings or Settings(path=None, root=Path.cwd())
    files = []
    for path in paths:
        try:
            files.append(_run_file(read_cases(Path(path), str(path)), known, patterns, selects))
        except ConfigError as error:
            files.append(FileOutcome(str(path), problems=error.problems))
    return Report(tuple(files), selected=pattern is not None)


def _run_file(
    file: CaseFile, settings: Settings, patterns: Patterns, selects: Callable[[str], bool] | None
) -> FileOutcome:
    paths = _rule_files(file)
    told, office = file.settings is not None, None
    if told:
        from alerting.casework.office import office_of, settings_of  # noqa: PLC0415  it knows how receivers are built

        settings = settings_of(file)
        office = office_of(settings, patterns)
    rules = load_rules(settings, None, patterns, files=paths, told=told) if paths else RuleSet()
    if not rules.good:
        raise ConfigError([each for each in rules.problems if not each.warning])
    names = open_names(settings, rules.recorded)
    ordered = [_stepped(rule, file, names, patterns) for rule in _ordered(rules.rules, file)]
    plan = Plan(ordered, names, _dialect(rules.rules, file), file.interval, patterns, office)
    outcomes = tuple(play(case, plan) for case in file.cases if selects is None or selects(case.name))
    return FileOutcome(file.name, outcomes)


def _rule_files(file: CaseFile) -> list[Path]:
    """Find the rule files, relative to the test file. Raises ConfigError for a name that fits no file."""
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for name, origin in file.rule_files:
        matched = sorted(file.folder.glob(name)) if _is_pattern(name) else [file.folder / name]
        paths = [each for each in matched if not each.name.endswith(TEST_SUFFIXES)]
        if not paths or not all(path.is_file() for path in paths):
            problems.append(_missing(file, name, origin))
        found |= dict.fromkeys(paths)
    if problems:
        raise ConfigError(problems)
    return list(found)


def _is_pattern(name: str) -> bool:
    return not name.startswith("/") and any(each in name for each in "*?[")


def _missing(file: CaseFile, name: str, origin: Origin) -> Problem:
    at = placed.position(origin.line - 1, origin.column - 1)
    what = "no rule file fits" if _is_pattern(name) else "there is no rule file"
    hint = "rule files are named relative to the test file"
    return problem_in(file.source, f"{what} {name}", at, hint=hint, width=len(name))


def _ordered(rules: Sequence[Rule], file: CaseFile) -> list[Rule]:
    """Put groups into the order that the test asks for; those that it does not name follow. Disabled rules rest."""
    place = {name: index for index, name in enumerate(file.group_order)}
    enabled = [rule for rule in rules if rule.spec.enabled]
    return sorted(enabled, key=lambda rule: place.get(rule.spec.group, len(place)))


def _stepped(rule: Rule, file: CaseFile, names: Names, patterns: Patterns) -> Rule:
    """Have subqueries without a step take the test's interval of evaluation, as promtool does."""
    if not any(":]" in text.replace(" ", "") for text in rule.spec.conditions):
        return rule
    again, _ = compiled(rule.spec._replace(interval=file.interval), names, patterns)
    return again


def _dialect(rules: Sequence[Rule], file: CaseFile) -> Literal["native", "prometheus"]:
    """Read expressions in our own form where the file tests rules or series of that form."""
    native = any(rule.spec.dialect == "native" for rule in rules) or any(
        len(series.path) > 1 or any(isinstance(value, str) for _, value in series.steps)
        for case in file.cases
        for series in case.series
    )
    return "native" if native else "prometheus"
