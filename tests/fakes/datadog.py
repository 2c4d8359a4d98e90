"""A stand-in for Datadog's metrics query API: stricter than the service where that shows slips.

It checks keys, whole seconds and unknown parameters, gives buckets from the first that begins at or after `from` to
the one that `to` falls into, and leaves the last of them half full, as the service does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.ledger import Fake, Reply, Request

if TYPE_CHECKING:
    from pathlib import Path


class Datadog(Fake):
    """One organization."""

    name: ClassVar[str] = "datadog"
    api_key, application_key = "dd_api_test", "dd_app_test"

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        super().__init__(port, ledger)
        self.groups: dict[str, list[list[str]]] = {}  # query -> the tags of each of its series
        self.value = 12.0  # of every closed bucket
        self.interval = 60  # s
        self.nulls = 0  # so many of the newest buckets have no value

    def judge(self, request: Request) -> Reply:
        parts = urlsplit(request.path)
        if request.method != "GET" or parts.path != "/api/v1/query":
            return Reply.of(404, {"errors": ["Not Found"]})
        keys = request.headers.get("dd-api-key"), request.headers.get("dd-application-key")
        if keys != (self.api_key, self.application_key):
            return Reply.of(403, {"errors": ["Forbidden"]})
        query = dict(parse_qsl(parts.query))
        if set(query) != {"from", "to", "query"} or not (query["from"].isdigit() and query["to"].isdigit()):
            return Reply.of(400, {"errors": [f"wrong parameters: {sorted(query)}"]})
        first, last = int(query["from"]), int(query["to"])
        if query["query"] not in self.groups:
            return Reply.of(400, {"errors": ["Error parsing query: unknown metric"]})
        series = [self._series(query["query"], tags, first, last) for tags in self.groups[query["query"]]]
        answer = {
            "status": "ok",
            "res_type": "time_series",
            "query": query["query"],
            "from_date": first * 1000,
            "to_date": last * 1000,
            "series": series,
            "group_by": [],
            "message": "",
        }
        return Reply.of(200, answer, accepted=True)

    def _series(self, query: str, tags: list[str], first: int, last: int) -> dict[str, Any]:
        starts = range(-(-first // self.interval) * self.interval, last + 1, self.interval)
        points: list[list[float | None]] = [
            [start * 1000.0, self.value if start + self.interval <= last else self.value / 10] for start in starts
        ]
        for point in points[len(points) - self.nulls :]:
            point[1] = None
        return {
            "metric": "system.cpu.user",
            "tag_set": tags,
            "scope": ",".join(tags) or "*",
            "expression": query,
            "interval": self.interval,
            "length": len(points),
            "pointlist": points,
            "start": first * 1000,
            "end": last * 1000 - 1,
            "aggr": "avg",
            "display_name": "system.cpu.user",
            "query_index": 0,
        }
