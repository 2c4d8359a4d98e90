"""AWS CloudWatch, read with GetMetricData.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html is the law for the call. boto3
finds the credentials, signs the request and reads the answer; the request itself goes by our own HTTP, so that it
has a total deadline and a limit in bytes, and is made once. Only closed periods count: the newest one is still
filling, and values come in late (`delay`). A period of which CloudWatch tells nothing has no value, which is not
zero, unless the settings say what it stands for (`empty`).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import proxy

from alerting.errors import ConfigError, Problem
from alerting.model import NO_LABELS, Fault, FaultKind, Sample
from alerting.net.http import HttpFailed, revealed
from alerting.sources._queries import (
    MINUTE,
    Answers,
    Ask,
    FailedError,
    QuerySource,
    number,
    read_queries,
    seconds,
    shape,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Secret, Section
    from alerting.ports import Tools
    from alerting.sources._queries import Query

_PAGES = 10
_AT_ONCE = 500  # queries in one call
_BACK: Millis = 300_000  # a gauge is looked for so far back, or two periods
_WAIT: Millis = 60_000  # after a refusal for too many calls
_NOT_OURS = "the answer does not look like CloudWatch's; check `url`"
_STATS = {True: "Sum", False: "Average"}  # of a count, of a gauge

_Stretch = tuple["Millis", "Millis"]
_Points = dict[str, dict["Millis", float]]  # id of a query -> end of a period -> value


def build(section: Section, tools: Tools) -> Sequence[QuerySource]:
    """Build the source of one `type: cloudwatch` entry. Raises ConfigError."""
    trouble = [
        _problem(section, f"`period` of {query.name} is not a number of whole minutes", "write 1m, 5m or 1h")
        for query in read_queries(section)
        if _period(query) % MINUTE or not _period(query)
    ]
    try:
        import boto3  # noqa: F401, PLC0415  loaded here, so that what is missing shows at once and nobody else pays
    except ImportError:
        trouble.append(_problem(section, "needs boto3, which is not installed", "pip install 'alerting[aws]'"))
    if trouble:
        raise ConfigError(trouble)
    return (QuerySource(section, tools.clock, CloudWatch(section, tools)),)


def _problem(section: Section, text: str, hint: str) -> Problem:
    origin = section.origin
    return Problem(f"{section.name}: {text}", origin.file, origin.line, origin.column, hint)


def _period(query: Query) -> Millis:
    return int(query.said.get("period", MINUTE))


class CloudWatch:
    """Asks in a thread of its own: boto3 blocks, at least while it looks for credentials."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self._name = section.name
        self._clock = tools.clock
        self._http = tools.http
        self._blocking = tools.blocking(1)
        self._region: str | Secret = values["region"]
        self._url: str | Secret | None = values.get("url")
        self._timeout: Millis = values["timeout"]
        self._delay: Millis = values["delay"]
        self._client: Any = None  # made by the first call, in its thread
        self._until: Millis = 0  # monotonic; of the fetch that runs
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, ask: Ask) -> Answers:
        """Make one call for each stretch of time: metrics of one period share it, as far as one call holds them."""
        self._until, self._loop = ask.until, asyncio.get_running_loop()
        stretches: dict[_Stretch, list[Query]] = {}
        for query in ask.queries:
            stretches.setdefault(self._stretch(query, ask), []).append(query)
        answers: Answers = dict.fromkeys(query.name for query in ask.queries)
        for (first, end), queries in stretches.items():
            for place in range(0, len(queries) if first < end else 0, _AT_ONCE):
                points = await self._call(queries[place : place + _AT_ONCE], first, end)
                for query in queries[place : place + _AT_ONCE]:
                    answers[query.name] = _read(query, points[query.name], first, end, ask.at) or None
        return answers

    async def close(self) -> None:
        """Nothing is kept open between two fetches."""

    def _stretch(self, query: Query, ask: Ask) -> _Stretch:
        if query.counts:
            return ask.minutes(self._delay)
        period = _period(query)
        end = (ask.at - self._delay) // period * period
        return end - max(2 * period, _BACK // period * period), end

    # one call

    async def _call(self, queries: Sequence[Query], first: Millis, end: Millis) -> _Points:
        region, url = revealed(self._region), revealed(self._url) if self._url else None
        texts = {f"m{place}": _asked(query) for place, query in enumerate(queries)}
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  loaded by `build`

        with shape(self._fault, _NOT_OURS):
            try:
                found = await self._blocking(lambda: self._pages(region, url, texts, first, end), max(1, self._left()))
            except HttpFailed as error:
                raise FailedError(self._fault(error.kind, str(error))) from None
            except TimeoutError:
                raise FailedError(self._late()) from None
            except ClientError as error:
                raise FailedError(self._refused(error.response)) from None
            except BotoCoreError as error:
                self._client = None
                raise FailedError(self._unable(type(error).__name__)) from None
            except RuntimeError:  # what botocore makes of a time that is none
                raise FailedError(self._fault(FaultKind.MALFORMED, _NOT_OURS)) from None
            return {query.name: found[f"m{place}"] for place, query in enumerate(queries)}

    def _pages(self, region: str, url: str | None, texts: Mapping[str, Any], first: Millis, end: Millis) -> _Points:
        """Read all pages; in the thread. Raises FailedError, what botocore raises, and HttpFailed."""
        if self._client is None:
            self._client = self._new_client(region, url)
        asked = [{"Id": name, "MetricStat": text} for name, text in texts.items()]
        points: _Points = {}
        token: dict[str, str] = {}
        for _ in range(_PAGES):
            answer = self._client.get_metric_data(
                MetricDataQueries=asked,
                StartTime=_time(first),
                EndTime=_time(end),
                ScanBy="TimestampDescending",
                **token,
            )
            for result in answer["MetricDataResults"]:
                self._check(result, last="NextToken" not in answer)
                period = texts[result["Id"]]["Period"] * 1000
                found = points.setdefault(result["Id"], {})
                for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                    found[int(at.timestamp() * 1000) + period] = number(value)
            if not answer.get("NextToken"):
                return points  # one that is missing here shows where it is looked up
            token = {"NextToken": answer["NextToken"]}
        raise FailedError(self._fault(FaultKind.TOO_LARGE, f"the answer has more than {_PAGES} pages"))

    def _check(self, result: Mapping[str, Any], *, last: bool) -> None:
        """Refuse what CloudWatch itself calls failed, or partial on the last page."""
        status = result["StatusCode"]
        if status == "Complete" or (status == "PartialData" and not last):
            return
        told = [words(each.get("Value")) for each in result.get("Messages") or ()]
        kind = FaultKind.FORBIDDEN if status == "Forbidden" else FaultKind.SERVER_ERROR
        raise FailedError(self._fault(kind, f"CloudWatch answered {words(status)}{': ' + told[0] if told else ''}"))

    def _new_client(self, region: str, url: str | None) -> Any:
        import boto3  # noqa: PLC0415  loaded by `build`
        from botocore.config import Config  # noqa: PLC0415

        logging.getLogger("botocore").propagate = False  # at debug level it logs signed requests
        wait = self._timeout / 1000  # of calls for credentials, which boto3 makes by itself
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=wait, read_timeout=wait)
        session = boto3.session.Session()
        client = session.client("cloudwatch", region_name=region, endpoint_url=url, config=once)
        this = proxy(self)  # the client is held by whom it must not hold: it would stay until the collector runs
        client.meta.events.register("before-send.cloudwatch", lambda request, **_: this.send(request))
        return client

    def send(self, request: Any) -> Any:
        """Carry a signed request; botocore takes what this gives for the answer. In the thread."""
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415  loaded by `build`

        if self._loop is None or self._left() <= 0:
            raise FailedError(self._late())
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        body = request.body.encode() if isinstance(request.body, str) else request.body
        asked = self._http.request(request.method, request.url, headers=headers, body=body, deadline=self._left())
        answer = asyncio.run_coroutine_threadsafe(asked, self._loop).result(self._timeout / 1000 + 1)
        return AWSResponse(request.url, answer.status, answer.headers, SimpleNamespace(stream=lambda: [answer.body]))

    def _left(self) -> Millis:
        return self._until - self._clock.monotonic()

    # what went wrong

    def _refused(self, answer: Mapping[str, Any]) -> Fault:
        """Name an error of AWS. Its words are left out where they can hold parts of the signed request."""
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, told = words(answer.get("Error", {}).get("Code")), words(answer.get("Error", {}).get("Message"))
        if "Throttl" in code or "LimitExceeded" in code or status == 429:  # noqa: PLR2004  too many requests
            text = f"AWS limits our calls; the next one is made in {seconds(_WAIT)}"
            return self._fault(FaultKind.RATE_LIMITED, text)._replace(retry_at=self._clock.now() + _WAIT)
        if "AccessDenied" in code:
            return self._fault(FaultKind.FORBIDDEN, f"the credentials may not do this: {told}")
        if code in _CREDENTIALS or status in (401, 403):
            self._client = None  # the next call looks for credentials anew: those in a file may have been renewed
            advice = _CREDENTIALS.get(code, _WHOSE)
            return self._fault(FaultKind.UNAUTHORIZED, f"AWS refuses the credentials ({code}){advice}")
        if 300 <= status < 400:  # noqa: PLR2004  redirects
            return self._fault(
                FaultKind.REDIRECTED, f"{status}: it points to another address; redirects are not followed"
            )
        if status == 404:  # noqa: PLR2004
            return self._fault(FaultKind.NOT_FOUND, "answered 404: no such service is there; check `url` and `region`")
        if status >= 500:  # noqa: PLR2004  the service's own faults
            return self._fault(FaultKind.SERVER_ERROR, f"answered {status}: the service itself fails")
        return self._fault(FaultKind.BAD_STATUS, f"CloudWatch does not take the question: {told or status}")

    def _unable(self, what: str) -> Fault:
        """Name a failure of boto3's own by its class: its text may hold addresses and paths."""
        if "Parser" in what:
            return self._fault(FaultKind.MALFORMED, _NOT_OURS)
        if any(word in what for word in ("Credential", "Token", "SSO", "Profile", "Login")):
            text = f"boto3 finds no credentials, or cannot get them ({what}); `aws sts get-caller-identity` says more"
            return self._fault(FaultKind.UNAUTHORIZED, text)
        if "Timeout" in what:
            return self._late()
        return self._fault(FaultKind.UNREADABLE, f"boto3 cannot ask ({what}); check `region` and `url`")

    def _late(self) -> Fault:
        return self._fault(FaultKind.TIMEOUT, f"no whole answer within {seconds(self._timeout)}")

    def _fault(self, kind: FaultKind, text: str) -> Fault:
        return Fault(kind, f"{self._name}: {text}")


_WHOSE = "; are they for this account?"
_EXPIRED = ": they have expired; renew them"
_CLOCK = "; check them, and the clock of this host"
_CREDENTIALS = {  # by the code of an error, what to do
    "AuthFailure": _WHOSE,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "IncompleteSignature": _CLOCK,
    "InvalidClientTokenId": _WHOSE,
    "InvalidSignatureException": _CLOCK,
    "MissingAuthenticationToken": _WHOSE,
    "OptInRequired": _WHOSE,
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": _CLOCK,
    "UnrecognizedClientException": _WHOSE,
}


def _asked(query: Query) -> dict[str, Any]:
    """Write a metric as the API wants it."""
    said = query.said
    dimensions = [{"Name": name, "Value": revealed(value)} for name, value in said.get("dimensions", {}).items()]
    metric = {
        "Namespace": revealed(said["namespace"]),
        "MetricName": revealed(said["metric"]),
        "Dimensions": dimensions,
    }
    return {"Metric": metric, "Period": _period(query) // 1000, "Stat": said.get("stat") or _STATS[query.counts]}


def _read(query: Query, points: Mapping[Millis, float], first: Millis, end: Millis, at: Millis) -> list[Sample]:
    """Make samples of a metric's closed periods, by their ends."""
    empty = query.said.get("empty")
    closed = {ended: value for ended, value in points.items() if first < ended <= end}
    if not query.counts:
        value = closed[max(closed)] if closed else empty
        return [] if value is None else [Sample(query.name, NO_LABELS, float(value), at)]
    minutes = {ended: closed.get(ended, empty) for ended in range(first + MINUTE, end + 1, MINUTE)}
    return [Sample(query.name, NO_LABELS, float(value), ended) for ended, value in minutes.items() if value is not None]


def _time(moment: Millis) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC)
