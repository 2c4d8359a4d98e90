"""systemd's notification protocol: ready, alive, reloading, stopping, as datagrams to the socket that it names.

The law is sd_notify(3) and sd_watchdog_enabled(3): without NOTIFY_SOCKET nothing is said; a name that begins with @
is an abstract one; WATCHDOG_USEC counts only for the process that WATCHDOG_PID names. A message that cannot be sent is
dropped: whoever does not hear from us has a remedy of its own.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.model import Millis


class Systemd:
    """The way to the service manager, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").strip()
        self.pace = _pace(environment) if self._address else None  # ms between two signs of life; None: none wanted

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is over."""
        self._tell("READY=1", f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say how things are, for `systemctl status`."""
        self._tell(f"STATUS={_line(text)}")

    def reloading(self, monotonic: Millis) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic * 1000}")

    def stopping(self) -> None:
        """Say that the end begins."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            way.settimeout(0)  # a manager that does not read must not stop us
            way.sendto("\n".join(lines).encode("utf-8", "replace"), address)


def _pace(environment: Mapping[str, str]) -> Millis | None:
    """Give half of the time within which a sign of life is wanted, as sd_watchdog_enabled(3) advises."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isascii() or not text.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return max(1, int(text[:18]) // 2_000) if int(text[:18]) else None


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
