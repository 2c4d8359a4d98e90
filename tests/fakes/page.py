"""A stand-in for whoever serves a metrics page: it says what it is told to, as text, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.fakes.ledger import Fake, Reply, Request

if TYPE_CHECKING:
    from pathlib import Path

_KIND = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


class Page(Fake):
    """Serves `text` at /metrics."""

    name: ClassVar[str] = "page"

    def __init__(self, port: int = 0, ledger: Path | None = None) -> None:
        super().__init__(port, ledger)
        self.text = ""

    def judge(self, request: Request) -> Reply:
        if request.path != "/metrics":
            return Reply(404, "404 page not found\n", {"content-type": "text/plain"})
        return Reply(200, self.text, _KIND)
