"""Who is told, when and why: the whole telling over a real engine, on a clock that stands still between ticks."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.levels import Levels
from alerting.core.telling import keeping
from alerting.core.telling.calendar import Calendar
from alerting.model import (
    Ack,
    Escalation,
    Flapping,
    Inhibition,
    Level,
    Matcher,
    Route,
    Rule,
    Silence,
    Storm,
    TimeSpan,
)
from tests.tick import Above, H, House, M, S, rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Decision, Notification

TREE = Route(("chat",), group_by=("alertname",), group_wait=30 * S, group_interval=5 * M, repeat_interval=4 * H)


def said(notifications: Sequence[Notification]) -> list[tuple[str, str]]:
    """Receiver and reason of each message."""
    return [(each.receiver, each.reason.partition(" (")[0]) for each in notifications]


def held(decisions: Sequence[Decision]) -> list[tuple[str, str, str]]:
    """Receiver, stage and reason of what was held back."""
    return [(each.receiver, each.stage, each.why) for each in decisions if each.outcome == "held"]


async def after(house: House, wait: int, values: Any = None) -> Any:
    """Let time pass and tick."""
    await house.clock.advance(wait)
    if values is not None:
        house.app.values = {str(n): v for n, v in enumerate(values)} if isinstance(values, list) else {"1": values}
    task = asyncio.ensure_future(house.engine.tick())
    await house.clock.run(task)
    return task.result()


def silence(house: House, lasts: int = H, name: str = "s1", value: str = "High") -> dict[str, str | None]:
    """Write a silence of one rule that begins now."""
    now = house.clock.now()
    text = keeping.silence_text(
        Silence(name, (Matcher("alertname", "=", value),), now, now + lasts, "ann", "deploy", now)
    )
    return {keeping.silence_name(name): text}


def test_a_group_waits_and_then_has_one_message_for_all_of_it() -> None:
    """`group_wait` from the first, then `group_interval` from the last message, then reminders."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE).open()
        report = await after(house, 0, 20)
        assert said(report.notifications) == []
        assert held(report.decisions) == [("chat", "group", "waits for its group")]
        report = await after(house, 10 * S, [20, 20])
        assert said(report.notifications) == []
        report = await after(house, 20 * S)
        assert said(report.notifications) == [("chat", "firing")]
        assert len(report.notifications[0].firing) == 2
        assert said((await after(house, M, [20, 3])).notifications) == []
        assert said((await after(house, 4 * M)).notifications) == [("chat", "some resolved")]
        assert said((await after(house, 4 * H)).notifications) == [("chat", "still firing")]

    asyncio.run(story())


def test_check_does_not_wait_for_a_group() -> None:
    """Nobody comes back in 30 seconds."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE, patient=False).open()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]

    asyncio.run(story())


def test_f29_a_silence_holds_and_its_end_tells_what_still_fires_once() -> None:
    """With the reason why it comes late; what ended meanwhile is not told at all."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        await house.engine.take(silence(house))
        report = await after(house, 0, [20, 20])
        assert said(report.notifications) == []
        assert {each.by for each in report.decisions if each.stage == "silence"} == {"s1"}
        report = await after(house, M, [20, 3])
        assert [each.why for each in report.decisions if each.outcome == "dropped"] == [
            "it was over before it was told: silenced by ann: deploy",
            "nobody was told that it fired",
        ]
        assert said((await after(house, 45 * M)).notifications) == [("chat", "a silence ends")]
        (told,) = (await after(house, 14 * M)).notifications
        assert (told.reason, told.notes) == (
            "firing (1 new)", ("told now: the silence is over (silenced by ann: deploy)",),
        )  # fmt: skip
        assert said((await after(house, M)).notifications) == []

    asyncio.run(story())


def test_f29_what_waits_for_its_group_after_a_silence_says_so_still() -> None:
    """Also when the process ends in between."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE).open()
        await house.engine.take(silence(house, lasts=10 * M))
        await after(house, 0, 20)
        report = await after(house, 10 * M)
        assert held(report.decisions) == [("chat", "group", "waits for its group")]
        await house.restart()
        (told,) = (await after(house, 30 * S, 20)).notifications
        assert told.notes == ("told now: the silence is over (silenced by ann: deploy)",)

    asyncio.run(story())


def test_f29_a_silence_does_not_keep_the_end_of_a_page_back() -> None:
    """If a page went out, its resolve goes out too."""

    async def story() -> None:
        house = await House(rule(notify=("pager",))).open()
        (page,) = (await after(house, 0, 20)).notifications
        await house.send()
        await house.engine.take(silence(house))
        (over,) = (await after(house, M, 3)).notifications
        assert (over.all_resolved, over.group_key) == (True, page.group_key)

    asyncio.run(story())


def test_an_acknowledgement_is_told_holds_reminders_and_returns_when_it_ends() -> None:
    """And it survives a restart."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE._replace(repeat_interval=H), patient=False).open()
        (page,) = (await after(house, 0, 20)).notifications
        key, now = page.firing[0].key, house.clock.now()
        ack = Ack(key, page.firing[0].episode, "ann", now, now + 2 * H, "", "")
        await house.engine.take({keeping.ack_name(key): keeping.ack_text(ack)})
        (quiet,) = (await after(house, M)).notifications
        assert (said([quiet]), quiet.loud, quiet.acknowledged) == ([("chat", "acknowledged")], False, True)
        await house.restart()
        assert said((await after(house, 90 * M)).notifications) == []
        assert said((await after(house, 30 * M)).notifications) == [("chat", "no longer acknowledged")]

    asyncio.run(story())


def test_an_escalation_comes_in_time_unless_somebody_has_taken_it_on() -> None:
    """Each step once."""

    async def story(*, taken: bool) -> list[tuple[str, str]]:
        steps = (Escalation(5 * M, ("pager",)), Escalation(15 * M, ("chat",)))
        house = await House(rule(notify=("chat",), escalate=steps)).open()
        (first,) = (await after(house, 0, 20)).notifications
        if taken:
            key, now = first.firing[0].key, house.clock.now()
            ack = Ack(key, first.firing[0].episode, "ann", now, now + H)
            await house.engine.take({keeping.ack_name(key): keeping.ack_text(ack)})
        return [each for _ in range(20) for each in said((await after(house, M)).notifications)]

    assert asyncio.run(story(taken=False)) == [
        ("pager", "nobody has acknowledged"),
        ("chat", "nobody has acknowledged"),
    ]
    assert asyncio.run(story(taken=True)) == [("chat", "acknowledged")]


def test_what_depends_is_told_when_the_other_is_over_and_the_other_says_what_it_hides() -> None:
    """`depends_on` suppresses the telling, never the end."""

    async def story() -> None:
        database = rule("DatabaseDown", Above(100), notify=("chat",))
        house = await House(database, rule(notify=("chat",), depends_on=("DatabaseDown",))).open()
        (told,) = (await after(house, 0, 200)).notifications
        assert told.title.startswith("DatabaseDown")
        assert told.notes == ("not told meanwhile, as it depends on this: High",)
        both = (await after(house, M, 20)).notifications
        assert [each.title.partition(":")[0] for each in both] == ["DatabaseDown resolved", "High"]
        assert both[1].notes[0].startswith("told now: what it depends on fires no more")

    asyncio.run(story())


def test_an_inhibition_hides_what_it_fits_while_its_source_fires() -> None:
    """By labels, with `equal`."""

    async def story() -> None:
        inhibition = Inhibition((Matcher("alertname", "=", "Down"),), (Matcher("alertname", "=", "High"),), ("a",))
        down = rule("Down", Above(100), notify=("chat",))
        house = await House(down, rule(notify=("chat",)), inhibitions=(inhibition,)).open()
        report = await after(house, 0, [200, 20])
        assert sorted(each.title.partition(":")[0] for each in report.notifications) == ["Down", "High"]
        assert [len(each.firing) for each in report.notifications] == [1, 1]
        assert [stage for _, stage, _ in held(report.decisions)] == ["inhibit"]
        assert len((await after(house, M, [20, 20])).notifications) == 2

    asyncio.run(story())


def test_a_window_keeps_a_rule_quiet_and_tells_what_still_fires_at_its_end() -> None:
    """By the clock of the wall, in the zone of the window."""

    async def story() -> None:
        house = House(rule(notify=("chat",), mute_time_intervals=("now",)))
        minute = house.clock.now() // M % 1440
        span = TimeSpan(times=((minute, (minute + 10) % 1440),))
        house.more = {"calendar": Calendar({"now": (span,)}, lambda _: UTC)}
        await house.open()
        report = await after(house, 0, 20)
        assert held(report.decisions) == [("chat", "window", "it is now")]
        assert said((await after(house, 11 * M)).notifications) == [("chat", "firing")]

    asyncio.run(story())


def test_levels_move_one_alert_up_and_down_in_one_incident() -> None:
    """Worse is loud, better is quiet, and the key stays."""

    async def story() -> None:
        conditions = Above(10), Above(50)
        levels = (Level("warning", "v > 10"), Level("critical", "v > 50"))
        leveled = Rule(
            rule(notify=("pager",), levels=levels).spec, Levels(["warning", "critical"], conditions), conditions
        )
        house = await House(leveled).open()
        told = [each for value in (20, 60, 60, 20, 3) for each in (await after(house, M, value)).notifications]
        assert [(each.reason.partition(" (")[0], each.loud) for each in told] == [
            ("firing", True), ("got worse", True), ("got better", False), ("all resolved", False),
        ]  # fmt: skip
        assert len({each.group_key for each in told}) == 1
        assert [each.firing[0].severity for each in told[:3]] == ["warning", "critical", "warning"]

    asyncio.run(story())


def test_an_alert_that_flaps_is_announced_once_and_ends_when_it_is_calm() -> None:
    """No message for each of its turns."""

    async def story() -> None:
        house = await House(rule(notify=("pager",)), flapping=Flapping(3, 30 * M, 15 * M)).open()
        told = []
        for value in (20, 3, 20, 3, 20, 3, 20, 3):
            told += said((await after(house, M, value)).notifications)
        assert told == [
            ("pager", "firing"), ("pager", "all resolved"), ("pager", "firing"), ("pager", "all resolved"),
            ("pager", "flapping"),
        ]  # fmt: skip
        await house.restart()
        assert said((await after(house, 14 * M)).notifications) == []
        assert said((await after(house, 2 * M)).notifications) == [("pager", "all resolved")]

    asyncio.run(story())


def test_f23_a_storm_is_summed_up_and_nothing_is_dropped() -> None:
    """The gravest keep messages of their own; every alert is in exactly one message, and every end is told."""

    async def story() -> None:
        rules = [rule(f"R{n}", Above(10), notify=("chat",), severity="critical" if n > 95 else "") for n in range(100)]
        house = await House(*rules, storm=Storm(20, M)).open()
        messages = (await after(house, 0, 20)).notifications
        assert len(messages) == 21
        names = [notice.name for each in messages for notice in each.firing]
        assert sorted(names) == sorted(each.name for each in rules)
        alone = {each.firing[0].name for each in messages if len(each.firing) == 1}
        assert {"R96", "R97", "R98", "R99"} <= alone
        ends = []
        for _ in range(3):
            ends += (await after(house, 31 * S, 3)).notifications
        assert len([notice for each in ends for notice in each.resolved]) == 100

    asyncio.run(story())


@pytest.mark.parametrize("what", ["restart", "set back"])
def test_a_storm_keeps_its_pace_over_a_restart_and_a_step_of_the_wall(what: str) -> None:
    """One summary a minute, under one key; and when it is over, nothing of it is kept."""

    async def story() -> None:
        rules = [rule(f"R{n}", Above(10 + n % 2 * 100), notify=("chat",)) for n in range(60)]
        house = await House(*rules, storm=Storm(5, M)).open()
        first = (await after(house, 0, 20)).notifications
        assert [len(each.firing) for each in first] == [1] * 5 + [25]
        if what == "restart":
            await house.restart()
        else:
            house.clock.step(-6 * H)
        assert said((await after(house, 30 * S, 200)).notifications) == [("chat", "firing")] * (what == "restart") * 5
        (more,) = [each for each in (await after(house, 30 * S)).notifications if len(each.firing) > 1]
        assert (more.group_key, len(more.firing)) == (first[-1].group_key, 50)
        assert len(await house.store.kept("storm/")) == 1
        await after(house, M, 3)
        assert await house.store.kept("storm/") == {}

    asyncio.run(story())


def test_a_silence_that_is_long_over_is_forgotten_in_passing() -> None:
    """Whoever adds them: the state must not grow with all that there ever were."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        await house.engine.take(silence(house))
        await after(house, 29 * 24 * H, 20)
        assert len(house.engine.silences()) == 1
        await after(house, 25 * H, 3)
        assert house.engine.silences() == ()
        assert await house.store.kept("silence/") == {}

    asyncio.run(story())


@pytest.mark.parametrize("restarted", [False, True])
def test_an_end_that_waits_for_its_group_is_told_whatever_happens(restarted: bool) -> None:
    """Under the key of its beginning, with how it ended; also when the process died in between."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE, patient=False).open()
        (page,) = (await after(house, 0, 20)).notifications
        assert said((await after(house, M, 3)).notifications) == []
        if restarted:
            await house.restart()
        (over,) = (await after(house, 4 * M)).notifications
        assert (over.group_key, over.all_resolved, over.resolved[0].ended) == (page.group_key, True, "recovered")

    asyncio.run(story())


def test_a_window_that_nobody_defines_any_more_keeps_nobody_quiet() -> None:
    """The last good rules may outlive the settings: rather tell."""

    async def story() -> None:
        house = House(rule(notify=("chat",), active_time_intervals=("office",), mute_time_intervals=("nights",)))
        house.more = {"calendar": Calendar({}, lambda _: UTC)}
        await house.open()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]

    asyncio.run(story())


def test_a_group_forgets_what_was_over_before_it_was_told() -> None:
    """The next alert waits for `group_wait` of its own."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE).open()
        await after(house, 0, 20)
        await after(house, 10 * S, 3)
        assert said((await after(house, H, 20)).notifications) == []
        assert said((await after(house, 30 * S)).notifications) == [("chat", "firing")]

    asyncio.run(story())


def test_a_group_of_which_nothing_fires_is_forgotten_after_a_day() -> None:
    """Groups by labels come and go; the state must not grow with all that there ever were."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE, patient=False).open()
        await after(house, 0, 20)
        await after(house, 5 * M, 3)
        assert await house.store.kept("group/")
        await after(house, 25 * H)
        await house.engine.take(silence(house, value="Other"))  # anything that makes it look again
        await after(house, M)
        assert await house.store.kept("group/") == {}

    asyncio.run(story())


def test_what_is_held_back_is_written_down_once_and_remembered_by_the_next_process() -> None:
    """Cron starts a process a minute: neither is the same decision written each time, nor the reason forgotten."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        await house.engine.take(silence(house))
        (held_back,) = (await after(house, 0, 20)).decisions
        assert held_back.stage == "silence"
        for _ in range(3):
            await house.restart()
            assert (await after(house, M)).decisions == []
        await house.restart()
        (told,) = (await after(house, H)).notifications
        assert told.notes == ("told now: the silence is over (silenced by ann: deploy)",)
        assert await house.store.kept("held/") == {}

    asyncio.run(story())
