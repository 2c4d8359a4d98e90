"""What receivers answer, and what an attempt makes of it: rows F19 to F22, each with one request and no more."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import Outcome
from tests.fakes.ledger import Step
from tests.fakes.pagerduty import PagerDuty
from tests.notifiers.desk import WAYS, attempt, attempts, over, telling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.ledger import Fake
    from tests.figures import Figure

SENT, UNKNOWN, RETRY, REFUSED = Outcome.SENT, Outcome.UNKNOWN, Outcome.RETRY, Outcome.REFUSED
KEY = "alerting-5f2c"  # the group key of desk.telling()
JSON = {"content-type": "application/json"}
HTML = "<html><body>Please log in</body></html>"


def says(document: Any, status: int = 200) -> Step:
    """Answer with JSON."""
    return Step(status=status, body=json.dumps(document), headers=JSON)


def no(error: str) -> Step:
    """Refuse as Slack's Web API does."""
    return says({"ok": False, "error": error})


def plain(status: int, body: str = "", **headers: str) -> Step:
    """Answer with text."""
    return Step(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


EVERYWHERE = [  # what means the same whoever says it
    (plain(100), UNKNOWN),  # nothing follows
    (plain(307, location="/elsewhere"), RETRY),
    (plain(302, location="/elsewhere"), RETRY),
    (plain(303, HTML, location="/elsewhere"), RETRY),
    (plain(308, location="http://127.0.0.1:1/"), RETRY),
    (plain(401, HTML), RETRY),
    (plain(403), RETRY),
    (plain(404, HTML), RETRY),
    (plain(405), RETRY),
    (plain(410), RETRY),
    (plain(413), REFUSED),
    (plain(408), RETRY),
    (plain(425), RETRY),
    (plain(429), RETRY),
    (plain(500), RETRY),
    (plain(502, HTML), RETRY),
    (plain(503, HTML), RETRY),
    (plain(504), RETRY),
]
LOOKS_GOOD = [  # F21: only looks like an acceptance
    (plain(200), UNKNOWN),
    (plain(200, HTML), UNKNOWN),
    (plain(200, HTML, content_type="text/html"), UNKNOWN),
    (plain(201, "ok"), UNKNOWN),
    (plain(204), UNKNOWN),
    (plain(206, "ok"), UNKNOWN),
    (plain(200, '{"ok": tr', content_type="application/json"), UNKNOWN),
    (says([]), UNKNOWN),
    (says(None), UNKNOWN),
    (says("success"), UNKNOWN),
    (plain(200, "[" * 100_000, content_type="application/json"), UNKNOWN),
    (plain(200, "x" * 300_000), UNKNOWN),
    (plain(200, "not packed", content_encoding="gzip"), UNKNOWN),
    (plain(200, "short", content_length="500"), UNKNOWN),
]
ANSWERS = {
    "slack webhook": [
        *EVERYWHERE,
        *LOOKS_GOOD,
        (plain(200, "ok"), SENT),
        (plain(200, "ok\n"), SENT),
        (plain(200, "OK"), UNKNOWN),
        (plain(200, "ok, but"), UNKNOWN),
        (plain(202, "ok"), UNKNOWN),
        (says({"ok": True}), UNKNOWN),
        (no("invalid_auth"), UNKNOWN),
        (plain(400, "invalid_payload"), RETRY),  # once more as bare text
        (plain(400, "invalid_blocks"), RETRY),
        (plain(400, "user_not_found"), REFUSED),
        (plain(403, "action_prohibited"), RETRY),
        (plain(403, "invalid_token"), RETRY),
        (plain(404, "no_service"), RETRY),
        (plain(404, "channel_not_found"), RETRY),
        (plain(410, "channel_is_archived"), RETRY),
        (plain(500, "rollup_error"), RETRY),
    ],
    "slack bot": [
        *EVERYWHERE,
        *LOOKS_GOOD,
        (says({"ok": True, "channel": "C1", "ts": "1.2"}), SENT),
        (says({"ok": True}), UNKNOWN),
        (says({"ok": True, "channel": "C1", "ts": 1.2}), UNKNOWN),
        (says({"ok": True, "channel": "", "ts": "1.2"}), UNKNOWN),
        (says({"ok": 1, "channel": "C1", "ts": "1.2"}), UNKNOWN),
        (says({"ok": "true", "channel": "C1", "ts": "1.2"}), UNKNOWN),
        (says({"ok": True, "channel": "C1", "ts": "1.2"}, 500), RETRY),
        (plain(200, "ok"), UNKNOWN),
        (says({"ok": False}), UNKNOWN),
        (says({"ok": False, "error": {"x": 1}}), UNKNOWN),
        *((no(error), RETRY) for error in ("ratelimited", "rate_limited", "service_unavailable", "request_timeout")),
        *((no(error), RETRY) for error in ("team_added_to_org", "org_login_required", "update_failed")),
        *((no(error), UNKNOWN) for error in ("internal_error", "fatal_error")),
        *((no(error), RETRY) for error in ("message_not_found", "cant_update_message", "edit_window_closed")),
        *((no(error), RETRY) for error in ("invalid_blocks", "msg_too_long", "too_many_attachments", "no_text")),
        *((no(error), RETRY) for error in ("invalid_auth", "not_authed", "account_inactive", "token_revoked")),
        *((no(error), RETRY) for error in ("token_expired", "missing_scope", "no_permission", "is_archived")),
        *((no(error), RETRY) for error in ("channel_not_found", "not_in_channel", "not_allowed_token_type")),
        *((no(error), RETRY) for error in ("restricted_action_read_only_channel", "ekm_access_denied")),
        (no("invalid_arguments"), REFUSED),
        (no("an_error_of_tomorrow"), RETRY),
        (says({"ok": False, "error": "invalid_auth"}, 401), RETRY),
        (says({"ok": False, "error": "ratelimited"}, 429), RETRY),
    ],
    "pagerduty": [
        *EVERYWHERE,
        *LOOKS_GOOD,
        (says({"status": "success", "message": "Event processed", "dedup_key": KEY}, 202), SENT),
        (says({"status": "success", "dedup_key": KEY}, 200), UNKNOWN),
        (says({"status": "success", "dedup_key": "another"}, 202), UNKNOWN),
        (says({"status": "success"}, 202), UNKNOWN),
        (says({"status": "success", "dedup_key": None}, 202), UNKNOWN),
        (says([KEY], 202), UNKNOWN),
        (plain(202), UNKNOWN),
        (plain(202, HTML), UNKNOWN),
        (plain(202, '{"status": "success", "dedup_key": "alert', content_type="application/json"), UNKNOWN),
        (says({"status": "invalid event", "message": "no", "errors": ["'routing_key' is invalid"]}, 400), RETRY),
        (says({"status": "invalid event", "message": "no", "errors": ["'summary' is too long"]}, 400), REFUSED),
        (plain(400, HTML), REFUSED),
        (says({"status": "throttle exceeded", "message": "Retry later"}, 429), RETRY),
    ],
    "webhook": [
        *EVERYWHERE,
        (plain(200), SENT),
        (plain(201), SENT),
        (plain(202), SENT),
        (plain(204), SENT),
        (plain(299), SENT),
        (plain(200, HTML), SENT),  # a webhook's status is all that is agreed on
        (plain(200, "x" * 300_000), UNKNOWN),
        (plain(200, "not packed", content_encoding="gzip"), UNKNOWN),
        (plain(200, "short", content_length="500"), UNKNOWN),
        (plain(400), REFUSED),
        (plain(422), REFUSED),
        (plain(501), RETRY),
    ],
}
ROWS = [(way, number) for way, rows in ANSWERS.items() for number in range(len(rows))]


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Fake]]:
    """One fake for each way, for the long tables."""
    with ExitStack() as stack:
        yield {way: stack.enter_context(WAYS[way][0]()) for way in WAYS}


@pytest.mark.parametrize(("way", "number"), ROWS)
def test_f19_f21_an_answer_is_what_the_service_means_by_it(
    way: str, number: int, running: dict[str, Fake], figure: Figure
) -> None:
    """Only the service's own way to accept is SENT; a wrong message is REFUSED, a shut door is tried again."""
    step, outcome = ANSWERS[way][number]
    fake = running[way]
    fake.script(step)
    before = len(fake.requests)
    answer = attempt(way, fake, timeout=300 if step.status == 100 else 5000)
    requests = len(fake.requests) - before
    figure("raw requests per attempt", requests, at_least=1, at_most=1, n=1, row="F19")
    figure("wrong delivered", answer.outcome == SENT and outcome != SENT, at_most=0, n=1, row="F21")
    assert answer.outcome == outcome, answer
    assert answer.why


def test_f21_every_way_has_at_least_twenty_rows() -> None:
    """A table that shrank would prove less."""
    assert {way for way, rows in ANSWERS.items() if len(rows) >= 20} == set(WAYS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", ["reset", "close", "truncate"])
def test_f19_an_answer_lost_on_the_way_is_unknown(way: str, wire: Any, figure: Figure) -> None:
    """The receiver took the message, so nobody may say that it failed; and nothing was sent twice."""
    with WAYS[way][0]() as fake:
        fake.script(Step(wire=wire))
        answer = attempt(way, fake)
    figure("raw requests per attempt", len(fake.requests), at_least=1, at_most=1, n=1)
    assert answer.outcome == UNKNOWN, answer
    assert len(fake.accepted) == 1


def test_f19_copies_of_a_page_open_one_incident(figure: Figure) -> None:
    """However often the answer is lost, and at its end as well: one dedup key, one incident, and it is closed."""
    lost = [Step(wire="reset"), Step(wire="close"), Step(wire="truncate"), Step()]
    with PagerDuty() as fake:
        fake.script(*lost, *lost)
        answers = attempts("pagerduty", fake, [(telling(), None)] * 4 + [(over(), None)] * 4)
        opened, requests = fake.incidents.total, len(fake.requests)
        assert fake.incidents.open == []
    assert [answer.outcome for answer in answers] == [UNKNOWN, UNKNOWN, UNKNOWN, SENT] * 2
    figure("extra incidents", opened - 1, at_most=0, n=len(answers))
    figure("raw requests per attempt", requests / len(answers), at_least=1, at_most=1, n=len(answers))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", [Step(delay=30), Step(drip=0.1)], ids=["late", "byte by byte"])
def test_f19_f24_the_deadline_of_an_attempt_is_total(way: str, step: Step, figure: Figure) -> None:
    """A server that sends a byte now and then holds an attempt no longer than one that is silent."""
    with WAYS[way][0]() as fake:
        attempt(way, fake)  # what is loaded with the first message is not on the clock
        fake.script(step)
        began = time.monotonic()
        answer = attempt(way, fake, timeout=400)
        took = time.monotonic() - began
    assert answer.outcome == UNKNOWN, answer
    assert took < 0.4 + 1.5
    figure("raw requests per attempt", len(fake.requests) / 2, at_least=1, at_most=1, n=2, row="F19")


@pytest.mark.parametrize("way", WAYS)
def test_f18_a_receiver_that_is_not_there_is_tried_again(way: str) -> None:
    """Nothing was sent, so the outcome is not unknown."""
    with WAYS[way][0]() as fake:
        pass
    answer = attempt(way, fake)
    assert answer.outcome == RETRY, answer
    assert fake.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_does_not_resolve_is_tried_again(way: str) -> None:
    """The address is wrong or DNS is down: nothing was sent."""
    address = "http://no-such-host.invalid/services/x"
    given = {"slack webhook": "webhook_url", "slack bot": "base_url", "pagerduty": "base_url", "webhook": "url"}
    with WAYS[way][0]() as fake:
        answer = attempt(way, fake, **{given[way]: address})
    assert answer.outcome == RETRY, answer


# ------------------------------------------------------------------------------------------- Retry-After

DAY = 86_400_000
IN_AN_HOUR, AN_HOUR_AGO = "in an hour", "an hour ago"  # as a date, by the clock when it is said
WISHES = [
    ("1", (1000, 1000)),
    ("30", (30_000, 30_000)),
    ("3600", (3_600_000, 3_600_000)),
    ("86400", (DAY, DAY)),
    (IN_AN_HOUR, (3_000_000, 3_601_000)),
    ("9" * 400, (DAY, DAY)),
    ("0", None),
    ("-5", None),
    ("soon", None),
    ("", None),
    ("1.5", None),
    (AN_HOUR_AGO, None),
    ("Thu, 99 Foo 2025 99:99:99 GMT", None),
    ("\xb2", None),
    (None, None),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [429, 503])
def test_f20_the_receivers_own_wish_is_passed_on(way: str, status: int) -> None:
    """Whatever stands in Retry-After, the attempt ends at once; the wish is for the outbox to honour."""
    with WAYS[way][0]() as fake:
        for written, expected in WISHES:
            hours = {IN_AN_HOUR: 1, AN_HOUR_AGO: -1}.get(written or "")
            wish = written if hours is None else formatdate(time.time() + 3600 * hours, usegmt=True)
            fake.script(Step(status=status, headers={} if wish is None else {"Retry-After": wish}))
            answer = attempt(way, fake)
            assert answer.outcome == RETRY, wish
            if expected is None:
                assert answer.retry_after is None, wish
            else:
                assert answer.retry_after is not None, wish
                assert expected[0] <= answer.retry_after <= expected[1], wish
    assert len(fake.requests) == len(WISHES)


def test_f20_a_channel_that_takes_one_message_a_second_says_so_and_gets_one_request() -> None:
    """Slack's own limit, as the fake keeps it."""
    with WAYS["slack bot"][0](rate=1) as fake:  # type: ignore[call-arg]
        first, second = attempt("slack bot", fake), attempt("slack bot", fake)
    assert (first.outcome, second.outcome, second.retry_after) == (SENT, RETRY, 1000)


@pytest.mark.parametrize("way", WAYS)
def test_f20_no_library_sleeps_through_a_refusal(way: str, running: dict[str, Fake]) -> None:
    """Five answers that client libraries like to retry with pauses of seconds: all five within a moment."""
    attempt(way, running[way])
    began = time.monotonic()
    for status in (429, 500, 502, 503, 504):
        running[way].script(plain(status, retry_after="30"))
        assert attempt(way, running[way]).outcome == RETRY
    assert time.monotonic() - began < 2
