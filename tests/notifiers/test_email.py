"""Mail: one transaction for an attempt, over TLS, with honest words about what became of the letter."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import AlertingError
from alerting.model import Outcome, Secret, Section
from alerting.notifiers._smtp_client import Door, Transaction, is_here
from alerting.notifiers.email import build, problems
from tests.fakes.certificates import Authority
from tests.fakes.smtp import CUT, HANG, SLOW, MailServer
from tests.notifiers.desk import new_tools, notice, over, telling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from alerting.model import Answer, Notification, Receipt
    from tests.figures import Figure

SENT, UNKNOWN, RETRY, REFUSED = Outcome.SENT, Outcome.UNKNOWN, Outcome.RETRY, Outcome.REFUSED
PEOPLE: dict[str, Any] = {"from": "Alerting <alerting@example.org>", "to": ["ann@example.org", "Bob <bob@example.org>"]}
LOGIN = {"username": "alerting", "password": Secret.literal("s3cret")}


def attempts(
    server: MailServer | int, tries: Sequence[tuple[Notification, Receipt | None]], **values: Any
) -> list[Answer]:
    """Make several attempts, one after the other, with one receiver."""
    port = server if isinstance(server, int) else server.port

    async def run() -> list[Answer]:
        settings = {"host": "127.0.0.1", "port": port, "timeout": 5000, **PEOPLE, **values}
        mail = build(Section("ops", "email", settings), new_tools())
        return [await mail.deliver(notification, previous) for notification, previous in tries]

    return asyncio.run(run())


def attempt(server: MailServer | int, notification: Notification | None = None, **values: Any) -> Answer:
    """Make one attempt."""
    return attempts(server, [(notification or telling(), None)], **values)[0]


def test_a_letter_says_in_both_parts_what_is_the_matter() -> None:
    """To everybody, with who sent it, when, and that no machine need answer."""
    with MailServer() as server:
        answer = attempt(server, cc="boss@example.org, ann@example.org")
    [letter] = server.letters
    message = letter.message
    assert (answer.outcome, answer.why) == (SENT, "taken by the server")
    assert (letter.sender, letter.recipients) == (
        "alerting@example.org",
        ("ann@example.org", "bob@example.org", "boss@example.org"),
    )
    assert message["Subject"] == 'FIRING DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%'
    assert (message["To"], message["Cc"]) == (
        "ann@example.org, Bob <bob@example.org>",
        "boss@example.org, ann@example.org",
    )
    assert (message["From"], message["Auto-Submitted"]) == ("Alerting <alerting@example.org>", "auto-generated")
    assert abs(message["Date"].datetime.timestamp() - time.time()) < 60
    for kind in ("plain", "html"):
        shown = message.get_body((kind,)).get_content()  # type: ignore[union-attr]
        for words in ("FIRING DiskSpaceLow (critical)", "91.2%", "The disk fills", "https://runbooks.example.org/disk"):
            assert words in shown


def test_letters_about_one_group_make_a_thread_and_a_second_copy_is_seen_to_be_one() -> None:
    """All refer to one root, each to the one before it; a letter that is tried again keeps its id."""
    with MailServer() as server:
        [first] = attempts(server, [(telling(), None)])
        attempts(server, [(telling(), None), (over()._replace(id="n2"), first.receipt)])
        attempts(server, [(telling(group_key="another", id="n3"), None)])
    one, again, end, other = server.accepted
    assert first.receipt == {"message_id": one["Message-ID"]}
    assert one["Message-ID"] == again["Message-ID"] != end["Message-ID"]
    assert (end["In-Reply-To"], end["References"]) == (one["Message-ID"], f"{one['References']} {one['Message-ID']}")
    assert one["References"] == one["In-Reply-To"] != other["References"]


def test_the_templates_of_the_settings_make_subject_and_parts() -> None:
    """Values are escaped in HTML; one that fails leaves the plain words and says so."""
    told = telling(notice(why="a < b"))
    html = "<h1>{{ alert.name }}</h1>{{ alert.why }}"
    with MailServer() as server:
        attempt(server, told, title="{{ alert.name }}: look", text="It is {{ alert.value }}", html=html)
        answer = attempt(server, told, text="{{ alerts[7].name }}")
    first, second = server.accepted
    assert first["Subject"] == "DiskSpaceLow: look"
    assert first.get_body(("plain",)).get_content().strip() == "It is 91.2%"  # type: ignore[union-attr]
    assert first.get_body(("html",)).get_content().strip() == "<h1>DiskSpaceLow</h1>a &lt; b"  # type: ignore[union-attr]
    assert answer.outcome == SENT
    assert "the template of `text` failed" in answer.why
    assert "the template of `text` failed" in second.get_body(("plain",)).get_content()  # type: ignore[union-attr]


EVIL = (
    "x\r\nBcc: evil@example.org",
    "x\n\nbody",
    "\r\n.\r\nMAIL FROM:<evil@example.org>",
    "\x00\x1b[2J",
    "\u202e",
    "\ud800",
    "=?utf-8?q?x?=",
)


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_from_outside_becomes_a_header_or_a_command(evil: str) -> None:
    """Titles, names, labels, reasons, notes, keys: each with a line end, or worse."""
    told = telling(
        notice(name=evil, why=evil, value=evil, labels={evil: evil}, annotations={"summary": evil, evil: evil}),
        title=evil,
        notes=(evil,),
        reason=evil,
        group_key=evil,
        external_labels={evil: evil},
    )
    with MailServer() as server:
        assert attempt(server, told).outcome == SENT
    [letter] = server.letters
    assert "evil@example.org" not in letter.recipients
    assert letter.message["Bcc"] is None
    assert server.connections == 1


def test_a_dot_alone_on_a_line_ends_no_letter() -> None:
    """It is doubled on the wire, as SMTP wants it."""
    with MailServer() as server:
        attempt(server, telling(notice(annotations={"summary": "a\n.\nb"})), text="{{ alert.annotations.summary }}")
    assert server.accepted[0].get_body(("plain",)).get_content().split() == ["a", ".", "b"]  # type: ignore[union-attr]


def test_every_letter_is_written_to_the_ledger(tmp_path: Path) -> None:
    """The fake's own word on what was delivered."""
    with MailServer(ledger=tmp_path / "ledger") as server:
        attempt(server)
    [line] = (tmp_path / "ledger").read_text().splitlines()
    assert json.loads(line)["accepted"] is True


# ------------------------------------------------------------------------------------------- answers

ANSWERS = [
    ({"EHLO": "421 4.3.2 closing"}, RETRY),
    ({"MAIL": "450 4.1.8 later"}, RETRY),
    ({"MAIL": "550 5.7.1 this sender may not"}, RETRY),
    ({"MAIL": "552 5.3.4 too big"}, RETRY),
    ({"MAIL": "xyz"}, RETRY),
    ({"MAIL": CUT}, RETRY),
    ({"ann@example.org": "550 5.1.1 no such user", "bob@example.org": "550 5.1.1 no such user"}, RETRY),
    ({"ann@example.org": "451 4.7.1 greylisted", "bob@example.org": "451 4.7.1 greylisted"}, RETRY),
    ({"ann@example.org": CUT}, RETRY),
    ({"DATA": "250 ok"}, SENT),
    ({"DATA": "251 ok"}, SENT),
    ({"DATA": "421 4.3.2 closing"}, RETRY),
    ({"DATA": "451 4.3.0 later"}, RETRY),
    ({"DATA": "452 4.2.2 no room"}, RETRY),
    ({"DATA": "550 5.7.1 spam"}, REFUSED),
    ({"DATA": "552 5.3.4 too big"}, REFUSED),
    ({"DATA": "554 5.6.0 no"}, REFUSED),
    ({"DATA": "354 go on"}, UNKNOWN),
    ({"DATA": "199 what"}, UNKNOWN),
    ({"DATA": "<html>"}, UNKNOWN),
    ({"DATA": CUT}, UNKNOWN),
]


@pytest.mark.parametrize(("says", "outcome"), ANSWERS)
def test_f19_f21_an_answer_is_what_smtp_means_by_it(says: dict[str, str], outcome: Outcome, figure: Figure) -> None:
    """Before the letter was shown it is about the door; then about the letter; one that is lost leaves it open."""
    with MailServer(says=says) as server:
        answer = attempt(server)
    figure("wrong delivered", answer.outcome == SENT and outcome != SENT, at_most=0, n=1, row="F21")
    figure("raw requests per attempt", server.connections, at_least=1, at_most=1, n=1, row="F19")
    assert answer.outcome == outcome, answer
    assert answer.why
    assert len(server.letters) == ("DATA" in says)


def test_what_is_taken_for_some_is_sent_and_the_others_are_named() -> None:
    """Doing it again would send it twice to those who have it."""
    with MailServer(says={"bob@example.org": "550 5.1.1 no such user"}) as server:
        answer = attempt(server)
    assert answer.outcome == SENT
    assert answer.why == "taken for 1 of 2; the server answered 550 5.1.1 to RCPT TO bob@example.org"
    assert server.letters[0].recipients == ("ann@example.org",)


@pytest.mark.parametrize(("stage", "outcome"), [("EHLO", RETRY), ("MAIL", RETRY), ("DATA", UNKNOWN)])
def test_f19_f24_the_deadline_of_an_attempt_is_total(stage: str, outcome: Outcome) -> None:
    """A server that falls silent holds an attempt no longer than the deadline, and sees no letter afterwards."""
    with MailServer(says={stage: HANG}) as server:
        began = time.monotonic()
        answer = attempt(server, timeout=600)
        assert time.monotonic() - began < 0.6 + 1.5
        assert answer.outcome == outcome, answer
        time.sleep(0.1)
        assert len(server.letters) == (stage == "DATA")


def test_f24_what_was_given_up_sends_nothing_later() -> None:
    """A server that is slow at each step: the attempt is over before the letter's turn, which then never comes."""
    with MailServer(says={"EHLO": SLOW, "MAIL": SLOW}) as server:
        answer = attempt(server, timeout=600)
        time.sleep(0.8)
    assert (answer.outcome, server.letters) == (RETRY, [])


def test_f24_a_connection_that_comes_too_late_is_closed_unused() -> None:
    """The attempt was given up while it was being made: nothing is said over it."""
    transaction = Transaction(5)
    transaction.drop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door = Door("127.0.0.1", listening.getsockname()[1], "none", "localhost", ["127.0.0.1"])
        with pytest.raises(ConnectionAbortedError):
            transaction.run(door, "", "a@example.org", ["b@example.org"])
        came, _ = listening.accept()
        with came:
            assert came.recv(100) == b""


def test_f18_a_server_that_is_not_there_is_tried_again() -> None:
    """Nothing was sent."""
    with MailServer() as server:
        port = server.port
    answer = attempt(port)
    assert (answer.outcome, answer.why) == (RETRY, "no connection to the server: Connection refused")


class Names:
    """A name server that gives another answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        """Give the next answer."""
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("found", "reach", "outcome", "why"),
    [
        (["169.254.169.254"], [], RETRY, "169.254.169.254 (metadata) is not connected to"),
        (["fe80::1"], [], RETRY, "fe80::1 (link-local) is not connected to"),
        (["127.0.0.1"], ["public"], RETRY, "127.0.0.1 (loopback) is not connected to: out of `reach` (public)"),
        (["169.254.169.254", "127.0.0.1"], [], SENT, "taken by the server"),
        (["127.0.0.1"], ["127.0.0.0/8"], SENT, "taken by the server"),
        (["127.0.0.7", "127.0.0.1"], [], SENT, "taken by the server"),
        (["127.0.0.1"], ["nonsense"], RETRY, "neither a network nor one of"),
    ],
)
def test_f55_only_addresses_within_reach_are_connected_to(
    found: list[str], reach: list[str], outcome: Outcome, why: str
) -> None:
    """The name is looked up once: what it means a moment later is of no use to anybody."""

    async def run(port: int) -> Answer:
        names = Names(found, ["169.254.169.254"])
        settings = {"host": "mail.example.org", "port": port, "timeout": 5000, "tls": "none", **PEOPLE}
        section = Section("ops", "email", {**settings, **({"reach": reach} if reach else {})})
        return await build(section, new_tools()._replace(resolve=names)).deliver(telling(), None)

    with MailServer() as server:
        answer = asyncio.run(run(server.port))
    assert (answer.outcome, why in answer.why, len(server.letters)) == (outcome, True, outcome is SENT), answer


def test_f63_nothing_that_the_server_says_is_repeated() -> None:
    """It may repeat what we said; of its words only the codes are kept."""
    for says in ({"MAIL": "550 s3cretmarker"}, {"DATA": "550 s3cretmarker"}, {"ann@example.org": "550 s3cretmarker"}):
        with MailServer(says=says) as server:
            assert "s3cretmarker" not in attempt(server).why


# ------------------------------------------------------------------------------------------- TLS and login


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """One authority for all."""
    return Authority(tmp_path_factory.mktemp("ca"))  # type: ignore[return-value]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_letters_go_over_tls_to_a_server_whose_certificate_is_checked(authority: Authority, tls: str) -> None:
    """With the authorities of the settings it is trusted, without them it is not: then no letter leaves."""
    context = authority.server(f"good-{tls}")
    with MailServer(context=context, implicit=tls == "implicit", login=("alerting", "s3cret")) as server:
        good = attempt(server, tls=tls, ca_file=authority.file, **LOGIN)
        bad = attempt(server, tls=tls, **LOGIN)
    assert good.outcome == SENT, good
    assert (bad.outcome, "certificate is not trusted" in bad.why) == (RETRY, True), bad
    assert len(server.letters) == 1


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority) -> None:
    """Else anybody with any certificate could read the letters."""
    with MailServer(context=authority.server("other", "DNS:other.example.org")) as server:
        answer = attempt(server, tls="starttls", ca_file=authority.file)
    assert (answer.outcome, len(server.letters)) == (RETRY, 0)


def test_a_server_without_starttls_gets_no_letter() -> None:
    """Somebody on the way could have taken the offer out."""
    with MailServer() as server:
        answer = attempt(server, tls="starttls")
    assert (answer.outcome, len(server.letters)) == (RETRY, 0)
    assert "offers no STARTTLS" in answer.why


def test_a_wrong_password_keeps_the_message_owed_and_is_not_told() -> None:
    """It can be mended."""
    with MailServer(login=("alerting", "s3cret")) as server:
        wrong = attempt(server, username="alerting", password=Secret.literal("wr0ng"))
        right = attempt(server, **LOGIN)
    assert (wrong.outcome, wrong.why) == (
        RETRY,
        "the server does not accept our login: check `username` and `password`",
    )
    assert right.outcome == SENT


# ------------------------------------------------------------------------------------------- settings

MISTAKES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"from": "nobody"}, ("from",)),
    ({"from": "a@x.example, b@x.example"}, ("from",)),
    ({"to": ["ann@example.org", "bob"]}, ("to",)),
    ({"to": "Ann, Bob <b@example.org>"}, ("to",)),
    ({"to": "ann@example.org\nBcc: evil@example.org"}, ("to",)),
    ({"to": "a b@example.org"}, ("to",)),
    ({"to": "j\u00fcrgen@example.org"}, ("to",)),
    ({"to": ","}, ("to",)),
    ({"cc": "@example.org"}, ("cc",)),
    ({"host": "mx.example.org", "tls": "none", **LOGIN}, ("tls",)),
    ({"title": "{{ nobody }}"}, ("title",)),
    ({"html": "{{ alert.x }}"}, ("html",)),
]


@pytest.mark.parametrize(("values", "path"), MISTAKES)
def test_what_cannot_work_is_told_when_the_settings_load(values: dict[str, Any], path: tuple[str, ...]) -> None:
    """Where it stands, and why."""
    [(where, message)] = problems(Section("ops", "email", {"host": "localhost", **PEOPLE, **values}))
    assert (where, bool(message)) == (path, True)


def test_what_can_work_is_told_nothing_about() -> None:
    """Names in quotes, several people in one text, a password to this very host."""
    people = {"to": '"Ann, the boss" <ann@example.org>, bob@example.org', "tls": "none", **LOGIN}
    assert problems(Section("ops", "email", {"host": "127.0.0.1", **PEOPLE, **people})) == []


def test_a_password_does_not_leave_without_tls() -> None:
    """Also where the host is known only when the letter is sent: a server is greeted, and hears nothing more."""
    with MailServer() as server:
        transaction = Transaction(5)
        door = Door("127.1", server.port, "none", "localhost", ["127.0.0.1"], username="alerting", password="s3cret")
        with pytest.raises(AlertingError, match="not sent over a connection without TLS"):
            transaction.run(door, "", "a@example.org", ["b@example.org"])
    assert (server.connections, server.letters, transaction.shown) == (1, [], False)


HOSTS = [("localhost", True), ("127.0.0.1", True), ("::1", True), ("127.0.0.1.evil.example", False), ("mx", False)]


@pytest.mark.parametrize(("host", "expected"), HOSTS)
def test_which_hosts_are_this_very_one(host: str, expected: bool) -> None:
    """A name that only begins like loopback is not."""
    assert is_here(host) is expected
