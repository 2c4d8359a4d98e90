"""Telling, beside Debian's Prometheus and Alertmanager in the same run: `python -m tests.bench.telling`.

Many at once: 10,000 alerts become true together and each is a message to a local webhook. Ours are the series of one
metrics page, and time runs from when the page is served to the last message; Alertmanager is handed the same alerts in
batches, and time runs from the first batch. It keeps them in memory; ours are on disk before they are sent.

One by one: a value crosses its threshold, with intervals of one second and no waiting in groups; time runs until the
webhook has the request. Page and webhook are one process, so one clock reads both. The crossings are spread evenly over
the second (steps of a tenth of the golden ratio), as most of the time is the wait for the next reading: with random
moments the median of sixty is off by a tenth of it.

Both are run in turn, in pairs; medians of the ratios are quoted.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.bench.pairs import process
from tests.bench.serving import serve, served

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 10_000
PAIRS = 3
CROSSINGS = 60  # in a pair
_STEP = 0.1618034  # s
_BATCH = 500
_PATIENCE = 120.0  # s
_IDS = re.compile(rb'"idx": ?"(\d+)"')


class _Street(asyncio.Protocol):
    """A page whose values can be set, and a webhook that notes when it heard of which series first."""

    values: ClassVar[dict[str, float]] = {}
    set_at: ClassVar[dict[str, float]] = {}
    heard_at: ClassVar[dict[str, float]] = {}
    times: ClassVar[dict[str, float]] = {}  # when the page was served first since a value was set
    posts: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line: Any = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        while b"\r\n\r\n" in self._came:
            head, _, rest = self._came.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            size = int(length.group(1)) if length else 0
            if len(rest) < size:
                return
            self._came = rest[size:]
            answer = self._answer(head.split(b" ", 2)[1].decode(), rest[:size])
            self._line.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
            if b"connection: close" in head.lower():
                self._line.close()

    def _answer(self, path: str, body: bytes) -> bytes:
        street, now = type(self), time.time()
        if path == "/hook":
            street.posts += 1
            for name in _IDS.findall(body):
                street.heard_at.setdefault(name.decode(), now)
        elif path == "/metrics":
            street.times.setdefault("served", now)
            lines = [f'bench_value{{idx="{name}"}} {value}' for name, value in street.values.items()]
            return "\n".join(["# TYPE bench_value gauge", *lines, ""]).encode()
        elif path == "/set":
            asked = json.loads(body)
            street.values.update(asked)
            street.set_at.update(dict.fromkeys(asked, now))
            street.times.clear()
        elif path == "/forget":
            for each in (street.values, street.set_at, street.heard_at, street.times):
                each.clear()
            street.posts = 0
        elif path == "/count":
            return str(len(street.heard_at)).encode()
        elif path == "/told":
            late = {name: at - street.set_at[name] for name, at in street.heard_at.items() if name in street.set_at}
            ends = max(street.heard_at.values(), default=0.0)
            told = {"late": late, "last": ends, "served": street.times.get("served", 0.0), "posts": street.posts}
            return json.dumps(told).encode()
        return b"ok"


def ask(url: str, document: Any = None) -> bytes:
    """Make a request; with a document it is a POST of JSON."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  loopback
        found: bytes = answer.read()
        return found


@contextmanager
def running(line: list[str], folder: Path, ready: str) -> Iterator[int]:
    """Run a program until the block ends; give its process id once `ready` answers."""
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        try:
            ends = time.monotonic() + 60
            while True:
                try:
                    ask(ready)
                    break
                except OSError:
                    assert time.monotonic() < ends, f"{line[0]} does not answer"
                    assert program.poll() is None, f"{line[0]} has ended"
                    time.sleep(0.02)
            yield program.pid
        finally:
            program.terminate()


@contextmanager
def ours(folder: Path, here: str, rules: str, per: str) -> Iterator[int]:
    """Run our daemon over the page, telling the webhook."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "bench.yaml").write_text(rules)
    settings = {
        "interval": "1s",
        "sources": {"page": {"type": "prometheus", "url": f"{here}/metrics"}},
        "receivers": {"hook": {"type": "webhook", "url": f"{here}/hook", "per": per}},
        "route": {"receiver": "hook"},
        "web": {"listen": "127.0.0.1:19790"},
        "storm": {"within": "1ms"},  # Alertmanager sums nothing up either
    }
    (folder / "alerting.yaml").write_text(json.dumps(settings))
    with running([sys.executable, "-m", "alerting", "run"], folder, "http://127.0.0.1:19790/health") as pid:
        yield pid


@contextmanager
def alertmanager(folder: Path, here: str) -> Iterator[int]:
    """Run Alertmanager with a group to each alert and no waits."""
    folder.mkdir(parents=True)
    (folder / "am.yml").write_text(
        "route: {receiver: w, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}\n"
        f"receivers: [{{name: w, webhook_configs: [{{url: '{here}/hook'}}]}}]\n"
    )
    line = ["prometheus-alertmanager", "--config.file=am.yml", "--storage.path=data", "--log.level=error"]
    line += ["--web.listen-address=127.0.0.1:19791", "--cluster.listen-address="]
    with running(line, folder, "http://127.0.0.1:19791/-/ready") as pid:
        yield pid


@contextmanager
def prometheus(folder: Path, here: str, rules: str) -> Iterator[int]:
    """Run Prometheus over the page, telling Alertmanager."""
    folder.mkdir(parents=True)
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:19791']}]}]}\n"
        f"rule_files: [rules.yml]\nscrape_configs: [{{job_name: j, scrape_timeout: 1s, static_configs: "
        f"[{{targets: ['{here.removeprefix('http://')}']}}]}}]\n"
    )
    line = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]
    with running([*line, "--web.listen-address=127.0.0.1:19792"], folder, "http://127.0.0.1:19792/-/ready") as pid:
        yield pid


# ------------------------------------------------------------------------------------------- many at once


def told(here: str, count: int) -> dict[str, Any]:
    """Wait until so many series were told of, or nothing more comes."""
    ends = time.monotonic() + _PATIENCE
    while int(ask(f"{here}/count")) < count and time.monotonic() < ends:
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(ask(f"{here}/told"))
    assert len(found["late"]) == count, f"only {len(found['late'])} of {count} arrived"
    return found


def crowd_ours(folder: Path, here: str) -> tuple[float, float, float]:
    """Give messages a second, CPU for each in µs, and the memory used, in MiB."""
    names = [str(number) for number in range(COUNT)]
    ask(f"{here}/forget", {})
    ask(f"{here}/set", dict.fromkeys(names, 0.0))
    rules = f"groups: [{{name: g, limit: {2 * COUNT}, rules: [{{alert: High, expr: bench_value > 0.5}}]}}]\n"
    with ours(folder, here, rules, "alert") as pid:
        time.sleep(3)
        cpu = process(pid)[0]
        ask(f"{here}/set", dict.fromkeys(names, 1.0))
        found = told(here, COUNT)
        used, memory = process(pid)
        return COUNT / (found["last"] - found["served"]), (used - cpu) / COUNT * 1e6, memory


def crowd_theirs(folder: Path, here: str) -> tuple[float, float, float]:
    """Give the same of Alertmanager."""
    names = [str(number) for number in range(COUNT)]
    ask(f"{here}/forget", {})
    ask(f"{here}/set", dict.fromkeys(names, 1.0))
    alerts = [{"labels": {"alertname": "High", "idx": name, "instance": "a", "job": "j"}} for name in names]
    with alertmanager(folder, here) as pid:
        cpu, began = process(pid)[0], time.time()
        for first in range(0, COUNT, _BATCH):
            ask("http://127.0.0.1:19791/api/v2/alerts", alerts[first : first + _BATCH])
        found = told(here, COUNT)
        used, memory = process(pid)
        return COUNT / (found["last"] - began), (used - cpu) / COUNT * 1e6, memory


def crowd(here: str, folder: Path) -> None:
    """Compare them, in turn."""
    rows = []
    for number in range(PAIRS):
        mine = crowd_ours(folder / f"ours-{number}", here)
        theirs = crowd_theirs(folder / f"theirs-{number}", here)
        rows.append((mine, theirs))
        rates, cpus = (f"{mine[at]:,.0f} to {theirs[at]:,.0f}" for at in range(2))
        print(f"  pair {number + 1}: {rates} messages/s, CPU {cpus} µs")
    for at, what in enumerate(("rate", "CPU for a message", "memory")):
        ratios = sorted(mine[at] / theirs[at] for mine, theirs in rows)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"{what} {statistics.median(ratios):.2f} of Alertmanager's ({spread}; {PAIRS} pairs)")


# ------------------------------------------------------------------------------------------- one by one


def crossings(here: str) -> list[float]:
    """Let values cross one after another, at moments spread over the second; give how late each was told, in s."""
    began = time.monotonic()
    for number in range(CROSSINGS):
        time.sleep(max(0.0, began + number * _STEP - time.monotonic()))
        ask(f"{here}/set", {str(number): 1.0})
    return list(told(here, CROSSINGS)["late"].values())


def one_by_one(here: str, folder: Path) -> None:
    """Compare the times from a crossing to the request."""
    names = [str(number) for number in range(CROSSINGS)]
    lines = [f"- name: g{n}\n  rules: [{{alert: R{n}, expr: 'bench_value{{idx=\"{n}\"}} > 0.5'}}]" for n in names]
    rules = "\n".join(["groups:", *lines, ""])
    rows = []
    for number in range(PAIRS):
        ask(f"{here}/forget", {})
        ask(f"{here}/set", dict.fromkeys(names, 0.0))
        with ours(folder / f"one-ours-{number}", here, rules, "group"):
            time.sleep(3)
            mine = crossings(here)
        ask(f"{here}/forget", {})
        ask(f"{here}/set", dict.fromkeys(names, 0.0))
        am, server = folder / f"one-am-{number}", folder / f"one-theirs-{number}"
        with alertmanager(am, here), prometheus(server, here, rules):
            time.sleep(6)
            rows.append((statistics.quantiles(mine, n=20), statistics.quantiles(crossings(here), n=20)))
    for name, at in (("p50", 9), ("p95", 18)):
        ratio = statistics.median(mine[at] / theirs[at] for mine, theirs in rows)
        mine_s, theirs_s = (statistics.median(row[who][at] for row in rows) for who in range(2))
        times = f"{mine_s:.3f} s to {theirs_s:.3f} s; {PAIRS} pairs of {CROSSINGS}"
        print(f"{name} {ratio:.2f} of Prometheus and Alertmanager ({times})")


def main() -> None:
    """Print the figures."""
    if shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None:
        print("prometheus and prometheus-alertmanager are not installed: nothing to compare with")
        return
    with served("tests.bench.telling") as here, tempfile.TemporaryDirectory() as folder:
        print("10,000 alerts to a webhook, one each (aims: rate at least 1.5, CPU at most 0.5)")
        crowd(here, Path(folder))
        print("From a crossing to the request, 1 s interval (aims: p50 0.56, p95 0.63)")
        one_by_one(here, Path(folder))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve(_Street))
    else:
        main()
