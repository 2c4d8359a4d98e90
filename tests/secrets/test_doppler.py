"""`${doppler:NAME}` against a stand-in that is as strict as the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import SecretError
from alerting.secrets import doppler
from alerting.secrets._documents import Documents
from tests.fakes.doppler import PERSONAL, TOKEN, Doppler
from tests.fakes.ledger import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE = "S3cretMarkerValue"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Doppler]:
    """The stand-in, with the environment that points to it."""
    for name in ("DOPPLER_PROJECT", "DOPPLER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with Doppler(SLACK_TOKEN=VALUE, OTHER="2", EMPTY="", LINE=f"{VALUE}\n") as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def held() -> Documents:
    """Nothing is known yet."""
    return Documents(doppler.fetch)


def test_a_name_gives_its_secret_and_all_names_share_one_request(service: Doppler, held: Documents) -> None:
    """Doppler's own three among them; a line end behind a value is no part of it."""
    assert doppler.resolve("SLACK_TOKEN", held) == VALUE
    assert doppler.resolve("OTHER", held) == "2"
    assert doppler.resolve("LINE", held) == VALUE
    assert doppler.resolve("DOPPLER_CONFIG", held) == "prd"
    assert len(service.requests) == 1


def test_what_has_not_changed_is_not_sent_again(service: Doppler, held: Documents) -> None:
    """The second request carries the tag of the first answer, and its answer is a 304 without secrets."""
    doppler.resolve("OTHER", held)
    held.refresh("")
    assert service.requests[1].headers["if-none-match"].startswith("W/")
    assert len(service.accepted) == 1, "sent again"
    assert doppler.resolve("OTHER", held) == "2"
    service.secrets["OTHER"] = "3"
    held.refresh("")
    assert doppler.resolve("OTHER", held) == "3"


def test_a_personal_token_needs_project_and_config(
    service: Doppler, held: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for Doppler's own command line."""
    monkeypatch.setenv("DOPPLER_TOKEN", PERSONAL)
    with pytest.raises(SecretError, match="a personal token needs DOPPLER_PROJECT and DOPPLER_CONFIG"):
        held.refresh("")
    monkeypatch.setenv("DOPPLER_PROJECT", "vivaform")
    monkeypatch.setenv("DOPPLER_CONFIG", "prd")
    held.refresh("")
    assert doppler.resolve("OTHER", held) == "2"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "must name one secret"),
        ("a b", "must name one secret"),
        ("../x", "must name one secret"),
        ("ABSENT", "the Doppler config has no key ABSENT"),
        ("EMPTY", "EMPTY is empty in the Doppler config"),
    ],
)
def test_a_name_that_leads_nowhere_is_named(service: Doppler, held: Documents, reference: str, message: str) -> None:
    """With what to write."""
    with pytest.raises(SecretError, match=message):
        doppler.resolve(reference, held)


def test_without_a_token_nobody_is_asked(service: Doppler, held: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to set."""
    monkeypatch.delenv("DOPPLER_TOKEN")
    with pytest.raises(SecretError, match=r"DOPPLER_TOKEN is not set, so \$\{doppler:OTHER\} cannot be had"):
        doppler.resolve("OTHER", held)
    assert service.requests == []


ANSWERS: dict[str, tuple[Step, str]] = {
    "401": (Step(401, json.dumps({"messages": [f"Invalid token {TOKEN}"], "success": False})), "DOPPLER_TOKEN is not"),
    "403": (Step(403), "DOPPLER_TOKEN may not read this config"),
    "404": (Step(404), "no such project or config"),
    "429": (Step(429, headers={"retry-after": "60"}), "asked too often; raise secrets_refresh"),
    "500": (Step(500, VALUE), "the service itself fails"),
    "302": (Step(302, headers={"location": f"https://example.org/{VALUE}"}), "Doppler answered 302$"),
    "304 to nobody": (Step(304), "Doppler answered 304$"),
    "418": (Step(418), "Doppler answered 418$"),
    "no JSON": (Step(200, f"<html>{VALUE}"), "not understood: is it Doppler"),
    "a list": (Step(200, json.dumps([VALUE])), "not understood"),
    "a text": (Step(200, json.dumps(VALUE)), "not understood"),
    "deep": (Step(200, "[" * 100_000), "not understood"),
    "not UTF-8": (Step(200, '{"a": "\udcff"}'.encode("utf-8", "surrogateescape").decode("latin-1")), "has no key"),
    "empty": (Step(200), "not understood"),
    "reset": (Step(wire="reset"), "the connection broke"),
    "closed": (Step(wire="close"), "the connection broke"),
    "cut off": (Step(wire="truncate"), "the connection broke"),
    "too large": (Step(200, "x" * 1_100_000), "longer than 1048576 bytes"),
    "a null": (Step(200, json.dumps({"SLACK_TOKEN": None})), "what stands under SLACK_TOKEN is no text"),
    "a number": (Step(200, json.dumps({"SLACK_TOKEN": 17})), "what stands under SLACK_TOKEN is no text"),
    "an object": (Step(200, json.dumps({"SLACK_TOKEN": {"raw": VALUE}})), "what stands under SLACK_TOKEN is no text"),
}


@pytest.mark.parametrize("case", sorted(ANSWERS))
def test_f41_a_bad_answer_is_told_in_words_and_without_a_secret(service: Doppler, held: Documents, case: str) -> None:
    """At the start nothing is held, so whoever needs it says why; nothing that came is repeated."""
    step, message = ANSWERS[case]
    service.script(step)
    with pytest.raises(SecretError, match=message) as caught:
        doppler.resolve("SLACK_TOKEN", held)
    for hidden in ("S3cretMarker", TOKEN):
        assert hidden not in str(caught.value)


@pytest.mark.parametrize("case", sorted(case for case in ANSWERS if not case.startswith(("a n", "an ", "not "))))
def test_f41_a_store_that_fails_later_takes_nothing_away(service: Doppler, held: Documents, case: str) -> None:
    """The last known good value stays in force, also when an answer says 304 to what was never sent."""
    doppler.resolve("SLACK_TOKEN", held)
    service.script(ANSWERS[case][0])
    if case != "304 to nobody":
        with pytest.raises(SecretError, match="its last values stay in force"):
            held.refresh("")
    assert doppler.resolve("SLACK_TOKEN", held) == VALUE


@pytest.mark.parametrize("step", [Step(delay=30), Step(200, "x" * 400, drip=0.1)], ids=["hangs", "drips"])
@pytest.mark.slow
def test_f43_a_store_that_hangs_is_given_up_in_time(service: Doppler, held: Documents, step: Step) -> None:
    """And the next reader does not wait at all."""
    service.script(step)
    with pytest.raises(SecretError, match=r"no whole answer within 4\.5 s"):
        doppler.resolve("SLACK_TOKEN", held)
    with pytest.raises(SecretError, match="no whole answer"):
        doppler.resolve("OTHER", held)
    service.clear()
    held.refresh("")
    assert doppler.resolve("SLACK_TOKEN", held) == VALUE


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("http://doppler.example.org", "must begin with https://"),
        ("ftp://127.0.0.1", "cannot be used: the address must begin with"),
        ("https://user:pw@127.0.0.1", "cannot be used: the address holds a user or password"),
        ("doppler", "cannot be used"),
    ],
)
def test_the_token_goes_nowhere_in_clear(
    held: Documents, host: str, message: str, service: Doppler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is for this host alone."""
    monkeypatch.setenv("DOPPLER_API_HOST", host)
    with pytest.raises(SecretError, match=message):
        held.refresh("")
    assert service.requests == []


def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(
    service: Doppler, held: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two lines were pasted."""
    monkeypatch.setenv("DOPPLER_TOKEN", f"{TOKEN}\nx: y")
    with pytest.raises(SecretError) as caught:
        held.refresh("")
    assert TOKEN not in str(caught.value)
    assert service.requests == []


def test_f63_debug_logs_of_the_libraries_hold_neither_token_nor_secret(
    service: Doppler, held: Documents, caplog: Any
) -> None:
    """At the lowest level, as whoever looks for a fault would set it."""
    caplog.set_level("DEBUG")
    doppler.resolve("SLACK_TOKEN", held)
    service.script(Step(401, TOKEN))
    with pytest.raises(SecretError):
        held.refresh("")
    assert "Using selector" in caplog.text  # asyncio's own line: it did listen
    assert TOKEN not in caplog.text
    assert VALUE not in caplog.text
