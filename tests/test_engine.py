"""The tick as a whole: readings in, one transaction out, and what people hear."""

from __future__ import annotations

import asyncio
import random
import resource
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from alerting.engine import Engine, Limits, Setup, Target
from alerting.errors import StoreError
from alerting.model import (
    SHARED,
    AlertState,
    Ended,
    Fault,
    FaultKind,
    Gap,
    Labels,
    Need,
    Notification,
    OnMissing,
    Truth,
)
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.full import rounds, seed
from tests.tick import Above, App, Found, H, House, M, S, rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.ports import Change
    from tests.figures import Figure


def said(notifications: Any) -> list[tuple[str, str]]:
    """Say who hears what: (receiver, title)."""
    return [(each.receiver, each.title) for each in notifications]


def test_an_alert_fires_is_told_once_and_its_end_is_told_to_the_same() -> None:
    """The main job: fire, stay silent while it fires, resolve under the same key."""

    async def story() -> None:
        house = await House(rule(for_=M)).open()
        assert (await house.tick(1)).transitions == []
        assert [each.after for each in (await house.tick(20)).transitions] == [AlertState.PENDING]
        assert (await house.tick(20)).notifications == []
        fired = (await house.tick(20)).notifications
        assert said(fired) == [("chat", 'High: v{a="1"} = 20 > 10'), ("pager", 'High: v{a="1"} = 20 > 10')]
        assert (await house.tick(21)).notifications == []
        over = (await house.tick(3)).notifications
        assert said(over) == [
            ("chat", 'High resolved: recovered (v{a="1"} = 3 <= 10)'),
            ("pager", 'High resolved: recovered (v{a="1"} = 3 <= 10)'),
        ]
        assert [each.group_key for each in over] == [each.group_key for each in fired]
        assert all(each.all_resolved for each in over)
        assert house.woken == [{"chat", "pager"}, {"chat", "pager"}]
        assert (await house.store.overview()).counts["created"] == 4

    asyncio.run(story())


def test_a_restart_in_the_middle_changes_nothing() -> None:
    """State and `for` are the store's; the second process tells the end of what the first one told."""

    async def story(restarts: bool) -> list[tuple[str, str, str]]:
        house = await House(rule(for_=M, keep_firing_for=M)).open()
        heard = []
        for value in (1, 20, 20, 20, 20, 3, 3, 3, 20, 20, 20, 3, None, 3, 3):
            report = await house.tick(value)
            heard += [(each.receiver, each.title, each.reason) for each in report.notifications]
            if restarts:
                await house.restart()
        return heard

    assert asyncio.run(story(restarts=True)) == asyncio.run(story(restarts=False))


@pytest.mark.parametrize("kind", list(FaultKind))
def test_f2_a_source_that_fails_moves_nothing_and_says_why(kind: FaultKind, figure: Figure) -> None:
    """Every class of failure: firing stays firing, quiet stays quiet, the reason is shown."""

    async def story() -> None:
        house = await House(rule("A"), rule("B", Above(1000))).open()
        await house.tick(20)
        house.app.fault = Fault(kind, f"{kind}: in words")
        report = await house.tick(None)
        moved = [each.after for each in report.transitions if each.key.rule_id != "alerting/SourceDown/app"]
        figure("false pages", moved.count(AlertState.FIRING), at_most=0, n=1)
        figure("false resolves", moved.count(AlertState.RESOLVED), at_most=0, n=1)
        assert [each.key.rule_id for each in report.transitions] == ["alerting/SourceDown/app"]
        assert house.states() == {"A": "firing", "B": "unknown"}
        assert report.faults == {"app": f"app: {kind}: in words"}
        assert report.incomplete
        assert (await house.tick(20)).faults == {}
        assert house.states() == {"A": "firing", "B": "ok"}

    asyncio.run(story())


def test_a_source_that_stays_down_becomes_one_alert_for_whoever_its_rules_tell() -> None:
    """One SourceDown after unknown_after, as serious as the most serious rule, recovered when it is read."""

    async def story() -> None:
        sees = rule("C", Above(5, name="up"), notify=("chat",))  # is not blind while its source fails
        house = House(
            rule("A", notify=("chat",)),
            rule("B", Above(5), notify=("pager",), severity="critical"),
            sees,
            unknown_after=H,
        )
        house.targets = [Target(house.app, unknown_after=M)]
        await house.open()
        assert said((await house.tick(None)).notifications) == []
        assert said((await house.tick(None)).notifications) == []
        down = (await house.tick(None)).notifications
        title = "SourceDown: app: connection refused; cannot be judged meanwhile: A, B"
        assert said(down) == [("chat", title), ("pager", title)]
        assert {each.firing[0].severity for each in down} == {"critical"}
        assert (await house.tick(None)).notifications == []
        up = (await house.tick(1)).notifications
        assert said(up) == [(name, "SourceDown resolved: recovered (app is read again)") for name in ("chat", "pager")]

    asyncio.run(story())


def test_a_rule_that_is_blind_for_another_reason_becomes_an_alert_of_its_own() -> None:
    """RuleBlind, once, with the reason; ended when the rule can be judged."""

    async def story() -> None:
        condition = Above()
        house = await House(rule("A", condition, notify=("chat",)), rule("B"), unknown_after=M).open()
        condition.raises = ZeroDivisionError("secret text")
        await house.tick(20)
        assert house.states() == {"A": "unknown", "B": "firing"}
        await house.tick(20)
        report = await house.tick(20)
        why = "a fault of alerting itself: ZeroDivisionError while the condition was evaluated; please report it"
        assert said(report.notifications) == [("chat", f"RuleBlind: A cannot be judged in full: {why}")]
        assert report.blind == {"rules.yaml:A": why}
        await house.restart()
        condition.raises = None
        over = await house.tick(5)
        assert ("chat", "RuleBlind resolved: recovered (A can be judged again)") in said(over.notifications)
        assert over.blind == {}

    asyncio.run(story())


@pytest.mark.parametrize("on_missing", list(OnMissing))
def test_f3_a_fault_of_ours_never_moves_an_alert_whatever_the_rule_says(on_missing: OnMissing) -> None:
    """A condition that raises neither resolves nor fires, and the other rules go on."""

    async def story() -> None:
        condition = Above()
        house = await House(rule("A", condition, on_missing=on_missing), rule("B")).open()
        await house.tick({"1": 20})
        condition.raises = RuntimeError()
        report = await house.tick({"1": 3, "2": 30})
        assert {each.key.rule_id for each in report.transitions} == {"rules.yaml:B", "alerting/RuleBlind/rules.yaml:A"}
        assert house.states()["A"] == "firing"

    asyncio.run(story())


def test_on_missing_fire_tells_that_there_is_no_data_and_ends_when_there_is() -> None:
    """A rule that must not be blind fires for want of data; the end of that is no false recovery."""

    async def story() -> None:
        house = await House(rule(on_missing=OnMissing.FIRE, notify=("chat",))).open()
        await house.tick(1)
        fired = await house.tick(None)
        why = "no data, and on_missing is fire: could not read app: connection refused"
        assert said(fired.notifications) == [("chat", f"High: {why}")]
        assert fired.notifications[0].firing[0].value == "no data"
        assert (await house.tick(None)).notifications == []
        over = await house.tick(1)
        assert said(over.notifications) == [("chat", "High resolved: recovered (readings are back)")]
        again = await house.tick(None)
        assert said(again.notifications) == [("chat", f"High: {why}")]

    asyncio.run(story())


def test_on_missing_resolve_ends_as_no_data_and_never_as_recovered() -> None:
    """The rule's author wanted it so; the message says what it is."""

    async def story() -> None:
        house = await House(rule(on_missing=OnMissing.RESOLVE, notify=("chat",))).open()
        await house.tick(20)
        report = await house.tick(None)
        assert report.notifications[0].resolved[0].ended == Ended.NO_DATA
        assert said(report.notifications) == [
            ("chat", "High resolved: ended: no data (could not read app: connection refused)")
        ]

    asyncio.run(story())


def test_a_series_that_vanishes_is_held_and_then_ends_as_not_reported() -> None:
    """Five minutes of being gone; the other series of the rule is not touched."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        first = (await house.tick({"1": 20, "2": 30})).notifications
        assert said(first) == [("chat", 'High: v{a="1"} = 20 > 10; v{a="2"} = 30 > 10')]
        for _ in range(10):
            assert (await house.tick({"2": 30})).notifications == []
        over = (await house.tick({"2": 30})).notifications
        assert said(over) == [("chat", 'High: no longer reported (v{a="1"} is not reported any more), 1 still firing')]
        assert (over[0].reason, over[0].group_key) == ("some resolved (1 resolved, 1 still firing)", first[0].group_key)
        assert [each.labels for each in over[0].firing] == [{"a": "2"}]

    asyncio.run(story())


def test_a_group_receiver_gets_one_message_a_pager_one_per_alert() -> None:
    """Slack hears of the rule, PagerDuty of each alert, each under keys that last as long as the episode."""

    async def story() -> None:
        house = await House(rule()).open()
        one = (await house.tick({"1": 20, "2": 30})).notifications
        assert Counter(each.receiver for each in one) == {"chat": 1, "pager": 2}
        two = (await house.tick({"1": 20, "2": 3, "3": 40})).notifications
        by = {(each.receiver, len(each.firing), len(each.resolved)): each for each in two}
        assert by["chat", 2, 1].reason == "some firing, some resolved (1 new, 1 resolved, 1 still firing)"
        assert [each.step for each in by["chat", 2, 1].firing] == ["firing", "ongoing"]
        assert by["chat", 2, 1].group_key == next(each.group_key for each in one if each.receiver == "chat")
        assert by["pager", 0, 1].group_key in {each.group_key for each in one if each.receiver == "pager"}
        keys = {each.group_key for each in (*one, *two) if each.receiver == "pager"}
        assert len(keys) == 3
        assert all(len(key) <= 255 for key in keys)

    asyncio.run(story())


def test_a_new_episode_has_a_new_key() -> None:
    """F27: what is late of the old episode cannot close the incident of the new one."""

    async def story() -> None:
        house = await House(rule()).open()
        one = (await house.tick(20)).notifications
        await house.tick(3)
        two = (await house.tick(20)).notifications
        assert {each.group_key for each in one}.isdisjoint(each.group_key for each in two)
        assert {each.id for each in one}.isdisjoint(each.id for each in two)

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- edits and removals


def test_f8_an_edited_threshold_keeps_the_episode() -> None:
    """The id is not made of the condition."""

    async def story() -> None:
        house = await House(rule()).open()
        fired = (await house.tick(20)).notifications
        await house.restart([rule("High", Above(15), severity="critical", labels={"team": "new"})])
        assert (await house.tick(20)).transitions == []
        over = (await house.tick(12)).notifications
        assert [each.group_key for each in over] == [each.group_key for each in fired]
        assert over[0].resolved[0].labels == {"a": "1"}  # as it was announced
        assert over[0].resolved[0].severity == ""

    asyncio.run(story())


@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
@pytest.mark.parametrize("how", ["removed", "disabled", "renamed"])
def test_f8_no_incident_is_left_open_when_its_rule_goes(how: str, restart: bool) -> None:
    """Whoever was told hears that the rule is gone; a pending alert goes in silence."""

    async def story() -> None:
        house = await House(rule(), rule("Slow", Above(5), for_=H)).open()
        fired = (await house.tick(20)).notifications
        after = {"removed": [], "disabled": [rule(enabled=False)], "renamed": [rule("Higher")]}[how]
        if restart:
            await house.restart(after)
        else:
            house.engine.adopt(house.setup(after))
        report = await house.tick(3)
        ended = [(each.before, each.after, each.ended) for each in report.transitions]
        assert (AlertState.FIRING, AlertState.RESOLVED, Ended.RULE_REMOVED) in ended
        assert (AlertState.PENDING, AlertState.INACTIVE, Ended.RULE_REMOVED) in ended
        why = "the rule is disabled" if how == "disabled" else "the rule is no longer among the rules"
        assert said(report.notifications) == [
            (name, f"High resolved: rule removed ({why})") for name in ("chat", "pager")
        ]
        assert [each.group_key for each in report.notifications] == [each.group_key for each in fired]
        assert (await house.tick(3, passed=20 * M)).notifications == []
        assert [each for each in (await house.store.overview()).alerts if each.key.rule_id == "rules.yaml:High"] == []

    asyncio.run(story())


def test_only_evaluates_those_rules_and_removes_nothing() -> None:
    """`check --only` is a look, not a statement about the set."""

    async def story() -> None:
        house = await House(rule("A"), rule("B")).open()
        await house.tick(20)
        house.engine.adopt(house.setup([rule("A")]))
        house.app.values = {"1": 20}
        assert (await house.engine.tick(only={"rules.yaml:A"})).transitions == []
        assert (await house.engine.tick()).transitions[0].ended is Ended.RULE_REMOVED

    asyncio.run(story())


def test_a_receiver_that_left_the_settings_is_still_owed_the_end() -> None:
    """The outbox says why it cannot be sent; the engine owes it all the same."""

    async def story() -> None:
        house = await House(rule()).open()
        await house.tick({"1": 20, "2": 20})
        house.receivers = {}
        house.engine.adopt(house.setup([rule(notify=("other",))]))
        over = (await house.tick({"1": 3, "2": 20})).notifications
        assert sorted(each.receiver for each in over if each.resolved) == ["chat", "pager"]
        assert [each.receiver for each in over if each.loud] == [
            "other"
        ]  # is told what still fires, now that it is named
        assert next(each for each in over if each.receiver == "chat").firing  # the group goes on

    asyncio.run(story())


def test_a_broken_configuration_is_told_once_and_ends_when_it_loads() -> None:
    """ConfigBroken: the last good set stays in force."""

    async def story() -> None:
        house = await House(rule("A", notify=("chat",)), rule("B", notify=("chat", "pager"))).open()
        await house.tick(1)
        house.engine.report_config("rules/a.yaml:3:1: unknown key 'alrt'")
        why = "the last good rules and settings stay in force: rules/a.yaml:3:1: unknown key 'alrt'"
        told = (await house.engine.tick([])).notifications
        assert said(told) == [("chat", f"ConfigBroken: {why}"), ("pager", f"ConfigBroken: {why}")]
        await house.restart()
        house.engine.report_config("rules/a.yaml:3:1: unknown key 'alrt'")
        assert (await house.tick(1)).notifications == []
        house.engine.report_config(None)
        assert len((await house.tick(1)).notifications) == 2

    asyncio.run(story())


def test_rules_without_receivers_tell_the_fallback_or_say_that_nobody_hears() -> None:
    """Nothing goes in silence: a change that nobody hears of is in the report with the reason."""

    async def story() -> None:
        house = await House(rule(notify=())).open()
        report = await house.tick(20)
        assert [(each.step, each.why) for each in report.decisions] == [("firing", "nobody is named")]
        house = await House(rule(notify=()), fallback=("console",)).open()
        assert said((await house.tick(20)).notifications) == [("console", 'High: v{a="1"} = 20 > 10')]

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- the store


class Flaky(MemoryStore):
    """A store whose next commits fail, and that counts them."""

    failing = 0
    written = 0

    async def commit(self, change: Change) -> None:
        if self.failing:
            self.failing -= 1
            raise StoreError("the disk is full; free some space")
        self.written += 1
        await super().commit(change)


@pytest.mark.parametrize("at", range(7))
def test_f3_a_commit_that_fails_leaves_no_trace_and_is_made_up_for(at: int) -> None:
    """Whichever commit fails: the same people hear the same things, at most one tick later; nothing false."""

    async def story(failing: int | None) -> tuple[list[tuple[str, str]], list[str]]:
        house = await House(rule(), store=Flaky()).open()
        heard, troubles = [], []
        for number, value in enumerate((1, 20, 20, 3, 3, 20, 20)):
            house.store.failing = 1 if number == failing else 0
            report = await house.tick(value)
            if number == failing:
                assert report.notifications == []
                assert report.transitions == []
            troubles += [report.trouble] if report.trouble else []
            heard += said(report.notifications)
        return heard, troubles

    heard, troubles = asyncio.run(story(at))
    assert heard == asyncio.run(story(None))[0]
    assert troubles == ["the disk is full; free some space"]


def test_nothing_to_say_writes_nothing_that_matters() -> None:
    """A quiet tick over quiet rules changes no row."""

    async def story() -> None:
        seen: list[Change] = []

        class Watched(MemoryStore):
            async def commit(self, change: Change) -> None:
                seen.append(change)
                await super().commit(change)

        house = await House(rule(), store=Watched()).open()
        for value in (1, 2, 20, 21, 22):
            await house.tick(value)
        assert [bool(each.alerts or each.transitions or each.evaluated or each.faults) for each in seen] == [
            False, False, True, False, False,
        ]  # fmt: skip

    asyncio.run(story())


def test_the_time_of_evaluation_is_kept_only_while_a_clock_runs() -> None:
    """A row for a pending alert; none any more once it fires."""

    async def story() -> None:
        house = await House(rule(for_=M)).open()
        await house.tick(20)
        assert set((await house.store.open()).evaluated) == {"rules.yaml:High"}
        await house.tick(20)
        await house.tick(20)
        assert (await house.store.open()).evaluated == {}

    asyncio.run(story())


def test_f71_what_is_owed_is_counted_once() -> None:
    """(alert, episode, step, receiver), each once, over a long and restless history with restarts."""

    async def story() -> None:
        house = await House(rule(), rule("Low", Above(5), for_=M)).open()
        owed: Counter[tuple[Any, ...]] = Counter()
        sent: list[Notification] = []
        for number in range(60):
            values = {str(a): (number * 7 + a * 13) % 25 for a in range(3)}
            report = await house.tick(None if number % 11 == 0 else values)
            sent += report.notifications
            if number % 7 == 0:
                await house.restart()
        for each in sent:
            for notice in (*each.firing, *each.resolved):
                if notice.step != "ongoing":
                    owed[notice.key, notice.episode, notice.step, each.receiver] += 1
        assert set(owed.values()) == {1}
        assert len({each.id for each in sent}) == len(sent) == (await house.store.overview()).counts["created"]
        for key, episode, step, receiver in owed:
            if step == "resolved":
                assert (key, episode, "firing", receiver) in owed

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("by", [-1 * S, H, -H, 24 * H, -24 * H])
def test_f31_a_step_of_the_wall_moves_no_duration(by: int) -> None:
    """`for` and keep_firing_for take as long as they would have; the step is seen and said."""

    async def story(step: int | None) -> list[str]:
        house = await House(rule(for_=2 * M, keep_firing_for=2 * M)).open()
        states = []
        for number, value in enumerate((20, 20, 20, 20, 20, 20, 3, 3, 3, 3, 3, 3)):
            if step is not None and number in (2, 8):
                house.clock.step(step)
            report = await house.tick(value)
            assert bool(report.notices) is (step is not None and number in (2, 8))
            states.append(house.states()["High"])
            for alert in house.engine.alerts():
                assert alert.since <= house.clock.now() or alert.state is not AlertState.PENDING
        return states

    assert asyncio.run(story(by)) == asyncio.run(story(None))


def test_f33_after_a_pause_each_rule_is_evaluated_once_and_the_rest_is_counted() -> None:
    """Ten minutes of standing still are no burst, and no `for`."""

    async def story() -> None:
        house = await House(rule(for_=5 * M)).open()
        house.app.values = {"1": 20}
        await house.clock.advance(house.engine.next_due() or 0)
        await house.engine.tick(house.engine.due())
        fetched = house.app.fetched
        await house.clock.advance(10 * M)
        report = await house.engine.tick(house.engine.due())
        assert (house.app.fetched - fetched, report.evaluated, report.missed) == (1, 1, 19)
        assert house.engine.due() == ()
        assert house.states() == {"High": "pending"}
        assert report.notifications == []

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- sources


def test_a_source_that_hangs_holds_up_nobody_else() -> None:
    """Rules whose sources have answered are judged and told while another source still hangs."""

    async def story() -> None:
        house = House(rule("Fast"), rule("Slow", Above(10, "slow")))
        slow = App(house.clock, "slow")
        slow.delay, slow.values = 10 * S, {"1": 99}
        house.targets.append(Target(slow))
        await house.open()
        house.app.values = {"1": 20}
        task = asyncio.ensure_future(house.engine.tick())
        await house.clock.advance(1 * S)
        assert house.woken == [{"chat", "pager"}]
        assert not task.done()
        await house.clock.advance(10 * S)
        assert [each.name for each in (n.firing[0] for n in task.result().notifications)] == [
            "Fast", "Fast", "Slow", "Slow",
        ]  # fmt: skip

    asyncio.run(story())


def test_each_fetch_has_its_own_time_though_one_sleep_serves_all() -> None:
    """Two that hang are given up 15 s after each began; a hundred that answer cost no sleep each."""

    class Counting(FakeClock):
        slept = 0

        async def sleep(self, duration: int) -> None:
            self.slept += 1
            await super().sleep(duration)

    async def story() -> None:
        clock = Counting()
        house = House(rule("A"), rule("B", Above(10, "late")), clock=clock)
        late = App(clock, "late")
        house.targets.append(Target(late))
        await house.open()
        for _ in range(100):
            await clock.advance(100)
            await house.engine.tick()
        assert clock.slept <= 2
        house.app.delay = late.delay = H
        first, second = house.engine.due()
        began = clock.monotonic()
        one = asyncio.ensure_future(house.engine.tick([first]))
        await clock.advance(4 * S)
        other = asyncio.ensure_future(house.engine.tick([second]))
        await clock.run(one)
        assert clock.monotonic() - began == 15 * S
        assert not other.done()
        await clock.run(other)
        assert clock.monotonic() - began == 19 * S
        assert set(house.engine.sources().values()) == {"app: no answer within 15 s", "late: no answer within 15 s"}
        await house.engine.close()

    asyncio.run(story())


def test_f43_a_page_that_hung_is_not_waited_for_again_by_those_who_read_others_too() -> None:
    """The shared namespace of metrics pages: one dead target does not make every rule late."""

    async def story() -> None:
        house = House(rule("A", Above(10, SHARED)))
        good, dead = App(house.clock, "good", SHARED), App(house.clock, "dead", SHARED)
        good.values = {"1": 20}
        dead.values, dead.delay, dead.fault = None, 10 * S, Fault(FaultKind.TIMEOUT, "no answer within 10 s")
        house.targets = [Target(good), Target(dead)]
        await house.open()
        batches = house.engine._batches
        for number, lag in enumerate((10 * S, 0, 0)):
            began = house.clock.monotonic()
            task = asyncio.ensure_future(house.engine.tick(batches))
            await house.clock.run(task) if not number else await house.clock.advance(0)
            assert task.done()
            assert house.clock.monotonic() - began == lag
            await house.clock.advance(30 * S)

    asyncio.run(story())


def test_one_fetch_serves_all_rules_and_ticks_that_overlap() -> None:
    """A source is never read twice at the same time."""

    async def story() -> None:
        house = House(rule("A"), rule("B", interval=M), rule("C", Above(10, "other")))
        other = App(house.clock, "other")
        house.targets.append(Target(other))
        house.app.delay = 5 * S
        house.app.values = {"1": 20}
        await house.open()
        a, b = (batch for batch in house.engine._batches if batch.namespaces == {"app"})
        ticks = [asyncio.ensure_future(house.engine.tick([batch])) for batch in (a, b, a)]
        await house.clock.advance(6 * S)
        reports = [each.result() for each in ticks]
        assert (house.app.fetched, house.app.most_at_once, other.fetched) == (1, 1, 0)
        assert [each.evaluated for each in reports] == [1, 1, 0]
        assert sum(each.missed for each in reports) == 1  # the third tick found its batch running

    asyncio.run(story())


def test_a_source_that_raises_or_never_answers_is_a_fault_like_any_other() -> None:
    """The second line of defence behind what a source promises; no secret in what is shown."""

    async def story() -> None:
        house, faults = House(rule()), []
        house.engine = Engine(
            house.store, house.clock, compile_pattern, on_fault=lambda part, error: faults.append((part, error))
        )
        await house.open()
        await house.tick(20)
        house.app.raises = ValueError("https://user:secret@host")
        report = await house.tick(20)
        assert faults == [("reading app", house.app.raises)], "with its trace, for whoever reports faults of ours"
        assert report.faults == {"app": "app: a fault of alerting itself: ValueError in its fetch"}
        assert house.states() == {"High": "firing"}
        house.app.raises, house.app.delay = None, H
        assert (await house.tick(20)).faults == {"app": "app: no answer within 15 s"}
        house.app.delay = 0
        assert (await house.tick(20)).faults == {}

    asyncio.run(story())


def test_f34_only_so_many_fetches_run_at_once() -> None:
    """A limit in total; everything is read all the same."""

    async def story() -> None:
        clock, apps = FakeClock(), []
        running: list[int] = [0, 0]

        class Counted(App):
            async def fetch(self, needs: Any, since: Any) -> Any:
                running[0] += 1
                running[1] = max(running)
                try:
                    return await super().fetch(needs, since)
                finally:
                    running[0] -= 1

        apps = [Counted(clock, f"app{number}") for number in range(50)]
        for app in apps:
            app.delay, app.values = S, {"1": 1}
        engine = Engine(MemoryStore(), clock, compile_pattern, limits=Limits(fetches=10))
        await engine.open()
        rules = [rule(f"R{number}", Above(10, f"app{number}")) for number in range(50)]
        engine.adopt(Setup(rules, [Target(app) for app in apps], {}))
        task = asyncio.ensure_future(engine.tick())
        await clock.run(task)
        assert (task.result().evaluated, running[1]) == (50, 10)

    asyncio.run(story())


def test_one_host_is_not_asked_for_all_its_targets_at_once() -> None:
    """Half of the places at most, half of these for those that hang; others are read meanwhile."""

    async def story() -> None:
        clock, running, most = FakeClock(), Counter(), Counter()  # type: ignore[var-annotated]

        class There(App):
            host = ""

            async def fetch(self, needs: Any, since: Any) -> Any:
                running[self.host] += 1
                most[self.host] = max(most[self.host], running[self.host])
                try:
                    return await super().fetch(needs, since)
                finally:
                    running[self.host] -= 1

        apps = [There(clock, f"app{number}") for number in range(50)]
        for number, app in enumerate(apps):
            app.host = "many" if number < 40 else "few"
            app.delay, app.values = S, {"1": 1}
        engine = Engine(MemoryStore(), clock, compile_pattern, limits=Limits(fetches=20))
        await engine.open()
        rules = [rule(f"R{number}", Above(10, f"app{number}")) for number in range(50)]
        engine.adopt(Setup(rules, [Target(app) for app in apps], {}))
        began = clock.monotonic()
        await clock.run(asyncio.ensure_future(engine.tick()))
        assert most == {"many": 10, "few": 10}
        assert clock.monotonic() - began == 4 * S
        for app in apps[:30]:
            app.delay = H
        await clock.run(asyncio.ensure_future(engine.tick()))  # these hang, and are known to from now on
        most.clear()
        began = clock.monotonic()
        fetched = [app.fetched for app in apps[30:]]
        task = asyncio.ensure_future(engine.tick())
        await clock.advance(3 * S)
        assert [app.fetched for app in apps[30:]] == [each + 1 for each in fetched], "held up by those that hang"
        task.cancel()
        await engine.close()

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- bounds, recording


def test_f6_the_limit_applies_to_new_series_only_and_is_told_once(figure: Figure) -> None:
    """Thousands of series (in full 100,000): what fires goes on, so many get alerts, one notice names the rest."""

    async def story() -> None:
        appeared = rounds(3_000, full=100_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        house = await House(
            rule(limit=5, notify=("chat",)), rule("Other", Above(10), notify=()), unknown_after=M
        ).open()
        await house.tick({"x": 20, "y": 20, "z": 20})
        many = {f"s{number}": 20 for number in range(appeared)} | {"x": 20, "y": 20, "z": 20}
        ended = 0
        heard: list[tuple[str, str]] = []
        for _ in range(4):
            report = await house.tick(many)
            heard += [each for each in said(report.notifications) if "RuleBlind" in each[1]]
            ended += sum(each.ended is not None for each in report.transitions)
        figure("cleared alerts", ended, at_most=0, n=3)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        figure("peak memory above the baseline", round(grown), at_most=200, n=1, unit="MiB")
        assert len(house.engine.statuses()[0].alerts) == 5
        text = f"{appeared - 2} more series than the limit of 5: no alert is made for them"
        assert heard == [("chat", f"RuleBlind: High cannot be judged in full: {text}")]
        assert len(house.engine.statuses()[1].alerts) == 1000  # the limit where the rule sets none
        report = await house.tick({"x": 20, "y": 20, "z": 20})
        assert [each.labels.get("a") for each in house.engine.statuses()[0].alerts][:3] == ["x", "y", "z"]

    asyncio.run(story())


class Everything(Above):
    """`v`, for a recording rule."""

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Found:
        found = super().evaluate(samples, now, since)
        return Found(0, [(labels, value) for labels, value in found.seen.items()], found.seen, found.gaps)


def test_a_recording_rule_feeds_later_rules_of_its_group_in_the_same_turn() -> None:
    """In order, with the rule's labels, and honest: what could not be recorded is unknown, not gone."""

    async def story() -> None:
        recorder = rule("job:v", Everything(0), record="job:v", group="g", labels={"team": "x"}, notify=())
        reader = rule("A", Above(10, SHARED, "job:v"), group="g", vanish_after=0, notify=("chat",))
        house = await House(recorder, reader).open()
        fired = await house.tick(20)
        assert said(fired.notifications) == [("chat", 'A: v{a="1",team="x"} = 20 > 10')]
        report = await house.tick(None)
        assert [each.key.rule_id for each in report.transitions] == ["alerting/SourceDown/app"]
        assert house.states() == {"A": "firing"}
        assert house.engine.statuses()[0].unknown == ("job:v is not recorded: could not read app: connection refused")
        assert said((await house.tick(3)).notifications) == [
            ("chat", 'A resolved: recovered (v{a="1",team="x"} = 3 <= 10)')
        ]

    asyncio.run(story())


class Blind(Above):
    """A condition that knows nothing of one series and all of another."""

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Found:
        found = super().evaluate(samples, now, since)
        true = [(labels, value) for labels, value in found.true if labels.get("a") != "2"]

        class Partly(Found):
            def judge(self, labels: Labels) -> Any:
                if labels.get("a") == "2":
                    return Truth.UNKNOWN, lambda: "no reading of a=2"
                return super().judge(labels)

        return Partly(self.limit, true, found.seen, (Gap("no reading of a=2", Labels({"a": "2"})),))


def test_a_gap_of_one_series_is_no_gap_of_another() -> None:
    """What is known moves, what is not known stays."""

    async def story() -> None:
        condition = Above()
        house = await House(rule("A", condition, notify=("chat",))).open()
        await house.tick({"1": 20, "2": 20})
        house.engine.adopt(house.setup([rule("A", Blind(), notify=("chat",))]))
        report = await house.tick({"1": 3, "2": 3})
        assert [each.labels.get("a") for each in report.transitions if each.after is AlertState.RESOLVED] == ["1"]
        status = house.engine.statuses()[0]
        assert (status.state, status.unknown) == ("firing", "no reading of a=2")

    asyncio.run(story())


def test_adopting_while_a_turn_is_being_saved_waits_for_its_end() -> None:
    """A reload at the worst moment loses nothing of the turn that runs."""

    async def story() -> None:
        class Slow(MemoryStore):
            async def commit(self, change: Change) -> None:
                await clock.sleep(S)
                await super().commit(change)

        clock = FakeClock()
        house = await House(rule(), clock=clock, store=Slow()).open()
        house.app.values = {"1": 20}
        task = asyncio.ensure_future(house.engine.tick())
        await clock.advance(S // 2)
        house.engine.adopt(house.setup([rule("High", Above(15))]))
        await clock.advance(S)
        assert len(task.result().notifications) == 2
        assert house.states() == {"High": "firing"}
        assert house.engine.statuses()[0].rule.condition.text == "v > 15"

    asyncio.run(story())


def test_a_tick_that_is_cancelled_lets_its_turn_end() -> None:
    """What is on disk and what is in memory are the same after a cancelled tick."""

    async def story() -> None:
        class Slow(MemoryStore):
            async def commit(self, change: Change) -> None:
                await clock.sleep(S)
                await super().commit(change)

        clock = FakeClock()
        house = await House(rule(), clock=clock, store=Slow()).open()
        house.app.values = {"1": 20}
        task = asyncio.ensure_future(house.engine.tick())
        await clock.advance(S // 2)
        task.cancel()
        await clock.advance(S)
        assert task.cancelled()
        assert house.states() == {"High": "firing"}
        assert (await house.store.overview()).counts["created"] == 2
        await house.engine.close()

    asyncio.run(story())


def test_needs_reach_the_source_and_only_live_rules_have_any() -> None:
    """A source that is asked per metric is asked for what live rules need."""

    async def story() -> None:
        asked: list[Any] = []

        class Asked(App):
            async def fetch(self, needs: Any, since: Any) -> Any:
                asked.append(needs)
                return await super().fetch(needs, since)

        house = House(rule(), rule("Off", Above(1, "app", "w"), enabled=False))
        house.app = Asked(house.clock)
        house.targets = [Target(house.app)]
        await house.open()
        await house.tick(1)
        assert asked == [(Need("app", "v"),)]

    asyncio.run(story())


# ------------------------------------------------------------------------------------------- anything, in any order


def restless(seed: int) -> None:
    """Play 40 ticks of values, gaps, failed commits, restarts, reloads and steps of the wall; check what was told."""
    dice = random.Random(seed)

    async def story() -> None:
        for_, keep = dice.choice([0, M]), dice.choice([0, M])
        house = await House(rule(for_=for_, keep_firing_for=keep), store=Flaky()).open()
        inbox: dict[tuple[str, str], list[str]] = {}  # (receiver, key) -> steps, in order
        values: dict[str, float] = {}
        for number in range(42):
            what = dice.choice(["value"] * 6 + ["gap", "fails", "restart", "reload", "step"]) if number < 38 else "end"
            values = {a: float(dice.choice([3, 20])) for a in "12"} if what != "end" else dict.fromkeys("12", 3.0)
            house.store.failing = int(what == "fails")
            if what == "step":
                house.clock.step(dice.choice([-S, H, -H]))
            if what == "reload":
                house.engine.adopt(house.setup([rule(condition=Above(dice.choice([9, 10, 11])), for_=for_)]))
            if what == "restart":
                await house.restart()
            report = await house.tick(None if what == "gap" else values)
            if what == "gap":
                assert all(each.key.rule_id.startswith("alerting/") for each in report.transitions)
            for each in report.transitions:
                if each.ended is Ended.RECOVERED and not each.key.rule_id.startswith("alerting/"):
                    assert values[each.labels.get("a")] <= 11
            for message in report.notifications:
                for notice in (*message.firing, *message.resolved):
                    if notice.step != "ongoing":
                        place = (message.receiver, f"{notice.key}{notice.episode}")
                        inbox.setdefault(place, []).append(f"{notice.step} {message.group_key}")
        assert house.states() == {"High": "ok"}
        for steps in inbox.values():  # each episode: fired once, ended once, under one key
            assert [step.split()[0] for step in steps] == ["firing", "resolved"]
            assert len({step.split()[1] for step in steps}) == 1

    asyncio.run(story())


@pytest.mark.parametrize("number", range(40))
def test_whatever_happens_each_episode_is_told_once_from_beginning_to_end(number: int) -> None:
    """False resolves 0, lost 0, doubled 0, whatever fails in between."""
    restless(number)


@pytest.mark.slow
def test_f1_whatever_happens_in_many_histories(figure: Figure) -> None:
    """The same, for longer; in full a thousand."""
    wrong, count, chosen = [], rounds(300, full=1000), seed(1000)
    for number in range(chosen, chosen + count):
        try:
            restless(number)
        except AssertionError as error:
            wrong.append(f"{number}: {error}")
    print("\n".join(wrong))
    figure("histories with an episode told wrongly", len(wrong), at_most=0, n=count, seed=chosen)


def test_f1_that_there_is_no_data_is_told_when_it_is_due(figure: Figure) -> None:
    """A source that fails, or a rule that finds nothing to judge: one notice, within an interval of `unknown_after`."""
    count, chosen = rounds(40, full=1000), seed(2)
    dice = random.Random(chosen)

    async def story() -> tuple[float, int]:
        interval, due = dice.choice([15, 30, 60]) * S, dice.randrange(1, 20) * 15 * S
        house = House(rule(), rule("Other", Above(5), for_=M), unknown_after=due)
        house.targets = [Target(house.app, unknown_after=due)]
        await house.open()
        for _ in range(dice.randrange(1, 5)):
            await house.tick(dice.choice([3, 20]), interval)
        began = house.clock.now() + interval
        raised: list[int] = []
        for _ in range((due + 5 * M) // interval):
            told = (await house.tick(None, interval)).notifications
            raised += [house.clock.now() for each in told for one in each.firing if one.name == "SourceDown"]
        assert len(set(raised)) == 1, f"not one notice, seed {chosen}"
        return (raised[0] - began - due) / interval, len(raised) - 2

    late, doubled = zip(*(asyncio.run(story()) for _ in range(count)), strict=True)
    figure("no-data notice late", max(late), at_most=1, n=count, seed=chosen, unit="intervals")
    figure("no-data notice early", max(0.0, -min(late)), at_most=0, n=count, seed=chosen, unit="intervals")
    figure("notices more than one", max(doubled), at_most=0, n=count, seed=chosen)


# ------------------------------------------------------------------------------------------- odd edits


def test_a_blind_rule_that_gets_another_name_still_ends_its_alert() -> None:
    """The id is what counts; the alert keeps the name that was told."""

    async def story() -> None:
        condition = Above()
        condition.raises = ValueError()
        house = await House(rule("A", condition, id="x", notify=("chat",)), unknown_after=0).open()
        assert len((await house.tick(1)).notifications) == 1
        house.engine.adopt(house.setup([rule("B", id="x", notify=("chat",))]))
        over = await house.tick(1)
        assert said(over.notifications) == [("chat", "RuleBlind resolved: recovered (A can be judged again)")]
        assert over.blind == {}

    asyncio.run(story())


def test_a_rule_that_records_from_now_on_ends_its_alerts() -> None:
    """Nobody would look at them again."""

    async def story() -> None:
        house = await House(rule("A", id="x", notify=("chat",))).open()
        await house.tick(20)
        house.engine.adopt(house.setup([rule("a:v", Everything(0), id="x", record="a:v", notify=())]))
        (over,) = (await house.tick(20)).notifications
        assert over.resolved[0].ended == Ended.RULE_REMOVED

    asyncio.run(story())


def test_a_commit_that_fails_while_a_rule_is_blind_is_forgotten_when_it_sees_again() -> None:
    """What was observed is shown as it is now, saved or not."""

    async def story() -> None:
        condition = Above()
        house = await House(rule("A", condition), store=Flaky()).open()
        condition.raises = ValueError()
        house.store.failing = 1
        assert (await house.tick(1)).blind.keys() == {"rules.yaml:A"}
        condition.raises = None
        assert (await house.tick(1)).blind == {}
        assert house.states() == {"A": "ok"}

    asyncio.run(story())


class Slow(MemoryStore):
    """Takes its time to keep something."""

    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()

    async def keep(self, texts: Mapping[str, str | None]) -> None:
        await self.done.wait()
        await super().keep(texts)


def test_a_reload_while_a_silence_is_kept_waits_for_no_turn() -> None:
    """The next turn may be an hour away."""

    async def story() -> None:
        store = Slow()
        house = await House(rule(), store=store).open()
        taken = asyncio.ensure_future(house.engine.take({}))
        await asyncio.sleep(0)
        house.engine.adopt(house.setup([rule(), rule("Other")]))
        assert house.engine.count() == 1
        store.done.set()
        await taken
        assert house.engine.count() == 2

    asyncio.run(story())
