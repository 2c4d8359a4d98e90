"""What happened, as `explain` and `history` read it: one suite over the memory and the file."""

from __future__ import annotations

import asyncio

import pytest

from alerting.core.telling.folding import folded
from alerting.model import Decision, DeliveryState, Outcome
from alerting.ports import BEGINNING, Change
from alerting.store import sqlite
from alerting.store.memory import MemoryStore
from tests.store.made import AT, failed, key, owed, parked, sent, transition


@pytest.fixture(params=["memory", "file"])
def over(request, tmp_path):
    """Run a coroutine function over an open store, and close it."""

    def run(scenario):
        async def main():
            store = MemoryStore() if request.param == "memory" else sqlite.build("sqlite:///state.db", tmp_path)
            await store.open()
            try:
                await scenario(store)
            finally:
                await store.close()

        asyncio.run(main())

    return run


def decision(name: str = "disk", at: int = AT, outcome: str = "held") -> Decision:
    """A stage's decision about the alert of that name."""
    return Decision(at, key(name), f"{name}-1", "firing", "slack", outcome, "silence", "silenced by ab12", "ab12")


async def try_(store, result, at: int, **fields) -> None:
    """Claim what is due and let the attempt end so."""
    (claimed,) = await store.claim("slack", at, 1_000, 1)
    await store.settle(result(claimed, **fields)._replace(tried_at=at))


def test_an_account_holds_what_concerns_one_alert_oldest_first(over) -> None:
    """Its transitions, decisions, messages; those of the others are left out, though their series are alike."""

    async def scenario(store):
        await store.commit(
            Change(
                AT,
                transitions=[transition("disk", AT), transition("other"), transition("disk", AT + 5)],
                decisions=[decision("disk"), decision("other"), decision("disk", AT + 5, "told")],
                notifications=[owed("n1"), owed("n2", name="other", group_key="o"), owed("n3", step="resolved")],
            )
        )
        account = await store.account(key("disk"))
        assert [each.at for each in account.transitions] == [AT, AT + 5]
        assert [each.outcome for each in account.decisions] == ["held", "told"]
        assert [each.notification.id for each, _ in account.messages] == ["n1", "n3"]
        newest = await store.account(key("disk"), 1)
        assert [each.at for each in (*newest.transitions, *newest.decisions)] == [AT + 5, AT + 5]
        assert [each.notification.id for each, _ in newest.messages] == ["n3"]

    over(scenario)


def test_a_message_is_found_by_what_was_decided_however_many_came_after(tmp_path) -> None:
    """And those that it was folded into, one after the other; an old one that merely names the alert is left out."""

    def fold(waiting):
        return folded(waiting, "group")

    async def main():
        store = sqlite.build("sqlite:///state.db", tmp_path)
        await store.open()
        told = decision("disk", outcome="told")._replace(by="n1")
        early = [owed("n1"), owed("n2", name="other"), owed("n0", group_key="g")]
        await store.commit(Change(AT, notifications=early, decisions=[told]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1, fold)
        await store.settle(failed(claimed, AT + 5)._replace(tried_at=AT))
        await store.commit(Change(AT + 1, notifications=[owed("n3", name="other")]))
        assert [each.notification.id for each in await store.claim("slack", AT + 9, 1_000, 9, fold)] == ["n3", "n0"]
        late = [owed(f"m{number}", name="other", group_key=f"m{number}") for number in range(5_100)]
        await store.commit(Change(AT + 2, notifications=late))
        found = (await store.account(key("disk"))).messages
        assert [each.notification.id for each, _ in found] == ["n1", "n2", "n3"]
        await store.close()

    asyncio.run(main())


def test_each_attempt_is_kept_with_its_end(over) -> None:
    """In order, with what it left the message in; settling twice adds nothing."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        await try_(store, failed, AT + 10, next_at=AT + 20, why="503 from Slack")
        (claimed,) = await store.claim("slack", AT + 20, 1_000, 1)
        done = sent(claimed, AT + 30)._replace(tried_at=AT + 30)
        await store.settle(done)
        await store.settle(done)
        ((delivery, attempts),) = (await store.account(key())).messages
        assert delivery.state is DeliveryState.SENT
        assert attempts == (
            (AT + 10, 1, Outcome.RETRY, DeliveryState.PENDING, "503 from Slack"),
            (AT + 30, 2, Outcome.SENT, DeliveryState.SENT, "ok"),
        )

    over(scenario)


def test_an_end_without_an_attempt_is_told_apart(over) -> None:
    """What is parked before it was tried says so: no outcome."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1)
        await store.settle(parked(claimed, "its record is damaged", AT + 1))
        ((_, (attempt,)),) = (await store.account(key())).messages
        assert (attempt.at, attempt.outcome, attempt.state) == (AT + 1, None, DeliveryState.PARKED)

    over(scenario)


def test_a_history_goes_on_where_it_was_left(over) -> None:
    """By marks, so that nothing is shown twice and nothing is passed over, whatever the clock did meanwhile."""

    async def scenario(store):
        await store.commit(
            Change(AT, transitions=[transition(at=AT)], decisions=[decision()], notifications=[owed("n1")])
        )
        first = await store.history(AT)
        assert (len(first.transitions), len(first.decisions), len(first.attempts)) == (1, 1, 0)
        assert (await store.history(0, first.marks))[:3] == ((), (), ())
        await try_(store, failed, AT + 10, next_at=AT + 20)
        await store.commit(Change(AT - 60_000, transitions=[transition(at=AT - 60_000)]))  # the clock was set back
        later = await store.history(0, first.marks)
        assert [each.at for each in later.transitions] == [AT - 60_000]
        assert [(attempt.number, message.id) for attempt, message in later.attempts] == [(1, "n1")]
        assert (await store.history(AT + 11, BEGINNING))[:3] == ((), (), ())
        everything = await store.history(0)
        assert everything.marks == later.marks
        assert len(everything.transitions) == 2
        assert len((await store.history(0, limit=1)).transitions) == 1

    over(scenario)


def test_attempts_go_with_their_message(tmp_path) -> None:
    """What is pruned takes its attempts along."""

    async def scenario():
        store = sqlite.build("sqlite:///state.db", tmp_path)
        await store.open()
        await store.commit(Change(AT, notifications=[owed("n1", step="resolved")]))
        await try_(store, sent, AT)
        assert len((await store.history(0)).attempts) == 1
        await store.commit(Change(AT + sqlite.HISTORY + 120_000, transitions=[transition("other")]))
        assert (await store.history(0)).attempts == ()
        assert store._handle.read(lambda rows: rows.execute("SELECT count(*) FROM attempt").fetchone()) == (0,)
        await store.close()

    asyncio.run(scenario())


def test_what_is_old_is_looked_for_seldom_until_there_is_some(tmp_path) -> None:
    """Every five minutes where nothing was old enough; every minute from then on."""
    minute = 60_000

    async def scenario():
        store = sqlite.build("sqlite:///state.db", tmp_path)
        await store.open()
        for late in (2, 5, 6):  # minutes from the first write on, after which each is old
            old = transition(f"old{late}")._replace(at=AT - sqlite.HISTORY + late * minute - 1)
            await store.commit(Change(AT, transitions=[old]))
        left = []
        for after in (3, 5, 6):
            await store.commit(Change(AT + after * minute, transitions=[transition(f"new{after}")]))
            names = [each.key.rule_id for each in (await store.history(0)).transitions]
            left.append(sum("old" in name for name in names))
        assert left == [3, 1, 0]
        await store.close()

    asyncio.run(scenario())


def test_it_is_read_beside_whoever_writes(tmp_path) -> None:
    """Read only, without the lock: what a command of people does while a daemon runs."""

    async def scenario():
        writer, reader = (
            sqlite.build("sqlite:///s.db", tmp_path),
            sqlite.build("sqlite:///s.db", tmp_path, read_only=True),
        )
        await writer.open()
        await reader.open()
        await writer.commit(Change(AT, transitions=[transition()]))
        assert len((await reader.history(0)).transitions) == 1
        assert len((await reader.account(key())).transitions) == 1
        await reader.close()
        await writer.close()

    asyncio.run(scenario())
