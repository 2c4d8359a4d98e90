"""Everything that this project raises on purpose, and the one record for what an author must mend.

Each message is written for the person who reads it: what happened, to what, what to do. None holds a
secret. The tree::

    AlertingError
    ├── ConfigError       rules or settings that cannot be used; carries every problem found
    ├── ConditionError    one condition that cannot be understood; positions count from its first character
    ├── EvaluationError   a condition to which the series at hand give no answer, or which takes too long
    ├── TemplateError     a template that cannot be used, or that failed while it was rendered
    ├── SecretError       a reference to a secret that cannot be followed now
    ├── ReportRefused     what a job reported of itself is not taken
    ├── StateRefused      the state file is damaged, foreign, or newer than this program
    ├── StoreError        the state could not be read or written now; trying again later may help
    │   ├── StateMoved    what a failed commit wrote may be saved after all: read the state anew
    │   └── TooLate       what was to be called back is being sent: look again
    └── LockHeld          another process holds the state
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class AlertingError(Exception):
    """The root of the tree above."""


class Span(NamedTuple):
    """Where something stands in a condition's text: offsets in characters, `end` excluded."""

    start: int
    end: int


class Diagnostic(NamedTuple):
    """One thing that is wrong (or, as a warning, odd) in a condition's text."""

    message: str
    span: Span
    hint: str = ""
    warning: bool = False


class Problem(NamedTuple):
    """One thing that is wrong (or, as a warning, odd) in a file. Lines and columns count from 1; 0: unknown."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
    source_line: str = ""
    width: int = 1
    warning: bool = False

    def where(self) -> str:
        """`file:line:column`, as far as it is known."""
        parts = [self.file or "alerting"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)

    def __str__(self) -> str:
        """Print one line, and under it the source line with carets where it is known."""
        hint = f", {self.hint}" if self.hint else ""
        head = f"{self.where()}: {'warning: ' if self.warning else ''}{self.message}{hint}"
        if not self.source_line or not self.column:
            return head
        text = self.source_line.replace("\t", " ")
        return f"{head}\n    {text}\n    {' ' * (self.column - 1)}{'^' * max(1, self.width)}"


class ConfigError(AlertingError):
    """Rules or settings that cannot be used. `problems` holds all that was found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConditionError(AlertingError):
    """A condition that cannot be understood. `diagnostics` holds at least one that is not a warning."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(each.message for each in self.diagnostics if not each.warning))


class TemplateError(AlertingError):
    """A template that cannot be used, or failed while it was rendered: then plain words go out, with this reason."""


class EvaluationError(AlertingError):
    """A condition to which these series give no answer (labels that do not pair), or that is over its budget."""


class SecretError(AlertingError):
    """A reference to a secret that cannot be followed now. Names the reference, never a value."""


class ReportRefused(AlertingError):
    """A job's report that is not taken. `admitted` tells whether whoever sent it had the right token."""

    def __init__(self, message: str, *, admitted: bool = True) -> None:
        self.admitted = admitted
        super().__init__(message)


class StateRefused(AlertingError):
    """The state is damaged, of another kind, or written by a newer release; it is left untouched."""


class StoreError(AlertingError):
    """The state could not be read or written now (busy, disk full, failed sync). Nothing was saved."""


class StateMoved(StoreError):
    """An earlier commit that seemed to fail is, or may be, saved. Call the store's `open` and go on from that."""


class TooLate(StoreError):
    """What was to be called back is being sent, or has been: nothing was written, look again."""


class LockHeld(AlertingError):
    """Another process holds the state; this one must leave without an effect."""
