"""A disk of a test's own, which knows what a power cut may leave of it.

The disk is a file that this process serves to the kernel (FUSE, as in include/uapi/linux/fuse.h), and a loop device
lies on it: each block that a file system writes and each flush of the disk's cache comes by here, in their order. After
a cut there is what was there when the cache was last flushed; of what was written since, any block or none.

Mounts are made in a mount namespace that nothing else is in. What is mounted stays alive for as long as any namespace
has it, and whoever makes one (`unshare --mount`) takes along all that is mounted at that moment.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.namespace import Kind, in_own

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

BLOCK = 4096  # bytes that a disk writes whole or not at all; ext4 counts on that for its own block

_HEAD = struct.Struct("<IIQQIIIHH")  # length, operation, its number, node, …
_ANSWER = struct.Struct("<IiQ")  # length, error, number
_READ = struct.Struct("<QQI")  # handle, offset, bytes
_WRITE = struct.Struct("<QQIIQII")  # the same, …; what is written comes behind
_OPENED = bytes(16)  # handle 0, with no flags
_NO_ANSWER = (2, 36, 42)  # forget, interrupt, forget several


class Ask(IntEnum):
    """What the kernel asks for."""

    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20  # of a loop device: the disk's cache is to be flushed
    CLOSE = 25  # called FLUSH there
    INIT = 26


def run(*words: object) -> None:
    """Run a command of the system; skip the test where it cannot be."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip(f"{words[0]} is not installed")
    if done.returncode:
        pytest.skip(f"{words[0]} does not work here: {done.stderr.strip()}")


def among_own_mounts(work: Callable[[], None]) -> None:
    """Do it where nobody else sees or keeps what is mounted. Raises what it raises."""

    def there() -> None:
        run("mount", "--make-rprivate", "/")
        if not Path("/dev/loop-control").exists():
            pytest.skip("there are no loop devices here")
        work()

    in_own(Kind.MOUNTS, there)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """The file system of an image, for as long as the block lasts; the image is a file that never was mounted before.

    For a file that a loop device still has, `mount` takes that device, and with it what the kernel remembers of it.
    Raises OSError with what `mount` says when it is no file system.
    """
    place.mkdir(exist_ok=True)
    line = ("mount", "-t", "ext4", "-o", "loop", str(image), str(place))
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield place
    finally:
        subprocess.run(("umount", place), check=True, timeout=60)


class Disk:
    """What is on it, and what of that is certain to stay."""

    def __init__(self, contents: bytes) -> None:
        """Begin with this on it."""
        self.lies = False  # it says that it flushed its cache, and does not
        self._moment = threading.Condition()
        self._left: int | None = None  # writes to come before it stops; 0: it is stopped
        self._crowd = 0  # so many have to be in its cache when they begin to be counted
        self._now = bytearray(contents)
        self._certain = bytearray(contents)
        self._since: list[tuple[int, bytes]] = []  # offset and bytes of each block since its cache was flushed

    @contextmanager
    def served(self, path: Path) -> Iterator[Path]:
        """Be that file, for as long as the block lasts."""
        path.touch()
        try:
            requests = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            pytest.skip(f"no disk of its own can be had here: {error}")
        thread = threading.Thread(target=self._serve, args=(requests,), name="a disk", daemon=True)
        try:
            words = f"fd={requests},rootmode={stat.S_IFREG:o},user_id=0,group_id=0".encode()
            library = ctypes.CDLL(None, use_errno=True)
            if library.mount(b"disk", os.fsencode(path), b"fuse", 0, words):
                pytest.skip(f"no disk of its own can be had here: {os.strerror(ctypes.get_errno())}")
            thread.start()
            try:
                yield path
            finally:
                subprocess.run(("umount", "--lazy", path), check=True, timeout=60)  # its loop device may linger
                thread.join(30)
        finally:
            os.close(requests)  # whatever still asks gets an error

    @contextmanager
    def stopped(self, writes: int, crowd: int = 0) -> Iterator[None]:
        """Let it take so many writes, and do nothing more for as long as the block lasts.

        They are counted once there are `crowd` in its cache. Where there are less in 20 seconds, it stops then.
        """
        with self._moment:
            self._left, self._crowd = writes, crowd
            self._moment.wait_for(lambda: self._left == 0, 20)
            try:
                yield
            finally:
                self._left = None
                self._moment.notify_all()

    def after_a_cut(self, dice: random.Random) -> tuple[bytes, int]:
        """What a power cut at this moment leaves, and how many blocks it takes.

        One cut in four takes all that is not certain, one takes nothing, one all that was written after some moment,
        and one any blocks.
        """
        with self._moment:
            image, since = bytearray(self._certain), tuple(self._since)
        kinds = ((), since, since[: dice.randint(0, len(since))], tuple(each for each in since if dice.random() < 0.5))
        left = kinds[dice.randrange(len(kinds))]
        for offset, block in left:
            image[offset : offset + len(block)] = block
        return bytes(image), len(since) - len(left)

    def _serve(self, requests: int) -> None:
        buffer = bytearray(1 << 16)  # the kernel wants some room beyond the block
        while True:
            try:
                size = os.readv(requests, [buffer])
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno == errno.ENOENT:  # the request was taken back
                    continue
                return  # it is mounted no more
            _, operation, number, *_ = _HEAD.unpack_from(buffer)
            if operation in _NO_ANSWER:
                continue
            answer = self._answer(operation, bytes(memoryview(buffer)[_HEAD.size : size]))
            failed, told = (errno.ENOSYS, b"") if answer is None else (0, answer)
            with suppress(FileNotFoundError):  # nobody waits for it any more
                os.write(requests, _ANSWER.pack(_ANSWER.size + len(told), -failed, number) + told)

    def _answer(self, operation: int, asked: bytes) -> bytes | None:
        """Do what the kernel asks for; None: it is not known here."""
        with self._moment:
            match operation:
                case Ask.INIT:
                    major, minor, ahead = struct.unpack_from("<III", asked)
                    return struct.pack("<IIIIHHIIHH8I", major, min(minor, 31), ahead, 0, 16, 12, BLOCK, 1, *(0,) * 10)
                case Ask.GETATTR | Ask.SETATTR:
                    return struct.pack("<QII", 1, 0, 0) + self._attributes()
                case Ask.OPEN:
                    return _OPENED
                case Ask.READ:
                    _, offset, size = _READ.unpack_from(asked)
                    return bytes(self._now[offset : offset + size])
                case Ask.WRITE:
                    return self._write(asked)
                case Ask.FSYNC:
                    self._flush()
                    return b""
                case Ask.RELEASE | Ask.CLOSE:
                    return b""
        return None

    def _attributes(self) -> bytes:
        size = len(self._now)
        times = (0,) * 6
        return struct.pack("<6Q10I", 1, size, size // 512, *times, stat.S_IFREG | 0o600, 1, 0, 0, 0, BLOCK, 0)

    def _write(self, asked: bytes) -> bytes:
        _, offset, size, *_ = _WRITE.unpack_from(asked)
        written = asked[_WRITE.size : _WRITE.size + size]
        self._now[offset : offset + size] = written
        self._since.append((offset, written))
        if self._left and len(self._since) >= self._crowd:
            self._left, self._crowd = self._left - 1, 0
            self._moment.notify_all()
            self._moment.wait_for(lambda: self._left != 0, 60)
        return struct.pack("<II", size, 0)

    def _flush(self) -> None:
        if self.lies:
            return
        for offset, written in self._since:
            self._certain[offset : offset + len(written)] = written
        self._since.clear()
