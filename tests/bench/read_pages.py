"""What reading a metrics page costs: the first time, the next time, unchanged; beside the reference parser.

Prints microseconds of CPU per sample, the median of several rounds. Garbage is looked for as seldom as in the program.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING

from alerting.exposition import PageReader
from alerting.model import Labels

if TYPE_CHECKING:
    from collections.abc import Callable

SERIES = 10_000
ROUNDS = 7
TARGET = Labels({"job": "bench", "instance": "127.0.0.1:80"})


def page(step: int) -> bytes:
    """A page of counters with three labels each, whose values grow with `step`."""
    lines = ["# HELP http_requests_total Requests.", "# TYPE http_requests_total counter"]
    for index in range(SERIES):
        labels = f'method="GET",path="/api/v1/items/{index}",code="200"'
        lines.append(f"http_requests_total{{{labels}}} {index * step + 0.5}")
    return "\n".join(lines).encode() + b"\n"


def cost(work: Callable[[], object]) -> float:
    """Microseconds of CPU per sample."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / SERIES * 1e6


def main() -> None:
    """Print one line per way of reading."""
    gc.set_threshold(50_000)
    reader = PageReader(TARGET, SERIES)
    pages = [page(step) for step in range(1, ROUNDS + 2)]
    reader.read(pages[0], 0)
    figures = {
        "first page of a target": [cost(lambda: PageReader(TARGET, SERIES).read(pages[0], 0)) for _ in range(ROUNDS)],
        "first page, no name needed": [
            cost(lambda: PageReader(TARGET, SERIES).read(pages[0], 0, frozenset({"other"}))) for _ in range(ROUNDS)
        ],
        "next page, every value new": [cost(lambda body=body: reader.read(body, 0)) for body in pages[1:]],
        "page unchanged": [cost(lambda: reader.read(pages[-1], 0)) for _ in range(ROUNDS)],
    }
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        print("prometheus_client is not installed: no figure beside ours")
    else:
        text = pages[0].decode()
        figures["prometheus_client's parser"] = [cost(lambda: list(text_string_to_metric_families(text)))]
    for name, values in figures.items():
        print(f"{name:28} {statistics.median(values):7.2f} us a sample ({SERIES} series)")


if __name__ == "__main__":
    main()
