"""Sentry, by its Web API: what rules need of it is asked for, and nothing else.

Counts come in closed minutes. Sentry takes up to 90 s to take events in, so a minute counts as closed when it
ended that long ago, by Sentry's clock as well as ours, and Sentry does not call it incomplete. Only minutes that are
not held yet are asked for. Percentiles and rates are taken over `window`, which ends as long ago, and over fewer
than `minimum_count` events they are no value: spans are sampled, and the p95 of three requests is noise.

Errors, percentiles and the failure rate are queries of the same two kinds as those that settings define under
`metrics:`: a function of a dataset, as a count by the minute or as a gauge over a window. The dataset is asked by
`events-timeseries` where it counts: the table cannot say which minutes are complete. Servers of one's own may be too
old for that call; they are asked by `events-stats`, which is being retired and tells less.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from alerting.model import NO_LABELS, FaultKind, Kind, Labels, Metric, Sample
from alerting.net.http import revealed
from alerting.sources._queries import (
    MINUTE,
    Answers,
    Ask,
    FailedError,
    Query,
    QuerySource,
    clean,
    distinct,
    labels,
    number,
)
from alerting.sources._sentry_client import PAGE, Client, UnknownCallError, date_of, items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alerting.model import Millis, Section
    from alerting.ports import HttpAnswer, Tools

INGESTION: Millis = 90_000
_FIELDS = 19  # of one table, beside `count()`
_TOP = 20  # groups of a query that says no `top`
_OLD: Millis = 3_600_000  # before a server that was too old for a call is asked by it again: it may be new by then
_DROPS_BACK: Millis = 5 * 3_600_000  # Sentry tells minutes of at most 6 hours, and rounds to whole ones
_COUNTING = ("count", "failure_count", "epm", "eps", "sum")  # functions that have a value over no events: 0
_SLOW = {f"http_request_duration_p{p}": f"p{p}(span.duration)" for p in (50, 75, 90, 95, 99)}
_SESSIONS = {
    "crash_free_sessions": ("crash_free_rate(session)", "sum(session)"),
    "crash_free_users": ("crash_free_rate(user)", "count_unique(user)"),
}
_CRONS = frozenset({"cron_failing", "cron_age"})
_GOOD = frozenset({"ok", "active"})  # of a job; `active`: it has never reported, and nothing was due
_OFF = frozenset({"disabled", "pending_deletion", "deletion_in_progress"})


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: sentry` entry."""
    service = Sentry(section, tools)
    return (QuerySource(section, tools.clock, service, offered(section.name), pauses=False),)


def offered(namespace: str) -> tuple[Query, ...]:
    """Give what every Sentry source offers; the first one is asked where a rule wants `up` alone."""

    def query(name: str, said: Mapping[str, str] | None = None, kind: Kind = Kind.GAUGE, unit: str = "") -> Query:
        return Query(name, (Metric(name, namespace, kind, unit),), "", said or {})

    def of_transactions(function: str) -> Mapping[str, str]:
        return {"dataset": "spans", "filter": "is_transaction:true", "function": function}

    return (
        query("error_count", {"dataset": "errors", "function": "count()"}, Kind.COUNT),
        *(query(name, of_transactions(function), unit="ms") for name, function in _SLOW.items()),
        query("failure_rate", of_transactions("failure_rate()"), unit="ratio"),
        query("new_issues", kind=Kind.COUNT),
        query("regressed_issues"),
        *(query(name, unit="percent") for name in _SESSIONS),
        query("cron_failing"),
        query("cron_age", unit="s"),
        query("dropped_events", kind=Kind.COUNT),
    )


class Sentry:
    """Answers queries about one project in one environment, or in all, one call after the other."""

    def __init__(self, section: Section, tools: Tools) -> None:
        self._client = Client(section, tools)
        self._clock = tools.clock
        self._old_until: Millis = 0  # the server is taken to be too old for `events-timeseries` (monotonic)
        self._window: Millis = section.values["window"]
        self._minimum: int = section.values["minimum_count"]

    async def ask(self, ask: Ask) -> Answers:
        """Answer all queries; what Sentry has nothing to say of is known to be empty."""
        self._client.scope()  # a setting that is missing is said before anything is asked
        functions = [query for query in ask.queries if "function" in query.said]
        samples: list[Sample] = []
        for query in functions:
            if query.counts:
                samples += await self._series(query, ask)
        samples += await self._tables([query for query in functions if not query.counts], ask)
        asked = {query.name for query in ask.queries}
        for names, part in self._parts():
            if not asked.isdisjoint(names):
                samples += await part(ask)
        return {name: [sample for sample in samples if sample.name == name] for name in asked}

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _parts(self) -> Sequence[tuple[frozenset[str], Callable[[Ask], Any]]]:
        return (
            (frozenset({"new_issues"}), self._new_issues),
            (frozenset({"regressed_issues"}), self._regressed_issues),
            (frozenset(_SESSIONS), self._sessions),
            (_CRONS, self._crons),
            (frozenset({"dropped_events"}), self._dropped_events),
        )

    # functions of a dataset

    async def _series(self, query: Query, ask: Ask) -> list[Sample]:
        """Give one function by closed minute."""
        first, end = ask.minutes(INGESTION)
        if first >= end:
            return []
        params = [("dataset", query.said["dataset"]), ("yAxis", _function(query))]
        params += [("start", _iso(first)), ("end", _iso(end)), *_search(_filter(query))]
        if self._clock.monotonic() >= self._old_until:
            try:
                return await self._timeseries(query.name, params, first, end, ask.until)
            except UnknownCallError:
                self._old_until = self._clock.monotonic() + _OLD
        return await self._stats(query.name, params, first, end, ask.until)

    async def _timeseries(
        self, name: str, params: Sequence[tuple[str, str]], first: Millis, end: Millis, until: Millis
    ) -> list[Sample]:
        """https://docs.sentry.io/api/explore/ says what `events-timeseries` answers."""
        answer, document = await self._client.call("events-timeseries", [*params, ("interval", "60")], until)
        with self._client.shape():
            if "meta" not in document:
                text = "Sentry knows no such project, or the token may not see it; check `project` and the token"
                raise FailedError(self._client.fault(FaultKind.NOT_FOUND, text))
            (series,) = items(document["timeSeries"])
            if series["meta"]["interval"] != MINUTE:
                raise ValueError(series["meta"]["interval"])
            return _closed(name, items(series["values"]), first, min(end, _closed_by(answer, end)))

    async def _stats(
        self, name: str, params: Sequence[tuple[str, str]], first: Millis, end: Millis, until: Millis
    ) -> list[Sample]:
        """Ask an older server: `{"data": [[seconds, [{"count": n}]], …]}`, without a word on what is complete."""
        answer, document = await self._client.call("events-stats", [*params, ("interval", "1m")], until)
        with self._client.shape():
            rows = items(document["data"])
            if not rows or any(later[0] - earlier[0] != 60 for earlier, later in pairwise(rows)):  # noqa: PLR2004  s
                raise ValueError(len(rows))  # nobody's project, or longer stretches than were asked for
            values = [{"timestamp": 1000 * at, "value": count["count"], "incomplete": False} for at, (count,) in rows]
            return _closed(name, values, first, min(end, _closed_by(answer, end)))

    async def _tables(self, queries: Sequence[Query], ask: Ask) -> list[Sample]:
        """Give functions over their windows; those of one dataset, filter and window stand in one table."""
        tables: dict[tuple[str, str, Millis], list[Query]] = {}
        samples = []
        for query in queries:
            if "group_by" in query.said:
                samples += await self._grouped(query, ask)
                continue
            key = query.said["dataset"], _filter(query), query.said.get("window", self._window)
            tables.setdefault(key, []).append(query)
        for key, these in tables.items():
            for at in range(0, len(these), _FIELDS):
                samples += await self._table(*key, these[at : at + _FIELDS], ask)
        return samples

    async def _table(
        self, dataset: str, search: str, window: Millis, queries: Sequence[Query], ask: Ask
    ) -> list[Sample]:
        first, end = ask.stretch(window, INGESTION)
        fields = dict.fromkeys([*map(_function, queries), "count()"])
        params = [("dataset", dataset), *(("field", field) for field in fields), *_search(search)]
        params += [("start", _iso(first)), ("end", _iso(end)), ("per_page", "1")]
        _, document = await self._client.call("events", params, ask.until)
        samples = []
        with self._client.shape():
            row = next(iter(items(document["data"])), dict.fromkeys(fields, 0))
            count = number(row["count()"] or 0)
            for query in queries:
                value = row[_function(query)]
                if value is not None and count >= self._least(query):
                    samples.append(Sample(query.name, NO_LABELS, number(value), ask.at))
        return samples

    async def _grouped(self, query: Query, ask: Ask) -> list[Sample]:
        """Give a function by group: the `top` groups in which it is highest, each with enough events."""
        first, end = ask.stretch(query.said.get("window", self._window), INGESTION)
        function, groups = _function(query), [revealed(each) for each in query.said["group_by"]]
        params = [("dataset", query.said["dataset"])]
        params += [("field", field) for field in dict.fromkeys((*groups, function, "count()"))]
        params += [("start", _iso(first)), ("end", _iso(end)), *_search(_filter(query))]
        params += [("sort", f"-{function}"), ("per_page", str(query.said.get("top", _TOP)))]
        _, document = await self._client.call("events", params, ask.until)
        samples = []
        with self._client.shape():
            for row in items(document["data"]):
                value = row[function]
                if value is not None and number(row["count()"] or 0) >= self._least(query):
                    by = labels((group, "" if row[group] is None else str(row[group])) for group in groups)
                    samples.append(Sample(query.name, by, number(value), ask.at))
            return list(distinct(samples))

    def _least(self, query: Query) -> int:
        """Give how many events a value needs: none where it counts them."""
        otherwise = 0 if _function(query).startswith(_COUNTING) else self._minimum
        return int(query.said.get("minimum_count", otherwise))

    # what has a call of its own

    async def _new_issues(self, ask: Ask) -> list[Sample]:
        """Issues first seen, by closed minute."""
        first, end = ask.minutes(INGESTION)
        if first >= end:
            return []
        minutes = -(-(ask.at - first) // MINUTE) + 1
        counts = dict.fromkeys(range(first, end, MINUTE), 0)
        async for answer, page in self._issues(f"firstSeen:-{minutes}m", ask):
            end = min(end, _closed_by(answer, end))
            with self._client.shape():
                for issue in page:
                    minute = _millis(issue["firstSeen"]) // MINUTE * MINUTE
                    if minute in counts:
                        counts[minute] += 1
        closed = ((start + MINUTE, count) for start, count in counts.items() if start + MINUTE <= end)
        return [Sample("new_issues", NO_LABELS, float(count), at) for at, count in closed]

    async def _regressed_issues(self, ask: Ask) -> list[Sample]:
        """Issues that came back after they were resolved, as long as Sentry calls them so."""
        count = 0
        async for _, page in self._issues("is:unresolved is:regressed", ask):
            with self._client.shape():
                count += len({issue["id"] for issue in page})
        return [Sample("regressed_issues", NO_LABELS, float(count), ask.at)]

    def _issues(self, query: str, ask: Ask) -> Any:
        return self._client.pages("issues", [("query", query), ("sort", "new"), ("limit", str(PAGE))], ask.until)

    async def _sessions(self, ask: Ask) -> list[Sample]:
        """Sessions and users of the last hour that saw no crash, 0 to 100; an hour is Sentry's shortest."""
        asked = {name: fields for name, fields in _SESSIONS.items() if any(query.name == name for query in ask.queries)}
        params = [("field", field) for fields in asked.values() for field in fields]
        params += [("statsPeriod", "1h"), ("interval", "1h"), ("includeSeries", "0")]
        _, document = await self._client.call("sessions", params, ask.until)
        samples = []
        with self._client.shape():
            groups = items(document["groups"])
            totals = groups[0]["totals"] if groups else dict.fromkeys(field for _, field in params)
            for name, (rate, count) in asked.items():
                if number(totals[count] or 0) >= self._minimum and totals[rate] is not None:
                    samples.append(Sample(name, NO_LABELS, 100 * number(totals[rate]), ask.at))
        return samples

    async def _crons(self, ask: Ask) -> list[Sample]:
        """Jobs that Sentry watches, in each of their environments; muted ones and those switched off are left out."""
        samples = []
        async for _, page in self._client.pages("monitors", [], ask.until):
            with self._client.shape():
                samples += [sample for monitor in page for sample in _of_monitor(monitor, ask.at)]
        with self._client.shape():
            return list(distinct(samples))

    async def _dropped_events(self, ask: Ask) -> list[Sample]:
        """Events that Sentry or an SDK did not keep, by closed minute, outcome and category; `stats_v2`."""
        first, end = ask.minutes(INGESTION)
        first = max(first, end - _DROPS_BACK)
        if first >= end:
            return []
        params = [("field", "sum(quantity)"), ("groupBy", "outcome"), ("groupBy", "category"), ("interval", "1m")]
        params += [("start", _iso(first)), ("end", _iso(end))]
        answer, document = await self._client.call("stats_v2", params, ask.until)
        end = min(end, _closed_by(answer, end))
        samples = []
        with self._client.shape():
            starts = [_millis(text) for text in items(document["intervals"])]
            if any(later - earlier != MINUTE for earlier, later in pairwise(starts)):
                text = "this server tells dropped events by longer stretches than minutes"
                raise FailedError(self._client.fault(FaultKind.MALFORMED, text))
            for group in items(document["groups"]):
                by = group["by"]
                labels = Labels({"outcome": clean(by["outcome"]), "category": clean(by["category"])})
                for start, value in zip(starts, group["series"]["sum(quantity)"], strict=True):
                    if by["outcome"] != "accepted" and first <= start and start + MINUTE <= end:
                        samples.append(Sample("dropped_events", labels, number(value), start + MINUTE))
            return list(distinct(samples))


# ------------------------------------------------------------------------------------------- reading answers


def _function(query: Query) -> str:
    return revealed(query.said["function"])  # settings may say any text by `${…}`


def _filter(query: Query) -> str:
    return revealed(query.said.get("filter", ""))


def _search(text: str) -> list[tuple[str, str]]:
    return [("query", text)] if text else []


def _closed(name: str, values: Sequence[Any], first: Millis, end: Millis) -> list[Sample]:
    """Give the minutes up to the first that is not complete; they follow each other without a hole."""
    samples = []
    expected = first
    for value in values:
        start = int(value["timestamp"])
        if start < first:
            continue
        if value["incomplete"] or start + MINUTE > end:
            break
        if start != expected:
            raise ValueError(start)
        samples.append(Sample(name, NO_LABELS, number(value["value"]), start + MINUTE))
        expected = start + MINUTE
    return samples


def _closed_by(answer: HttpAnswer, otherwise: Millis) -> Millis:
    """Give the end of the newest closed minute by Sentry's own clock, which the answer's Date tells."""
    now = date_of(answer)
    return (now - INGESTION) // MINUTE * MINUTE if now is not None else otherwise


def _of_monitor(monitor: Any, at: Millis) -> Iterator[Sample]:
    if monitor["status"] in _OFF or monitor["isMuted"]:
        return
    for place in items(monitor["environments"]):
        if place["status"] in _OFF or place.get("isMuted"):
            continue
        told = {"monitor": monitor["slug"], "environment": place["name"], "project": monitor["project"]["slug"]}
        labels = Labels({name: clean(value) for name, value in told.items()})
        failing = place["status"] not in _GOOD or place.get("activeIncident") is not None
        yield Sample("cron_failing", labels, 1.0 if failing else 0.0, at)
        if place["lastCheckIn"] is not None:
            yield Sample("cron_age", labels, max(at - _millis(place["lastCheckIn"]), 0) / 1000, at)


def _iso(time: Millis) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _millis(text: str) -> Millis:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
