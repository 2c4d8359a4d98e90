"""The long tail of services, by Apprise (extra `apprise`), which can post and nothing else.

No message is changed, nothing is resolved there and nothing says that a service has seen a message before: each
change is one more post. A post that failed is made again for the services that did not take it, and for these alone.
"""

from __future__ import annotations

import hashlib
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from alerting.errors import AlertingError
from alerting.model import Answer, Outcome
from alerting.net.http import revealed
from alerting.notifiers import _plain as plain
from alerting.notifiers import _templates as templates
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis, Notification, Receipt, Secret, Section
    from alerting.notifiers._templates import Filled
    from alerting.ports import Clock, Tools

_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down
_TITLE = 250
_MISSING = "Apprise is not installed; install alerting with its extra `apprise`"
_CALLS = ("<!", "<@", "<#", "@")  # what services read as a mention; nothing from outside may become one


def build(section: Section, tools: Tools) -> Apprise:
    """Build the receiver; Apprise is loaded when the first message is sent."""
    return Apprise(section, tools)


def problems(section: Section) -> Sequence[tuple[tuple[str, ...], str]]:
    """Say what is wrong with a section that its schema cannot tell: a missing extra, templates."""
    missing = [] if find_spec("apprise") else [(("type",), _MISSING)]
    return [*missing, *templates.problems(section)]


class Apprise:
    """One or more services of Apprise's. A message stands for a group of alerts."""

    stands_for: Literal["group"] = "group"

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = section.name
        self._urls: Sequence[Secret | str] = section.values["urls"]
        self._templates = templates.Templates(section.values)
        self._timeout: Millis = section.values.get("timeout", 30_000)
        self._clock = tools.clock
        self._blocking = tools.blocking(_THREADS)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make one attempt: one post to each service that has not taken this message yet."""
        filled = self._templates.fill(notification)
        before = previous or {}
        taken = before.get("taken", "").split() if before.get("of") == notification.id else []
        round_ = _Round(self._clock, self._timeout, taken)
        try:
            await self._blocking(partial(round_.run, self._urls, filled), self._timeout)
        except TimeoutError:
            round_.over = True
            reason = f"no answer within {self._timeout / 1000:g} s"
            outcome = Outcome.UNKNOWN if round_.asking else Outcome.RETRY
        except AlertingError as error:  # SecretError and our own; their texts are written for people
            reason, outcome = str(error), Outcome.RETRY
        except Exception as error:  # noqa: BLE001  plugins raise many kinds; texts may hold secrets, so only the name
            reason = f"Apprise failed: {type(error).__name__}"
            outcome = Outcome.UNKNOWN if round_.asking else Outcome.RETRY
        else:
            if not round_.refused:
                return filled.told(Answer(Outcome.SENT, f"taken by {', '.join(round_.names) or 'all'}"))
            reason, outcome = f"not taken: {', '.join(round_.refused)}", Outcome.RETRY
        receipt = {"of": notification.id, "taken": " ".join(round_.taken)} if round_.taken else None
        return filled.told(Answer(outcome, reason, None, receipt))

    async def close(self) -> None:
        """Nothing is held."""


class _Round:
    """One attempt, in a worker thread, and how far it came."""

    def __init__(self, clock: Clock, timeout: Millis, taken: Sequence[str]) -> None:
        self.taken = list(taken)  # digests of addresses: an address is a secret
        self.names: list[str] = []  # services that were asked
        self.refused: list[str] = []
        self.asking = False  # a post is under way
        self.over = False
        self._clock = clock
        self._ends = clock.monotonic() + timeout

    def run(self, urls: Sequence[Secret | str], filled: Filled) -> None:
        """Post to whoever has not taken it. Raises AlertingError."""
        try:
            from alerting.notifiers import _apprise_client as client  # noqa: PLC0415  loads Apprise, an extra
        except ImportError:
            raise AlertingError(_MISSING) from None
        posting = client.Posting(*_words(filled))
        for number, url in enumerate(urls, 1):
            address = revealed(url).strip()
            digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            if digest in self.taken:
                continue
            seconds = (self._ends - self._clock.monotonic()) / 1000
            if self.over or seconds <= 0:
                self.refused.append("no time was left")
                return
            names = [f"address {number}"]
            self.asking = True
            taken = client.post(address, posting, seconds, names.append)
            self.asking = False
            if taken:
                self.taken.append(digest)
                self.names.append(names[-1])
            else:
                self.refused.append(names[-1] if taken is False else f"{names[0]} is none that Apprise knows")


def _words(filled: Filled) -> tuple[str, str, str]:
    """Give title, body and kind."""
    notification = filled.notification
    title = notification.title if filled.titled else text.headline(notification)
    notes = "".join(f"{text.line(note)}\n" for note in notification.notes)
    body = f"{notes}{filled.text}" if filled.text else plain.body(notification)
    kind = "resolved"
    if notification.firing:
        severities = {notice.severity.lower() for notice in notification.firing}
        kind = "firing" if severities & {"critical", "error"} else "info" if severities == {"info"} else "warning"
    return text.cut(_harmless(title), _TITLE), _harmless(body), kind


def _harmless(words: str) -> str:
    """Take from a text what services would read as a mention; the letters stay readable."""
    for call in _CALLS:
        words = words.replace(call, call.replace("@", "\uff20").replace("<", "< "))
    return words
