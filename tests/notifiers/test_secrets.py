"""F63: no secret in what an attempt says, whatever happens; and what a secret that cannot be had does."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import SecretError
from alerting.model import Outcome, Secret
from tests.fakes.ledger import Fake, Reply, Request, Step
from tests.notifiers.desk import WAYS, attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "S3cretMarker"


class Echo(Fake):
    """A server that repeats all that it was sent, as error pages do."""

    name = "echo"
    hook = api = ""  # the settings below point here themselves

    def __init__(self, status: int) -> None:
        self._status = status
        super().__init__()

    def judge(self, request: Request) -> Reply:
        """Repeat path, headers and body."""
        said = f"{request.path} {dict(request.headers)} {request.body.decode()}"
        kind = {"content-type": "application/json"}
        document = Reply.of(self._status, {"ok": False, "error": said, "message": said, "errors": [said]})
        return Reply(self._status, document.body, {**kind, "location": "/" + MARK})


SETTINGS: dict[str, Any] = {
    "slack webhook": lambda url: {"webhook_url": Secret.literal(f"{url}/services/{MARK}")},
    "slack bot": lambda url: {"token": Secret.literal(f"xoxb-{MARK}"), "channel": "#ops", "base_url": f"{url}/api/"},
    "pagerduty": lambda url: {"routing_key": Secret.literal(MARK.ljust(32, "0")), "base_url": url},
    "webhook": lambda url: {
        "url": Secret.literal(f"{url}/{MARK}?token={MARK}"),
        "headers": {"Authorization": Secret.literal(f"Bearer {MARK}")},
    },
}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that reaches the root logger at any level; pytest's own handler listens to shut-off loggers too."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)
    assert "Using selector" in stream.getvalue()  # asyncio's own line: it did listen


TROUBLE = [Step(wire="reset"), Step(wire="truncate"), Step(delay=5), Step(status=302, headers={"location": "/x"})]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 403, 404, 429, 500])
def test_f63_an_answer_that_repeats_our_secrets_is_not_repeated(way: str, status: int, logged: io.StringIO) -> None:
    """Neither in the reason and the receipt, nor in any log line of any library at any level."""
    with Echo(status) as echo:
        answer = attempt(way, echo, **SETTINGS[way](echo.url))
    assert len(echo.requests) == 1
    assert MARK in f"{echo.requests}"
    assert MARK not in f"{answer}"
    assert MARK not in logged.getvalue()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", TROUBLE, ids=["reset", "truncated", "late", "redirect"])
def test_f63_trouble_on_the_way_repeats_no_secret(way: str, step: Step, logged: io.StringIO) -> None:
    """Errors of HTTP libraries often hold the whole address."""
    with Echo(200) as echo:
        echo.script(step)
        answer = attempt(way, echo, **SETTINGS[way](echo.url), timeout=300)
    assert MARK not in f"{answer}"
    assert MARK not in logged.getvalue()
    unreachable = attempt(way, echo, **SETTINGS[way]("http://127.0.0.1:1"))
    broken = attempt(way, echo, **SETTINGS[way]("http://[::1"))
    assert (unreachable.outcome, broken.outcome) == (Outcome.RETRY, Outcome.RETRY)
    assert MARK not in f"{unreachable} {broken} {logged.getvalue()}"


def missing() -> str:
    """Follow a reference that leads nowhere."""
    raise SecretError("${TOKEN} is not set; set it in the environment")


KEYS = {"slack webhook": "webhook_url", "slack bot": "token", "pagerduty": "routing_key", "webhook": "url"}


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_that_cannot_be_had_degrades_its_receiver_and_says_so(way: str) -> None:
    """The message stays owed, with the reason; nothing is sent."""
    with WAYS[way][0]() as fake:
        answer = attempt(way, fake, **{KEYS[way]: Secret(missing, "${TOKEN}")})
    assert (answer.outcome, answer.why) == (Outcome.RETRY, "${TOKEN} is not set; set it in the environment")
    assert fake.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_that_was_rotated_takes_effect_with_the_next_attempt(way: str) -> None:
    """References are followed each time; an end of line that came along is dropped."""
    with WAYS[way][0]() as fake:
        right = WAYS[way][1](fake)[1][KEYS[way]].reveal()
        values = iter((missing, lambda: right + "\n"))

        def follow() -> str:
            return next(values)()

        secret = Secret(follow, "${TOKEN}")
        answers = [attempt(way, fake, **{KEYS[way]: secret}) for _ in range(2)]
    assert [each.outcome for each in answers] == [Outcome.RETRY, Outcome.SENT]


@pytest.mark.parametrize("way", WAYS)
def test_proxies_of_the_environment_are_not_used(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings alone say who is told; a proxy is set as `base_url` or `url`."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with WAYS[way][0]() as fake:
        assert attempt(way, fake).outcome == Outcome.SENT
