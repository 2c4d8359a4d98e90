"""CPU per evaluation of the commonest shapes of rules, the language alone: `python -m tests.bench.eval_rules`.

10,000 rules over 1,000 series whose values change before each round; the time is that of evaluating, without
taking the samples in (which is shown apart). Medians of several rounds, in microseconds per evaluation.
"""

from __future__ import annotations

import tracemalloc
from statistics import median
from time import process_time

from alerting.core.lang.condition import CompiledCondition, compile_condition
from alerting.core.lang.names import Names
from alerting.core.samples import Samples
from alerting.model import SHARED, Labels, Reading, Sample
from alerting.patterns import compile_pattern

SERIES = 1_000
ROUNDS = 15
SCRAPE = 15_000
START = 1_700_000_000_000
TARGET = Labels({"job": "bench", "instance": "127.0.0.1:1"})


def _series(count: int) -> list[Labels]:
    return [TARGET.with_(idx=str(index)) for index in range(count)]


def _reading(name: str, series: list[Labels], value: float, at: int) -> Reading:
    samples = tuple(Sample(name, labels, value + index * 1e-9, at) for index, labels in enumerate(series))
    return Reading("bench", SHARED, at, samples, TARGET)


def _compiled(texts: list[str]) -> tuple[list[CompiledCondition], float]:
    names = Names.anything()
    started = process_time()
    conditions = [compile_condition(text, names, compile_pattern)[0] for text in texts]
    return conditions, process_time() - started


def measure(texts: list[str], name: str, series: list[Labels], rising: float, back: int) -> tuple[float, float, int]:
    """Evaluate all conditions once per scrape. Gives µs per evaluation, µs per sample taken in, and what was true."""
    conditions, _ = _compiled(texts)
    samples = Samples()
    samples.require([need for condition in conditions for need in condition.needs], compile_pattern)
    at, value = START, 1.0
    for _ in range(back):
        samples.append(_reading(name, series, value, at))
        at, value = at + SCRAPE, value + rising
    times, taking, true = [], [], 0
    for _ in range(ROUNDS):
        reading = _reading(name, series, value, at)
        started = process_time()
        samples.append(reading)
        taken = process_time()
        true = sum(len(condition.evaluate(samples, at).true) for condition in conditions)
        times.append((process_time() - taken) / len(conditions))
        taking.append((taken - started) / len(series))
        at, value = at + SCRAPE, value + rising
    return median(times) * 1e6, median(taking) * 1e6, true


def _bytes_each(texts: list[str]) -> float:
    """Give the memory that a compiled condition keeps."""
    names = Names.anything()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    conditions = [compile_condition(text, names, compile_pattern)[0] for text in texts]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown / len(conditions)


def main() -> None:
    """Print the table."""
    series = _series(SERIES)
    quiet = [f'bench_value{{idx="{index % SERIES}"}} > {1e6 + index}' for index in range(10_000)]
    loud = [f'bench_value{{idx="{index % SERIES}"}} > 0.5' for index in range(10_000)]
    print(f"{'shape':44} {'us/evaluation':>14} {'us/sample in':>13} {'true':>7}")
    for label, texts, rising, back in (
        ('x{idx="7"} > n, nothing true', quiet, 1.0, 1),
        ('x{idx="7"} > n, all true', loud, 1.0, 1),
    ):
        row = measure(texts, "bench_value", series, rising, back)
        print(f"{label:44} {row[0]:14.2f} {row[1]:13.2f} {row[2]:7}")
    few = _series(100)
    for function in ("rate", "increase", "avg_over_time", "max_over_time", "changes", "stddev_over_time"):
        for window, back in (("5m", 20), ("1h", 240)):
            texts = [f'{function}(bench_total{{idx="{index % 100}"}}[{window}]) > 1e9' for index in range(1_000)]
            row = measure(texts, "bench_total", few, 1.0, back)
            print(f"{f'{function}(x[{window}]) > n':44} {row[0]:14.2f} {row[1]:13.2f} {row[2]:7}")
    for text in ("sum by (job) (bench_value) > 1e9", "bench_value / ignoring () bench_value > 2"):
        row = measure([text] * 3, "bench_value", series, 1.0, 1)
        print(f"{text + ' (1,000 series)':44} {row[0]:14.2f} {row[1]:13.2f} {row[2]:7}")
    _, seconds = _compiled(quiet)
    print(f"compiling: {seconds / len(quiet) * 1e6:.0f} us for each threshold")
    rates = [f'rate(bench_total{{idx="{index % SERIES}"}}[5m]) > {index}' for index in range(2_000)]
    print(f"memory: {_bytes_each(quiet):.0f} bytes for each threshold, {_bytes_each(rates):.0f} for each rate")


if __name__ == "__main__":
    main()
