"""Mistakes in what readings and times mean, and over reloads and restarts."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING, Any

from alerting import engine
from alerting.core import evaluate, lifecycle
from alerting.core.samples import Samples
from alerting.engine import Engine
from alerting.intake import Intake
from alerting.model import AlertState, Truth
from alerting.store.sqlite import SqliteStore
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from tests.simulate.mistakes import Plant


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

    def episode_of(key: Any, _fired_at: int, _era: int = 0) -> str:
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


@mistake
def over_before_it_is_clear(plant: Plant) -> None:
    """An alert is over once its condition does not hold, whatever `clear` says."""
    plant.swap(evaluate.Clearing, "judge", lambda _self, _labels: (Truth.FALSE, lambda: "below its limit"))


@mistake
def clear_begins_alerts(plant: Plant) -> None:
    """What is not clear holds back no end only, but also keeps `for` running."""
    original = evaluate._judged

    def judged(rule: Any, result: Any, alert: Any, *rest: Any) -> Any:
        return original(rule, result, alert._replace(state=AlertState.FIRING), *rest)

    plant.swap(evaluate, "_judged", judged)
