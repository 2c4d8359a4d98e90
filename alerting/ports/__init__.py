"""The seams: what the engine and the outbox need from the world, as protocols.

Whoever implements one lives in sources/, notifiers/, store/, secrets/ or tests/; only wiring knows which.
"""

from alerting.ports.receivers import THEN, Follows, Listens, Notifier, Press, TakesChanges
from alerting.ports.secrets import SECRETS, SecretResolver, SecretStore
from alerting.ports.sources import Inbox, Source
from alerting.ports.state import (
    BEGINNING,
    Account,
    Change,
    Fold,
    History,
    Marks,
    Overview,
    SampleStore,
    Snapshot,
    Store,
)
from alerting.ports.world import Blocking, Clock, Http, HttpAnswer, Resolve, Tools

__all__ = [
    "BEGINNING",
    "SECRETS",
    "THEN",
    "Account",
    "Blocking",
    "Change",
    "Clock",
    "Fold",
    "Follows",
    "History",
    "Http",
    "HttpAnswer",
    "Inbox",
    "Listens",
    "Marks",
    "Notifier",
    "Overview",
    "Press",
    "Resolve",
    "SampleStore",
    "SecretResolver",
    "SecretStore",
    "Snapshot",
    "Source",
    "Store",
    "TakesChanges",
    "Tools",
]
