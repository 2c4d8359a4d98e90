"""What came of the tests: for people, for machines (JSON) and for build servers (JUnit)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NOWHERE, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.errors import Problem

_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


class Failure(NamedTuple):
    """One check that did not hold."""

    what: str  # which check: the alert or expression, and the time
    lines: tuple[str, ...]  # the differences, then what led there
    origin: Origin = NOWHERE


class Outcome(NamedTuple):
    """What came of one test."""

    name: str
    origin: Origin
    checks: int
    failures: tuple[Failure, ...] = ()


class FileOutcome(NamedTuple):
    """What came of one file. With problems that are no warnings nothing was run."""

    file: str
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def unusable(self) -> bool:
        """Tell whether the file itself (or a rule file that it names) is wrong."""
        return any(not problem.warning for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all files."""

    files: tuple[FileOutcome, ...]
    selected: bool = False  # only tests whose names fit a pattern were run

    @property
    def exit_code(self) -> int:
        """0: all checks hold; 1: some do not; 2: a file is wrong, or no test fits the pattern."""
        if any(file.unusable for file in self.files) or (self.selected and not self.outcomes()):
            return 2
        return 1 if any(outcome.failures for outcome in self.outcomes()) else 0

    def outcomes(self) -> list[Outcome]:
        """Give all tests of all files."""
        return [outcome for file in self.files for outcome in file.outcomes]

    def text(self, colour: bool = False) -> str:
        """Write for people: what failed and why, then one line for all."""
        red, green, plain = (_RED, _GREEN, _PLAIN) if colour else ("", "", "")
        lines: list[str] = []
        for file in self.files:
            lines += [str(problem) for problem in file.problems]
            for outcome in file.outcomes:
                if outcome.failures:
                    lines.append(f"{red}FAILED{plain} {_place(outcome.origin)} {outcome.name}")
                for failure in outcome.failures:
                    lines.append(f"  {_place(failure.origin)}: {failure.what}")
                    lines += [f"    {line}" for line in failure.lines]
        code = self.exit_code
        lines.append(f"{green if code == 0 else red}{self._summary()}{plain}")
        return "\n".join(lines)

    def _summary(self) -> str:
        outcomes = self.outcomes()
        checks = sum(outcome.checks for outcome in outcomes)
        failed = sum(len(outcome.failures) for outcome in outcomes)
        tests = f"{_counted(len(outcomes), 'test')} in {_counted(len(self.files), 'file')}"
        unusable = sum(file.unusable for file in self.files)
        if unusable:
            return (
                f"{_counted(unusable, 'file')} cannot be used; {failed} of {_counted(checks, 'check')} failed, {tests}"
            )
        if self.selected and not outcomes:
            return "no test has a name that fits the pattern"
        return (
            f"{failed} of {_counted(checks, 'check')} failed, {tests}"
            if failed
            else (f"{_counted(checks, 'check')} passed, {tests}")
        )

    def json(self) -> str:
        """Write for machines: one object with all files, tests, failures and problems."""
        import json  # noqa: PLC0415  only where asked for

        outcomes = self.outcomes()
        value = {
            "exit": self.exit_code,
            "tests": len(outcomes),
            "checks": sum(outcome.checks for outcome in outcomes),
            "failed": sum(len(outcome.failures) for outcome in outcomes),
            "files": [_file_json(file) for file in self.files],
        }
        return json.dumps(value, indent=2, ensure_ascii=False)

    def junit(self) -> str:
        """Write for build servers: a suite for each file, a case for each test."""
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
        for file in self.files:
            failed = sum(bool(outcome.failures) for outcome in file.outcomes)
            tests, errors = len(file.outcomes) + file.unusable, int(file.unusable)
            counts = f'tests="{tests}" failures="{failed}" errors="{errors}"'
            lines.append(f"  <testsuite name={_quoted(file.file)} {counts}>")
            if file.unusable:
                lines += [f"    <testcase name={_quoted(file.file)} classname={_quoted(file.file)}>"]
                text = "\n".join(str(problem) for problem in file.problems)
                lines += [f'      <error message="the file cannot be used">{_escaped(text)}</error>', "    </testcase>"]
            for outcome in file.outcomes:
                lines += _case_lines(file, outcome)
            lines.append("  </testsuite>")
        lines.append("</testsuites>")
        return "\n".join(lines)


def _case_lines(file: FileOutcome, outcome: Outcome) -> Iterator[str]:
    head = f"    <testcase name={_quoted(outcome.name)} classname={_quoted(file.file)}"
    head += f' file={_quoted(outcome.origin.file)} line="{outcome.origin.line}" assertions="{outcome.checks}"'
    if not outcome.failures:
        yield f"{head}/>"
        return
    yield f"{head}>"
    for failure in outcome.failures:
        text = "\n".join((f"{_place(failure.origin)}: {failure.what}", *failure.lines))
        yield f"      <failure message={_quoted(failure.what)}>{_escaped(text)}</failure>"
    yield "    </testcase>"


def _file_json(file: FileOutcome) -> dict[str, object]:
    return {
        "file": file.file,
        "problems": [
            {
                "message": problem.message,
                "hint": problem.hint,
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "warning": problem.warning,
            }
            for problem in file.problems
        ],
        "tests": [
            {
                "name": outcome.name,
                "line": outcome.origin.line,
                "checks": outcome.checks,
                "failures": [
                    {"what": failure.what, "line": failure.origin.line, "column": failure.origin.column}
                    | {"lines": list(failure.lines)}
                    for failure in outcome.failures
                ],
            }
            for outcome in file.outcomes
        ],
    }


def _place(origin: Origin) -> str:
    return f"{origin.file}:{origin.line}:{origin.column}"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _escaped(text: str) -> str:
    from xml.sax.saxutils import escape  # noqa: PLC0415  only where asked for

    return escape(_printable(text))


def _quoted(text: str) -> str:
    from xml.sax.saxutils import quoteattr  # noqa: PLC0415  only where asked for

    return quoteattr(_printable(text))


def _printable(text: str) -> str:
    """Replace what XML cannot hold in any form: control characters and halves of characters."""
    return "".join(
        "\ufffd"
        if (each < " " and each not in "\n\t") or "\ud800" <= each <= "\udfff" or each in "\ufffe\uffff"
        else each
        for each in text
    )
