"""Whole commands beside their peers: `python -m tests.bench.commands`.

`promtool` is Debian's (package `prometheus`); where it is absent the lines that need it say so.
"""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import alerting
from tests.bench.pairs import once, paired

ALERTING = [sys.executable, str(Path(sys.executable).with_name("alerting"))]  # what a shell would find
IMPORTS = [sys.executable, "-c", "import yaml, sqlite3"]
PROMTOOL = shutil.which("promtool")
STEPS = 8
CASES = 100


def groups(count: int, series: int = 1_000) -> str:
    """Rules in Prometheus' form, a hundred to a group."""
    lines = ["groups:"]
    for number in range(count):
        if number % 100 == 0:
            lines += [f"- name: g{number // 100}", "  rules:"]
        lines += [
            f"  - alert: Rule{number}",
            f'    expr: bench_value{{idx="{number % series}"}} > {1 + number // series}',
            "    for: 30s",
            f"    labels: {{severity: warning, team: t{number % 20}}}",
            "    annotations: {summary: 'value of {{ $labels.idx }} is {{ $value }}'}",
        ]
    return "\n".join(lines) + "\n"


def plain(count: int) -> str:
    """Rules in the project's own form, one list."""
    lines = []
    for number in range(count):
        lines += [
            f"- alert: Rule{number}",
            f"  condition: 'bench_value{{idx=\"{number}\"}} > {number % 7}.5'",
            "  for: 30s",
            "  severity: warning",
            f"  labels: {{team: t{number % 20}, env: prod}}",
            "  notify: slack, pagerduty",
        ]
    return "\n".join(lines) + "\n"


def cases(count: int) -> str:
    """A test file of four minutes at 30 s a case."""
    lines = ["rule_files: [rules.yml]", "evaluation_interval: 30s", "tests:"]
    for number in range(count):
        lines += [
            "- interval: 30s",
            "  input_series:",
            f"  - {{series: 'bench_value{{idx=\"{number % 100}\"}}', values: '0 0 9 9 9 9 9 9 9'}}",
            "  alert_rule_test:",
            f"  - eval_time: {STEPS * 30}s",
            f"    alertname: Rule{number % 100}",
            "    exp_alerts:",
            f"    - exp_labels: {{severity: warning, team: t{number % 20}, idx: '{number % 100}'}}",
            f"      exp_annotations: {{summary: 'value of {number % 100} is 9'}}",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print one line a figure."""
    with tempfile.TemporaryDirectory(prefix="alerting-bench-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        compileall.compile_dir(alerting.__path__[0], quiet=1)  # as installing does; a checkout may not be
        _cold_check(folder / "check")
        _validate(folder / "validate")
        _validate_many(folder / "many")
        _rule_tests(folder / "tests")


def _cold_check(folder: Path) -> None:
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "disk.yaml").write_text("alert: DiskSpaceLow\ncondition: disk_usage > 101%\n")
    print("check, one host rule / python -c 'import yaml, sqlite3' (aim 4):", flush=True)
    print(f"  {paired([*ALERTING, 'check'], IMPORTS, folder, 21)}", flush=True)


def _validate(folder: Path) -> None:
    folder.mkdir()
    (folder / "rules.yaml").write_text(plain(100))
    walls = []
    for _ in range(11):
        shutil.rmtree(folder.parent / "cache", ignore_errors=True)
        walls.append(once([*ALERTING, "validate", "rules.yaml"], folder).wall)
    again = [once([*ALERTING, "validate", "rules.yaml"], folder).wall for _ in range(11)]
    print("validate, 100 rules, wall (aim 150 ms):", flush=True)
    print(
        f"  cold {statistics.median(walls) * 1e3:.0f} ms, unchanged {statistics.median(again) * 1e3:.0f} ms", flush=True
    )


def _validate_many(folder: Path) -> None:
    folder.mkdir()
    (folder / "rules.yml").write_text(groups(10_000))
    print("validate, 10,000 rules / promtool check rules (aims: cold 0.7, unchanged 0.125):", flush=True)
    if PROMTOOL is None:
        print("  promtool is not installed: no figure", flush=True)
        return
    peer = [PROMTOOL, "check", "rules", "rules.yml"]
    validate = [*ALERTING, "validate", "rules.yml"]
    cold = ["sh", "-c", f'rm -rf "$XDG_CACHE_HOME"; exec {" ".join(validate)}']
    print(f"  cold      {paired(cold, peer, folder, 5)}", flush=True)
    print(f"  unchanged {paired(validate, peer, folder, 7)}", flush=True)


def _rule_tests(folder: Path) -> None:
    folder.mkdir()
    (folder / "rules.yml").write_text(groups(100, 100))
    (folder / "cases.yml").write_text(cases(CASES))
    print(f"test, 100 rules x {STEPS} steps, {CASES} cases / promtool test rules (aim 0.1):", flush=True)
    if PROMTOOL is None:
        print("  promtool is not installed: no figure", flush=True)
        return
    ours = [*ALERTING, "test", "cases.yml"]
    print(f"  {paired(ours, [PROMTOOL, 'test', 'rules', 'cases.yml'], folder, 5)}", flush=True)


if __name__ == "__main__":
    main()
