"""A commit that seemed to fail and was saved: the engine takes the state anew, so nobody is paged twice."""

from __future__ import annotations

import asyncio

from alerting.errors import StateMoved, StoreError
from alerting.store.memory import MemoryStore
from tests.tick import House, rule


class Doubtful(MemoryStore):
    """Saves the next commit but says that it failed, as a disk does whose sync gave no answer."""

    def __init__(self):
        super().__init__()
        self.doubt = self.moved = False

    async def open(self):
        self.moved = False
        return await super().open()

    async def commit(self, change):
        if self.moved:
            raise StateMoved("it is on disk after all")
        await super().commit(change)
        if self.doubt:
            self.doubt, self.moved = False, True
            raise StoreError("the disk gave no answer")


def test_a_change_that_was_saved_after_all_is_told_once_and_ends_under_its_key() -> None:
    """Two reports of trouble, then all goes on from what is on disk: one page and its resolve, one episode."""

    async def story():
        house = await House(rule(), store=Doubtful()).open()
        await house.tick(1)
        house.store.doubt = True
        assert "no answer" in (await house.tick(20)).trouble
        assert "after all" in (await house.tick(20)).trouble
        assert house.woken == [{"chat", "pager"}]  # what it owes is sent at once
        report = await house.tick(20)
        assert (report.trouble, report.transitions, report.notifications) == ("", [], [])
        assert house.states() == {"High": "firing"}
        ended = await house.tick(3)
        assert {each.group_key for each in ended.notifications} == {
            each.notification.group_key for each in (await house.store.overview()).deliveries
        }
        assert (await house.store.overview()).counts["created"] == 4  # two receivers: a page and a resolve each
        assert [each.after for each in (await house.store.overview()).transitions] == ["resolved", "firing"]

    asyncio.run(story())
