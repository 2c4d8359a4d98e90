"""What sources offer and give: metrics, needs, samples, readings, faults."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerting.model.labels import NO_LABELS, Labels

if TYPE_CHECKING:
    from alerting.model.basics import Millis, Value


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
    only: str = ""  # the one name that its source ever holds, as a rule that records does; empty: any
