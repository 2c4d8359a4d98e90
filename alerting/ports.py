"""The seams: what the engine and the outbox need from the world, as protocols.

Whoever implements one lives in sources/, notifiers/, store/, secrets/ or tests/; only wiring knows which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from alerting.model import (
        Alert,
        AlertKey,
        Answer,
        Attempt,
        ChangeEvent,
        Decision,
        Delivery,
        Kind,
        Millis,
        Need,
        Notice,
        Notification,
        Reading,
        Recall,
        Receipt,
        Sample,
        Told,
        Transition,
        Unsaid,
    )

T = TypeVar("T")
Fold: TypeAlias = "Callable[[Sequence[Notification]], tuple[int, Notification]]"  # how many of the oldest, in one

SECRETS = "secrets/"  # what the names of kept texts begin with that say since when and why secrets are old


class Clock(Protocol):
    """Both times. Stamps are by the wall; durations, deadlines and pace are by the monotonic clock."""

    def now(self) -> Millis:
        """Wall time, ms since 1970 UTC. May step."""
        ...

    def monotonic(self) -> Millis:
        """Milliseconds from an arbitrary start. Never steps, never goes back."""
        ...

    async def sleep(self, duration: Millis) -> None:
        """Wait for `duration` of monotonic time."""
        ...


class Source(Protocol):
    """One target that is read. `build(section, tools)` of alerting.sources.<kind> gives one per target."""

    name: str  # in the settings
    namespace: str  # model.SHARED for metrics pages, else the name
    # Where an entry has several targets, `target: str` says which one this is. Where many entries and targets may be
    # at one host, `host: str` says which host that is now; it is not asked by too many of them at once.

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Read once, within the total deadline. Never raises for what the world does: that is a Fault.

        `needs` are those that live rules have of this namespace: read no more than they ask for where the
        service is asked per metric. `since` is the end of the newest bucket already held (count metrics).
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Inbox(Source, Protocol):
    """A source to which jobs report, instead of being asked. Its reports are kept in the state, as texts by job."""

    jobs: Mapping[str, object]  # by name: all that may report

    def admits(self, token: str) -> bool:
        """Tell whether a token is the right one, in constant time. Raises SecretError."""
        ...

    def read(self, body: bytes, *, failed: bool) -> str:
        """Turn a report into the text that is to be kept. Raises ValueError that says what is wrong with it."""
        ...

    def take(self, kept: Mapping[str, str]) -> None:
        """Take in reports as they were kept."""
        ...

    def expect(self) -> Mapping[str, str]:
        """Begin to wait for the jobs of which nothing is known; give what is to be kept of them."""
        ...


class Notifier(Protocol):
    """One receiver. Built by `build(section, tools)` of alerting.notifiers.<kind>."""

    name: str  # in the settings
    stands_for: Literal["alert", "group"]  # what one message of it means
    # Where it takes several at a time, `at_once: int` says how many; never two of one group key.

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make exactly one attempt, within the total deadline. Never raises for what the world does.

        `previous` is the receipt of the last message that was sent with this group key, if any. When the last
        attempt at this very notification answered RETRY or UNKNOWN *with* a receipt, it is that one instead:
        so an attempt can tell the next one that the earlier message is gone ({}), or how to send it plainer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


THEN = "then"  # in a receipt: what may still be done beside a message that has arrived


@runtime_checkable
class Follows(Protocol):
    """What a notifier has besides when it does more about a message than sending it."""

    async def follow(self, notification: Notification, receipt: Receipt) -> Receipt:
        """Do the next thing that `receipt` has under THEN, and give the receipt as it is then. Never raises.

        Called when the message has arrived and that is on disk, between other messages, until no THEN is left. What
        fails is given up: it can neither lose nor repeat a message.
        """
        ...


class Press(NamedTuple):
    """Somebody pressed a button of a message."""

    receiver: str
    place: Mapping[str, str]  # where the message stands, in the words of its receipt
    group_key: str
    told_at: Millis  # when the message was made: what began to fire later is not meant
    action: Literal["acknowledge", "silence"]
    by: str


@runtime_checkable
class Listens(Protocol):
    """What a notifier has besides when people can answer its messages."""

    async def listen(self, on_press: Callable[[Press], Awaitable[str]], say: Callable[[str], None]) -> None:
        """Hear of presses until cancelled; returns at once where the settings want no buttons.

        Never raises for what the world does. `on_press` gives what the person who pressed is told; what it raises goes
        up. `say` hears what is wrong with the connection.
        """
        ...


@runtime_checkable
class TakesChanges(Protocol):
    """What a notifier has besides when its service keeps a record of changes."""

    async def send_change(self, event: ChangeEvent) -> Answer:
        """Tell of a change, by one attempt, within the total deadline. Never raises for what the world does."""
        ...


class HttpAnswer(NamedTuple):
    """An answer that was read whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # decoded (gzip), not longer than the limit
    tls_ends: Millis | None = None  # when the server's certificate ends; None without TLS


class Http(Protocol):
    """Bounded HTTP: a total deadline, a limit on decoded bytes while streaming, no redirects, one request."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Sequence[tuple[str, str]] | None = None,
        body: bytes | None = None,
        deadline: Millis = 10_000,
        limit: int = 8 * 1024 * 1024,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        reach: Sequence[str] = (),
        keep: bool = False,
    ) -> HttpAnswer:
        """Make one request. Any status is an answer; anything else raises alerting.net.http.HttpFailed.

        `reach`: what may be connected to, by the words and networks of alerting.net.reach; empty: its default.
        `keep`: the connection may be one that was kept open, and is kept for the next request; never for a probe.
        """
        ...

    async def close(self) -> None:
        """Close idle connections."""
        ...


class Resolve(Protocol):
    """Looks up names of hosts."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host, best first. Raises OSError, or ValueError for what cannot be a name."""
        ...


class Blocking(Protocol):
    """Runs blocking library calls in a bounded pool of its own; a call that hangs holds up no exit."""

    async def __call__(self, call: Callable[[], T], deadline: Millis) -> T:
        """Run `call` in a thread. Raises TimeoutError after `deadline`; the thread is then left alone."""
        ...


class Tools(NamedTuple):
    """What `build` of a source or a notifier is given besides its section."""

    clock: Clock
    http: Http
    blocking: Callable[[int], Blocking]  # a new pool with so many threads
    instance: str  # this host's name, for messages
    version: str
    print: Callable[[str], None]  # standard output, for the console receiver
    resolve: Resolve
    external_url: str = ""  # where people find this installation


class SecretResolver(Protocol):
    """One kind of `${kind:reference}`. Module alerting.secrets.<kind> has `resolve(reference) -> str`."""

    def __call__(self, reference: str) -> str:
        """Give the value. Raises SecretError that names the reference and what to do."""
        ...


class SecretStore(Protocol):
    """What a module of alerting.secrets has besides `resolve` when its secrets come over a network.

    Then `resolve` reads from memory, and whoever runs the program sees to it that memory is fresh.
    """

    def document(self, reference: str) -> str:
        """Give the name of the document that holds it; asks nobody. Raises SecretError for what cannot work."""
        ...

    def refresh(self, document: str) -> None:
        """Ask for a document now; blocks for a bounded time. Raises SecretError; what was held then stays."""
        ...


class Snapshot(NamedTuple):
    """What a store holds when it is opened."""

    installation: str  # minted once; part of every key that receivers see
    alerts: tuple[Alert, ...]  # pending, firing, and resolved ones kept for display
    evaluated: Mapping[str, Millis]  # rule id -> its last evaluation, for rules that need it
    announced: Mapping[tuple[AlertKey, str], Told]  # (alert, receiver), until its end is told
    good_config: str | None  # the last set of rules and settings that loaded, as text
    faults: Mapping[str, str]  # source -> why it failed last; absent: well
    notices: Sequence[Notice] = ()  # what was announced of the alerts in `announced`, newest last
    written_at: Millis | None = None  # `at` of the newest change that is held


class Change(NamedTuple):
    """What one tick writes, in one transaction: all or nothing."""

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
        """Write one tick's change. Returns only when it is on disk.

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

        Of whom nothing can be said is left out.
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
