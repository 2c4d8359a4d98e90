"""Tells somebody outside that alerting lives, for as long as it evaluates and delivers: the dead man's handle.

Its law: a beat is only ever sent after the whole way was looked at and found to go round; whoever waits for it raises
the alarm when it stays away, whatever the reason. Its own failure is a log line and nothing else: it blocks no page.

Sentry's cron monitors take check-ins by plain HTTP under the address of the DSN
(https://docs.sentry.io/product/crons/getting-started/http/), at most six a minute for one monitor and environment.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.errors import AlertingError, SecretError
from alerting.net.http import HttpFailed, revealed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from alerting.model import Millis, Secret
    from alerting.ports import Clock, Http

DEADLINE: Millis = 5_000  # of one beat
_SENTRY_PACE: Millis = 30_000  # between two check-ins
_MINUTE: Millis = 60_000


class Beat(NamedTuple):
    """One of the things that can be said."""

    key: str  # the setting that holds the address
    status: str  # in Sentry's words


LOST = "lost"  # it could not be said
OK, START, FAILED = Beat("url", "ok"), Beat("start_url", "in_progress"), Beat("fail_url", "error")


class Heartbeat:
    """What `heartbeat:` in the settings asks for."""

    def __init__(
        self, settings: Mapping[str, Any], http: Http, clock: Clock, environment: str, say: Callable[[str], None]
    ) -> None:
        """`environment` is what Sentry tells monitors apart by; `say` hears why a beat could not be sent."""
        self.every: Millis = settings["every"]
        self.beats = {OK.status: 0, FAILED.status: 0, LOST: 0}  # how many there were, by how they ended
        self._settings = settings
        self._http = http
        self._clock = clock
        self._environment = environment
        self._say = say
        self._beginning: asyncio.Task[None] | None = None
        self._run = ""  # what joins the check-ins of one run of `check`
        self._said = ""
        self._next_check_in: Millis = 0

    async def run(self, ailing: Callable[[], Awaitable[str]], promise: Callable[[Millis], None]) -> None:
        """Beat without end. `ailing` says what does not go round, or nothing; `promise` is told of the next round."""
        while True:
            promise(self.every)
            await self._clock.sleep(self.every)
            promise(4 * DEADLINE)
            why = await ailing()
            await self.send(FAILED if why else OK)

    def begin(self, run: str, pace: Millis | None) -> None:
        """Say that a run of `check` begins, while it goes on; `run` are 32 hex digits, `pace` is how often it runs."""
        self._run = run
        self.every = pace or self.every
        self._beginning = asyncio.create_task(self.send(START))

    async def end(self, *, well: bool) -> None:
        """Say how that run ended."""
        if self._beginning is not None:
            await self._beginning
        await self.send(OK if well else FAILED)

    async def send(self, beat: Beat) -> None:
        """Say one thing to all who are to hear it. Never raises."""
        calls = []
        if self._settings.get(beat.key):
            calls.append(self._ping(self._settings[beat.key]))
        if self._settings.get("sentry_monitor") and self._may_check_in():
            calls.append(self._check_in(beat.status))
        if not calls:
            return
        trouble = "; ".join(why for why in await asyncio.gather(*calls) if why)
        end = LOST if trouble else beat.status
        self.beats[end] = self.beats.get(end, 0) + 1
        if trouble and trouble != self._said:  # once, not every minute
            self._say(f"heartbeat: {trouble}")
        self._said = trouble

    def _may_check_in(self) -> bool:
        """Keep to Sentry's limit; a run of `check` has two check-ins, and its own pace."""
        now = self._clock.monotonic()
        if not self._run and now < self._next_check_in:
            return False
        self._next_check_in = now + _SENTRY_PACE
        return True

    async def _ping(self, url: str | Secret) -> str:
        return await self._request("GET", lambda: revealed(url), None)

    async def _check_in(self, status: str) -> str:
        minutes = max(1, -(-self.every // _MINUTE))
        config = {
            "schedule": {"type": "interval", "value": minutes, "unit": "minute"},
            "checkin_margin": max(1, minutes // 2),
            "max_runtime": max(1, minutes),
        }
        document = {"status": status, "environment": self._environment, "monitor_config": config}
        if self._run:
            document["check_in_id"] = self._run
        monitor, dsn = self._settings["sentry_monitor"], self._settings["dsn"]
        return await self._request("POST", lambda: check_in_url(revealed(dsn), monitor), json.dumps(document).encode())

    async def _request(self, method: str, address: Callable[[], str], body: bytes | None) -> str:
        """Make one request; give why it failed, or nothing. No address is in it: they are secrets."""
        who = "Sentry" if body else "the address"
        headers = {"content-type": "application/json"} if body else {}
        try:
            url = address()
            answer = await self._http.request(method, url, headers=headers, body=body, deadline=DEADLINE, limit=65_536)
        except (SecretError, HttpFailed) as error:
            return f"{who} could not be told: {error}"
        except AlertingError as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else f"{who} answered {answer.status}"  # noqa: PLR2004  what is well


def check_in_url(dsn: str, monitor: str) -> str:
    """Give the address for check-ins that goes with a DSN, `https://KEY@HOST/PATH/PROJECT`. Raises AlertingError."""
    scheme, _, rest = dsn.partition("://")
    key, _, place = rest.rpartition("@")
    host, _, path = place.partition("/")
    path, _, project = f"/{path}".rpartition("/")
    if scheme not in ("http", "https") or not (key and host and project.isdigit()):
        raise AlertingError(
            "the DSN is none: it looks like https://KEY@HOST/PROJECT; copy it from the project's settings"
        )
    return f"{scheme}://{host}{path}/api/{project}/cron/{monitor}/{key.partition(':')[0]}/"
