"""`make bench`: every figure, as ratios in one run where a peer is installed. Nothing here is asserted."""

from __future__ import annotations

from tests.bench import commands, engine_rules, host_reading, idle, probes, read_pages, telling

PARTS = {
    "Rules in the engine (aims: 2.5, 8, 12 and flat; 60 MiB)": engine_rules.main,
    "Whole commands": commands.main,
    "The daemon": idle.main,
    "Health checks": probes.main,
    "Host readings (aim: 0.1 of a scrape of node_exporter)": host_reading.main,
    "Metrics pages": read_pages.main,
    "Telling": telling.main,
}


def main() -> None:
    """Run all parts."""
    for title, part in PARTS.items():
        print(f"\n== {title}\n", flush=True)
        part()


if __name__ == "__main__":
    main()
