"""A stand-in for Sentry's side that takes events: envelopes, packed with gzip, under the address of a DSN."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

from tests.fakes.ledger import Fake, Reply

if TYPE_CHECKING:
    from tests.fakes.ledger import Request

KEY = "fedcba9876543210fedcba9876543210"


class Envelopes(Fake):
    """Takes envelopes for project 42; `events` and `raw` are what came."""

    name = "envelopes"

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.raw: list[str] = []
        self.events: list[dict[str, Any]] = []
        super().__init__(*arguments, **more)

    def judge(self, request: Request) -> Reply:
        if request.path != "/api/42/envelope/" or not re.search(rf"sentry_key={KEY}\b", str(request.headers)):
            return Reply(403, why="path or key")
        packed = request.headers.get("content-encoding") == "gzip"
        lines = (gzip.decompress(request.body) if packed else request.body).decode().split("\n")
        self.raw.append("\n".join(lines))
        head = json.loads(lines[1])
        if head["type"] == "event":
            self.events.append(json.loads(lines[2]))
        return Reply.of(200, {"id": json.loads(lines[0]).get("event_id")}, accepted=True)

    @property
    def dsn(self) -> str:
        return f"http://{KEY}@127.0.0.1:{self.port}/42"
