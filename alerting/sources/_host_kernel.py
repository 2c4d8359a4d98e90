"""Counters of this host as the kernel tells them: on Linux by /proc itself, by psutil on other systems.

psutil takes 10 ms to load and reads more than is asked for, so Linux does without it. proc(5) describes the files.
All functions raise OSError where a file cannot be read, and ValueError or LookupError where it holds something else.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LINUX = sys.platform == "linux"

_MEMORY = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # guests are counted in user and nice
_SECTOR = 512  # bytes: of /proc/diskstats, whatever the device has
_BLOCK = 65_536  # bytes of one read
DIGITS = 20  # of the largest count: the kernel's have 64 bits
_NETWORK = (0, 8, 1, 9, 2, 10, 3, 11)  # of the columns of /proc/net/dev
_NO_DISKS = ("loop", "ram", "zram", "fd", "sr")  # devices that are files, memory or drives without a medium


class Kernel(NamedTuple):
    """Where the kernel tells of itself."""

    proc: str = "/proc"
    sys: str = "/sys"

    @property
    def groups(self) -> str:
        """Where control groups are."""
        return f"{self.sys}/fs/cgroup"


def memory(kernel: Kernel) -> tuple[int, int, int, int]:
    """Give bytes of memory and of those that are available, of swap and of those that are free."""
    if not LINUX:
        import psutil  # noqa: PLC0415  the reason above

        held, paged = psutil.virtual_memory(), psutil.swap_memory()
        return held.total, held.available, paged.total, paged.total - paged.used
    told = content(f"{kernel.proc}/meminfo")
    total, available, swap, free = (_count(told.partition(f"{name}:")[2].split(None, 1)[0]) * 1024 for name in _MEMORY)
    return total, available, swap, free


def processor_times(kernel: Kernel) -> Mapping[str, float]:
    """Give the time of all processors together since the start, by mode, in a unit of the system's own."""
    if not LINUX:
        import psutil  # noqa: PLC0415  the reason above

        return {mode: float(value) for mode, value in psutil.cpu_times()._asdict().items()}
    name, *ticks = content(f"{kernel.proc}/stat").partition("\n")[0].split()
    if name != "cpu" or len(ticks) < len(_MODES):
        raise ValueError(name)
    return {mode: float(_count(count)) for mode, count in zip(_MODES, ticks, strict=False)}


def network(kernel: Kernel) -> Iterator[tuple[str, Sequence[int]]]:
    """Give each interface with its bytes, packets, errors and drops: of each what came in, then what went out."""
    if not LINUX:
        import psutil  # noqa: PLC0415  the reason above

        for name, each in psutil.net_io_counters(pernic=True, nowrap=False).items():
            sent, received, out, in_, errors_in, errors_out, drops_in, drops_out = each
            yield name, (received, sent, in_, out, errors_in, errors_out, drops_in, drops_out)
        return
    _heading, _units, *lines = content(f"{kernel.proc}/net/dev").splitlines()
    for line in lines:
        name, _, rest = line.rpartition(":")
        columns = rest.split()
        yield name.strip(), [_count(columns[at]) for at in _NETWORK]


def disk_io(kernel: Kernel) -> Iterator[tuple[str, Sequence[float]]]:
    """Give each disk with its bytes read and written, reads, writes and, on Linux, busy seconds.

    Partitions are left out: they are parts of a disk, and would count twice.
    """
    if not LINUX:
        import psutil  # noqa: PLC0415  the reason above

        for name, each in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
            yield name, (each.read_bytes, each.write_bytes, each.read_count, each.write_count)
        return
    whole = frozenset(os.listdir(f"{kernel.sys}/block"))  # noqa: PTH208  names are all that is wanted
    for line in content(f"{kernel.proc}/diskstats").splitlines():
        _, _, name, reads, _, read, _, writes, _, written, _, _, busy, *_ = line.split()
        if name.replace("/", "!") in whole and name.rstrip("0123456789") not in _NO_DISKS:
            counts = _count(read) * _SECTOR, _count(written) * _SECTOR, _count(reads), _count(writes)
            yield name, (*counts, _count(busy) / 1000)


def _count(digits: str) -> int:
    """Read a count. Raises ValueError for what is below zero, or beyond what the kernel counts to, too."""
    count = int(digits)
    if count < 0 or len(digits) > DIGITS:
        raise ValueError(digits)
    return count


def content(path: str) -> str:
    """Read one of the kernel's files, by the system calls alone: half of what a file object costs. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(file, _BLOCK):
            parts.append(part)
    finally:
        os.close(file)
    return b"".join(parts).decode("utf-8", "surrogateescape")


@lru_cache(1024)
def labelled(name: str, value: str) -> Labels:
    """Give the labels of a series that is told apart by one name of the system's; the same at each reading."""
    return Labels({name: text(value)})


def text(name: str) -> str:
    """Make a name that the system gave as bytes fit for messages: what is not UTF-8 becomes U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
