"""A remote Prometheus, Mimir, Thanos or VictoriaMetrics, asked in PromQL by its HTTP API.

Each metric is one instant query (https://prometheus.io/docs/prometheus/latest/querying/api/). Values are what
PromQL says they are, NaN and infinities included: what a comparison makes of them is PromQL's rule too. An answer
that is whole by its form may still be partial, where a store behind Thanos or Mimir was away; the server says so
in `warnings` or `isPartial`, and such an answer is a fault unless the settings take it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from alerting.model import NO_LABELS, Fault, FaultKind, Labels, Sample
from alerting.net.endpoint import Endpoint
from alerting.sources._queries import (
    Answers,
    Ask,
    FailedError,
    Query,
    QuerySource,
    clean,
    decoded,
    distinct,
    seconds,
    shape,
    text_of,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Section
    from alerting.ports import HttpAnswer, Tools

_PATH = "/api/v1/query"
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_NOT_OURS = "the answer is not one of Prometheus' API; set `url` to the address before /api/v1"


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: prometheus_query` entry."""
    return (QuerySource(section, tools.clock, PrometheusApi(section, tools)),)


class PrometheusApi:
    """Asks one query after the other, in the POST form: long ones do not fit into an address."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self._clock = tools.clock
        self._timeout: Millis = values["timeout"]
        self._limit: int = values["series_limit"]
        self._partial: bool = values["partial_answers"]
        self._endpoint = Endpoint.of(section, tools)

    async def ask(self, ask: Ask) -> Answers:
        """Ask each query; all are stamped with the time of the fetch."""
        return {query.name: await self._one(query, ask) for query in ask.queries}

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _one(self, query: Query, ask: Ask) -> Sequence[Sample]:
        left = ask.until - self._clock.monotonic()
        if left <= 0:
            raise FailedError(
                self._fault(query, FaultKind.TIMEOUT, f"there was no time left to ask within {seconds(self._timeout)}")
            )
        form = urlencode({"query": text_of(query), "timeout": f"{left}ms"})
        answer = await self._endpoint.ask("POST", _PATH, headers=_FORM, body=form.encode(), deadline=left)
        if isinstance(answer, Fault):
            raise FailedError(answer)
        with shape(partial(self._fault, query), _NOT_OURS):
            if answer.status != 200:  # noqa: PLR2004  the only good status of this call
                raise FailedError(self._refused(query, answer))
            document = decoded(answer.body)
            if document["status"] != "success":
                raise ValueError(document["status"])
            self._check_whole(query, document)
            return self._samples(query, document["data"], ask.at)

    def _check_whole(self, query: Query, document: Mapping[str, Any]) -> None:
        """Refuse what the server itself calls partial. Remarks on the query begin with "PromQL" and are no matter."""
        told = [words(each) for each in document.get("warnings") or ()]
        told = [each for each in told if not each.startswith("PromQL")]
        if (told or document.get("isPartial")) and not self._partial:
            text = f"the answer may be partial: {told[0] if told else 'the server says so'}"
            raise FailedError(self._fault(query, FaultKind.SERVER_ERROR, f"{text} (`partial_answers: true` takes it)"))

    def _samples(self, query: Query, data: Mapping[str, Any], at: Millis) -> Sequence[Sample]:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [Sample(query.name, NO_LABELS, _value(result), at)]
        if kind != "vector":
            known = {"matrix": "a range; take one value of it, as max_over_time does", "string": "a text, not numbers"}
            raise FailedError(self._fault(query, FaultKind.MALFORMED, f"the query gives {known[kind]}"))
        if len(result) > self._limit:
            text = f"the query gives {len(result)} series, more than `series_limit` ({self._limit})"
            raise FailedError(self._fault(query, FaultKind.TOO_LARGE, text))
        if any("histogram" in series for series in result):
            text = "the query gives native histograms; take histogram_quantile or histogram_count of them"
            raise FailedError(self._fault(query, FaultKind.MALFORMED, text))
        samples = [Sample(query.name, _labels(series["metric"]), _value(series["value"]), at) for series in result]
        with shape(partial(self._fault, query), "the query gives two series that differ by their name alone"):
            return distinct(samples)

    def _refused(self, query: Query, answer: HttpAnswer) -> Fault:
        """Tell apart what Prometheus refuses, cannot compute, or has no time for; others speak before it."""
        try:
            document = decoded(answer.body)
            error, what = words(document["error"]), document["errorType"]
        except (ValueError, TypeError, LookupError, RecursionError):
            return self._endpoint.refused(answer, _PATH, _HINTS)
        if what in ("timeout", "canceled"):
            return self._fault(query, FaultKind.TIMEOUT, f"it took the server too long: {error}")
        if answer.status in (400, 422):
            verb = "the query is not taken" if answer.status == 400 else "the query cannot be computed"  # noqa: PLR2004  bad data
            return self._fault(query, FaultKind.BAD_STATUS, f"{verb}: {error}")
        return self._endpoint.refused(answer, _PATH, {**_HINTS, answer.status: error})

    def _fault(self, query: Query, kind: FaultKind, text: str) -> Fault:
        return self._endpoint.fault(kind, f"{query.name}: {text}", _PATH)


_HINTS = {
    401: "it wants credentials, or refuses ours; check `token`, `username` and `headers`",
    404: "no API is there; set `url` to the address before /api/v1",
}


def _labels(metric: Mapping[str, str]) -> Labels:
    return Labels({clean(name): clean(value) for name, value in metric.items() if name != "__name__"})


def _value(pair: Any) -> float:
    """Read `[time, "value"]`; the value is a text because JSON knows no NaN and no infinity."""
    _, text = pair
    if not isinstance(text, str) or "_" in text or text != text.strip():
        raise ValueError(text)
    return float(text)
