"""What a message says beside that something fires: the newest value, how old it is, and what it hides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.core.telling import keeping
from alerting.model import Inhibition, Matcher, OnMissing, Rule, RuleSpec, Silence
from alerting.patterns import compile_pattern
from tests.test_telling import TREE, after, said, silence
from tests.tick import Above, H, House, M, S, rule

if TYPE_CHECKING:
    from alerting.model import Notification


NAMES = Names([SourceNames("app", "app", "health", closed=False, metrics=())])
CLUSTER = Inhibition((Matcher("alertname", "=", "ClusterDown"),), (Matcher("alertname", "!=", "ClusterDown"),), ("a",))


def values(message: Notification) -> list[tuple[str, str]]:
    """Value and reason of each alert that a message tells of."""
    return [(each.value, each.why) for each in message.firing]


def test_a_message_that_waited_for_its_group_shows_the_value_of_when_it_is_sent() -> None:
    """And since when it fires."""

    async def story() -> None:
        house = await House(rule(notify=()), route=TREE).open()
        await after(house, 0, 20)
        began = house.clock.now()
        (told,) = (await after(house, 30 * S, 95)).notifications
        assert values(told) == [("95", 'v{a="1"} = 95 > 10')]
        assert told.firing[0].fired_at == began
        assert "95 > 10" in told.title
        assert told.notes == ()

    asyncio.run(story())


def test_a_silence_whose_pattern_cannot_be_used_is_refused_and_one_that_is_kept_stops_nothing() -> None:
    """Another release, or another library, may have written it: alerts are told, now and after a restart."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        now = house.clock.now()
        odd = Silence("odd", (Matcher("a", "=~", "x." * 5_000),), now, now + H, "ann", "", now)
        texts = {keeping.silence_name("odd"): keeping.silence_text(odd)}
        with pytest.raises(ValueError, match="8192"):
            await house.engine.take(texts)
        with pytest.raises(ValueError, match="neither"):
            await house.engine.take({"held/x": "{}"})
        assert await house.store.kept("silence/") == {}
        await house.store.keep(texts)
        await house.restart()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]
        await house.send()
        await house.engine.take(silence(house))
        assert said((await after(house, M, 3)).notifications) == [("chat", "all resolved")]

    asyncio.run(story())


def test_what_a_silence_held_is_told_with_the_value_of_now() -> None:
    """Also by a process that was not there when it fired."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        await house.engine.take(silence(house))
        await after(house, 0, 20)
        await house.restart()
        (told,) = (await after(house, H, 30)).notifications
        assert values(told) == [("30", 'v{a="1"} = 30 > 10')]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("more", "reading", "note"),
    [
        ({}, None, "High: unknown for 2m, so the value shown is older"),
        ({"keep_firing_for": 2 * H}, 3, "High: false for 2m, so the value shown is older"),
    ],
)
def test_a_value_that_is_not_the_one_of_now_is_said_to_be_older(
    more: dict[str, Any], reading: float | None, note: str
) -> None:
    """Where the source fails, or an alert fires on although its condition does not hold."""

    async def story() -> None:
        house = await House(rule(notify=("chat",), **more)).open()
        await house.engine.take(silence(house, lasts=5 * M))
        await after(house, 0, 20)
        house.app.values = None if reading is None else {"1": reading}
        await after(house, 3 * M)
        await after(house, M)
        (told,) = [each for each in (await after(house, M)).notifications if each.announces]
        assert values(told) == [("20", 'v{a="1"} = 20 > 10')]
        assert note in told.notes

    asyncio.run(story())


def test_a_value_that_came_in_since_the_rule_was_judged_is_not_said_to_be_old() -> None:
    """A turn that only tells judges nothing, and sees the newest samples all the same."""

    async def story() -> None:
        house = await House(rule(notify=("chat",), keep_firing_for=2 * H)).open()
        await house.engine.take(silence(house, lasts=2 * M))
        await after(house, 0, 20)
        await after(house, M, 3)
        house.app.values = {"1": 40}
        house.engine._intake.samples.append(await house.app.fetch((), None))
        await house.clock.advance(M)
        task = asyncio.ensure_future(house.engine.tick(()))
        await house.clock.run(task)
        (told,) = [each for each in task.result().notifications if each.announces]
        assert values(told) == [("40", 'v{a="1"} = 40 > 10')]
        assert told.notes == ("told now: the silence is over (silenced by ann: deploy)",)

    asyncio.run(story())


def test_a_value_that_stands_for_missing_data_is_not_said_to_be_old() -> None:
    """`on_missing: fire`: that nothing is known is what the alert is about."""

    async def story() -> None:
        house = await House(rule(notify=(), on_missing=OnMissing.FIRE), route=TREE).open()
        house.app.values = None
        await after(house, 0)
        messages = (await after(house, 30 * S)).notifications
        assert [(each.firing[0].value, each.notes) for each in messages] == [("no data", ())]

    asyncio.run(story())


def test_what_is_not_clear_yet_is_told_with_the_value_of_now() -> None:
    """`clear:` is what keeps it firing, so `clear` is what its reason names."""

    async def story() -> None:
        spec = RuleSpec("rules.yaml:High", "High", "app.v > 10", clear="app.v < 5", notify=("chat",))
        condition, clear = (compile_condition(text, NAMES, compile_pattern)[0] for text in spec.conditions)
        house = await House(Rule(spec, condition, clear=clear)).open()
        await house.engine.take(silence(house))
        await after(house, 0, 20)
        (told,) = (await after(house, H, 7)).notifications
        assert values(told) == [("7", 'not clear yet: app.v{a="1"} = 7, not < 5')]
        assert told.notes == ("told now: the silence is over (silenced by ann: deploy)",)

    asyncio.run(story())


def test_one_condition_is_evaluated_once_however_many_of_its_alerts_waited() -> None:
    """Ten thousand alerts in one message must not cost ten thousand evaluations."""

    async def story() -> None:
        condition = Above()
        house = await House(rule(condition=condition, notify=()), route=TREE).open()
        await after(house, 0, [20] * 200)
        before = condition.evaluated
        (told,) = (await after(house, 30 * S, [30] * 200)).notifications
        assert {each.value for each in told.firing} == {"30"}
        assert condition.evaluated - before == 2

    asyncio.run(story())


def test_a_fault_in_a_condition_keeps_no_message_back() -> None:
    """It shows the value that is known."""

    async def story() -> None:
        condition = Above()
        house = await House(rule(condition=condition, notify=()), route=TREE).open()
        await after(house, 0, 20)
        condition.raises = RuntimeError("ours")
        (told, *_) = (await after(house, 30 * S, 30)).notifications
        assert values(told) == [("20", 'v{a="1"} = 20 > 10')]

    asyncio.run(story())


def test_the_message_of_what_inhibits_says_what_it_hides() -> None:
    """By rule, with how many alerts of it, to whom they would have been told; a reminder says it again."""

    async def story() -> None:
        rules = [
            rule("ClusterDown", Above(100), notify=()),
            rule("Slow", notify=()),
            rule("Full", Above(15), notify=()),
        ]
        route = TREE._replace(group_wait=0, group_interval=0, repeat_interval=H)
        house = await House(*rules, route=route, inhibitions=[CLUSTER._replace(equal=())]).open()
        (told,) = (await after(house, 0, [200, 20, 12])).notifications
        assert told.firing[0].name == "ClusterDown"
        assert told.notes == ("not told meanwhile, as this inhibits it: Slow (3 alerts), Full (2 alerts)",)
        (again,) = (await after(house, H, [200, 3, 12])).notifications
        assert again.notes == ("not told meanwhile, as this inhibits it: Slow (2 alerts), Full",)

    asyncio.run(story())


def test_a_message_names_only_what_it_hides_itself() -> None:
    """Not what another alert of the same rule hides; and of many rules five."""

    async def story() -> None:
        rules = [rule("ClusterDown", Above(100), notify=("chat",))]
        rules += [rule(f"R{n}", notify=("chat",)) for n in range(8)]
        house = await House(*rules, inhibitions=[CLUSTER]).open()
        await after(house, 0, [200, 0])
        fresh = (await after(house, M, [200, 50])).notifications
        assert [each.notes for each in fresh] == [()] * 8
        await after(house, M, [3, 3])
        messages = (await after(house, M, [3, 200])).notifications
        (told,) = [each for each in messages if each.firing and each.firing[0].name == "ClusterDown"]
        assert told.notes == ("not told meanwhile, as this inhibits it: R0, R1, R2, R3, R4 and 3 more",)

    asyncio.run(story())


DAMAGED = {
    "group/chat#x": '{"receiver":"chat","name":"rule rules.yaml:High","waiting_since":"soon","spoken_at":[]}',
    "held/r#f#chat": '{"key":["r","f"],"receiver":"chat","step":"firing","stage":"group","why":"","until":"x"}',
    "over/rules.yaml:High#f": '{"key":["r","f"],"ended":"recovered","why":"","at":"x"}',
    "storm/chat#k": '{"receiver":"chat"}',
    "silence/a": '{"id":"a","matchers":[["a"]],"starts":1,"ends":2,"author":"","comment":"","created":1}',
    "silence/b": '{"id":"b","matchers":[["a","=","b"]],"starts":1,"ends":1e99,"author":"","comment":"","created":1}',
    "ack/c": '{"key":5,"episode":"e","by":"ann","at":1,"until":2}',
    "ack/d": "[]",
}


def test_kept_texts_that_are_damaged_stop_nothing() -> None:
    """They are left out: that rather tells once too often."""

    async def story() -> None:
        house = await House(rule(notify=("chat",))).open()
        await house.store.keep(DAMAGED)
        await house.restart()
        assert said((await after(house, 0, 20)).notifications) == [("chat", "firing")]
        assert said((await after(house, M, 3)).notifications) == [("chat", "all resolved")]

    asyncio.run(story())
