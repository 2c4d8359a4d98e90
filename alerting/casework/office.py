"""How people are told in a test: the settings that its file names or holds, and receivers that never send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting import registry
from alerting.casework.reader import problem_in
from alerting.clock import SystemClock
from alerting.config import documents, placed, schema
from alerting.config.settings import load_settings, settings_within
from alerting.core.lang.suggest import did_you_mean
from alerting.errors import ConfigError
from alerting.model import Section
from alerting.net.http import HttpClient
from alerting.net.reach import SystemResolver
from alerting.pool import Pool
from alerting.ports import Tools
from alerting.setup import plan_of, receiver_of, setup_of

if TYPE_CHECKING:
    from alerting.casework.testfile import CaseFile
    from alerting.config.settings import Settings
    from alerting.core.telling.plan import Plan
    from alerting.model import Patterns


class Office(NamedTuple):
    """How people are told, as the settings of a test file say."""

    settings: Settings
    plan: Plan


def settings_of(file: CaseFile) -> Settings:
    """Load the settings that a test file names or holds. Raises ConfigError."""
    path = file.folder / Path(file.name).name
    if isinstance(file.settings, str):
        path = file.folder / file.settings
        if not path.is_file():
            hint = "it is named relative to the test file"
            what, width = f"there is no settings file {file.settings}", len(file.settings)
            raise ConfigError([problem_in(file.source, what, file.settings_at, hint=hint, width=width)])
        settings = load_settings(path, os.environ, Path.cwd())
        sources: Any = _has_sources(path)
    else:
        document = placed.Document(file.settings, file.settings_at)
        within = placed.File(file.name, file.source.data, (document,))
        settings = settings_within(within, path, os.environ, Path.cwd())
        sources = file.settings and "sources" in file.settings
    if not sources:  # a test need not say where series come from: one source of each kind is there
        settings = settings._replace(sources={kind: Section(kind, kind, {}) for kind in schema.kinds("sources")})
    _look_at_receivers(file, settings)
    return settings


def _has_sources(path: Path) -> bool:
    """Tell whether a settings file that loads says what is read."""
    (document,) = documents.parse(path.read_bytes(), path.name).documents
    return "sources" in document.value


def _look_at_receivers(file: CaseFile, settings: Settings) -> None:
    """Raise ConfigError where a test speaks of receivers that the settings do not have."""
    problems = []
    for case in file.cases:
        for name, origin in case.people.names if case.people is not None else ():
            if name not in settings.receivers:
                known = ", ".join(settings.receivers) or "none"
                hint = did_you_mean(name, settings.receivers) or f"the settings' receivers: {known}"
                at = placed.position(origin.line - 1, origin.column - 1)
                problems.append(problem_in(file.source, f"no receiver {name!r}", at, hint=hint, width=len(name)))
    if problems:
        raise ConfigError(problems)


def office_of(settings: Settings, patterns: Patterns) -> Office:
    """Make ready how people are told, with receivers that are built as in earnest and never send."""
    tools = Tools(SystemClock(), HttpClient("alerting test"), Pool, "", "", lambda _text: None, SystemResolver())
    receivers = {
        name: receiver_of(registry.build_notifier(section, tools), section)._replace(pictures=False)
        for name, section in settings.receivers.items()
    }
    return Office(settings, plan_of(setup_of(settings, (), receivers), patterns))
