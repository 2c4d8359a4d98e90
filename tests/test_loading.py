"""How a command takes the state that it works on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from alerting.cli.loading import opened
from alerting.config.settings import load_settings
from alerting.errors import LockHeld
from alerting.store.lock import Lock
from alerting.wiring import Program

if TYPE_CHECKING:
    from pathlib import Path

    from alerting.ports import Snapshot


def take(tmp_path: Path, held_for: float) -> Snapshot:
    """Take the state while another holds its lock for so many seconds."""
    settings = load_settings(None, {}, tmp_path)
    lock = Lock(str(tmp_path / "alerting.db"))

    async def run() -> Snapshot:
        program = Program(settings, say=print)
        lock.take()
        asyncio.get_running_loop().call_later(held_for, lock.release)
        try:
            return await opened(program, settings)
        finally:
            lock.release()
            await program.close()

    return asyncio.run(run())


def test_a_command_that_holds_the_state_for_a_moment_costs_no_turn(tmp_path: Path) -> None:
    """Somebody writes a silence just when cron's check begins: the check waits for that."""
    assert take(tmp_path, 0.05).alerts == ()


def test_whoever_holds_it_for_longer_is_not_waited_for(tmp_path: Path) -> None:
    """Another check, or a program that hangs: cron comes again."""
    began = time.monotonic()
    with pytest.raises(LockHeld, match="in use"):
        take(tmp_path, 60)
    assert 0.4 < time.monotonic() - began < 10
