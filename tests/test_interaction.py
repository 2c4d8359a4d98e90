"""Presses of buttons: what they become, whom they concern, and that nothing of them is believed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.keeping import read_ack, read_silence
from alerting.core.telling.matchers import Matchers
from alerting.errors import StoreError
from alerting.interaction import HOUR, Interaction, silenced
from alerting.model import AlertKey, Answer, Delivery, DeliveryState, Matcher, Outcome
from alerting.patterns import compile_pattern
from alerting.ports import Change, Press
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock, settle
from tests.notifiers.desk import AT, notice, telling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from alerting.model import Notice

KEY = "alerting-5f2c"
ROOT = notice()
DATA = notice(key=AlertKey("disk", "f" * 32), labels={"mount": "/data", "severity": "critical"}, episode="e2")
PRESS = Press("ops", {"channel": "C1"}, KEY, AT, "acknowledge", "ann")


def pressed(press: Press, *fires: Notice, fail: Exception | None = None) -> tuple[str, dict[str, str], list[str]]:
    """Press a button of a message that was sent to C1; give the answer, what is kept, what was complained of."""
    kept: dict[str, str] = {}
    said: list[str] = []

    async def take(texts: Mapping[str, str | None]) -> None:
        if fail:
            raise fail
        kept.update({name: text for name, text in texts.items() if text is not None})

    async def run() -> str:
        clock, store = FakeClock(now=AT + 60_000), MemoryStore()
        await store.open()
        await store.commit(Change(AT, notifications=[telling()]))
        [claimed] = await store.claim("ops", AT, 1000, 1)
        sent = Delivery(
            claimed.notification, DeliveryState.SENT, 1, receipt={"channel": "C1", "ts": "1.2"}, settled_at=AT
        )
        await store.settle(sent)
        told: Callable[[str, str], list[Notice]] = lambda receiver, key: (  # noqa: E731  a stand-in for the engine
            [*fires] if (receiver, key) == ("ops", KEY) else []
        )
        return await Interaction(store, clock, told, take, said.append).pressed(press)

    return asyncio.run(run()), kept, said


def test_acknowledge_takes_on_what_the_message_is_about() -> None:
    """Each alert that fires, for an hour, its episode and its severity, in the name of whoever pressed."""
    answer, kept, _ = pressed(PRESS, ROOT, DATA)
    assert answer == "Acknowledged until 17:01Z: 2 alerts."
    acks = [read_ack(text) for text in kept.values()]
    assert sorted(kept) == [f"ack/disk#{ROOT.key.fingerprint}", f"ack/disk#{DATA.key.fingerprint}"]
    assert {(ack.key, ack.episode, ack.by, ack.severity) for ack in acks} == {
        (each.key, each.episode, "ann", "critical") for each in (ROOT, DATA)
    }
    assert {(ack.at, ack.until) for ack in acks} == {(AT + 60_000, AT + 60_000 + HOUR)}


def test_silence_makes_one_silence_of_what_the_alerts_have_in_common() -> None:
    """The name of the rule and each label that all have, with any of their values; not the severity."""
    answer, kept, _ = pressed(PRESS._replace(action="silence"), ROOT, DATA)
    [(name, text)] = kept.items()
    silence = read_silence(text)
    assert name == f"silence/{silence.id}"
    assert answer == f"Silenced until 17:01Z (silence {silence.id}): 2 alerts."
    assert silence.matchers == (Matcher("alertname", "=", "DiskSpaceLow"), Matcher("mount", "=~", "/|/data"))
    assert (silence.starts, silence.ends, silence.author) == (AT + 60_000, AT + 60_000 + HOUR, "ann")


@pytest.mark.parametrize(("many", "silences"), [(300, 2), (2_000, 16), (20_000, 0)])
def test_very_many_alerts_become_several_silences_or_none(many: int, silences: int) -> None:
    """A pattern that is too long would be none; each alert is fitted by one of them, and nothing else is."""
    alerts = [
        notice(key=AlertKey("disk", f"{number:032x}"), labels={"host": f"web-{number:05d}.example.org:9100"})
        for number in range(many)
    ]
    answer, kept, _ = pressed(PRESS._replace(action="silence"), *alerts)
    fits = [Matchers(read_silence(text).matchers, compile_pattern).fits for text in kept.values()]
    assert len(fits) == silences
    if not silences:
        assert "too many for a button" in answer
        return
    labels = [{**each.labels, "alertname": "DiskSpaceLow"} for each in alerts[:: many // 100]]
    assert all(sum(fit(each) for fit in fits) == 1 for each in labels)
    assert not any(fit({"host": "web-99999.example.org:9100", "alertname": "DiskSpaceLow"}) for fit in fits)
    assert answer.startswith("Silenced until 17:01Z (silences ")


def test_what_began_to_fire_after_the_message_is_not_meant() -> None:
    """Whoever pressed has not seen it."""
    answer, kept, _ = pressed(PRESS, ROOT, DATA._replace(fired_at=AT + 1))
    assert answer == "Acknowledged until 17:01Z: 1 alert."
    assert list(kept) == [f"ack/disk#{ROOT.key.fingerprint}"]


STRANGE = [
    PRESS._replace(place={"channel": "C2"}),
    PRESS._replace(group_key="alerting-other"),
    PRESS._replace(receiver="other"),
]


@pytest.mark.parametrize("press", STRANGE)
def test_a_press_that_belongs_to_no_message_of_ours_does_nothing(press: Press) -> None:
    """The state's own receipt says where a message stands. Nobody is answered, and it is said in the log."""
    answer, kept, said = pressed(press, ROOT)
    assert (answer, kept) == ("", {})
    assert said == [f"{press.receiver}: a button was pressed that belongs to no message of this installation"]


def test_a_press_on_what_is_over_is_told_so() -> None:
    """Nothing is kept."""
    answer, kept, _ = pressed(PRESS)
    assert (answer, kept) == ("Nothing that this message is about fires any more.", {})


def test_what_could_not_be_kept_is_told_so() -> None:
    """Better than a button that seems to have worked."""
    answer, _, _ = pressed(PRESS, ROOT, fail=StoreError("disk full"))
    assert answer == "It could not be kept; nothing was done. Please try again."
    answer, _, _ = pressed(PRESS._replace(action="silence"), ROOT, fail=ValueError("longer than 8192 bytes"))
    assert answer == "This cannot be written as a silence; nothing was done. Use `alerting silence add`."


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_LABELS = st.dictionaries(st.sampled_from(["mount", "host", "a b", "severity"]), _TEXT, max_size=4)


@given(st.lists(_LABELS, min_size=1, max_size=5), _LABELS)
def test_a_silence_fits_every_alert_that_it_was_made_of(several: list[dict[str, str]], other: dict[str, str]) -> None:
    """Whatever is in the labels; and never an alert of another rule."""
    silence = silenced([notice(labels=labels) for labels in several], "ann", AT, "1")
    matchers = Matchers(silence.matchers, compile_pattern)
    assert all(matchers.fits({**labels, "alertname": "DiskSpaceLow"}) for labels in several)
    assert not matchers.fits({**other, "alertname": "Other"})
    json.dumps(silence)


class Talker:
    """A receiver that can be answered: hears one press, then fails, then waits."""

    name = "ops"
    stands_for = "group"

    def __init__(self) -> None:
        self.began = self.ended = 0
        self.heard: list[str] = []

    async def deliver(self, *_: Any) -> Answer:
        return Answer(Outcome.SENT)

    async def close(self) -> None:
        """Nothing is held."""

    async def listen(self, on_press: Callable[[Press], Awaitable[str]], say: Callable[[str], None]) -> None:
        self.began += 1
        if self.began == 1:
            self.heard.append(await on_press(PRESS._replace(receiver="nobody")))
            raise RuntimeError("a fault of ours")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1


def test_a_fault_in_listening_ends_neither_the_daemon_nor_the_listening() -> None:
    """It is handed on, and the receiver is listened to again; another set of receivers replaces the one before."""

    async def run() -> tuple[Talker, Talker, list[str]]:
        clock, store, faults = FakeClock(), MemoryStore(), list[str]()
        await store.open()

        async def take(_: Mapping[str, str | None]) -> None:
            raise AssertionError("nothing is to be kept")

        interaction = Interaction(store, clock, lambda *_: [], take, on_fault=lambda part, _: faults.append(part))
        first, second = Talker(), Talker()
        interaction.adopt([first])  # type: ignore[list-item]
        running = asyncio.create_task(interaction.run())
        await settle()
        await clock.advance(60_000)
        assert (first.began, first.ended) == (2, 0)
        interaction.adopt([second])  # type: ignore[list-item]
        await settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(0)
        return first, second, faults

    first, second, faults = asyncio.run(run())
    assert (first.heard, first.ended, second.began) == ([""], 1, 1)
    assert faults[0] == "listening to buttons"
