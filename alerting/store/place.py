"""What stands in the place of the state file, against what the lock remembers of it; and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from alerting.errors import StoreError
from alerting.store.lock import path_of
from alerting.store.schema import AFRESH, create, is_passing, refused

if TYPE_CHECKING:
    from alerting.store.lock import Mark

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def make_if_new(path: str, mark: Mark) -> None:
    """Make the file where there never was one; refuse where there was. Raises StateRefused, StoreError."""
    if os.path.lexists(path):
        return
    afresh = f"put it back, or remove {path}-wal and {path_of(path)} to start afresh ({AFRESH})"
    if mark.installation:
        raise refused(path, f"is gone: there was one (installation {mark.installation})", afresh)
    if os.path.lexists(f"{path}-wal"):
        raise refused(path, "is gone, but its -wal file is there", afresh)
    try:
        create(path, os.urandom(8).hex())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StoreError(f"the state {path} could not be made: {reason}") from None
    except sqlite3.Error as error:
        raise failure(path, "made", error) from None


def compare(path: str, mark: Mark, installation: str, commits: int) -> None:
    """Refuse a file that is not the newest of the installation that was here. Raises StateRefused."""
    remedy = f"put the right file back, or remove {path_of(path)} to go on from this one"
    if mark.installation and mark.installation != installation:
        raise refused(path, f"belongs to installation {installation}, and here was {mark.installation}", remedy)
    if commits < mark.commits:
        what = f"lacks the last {mark.commits - commits} commits: it is an old copy, or its -wal file is gone"
        raise refused(path, what, remedy)


def failure(path: str, verb: str, error: sqlite3.Error) -> StoreError:
    """Say that something could not be done with the file."""
    full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE  # by another name
    return StoreError(f"the state {path} could not be {verb}: {'the disk is full' if full else error}")


def speaks_of_the_file(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file cannot be used, now or for good, and nothing of what was asked of it."""
    code = code_of(error)
    return code in DAMAGE or (is_passing(error) and code != sqlite3.SQLITE_NOMEM)


def code_of(error: sqlite3.Error) -> int:
    """Give SQLite's primary code of an error; that of no particular one where Python's own layer raised it."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def identity(path: str) -> tuple[int, int] | None:
    """Tell one file from another that has taken its name; None when there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
