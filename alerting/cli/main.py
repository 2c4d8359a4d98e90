"""The command line: reads the words, picks the command, turns what went wrong into an exit code.

Each command lives in a module of its own that is imported when it is asked for, so that `--version` and `check`
load nothing that they do not use. This is one of the two shells (with the daemon) that catch everything.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import alerting
from alerting.cli.exit import Exit
from alerting.cli.terminal import OutputLost, flush
from alerting.config.durations import millis
from alerting.errors import AlertingError, ConfigError, LockHeld, StateRefused, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_COLLECT_AFTER = 50_000  # new objects; by default 700, but what a command makes is many records and hardly any garbage

DESCRIPTION = """\
Alert rules as code: watches an app's health, metrics, Sentry and its host, and tells Slack and PagerDuty.

Start with `alerting init`, then `alerting validate` and `alerting check`."""

RUN = """\
Evaluates and sends without end: the daemon. TERM and INT stop evaluating and finish what is being sent; HUP reads
rules and settings again, and keeps the ones in force if the new ones are wrong."""

QUERY = """\
Reads the sources once and prints the series of an expression.
What needs several readings, such as rate(), is unknown here."""

CHECK = """\
Evaluates every rule once, sends what is due, and ends: the form for cron. The exit code tells how it went:
  0  nothing fires
  1  something fires
  2  rules or settings are wrong (the last good ones stayed in force)
  3  incomplete: a source or a delivery failed (goes before 1)
  4  another process holds the state; this one did nothing
  5  the state file was refused
  70 a fault of alerting itself"""


class _Command(NamedTuple):
    """One command's part of the grammar. Its module is alerting.cli.<name>."""

    summary: str
    options: Callable[[argparse.ArgumentParser], None] | None = None
    description: str = ""  # empty: the summary
    settings: bool = True  # reads the settings
    output: bool = True  # prints text or JSON


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the grammar of the command line: whole or, where `words` begin with a command, of that one alone.

    To build the other ten takes 4 ms, as long as all that a small `check` reads and evaluates.
    """
    top = argparse.ArgumentParser("alerting", description=DESCRIPTION, formatter_class=_Help)
    top.add_argument("--version", action="version", version=f"alerting {alerting.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=top.prog)
    for name in words[:1] if words and words[0] in _COMMANDS else _COMMANDS:
        _add(commands, name, _COMMANDS[name])
    return top


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, part: _Command) -> None:
    text = part.description or f"{part.summary[0].upper()}{part.summary[1:]}."
    command = commands.add_parser(name, help=part.summary, description=text, formatter_class=_Help)
    if part.settings:
        where = "settings file (default: ALERTING_CONFIG, else alerting.yaml here)"
        command.add_argument("--config", "-c", metavar="FILE", help=where)
    if part.output:
        command.add_argument("--output", "-o", choices=("text", "json"), default="text", help="form of the output")
    if part.options is not None:
        part.options(command)


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", "-q", action="store_true", help="print only when something changed (cron mail)")
    command.add_argument("--dry-run", action="store_true", help="send nothing, store nothing")
    command.add_argument("--only", metavar="RULE", action="append", help="only this rule (name or id); repeatable")
    every = "how often cron runs this; a gap of more than twice that counts as unknown time (default: of more than 5m)"
    command.add_argument("--every", metavar="DURATION", type=_duration, help=every)
    command.add_argument(
        "--deadline", metavar="DURATION", type=_duration, default="50s", help="end within (default: 50s)"
    )


def _duration(text: str) -> int:
    """Read `30s`, `5m`, `1h30m` into ms."""
    units = text
    for unit in ("ms", "s", "m", "h", "d"):
        units = units.replace(unit, " ")
    if not text[:1].isdigit() or not text[-1:].isalpha() or not units.replace(" ", "").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write a number with its unit, such as 30s or 5m")
    return millis(text)


def _run(command: argparse.ArgumentParser) -> None:
    _logging(command)
    command.add_argument(
        "--grace",
        metavar="DURATION",
        type=_duration,
        default="8s",
        help="time to finish sending at a stop (default: 8s)",
    )


def _logging(command: argparse.ArgumentParser) -> None:
    level = os.environ.get("ALERTING_LOG_LEVEL", "info")
    form = os.environ.get("ALERTING_LOG_FORMAT", "text" if sys.stderr and sys.stderr.isatty() else "json")
    levels, forms = ("debug", "info", "warning", "error"), ("text", "json")
    said = "least level of log lines (ALERTING_LOG_LEVEL, else info)"
    command.add_argument("--log-level", choices=levels, type=partial(_one_of, levels), default=level, help=said)
    said = "form of log lines (ALERTING_LOG_FORMAT, else text on a terminal, json elsewhere)"
    command.add_argument("--log-format", choices=forms, type=partial(_one_of, forms), default=form, help=said)


def _one_of(words: Sequence[str], text: str) -> str:
    """Take a word in any case. `choices` alone would not look at a default that comes from the environment."""
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(words)}")
    return text.lower()


def _validate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="check these files by themselves (default: the settings and their rules)",
    )
    command.add_argument("--online", action="store_true", help="also ask the sources whether the names exist")


def _query(command: argparse.ArgumentParser) -> None:
    command.add_argument("expression", metavar="EXPR", help="a condition or expression, e.g. 'disk_usage > 50%%'")


def _test(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", metavar="FILE", nargs="+", help="test files (rules/NAME.test.yaml)")
    command.add_argument("--run", metavar="REGEX", help="only tests whose name matches")
    command.add_argument("--output", "-o", choices=("text", "json", "junit"), default="text", help="form of the output")


def _send_test(command: argparse.ArgumentParser) -> None:
    command.add_argument("receiver", metavar="RECEIVER", help="a name under `receivers:`")


def _schema(command: argparse.ArgumentParser) -> None:
    names = ("rules", "settings", "sources", "receivers", "tests")
    command.add_argument("name", choices=names, nargs="?", default="rules", help="which one (default: rules)")


def _init(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="where (default: here)")


def _completion(command: argparse.ArgumentParser) -> None:
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")


_COMMANDS: Mapping[str, _Command] = {
    "check": _Command("evaluate once, send what is due (cron)", _check, CHECK),
    "run": _Command("evaluate and send without end (the daemon)", _run, RUN, output=False),
    "validate": _Command("report every problem in rules and settings, with file and line", _validate),
    "query": _Command("evaluate an expression now and print its series", _query, QUERY),
    "test": _Command("run rule tests (Prometheus' unit-test format)", _test, settings=False, output=False),
    "status": _Command("what fires, what is unknown and why, what is still owed"),
    "sources": _Command("every metric on offer, with kind, unit and today's value"),
    "send-test": _Command("send a test message to a receiver", _send_test, output=False),
    "schema": _Command("print a JSON Schema, for editors", _schema, settings=False, output=False),
    "init": _Command("write a commented settings file and one rule here", _init, settings=False, output=False),
    "completion": _Command("print a completion script for your shell", _completion, settings=False, output=False),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `argv` names and exit with its code."""
    gc.set_threshold(_COLLECT_AFTER)
    words = sys.argv[1:] if argv is None else argv
    code = _guarded(parser(words).parse_args(words))
    gc.freeze()  # what is left goes with the process: a last look for garbage in it would cost 10 ms
    sys.exit(code)


def _guarded(arguments: argparse.Namespace) -> int:
    """Run a command; say in one line what went wrong. Only ALERTING_DEBUG shows a traceback."""
    try:
        module = import_module(f"alerting.cli.{arguments.command.replace('-', '_')}")
        code = int(module.main(arguments))
        flush()
        return code  # noqa: TRY300  the flush is part of what may fail
    except ConfigError as error:
        return _refused(str(error), Exit.CONFIG)
    except LockHeld as error:
        return _refused(f"alerting: {error}", Exit.LOCKED)
    except StateRefused as error:
        return _refused(f"alerting: {error}", Exit.STATE)
    except StoreError as error:
        return _refused(f"alerting: {error}", Exit.INCOMPLETE)
    except AlertingError as error:
        return _refused(f"alerting: {error}", Exit.CONFIG)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # nobody reads on: not a fault, and nothing to say it to
        return Exit.OK
    except OutputLost as error:
        _drop_output()
        return _refused(f"alerting: standard output takes nothing more: {error.strerror}", Exit.INCOMPLETE)
    except Exception as error:
        if os.environ.get("ALERTING_DEBUG"):
            raise
        if os.environ.get("SENTRY_DSN"):
            from alerting.faults import report_end  # noqa: PLC0415  few commands end so

            report_end(error, os.environ)
        text = f"alerting: a fault of its own ({type(error).__name__}); ALERTING_DEBUG=1 shows where, please report it"
        return _refused(text, Exit.FAULT)


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process does not fail over it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _refused(message: str, code: Exit) -> int:
    print(message, file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    main()
