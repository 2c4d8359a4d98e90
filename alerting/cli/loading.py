"""Settings and rules on their way from files to a Program, with the last good set behind them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alerting.cli.terminal import warn
from alerting.config.cache import Cache
from alerting.config.files import mark_of
from alerting.config.rules import RuleSet, load_rules
from alerting.config.settings import Settings, find_settings, load_settings
from alerting.config.snapshot import dump_good, load_good, specs_in, with_kept_ids
from alerting.core.builtin import CANARY
from alerting.errors import ConfigError, LockHeld, Problem, StateRefused
from alerting.patterns import compile_pattern
from alerting.store.sqlite import file_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis, RuleSpec
    from alerting.ports import Snapshot
    from alerting.wiring import Program

_PATIENCE, _PAUSE = 0.5, 0.02  # s that a short-lived holder of the state is waited for, and between two tries
_TRIES = 5  # to read settings that change meanwhile
_SHOWN = 3  # problems that the alert ConfigBroken names


class Loaded(NamedTuple):
    """What the files say now."""

    settings: Settings
    rules: RuleSet

    @property
    def good(self) -> bool:
        """Tell whether the whole set loaded."""
        return self.rules.good

    @property
    def problems(self) -> Sequence[Problem]:
        """Give what is wrong or odd, of settings and rules."""
        return (*self.settings.warnings, *self.rules.problems)


def load(explicit: str | None) -> Loaded:
    """Read settings and rules. Raises ConfigError for settings that cannot be used; rules carry their problems."""
    cwd, env = Path.cwd(), os.environ
    cache = Cache.of_user(env)
    path = find_settings(explicit, env, cwd)
    for _ in range(_TRIES):
        mark = None if path is None else mark_of(path)
        settings = load_settings(path, env, cwd, cache)
        rules = load_rules(settings, None, compile_pattern, cache=cache)
        if path is None or mark_of(path) == mark:  # both are of one moment
            return Loaded(settings, rules)
    raise ConfigError(
        [Problem("changed while it was read", path.name if path else "", 1, hint="load it when nobody writes it")]
    )


def load_for_work(explicit: str | None) -> Loaded:
    """Read settings and rules to evaluate by. Raises ConfigError also for broken rules where no state has good ones.

    So a slip in a folder where nothing ever ran leaves no state file there.
    """
    loaded = load(explicit)
    settings = loaded.settings
    if not loaded.good and not os.path.exists(file_of(settings.store, settings.root)):  # noqa: PTH110  a path as text
        raise ConfigError([each for each in loaded.problems if not each.warning])
    return loaded


def load_settings_only(explicit: str | None) -> Settings:
    """Read the settings, for commands that need no rules. Raises ConfigError."""
    cwd, env = Path.cwd(), os.environ
    return load_settings(find_settings(explicit, env, cwd), env, cwd, Cache.of_user(env))


def load_settings_for_state(explicit: str | None) -> Settings:
    """Read the settings, for commands that need to know where the state is and little else.

    Where they are broken and the state is found all the same, what can be read of them stands in, and standard error
    says so: what is in force is then the last good set, in the state. Raises ConfigError.
    """
    cwd, env = Path.cwd(), os.environ
    path = find_settings(explicit, env, cwd)
    try:
        return load_settings(path, env, cwd, Cache.of_user(env))
    except ConfigError as error:
        from alerting.config.remains import remains  # noqa: PLC0415  PyYAML: only where something is wrong

        left = None if path is None else remains(path, env, cwd)
        with suppress(StateRefused):  # no place of a state
            if left is not None and os.path.exists(state := file_of(left.store, left.root)):  # noqa: PTH110  as text
                warn(
                    f"alerting: the settings are broken (`alerting validate` lists it all): {broken(error.problems)}",
                    f"alerting: going on with the state {state} and the last good rules in it",
                )
                return left
        raise


async def opened(program: Program, settings: Settings) -> Snapshot:
    """Take the state. A command that writes a silence holds it for a moment: to leave then would cost a turn.

    Raises LockHeld where it is held for longer, or by a daemon; StateRefused, StoreError.
    """
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            return await program.open()
        except LockHeld:
            from alerting.control import ping  # noqa: PLC0415  seldom

            if time.monotonic() > ends or ping(file_of(settings.store, settings.root)):
                raise
        await asyncio.sleep(_PAUSE)


async def adopt(program: Program, loaded: Loaded, snapshot: Snapshot | None, *, max_gap: Millis | None = None) -> bool:
    """Hand rules over: those of the files or, where they are broken, the last good ones from the state.

    `snapshot` is None where the program already works by a good set. Tells whether they are a whole set, so that a
    rule that is missing from it was removed on purpose.
    Raises ConfigError where the files are broken and there is no good set to fall back on.
    """
    if loaded.good:
        rules = with_kept_ids(loaded.rules, _previous(program, snapshot))
        text = dump_good(rules)
        saved = snapshot is not None and snapshot.good_config == text
        program.engine.report_config(None)
        await program.adopt(loaded.settings, rules, max_gap=max_gap, good=None if saved else text)
        return True
    if snapshot is None or snapshot.good_config is None:
        raise ConfigError([each for each in loaded.problems if not each.warning])
    good = load_good(snapshot.good_config, loaded.settings, compile_pattern)
    program.engine.report_config(broken(loaded.problems))
    await program.adopt(loaded.settings, good, max_gap=max_gap)
    return good.good


def _previous(program: Program, snapshot: Snapshot | None) -> Sequence[RuleSpec]:
    """Give the last good set of rules: what the program works by, or what the state has kept."""
    if snapshot is None:
        return [status.rule.spec for status in program.engine.statuses() if status.rule.id != CANARY]
    try:
        return specs_in(snapshot.good_config) if snapshot.good_config else ()
    except ValueError:
        return ()  # another release's: no rule can be told to have moved


def broken(problems: Sequence[Problem]) -> str:
    """Say in one line what is wrong with a configuration."""
    wrong = [each for each in problems if not each.warning]
    shown = "; ".join(f"{each.where()}: {each.message}" for each in wrong[:_SHOWN])
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return f"{shown}{more}"
