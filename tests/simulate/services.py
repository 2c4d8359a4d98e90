"""The receivers: Slack and PagerDuty as they are on a bad day, behind the project's own notifiers.

Each notifier is the real one; its library writes the real request, which is caught where it would leave the process
and judged by rules as strict as the service's. What is played is only the network and the service: `Line` stands in
the place of the thread in which a library talks.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting import registry
from alerting.model import FaultKind, Section
from alerting.net.http import HttpFailed
from alerting.notifiers._wire import Wire
from alerting.ports import HttpAnswer, Tools
from tests.fakes import pagerduty, slack
from tests.simulate.judge import Attempt
from tests.simulate.loop import START, Dead
from tests.simulate.plan import S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerting.model import Answer, Notification, Receipt
    from alerting.ports import Notifier
    from tests.simulate.judge import Judge
    from tests.simulate.loop import Clock
    from tests.simulate.plan import Dice, Plan, Window

SECTIONS = {
    "chat": ("slack", {"token": "xoxb-simulated", "channel": "#ops"}),
    "room": ("slack", {"webhook_url": "https://hooks.slack.test/services/T0/B0/x"}),
    "pager": ("pagerduty", {"routing_key": pagerduty.ROUTING_KEY}),
}
LATEST = 45 * S  # until a message is first tried, where nothing fails: the longest rest, and some more
REFUSALS = ("invalid_auth", "channel_not_found", "invalid_arguments")
WISHES = ("0", "1", "30", "30", "120", "600", "3600", "86400", "-5", "soon", "", "date")
_sending: ContextVar[Notification] = ContextVar("sending")


class Request(NamedTuple):
    """What a library would have sent."""

    url: str
    body: dict[str, Any]


class Caught(BaseException):
    """A request on its way out, with the wire that it took."""

    def __init__(self, wire: Wire, request: Request) -> None:
        super().__init__()
        self.wire = wire
        self.request = request


def _catch(wire: Wire, _method: str, url: str, _headers: Mapping[str, str], body: bytes) -> HttpAnswer:
    """Stand in for `Wire.send` while a library writes its request."""
    raise Caught(wire, Request(url, json.loads(body)))


def written(call: Callable[[], object]) -> Caught:
    """Let the library write its request, and go no further."""
    send, Wire.send = Wire.send, _catch  # type: ignore[method-assign]
    try:
        call()
    except Caught as caught:
        return caught
    finally:
        Wire.send = send  # type: ignore[method-assign]
    raise AssertionError("the library made no request")


class Services:
    """All receivers of one run, with what they hold. They outlive the processes that talk to them."""

    def __init__(self, plan: Plan, dice: Dice, judge: Judge, say: Callable[..., None]) -> None:
        self.plan = plan
        self.dice = dice
        self.judge = judge
        self.say = say
        self.incidents = pagerduty.Incidents()
        self.posted: dict[str, dict[str, Any]] = {}  # Slack's ts -> message
        self.die_after_accepting = False
        self.requests = 0

    # ---------------------------------------------------------------------------------------- taking a message

    def take(self, receiver: str, request: Request) -> HttpAnswer | None:
        """Do what the service does with a request that is in order. None: it is not; see `refuse`."""
        body = request.body
        if receiver == "pager":
            wrong = pagerduty.faults(body)
            if wrong:
                self.judge.fail(f"PagerDuty would not take it: {wrong}")
            self.incidents.apply(body, body["dedup_key"])
            opened = self.incidents.opened[body["routing_key"], body["dedup_key"]]
            if opened > 1 and not self.judge.is_forgotten(receiver, body["dedup_key"]):
                self.judge.fail(f"an incident was opened twice: {body['dedup_key']}")
            return _json(202, {"status": "success", "dedup_key": body["dedup_key"]})
        wrong = slack.faults(body)
        if wrong:
            self.judge.fail(f"Slack would not take it: {wrong}")
        if receiver == "room":
            return HttpAnswer(200, {}, b"ok")
        if request.url.endswith("chat.update"):
            if body["ts"] not in self.posted:
                return None
            self.posted[body["ts"]] = body
            return _json(200, {"ok": True, "channel": body["channel"], "ts": body["ts"]})
        ts = f"1.{len(self.posted):06d}"
        self.posted[ts] = body
        return _json(200, {"ok": True, "channel": "C0", "ts": ts})

    def paged(self, key: str) -> bool:
        """Tell whether an incident was ever opened under a key."""
        return self.incidents.opened[pagerduty.ROUTING_KEY, key] > 0

    def not_too_late(self, receiver: str, id_: str) -> None:
        """Where nothing fails and the receiver is idle, a message is not left lying."""
        judge, plan, now = self.judge, self.plan, self.judge.loop.at
        wish = judge.wishes.get(receiver)
        ready = max(
            judge.created_at.get(id_, now),
            judge.calm_since,
            judge.busy_at[receiver],
            judge.disk.hurt_at,
            judge.disk.doubt_until,
            now - plan.receivers[receiver].since(now),
            0 if wish is None else wish.until,
        )
        if judge.is_fresh(id_) and now - ready > LATEST:
            judge.fail(f"{judge.place(id_)} was left lying for {(now - ready) / S:g} s, and nothing fails")
        judge.busy_at[receiver] = now

    # ---------------------------------------------------------------------------------------- answering

    def limited(self, quick: int) -> Script:
        """Ask to be left alone, in one of the ways in which services do."""
        said = self.dice.pick(WISHES)
        headers = {"retry-after": said} if said else {}
        wish = int(said) * S if said.isdigit() else 0
        if said == "date":
            now = START + self.judge.loop.at + quick
            wish = self.dice.pick((5, 45, 300)) * S
            headers = {"date": _http_date(now), "retry-after": _http_date(now + wish)}
            wish -= S  # dates are whole seconds
        return Script(False, HttpAnswer(429, headers, b"{}"), quick, 0, wish=wish)  # noqa: FBT003

    def refusal(self, receiver: str) -> HttpAnswer:
        """Refuse for good."""
        if receiver == "chat":
            return _json(200, {"ok": False, "error": self.dice.pick(REFUSALS)})
        return HttpAnswer(self.dice.pick((400, 401, 403, 404, 410)), {}, b"no")

    def oddity(self, receiver: str) -> HttpAnswer:
        """Answer as if all were well, without having taken anything."""
        page = HttpAnswer(200, {"content-type": "text/html"}, b"<html>Sign in</html>")
        if receiver == "chat":
            more = (_json(200, {"ok": False, "error": "fatal_error"}), _json(200, {"ok": True}), _json(200, {}))
        elif receiver == "room":
            more = (HttpAnswer(204, {}, b""), HttpAnswer(200, {}, b""), HttpAnswer(202, {}, b"ok"))
        else:
            other = _json(202, {"status": "success", "dedup_key": "another"})
            more = (other, HttpAnswer(202, {}, b'{"status"'), HttpAnswer(200, {}, b""))
        return self.dice.pick((page, HttpAnswer(200, {}, b""), HttpAnswer(302, {"location": "/"}, b""), *more))


class Script(NamedTuple):
    """How one request goes."""

    takes: bool  # the service does what it is asked
    answer: HttpAnswer | HttpFailed | None  # None: what the service says; a failure: of the network
    before: int  # ms until the service has read it
    after: int  # ms from there to the answer
    refuses: bool = False
    wish: int = 0  # for how long the receiver asks to be left alone, at least


class Line:
    """The Blocking port of one notifier in one process: the library's thread, the network and the service in one."""

    def __init__(self, services: Services, receiver: str, clock: Clock) -> None:
        self._services = services
        self._receiver = receiver
        self._clock = clock

    async def __call__(self, call: Any, deadline: int) -> None:
        if not self._clock.alive:
            raise Dead
        services, clock, judge = self._services, self._clock, self._services.judge
        notification = _sending.get()
        caught = written(call)
        wire, request = caught.wire, caught.request
        services.requests += 1
        attempt = Attempt(judge.life)
        services.not_too_late(self._receiver, notification.id)
        judge.asked(notification, attempt)
        window = services.plan.receivers[self._receiver].at(clock.monotonic())
        script = self._script(window, request, notification)
        wire._future = Future()  # from here on the request may have been taken
        ends = clock.monotonic() + deadline
        await self._pass(script.before, ends)
        answer = script.answer
        if script.takes:
            taken = services.take(self._receiver, request)
            if taken is None:
                answer = _json(200, {"ok": False, "error": "message_not_found"})
            else:
                judge.accepted(notification, attempt)
                answer = answer or taken
                if services.die_after_accepting:
                    services.die_after_accepting = False
                    clock.loop.dying = True
        await self._pass(script.after, ends)
        if script.refuses:
            judge.may_park.add(notification.id)
        if script.wish:
            judge.wished(notification, script.wish)
        if isinstance(answer, HttpFailed):
            wire.failure = answer
            raise answer
        wire.answer = answer

    async def _pass(self, duration: int, ends: int) -> None:
        """Let time pass, at most until the deadline."""
        left = ends - self._clock.monotonic()
        await self._clock.sleep(min(duration, left))
        if duration > left:
            raise TimeoutError

    def _script(self, window: Window | None, request: Request, notification: Notification) -> Script:
        services, dice = self._services, self._services.dice
        quick = 1 + dice.whole(0, dice.pick((20, 90)))
        kind = window.kind if window else ""
        if kind == "flaky":
            kind = dice.pick(("", "", "500", "lost", "reset", "429"))
        if kind == "poison":
            poisoned = window is not None and (hash_of(notification.id) + int(window.detail)) % 3 == 0
            kind = "500" if poisoned else ""
        broken = HttpFailed(FaultKind.RESET, "connection broken", maybe_taken=True)
        never = 60 * S
        if kind == "gone":
            services.posted.clear()
        answers: dict[str, Callable[[], Script]] = {
            "down": lambda: Script(False, HttpFailed(FaultKind.REFUSED, "refused", maybe_taken=False), 1, 0),  # noqa: FBT003
            "reset": lambda: Script(False, broken, quick, 0),  # noqa: FBT003
            "black hole": lambda: Script(False, broken, never, 0),  # noqa: FBT003
            "500": lambda: Script(False, HttpAnswer(500, {}, b""), quick, 0),  # noqa: FBT003
            "503": lambda: Script(False, HttpAnswer(503, {"retry-after": "2"}, b""), quick, 0, wish=2 * S),  # noqa: FBT003
            "429": lambda: services.limited(quick),
            "refused": lambda: Script(False, services.refusal(self._receiver), quick, 0, refuses=True),  # noqa: FBT003
            "odd": lambda: Script(False, services.oddity(self._receiver), quick, 0),  # noqa: FBT003
            "lost": lambda: Script(True, broken, quick, quick),  # noqa: FBT003
            "late": lambda: Script(True, None, quick, never),  # noqa: FBT003
            "slow": lambda: Script(True, None, quick, dice.whole(S, 9 * S)),  # noqa: FBT003
        }
        made = answers.get(kind)
        return Script(True, None, quick, quick) if made is None else made()  # noqa: FBT003


class Receiver:
    """A real notifier, watched: which message an attempt is for, and what came of it."""

    def __init__(self, notifier: Notifier, services: Services, clock: Clock) -> None:
        self.name = notifier.name
        self.stands_for = notifier.stands_for
        self._notifier = notifier
        self._services = services
        self._clock = clock

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        _sending.set(notification)
        answer = await self._notifier.deliver(notification, previous)
        self._services.judge.answered(notification, answer)
        return answer

    async def close(self) -> None:
        await self._notifier.close()


def receivers(services: Services, clock: Clock) -> dict[str, Receiver]:
    """Build the receivers of one process, as the settings would."""
    made = {}
    for name, (kind, values) in SECTIONS.items():
        line = Line(services, name, clock)
        http: Any = None  # every request is caught before it gets there
        resolve: Any = None
        tools = Tools(clock, http, lambda _, line=line: line, "simulated", "0", lambda _: None, resolve)  # type: ignore[misc]
        made[name] = Receiver(registry.build_notifier(Section(name, kind, values), tools), services, clock)
    return made


def hash_of(text: str) -> int:
    """A number that a text always has."""
    return int(text[:8], 16) if text[:8].isalnum() else len(text)


def _json(status: int, document: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(status, {"content-type": "application/json"}, json.dumps(document).encode())


def _http_date(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at // 1000, UTC), usegmt=True)


__all__ = ["Receiver", "Services", "receivers"]
