"""A stand-in for Sentry's Web API: the six calls that the source makes, as strict as the service and stricter.

It refuses what Sentry refuses (token, organization, a missing trailing slash, a missing dataset or field), and also
what Sentry silently passes over (unknown parameters), so that a slip shows. It counts calls against a fixed window
and against concurrency, and tells minutes that are not closed yet as `incomplete`.

In a test::

    with Sentry() as sentry:
        sentry.errors = 25  # in every minute, unless `minutes` says otherwise for one
        ... sentry.url, sentry.requests

As a process, `python -m tests.fakes.sentry --port 0`; then `POST /control/set` with a JSON object of the fields below.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.ledger import Fake, Reply, Request, arguments, serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MINUTE = 60_000
DELAY = 90_000  # Sentry needs so long to take events in
DATASETS = ("errors", "logs", "profile_functions", "spans", "tracemetrics", "uptime_results")
SCOPE = ("project", "environment", "start", "end", "statsPeriod")
PARAMETERS = {
    "events-timeseries": ("dataset", "yAxis", "interval", "query", *SCOPE),
    "events-stats": ("dataset", "yAxis", "interval", "query", *SCOPE),
    "events": ("dataset", "field", "query", "sort", "per_page", "cursor", *SCOPE),
    "issues": ("query", "sort", "limit", "cursor", *SCOPE),
    "sessions": ("field", "interval", "includeSeries", "includeTotals", "groupBy", "query", *SCOPE),
    "monitors": ("project", "environment", "owner", "cursor"),
    "stats_v2": (
        "field",
        "groupBy",
        "interval",
        "category",
        "outcome",
        "reason",
        "project",
        "start",
        "end",
        "statsPeriod",
    ),
}
NEEDED = {"issues": "event:read"}  # org:read for the others
REGRESSED = "is:unresolved is:regressed"
SETTABLE = ("errors", "durations", "transactions", "failure_rate", "crash_free", "sessions", "now_offset", "limit")


class Sentry(Fake):
    """One organization with one project."""

    name: ClassVar[str] = "sentry"
    token, organization, project, project_id = "sntryu_test", "vivaform", "backend", 4507

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        super().__init__(port, ledger)
        self.scopes = {"org:read", "event:read", "project:read"}
        self.errors = 2  # in every minute
        self.minutes: dict[int, int] = {}  # start of a minute, ms -> its errors
        self.durations = {"p50": 85.0, "p75": 120.0, "p90": 180.0, "p95": 240.0, "p99": 610.0}  # ms
        self.transactions = 1200
        self.failure_rate: float | None = 0.01
        self.functions: dict[str, float | None] = {}  # more that the table and the series know, whatever the dataset
        self.issues: list[int] = []  # when each was first seen, ms
        self.regressed = 1
        self.sessions, self.users = 900, 300
        self.crash_free: float | None = 0.998
        self.crash_free_users: float | None = 0.99
        self.monitors = [monitor("backup", "ok", time.time_ns() // 1_000_000 - 600_000)]
        self.page_size = 100  # of monitors
        self.drops: dict[tuple[str, str], int] = {("rate_limited", "error"): 3, ("accepted", "error"): 90}  # a minute
        self.drop_step = MINUTE  # ms; old servers tell no minutes
        self.now_offset = 0  # ms by which Sentry's clock is ahead
        self.limit, self.window = 40, 10  # calls in so many seconds, per endpoint
        self.limited = 0  # calls that came while limited
        self.sees_project = True
        self.old = False  # a server of one's own from before `events-timeseries`
        self.groups: list[dict[str, Any]] = []  # rows of a table that is grouped, in the order of its sort
        self._counts: dict[str, tuple[int, int]] = {}

    def now(self) -> int:
        """Sentry's time, ms."""
        return time.time_ns() // 1_000_000 + self.now_offset

    def control(self, request: Request) -> Reply:
        if request.path == "/control/set":
            values = {name: value for name, value in request.json().items() if name in SETTABLE}
            vars(self).update(values)
            return Reply.of(200, values)
        return super().control(request)

    def judge(self, request: Request) -> Reply:
        parts = urlsplit(request.path)
        words = parts.path.split("/")
        if len(words) != 7 or words[:4] != ["", "api", "0", "organizations"] or words[6] or words[5] not in PARAMETERS:
            return Reply(404, "<!doctype html><title>Page Not Found | Sentry</title>", {"content-type": "text/html"})
        what = words[5]
        if what == ("events-timeseries" if self.old else "events-stats"):
            return Reply(404, "Route not found, did you forget a trailing slash?", {"content-type": "text/plain"})
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self._say(401, {"detail": "Invalid token"})
        if words[4] != self.organization:
            return self._say(404, {"detail": "The requested resource does not exist"})
        if NEEDED.get(what, "org:read") not in self.scopes:
            return self._say(403, {"detail": "You do not have permission to perform this action."})
        limits, over = self._limits(what)
        if over:
            self.limited += 1
            return self._say(429, {"detail": "You are attempting to use this endpoint too frequently."}, limits)
        query = parse_qsl(parts.query, keep_blank_values=True)
        wrong = self._wrong(what, query)
        if wrong:
            return self._say(400, {"detail": wrong}, limits)
        if {value for name, value in query if name == "project"} - {"-1", self.project, str(self.project_id)}:
            return self._say(403, {"detail": "You do not have permission to perform this action."}, limits)
        document, more = getattr(self, f"_{what.replace('-', '_')}")(query)
        return self._say(200, document, {**limits, **more})

    def _say(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
        date = datetime.fromtimestamp(self.now() / 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        reply = Reply.of(status, document, accepted=status == 200)
        return Reply(reply.status, reply.body, {**reply.headers, "date": date, **(headers or {})}, reply.accepted)

    def _limits(self, what: str) -> tuple[dict[str, str], bool]:
        now = self.now() // 1000
        window, count = self._counts.get(what, (0, 0))
        if now // self.window != window:
            window, count = now // self.window, 0
        self._counts[what] = (window, count + 1)
        left = self.limit - count - 1
        headers = {
            "X-Sentry-Rate-Limit-Limit": str(self.limit),
            "X-Sentry-Rate-Limit-Remaining": str(max(0, left)),
            "X-Sentry-Rate-Limit-Reset": str((window + 1) * self.window),
            "X-Sentry-Rate-Limit-ConcurrentLimit": "25",
            "X-Sentry-Rate-Limit-ConcurrentRemaining": "24",
        }
        return headers, left < 0

    def _wrong(self, what: str, query: list[tuple[str, str]]) -> str:
        """Say what is wrong with the parameters; empty where nothing is."""
        names = [name for name, _ in query]
        values = dict(query)
        unknown = set(names) - set(PARAMETERS[what])
        if unknown:
            return f"unknown parameters: {sorted(unknown)}"
        if what.startswith("events") and values.get("dataset") not in DATASETS:
            return "dataset: this field is required, one of " + ", ".join(DATASETS)
        known = self._known()
        asked = {value for name, value in query if name == ("yAxis" if what.startswith("events-") else "field")}
        if what == "events" and "sort" in names:  # a grouped table: fields that are no functions are its groups
            known |= {each: None for each in asked if "(" not in each}
        if what == "events" and values.get("sort", "-count()").removeprefix("-") not in {*asked, "count()"}:
            return "sort: must be one of the fields"
        if what.startswith("events") and (odd := asked - known.keys()):
            return f"Invalid query. {sorted(odd)} is no function of this dataset"
        if what == "issues" and not re.fullmatch(rf"firstSeen:-\d+m|{REGRESSED}", values.get("query", "")):
            return "Error parsing search query"
        if what == "stats_v2" and (asked - {"sum(quantity)", "sum(times_seen)"} or not asked):
            return "field: sum(quantity) or sum(times_seen)"
        if what == "stats_v2" and "category" not in values and ("groupBy", "category") not in query:
            return "Must filter by or group by category"
        if what == "stats_v2" and not {v for n, v in query if n == "groupBy"} <= {
            "outcome",
            "category",
            "reason",
            "project",
        }:
            return "groupBy: unknown"
        if what == "stats_v2" and values.get("interval") == "1m" and _hours(values) > 6:
            return "Interval results in too many buckets"
        if what in ("events", "sessions") and not 1 <= names.count("field") <= 20:
            return "field: 1 to 20 are required"
        if ("start" in names) != ("end" in names):
            return "start and end are both required"
        if "start" in names and not _time(values["start"]) < _time(values["end"]):
            return "start must be before end"
        if what == "events-stats" and values.get("interval") != "1m":
            return "interval: this stand-in tells minutes"
        if what == "events-timeseries" and not values.get("interval", "60").isdigit():
            return "interval: a valid integer is required"
        if what == "sessions" and values.get("interval") not in ("1h", "1d"):
            return "interval: at least 1h"
        return ""

    # the calls

    def _events_timeseries(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        values = dict(query)
        if not self.sees_project:
            return {"timeSeries": []}, {}
        axis = values.get("yAxis", "count()")
        start, end = _time(values["start"]), _time(values["end"])
        step = 60_000 if values.get("interval") == "60" else 300_000  # other ones are silently replaced
        points = [
            {
                "timestamp": at,
                "value": float(self._errors_in(at) if axis == "count()" else self.functions[axis] or 0),
                "incomplete": at + step > self.now() - DELAY,
            }
            for at in range(start // step * step, end, step)
        ]
        series = {
            "yAxis": axis,
            "values": points,
            "meta": {"interval": step, "valueType": "integer", "valueUnit": None},
        }
        return {"meta": {"dataset": values["dataset"], "start": start, "end": end}, "timeSeries": [series]}, {}

    def _events_stats(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        """As the table of old has it: seconds, no word on what is complete, and the value is called `count`."""
        values = dict(query)
        axis = values.get("yAxis", "count()")
        start, end = _time(values["start"]) // MINUTE * MINUTE, _time(values["end"])
        starts = range(start, end, MINUTE) if self.sees_project else ()
        counts = [(at, self._errors_in(at) if axis == "count()" else self.functions[axis] or 0) for at in starts]
        return {"data": [[at // 1000, [{"count": count}]] for at, count in counts]}, {}

    def _errors_in(self, minute: int) -> int:
        if minute + MINUTE > self.now() - DELAY:
            return 0  # still coming in
        return self.minutes.get(minute, self.errors)

    def _events(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        known = self._known()
        fields = [value for name, value in query if name == "field"]
        row = {field: known.get(field) for field in fields}
        if "sort" in dict(query):
            rows = [{field: row.get(field) for field in fields} for row in self.groups]
            return {"data": rows[: int(dict(query)["per_page"])], "meta": {}}, _link("")
        meta = {"fields": dict.fromkeys(fields, "number"), "units": dict.fromkeys(fields), "dataset": "spans"}
        return {"data": [row] if self.transactions else [], "meta": meta}, _link("")

    def _known(self) -> dict[str, float | None]:
        known: dict[str, float | None] = {"count()": self.transactions, "failure_rate()": self.failure_rate}
        known |= {f"{name}(span.duration)": value for name, value in self.durations.items()}
        return known | self.functions

    def _issues(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        values = dict(query)
        if values["query"] == REGRESSED:
            found = list(range(1, self.regressed + 1))
        else:
            minutes = int(values["query"].removeprefix("firstSeen:-").removesuffix("m"))
            found = sorted((at for at in self.issues if at > self.now() - minutes * MINUTE), reverse=True)
        begin, size = int(values.get("cursor", "0:0:0").split(":")[1]), int(values.get("limit", "100"))
        page = found[begin : begin + size]
        document = [{"id": str(at), "firstSeen": _iso(at), "count": "3", "status": "unresolved"} for at in page]
        return document, _link(f"0:{begin + size}:0" if found[begin + size :] else "")

    def _sessions(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        totals = {"crash_free_rate(session)": self.crash_free, "sum(session)": self.sessions}
        totals |= {"crash_free_rate(user)": self.crash_free_users, "count_unique(user)": self.users}
        fields = [value for name, value in query if name == "field"]
        group = {"by": {}, "totals": {field: totals.get(field) for field in fields}, "series": {}}
        now = self.now()
        period = {"start": _iso(now - 3_600_000), "end": _iso(now), "intervals": [_iso(now - 3_600_000)]}
        return {**period, "query": "", "groups": [group] if self.sessions else []}, {}

    def _monitors(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        begin = int(dict(query).get("cursor", "0:0:0").split(":")[1])
        end = begin + self.page_size
        return self.monitors[begin:end], _link(f"0:{end}:0" if self.monitors[end:] else "")

    def _stats_v2(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        """Whole hours are told, whatever minutes were asked for."""
        values = dict(query)
        hour = 3_600_000
        start, end = _time(values["start"]) // hour * hour, -(-_time(values["end"]) // hour) * hour
        starts = list(range(start, end, self.drop_step))
        field = values["field"]
        groups = [
            {
                "by": {"outcome": outcome, "category": category},
                "totals": {field: count * len(starts)},
                "series": {field: [count] * len(starts)},
            }
            for (outcome, category), count in self.drops.items()
        ]
        return {"start": _iso(start), "end": _iso(end), "intervals": [_iso(at) for at in starts], "groups": groups}, {}


def monitor(slug: str, status: str, last: int | None, environment: str = "production", **more: Any) -> dict[str, Any]:
    """A job as Sentry tells of it: only the fields that are read."""
    place = {
        "name": environment,
        "status": status,
        "isMuted": False,
        "lastCheckIn": None if last is None else _iso(last),
        "activeIncident": None,
    }
    fixed = {"slug": slug, "name": slug, "status": "active", "isMuted": False, "project": {"slug": "backend"}}
    return {**fixed, "environments": [place], **more}


def _link(cursor: str) -> dict[str, str]:
    """The header that always names both directions; `results` says whether there is anything."""
    url = "http://127.0.0.1/"
    more = "true" if cursor else "false"
    previous = f'<{url}>; rel="previous"; results="false"; cursor="0:0:1"'
    return {"link": f'{previous}, <{url}>; rel="next"; results="{more}"; cursor="{cursor or "0:100:0"}"'}


def _hours(values: Mapping[str, str]) -> int:
    """How many whole hours a period touches."""
    hour = 3_600_000
    return -(-_time(values["end"]) // hour) - _time(values["start"]) // hour


def _time(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    options = arguments("a stand-in for Sentry's Web API").parse_args()
    serve(Sentry(options.port, options.ledger))
