"""One SMTP transaction (RFC 5321) by smtplib, that can be broken off from outside and knows how far it came.

What counts is whether the letter was shown: before that, whatever the server says is about the door (who we are,
whom we write to), and nothing was sent; from then on an answer is about the letter, and a lost one leaves open
whether it was taken. smtplib bounds each read; the whole is bounded by whoever calls, who breaks it off.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, NamedTuple

from alerting.errors import AlertingError

if TYPE_CHECKING:
    from collections.abc import Sequence

PORTS = {"starttls": 587, "implicit": 465, "none": 25}
Tls = Literal["starttls", "implicit", "none"]


class SmtpRefused(AlertingError):  # noqa: N818  the name says what happened
    """The server said no, or something that is no word of SMTP (code 0). No text of the server's is kept."""

    def __init__(self, to: str, code: int, enhanced: str = "") -> None:
        self.code = code
        said = " ".join(str(each) for each in (code, enhanced) if each) or "something that is not SMTP"
        super().__init__(f"answered {said} to {to}")


class Door(NamedTuple):
    """The server, and how to get in."""

    host: str  # its name: what its certificate must be for
    port: int
    tls: Tls
    hello: str
    addresses: Sequence[str]  # of the host, best first; no other is connected to, and no name is looked up here
    ca_file: str = ""  # empty: the authorities that come with the program
    username: str = ""
    password: str = ""


def is_here(host: str) -> bool:
    """Tell whether a host is this very one, so that nobody listens on the way."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Transaction:
    """One attempt to hand a letter over; `run` is called in a worker thread, `drop` from anywhere."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds for each single wait."""
        self.shown = False  # the letter is being sent, or was
        self._timeout = timeout
        self._lock = threading.Lock()
        self._dropped = False
        self._socket: socket.socket | None = None

    def drop(self) -> None:
        """Break it off: the letter is not shown from now on, and what waits for the server goes on at once."""
        with self._lock:
            self._dropped = True
            if self._socket is not None:
                with suppress(OSError):  # it is closed by now
                    self._socket.shutdown(socket.SHUT_RDWR)

    def run(self, door: Door, letter: str, sender: str, recipients: Sequence[str]) -> Sequence[str]:
        """Hand the letter over; give, in words, for whom it was not taken. Raises SmtpRefused, OSError, SMTPException.

        A letter that is taken for some is sent, as doing it again would send it to these twice.
        """
        smtp = smtplib.SMTP(local_hostname=door.hello, timeout=self._timeout)
        try:
            self._enter(smtp, door)
            _expect("MAIL FROM", *smtp.mail(sender))
            refused = _offer(smtp, recipients)
            _expect("DATA", *smtp.docmd("DATA"), wanted=354)
            self.shown = True  # first: once `drop` has shut the connection, what is not shown cannot be
            smtp.send(smtplib.quotedata(letter) + ".\r\n")
            _expect("the letter", *smtp.getreply())
            smtp.putcmd("QUIT")  # its answer is not waited for: the letter is taken
        finally:
            smtp.close()
        return refused

    def _enter(self, smtp: smtplib.SMTP, door: Door) -> None:
        """Connect, greet, encrypt, log in."""
        raw = self._hold(_connected(door.addresses, door.port, self._timeout))
        smtp.sock = self._encrypted(raw, door) if door.tls == "implicit" else raw
        _expect("our coming", *smtp.getreply())
        smtp.ehlo_or_helo_if_needed()
        if door.tls == "starttls":
            if not smtp.has_extn("starttls"):
                raise AlertingError("the server offers no STARTTLS; `tls: implicit`, or `tls: none` if that is meant")
            _expect("STARTTLS", *smtp.docmd("STARTTLS"))
            smtp.sock, smtp.file = self._encrypted(raw, door), None
            smtp.ehlo_resp = smtp.helo_resp = None  # RFC 3207: what was said in the open does not count
            smtp.esmtp_features = {}
            smtp.ehlo_or_helo_if_needed()
        if door.username:
            if door.tls == "none" and not is_here(door.host):
                raise AlertingError("a password is not sent over a connection without TLS")
            smtp.login(door.username, door.password)

    def _encrypted(self, raw: socket.socket, door: Door) -> ssl.SSLSocket:
        import certifi  # noqa: PLC0415  only who speaks TLS needs it

        context = ssl.create_default_context(cafile=door.ca_file or certifi.where())
        made = context.wrap_socket(raw, server_hostname=door.host)
        self._hold(made)
        return made

    def _hold(self, connected: socket.socket) -> socket.socket:
        """Keep a socket, so that `drop` can end it. Raises OSError when that was called already."""
        with self._lock:
            if self._dropped:
                connected.close()
                raise ConnectionAbortedError
            self._socket = connected
        return connected


def _connected(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    """Connect to the first of these addresses that takes it; the time is shared out among them. Raises OSError."""
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout / len(addresses))
    return socket.create_connection((addresses[-1], port), timeout)


def _offer(smtp: smtplib.SMTP, recipients: Sequence[str]) -> Sequence[str]:
    """Name the recipients; give those that are not taken. Raises SmtpRefused where none is."""
    refused = []
    for each in recipients:
        try:
            _expect(f"RCPT TO {each}", *smtp.rcpt(each))
        except SmtpRefused as error:
            refused.append(error)
    if len(refused) == len(recipients):
        raise refused[0]
    return [str(error) for error in refused]


def _expect(to: str, code: int, words: bytes, wanted: int = 0) -> None:
    """Go on with a 2xx (or the one that is wanted). Raises SmtpRefused with the enhanced code (RFC 3463), if any."""
    if code == wanted or (not wanted and 200 <= code < 300):  # noqa: PLR2004
        return
    first = words.split(b" ", 1)[0].split(b".")
    enhanced = ".".join(part.decode() for part in first) if len(first) == 3 and all(map(_few_digits, first)) else ""  # noqa: PLR2004
    raise SmtpRefused(to, code if 100 <= code < 600 else 0, enhanced)  # noqa: PLR2004


def _few_digits(part: bytes) -> bool:
    return part.isdigit() and len(part) <= 3  # noqa: PLR2004
