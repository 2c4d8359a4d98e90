"""What the simulator has found in what cannot be told, each as a small test of its own."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING

import pytest

from alerting.core.levels import Levels
from alerting.core.telling import keeping
from alerting.core.telling.calendar import Calendar
from alerting.model import (
    AlertKey,
    Delivery,
    DeliveryState,
    Labels,
    Level,
    Matcher,
    Notice,
    Notification,
    Outcome,
    Recall,
    Receiver,
    Route,
    Rule,
    Silence,
    TimeSpan,
)
from alerting.ports import Change
from alerting.store.handle import Handle
from alerting.store.memory import MemoryStore
from alerting.store.sqlite import SqliteStore
from tests.test_telling import after, said
from tests.tick import Above, H, House, M, S, rule

if TYPE_CHECKING:
    from pathlib import Path

PAGER = Receiver("alert", fallback=("chat",))


def test_who_is_told_in_anothers_place_hears_at_once_of_what_has_changed_since() -> None:
    """The pager could not be told of a warning, which is critical by the time at which the chat is told of it."""

    async def story() -> None:
        conditions = Above(10), Above(50)
        levels = (Level("warning", "v > 10"), Level("critical", "v > 50"))
        leveled = rule(notify=("pager",), levels=levels).spec
        house = House(Rule(leveled, Levels(["warning", "critical"], conditions), conditions))
        await house.open()
        receivers = {"chat": Receiver("group"), "pager": Receiver("alert", fallback=("chat",))}
        house.engine.adopt(house.setup()._replace(receivers=receivers))
        (first,) = (await after(house, 0, 20)).notifications
        assert said((await after(house, M, 60)).notifications) == [("pager", "got worse")]
        waiting = Delivery(first, DeliveryState.PENDING, attempts=3, why="refused", owed_since=first.created)
        assert await house.engine.amendments.pass_on([waiting])
        await house.clock.advance(S)
        assert house.engine.tells()
        told = (await house.engine.tick(())).notifications
        assert [(each.receiver, each.firing[0].step, each.firing[0].severity) for each in told] == [
            ("chat", "worse", "critical")
        ]
        assert said((await after(house, M, 60)).notifications) == []

    asyncio.run(story())


@pytest.mark.parametrize("sqlite", [True, False])
@pytest.mark.parametrize("last", [DeliveryState.PARKED, DeliveryState.SENT])
def test_a_wall_that_was_set_back_does_not_hide_what_became_of_the_last_message(
    tmp_path: Path, last: DeliveryState, *, sqlite: bool
) -> None:
    """What ended before the step has a stamp that lies ahead, and is not the last for that."""

    async def story() -> None:
        store = SqliteStore(Handle(str(tmp_path / "state.db"))) if sqlite else MemoryStore()
        await store.open()
        first = DeliveryState.SENT if last is DeliveryState.PARKED else DeliveryState.PARKED
        for number, (state, at) in enumerate(((first, 30 * H), (last, 6 * H))):
            message = Notification(f"n{number}", "chat", f"key {number}", "1 new", at, "t")
            await store.commit(Change(at, notifications=[message]))
            (claimed,) = await store.claim("chat", at, M, 1)
            ended = claimed._replace(state=state, attempts=1, why="refused", settled_at=at + S, tried_at=at)
            await store.settle(ended)
        standing = await store.standing(["chat"], 5 * H)
        assert standing == {"chat": "refused" if last is DeliveryState.PARKED else ""}
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize("sqlite", [True, False])
def test_what_was_called_back_before_the_wall_was_set_back_does_not_hide_that_a_receiver_is_well(
    tmp_path: Path, *, sqlite: bool
) -> None:
    """What was tried in vain and is called back proves nothing; what is sent after it does, whatever the stamps say."""

    async def story() -> None:
        store = SqliteStore(Handle(str(tmp_path / "state.db"))) if sqlite else MemoryStore()
        await store.open()
        seen = []
        for number, (end, at) in enumerate((("sent", 28 * H), ("called back", 30 * H), ("sent", 6 * H))):
            message = Notification(f"n{number}", "chat", f"key {number}", "1 new", at, "t")
            await store.commit(Change(at, notifications=[message]))
            (claimed,) = await store.claim("chat", at, M, 1)
            tried = claimed._replace(attempts=1, why="refused", tried_at=at)
            if end == "sent":
                await store.settle(tried._replace(state=DeliveryState.SENT, settled_at=at + S))
            else:
                await store.settle(tried._replace(state=DeliveryState.PENDING, next_at=at + M))
                back = Recall(message.id, message._replace(id=f"{message.id}-back"), whole=True, why="silenced")
                await store.commit(Change(at + S, recalled=[back]))
            seen.append((await store.standing(["chat"], at - H)).get("chat"))
        assert seen == ["", None, ""]
        await store.close()

    asyncio.run(story())


def test_an_end_is_not_passed_on_while_its_beginning_is_silenced() -> None:
    """A page may have arrived, so it stays where it is; its fallback hears of neither until the silence is over."""

    async def story() -> None:
        house = await House(rule("High", notify=("pager",))).open()
        house.engine.adopt(house.setup()._replace(receivers={"chat": Receiver("group"), "pager": PAGER}))
        (page,) = (await house.tick(20)).notifications
        (end,) = (await house.tick(1)).notifications
        now = house.clock.now()
        silence = Silence("s", (Matcher("alertname", "=", "High"),), now, now + H, "ann", "", now)
        await house.engine.take({keeping.silence_name("s"): keeping.silence_text(silence)})
        tried = Delivery(page, attempts=3, outcome=Outcome.UNKNOWN, why="no answer", owed_since=page.created)
        waiting = [tried, Delivery(end, owed_since=end.created)]
        assert not await house.engine.amendments.pass_on(waiting)
        assert await house.store.unsent("chat") == []
        await house.clock.advance(H)
        assert await house.engine.amendments.pass_on(waiting)
        (told,) = await house.store.unsent("chat")
        assert [each.name for each in told.notification.resolved] == ["High"]

    asyncio.run(story())


def test_what_is_over_is_passed_on_in_the_windows_of_routes_that_it_did_not_take() -> None:
    """The state was unsaved, and is saved again before anybody could be told: no route's window holds that back."""

    async def story() -> None:
        house = await House(rule("High", notify=("pager",))).open()
        always = Calendar({"always": (TimeSpan(),)}, lambda _: UTC)
        route = Route(("pager",), mute_time_intervals=("always",))
        receivers = {"chat": Receiver("group"), "pager": PAGER}
        house.engine.adopt(house.setup()._replace(receivers=receivers, route=route, calendar=always))
        fired = house.clock.now()
        key = AlertKey("alerting/StateUnsaved", Labels().fingerprint)
        firing = Notice(key, "e", "firing", "StateUnsaved", {}, "error", "", "a full disk", fired, None)
        page = Notification("n", "pager", "key", "1 new", fired, "t", firing=(firing,))
        end = page._replace(id="m", firing=(), resolved=(firing._replace(step="resolved", resolved_at=fired + S),))
        waiting = [Delivery(page, attempts=3, why="refused", owed_since=fired), Delivery(end, owed_since=fired + S)]
        assert await house.engine.amendments.pass_on(waiting)
        (told,) = await house.store.unsent("chat")
        assert [each.name for each in told.notification.resolved] == ["StateUnsaved"]

    asyncio.run(story())


def test_who_is_told_in_anothers_place_is_told_outside_its_own_hours_too() -> None:
    """The chat is told by its route in office hours; what the pager could not be told goes to it at any time."""

    async def story() -> None:
        house = await House(rule("High", notify=())).open()
        always = Calendar({"always": (TimeSpan(),)}, lambda _: UTC)
        routes = Route(("pager",), continue_=True, group_wait=0), Route(("chat",), mute_time_intervals=("always",))
        receivers = {"chat": Receiver("group"), "pager": PAGER}
        setup = house.setup()._replace(receivers=receivers, route=Route(("pager",), routes=routes), calendar=always)
        house.engine.adopt(setup)
        (page,) = (await house.tick(20)).notifications
        assert page.receiver == "pager"
        assert await house.engine.amendments.pass_on(
            [Delivery(page, attempts=3, why="refused", owed_since=page.created)]
        )
        (told,) = await house.store.unsent("chat")
        assert not house.engine.amendments.hushes(told.notification)
        assert await house.engine.amendments.call_back("chat")
        assert await house.store.unsent("chat") == [told]

    asyncio.run(story())


def test_what_is_changed_between_two_turns_is_not_taken_for_a_turn() -> None:
    """A page is passed on, and another time called back: the newest turn that was saved is still the one before."""

    async def story() -> None:
        house = await House(rule("High", notify=("pager",))).open()
        house.engine.adopt(house.setup()._replace(receivers={"chat": Receiver("group"), "pager": PAGER}))
        (page,) = (await house.tick(20)).notifications
        turn = house.clock.now()
        await house.clock.advance(S)
        assert await house.engine.amendments.pass_on([Delivery(page, attempts=3, why="500", owed_since=page.created)])
        assert (await house.store.overview()).written_at == turn
        now = house.clock.now()
        silence = Silence("s", (Matcher("alertname", "=", "High"),), now, now + H, "ann", "", now)
        await house.engine.take({keeping.silence_name("s"): keeping.silence_text(silence)})
        assert await house.engine.amendments.call_back("pager")
        assert await house.store.unsent("pager") == []
        assert (await house.store.overview()).written_at == turn

    asyncio.run(story())
