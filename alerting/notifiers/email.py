"""Mail, handed to an SMTP server: one attempt is one transaction, for all recipients.

An answer from before the letter was shown is about the door (wrong password, unknown recipient, sender not allowed):
that is mended in the settings, so the message stays owed. A 4xx to the letter is tried again, a 5xx is for good. If
the answer to the letter is lost, nobody knows; a letter that then arrives twice has one Message-ID.

The name of the server is looked up once; the addresses that were judged (`alerting.net.reach`) are those connected to.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from alerting.errors import AlertingError, SecretError
from alerting.model import Answer, Outcome
from alerting.net.http import revealed
from alerting.net.reach import addresses, trouble_in
from alerting.notifiers import _templates as templates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage

    from alerting.model import Millis, Notification, Receipt, Section
    from alerting.notifiers._email_message import Correspondents
    from alerting.notifiers._smtp_client import Door, Tls, Transaction
    from alerting.notifiers._templates import Filled
    from alerting.ports import Tools

_THREADS = 2  # one attempt at a time is usual; a second may run while a first that was given up winds down
_GRACE: Millis = 250  # for the thread to say what it has met
_NO_TLS_WITH_PASSWORD = "a password is not sent over a connection without TLS: use `starttls` or `implicit`"  # noqa: S105

_NAMED = {  # what smtplib and sockets raise, in words
    "SMTPAuthenticationError": "the server does not accept our login: check `username` and `password`",
    "SMTPNotSupportedError": "the server takes no login here: leave out `username`, or check `tls` and `port`",
    "SMTPException": "the server wants a way to log in that is not known here",
    "SMTPServerDisconnected": "the server closed the connection",
    "TimeoutError": "the server did not answer in time",
}


def build(section: Section, tools: Tools) -> Email:
    """Build the receiver; smtplib is loaded when the first message is sent."""
    return Email(section, tools)


def problems(section: Section) -> Sequence[tuple[tuple[str, ...], str]]:
    """Say what is wrong with a section that its schema cannot tell: addresses, a password in the open, templates."""
    from alerting.notifiers import _email_message as message  # noqa: PLC0415  loads the email package
    from alerting.notifiers._smtp_client import is_here  # noqa: PLC0415  loads smtplib

    values = section.values
    found = list(templates.problems(section))
    if trouble := trouble_in(values.get("reach", ())):
        found.append((("reach",), trouble))
    for key in ("from", "to", "cc"):
        try:
            many = message.addresses(_texts(values.get(key, ()))) if key in values else ()
            if key == "from" and len(many) > 1:
                found.append(((key,), "there is one sender"))
        except SecretError:
            pass  # said elsewhere, and it may be there when it is needed
        except ValueError as error:
            found.append(((key,), str(error)))
    try:
        if values.get("tls") == "none" and "password" in values and not is_here(revealed(values["host"])):
            found.append((("tls",), _NO_TLS_WITH_PASSWORD))
    except SecretError:
        pass  # as above
    return found


class Email:
    """Some people's mail. A message stands for a group of alerts, and its letters make a thread."""

    stands_for: Literal["group"] = "group"

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = section.name
        self._values = section.values
        self._templates = templates.Templates(section.values)
        self._timeout: Millis = section.values.get("timeout", 30_000)
        self._instance = tools.instance
        self._clock = tools.clock
        self._resolve = tools.resolve
        self._reach: Sequence[str] = section.values.get("reach", ())
        self._blocking = tools.blocking(_THREADS)

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make one attempt by one transaction."""
        filled = self._templates.fill(notification)
        before = (previous or {}).get("message_id", "")
        return filled.told(await self._sent(filled, before))

    async def close(self) -> None:
        """Nothing is held: each attempt has a connection of its own."""

    async def _sent(self, filled: Filled, before: str) -> Answer:
        from alerting.notifiers._smtp_client import SmtpRefused, Transaction  # noqa: PLC0415  loads smtplib

        transaction = Transaction(self._timeout / 1000)
        ends = self._clock.monotonic() + self._timeout
        try:
            door, between, letter = await self._blocking(partial(self._prepared, filled, before), self._timeout)
            async with asyncio.timeout(max(0, ends - self._clock.monotonic()) / 1000):
                door = door._replace(addresses=await self._judged(door))
            left = max(0, ends - self._clock.monotonic()) + _GRACE
            return await self._blocking(partial(_handed_over, transaction, door, between, letter), left)
        except TimeoutError:
            reason = f"no answer within {self._timeout / 1000:g} s"
        except SmtpRefused as error:
            if transaction.shown:
                return Answer(_of_the_letter(error.code), f"the server {error}")
            reason = f"the server {error}"
        except AlertingError as error:  # SecretError and our own; their texts are written for people
            reason = str(error)
        except Exception as error:  # noqa: BLE001  sockets, ssl and smtplib raise many kinds
            reason = _words(error)
        finally:
            transaction.drop()
        if transaction.shown:
            return Answer(Outcome.UNKNOWN, f"the letter was sent, but its answer was lost: {reason}")
        return Answer(Outcome.RETRY, reason)

    async def _judged(self, door: Door) -> Sequence[str]:
        """Look the server up; give the addresses that may be connected to. Raises what `addresses` does."""
        if trouble := trouble_in(self._reach):
            raise AlertingError(trouble)
        return await addresses(door.host, door.port, self._reach, self._resolve)

    def _prepared(self, filled: Filled, before: str) -> tuple[Door, Correspondents, EmailMessage]:
        """Write the letter, and find out where it goes; in a worker thread, as following a reference may block."""
        from alerting.notifiers import _email_message as message  # noqa: PLC0415  loads the email package
        from alerting.notifiers._smtp_client import PORTS, Door, is_here  # noqa: PLC0415  loads smtplib

        values = self._values
        host = revealed(values["host"]).strip()
        tls: Tls = values.get("tls") or ("none" if is_here(host) else "starttls")
        door = Door(
            host=host,
            port=values.get("port") or PORTS[tls],
            tls=tls,
            hello=revealed(values.get("hello", "")) or _host_name(self._instance),
            addresses=(),
            ca_file=revealed(values.get("ca_file", "")),
            username=revealed(values.get("username", "")),
            password=revealed(values.get("password", "")).strip(),
        )
        try:
            between = message.Correspondents(
                message.addresses(_texts(values["from"]))[0],
                message.addresses(_texts(values["to"])),
                message.addresses(_texts(values["cc"])) if "cc" in values else (),
            )
        except ValueError as error:
            raise AlertingError(str(error)) from None
        return door, between, message.compose(filled, between, self._clock.now(), before)


def _handed_over(transaction: Transaction, door: Door, between: Correspondents, letter: EmailMessage) -> Answer:
    """Do what goes over the network, in a worker thread."""
    sender, recipients = between.sender.addr_spec, between.recipients
    refused = transaction.run(door, letter.as_bytes().decode("ascii"), sender, recipients)
    taken = f"taken for {len(recipients) - len(refused)} of {len(recipients)}"
    why = f"{taken}; the server {', '.join(refused)}" if refused else "taken by the server"
    return Answer(Outcome.SENT, why, None, {"message_id": str(letter["Message-ID"])})


def _of_the_letter(code: int) -> Outcome:
    """Say what an answer to the letter itself means."""
    if 400 <= code < 500:  # noqa: PLR2004
        return Outcome.RETRY
    return Outcome.REFUSED if code >= 500 else Outcome.UNKNOWN  # noqa: PLR2004


def _words(error: Exception) -> str:
    """Name what went wrong; of libraries' texts only those that cannot hold what was sent."""
    name = type(error).__name__
    if name in _NAMED:
        return _NAMED[name]
    if isinstance(code := getattr(error, "smtp_code", None), int):
        return f"the server answered {code}"
    if verify := getattr(error, "verify_message", ""):
        return f"the server's certificate is not trusted: {verify}"
    strerror = getattr(error, "strerror", None)
    return f"no connection to the server: {strerror}" if strerror else f"no letter could be sent: {name}"


def _texts(value: Any) -> list[str]:
    """Give the texts of one text or of a list."""
    return [revealed(each) for each in value] if isinstance(value, list | tuple) else [revealed(value)]


def _host_name(instance: str) -> str:
    """Give the name of this host as EHLO can take it."""
    fits = instance.isascii() and instance.replace("-", "").replace(".", "").isalnum()
    return instance if fits else "localhost"
