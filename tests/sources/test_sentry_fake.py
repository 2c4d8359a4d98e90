"""The stand-in for Sentry against Sentry's own specification: what it takes and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from alerting.model import Secret
from tests.fakes.ledger import Request
from tests.fakes.openapi import Spec
from tests.fakes.sentry import Sentry
from tests.sources.reading import read

SPEC = Path(__file__).parents[3] / "shared" / "specs" / "sentry" / "web-api.alerting.openapi.json"


@pytest.fixture(scope="module")
def spec() -> Spec:
    """The vendor's file, where it is at hand."""
    if not SPEC.exists():
        pytest.skip("the vendor's specification is not here")
    return Spec(SPEC)


def test_what_we_ask_and_what_the_fake_says_fit_the_specification(spec: Spec) -> None:
    """All six calls: parameters by name, need and type; answers by shape."""
    with Sentry() as sentry:
        sentry.crash_free = None  # nulls are where the specification allows them
        token = Secret.literal(sentry.token)
        fixed = {"organization": "vivaform", "project": "backend", "environment": "production"}
        reading = read("sentry", url=sentry.url, token=token, **fixed)
        assert reading.fault is None
        for request in sentry.requests:
            spec.check_request(request)
            reply = sentry.judge(request)
            document = json.loads(reply.body)
            if not any(
                f"/{what}/" in request.path for what in ("issues", "monitors")
            ):  # ours have only the fields that are read
                spec.check_answer(request, reply.status, document)
        assert len({request.path.partition("?")[0] for request in sentry.requests}) == 6


def ask(sentry: Sentry, path: str, token: str = Sentry.token) -> int:
    """Ask the fake without a socket; give the status."""
    return sentry.judge(Request("GET", path, {"authorization": f"Bearer {token}"}, b"")).status


def test_the_fake_refuses_what_sentry_refuses() -> None:
    """A slip in the source would show as one of these."""
    base = "/api/0/organizations/vivaform"
    period = "start=2026-01-01T00:00:00Z&end=2026-01-01T00:05:00Z"
    with Sentry() as sentry:
        sentry.limit = 1000
        good = f"{base}/events-timeseries/?dataset=errors&interval=60&{period}"
        assert ask(sentry, good) == 200
        assert ask(sentry, good, token="other") == 401
        assert ask(sentry, good.replace("vivaform", "acme")) == 404
        assert ask(sentry, good.replace("/?", "?")) == 404
        assert ask(sentry, good + "&project=other") == 403
        for wrong in (
            good.replace("dataset=errors&", ""),
            good.replace("dataset=errors", "dataset=discover"),
            good.replace("interval=60", "interval=1m"),
            good + "&unknown=1",
            good.replace("&end=2026-01-01T00:05:00Z", ""),
            f"{base}/events/?dataset=spans&{period}",
            f"{base}/sessions/?field=sum(session)&interval=1m",
        ):
            assert ask(sentry, wrong) == 400, wrong


def test_the_fake_counts_calls_in_its_window() -> None:
    """The last call that is allowed says that none remains; the next one is refused."""
    with Sentry() as sentry:
        sentry.limit, sentry.window = 2, 3600
        path = "/api/0/organizations/vivaform/sessions/?field=sum(session)&interval=1h"
        request = Request("GET", path, {"authorization": "Bearer sntryu_test"}, b"")
        replies = [sentry.judge(request) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[1].headers["X-Sentry-Rate-Limit-Remaining"] == "0"
    assert int(replies[2].headers["X-Sentry-Rate-Limit-Reset"]) > time.time()
