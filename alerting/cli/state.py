"""The state as the commands of people see it, beside a daemon or without one, and how they write into it."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from alerting import control
from alerting.config.snapshot import specs_in
from alerting.core.telling.keeping import ACK, SILENCE, read_ack, read_silence
from alerting.core.telling.render import Context, notice
from alerting.core.telling.routing import matched
from alerting.errors import AlertingError, LockHeld
from alerting.pool import Pool
from alerting.store.sqlite import build, file_of
from alerting.wiring import external_labels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from alerting.config.settings import Settings
    from alerting.model import Ack, Alert, AlertKey, Millis, Notice, RuleSpec, Silence
    from alerting.ports import Snapshot
    from alerting.store.sqlite import SqliteStore

_PATIENCE = 5.0  # s that a command waits for whoever holds the state
_PAUSE = 0.05
_ANSWER: Millis = 10_000  # that a command waits for the disk


class Seen(NamedTuple):
    """What the state holds, as far as people ask for it."""

    now: Millis
    snapshot: Snapshot
    specs: Mapping[str, RuleSpec]  # rules in force, by id; built-in ones have none
    notices: Mapping[AlertKey, Notice]  # what was announced
    silences: tuple[Silence, ...] = ()  # oldest first, those that are over included
    acks: Mapping[AlertKey, Ack] = {}
    external: Mapping[str, str] = {}
    odd: tuple[str, ...] = ()  # names of kept texts that cannot be read

    def name(self, key: AlertKey) -> str:
        """Give the name of an alert's rule; of one that is gone, as it was announced or kept."""
        spec, told = self.specs.get(key.rule_id), self.notices.get(key)
        if spec is not None or told is not None:
            return spec.name if spec is not None else told.name if told is not None else ""
        parts = key.rule_id.split("/")
        if parts[0] == "alerting" and len(parts) > 1:
            return parts[1]
        return key.rule_id.partition("{")[0].rpartition(":")[2].partition("#")[0]  # what its id says

    def labels(self, alert: Alert) -> dict[str, str]:
        """Give the labels that silences and routes match."""
        said = self.notices.get(alert.key)
        if said is None:
            spec = self.specs.get(alert.key.rule_id)
            if spec is None:
                return {**self.external, **alert.labels.as_dict(), "alertname": self.name(alert.key)}
            said = notice(alert, spec, "", Context(self.external))
        return matched(said, alert.level or said.severity, self.external)

    def ack(self, alert: Alert) -> Ack | None:
        """Give the acknowledgement that is in force for an alert, as far as time and episode tell."""
        found = self.acks.get(alert.key)
        return found if found is not None and found.until > self.now and found.episode == alert.episode else None


def exists(settings: Settings) -> bool:
    """Tell whether anything was evaluated here yet."""
    return os.path.exists(file_of(settings.store, settings.root))  # noqa: PTH110  a path as text


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[SqliteStore]:
    """Give the state to be read, beside whoever writes it; `look` opens it."""
    store = build(settings.store, settings.root, blocking=Pool(1), read_only=True, deadline=_ANSWER)
    try:
        yield store
    finally:
        await store.close()


async def look(settings: Settings, store: SqliteStore) -> Seen:
    """Open the state, or look again. Raises StateRefused, StoreError."""
    snapshot = await store.open()
    silences, acks, odd = [], {}, []
    for name, text in {**await store.kept(SILENCE), **await store.kept(ACK)}.items():
        try:
            if name.startswith(SILENCE):
                silences.append(read_silence(text))
            else:
                ack = read_ack(text)
                acks[ack.key] = ack
        except (ValueError, TypeError, KeyError):
            odd.append(name)
    try:
        specs: Sequence[RuleSpec] = specs_in(snapshot.good_config) if snapshot.good_config else ()
    except ValueError:
        specs = ()  # another release's
    return Seen(
        now_ms(),
        snapshot,
        {spec.id: spec for spec in specs},
        {each.key: each for each in snapshot.notices},
        tuple(sorted(silences, key=lambda each: (each.created, each.id))),
        acks,
        external_labels(settings),
        tuple(odd),
    )


async def seen(settings: Settings) -> Seen | None:
    """Read what the state holds; None where nothing was evaluated yet."""
    if not exists(settings):
        return None
    async with reading(settings) as store:
        return await look(settings, store)


async def keep(settings: Settings, texts: Mapping[str, str | None]) -> None:
    """Put texts into the state: through the daemon that holds it, else under the lock.

    Raises LockHeld where whoever holds it neither takes them nor ends soon.
    """
    if not (exists(settings) or settings.configured):
        raise AlertingError("there are neither settings nor a state here; run this where `alerting check` runs")
    state, ends = file_of(settings.store, settings.root), time.monotonic() + _PATIENCE
    while True:
        store = build(settings.store, settings.root)
        try:
            await store.open()
        except LockHeld as error:
            if control.hand_over(state, texts):
                return
            if time.monotonic() > ends:
                told = f"nothing was changed, as it takes no requests at {control.path_of(state)}"
                raise LockHeld(f"{error}; {told}") from None
            await asyncio.sleep(_PAUSE)
            continue
        try:
            await store.keep(texts)
        finally:
            await store.close()
        return


def author(given: str | None) -> str:
    """Say who it is: as given, or the user's name."""
    if given:
        return given
    if name := os.environ.get("SUDO_USER") or os.environ.get("USER") or os.environ.get("LOGNAME"):
        return name
    import pwd  # noqa: PLC0415  only where the environment does not say

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def now_ms() -> Millis:
    """Give the wall time."""
    return time.time_ns() // 1_000_000
