"""How a vendor's blocking library reaches the network: through the project's own bounded HTTP, once.

Left to themselves these libraries retry, follow redirects, read proxies from the environment and bound each read
instead of the whole. So each one is given a `Wire` in place of its transport: the library writes the request and
reads the answer, and what lies between is `alerting.net.http` with its total deadline, its limit and its honest word
on whether the request may have been taken. A second request on one wire is refused: one attempt, one request.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

from alerting.errors import AlertingError
from alerting.model import Answer, Outcome
from alerting.net.http import HttpFailed, retry_at

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Mapping

    from alerting.model import Millis
    from alerting.ports import Blocking, Clock, Http, HttpAnswer

_NOT_THEIRS = ("accept-encoding", "connection", "content-length")  # how bytes travel is settled by alerting.net.http
_GRACE: Millis = 250  # for the thread to say what the request, which ends at the deadline itself, has met
DOOR = frozenset((401, 403, 404, 405, 407, 410))  # statuses that speak of access or address, not of the message
_ANSWER_MOST = 256 * 1024  # bytes; what receivers answer has a few hundred


class Wire:
    """One request and its answer, carried from a worker thread to the event loop and back."""

    def __init__(self, http: Http, clock: Clock, timeout: Millis) -> None:
        self._http = http
        self._clock = clock
        self.timeout = timeout
        self._ends = clock.monotonic() + timeout
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._future: concurrent.futures.Future[HttpAnswer] | None = None
        self.answer: HttpAnswer | None = None
        self.failure: HttpFailed | None = None

    @property
    def used(self) -> bool:
        """Tell whether a request was begun."""
        return self._future is not None

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Make the one request; blocks, so never on the loop's own thread. Raises HttpFailed."""
        if self.used:
            raise AlertingError("the library wanted a second request in one attempt; it was refused")
        if threading.get_ident() == self._loop_thread:  # it would wait for itself for ever
            raise AlertingError("a blocking call was made on the event loop's own thread")
        request = self._http.request(
            method,
            url,
            headers={name: value for name, value in headers.items() if name.lower() not in _NOT_THEIRS},
            body=body,
            deadline=max(1, self._ends - self._clock.monotonic()),
            limit=_ANSWER_MOST,
        )
        self._future = asyncio.run_coroutine_threadsafe(request, self._loop)
        try:
            self.answer = self._future.result()
        except HttpFailed as error:
            self.failure = error
            raise
        return self.answer

    def drop(self) -> None:
        """Break off a request that nobody waits for any more; the thread that waits for it goes on at once."""
        if self._future is not None:
            self._future.cancel()


async def speak(wire: Wire, blocking: Blocking, call: Callable[[], object]) -> HttpAnswer | Answer:
    """Let `call` use a library over the wire, in a thread; give the raw answer, or why there is none.

    What the library makes of an answer is not asked: the raw one decides, so that no quirk of a library can turn
    a refusal into a success. Secrets are revealed inside `call`, since that too may block.
    """
    try:
        await blocking(call, wire.timeout + _GRACE)
        reason = "the library made no request"
    except TimeoutError:
        reason = f"no whole answer within {wire.timeout / 1000:g} s"
        if wire.used and wire.answer is None and wire.failure is None:
            return Answer(Outcome.UNKNOWN, reason)
    except AlertingError as error:  # SecretError and our own; their texts are written for people
        reason = str(error)
    except Exception as error:  # noqa: BLE001  libraries raise many kinds; texts may hold secrets, so only the name
        reason = f"the library could not make the request: {type(error).__name__}"
    finally:
        wire.drop()
    if wire.failure is not None:
        return lost(wire.failure)
    return wire.answer or Answer(Outcome.RETRY, reason)


def document(answer: HttpAnswer) -> Mapping[str, Any]:
    """Read a JSON object; empty for anything else."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def lost(failure: HttpFailed) -> Answer:
    """Answer for a request without an answer: unknown when it may have been taken, else plainly to be retried."""
    return Answer(Outcome.UNKNOWN if failure.maybe_taken else Outcome.RETRY, str(failure))


def later(answer: HttpAnswer, clock: Clock, why: str) -> Answer:
    """Try again, not before the receiver's own `Retry-After`, where it sent a usable one."""
    now = clock.now()
    at = retry_at(answer, now)
    return Answer(Outcome.RETRY, why, None if at is None else at - now)


def unsuccessful(answer: HttpAnswer, clock: Clock, detail: str = "") -> Answer:
    """Judge an answer that is no success by its status alone, for statuses that mean the same everywhere.

    2xx that was not understood: it may have been taken. 3xx comes from something in between (vendors do not
    redirect here) and is followed by nobody. 4xx about the door (`DOOR`): settings are mended and tokens rotated,
    and the message is still owed then. Any other 4xx is about this message, and for good.
    """
    status = answer.status
    why = f"answered {status}{': ' + detail if detail else ''}"
    if status < 300:  # noqa: PLR2004
        return Answer(Outcome.UNKNOWN, f"{why}, which is not this service's way to accept")
    if status < 400:  # noqa: PLR2004
        return later(answer, clock, f"{why}, a redirect; it is not followed. Is a proxy or portal in between?")
    if status >= 500 or status in (408, 425, 429) or status in DOOR:  # noqa: PLR2004
        return later(answer, clock, why)
    return Answer(Outcome.REFUSED, why)
