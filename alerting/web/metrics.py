"""The daemon's own metrics: what is counted, under which name, and what it means.

Names are promises: `rules/self/alerting.yaml` and other people's rules are written against them. No label holds text
from outside besides the names that the settings themselves give.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psutil

import alerting
from alerting.core.builtin import CANARY
from alerting.selfwatch.vitals import BOUNDS
from alerting.web.exposition import Family, Point

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerting.selfwatch.vitals import Checkup, Vitals


def families(vitals: Vitals, checkup: Checkup, owed: Mapping[str, int]) -> Iterable[Family]:
    """Give all metrics. `owed` counts messages by state, as the store does; empty where it does not answer."""
    yield Family(
        "alerting_build_info", "gauge", "1, with the version as a label.", [Point(1, {"version": alerting.__version__})]
    )
    yield from _health(vitals, checkup)
    yield from _way(vitals, checkup)
    yield from _evaluation(vitals)
    yield from _delivery(vitals, owed)
    yield from _rest(vitals)
    yield from _process()


def _health(vitals: Vitals, checkup: Checkup) -> Iterable[Family]:
    problems = dict.fromkeys(vitals.parts(), 0) | {part: 2 if wedged else 1 for part, _, wedged in checkup.ailments}
    yield Family("alerting_healthy", "gauge", "1 when every part does its work, else 0.", [Point(not checkup.ailments)])
    yield Family(
        "alerting_problem",
        "gauge",
        "0 when a part does its work, 1 when it goes round and fails, 2 when it does not go round any more, so that a "
        "restart is the remedy.",
        [Point(problem, {"part": part}) for part, problem in problems.items()],
    )
    yield Family(
        "alerting_state_up", "gauge", "1 when the state answers and is saved, else 0.", [Point(not checkup.state.why)]
    )
    yield Family(
        "alerting_state_latency_seconds", "gauge", "Time to its answer.", [Point(checkup.state.latency / 1000)]
    )


def _way(vitals: Vitals, checkup: Checkup) -> Iterable[Family]:
    """Give what tells of the whole way, and of the secrets that it needs."""
    canary = vitals.program.canary
    yield Family(
        "alerting_canary_delay_seconds",
        "gauge",
        "Time from when the last canary was due until its receiver had it; of one that is late, until now.",
        [] if canary is None else [Point(canary.delay() / 1000)],
    )
    yield Family(
        "alerting_canary_arrivals_total",
        "counter",
        "Canaries that arrived.",
        [] if canary is None else [Point(canary.arrivals)],
    )
    now = vitals.clock.now()
    waits = {name: max(0, now - stale.since) / 1000 for name, stale in checkup.stale.items()}
    yield Family(
        "alerting_secrets_stale_seconds",
        "gauge",
        "For how long secrets could not be fetched anew; 0: they can.",
        [Point(waits.get(name, 0), {"document": name}) for name in vitals.program.rotation.documents],
    )


def _evaluation(vitals: Vitals) -> Iterable[Family]:
    tally, engine = vitals.tally, vitals.program.engine
    states = Counter(alert.state.value for alert in engine.alerts() if alert.key.rule_id != CANARY)
    due = engine.next_due()
    lag = 0 if due is None else max(0, vitals.clock.monotonic() - due)
    yield Family("alerting_rules", "gauge", "Alerting rules in force.", [Point(engine.count())])
    yield Family("alerting_rules_unknown", "gauge", "Rules that cannot be judged in full now.", [Point(tally.blind)])
    yield Family(
        "alerting_alerts",
        "gauge",
        "Alerts that are kept, by state; those about alerting itself included, the canary's left out.",
        [Point(states[state], {"state": state}) for state in ("pending", "firing", "resolved")],
    )
    yield Family("alerting_evaluations_total", "counter", "Evaluations of a rule.", [Point(tally.evaluated)])
    yield Family(
        "alerting_evaluations_missed_total", "counter", "Evaluations that were due and left out.", [Point(tally.missed)]
    )
    yield Family("alerting_evaluation_lag_seconds", "gauge", "How late evaluation is now.", [Point(lag / 1000)])
    yield Family(
        "alerting_tick_duration_seconds",
        "histogram",
        "From reading to saving, sources included.",
        [
            *(
                Point(count, {"le": f"{bound:g}"}, "_bucket")
                for bound, count in zip(BOUNDS, tally.tick_buckets, strict=True)
            ),
            Point(tally.ticks, {"le": "+Inf"}, "_bucket"),
            Point(tally.tick_seconds, {}, "_sum"),
            Point(tally.ticks, {}, "_count"),
        ],
    )
    up = [Point(not why, {"source": name}) for name, why in engine.sources().items()]
    yield Family("alerting_source_up", "gauge", "1 when the last reading of a source was good, else 0.", up)


def _delivery(vitals: Vitals, owed: Mapping[str, int]) -> Iterable[Family]:
    tally, lanes = vitals.tally, vitals.program.outbox.lanes()
    yield Family(
        "alerting_messages",
        "gauge",
        "Messages in the state: created = pending + claimed + sent + folded + parked.",
        [Point(count, {"state": state}) for state, count in owed.items() if state in ("pending", "claimed")],
    )
    for state, words in (
        ("created", "Messages that ever came to be owed."),
        ("sent", "Of these, those sent."),
        ("folded", "Of these, those that a later message of the same group told, or that were called back."),
        ("parked", "Of these, those given up."),
    ):
        if state in owed:
            yield Family(f"alerting_messages_{state}_total", "counter", words, [Point(owed[state])])
    yield Family(
        "alerting_deliveries_total",
        "counter",
        "Attempts to send, by how they ended: sent, unknown, retry, refused.",
        [
            Point(count, {"receiver": receiver, "outcome": outcome})
            for (receiver, outcome), count in sorted(tally.deliveries.items())
        ],
    )
    delays = sorted(tally.delays.items())
    yield Family(
        "alerting_delivery_delay_seconds",
        "summary",
        "From the decision to tell until the receiver has taken it.",
        [
            point
            for receiver, (count, total) in delays
            for point in (
                Point(total / 1000, {"receiver": receiver}, "_sum"),
                Point(count, {"receiver": receiver}, "_count"),
            )
        ],
    )
    yield Family(
        "alerting_receiver_failures",
        "gauge",
        "Attempts in a row that did not get through.",
        [Point(lane.failures, {"receiver": lane.receiver}) for lane in lanes],
    )
    yield Family(
        "alerting_receiver_failing_seconds",
        "gauge",
        "For how long they have not.",
        [Point(lane.failing_for / 1000, {"receiver": lane.receiver}) for lane in lanes],
    )


def _rest(vitals: Vitals) -> Iterable[Family]:
    tally = vitals.tally
    yield Family(
        "alerting_config_good",
        "gauge",
        "1 when rules and settings load, 0 when former ones are in force.",
        [Point(tally.config_good)],
    )
    yield Family(
        "alerting_reloads_total",
        "counter",
        "Reloads, by how they ended.",
        [Point(count, {"outcome": outcome}) for outcome, count in tally.reloads.items()],
    )
    yield Family(
        "alerting_faults_total", "counter", "Faults of alerting itself that were caught.", [Point(tally.faults)]
    )
    yield Family(
        "alerting_heartbeats_total",
        "counter",
        "Signs of life, by what was said: ok, error; lost: it could not be said.",
        [Point(count, {"outcome": outcome}) for outcome, count in tally.beats.items()],
    )
    yield Family(
        "alerting_log_lines_lost_total", "counter", "Log lines that could not be written.", [Point(tally.lines_lost())]
    )
    passed = (vitals.clock.monotonic() - vitals.started) / 1000
    yield Family("alerting_uptime_seconds", "gauge", "Time since the start.", [Point(passed)])


def _process() -> Iterable[Family]:
    """Give what every exporter gives of its process, under the usual names."""
    process = psutil.Process()
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info()
        started, files = process.create_time(), process.num_fds()
    yield Family("process_cpu_seconds_total", "counter", "CPU time used.", [Point(times.user + times.system)])
    yield Family("process_resident_memory_bytes", "gauge", "Memory held in RAM.", [Point(memory.rss)])
    yield Family("process_start_time_seconds", "gauge", "When it was started, as Unix time.", [Point(started)])
    yield Family("process_open_fds", "gauge", "Open file handles.", [Point(files)])
