"""The nouns of the project: frozen records that every part may know and none may change.

Times are integer milliseconds since 1970 in UTC (`Millis`); durations are milliseconds too, unless a name
says otherwise. Nothing here reads a clock, a file or a socket, and nothing is imported beyond the standard
library.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from alerting.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Millis: TypeAlias = int
Value: TypeAlias = float | str
Why: TypeAlias = "Callable[[], str]"  # a reason in words, made only when somebody asks
Redact: TypeAlias = "Callable[[str], str]"  # text in, the same text with known secrets starred out

NO_TEXTS: Mapping[str, str] = MappingProxyType({})

SHARED = ""  # the namespace that all metrics pages share; every other source is its own namespace


# ------------------------------------------------------------------------------------------- labels


class Labels:
    """An immutable set of name=value pairs, kept sorted by name. Hashable; equal when the pairs are equal.

    An empty value means "no such label", as in Prometheus' data model, so such pairs are dropped.
    """

    __slots__ = ("_fingerprint", "_hash", "pairs")

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        items = pairs.items() if hasattr(pairs, "items") else pairs
        self.pairs = tuple(sorted((name, value) for name, value in items if value != ""))
        self._hash = hash(self.pairs)
        self._fingerprint = ""

    @classmethod
    def from_sorted(cls, pairs: tuple[tuple[str, str], ...]) -> Labels:
        """Take pairs that are already sorted and without empty values; not checked (hot paths only)."""
        self = cls.__new__(cls)
        self.pairs = pairs
        self._hash = hash(pairs)
        self._fingerprint = ""
        return self

    @property
    def fingerprint(self) -> str:
        """32 hex digits that two different sets of pairs do not share: each text goes in with its length."""
        if not self._fingerprint:
            digest = hashlib.blake2b(digest_size=16)
            for name, value in self.pairs:
                for text in (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")):
                    digest.update(len(text).to_bytes(8, "big"))
                    digest.update(text)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def get(self, name: str, default: str = "") -> str:
        """Give the value of `name`, or `default`."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def with_(self, **values: str) -> Labels:
        """Give a copy in which `values` replace or add; an empty value removes."""
        return self.merged(values)

    def merged(self, values: Mapping[str, str]) -> Labels:
        """Give a copy in which `values` replace or add; an empty value removes."""
        return Labels({**dict(self.pairs), **values}) if values else self

    def without(self, names: Iterable[str]) -> Labels:
        """Give a copy without `names`."""
        gone = frozenset(names)
        return Labels.from_sorted(tuple(pair for pair in self.pairs if pair[0] not in gone))

    def only(self, names: Iterable[str]) -> Labels:
        """Give a copy with none but `names`."""
        kept = frozenset(names)
        return Labels.from_sorted(tuple(pair for pair in self.pairs if pair[0] in kept))

    def includes(self, other: Labels) -> bool:
        """Tell whether every pair of `other` is here too."""
        return all(self.get(name) == value for name, value in other.pairs)

    def as_dict(self) -> dict[str, str]:
        """Give a new plain dict."""
        return dict(self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Labels) and self.pairs == other.pairs)

    def __repr__(self) -> str:
        return f"Labels({dict(self.pairs)!r})"

    def __str__(self) -> str:
        """Write as Prometheus does: `{a="b",c="d"}`; nothing for no labels."""
        if not self.pairs:
            return ""
        inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.pairs)
        return "{" + inner + "}"


NO_LABELS = Labels()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ------------------------------------------------------------------------------------------- secrets


class Secret:
    """A text that prints stars. `reveal()` follows its reference each time: a rotated value takes effect."""

    __slots__ = ("_follow", "label", "references", "revealed")

    def __init__(self, follow: Callable[[], str], label: str, references: Sequence[tuple[str, str]] = ()) -> None:
        self._follow = follow
        self.revealed: set[str] = set()  # every value ever given out: what redaction must know, and no more
        self.label = label  # what may be shown: `${SLACK_WEBHOOK_URL}` or `(literal)`
        self.references = references  # what it is made of: (kind, name) of each `${kind:name}`

    @classmethod
    def literal(cls, value: str) -> Secret:
        """Wrap a value that stands in the settings file itself."""
        return cls(lambda: value, "(literal)")

    def reveal(self) -> str:
        """Give the value. Raises SecretError, naming the reference, when it cannot be had."""
        value = self._follow()
        if not value:
            raise SecretError(f"{self.label} is empty; set it")
        self.revealed.add(value)
        return value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"


# ------------------------------------------------------------------------------------------- metrics


class Kind(StrEnum):
    """What a metric's numbers mean."""

    GAUGE = "gauge"  # a level, may go either way
    COUNTER = "counter"  # only ever rises, save when its process restarts
    COUNT = "count"  # events per closed bucket of time
    HISTOGRAM = "histogram"  # cumulative buckets with `le`
    STATE = "state"  # a text
    UNKNOWN = "unknown"  # nobody said


class Metric(NamedTuple):
    """One name that a source declares: the vocabulary that conditions may use."""

    name: str  # as written in conditions, without the source
    namespace: str  # SHARED, or the name of the source
    kind: Kind = Kind.UNKNOWN
    unit: str = ""  # s ms bytes percent ratio … ; empty: unknown
    labels: tuple[str, ...] = ()
    help: str = ""


class Matcher(NamedTuple):
    """One condition on a label: `name op value`, op one of = != =~ !~."""

    name: str
    op: str
    value: str


class Need(NamedTuple):
    """What a condition must be given before it can be evaluated."""

    namespace: str
    name: str  # empty: any name of the namespace (a selector by matchers alone)
    matchers: tuple[Matcher, ...] = ()
    window: Millis = 0  # how far back samples must reach; 0: the latest only
    bucket: Millis = 0  # for `count` metrics: the length D of `N per D`


class Sample(NamedTuple):
    """One value of one series. `at` is when it was true: the fetch's time, or a closed bucket's end."""

    name: str
    labels: Labels
    value: Value
    at: Millis


class FaultKind(StrEnum):
    """Why a fetch gave no usable answer; told apart in `status`."""

    REFUSED = "connection refused"
    TIMEOUT = "timed out"
    RESET = "connection broken"
    DNS = "name not found"
    TLS = "TLS refused"
    UNAUTHORIZED = "401 unauthorized"
    FORBIDDEN = "403 forbidden"
    NOT_FOUND = "404 not found"
    RATE_LIMITED = "429 rate limited"
    SERVER_ERROR = "server error"
    BAD_STATUS = "unexpected status"
    REDIRECTED = "redirected"
    TOO_LARGE = "answer too large"
    MALFORMED = "answer not understood"
    UNREADABLE = "not readable"  # the system refused to tell
    NOT_ALLOWED = "not allowed"  # an address or a command that the settings or the environment do not allow
    SECRET = "secret not available"  # noqa: S105  the name of a fault, not a value
    INTERNAL = "a fault of alerting itself"


class Fault(NamedTuple):
    """A typed reason for a fetch that failed, with one sentence for people."""

    kind: FaultKind
    message: str
    retry_at: Millis | None = None  # the service said: not before

    def told(self, source: str) -> str:
        """Say what is wrong with which source, or which target of one (`apps/shop`, `apps#2`), naming it once."""
        text = self.message or str(self.kind)
        entry = source.partition("/")[0].partition("#")[0]
        return f"{source}: {text.removeprefix(f'{entry}: ')}"


class Reading(NamedTuple):
    """What one fetch of one target gave. A failed fetch has a fault and no samples besides `up` = 0."""

    source: str  # the name in the settings
    namespace: str  # SHARED, or the source's own name
    at: Millis
    samples: tuple[Sample, ...] = ()
    labels: Labels = NO_LABELS  # what every sample of this target carries (job, instance)
    fault: Fault | None = None
    took: Millis = 0
    kinds: tuple[Metric, ...] = ()  # what the answer itself declared (TYPE and UNIT lines)


# ------------------------------------------------------------------------------------------- conditions


class Truth(StrEnum):
    """What a condition says of one series."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"  # no usable reading: nothing may be concluded
    VANISHED = "vanished"  # its source was read, but the series is gone


class Gap(NamedTuple):
    """Something a condition should have been given and was not."""

    why: str
    labels: Labels = NO_LABELS  # series that carry all of these may be missing; empty: any
    source: str = ""  # the source that failed, where that is the cause


class Verdict(NamedTuple):
    """What a rule says of one series now."""

    rule_id: str
    labels: Labels
    truth: Truth
    value: Value
    why: Why


class Pattern(Protocol):
    """A regular expression that matches in linear time."""

    def fullmatch(self, text: str) -> bool:
        """Tell whether the whole text fits (Prometheus anchors at both ends)."""
        ...

    def expand(self, text: str, template: str) -> str | None:
        """Fill `$1`, `${name}` of the template from a full match; None when the text does not fit."""
        ...

    def search(self, text: str) -> bool:
        """Tell whether some part of the text fits."""
        ...

    def replace_all(self, text: str, template: str, limit: int) -> str:
        """Replace each part that fits by the filled template. Raises ValueError beyond `limit` characters."""
        ...


class Patterns(Protocol):
    """Makes patterns; injected into the core, which has no regular expressions of its own."""

    def __call__(self, pattern: str) -> Pattern:
        """Compile. Raises ValueError with a reason for an author when the pattern is not valid."""
        ...


class Result(Protocol):
    """What one evaluation of a condition found."""

    true: Sequence[tuple[Labels, Value]]  # the series for which it holds (metric name dropped)
    gaps: Sequence[Gap]  # what could not be judged

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        """Judge a series that is not in `true`: FALSE only on evidence, else UNKNOWN or VANISHED."""
        ...

    def why(self, labels: Labels, value: Value) -> str:
        """Say in words why the series is in `true`: `disk_usage{mount="/"} = 91.2% > 85%`."""
        ...


class Condition(Protocol):
    """A condition, compiled."""

    text: str
    needs: tuple[Need, ...]
    unit: str  # of the value that the condition yields; empty: unknown or none
    watches_buckets: bool  # looks at closed buckets since the last evaluation (`N per D` on a count)
    weight: int  # units of work that evaluating it took last time, of up to 0.4 us; before that, an estimate

    def evaluate(self, samples: Any, now: Millis, since: Millis | None = None) -> Result:
        """Evaluate at `now` over core.samples.Samples; `since` is the rule's previous evaluation."""
        ...


# ------------------------------------------------------------------------------------------- rules


class Origin(NamedTuple):
    """Where a rule or a setting was written."""

    file: str = ""
    line: int = 0
    column: int = 0


NOWHERE = Origin()


class OnMissing(StrEnum):
    """What *unknown* does to an alert."""

    KEEP = "keep"
    FIRE = "fire"
    RESOLVE = "resolve"


class RuleSpec(NamedTuple):
    """One rule as it was written, checked for shape, with defaults filled in. The condition is still text."""

    id: str
    name: str
    condition: str
    origin: Origin = NOWHERE
    interval: Millis = 30_000
    for_: Millis = 0
    keep_firing_for: Millis = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish_after: Millis = 300_000
    severity: str = ""
    labels: Mapping[str, str] = NO_TEXTS
    annotations: Mapping[str, str] = NO_TEXTS
    notify: tuple[str, ...] = ()
    runbook_url: str = ""
    enabled: bool = True
    group: str = ""  # a group of Prometheus' form; empty: the rule stands by itself
    record: str = ""  # a recording rule's metric; empty: an alerting rule
    limit: int = 0  # of series, for the group; 0: none
    query_offset: Millis = 0
    dialect: Literal["native", "prometheus"] = "native"


class Rule(NamedTuple):
    """A rule ready to run."""

    spec: RuleSpec
    condition: Condition

    @property
    def id(self) -> str:
        """The identity that survives an edit of the condition."""
        return self.spec.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.spec.name


# ------------------------------------------------------------------------------------------- alerts


class AlertState(StrEnum):
    """The states that are kept; an inactive alert is no record at all."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    INACTIVE = "inactive"  # only ever seen as the end of a transition


class AlertKey(NamedTuple):
    """The identity of an alert: a rule and the series' labels, before labels that the rule adds."""

    rule_id: str
    fingerprint: str


class Alert(NamedTuple):
    """One rule's alert about one series. `value` and `why` are those of its last transition."""

    key: AlertKey
    labels: Labels
    state: AlertState
    since: Millis  # of the present state; for `pending` moved on by time that was unknown
    value: Value
    why: str
    fired_at: Millis | None = None
    resolved_at: Millis | None = None
    episode: str = ""  # set when it fires; a hash of key and fired_at
    quiet_since: Millis | None = None  # firing, but the condition is false since then
    paused_at: Millis | None = None  # the condition is unknown (or the series gone) since then
    version: int = 0
    gone_since: Millis | None = None  # its source was read without the series since then


class Ended(StrEnum):
    """Why an alert is over. Only RECOVERED claims that things are well."""

    RECOVERED = "recovered"
    NOT_REPORTED = "no longer reported"
    NO_DATA = "ended: no data"
    RULE_REMOVED = "rule removed"


class Transition(NamedTuple):
    """One change of one alert; append-only."""

    key: AlertKey
    labels: Labels
    before: AlertState
    after: AlertState
    at: Millis
    value: Value
    why: str
    episode: str = ""
    ended: Ended | None = None


# ------------------------------------------------------------------------------------------- messages


class Notice(NamedTuple):
    """What a message says of one alert: a snapshot, so that later edits cannot change what was announced."""

    key: AlertKey
    episode: str
    step: str  # firing, resolved, reminder-1 …: owed once per (alert, episode, step, receiver)
    name: str  # the rule's name
    labels: Mapping[str, str]  # the series' and the rule's own
    severity: str
    value: str  # with its unit, as people read it
    why: str
    fired_at: Millis
    resolved_at: Millis | None = None
    ended: str = ""
    annotations: Mapping[str, str] = NO_TEXTS
    runbook_url: str = ""


class Notification(NamedTuple):
    """One message that is owed to one receiver. Its `id` is its idempotency key."""

    id: str
    receiver: str
    group_key: str  # the dedup key shown to the receiver; holds the installation's id
    reason: str  # why it is sent: "1 new", "all resolved" …
    created: Millis
    title: str
    firing: tuple[Notice, ...] = ()
    resolved: tuple[Notice, ...] = ()
    external_labels: Mapping[str, str] = NO_TEXTS

    @property
    def all_resolved(self) -> bool:
        """Tell whether nothing of the group fires any more."""
        return not self.firing


Receipt: TypeAlias = "Mapping[str, str]"  # what a receiver gave back: Slack's ts and channel, PagerDuty's key


class Outcome(StrEnum):
    """How one attempt to deliver ended."""

    SENT = "sent"
    UNKNOWN = "unknown"  # the request may have been taken: the answer was lost
    RETRY = "retry"
    REFUSED = "refused"  # for good: trying again cannot help


class Answer(NamedTuple):
    """What a notifier says of one attempt."""

    outcome: Outcome
    why: str = ""
    retry_after: Millis | None = None  # the receiver's own wish
    receipt: Receipt | None = None


class DeliveryState(StrEnum):
    """Where an owed message stands. created = sent + parked + pending, always."""

    PENDING = "pending"  # owed, not being sent now
    CLAIMED = "claimed"  # being sent
    SENT = "sent"
    PARKED = "parked"  # given up, with the reason


class Delivery(NamedTuple):
    """An owed message and how far its sending has come."""

    notification: Notification
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at: Millis = 0
    why: str = ""  # of the last attempt, or of the parking
    outcome: Outcome | None = None
    receipt: Receipt | None = None
    claimed_by: str = ""
    claimed_until: Millis = 0
    settled_at: Millis = 0  # when it was sent or parked; 0: it is still owed


# ------------------------------------------------------------------------------------------- settings


class Section(NamedTuple):
    """One entry under `sources:` or `receivers:`: its kind, and its keys with defaults, durations in ms."""

    name: str
    kind: str
    values: Mapping[str, Any]  # texts that hold `${…}`, and keys that the schema calls secret, are Secret
    origin: Origin = NOWHERE
