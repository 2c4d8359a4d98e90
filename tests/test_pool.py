"""The pool of threads for blocking calls: what it keeps, and what it lets go of."""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.pool import Pool

if TYPE_CHECKING:
    from tests.figures import Figure


class Large:
    """Something that a call holds on to."""


def test_a_thread_that_waits_keeps_nothing_of_its_last_call_alive() -> None:
    """Neither what the call held nor what it gave: with many rules that is tens of megabytes."""

    async def work() -> list[object]:
        pool = Pool(1)
        held = Large()
        gone = [weakref.ref(held)]

        def call(held: Large = held) -> Large:
            made = Large()
            gone.append(weakref.ref(made))
            return made

        await pool(call, 5_000)
        del held, call
        for _ in range(100):
            gc.collect()
            if not any(each() for each in gone):
                break
            await asyncio.sleep(0.02)
        return [each() for each in gone]

    assert asyncio.run(work()) == [None, None]


def test_f73_a_pool_works_again_as_soon_as_the_machine_has_a_thread_for_it(figure: Figure) -> None:
    """Without one a call waits, and its deadline holds; it used to be counted as if it were there, for ever."""

    async def work() -> tuple[str, float]:
        pool = Pool(1)
        most, size = resource.getrlimit(resource.RLIMIT_AS), threading.stack_size(1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (in_use() + (64 << 20), most[1]))  # a stack has no room in it
        try:
            with pytest.raises(TimeoutError):
                await pool(lambda: "at once", 50)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, most)
            threading.stack_size(size)
        began = time.monotonic()
        return await pool(lambda: "again", 5_000), time.monotonic() - began

    def in_use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    said, took = asyncio.run(work())
    assert said == "again"
    figure("recovery of a pool", took, at_most=30, n=1, unit="s")


_STILLBORN = """
import asyncio, resource, threading, time
from pathlib import Path
from alerting.pool import Pool

async def work():
    pool, size, most = Pool(1), 1 << 20, resource.getrlimit(resource.RLIMIT_AS)
    threading.stack_size(size)
    loop = asyncio.get_running_loop()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size + 8192, most[1]))  # room for its stack, and for nothing more
    loop.call_later(0.2, resource.setrlimit, resource.RLIMIT_AS, most)
    began = time.monotonic()
    said = await pool(lambda: "again", 20_000)
    print(said, time.monotonic() - began - 0.2)

asyncio.run(work())
"""


def test_f73_a_thread_that_dies_at_its_birth_holds_up_nobody(figure: Figure) -> None:
    """It used to be waited for, for ever, by the loop of the whole daemon; the call has another thread in its place."""
    child = subprocess.run(
        [sys.executable, "-c", _STILLBORN], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Exception ignored in thread started by" in child.stderr, "it did die"
    said, took = child.stdout.split()
    assert said == "again"
    figure("recovery of a pool whose thread died", float(took), at_most=30, n=1, unit="s")


def test_threads_end_with_the_last_who_has_the_pool() -> None:
    """Each reload makes new pools; those of the sources that were there before must not stay as threads that wait."""

    async def work() -> set[str]:
        pool = Pool(2)
        before = running()
        slow, quick = pool(lambda: time.sleep(0.1), 5_000), pool(lambda: None, 5_000)
        await asyncio.gather(slow, quick)
        own = running() - before
        assert len(own) == 2
        del pool, slow, quick
        for _ in range(100):
            gc.collect()
            if not own & running():
                break
            await asyncio.sleep(0.02)
        return own & running()

    def running() -> set[str]:
        return {each.name for each in Path("/proc/self/task").iterdir()}

    assert asyncio.run(work()) == set()


def test_calls_that_come_at_once_do_not_queue_for_the_one_thread_that_is_idle() -> None:
    """A call that hangs would hold up the next, though the pool has room for both."""

    async def work() -> str:
        pool, opened = Pool(2), threading.Event()
        await pool(str, 5_000)
        await asyncio.sleep(0.05)  # its thread is idle again
        hangs = asyncio.ensure_future(pool(lambda: opened.wait(5), 5_000))
        opens = asyncio.ensure_future(pool(lambda: opened.set() or "opened", 1_000))
        await hangs
        return await opens

    assert asyncio.run(work()) == "opened"
