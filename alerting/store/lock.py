"""`<state>.lock`: who may write the state, and what was last known of it.

flock on this file decides who writes; it ends with the process, however that dies. Its text is what the state file
cannot say of itself: which installation it belonged to and how many commits it had. So a state file that has
vanished, an old copy put in its place, and a lost -wal file are seen, and never taken for a fresh start. The text is
written after each commit without a sync: after a power cut it may be old, which asks less, never more.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import NamedTuple

from alerting.errors import LockHeld, StateRefused

_WIDTH = 128  # bytes: each text covers the one before


class Mark(NamedTuple):
    """What the last holder noted."""

    pid: int = 0
    installation: str = ""  # empty: no state was ever made beside this lock
    commits: int = 0


def path_of(state: str) -> str:
    """Give the path of the lock of a state file."""
    return f"{state}.lock"


class Lock:
    """Exclusive, for as long as this process lives or until `release`."""

    def __init__(self, state: str) -> None:
        """Name the state file whose lock this is."""
        self._state = state
        self.path = path_of(state)
        self._file = -1

    def take(self) -> Mark:
        """Take it at once or raise LockHeld; StateRefused where no lock can be had. Gives the last holder's mark."""
        if self._file >= 0:
            return self._read(self._file)
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            raise StateRefused(f"the folder of the state {self._state} does not exist; make it, or mount it") from None
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StateRefused(f"{self.path} cannot be opened ({reason}); let this user write in its folder") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            mark = self._read(file)
            os.close(file)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                holder = f"process {mark.pid}" if mark.pid else "another process"
                raise LockHeld(f"the state {self._state} is in use by {holder}; wait for it, or stop it") from None
            reason = os.strerror(error.errno or 0)
            raise StateRefused(f"{self.path} cannot be locked ({reason}); keep the state on a local disk") from None
        self._file = file
        with suppress(PermissionError):  # another user's file that we may write: leave its mode to them
            os.fchmod(file, 0o600)
        return self._read(file)

    def note(self, installation: str, commits: int) -> None:
        """Say what the state holds now. A failure is passed over: an old mark asks less."""
        text = f"pid {os.getpid()}\ninstallation {installation}\ncommits {commits}\n"
        with suppress(OSError):
            os.pwrite(self._file, text.encode().ljust(_WIDTH), 0)

    def release(self) -> None:
        """Let others have it. The file stays: removing it would let two take two locks."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @staticmethod
    def _read(file: int) -> Mark:
        words = os.pread(file, _WIDTH, 0).decode("ascii", "replace").split()
        found = dict(zip(words[::2], words[1::2], strict=False))
        pid, commits = found.get("pid", ""), found.get("commits", "")
        return Mark(
            int(pid) if pid.isdecimal() else 0,
            found.get("installation", ""),
            int(commits) if commits.isdecimal() else 0,
        )
