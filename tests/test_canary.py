"""The canary: it goes the whole way, its delay tells how the way is, and it is missed wherever it is lost (F70)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.builtin import CANARY
from alerting.core.telling.keeping import silence_name, silence_text
from alerting.errors import StoreError
from alerting.model import (
    AlertKey,
    AlertState,
    Delivery,
    DeliveryState,
    Flapping,
    Matcher,
    Notice,
    Notification,
    Silence,
)
from alerting.selfwatch.canary import LATE, NAME, Canary, is_canary
from tests.clock import FakeClock
from tests.full import rounds
from tests.ward import Ward

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.figures import Figure

EVERY = 60_000
SEEN = EVERY + LATE + 30_000  # a turn that begins just after, and the time that it may take


def notification(*, firing: bool = True, rule_id: str = CANARY) -> Notification:
    """A message about one alert."""
    notice = Notice(AlertKey(rule_id, ""), "e", "firing", "Canary", {}, "info", "1", "because", 0)
    told = {"firing": (notice,)} if firing else {"resolved": (notice,)}
    return Notification("n", NAME, "g", "1 new", 0, "Canary", **told)


class Left:
    """A canary's alert that fires."""

    key = AlertKey(CANARY, "")
    state = AlertState.FIRING


def test_a_canary_goes_the_whole_way_again_and_again() -> None:
    """From the source to the receiver that takes note; people see none of it."""

    async def main() -> None:
        async with Ward(canary=EVERY) as ward:
            await ward.run(10 * EVERY)
            assert ward.canary is not None
            assert 10 <= ward.canary.arrivals <= 13
            assert ward.canary.delay() <= 1_000
            assert ward.slack.sent == []
            assert ward.engine.count() == 1
            assert [line.getMessage() for line in ward.lines] == []
            counts = (await ward.store.overview()).counts
            assert counts["sent"] == counts["created"] == ward.canary.arrivals
            assert await ward.look() == []

    asyncio.run(main())


def test_a_canary_is_neither_silenced_nor_taken_for_one_that_flaps() -> None:
    """A silence over everything must not look like a way that is broken."""

    async def main() -> None:
        async with Ward(canary=EVERY) as ward:
            assert ward.canary is not None
            flapping = Flapping(firings=3, within=60 * EVERY, calm=60 * EVERY)
            ward.engine.adopt(ward.engine._setup._replace(flapping=flapping))
            now = ward.clock.now()
            silence = Silence("s", (Matcher("severity", "=~", ".+"),), now, now + 60 * EVERY, "me", "upgrade", now)
            await ward.engine.take({silence_name("s"): silence_text(silence)})
            for _ in range(20):
                await ward.run(EVERY)
                assert await ward.look() == []
            assert ward.canary.arrivals >= 20

    asyncio.run(main())


def hang(name: str) -> Callable[[Ward], None]:
    """Let calls of this name hang."""
    return lambda ward: ward.gate.hanging.add(name)


def fail(name: str) -> Callable[[Ward], None]:
    """Let calls of this name fail as a full disk makes them."""
    return lambda ward: ward.gate.failing.update({name: StoreError("disk full")})


def swallow(ward: Ward) -> None:
    """Claims find nothing, although something is owed: every loop goes round, and nothing is sent."""

    async def claim(*_: Any) -> list[Any]:
        return []

    ward.store.claim = claim  # type: ignore[method-assign]


def lose(ward: Ward) -> None:
    """What is committed gets lost, although the store says that it is saved."""

    async def commit(_: Any) -> None:
        return None

    ward.store.commit = commit  # type: ignore[method-assign]


STEPS: dict[str, Callable[[Ward], None]] = {
    "the source hangs": hang("fetch"),
    "nothing can be saved": fail("commit"),
    "saving hangs": hang("commit"),
    "what is saved gets lost": lose,
    "nothing can be claimed": fail("claim"),
    "claiming hangs": hang("claim"),
    "what is owed is not found": swallow,
    "the receiver hangs": hang("nest"),
    "the end of an attempt cannot be recorded": fail("settle"),
    "recording it hangs": hang("settle"),
    "nobody evaluates": lambda ward: ward.tasks["metronome"].cancel() and None,
    "nobody sends": lambda ward: ward.tasks["outbox"].cancel() and None,
}


@pytest.mark.parametrize("name", STEPS)
def test_f70_a_canary_that_is_lost_on_any_step_is_missed(name: str, figure: Figure) -> None:
    """F70: named in health, no heartbeat any more, and its delay grows for as long as it lasts."""

    async def main() -> None:
        async with Ward(canary=EVERY) as ward:
            await ward.run(3 * EVERY)
            assert await ward.look() == []
            STEPS[name](ward)
            await ward.run(SEEN)
            missed = [each for each in await ward.look() if each.part == "canary"]
            figure("missed failures", not missed, at_most=0, n=1)
            (found,) = missed
            assert not found.wedged
            assert "should have arrived" in found.why
            assert ward.canary is not None
            before = ward.canary.delay()
            assert before > LATE
            beats = len(ward.monitor.asked)
            await ward.run(5 * EVERY)
            assert ward.canary.delay() >= before + 5 * EVERY
            assert len(ward.monitor.asked) == beats

    asyncio.run(main())


@pytest.mark.parametrize("name", ["nothing can be saved", "nothing can be claimed", "the receiver hangs"])
def test_a_way_that_is_mended_is_seen_to_be(name: str) -> None:
    """The turn that was on its way arrives, and all is well."""

    async def main() -> None:
        async with Ward(canary=EVERY) as ward:
            STEPS[name](ward)
            await ward.run(SEEN)
            assert [each.part for each in await ward.look() if each.part == "canary"]
            ward.gate.failing.clear()
            ward.gate.hanging.clear()
            await ward.run(4 * EVERY)
            assert ward.canary is not None
            assert await ward.look() == []
            assert ward.canary.delay() < EVERY

    asyncio.run(main())


@pytest.mark.slow
def test_f70_no_failure_among_a_thousand_canaries_is_missed(figure: Figure) -> None:
    """F70: 100 canaries (in full 1,000) with faults on one step after the other between them; and no false alarm."""
    wanted = rounds(100, full=1_000)
    mendable = ["the source hangs", "the receiver hangs", *(name for name in STEPS if "cannot" in name)]
    mendable += ["nothing can be saved", "nothing can be claimed", "what is owed is not found"]

    async def main() -> tuple[list[int], int, int]:
        missed = 0
        async with Ward(canary=EVERY) as ward:
            assert ward.canary is not None
            claim = ward.store.claim
            delays, faults = [], 0
            while ward.canary.arrivals < wanted:
                for _ in range(8):
                    await ward.run(EVERY)
                    delays.append(ward.canary.delay())
                    assert not [each for each in await ward.look() if each.part == "canary"]
                STEPS[mendable[faults % len(mendable)]](ward)
                faults += 1
                await ward.run(SEEN)
                missed += not [each for each in await ward.look() if each.part == "canary"]
                ward.gate.failing.clear()
                ward.gate.hanging.clear()
                ward.store.claim = claim  # type: ignore[method-assign]
                await ward.run(4 * EVERY)
            return sorted(delays), faults, missed

    delays, faults, missed = asyncio.run(main())
    p50, p99 = (delays[len(delays) * share // 100] for share in (50, 99))
    figure("missed failures", missed, at_most=0, n=faults)
    figure("delay p50", p50, at_most=1_000, n=wanted, unit="ms")
    figure("delay p99", p99, n=wanted, unit="ms")
    assert faults >= wanted // 15


def test_the_first_turn_after_a_restart_is_the_one_that_is_not_there() -> None:
    """An alert that an earlier run left firing ends; its message of then is not taken for the new turn's arrival."""

    async def main() -> None:
        clock = FakeClock()
        canary = Canary(clock, EVERY, lambda: [Left()])  # type: ignore[list-item]
        reading = await canary.fetch((), None)
        assert [each.value for each in reading.samples if each.name == "canary_sings"] == [0.0]
        canary.settled(Delivery(notification(firing=True), DeliveryState.SENT))
        assert canary.arrivals == 0
        canary.settled(Delivery(notification(firing=False, rule_id="another"), DeliveryState.SENT))
        assert canary.arrivals == 0
        canary.settled(Delivery(notification(firing=False), DeliveryState.SENT))
        assert canary.arrivals == 1

    asyncio.run(main())


def test_a_message_about_more_than_the_canary_is_none() -> None:
    """What goes beside it is to be seen."""
    both = notification()._replace(resolved=notification(firing=False, rule_id="rule").resolved)
    assert is_canary(notification())
    assert not is_canary(both)


def test_a_late_evaluation_is_part_of_the_delay() -> None:
    """It counts from when it was due."""

    async def main() -> None:
        clock = FakeClock()
        canary = Canary(clock, EVERY, list)
        await canary.fetch((), None)
        canary.settled(Delivery(notification(), DeliveryState.SENT))
        await clock.advance(EVERY + 7_000)
        assert canary.delay() == 7_000
        await canary.fetch((), None)
        await clock.advance(1_000)
        canary.settled(Delivery(notification(), DeliveryState.SENT))
        assert canary.delay() == 8_000

    asyncio.run(main())


def test_a_turn_that_is_given_up_is_late_until_the_next_one_arrives() -> None:
    """A receiver that refuses for good must not end the singing for good."""

    async def main() -> None:
        clock, firing = FakeClock(), []
        canary = Canary(clock, EVERY, lambda: firing)  # type: ignore[arg-type, return-value]
        await canary.fetch((), None)
        firing.append(Left())
        canary.settled(Delivery(notification(), DeliveryState.PENDING))
        canary.settled(Delivery(notification(), DeliveryState.PARKED))
        assert canary.arrivals == 0
        await clock.advance(LATE + EVERY)
        assert canary.trouble()
        reading = await canary.fetch((), None)
        assert reading.samples[1].value == 0.0
        canary.settled(Delivery(notification(firing=False), DeliveryState.SENT))
        assert (canary.arrivals, canary.trouble()) == (1, "")
        assert canary.delay() == LATE + EVERY

    asyncio.run(main())
