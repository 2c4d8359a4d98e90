"""F3: each place where an evaluation calls the store, a condition or a source may raise; no alert moves for that.

The places are read from the code: calls of the store in the engine, the outbox and what belongs to them, of a
condition and of what it found where rules are judged, of a source where it is read. A story that comes by all of them
is played as it should go, and then again and again, each time with one call that raises.
"""

from __future__ import annotations

import ast
import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import alerting
from alerting.config.rules import assembled
from alerting.core.pace import pace_of
from alerting.core.telling.keeping import silence_name, silence_text
from alerting.engine import Engine, Target
from alerting.errors import SecretError, StateMoved, StoreError
from alerting.lane import Terms
from alerting.model import Answer, Level, Matcher, OnMissing, Outcome, RuleSpec, Silence, Truth
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.full import FULL
from tests.sending import RETRY, Receiver
from tests.store.made import balance
from tests.street import Street
from tests.tick import Above, App, Found, H, House, M, S, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.model import Labels, Reading, Rule, Value, Why
    from alerting.ports import Change
    from tests.figures import Figure

ROOT = Path(alerting.__file__).parent
STORED = ("engine.py", "amendments.py", "intake.py", "outbox.py", "returns.py")
FOUND = {"evaluate", "judge", "why"}
JUDGED = {"core/evaluate.py": FOUND, "core/levels.py": FOUND, "intake.py": {"fetch"}}
TICK = 30 * S

Site = tuple[str, int]  # file, line


def calls(name: str) -> Iterator[tuple[int, ast.Attribute]]:
    """Find the calls of methods in a file of the package."""
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.lineno, node.func


def places() -> set[Site]:
    """Find the places at which something outside the engine is called; `clearing` is its own."""
    store = {(name, line) for name in STORED for line, to in calls(name) if ast.unparse(to.value) == "self._store"}
    return store | {
        (name, line)
        for name, methods in JUDGED.items()
        for line, to in calls(name)
        if to.attr in methods and ast.unparse(to.value) != "clearing"
    }


PLACES = places()
WORDING = str(ROOT / "core" / "telling")  # where a message is worded; it has the alert's own words to fall back on
FILES = {str(ROOT / name): name for name, _ in PLACES}


class Wire:
    """Sees each call that comes from one of the places, and has the one numbered `at` raise."""

    def __init__(self, at: int | None = None, error: type[Exception] = StoreError) -> None:
        self.at, self.error = at, error
        self.calls: list[set[Site]] = []
        self.resting = False

    def pull(self) -> None:
        """Note from where this is called; raise where it is the one."""
        if self.resting:
            return
        frame, seen = sys._getframe(2), set()
        while frame is not None:
            if frame.f_code.co_filename.startswith(WORDING):
                return
            name = FILES.get(frame.f_code.co_filename)
            if name and (name, frame.f_lineno) in PLACES:
                seen.add((name, frame.f_lineno))
            frame = frame.f_back  # type: ignore[assignment]
        if seen:
            self.calls.append(seen)
            if len(self.calls) - 1 == self.at:
                raise self.error("something is wrong with this very call")


class Wired:
    """Anything, with a wire on the calls of its methods."""

    def __init__(self, to: Any, wire: Wire) -> None:
        self._to, self._wire = to, wire

    def __getattr__(self, name: str) -> Any:
        """Give a method that pulls the wire first."""
        there = getattr(self._to, name)
        if not callable(there):
            return there

        def call(*words: Any, **named: Any) -> Any:
            self._wire.pull()
            return there(*words, **named)

        return call


class Moving(MemoryStore):
    """A store that saves and says that it did not, while the wire rests: what that turn judged is forgotten at once."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    async def commit(self, change: Change) -> None:
        await super().commit(change)
        if self.wire.resting:
            self.wire.resting = False
            raise StateMoved("the state moved under this process")


class NoSamples:
    """A file of samples that keeps none."""

    trouble = ""

    async def open(self) -> list[Any]:
        return []

    async def append(self, *_: object) -> None:
        """Keep nothing."""


class Seen(Found):
    """What `Live` found."""

    wire: Wire

    def judge(self, labels: Labels) -> tuple[Truth, Why]:
        self.wire.pull()
        truth, why = super().judge(labels)

        def said() -> str:
            self.wire.pull()
            return why()

        return truth, said

    def why(self, labels: Labels, value: Value) -> str:
        self.wire.pull()
        return super().why(labels, value)


class Live(Above):
    """`v > limit` (or `<`), with a wire on everything that is asked of it."""

    def __init__(self, wire: Wire, limit: float, namespace: str = "app", name: str = "v", below: bool = False) -> None:
        super().__init__(limit, namespace, name)
        self.wire, self.below = wire, below
        self.text = f"{name} {'<' if below else '>'} {limit:g}"

    def evaluate(self, samples: Any, now: int, since: int | None = None) -> Found:
        self.wire.pull()
        found = super().evaluate(samples, now, since)
        true = [(labels, value) for labels, value in found.seen.items() if (value < self.limit) is self.below]
        true = [(labels, value) for labels, value in true if value != self.limit]
        seen = Seen(self.limit, true, found.seen, found.gaps)
        seen.wire = self.wire
        return seen


class Wary(App):
    """A source with a wire on its fetch."""

    def __init__(self, clock: FakeClock, wire: Wire) -> None:
        super().__init__(clock)
        self.wire = wire

    def fetch(self, needs: Any, since: int | None) -> Any:
        error: list[Exception] = []
        try:
            self.wire.pull()
        except Exception as raised:  # noqa: BLE001  it is raised where a fetch raises: while it is waited for
            error.append(raised)

        async def fetched() -> Reading:
            for each in error:
                raise each
            return await App.fetch(self, needs, since)

        return fetched()


def rules(wire: Wire) -> list[Rule]:
    """Make rules of every form: `for`, levels, `clear`, both, one that records and its reader, two on missing data."""
    names = ("warning", "critical")

    def leveled(name: str, *clear: Live) -> Rule:
        levels = [Live(wire, 10), Live(wire, 30)]
        spec = RuleSpec(name, name, levels[0].text, keep_firing_for=M, notify=("pager",), clear="v < 5" * len(clear))
        spec = spec._replace(levels=tuple(Level(each, made.text) for each, made in zip(names, levels, strict=True)))
        return assembled(spec, [*levels, *clear])

    cleared = RuleSpec("Cleared", "Cleared", "v > 10", clear="v < 5", notify=("chat",))
    return [
        rule("High", Live(wire, 10), for_=M),
        leveled("Leveled"),
        leveled("Both", Live(wire, 5, below=True)),
        assembled(cleared, [Live(wire, 10), Live(wire, 5, below=True)]),
        rule("job:v", Live(wire, 0), record="job:v", group="g", notify=()),
        rule("Reader", Live(wire, 10, "", "job:v"), group="g", notify=("pager",)),
        rule("Blind", Live(wire, 10, "other"), on_missing=OnMissing.FIRE, notify=("pager",)),
        rule("Gone", Live(wire, 10, "other"), on_missing=OnMissing.RESOLVE, notify=("pager",)),
        rule("Late", Above(10), notify=("attic",)),
    ]


class Scene(Street):
    """A street on which everything that may raise is wired. Chat refuses all, so mail hears instead of it."""

    def __init__(self, wire: Wire) -> None:
        clock = FakeClock()
        self.wire, self.state = wire, Moving(wire)
        chat = Receiver(clock, "chat", otherwise=Answer(Outcome.REFUSED, "channel_not_found"))
        self.mail, self.pager = Receiver(clock, "mail"), Receiver(clock, "pager", stands_for="alert")
        terms = {"chat": Terms(late_after=5 * M), "pager": Terms(pace=pace_of("2/s"))}
        self.troubles: list[str] = []
        self.ticks: list[int] = []  # when everything was evaluated and saved
        attic = Receiver(clock, "attic", otherwise=RETRY)  # what waits for it is called back when it is silenced
        people = [chat, self.mail, self.pager, attic]
        super().__init__(
            *rules(wire), people=people, fallback={"chat": ["mail"]}, terms=terms,
            store=Wired(self.state, wire), unknown_after=H, max_gap=H,
        )  # fmt: skip
        self.app = Wary(clock, wire)
        self.other = App(clock, "other")
        self.targets = [Target(self.app, unknown_after=H), Target(self.other, unknown_after=H)]

    def new_engine(self) -> Engine:
        fault = lambda part, error: self.troubles.append(f"{part}: {error!r}")  # noqa: E731  a callback of one line
        samples: Any = Wired(NoSamples(), self.wire)
        engine = Engine(
            self.store, self.clock, compile_pattern, sample_store=samples, on_commit=self._wake, on_fault=fault
        )
        self.outbox = Outbox(
            self.store, self.people, self.clock, random.Random(7).random, terms=self.terms,
            amends=engine.amendments, on_trouble=self.troubles.append, on_fault=fault,
        )  # fmt: skip
        self.stop = asyncio.Event()
        return engine

    async def certainly(self, act: Any) -> Any:
        """Do something until it is done, as whoever started it would."""
        for _ in range(3):
            try:
                task = asyncio.ensure_future(act())
                await self.clock.run(task)
                return task.result()
            except Exception as error:  # noqa: BLE001  whatever the wire raises
                self.troubles.append(repr(error))
        raise AssertionError("it fails again and again")

    async def turn(self, app: float | None, other: float | None) -> None:
        """Do as the daemon does at each beat."""
        await self.clock.advance(TICK)
        self.app.values = {} if app is None else {"1": app, "2": 1.0}
        self.other.values = None if other is None else {"1": other}
        try:
            try:
                self.engine.report_receivers(await self.outbox.standing())
            except StoreError as error:
                self.troubles.append(repr(error))
            task = asyncio.ensure_future(self.engine.tick())
            await self.clock.run(task)
            report = task.result()
        except Exception as error:  # noqa: BLE001  the daemon goes on as well
            self.troubles.append(repr(error))
            return
        self.troubles += [report.trouble, *report.notices, *report.faults.values(), *report.blind.values()]
        if report.evaluated == len(self.rules) and not report.trouble:
            self.ticks.append(self.clock.monotonic())


class Played(NamedTuple):
    """What came of one playing of the story."""

    changes: Mapping[Any, list[Any]]  # by alert of a user's rule: its states, in order
    told: Counter[Any]  # (receiver, alert, episode's number, step)
    turns: int  # in which everything was evaluated and saved
    ours: int  # how often a fault was said to be one of ours
    sent: int


STORY = [1.0, *[20.0] * 5, *[40.0] * 4, *[20.0] * 4, *[7.0] * 4, *[1.0] * 6, *[20.0] * 5, *[None] * 24, *[1.0] * 4]


async def play(wire: Wire) -> Played:
    """Play the story: values rise, fall, come back and are gone; a restart, a silence, a state that moved."""
    scene = Scene(wire)
    await scene.certainly(scene.engine.open)
    scene.engine.adopt(scene.setup())
    scene.sending = asyncio.ensure_future(scene.outbox.run(scene.stop))
    for number, app in enumerate(STORY):
        if number == 12:
            await scene.end()
            await scene.engine.close()
            scene.engine = scene.new_engine()
            await scene.certainly(scene.engine.open)
            scene.engine.adopt(scene.setup())
            scene.sending = asyncio.ensure_future(scene.outbox.run(scene.stop))
        if number == 15:
            now = scene.clock.now()
            silence = Silence("s1", (Matcher("alertname", "=", "Late"),), now, now + H, "ann", "deploy", now)
            kept = {silence_name("s1"): silence_text(silence)}
            await scene.certainly(lambda kept=kept: scene.engine.take(kept))
        if number == 17:
            wire.resting = True
        await scene.turn(app, None if number in range(20, 26) else 20.0 if number % 20 > 9 else 1.0)
    await scene.clock.advance(10 * M)
    await scene.end()
    await scene.certainly(lambda: scene.outbox.drain(30 * S))
    history = await scene.state.history(0)
    changes: dict[Any, list[Any]] = {}
    for each in history.transitions:
        if not each.key.rule_id.startswith("alerting/"):
            changes.setdefault(each.key, []).append((each.before, each.after, each.ended))
    assert balance((await scene.state.overview()).counts) == 0
    ledgers = {"mail": scene.mail.ledger, "pager": scene.pager.ledger}
    told = Counter(
        (name, notice.key, notice.step, notice.ended)
        for name, ledger in ledgers.items()
        for each in ledger
        for notice in (*each.firing, *each.resolved)
        if notice.step != "ongoing" and not notice.key.rule_id.startswith("alerting/")
    )
    ours = sum(1 for each in scene.troubles if "this very call" in each or "a fault of alerting itself" in each)
    return Played(changes, told, len(scene.ticks), ours, sum(map(len, ledgers.values())))


@pytest.mark.slow
def test_f3_no_call_that_raises_moves_an_alert(figure: Figure) -> None:
    """Nothing false, nothing lost, said to be a fault of ours, and evaluated anew at the next interval."""
    plain = Wire()
    expected = asyncio.run(play(plain))
    assert expected.ours == 0
    errors = (StoreError, RuntimeError, SecretError)
    middle, last = _some_of_each(plain.calls)
    chosen = range(len(plain.calls)) if FULL else sorted(middle | last)
    played = 0
    covered: set[Site] = set()
    changed = lost = doubled = unsaid = 0
    late = 0
    for number in chosen:
        for error in errors if number in last else errors[number % 3 :: 3]:
            played += 1
            wire = Wire(number, error)
            found = asyncio.run(play(wire))
            covered |= wire.calls[number]
            changed += found.changes != expected.changes
            lost += len(set(expected.told) - set(found.told))  # twice the same may have become one
            doubled += sum((found.told - expected.told).values())
            unsaid += not found.ours
            late = max(late, expected.turns - found.turns)
            if found.changes != expected.changes or found.told.keys() != expected.told.keys() or not found.ours:
                print(number, error.__name__, sorted(wire.calls[number]), found.ours)
    missing = sorted(PLACES - covered)
    print(f"{len(plain.calls)} calls from {len(PLACES)} places; not passed: {missing}")
    figure("call sites covered", 100 * len(PLACES & covered) / len(PLACES), at_least=100, n=len(PLACES), unit="%")
    figure("state changes caused", changed, at_most=0, n=played)
    figure("next evaluation late", late, at_most=1, n=played, unit="intervals")
    figure("lost", lost, at_most=0, n=played)
    figure("doubled", doubled, at_most=0, n=played)
    figure("faults not said to be ours", unsaid, at_most=0, n=played)


def _some_of_each(made: list[set[Site]]) -> tuple[set[int], set[int]]:
    """Choose for each place a call in the middle of those that come from it; and for each of the engine's the last."""
    by: dict[Site, list[int]] = {}
    for number, seen in enumerate(made):
        for site in seen:
            by.setdefault(site, []).append(number)
    middle = {numbers[len(numbers) // 2] for numbers in by.values()}
    return middle, {numbers[-1] for (name, _), numbers in by.items() if name in {"engine.py", "amendments.py"}}


def test_f3_a_rule_whose_reason_cannot_be_told_stops_no_other(figure: Figure) -> None:
    """It raises when its words are made, after it was judged, and at every turn: a blind rule like any other."""

    class Mute(Above):
        def evaluate(self, samples: Any, now: int, since: int | None = None) -> Found:
            found = super().evaluate(samples, now, since)

            class Wordless(Found):
                def why(self, labels: Labels, value: Value) -> str:
                    raise ValueError(str(value))

            return Wordless(self.limit, found.true, found.seen, found.gaps)

    async def story() -> tuple[int, int]:
        others = [rule(f"R{number}") for number in range(3)]
        house = await House(rule("Mute", Mute()), *others).open()
        late = moved = 0
        for value in (20, 20, 3):
            report = await house.tick(value)
            states = house.states()
            moved += states.pop("Mute") not in {"unknown", "ok"}
            late += set(states.values()) != {"firing" if value == 20 else "ok"}
            assert ("a fault of alerting itself: ValueError" in str(report.blind)) is (value == 20)
        return late, moved

    late, moved = asyncio.run(story())
    figure("turns that others missed", late, at_most=0, n=3)
    figure("state changes caused", moved, at_most=0, n=3)
