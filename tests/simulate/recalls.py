"""What is called back: for a reason, before it has arrived, and never sent after all while it is silenced.

What a receiver accepted is known from the receiver; what is silenced, from what was kept and from the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulate.laws import Laws
from tests.simulate.plan import S
from tests.simulate.ways import Quiet, Way, labels_of, meant_for, severity_of, ways

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Notice, Notification
    from alerting.ports import Change
    from tests.simulate.judge import Judge
    from tests.simulate.known import Fires
    from tests.simulate.model import Hush, Key

    Said = tuple[str, Key, str]  # receiver, alert, episode

ATTEMPT = 20 * S  # so long an attempt may be under way that began before a silence
ONGOING = "ongoing"


class Recalls:
    """See the module's text."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.keys: set[tuple[str, str]] = set()  # (receiver, group key) of which something was called back
        self.kept_at: dict[str, int] = {}  # silences: since when each is on disk
        self._perhaps: set[Said] = set()
        self._accepted: set[Said] = set()
        self._taken_back: set[Said] = set()  # beginnings that were called back, and not owed since
        self._settings: tuple[object, object] = (None, None)  # rules, people
        self._offset = 0  # of the wall
        self._settings_at = 0
        self._undo: list[Callable[[], None]] = []

    # ---------------------------------------------------------------------------------------- requests

    def begin(self) -> None:
        """Another process begins: what the one before had claimed may have arrived."""
        for id_, state, _ in self._judge.disk.unsettled():
            if state == "claimed":
                self._perhaps.update(self._said(self._judge.created[id_][1]))

    def asked(self, notification: Notification) -> None:
        """No attempt begins at a page that is silenced, and that has surely not arrived yet."""
        judge = self._judge
        loop = judge.loop
        settings = judge.model.rules, judge.model.people
        if self._offset != loop.offset or any(a is not b for a, b in zip(settings, self._settings, strict=True)):
            self._settings, self._offset, self._settings_at = settings, loop.offset, loop.at
        well = min(loop.at - self._settings_at, loop.at - judge.calm_since) > ATTEMPT
        for notice in notification.firing:
            place = notification.receiver, judge.key_of(notice), notice.episode
            first = (
                notice.step != ONGOING and place not in self._perhaps and not notice.heard and notification.announces
            )
            if first and well and not judge.disk.uncertain(notification.id):
                now, why = judge.wall(), ""
                if self.held(notice, meant_for(notification), now - ATTEMPT):
                    why = self.held(notice, meant_for(notification), now)
                if why:
                    told = f"{judge.place(notification.id)} tells {notification.receiver} of {place[1]}"
                    judge.fail(f"{told}, though {why}")

    def owed(self, message: Notification) -> None:
        """A message is owed: what it begins with is to be told after all."""
        self._taken_back -= self._said(message)

    def answered(self, notification: Notification, outcome: str) -> None:
        """An attempt ended: what has not failed for sure may have arrived."""
        if outcome in {"sent", "unknown"}:
            self._perhaps.update(self._said(notification))

    def accepted(self, notification: Notification) -> None:
        """A receiver took a message. It tells of no end whose beginning was called back, save in another's place."""
        self._accepted.update(self._said(notification))
        for notice in notification.resolved:
            place = notification.receiver, self._judge.key_of(notice), notice.episode
            own = place not in self._perhaps and not notification.instead_of
            if place in self._taken_back and own:
                self._judge.fail(f"{self._judge.place(notification.id)} tells the end of what was called back: {place}")

    def _said(self, message: Notification) -> set[Said]:
        firing = (each for each in message.firing if each.step != ONGOING)
        return {(message.receiver, self._judge.key_of(each), each.episode) for each in firing}

    def _fires(self, notice: Notice) -> Fires | None:
        """Give the alert as it fires, where that is known."""
        telling = self._judge.telling
        fires = telling.firing.get(self._judge.key_of(notice)) if isinstance(telling, Laws) else None
        return None if fires is None or fires.episode != notice.episode else fires

    def held(self, notice: Notice, receiver: str, wall: int) -> str:
        """Say which silence or window holds an alert from a receiver; empty: none."""
        judge = self._judge
        model, key, before = judge.model, judge.key_of(notice), judge.loop.at - (judge.wall() - wall)
        hushes = [
            each
            for name, each in model.silences.items()
            if each.starts <= wall < each.ends and self.kept_at.get(name, 0) <= before
        ]
        people = model.people._replace(inhibitions=())
        fires = self._fires(notice)
        mine = [Way(receiver, "")]
        if fires is None:
            people = people._replace(windows=dict.fromkeys(people.windows, ()))  # by which way is not known
            rules = {rule_id: rule._replace(muted=(), active=(), depends=()) for rule_id, rule in model.rules.items()}
            labels = labels_of(rules, key, "")
        else:
            rules, labels = model.rules, labels_of(model.rules, key, severity_of(model.rules, key, fires.level))
            mine = ways(people, rules, key, labels).get(receiver, mine)
        return Quiet(people, rules, wall, hushes, {}).held(key, labels, mine[0])

    # ---------------------------------------------------------------------------------------- calling back

    def take(self, change: Change) -> None:
        """Look at what is called back, and follow it: it is on disk."""
        judge, escalated = self._judge, set()
        unsaid = {(each.receiver, judge.model.key_of(*each.key)) for each in change.unsaid}
        for id_, left, whole, *_ in change.recalled:
            number, before = judge.created[id_]
            escalated |= {(before.receiver, judge.key_of(each)) for each in before.firing if each.step == "escalated"}
            gone = self._said(before) - self._said(left._replace(firing=()) if whole else left)
            begun = {place for place in gone if _begins(before, place, judge)}
            arrived = begun & self._accepted
            if arrived:
                judge.fail(f"{judge.place(id_)} is called back, and has arrived: {arrived}")
            self._taken_back |= begun
            for notice in before.firing:
                place = before.receiver, judge.key_of(notice), notice.episode
                known = self._fires(notice) is not None or not judge.model.people.windows
                if known and place in gone and not self.held(notice, meant_for(before), judge.wall()):
                    judge.fail(f"{judge.place(id_)} is called back for no reason: {place}")
            for receiver, key, episode in begun:
                if judge.telling.knows(key, receiver, episode) and (receiver, key) not in unsaid:
                    judge.fail(f"{judge.place(id_)} is called back, and {key} counts as told")
            judge.say("called back", before.receiver, judge.place(id_), "" if whole else "in part")
            self.keys.add((before.receiver, before.group_key))
            self._replace(id_, left._replace(firing=(), resolved=()) if whole else left, number, whole=whole)
            self._strip_parts(left.id, before, left, whole=whole)
        for each in change.unsaid:
            key = judge.model.key_of(*each.key)
            assert key is not None
            judge.telling.unsaid(key, each, escalated=(each.receiver, key) in escalated)
        judge.account()

    def _replace(self, id_: str, left: Notification, number: int, *, whole: bool) -> None:
        """Put what is left in the place of a message; it has another id from now on."""
        judge, new = self._judge, left.id
        row = judge.in_key[left.receiver, left.group_key]
        old, place = judge.created[id_], row.index(id_)

        def back() -> None:
            row[place] = id_
            for table in (judge.created_at, judge.offsets):
                table[id_] = table.pop(new)
            judge.attempts[id_] = judge.attempts.pop(new, [])
            judge.created.pop(new)
            judge.created[id_] = old
            judge.called_back.discard(new)

        self._undo.append(back)
        row[place] = new
        judge.created.pop(id_)
        judge.created[new] = number, left
        for table in (judge.created_at, judge.offsets):
            table[new] = table.pop(id_)
        judge.attempts[new] = judge.attempts.pop(id_, [])
        judge.told_by.update({each: new for each, heir in judge.told_by.items() if heir == id_})
        judge.standing.rename(id_, new)
        judge.telling.renamed(id_, new)
        if id_ in judge.wishes:
            judge.wishes[new] = judge.wishes.pop(id_)
        if whole:
            judge.standing.called_back(new)
            judge.called_back.add(new)
            judge.settled_at[new] = judge.loop.at

    def _strip_parts(self, id_: str, before: Notification, left: Notification, *, whole: bool) -> None:
        """What was folded into a message is not to be said by it any more either, as far as it is called back."""
        judge = self._judge
        said = {(each.key, each.episode) for each in (*left.firing, *left.resolved)} if not whole else set()
        gone = {(each.key, each.episode) for each in (*before.firing, *before.resolved)} - said
        parts = [part for part in judge.in_key[before.receiver, before.group_key] if judge.heir(part) == id_]
        told = [judge.created[part][1] for part in parts if part != id_]
        begun = {(each.key, each.episode) for of in told for each in of.firing if each.step == "firing"}
        over = {(each.key, each.episode): each for of in told for each in of.resolved}
        gone |= {episode for episode in begun & over.keys() - said if self._may_hold(over[episode], before)}
        for part in parts:
            if part != id_:
                number, message = old = judge.created[part]
                keep = [[n for n in of if (n.key, n.episode) not in gone] for of in (message.firing, message.resolved)]
                judge.created[part] = number, message._replace(firing=tuple(keep[0]), resolved=tuple(keep[1]))
                self._undo.append(lambda part=part, old=old: judge.created.__setitem__(part, old))  # type: ignore[misc]

    def _may_hold(self, notice: Notice, message: Notification) -> bool:
        """Tell whether a silence or a window may hold what is over: by which way it went out is not known any more."""
        judge = self._judge
        return bool(judge.model.people.windows or self.held(notice, meant_for(message), judge.wall()))

    # ---------------------------------------------------------------------------------------- what is not written

    def remember(self) -> Callable[[], None]:
        """Give what puts back what is known now."""
        self._undo = []
        accepted, taken_back = set(self._accepted), set(self._taken_back)

        def back() -> None:
            self._accepted, self._taken_back = accepted, taken_back  # nobody remembers that it arrived
            while self._undo:
                self._undo.pop()()

        return back

    def kept(self, name: str, hush: Hush | None) -> None:
        """A silence is on disk, or gone from there."""
        self.kept_at.pop(name, None)
        if hush is not None:
            self.kept_at[name] = self._judge.loop.at


def _begins(message: Notification, place: Said, judge: Judge) -> bool:
    """Tell whether a message was to say the beginning of an episode."""
    return any(
        notice.step == "firing" and (judge.key_of(notice), notice.episode) == place[1:] for notice in message.firing
    )
