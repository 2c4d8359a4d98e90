"""The health source: what becomes of an answer, good or bad."""

from __future__ import annotations

import random

import pytest

from alerting.model import FaultKind, Secret
from tests.fakes.app import App
from tests.fakes.hostile import BEHAVIOURS, ENDLESS, Hostile, refused_url, response
from tests.sources.judging import BUSY
from tests.sources.reading import read, run, source, up, values


def test_a_healthy_app_gives_its_fields_and_the_probe_its_own() -> None:
    """Fields by dotted name, `up`, `status_code`, `response_time` in seconds; no `tls_expires_in` over plain HTTP."""
    with App() as app:
        reading = read("health", url=app.health_url, name="health_check")
    found = values(reading)
    assert reading.fault is None
    assert (reading.source, reading.namespace) == ("health_check", "health_check")
    assert up(reading) == 1
    assert found["database.status"] == "ok"
    assert found["database.latency"] == 4.0
    assert found["status_code"] == 200
    assert 0 <= float(found["response_time"]) < 2
    assert "tls_expires_in" not in found


def test_a_broken_database_is_seen_behind_a_200() -> None:
    """The trap of the guide's app: HTTP says 200 all the while."""
    with App() as app:
        app.break_database()
        found = values(read("health", url=app.health_url))
    assert (found["status_code"], found["status"], found["database.status"]) == (200, "degraded", "error")


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 429, 500, 503])
def test_a_json_object_is_read_whatever_the_status(status: int) -> None:
    """A 503 with fields says more than a 503; the status is a metric of its own."""
    with App() as app:
        app.answer(status, '{"database": {"status": "error"}}')
        reading = read("health", url=app.health_url)
    assert reading.fault is None
    assert values(reading)["database.status"] == "error"
    assert values(reading)["status_code"] == status


def test_fields_do_not_hide_what_the_probe_says() -> None:
    """A field called `up` or `status_code` at the top gives way; deeper ones and lists stay."""
    with App() as app:
        app.answer(200, '{"up": 0, "status_code": 7, "response_time": "x", "db": {"up": 0}}')
        reading = read("health", url=app.health_url)
    assert up(reading) == 1
    assert values(reading)["status_code"] == 200
    assert values(reading)["db.up"] == 0
    assert len(reading.samples) == 4


STATUSES = [
    (401, FaultKind.UNAUTHORIZED),
    (403, FaultKind.FORBIDDEN),
    (404, FaultKind.NOT_FOUND),
    (418, FaultKind.BAD_STATUS),
    (429, FaultKind.RATE_LIMITED),
    (500, FaultKind.SERVER_ERROR),
    (502, FaultKind.SERVER_ERROR),
    (503, FaultKind.SERVER_ERROR),
    (301, FaultKind.REDIRECTED),
    (302, FaultKind.REDIRECTED),
    (304, FaultKind.REDIRECTED),
    (307, FaultKind.REDIRECTED),
    (200, FaultKind.MALFORMED),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_web_page_is_a_fault_named_after_its_status(status: int, kind: FaultKind) -> None:
    """Each class of failure is told apart (row F2); nothing but `up` = 0 is in such a reading."""
    with App() as app:
        app.answer(status, "<html>Log in</html>")
        reading = read("health", url=app.health_url, name="health_check")
    assert reading.fault is not None
    assert reading.fault.kind is kind
    assert reading.fault.message.startswith("health_check: ")
    assert [(sample.name, sample.value) for sample in reading.samples] == [("up", 0.0)]


def test_a_redirect_is_not_followed_even_with_json() -> None:
    """What a redirect says is not what was asked for."""
    with App() as app:
        app.answer(302, '{"status": "ok"}')
        reading = read("health", url=app.health_url)
        assert len(app.requests) == 1
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.REDIRECTED


READ_WHOLE = {"too long a body"}  # its length is declared, and the rest is not ours
WIRE = {
    "hang": FaultKind.TIMEOUT,
    "drip": FaultKind.TIMEOUT,
    "endless interim answers": FaultKind.MALFORMED,
    "reset": FaultKind.RESET,
    "half a body": FaultKind.RESET,
    "chunk cut": FaultKind.RESET,
    "endless body": FaultKind.TOO_LARGE,
    "gzip bomb": FaultKind.TOO_LARGE,
    "gzip cut": FaultKind.MALFORMED,
}


@pytest.mark.parametrize("behaviour", sorted(set(BEHAVIOURS) - READ_WHOLE))
def test_a_hostile_server_gives_a_fault_and_up_0(behaviour: str) -> None:
    """Rows F43 to F45: in time, in bounds, never in part."""
    with Hostile(behaviour) as server:
        deadline = 300 if behaviour in ENDLESS else 5000
        reading = read("health", url=server.url, timeout=deadline)
    assert reading.fault is not None
    assert up(reading) == 0
    assert len(reading.samples) == 1
    assert reading.took < deadline + BUSY
    assert reading.fault.kind is WIRE.get(behaviour, reading.fault.kind)


DAMAGES = 100


def damaged() -> list[bytes]:
    """Whole answers of an app, each cut or changed somewhere (seeded)."""
    chance = random.Random(45)
    body = b'{"status":"ok","database":{"status":"ok","latency":4},"list":[{"name":"a","v":1}]}'
    answers = []
    for number in range(DAMAGES):
        at = chance.randrange(1, len(body))
        cut = body[:at]
        lie = number % 3
        if lie == 0:
            answers.append(response(cut, length=len(body)))  # shorter than declared
        elif lie == 1:
            answers.append(response(cut))  # cut before it was sent
        else:
            answers.append(response(body[:at] + b"\x00\xff" + body[at:]))  # not UTF-8, not JSON
    return answers


def test_f45_no_damaged_answer_is_taken_in_part() -> None:
    """100 damaged answers: each a fault, none with a field."""

    async def work() -> int:
        taken = 0
        for answer in damaged():
            with Hostile(answer) as server:
                async with source("health", url=server.url) as built:
                    reading = await built.fetch((), None)
            taken += reading.fault is None or len(reading.samples) != 1
        return taken

    assert run(work()) == 0


def test_nothing_listens() -> None:
    """Refused is said as such, with the address."""
    url = refused_url()
    reading = read("health", url=url)
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.REFUSED
    assert url in reading.fault.message


def test_no_secret_reaches_a_fault() -> None:
    """User, password, query and headers stay out of messages; a secret address goes by its label."""
    with App() as app:
        app.answer(500, "x")
        secret = app.health_url.replace("://", "://user:pa55@") + "?key=t0ken"
        first = read("health", url=secret, headers={"authorization": Secret.literal("Bearer t0ken")})
        second = read("health", url=Secret(lambda: secret, "https://${HOST}/health"))
    for reading in (first, second):
        assert reading.fault is not None
        assert "pa55" not in reading.fault.message
        assert "t0ken" not in reading.fault.message
    assert second.fault is not None
    assert "${HOST}" in second.fault.message


def test_a_secret_that_cannot_be_had_is_a_fault_of_this_source_only() -> None:
    """An unset variable degrades the source and says which one it is."""
    reading = read("health", url="http://127.0.0.1:1/", headers={"x": Secret(lambda: "", "${API_TOKEN}")})
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.SECRET
    assert "${API_TOKEN}" in reading.fault.message


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://[::1/", "http://127.0.0.1:99999/", "x", ""]
)
def test_an_address_that_cannot_be_used_is_a_fault(url: str) -> None:
    """Never an exception, whatever stands in the settings."""
    reading = read("health", url=url)
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.MALFORMED


def test_a_body_is_read_up_to_one_mib_and_passed_over_up_to_eight() -> None:
    """What is made of a body takes several times its length; where only the status counts, nothing is made of it."""
    body = b'{"a": 1}'
    with Hostile(response(body + b" " * (2**20 - len(body)))) as fits, Hostile(response(body + b" " * 2**20)) as more:
        assert values(read("health", url=fits.url))["a"] == 1
        refused = read("health", url=more.url)
        assert refused.fault is not None
        assert refused.fault.kind is FaultKind.TOO_LARGE
        assert read("health", url=more.url, reads="status").fault is None


def test_headers_are_sent_and_cookies_are_not_kept() -> None:
    """Each request carries the settings' headers and nothing that an earlier answer wanted."""
    answer = response(b'{"a": 1}', "set-cookie: session=1")
    with Hostile(answer) as server:
        read("health", url=server.url, times=2, headers={"X-Key": Secret.literal("k")})
        assert len(server.requests) == 2
        assert all(b"x-key: k" in request.lower() for request in server.requests)
        assert all(b"cookie" not in request.lower() for request in server.requests)
