"""`alerting run`: the daemon, with what it reads again at SIGHUP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.loading import adopt, broken, load
from alerting.daemon import Daemon
from alerting.errors import ConfigError
from alerting.log import set_up
from alerting.model import DeliveryState
from alerting.wiring import Program

if TYPE_CHECKING:
    import logging
    from argparse import Namespace

    from alerting.cli.loading import Loaded
    from alerting.model import Delivery


def main(arguments: Namespace) -> int:
    """Run until a signal says stop."""
    return asyncio.run(_run(arguments))


async def _run(arguments: Namespace) -> int:
    loaded = load(arguments.config)
    voice = _Voice()
    program = Program(loaded.settings, say=_print, daemon=True, on_settled=voice.settled, on_trouble=voice.trouble)
    voice.log = set_up(arguments.log_level, arguments.log_format, program.redact)
    for problem in loaded.problems:
        voice.problem(problem.where(), problem.message, warning=problem.warning)
    snapshot = await program.open()
    try:
        await adopt(program, loaded, snapshot)
        await Daemon(program, _Reload(program, arguments.config, loaded, voice).again, voice.log, arguments.grace).run()
    finally:
        await program.close()
    return Exit.OK


class _Reload:
    """Reads the files again and hands them over, or says what is wrong with them."""

    def __init__(self, program: Program, config: str | None, loaded: Loaded, voice: _Voice) -> None:
        self._program = program
        self._config = config
        self._store = (loaded.settings.store, loaded.settings.root)
        self._voice = voice

    async def again(self) -> str:
        """Give what is wrong; nothing: the new set is in force."""
        try:
            loaded = await asyncio.to_thread(load, self._config)
        except ConfigError as error:
            return self._refused(broken(error.problems))
        for problem in loaded.problems:
            self._voice.problem(problem.where(), problem.message, warning=problem.warning)
        if not loaded.good:
            return self._refused(broken(loaded.problems))
        if (loaded.settings.store, loaded.settings.root) != self._store:
            return self._refused("`store` cannot change while the daemon runs; start it anew")
        await adopt(self._program, loaded, None)
        return ""

    def _refused(self, why: str) -> str:
        self._program.engine.report_config(why)
        return why


class _Voice:
    """Log lines for what the outbox and the loading of files have to tell."""

    log: logging.Logger

    def settled(self, delivery: Delivery) -> None:
        """Tell how an attempt ended."""
        notification = delivery.notification
        fields = {
            "action": "delivery",
            "receiver": notification.receiver,
            "notification": notification.id,
            "attempt": delivery.attempts,
        }
        if delivery.state is DeliveryState.SENT:
            self.log.info("sent: %s", notification.title, extra=fields)
        else:
            level = self.log.error if delivery.state is DeliveryState.PARKED else self.log.warning
            level("%s: %s (%s)", delivery.state.value, notification.title, delivery.why, extra=fields)

    def trouble(self, message: str) -> None:
        """Tell what operators should know."""
        self.log.error(message, extra={"action": "trouble"})

    def problem(self, where: str, message: str, *, warning: bool) -> None:
        """Tell what is wrong or odd in a file."""
        level = self.log.warning if warning else self.log.error
        level("%s: %s", where, message, extra={"action": "config"})


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  the console receiver of a daemon
