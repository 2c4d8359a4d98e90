"""How people are told, as the settings say it: what the telling works by between two reloads."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_TEXTS, Receiver, Storm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.core.telling.calendar import Calendar
    from alerting.core.telling.inhibition import Inhibitor
    from alerting.core.telling.tree import Tree
    from alerting.model import Flapping, Millis

NO_RECEIVERS: Mapping[str, Receiver] = MappingProxyType({})


class Plan(NamedTuple):
    """See the module's text."""

    receivers: Mapping[str, Receiver] = NO_RECEIVERS
    tree: Tree | None = None
    fallback: tuple[str, ...] = ()  # who is told of what nobody names and no route fits
    inhibitor: Inhibitor | None = None
    calendar: Calendar | None = None
    flapping: Flapping | None = None
    storm: Storm = Storm()
    silence_warning: Millis = 900_000  # so long before its end, a silence that hides something is spoken of
    external_labels: Mapping[str, str] = NO_TEXTS
    patient: bool = True  # False: nobody comes back soon (`check`), so nothing waits for `group_wait`

    def stands_for_group(self, receiver: str) -> bool:
        """Tell whether one message of a receiver stands for a group."""
        known = self.receivers.get(receiver)
        return known is not None and known.stands_for == "group"
