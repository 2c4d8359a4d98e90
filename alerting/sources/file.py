"""Files: how old, how large, how many; and what stands in them, where they are in Prometheus' text format.

What cannot be looked at is a fault and never "not there": a folder that may not be listed says nothing about what is
in it. All looking is done in a thread, because a dead network disk holds its caller; the thread is then left alone,
and the next look waits for it within its own deadline.
"""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING

from alerting.exposition import PageReader, UnreadableError
from alerting.model import FaultKind, Labels
from alerting.net.http import revealed
from alerting.sources._probe import FailedError, Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alerting.model import Metric, Millis, Need, Reading, Section
    from alerting.ports import Tools
    from alerting.sources._probe import Found

OWN = ("up", "exists", "count", "age", "size")  # hide a metric of the same name in a file

_LIMIT = 8 * 1024 * 1024  # bytes read of all files together
_PIECE = 64 * 1024
_SERIES = 20_000  # of one file
_FILES = 10_000
_WILD = "*?["


def build(section: Section, tools: Tools) -> Sequence[File]:
    """Build the source of one `type: file` entry."""
    return (File(section, tools),)


class File:
    """Looks at the files that some paths and patterns name."""

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = self.namespace = section.name
        self._values = section.values
        self._clock = tools.clock
        self._blocking = tools.blocking(1)
        self._timeout: Millis = section.values["timeout"]
        self._probe = Probe(section.name, tools.clock, self._timeout)
        self._readers: dict[str, PageReader] = {}

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Look at all of them; of what stands in them give what `needs` name, everything where one has no name."""
        del since  # nothing comes in buckets
        names = frozenset(need.name for need in needs)
        asked = names if all(names) else frozenset[str]()

        async def look() -> list[Found]:
            paths = [revealed(path) for path in self._values["paths"]]
            now = self._clock.now()
            return await self._blocking(lambda: self._look(paths, now, asked), self._timeout)

        return await self._probe.reading(look)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _look(self, paths: Sequence[str], now: Millis, asked: frozenset[str]) -> list[Found]:
        found: list[Found] = []
        files: dict[str, os.stat_result] = {}
        for path in paths:
            matching = dict(_matching(path))
            files |= matching
            labels = Labels({"path": _text(path)})
            found.append(("count", labels, float(len(matching))))
            found.append(("exists", labels, float(bool(matching))))
        for path, status in files.items():
            labels = Labels({"path": _text(path)})
            found.append(("age", labels, now / 1000 - status.st_mtime))
            found.append(("size", labels, float(status.st_size)))
        if self._values["reads"] == "metrics":
            found.extend(self._metrics(files, now, asked))
        return found

    def _metrics(self, files: Iterable[str], now: Millis, asked: frozenset[str]) -> list[Found]:
        """Read what stands in the files. Raises FailedError for the first that is not whole."""
        self._readers = {path: self._readers.get(path) or _reader(path) for path in files}
        kinds: dict[str, Metric] = {}
        found: list[Found] = []
        left = _LIMIT
        for path, reader in self._readers.items():
            page = _content(path, left)
            left -= len(page)
            try:
                samples = reader.read(page, now, asked)
            except UnreadableError as error:
                raise FailedError(error.kind, f"{_text(path)}: {error}") from None
            if any(sample.at != now for sample in samples):  # as in node_exporter: they would hide that a file is stale
                raise FailedError(FaultKind.MALFORMED, f"{_text(path)}: time stamps are not taken; leave them out")
            found += [(name, labels, value) for name, labels, value, _ in samples if name not in OWN]
            kinds |= {metric.name: metric._replace(namespace=self.namespace) for metric in reader.kinds}
        self._probe.kinds = tuple(kinds.values())
        return found


def _reader(path: str) -> PageReader:
    return PageReader(Labels({"path": _text(path)}), _SERIES)


def _text(path: str) -> str:
    """Make a path that the system gave as bytes fit for messages: what is not UTF-8 becomes U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------- looking


def _matching(pattern: str) -> Iterator[tuple[str, os.stat_result]]:
    """Give each file or folder that a path or pattern names, and what the system says of it. Raises FailedError."""
    if not pattern.startswith("/"):
        raise FailedError(FaultKind.MALFORMED, f"{_text(pattern)} does not begin with /")
    parts = [part for part in pattern.split("/") if part]
    for number, (path, status) in enumerate(_below("/", parts)):
        if number >= _FILES:
            raise FailedError(FaultKind.TOO_LARGE, f"more than {_FILES} files match {_text(pattern)}")
        yield path, status


def _below(folder: str, parts: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Follow the parts of a pattern from a folder on; names that begin with a dot match only a part that does too."""
    if not parts:
        if (status := _status(folder)) is not None:
            yield folder, status
        return
    part, rest = parts[0], parts[1:]
    if not any(sign in part for sign in _WILD):
        yield from _below(os.path.join(folder, part), rest)  # noqa: PTH118  paths as text throughout: they may not be UTF-8
        return
    for entry in _entries(folder):
        if fnmatchcase(entry.name, part) and (entry.name[0] != "." or part[0] == "."):
            yield from _below(entry.path, rest)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FailedError(FaultKind.UNREADABLE, f"cannot list {_text(folder)}: {error.strerror}") from None


def _status(path: str) -> os.stat_result | None:
    """Ask the system about a path; None where nothing is there, which a broken link is too."""
    try:
        return os.stat(path)  # noqa: PTH116  as above
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "this is no path"
        raise FailedError(FaultKind.UNREADABLE, f"cannot look at {_text(path)}: {reason}") from None


def _content(path: str, limit: int) -> bytes:
    """Read a whole file. Raises FailedError: no file, not to be read, too large, or perhaps still being written."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer holds nobody
    except OSError as error:
        raise FailedError(FaultKind.UNREADABLE, f"cannot read {_text(path)}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FailedError(FaultKind.UNREADABLE, f"{_text(path)} is not a file")
        whole = BytesIO()  # a read of `limit` would take room for so much at once, however small the file is
        with open(handle, "rb", buffering=0, closefd=False) as file:
            while whole.tell() <= limit and (piece := file.read(_PIECE)):
                whole.write(piece)
        page = whole.getvalue()
    except OSError as error:
        raise FailedError(FaultKind.UNREADABLE, f"cannot read {_text(path)}: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(page) > limit:
        raise FailedError(FaultKind.TOO_LARGE, f"{_text(path)}: more than {_LIMIT} bytes in all files together")
    if page and not page.endswith(b"\n"):
        text = "its last line has no end, so it may be half written; write a new file and rename it"
        raise FailedError(FaultKind.MALFORMED, f"{_text(path)}: {text}")
    return page
