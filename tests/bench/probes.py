"""Health checks by the daemon: how soon all are watched, and CPU for each: `python -m tests.bench.probes`.

A server in a process of its own answers with a small JSON object and hangs up, as the client asks; it notes which
addresses were asked, and when. CPU is that of the whole daemon: fetching, reading fields, judging a rule, the state.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.pairs import process

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"status":"ok","uptime":81.2,"database":{"status":"ok","latency":4.2},"memory":{"used":121.5}}'


class _Answer(asyncio.Protocol):
    """Answers one connection. `/hang…` is never answered; `/seen` tells what was asked since the last `/seen`."""

    seen: dict[str, list[float]] = {}

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


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def served() -> Iterator[str]:
    """Run the server; give its address."""
    with subprocess.Popen([sys.executable, "-m", "tests.bench.probes", "serve"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


@contextmanager
def watching(folder: Path, sources: dict[str, object], rules: str, interval: str) -> Iterator[int]:
    """Run a daemon; give its process id."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "up.yaml").write_text(rules)
    settings = {"sources": sources, "interval": interval, "receivers": {"desk": {"type": "console"}}, "route": {"receiver": "desk"}}
    (folder / "alerting.yaml").write_text(json.dumps(settings))
    line = [sys.executable, "-m", "alerting", "run"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with (folder / "log").open("wb") as log, subprocess.Popen(line, cwd=folder, stdout=log, stderr=log, env=environment) as daemon:
        try:
            yield daemon.pid
            assert daemon.poll() is None, (folder / "log").read_text()[-2000:]
        finally:
            daemon.terminate()


def seen(address: str) -> dict[str, list[float]]:
    """Tell which paths were asked since the last call, and when."""
    with urllib.request.urlopen(f"{address}/seen", timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def first_round(folder: Path, address: str, count: int) -> str:
    """How long after the start of the process each of so many endpoints has been asked once."""
    targets = {f"t{number}": f"{address}/t{number}" for number in range(count)}
    rules = "alert: Down\ncondition: apps.up == 0\n"
    began = time.time()
    paths: dict[str, list[float]] = {}
    with watching(folder, {"apps": {"type": "health", "targets": targets}}, rules, "30s") as pid:
        while len(paths) < count and time.time() - began < 60:
            time.sleep(0.5)
            paths |= seen(address)
        _, resident = process(pid)
    took = [moments[0] - began for moments in paths.values()]
    return f"{len(paths)} of {count} endpoints, the last {max(took):.2f} s after the process began (first: {min(took):.2f} s); {resident:.0f} MiB"


def cost(folder: Path, address: str, count: int, *, entries: bool, seconds: int, interval: str = "1s") -> str:
    """CPU per check, with so many endpoints."""
    targets = {f"t{number}": f"{address}/t{number}" for number in range(count)}
    if entries:
        sources: dict[str, object] = {name: {"type": "health", "url": url} for name, url in targets.items()}
        rules = "".join(f"- {{alert: Down, condition: {name}.up == 0}}\n" for name in targets)
    else:
        sources, rules = {"apps": {"type": "health", "targets": targets}}, "alert: Down\ncondition: apps.up == 0\n"
    with watching(folder, sources, rules, interval) as pid:
        time.sleep(4)
        seen(address)
        before, _ = process(pid)
        time.sleep(seconds)
        after, resident = process(pid)
        checks = sum(map(len, seen(address).values()))
    return f"{(after - before) / checks * 1e6:.0f} us of CPU a check at {checks / seconds:.0f} a second; {resident:.0f} MiB"


def main() -> None:
    """Print the figures."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="alerting-bench-") as name, served() as address:
        folder = Path(name)
        print("1,000 endpoints (aim: all asked within 2 s of the start):")
        print(f"  {first_round(folder / 'a', address, 1000)}", flush=True)
        print("CPU per check (aims: 550 us at 40 a second; 700 us saturated):")
        print(f"  40 targets of one entry: {cost(folder / 'b', address, 40, entries=False, seconds=seconds)}", flush=True)
        print(f"  40 entries: {cost(folder / 'c', address, 40, entries=True, seconds=seconds)}", flush=True)
        print(f"  1,000 targets: {cost(folder / 'd', address, 1000, entries=False, seconds=seconds)}", flush=True)
        print(f"  40 targets every 20 ms: {cost(folder / 'e', address, 40, entries=False, seconds=seconds, interval='20ms')}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        main()
