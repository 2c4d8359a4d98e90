"""What the simulator has found in how people are told, each as a small test of its own."""

from __future__ import annotations

import asyncio

import pytest

from alerting.model import Escalation, Matcher, Route, Storm
from tests.test_telling import after, said, silence
from tests.tick import Above, H, House, M, S, rule


@pytest.mark.parametrize("step", [-24 * H, -H, 10 * S])
def test_a_group_does_not_wait_for_a_wall_that_was_set_back_between_two_processes(step: int) -> None:
    """What waits for `group_interval` is told within it, though its last message is stamped with a day to come."""

    async def story() -> None:
        route = Route(("chat",), group_by=("alertname",), group_wait=0, group_interval=5 * M)
        house = await House(rule(notify=()), route=route).open()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]
        assert said((await after(house, 10 * S, [20, 20])).notifications) == []
        house.clock.step(step)
        await house.restart()
        assert said((await after(house, 10 * S)).notifications) == []
        assert said((await after(house, 5 * M)).notifications) == [("chat", "more firing")]

    asyncio.run(story())


@pytest.mark.parametrize("step", [H, -H, -24 * H])
def test_a_step_of_the_wall_neither_hastens_an_escalation_nor_keeps_it_away(step: int) -> None:
    """Five minutes after the firing, by whatever clock: those who know are told again, and those who do not."""

    async def story() -> None:
        escalate = (Escalation(5 * M, ("chat", "pager")),)
        house = await House(rule(notify=("chat",), escalate=escalate)).open()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]
        await after(house, M)
        house.clock.step(step)
        house.engine.adopt(house.setup())
        assert said((await after(house, M)).notifications) == []
        again = ("chat", "nobody has acknowledged"), ("pager", "nobody has acknowledged")
        assert said((await after(house, 3 * M)).notifications) == list(again)
        assert said((await after(house, H)).notifications) == []

    asyncio.run(story())


def test_of_two_ways_to_one_receiver_the_later_time_is_not_forgotten() -> None:
    """The first way says how often somebody is reminded; that the second would have is no reason to look no more."""

    async def story() -> None:
        often = Route(("chat", "room"), (Matcher("a", "=", "1"),), group_wait=30 * S, repeat_interval=8 * M)
        once = Route(("chat",), (Matcher("a", "=", "1"),), continue_=True, group_wait=0, repeat_interval=None)
        route = Route(("chat",), routes=(once._replace(name="once"), often._replace(name="often")))
        house = House(rule(notify=()), route=route)
        house.receivers["room"] = "group"
        await house.open()
        began = house.clock.now()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]
        assert said((await after(house, 30 * S)).notifications) == [("room", "firing")]
        for at, told in ((8 * M, []), (8 * M + 30 * S, [("room", "still firing")])):
            await house.clock.advance(at - (house.clock.now() - began))
            assert said((await house.engine.tick(())).notifications if house.engine.tells() else ()) == told

    asyncio.run(story())


def test_no_message_names_as_firing_what_is_over() -> None:
    """An end that waits for its group goes along with any message under the same key."""

    async def story() -> None:
        together = Route(("chat",), group_by=(), group_wait=0, group_interval=0)
        rules = rule("R1", Above(100), notify=()), rule("R2", Above(10), notify=())
        house = await House(*rules, route=together).open()
        (first,) = (await after(house, 0, [200])).notifications
        house.more["route"] = Route(("chat",), group_by=("alertname",), group_wait=0, group_interval=5 * M)
        house.engine.adopt(house.setup())
        (more,) = (await after(house, 10 * S, [200, 20])).notifications
        assert (more.group_key, len(more.firing)) == (first.group_key, 3)
        assert said((await after(house, 10 * S, [200, 3])).notifications) == []  # R2 was spoken of just now: it waits
        (over,) = (await after(house, 10 * S, [50, 3])).notifications
        assert [(each.name, each.labels["a"]) for each in over.firing] == [("R2", "0")]
        assert sorted((each.name, each.labels["a"]) for each in over.resolved) == [("R1", "0"), ("R2", "1")]
        assert said((await after(house, H)).notifications) == []

    asyncio.run(story())


def test_a_warning_of_a_silence_names_what_it_hides_from_this_very_moment_on() -> None:
    """An alert that begins in the last minutes of a silence: a message without a name would read as all resolved."""

    async def story() -> None:
        house = await House(rule()).open()
        await after(house, 0, 3)
        await house.engine.take(silence(house, 20 * M))
        await house.clock.advance(8 * M)
        (warning,) = (await after(house, 10 * S, 20)).notifications
        assert [each.name for each in warning.firing] == ["High"]
        assert not warning.all_resolved

    asyncio.run(story())


def test_what_a_storm_held_does_not_wait_for_its_group_anew() -> None:
    """When the next summary is due it goes, as it has waited for `group_wait` before."""

    async def story() -> None:
        route = Route(("chat",), group_by=("alertname",), group_wait=30 * S, group_interval=0, repeat_interval=None)
        rules = [rule(f"R{n}", Above(10 * n), notify=()) for n in (1, 2, 3)]
        house = await House(*rules, route=route, storm=Storm(1, 2 * M)).open()
        told: dict[int, list[str]] = {}
        for at, value in ((0, 15), (30, 15), (31, 25), (61, 25), (62, 35), (92, 35), (181, 35)):
            report = await after(house, at * S - house.clock.monotonic(), value)
            for each in report.notifications:
                told.setdefault(at, []).extend(notice.name for notice in each.firing if notice.step != "ongoing")
        assert told == {30: ["R1"], 61: ["R2"], 181: ["R3"]}

    asyncio.run(story())


def test_a_summary_says_in_one_message_what_ends_and_what_is_new() -> None:
    """Two messages under one key at one moment: the second named as firing what the first had said to be over."""

    async def story() -> None:
        rules = [rule(f"R{n}", Above(10 * n), notify=("chat",)) for n in (1, 2, 3, 4, 5)]
        house = await House(*rules, storm=Storm(1, M)).open()
        (_, summary) = (await after(house, 0, 35)).notifications
        assert [each.name for each in summary.firing] == ["R2", "R3"]
        house.engine.adopt(house.setup([*rules[:2], *rules[3:]]))  # R3 ends when R4 and R5 begin
        (_, more) = (await after(house, 70 * S, 55)).notifications
        assert more.group_key == summary.group_key
        assert sorted((each.name, str(each.step)) for each in more.firing) == [("R2", "ongoing"), ("R5", "firing")]
        assert [each.name for each in more.resolved] == ["R3"]

    asyncio.run(story())


def test_an_end_that_waits_goes_along_with_a_summary_that_others_join() -> None:
    """Under which key new groups are told is known once a storm is summed up, and only then which ends go along."""

    async def story() -> None:
        route = Route(("chat",), group_by=("alertname",), group_wait=0, group_interval=5 * M, repeat_interval=None)
        rules = [rule(f"R{n}", Above(10 * n), notify=()) for n in (1, 2, 3, 4, 5)]
        house = await House(*rules, route=route, storm=Storm(1, M)).open()
        (_, summary) = (await after(house, 0, 35)).notifications
        assert [each.name for each in summary.firing] == ["R2", "R3"]
        house.engine.adopt(house.setup([*rules[:2], *rules[3:]]))
        assert (await after(house, 10 * S, 25)).notifications == []  # R3 is over, and was spoken of just now
        (_, more) = (await after(house, 70 * S, 55)).notifications
        assert more.group_key == summary.group_key
        assert sorted((each.name, str(each.step)) for each in more.firing) == [("R2", "ongoing"), ("R5", "firing")]
        assert [each.name for each in more.resolved] == ["R3"]

    asyncio.run(story())


@pytest.mark.parametrize("restarts", [False, True])
def test_what_waits_for_its_group_does_not_wait_anew_where_new_settings_lead_it_to_another(*, restarts: bool) -> None:
    """Whoever edits routes every minute would else keep everybody from being told."""

    async def story() -> None:
        house = await House(rule("High", notify=())).open()
        for number in range(3):
            route = Route(("chat",), group_wait=M, name=f"route {number}")
            house.more["route"] = route
            if restarts:
                await house.restart()
            else:
                house.engine.adopt(house.setup())
            told = (await after(house, 25 * S, 20)).notifications
            assert not told
        told = (await after(house, 10 * S, 20)).notifications
        assert said(told) == [("chat", "firing")]

    asyncio.run(story())
