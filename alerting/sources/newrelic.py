"""New Relic, asked in NRQL by its GraphQL API; all metrics of a fetch go in one request.

https://docs.newrelic.com/docs/apis/nerdgraph/examples/nerdgraph-nrql-tutorial/ is the law for the call. A query
comes without a stretch of time, and a closed one is added: `window` long for a gauge, minute by minute for a
count, in pieces of as many minutes as New Relic tells apart. Errors come in answers of 200, beside data of the queries
that went well; one of them is enough to take nothing. NRQL counts nothing as 0, which is knowledge; an average of
nothing is null, which is no value.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model import Fault, FaultKind, Sample
from alerting.net.endpoint import Endpoint
from alerting.net.http import retry_at
from alerting.sources._queries import (
    MINUTE,
    Answers,
    Ask,
    FailedError,
    Query,
    QuerySource,
    decoded,
    distinct,
    labels,
    number,
    seconds,
    shape,
    text_of,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Labels, Millis, Section
    from alerting.ports import HttpAnswer, Tools

_ADDRESSES = {"us": "https://api.newrelic.com", "eu": "https://api.eu.newrelic.com"}
_PATH = "/graphql"
_JSON = {"content-type": "application/json"}
_WAIT: Millis = 60_000  # after a refusal for too many calls that names no end
_STRETCH = frozenset(("beginTimeSeconds", "endTimeSeconds", "facet"))
_LONGEST = 120  # s that New Relic grants a query
_PIECE = 360 * MINUTE  # of one TIMESERIES, which has at most 366 buckets
_FACETS = 10  # that a query without LIMIT gives: the largest ones
_LIMIT = re.compile(r"\blimit\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|`[^`]*`")
_NOT_OURS = "the answer does not look like New Relic's; check `region` and `url`"
_HINTS = {
    401: "New Relic refuses the key; `api_key` must be a user key, and `region` its account's",
    403: "the key may not read this account; check `account` and `region`",
}
_CLASSES = (  # a word in the class of an error -> what it is
    ("TIMEOUT", FaultKind.TIMEOUT),
    ("TOO_MANY", FaultKind.RATE_LIMITED),
    ("RATE_LIMIT", FaultKind.RATE_LIMITED),
    ("ACCESS_DENIED", FaultKind.FORBIDDEN),
    ("FORBIDDEN", FaultKind.FORBIDDEN),
    ("UNAUTHORIZED", FaultKind.UNAUTHORIZED),
    ("SERVER_ERROR", FaultKind.SERVER_ERROR),
)


class _Piece(NamedTuple):
    """What one field of the request asks: a query over a stretch of time."""

    query: Query
    first: Millis
    end: Millis

    def nrql(self) -> str:
        series = " TIMESERIES 1 minute" if self.query.counts else ""
        return f"{text_of(self.query)} SINCE {self.first} UNTIL {self.end}{series}"


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: newrelic` entry."""
    return (QuerySource(section, tools.clock, NewRelic(section, tools)),)


class NewRelic:
    """Asks all queries at once, each under a name of its own."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self._clock = tools.clock
        self._account: int = values["account"]
        self._window: Millis = values["window"]
        self._delay: Millis = values["delay"]
        self._limit: int = values["series_limit"]
        url = values.get("url") or _ADDRESSES[values["region"]]
        headers = {"API-Key": values["api_key"]}
        self._endpoint = Endpoint(tools.http, tools.clock, section.name, url, headers=headers)

    async def ask(self, ask: Ask) -> Answers:
        """Ask all queries that have a stretch to ask about."""
        due = {f"m{at}": piece for at, piece in enumerate(self._pieces(ask))}
        answers: Answers = dict.fromkeys(query.name for query in ask.queries)
        if not due:
            return answers
        left = ask.until - self._clock.monotonic()
        body = json.dumps(self._request(due, max(1, min(left // 1000, _LONGEST)))).encode()
        answer = await self._endpoint.ask("POST", _PATH, headers=_JSON, body=body, deadline=max(left, 1))
        if isinstance(answer, Fault):
            raise FailedError(answer)
        with shape(partial(self._endpoint.fault, path=_PATH), _NOT_OURS):
            if answer.status == 429:  # noqa: PLR2004  too many requests
                raise FailedError(self._limited(answer))
            if answer.status != 200:  # noqa: PLR2004  the only good status of this call
                raise FailedError(self._endpoint.refused(answer, _PATH, _HINTS))
            document = decoded(answer.body)
            if document.get("errors"):
                raise FailedError(self._error(document["errors"], due))
            found = document["data"]["actor"]["account"]
            for alias, piece in due.items():
                samples = self._read(piece, found[alias], ask.at)
                if samples is not None:
                    answers[piece.query.name] = [*(answers[piece.query.name] or ()), *samples]
            return answers

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _pieces(self, ask: Ask) -> list[_Piece]:
        pieces = []
        for query in ask.queries:
            first, end = ask.minutes(self._delay) if query.counts else ask.stretch(self._window, self._delay)
            longest = _PIECE if query.counts else end - first
            while first < end:
                pieces.append(_Piece(query, first, min(first + longest, end)))
                first += longest
        return pieces

    def _request(self, due: Mapping[str, _Piece], timeout: int) -> dict[str, Any]:
        """Write the GraphQL document; the queries go as variables, so that nothing in them needs an escape."""
        asked = " ".join(
            f"{alias}: nrql(query: ${alias}, timeout: {timeout}) {{ results metadata {{ facets }} }}" for alias in due
        )
        declared = "".join(f", ${alias}: Nrql!" for alias in due)
        document = f"query($account: Int!{declared}) {{ actor {{ account(id: $account) {{ {asked} }} }} }}"
        texts = {alias: piece.nrql() for alias, piece in due.items()}
        return {"query": document, "variables": {"account": self._account, **texts}}

    def _read(self, piece: _Piece, found: Mapping[str, Any], now: Millis) -> Sequence[Sample] | None:
        """Read the rows of one piece; None where it has rows and none of them a value."""
        query = piece.query
        rows, facets = found["results"], (found.get("metadata") or {}).get("facets") or []
        with shape(partial(self._fault, query), "the query must give one number a row, or a facet"):
            if len(rows) > self._limit * ((piece.end - piece.first) // MINUTE if query.counts else 1):
                text = f"the query gives {len(rows)} rows, more than `series_limit` ({self._limit})"
                raise FailedError(self._fault(query, FaultKind.TOO_LARGE, text))
            told = [(_labels(row, facets), _value(row, facets), row) for row in rows]
            if len({group for group, _, _ in told}) == _FACETS and not _LIMIT.search(_QUOTED.sub("", text_of(query))):
                text = f"the query gives {_FACETS} facets, and without LIMIT there may be more; end it with LIMIT MAX"
                raise FailedError(self._fault(query, FaultKind.TOO_LARGE, text))
            samples = []
            for group, value, row in told:
                at = self._closed(piece, row) if query.counts else now
                if value is not None and at is not None:
                    samples.append(Sample(query.name, group, value, at))
            return distinct(samples) if samples or not rows else None

    def _closed(self, piece: _Piece, row: Mapping[str, Any]) -> Millis | None:
        """Give the end of a row's minute; None where it is not wanted. Raises ValueError for another length."""
        start, end = (int(number(row[key]) * 1000) for key in ("beginTimeSeconds", "endTimeSeconds"))
        if end - start != MINUTE or end % MINUTE:
            raise FailedError(self._fault(piece.query, FaultKind.MALFORMED, "New Relic did not answer by the minute"))
        return end if piece.first < end <= piece.end else None

    def _limited(self, answer: HttpAnswer) -> Fault:
        now = self._clock.now()
        at = retry_at(answer, now) or now + _WAIT
        text = f"New Relic limits our calls; the next one is made in {seconds(at - now)}"
        return self._endpoint.fault(FaultKind.RATE_LIMITED, text, _PATH, at)

    def _error(self, errors: Sequence[Mapping[str, Any]], due: Mapping[str, _Piece]) -> Fault:
        """Name the first of the errors, and the metric that it is about."""
        first = errors[0]
        told = str((first.get("extensions") or {}).get("errorClass", "")).upper()
        kind = next((kind for word, kind in _CLASSES if word in told), FaultKind.BAD_STATUS)
        named = [due[each].query.name for each in first.get("path") or () if each in due]
        text = f"{named[0] if named else 'the request'}: New Relic could not answer: {words(first.get('message'))}"
        retry = self._clock.now() + _WAIT if kind is FaultKind.RATE_LIMITED else None
        return self._endpoint.fault(kind, text, _PATH, retry)

    def _fault(self, query: Query, kind: FaultKind, text: str) -> Fault:
        return self._endpoint.fault(kind, f"{query.name}: {text}", _PATH)


def _value(row: Mapping[str, Any], facets: Sequence[str]) -> float | None:
    """Give the one value of a row, `{"count": 3}` or `{"percentile.duration": {"95": 0.3}}`; None for null.

    What is a text is a facet under a name of the query's own.
    """
    others = {name: value for name, value in row.items() if name not in _STRETCH and name not in facets}
    (value,) = (value for value in others.values() if not isinstance(value, str))
    if isinstance(value, dict):
        (value,) = value.values()
    return None if value is None else number(value)


def _labels(row: Mapping[str, Any], facets: Sequence[str]) -> Labels:
    """Name a row's facets; one facet comes as a text, several as a list."""
    told = row["facet"] if facets else []
    told = told if isinstance(told, list) else [told]
    return labels(zip(facets, ["" if each is None else str(each) for each in told], strict=True))
