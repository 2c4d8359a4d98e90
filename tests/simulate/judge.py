"""What must never be: every turn against the model, every request against what is owed, every count against the disk.

It sees both ends, what the program writes and what receivers accept, and believes nothing that the program says of
itself in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerting.model import AlertState
from tests.simulate.exact import Exact
from tests.simulate.laws import Laws
from tests.simulate.life import FIRING
from tests.simulate.loop import START
from tests.simulate.people import RECEIVERS
from tests.simulate.plan import M, S
from tests.simulate.recalls import Recalls
from tests.simulate.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Answer, Delivery, Notice, Notification, Transition
    from alerting.ports import Change
    from tests.simulate.disk import Disk
    from tests.simulate.loop import Loop
    from tests.simulate.model import Key, Model, Stage
    from tests.simulate.plan import Plan

LONGEST_WISH = 3_600_000
SAVED_WITHIN = 40 * S  # of the time from which the file can be written: a turn comes every 10 s, if no source hangs


class Violation(BaseException):
    """Something that must never be. No `except Exception` of the program may take it for a failure of its own."""


@dataclass(slots=True)
class Attempt:
    """One request."""

    life: int  # of the process that made it
    accepted: bool = False  # the receiver has acted on it
    final: bool = False  # the program was told that it is done: accepted, or refused for good


@dataclass(slots=True)
class Wish:
    """A receiver asked to be left alone."""

    life: int
    made: int
    until: int
    kept: bool = False  # the program has put it on disk
    epoch: int = 0  # by how much the wall was off when that process began


class Judge:
    """One run's bookkeeping."""

    def __init__(self, model: Model, disk: Disk, loop: Loop, say: Callable[..., None], plan: Plan) -> None:
        self.model = model
        self.disk = disk
        self.loop = loop
        self.say = say
        self.life = 0
        self.epoch = 0  # by how much the wall was off when the process began: its waits are placed by that
        self.skewed = False  # an earlier process saw another wall
        self.violation = ""
        self.created: dict[str, tuple[int, Notification]] = {}  # id -> (its place in the order, what)
        self.created_at: dict[str, int] = {}
        self.offsets: dict[str, int] = {}  # by how much the wall was off when each was owed
        self.attempts: dict[str, list[Attempt]] = {}
        self.settled_at: dict[str, int] = {}
        self.parked: dict[str, str] = {}
        self.told_by: dict[str, str] = {}  # folded messages -> the one that says what they had to say
        self.may_park: set[str] = set()  # a receiver said something that ends the trying
        self.calm_since = 0  # since when the process has run without a pause
        self.busy_at = dict.fromkeys(RECEIVERS, 0)  # when each receiver was last sent to, or answered
        self.wishes: dict[str, Wish] = {}  # by receiver, and by message
        self.failures: dict[str, list[int]] = {name: [] for name in RECEIVERS}  # in a row
        self.in_key: dict[tuple[str, str], list[str]] = {}  # what was ever owed, in order
        self.last_in_key: dict[tuple[str, str], int] = {}
        self.keys: dict[tuple[str, str], set[Key]] = {}  # (receiver, group key) -> alerts told under it that fire
        self.duplicates = 0
        self.taken_unsaved: list[tuple[str, str]] | None = None  # under which keys, while nothing is written
        self.at_once = plan.at_once
        self.standing = Standing(self)
        self.recalls = Recalls(self)
        self.called_back: set[str] = set()  # messages that are not sent, nor told by others
        self.telling: Exact | Laws = Laws(self, plan.people) if plan.people.rich else Exact(self)

    def fail(self, what: str) -> None:
        """End the run with its first violation."""
        self.violation = self.violation or what
        self.loop.dying = True
        raise Violation(what)

    # ---------------------------------------------------------------------------------------- turns

    def turn(self, stage: Stage, change: Change) -> None:
        """Compare what a turn wrote with what the model says; make the stage what it came to be."""
        happened = {
            (self.key_of(each), str(each.after))
            for each in change.transitions
            if each.after in {AlertState.FIRING, AlertState.RESOLVED} and each.before is not each.after
        }
        self._saved_in_time(stage)
        wrong = self.model.settle(stage, happened)
        if wrong:
            self.fail(wrong)
        self.telling.turn(stage, change)

    def _saved_in_time(self, stage: Stage) -> None:
        """What is held in memory is put into the file as soon as it can be written."""
        if self.disk.in_memory:
            well = min(self.disk.windows.since(stage.at), stage.at - self.calm_since)
            if well > SAVED_WITHIN:
                self.fail(f"still in memory, and the file can be written for {well / S:g} s")

    def key_of(self, of: Notice | Transition) -> Key:
        key = self.model.key_of(of.key.rule_id, of.key.fingerprint)
        if key is None:
            self.fail(f"an alert that cannot be: {of.key}")
        assert key is not None
        return key

    def saved(self, change: Change) -> None:
        """Take note of what is owed: it is on disk."""
        for message in change.notifications:
            if message.id in self.created:
                if message.announces and not (message.instead_of and _alike(message, self.created[message.id][1])):
                    self.fail(f"one id for two messages: {message.id}")
                continue  # a warning, or in another's place, that was given already: the store keeps the first
            self.created[message.id] = len(self.created), message
            self.created_at[message.id], self.offsets[message.id] = self.loop.at, self.loop.offset
            self.in_key.setdefault((message.receiver, message.group_key), []).append(message.id)
            steps = " ".join(
                f"{notice.step}:{notice.name}{self.key_of(notice).labels}"
                for notice in (*message.firing, *message.resolved)
            )
            self.telling.created(message)
            self.recalls.owed(message)
            self.say("owed", message.receiver, self.place(message.id), steps)
        if change.notifications:
            self.account()

    def wall(self) -> int:
        """Give the time by the wall."""
        return START + self.loop.at + self.loop.offset

    def place(self, id_: str) -> str:
        """Name a message in the history."""
        return f"#{self.created[id_][0]}" if id_ in self.created else f"?{id_}"

    def account(self) -> None:
        """Created = sent + parked + pending + claimed."""
        counts = self.disk.counts()
        gone = self.disk.gone()
        if gone:
            self.fail(f"{gone} messages count as pruned, and nothing was")
        if not len(self.created) == sum(counts.values()) == self.disk.created():
            self.fail(f"the accounts do not balance: {len(self.created)} owed, {self.disk.created()} counted, {counts}")

    # ---------------------------------------------------------------------------------------- requests

    def asked(self, notification: Notification, attempt: Attempt) -> None:
        """Look at a request as it leaves the program."""
        id_, receiver, now = notification.id, notification.receiver, self.loop.at
        if id_ not in self.created:
            self.fail(f"sent before it was saved: a message to {receiver}")
        if self.disk.state_of(id_) != "claimed":
            self.fail(f"sent without a claim on disk: {self.place(id_)}, {self.disk.state_of(id_)}")
        self._says_all(notification)
        self.recalls.asked(notification)
        before = self.attempts.setdefault(id_, [])
        if any(each.final and each.life == self.life for each in before):
            self.fail(f"sent again though its end was known: {self.place(id_)}")
        before.append(attempt)
        wish = self.wishes.get(receiver)
        if wish and wish.life == self.life and wish.made < now < wish.until:
            self.fail(f"{receiver} asked to be left alone for {(wish.until - now) / S:g} s more")
        wish = self.wishes.get(id_)
        binding = wish and (wish.life == self.life or (wish.kept and wish.epoch == self.epoch))
        if wish and binding and now < wish.until:
            self.fail(f"{self.place(id_)} was to wait for {(wish.until - now) / S:g} s more")

    def _says_all(self, sent: Notification) -> None:
        """A message says what it was owed to say, and what those had to say that were folded into it."""
        own = self.created[sent.id][1]
        place = sent.receiver, sent.group_key
        parts = [self.created[each][1] for each in self.in_key[place] if self.is_told_by(each, sent.id)]
        fires = {(notice.key, notice.episode): notice.step for notice in sent.firing}
        names = {(notice.key, notice.episode) for notice in own.firing}
        besides = fires.keys() - names  # what is passed on names its own alone, until something is folded into it
        if names - fires.keys() or (besides and not own.instead_of):
            self.fail(f"{self.place(sent.id)} does not name what fires")
        over = {(notice.key, notice.episode) for notice in sent.resolved}
        ends = {notice.key: (notice.key, notice.episode) for part in parts for notice in part.resolved}
        firing = {notice.key for notice in own.firing}
        untold = [each for key, each in ends.items() if key not in firing and each not in over]
        begins = {(notice.key, notice.episode) for part in parts for notice in part.firing if notice.step == FIRING}
        untold += [each for each in begins & fires.keys() if fires[each] != FIRING]
        if untold:
            self.fail(f"{self.place(sent.id)} does not say what it stands for: {untold[0][0]}")

    def accepted(self, notification: Notification, attempt: Attempt) -> None:
        """A receiver took a message."""
        place = notification.receiver, notification.group_key
        number = self.created[notification.id][0]
        self.say("accepted", notification.receiver, self.place(notification.id))
        self.recalls.accepted(notification)
        if number < self.last_in_key.get(place, -1):
            self.fail(f"out of order: {self.place(notification.id)} after #{self.last_in_key[place]}")
        for id_ in self.in_key[place]:
            if id_ == notification.id:
                break
            if not self.is_accepted(id_) and not self.is_parked(id_) and self.heir(id_) != notification.id:
                self.fail(f"{self.place(notification.id)} overtook {self.place(id_)}")
        self.last_in_key[place] = number
        if self.taken_unsaved is not None:
            self.taken_unsaved.append(place)
        self.duplicates += self.is_accepted(notification.id)
        attempt.accepted = True

    def wished(self, notification: Notification, duration: int) -> None:
        """A receiver asks to be left alone, and the program hears it now."""
        if duration > LONGEST_WISH:
            self.may_park.add(notification.id)
        else:
            self.wishes[notification.id] = Wish(self.life, self.loop.at, self.loop.at + duration, epoch=self.epoch)
        until = self.loop.at + min(duration, LONGEST_WISH)
        before = self.wishes.get(notification.receiver)
        if before is None or before.until < until:
            self.wishes[notification.receiver] = Wish(self.life, self.loop.at, until)

    def answered(self, notification: Notification, answer: Answer) -> None:
        """Take note of what the program made of an attempt."""
        attempt, receiver = self.attempts[notification.id][-1], notification.receiver
        self.say("answered", receiver, self.place(notification.id), answer.outcome, answer.why)
        self.recalls.answered(notification, answer.outcome)
        if answer.outcome == "sent" and not attempt.accepted:
            self.fail(f"taken for delivered: {self.place(notification.id)} to {receiver}: {answer.why}")
        self.busy_at[receiver] = self.loop.at
        if answer.outcome in {"sent", "refused"}:
            attempt.final = True
            self.failures[receiver] = []
            return
        failures = self.failures[receiver] = [at for at in self.failures[receiver] if at > self.loop.at - M]
        failures.append(self.loop.at)
        if len(failures) > 10 * self.at_once + 1:
            self.fail(f"{len(failures)} attempts in a minute at {receiver}, which fails")

    def begin(self) -> None:
        """Another process begins."""
        self.life += 1
        self.skewed = self.skewed or (self.life > 1 and self.epoch != self.loop.offset)
        self.epoch = self.loop.offset
        self.calm_since = self.loop.at
        self.standing.begin()
        self.recalls.begin()
        self.set_anew()

    def set_anew(self) -> None:
        """Settings were read again, or another process began: what was learnt of the receivers is forgotten."""
        for receiver in RECEIVERS:
            self.wishes.pop(receiver, None)
            self.busy_at[receiver] = self.loop.at
            self.failures[receiver] = []

    def folded(self, told_by: dict[str, str]) -> None:
        """Look at which messages are told by others now."""
        for id_ in told_by.keys() - self.told_by.keys():
            self.told_by[id_] = told_by[id_]

    def settled(self, delivery: Delivery) -> None:
        """Look at what the program put on disk as the end of a message."""
        id_ = delivery.notification.id
        if delivery.state == "sent" and not self.is_accepted(id_):
            self.fail(f"recorded as sent, and never accepted: {self.place(id_)}")
        too_old = self.skewed and "given up after" in delivery.why  # its age is counted by the wall of two processes
        if delivery.state == "parked" and id_ not in self.may_park and not too_old:
            self.fail(f"given up for no reason: {self.place(id_)}: {delivery.why}")
        if "fault of alerting" in delivery.why:
            self.fail(f"{self.place(id_)}: {delivery.why}")
        if delivery.state == "parked":
            self.parked[id_] = delivery.why
        if id_ in self.wishes:
            self.wishes[id_].kept = True
        if delivery.state in {"sent", "parked"}:
            self.settled_at[id_] = self.loop.at
        self.say("settled", delivery.notification.receiver, self.place(id_), delivery.state)

    def heir(self, id_: str) -> str:
        """Give the message that tells this one: itself, unless it was folded."""
        while id_ in self.told_by:
            id_ = self.told_by[id_]
        return id_

    def is_told_by(self, id_: str, heir: str) -> bool:
        """Tell whether a message is told by this one: by itself, unless it was folded."""
        return self.heir(id_) == heir if id_ in self.told_by else id_ == heir

    def is_fresh(self, id_: str) -> bool:
        """Tell whether a message was never tried, nor one that it had to wait for."""
        if id_ not in self.created:
            return False
        message = self.created[id_][1]
        in_key = self.in_key[message.receiver, message.group_key]
        older = in_key[: in_key.index(id_)]
        alone = all(self.heir(each) != id_ and self.settled_at.get(each, 0) < self.created_at[id_] for each in older)
        return alone and not self.attempts.get(id_)

    def is_accepted(self, id_: str) -> bool:
        """Tell whether a receiver has it, or the message that tells it; what was called back it need not have."""
        heir = self.heir(id_)
        if heir in self.called_back:
            return True
        if any(attempt.accepted for attempt in self.attempts.get(heir, ())):
            return True
        return heir != id_ and any(attempt.accepted for attempt in self.attempts.get(id_, ()))

    def is_forgotten(self, receiver: str, group_key: str) -> bool:
        """Tell whether a process has told something under a key and died before it could be written."""
        return self.disk.unsaved is not None and (receiver, group_key) in self.disk.unsaved.lost_places

    def is_parked(self, id_: str) -> bool:
        """Tell whether it was given up, or the message that tells it."""
        return self.heir(id_) in self.parked

    # ---------------------------------------------------------------------------------------- the end

    def drained(self) -> bool:
        """Tell whether everything that is owed has an end."""
        return not self.disk.unsettled()

    def is_head(self, id_: str) -> bool:
        """Tell whether nothing older of its key is still owed."""
        number, message = self.created[id_]
        place = message.receiver, message.group_key
        owed = [self.created[each] for each, *_ in self.disk.unsettled()]
        return not any(n < number and (m.receiver, m.group_key) == place for n, m in owed)

    def nothing_lost(self) -> None:
        """Everything owed was accepted, or given up with a reason."""
        self.account()
        for id_ in self.created:
            if not self.is_accepted(id_) and not self.is_parked(id_):
                self.fail(f"lost: {self.place(id_)} to {self.created[id_][1].receiver}")


def _alike(one: Notification, other: Notification) -> bool:
    """Tell whether two messages to a receiver speak of the same episodes."""
    said = [
        (each.receiver, *({(notice.key, notice.episode) for notice in of} for of in (each.firing, each.resolved)))
        for each in (one, other)
    ]
    return said[0] == said[1]
