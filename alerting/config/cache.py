"""What was found valid once, kept until something changes: JSON in the user's cache folder, never more than a hint.

An entry is one file that holds the digest of all that it was made from (this program, settings, rule files) and
its own checksum. Whatever is wrong with it (damaged, foreign, older, unreadable) it counts as absent, and what
cannot be written is not kept. Files are replaced whole, so that readers and writers need no lock.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

import alerting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_BYTES = 64 * 1024 * 1024
_DIGEST = 32  # hex digits
_OTHERS_WRITE = 0o022


def digest(parts: Iterable[bytes]) -> str:
    """Give 32 hex digits that two different sequences do not share: each part goes in with its length."""
    made = blake2b(digest_size=_DIGEST // 2)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.hexdigest()


def place(what: str, *parts: str) -> str:
    """Give the name of an entry: one of 4096 for each sort, so that the folder cannot grow without end."""
    return f"{what}-{digest(part.encode('utf-8', 'surrogateescape') for part in parts)[:3]}"


@cache
def program() -> bytes:
    """Tell this program from others: its version, and the newest of the files that decide what is valid."""
    package = Path(alerting.__path__[0])
    newest = files = 0
    for folder in ("config", "core", "core/lang", "core/gotemplate", "schemas", "../schemas"):
        with suppress(OSError), os.scandir(package / folder) as entries:
            for entry in entries:
                if entry.is_file():
                    newest = max(newest, entry.stat().st_mtime_ns)
                    files += 1
    return f"{alerting.__version__} {newest} {files}".encode()


class Cache:
    """A folder of entries; `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls, env: Mapping[str, str]) -> Cache:
        """Give the cache of this user: systemd's CACHE_DIRECTORY, else the XDG cache folder, else none."""
        if env.get("CACHE_DIRECTORY"):
            return cls(Path(env["CACHE_DIRECTORY"].split(":")[0]))
        home = env.get("XDG_CACHE_HOME") or (f"{env['HOME']}/.cache" if env.get("HOME") else "")
        return cls(Path(home) / "alerting" if home.startswith("/") else None)

    def get(self, name: str, key: str) -> Any:
        """Give what was kept under a name for this very key; None when there is no such thing."""
        if self._folder is None or not _is_ours(self._folder):
            return None
        try:
            with _path(self._folder, name).open("rb") as file:
                kept_for, sum_of_body, body = file.read(_DIGEST).decode(), file.read(_DIGEST).decode(), file.read()
            return json.loads(body) if kept_for == key and sum_of_body == digest([body]) else None
        except (OSError, ValueError, RecursionError):
            return None

    def put(self, name: str, key: str, value: Any) -> None:
        """Keep a value, in place of what was kept under this name. A failure is no trouble: nothing is kept."""
        if self._folder is None:
            return
        body = json.dumps(value, separators=(",", ":")).encode()
        if len(body) > _MOST_BYTES:
            return
        temporary = self._folder / f".{name}.{os.getpid()}.{get_ident()}"
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self._folder):
                return
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with open(handle, "wb") as file:  # noqa: PTH123  a handle, not a path
                    file.write(key.encode() + digest([body]).encode() + body)
                temporary.replace(_path(self._folder, name))
            except OSError:
                temporary.unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


NOTHING = Cache(None)


def _is_ours(folder: Path) -> bool:
    """Tell whether only this user can write there: nobody else may say what is valid."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
