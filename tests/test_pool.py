"""The pool of threads for blocking calls: what it keeps, and what it lets go of."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

from alerting.pool import Pool


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


def test_threads_end_with_the_last_who_has_the_pool() -> None:
    """Each reload makes new pools; those of the sources that were there before must not stay as threads that wait."""

    async def work() -> set[str]:
        pool = Pool(2, "ends")
        slow, quick = pool(lambda: time.sleep(0.1), 5_000), pool(lambda: None, 5_000)
        await asyncio.gather(slow, quick)
        assert len(named()) == 2
        del pool, slow, quick
        for _ in range(100):
            gc.collect()
            if not named():
                break
            await asyncio.sleep(0.02)
        return named()

    def named() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("ends-")}

    assert asyncio.run(work()) == set()
