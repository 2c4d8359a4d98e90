"""Health checks by the daemon: how soon all are watched, and CPU for each: `python -m tests.bench.probes`.

A server in a process of its own answers with a small JSON object and hangs up, as the client asks; it notes which
addresses were asked, and when. CPU is that of the whole daemon: fetching, reading fields, judging a rule, the state.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.bench.pairs import process
from tests.bench.serving import serve, served

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"status":"ok","uptime":81.2,"database":{"status":"ok","latency":4.2},"memory":{"used":121.5}}'


class _Answer(asyncio.Protocol):
    """Answers one connection. `/hang…` is never answered; `/seen` tells what was asked since the last `/seen`."""

    seen: ClassVar[dict[str, list[float]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        if not self._came.endswith(b"\r\n\r\n"):
            return
        path = self._came.split(b" ", 2)[1].decode()
        body = BODY
        if path == "/seen":
            body = json.dumps(self.seen).encode()
            self.seen.clear()
        else:
            self.seen.setdefault(path, []).append(time.time())
        if not path.startswith("/hang"):
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self._line.write(head.encode() + body)
            self._line.close()


@contextmanager
def watching(folder: Path, sources: dict[str, object], rules: str, interval: str) -> Iterator[int]:
    """Run a daemon; give its process id."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "up.yaml").write_text(rules)
    desk = {"receivers": {"desk": {"type": "console"}}, "route": {"receiver": "desk"}}
    (folder / "alerting.yaml").write_text(json.dumps({"sources": sources, "interval": interval, **desk}))
    line = [sys.executable, "-m", "alerting", "run"]
    with (folder / "log").open("wb") as log, subprocess.Popen(line, cwd=folder, stdout=log, stderr=log) as daemon:
        try:
            yield daemon.pid
            assert daemon.poll() is None, (folder / "log").read_text()[-2000:]
        finally:
            daemon.terminate()


def seen(address: str) -> dict[str, list[float]]:
    """Tell which paths were asked since the last call, and when."""
    with urllib.request.urlopen(f"{address}/seen", timeout=10) as answer:  # noqa: S310  our own server
        return json.load(answer)  # type: ignore[no-any-return]


def of_one_entry(address: str, count: int) -> tuple[dict[str, object], str]:
    """Give one entry with so many targets, and a rule for them all."""
    targets = {f"t{number}": f"{address}/t{number}" for number in range(count)}
    return {"apps": {"type": "health", "targets": targets, "timeout": "3s"}}, "alert: Down\ncondition: apps.up == 0\n"


def of_many_entries(address: str, count: int) -> tuple[dict[str, object], str]:
    """Give so many entries, each with a rule of its own."""
    names = [f"t{number}" for number in range(count)]
    rules = "".join(f"- {{alert: Down, condition: {name}.up == 0}}\n" for name in names)
    return {name: {"type": "health", "url": f"{address}/{name}", "timeout": "3s"} for name in names}, rules


def first_round(folder: Path, address: str, count: int) -> str:
    """How long after the start of the process each of so many endpoints has been asked once."""
    began = time.time()
    paths: dict[str, list[float]] = {}
    with watching(folder, *of_one_entry(address, count), "30s") as pid:
        while len(paths) < count and time.time() - began < 60:
            time.sleep(0.5)
            paths |= seen(address)
        _, resident = process(pid)
    took = [moments[0] - began for moments in paths.values()]
    asked = f"{len(paths)} of {count}: the first {min(took):.2f} s, the last {max(took):.2f} s after the process began"
    return f"{asked}; {resident:.0f} MiB"


def cost(folder: Path, address: str, setup: tuple[dict[str, object], str], seconds: int, interval: str = "1s") -> str:
    """CPU per check."""
    with watching(folder, *setup, interval) as pid:
        time.sleep(4)
        seen(address)
        before, _ = process(pid)
        time.sleep(seconds)
        after, resident = process(pid)
        checks = sum(map(len, seen(address).values()))
    each = (after - before) / checks * 1e6
    return f"{each:.0f} us at {checks / seconds:.0f} checks a second; {resident:.0f} MiB"


def lag(folder: Path, address: str, setup: tuple[dict[str, object], str], seconds: int) -> str:
    """By how much the checks of those that answer come later than a second after the one before."""
    with watching(folder, *setup, "1s"):
        time.sleep(10)
        seen(address)
        time.sleep(seconds)
        found = {path: moments for path, moments in seen(address).items() if path.startswith("/t")}
    gaps = sorted(later - moment - 1 for each in found.values() for moment, later in pairwise(each))
    return f"{gaps[int(len(gaps) * 0.99)] * 1000:.0f} ms, at most {gaps[-1] * 1000:.0f} ms ({len(gaps)} checks)"


def with_hanging(address: str, setup: tuple[dict[str, object], str], every: int) -> tuple[dict[str, object], str]:
    """Make every n-th endpoint one that never answers."""
    text = json.dumps(setup[0])
    for number in range(0, 200, every):
        text = text.replace(f'{address}/t{number}"', f'{address}/hang{number}"')
    return json.loads(text), setup[1]


def main() -> None:
    """Print the figures."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="alerting-bench-") as name, served("tests.bench.probes") as address:
        folder = Path(name)
        print("1,000 endpoints of one entry (aim: all asked within 2 s of the start):")
        print(f"  {first_round(folder / 'first', address, 1000)}", flush=True)
        costs = {
            "40 of one entry, every second": (of_one_entry(address, 40), "1s"),
            "40 entries, every second": (of_many_entries(address, 40), "1s"),
            "1,000 of one entry, every second": (of_one_entry(address, 1000), "1s"),
            "40 of one entry, as fast as it goes": (of_one_entry(address, 40), "10ms"),
        }
        print("CPU of the whole daemon per check (aims: 550 us at 40 a second; 700 us saturated):")
        for words, (setup, interval) in costs.items():
            print(f"  {words}: {cost(folder / words, address, setup, seconds, interval)}", flush=True)
        print("20 of 200 hang: lag of the others, p99 (aim: 250 ms):")
        for words, setup in (("entries", of_many_entries(address, 200)), ("of one entry", of_one_entry(address, 200))):
            told = lag(folder / words, address, with_hanging(address, setup, 10), seconds)
            print(f"  {words}: {told}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve(_Answer))
    else:
        main()
