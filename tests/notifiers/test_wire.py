"""The wire between a vendor's library and the network: one request, off the loop's thread, and never left hanging."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from alerting.clock import SystemClock
from alerting.model import Answer, Outcome
from alerting.net.http import HttpClient
from alerting.notifiers._wire import Wire, speak
from alerting.pool import Pool
from tests.fakes.ledger import Step
from tests.fakes.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Millis
    from alerting.ports import Blocking, HttpAnswer

T = TypeVar("T")


def spoken(
    call: Callable[[Wire], object], timeout: Millis = 5000, blocking: Blocking | None = None, give_up: float = 60
) -> HttpAnswer | Answer | None:
    """What comes of one call over one wire; None where nobody waited for it."""

    async def run() -> HttpAnswer | Answer | None:
        http = HttpClient("alerting/test")
        wire = Wire(http, SystemClock(), timeout)
        try:
            async with asyncio.timeout(give_up):
                return await speak(wire, blocking or Pool(1), lambda: call(wire))
        except TimeoutError:
            return None
        finally:
            await http.close()

    return asyncio.run(run())


def test_f19_a_second_request_is_refused_and_the_first_answer_counts() -> None:
    """Whatever a library's next release thinks of redirects and retries."""
    with Sink() as sink:
        sink.script(Step(status=418), Step(status=200))
        answer = spoken(lambda wire: [wire.send("POST", sink.hook, {}, b"{}") for _ in range(2)])
    assert not isinstance(answer, Answer)
    assert answer is not None
    assert (answer.status, len(sink.requests)) == (418, 1)


def test_a_library_that_fails_before_it_asks_leaves_the_message_owed() -> None:
    """Its own words are not repeated: they may hold an address."""
    answer = spoken(lambda _: {}["https://hooks.example.org/secret"])
    assert answer == Answer(Outcome.RETRY, "the library could not make the request: KeyError")
    assert spoken(lambda _: None) == Answer(Outcome.RETRY, "the library made no request")


class Inline:
    """A Blocking port that runs its calls on the loop's own thread."""

    async def __call__(self, call: Callable[[], T], deadline: Millis) -> T:
        return call()


def test_a_call_on_the_loops_own_thread_is_refused_instead_of_waiting_for_itself() -> None:
    """It would never end."""
    with Sink() as sink:
        answer = spoken(lambda wire: wire.send("POST", sink.hook, {}, b"{}"), blocking=Inline())
    assert isinstance(answer, Answer)
    assert (answer.outcome, len(sink.requests)) == (Outcome.RETRY, 0)


def test_an_attempt_that_nobody_waits_for_any_more_frees_its_thread() -> None:
    """Cancelled after 0.2 s of a 60 s deadline: the request is broken off and the thread goes on at once."""
    freed = threading.Event()

    def call(wire: Wire) -> None:
        try:
            wire.send("POST", sink.hook, {}, b"{}")
        finally:
            freed.set()

    with Sink() as sink:
        sink.script(Step(delay=60))
        began = time.monotonic()
        assert spoken(call, timeout=60_000, give_up=0.2) is None
        assert freed.wait(2)
    assert time.monotonic() - began < 5
