"""The walk over one test file that fits the schema: what is wrong is gathered, each with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.config import placed
from alerting.config.durations import millis
from alerting.errors import ConditionError
from alerting.model import Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.errors import Diagnostic, Problem
    from alerting.model import Millis


_SETTINGS = "settings"


def problem_in(file: placed.File, message: str, at: placed.At, *, hint: str = "", width: int = 1) -> Problem:
    """Make a problem of a test file; lines of settings that stand in it are not shown, as they may hold secrets."""
    found = file.problem(message, at, hint=hint, width=width)
    return found._replace(source_line="") if found.line in _settings_lines(file) else found


def _settings_lines(file: placed.File) -> range:
    """Give the lines in which settings are written out."""
    value = file.documents[0].value
    if not isinstance(value, placed.Map) or not isinstance(value.get(_SETTINGS), dict):
        return range(0)
    begin, _ = placed.place(value.key_at(_SETTINGS))
    keys = [placed.place(mark)[0] for mark in value.marks[::2]]
    after = min((line for line in keys if line > begin), default=begin + len(file.data))
    return range(begin, after)


def without_lines(file: placed.File) -> list[Problem]:
    """Give the problems of a file that is no YAML: nobody knows where settings are in it, if it has any."""
    hidden = _SETTINGS.encode() in file.data
    return [each._replace(source_line="") if hidden else each for each in file.problems]


class Reader:
    """See the module's text."""

    def __init__(self, file: placed.File) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def wrong(self, message: str, at: placed.At, *, hint: str = "", width: int = 1) -> None:
        """Note a problem."""
        self.problems.append(problem_in(self.file, message, at, hint=hint, width=width))

    def origin(self, at: placed.At) -> Origin:
        """Say where something stands."""
        return Origin(self.file.name, *placed.place(at))

    def duration(self, value: placed.Map, key: str, default: Millis) -> Millis:
        """Give a duration that is longer than nothing, in ms."""
        if key not in value:
            return default
        length = millis(value[key])
        if length <= 0:
            self.wrong(f"{key} must be longer than nothing", value.value_at(key))
            return default
        return length

    def parsed(self, value: placed.Map, key: str, parse: Callable[[str], Any], default: Any) -> Any:
        """Give what a text means; `default` where it means nothing, which is noted."""
        return self.understood(self.text(value, key), value.value_at(key), parse, default)

    def understood(self, text: str, at: placed.At, parse: Callable[[str], Any], default: Any) -> Any:
        """Give what a text that stands at a place means; `default` where it means nothing, which is noted."""
        try:
            return parse(text)
        except ConditionError as error:
            for found in error.diagnostics:
                self.diagnose(found, text, at)
            return default

    def diagnose(self, found: Diagnostic, text: str, at: placed.At) -> None:
        """Report what is wrong in a text; its place is exact where the text stands on its line as it is."""
        line, column = placed.place(at)
        offset = self.file.line(line - 1).find(text, column - 1) if text and "\n" not in text else -1
        if offset >= 0:
            where = placed.position(line - 1, offset + found.span.start)
            width = max(1, min(found.span.end, len(text)) - found.span.start)
            self.wrong(found.message, where, hint=found.hint, width=width)
        else:
            self.wrong(f"{found.message} (character {found.span.start + 1} of the text)", at, hint=found.hint)

    def text(self, value: placed.Map, key: str) -> str:
        """Give a scalar as it is written in the file."""
        return placed.written(self.file, value[key], value.value_at(key))

    def texts(self, value: placed.Map, key: str) -> dict[str, str]:
        """Give a mapping of scalars as they are written in the file."""
        mapping = value.get(key)
        return placed.texts(self.file, mapping) if mapping else {}
