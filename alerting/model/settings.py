"""Entries of the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model.rules import NOWHERE, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping


class Section(NamedTuple):
    """One entry under `sources:` or `receivers:`: its kind, and its keys with defaults, durations in ms."""

    name: str
    kind: str
    values: Mapping[str, Any]  # texts that hold `${…}`, and keys that the schema calls secret, are Secret
    origin: Origin = NOWHERE
