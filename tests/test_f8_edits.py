"""F8: a rule is edited while its alert is pending, fires, or is about to end: reload and restart, from real files.

Each case plays one alert up to a state, edits the rule's file, goes on, and lets everything recover. What the alert
must do is worked out by `Model`, which knows only docs/rules.md's table of edits; what was left open is read from the
ledgers of the receivers.
"""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from alerting.cli.loading import Loaded, adopt
from alerting.config import schema as schemas
from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.core.telling import keeping
from alerting.engine import Setup, Target
from alerting.model import SHARED, Ack, AlertKey, Matcher, Silence
from alerting.model import Receiver as Kind
from alerting.patterns import compile_pattern
from alerting.store.sqlite import build as sqlite_store
from tests.clock import FakeClock
from tests.full import rounds, seed
from tests.sending import RETRY, Receiver
from tests.store.made import OK, balance
from tests.street import H, M, S, Street
from tests.tick import App

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.figures import Figure

TICK = 30 * S
SETTINGS = """\
sources:
  metrics: {type: prometheus, url: "http://127.0.0.1:9/metrics"}
receivers:
  chat: {type: console}
  pager: {type: console}
  other: {type: console}
"""
PEOPLE = ("chat", "pager", "other")


class Text(NamedTuple):
    """A rule as it stands in a file. `limit`, `for_` and `keep` are what the model must know of it, too."""

    name: str = "High"
    limit: int = 10
    for_: int = 4  # ticks
    keep: int = 4  # ticks
    notify: str = "[chat, pager]"
    file: str = "one.yaml"
    more: str = ""
    id: str = ""

    def write(self, folder: Path) -> None:
        """Make it the only rule, beside one that never changes."""
        for path in folder.glob("rules/*.yaml"):
            path.unlink()
        (folder / "rules" / "beside.yaml").write_text("alert: Beside\ncondition: v > 1000\nnotify: chat\n")
        lines = [
            f"alert: {self.name}",
            f"condition: v > {self.limit}",
            f"for: {self.for_ * 30}s",
            f"keep_firing_for: {self.keep * 30}s",
            f"notify: {self.notify}",
            *([f"id: {self.id}"] if self.id else []),
            *([self.more] if self.more else []),
        ]
        (folder / "rules" / self.file).write_text("\n".join(lines) + "\n")


STAYS, AFRESH, GONE = "stays", "afresh", "gone"  # what becomes of the alert


class Edit(NamedTuple):
    """One row of the table in docs/rules.md. `after` None: the rule is deleted."""

    before: Text
    after: Text | None
    effect: str


PLAIN, NAMED = Text(), Text(id="high")
EDITS: dict[str, Edit] = {
    "threshold, still exceeded": Edit(PLAIN, PLAIN._replace(limit=15), STAYS),
    "threshold, not exceeded any more": Edit(PLAIN, PLAIN._replace(limit=50), STAYS),
    "for, longer": Edit(PLAIN, PLAIN._replace(for_=7), STAYS),
    "for, shorter": Edit(PLAIN, PLAIN._replace(for_=1), STAYS),
    "keep_firing_for, longer": Edit(PLAIN, PLAIN._replace(keep=7), STAYS),
    "keep_firing_for, none": Edit(PLAIN, PLAIN._replace(keep=0), STAYS),
    "severity": Edit(PLAIN, PLAIN._replace(more="severity: critical"), STAYS),
    "annotations": Edit(PLAIN, PLAIN._replace(more="annotations: {summary: 'v is {{ $value }}'}"), STAYS),
    "on_missing": Edit(PLAIN, PLAIN._replace(more="on_missing: keep"), STAYS),
    "notify, one less": Edit(PLAIN, PLAIN._replace(notify="chat"), STAYS),
    "notify, another": Edit(PLAIN, PLAIN._replace(notify="other"), STAYS),
    "given an id": Edit(PLAIN, PLAIN._replace(id="high"), STAYS),
    "moved to another file": Edit(PLAIN, PLAIN._replace(file="two.yaml"), STAYS),
    "renamed, with an id": Edit(NAMED, NAMED._replace(name="Higher"), STAYS),
    "renamed and moved, with an id": Edit(NAMED, NAMED._replace(name="Higher", file="two.yaml"), STAYS),
    "labels, with an id": Edit(NAMED, NAMED._replace(more="labels: {team: web}"), STAYS),
    "labels": Edit(PLAIN, PLAIN._replace(more="labels: {team: web}"), AFRESH),
    "renamed": Edit(PLAIN, PLAIN._replace(name="Higher"), AFRESH),
    "renamed and moved": Edit(PLAIN, PLAIN._replace(name="Higher", file="two.yaml"), AFRESH),
    "disabled": Edit(PLAIN, PLAIN._replace(more="enabled: false"), GONE),
    "deleted": Edit(PLAIN, None, GONE),
}


class State(NamedTuple):
    """Where the alert is when the edit comes: what was read before, and what is read after, tick by tick."""

    before: Sequence[int | None]
    after: Sequence[int | None]
    hush: str = ""  # what keeps it from being told: a silence, an acknowledgement, receivers that are down


UP = (20,) * 6  # from ok into firing
STATES: dict[str, State] = {
    "ok": State((1, 1), (1, *UP, 20)),
    "pending": State((1, 20, 20), UP),
    "pending, and unknown": State((1, 20, 20, None), (None, *UP)),
    "firing": State((1, *UP), (20, 20)),
    "firing, and unknown": State((1, *UP, None), (None, 20)),
    "quiet, then over": State((1, *UP, 1, 1), (1,)),
    "quiet, then again": State((1, *UP, 1, 1), (1, 20, 20, 1)),
    "over": State((1, *UP, *(1,) * 6), (1, *UP)),
    "firing, silenced": State((1, *UP), (20, 20), "silence"),
    "firing, acknowledged": State((1, *UP), (20, 20), "ack"),
    "firing, not told yet": State((1, *UP), (20, 20), "down"),
}
assert len(EDITS) * len(STATES) >= 60


class Move(NamedTuple):
    """One change of an alert: in which tick, of which of its identities (0, 1), to what."""

    tick: int
    identity: int
    state: str


class Model:
    """The life of one alert by the table of edits, counted in ticks and by nothing else."""

    def __init__(self, edit: Edit) -> None:
        self.edit, self.text, self.state, self.identity = edit, edit.before, "inactive", 0
        self.there = True
        self.held = self.quiet = 0  # ticks for which it held, or did not
        self.known = True  # at the last tick
        self.moves: list[Move] = []

    def change(self, number: int) -> None:
        """Take the edit; the next tick is that number."""
        if self.edit.effect != STAYS:
            if self.state != "inactive":
                self._move(number, "resolved" if self.state == "firing" else "inactive")
            self.state, self.held, self.quiet, self.identity = "inactive", 0, 0, 1
        self.text = self.edit.after or self.text
        self.there = self.edit.effect != GONE

    def tick(self, number: int, value: int | None) -> None:
        """Take one reading. What was true, or false, holds until the next one; what is unknown takes no time."""
        if not self.there:
            return
        step, self.known = int(self.known), value is not None
        self.held += step if self.state == "pending" else 0
        self.quiet += step if self.quiet else 0
        if value is None:
            return
        if value > self.text.limit:
            self.quiet = 0
            if self.state == "inactive":
                self._move(number, "pending")
                self.held = 0
            if self.state == "pending" and self.held >= self.text.for_:
                self._move(number, "firing")
        elif self.state == "pending":
            self._move(number, "inactive")
        elif self.state == "firing":
            self.quiet = max(1, self.quiet)
            if self.quiet > self.text.keep:
                self._move(number, "resolved")
                self.state, self.quiet = "inactive", 0

    def _move(self, number: int, state: str) -> None:
        self.moves.append(Move(number, self.identity, state))
        self.state = state


class Office(Street):
    """A street whose rules stand in files, loaded as `alerting run` loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = load_settings(folder / "alerting.yaml", {}, folder)
        clock = FakeClock()
        people = [Receiver(clock, name, stands_for="alert" if name == "pager" else "group") for name in PEOPLE]
        super().__init__(people=people, store=sqlite_store("sqlite:///state.db", folder))
        self.app = App(self.clock, "metrics", SHARED)
        self.targets = [Target(self.app)]

    async def open(self) -> Office:
        snapshot = await self.engine.open()
        await self.load(snapshot)
        self.sending = asyncio.ensure_future(self.outbox.run(self.stop))
        return self

    async def load(self, snapshot: Any = None) -> None:
        """Read the files and hand them over: at a start with what the state holds, else as a reload does."""
        loaded = Loaded(self.settings, load_rules(self.settings, None, compile_pattern))
        assert loaded.good, loaded.problems
        await adopt(self, loaded, snapshot)

    async def adopt(self, settings: Any, rules: Any, *, max_gap: int | None = None, good: str | None = None) -> None:
        """Take the rules, as the program does."""
        kinds = {name: Kind(each.stands_for) for name, each in self.people.items()}
        self.engine.adopt(Setup(rules.rules, self.targets, kinds, max_gap=max_gap, good_config=good))

    async def start_anew(self) -> None:
        """End the process and start another over the same state."""
        await self.end()
        await self.engine.close()
        await self.store.close()
        self.store = sqlite_store("sqlite:///state.db", self.folder)
        self.engine = self.new_engine()
        await self.open()


def hush(office: Office, how: str) -> Mapping[str, str | None]:
    """Write what keeps the alert from being told."""
    now = office.clock.now()
    if how == "silence":
        silence = Silence("s1", (Matcher("alertname", "=~", "High.*"),), now, now + 24 * H, "ann", "deploy", now)
        return {keeping.silence_name("s1"): keeping.silence_text(silence)}
    [alert] = [each for each in office.engine.alerts() if "alerting/" not in each.key.rule_id]
    ack = Ack(alert.key, alert.episode, "ann", now, now + 24 * H)
    return {keeping.ack_name(alert.key): keeping.ack_text(ack)}


def left_open(receiver: Receiver) -> set[Any]:
    """Give what a receiver was told fires and never that it is over: its incidents, or its lines in a channel."""
    open_: set[Any] = set()
    for message in receiver.ledger:
        open_ |= {(message.group_key, each.key, each.episode) for each in message.firing}
        open_ -= {(message.group_key, each.key, each.episode) for each in message.resolved}
    return open_


async def play(folder: Path, edit: Edit, state: State, *, restart: bool) -> tuple[list[str], list[str]]:
    """Play one case; give what was orphaned and what was reset without being documented."""
    edit.before.write(folder)
    office, model = Office(folder), Model(edit)
    moves: list[tuple[int, AlertKey, str]] = []
    if state.hush == "down":
        for each in office.people.values():
            each.otherwise = RETRY
    await office.open()
    if state.hush == "silence":
        await office.engine.take(hush(office, "silence"))
    script = [*state.before, "edit", *state.after, *(1,) * 10]
    number = 0
    told_before: dict[str, set[Any]] = {}
    for step in script:
        if step == "edit":
            if state.hush == "ack":
                await office.engine.take(hush(office, "ack"))
                await office.tick(office.app.values, 0)
                model.tick(number, 20)
            told_before = {name: left_open(each) for name, each in office.people.items()}
            text = edit.after or Text(name="Nothing", limit=9999, file="none.yaml")
            text.write(folder)
            model.change(number + 1)
            if restart:
                await office.start_anew()
            else:
                await office.load()
            continue
        number += 1
        report = await office.tick(step, TICK)
        model.tick(number, step)
        moves += [
            (number, each.key, str(each.after)) for each in report.transitions if "alerting/" not in each.key.rule_id
        ]
        if number == len(script) - 8:
            for each in office.people.values():
                each.otherwise = OK
    await office.clock.advance(10 * M)
    orphans = [f"{name}: {each}" for name, who in office.people.items() for each in left_open(who)]
    if edit.effect == STAYS:  # what was open before is what is closed after: no second incident for one episode
        episodes = {each.episode for message in office.people["pager"].ledger for each in message.firing}
        keys = {message.group_key for message in office.people["pager"].ledger}
        if told_before["pager"] and len(keys) > len(episodes):
            orphans.append("a second incident for one episode")
    counts = await office.counts()
    assert balance(counts) == 0
    assert counts["pending"] == counts["claimed"] == counts["parked"] == 0
    await office.end()
    await office.engine.close()
    await office.store.close()
    wanted, seen = in_order(model.moves), in_order(moves)
    return orphans, [] if wanted == seen else [f"wanted {wanted}, seen {seen}"]


def in_order(moves: Sequence[tuple[int, Any, str]]) -> list[tuple[int, int, str]]:
    """Number the identities as they come up, and put what happened in one tick in their order."""
    numbers: dict[Any, int] = {}
    return sorted((tick, numbers.setdefault(key, len(numbers)), state) for tick, key, state in moves)


@pytest.mark.slow
def test_f8_no_edit_in_any_state_orphans_an_incident_or_resets_what_is_not_documented(
    tmp_path: Path, figure: Figure
) -> None:
    """All pairs of (edit, state), each by a reload and by a restart: docs/rules.md says what each does."""
    number = seed(8)
    cases = [(edit, state, restart) for edit in EDITS for state in STATES for restart in (False, True)]
    chosen = random.Random(number).sample(cases, rounds(30, len(cases)))
    orphans, resets = [], []
    for edit, state, restart in chosen:
        folder = tmp_path / f"{edit}, {state}, {restart}"
        (folder / "rules").mkdir(parents=True)
        (folder / "alerting.yaml").write_text(SETTINGS)
        case = f"{edit}, while {state}, {'restart' if restart else 'reload'}"
        left, reset = asyncio.run(play(folder, EDITS[edit], STATES[state], restart=restart))
        orphans += [f"{case}: {each}" for each in left]
        resets += [f"{case}: {each}" for each in reset]
    print(*orphans, *resets, sep="\n")
    figure("orphaned incidents", len(orphans), at_most=0, n=len(chosen), seed=number)
    figure("undocumented resets", len(resets), at_most=0, n=len(chosen), seed=number)


def test_every_key_of_a_rule_has_its_row_in_the_table_of_edits() -> None:
    """A key that is new must say what its edit does."""
    page = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
    table = page.partition("### What an edit does to an alert\n")[2].partition("\n## ")[0]
    told = {word for line in table.splitlines() for word in re.findall(r"`([a-z_]+)", line.partition(" | ")[0])}
    assert schemas.load("rules")["$defs"]["rule"]["properties"].keys() - told == set()
