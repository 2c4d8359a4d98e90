"""Apprise: one post for each change and service; what a service took is not posted to it again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import Outcome, Secret, Section
from alerting.notifiers.apprise import build, problems
from tests.fakes.ledger import Fake, Reply, Request, Step
from tests.notifiers.desk import new_tools, notice, over, telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Answer, Notification, Receipt


class Service(Fake):
    """What Apprise's `json://` posts to."""

    name = "json"

    def judge(self, request: Request) -> Reply:
        """Take what has a title and a text."""
        document = request.json()
        good = request.method == "POST" and isinstance(document, dict) and document["title"] and document["message"]
        return Reply(200 if good else 400, "", accepted=bool(good))

    @property
    def address(self) -> Secret:
        """The address as Apprise writes it."""
        return Secret.literal(f"json://127.0.0.1:{self.port}/hook\n")


def attempts(
    urls: Sequence[Secret | str], tries: Sequence[tuple[Notification, Receipt | None]], **values: Any
) -> list[Answer]:
    """Make several attempts, one after the other, with one receiver."""

    async def run() -> list[Answer]:
        receiver = build(Section("ops", "apprise", {"urls": urls, "timeout": 5000, **values}), new_tools())
        return [await receiver.deliver(notification, previous) for notification, previous in tries]

    return asyncio.run(run())


def attempt(service: Service, notification: Notification | None = None, **values: Any) -> Answer:
    """Make one attempt at one service."""
    return attempts([service.address], [(notification or telling(), None)], **values)[0]


def test_each_change_is_a_post_of_its_own() -> None:
    """The end too: it can resolve nothing."""
    with Service() as service:
        answers = attempts([service.address], [(telling(), None), (over(), None)])
    assert [(each.outcome, each.why) for each in answers] == [(Outcome.SENT, "taken by JSON")] * 2
    first, second = service.accepted
    assert first["title"] == 'FIRING DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%'
    assert (first["type"], second["type"]) == ("failure", "success")
    assert "https://runbooks.example.org/disk" in first["message"]
    assert "RESOLVED DiskSpaceLow" in second["message"]


def test_a_service_that_took_it_is_not_asked_again() -> None:
    """Only those that did not; a receipt of another message counts for nothing."""
    with Service() as good, Service() as bad:
        bad.script(Step(status=500, times=2))
        [first] = attempts([good.address, bad.address], [(telling(), None)])
        again = attempts([good.address, bad.address], [(telling(), first.receipt)] * 2)
        attempts([good.address], [(telling(id="n2"), first.receipt)])
    assert (first.outcome, first.why) == (Outcome.RETRY, "not taken: JSON")
    assert [each.outcome for each in again] == [Outcome.RETRY, Outcome.SENT]
    assert (len(good.requests), len(bad.requests)) == (2, 3)


ANSWERS = [
    (Step(status=500), Outcome.RETRY),
    (Step(status=429, headers={"Retry-After": "30"}), Outcome.RETRY),
    (Step(status=400), Outcome.RETRY),
    (Step(status=404), Outcome.RETRY),
    (Step(wire="reset"), Outcome.RETRY),  # Apprise says no more than that it was not taken
    (Step(status=204), Outcome.SENT),
]


@pytest.mark.parametrize(("step", "outcome"), ANSWERS)
def test_f20_f22_apprise_is_asked_once_and_sleeps_through_nothing(step: Step, outcome: Outcome) -> None:
    """Even where an address asks for retries of Apprise's own."""
    with Service() as service:
        service.script(step)
        address = f"json://127.0.0.1:{service.port}/hook?retry=3&wait=0.1"
        began = time.monotonic()
        [answer] = attempts([address], [(telling(), None)])
    assert answer.outcome == outcome, answer
    assert len(service.requests) == 1
    assert time.monotonic() - began < 4


def test_f19_f24_the_deadline_is_total() -> None:
    """What is not answered by then may have been taken."""
    with Service() as service:
        attempt(service)  # loading Apprise is not on the clock
        service.script(Step(delay=30))
        began = time.monotonic()
        answer = attempt(service, timeout=400)
        took = time.monotonic() - began
    assert answer.outcome in (Outcome.UNKNOWN, Outcome.RETRY)
    assert took < 0.4 + 1.5


@pytest.mark.parametrize("address", ["nonsense", "foo://bar", "json://", ""])
def test_an_address_that_apprise_does_not_know_keeps_the_message_owed(address: str) -> None:
    """It can be mended; the address itself is a secret and is not told."""
    [answer] = attempts([Secret.literal(address or " ")], [(telling(), None)])
    assert (answer.outcome, answer.why) == (Outcome.RETRY, "not taken: address 1 is none that Apprise knows")


MENTIONS = ("@everyone", "@channel", "<!channel>", "<@U012AB3CD>", "<@&123>", "<#C1>")


@pytest.mark.parametrize("mention", MENTIONS)
def test_f59_nothing_from_outside_becomes_a_mention(mention: str) -> None:
    """In title and body, whatever service reads them."""
    told = telling(notice(why=mention, labels={"x": mention}), title=mention, notes=(mention,))
    with Service() as service:
        attempt(service, told)
        attempt(service, told, text="{{ alert.why }}")
    for document in service.accepted:
        shown = document["title"] + document["message"]
        assert "@" not in shown
        assert not any(mark in shown for mark in ("<!", "<@", "<#"))


def test_f26_a_message_of_any_size_is_posted() -> None:
    """Cut where the service has a limit; 300 alerts are counted."""
    with Service() as service:
        for why in ("x" * 3000, "short"):
            many = telling(*[notice(labels={"mount": f"/{each}"}, why=why) for each in range(300)])
            assert attempt(service, many).outcome == Outcome.SENT
    assert all(document["message"].startswith("FIRING DiskSpaceLow") for document in service.accepted)
    assert "and 250 more" in service.accepted[1]["message"]


def test_the_templates_of_the_settings_make_title_and_body() -> None:
    """And one that fails leaves the plain words."""
    with Service() as service:
        attempt(service, title="{{ alert.name }}", text="{{ alert.value }}")
        answer = attempt(service, title="{{ alerts[7].name }}")
    first, second = service.accepted
    assert (first["title"], first["message"]) == ("DiskSpaceLow", "91.2%")
    assert second["title"].startswith("FIRING DiskSpaceLow")
    assert "the template of `title` failed" in second["message"]
    assert "the template of `title` failed" in answer.why


def test_mistakes_are_told_when_the_settings_load() -> None:
    """In templates; addresses are secrets, and are looked at when they are needed."""
    section = Section("ops", "apprise", {"urls": ["json://x"], "text": "{{ nobody }}"})
    assert [path for path, _ in problems(section)] == [("text",)]
