"""What is remembered: the state and its accounts, and the recent samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import (
        Alert,
        AlertKey,
        Attempt,
        Decision,
        Delivery,
        Kind,
        Millis,
        Notice,
        Notification,
        Recall,
        Receipt,
        Sample,
        Told,
        Transition,
        Unsaid,
    )

Fold: TypeAlias = "Callable[[Sequence[Notification]], tuple[int, Notification]]"  # how many of the oldest, in one


class Snapshot(NamedTuple):
    """What a store holds when it is opened."""

    installation: str  # minted once; part of every key that receivers see
    alerts: tuple[Alert, ...]  # pending, firing, and resolved ones kept for display
    evaluated: Mapping[str, Millis]  # rule id -> its last evaluation, for rules that need it
    announced: Mapping[tuple[AlertKey, str], Told]  # (alert, receiver), until its end is told
    good_config: str | None  # the last set of rules and settings that loaded, as text
    faults: Mapping[str, str]  # source -> why it failed last; absent: well
    notices: Sequence[Notice] = ()  # what was announced of the alerts in `announced`, newest last
    written_at: Millis | None = None  # `at` of the newest change of a turn that is held


class Change(NamedTuple):
    """What is written in one transaction, all or nothing: by a turn, or between two of them."""

    at: Millis
    alerts: Sequence[Alert] = ()  # put
    dropped: Sequence[AlertKey] = ()  # removed
    transitions: Sequence[Transition] = ()
    notifications: Sequence[Notification] = ()  # owed from now on
    evaluated: Mapping[str, Millis] | None = None
    forgotten: Sequence[str] = ()  # rule ids whose `evaluated` row is not needed any more
    faults: Mapping[str, str | None] | None = None  # source -> why it fails now; None: well again
    good_config: str | None = None
    texts: Mapping[str, str | None] | None = None  # kept texts by name; None: forgotten
    decisions: Sequence[Decision] = ()
    passed_on: Sequence[str] = ()  # ids of messages whose receivers' fallbacks are told with this
    recalled: Sequence[Recall] = ()  # called back: nothing is written unless all of them still can be
    unsaid: Sequence[Unsaid] = ()  # what that changes in who was told of what
    is_turn: bool = True  # a turn's, which `Snapshot.written_at` names; else what was owed already is changed


class Account(NamedTuple):
    """What there is to tell of one alert."""

    transitions: tuple[Transition, ...] = ()
    decisions: tuple[Decision, ...] = ()
    messages: tuple[tuple[Delivery, tuple[Attempt, ...]], ...] = ()  # that name it, each with its attempts


class Marks(NamedTuple):
    """How far a reader of the history has come, by the numbers that a store gives to what is appended."""

    transition: int = 0
    decision: int = 0
    attempt: int = 0


BEGINNING = Marks()


class History(NamedTuple):
    """What happened, to alerts and to messages."""

    transitions: tuple[Transition, ...] = ()
    decisions: tuple[Decision, ...] = ()
    attempts: tuple[tuple[Attempt, Notification], ...] = ()
    marks: Marks = BEGINNING


class Store(Protocol):
    """Durable state. Every method is all or nothing and raises StoreError when it could not be done.

    A store may hold in memory for a while what its file does not take; `unsaved` says so, and "on disk" below is
    not true meanwhile. It is all of it saved later, or lost with the process.
    """

    async def open(self) -> Snapshot:
        """Open and check; mint the installation id when new. Raises StateRefused, never starts afresh."""
        ...

    async def commit(self, change: Change) -> None:
        """Write a change. Returns only when it is on disk.

        Raises TooLate where something of `recalled` is not owed any more, is being sent, or may have arrived.
        """
        ...

    async def claim(
        self, receiver: str, now: Millis, lease: Millis, limit: int, fold: Fold | None = None
    ) -> Sequence[Delivery]:
        """Claim due deliveries, urgent ones first, then the oldest; of a group key only the oldest that is owed.

        Where others wait behind it, `fold` says how many are told by one message, and in which words; that one is
        claimed then. With each comes the receipt of the newest message that was sent under its key. A claim is durable
        before it is returned. A claim of another run of the program, or whose lease is over, counts as an attempt with
        an unknown outcome and may be claimed again.
        """
        ...

    async def unsent(self, receiver: str = "") -> Sequence[Delivery]:
        """Give what is owed and not settled, in order, to a receiver or (empty) to all."""
        ...

    async def settle(self, *deliveries: Delivery) -> None:
        """Record how attempts ended (state, attempts, next_at, why, receipt)."""
        ...

    async def unheard(self, receiver: str, before: Millis) -> Sequence[Delivery]:
        """Give what its fallback should be told of and was not, in order.

        That is what was parked lately, and where something is owed since `before`, all that waits under its key.
        """
        ...

    async def standing(self, receivers: Sequence[str], before: Millis) -> Mapping[str, str]:
        """Say why receivers are down: tried in vain since `before`, or the last message given up; empty: it was sent.

        Of whom nothing can be said is left out; so is who was last tried in vain with what was called back.
        """
        ...

    async def next_due(self, receiver: str | None = None) -> Millis | None:
        """When something may be claimed next, of this receiver or of any; None when nothing is owed."""
        ...

    async def owing(self) -> Sequence[str]:
        """Give the receivers, sorted, to which something is still owed."""
        ...

    async def previous_receipt(self, receiver: str, group_key: str) -> Receipt | None:
        """Give the receipt of the newest sent message with this key."""
        ...

    async def overview(self, limit: int = 200) -> Overview:
        """Read what `status` shows."""
        ...

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        """Put texts by name, on disk before it returns; None forgets one. `good_config` is the engine's name."""
        ...

    async def kept(self, prefix: str) -> Mapping[str, str]:
        """Give the texts whose names begin so."""
        ...

    async def decisions(self, key: AlertKey, limit: int = 200) -> Sequence[Decision]:
        """Give the newest decisions about one alert, newest first."""
        ...

    async def account(self, key: AlertKey, limit: int = 200) -> Account:
        """Give what is kept of one alert: of each list the newest, oldest first."""
        ...

    async def history(self, since: Millis, after: Marks = BEGINNING, limit: int = 10_000) -> History:
        """Give what happened since a time and was written after `after`: of each list the newest, oldest first."""
        ...

    @property
    def unsaved(self) -> str:
        """Why what happens is held in memory only; empty: it is on disk."""
        ...

    def hasten(self) -> None:
        """Wait for what does not answer no longer than somebody does who wants the process to end."""
        ...

    async def close(self) -> None:
        """Close; the lock is released. Raises StoreError when something stays unsaved."""
        ...


class SampleStore(Protocol):
    """The second, disposable file: recent samples that live rules need. If it breaks, alerting goes on."""

    async def open(self) -> Sequence[tuple[str, Kind, Sample, Millis]]:
        """Give what is kept, oldest first: (namespace, kind, sample, when it was received). Empty when broken."""
        ...

    async def append(self, kept: Sequence[tuple[str, Kind, Sample]], received: Millis, horizon: Millis) -> None:
        """Add samples; forget those received before the time `horizon`. A failure is swallowed, see `trouble`."""
        ...

    @property
    def trouble(self) -> str:
        """Why samples are not kept now; empty: they are."""
        ...

    async def close(self) -> None:
        """Close the file."""
        ...


class Overview(NamedTuple):
    """What `status` shows."""

    installation: str
    alerts: tuple[Alert, ...]
    deliveries: tuple[Delivery, ...]  # those not sent, then the newest sent ones
    transitions: tuple[Transition, ...]  # newest first
    counts: Mapping[str, int]  # deliveries by state
    faults: Mapping[str, str]
    written_at: Millis | None
