"""`alerting run`: the daemon, with what it reads again at SIGHUP and what tells others how it is."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.loading import adopt, broken, load, load_for_work, opened
from alerting.config.noted import origin_of
from alerting.core.lasting import Lasting, kind_of
from alerting.daemon import RELOAD, Daemon
from alerting.errors import AlertingError, ConfigError, Problem, StoreError
from alerting.log import set_up
from alerting.model import DeliveryState, Secret
from alerting.pool import Pool
from alerting.selfwatch.canary import is_canary
from alerting.selfwatch.ending import end_by
from alerting.selfwatch.systemd import Systemd
from alerting.selfwatch.vitals import Vitals
from alerting.wiring import Program, environment

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Coroutine
    from typing import Any

    from alerting.config.settings import Settings
    from alerting.model import Delivery
    from alerting.web.server import Server


def main(arguments: Namespace) -> int:
    """Run until a signal says stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # else it would end us before the daemon can obey it
    _watch_children()
    return asyncio.run(_run(arguments))


def _watch_children() -> None:
    """Wait for programs without a thread for each, as later Pythons do by themselves; the machine may have none."""
    if sys.version_info < (3, 12):
        with suppress(AttributeError, OSError):  # not every system can
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


async def _run(arguments: Namespace) -> int:
    async with AsyncExitStack() as stack:
        daemon = await _ready(arguments, stack)
        try:
            await daemon.run()
        except BaseException:  # of a loop that broke, as for want of memory: closing may hang then
            end_by(arguments.grace)
            raise
    return Exit.OK


async def _ready(arguments: Namespace, stack: AsyncExitStack) -> Daemon:
    """Load, open, adopt; what is to be let go of goes on the stack. What was loaded is not held beyond that."""
    loaded = load_for_work(arguments.config)
    settings, voice = loaded.settings, _Voice()
    program = Program(
        settings,
        say=_print,
        daemon=True,
        on_settled=voice.settled,
        on_secrets=voice.secrets,
        on_fault=voice.fault,
    )
    voice.vitals = Vitals(program)
    carrier = set_up(arguments.log_level, arguments.log_format, program.redact, environment(settings))
    stack.callback(carrier.close)
    voice.log, voice.vitals.tally.lines_lost = carrier.log, lambda: carrier.lost
    if _report_faults(settings, program, voice):
        stack.push_async_callback(_flush)
    for problem in loaded.problems:
        voice.problem(problem.where(), problem.message, warning=problem.warning)
    snapshot = await opened(program, settings)
    stack.push_async_callback(program.close)
    await adopt(program, loaded, snapshot)
    server = _serve(settings, program, voice)
    if server is not None:
        stack.callback(server.stop)
    systemd, reload = Systemd(), _Reload(program, arguments.config, settings, voice)
    beside = _beside(settings, program, voice, systemd)
    return Daemon(
        program,
        reload.again,
        voice.log,
        arguments.grace,
        vitals=voice.vitals,
        systemd=systemd,
        beside=beside,
    )


def _report_faults(settings: Settings, program: Program, voice: _Voice) -> bool:
    """Report faults of alerting itself to Sentry where a DSN says so; tell whether they are."""
    dsn = os.environ.get("SENTRY_DSN")
    if not dsn:
        return False
    from alerting.selfwatch import faults  # noqa: PLC0415  only where there is a DSN

    secret = Secret.literal(dsn)
    secret.reveal()
    program.redact.watch([secret])
    return faults.start(os.environ, program.redact, environment(settings), voice.trouble)


async def _flush() -> None:
    from alerting.selfwatch import faults  # noqa: PLC0415  only where faults are reported

    with suppress(TimeoutError):
        await Pool(1)(faults.flush, int(2_000 * faults.FLUSH))


def _serve(settings: Settings, program: Program, voice: _Voice) -> Server | None:
    """Serve health and metrics where the settings say so. Raises AlertingError."""
    if settings.web is None:
        return None
    try:
        from alerting.web import app, server  # noqa: PLC0415  heavy: only where it is asked for
    except ImportError:
        raise AlertingError("`web` in the settings needs more packages: install alerting[web]") from None
    views = app.Views(server.Asking(asyncio.get_running_loop()), voice.vitals, program.report)
    made = server.Server(settings.web["listen"], app.build(views, settings.web["hosts"]))
    made.start()
    voice.log.info("serving %s", made.address, extra={"action": "serving", "address": made.address})
    return made


def _fixed(settings: Settings) -> object:
    """Give what a reload does not change; secrets by the names of what they refer to."""
    heartbeat = settings.heartbeat or {}
    beating = {key: each.label if isinstance(each, Secret) else each for key, each in heartbeat.items()}
    return settings.web, beating, settings.store_patience


def _beside(
    settings: Settings, program: Program, voice: _Voice, systemd: Systemd
) -> dict[str, Coroutine[Any, Any, None]]:
    """Give the loops that tell others how the daemon is."""
    vitals, loops = voice.vitals, {}
    heartbeat = program.heartbeat(settings, voice.trouble)
    if heartbeat is not None:
        vitals.tally.beats = heartbeat.beats
        loops["heartbeat"] = heartbeat.run(vitals.ailing, partial(vitals.promise, "heartbeat"))
    if systemd.pace is not None:
        loops["watchdog"] = vitals.reassure(systemd, systemd.pace, voice.trouble)
    return loops


class _Reload:
    """Reads the files again and hands them over, or says what is wrong with them."""

    def __init__(self, program: Program, config: str | None, settings: Settings, voice: _Voice) -> None:
        self._program = program
        self._config = config
        self._store = (settings.store, settings.root)
        self._fixed = _fixed(settings)
        self._voice = voice
        self._blocking = Pool(1)

    async def again(self) -> str:
        """Give what is wrong; nothing: the new set is in force."""
        try:
            loaded = await self._blocking(lambda: load(self._config), RELOAD)
        except ConfigError as error:
            return self._refused(broken(error.problems))
        except TimeoutError:
            return self._refused(f"settings and rules could not be read within {RELOAD // 1000} s; send HUP again")
        for problem in loaded.problems:
            self._voice.problem(problem.where(), problem.message, warning=problem.warning)
        if not loaded.good:
            return self._refused(broken(loaded.problems))
        if (loaded.settings.store, loaded.settings.root) != self._store:
            said = origin_of(loaded.settings.path, loaded.settings.cwd or loaded.settings.root, "store")
            place = Problem("", *said).where()
            return self._refused(f"{place}: `store` cannot change while the daemon runs; start it anew")
        if _fixed(loaded.settings) != self._fixed:
            self._voice.trouble("`web`, `heartbeat` and `store_patience` stay as they are until the next start")
        try:
            await adopt(self._program, loaded, None)
        except StoreError as error:
            return self._refused(str(error))
        return ""

    def _refused(self, why: str) -> str:
        self._program.engine.report_config(why)
        return why


_ENDED = {DeliveryState.PENDING: "not sent, to be tried again", DeliveryState.PARKED: "given up"}


class _Voice:
    """Log lines for what the outbox and the loading of files have to tell."""

    log: logging.Logger
    vitals: Vitals

    def __init__(self) -> None:
        self._lasting = Lasting()

    def settled(self, delivery: Delivery) -> None:
        """Tell how an attempt ended."""
        self.vitals.settled(delivery)
        notification = delivery.notification
        fields = {
            "action": "delivery",
            "receiver": notification.receiver,
            "notification": notification.id,
            "attempt": delivery.attempts,
        }
        if delivery.state is DeliveryState.SENT:
            level = self.log.debug if is_canary(notification) else self.log.info
            level("sent: %s", notification.title, extra=fields)
        else:
            level = self.log.error if delivery.state is DeliveryState.PARKED else self.log.warning
            words = _ENDED.get(delivery.state, delivery.state.value)
            level("%s: %s (%s)", words, notification.title, delivery.why, extra=fields)

    def trouble(self, message: str) -> None:
        """Tell what operators should know."""
        self.log.error(message, extra={"action": "trouble"})

    def fault(self, part: str, error: BaseException) -> None:
        """Tell of a fault of ours that was caught, with its trace: so it reaches Sentry, where that is set up."""
        self.vitals.tally.faults += 1
        if self._lasting.wrong(part, f"{part}: {kind_of(error)}", self.vitals.clock.monotonic()):
            message = "a fault of alerting itself in %s"
            self.log.error(message, part, exc_info=error, extra={"action": "fault", "part": part})

    def secrets(self, document: str, why: str) -> None:
        """Tell that secrets are old, or fresh again."""
        level = self.log.warning if why else self.log.info
        level("secrets of %s: %s", document, why or "fresh again", extra={"action": "secrets", "document": document})

    def problem(self, where: str, message: str, *, warning: bool) -> None:
        """Tell what is wrong or odd in a file."""
        level = self.log.warning if warning else self.log.error
        level("%s: %s", where, message, extra={"action": "config"})


def _print(text: str) -> None:
    """Print for the console receiver; raises OSError where nobody reads what was printed before."""
    if sys.stdout is None or not select.select((), (sys.stdout,), (), 0)[1]:
        raise BlockingIOError(errno.EAGAIN, "nobody reads it")
    print(text, flush=True)  # noqa: T201  the console receiver of a daemon
