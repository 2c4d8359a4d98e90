"""The notification protocol, against a real datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from alerting.selfwatch.systemd import Systemd

if TYPE_CHECKING:
    from pathlib import Path


def manager(address: str) -> socket.socket:
    """The service manager's end."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(f"\0{address[1:]}" if address.startswith("@") else address)
    made.settimeout(5)
    return made


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_said_arrives_as_sd_notify_writes_it(abstract: bool, tmp_path: Path) -> None:
    """On a socket with a path, and on an abstract one."""
    address = f"@alerting-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with manager(address) as seen:
        systemd = Systemd({"NOTIFY_SOCKET": address})
        systemd.ready("watching\nREADY=0")
        systemd.alive()
        systemd.reloading(12_345)
        systemd.status("a  b")
        systemd.stopping()
        assert [seen.recv(4096).decode() for _ in range(5)] == [
            "READY=1\nSTATUS=watching READY=0",
            "WATCHDOG=1",
            "RELOADING=1\nMONOTONIC_USEC=12345000",
            "STATUS=a b",
            "STOPPING=1",
        ]


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    """And with one that does not read: the message is dropped, nobody waits."""
    Systemd({}).ready("x")
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    with manager(str(tmp_path / "full")):
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "full")})
        for _ in range(2_000):
            systemd.alive()


@pytest.mark.parametrize(
    ("given", "pace"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "9" * 40}, 499_999_999_999_999),
        ({}, None),
    ],
)
def test_the_pace_of_signs_of_life(given: dict[str, str], pace: int | None) -> None:
    """Half of what is asked for, only where this process is meant, only with a socket to send to."""
    assert Systemd({"NOTIFY_SOCKET": "/x", **given}).pace == pace
    assert Systemd(given).pace is None
