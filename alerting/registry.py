"""From the kind in the settings to the module that builds it: the file's name is the kind.

There is no table to forget. The module is imported when a setting asks for it and not before, so that a
process loads no SDK that nobody configured. Kinds are checked against the schemas before anything comes here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

import alerting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Section
    from alerting.ports import Notifier, SecretResolver, SecretStore, Source, Tools


def build_source(section: Section, tools: Tools) -> Sequence[Source]:
    """Build what a `sources:` entry describes, one Source per target."""
    module = import_module(f"alerting.sources.{section.kind}")
    return cast("Sequence[Source]", module.build(section, tools))


def build_notifier(section: Section, tools: Tools) -> Notifier:
    """Build what a `receivers:` entry describes."""
    module = import_module(f"alerting.notifiers.{section.kind}")
    return cast("Notifier", module.build(section, tools))


def notifier_problems(section: Section) -> Sequence[tuple[tuple[str, ...], str]]:
    """Say what is wrong with a `receivers:` entry that its schema cannot tell: where in it, and in words."""
    module = import_module(f"alerting.notifiers.{section.kind}")
    found = module.problems(section) if hasattr(module, "problems") else ()
    return cast("Sequence[tuple[tuple[str, ...], str]]", found)


def secret_resolver(kind: str) -> SecretResolver:
    """Give the resolver of `${kind:reference}` (`${NAME}` is kind `env`)."""
    module = import_module(f"alerting.secrets.{kind}")
    return cast("SecretResolver", module.resolve)


def secret_store(kind: str) -> SecretStore | None:
    """Give the store behind a kind of secret that comes over a network; None: it is read at each use."""
    module = import_module(f"alerting.secrets.{kind}")
    return cast("SecretStore", module) if hasattr(module, "refresh") else None


def kinds(package: str) -> tuple[str, ...]:
    """Give the kinds that a package (`sources`, `notifiers`, `secrets`) holds, sorted."""
    from pkgutil import iter_modules  # noqa: PLC0415  4 ms: only where a kind is looked for

    paths = [f"{root}/{package}" for root in alerting.__path__]
    return tuple(sorted(m.name for m in iter_modules(paths) if not m.name.startswith("_")))
