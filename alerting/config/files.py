"""Finding and reading the files of a configuration: regular files of bounded size, under one folder.

Paths are shown to people relative to the settings file's folder, with `/`.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from alerting.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MOST_BYTES = 8 * 1024 * 1024
MOST_FILES = 10_000
TEST_SUFFIXES = (".test.yaml", ".test.yml")  # tests stand beside the rules that they test


class Mark(NamedTuple):
    """What tells one state of a file from another, short of reading it."""

    device: int
    inode: int
    size: int
    changed: int  # ns


def read_bytes(path: Path, name: str) -> bytes:
    """Read a regular file of bounded size. Raises ConfigError for anything else; a pipe or device never blocks."""
    return read_marked(path, name)[0]


def read_marked(path: Path, name: str) -> tuple[bytes, Mark]:
    """Read it, and say which state of the file that was. Raises ConfigError as `read_bytes` does."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError([Problem("is not a regular file", name)])
            with open(handle, "rb", closefd=False) as file:
                data = file.read(MOST_BYTES + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(f"cannot be read: {_reason(error)}", name)]) from None
    if len(data) > MOST_BYTES:
        raise ConfigError([too_large(name)])
    return data, _mark(status)


def mark_of(path: Path) -> Mark | None:
    """Say in which state a file is now; None: it cannot be told, or there is none."""
    try:
        return _mark(path.stat())
    except (OSError, ValueError):
        return None


def _mark(status: os.stat_result) -> Mark:
    return Mark(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def too_large(name: str) -> Problem:
    """Say that a file is too large."""
    return Problem(f"is larger than {MOST_BYTES // 1024 // 1024} MiB", name, hint="split it into several files")


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else "this is no name of a file"


def shown(path: Path, root: Path) -> str:
    """Give the name that people are to see: relative to the root where it is under it."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def expand(root: Path, patterns: Iterable[str], but: Path | None = None) -> list[Path]:
    """Give the files that the patterns match, sorted, each once, without tests, hidden files and `but`.

    Raises ConfigError with a problem for each pattern that matches nothing or leads out of the root.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    real_root = os.path.realpath(root)
    for pattern in patterns:
        try:
            matched = _matched(root, pattern)
        except ConfigError as error:
            problems += error.problems
            continue
        paths = [each for each in matched if not _passed_over(each.name) and each != but]
        if not paths:
            problems.append(_nothing(pattern, root, only_tests=bool(matched)))
        for path in paths:
            if os.path.commonpath((os.path.realpath(path), real_root)) != real_root:
                name = shown(path, root)
                problems.append(
                    Problem(f"leads out of {root}", name, hint="keep rule files under the settings' folder")
                )
            found[path.as_posix()] = path
    if len(found) > MOST_FILES:
        problems.append(Problem(f"the patterns under `rules:` match more than {MOST_FILES} files"))
    if problems:
        raise ConfigError(problems)
    return [found[name] for name in sorted(found)]


def overlooked(root: Path, patterns: Sequence[str], cwd: Path) -> list[Problem]:
    """Warn of files that a pattern would match if they were called `.yaml` and not `.yml`, or the other way round.

    Only within folders: beside the settings file there are YAML files of others. Raises nothing.
    """
    problems = []
    for pattern in patterns:
        twin = _twin(pattern)
        if "/" not in pattern or twin in patterns:
            continue
        with suppress(ConfigError):  # what is wrong with the pattern itself is said elsewhere
            found = sorted(path for path in _matched(root, twin) if not _passed_over(path.name))
            problems += [
                Problem("is not read", shown(path, cwd), hint=f"rename it, or add {twin} to `rules:`", warning=True)
                for path in found
            ]
    return problems


def _twin(pattern: str) -> str:
    """Give the pattern with the other ending that YAML files have."""
    if pattern.endswith(".yml"):
        return f"{pattern.removesuffix('.yml')}.yaml"
    return f"{pattern.removesuffix('.yaml')}.yml" if pattern.endswith(".yaml") else pattern


def _passed_over(name: str) -> bool:
    """Tell tests, and hidden files such as editors leave, from rules."""
    return name.startswith(".") or name.endswith(TEST_SUFFIXES)


def _matched(root: Path, pattern: str) -> list[Path]:
    parts = pattern.replace("\\", "/").split("/")
    if pattern.startswith("/") or ".." in parts:
        hint = "patterns are relative to the settings file, and rule files stand under its folder"
        raise ConfigError([Problem(f"`rules:` pattern {pattern!r} leads out of {root}", hint=hint)])
    try:
        return [path for path in islice(root.glob(pattern), MOST_FILES + 1) if not path.is_dir()]
    except (OSError, ValueError, NotImplementedError, IndexError):
        raise ConfigError(
            [Problem(f"`rules:` pattern {pattern!r} is not one", hint="write such as rules/*.yaml")]
        ) from None


def _nothing(pattern: str, root: Path, *, only_tests: bool) -> Problem:
    what = "nothing but tests and hidden files" if only_tests else "no file"
    hint = "mend the pattern, or write a rule there (`alerting init` writes one)"
    return Problem(f"`rules:` pattern {pattern!r} matches {what} under {root}", hint=hint)
