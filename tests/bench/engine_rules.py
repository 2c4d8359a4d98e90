"""CPU of the whole tick per rule evaluation: `python -m tests.bench.engine_rules [RULES]`.

Rules `bench_value{idx="7"} > n` over 1,000 series of one page, whose values change before each tick; the engine with
its state machine over the store in memory, alerts of the firing rows already told. Medians of several ticks, in
microseconds of CPU per evaluation, samples taken in included. Beside it what the language alone takes.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names
from alerting.engine import Engine, Setup, Target
from alerting.model import SHARED, Labels, Reading, Receiver, Rule, RuleSpec, Sample
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

SERIES = 1_000
ROUNDS = 11
INTERVAL = 15_000
PAGE = Labels({"job": "bench", "instance": "127.0.0.1:1"})


class Page:
    """A metrics page of 1,000 gauges that all change at each reading."""

    name = "bench"
    namespace = SHARED

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.round = 0
        self.series = [PAGE.with_(idx=str(index)) for index in range(SERIES)]

    async def fetch(self, needs: Any, since: int | None) -> Reading:
        self.round += 1
        at, value = self.clock.now(), float(self.round)
        samples = tuple(Sample("bench_value", labels, value, at) for labels in self.series)
        return Reading(self.name, SHARED, at, samples, PAGE)

    async def close(self) -> None:
        """Nothing to let go of."""


def rules_of(texts: Sequence[str]) -> list[Rule]:
    """Compile conditions into rules as the settings would."""
    names = Names.anything()
    return [
        Rule(RuleSpec(f"r{number}", f"R{number}", text, notify=("chat",), for_=30_000, interval=INTERVAL), condition)
        for number, text in enumerate(texts)
        for condition in (compile_condition(text, names, compile_pattern)[0],)
    ]


async def measure(rules: Sequence[Rule], warm: int) -> tuple[float, int]:
    """Tick and tick again. Gives µs per evaluation and how many rules fire."""
    clock = FakeClock()
    engine = Engine(MemoryStore(), clock, compile_pattern)
    await engine.open()
    engine.adopt(Setup(rules, [Target(Page(clock))], {"chat": Receiver()}))
    for _ in range(warm):
        await engine.tick()
        await clock.advance(INTERVAL)
    gc.collect()
    times = []
    for _ in range(ROUNDS):
        started = process_time()
        report = await engine.tick()
        times.append((process_time() - started) / report.evaluated)
        await clock.advance(INTERVAL)
    return median(times) * 1e6, len(engine.alerts())


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    shapes = {
        'x{idx="7"} > n, nothing true': lambda idx, number: f'bench_value{{idx="{idx}"}} > {1e6 + number}',
        'x{idx="7"} > n, all firing, value changing': lambda idx, _: f'bench_value{{idx="{idx}"}} > 0.5',
        'rate(x{idx="7"}[5m]) > n, nothing true': lambda idx, number: (
            f'rate(bench_value{{idx="{idx}"}}[5m]) > {number + 9}'
        ),
        'rate(x{idx="7"}[1h]) > n, nothing true': lambda idx, number: (
            f'rate(bench_value{{idx="{idx}"}}[1h]) > {number + 9}'
        ),
    }
    print(f"{count} rules over {SERIES} series")
    print(f"{'shape':44} {'us/evaluation':>14} {'alerts':>7}")
    for label, text in shapes.items():
        rules = rules_of([text(number % SERIES, number) for number in range(count)])
        cost, alerts = asyncio.run(measure(rules, warm=250 if "1h" in label else 25 if "5m" in label else 4))
        print(f"{label:44} {cost:14.2f} {alerts:7}", flush=True)
        if "nothing true" in label and "rate" not in label:
            print(f"{'':44} peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
