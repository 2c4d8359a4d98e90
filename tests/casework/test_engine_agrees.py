"""The engine itself, over the same series, sends what the cases expect: the runner is no second telling."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting.casework.office import Office, office_of, settings_of
from alerting.casework.rounds import Rounds
from alerting.casework.runner import _ordered, _rule_files, _stepped
from alerting.casework.testfile import read_cases
from alerting.casework.timeline import Timeline, _covers
from alerting.config.rules import load_rules
from alerting.config.vocabulary import open_names
from alerting.core.telling import keeping
from alerting.core.telling.matchers import Matchers
from alerting.engine import Engine, Target
from alerting.model import ALERTS, Ack, AlertState, Fault, FaultKind, Kind, Reading, Sample
from alerting.patterns import compile_pattern
from alerting.setup import setup_of
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.tick import send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.casework.people import AckGiven
    from alerting.casework.testfile import Case, CaseFile
    from alerting.model import Millis, Need, Rule

CASES = Path(__file__).parents[1] / "cases"


class Page:
    """A source that gives the series of a test; where the test is PromQL throughout, the last value from there on."""

    def __init__(self, clock: FakeClock, timeline: Timeline, target: Any) -> None:
        self.clock, self.case = clock, timeline.case
        self.of = target
        self.namespace, self.labels = target
        self.name = self.namespace or "metrics"
        self.series = timeline._targets[target]

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        at = self.clock.now()
        offset = at - self.case.start
        step = offset // self.case.interval
        failed = next((each for each in self.case.outages or () if _covers(each, self.of, offset)), None)
        if failed is not None:
            fault = Fault(FaultKind.TIMEOUT, failed.why)
            return Reading(self.name, self.namespace, at, (Sample("up", self.labels, 0.0, at),), self.labels, fault)
        samples = [Sample("up", self.labels, 1.0, at)]
        for known, values in self.series:
            value = values.get(min(step, max(values)) if self.case.outages is None else step)
            if value is not None and known.metric.name != "up":
                samples.append(Sample(known.metric.name, known.labels, value, at))
        kinds = tuple(known.metric for known, _ in self.series if known.metric.kind is not Kind.UNKNOWN)
        return Reading(self.name, self.namespace, at, tuple(samples), self.labels, kinds=kinds)

    async def close(self) -> None:
        """Nothing to let go of."""


class Street:
    """One case, lived through by an engine; `checker` looks at what that hands over, as the runner would."""

    def __init__(self, case: Case, file: CaseFile, office: Office, rules: Sequence[Rule], timeline: Timeline) -> None:
        assert case.people is not None
        self.case, self.file = case, file
        self.clock = FakeClock(case.start)
        self.store = MemoryStore()
        self.engine = Engine(self.store, self.clock, compile_pattern)
        self.checker = Rounds(case, case.people, office, rules, timeline, compile_pattern, lambda _name, _now: ())
        pages = [Page(self.clock, timeline, target) for target in timeline._targets]
        targets = [Target(page, self.checker._reach(page.name, page.namespace).unknown_after) for page in pages]
        labels = {**office.settings.external_labels, **case.external_labels}
        self.address = case.external_url or office.settings.external_url
        receivers = office.plan.receivers
        setup = setup_of(office.settings, rules, receivers)
        self.setup = setup._replace(targets=targets, external_labels=labels, external_url=self.address, max_gap=2**62)
        self.specs = {rule.id: rule.spec for rule in rules}
        self.silences, self.acks = deque(self.checker._silences), deque(self.checker._acks)

    async def live(self) -> list[str]:
        """Live from the first evaluation to the last check; give what did not come as expected."""
        await self.engine.open()
        self.engine.adopt(self.setup)
        self.checker._book = self.engine._book
        for offset in range(0, self.case.length + 1, self.file.interval):
            await self.pass_time(offset - 1)
            await self.silence(offset)
            await self.clock.advance(self.case.start + offset - self.clock.now())
            await self.tick(None)
        await self.pass_time(self.case.length)
        await self.engine.close()
        left = [each for name in self.checker._checked for each in self.checker._messages.get(name, ())]
        return [*(f"{each.what}: {each.lines}" for each in self.checker.failures), *map(str, left)]

    async def pass_time(self, until: Millis) -> None:
        """Let everything happen that comes up to then."""
        while True:
            due = self.engine._telling_at()
            times = [
                *((self.silences[0][0], 0) for _ in range(bool(self.silences))),
                *((self.acks[0][0], 1) for _ in range(bool(self.acks))),
                *(() if due is None else ((due, 2),)),  # the monotonic clock began with the test
                *((self.checker._hearings[0].at, 3) for _ in range(bool(self.checker._hearings))),
            ]
            at, what = min(times, default=(until + 1, 0))
            if at > until:
                return
            await self.clock.advance(max(0, self.case.start + at - self.clock.now()))
            if what == 0:
                await self.silence(at)
            elif what == 1:
                await self.acknowledge(*self.acks.popleft()[1:])
            elif what == 2:
                await self.tick(())
            else:
                self.checker._hear()

    async def tick(self, batches: Any) -> None:
        task = asyncio.ensure_future(self.engine.tick(batches))
        await self.clock.run(task)
        self.checker._now = self.clock.now()
        self.checker._hand_over(task.result().notifications)
        await send(self.store, self.clock.now())

    async def silence(self, until: Millis) -> None:
        while self.silences and self.silences[0][0] <= until:
            _, silence = self.silences.popleft()
            start = self.case.start
            silence = silence._replace(
                starts=silence.starts + start, ends=silence.ends + start, created=silence.created + start
            )
            await self.engine.take({keeping.silence_name(silence.id): keeping.silence_text(silence)})
            await self.tick(()) if until < self.clock.now() - start else None

    async def acknowledge(self, given: AckGiven, withdrawn: bool) -> None:
        fits = Matchers(given.matchers, compile_pattern).fits
        (alert,) = [
            each
            for each in self.engine.alerts()
            if each.state is AlertState.FIRING and self.specs[each.key.rule_id].name == given.name
            if fits({**each.labels.as_dict(), "severity": each.level})
        ]
        now = self.clock.now()
        ack = Ack(alert.key, alert.episode, given.author, now, now + given.lasts, alert.level, given.comment)
        text = None if withdrawn else keeping.ack_text(ack)
        await self.engine.take({keeping.ack_name(alert.key): text})
        await self.tick(())


def streets() -> list[Any]:
    """Every case, save those of receivers that cannot be reached: the outbox is not here."""
    return [
        pytest.param(path, case.name, id=f"{path.name.partition('.')[0]}: {case.name}")
        for path in sorted(CASES.glob("*.test.yaml"))
        for case in read_cases(path, path.name).cases
        if case.people is not None and not case.people.unreachable
    ]


@pytest.mark.parametrize(("path", "name"), streets())
def test_the_engine_hands_over_what_the_case_expects(path: Path, name: str) -> None:
    """Message by message, at the very same times, with what is held back in between."""
    file = read_cases(path, str(path))
    (case,) = [each for each in file.cases if each.name == name]
    settings = settings_of(file)
    rules = load_rules(settings, None, compile_pattern, files=_rule_files(file), told=True)
    names = open_names(settings, rules.recorded)
    ordered = [_stepped(rule, file, names, compile_pattern) for rule in _ordered(rules.rules, file)]
    timeline = Timeline(case, names)
    given = {known.metric.name for known in timeline._series} | rules.recorded | {ALERTS}
    read = [rule for rule in ordered if all(need.name in given for need in rule.needs)]  # others would be blind here
    street = Street(case, file, office_of(settings, compile_pattern), read, timeline)
    assert asyncio.run(street.live()) == []
