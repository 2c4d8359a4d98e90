"""Datadog, asked by its metrics query API, one query a metric.

https://docs.datadoghq.com/api/latest/metrics/#query-timeseries-points is the law for the call. An answer is a series
of buckets for each group, of which the last one is still filling: only those that are closed count. A gauge is the
newest closed bucket that has a value; a count takes every closed minute, so its query must give minutes. A group
of which nothing is told has no value, which is not zero; and a query that can fail may do so in an answer of 200.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Sequence

    from alerting.model import Labels, Millis, Section
    from alerting.ports import HttpAnswer, Tools

_PATH = "/api/v1/query"
_WAIT: Millis = 60_000  # after a 429 that names no end
_LONGEST_WAIT: Millis = 3_600_000
_NOT_OURS = "the answer does not look like Datadog's; check `site` and `url`"
_TWICE = "the query gives two series with the same tags; ask for one metric, and group by what tells its series apart"
_TAGS = "the tags of a series cannot be labels: no list of texts, one name twice, or more than 1,024 characters"
_HINTS = {
    401: "Datadog refuses the keys; check `api_key`, `application_key` and `site`",
    403: "Datadog refuses the keys, or the application key lacks the scope timeseries_query; check `site` too",
    404: "no such API is there; check `site` and `url`",
}


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: datadog` entry."""
    return (QuerySource(section, tools.clock, Datadog(section, tools)),)


class Datadog:
    """Asks one query after the other: calls are limited by the hour."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self._clock = tools.clock
        self._timeout: Millis = values["timeout"]
        self._window: Millis = values["window"]
        self._delay: Millis = values["delay"]
        self._limit: int = values["series_limit"]
        keys = {"DD-API-KEY": values["api_key"], "DD-APPLICATION-KEY": values["application_key"]}
        url = values.get("url") or f"https://api.{values['site']}"
        self._endpoint = Endpoint(tools.http, tools.clock, section.name, url, headers=keys)

    async def ask(self, ask: Ask) -> Answers:
        """Ask each query. What no group tells anything of is not known."""
        return {query.name: await self._one(query, ask) or None for query in ask.queries}

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _one(self, query: Query, ask: Ask) -> Sequence[Sample]:
        first, end = ask.minutes(self._delay) if query.counts else ask.stretch(self._window, self._delay)
        if first >= end:
            return ()
        left = ask.until - self._clock.monotonic()
        if left <= 0:
            text = f"there was no time left to ask within {seconds(self._timeout)}"
            raise FailedError(self._fault(query, FaultKind.TIMEOUT, text))
        params = [("from", str(first // 1000)), ("to", str(end // 1000)), ("query", text_of(query))]
        answer = await self._endpoint.get(_PATH, params, deadline=left)
        if isinstance(answer, Fault):
            raise FailedError(answer)
        with shape(partial(self._fault, query), _NOT_OURS):
            if answer.status != 200:  # noqa: PLR2004  the only good status of this call
                raise FailedError(self._refused(query, answer))
            document = decoded(answer.body)
            if document["status"] != "ok":
                text = f"Datadog could not answer: {words(document.get('error')) or 'no reason given'}"
                raise FailedError(self._fault(query, FaultKind.BAD_STATUS, text))
            found = document["series"]
            if len(found) > self._limit:
                text = f"the query gives {len(found)} series, more than `series_limit` ({self._limit})"
                raise FailedError(self._fault(query, FaultKind.TOO_LARGE, text))
            samples = [sample for each in found for sample in self._samples(query, each, ask, first, end)]
            with shape(partial(self._fault, query), _TWICE):
                return distinct(samples)

    def _samples(self, query: Query, series: Any, ask: Ask, first: Millis, end: Millis) -> list[Sample]:
        """Read the closed buckets of one group."""
        tags: Sequence[str] = series["tag_set"]
        with shape(partial(self._fault, query), _TAGS):
            group = _labels(tags)
        length = _milliseconds(series["interval"])
        ends = [(int(number(at)) + length, value) for at, value in series["pointlist"]]
        if len(dict(ends)) != len(ends):
            raise ValueError(group)
        closed = {at: number(value) for at, value in ends if value is not None and at <= end}
        if not query.counts:
            return [Sample(query.name, group, closed[max(closed)], ask.at)] if closed else []
        if length != MINUTE or any(at % MINUTE for at in closed):
            text = f"a count needs minutes, and this gives buckets of {seconds(length)}; end it with .rollup(sum, 60)"
            raise FailedError(self._fault(query, FaultKind.MALFORMED, text))
        return [Sample(query.name, group, value, at) for at, value in sorted(closed.items()) if at > first]

    def _refused(self, query: Query, answer: HttpAnswer) -> Fault:
        now = self._clock.now()
        if answer.status == 429:  # noqa: PLR2004  too many requests
            left = answer.headers.get("x-ratelimit-reset", "").strip()
            wait = (
                int(left[:9]) * 1000
                if left.isascii() and left.isdigit()
                else (retry_at(answer, now) or now + _WAIT) - now
            )
            wait = min(max(wait, 1000), _LONGEST_WAIT)
            text = f"Datadog limits our calls; the next one is made in {seconds(wait)}"
            return self._endpoint.fault(FaultKind.RATE_LIMITED, text, _PATH, now + wait)
        if answer.status == 400:  # noqa: PLR2004  the query
            text = f"Datadog does not take the query: {_errors(answer.body) or 'no reason given'}"
            return self._fault(query, FaultKind.BAD_STATUS, text)
        return self._endpoint.refused(answer, _PATH, _HINTS)

    def _fault(self, query: Query, kind: FaultKind, text: str) -> Fault:
        return self._endpoint.fault(kind, f"{query.name}: {text}", _PATH)


def _labels(tags: Sequence[str]) -> Labels:
    """Read the tags that a query groups by: `host:a` is the label host; a tag without a value is `true`."""
    pairs = (tag.partition(":") for tag in tags)
    return labels((name, value if colon else "true") for name, colon, value in pairs)


def _milliseconds(interval: Any) -> Millis:
    """Read the length of a bucket: seconds in what the service answers, milliseconds by its specification."""
    length = int(number(interval))
    if length <= 0:
        raise ValueError(interval)
    return length if length >= 1000 and length % 1000 == 0 else length * 1000  # noqa: PLR2004  of a second


def _errors(body: bytes) -> str:
    """Give Datadog's own words for an error; empty where there are none."""
    try:
        return words("; ".join(decoded(body)["errors"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
