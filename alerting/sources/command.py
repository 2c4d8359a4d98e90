"""A program of one's own: its exit code, and what it prints as numbers, JSON or in the manner of Nagios' plugins.

Whoever may write settings could run anything by this, so it is off unless the environment of the process says
`ALERTING_COMMANDS=allow`: that is for the person who starts the program to say, not for a file. The program is
started without a shell, with the few variables that are named below and no input, in a process group of its own.
That group is ended with the look, whatever happened, so that nothing stays behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from alerting.fields import UnreadableError, read_fields
from alerting.model import NO_LABELS, FaultKind
from alerting.net.http import revealed
from alerting.sources._nagios import read_performance
from alerting.sources._probe import FailedError, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Need, Reading, Section
    from alerting.ports import Tools
    from alerting.sources._probe import Found

SWITCH = "ALERTING_COMMANDS"
OWN = ("up", "exit_code", "run_time", "plugin_state")  # hide a value of the same name

_LIMIT = 1024 * 1024  # bytes of output
_PASSED = ("PATH", "HOME", "TZ")  # what the program gets of our own environment
_LAST = 2.0  # s for a killed process to go: at once, save on an overloaded machine or in a system call that hangs
_VALUES = 20_000
_STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")  # by exit code; Nagios' plugins agree on these


def build(section: Section, tools: Tools) -> Sequence[Command]:
    """Build the source of one `type: command` entry."""
    return (Command(section, tools),)


class Command:
    """Runs one program."""

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = self.namespace = section.name
        self._values = section.values
        self._clock = tools.clock
        timeout: Millis = section.values["timeout"]
        self._probe = Probe(section.name, tools.clock, timeout)

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one run tells all
        """Run it once."""
        return await self._probe.reading(self._look)

    async def close(self) -> None:
        """Nothing runs between two looks."""

    async def _look(self) -> list[Found]:
        if os.environ.get(SWITCH) != "allow":
            text = f"commands are not allowed here; {SWITCH}=allow in the environment of alerting allows them"
            raise FailedError(FaultKind.NOT_ALLOWED, text)
        values = self._values
        arguments = [revealed(each) for each in values["command"]]
        added = {name: revealed(value) for name, value in values.get("environment", {}).items()}
        folder = revealed(values["folder"]) if "folder" in values else None
        began = self._clock.monotonic()
        code, output = await _run(arguments, folder, added)
        took = self._clock.monotonic() - began
        own: list[Found] = [("exit_code", NO_LABELS, float(code)), ("run_time", NO_LABELS, took / 1000)]
        match values["reads"]:
            case "numbers":
                found = _numbers(code, output)
            case "json":
                found = _fields(code, output)
            case "nagios":
                own.append(("plugin_state", NO_LABELS, _state(code)))
                found = self._performance(output)
            case _:
                found = []
        return [*own, *(each for each in found if each[1] or each[0] not in OWN)]

    def _performance(self, output: bytes) -> list[Found]:
        try:
            figures, self._probe.kinds = read_performance(output.decode(), self.namespace)
        except UnicodeDecodeError:
            raise FailedError(FaultKind.MALFORMED, "what it printed is not UTF-8") from None
        except ValueError as error:
            raise FailedError(FaultKind.MALFORMED, str(error)) from None
        return [(name, NO_LABELS, value) for name, value in figures.items()]


def _state(code: int) -> str:
    """Give the word for a plugin's exit code."""
    if code >= len(_STATES):
        raise FailedError(FaultKind.BAD_STATUS, f"it ended with {code}; plugins end with 0 to 3")
    return _STATES[code]


def _fields(code: int, output: bytes) -> list[Found]:
    """Take one JSON object, whatever the exit code, as the health source does whatever the status."""
    try:
        return [(name, labels, value) for (name, labels), value in read_fields(output).items()]
    except UnreadableError as error:
        ended = f"it ended with {code}, and " if code else ""
        raise FailedError(FaultKind.MALFORMED, f"{ended}what it printed is not usable: {error}") from None


def _numbers(code: int, output: bytes) -> list[Found]:
    """Take lines of `name number`, or one number, called `value`; only from a program that ended well."""
    if code:
        raise FailedError(FaultKind.BAD_STATUS, f"it ended with {code}; its numbers may not be all")
    found: dict[str, float] = {}
    lines = [line.split() for line in output.decode("utf-8", "replace").splitlines()]
    lines = [words for words in lines if words and not words[0].startswith("#")]
    if len(lines) > _VALUES:
        raise FailedError(FaultKind.TOO_LARGE, f"it printed more than {_VALUES} numbers")
    for number, words in enumerate(lines, 1):
        name, text = words if len(words) == 2 else ("value", words[0])  # noqa: PLR2004  name and number
        value = _number(text)
        if value is None or len(words) > 2 or (name == "value" and len(words) == 1 and len(lines) > 1):  # noqa: PLR2004
            raise FailedError(FaultKind.MALFORMED, f"number {number} it printed is not a line of `name number`")
        if name in found:
            raise FailedError(FaultKind.MALFORMED, f"it printed {name[:80]!r} twice")
        found[name] = value
    if not found:
        raise FailedError(FaultKind.MALFORMED, "it printed nothing")
    return [(name, NO_LABELS, value) for name, value in found.items()]


def _number(text: str) -> float | None:
    """Read a number; None for anything else, infinities and NaN among it: they are no measurements."""
    try:
        value = float(text if "_" not in text and text.isascii() else "")
    except ValueError:
        return None
    return value if value - value == 0 else None


# ------------------------------------------------------------------------------------------- running


async def _run(arguments: Sequence[str], folder: str | None, added: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a program to its end; give its exit code and what it printed. Raises FailedError."""
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment |= {"LC_ALL": "C", **added}
    ours, theirs = os.pipe()  # a pipe of our own can be closed, even while a process that got away holds its end
    with os.fdopen(ours, "rb") as pipe:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            reason = getattr(error, "strerror", None) or "not a program"
            raise FailedError(FaultKind.UNREADABLE, f"it cannot be started: {reason}") from None
        finally:
            os.close(theirs)
        try:
            output = await _output(pipe)
            code = await process.wait()
        finally:
            await _end(process)
    if code < 0:
        raise FailedError(FaultKind.BAD_STATUS, f"it was ended by signal {-code}")
    return code, output


async def _output(pipe: object) -> bytes:
    """Read until nobody can write any more. Raises FailedError beyond the limit."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        output = b""
        while more := await reader.read(_LIMIT):
            output += more
            if len(output) > _LIMIT:
                raise FailedError(FaultKind.TOO_LARGE, f"it printed more than {_LIMIT} bytes")
        return output
    finally:
        transport.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group, and see its leader go."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left of it; or what is left is not ours any more
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST):
            await process.wait()
