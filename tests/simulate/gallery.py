"""The gallery: mistakes that programs of this kind have made, or that this one could be edited into.

Each says in one sentence what the program does wrong. Where there is a choice they change a port or a public method,
so that the gallery outlives changes of what stands behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from itertools import count
from typing import TYPE_CHECKING, Any

from alerting import engine, outbox
from alerting.core import backoff, lifecycle
from alerting.core.samples import Samples
from alerting.core.telling import muting
from alerting.core.telling.desk import Desk
from alerting.core.telling.folding import Folded
from alerting.engine import Engine
from alerting.errors import StateMoved, StoreError
from alerting.intake import Intake
from alerting.model import AlertState, Answer, DeliveryState, Ended, Outcome, Step, Truth
from alerting.notifiers import _pagerduty_client, _wire, slack
from alerting.outbox import Outbox
from alerting.store import deliveries
from alerting.store.sqlite import SqliteStore
from tests.simulate.mistakes import GALLERY, mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Notification
    from alerting.ports import Change
    from tests.simulate.mistakes import Plant

__all__ = ["GALLERY"]

# ------------------------------------------------------------------------------------------- saving and sending


@mistake
def sent_before_it_is_saved(plant: Plant) -> None:
    """Messages leave while the turn that owes them is being saved."""
    built: list[Outbox] = []
    early: list[Any] = []
    original = Outbox.__init__

    def build(self: Outbox, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        built[:] = [self]

    async def commit(store: Any, change: Change, _: Engine) -> None:
        for message in change.notifications:
            sending = built[0]._notifiers[message.receiver].deliver(message, None)
            early.append(asyncio.ensure_future(sending))
        await store.commit(change)

    plant.swap(Outbox, "__init__", build)
    plant.committing(commit)


@mistake
def marked_as_sent_before_it_is(plant: Plant) -> None:
    """A message counts as sent from the moment at which its sending begins."""
    original = Outbox.deliver

    async def deliver(self: Outbox, delivery: Any, *arguments: Any) -> Any:
        await self._store.settle(delivery._replace(state=DeliveryState.SENT, settled_at=self._clock.now()))
        return await original(self, delivery, *arguments)

    plant.swap(Outbox, "deliver", deliver)


@mistake
def claims_in_memory_only(plant: Plant) -> None:
    """A claim is not on disk before its message is sent."""
    original = SqliteStore.claim

    async def claim(self: SqliteStore, *arguments: Any) -> Any:
        claimed = await original(self, *arguments)
        ids = [(each.notification.id,) for each in claimed]
        undo = "UPDATE delivery SET state = 'pending', claimed_by = '', claimed_until = 0 WHERE id = ?"
        if ids:
            await self._call(lambda: self._handle.write(lambda rows: rows.executemany(undo, ids)))
        return claimed

    plant.swap(SqliteStore, "claim", claim)


@mistake
def claims_outlive_their_process(plant: Plant) -> None:
    """What a dead process had claimed is never sent: no run voids it and no lease ends."""
    original = SqliteStore.claim

    async def claim(self: SqliteStore, receiver: str, now: int, lease: int, *rest: Any) -> Any:
        return await original(self, receiver, now, lease * 1_000, *rest)

    plant.swap(SqliteStore, "claim", claim)
    plant.swap(deliveries, "has_void", lambda _rows, _run: False)


@mistake
def result_forgotten_when_the_store_fails(plant: Plant) -> None:
    """When the end of an attempt cannot be recorded, it is let go, and the message is sent again later."""
    original = Outbox._record

    async def record(self: Outbox, lane: Any) -> None:
        try:
            await original(self, lane)
        except StoreError:
            lane.held.clear()

    plant.swap(Outbox, "_record", record)


@mistake
def failed_commit_taken_for_saved(plant: Plant) -> None:
    """A turn takes effect in memory though the store would not take it."""

    async def commit(store: Any, change: Change, _: Engine) -> None:
        try:
            await store.commit(change)
        except StateMoved:
            raise
        except StoreError:
            pass

    plant.committing(commit)


@mistake
def torn_commit_not_noticed(plant: Plant) -> None:
    """A commit that was reported as failed and is on disk after all is made a second time."""
    original = SqliteStore._commit

    def commit(self: SqliteStore, change: Change) -> None:
        self._handle.ready()
        self._handle.moved = False
        original(self, change)

    plant.swap(SqliteStore, "_commit", commit)


@mistake
def settled_messages_deleted(plant: Plant) -> None:
    """What was sent is removed at once, so that the accounts cannot be checked."""
    original = deliveries.settle

    def settle(rows: Any, delivery: Any) -> None:
        original(rows, delivery)
        rows.execute("DELETE FROM delivery WHERE state = 'sent'")

    plant.swap(deliveries, "settle", settle)


# ------------------------------------------------------------------------------------------- answers of receivers


@mistake
def lost_answer_taken_for_success(plant: Plant) -> None:
    """A connection that breaks after the request was written counts as delivered."""
    plant.swap(_wire, "lost", lambda failure: Answer(Outcome.SENT, str(failure)))


@mistake
def any_200_taken_for_success(plant: Plant) -> None:
    """Slack's answer counts by its status; `ok` is not looked at."""
    fine = {"ok": True, "channel": "C0", "ts": "1.0"}
    plant.swap(slack, "document", lambda answer: {**fine, **_wire.document(answer), "ok": True})


@mistake
def refused_for_good_and_tried_again(plant: Plant) -> None:
    """A receiver's final no is taken for an outage."""
    original = outbox.after

    def after(attempts: int, answer: Answer, *arguments: Any, **options: Any) -> Any:
        if answer.outcome is Outcome.REFUSED:
            answer = answer._replace(outcome=Outcome.RETRY)
        return original(attempts, answer, *arguments, **options)

    plant.swap(outbox, "after", after)


@mistake
def retry_after_not_read(plant: Plant) -> None:
    """A receiver's wish to be left alone is not heard."""
    plant.swap(_wire, "retry_at", lambda _answer, _now: None)


@mistake
def given_up_within_minutes(plant: Plant) -> None:
    """An outage of a few minutes costs the messages."""
    original = Outbox.__init__

    def build(self: Outbox, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "limits": backoff.Limits(patience=60_000, least=3)})

    plant.swap(Outbox, "__init__", build)


@mistake
def no_pause_between_attempts(plant: Plant) -> None:
    """A receiver that is down is asked as often as the loop turns."""
    plant.swap(outbox, "pause", lambda *_: 0)
    plant.swap(backoff, "pause", lambda *_: 0)


@mistake
def nobody_wakes_the_sender(plant: Plant) -> None:
    """Messages wait until a lane happens to look."""
    plant.swap(Outbox, "wake", lambda _self, _receiver: None)


@mistake
def messages_wait_by_the_wall(plant: Plant) -> None:
    """Waits of messages follow the wall clock, and so do not end for a day when it is set back by one."""
    plant.swap(Outbox, "_now", lambda self: self._clock.now())


@mistake
def younger_messages_overtake(plant: Plant) -> None:
    """While one message of a key waits, the next of that key is sent."""
    lonely = deliveries._CLAIMABLE.partition(" AND NOT EXISTS (")
    _, closed, rest = lonely[2].partition("o.seq < d.seq)")
    if not closed:
        raise LookupError("the claim is written in another way now: the gallery must follow the code")
    plant.swap(deliveries, "_CLAIMABLE", lonely[0] + rest)


@mistake
def resolved_as_another_trigger(plant: Plant) -> None:
    """PagerDuty is told of an end as of a beginning."""
    original = _pagerduty_client.send
    first = {"summary": "x", "source": "x", "severity": "error"}

    def send(wire: Any, base_url: str, routing_key: str, event: dict[str, Any]) -> None:
        original(wire, base_url, routing_key, {"payload": first, **event, "event_action": "trigger"})

    plant.swap(_pagerduty_client, "send", send)


@mistake
def one_incident_per_message(plant: Plant) -> None:
    """The dedup key is the message's, not the episode's: no resolve ever closes its incident."""

    def altered(message: Notification) -> Notification:
        return message._replace(group_key=message.id) if message.receiver == "pager" else message

    plant.altering(lambda change, _: _with_messages(change, altered))


@mistake
def folded_without_a_word(plant: Plant) -> None:
    """Of messages that piled up only the newest is sent; what the others had to say is told to nobody."""
    plant.swap(outbox, "folded", lambda waiting, **_: Folded(len(waiting), waiting[-1]))


@mistake
def page_folded_into_its_resolve(plant: Plant) -> None:
    """What is over by the time the pager can be reached is told as a resolve alone, which pages nobody."""
    original = outbox.folded
    plant.swap(outbox, "folded", lambda waiting, **_: original(waiting, "group"))


# ------------------------------------------------------------------------------------------- who is told of what


def _with_messages(change: Change, altered: Callable[[Notification], Notification | None]) -> Change:
    """Alter a turn's messages; None leaves one out."""
    messages = map(altered, change.notifications)
    return change._replace(notifications=tuple(each for each in messages if each is not None))


@mistake
def key_made_from_the_text(plant: Plant) -> None:
    """The key follows the title, which changes while an alert fires."""

    def altered(message: Notification) -> Notification:
        return message._replace(group_key=hashlib.sha256(message.title.encode()).hexdigest()[:32])

    plant.altering(lambda change, _: _with_messages(change, altered))


@mistake
def only_one_message_per_turn(plant: Plant) -> None:
    """Of several messages of one moment all but the first are dropped."""
    plant.altering(lambda change, _: change._replace(notifications=change.notifications[:1]))


@mistake
def resolved_only_for_todays_receivers(plant: Plant) -> None:
    """After `notify` was edited, those who were paged before never hear of the end."""

    def alter(change: Change, engine: Engine) -> Change:
        notify = {rule.id: rule.spec.notify for rule in engine._setup.rules}

        def altered(message: Notification) -> Notification | None:
            heard = {
                name for notice in message.resolved for name in notify.get(notice.key.rule_id, (message.receiver,))
            }
            return None if message.resolved and not message.firing and message.receiver not in heard else message

        return _with_messages(change, altered)

    plant.altering(alter)


@mistake
def removed_rules_end_in_silence(plant: Plant) -> None:
    """When a rule is deleted, its incidents stay open."""

    def altered(message: Notification) -> Notification | None:
        ended = {notice.ended for notice in message.resolved}
        return None if ended == {Ended.RULE_REMOVED} and not message.firing else message

    plant.altering(lambda change, _: _with_messages(change, altered))


@mistake
def what_goes_on_is_left_out(plant: Plant) -> None:
    """A message to a group names what is new and not what fires besides."""

    def altered(message: Notification) -> Notification:
        return message._replace(firing=tuple(each for each in message.firing if each.step != "ongoing"))

    plant.altering(lambda change, _: _with_messages(change, altered))


@mistake
def silences_hold_ends_back(plant: Plant) -> None:
    """A silence that begins after a page keeps the resolve from everybody."""
    original = muting.held

    def held(owed: Any, quiet: Any) -> Any:
        return original(owed, quiet) or original(owed._replace(step=Step.FIRING), quiet)

    plant.swap(muting, "held", held)


@mistake
def ended_silence_not_noticed(plant: Plant) -> None:
    """What a silence has hidden is told when something else happens, not when it ends."""
    plant.swap(Desk, "next_at", lambda self, now: now if self._disturbed else None)


@mistake
def silences_end_with_the_process(plant: Plant) -> None:
    """A silence is not kept: after a restart people hear of what they have silenced."""
    original = SqliteStore.kept

    async def kept(self: SqliteStore, prefix: str) -> Any:
        return {} if prefix == "silence/" else await original(self, prefix)

    plant.swap(SqliteStore, "kept", kept)


# ------------------------------------------------------------------------------------------- what readings mean


@mistake
def error_read_as_an_empty_answer(plant: Plant) -> None:
    """A source that fails is taken for one that has no series."""
    original = Samples.append
    plant.swap(Samples, "append", lambda self, reading: original(self, reading._replace(fault=None)))


@mistake
def unknown_resolves(plant: Plant) -> None:
    """An alert that cannot be judged counts as over."""
    row = lifecycle.TABLE[AlertState.FIRING]
    plant.swap_item(row, Truth.UNKNOWN, row[Truth.FALSE])


@mistake
def unknown_ends_pending(plant: Plant) -> None:
    """A gap in the data lets `for` begin anew."""
    row = lifecycle.TABLE[AlertState.PENDING]
    plant.swap_item(row, Truth.UNKNOWN, row[Truth.FALSE])


@mistake
def unknown_counts_as_true(plant: Plant) -> None:
    """`for` runs on while nothing can be seen."""
    plant.swap_item(lifecycle.TABLE[AlertState.PENDING], Truth.UNKNOWN, lambda alert, _moment: lifecycle.Step(alert))


def _with_policy(plant: Plant, **changes: int) -> None:
    original = lifecycle.policy_of
    plant.swap(lifecycle, "policy_of", lambda *of: original(*of)._replace(**changes))


@mistake
def gone_counts_as_recovered(plant: Plant) -> None:
    """A series that vanishes ends its alert at once."""
    _with_policy(plant, vanish_after=0)


@mistake
def keep_firing_for_not_kept(plant: Plant) -> None:
    """The first false evaluation ends an alert."""
    _with_policy(plant, keep_firing_for=0)


@mistake
def outage_of_ours_counts_as_pending(plant: Plant) -> None:
    """`for` runs on while the program does not."""
    _with_policy(plant, max_gap=1_000_000_000)


@mistake
def old_samples_outlive_a_clock_set_back(plant: Plant) -> None:
    """After the wall was set back, samples that lie in the future go on being judged."""
    plant.swap(Intake, "begin_afresh", lambda _self: None)


# ------------------------------------------------------------------------------------------- time, reloads, restarts


@mistake
def durations_by_the_wall(plant: Plant) -> None:
    """`for` and `keep_firing_for` follow the steps of the wall clock."""
    plant.swap(Engine, "_see_clocks", lambda self, _log: self._clock.now())


@mistake
def pace_by_the_wall(plant: Plant) -> None:
    """Rules are due by the wall clock: set back by an hour, it stops the evaluation for one."""

    def behind(self: Engine) -> int:
        if not hasattr(self, "_start"):
            self._start = self._clock.now() - self._clock.monotonic()  # type: ignore[attr-defined]
        return self._clock.now() - self._start - self._clock.monotonic()  # type: ignore[attr-defined, no-any-return]

    def next_due(self: Engine) -> int | None:
        at = self._schedule.next_at()
        return None if at is None else at - behind(self)

    plant.swap(Engine, "due", lambda self: self._schedule.due(self._clock.monotonic() + behind(self)))
    plant.swap(Engine, "next_due", next_due)


@mistake
def no_deadline_behind_the_sources_own(plant: Plant) -> None:
    """A source that hangs holds up its rules for as long as it likes."""
    original = Engine.__init__

    def build(self: Engine, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "limits": engine.Limits(fetch_deadline=600_000)})

    plant.swap(Engine, "__init__", build)


@mistake
def episodes_counted_by_the_process(plant: Plant) -> None:
    """Episodes are numbered, from 1 in each process: old keys come back after a restart."""
    original = Engine.__init__
    numbers: dict[Any, Any] = {}

    def build(self: Engine, *arguments: Any, **options: Any) -> None:
        numbers.clear()
        original(self, *arguments, **options)

    def episode_of(key: Any, _fired_at: int) -> str:
        return hashlib.sha256(f"{key}{next(numbers.setdefault(key, count(1)))}".encode()).hexdigest()[:32]

    plant.swap(Engine, "__init__", build)
    plant.swap(lifecycle, "episode_of", episode_of)


@mistake
def identity_from_the_expression(plant: Plant) -> None:
    """A rule whose threshold was edited is another rule: its alerts end, and begin anew."""
    original, first = Engine.adopt, {}

    def adopt(self: Engine, setup: Any) -> None:
        for rule in setup.rules:
            first.setdefault(rule.id, rule.spec.condition)
        rules = [
            rule if rule.spec.condition == first[rule.id] else rule._replace(spec=rule.spec._replace(id=f"{rule.id}'"))
            for rule in setup.rules
        ]
        original(self, setup._replace(rules=rules))

    plant.swap(Engine, "adopt", adopt)


@mistake
def reload_restarts_pending(plant: Plant) -> None:
    """Each reload lets `for` begin anew."""
    original, advance = Engine.adopt, lifecycle.advance
    reloads = [0]
    begun: dict[Any, int] = {}

    def adopt(self: Engine, setup: Any) -> None:
        reloads[0] += 1
        original(self, setup)

    def forgetful(alert: Any, verdict: Any, now: int, *arguments: Any) -> Any:
        if alert is not None and alert.state is AlertState.PENDING:
            if begun.setdefault(alert.key, reloads[0]) != reloads[0]:
                alert = alert._replace(since=now)
            begun[alert.key] = reloads[0]
        return advance(alert, verdict, now, *arguments)

    plant.swap(Engine, "adopt", adopt)
    plant.swap(lifecycle, "advance", forgetful)


@mistake
def broken_file_means_no_rules(plant: Plant) -> None:
    """When the files do not load, every rule counts as removed."""
    original = Engine.report_config

    def report_config(self: Engine, problem: str | None) -> None:
        if problem:
            self.adopt((self._next_setup or self._setup)._replace(rules=()))
        original(self, problem)

    plant.swap(Engine, "report_config", report_config)


def _forgetting(plant: Plant, **changes: Any) -> None:
    """Let a new process know less than was saved."""
    original = SqliteStore.open

    async def open_(self: SqliteStore) -> Any:
        return (await original(self))._replace(**changes)

    plant.swap(SqliteStore, "open", open_)


@mistake
def restart_forgets_who_was_told(plant: Plant) -> None:
    """Alerts that were told before a restart end without a word."""
    _forgetting(plant, announced={}, notices=())


@mistake
def restart_forgets_what_fires(plant: Plant) -> None:
    """After a restart everybody is paged again for what they know."""
    _forgetting(plant, alerts=())


@mistake
def restart_forgets_when_it_looked(plant: Plant) -> None:
    """The clock of a pending alert does not know whether somebody looked meanwhile."""
    _forgetting(plant, evaluated={})
