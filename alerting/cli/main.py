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
from alerting.cli.terminal import OutputLost, flush, warn
from alerting.config.durations import millis
from alerting.errors import AlertingError, ConfigError, LockHeld, StateRefused, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_COLLECT_AFTER = 50_000  # new objects; by default 700, but what a command makes is many records and hardly any garbage

_LONGEST = 100 * 365 * 86_400_000  # ms; what is longer can be added to no date
_LONGEST_TEXT = 40  # characters

DESCRIPTION = """\
Alert rules as code: watches an app's health, metrics, Sentry and its host, and tells Slack and PagerDuty.

Start with `alerting init`, then `alerting validate` and `alerting check`."""

RUN = """\
Evaluates and sends without end: the daemon. TERM and INT stop evaluating and finish what is being sent; HUP reads
rules and settings again, and keeps the ones in force if the new ones are wrong."""

QUERY = """\
Reads the sources once and prints the series of an expression.
What needs several readings, such as rate(), is unknown then; --wait makes a second reading."""

CHECK = """\
Evaluates every rule once, sends what is due, and ends: the form for cron. The exit code tells how it went:
  0  nothing fires
  1  something fires
  2  rules or settings are wrong (the last good ones stayed in force)
  3  incomplete: a source or a delivery failed (goes before 1)
  4  another process holds the state; this one did nothing
  5  the state file was refused
  70 a fault of alerting itself"""


ALERT = 'a rule\'s name or id, NAME{label="value"}, or a fingerprint'

SILENCE = """\
Says what nobody is told of for a time. Alerts are judged all the same; what fires on when a silence ends is told then,
and whoever was told of a firing before hears of its end."""

SILENCE_ADD = """\
Silences alerts that all MATCHERs fit: `DiskSpaceLow`, `severity=warning`, `team=~"db|web"`."""

SILENCE_IMPORT = """\
Takes silences from a file as `amtool silence query -o json` or `alerting silence export` prints them. Those that are
over are passed by; one with the id of a silence that is here replaces it."""

STATUS = """\
Shows what fires, what is unknown and why, what is held back, and what is still owed. REASON is why an alert came to
its state; `alerting explain` and the messages have the value now."""

ACK = """\
Takes on an alert that fires: nobody is reminded, and nothing escalates, until the time is over, the alert ends, or it
gets worse. Receivers are told who has it."""

EXPLAIN = """\
Shows on one page what an alert is about: its rule, its value now and what that is held against, what happened to it,
who was told, who was not, and why. Reads the state beside a daemon or without one; asks nobody."""


IMPORT = """\
Writes the routes, inhibitions, windows and receivers of an Alertmanager file as settings of ours, and says what it
could not take. A secret that stands in the file is never written: a variable of the environment takes its place. What
Alertmanager would refuse is refused."""


class _Command(NamedTuple):
    """One command's part of the grammar. Its module is alerting.cli.<name>."""

    summary: str
    options: Callable[[argparse.ArgumentParser], None] | None = None
    description: str = ""  # empty: the summary
    settings: bool = True  # reads the settings
    output: bool = True  # prints text or JSON
    module: str = ""  # the name of its module, where that is another


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
        self._action_max_length = 15  # of `    send-change`: argparse forgets that commands are indented twice


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, part: _Command) -> None:
    text = part.description or f"{part.summary[0].upper()}{part.summary[1:]}."
    command = commands.add_parser(name, help=part.summary, description=text, formatter_class=_Help)
    command.set_defaults(grammar=command)
    _common(command, settings=part.settings, output=part.output)
    if part.options is not None:
        part.options(command)


def _common(command: argparse.ArgumentParser, *, settings: bool = True, output: bool = True) -> None:
    if settings:
        where = "settings file (default: ALERTING_CONFIG, else alerting.yaml here)"
        command.add_argument("--config", "-c", metavar="FILE", help=where)
    if output:
        command.add_argument("--output", "-o", choices=("text", "json"), default="text", help="form of the output")


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
    if not text[:1].isdigit() or not text[-1:].isalpha() or not units.replace(" ", "").isdigit() or not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write a number with its unit, such as 30s or 5m")
    if len(text) > _LONGEST_TEXT or (found := millis(text)) > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST_TEXT]!r} is longer than 100 years")
    return found


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
    said = "read a second time after so long, for rate() and all else that looks back"
    command.add_argument("--wait", metavar="DURATION", type=_duration, default=0, help=said)


def _test(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", metavar="FILE", nargs="+", help="test files (rules/NAME.test.yaml)")
    command.add_argument("--run", metavar="REGEX", help="only tests whose name matches")
    command.add_argument("--output", "-o", choices=("text", "json", "junit"), default="text", help="form of the output")


def _send_test(command: argparse.ArgumentParser) -> None:
    command.add_argument("receiver", metavar="RECEIVER", help="a name under `receivers:`")


def _silence(command: argparse.ArgumentParser) -> None:
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, summary: str, *, output: bool = True, description: str = "") -> argparse.ArgumentParser:
        text = description or f"{summary[0].upper()}{summary[1:]}."
        made = verbs.add_parser(name, help=summary, description=text, formatter_class=_Help)
        made.set_defaults(grammar=made)
        _common(made, output=output)
        return made

    add = verb("add", "say what nobody is told of for a time", description=SILENCE_ADD)
    add.add_argument("matchers", metavar="MATCHER", nargs="*", help="a rule's name, or label=value, !=, =~, !~")
    add.add_argument("--for", dest="duration", metavar="DURATION", type=_duration, help="how long (default: 1h)")
    add.add_argument("--until", metavar="TIME", help="its end instead: 2026-11-24T10:05Z, or 10:05 (UTC)")
    add.add_argument("--from", dest="start", metavar="TIME", help="its beginning (default: now)")
    add.add_argument("--all-alerts", action="store_true", help="really silence everything that fits any rule")
    _who(add)
    listing = verb("list", "what is silenced, what that fits now, and what it hid")
    listing.add_argument("--all", action="store_true", help="also those that are over")
    expire = verb("expire", "end silences now", output=False)
    expire.add_argument("ids", metavar="ID", nargs="*", help="an id, or the beginning of one")
    expire.add_argument("--all-mine", action="store_true", help="all of this author")
    expire.add_argument("--author", metavar="NAME", help="whose, with --all-mine (default: you)")
    taking = verb("import", "take silences from a file", output=False, description=SILENCE_IMPORT)
    taking.add_argument("file", metavar="FILE", help="the file; `-` is standard input")
    giving = verb("export", "print silences as Alertmanager's JSON", output=False)
    giving.add_argument("--all", action="store_true", help="also those that are over")


def _who(command: argparse.ArgumentParser) -> None:
    command.add_argument("--author", metavar="NAME", help="who says so (default: you)")
    command.add_argument("--comment", metavar="TEXT", default="", help="why")


def _ack(command: argparse.ArgumentParser) -> None:
    command.add_argument("alert", metavar="ALERT", nargs="?", help=f"{ALERT}; or `list` (also without a word)")
    command.add_argument(
        "--for", dest="duration", metavar="DURATION", type=_duration, default="1h", help="how long (default: 1h)"
    )
    command.add_argument("--withdraw", action="store_true", help="take it back")
    _who(command)


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("alert", metavar="ALERT", help=ALERT)
    command.add_argument("--at", metavar="TIME", help="as it stood then: a time, or how long ago, such as 2h")


def _history(command: argparse.ArgumentParser) -> None:
    command.add_argument("alert", metavar="ALERT", nargs="?", help=f"{ALERT} (default: all)")
    command.add_argument("--since", metavar="TIME", default="24h", help="a time, or how long ago (default: 24h)")
    command.add_argument("--receiver", metavar="NAME", help="only what concerns this receiver")
    command.add_argument("--all", action="store_true", help="also what each stage decided")
    command.add_argument("--follow", "-f", action="store_true", help="go on with what happens, until interrupted")


def _send_change(command: argparse.ArgumentParser) -> None:
    command.add_argument("summary", metavar="SUMMARY", help="what was changed, in a few words")
    command.add_argument("--receiver", "-r", metavar="NAME", help="tell this receiver alone")
    command.add_argument("--link", action="append", default=[], metavar="URL", help="where to read more; repeatable")
    command.add_argument("--source", metavar="NAME", help="where it was changed (default: this host)")
    details = "a detail of it; repeatable"
    command.add_argument("--details", action="append", default=[], metavar="NAME=VALUE", help=details)


def _import(command: argparse.ArgumentParser) -> None:
    command.add_argument("form", choices=("alertmanager",), metavar="FORM", help="what wrote the file: alertmanager")
    command.add_argument("file", metavar="FILE", help="its configuration; `-` is standard input")
    command.add_argument("--output", "-o", metavar="FILE", help="where to write the settings (default: print them)")


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
    "test": _Command("test rules and who is told (Prometheus' unit-test format)", _test, settings=False, output=False),
    "status": _Command("what fires, what is unknown and why, what is still owed", description=STATUS),
    "silence": _Command("say what nobody is told of for a time", _silence, SILENCE, settings=False, output=False),
    "ack": _Command("take on an alert that fires", _ack, ACK),
    "explain": _Command("why an alert fires or does not, and who was told", _explain, EXPLAIN),
    "history": _Command("what happened to alerts and messages", _history),
    "sources": _Command("every metric on offer, with kind, unit and today's value"),
    "send-test": _Command("send a test message to a receiver", _send_test, output=False),
    "send-change": _Command("tell PagerDuty of a change, such as a deployment", _send_change, output=False),
    "schema": _Command("print a JSON Schema, for editors", _schema, settings=False, output=False),
    "import": _Command(
        "turn an Alertmanager file into settings", _import, IMPORT, settings=False, output=False, module="importing"
    ),
    "init": _Command("write a commented settings file and one rule here", _init, settings=False, output=False),
    "completion": _Command("print a completion script for your shell", _completion, settings=False, output=False),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `argv` names and exit with its code."""
    gc.set_threshold(_COLLECT_AFTER)
    words = sys.argv[1:] if argv is None else argv
    code = _guarded(read(words))
    gc.freeze()  # what is left goes with the process: a last look for garbage in it would cost 10 ms
    sys.exit(code)


def read(words: Sequence[str]) -> argparse.Namespace:
    """Read words into arguments. Lists of words (`silence add D --for 2h team=db`) may have options between them."""
    grammar = parser(words)
    if not words or words[0] not in _COMMANDS:
        from alerting.cli import slips  # noqa: PLC0415  only where something is wrong

        slips.no_command(grammar, words, _COMMANDS)
    arguments, rest = grammar.parse_known_args(words)
    for name in ("matchers", "ids"):
        if rest and hasattr(arguments, name) and not any(word.startswith("-") for word in rest):
            getattr(arguments, name).extend(rest)
            rest = []
    if rest:
        from alerting.cli import slips  # noqa: PLC0415  only where something is wrong

        slips.unknown(arguments.grammar, rest)
    return arguments


def _guarded(arguments: argparse.Namespace) -> int:
    """Run a command; say in one line what went wrong. Only ALERTING_DEBUG shows a traceback."""
    try:
        name = _COMMANDS[arguments.command].module or arguments.command.replace("-", "_")
        module = import_module(f"alerting.cli.{name}")
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
            from alerting.selfwatch.faults import report_end  # noqa: PLC0415  few commands end so

            report_end(error, os.environ)
        text = f"alerting: a fault of its own ({type(error).__name__}); ALERTING_DEBUG=1 shows where, please report it"
        return _refused(text, Exit.FAULT)


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process does not fail over it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _refused(message: str, code: Exit) -> int:
    warn(message)
    return code


if __name__ == "__main__":
    main()
