"""What one reading of this host costs, in CPU, beside a scrape of Debian's node_exporter; both in turn, in one run.

Ours is everything the host source offers but processes, which node_exporter does not read either: disks, processors,
load, memory, swap, network, disk I/O, temperatures. node_exporter answers with all that it has by default, as a
Prometheus makes it do; who scrapes it pays for reading its page on top, which is not counted here. Before each of
both is a pause, because neither is asked without one when it is at work.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.model import Need
from alerting.sources._host_processes import OF_PROCESSES
from alerting.sources.host import OFFERED
from tests.sources.reading import source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.ports import Source

PEER = "prometheus-node-exporter"
ROUNDS, READINGS, PAUSE = 7, 10, 0.2  # s
EVERYTHING = tuple(Need("host", name) for name in sorted(OFFERED - OF_PROCESSES))
OURS = {
    "the disks alone": (Need("host", "disk_usage"),),
    "all processes by name": tuple(Need("host", name) for name in sorted(OF_PROCESSES)),
}


def cpu(pid: int) -> float:
    """Seconds that all threads of a process have run."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextmanager
def exporter() -> Iterator[tuple[int, str]]:
    """Run the peer; give its pid and the address of its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [PEER, f"--web.listen-address=127.0.0.1:{port}"]
    peer = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                scrape(f"http://127.0.0.1:{port}/metrics")
                break
            except OSError:
                time.sleep(0.05)
        yield peer.pid, f"http://127.0.0.1:{port}/metrics"
    finally:
        peer.terminate()
        peer.wait()


def scrape(url: str) -> int:
    """Read the page; give its length."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own, on loopback
        return len(answer.read())


async def read(host: Source, needs: Sequence[Need]) -> float:
    """Seconds of CPU of one reading."""
    spent = 0.0
    for _ in range(READINGS):
        await asyncio.sleep(PAUSE)
        began = time.process_time()
        reading = await host.fetch(needs, None)
        spent += time.process_time() - began
        assert reading.fault is None, reading.fault
    return spent / READINGS


def scraped(pid: int, url: str) -> float:
    """Seconds of CPU that the peer spends on one scrape."""
    before = cpu(pid)
    for _ in range(READINGS):
        time.sleep(PAUSE)
        scrape(url)
    return (cpu(pid) - before) / READINGS


async def measure() -> None:
    """Print milliseconds of CPU, medians of the rounds."""
    async with source("host") as host:
        for needs in (EVERYTHING, *OURS.values()):
            await read(host, needs)  # imports, first looks
        for name, needs in OURS.items():
            took = statistics.median([await read(host, needs) for _ in range(ROUNDS)])
            print(f"{name:32} {took * 1e3:7.2f} ms of CPU a reading")
        if shutil.which(PEER) is None:
            took = statistics.median([await read(host, EVERYTHING) for _ in range(ROUNDS)])
            print(f"{'everything but processes':32} {took * 1e3:7.2f} ms of CPU a reading; {PEER} is not installed")
            return
        with exporter() as (pid, url):
            scrape(url)
            rows = [(await read(host, EVERYTHING), scraped(pid, url)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(row[at] for row in rows) for at in (0, 1))
    ratio = statistics.median(ours / peer for ours, peer in rows)
    print(f"{'everything but processes':32} {mine * 1e3:7.2f} ms of CPU a reading")
    print(f"{'a scrape of ' + PEER:32} {theirs * 1e3:7.2f} ms; ratio {ratio:.3f} ({ROUNDS} rounds of {READINGS})")


def main() -> None:
    """Print the figures."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
