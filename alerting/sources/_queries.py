"""What sources have in common whose metrics are queries that the settings define under `metrics:`.

Its law: no more is asked than rules need; all of it within one deadline; one query that fails fails the reading,
because half an answer would pass for a whole one; and nothing is asked while the service wants to be left alone.
A query that was answered with nothing is known to be empty (an empty vector, so no series is true); one of which
the service told nothing at all is not known (None), and what conditions say of it is *unknown*.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from alerting.core.defined import defined
from alerting.errors import SecretError
from alerting.model import NO_LABELS, Fault, FaultKind, Kind, Labels, Reading, Sample
from alerting.net.http import revealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alerting.model import Metric, Millis, Need, Secret, Section
    from alerting.ports import Clock

MINUTE: Millis = 60_000  # the length of a bucket of a `count`
_BUCKETS = 1440  # of one question: a day of minutes
_BACK = 60  # so many times D are caught up after a pause
_VALUES = 200_000  # of one answer: some 25 MiB when they are decoded, at the worst
_WORDS = 200  # characters of a service's own words
_LABEL = 1024  # characters of a label's value


class Query(NamedTuple):
    """One entry under `metrics:`: what it gives, and what is asked for it."""

    name: str
    metrics: tuple[Metric, ...]
    text: str | Secret  # empty where the kind has other keys instead
    said: Mapping[str, Any]  # the entry's keys; `query` alone where it is the query itself

    @property
    def counts(self) -> bool:
        """Tell whether it gives events by the closed minute."""
        return self.metrics[0].kind is Kind.COUNT


class Ask(NamedTuple):
    """What one fetch asks for."""

    queries: Sequence[Query]
    at: Millis  # wall: what samples are stamped with that belong to no bucket
    until: Millis  # monotonic: the deadline of everything together
    since: Millis | None  # end of the newest minute that is held
    together: Millis  # the longest D of `N per D`

    def minutes(self, delay: Millis) -> tuple[Millis, Millis]:
        """Give start and end of the closed minutes that are wanted; `delay` is how late events come in."""
        end = (self.at - delay) // MINUTE * MINUTE
        first = end - self.together if self.since is None else max(self.since, end - _BACK * self.together)
        return max(first // MINUTE * MINUTE, end - _BUCKETS * MINUTE), end

    def stretch(self, length: Millis, delay: Millis) -> tuple[Millis, Millis]:
        """Give start and end of the newest closed stretch, in whole seconds."""
        end = (self.at - delay) // 1000 * 1000
        return end - length, end


Answers = dict[str, "Sequence[Sample] | None"]  # by the name of the query; None: the service knows nothing of it


class FailedError(Exception):
    """A question that was not answered."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


class Service(Protocol):
    """Whoever answers the queries of one source."""

    async def ask(self, ask: Ask) -> Answers:
        """Answer all queries. Raises FailedError, SecretError."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class QuerySource:
    """The Source port over a service that is asked for each metric."""

    def __init__(
        self, section: Section, clock: Clock, service: Service, offered: Sequence[Query] = (), *, pauses: bool = True
    ) -> None:
        """Take what the kind itself offers, before the settings' own; `pauses`: a limit holds up all questions."""
        self.name = self.namespace = section.name
        self._clock = clock
        self._service = service
        self._timeout: Millis = section.values["timeout"]
        self._queries = (*offered, *read_queries(section))
        self._pauses = pauses
        self._pause: tuple[Millis, Fault] | None = None  # until when (monotonic) nothing is asked, and why

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Ask for what `needs` name: everything for a need without a name, or for no needs at all."""
        at, began = self._clock.now(), self._clock.monotonic()
        samples: list[Sample] = []
        known: list[Metric] = []
        fault = self._held()
        if fault is None:
            asked = self._asked(needs)
            together = max((-(-need.bucket // MINUTE) * MINUTE for need in needs), default=0)
            ask = Ask(asked, at, began + self._timeout, since, max(together, MINUTE))
            try:
                answers = await self._service.ask(ask)
            except FailedError as error:
                fault = self._noted(error.fault)
            except SecretError as error:
                fault = Fault(FaultKind.SECRET, f"{self.name}: {error}")
            else:
                for query in asked:
                    found = answers[query.name]
                    samples += found or ()
                    known += query.metrics if found is not None else ()
        up = Sample("up", NO_LABELS, 0.0 if fault else 1.0, at)
        took = self._clock.monotonic() - began
        return Reading(self.name, self.namespace, at, (up, *samples), fault=fault, took=took, kinds=tuple(known))

    async def close(self) -> None:
        """Close what the service holds."""
        await self._service.close()

    def _asked(self, needs: Sequence[Need]) -> list[Query]:
        names = {need.name for need in needs}
        if not names or "" in names:
            return list(self._queries)
        asked = [query for query in self._queries if not names.isdisjoint(each.name for each in query.metrics)]
        return asked or list(self._queries[:1])  # `up` alone: one question tells whether it answers

    def _held(self) -> Fault | None:
        return self._pause[1] if self._pause is not None and self._clock.monotonic() < self._pause[0] else None

    def _noted(self, fault: Fault) -> Fault:
        if fault.retry_at is not None and self._pauses:
            self._pause = self._clock.monotonic() + fault.retry_at - self._clock.now(), fault
        return fault


def read_queries(section: Section) -> tuple[Query, ...]:
    """Give the queries of a section's `metrics`."""
    entries: Mapping[str, Any] = section.values.get("metrics") or {}
    queries = []
    for name, metrics in defined(section.name, entries).items():
        entry = entries[name]
        said = entry if isinstance(entry, dict) else {"query": entry}
        queries.append(Query(name, metrics, said.get("query", ""), said))
    return tuple(queries)


# ------------------------------------------------------------------------------------------- reading answers


class TooMuchError(ValueError):
    """A document of more values than are taken: decoded, it might fill the memory."""


@contextmanager
def shape(fault: Callable[[FaultKind, str], Fault], otherwise: str) -> Iterator[None]:
    """Turn whatever an unexpected shape raises inside the block into a fault that says `otherwise`."""
    try:
        yield
    except TooMuchError as error:
        raise FailedError(fault(FaultKind.TOO_LARGE, str(error))) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise FailedError(fault(FaultKind.MALFORMED, otherwise)) from None


def decoded(body: bytes) -> Any:
    """Decode JSON. Raises ValueError, also for NaN and infinities, RecursionError, and TooMuchError."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _VALUES:
        raise TooMuchError(f"the answer has more than {_VALUES} values")
    return json.loads(body.decode(), parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def number(value: Any) -> float:
    """Take a finite JSON number. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(type(value).__name__)
    return float(value)


def labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Make labels of what a service calls tags, facets or columns. Raises ValueError where two become one.

    Names get `_` for what conditions cannot hold. A value of more than 1,024 characters is refused: cut, it might
    be taken for another one.
    """
    made: dict[str, str] = {}
    for name, value in pairs:
        label = label_name(name)
        if label in made or len(value) > _LABEL:
            raise ValueError(label)
        made[label] = clean(value)
    return Labels(made)


def label_name(text: str) -> str:
    """Give the name that conditions can use: `availability-zone` becomes `availability_zone`."""
    made = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
    return f"_{made}" if not made or made[0].isdigit() else made


def clean(text: str) -> str:
    """Replace lone surrogates, which no file and no message can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def words(text: Any) -> str:
    """Give a service's own words, printable and short; empty where it is no text."""
    if not isinstance(text, str):
        return ""
    return clean("".join(letter if letter.isprintable() else " " for letter in text[:_WORDS])).strip()


def distinct(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Give the samples. Raises ValueError where two have the same name, labels and time."""
    if len({(each.name, each.labels, each.at) for each in samples}) != len(samples):
        raise ValueError("twice")
    return samples


def seconds(duration: Millis) -> str:
    """Write a duration for a message."""
    return f"{duration / 1000:g} s"


def text_of(query: Query) -> str:
    """Give a query's text. Raises SecretError."""
    return revealed(query.text)
