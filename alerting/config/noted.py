"""The problems of one settings file, each with its place.

Lines of such a file are not shown with a problem, because they may hold secrets; file, line and column are. Only
what stands under keys that hold none is shown with its line, and a mark under what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.config.files import read_bytes, shown
from alerting.config.placed import Map, locate, place
from alerting.errors import ConfigError
from alerting.model import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alerting.config.placed import At, File
    from alerting.config.sections import Steps
    from alerting.errors import Problem, Span

_NO_SECRETS = ("route", "inhibit_rules", "time_intervals", "mute_time_intervals", "flapping", "storm")


def origin_of(path: Path | None, cwd: Path, key: str) -> Origin:
    """Say where a key stands in a settings file; where it does not, the first line. Raises nothing."""
    if path is None:
        return Origin()
    name = shown(path, cwd)
    try:
        documents = Noted(read_bytes(path, name), name).file.documents
    except ConfigError:
        return Origin(name, 1)
    tree = documents[0].value if documents else None
    return Origin(name, *place(tree.key_at(key))) if isinstance(tree, Map) and key in tree else Origin(name, 1)


class Noted:
    """What was found in one file; it is parsed when the first place is asked for, unless it is given."""

    def __init__(self, data: bytes, name: str, file: File | None = None) -> None:
        self.problems: list[Problem] = []
        self.moved: dict[Steps, Steps] = {}  # what was translated: its two first steps -> where that stands in the file
        self._data = data
        self._name = name
        self._file = file

    @property
    def file(self) -> File:
        """Give the file, parsed."""
        if self._file is None:
            from alerting.config import documents  # noqa: PLC0415  PyYAML: only where a file must be read

            self._file = documents.parse(self._data, self._name)
        return self._file

    @property
    def wrong(self) -> bool:
        """Tell whether some problem is no warning."""
        return any(not each.warning for each in self.problems)

    def locate(self, path: Steps, *, at_key: bool = False) -> At:
        """Give the place of what a path leads to."""
        path = (*self.moved.get(path[:2], path[:2]), *path[2:])
        return locate(self.file.documents[0], path, at_key=at_key)

    def at(
        self,
        path: Steps,
        message: str,
        *,
        hint: str = "",
        at_key: bool = False,
        warning: bool = False,
        part: tuple[str, Span] | None = None,
    ) -> None:
        """Note a problem with what a path leads to. `part`: with some of the text there, and which."""
        at, width = self.locate(path, at_key=at_key), len(str(path[-1])) if at_key else 1
        if part is not None:
            from alerting.config.spots import stretch  # noqa: PLC0415  only where something is wrong

            at, width = stretch(self.file, at, *part)
        self.add(message, at, hint=hint, warning=warning, width=width, shown=self._shows(path, at))

    def add(
        self, message: str, at: At, *, hint: str = "", warning: bool = False, width: int = 1, shown: bool = False
    ) -> None:
        """Note a problem at a place of the file; its line goes with it where it is `shown`."""
        problem = self.file.problem(message, at, hint=hint, warning=warning, width=width)
        self.problems.append(problem if shown else problem._replace(source_line=""))

    def _shows(self, path: Sequence[str | int], at: At) -> bool:
        """Tell whether a line may be shown: it lies within a key under which no secret stands, and holds no other."""
        if not path or path[0] not in _NO_SECRETS:
            return False
        top = self.file.documents[0].value
        begin, column = place(top.key_at(path[0]))
        lines = [place(mark)[0] for mark in top.marks[::2]]  # where the keys of the file stand
        alone = lines.count(begin) == 1 and not self.file.line(begin - 1)[: column - 1].strip()
        after = min((each for each in lines if each > begin), default=begin + len(self._data))
        return alone and begin <= place(at)[0] < after
