"""F17: months of history. What is old goes in small steps, what is open stays, and the file keeps to a stated bound."""

from __future__ import annotations

import asyncio
import re
import sqlite3 as driver
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import alerting
from alerting.model import Decision
from alerting.ports import Change
from alerting.store import sqlite
from tests.full import rounds
from tests.store.made import AT, alert, balance, key, owed, sent, transition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from alerting.model import Notification
    from alerting.store.sqlite import SqliteStore

MINUTE, DAY = 60_000, 86_400_000
OPEN = 20  # alerts that fire all the time, and messages that nobody takes
KIB = 1024
OLDEST = """SELECT min(at) FROM (SELECT at FROM transition UNION ALL SELECT at FROM decision
    UNION ALL SELECT settled_at FROM delivery WHERE settled_at >= ?)"""  # those before belong to what is open


def message(name: str, step: str) -> Notification:
    """A message as rules with annotations make it."""
    made = owed(f"{name}-{step}", "slack", name, name, step)
    said = {"summary": f"{name}: more than 85% of the disk is used, and at this pace it is full within four hours"}
    more = {"annotations": said, "runbook_url": "https://runbooks.example.org/disks/nearly-full"}
    firing, resolved = ([each._replace(**more) for each in told] for told in (made.firing, made.resolved))
    return made._replace(firing=tuple(firing), resolved=tuple(resolved))


class Life:
    """A store in which alerts come and go. `per_day`: messages; each alert has two."""

    def __init__(self, store: SqliteStore, per_day: int) -> None:
        self.store = store
        self.per_day = per_day
        self.number = 0  # of the last alert
        self.longest = 0.0  # s that one call took
        self.lived = 0.0  # alerts that were due so far

    async def begin(self) -> None:
        """Owe what stays open."""
        names = [f"open{n}" for n in range(OPEN)]
        told = [owed(f"{name}-up", group_key=name, name=name) for name in names]
        waiting = [owed(f"{name}-down", "nobody", f"{name}-down", name, step="resolved") for name in names]
        await self.store.commit(Change(AT, alerts=[alert(name) for name in names], notifications=[*told, *waiting]))
        for delivery in await self.store.claim("slack", AT, MINUTE, OPEN):
            await self.store.settle(sent(delivery, AT - 1)._replace(tried_at=AT - 1))

    async def live(self, at: int, duration: int) -> None:
        """Let all alerts of a while fire and end: two commits, as by two ticks, and what is owed is sent after each."""
        self.lived += self.per_day / 2 * duration / DAY
        names = [f"a{n}" for n in range(self.number, int(self.lived))]
        self.number = int(self.lived)
        for step, when in (("firing", at), ("resolved", at + duration // 2)):
            await self._timed(self.store.commit(self._change(names, step, when)))
            while claimed := await self._timed(self.store.claim("slack", when, MINUTE, 100)):
                done = [
                    sent(each, when, receipt={"ts": f"{each.notification.id}"})._replace(tried_at=when)
                    for each in claimed
                ]
                await self._timed(self.store.settle(*done))

    def _change(self, names: list[str], step: str, at: int) -> Change:
        """What a tick writes of alerts that begin or end: who was held back for a moment, and told."""

        def decided(outcome: str) -> Iterable[Decision]:
            return (
                Decision(at, key(name), f"{name}-1", step, "slack", outcome, "group", "its group waits for others", "k")
                for name in names
            )

        began = step == "firing"
        return Change(
            at,
            alerts=[alert(name) for name in names] if began else (),
            dropped=() if began else [key(name) for name in names],
            transitions=[transition(name, at) for name in names for _ in range(2 if began else 1)],
            notifications=[message(name, step) for name in names],
            decisions=[*decided("held"), *decided("told")],
        )

    async def _timed(self, call: Awaitable[object]) -> object:
        began = time.perf_counter()
        try:
            return await call
        finally:
            self.longest = max(self.longest, time.perf_counter() - began)


def stated(per_day: int) -> float:
    """The bound that docs/deployment.md states, in bytes."""
    text = (Path(alerting.__file__).parents[1] / "docs" / "deployment.md").read_text()
    found = re.search(r"at most (\d+) MiB and (\d+(?:\.\d+)?) KiB for each message of the last (\d+) days", text)
    assert found is not None, "the bound is stated nowhere"
    assert int(found[3]) == sqlite.HISTORY / DAY
    return int(found[1]) * KIB * KIB + float(found[2]) * KIB * per_day * int(found[3])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_f17_a_month_and_more_has_the_stated_size_and_no_long_stall(tmp_path, figure) -> None:
    """30 days go by in large steps; then each minute counts, while what is older than that goes."""
    per_day, minutes = rounds(300, full=50_000), rounds(60, full=1_440)

    async def main() -> tuple[Life, int, dict[str, int], int, float]:
        store = sqlite.build("sqlite:///state.db", tmp_path)
        await store.open()
        life = Life(store, per_day)
        await life.begin()
        pace = rounds(12, full=1) * 60 * MINUTE
        for at in range(0, sqlite.HISTORY, pace):
            await life.live(AT + at, pace)
        life.longest = 0.0
        pages = 0.0
        for minute in range(minutes):
            await life.live(AT + sqlite.HISTORY + minute * MINUTE, MINUTE)
            if minute % 10 == 0:  # a scrape of /metrics, which waits for the same thread
                began = time.perf_counter()
                await store.overview(0)
                pages = max(pages, time.perf_counter() - began)
        counts = (await store.overview(0)).counts
        snapshot = await store.open()
        await store.close()
        still = sum(each.key == key(f"open{n}") for n in range(OPEN) for each in snapshot.alerts)
        with closing(driver.connect(tmp_path / "state.db")) as rows:  # there are too many to be read through the store
            owed_ = "SELECT count(*) FROM delivery WHERE settled_at IS NULL AND receiver = 'nobody'"
            still += rows.execute(owed_).fetchone()[0]
            rows_here = dict(
                rows.execute("SELECT state, count(*) FROM delivery WHERE settled_at NOTNULL GROUP BY state")
            )
            counted = rows.execute("SELECT here_sent, here_parked, here_folded FROM meta").fetchone()
            assert counted == tuple(rows_here.get(state, 0) for state in ("sent", "parked", "folded"))
            oldest = rows.execute(OLDEST, (AT,)).fetchone()[0]
        assert balance(counts) == 0
        return life, still, counts, oldest, pages

    life, still, counts, oldest, pages = asyncio.run(main())
    end = AT + sqlite.HISTORY + minutes * MINUTE
    n = counts["created"]
    size = sum(path.stat().st_size for path in tmp_path.glob("state.db*"))
    for path in tmp_path.glob("state.db*"):
        path.unlink()  # in full, gigabytes
    print(f"{n} messages, {size / 1e6:.1f} MB, {size / KIB / per_day / 30:.2f} KiB each; a page {pages:.3f} s")
    figure("size, of the stated bound", 100 * size / stated(per_day), at_most=110, n=n, unit="%")
    figure("longest write", 1000 * life.longest, at_most=250, n=n, unit="ms", timed=True)
    figure("longest wait for the metrics page", 1000 * pages, at_most=250, n=minutes // 10, unit="ms", timed=True)
    figure("open episodes and owed messages that are gone", 2 * OPEN - still, at_most=0, n=2 * OPEN)
    late = max(0, end - sqlite.HISTORY - oldest) / MINUTE
    figure("history kept beyond its time", late, at_most=15, n=n, unit="minutes")
