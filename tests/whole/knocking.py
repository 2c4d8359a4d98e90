"""Starts daemons as `alerting run` does, one after the other in this process, and knocks at their doors.

`python -m tests.whole.knocking FOLDER…` prints a line of JSON for each: how it ended, and which guesses were let in.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import sys
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path

from alerting.cli.run import _ready
from alerting.errors import AlertingError

REFUSED, SHUT = "no start", "a start that takes nothing"
RIGHT = "a-token-of-some-length-1"
GUESSES = (None, "", "Bearer", "Bearer ", "Bearer    ", "Bearer \t", "Bearer None", "Bearer null", "Bearer false")
MORE = ("Bearer 0", "Bearer ${PUSH_TOKEN}", "Bearer ${file:token}", "Bearer x", "Bearer a", "Basic Og==", "Bearer \xa0")
KNOCKS = [(token, "localhost") for token in (*GUESSES, *MORE)]
KNOCKS += [(f"Bearer {RIGHT}", host) for host in ("evil.example", "", "x.example", "*", "localhost")]


class Lines(logging.Handler):
    """Keeps where it is served."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "address"):
            self.addresses.append(record.address)


def status(url: str, token: str | None, host: str) -> int:
    """Report as a job would, or as somebody else."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=15)
    try:
        headers = {"Host": host} | ({} if token is None else {"Authorization": token})
        connection.request("POST", "/push/cron/nightly", b"", headers)
        return connection.getresponse().status
    finally:
        connection.close()


async def knocked(folder: str, lines: Lines) -> list[tuple[str | None, str]]:
    """Start a daemon, knock, and end it; give what was let in."""
    arguments = Namespace(config=f"{folder}/alerting.yaml", log_level="info", log_format="text", grace=1_000)
    async with AsyncExitStack() as stack:
        await _ready(arguments, stack)
        url = lines.addresses[-1]
        if not url.startswith("http://127.0.0.1:"):
            return [(None, url)]
        answers = [await asyncio.to_thread(status, url, *knock) for knock in KNOCKS]
        return [knock for knock, answer in zip(KNOCKS, answers, strict=True) if answer < 400]


def main(folders: list[str]) -> None:
    """Try them all."""
    lines = Lines()
    logging.getLogger("alerting").addHandler(lines)
    for folder in folders:
        os.environ.pop("PUSH_TOKEN", None)
        os.environ.update(json.loads(Path(folder, "environment.json").read_text()))
        lines.addresses.clear()
        said = ""
        try:
            let_in = asyncio.run(knocked(folder, lines))
            ends = "open" if let_in else SHUT
        except AlertingError as error:
            let_in, ends, said = [], "served first" if lines.addresses else REFUSED, str(error)
        print(json.dumps({"ends": ends, "let in": let_in, "said": said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
