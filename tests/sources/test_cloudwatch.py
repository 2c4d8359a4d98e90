"""CloudWatch by boto3, against moto's server; what moto never says, from a recording server or a raw socket."""

from __future__ import annotations

import json
import logging
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import ConfigError
from alerting.model import FaultKind, Need, Reading, Secret
from tests.fakes.aws import CREDENTIALS, CloudWatch
from tests.fakes.ledger import Fake, Reply, Request, Step
from tests.sources.judging import HOSTILE, NO_ANSWERS, SECRET, bears, failed, good, is_refused
from tests.sources.reading import read, run, source, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (the extra aws)")
pytestmark = pytest.mark.slow  # every source makes a client of its own, which boto3 takes 150 ms for
MINUTE = 60_000
DELAY = 120_000
CPU = {"cpu": {"namespace": "Shop", "metric": "CPU", "dimensions": {"Node": "a"}, "unit": "percent"}}
ERRORS = {"errors": {"namespace": "Shop", "metric": "Errors", "kind": "count"}}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3's own chain finds."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def moto() -> Iterator[CloudWatch]:
    """One server for all; tests use metrics of their own."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    with CloudWatch() as server:
        yield server


def ask(url: str, metrics: dict[str, Any] | None = None, since: int | None = None, **more: Any) -> Reading:
    """Read everything once."""
    return read("cloudwatch", (), since, url=url, region="eu-central-1", metrics=metrics or CPU, **more)


def newest(period: int = MINUTE) -> int:
    """Give the end of the newest period that is closed now."""
    return (int(time.time() * 1000) - DELAY) // period * period


def of(name: str, **more: Any) -> dict[str, Any]:
    """One metric `x` that reads the metric `name`."""
    return {"x": {"namespace": "Shop", "metric": name, **more}}


# ------------------------------------------------------------------------------------------- what is read


def test_a_gauge_is_the_newest_closed_period(moto: CloudWatch) -> None:
    """Not the one that is still filling; of exactly these dimensions; stamped with the fetch."""
    end = newest()
    for at, value in ((end - 2 * MINUTE, 10), (end - MINUTE, 20), (end - MINUTE + 30_000, 40), (end + 3 * MINUTE, 99)):
        moto.put("CPU", at, value, Node="a")
    moto.put("CPU", end - MINUTE, 77, Node="b")
    reading = good(ask(moto.url))
    assert values(reading) in ({"cpu": 30.0}, {"cpu": 10.0})  # a minute may pass between the two looks at the clock
    assert {sample.at for sample in reading.samples} == {reading.at}
    assert [(metric.name, metric.unit) for metric in reading.kinds] == [("cpu", "percent")]


@pytest.mark.parametrize(("stat", "value"), [("Sum", 60.0), ("Maximum", 40.0), ("SampleCount", 2.0), (None, 30.0)])
def test_the_statistic_is_the_settings(moto: CloudWatch, stat: str | None, value: float) -> None:
    """Average where nothing is said."""
    name = f"stat {stat}"
    for at in (newest() - MINUTE, newest()):
        moto.put(name, at, 20)
        moto.put(name, at + 1000, 40)
    assert values(good(ask(moto.url, of(name, **({"stat": stat} if stat else {}))))) == {"x": value}


def test_a_longer_period_is_whole_too(moto: CloudWatch) -> None:
    """Of five minutes, the newest that has ended."""
    end = newest(300_000)
    for at in range(end - 600_000, end + 300_000, MINUTE):
        moto.put("slow", at, 1)
    assert values(good(ask(moto.url, of("slow", period=300_000, stat="Sum")))) == {"x": 5.0}


def test_no_data_is_no_value_unless_the_settings_say_what_it_is(moto: CloudWatch) -> None:
    """A wrong dimension looks like a quiet metric: nothing is known, so conditions are unknown and not false."""
    for metrics in (of("never"), of("never", kind="count")):
        reading = good(ask(moto.url, metrics))
        assert (values(reading), reading.kinds) == ({}, ())
    assert values(good(ask(moto.url, of("never", empty=0)))) == {"x": 0.0}


def test_counts_come_by_the_closed_minute(moto: CloudWatch) -> None:
    """Each minute once, dated by its end; a minute without data is left out, or filled where `empty` says so."""
    end = newest()
    for minutes, value in ((1, 3), (2, 4), (4, 5)):
        moto.put("Errors", end - minutes * MINUTE + 1000, value)
        moto.put("Errors", end - minutes * MINUTE + 2000, value)
    found = buckets(good(ask(moto.url, ERRORS, since=end - 4 * MINUTE)))
    expected = {end: 6.0, end - MINUTE: 8.0, end - 3 * MINUTE: 10.0}
    assert {at: value for at, value in found.items() if at <= end} == expected
    filled = {"errors": {**ERRORS["errors"], "empty": 0}}
    found = buckets(good(ask(moto.url, filled, since=end - 4 * MINUTE)))
    assert {at: value for at, value in found.items() if at <= end} == {**expected, end - 2 * MINUTE: 0.0}
    assert buckets(good(ask(moto.url, ERRORS, since=end + 2 * MINUTE))) == {}


def buckets(reading: Reading) -> dict[int, float | str]:
    """End of a minute -> its value."""
    return {sample.at: sample.value for sample in reading.samples if sample.name == "errors"}


def test_a_longer_unit_brings_the_minutes_that_it_adds_up(moto: CloudWatch) -> None:
    """`N per 5m` needs five at the first reading."""

    async def work() -> None:
        metrics = {"errors": {**ERRORS["errors"], "empty": 0}}
        async with source("cloudwatch", url=moto.url, region="eu-central-1", metrics=metrics) as built:
            need = (Need("cloudwatch", "errors", bucket=5 * MINUTE),)
            assert len((await built.fetch(need, None)).samples) == 1 + 5

    run(work())


# ------------------------------------------------------------------------------------------- what goes wrong


class Aws(Fake):
    """Answers what the test says, as AWS would with its JSON error documents."""

    name = "aws"

    def judge(self, request: Request) -> Reply:
        return Reply(500, "")


def answered(status: int, code: str, message: str = "boom") -> Reading:
    """Read from a service that refuses."""
    with Aws() as fake:
        body = json.dumps({"__type": f"com.amazonaws#{code}", "message": message})
        headers = {"content-type": "application/json", "x-amzn-query-error": f"{code};Sender"}
        fake.script(Step(status=status, body=body, headers=headers, times=0))
        reading = ask(fake.url)
        assert len(fake.requests) == 1  # one request per attempt
    return reading


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ThrottlingException", FaultKind.RATE_LIMITED),
        (429, "TooManyRequests", FaultKind.RATE_LIMITED),
        (403, "AccessDenied", FaultKind.FORBIDDEN),
        (400, "AccessDeniedException", FaultKind.FORBIDDEN),
        (403, "InvalidClientTokenId", FaultKind.UNAUTHORIZED),
        (403, "SignatureDoesNotMatch", FaultKind.UNAUTHORIZED),
        (400, "ExpiredTokenException", FaultKind.UNAUTHORIZED),
        (403, "ExpiredToken", FaultKind.UNAUTHORIZED),
        (400, "RequestExpired", FaultKind.UNAUTHORIZED),
        (403, "RequestTimeTooSkewed", FaultKind.UNAUTHORIZED),
        (403, "InvalidSignatureException", FaultKind.UNAUTHORIZED),
        (401, "Nobody", FaultKind.UNAUTHORIZED),
        (400, "ValidationError", FaultKind.BAD_STATUS),
        (404, "NotFound", FaultKind.NOT_FOUND),
        (301, "Moved", FaultKind.REDIRECTED),
        (500, "InternalServiceFault", FaultKind.SERVER_ERROR),
        (503, "ServiceUnavailable", FaultKind.SERVER_ERROR),
    ],
)
def test_f2_refusals_of_aws_are_told_apart(status: int, code: str, kind: FaultKind) -> None:
    """By code and status; of a refused signature no words are shown, because they repeat the signed request."""
    message = failed(answered(status, code, f"told {SECRET if kind is FaultKind.UNAUTHORIZED else 'plainly'}"), kind)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in message
    assert ("told plainly" in message) is (kind in (FaultKind.FORBIDDEN, FaultKind.BAD_STATUS))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ExpiredTokenException", "have expired"),
        ("ExpiredToken", "have expired"),
        ("RequestExpired", "the clock of this host"),
        ("RequestTimeTooSkewed", "the clock of this host"),
        ("SignatureDoesNotMatch", "the clock of this host"),
        ("InvalidClientTokenId", "are they for this account"),
    ],
)
def test_what_to_do_about_refused_credentials_is_said(code: str, text: str) -> None:
    """To renew them, to set the clock right, or to look whose they are."""
    failed(answered(403, code), FaultKind.UNAUTHORIZED, text)


def test_credentials_that_were_renewed_in_their_file_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short-lived ones are written anew by other programs; those of the first reading must not be kept for ever."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    async def work() -> None:
        with Aws() as fake:
            body = json.dumps({"__type": "com.amazonaws#ExpiredToken", "message": "boom"})
            fake.script(Step(status=403, body=body, headers={"content-type": "application/json"}, times=0))
            async with source("cloudwatch", url=fake.url, region="eu-central-1", metrics=CPU) as built:
                for key in ("AKIAFIRST", "AKIASECOND"):
                    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = x\n")
                    failed(await built.fetch((), None), FaultKind.UNAUTHORIZED)
            used = [request.headers["authorization"].partition("Credential=")[2] for request in fake.requests]
            assert [each.partition("/")[0] for each in used] == ["AKIAFIRST", "AKIASECOND"]

    run(work())


def test_a_limit_is_kept_for_a_minute() -> None:
    """No call is made meanwhile."""
    reading = answered(400, "ThrottlingException")
    assert reading.fault is not None
    assert reading.fault.retry_at is not None
    assert 60_000 <= reading.fault.retry_at - reading.at <= 75_000


def test_without_credentials_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the fault says where to look."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Aws() as fake:
        failed(ask(fake.url), FaultKind.UNAUTHORIZED, "boto3 finds no credentials")
        assert fake.requests == []


def test_a_region_that_is_none_is_a_fault() -> None:
    """boto3 refuses it."""
    reading = read("cloudwatch", region="not a region!", metrics=CPU)
    failed(reading, FaultKind.UNREADABLE, "check `region`")
    unset = Secret(lambda: "", "${REGION}")
    failed(read("cloudwatch", region=unset, metrics=CPU), FaultKind.SECRET, "${REGION}")


@pytest.mark.parametrize("period", [0, 1000, 90_000])
def test_a_period_that_is_no_whole_minute_is_an_error_at_load(period: int) -> None:
    """With the metric's name and what to write."""
    with pytest.raises(ConfigError, match="`period` of x is not a number of whole minutes, write 1m"):
        ask("http://127.0.0.1:1", of("CPU", period=period))


def result(**fields: Any) -> dict[str, Any]:
    """One result as CloudWatch gives it, with fields of one's own; `at` may stand for the newest minute's start."""
    return {
        "Id": "m0",
        "Label": "CPU",
        "StatusCode": "Complete",
        "Timestamps": [newest() // 1000 - 60],
        "Values": [3.0],
        **fields,
    }


def told(*results: Any, raw: str | None = None, **more: Any) -> Reading:
    """Read from a service that answers 200 with these results, or with with raw text."""
    spoken = boto3.client("cloudwatch", region_name="eu-central-1").meta.service_model.resolved_protocol
    if spoken != "json":
        pytest.skip(f"this boto3 speaks to CloudWatch in {spoken}, not in JSON")
    body = raw if raw is not None else json.dumps({"MetricDataResults": list(results), **more})
    with Aws() as fake:
        fake.script(Step(status=200, body=body, headers={"content-type": "application/x-amz-json-1.0"}, times=0))
        return ask(fake.url)


class Echo(Fake):
    """Answers each query with one value, and refuses more than 500, as CloudWatch does."""

    name = "aws"

    def judge(self, request: Request) -> Reply:
        asked = [each["Id"] for each in request.json()["MetricDataQueries"]]
        if len(asked) > 500:
            return Reply.of(400, {"__type": "ValidationError", "message": "too many queries"})
        return Reply.of(200, {"MetricDataResults": [result(Id=each) for each in asked]}, accepted=True)


def test_more_metrics_than_one_call_holds_come_in_several() -> None:
    """All within one deadline."""
    with Echo() as fake:
        found = values(good(ask(fake.url, {f"x{number}": CPU["cpu"] for number in range(501)}, timeout=20_000)))
        assert len(fake.requests) == 2
    assert len(found) == 501


def test_the_frame_of_the_table_below_is_an_answer_that_is_taken() -> None:
    """Else it would prove nothing."""
    assert values(good(told(result()))) == {"cpu": 3.0}
    assert values(good(told(result(Timestamps=[], Values=[])))) == {}


@pytest.mark.parametrize("late", [0, 60, 3600, -7200])
def test_a_period_that_is_open_or_was_not_asked_for_is_no_value(late: int) -> None:
    """Whatever comes: the newest one is still filling, and an old one is no news."""
    assert values(good(told(result(Timestamps=[newest() // 1000 + late])))) == {}


ODD: list[dict[str, Any]] = [
    {"Id": "m1"},
    {"Id": None},
    {"Id": 5},
    {"StatusCode": None},
    {"Timestamps": None},
    {"Timestamps": []},
    {"Timestamps": [0, 60]},
    {"Timestamps": "now"},
    {"Timestamps": ["now"]},
    {"Timestamps": [None]},
    {"Timestamps": [1e300]},
    {"Values": None},
    {"Values": []},
    {"Values": [1.0, 2.0]},
    {"Values": ["3"]},
    {"Values": [None]},
    {"Values": [True]},
    {"Values": [float("nan")]},
    {"Values": [float("inf")]},
    {"Values": {"a": 1}},
]
BODIES = [
    *NO_ANSWERS,
    '{"MetricDataResults": null}',
    '{"MetricDataResults": 5}',
    '{"MetricDataResults": []}',
    '{"MetricDataResults": [null]}',
    '{"MetricDataResults": [5]}',
    '{"MetricDataResults": [{}]}',
]


@pytest.mark.parametrize("fields", ODD, ids=range(len(ODD)))
def test_f4_f45_a_result_of_another_shape_is_a_fault(fields: dict[str, Any]) -> None:
    """Nothing is made of what is not understood."""
    reading = told(result(), result(**fields))
    assert reading.fault is not None
    assert reading.fault.kind in (FaultKind.MALFORMED, FaultKind.SERVER_ERROR)
    failed(reading, reading.fault.kind)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_f45_a_body_that_is_none_of_cloudwatchs_is_a_fault(body: str) -> None:
    """A login page, half a document, another document."""
    failed(told(raw=body), FaultKind.MALFORMED)


def test_debug_logs_hold_no_credentials() -> None:
    """Neither the secret key nor a signature, though botocore writes down what it signs."""
    text, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        good(told(result()))
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in text.getvalue()
    assert "Signature" not in text.getvalue()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"StatusCode": "Forbidden"}, FaultKind.FORBIDDEN),
        ({"StatusCode": "InternalError"}, FaultKind.SERVER_ERROR),
        ({"StatusCode": "PartialData"}, FaultKind.SERVER_ERROR),
    ],
)
def test_a_result_that_cloudwatch_calls_failed_or_partial_is_a_fault(fields: dict[str, Any], kind: FaultKind) -> None:
    """With its own words; half an answer would pass for a whole one."""
    messages = [{"Code": "x", "Value": "because \x1b"}]
    message = failed(told(result(), result(**fields, Messages=messages)), kind, "because")
    assert "\x1b" not in message


def test_pages_are_bounded() -> None:
    """A token that leads nowhere ends after ten calls."""
    failed(told(result(), NextToken="again"), FaultKind.TOO_LARGE, "more than 10 pages")


@pytest.mark.parametrize("behaviour", HOSTILE)
def test_f43_f44_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """In time and bounded, though boto3 itself knows neither: the request goes by our own HTTP."""
    bears(behaviour, ask)


def test_an_address_where_nobody_listens_is_told_apart() -> None:
    """As for every source over HTTP."""
    is_refused(ask)
