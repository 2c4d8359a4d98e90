"""Sentry, by its Web API: what rules need of it is asked for, and nothing else.

Counts come in closed minutes. Sentry takes up to 90 s to take events in, so a minute counts as closed when it
ended that long ago, by Sentry's clock as well as ours, and Sentry does not call it incomplete. Only minutes that are
not held yet are asked for. Percentiles and rates are taken over `window`, which ends as long ago, and over fewer
than `minimum_count` events they are no value: spans are sampled, and the p95 of three requests is noise.

One call at a time, and none while Sentry asked to wait. The errors dataset is asked by `events-timeseries` alone:
the table cannot say which minutes are complete, and the older `events-stats` is being retired.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from alerting.endpoint import Endpoint
from alerting.errors import SecretError
from alerting.http import retry_at, revealed
from alerting.model import NO_LABELS, Fault, FaultKind, Kind, Metric, Reading, Sample, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.model import Millis, Need, Section
    from alerting.ports import HttpAnswer, Tools

MINUTE: Millis = 60_000
INGESTION: Millis = 90_000
_BUCKETS = 1500  # of one answer: a day of minutes, for `N per day`, and an hour
_BACK = 60  # so many times D are caught up after a pause
_PAGES, _PAGE = 10, 100
_WAIT: Millis = 60_000  # where a limit names no end
_LONGEST_WAIT: Millis = 3_600_000

SAAS = "https://sentry.io"
_INGEST = re.compile(r"o(?P<organization>\d+)\.ingest\.(?P<region>[a-z0-9-]+\.)?sentry\.io", re.ASCII)

DURATIONS = {f"http_request_duration_p{p}": f"p{p}(span.duration)" for p in (50, 75, 90, 95, 99)}
TABLE = {**DURATIONS, "failure_rate": "failure_rate()"}
OFFERED = frozenset({"error_count", *TABLE, "new_issues", "crash_free_sessions"})

_SCOPES = {
    "events-timeseries": "org:read",
    "events": "org:read",
    "sessions": "org:read",
    "issues": "event:read",
}


def build(section: Section, tools: Tools) -> Sequence[Sentry]:
    """Build the source of one `type: sentry` entry."""
    return (Sentry(section, tools),)


class _Scope(NamedTuple):
    """Whose events are read. `url` is where Sentry is."""

    url: str
    organization: str
    project: str
    environment: str = ""


class _Ask(NamedTuple):
    """What one fetch asks for."""

    at: Millis
    until: Millis  # on the monotonic clock: the deadline of all calls together
    names: frozenset[str]
    scope: _Scope
    first: Millis  # start of the oldest minute that is wanted
    end: Millis  # end of the newest minute that may be closed


class _FailedError(Exception):
    """A call that gave no usable answer."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


class Sentry:
    """Reads one project in one environment, or in all."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._clock = tools.clock
        self._timeout: Millis = values["timeout"]
        self._window: Millis = values["window"]
        self._minimum: int = values["minimum_count"]
        self._written = {name: values.get(name) or "" for name in ("url", "organization", "project", "environment")}
        self._dsn: str | Secret = values.get("dsn") or ""
        token = values["token"]
        label = token.label if isinstance(token, Secret) else "the token"
        self._endpoint = Endpoint(
            tools.http,
            tools.clock,
            section.name,
            self._written["url"] or (Secret(lambda: self._scope().url, "the server of the DSN") if self._dsn else SAAS),
            headers={"authorization": Secret(lambda: f"Bearer {revealed(token)}", label)},
            ca_file=values.get("ca_file"),
        )
        self._not_before: dict[str, Millis] = {}  # by endpoint, on the monotonic clock

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Ask for what `needs` name: everything for a need without a name, or for no needs at all.

        One call that fails fails the reading: half an answer would pass for a whole one.
        """
        at, began = self._clock.now(), self._clock.monotonic()
        samples: list[Sample] = []
        fault = None
        try:
            ask = self._ask(needs, since, at, began)
            for part, names in self._parts():
                if ask.names & names:
                    samples += await part(ask)
        except _FailedError as error:
            samples, fault = [], error.fault
        except SecretError as error:
            fault = Fault(FaultKind.SECRET, f"{self.name}: {error}")
        up = Sample("up", NO_LABELS, 0.0 if fault else 1.0, at)
        took = self._clock.monotonic() - began
        kinds = (Metric("error_count", self.namespace, Kind.COUNT),)  # dated by its minutes, not by the reading
        return Reading(self.name, self.namespace, at, (up, *samples), fault=fault, took=took, kinds=kinds)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _parts(self) -> Sequence[tuple[Callable[[_Ask], Any], frozenset[str]]]:
        return (
            (self._errors, frozenset({"error_count"})),
            (self._table, frozenset(TABLE)),
            (self._issues, frozenset({"new_issues"})),
            (self._sessions, frozenset({"crash_free_sessions"})),
        )

    def _ask(self, needs: Sequence[Need], since: Millis | None, at: Millis, began: Millis) -> _Ask:
        names = frozenset(need.name for need in needs)
        if not names or "" in names:
            names = OFFERED
        elif names <= {"up"}:
            names = frozenset({"error_count"})  # the cheapest question that tells whether it answers
        end = (at - INGESTION) // MINUTE * MINUTE
        longest = max((need.bucket for need in needs), default=0)
        together = max(1, -(-longest // MINUTE)) * MINUTE  # the minutes that one `N per D` adds up
        first = end - together if since is None else max(since // MINUTE * MINUTE, end - _BACK * together)
        return _Ask(at, began + self._timeout, names, self._scope(), max(first, end - _BUCKETS * MINUTE), end)

    def _scope(self) -> _Scope:
        """Take what the settings say, and the rest from the DSN. Raises SecretError, _FailedError."""
        url, organization, project, environment = (revealed(value) for value in map(_text, self._written.values()))
        if self._dsn and not (url and organization and project):
            try:
                told = read_dsn(revealed(self._dsn))
            except ValueError as error:
                raise _FailedError(Fault(FaultKind.MALFORMED, f"{self.name}: {error}")) from None
            url, organization, project = url or told.url, organization or told.organization, project or told.project
        if not organization:
            text = f"{self.name}: `organization` is not set, and the DSN of a server of your own does not tell it"
            raise _FailedError(Fault(FaultKind.MALFORMED, text))
        return _Scope(url or SAAS, organization, project, environment)

    # the four questions

    async def _errors(self, ask: _Ask) -> list[Sample]:
        """Error events by closed minute; https://docs.sentry.io/api/explore/ (events-timeseries)."""
        if ask.first >= ask.end:
            return []
        period = [("start", _iso(ask.first)), ("end", _iso(ask.end))]
        params = [("dataset", "errors"), ("yAxis", "count()"), ("interval", "60"), *period]
        answer, document = await self._call(ask, "events-timeseries", params)
        with _Shape(self._endpoint):
            if "meta" not in document:
                text = "Sentry knows no such project, or the token may not see it; check `project` and the token"
                raise _FailedError(self._endpoint.fault(FaultKind.NOT_FOUND, text))
            (series,) = _items(document["timeSeries"])
            if series["meta"]["interval"] != MINUTE:
                raise ValueError
            end = min(ask.end, _closed_by(answer, ask.end))
            return list(_closed(_items(series["values"]), ask.first, end))

    async def _table(self, ask: _Ask) -> list[Sample]:
        """Percentiles (ms) and the failure rate (0 to 1) of transactions over the window."""
        end = ask.at - INGESTION
        fields = {name: field for name, field in TABLE.items() if name in ask.names}
        params = [("dataset", "spans"), *(("field", field) for field in (*fields.values(), "count()"))]
        params += [("query", "is_transaction:true"), ("start", _iso(end - self._window)), ("end", _iso(end))]
        _, document = await self._call(ask, "events", [*params, ("per_page", "1")])
        with _Shape(self._endpoint):
            row = next(iter(_items(document["data"])), {"count()": 0})
            if _number(row["count()"] or 0) < self._minimum:
                return []
            return [_gauge(name, row[field], ask.at) for name, field in fields.items() if row[field] is not None]

    async def _issues(self, ask: _Ask) -> list[Sample]:
        """Issues first seen, by closed minute."""
        if ask.first >= ask.end:
            return []
        minutes = -(-(ask.at - ask.first) // MINUTE) + 1
        params = [("query", f"firstSeen:-{minutes}m"), ("sort", "new"), ("limit", str(_PAGE))]
        counts = dict.fromkeys(range(ask.first, ask.end, MINUTE), 0)
        end = ask.end
        cursors = [""]
        while len(cursors) <= _PAGES:
            more = [("cursor", cursors[-1])] if cursors[-1] else []
            answer, document = await self._call(ask, "issues", [*params, *more])
            end = min(end, _closed_by(answer, ask.end))
            with _Shape(self._endpoint):
                for issue in _items(document):
                    minute = _millis(issue["firstSeen"]) // MINUTE * MINUTE
                    if minute in counts:
                        counts[minute] += 1
                following = _next_cursor(answer)
                if following in cursors[1:]:
                    raise ValueError
            if not following:
                break
            cursors.append(following)
        else:
            text = f"more than {_PAGES * _PAGE} new issues in {minutes} minutes"
            raise _FailedError(self._endpoint.fault(FaultKind.TOO_LARGE, text))
        closed = ((start + MINUTE, count) for start, count in counts.items() if start + MINUTE <= end)
        return [Sample("new_issues", NO_LABELS, float(count), at) for at, count in closed]

    async def _sessions(self, ask: _Ask) -> list[Sample]:
        """Sessions of the last hour that did not crash, 0 to 100; an hour is Sentry's shortest."""
        rate, count = "crash_free_rate(session)", "sum(session)"
        params = [("field", rate), ("field", count), ("statsPeriod", "1h"), ("interval", "1h"), ("includeSeries", "0")]
        _, document = await self._call(ask, "sessions", params)
        with _Shape(self._endpoint):
            totals = next(iter(_items(document["groups"])), {"totals": {count: 0}})["totals"]
            if _number(totals[count] or 0) < self._minimum or totals[rate] is None:
                return []
            return [Sample("crash_free_sessions", NO_LABELS, 100 * _number(totals[rate]), ask.at)]

    # one call

    async def _call(self, ask: _Ask, what: str, params: list[tuple[str, str]]) -> tuple[HttpAnswer, Any]:
        """Make one call within the fetch's deadline, unless Sentry asked to wait. Raises _FailedError."""
        path = f"/api/0/organizations/{quote(ask.scope.organization, safe='')}/{what}/"
        moment = self._clock.monotonic()
        if (wait := self._not_before.get(what, 0) - moment) > 0:
            raise _FailedError(self._limited(path, wait))
        if ask.until <= moment:
            text = f"no whole answer within {self._timeout / 1000:g} s, all calls together"
            raise _FailedError(self._endpoint.fault(FaultKind.TIMEOUT, text, path))
        scope = [("project", ask.scope.project), ("environment", ask.scope.environment)]
        scope = [(name, value) for name, value in scope if value]
        answer = await self._endpoint.get(path, [*params, *scope], deadline=ask.until - moment)
        if isinstance(answer, Fault):
            raise _FailedError(answer)
        wait = self._wait(answer)
        if wait:
            self._not_before[what] = self._clock.monotonic() + wait
        if answer.status == 429:  # noqa: PLR2004  too many requests
            raise _FailedError(self._limited(path, wait))
        if answer.status != 200:  # noqa: PLR2004  these calls have no other good status
            raise _FailedError(self._refused(answer, what, path))
        with _Shape(self._endpoint):
            return answer, json.loads(answer.body, parse_constant=_refuse)

    def _limited(self, path: str, wait: Millis) -> Fault:
        text = f"Sentry limits our calls; the next one is made in {wait / 1000:.0f} s"
        return self._endpoint.fault(FaultKind.RATE_LIMITED, text, path, self._clock.now() + wait)

    def _wait(self, answer: HttpAnswer) -> Millis:
        """How long no call may be made to this endpoint: Sentry says when the window ends, by its own clock."""
        headers = answer.headers
        if answer.status != 429 and headers.get("x-sentry-rate-limit-remaining", "").strip() != "0":  # noqa: PLR2004
            return 0
        now = self._clock.now()
        reset = headers.get("x-sentry-rate-limit-reset", "").strip()
        if reset.isascii() and reset.isdigit():
            wait = int(reset[:12]) * 1000 - (_date(answer) or now)
        else:
            wait = (retry_at(answer, now) or now + _WAIT) - now
        return min(max(wait, 1000), _LONGEST_WAIT)

    def _refused(self, answer: HttpAnswer, what: str, path: str) -> Fault:
        detail = _detail(answer.body)
        if answer.status == 400 and ("too long" in detail or "timeout" in detail.lower()):  # noqa: PLR2004
            return self._endpoint.fault(FaultKind.TIMEOUT, "Sentry's own query took too long; it is asked again", path)
        hints = {
            400: f"Sentry does not take the question: {detail or 'no reason given'}",
            401: "the token is not valid (any more); make a new one",
            403: f"the token lacks the scope {_SCOPES[what]}, or may not see this project",
            404: "no such organization for this token; or a server of your own that is too old for this call",
        }
        return self._endpoint.refused(answer, path, hints)


def _text(value: Any) -> str | Secret:
    return value if isinstance(value, Secret) else str(value)  # a project may be written as a number


def read_dsn(dsn: str) -> _Scope:
    """Read where an app reports to: `https://KEY@o1.ingest.de.sentry.io/2` tells server, organization and project.

    The DSN of a server of one's own tells no organization. Raises ValueError; its text holds nothing of the DSN.
    """
    try:
        parts = urlsplit(dsn)
    except ValueError:
        parts = urlsplit("")
    path, _, project = parts.path.rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not (project.isascii() and project.isdigit()):
        raise ValueError("the DSN cannot be read; it looks like https://KEY@o1.ingest.sentry.io/2")
    ours = _INGEST.fullmatch(parts.hostname)
    if ours:
        return _Scope(f"https://{ours['region'] or ''}sentry.io", ours["organization"], project)
    _, _, host = parts.netloc.rpartition("@")
    return _Scope(f"{parts.scheme}://{host}{path}", "", project)


# ------------------------------------------------------------------------------------------- reading answers


class _Shape:
    """Turns whatever an unexpected shape raises inside the block into a typed failure."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)):
            text = "the answer does not look like Sentry's; check `url`"
            raise _FailedError(self._endpoint.fault(FaultKind.MALFORMED, text)) from None


def _closed(values: list[dict[str, Any]], first: Millis, end: Millis) -> Sequence[Sample]:
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
            raise ValueError
        samples.append(Sample("error_count", NO_LABELS, _number(value["value"]), start + MINUTE))
        expected = start + MINUTE
    return samples


def _closed_by(answer: HttpAnswer, otherwise: Millis) -> Millis:
    """Give the end of the newest closed minute by Sentry's own clock, which the answer's Date tells."""
    now = _date(answer)
    return (now - INGESTION) // MINUTE * MINUTE if now is not None else otherwise


def _date(answer: HttpAnswer) -> Millis | None:
    try:
        return int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _next_cursor(answer: HttpAnswer) -> str:
    """Give the cursor of the next page from the `Link` header; empty where there is none."""
    for link in answer.headers.get("link", "").split(","):
        if 'rel="next"' in link and 'results="true"' in link:
            return link.partition('cursor="')[2].partition('"')[0]
    return ""


def _gauge(name: str, value: Any, at: Millis) -> Sample:
    return Sample(name, NO_LABELS, _number(value), at)


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _detail(body: bytes) -> str:
    """Give Sentry's own words for an error, printable and short; empty where there are none."""
    try:
        document = json.loads(body)
        detail = document["detail"] if isinstance(document, dict) else ""
    except (ValueError, KeyError, RecursionError):
        return ""
    text = detail if isinstance(detail, str) else json.dumps(detail)
    return "".join(character if character.isprintable() else " " for character in text[:200])


def _iso(time: Millis) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _millis(text: str) -> Millis:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
