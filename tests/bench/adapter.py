"""The product for benches that start it beside its peers: name this file in BENCH_ADAPTER, run them by this Python.

Each function starts the real daemon on files of its own, and reads its statistics from the daemon's own metrics page.
`benchlib` belongs to those benches: it gives processes that are measured, and ended by their ids.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from benchlib import HOST, Proc, http_get, python, wait_http

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STATISTICS = 19700  # the port of the daemon's own pages
_GROUP = 100  # rules to a group
_FILE = 10_000  # rules to a file: one may not hold 50,000


def engine(  # noqa: PLR0917  the benches' own contract
    wd: Path,
    n_rules: int,
    n_series: int,
    target_port: int,
    interval_s: int,
    sink_port: int | None = None,
    for_s: int = 30,
) -> Proc:
    """Start a daemon with so many threshold rules over the gauges of the page at `target_port`."""
    for first in range(0, max(1, n_rules), _FILE):
        lines = []
        for number in range(first, min(n_rules, first + _FILE)):
            if number % _GROUP == 0:
                lines += [f"- name: g{number // _GROUP}", "  rules:"]
            lines += [
                f"  - alert: Rule{number}",
                f'    expr: bench_value{{idx="{number % n_series}"}} > {0.5 + number // n_series}',
                f"    for: {for_s}s",
                f"    labels: {{id: '{number}'}}",
            ]
        _write_rules(wd, f"from-{first}.yaml", ["groups:", *lines] if lines else ["groups: []"])
    page = {"type": "prometheus", "url": f"http://{HOST}:{target_port}/metrics"}
    return _daemon(wd, {"bench": page}, interval_s, sink_port)


def engine_stats(daemon: Proc) -> dict[str, float]:
    """Give evaluations so far, each of them one check in a prober, and the mean duration of a tick in seconds."""
    page = http_get(STATISTICS, "/metrics")[1].decode()
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    done = float(values["alerting_evaluations_total"])
    ticks = float(values["alerting_tick_duration_seconds_count"])
    cycle = float(values["alerting_tick_duration_seconds_sum"]) / ticks if ticks else 0.0
    return {"evaluations": done, "checks": done, "cycle_s": cycle}


def prober(wd: Path, urls: Sequence[str], interval_s: int, sink_port: int | None) -> Proc:
    """Start a daemon with one health entry of these addresses, and a rule to each: its evaluation is a check."""
    rules = [
        f"- {{alert: Down{number}, condition: 'app.up{{target=\"u{number}\"}} == 0'}}" for number in range(len(urls))
    ]
    _write_rules(wd, "probes.yaml", rules)
    targets = {f"u{number}": url for number, url in enumerate(urls)}
    return _daemon(wd, {"app": {"type": "health", "targets": targets}}, interval_s, sink_port)


def notifier(wd: Path, sink_port: int) -> NoReturn:
    """There is none yet."""
    raise NotImplementedError("alerting takes in no alerts of others: it sends only what its own rules find")


def _write_rules(wd: Path, name: str, lines: Sequence[str]) -> None:
    folder = wd / "rules"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def _daemon(wd: Path, sources: Mapping[str, Any], interval_s: int, sink_port: int | None) -> Proc:
    sink = {"type": "webhook", "url": f"http://{HOST}:{sink_port}/hook"} if sink_port else {"type": "console"}
    settings = {
        "interval": f"{interval_s}s",
        "sources": sources,
        "receivers": {"sink": sink},
        "route": {"receiver": "sink"},
        "web": {"listen": f"{HOST}:{STATISTICS}"},
    }
    (wd / "alerting.yaml").write_text(json.dumps(settings, indent=1))
    with suppress(OSError):
        http_get(STATISTICS, "/health")
        raise RuntimeError(f"something serves port {STATISTICS} already; end it first")
    daemon = Proc(python("-m", "alerting", "run"), name="alerting", cwd=wd)
    try:
        wait_http(STATISTICS, "/health")
    except RuntimeError:
        daemon.stop()
        raise
    return daemon
