"""Laws of telling, for runs in which people are told in every way that there is: routes, timers, levels and so on.

An exact model of these would be a second implementation. Instead each message is held against how things stand (may
it be said?), and each alert against what was said of it (must something be said by now?). What fires, at which level,
the model has settled before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from tests.simulate.known import Changes, Fires, Owed, Stamp, Taken, Told
from tests.simulate.life import FIRING, RESOLVED
from tests.simulate.model import RECEIVER_DOWN
from tests.simulate.people import GROUPS
from tests.simulate.plan import S
from tests.simulate.ways import RANKS, Quiet, Way, labels_of, meant_for, severity_of, ways

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from alerting.model import Notice, Notification, Unsaid
    from alerting.ports import Change
    from tests.simulate.judge import Judge
    from tests.simulate.model import Key, Stage
    from tests.simulate.people import People


class Copied(Protocol):
    """What can be copied."""

    def copy(self) -> Self:
        """Give another that is the same."""


K = TypeVar("K")
V = TypeVar("V", bound=Copied)
SLACK = 2 * S  # between the moment at which something is due and the turn that tells it
LOOK = 45 * S  # until what is late is passed on: a lane looks every 5 s, unless an attempt takes its time
HURRY = frozenset({"worse", "better", "escalated", "acknowledged", "returned"})
PASSES_ACK = frozenset({"better", "acknowledged", "flapping", RESOLVED})
ONGOING = "ongoing"


class Laws:
    """See the module's text."""

    def __init__(self, judge: Judge, people: People) -> None:
        self._judge = judge
        self.people = people
        self.firing: dict[Key, Fires] = {}
        self.told: dict[Key, dict[str, Told]] = {}
        self.acks: dict[Key, Taken] = {}
        self.disturbed = True  # something changed besides alerts
        self._spoken: dict[tuple[str, str], Stamp] = {}  # (receiver, group or group key) -> its last message
        self._changes: dict[Key, Changes] = {}
        self._since: dict[tuple[Key, str, str], Stamp] = {}  # (alert, receiver, step): owed, and nothing holds it
        self._unheard: dict[str, Stamp] = {}  # messages to receivers with a fallback that nobody was told yet
        self._hushed: dict[str, int] = {}  # of these: when something of each was silenced last
        self._stand_ins: set[tuple[str, str]] = set()  # (receiver, group key) of what was told in another's place
        self._stood_in: set[tuple[Key, str, str]] = set()  # (alert, receiver, episode)
        self._now = 0  # of the turn that is looked at
        self._followed = 0  # since when these settings hold
        self._next = 0  # when time alone may make something owed
        self._labels: dict[Key, Mapping[str, str]] = {}
        self._ways: dict[tuple[Key, str], dict[str, list[Way]]] = {}
        self._named: dict[tuple[Key, str], Mapping[str, str]] = {}  # (alert, level) -> its labels
        self._rules: object = None  # those of `_ways` and `_named`
        self._longest = max((each for way in _all(people) for each in way), default=0)

    # ---------------------------------------------------------------------------------------- what happens

    def read(self) -> None:
        """The program reads what is kept."""
        now, offset = self._judge.loop.at, self._judge.loop.offset
        told = (each.at for of in self.told.values() for each in of.values())
        fires = (each.since for each in self.firing.values())
        for stamp in (*told, *fires, *self._spoken.values(), *self._since.values(), *self._unheard.values()):
            stamp.reread(now, offset)
        self.disturbed = True

    def remember(self) -> Callable[[], None]:
        """Give what puts back what is known now."""
        firing, told = _copies(self.firing), {key: _copies(of) for key, of in self.told.items()}
        changes, spoken = _copies(self._changes), _copies(self._spoken)
        since, unheard, acks = _copies(self._since), _copies(self._unheard), dict(self.acks)
        stand_ins, stood_in = set(self._stand_ins), set(self._stood_in)

        def back() -> None:
            self.firing, self.told, self.acks, self._changes = firing, told, acks, changes
            self._spoken, self._since, self._unheard = spoken, since, unheard
            self._stand_ins, self._stood_in = stand_ins, stood_in

        return back

    def turn(self, stage: Stage, change: Change) -> None:
        """Look at what a turn changed and told. The model has settled what fires."""
        self._now = stage.at
        moved = self._move(stage, change)
        self._follow(stage.people)
        if self._rules is not stage.rules:
            self._ways, self._named, self._rules = {}, {}, stage.rules
        if not (moved or change.notifications or self.disturbed or stage.at >= self._next):
            self._end_acks(stage)  # what is over stays so, though the wall be set back
            return
        quiet = self._quiet(stage)
        self._end_acks(stage)
        for message in change.notifications:
            self._said(stage, quiet, message)
        for message in change.notifications:
            self._whole(message)
        self.disturbed = False
        self._demand(stage, quiet)

    def passed(self, change: Change, now: int) -> None:
        """Look at what was passed on to a fallback; `now`: when that was made out."""
        judge, self._now = self._judge, now
        self._follow(judge.model.people)
        owed = self._owed_elsewhere(change)
        for id_ in change.passed_on:
            self._unheard.pop(id_, None)
        for message in change.notifications:
            passed, receiver = message.instead_of, message.receiver
            if receiver in passed or len(set(passed)) < len(passed):
                judge.fail(f"a message goes in a circle: {(*passed, receiver)}")
            if not passed or receiver not in self.people.fallback.get(passed[-1], ()):
                judge.fail(f"{receiver} is told in place of {passed}")
            for notice in message.firing:
                key = judge.key_of(notice)
                if key not in self.firing or (notice.step != FIRING and receiver not in GROUPS):
                    judge.fail(f"{receiver}: passed on as {notice.step}, and is not: {key}")
                if key.rule == f"{RECEIVER_DOWN}{receiver}":
                    judge.fail(f"{receiver} is told of its own failure in place of {passed[-1]}")
                known = self.told.get(key, {}).get(receiver)
                self._stood_in.add((key, receiver, notice.episode))
                if known is None:
                    self._note(message, notice, key)
                else:
                    judge.fail(f"{receiver} was passed on what it knows: {key}")
                owed.pop((key, receiver), None)
            place = receiver, message.group_key
            if receiver in GROUPS and place in judge.keys.keys() - self._stand_ins:
                own = judge.keys[place] - {judge.key_of(notice) for notice in message.firing}
                if own or not message.firing:
                    judge.fail(f"{receiver} is told in place of {passed[-1]} under the key of its own group: {own}")
            self._stand_ins.add(place)
        for (key, receiver), id_ in owed.items():
            judge.fail(f"{receiver} should know of {key} in place of another, by {judge.place(id_)}, and is not told")
        self.disturbed = True

    def _owed_elsewhere(self, change: Change) -> dict[tuple[Key, str], str]:
        """Give what a fallback must be told by what is passed on: that fires, and it does not know of."""
        judge = self._judge
        found: dict[tuple[Key, str], str] = {}
        for id_ in change.passed_on:
            if id_ not in judge.created:
                continue
            message = judge.created[id_][1]
            passed = (*message.instead_of, message.receiver)
            for notice in message.firing if message.announces else ():
                key, begins = judge.key_of(notice), notice.step == FIRING
                fires = self.firing.get(key)
                if fires is None or fires.episode != notice.episode or not begins:
                    continue
                for other in self.people.fallback.get(message.receiver, ()):
                    known = other in self.told.get(key, ()) or (key, other, notice.episode) in self._stood_in
                    if other not in passed and not known and key.rule != f"{RECEIVER_DOWN}{other}":
                        found[key, other] = id_
        return found

    def created(self, message: Notification) -> None:
        """Take note of a message that is owed."""
        if message.receiver in self.people.fallback:
            self._unheard[message.id] = self._stamp()

    def knows(self, key: Key, receiver: str, episode: str) -> bool:
        """Tell whether a receiver counts as told of an episode that goes on."""
        fires = self.firing.get(key)
        return fires is not None and fires.episode == episode and receiver in self.told.get(key, ())

    def renamed(self, id_: str, new: str) -> None:
        """A message, or what is left of it, has another id."""
        self._unheard = {new if each == id_ else each: at for each, at in self._unheard.items()}

    def unsaid(self, key: Key, unsaid: Unsaid, *, escalated: bool) -> None:
        """Take note that a receiver was not told what it was to be told; an escalation is owed again."""
        told = self.told[key]
        if unsaid.told is None:
            judge, place = self._judge, (unsaid.receiver, told[unsaid.receiver].group_key)
            del told[unsaid.receiver]
            judge.keys[place].discard(key)
            self._stood_in = {each for each in self._stood_in if each[:2] != (key, unsaid.receiver)}
        else:
            known = told[unsaid.receiver]
            known.severity, known.acked, known.flapping = unsaid.told[2:]
            known.at = self.firing[key].since.copy() if escalated and key in self.firing else known.at
        self.disturbed = True

    # ---------------------------------------------------------------------------------------- how things stand

    def _follow(self, people: People) -> None:
        """Go by these settings from now on."""
        if people is self.people:
            return
        self.people, self._ways, self.disturbed, self._followed = people, {}, True, self._now
        self._longest = max(self._longest, *(each for way in _all(people) for each in way))
        created = self._judge.created
        self._unheard = {id_: at for id_, at in self._unheard.items() if created[id_][1].receiver in people.fallback}

    def _stamp(self) -> Stamp:
        return Stamp(self._now, self._judge.loop.offset, self._now, self._now)

    def _move(self, stage: Stage, change: Change) -> bool:
        """Follow what fires, and at which level."""
        judge, moved = self._judge, False
        for each in change.transitions:
            key = judge.key_of(each)
            if each.after == FIRING and each.before == FIRING:
                if self.firing[key].level == each.level or stage.levels.get(key) != each.level:
                    judge.fail(f"{key} moves to level {each.level!r} for no reason")
                self.firing[key].level = each.level
            elif each.after == FIRING:
                self.firing[key] = Fires(each.episode, self._stamp(), each.level)
                if each.level != stage.levels.get(key, ""):
                    judge.fail(f"{key} fires at level {each.level!r}")
            elif each.after == RESOLVED:
                del self.firing[key]
            else:
                continue
            moved = True
            if each.before != each.after:
                changes = self._changes.setdefault(key, Changes())
                changes.at, changes.wall = stage.at, stage.wall
                changes.firings += each.after == FIRING
        for key, level in stage.levels.items():
            if key in self.firing and self.firing[key].level != level:
                judge.fail(f"{key} is at level {self.firing[key].level!r} instead of {level!r}")
        return moved

    def _quiet(self, stage: Stage) -> Quiet:
        self._labels = {key: self._labels_of(stage, key, fires.level) for key, fires in self.firing.items()}
        hushes = [each for each in self._judge.model.silences.values() if each.starts <= stage.wall < each.ends]
        return Quiet(self.people, stage.rules, stage.wall, hushes, self._labels)

    def _labels_of(self, stage: Stage, key: Key, level: str) -> Mapping[str, str]:
        found = self._named.get((key, level))
        if found is None:
            found = self._named[key, level] = labels_of(stage.rules, key, severity_of(stage.rules, key, level))
        return found

    def _ways_of(self, stage: Stage, key: Key) -> dict[str, list[Way]]:
        place = key, self.firing[key].level
        found = self._ways.get(place)
        if found is None:
            found = self._ways[place] = ways(self.people, stage.rules, key, self._labels[key])
        return found

    def _ways_to(self, stage: Stage, key: Key, receiver: str) -> list[Way]:
        """Give the ways to one receiver: whoever was told and is named no more still hears of what changes."""
        mine = self._ways_of(stage, key).get(receiver)
        return mine or ([Way(receiver, f"rule {key.rule}")] if receiver in self.told.get(key, ()) else [])

    def _end_acks(self, stage: Stage) -> None:
        for key, ack in list(self.acks.items()):
            fires = self.firing.get(key)
            graver = fires is not None and ack.severity and _rank(self._labels[key]["severity"]) > _rank(ack.severity)
            if fires is None or fires.episode != ack.episode or graver or stage.wall >= ack.until:
                del self.acks[key]

    def _may_flap(self, key: Key, stage: Stage) -> bool:
        flapping, changes = self.people.flapping, self._changes.get(key)
        if flapping is None or changes is None or changes.firings < flapping.firings:
            return False
        return stage.at - changes.at < flapping.calm or 0 <= stage.wall - changes.wall < flapping.calm

    # ---------------------------------------------------------------------------------------- what may be said

    def _said(self, stage: Stage, quiet: Quiet, message: Notification) -> None:
        """Hold one message to the laws, and take note of what it says."""
        judge = self._judge
        if not message.announces:
            hidden = {each.name for each in quiet.hushes}
            if message.receiver not in GROUPS or not hidden or message.resolved or not message.firing:
                judge.fail(f"a warning of nothing to {message.receiver}")
            return
        for notice in message.firing:
            if notice.step != ONGOING:
                key = judge.key_of(notice)
                wrong = self._wrong(stage, quiet, key, message, notice)
                if wrong:
                    judge.fail(f"{message.receiver} is told {notice.step} of {key.rule}{key.labels}: {wrong}")
                self._note(message, notice, key)
                for way in self._ways_to(stage, key, message.receiver)[:1]:
                    self._spoken[message.receiver, way.group] = self._stamp()
        self._spoken[message.receiver, message.group_key] = self._stamp()
        for notice in message.resolved:
            key = judge.key_of(notice)
            told = self.told.get(key, {}).pop(message.receiver, None)
            if told is None:
                judge.fail(f"{message.receiver} is told the end of what it was not told: {key}")
            assert told is not None
            if key in self.firing:
                judge.fail(f"{message.receiver} is told that {key} is over, and it fires")
            if told.group_key != message.group_key:
                judge.fail(f"{message.receiver}: resolved under another key than it fired: {key}")
            if notice.episode not in self._changes[key].episodes:
                judge.fail(f"{message.receiver}: an episode resolved of which nobody was told: {key}")
            judge.keys[message.receiver, message.group_key].discard(key)
            if key.rule in stage.rules:  # an end is a word of its group too, of the one that is its by now
                labels = labels_of(stage.rules, key, notice.severity)
                for way in ways(self.people, stage.rules, key, labels).get(message.receiver, ())[:1]:
                    self._spoken[message.receiver, way.group] = self._stamp()

    def _wrong(self, stage: Stage, quiet: Quiet, key: Key, message: Notification, notice: Notice) -> str:
        """Say why one step may not be told; empty: it may."""
        step, receiver = notice.step, message.receiver
        fires, told, ack = self.firing.get(key), self.told.get(key, {}).get(receiver), self.acks.get(key)
        if fires is None:
            return "it does not fire"
        mine = self._ways_to(stage, key, receiver)
        if not mine:
            return "nobody named it"
        if notice.episode != fires.episode:
            return "another episode fires"
        if notice.severity != self._labels[key]["severity"]:
            return f"it is {self._labels[key]['severity']}, not {notice.severity}"
        if bool(notice.acked) != (ack is not None):
            return f"taken on: {ack}, not {notice.acked!r}"
        if ack is not None and step not in PASSES_ACK:
            return "somebody has taken it on"
        if told is None and message.receiver in GROUPS:
            keys = self._judge.keys.get((receiver, message.group_key))
            if keys is not None and not keys and (receiver, message.group_key) not in self._judge.recalls.keys:
                return "a new episode under an old key"
        elif told is None and (receiver, message.group_key) in self._judge.keys.keys() - self._judge.recalls.keys:
            return "a new episode under an old key"
        if told is not None and told.group_key != message.group_key:
            return "its key has changed"
        due = [way for way in mine if stage.at - fires.since.early >= way.after]
        held = [quiet.held(key, self._labels[key], way) for way in (due if told is None else mine[:1])]
        if held and all(held):
            return held[0]
        return self._untimely(stage, key, step, told, mine)

    def _untimely(self, stage: Stage, key: Key, step: str, told: Told | None, mine: list[Way]) -> str:
        """Say why it is not the time for a step; empty: it is."""
        fires = self.firing[key]
        if (told is None) is not (step == FIRING or (step in {"escalated", "flapping"} and told is None)):
            return f"it was told {told}"
        if step == FIRING and all(way.after for way in mine):
            return "it is for later"
        if step == "escalated" and not any(way.after and stage.at - fires.since.early >= way.after for way in mine):
            return f"it fires for {(stage.at - fires.since.early) / S:g} s"
        if step == "reminder" and told is not None:
            repeat = mine[0].repeat
            if repeat is None or stage.at - told.at.early < repeat:
                return f"it was told {(stage.at - told.at.early) / S:g} s ago"
        if step in {"worse", "better"} and told is not None:
            change = _rank(self._labels[key]["severity"]) - _rank(told.severity)
            if (change > 0) is not (step == "worse") or not change:
                return f"it was {told.severity}"
        if step == "acknowledged" and key not in self.acks:
            return "nobody has taken it on"
        if step == "returned" and (key in self.acks or told is None or not told.acked):
            return "nobody had taken it on"
        changes = self._changes[key]
        if step == "flapping" and (self.people.flapping is None or changes.firings < self.people.flapping.firings):
            return f"it fired {changes.firings} times"
        return ""

    def _note(self, message: Notification, notice: Notice, key: Key) -> None:
        receiver, group_key = message.receiver, message.group_key
        self.told.setdefault(key, {})[receiver] = Told(
            group_key, self._stamp(), notice.severity, bool(notice.acked), bool(notice.flapping)
        )
        self._changes.setdefault(key, Changes()).episodes.add(notice.episode)
        self._judge.keys.setdefault((receiver, group_key), set()).add(key)

    def _whole(self, message: Notification) -> None:
        """A message names everything that fires under its key, and nothing whose end was told."""
        if not message.announces:
            return
        names = {self._judge.key_of(notice) for notice in message.firing}
        known = self._judge.keys[message.receiver, message.group_key]
        missing = {key for key in known if key in self.firing} - names
        if missing or names - known:
            self._judge.fail(f"a message to {message.receiver} does not name what fires: {missing or names - known}")
        over = {key for key in names if key not in self.firing}
        if over and self.people.flapping is None:
            self._judge.fail(f"a message to {message.receiver} names as firing what is over: {over}")

    # ---------------------------------------------------------------------------------------- what must be said

    def _demand(self, stage: Stage, quiet: Quiet) -> None:
        """What is owed and not held must be told within its time."""
        now, judge = stage.at, self._judge
        self._next = now + 15 * S
        standing: dict[tuple[Key, str, str], Stamp] = {}
        for key, receiver, step, within in self._owed(stage, quiet):
            place = key, receiver, step
            since = standing[place] = self._since.get(place) or self._stamp()
            storm = self.people.storm.within if receiver in GROUPS else 0  # what new settings let go may be one
            due = max(since.late + within, self._followed + storm if storm else 0) + SLACK
            if now > due:
                how = f"for {(now - since.at) / S:g} s, {within / S:g} s at most"
                judge.fail(f"{receiver} is not told {step} of {key.rule}{key.labels}, which is owed {how}")
            self._next = min(self._next, due + 1)
        self._since = standing
        self._nothing_kept_from_fallbacks(now)

    def _owed(self, stage: Stage, quiet: Quiet) -> Iterator[Owed]:
        for key, fires in self.firing.items():
            if self._may_flap(key, stage):
                continue
            labels = self._labels[key]
            for receiver in dict.fromkeys((*self._ways_of(stage, key), *self.told.get(key, ()))):
                step, way = self._step(stage, key, fires, receiver, self._ways_to(stage, key, receiver))
                taken = key in self.acks and step not in PASSES_ACK
                if not step or taken or quiet.held(key, labels, way):
                    continue
                storm = self.people.storm.within if receiver in GROUPS else 0
                timers = 0 if step in HURRY else max(way.wait, way.interval)
                yield Owed(key, receiver, step, timers + storm)
        for key, receivers in self.told.items():
            if key not in self.firing and not self._may_flap(key, stage):
                for receiver in receivers:
                    storm = self.people.storm.within if receiver in GROUPS else 0
                    yield Owed(key, receiver, RESOLVED, self._longest + storm)

    def _step(self, stage: Stage, key: Key, fires: Fires, receiver: str, mine: list[Way]) -> tuple[str, Way]:
        """Say what a receiver must hear of an alert now, and by which way; empty: nothing."""
        now, told = stage.at, self.told.get(key, {}).get(receiver)
        first = mine[0]
        if told is None:
            due = [way for way in mine if not way.after or now - fires.since.late >= way.after]
            if not due:
                self._next = min(self._next, fires.since.late + min(way.after for way in mine))
                return "", first
            return ("escalated" if due[0].after else FIRING), due[0]
        change = _rank(self._labels[key]["severity"]) - _rank(told.severity)
        if change:
            return ("worse" if change > 0 else "better"), first
        if (key in self.acks) is not told.acked:
            return ("acknowledged" if key in self.acks else "returned"), first
        for way in mine:
            at = fires.since.late + way.after
            if way.after and told.at.late < fires.since.early + way.after:
                if now >= at:
                    return "escalated", first
                self._next = min(self._next, at)
        if first.repeat is not None and not first.after:
            spoken = [self._spoken.get((receiver, group)) for group in (first.group, told.group_key)]
            at = max((told.at.late, *(each.late for each in spoken if each is not None))) + first.repeat
            if now >= at:
                return "reminder", first
            self._next = min(self._next, at)
        return "", first

    def _nothing_kept_from_fallbacks(self, now: int) -> None:
        """What could not be told for long was passed on, save what is silenced: it waits until that is over."""
        judge = self._judge
        well = max(judge.calm_since, judge.disk.hurt_at, judge.disk.doubt_until)
        for id_, created in list(self._unheard.items()):
            if judge.is_accepted(id_) or id_ in judge.told_by:
                del self._unheard[id_]
                self._hushed.pop(id_, None)
            elif judge.loop.offset == created.offset == judge.epoch:
                if now - max(well, created.late + self.people.late_after) <= LOOK:
                    return  # those behind it are younger
                message = judge.created[id_][1]
                over = any(judge.key_of(each) not in self.firing for each in message.firing)
                if over and self.people.windows:
                    self._hushed[id_] = now  # by which route it went out is not known any more
                elif any(judge.recalls.held(each, meant_for(message), judge.wall()) for each in message.firing):
                    self._hushed[id_] = now
                elif now - self._hushed.get(id_, 0) > LOOK:
                    judge.fail(f"{judge.place(id_)} could not be told, and its fallback is not told of it")


def _copies(kept: Mapping[K, V]) -> dict[K, V]:
    """Copy what changes in its place."""
    return {name: each.copy() for name, each in kept.items()}


def _rank(severity: str) -> int:
    return RANKS.index(severity) if severity in RANKS else -1


def _all(people: People) -> Iterator[tuple[int, int]]:
    """Give the timers of all routes."""
    routes = [] if people.route is None else [people.route]
    while routes:
        route = routes.pop()
        routes += route.routes
        yield route.group_wait, route.group_interval
