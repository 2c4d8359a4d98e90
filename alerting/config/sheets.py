"""The bytes of the rule files, as they stood at one moment.

Somebody may write them while they are read: an editor, a deployment that replaces the folder. So it is looked
afterwards whether each is still what was read and whether the patterns lead to the same ones; if not, all are read
again. A file that is half written and at rest cannot be told from one that is meant so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from alerting.config.cache import digest, place, program
from alerting.config.files import Mark, expand, mark_of, read_marked, shown
from alerting.config.noted import origin_of
from alerting.config.settings import DEFAULT_RULES, Settings
from alerting.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alerting.model import Origin

_WAITS = (0.05, 0.1, 0.2, 0.4)  # s before files that changed meanwhile are read again


class Sheet(NamedTuple):
    """A rule file's bytes, and its names."""

    data: bytes
    name: str  # as problems show it
    path: str  # relative to the settings: what identities hang on


class Sheets(NamedTuple):
    """The rule files of one loading, and where the cache keeps what it knows of them."""

    sheets: tuple[Sheet, ...]
    problems: tuple[Problem, ...]
    place: str
    key: str


def read_sheets(settings: Settings, files: Sequence[Path] | None) -> Sheets:
    """Read the bytes of all rule files, as they stood at one moment; those that cannot be read are problems."""
    sheets, problems, changed = _read(settings, files)
    for wait in _WAITS:
        if changed is None:
            break
        time.sleep(wait)
        sheets, problems, changed = _read(settings, files)
    if changed is not None:
        name = shown(changed, settings.cwd or settings.root)
        problems = [Problem("changed while the rules were read", name, 1, hint="load them when nobody writes them")]
    where = place("rules", str(settings.path or settings.root), *map(str, files or ()))
    parts = [program(), settings.digest.encode(), b"open" if files is not None else b""]
    for sheet in sheets:
        parts += (
            sheet.name.encode("utf-8", "surrogateescape"),
            sheet.path.encode("utf-8", "surrogateescape"),
            sheet.data,
        )
    return Sheets(tuple(sheets), tuple(problems), where, digest(parts))


def _read(settings: Settings, files: Sequence[Path] | None) -> tuple[Sequence[Sheet], Sequence[Problem], Path | None]:
    """Read them once; give what was read, what is wrong, and a file that is another by now, if one is."""
    try:
        paths = _paths(settings) if files is None else files
    except ConfigError as error:
        return (), error.problems, None
    problems: list[Problem] = []
    sheets: list[Sheet] = []
    marks: list[Mark | None] = []
    for path in paths:
        name = shown(path, settings.cwd or settings.root)
        try:
            data, mark = read_marked(path, name)
        except ConfigError as error:
            problems += error.problems
            marks.append(mark_of(path))
        else:
            sheets.append(Sheet(data, name, shown(path, settings.root)))
            marks.append(mark)
    changed = next((path for path, mark in zip(paths, marks, strict=True) if mark_of(path) != mark), None)
    if changed is None and files is None and len(paths) > 1:  # one file is one state of it, however often it changes
        changed = _changed_list(settings, paths)
    return sheets, problems, changed


def _changed_list(settings: Settings, paths: Sequence[Path]) -> Path | None:
    """Give a file that came or went since the patterns gave `paths`."""
    try:
        now = _paths(settings)
    except ConfigError:
        return paths[0]
    return next(iter({*now} ^ {*paths}), None)


def _paths(settings: Settings) -> Sequence[Path]:
    if settings.configured:
        try:
            return expand(settings.root, settings.rules, but=settings.path)
        except ConfigError as error:
            said = origin_of(settings.path, settings.cwd or settings.root, "rules")
            raise ConfigError([each if each.file else _of(each, said) for each in error.problems]) from None
    for patterns in (DEFAULT_RULES, ("*.yaml",)):
        if any(True for pattern in patterns for _ in settings.root.glob(pattern)):
            return expand(settings.root, patterns)
    hint = "write one into rules/ (`alerting init` does), or go to the folder of your settings file"
    raise ConfigError([Problem(f"no rule file: looked for rules/*.yaml and *.yaml in {settings.root}", hint=hint)])


def _of(problem: Problem, origin: Origin) -> Problem:
    return problem._replace(file=origin.file, line=origin.line, column=origin.column)
