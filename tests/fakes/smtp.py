"""A stand-in for a mail server: aiosmtpd on a port of 127.0.0.1, that judges letters and writes them down.

What it says can be scripted, stage by stage: a reply of the test's own instead of its own, silence, or a connection
that is cut off. A letter is in `letters` once it was read whole, whatever is answered then.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import warnings
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from pathlib import Path

HANG, CUT = "hang", "cut"  # scripted instead of a reply
SLOW = "slow"  # its own reply, half a second late
_WANTED = ("From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "MIME-Version")


class Letter(NamedTuple):
    """One letter that was read whole."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    accepted: bool


class MailServer:
    """The server, in a thread of its own. `says` maps a stage (EHLO, MAIL, an address, DATA) to a reply."""

    def __init__(
        self,
        *,
        says: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        ledger: Path | None = None,
    ) -> None:
        self.letters: list[Letter] = []
        self.connections = 0
        self.says = says or {}
        self._login = login
        self._ledger = ledger
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._options: dict[str, Any] = {"hostname": "mx.example.org", "timeout": 30, "decode_data": False}
        if context is not None and not implicit:
            self._options |= {"tls_context": context, "require_starttls": True}
        if login is not None:
            over_tls = context is not None and not implicit  # of implicit TLS aiosmtpd does not know
            self._options |= {"authenticator": self._authenticated, "auth_required": True, "auth_require_tls": over_tls}
        self._context = context if implicit else None
        self._server: asyncio.Server | None = None
        self._protocols: list[SMTP] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def accepted(self) -> list[EmailMessage]:
        """The letters that it took."""
        return [letter.message for letter in self.letters if letter.accepted]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._context)

    def _protocol(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings():  # a login without STARTTLS is meant here
            warnings.simplefilter("ignore")
            made = SMTP(self, loop=self._loop, **self._options)
        self._protocols.append(made)
        return made

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0.02)  # a connection that was just accepted becomes one that can be ended
        for each in self._protocols:
            if each.transport is not None:
                each.transport.abort()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _authenticated(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any) -> AuthResult:
        said = (data.login.decode(), data.password.decode()) if mechanism in ("PLAIN", "LOGIN") else None
        return AuthResult(success=said == self._login, handled=False)

    # ------------------------------------------------------------------ what aiosmtpd asks, by its names

    async def handle_EHLO(self, server: SMTP, session: Any, _envelope: Any, hostname: str, responses: Any) -> Any:  # noqa: N802
        session.host_name = hostname
        scripted = await self._scripted("EHLO", server)
        return [scripted] if scripted else responses

    async def handle_HELO(self, server: SMTP, session: Any, _envelope: Any, hostname: str) -> str:  # noqa: N802
        session.host_name = hostname
        return await self._scripted("EHLO", server) or "250 mx.example.org"

    async def handle_MAIL(self, server: SMTP, _session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        scripted = await self._scripted("MAIL", server)
        if not scripted:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return scripted or "250 OK"

    async def handle_RCPT(self, server: SMTP, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        scripted = await self._scripted(address, server)
        if not scripted:
            envelope.rcpt_tos.append(address)
        return scripted or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        message: Any = message_from_bytes(envelope.content, policy=default)
        wrong = faults(message, envelope.content)
        reply = f"554 5.6.0 {'; '.join(wrong)}" if wrong else "250 2.0.0 queued"
        scripted = self.says.get("DATA", "")
        taken = not wrong and (scripted in ("", HANG, CUT) or scripted.startswith("2"))
        recipients = tuple(envelope.rcpt_tos)
        self.letters.append(Letter(envelope.mail_from, recipients, message, envelope.content, taken))
        self._write(message, recipients, accepted=taken, why="; ".join(wrong))
        return await self._scripted("DATA", server) or reply

    async def _scripted(self, stage: str, server: SMTP) -> str:
        said = self.says.get(stage, "")
        if said == HANG:
            await asyncio.sleep(60)
        if said == SLOW:
            await asyncio.sleep(0.5)
            return ""
        if said == CUT:
            server.transport.abort()  # type: ignore[union-attr]
            await asyncio.sleep(60)
        return said

    def _write(self, message: EmailMessage, recipients: tuple[str, ...], *, accepted: bool, why: str) -> None:
        if self._ledger is None:
            return
        entry = {
            "to": "smtp",
            "recipients": recipients,
            "subject": message["Subject"],
            "accepted": accepted,
            "why": why,
        }
        with self._ledger.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(file.fileno())


def faults(message: EmailMessage, raw: bytes) -> list[str]:
    """What a strict server would not take in a letter of a program: RFC 5321, 5322, 3834."""
    wrong = [f"no {name}" for name in _WANTED if message[name] is None]
    wrong += [f"{name} stands there twice" for name in set(message.keys()) if len(message.get_all(name, [])) > 1]
    if not raw.isascii():
        wrong.append("letters that are not ASCII")
    if any(len(line) > 998 for line in raw.split(b"\r\n")):
        wrong.append("a line of more than 998 characters")
    if message.get_body(("plain",)) is None or message.get_body(("html",)) is None:
        wrong.append("a part is missing")
    wrong += [f"{name}: {defect}" for name, value in message.items() for defect in getattr(value, "defects", ())]
    return wrong
