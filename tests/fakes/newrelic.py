"""A stand-in for New Relic's GraphQL API: it reads just the document that the source writes, and refuses others.

`answers` maps the NRQL before SINCE to what it gives: (facets, rows), a row being (values of the facets, fields). As
the service does, it gives ten facets where there is no LIMIT, and at most 366 minutes of a TIMESERIES.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from tests.fakes.ledger import Fake, Reply, Request

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENT = re.compile(
    r"query\(\$account: Int!((?:, \$m\d+: Nrql!)+)\) \{ actor \{ account\(id: \$account\) \{ (.+) \} \} \}"
)
_FIELD = re.compile(r"(m\d+): nrql\(query: \$(m\d+), timeout: (\d+)\) \{ results metadata \{ facets \} \}")
_NRQL = re.compile(r"(.+) SINCE (\d{13}) UNTIL (\d{13})( TIMESERIES 1 minute)?", re.DOTALL)


class NewRelic(Fake):
    """One user with one account."""

    name: ClassVar[str] = "newrelic"
    api_key, account = "NRAK-TEST", 1234567

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        super().__init__(port, ledger)
        self.answers: dict[str, tuple[list[str], list[tuple[list[str], dict[str, Any]]]]] = {}
        self.periods: list[tuple[int, int]] = []  # SINCE and UNTIL of what was asked

    def judge(self, request: Request) -> Reply:
        if request.method != "POST" or request.path != "/graphql":
            return Reply.of(404, {})
        if request.headers.get("api-key") != self.api_key:
            return Reply.of(401, {"errors": [{"message": "Invalid API key"}]})
        if request.headers.get("content-type") != "application/json":
            return Reply.of(415, {})
        document = request.json()
        asked = _DOCUMENT.fullmatch(document["query"])
        variables = document["variables"]
        if asked is None or variables.get("account") != self.account:
            return self._error("Cannot parse the document, or no such account", "VALIDATION_ERROR")
        found = {}
        fields = _FIELD.findall(asked[2])
        if len(fields) != asked[1].count("$") or " ".join(m[0] for m in _FIELD.finditer(asked[2])) != asked[2]:
            return self._error("Cannot parse the fields", "VALIDATION_ERROR")
        for alias, variable, timeout in fields:
            nrql = _NRQL.fullmatch(variables[variable])
            if nrql is not None and nrql[4] and int(nrql[3]) - int(nrql[2]) > 366 * 60_000:
                return self._error("TIMESERIES has more than 366 buckets", "SERVER_ERROR:NRQL", alias)
            if alias != variable or not 1 <= int(timeout) <= 120 or nrql is None or nrql[1] not in self.answers:
                return self._error("NRQL Syntax Error", "SERVER_ERROR:NRQL", alias)
            found[alias] = self._results(nrql[1], int(nrql[2]), int(nrql[3]), series=bool(nrql[4]))
        return Reply.of(200, {"data": {"actor": {"account": found}}}, accepted=True)

    def _error(self, message: str, kind: str, alias: str = "") -> Reply:
        path = ["actor", "account", alias] if alias else []
        errors = [{"message": message, "extensions": {"errorClass": kind}, "path": path}]
        return Reply.of(200, {"data": {"actor": {"account": {alias: None}}}, "errors": errors})

    def _results(self, query: str, first: int, end: int, *, series: bool) -> dict[str, Any]:
        self.periods.append((first, end))
        facets, rows = self.answers[query]
        if facets and " LIMIT " not in query:
            rows = rows[:10]
        made = []
        for values, fields in rows:
            row = dict(fields)
            if facets:
                row |= {"facet": values[0] if len(values) == 1 else values, **dict(zip(facets, values, strict=True))}
            if series:
                starts = range(first // 1000, end // 1000, 60)
                made += [{"beginTimeSeconds": at, "endTimeSeconds": at + 60, **row} for at in starts]
            else:
                made.append(row)
        return {"results": made, "metadata": {"facets": facets or None}}
