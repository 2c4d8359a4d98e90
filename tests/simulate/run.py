"""One seed, from start to verdict: the world goes its way, processes live and die, and in the end all must be well."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulate import asking
from tests.simulate.disk import Disk
from tests.simulate.judge import LONGEST_WISH, Judge, Violation
from tests.simulate.loop import START, Loop, Wedged
from tests.simulate.model import BY_SPACE, RECEIVER_DOWN, Key, Model
from tests.simulate.people import RECEIVERS
from tests.simulate.plan import INTERVAL, Dice, M, S, plan
from tests.simulate.process import Process
from tests.simulate.retune import retuned
from tests.simulate.services import Services
from tests.simulate.unsaved import Unsaved
from tests.simulate.world import World

if TYPE_CHECKING:
    from tests.simulate.plan import Event, RuleDef

REST = 10 * M  # after the last fault: everything that waits by itself is over by then
LONGEST_WAIT = 75 * M  # what a receiver may have asked for, and some more
SOON = 90 * S  # after the last fault everything that nobody asked to wait is out
PACE = INTERVAL + 17 * S  # between two looks of a rule: its interval, and a source that hangs to the deadline
_MEMORY = Path("/dev/shm")


class Outcome(NamedTuple):
    """What came of a seed."""

    seed: int
    violation: str  # empty: none
    faults: int
    messages: int
    requests: int
    duplicates: int
    lives: int
    simulated: int  # ms
    processor: float  # s that it took
    history: list[str]


class Run:
    """One seed. Everything in it outlives the processes."""

    def __init__(self, seed: int, hours: float, folder: str, *, keep_history: bool) -> None:
        self.plan = plan(seed, hours)
        self.loop = Loop()
        self.dice = Dice(seed, "process")
        self.history: list[str] = []
        self._keep_history = keep_history
        self.disk = Disk(folder, self.plan.disk, Dice(seed, "disk"))
        model = Model(exact=not self.plan.people.rich)
        self.judge = Judge(model, self.disk, self.loop, self.say, self.plan)
        self.disk.unsaved = self.unsaved = Unsaved(self)
        self.services = Services(self.plan, Dice(seed, "services"), self.judge, self.say)
        self.world = World(self.plan, Dice(seed, "world"), self.judge.model.hear)
        self.rules: tuple[RuleDef, ...] = self.plan.rules
        self.people = self.plan.people
        self.shelf: list[RuleDef] = []  # rules that were taken out
        self.broken = False  # the files as they are now do not load
        self.frame = 0  # by how much the wall was off when a turn was saved last
        self.faults = 0  # that happened at one moment
        self.process: Process | None = None
        self._starts_at = 0
        self._downtime = 5 * S  # after the next death
        self._looked: dict[str, tuple[int, int]] = {}  # rule -> its last two evaluations; negative: there are none
        self._excused = 0  # until then evaluations may be late

    def say(self, kind: str, *words: Any) -> None:
        """Write a line of the history."""
        if self._keep_history:
            at, steps = self.loop.at, self.loop.steps
            clock = f"{at // 3_600_000:02}:{at // 60_000 % 60:02}:{at // 1000 % 60:02}.{at % 1000:03}"
            self.history.append(f"{clock} {steps:>8} {kind:<12} {' '.join(map(str, words))}".rstrip())

    # ---------------------------------------------------------------------------------------- the whole

    def play(self) -> None:
        """Play the plan, then let everything come to rest, then look."""
        for event in self.plan.events:
            self._until(event.at)
            self.judge.account()
            self._happen(event)
        self._until(self.plan.end)
        self._disarm()
        if self.process is None:
            self._until(self._starts_at + 1)
        self.broken = False
        self._reload()
        calm = self.loop.at
        self._until(calm + SOON)
        self._nothing_late()
        self._until(calm + REST)
        for _ in range(2):  # that a receiver can be told again is told once all is told
            while not self.judge.drained() and self.loop.at < calm + LONGEST_WAIT:
                self._until(self.loop.at + M)
            self._until(self.loop.at + 30 * S)
        self._look()

    def _until(self, time: int) -> None:
        """Let time pass; a process that dies on the way is started anew after a while."""
        while self.loop.at < time:
            self.loop.play(time if self.process else min(time, self._starts_at))
            self._check()
            if self.process is None and self.loop.at >= self._starts_at:
                self._start()
                continue
            if self.loop.dying:
                self._die()
            elif self.process is not None and self.process.main.done():
                self._gone()

    def _check(self) -> None:
        if self.judge.violation:
            raise Violation(self.judge.violation)
        if self.loop.faults:
            self.judge.fail(f"nobody took care of {self.loop.faults[0]}")
        process = self.process
        if process is not None and process.main.done() and not process.main.cancelled():
            error = process.main.exception()
            if error is not None:
                self.judge.fail(f"the program ended: {error!r}")

    def _look(self) -> None:
        """The end: nothing lost, and receivers know what is true."""
        judge = self.judge
        if not judge.drained():
            judge.fail(f"never delivered: {[judge.place(id_) for id_, *_ in self.disk.unsettled()]}")
        judge.nothing_lost()
        spoilt = {(m.receiver, m.group_key) for id_, (_, m) in judge.created.items() if id_ in judge.parked}
        spoilt |= self.unsaved.lost_places
        told = {key for key, open_ in judge.keys.items() if open_} - spoilt
        opened = {("pager", key) for key in self.services.incidents.open} - spoilt
        if opened != {each for each in told if each[0] == "pager"}:
            judge.fail(f"PagerDuty does not know what is true: open {opened}, told {told}")
        for id_, (_, message) in judge.created.items():
            paged = message.receiver != "pager" or self.services.paged(message.group_key)
            given_up = judge.is_parked(id_) or (message.receiver, message.group_key) in spoilt  # the page before it
            if message.firing and not paged and not given_up:
                judge.fail(f"nobody was paged: {judge.place(id_)}")
        self._compare_with_world()
        for rule in self.rules:
            if self.loop.at - self._looked.get(rule.id, (0, 0))[1] > PACE:
                judge.fail(f"{rule.id} is not evaluated any more")

    def _compare_with_world(self) -> None:
        """The world has stood still for long: what holds fires, what does not hold does not."""
        lives = self.judge.model.lives
        for rule in self.rules:
            for place in BY_SPACE[rule.namespace]:
                truth = self.world.truth(place, self.plan.end)[rule.metric]
                for labels, value in truth.items():
                    holds = value > rule.limit and rule.zone in {"", labels.get("zone")}
                    life = lives.get(Key(rule.id, labels))
                    between = rule.hysteresis and rule.clear <= value <= rule.limit  # it depends on how it was before
                    if not between and holds != (life is not None and life.firing):
                        self.judge.fail(f"{rule.id}{labels} is {value}, limit {rule.limit}: {life}")
        for key, life in lives.items():
            away = key.rule.removeprefix(RECEIVER_DOWN)
            if away != key.rule and self.judge.standing.may_stay_down(away):
                continue  # nothing more was to be told it
            if not life.firing or key.rule.startswith("alerting/"):
                self.judge.fail(f"{key} is {life} while all is well")

    def _nothing_late(self) -> None:
        wall = START + self.loop.at + self.judge.epoch
        for id_, state, not_before in self.disk.unsettled():
            if state == "claimed" and self.loop.at < self.disk.doubt_until:
                continue
            if self.judge.skewed and wall < not_before <= wall + LONGEST_WISH:
                continue  # its wait was set by another wall
            _, message = self.judge.created[id_]
            wishes = [self.judge.wishes.get(each) for each in (id_, message.receiver)]
            waits = any(wish is not None and wish.until > self.loop.at - 30 * S for wish in wishes)
            if self.judge.is_head(id_) and not waits and self.judge.created_at[id_] < self.plan.end:
                self.judge.fail(f"late: {self.judge.place(id_)} to {message.receiver} is {state} and nothing fails")

    # ---------------------------------------------------------------------------------------- lives

    def _start(self) -> None:
        self.judge.begin()
        self.judge.model.start(self.loop.offset - self.frame)
        self._excuse(40 * S)
        self.say("start", f"life {self.judge.life}")
        self.process = Process(self)

    def _die(self) -> None:
        """The process dies where it is."""
        assert self.process is not None
        self.say("dies")
        self.process.kill()
        self.loop.dying = False
        self.faults += 1
        self._check()
        self._down(self._downtime)

    def _gone(self) -> None:
        """The process has ended by itself, or could not start."""
        assert self.process is not None
        self.say("ended")
        self.process.kill()
        self._down(5 * S)

    def _down(self, duration: int) -> None:
        self._disarm()
        self.process = None
        self._starts_at = self.loop.at + duration

    def _disarm(self) -> None:
        """Nothing that was to kill the process is to kill the next."""
        self.disk.armed = ""
        self.services.die_after_accepting = False
        self.loop.fuse = -1

    # ---------------------------------------------------------------------------------------- what happens

    def _happen(self, event: Event) -> None:
        kind, detail = event.kind, event.detail
        if kind not in {"crash", "restart"}:
            self.say(kind, detail)
            self.faults += 1
        process = self.process
        if kind == "crash":
            how, callbacks, self._downtime = detail
            if how == "any":
                self.loop.fuse = callbacks
            elif how == "sent":
                self.services.die_after_accepting = True
            else:
                self.disk.armed = how
        elif kind == "restart" and process is not None and process.up:
            self.say("stops")
            self.faults += 1
            process.stop()
        elif kind == "step":
            self.loop.offset += detail
        elif kind == "pause":
            self.loop.at += detail
            self.judge.calm_since = self.loop.at
            self._excuse(30 * S)
        elif kind == "break":
            self._break()
        elif kind == "edit":
            self._edit(Dice(*detail))
        elif kind == "retune":
            self.people, self.rules = retuned(self.people, self.rules, Dice(*detail))
            self.broken = False
            self._reload()
        elif kind == "silence" and process is not None and process.up:
            asking.silence(self, process, *detail)
        elif kind == "ack" and process is not None and process.up:
            asking.take_on(self, process, *detail)

    def _break(self) -> None:
        self.broken = not self.broken
        self._reload()

    def _edit(self, dice: Dice) -> None:
        """Change the rule files: limits, waits, receivers; rules go and come back."""
        rules = list(self.rules)
        what = dice.random()
        place = dice.whole(0, len(rules))
        if what < 0.5:
            changes: dict[str, Any] = {}
            if what < 0.2:
                changes["limit"] = dice.pick((30, 50, 70))
            elif what < 0.3:
                changes["for_"] = dice.pick((0, 20 * S, M))
            else:
                changes["notify"] = dice.some(RECEIVERS)
            rule = rules[place]
            if "limit" in changes and rule.second:
                changes["second"] = changes["limit"] + rule.second - rule.limit
            rules[place] = rule._replace(**changes)
        elif what < 0.8 and self.shelf:
            rules.append(self.shelf.pop(dice.whole(0, len(self.shelf))))
        elif len(rules) > 5:
            self.shelf.append(rules.pop(place))
        self.rules = tuple(rules)
        self.broken = False
        self._looked = {rule.id: self._looked[rule.id] for rule in self.rules if rule.id in self._looked}
        self._reload()

    def _reload(self) -> None:
        if self.process is not None and self.process.up:
            if self.broken:
                self.process.tell_problem()
            else:
                self.process.reload()

    def breaks_now(self, rule_id: str) -> bool:
        """Tell whether our own code fails in a rule's condition."""
        window = self.plan.ours.at(self.loop.at)
        return window is not None and (int(rule_id.rpartition("R")[2]) + int(window.detail)) % 3 == 0

    # ---------------------------------------------------------------------------------------- pace

    def _excuse(self, duration: int) -> None:
        self._excused = max(self._excused, self.loop.at + duration)
        self._looked = {}

    def paced(self, rule_id: str) -> None:
        """A rule is evaluated: not too late after the last time, and not twice in a row."""
        now = self.loop.at
        before, last = self._looked.get(rule_id, (-M, -1))
        self._looked[rule_id] = last, now
        if last < 0 or (now - last <= PACE and now - before >= INTERVAL // 2) or self.disk.hurt_at + 2 * PACE > now:
            return
        if now - before < INTERVAL // 2:
            self.judge.fail(f"{rule_id} was looked at three times within {(now - before) / S:g} s")
        if now - last > PACE and now > self._excused:
            self.judge.fail(f"{rule_id} was not looked at for {(now - last) / S:g} s")


def simulate(seed: int, hours: float = 1.0, *, keep_history: bool = False) -> Outcome:
    """Play one seed."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        run = Run(seed, hours, folder, keep_history=keep_history)
        violation = ""
        try:
            run.play()
        except (Violation, Wedged) as found:
            violation = run.judge.violation or str(found)
            run.say("VIOLATION", violation)
        finally:
            if run.process is not None:
                run.process.kill()
            run.disk.close()
            run.loop.close()
    windows = [*run.plan.sources.values(), *run.plan.receivers.values(), run.plan.disk, run.plan.ours]
    faults = run.faults + sum(len(each.met) for each in windows)
    judge = run.judge
    return Outcome(
        seed,
        violation,
        faults,
        len(judge.created),
        run.services.requests,
        judge.duplicates,
        judge.life,
        run.loop.at,
        time.process_time() - began,
        run.history,
    )
