"""`ALERTS` in the engine: rules that read the alerts of other rules, as Prometheus' own rule files do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.engine import Engine, Setup, Target
from alerting.errors import StoreError
from alerting.model import SHARED, Fault, FaultKind, Labels, Metric, Receiver, Rule, RuleSpec, Sample
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.test_engine_conditions import Kept, Said

if TYPE_CHECKING:
    from alerting.engine import TickReport

S, M = 1_000, 60_000
NAMES = Names([SourceNames("metrics", SHARED, "prometheus", closed=False, metrics=())])
INHIBITOR = (
    'ALERTS{severity="info"} == 1 unless on(namespace) '
    'ALERTS{alertname!="InfoInhibitor", severity=~"warning|critical", alertstate="firing"} == 1'
)
INFO = {"condition": "cpu_throttled > 25", "labels": {"severity": "info"}}
PAGE = {"condition": "pod_restarts > 5", "labels": {"severity": "warning"}}
READS = {"InfoInhibitor": {"condition": INHIBITOR, "labels": {"severity": "none"}}}


class Stubborn(MemoryStore):
    """A store that takes nothing while `full`."""

    full = False

    async def commit(self, change: Any) -> None:
        if self.full:
            raise StoreError("the disk is full; free some space")
        await super().commit(change)


class World:
    """An engine over one metrics page that says `now`: {name: {namespace label: value}}."""

    def __init__(self, rules: dict[str, dict[str, Any]]) -> None:
        self.clock = FakeClock(1_700_000_040_000)
        self.store, self.kept = Stubborn(), Kept()
        self.page = Said(self.clock, "metrics", SHARED)
        self.rules = rules

    async def start(self, rules: dict[str, dict[str, Any]] | None = None) -> World:
        self.rules = rules or self.rules
        self.engine = Engine(self.store, self.clock, compile_pattern, sample_store=self.kept)
        await self.engine.open()
        self.adopt(self.rules)
        return self

    def adopt(self, rules: dict[str, dict[str, Any]]) -> None:
        made = []
        for name, keys in rules.items():
            spec = RuleSpec(name, name, notify=("chat",), **{"interval": 30 * S, **keys})
            made.append(Rule(spec, compiled(spec.condition)))
        self.engine.adopt(Setup(made, [Target(self.page)], {"chat": Receiver()}))

    async def tick(self, passed: int = 30 * S, **now: dict[str, float]) -> TickReport:
        self.page.samples = [(name, {"namespace": at}, x) for name, each in now.items() for at, x in each.items()]
        await self.clock.advance(passed)
        return await self.engine.tick()

    async def heard(self, **now: dict[str, float]) -> list[str]:
        """Tick twice: a rule that stands before those that it reads about hears of them at the second."""
        reports = [await self.tick(30 * S, **now), await self.tick(30 * S, **now)]
        notices = [x for report in reports for each in report.notifications for x in (*each.firing, *each.resolved)]
        return sorted(f"{x.name} {x.labels.get('namespace', '')} {x.step}" for x in notices if x.step != "ongoing")

    def states(self) -> dict[str, str]:
        return {each.rule.name: each.state for each in self.engine.statuses()}

    def series(self) -> dict[str, float]:
        """Give what a rule would see of ALERTS now."""
        samples, now = self.engine._intake.samples, self.clock.now()
        found = compiled('{__name__="ALERTS"}').evaluate(samples, now, None).true
        return {str(labels.without(("__name__",))): value for labels, value in found}


def compiled(text: str) -> Any:
    """Compile a condition; a selector by label alone only as a query."""
    return compile_condition(text, NAMES, compile_pattern, purpose="query" if text.startswith("{") else "alert")[0]


@pytest.mark.parametrize("first", [True, False])
def test_a_rule_file_of_kubernetes_inhibits_as_it_does_with_prometheus(first: bool) -> None:
    """InfoInhibitor fires for namespaces of which only something mild fires, and ends when it is gone or covered."""

    async def story() -> None:
        rules = {"Throttled": INFO, "Restarts": PAGE}
        world = await World(READS | rules if first else rules | READS).start()
        assert await world.heard(cpu_throttled={"a": 0, "b": 0}, pod_restarts={"a": 0, "b": 0}) == []
        assert await world.heard(cpu_throttled={"a": 30, "b": 30}, pod_restarts={"a": 0, "b": 9}) == [
            "InfoInhibitor a firing",
            "Restarts b firing",
            "Throttled a firing",
            "Throttled b firing",
        ]
        assert await world.heard(cpu_throttled={"a": 30, "b": 30}, pod_restarts={"a": 9, "b": 0}) == [
            "InfoInhibitor a resolved",
            "InfoInhibitor b firing",
            "Restarts a firing",
            "Restarts b resolved",
        ]
        assert await world.heard(cpu_throttled={"a": 30, "b": 0}, pod_restarts={"a": 9, "b": 0}) == [
            "InfoInhibitor b resolved",
            "Throttled b resolved",
        ]

    asyncio.run(story())


def test_where_no_alert_is_nothing_is_unknown() -> None:
    """Not at the start, not after a quiet hour, not while the only metrics page fails: there is nothing to see."""

    async def story() -> None:
        world = await World(READS | {"Throttled": INFO}).start()
        for passed in (0, 30 * S, 20 * M, 60 * M):
            report = await world.tick(passed, cpu_throttled={"a": 0})
            assert (world.states()["InfoInhibitor"], dict(report.blind), report.notifications) == ("ok", {}, [])
        world.page.fault = Fault(FaultKind.TIMEOUT, "no answer within 10 s")
        for _ in range(20):
            await world.tick(cpu_throttled={"a": 0})
            assert world.states() == {"InfoInhibitor": "ok", "Throttled": "unknown"}

    asyncio.run(story())


def test_a_window_over_alerts_is_not_short_of_samples_because_there_was_no_alert() -> None:
    """They were looked at all the while: one sample of a new alert is too few for a difference, not for a judgement."""

    async def story() -> None:
        window = {"condition": 'delta(ALERTS{alertname="Throttled"}[2m]) > 5'}
        world = await World({"Throttled": INFO, "Window": window}).start()
        for value in (0, 0, 0, 0, 30):
            await world.tick(cpu_throttled={"a": value})
            assert world.states()["Window"] == "ok"

    asyncio.run(story())


def test_an_alert_whose_rule_is_unknown_goes_on_and_its_series_too() -> None:
    """However long its page fails: the alert is kept, so whoever reads alerts sees it."""

    async def story() -> None:
        world = await World({"Throttled": INFO} | READS).start()
        await world.heard(cpu_throttled={"a": 30})
        world.page.fault = Fault(FaultKind.TIMEOUT, "no answer within 10 s")
        for passed in (30 * S, 30 * S, 10 * M, 10 * M):
            await world.tick(passed)
            assert world.states()["InfoInhibitor"] == "firing"
        assert list(world.series()) == ['{alertname="Throttled",alertstate="firing",namespace="a",severity="info"}']

    asyncio.run(story())


def test_pending_and_firing_are_two_series_and_each_ends_with_its_time() -> None:
    """`for` makes an alert pending first; its series is the one of its present state alone, with the rule's labels."""

    async def story() -> None:
        slow = {**INFO, "for_": 60 * S, "labels": {"severity": "info", "who": "{{ $labels.namespace }}-team", "no": ""}}
        reads = {"Waits": {"condition": 'ALERTS{alertstate="pending"}'}}
        world = await World({"Throttled": slow} | reads).start()
        seen = []
        for value in (0, 30, 30, 30, 0):
            await world.tick(cpu_throttled={"a": value})
            shown = [each for each in world.series() if "Throttled" in each]
            seen.append([each.split('alertstate="')[1].split('"')[0] for each in shown])
            assert all('who="a-team"' in each and "no=" not in each for each in shown)
        assert seen == [[], ["pending"], ["pending"], ["firing"], []]

    asyncio.run(story())


def test_after_a_restart_they_are_there_with_the_first_evaluation() -> None:
    """From the state, not from the file of samples: `check` is a new process each time, an hour later too."""

    async def story() -> None:
        world = await World(READS | {"Throttled": INFO}).start()
        await world.tick(cpu_throttled={"a": 30})
        for passed, kept in ((5 * M, True), (60 * M, False)):
            await world.engine.close()
            world.kept = world.kept if kept else Kept()
            await world.start()
            report = await world.tick(passed, cpu_throttled={"a": 30})
            assert world.states() == {"InfoInhibitor": "firing", "Throttled": "firing"}
            assert len(report.notifications) == kept  # told once

    asyncio.run(story())


def test_what_was_over_before_the_process_began_is_not_seen_again() -> None:
    """The file of samples holds its series still; the state knows better."""

    async def story() -> None:
        world = await World({"Throttled": INFO} | READS).start()
        await world.tick(cpu_throttled={"a": 30})
        await world.engine.close()
        assert any(row[2].name == "ALERTS" for row in world.kept.rows)
        await world.start({"Restarts": PAGE} | READS)  # the rule is gone, and with it the alert
        await world.tick(cpu_throttled={"a": 30})
        assert list(world.series()) == []
        assert world.states()["InfoInhibitor"] == "ok"

    asyncio.run(story())


def test_a_turn_that_was_not_saved_leaves_no_series() -> None:
    """What its rules found is found anew, or not; rules that read alerts do not go by it meanwhile."""

    async def story() -> None:
        world = await World({"Throttled": {**INFO, "interval": 30 * M}, "Sees": {"condition": "ALERTS == 1"}}).start()
        await world.tick(cpu_throttled={"a": 0})
        world.store.full = True
        await world.tick(cpu_throttled={"a": 30})
        assert list(world.series()) != []
        world.store.full = False
        await world.engine.tick([each for each in world.engine._batches if each.interval == 30 * S])
        assert (list(world.series()), world.states()["Sees"]) == ([], "ok")

    asyncio.run(story())


def test_two_rules_of_one_name_do_not_end_each_others_series() -> None:
    """As long as one of them has the alert, the series is there."""

    async def story() -> None:
        both: dict[str, dict[str, Any]] = {
            "x": {**INFO, "name": "Same"},
            "y": {**INFO, "condition": "pod_restarts > 5", "name": "Same"},
        }
        world = World({})
        await world.start({"Sees": {"condition": "ALERTS == 1"}})
        made = [
            Rule(spec, compiled(spec.condition))
            for rule_id, keys in both.items()
            for spec in [RuleSpec(rule_id, notify=("chat",), interval=30 * S, **keys)]
        ]
        sees = RuleSpec("Sees", "Sees", "ALERTS == 1", notify=("chat",), interval=30 * S)
        made.append(Rule(sees, compiled(sees.condition)))
        world.engine.adopt(Setup(made, [Target(world.page)], {"chat": Receiver()}))
        await world.tick(cpu_throttled={"a": 30}, pod_restarts={"a": 9})
        assert len(world.series()) == 1 + 1  # theirs, and that of the rule that sees it
        await world.tick(cpu_throttled={"a": 30}, pod_restarts={"a": 0})
        assert 'alertname="Same"' in " ".join(world.series())
        await world.tick(cpu_throttled={"a": 0}, pod_restarts={"a": 0})
        assert 'alertname="Same"' not in " ".join(world.series())

    asyncio.run(story())


def test_series_that_the_pages_themselves_offer_are_left_alone_and_missed_when_they_fail() -> None:
    """A page that another Prometheus federates has ALERTS too: while it fails, those are unknown, not gone."""

    async def story() -> None:
        world = await World({"Throttled": INFO, "Sees": {"condition": 'ALERTS{alertname="Theirs"}'}}).start()
        theirs = [("ALERTS", {"alertname": "Theirs", "alertstate": "firing"}, 1.0)]
        world.page.samples = theirs
        await world.clock.advance(30 * S)
        await world.engine.tick()
        assert world.states()["Sees"] == "firing"
        world.page.fault = Fault(FaultKind.TIMEOUT, "no answer within 10 s")
        await world.tick()
        (status,) = [each for each in world.engine.statuses() if each.rule.name == "Sees"]
        assert (status.state, bool(status.unknown)) == ("firing", True)

    asyncio.run(story())


def test_nothing_is_made_where_nobody_reads_it() -> None:
    """And a reload begins and ends it."""

    async def story() -> None:
        world = await World({"Throttled": INFO}).start()
        await world.tick(cpu_throttled={"a": 30})
        assert (world.series(), [row for row in world.kept.rows if row[2].name == "ALERTS"]) == ({}, [])
        assert world.engine._book._series is None
        world.adopt({"Throttled": INFO} | READS)
        await world.tick(cpu_throttled={"a": 30})
        assert world.states()["InfoInhibitor"] == "firing"
        world.adopt({"Throttled": INFO})
        await world.tick(cpu_throttled={"a": 30})
        assert world.engine._intake.samples.series(SHARED, "ALERTS") == ()

    asyncio.run(story())


def test_series_of_alerts_that_are_over_are_forgotten() -> None:
    """Labels that never repeat must not fill memory."""

    async def story() -> None:
        world, kept = await World({"Throttled": INFO} | READS).start(), []
        for number in range(60):
            await world.tick(60 * S, cpu_throttled={f"pod-{number}": 30.0})
            kept.append(len(world.engine._intake.samples.series(SHARED, "ALERTS")))
        assert max(kept) == max(kept[:30]) > 0

    asyncio.run(story())


def test_names_know_it_with_and_without_metrics_pages() -> None:
    """No error, no warning; and nothing is claimed of its labels but the two that it always has."""
    for names in (NAMES, Names([SourceNames("host", "host", "host", closed=True, metrics=())])):
        condition, warnings = compile_condition(INHIBITOR, names, compile_pattern)
        assert (list(warnings), {need.name for need in condition.needs}) == ([], {"ALERTS"})
        assert names.labels(Metric("ALERTS", SHARED)) == (frozenset(("alertname", "alertstate")), None)


def test_a_sample_of_the_file_has_its_labels() -> None:
    """What is kept is what rules see: `ALERTS` with value 1."""

    async def story() -> None:
        world = await World({"Throttled": INFO} | READS).start()
        await world.tick(cpu_throttled={"a": 30})
        kept = [row[2] for row in world.kept.rows if row[2].labels.get("alertname") == "Throttled"]
        labels = {"alertname": "Throttled", "alertstate": "firing", "namespace": "a", "severity": "info"}
        assert set(kept) == {Sample("ALERTS", Labels(labels), 1.0, world.clock.now())}

    asyncio.run(story())
