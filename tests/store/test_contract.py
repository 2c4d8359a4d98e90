"""What every store promises: one suite over the memory, the file, the file behind a thread, and a file that is held."""

from __future__ import annotations

import asyncio
import sqlite3 as driver
from contextlib import closing, suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.core.telling.folding import folded
from alerting.errors import StoreError, TooLate
from alerting.model import AlertState, DeliveryState, Ended, Labels, Outcome, Recall, Told, Unsaid
from alerting.pool import Pool
from alerting.ports import Change
from alerting.store import sqlite
from alerting.store.memory import MemoryStore
from tests.full import rounds
from tests.store.made import AT, alert, balance, failed, key, notice, owed, parked, sent, transition

KINDS = ("memory", "file", "thread", "unsaved")


def build(kind, folder):
    """A store of that kind."""
    if kind == "memory":
        return MemoryStore()
    unsaved = {"busy": 0, "lasting": True} if kind == "unsaved" else {}
    return sqlite.build("sqlite:///state.db", folder, blocking=Pool(1) if kind == "thread" else None, **unsaved)


@pytest.fixture(params=KINDS)
def over(request, tmp_path):
    """Run a coroutine function over an open store, and close it."""

    def run(scenario):
        async def main():
            store = build(request.param, tmp_path)
            await store.open()
            if request.param != "unsaved":
                await played(store)
                return
            with closing(driver.connect(tmp_path / "state.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await played(store)

        async def played(store):
            try:
                await scenario(store)
                assert balance((await store.overview()).counts) == 0
            finally:
                with suppress(StoreError):  # of the one that is unsaved
                    await store.close()

        asyncio.run(main())

    return run


def keys_of(snapshot):
    """The keys under which what was announced."""
    return {place: told.group_key for place, told in snapshot.announced.items()}


def test_what_is_committed_is_read_back_equal(over) -> None:
    """Alerts, evaluations, faults, the configuration and what was announced come back as they went in."""
    odd = alert("odd", value="degr\ud800aded\x00", why="état ≠ 'ok'", labels=Labels({"näme": "a\nb"}))
    infinite = alert("infinite", AlertState.PENDING, value=float("-inf"), fired_at=None, paused_at=AT, gone_since=AT)

    async def scenario(store):
        await store.commit(
            Change(
                AT,
                alerts=[odd, infinite, alert()],
                transitions=[transition(), transition("odd")._replace(ended=Ended.NO_DATA)],
                notifications=[owed("n1"), owed("n2", "pager", "p")],
                evaluated={"r1": AT, "r2": AT - 1},
                faults={"health": "timed out", "half": "\ud800"},
                good_config="rules: []",
            )
        )
        snapshot = await store.open()
        assert sorted(snapshot.alerts, key=lambda each: each.key) == sorted(
            (odd, infinite, alert()), key=lambda each: each.key
        )
        assert snapshot.evaluated == {"r1": AT, "r2": AT - 1}
        assert snapshot.faults["health"] == "timed out"
        assert snapshot.good_config == "rules: []"
        assert keys_of(snapshot) == {(key(), "slack"): "k", (key(), "pager"): "p"}
        assert list(snapshot.notices) == [notice()]
        overview = await store.overview()
        assert [each.ended for each in overview.transitions] == [Ended.NO_DATA, None]
        assert [each.notification for each in overview.deliveries] == [owed("n1"), owed("n2", "pager", "p")]
        assert overview.written_at == AT

    over(scenario)


def test_a_later_commit_replaces_drops_and_forgets(over) -> None:
    """Put, drop and forget do what they say, and leave the rest."""

    async def scenario(store):
        await store.commit(Change(AT, alerts=[alert("a"), alert("b")], evaluated={"a": 1, "b": 1}, faults={"s": "x"}))
        changed = alert("a", AlertState.RESOLVED, version=3)
        await store.commit(
            Change(
                AT + 1, alerts=[changed], dropped=[key("b")], forgotten=["a"], evaluated={"b": 2}, faults={"s": None}
            )
        )
        snapshot = await store.open()
        assert snapshot.alerts == (changed,)
        assert snapshot.evaluated == {"b": 2}
        assert snapshot.faults == {}

    over(scenario)


def test_an_empty_change_is_not_written(over) -> None:
    """A tick that changes nothing leaves no trace, not even of its time."""

    async def scenario(store):
        await store.commit(Change(AT))
        assert (await store.overview()).written_at is None

    over(scenario)


def test_what_is_called_back_is_not_owed_and_may_be_owed_again(over) -> None:
    """It is settled with the reason, unsaid, and its id is free; what is left of another is what is sent."""

    async def scenario(store):
        both = owed("n2", "pager", "p")._replace(firing=(notice("disk"), notice("cpu")))
        await store.commit(Change(AT, notifications=[owed("n1"), both]))
        recalled = [
            Recall("n1", owed("n1-back"), whole=True, why="called back: silenced by ann"),
            Recall(
                "n2",
                both._replace(id="n2-left", firing=(notice("cpu"),)),
                whole=False,
                why="called back: silenced by ann",
            ),
        ]
        before = Told("p", AT - 5, "warning")
        unsaid = [
            Unsaid(key(), "slack"),
            Unsaid(key("cpu"), "pager", before, notice("cpu")._replace(severity="warning")),
        ]
        await store.commit(Change(AT + 1, recalled=recalled, unsaid=unsaid))
        announced = (await store.open()).announced
        assert (key(), "slack") not in announced
        assert announced[key("cpu"), "pager"][:3] == before[:3]
        assert [each.notification.id for each in await store.unsent()] == ["n2-left"]
        assert [each.notification.id for each in await store.unsent("slack")] == []
        (_, (ended,)), *_ = (await store.account(key())).messages
        assert (ended.at, ended.outcome, ended.state, ended.why) == (
            AT + 1, None, "folded", "called back: silenced by ann",
        )  # fmt: skip
        (told,) = await store.claim("pager", AT, 1_000, 5)
        assert [each.name for each in told.notification.firing] == ["cpu"]
        await store.commit(Change(AT + 2, notifications=[owed("n1")]))
        assert [each.notification.id for each in await store.claim("slack", AT + 2, 1_000, 5)] == ["n1"]
        assert (await store.overview()).counts["created"] == 3

    over(scenario)


@pytest.mark.parametrize("amended", [
    {"passed_on": ["n1"]},
    {"recalled": [Recall("n1", owed("n1-back"), whole=True, why="silenced")]},
])  # fmt: skip
def test_only_a_turn_counts_as_the_newest_that_was_saved(over, amended) -> None:
    """What is changed between two turns, be it at the very moment of one, does not say that a turn was saved."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        await store.commit(Change(AT + 1, **amended, is_turn=False))
        assert (await store.open()).written_at == AT
        assert (await store.overview()).written_at == AT
        await store.commit(Change(AT + 1, alerts=[alert()]))
        assert (await store.open()).written_at == AT + 1

    over(scenario)


@pytest.mark.parametrize("how", ["claimed", "perhaps", "sent", "never owed"])
def test_what_has_gone_out_is_not_called_back(over, how) -> None:
    """Nothing is written then: not what else was to be called back either."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1"), owed("n2", "pager", "p")]))
        if how != "never owed":
            (claimed,) = await store.claim("slack", AT, 1_000, 5)
            if how == "sent":
                await store.settle(sent(claimed))
            if how == "perhaps":  # and what becomes of it later does not undo that
                await store.settle(failed(claimed, AT)._replace(outcome=Outcome.UNKNOWN))
                (again,) = await store.claim("slack", AT, 1_000, 5)
                await store.settle(failed(again, AT + 9))
                assert [each.outcome for each in await store.unsent("slack")] == [Outcome.UNKNOWN]
        names = ("n2", "n3" if how == "never owed" else "n1")
        recalled = [Recall(each, owed(f"{each}-back"), whole=True, why="silenced") for each in names]
        with pytest.raises(TooLate):
            await store.commit(Change(AT + 1, recalled=recalled, unsaid=[Unsaid(key(), "pager")]))
        assert "n2" in [each.notification.id for each in await store.unsent()]
        assert (key(), "pager") in (await store.open()).announced

    over(scenario)


def test_an_attempt_that_failed_for_sure_keeps_nothing_from_being_called_back(over) -> None:
    """It is what a receiver that is down says."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 5)
        await store.settle(failed(claimed, AT + 5)._replace(tried_at=AT))
        await store.commit(Change(AT + 1, recalled=[Recall("n1", owed("n1-back"), whole=True, why="silenced")]))
        assert await store.claim("slack", AT + 9, 1_000, 5) in ([], ())
        ((_, tries),) = (await store.account(key())).messages
        assert [(each.number, each.state, each.why) for each in tries] == [
            (1, "pending", "500"),
            (1, "folded", "silenced"),
        ]

    over(scenario)


def test_a_notification_is_owed_once_however_often_it_is_committed(over) -> None:
    """The id is the idempotency key: a replay adds nothing and undoes nothing."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 5)
        await store.settle(sent(claimed))
        await store.commit(Change(AT, notifications=[owed("n1")]))
        assert await store.claim("slack", AT, 1_000, 5) in ([], ())
        assert (await store.overview()).counts["created"] == 1

    over(scenario)


def test_who_was_told_is_remembered_until_they_are_told_of_the_end(over) -> None:
    """A resolve goes to whoever got the page: the announcement lasts until a resolve is owed, alert or no alert."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1"), owed("n2", "pager", "p"), owed("n3", name="cpu")]))
        await store.commit(Change(AT, notifications=[owed("n4", step="resolved")]))
        await store.commit(Change(AT, dropped=[key("cpu")]))
        snapshot = await store.open()
        assert keys_of(snapshot) == {(key(), "pager"): "p", (key("cpu"), "slack"): "k"}
        assert {each.key for each in snapshot.notices} == {key(), key("cpu")}
        assert {told.at for told in snapshot.announced.values()} == {owed("n1").created}

    over(scenario)


def test_claims_are_oldest_first_and_one_to_a_group_key(over) -> None:
    """No message overtakes an older one of its key; other keys and receivers do not wait for it."""

    async def scenario(store):
        names = [("a1", "slack", "a"), ("a2", "slack", "a"), ("b1", "slack", "b"), ("p1", "pager", "a")]
        await store.commit(Change(AT, notifications=[owed(*name) for name in names]))
        assert await store.owing() == ["pager", "slack"]
        first = await store.claim("slack", AT, 1_000, 10)
        assert [each.notification.id for each in first] == ["a1", "b1"]
        assert {each.state for each in first} == {DeliveryState.CLAIMED}
        assert len(await store.claim("slack", AT, 1_000, 10)) == 0
        await store.settle(sent(first[0]))
        assert [each.notification.id for each in await store.claim("slack", AT, 1_000, 10)] == ["a2"]
        assert [each.notification.id for each in await store.claim("pager", AT, 1_000, 10)] == ["p1"]

    over(scenario)


def test_urgent_messages_are_claimed_first(over) -> None:
    """But never before an older one of their own key."""

    async def scenario(store):
        waiting = [
            owed("a1", group_key="a"),
            owed("b1", group_key="b"),
            owed("b2", group_key="b"),
            owed("c1", group_key="c"),
        ]
        urgent = {"b2", "c1"}
        made = [each._replace(urgent=each.id in urgent) for each in waiting]
        await store.commit(Change(AT, notifications=made))
        (first,) = await store.claim("slack", AT, 1_000, 1)
        assert first.notification.id == "c1"
        assert [each.notification.id for each in await store.claim("slack", AT, 1_000, 9)] == ["a1", "b1"]
        await store.settle(sent(first))

    over(scenario)


def test_what_was_overtaken_is_folded_when_it_is_claimed(over) -> None:
    """The newest goes out in the words of all, where the oldest stood; the others are folded and say by which."""

    def fold(waiting):
        return len(waiting), waiting[-1]._replace(title=" and ".join(each.title for each in waiting), urgent=True)

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("a1", group_key="a")._replace(created=AT - 9)]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1, fold)
        assert claimed.notification.title == "disk firing"  # nothing waits behind it
        await store.settle(failed(claimed, AT + 5, "500")._replace(receipt={"plain": "yes"}))
        await store.commit(Change(AT, notifications=[owed("a2", group_key="a"), owed("a3", group_key="a"), owed("b1")]))
        assert [each.notification.id for each in await store.claim("slack", AT, 1_000, 9, fold)] == ["b1"]
        (heir,) = await store.claim("slack", AT + 5, 1_000, 9, fold)
        assert (heir.notification.id, heir.attempts, heir.why, heir.receipt) == ("a3", 1, "500", {"plain": "yes"})
        assert heir.notification.title == "disk firing and disk firing and disk firing"
        assert (heir.owed_since, heir.passed_on) == (AT - 9, False)
        counts = (await store.overview()).counts
        assert (counts["folded"], counts["claimed"], counts["pending"]) == (2, 2, 0)
        (shown,) = [each for each in (await store.overview()).deliveries if each.notification.id == "a3"]
        assert shown.notification == heir.notification
        await store.settle(sent(heir))
        account = await store.account(key())
        assert {each.notification.id: each.told_by for each, _ in account.messages if each.told_by} == {
            "a1": "a3",
            "a2": "a3",
        }
        assert await store.claim("slack", AT + 9, 1_000, 9, fold) in ([], ())

    over(scenario)


def test_a_claim_that_was_not_used_is_given_back_as_it_was(over) -> None:
    """No attempt is counted, and it is due at once."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1)
        await store.settle(claimed._replace(state=DeliveryState.PENDING))
        (again,) = await store.claim("slack", AT, 1_000, 1)
        assert (again.attempts, again.outcome) == (0, None)

    over(scenario)


def test_what_a_fallback_should_be_told_of_is_found_once(over) -> None:
    """What is late with all that waits under its key, and what was parked lately; not what was passed on."""

    async def scenario(store):
        async def found(before):
            return [each.notification.id for each in await store.unheard("slack", before)]

        old = [owed("a1", group_key="a"), owed("b1", group_key="b"), owed("p1", "pager", "b")]
        await store.commit(Change(AT, notifications=old))
        await store.commit(Change(AT, notifications=[owed("a2", group_key="a")._replace(created=AT + 100)]))
        await store.commit(Change(AT, notifications=[owed("c1", group_key="c")._replace(created=AT + 100)]))
        assert await found(AT - 1) == []
        assert await found(AT + 50) == ["a1", "b1", "a2"]
        await store.commit(Change(AT, passed_on=["a1", "a2"]))
        assert await found(AT + 50) == ["b1"]
        for each in await store.claim("slack", AT, 1_000, 9):
            if each.notification.group_key != "a":
                await store.settle(parked(each, at=AT + 60))
        assert await found(AT + 50) == ["b1", "c1"]
        assert await found(AT + 5_000_000) == []  # parked so long ago that it is old news; and a1, a2 were passed on
        await store.open()
        assert await found(AT + 50) == ["b1", "c1"]

    over(scenario)


def test_a_receiver_is_down_by_what_became_of_its_messages(over) -> None:
    """Tried in vain for long, or given up last: down, with the reason; sent last: well; nothing tried: unknown."""

    async def scenario(store):
        names = ("slack", "pager", "nobody")
        await store.commit(Change(AT, notifications=[owed("s1"), owed("s2", group_key="x"), owed("p1", "pager", "p")]))
        assert await store.standing(names, AT) == {}
        first, second = await store.claim("slack", AT, 1_000, 9)
        await store.settle(sent(first, AT + 1))
        assert await store.standing(names, AT) == {"slack": ""}
        await store.settle(failed(second, AT + 5, "503"))
        assert await store.standing(names, AT - 1) == {"slack": ""}
        assert await store.standing(names, AT) == {"slack": "503"}
        (page,) = await store.claim("pager", AT, 1_000, 9)
        await store.settle(parked(page, "no such key", AT + 2))
        assert await store.standing(names, AT - 1) == {"slack": "", "pager": "no such key"}

    over(scenario)


def test_what_a_fallback_was_told_in_its_place_makes_a_receiver_no_less_down(over) -> None:
    """Each new message of the group is young, and was told to somebody else: the oldest of them counts all the same."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("a1"), owed("b1", group_key="b")]))
        for number, now in enumerate((AT, AT + 200, AT + 400), start=1):
            (head, *others) = await store.claim("slack", now, 1_000, 9, partial(folded, stands_for="message"))
            await store.settle(failed(head, now, "503"), *(sent(each, now) for each in others))
            await store.commit(Change(now + 50, passed_on=[head.notification.id]))
            await store.commit(Change(now + 100, notifications=[owed(f"a{number + 1}")._replace(created=now + 100)]))
        (waiting,) = [each for each in await store.unsent("slack") if each.attempts]
        assert waiting.owed_since == AT + 300
        assert await store.standing(["slack"], AT) == {"slack": "503"}
        assert await store.standing(["slack"], AT - 1) == {"slack": ""}

    over(scenario)


def test_an_attempt_that_we_broke_off_ourselves_says_nothing_of_the_receiver(over) -> None:
    """It is neither down, nor well because of what it was sent before."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("a"), owed("b", group_key="b")]))
        first, _ = await store.claim("slack", AT, 1_000, 9)
        await store.settle(sent(first, AT + 1))
        (again,) = await store.claim("slack", AT + 1_000, 1_000, 9)
        assert again.attempts == 1
        assert await store.standing(["slack"], AT) == {}
        await store.settle(failed(again, AT + 5_000, "503"))
        assert await store.standing(["slack"], AT) == {"slack": "503"}

    over(scenario)


def test_a_failed_message_waits_and_holds_up_only_its_own_key(over) -> None:
    """Until it is due it is not claimed, nor is a newer one of its key; next_due says when."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("a1", group_key="a"), owed("a2", group_key="a")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1)
        await store.settle(failed(claimed, AT + 5_000))
        assert await store.next_due("slack") == AT + 5_000
        assert len(await store.claim("slack", AT + 4_999, 1_000, 5)) == 0
        (again,) = await store.claim("slack", AT + 5_000, 1_000, 5)
        assert (again.notification.id, again.attempts, again.why) == ("a1", 1, "500")
        await store.settle(parked(again))
        assert await store.next_due() is not None
        (then,) = await store.claim("slack", AT + 5_000, 1_000, 5)
        assert then.notification.id == "a2"
        await store.settle(sent(then))
        assert await store.next_due() is None
        assert await store.owing() == []
        counts = (await store.overview()).counts
        assert (counts["created"], counts["sent"], counts["parked"]) == (2, 1, 1)

    over(scenario)


def test_a_claim_whose_lease_is_over_counts_as_an_attempt_with_an_unknown_end(over) -> None:
    """Nobody knows whether it arrived: it is due again, and says so."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        await store.claim("slack", AT, 1_000, 1)
        assert await store.next_due("slack") == AT + 1_000
        assert len(await store.claim("slack", AT + 999, 1_000, 1)) == 0
        (again,) = await store.claim("slack", AT + 1_000, 1_000, 1)
        assert (again.attempts, again.outcome) == (1, Outcome.UNKNOWN)
        assert "may have arrived" in again.why

    over(scenario)


def test_a_time_beyond_all_waits_was_set_by_a_clock_that_stepped_back(over) -> None:
    """What would be due in more than a day is due now: no wait is that long."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1)
        await store.settle(failed(claimed, AT + 30_000))
        assert len(await store.claim("slack", AT - 3 * 86_400_000, 1_000, 1)) == 1

    over(scenario)


def test_what_is_settled_stays_settled(over) -> None:
    """Settling twice, or after the end, changes nothing: a retry of `settle` is safe."""

    async def scenario(store):
        await store.commit(Change(AT, notifications=[owed("n1")]))
        (claimed,) = await store.claim("slack", AT, 1_000, 1)
        await store.settle(sent(claimed))
        await store.settle(failed(claimed, AT + 1))
        await store.settle(sent(claimed._replace(notification=owed("never heard of"))))
        (only,) = (await store.overview()).deliveries
        assert only == sent(claimed)._replace(claimed_by="", claimed_until=0)

    over(scenario)


def test_the_previous_receipt_is_that_of_the_newest_sent_message_of_the_key(over) -> None:
    """Whatever failed or was parked since, and whatever other receivers got."""

    async def scenario(store):
        assert await store.previous_receipt("slack", "k") is None
        for number in range(3):
            await store.commit(Change(AT, notifications=[owed(f"n{number}")]))
            (claimed,) = await store.claim("slack", AT, 1_000, 1)
            done = parked(claimed) if number == 2 else sent(claimed, receipt={"ts": str(number)})
            await store.settle(done)
        assert await store.previous_receipt("slack", "k") == {"ts": "1"}
        assert await store.previous_receipt("pager", "k") is None

    over(scenario)


def test_the_overview_shows_what_is_not_sent_first_and_then_the_newest(over) -> None:
    """Troubles come first; the limit holds for each list."""

    async def scenario(store):
        await store.commit(
            Change(
                AT, notifications=[owed(f"n{n}", group_key=f"k{n}") for n in range(6)], transitions=[transition()] * 9
            )
        )
        claimed = await store.claim("slack", AT, 1_000, 6)
        for number in (0, 1, 2):
            await store.settle(sent(claimed[number], AT + number))
        overview = await store.overview(limit=5)
        assert [each.notification.id for each in overview.deliveries] == ["n3", "n4", "n5", "n2", "n1"]
        assert len(overview.transitions) == 5
        assert overview.counts == {"created": 6, "pending": 0, "claimed": 3, "sent": 3, "parked": 0, "folded": 0}

    over(scenario)


def test_texts_are_kept_by_name_and_forgotten(over) -> None:
    """They survive opening anew; the last good configuration is another matter and stays."""

    async def scenario(store):
        await store.commit(Change(AT, good_config="rules: []"))
        await store.keep({"push/a/x": "1", "push/a/y": "", "push/b/x": "é\n", "other": "2"})
        await store.keep({"push/a/x": "3", "push/a/y": None, "never": None})
        await store.open()
        assert await store.kept("push/") == {"push/a/x": "3", "push/b/x": "é\n"}
        assert await store.kept("push/a/") == {"push/a/x": "3"}
        assert (await store.open()).good_config == "rules: []"
        await store.keep({})

    over(scenario)


STANDS_FOR = {"a": "group", "b": "alert"}
STEP = st.one_of(
    st.tuples(st.just("owe"), st.sampled_from("ab"), st.tuples(st.sampled_from("xyz"), st.booleans())),
    st.tuples(st.just("claim"), st.sampled_from("ab"), st.integers(1, 3)),
    st.tuples(st.just("settle"), st.sampled_from(("sent", "parked", "failed")), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.just(""), st.integers(0, 3_000)),
)


@settings(max_examples=rounds(30, full=600), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_the_memory_and_the_file_answer_alike(steps, tmp_path_factory) -> None:
    """F71: over any history both stores give the same claims, times and counts, and the accounts balance."""

    async def history(store):
        await store.open()
        seen, now, count, held = [], AT, 0, []
        for verb, word, number in steps:
            if verb == "owe":
                count += 1
                group_key, urgent = number
                made = owed(f"n{count}", word, group_key)._replace(urgent=urgent, created=now)
                await store.commit(Change(now, notifications=[made]))
            elif verb == "claim":
                claimed = await store.claim(word, now, 1_000, number, partial(folded, stands_for=STANDS_FOR[word]))
                held.extend(claimed)
                seen.append([(each.notification.id, each.attempts, each.outcome, each.why) for each in claimed])
            elif verb == "settle" and held:
                delivery = held.pop(number % len(held))
                done = (
                    failed(delivery, now + 1_500)
                    if word == "failed"
                    else {"sent": sent, "parked": parked}[word](delivery)
                )
                await store.settle(done)
            elif verb == "wait":
                now += number
            due = [None if at is None else max(at, now) for at in (await store.next_due("a"), await store.next_due())]
            overview = await store.overview()
            assert balance(overview.counts) == 0
            seen.append((due, dict(overview.counts), await store.owing()))
            unheard = await store.unheard("a", now - 1_000)
            seen.append([(each.notification.id, each.state, each.owed_since) for each in unheard])
            seen.append(await store.standing("ab", now - 1_000))
        await store.close()
        return seen

    file = sqlite.build("sqlite:///s.db", tmp_path_factory.mktemp("law"))
    assert asyncio.run(history(file)) == asyncio.run(history(MemoryStore()))
