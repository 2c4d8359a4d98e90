"""How Sentry is called: whose events are read, one call at a time, none while Sentry wants none, pages to an end.

https://docs.sentry.io/api/ is the law: `requests`, `pagination` and `ratelimits`. Limits are counted per call, so
one of them holds up no other; Sentry names the end of its window by its own clock.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from alerting.model import Fault, FaultKind, Secret
from alerting.net.endpoint import Endpoint
from alerting.net.http import retry_at, revealed
from alerting.sources._queries import FailedError, decoded, shape, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractContextManager

    from alerting.model import Millis, Section
    from alerting.ports import HttpAnswer, Tools

SAAS = "https://sentry.io"
PAGES, PAGE = 10, 100  # so many pages of so many are read; what has more is a fault
_INGEST = re.compile(r"o(?P<organization>\d+)\.ingest\.(?P<region>[a-z0-9-]+\.)?sentry\.io", re.ASCII)
_WAIT: Millis = 60_000  # where a limit names no end
_LONGEST_WAIT: Millis = 3_600_000
_SCOPES = {"issues": "event:read"}  # org:read for all others
_WITHOUT_ENVIRONMENT = frozenset({"stats_v2"})  # calls that know no environments


class Scope(NamedTuple):
    """Whose events are read. `url` is where Sentry is."""

    url: str
    organization: str
    project: str
    environment: str = ""


class UnknownCallError(FailedError):
    """The server does not know a call: it is older than that."""


class Client:
    """Calls the Web API for one project in one environment, or in all."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = section.name
        self._clock = tools.clock
        self._timeout: Millis = values["timeout"]
        self._written = {name: values.get(name) or "" for name in ("url", "organization", "project", "environment")}
        self._dsn: str | Secret = values.get("dsn") or ""
        token = values["token"]
        label = token.label if isinstance(token, Secret) else "the token"
        self._endpoint = Endpoint(
            tools.http,
            tools.clock,
            section.name,
            self._written["url"] or (Secret(lambda: self.scope().url, "the server of the DSN") if self._dsn else SAAS),
            headers={"authorization": Secret(lambda: f"Bearer {revealed(token)}", label)},
            ca_file=values.get("ca_file"),
        )
        self._not_before: dict[str, Millis] = {}  # by call, on the monotonic clock

    def scope(self) -> Scope:
        """Take what the settings say, and the rest from the DSN. Raises SecretError, FailedError."""
        url, organization, project, environment = (revealed(value) for value in map(_text, self._written.values()))
        if self._dsn and not (url and organization and project):
            try:
                told = read_dsn(revealed(self._dsn))
            except ValueError as error:
                raise FailedError(Fault(FaultKind.MALFORMED, f"{self.name}: {error}")) from None
            url, organization, project = url or told.url, organization or told.organization, project or told.project
        if not organization:
            text = f"{self.name}: `organization` is not set, and the DSN of a server of your own does not tell it"
            raise FailedError(Fault(FaultKind.MALFORMED, text))
        return Scope(url or SAAS, organization, project, environment)

    async def call(self, what: str, params: Sequence[tuple[str, str]], until: Millis) -> tuple[HttpAnswer, Any]:
        """Make one call before `until` (monotonic), unless Sentry asked to wait. Raises FailedError, SecretError."""
        whose = self.scope()
        path = f"/api/0/organizations/{quote(whose.organization, safe='')}/{what}/"
        moment = self._clock.monotonic()
        if (wait := self._not_before.get(what, 0) - moment) > 0:
            raise FailedError(self._limited(path, wait))
        if until <= moment:
            text = f"no whole answer within {self._timeout / 1000:g} s, all calls together"
            raise FailedError(self.fault(FaultKind.TIMEOUT, text, path))
        environment = "" if what in _WITHOUT_ENVIRONMENT else whose.environment
        scope = [(name, value) for name, value in (("project", whose.project), ("environment", environment)) if value]
        answer = await self._endpoint.get(path, [*params, *scope], deadline=until - moment)
        if isinstance(answer, Fault):
            raise FailedError(answer)
        wait = self._wait(answer)
        if wait:
            self._not_before[what] = self._clock.monotonic() + wait
        if answer.status == 429:  # noqa: PLR2004  too many requests
            raise FailedError(self._limited(path, wait))
        if answer.status != 200:  # noqa: PLR2004  these calls have no other good status
            unknown = answer.status == 404 and not _detail(answer.body)  # noqa: PLR2004
            raise (UnknownCallError if unknown else FailedError)(self._refused(answer, what, path))
        with self.shape():
            return answer, decoded(answer.body)

    async def pages(
        self, what: str, params: Sequence[tuple[str, str]], until: Millis
    ) -> AsyncIterator[tuple[HttpAnswer, list[Any]]]:
        """Make the call for each page of a list. A cursor that goes in a circle, and a list without end, are faults."""
        cursors = [""]
        while len(cursors) <= PAGES:
            more = [("cursor", cursors[-1])] if cursors[-1] else []
            answer, document = await self.call(what, [*params, *more], until)
            with self.shape():
                page = items(document)
                following = _next_cursor(answer)
                if following in cursors[1:]:
                    raise ValueError(following)
            yield answer, page
            if not following:
                return
            cursors.append(following)
        raise FailedError(
            self.fault(
                FaultKind.TOO_LARGE,
                f"Sentry lists more {what} than {PAGES} pages hold; narrow `project`, `environment`",
            )
        )

    def shape(self) -> AbstractContextManager[None]:
        """Turn whatever an answer of another shape raises inside the block into a fault."""
        return shape(partial(self.fault), "the answer does not look like Sentry's; check `url`")

    def fault(self, kind: FaultKind, text: str, path: str = "") -> Fault:
        """Say what happened, and to which source at which address."""
        return self._endpoint.fault(kind, text, path)

    def _limited(self, path: str, wait: Millis) -> Fault:
        text = f"Sentry limits our calls; the next one is made in {wait / 1000:.0f} s"
        return self._endpoint.fault(FaultKind.RATE_LIMITED, text, path, self._clock.now() + wait)

    def _wait(self, answer: HttpAnswer) -> Millis:
        """How long this call may not be made: Sentry says when the window ends, by its own clock."""
        headers = answer.headers
        if answer.status != 429 and headers.get("x-sentry-rate-limit-remaining", "").strip() != "0":  # noqa: PLR2004
            return 0
        now = self._clock.now()
        reset = headers.get("x-sentry-rate-limit-reset", "").strip()
        if reset.isascii() and reset.isdigit():
            wait = int(reset[:12]) * 1000 - (date_of(answer) or now)
        else:
            wait = (retry_at(answer, now) or now + _WAIT) - now
        return min(max(wait, 1000), _LONGEST_WAIT)

    def _refused(self, answer: HttpAnswer, what: str, path: str) -> Fault:
        detail = _detail(answer.body)
        if answer.status == 400 and ("too long" in detail or "timeout" in detail.lower()):  # noqa: PLR2004
            return self.fault(FaultKind.TIMEOUT, "Sentry's own query took too long; it is asked again", path)
        missing = "no such organization for this token"
        if not detail:  # a page for people: not the API has answered, but the server before it
            missing = f"this server does not know the call `{what}`: it is older than that, or `url` is not Sentry's"
        hints = {
            400: f"Sentry does not take the question: {detail or 'no reason given'}",
            401: "the token is not valid (any more); make a new one",
            403: f"the token lacks the scope {_SCOPES.get(what, 'org:read')}, or may not see this project",
            404: missing,
        }
        return self._endpoint.refused(answer, path, hints)


def _text(value: Any) -> str | Secret:
    return value if isinstance(value, Secret) else str(value)  # a project may be written as a number


def read_dsn(dsn: str) -> Scope:
    """Read where an app reports to: `https://KEY@o1.ingest.de.sentry.io/2` tells server, organization and project.

    The DSN of a server of one's own tells no organization. Raises ValueError; its text holds nothing of the DSN.
    """
    try:
        parts = urlsplit(dsn)
    except ValueError:
        parts = urlsplit("")
    path, _, project = parts.path.rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not (project.isascii() and project.isdigit()):
        raise ValueError("the DSN cannot be read; it looks like https://KEY@o1.ingest.sentry.io/2")
    ours = _INGEST.fullmatch(parts.hostname)
    if ours:
        return Scope(f"https://{ours['region'] or ''}sentry.io", ours["organization"], project)
    _, _, host = parts.netloc.rpartition("@")
    return Scope(f"{parts.scheme}://{host}{path}", "", project)


def items(value: Any) -> list[Any]:
    """Take a list. Raises TypeError for anything else."""
    if not isinstance(value, list):
        raise TypeError(type(value).__name__)
    return value


def date_of(answer: HttpAnswer) -> Millis | None:
    """Give Sentry's own time; None where it does not tell."""
    try:
        return int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _next_cursor(answer: HttpAnswer) -> str:
    """Give the cursor of the next page from the `Link` header; empty where there is none."""
    for link in answer.headers.get("link", "").split(","):
        if 'rel="next"' in link and 'results="true"' in link:
            return link.partition('cursor="')[2].partition('"')[0]
    return ""


def _detail(body: bytes) -> str:
    """Give Sentry's own words for an error, printable and short; empty where there are none."""
    try:
        detail = decoded(body)["detail"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    return words(detail if isinstance(detail, str) else str(detail))
