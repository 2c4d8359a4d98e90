"""Every part of the daemon made to hang or to die: it is seen, it is named, and nothing is seen where nothing is."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest

from alerting.errors import StoreError
from alerting.model import Answer, Outcome
from tests.full import rounds
from tests.ward import INTERVAL, Ward

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.progress import Ailment
    from tests.figures import Figure


def hang(name: str) -> Callable[[Ward], None]:
    """Let every call of this name hang from now on; a rule fires, so that there is work to do."""

    def inject(ward: Ward) -> None:
        ward.gate.hanging.add(name)
        ward.alert()

    return inject


def die(name: str) -> Callable[[Ward], None]:
    """End a task that never should."""
    return lambda ward: ward.tasks[name].cancel() and None


def reload(ward: Ward) -> None:
    """A reload that does not come back."""
    ward.gate.hanging.add("reload")
    ward.daemon._reloading_soon()


def fail(name: str, error: Exception) -> Callable[[Ward], None]:
    """Let every call of this name raise from now on."""

    def inject(ward: Ward) -> None:
        ward.gate.failing[name] = error
        ward.alert()

    return inject


def refuse(ward: Ward) -> None:
    """The receiver takes nothing any more."""
    ward.slack.answer = Answer(Outcome.RETRY, "503 from Slack")
    ward.alert()


def sleep(ward: Ward) -> None:
    """No timer fires any more, for those who set one from now on."""
    ward.clock.asleep = True


def kill_lane(ward: Ward) -> None:
    """End the task that sends to Slack."""
    worker = ward.outbox._lanes["slack"].worker
    assert worker is not None
    worker.cancel()


# what is done, which part must be named, whether a restart is the remedy, by when it must be seen
WEDGES: dict[str, tuple[Callable[[Ward], Any], str, bool, int]] = {
    "the metronome dies": (die("metronome"), "evaluation", True, 2 * INTERVAL),
    "the metronome hangs in closing old sources": (hang("retire"), "evaluation", True, 2 * INTERVAL),
    "a commit hangs": (hang("commit"), "evaluation", True, 3 * INTERVAL),
    "a claim hangs": (hang("claim"), "sending to slack", True, 3 * INTERVAL),
    "recording the end of an attempt hangs": (hang("settle"), "sending to slack", True, 3 * INTERVAL),
    "the lane of a receiver dies": (kill_lane, "sending to slack", True, INTERVAL),
    "the outbox dies": (die("outbox"), "delivery", True, INTERVAL),
    "the state does not answer": (hang("owing"), "state", False, INTERVAL),
    "the watch over the clock dies": (die("the watch over the clock"), "the watch over the clock", True, INTERVAL),
    "a reload hangs": (reload, "reload", True, 2 * INTERVAL),
    "the heartbeat dies": (die("heartbeat"), "heartbeat", True, INTERVAL),
    "the heartbeat hangs": (hang("ping"), "heartbeat", True, 4 * INTERVAL),
    "no timer fires": (sleep, "the watch over the clock", True, 2 * INTERVAL),
    "ticks end in a fault of ours": (fail("commit", RuntimeError("x")), "evaluation", False, 2 * INTERVAL),
    "nothing can be saved": (fail("commit", StoreError("disk full")), "evaluation", False, 2 * INTERVAL),
    "nothing can be claimed": (fail("claim", StoreError("disk full")), "sending to slack", False, 2 * INTERVAL),
    "the state fails": (fail("owing", StoreError("disk full")), "state", False, 2 * INTERVAL),
    "a receiver takes nothing": (refuse, "sending to slack", False, 6 * INTERVAL),
    "an attempt never ends": (hang("deliver"), "sending to slack", False, 6 * INTERVAL),
}
assert sum(each[2] for each in WEDGES.values()) >= 12


@pytest.mark.parametrize("name", WEDGES)
def test_f68_a_hang_or_a_death_turns_health_red_with_the_part_named(name: str, figure: Figure) -> None:
    """F68: well before; red in time, that part, and rightly called a wedge or not; red for as long as it lasts."""
    inject, part, wedge, limit = WEDGES[name]

    async def main() -> None:
        async with Ward() as ward:
            assert await ward.look() == []
            inject(ward)
            began = ward.clock.monotonic()
            found: Ailment | None = None
            while found is None and ward.clock.monotonic() - began <= limit:
                if not ward.clock.asleep:
                    found = next((each for each in await ward.look() if each.part == part), None)
                else:  # whoever looks has no timer either: the answer itself does not come, as with a blocked loop
                    await ward.run(3_000)
                    late = [each for each in ward.vitals._promises.values() if each.part == part]
                    found = next(iter(_wedged(late, ward)), None)
            figure("missed wedges", found is None, at_most=0, n=1)
            assert found is not None
            assert found.wedged is wedge, found
            assert found.why
            if wedge or part != "sending to slack":  # a receiver that fails is not red before two minutes are over
                since = max(began, ward.gate.stopped_at or 0)
                red = (ward.clock.monotonic() - since) / INTERVAL
                figure("time from the stop to red", red, at_most=2, n=1, unit="intervals")

    asyncio.run(main())


def _wedged(loops: Any, ward: Ward) -> list[Ailment]:
    from alerting.core.progress import wedged

    return wedged(loops, ward.clock.monotonic())


@pytest.mark.parametrize("name", [name for name in WEDGES if "heartbeat" not in name and "timer" not in name])
def test_f69_the_heartbeat_stops_with_whatever_does_not_evaluate_or_deliver(name: str, figure: Figure) -> None:
    """F69: no beat while something is wedged or fails, from two beats after it began at the latest."""
    inject, part, wedge, limit = WEDGES[name]

    async def main() -> None:
        async with Ward(fail_url="http://monitor/fail") as ward:
            await ward.run(180_000)
            before = [url for _, url, _ in ward.monitor.asked]
            assert before == ["http://monitor/ping"] * len(before)
            assert len(before) >= 3
            inject(ward)
            began = ward.clock.monotonic()
            quiet_from = ward.clock.monotonic() + max(2 * 60_000, limit)
            if name == "the lane of a receiver dies":
                return  # it is started anew within a minute: see below
            await ward.run(15 * 60_000)
            beats = [at for at, url, _ in ward.monitor.asked if url == "http://monitor/ping"]
            assert any(url == "http://monitor/fail" for at, url, _ in ward.monitor.asked if at > quiet_from)
            figure("pings while wedged", sum(at > quiet_from for at in beats), at_most=0, n=1)
            if wedge or part != "sending to slack":  # a receiver's own failing may last
                figure("time to silence", max(0, beats[-1] - began) / 60_000, at_most=2, n=1, unit="intervals")

    asyncio.run(main())


class Manager:
    """The service manager, as far as signs of life go."""

    def __init__(self) -> None:
        self.signs = 0
        self.status_text = ""

    def alive(self) -> None:
        self.signs += 1

    def status(self, text: str) -> None:
        self.status_text = text


@pytest.mark.parametrize("name", ["the metronome dies", "a claim hangs", "a reload hangs", "nothing can be saved"])
def test_the_watchdog_is_fed_while_nothing_is_wedged_and_no_longer(name: str) -> None:
    """A restart is for what does not go round; what only fails is shown in the status."""
    inject, part, wedge, limit = WEDGES[name]

    async def main() -> None:
        async with Ward() as ward:
            manager, said = Manager(), []
            feeding = asyncio.ensure_future(ward.vitals.reassure(manager, 10_000, said.append))  # type: ignore[arg-type]
            await ward.run(60_000)
            assert manager.signs >= 5
            inject(ward)
            await ward.run(limit + 15_000)
            manager.signs = 0
            await ward.run(60_000)
            assert (manager.signs == 0) is wedge
            assert part in manager.status_text
            assert bool(said) is wedge
            feeding.cancel()

    asyncio.run(main())


def test_an_orderly_end_is_no_ailment() -> None:
    """While what is being sent is finished, loops end because they should."""

    async def main() -> None:
        async with Ward() as ward:
            ward.vitals.end()
            for name in ("metronome", "the watch over the clock", "heartbeat"):
                ward.tasks[name].cancel()
            await ward.run(120_000)
            assert await ward.look() == []

    asyncio.run(main())


def test_a_lane_that_died_is_started_anew() -> None:
    """Within a minute, or as soon as something is owed; then it sends."""

    async def main() -> None:
        async with Ward() as ward:
            kill_lane(ward)
            await ward.run(1_000)
            assert [each.part for each in await ward.look()] == ["sending to slack"]
            ward.alert()
            await ward.run(2 * INTERVAL)
            assert await ward.look() == []
            assert len(ward.slack.sent) == 1

    asyncio.run(main())


def test_what_a_reload_leaves_in_circles_is_cleared_away_as_soon_as_nothing_ticks() -> None:
    """Libraries make such: the collector itself would look only after tens of thousands of objects."""

    class Client:
        def __init__(self) -> None:
            self.itself = self

    async def main() -> None:
        async with Ward() as ward:
            gc.disable()
            gone = ref(Client())
            await ward.run(2 * INTERVAL)
            assert gone() is not None
            ward.daemon._reloading_soon()
            await ward.run(2 * INTERVAL)
            assert gone() is None

    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_what_fails_and_works_again_is_well_again() -> None:
    """A disk that was full: the change is saved and told once it has room, and health is green."""

    async def main() -> None:
        async with Ward() as ward:
            ward.gate.failing["commit"] = StoreError("disk full")
            ward.alert()
            await ward.run(3 * INTERVAL)
            assert [each.part for each in await ward.look()] == ["evaluation"]
            ward.gate.failing.clear()
            await ward.run(2 * INTERVAL)
            assert await ward.look() == []
            assert len(ward.slack.sent) == 1

    asyncio.run(main())


def test_a_full_disk_is_said_once_every_five_minutes_and_when_it_is_over() -> None:
    """However many batches and lanes find it at every turn; the log keeps room for other things."""

    async def main() -> None:
        async with Ward() as ward:
            ward.gate.failing |= {name: StoreError("the disk is full") for name in ("commit", "claim")}
            ward.alert()
            await ward.run(11 * 60_000)
            said = [(line.action, line.levelname, line.getMessage()) for line in ward.lines]  # type: ignore[attr-defined]
            assert said == [("trouble", "ERROR", "the disk is full")] * 3
            ward.gate.failing.clear()
            await ward.run(2 * INTERVAL)
            later = [line.getMessage() for line in ward.lines][3:]
            assert later[0] != later[-1]
            assert later.count("over: the disk is full") == 1
            assert "the disk is full" not in later

    asyncio.run(main())


def test_a_hanging_source_is_no_ailment_of_the_daemon() -> None:
    """It has an alert of its own; the batch that waits for it goes round."""

    async def main() -> None:
        async with Ward() as ward:
            ward.app.delay = 10**9
            for _ in range(40):
                await ward.run(7_000)
                assert await ward.look() == []
            assert ward.engine.sources() == {"app": "no answer within 15 s"} or ward.engine.sources()["app"]

    asyncio.run(main())


def test_a_stop_of_the_whole_process_is_not_taken_for_a_wedge() -> None:
    """SIGSTOP, a suspended machine: everything is late in the first moment, and nothing is in the second look."""

    async def main() -> None:
        async with Ward() as ward:
            ward.clock._monotonic += 600_000  # ten minutes in which nobody ran
            assert await ward.look() == []

    asyncio.run(main())


@pytest.mark.slow
def test_f68_a_day_without_faults_is_never_red(figure: Figure) -> None:
    """F68: hours (in full 24) with alerts that come and go, looked at four times a minute."""
    hours = rounds(6, full=24)

    async def main() -> tuple[int, int]:
        async with Ward() as ward:
            looks = red = 0
            while ward.clock.monotonic() < hours * 3_600_000:
                await ward.run(12_000)
                red += bool(await ward.look())
                looks += 1
                if looks % 40 == 0:
                    ward.app.values = {"1": 50.0 if looks % 80 else 5.0}
            assert ward.slack.sent
            assert len(ward.monitor.asked) > hours * 55
            return looks, red

    looks, red = asyncio.run(main())
    assert looks > hours * 210
    figure(f"false red in {hours} h", red, at_most=0, n=looks)
