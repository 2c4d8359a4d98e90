"""F23, F25 and F27 from what an app says to a ledger: many at once, ends at any moment, disorder."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing

import pytest

from alerting.core.pace import pace_of
from alerting.lane import Terms
from alerting.model import Answer, Outcome
from alerting.store import sqlite
from tests.clock import FakeClock
from tests.full import rounds, seed
from tests.full import seed as seeded
from tests.sending import LOST, RETRY, Receiver, Strict
from tests.store.made import OK, balance
from tests.street import H, M, S, Street
from tests.tick import rule

HIGH = "rules.yaml:High"


class Moody(Receiver):
    """Takes, takes and loses the answer, or fails, by dice; from `well_at` on it only takes."""

    def __init__(self, clock, name, stands_for, dice, well_at):
        super().__init__(clock, name, otherwise=self._judge, stands_for=stands_for)
        self.dice, self.well_at = dice, well_at

    def _judge(self, _):
        if self.clock.monotonic() >= self.well_at:
            return OK
        return self.dice.choice((OK, LOST, RETRY, RETRY, RETRY, Answer(Outcome.RETRY, "429", 20_000)))


def seen_by(receiver):
    """What a reader knows in the end, and what it read out of order.

    Gives what fires (alert -> when that began), the episodes it was told of (by alert and beginning), and the firings
    that came after their own end. To a pager each episode is an incident of its own; in a channel the last word on an
    alert counts.
    """
    fires, told, over, wrong = {}, set(), set(), []
    for message in receiver.ledger:
        for notice in message.firing:
            episode = notice.key, notice.fired_at
            told.add(episode)
            wrong += [episode] if episode in over else []
            fires[episode if receiver.stands_for == "alert" else notice.key] = episode
        for notice in message.resolved:
            episode = notice.key, notice.fired_at
            told.add(episode)
            over.add(episode)
            before = fires.get(episode if receiver.stands_for == "alert" else notice.key)
            if before is not None and before <= episode:  # with it any episode before it
                del fires[episode if receiver.stands_for == "alert" else notice.key]
    return dict(fires.values()), told, wrong


def noted(ledger, moment):
    """Tell whether an episode that began at `moment` (as people write it) stands in a note."""
    return any(moment in note for message in ledger for note in message.notes)


def test_f27_whatever_happens_while_a_receiver_is_down_it_ends_in_the_true_state(figure) -> None:
    """Fire, resolve, fire again within a back-off: no old firing after its end, no episode untold, one true end."""
    false, disorder, lost, incidents = [], [], [], []

    async def main(seed):
        dice, clock = random.Random(seed), FakeClock()
        chat = Moody(clock, "chat", "group", dice, 20 * M)
        pager = Moody(clock, "pager", "alert", dice, 20 * M)
        street = Street(rule(), people=[chat, pager])
        await street.open()
        began = defaultdict(set)
        values = dict.fromkeys("abc", 5.0)
        for _ in range(30):
            values = {name: dice.choice((5.0, 20.0, value)) for name, value in values.items()}
            report = await street.tick(values, dice.randrange(S, 40 * S))
            for each in report.transitions:
                if each.after == "firing" and each.key.rule_id == HIGH:
                    began[each.key].add(each.at)
        await clock.advance(H)
        fires = {
            alert.key: alert.fired_at
            for alert in street.engine.alerts()
            if alert.state == "firing" and alert.key.rule_id == HIGH
        }
        for receiver in (chat, pager):
            firing, told, wrong = seen_by(receiver)
            firing = {key: at for key, at in firing.items() if key.rule_id == HIGH}
            false.extend([f"{receiver.name}, seed {seed}"] if firing != fires else [])
            disorder.extend(f"{receiver.name}, seed {seed}: {each}" for each in wrong)
            untold = {(key, at) for key, times in began.items() for at in times} - told
            folds = receiver is chat  # a page is never folded into its end
            untold -= {(key, at) for key, at in untold if folds and noted(receiver.ledger, _moment(at))}
            lost.extend(f"{receiver.name}, seed {seed}: {each}" for each in untold)
        opened = {each.group_key for each in pager.ledger if each.firing and each.firing[0].key.rule_id == HIGH}
        incidents.extend([f"seed {seed}"] if len(opened) != sum(map(len, began.values())) else [])
        assert balance(await street.counts()) == 0
        await street.end()
        return sum(map(len, began.values()))

    trials, first = rounds(40, full=1_000), seeded(0)
    episodes = sum(asyncio.run(main(first + number)) for number in range(trials))
    print(*false, *disorder, *lost, *incidents, sep="\n")
    figure("wrong final states", len(false), at_most=0, n=2 * trials, seed=first)
    figure("order violations", len(disorder), at_most=0, n=2 * trials, seed=first)
    figure("lost", len(lost), at_most=0, n=2 * episodes, seed=first)
    figure("episodes without an incident of their own", len(incidents), at_most=0, n=trials, seed=first)


def test_f23_a_storm(figure) -> None:
    """5,000 alerts at once, 50 of them critical, all to a channel and to a pager with their vendors' limits."""

    async def main():
        count, grave, rules = rounds(1_000, full=5_000), rounds(10, full=50), 100
        clock, dice = FakeClock(), random.Random(23)
        chat = Strict(clock, 1, S, dice, name="chat")
        pager = Strict(clock, 120, M, dice, name="pager", stands_for="alert")
        each = (count - grave) // (rules - 1)
        made = [rule(f"Warn{n}", severity="warning", interval=30 * S) for n in range(rules - 1)]
        made.append(rule("Grave", severity="critical"))
        terms = {"chat": Terms(pace=pace_of("1/s")), "pager": Terms(pace=pace_of("120/m"))}
        street = Street(*made, people=[chat, pager], terms=terms)
        await street.open()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = clock.monotonic()
        await street.tick({str(number): 20.0 for number in range(each)}, 0)
        total = (rules - 1) * each + each
        for _ in range(200):
            await street.tick({str(number): 20.0 for number in range(each)}, 30 * S)
            if len(seen_by(pager)[0]) == total:
                break
        for receiver in (chat, pager):
            firing, _, wrong = seen_by(receiver)
            figure("lost", total - len(firing), at_most=0, n=total)
            assert wrong == []
        paged = [at for (at, id_, _) in pager.asked if id_ in graves(pager)]
        late = max(paged) - began
        figure("critical at the pager, the last", late / 1000, at_most=60, n=len(paged), unit="s")
        figure("messages in the chat", len(chat.ledger), at_most=30, n=total)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        figure("peak memory above the baseline", round(grown), at_most=150, n=1, unit="MiB")
        assert balance(await street.counts()) == 0
        await street.end()

    asyncio.run(main())


def graves(pager):
    """The ids of the critical messages that a pager took."""
    return {each.id for each in pager.ledger if each.firing and each.firing[0].severity == "critical"}


def test_f25_a_stop_at_any_moment_loses_nothing(figure) -> None:
    """Within ten seconds it is over; what was not sent is owed to the next run."""

    async def main(seed):
        dice, clock = random.Random(seed), FakeClock()
        chat = Moody(clock, "chat", "group", dice, 5 * M)
        chat.takes = dice.choice((0, 300, 4_000))
        street = Street(rule(), people=[chat], terms={"chat": Terms(at_once=dice.choice((1, 4)))})
        street.receivers = {"chat": "group"}
        await street.open()
        await street.tick({str(n): 20.0 for n in range(5)}, S)
        await clock.advance(dice.randrange(2 * M))
        asked = clock.monotonic()
        await street.end()
        took = clock.monotonic() - asked
        counts = await street.counts()
        assert balance(counts) == 0
        await street.restart()
        await clock.advance(H)
        lost.extend([f"seed {seed}"] * (5 - len(seen_by(chat)[0])))
        await street.end()
        return took

    trials, first, lost = rounds(40, full=200), seeded(0), []
    took = max(asyncio.run(main(first + number)) for number in range(trials))
    figure("longest stop, on a virtual clock", took / S, at_most=10, n=trials, seed=first, unit="s")
    figure("lost", len(lost), at_most=0, n=trials, seed=first)


@pytest.mark.slow
def test_f71_the_accounts_agree_with_the_ledgers(figure, tmp_path) -> None:
    """After any disorder: what was created is sent, folded, parked or owed, row by row, and what is sent was taken."""

    async def main(number):
        dice, clock, path = random.Random(f"{chosen}/{number}"), FakeClock(), tmp_path / f"{number}.db"
        chat = Moody(clock, "chat", "group", dice, 20 * M)
        pager = Moody(clock, "pager", "alert", dice, 20 * M)
        gone = Receiver(clock, "gone", otherwise=Answer(Outcome.REFUSED, "channel_not_found"))
        store = sqlite.build(f"sqlite:///{path.name}", tmp_path)
        street = Street(rule(), rule("Lost", notify=("gone",)), people=[chat, pager, gone], store=store)
        await street.open()
        wrong = 0
        for turn in range(30):
            await street.tick({name: dice.choice((5.0, 20.0)) for name in "abc"}, dice.randrange(S, 40 * S))
            counts, found = await street.counts(), Counter(state for state, _, _ in rows(path))
            wrong += balance(counts) != 0 or counts["created"] != found.total()
            wrong += any(counts[state] != found[state] for state in ("sent", "parked", "folded", "pending", "claimed"))
            if turn == 15:
                await street.end()
                await street.restart()
        await clock.advance(H)
        sent = {id_ for state, id_, _ in rows(path) if state == "sent"}
        wrong += len(sent - {each.id for receiver in (chat, pager) for each in receiver.ledger})
        wrong += sum(state == "sent" for state, _, receiver in rows(path) if receiver == "gone")
        await street.end()
        await store.close()
        return wrong, 60 + len(sent)

    trials, chosen = rounds(2, full=100), seed(71)
    wrong, checks = (sum(each) for each in zip(*(asyncio.run(main(number)) for number in range(trials)), strict=True))
    figure("disagreements", wrong, at_most=0, n=checks, seed=chosen)


def rows(path):
    """State, id and receiver of all messages that a state's file holds."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT state, id, receiver FROM delivery").fetchall()


def _moment(at):
    from alerting.core.telling.folding import _moment as moment

    return moment(at)
