"""Puts the program together: settings and rules in, live objects out. The only file that knows concrete classes."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import alerting
from alerting import registry
from alerting.clock import SystemClock
from alerting.core.builtin import CANARY
from alerting.core.pace import OFF, pace_of
from alerting.core.telling.keeping import PREFIXES
from alerting.engine import Engine, Limits, Target
from alerting.errors import ReportRefused, StoreError
from alerting.lane import Terms
from alerting.model import Secret, Section
from alerting.net.http import HttpClient
from alerting.net.reach import SystemResolver
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.pool import Pool
from alerting.ports import SECRETS, Inbox, Tools
from alerting.redact import Redactor
from alerting.rotation import Rotation
from alerting.selfwatch.canary import NAME as NEST
from alerting.selfwatch.canary import Canary, Nest
from alerting.setup import receiver_of, setup_of
from alerting.store.samples import GATHER
from alerting.store.samples import build as sample_store
from alerting.store.sqlite import build as sqlite_store
from alerting.store.sqlite import file_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from alerting.config.rules import RuleSet
    from alerting.config.settings import Settings
    from alerting.model import Delivery, Millis
    from alerting.ports import Clock, Notifier, SampleStore, Snapshot, Source, Store
    from alerting.selfwatch.heartbeat import Heartbeat

CONSOLE = "console"
_REPORTS = "push/"  # what the names of kept reports begin with: push/SOURCE/JOB
_FETCHES = 64  # documents of secrets that are fetched at once


def nothing(_: object) -> None:
    """Take note of nothing."""


class Program:
    """One engine and one outbox over one store, and what they were last given to work with."""

    def __init__(
        self,
        settings: Settings,
        *,
        say: Callable[[str], None],
        daemon: bool = False,
        dry: Store | None = None,
        on_settled: Callable[[Delivery], None] = nothing,
        on_trouble: Callable[[str], None] = nothing,
        on_secrets: Callable[[str, str], None] = lambda _document, _why: None,
        on_fault: Callable[[str, BaseException], None] = lambda _part, _error: None,
    ) -> None:
        """Build it around the store that `settings` name; nothing is opened yet. Raises StateRefused.

        `daemon` moves the state's work into threads of its own; `dry` is a copy of the state to work on instead.
        """
        self.clock: Clock = SystemClock()
        self.redact = Redactor()
        self.canary: Canary | None = None  # the one that is sent again and again, where the settings want it
        self._daemon = daemon
        self._say = say
        self._resolve = SystemResolver()
        self._http = HttpClient(f"alerting/{alerting.__version__}", self._resolve)
        self._on_secrets = on_secrets
        self.rotation = Rotation(self.clock, Pool(_FETCHES), self._note_secrets)
        self.notifiers: Mapping[str, Notifier] = {}
        self._sources: Sequence[Source] = ()
        self._retired: list[Source] = []
        url, root = settings.store, settings.root
        self.state = file_of(url, root)  # the path of its file
        self._samples: SampleStore | None = None
        if dry is None and daemon:
            self._samples = sample_store(url, root, blocking=Pool(1), gather=GATHER)
        elif dry is None:
            self._samples = sample_store(url, root)
        self.store = dry or (
            sqlite_store(url, root, blocking=Pool(1), lasting=True, patience=settings.store_patience)
            if daemon
            else sqlite_store(url, root)
        )
        self.engine = Engine(
            self.store,
            self.clock,
            compile_pattern,
            sample_store=self._samples,
            redact=self.redact,
            on_commit=self._wake,
            on_fault=on_fault,
            limits=Limits(lookback=settings.lookback),
        )
        self.outbox = Outbox(
            self.store,
            {},
            self.clock,
            _random,
            redact=self.redact,
            amends=self.engine.amendments,
            on_settled=on_settled,
            on_trouble=on_trouble,
            on_fault=on_fault,
        )

    async def open(self) -> Snapshot:
        """Take the state. Raises LockHeld, StateRefused, StoreError."""
        return await self.engine.open()

    async def adopt(
        self, settings: Settings, rules: RuleSet, *, max_gap: Millis | None = None, good: str | None = None
    ) -> None:
        """Work by these settings and rules from now on. What is in flight ends with what it began with."""
        await self.fetch_secrets(settings)
        await self._forget_secrets()
        notifiers, sources = self._notifiers(settings, rules), self._built_sources(settings)
        self.canary = canary = self._canary(settings)
        hearer = (settings.canary or {}).get("receiver", NEST)
        singing = [] if canary is None else [canary.rule(hearer, compile_pattern)]
        if singing or await self._owes_nest():
            notifiers[NEST] = Nest()
        await self._expect([source for source, _ in sources if isinstance(source, Inbox)])
        self._retired.extend(self._sources)
        self._sources = [source for source, _ in sources]
        receivers = {name: receiver_of(each, settings.receivers.get(name)) for name, each in notifiers.items()}
        self.engine.adopt(
            setup_of(settings, (*rules.rules, *singing), receivers)._replace(
                targets=[
                    *(Target(source, unknown_after) for source, unknown_after in sources),
                    *([] if canary is None else [Target(canary)]),
                ],
                fallback=() if settings.configured else (CONSOLE,),
                external_labels=external_labels(settings),
                max_gap=max_gap or settings.max_gap,
                good_config=good,
                patient=self._daemon,
            )
        )
        terms = {name: terms_of(each, settings.receivers.get(name)) for name, each in notifiers.items()}
        self.notifiers = notifiers
        await self.outbox.adopt(notifiers, terms)

    def _canary(self, settings: Settings) -> Canary | None:
        """Give the canary that the settings want of a daemon: the one that there is, unless its pace has changed."""
        if settings.canary is None or not self._daemon:
            return None
        every = settings.canary["every"]
        if self.canary is not None and self.canary.every == every:
            return self.canary
        return Canary(self.clock, every, self.engine.alerts)

    async def _owes_nest(self) -> bool:
        """Tell whether an earlier canary left an alert, or a message to the receiver that only takes note."""
        left = any(each.key.rule_id == CANARY for each in self.engine.alerts())
        return left or NEST in await self.store.owing()

    async def fetch_secrets(self, settings: Settings) -> None:
        """Ask the secret stores for what the settings refer to, and keep that fresh from now on."""
        sections = (*settings.sources.values(), *settings.receivers.values())
        places = [*(section.values for section in sections), settings.web, settings.heartbeat]
        references = [each for secret in secrets_of(places) for each in secret.references]
        await self.rotation.adopt(references, settings.secrets_refresh)

    async def _note_secrets(self, document: str, why: str) -> None:
        """Say, and keep for `status`, that a document is old or fresh again."""
        self._on_secrets(document, why)
        stale = self.rotation.stale.get(document)
        with suppress(StoreError):
            await self.store.keep({SECRETS + document: f"{stale.since} {why}" if stale is not None else None})

    async def _forget_secrets(self) -> None:
        """Take back what an earlier run noted of documents that are well now, or that nobody refers to any more."""
        noted = await self.store.kept(SECRETS)
        over = [name for name in noted if name.removeprefix(SECRETS) not in self.rotation.stale]
        if over:
            await self.store.keep(dict.fromkeys(over))

    async def retire(self) -> None:
        """Close the sources that an earlier `adopt` put aside; to be called when no tick runs."""
        retired, self._retired = self._retired, []
        for source in retired:
            await source.close()

    async def close(self) -> None:
        """Let go of everything, the state last."""
        self.rotation.close()
        await self.engine.close()
        self._retired.extend(self._sources)
        await self.retire()
        await self.outbox.close()
        await self._http.close()
        if self._samples is not None:  # before the state: whoever writes this file holds its lock
            await self._samples.close()
        await self.store.close()

    async def report(self, source: str, job: str, token: str, body: bytes, *, failed: bool) -> None:
        """Take what a job reports to a source, and keep it before it counts.

        Raises ReportRefused, SecretError, StoreError.
        """
        inbox = next((each for each in self._sources if each.name == source and isinstance(each, Inbox)), None)
        if inbox is None or not inbox.admits(token):  # which sources there are is nobody's business
            raise ReportRefused("the token is not the one of this source", admitted=False)
        if job not in inbox.jobs:
            raise ReportRefused(f"the settings name no job {job[:80]!r} in {source}: add it under `jobs`")
        try:
            text = inbox.read(body, failed=failed)
        except ValueError as error:
            raise ReportRefused(str(error)) from None
        await self.store.keep({f"{_REPORTS}{source}/{job}": text})
        inbox.take({job: text})

    async def _expect(self, inboxes: Sequence[Inbox]) -> None:
        """Give the inboxes what was kept of their jobs; forget what was kept of jobs that the settings name no more."""
        if not inboxes:
            return
        kept = await self.store.kept(_REPORTS)
        changes: dict[str, str | None] = dict.fromkeys(kept)
        for inbox in inboxes:
            home = f"{_REPORTS}{inbox.name}/"
            known = {job: kept[home + job] for job in inbox.jobs if home + job in kept}
            inbox.take(known)
            for job in known:
                del changes[home + job]
            changes.update((home + job, text) for job, text in inbox.expect().items())
        if changes:
            await self.store.keep(changes)

    def heartbeat(self, settings: Settings, say: Callable[[str], None]) -> Heartbeat | None:
        """Build what tells others that alerting lives; None: nobody is to be told. `say` hears why it cannot."""
        if settings.heartbeat is None:
            return None
        from alerting.selfwatch.heartbeat import Heartbeat  # noqa: PLC0415  few want it

        self.redact.watch(secrets_of(settings.heartbeat))
        return Heartbeat(settings.heartbeat, self._http, self.clock, environment(settings), say)

    def _wake(self, receivers: Collection[str]) -> None:
        for receiver in receivers:
            self.outbox.wake(receiver)

    def _tools(self, settings: Settings) -> Tools:
        """Give what every source and receiver is built with."""
        return Tools(
            clock=self.clock,
            http=self._http,
            blocking=Pool,
            instance=host_name(),
            version=alerting.__version__,
            print=self._say,
            resolve=self._resolve,
            external_url=settings.external_url,
        )

    def sources(self, settings: Settings) -> Sequence[Source]:
        """Build the sources alone, for commands that only read. They are closed with the program."""
        built = [source for source, _ in self._built_sources(settings)]
        self._retired.extend(built)
        return built

    def notifier(self, name: str, settings: Settings) -> Notifier:
        """Build one receiver alone, for a test message; without settings it is the console."""
        section = settings.receivers.get(name) or Section(name, CONSOLE, {})
        self.redact.watch(secrets_of(section.values))
        return registry.build_notifier(section, self._tools(settings))

    def _built_sources(self, settings: Settings) -> list[tuple[Source, Millis]]:
        built: list[tuple[Source, Millis]] = []
        for section in settings.sources.values():
            self.redact.watch(secrets_of(section.values))
            unknown_after = section.values.get("unknown_after", settings.unknown_after)
            built.extend((source, unknown_after) for source in registry.build_source(section, self._tools(settings)))
        return built

    def _notifiers(self, settings: Settings, rules: RuleSet) -> dict[str, Notifier]:
        sections = dict(settings.receivers)
        if not settings.configured:
            names = {CONSOLE, *(name for rule in rules.rules for name in rule.spec.notify)}
            sections = {name: Section(name, CONSOLE, {}) for name in names}
        for section in sections.values():
            self.redact.watch(secrets_of(section.values))
        return {name: registry.build_notifier(section, self._tools(settings)) for name, section in sections.items()}


async def dry_store(settings: Settings) -> Store:
    """Give a copy of the state in memory, so that what a dry run does leaves no trace. Works beside a daemon."""
    from alerting.store.memory import MemoryStore  # noqa: PLC0415  only dry runs need it

    if not os.path.exists(file_of(settings.store, settings.root)):  # noqa: PTH110, ASYNC240  a path as text; one look
        return MemoryStore()
    kept = sqlite_store(settings.store, settings.root, read_only=True)
    seed = await kept.open()
    texts: dict[str, str] = {}
    for prefix in (_REPORTS, *PREFIXES):
        texts.update(await kept.kept(prefix))
    await kept.close()
    store = MemoryStore(seed)
    await store.keep(texts)
    return store


def terms_of(notifier: Notifier, section: Section | None) -> Terms:
    """Say how a receiver may be sent to."""
    values = {} if section is None else section.values
    late_after = values.get("late_after") if values.get("fallback") else None
    return Terms(getattr(notifier, "at_once", 1), pace_of(values.get("rate", OFF)), late_after)


def environment(settings: Settings) -> str:
    """Give the name of the environment that this runs in, as Sentry and log lines have it; empty: nobody said."""
    return os.environ.get("SENTRY_ENVIRONMENT") or settings.external_labels.get("environment", "")


def external_labels(settings: Settings) -> Mapping[str, str]:
    """Give the labels that are on every message."""
    return {"instance": host_name(), **settings.external_labels}


def host_name() -> str:
    """Give the name of this host."""
    return os.uname().nodename


def secrets_of(value: object) -> Iterator[Secret]:
    """Find every Secret inside a section's values."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_of(item)


def _random() -> float:
    """Give a number in [0, 1) for the jitter of waits."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
