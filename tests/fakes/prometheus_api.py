"""A stand-in for the query API of Prometheus, as strict as the server; the tests run against the real one as well.

It takes the POST form alone, refuses parameters that the server passes over, and knows the series in `vectors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from tests.fakes.ledger import Fake, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class PrometheusApi(Fake):
    """One server. `authorization` empty: anybody may ask."""

    name: ClassVar[str] = "prometheus"

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        super().__init__(port, ledger)
        self.authorization = ""
        self.vectors: dict[str, list[tuple[Mapping[str, str], str]]] = {}  # query -> (labels, value)
        self.warnings: list[str] = []
        self.queries: list[str] = []

    def judge(self, request: Request) -> Reply:
        if request.path != "/api/v1/query":
            return Reply(404, "404 page not found\n", {"content-type": "text/plain"})
        if self.authorization and request.headers.get("authorization") != self.authorization:
            return Reply(401, "Unauthorized\n", {"content-type": "text/plain"})
        if request.method != "POST" or request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return Reply(405, "")
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        if set(form) - {"query", "timeout", "time"} or not form.get("query"):
            return error(400, "bad_data", f"invalid parameters: {sorted(form)}")
        self.queries.append(form["query"])
        result = [
            {"metric": dict(labels), "value": [1.0, value]} for labels, value in self.vectors.get(form["query"], ())
        ]
        return Reply.of(200, success({"resultType": "vector", "result": result}, self.warnings), accepted=True)


def success(data: Any, warnings: list[str] | None = None) -> dict[str, Any]:
    """The frame around a good answer."""
    return {"status": "success", "data": data, **({"warnings": warnings} if warnings else {})}


def error(status: int, kind: str, text: str) -> Reply:
    """What the server says of a query that it does not answer."""
    return Reply.of(status, {"status": "error", "errorType": kind, "error": text})
