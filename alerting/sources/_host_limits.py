"""What a container may use of its machine: the limits of the control group that it sees as the root.

Only that group counts. In a container the root of /sys/fs/cgroup is the container's own group, and its limits are all
the memory and processors that there are. On the machine itself the root has none, and what binds a single service
(`MemoryMax=` of our own unit) is no limit of the machine. Both versions of control groups are read:
https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory, cgroup-v1/cpuacct and scheduler/sched-bwc
of the same pages. Where a file is missing there is no such limit; one that makes no sense raises OSError.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Memory(NamedTuple):
    """Bytes. What the kernel would give back by itself (files read long ago) is not used."""

    limit: int
    used: int


class Processors(NamedTuple):
    """How many processors' time may be used, and how much was since the container began."""

    quota: float
    seconds: float


def memory_of(groups: Path, machine: int) -> Memory | None:
    """Give limit and use; None where the limit is not below the machine's memory. Raises OSError."""
    path = groups / "memory.max"
    if path.exists():
        limit = _words(path)[0]
        current, idle, stat = groups / "memory.current", "inactive_file", groups / "memory.stat"
    else:
        group = groups / "memory"
        path = group / "memory.limit_in_bytes"
        if not path.exists():
            return None
        limit = _words(path)[0]
        current, idle, stat = group / "memory.usage_in_bytes", "total_inactive_file", group / "memory.stat"
    if limit == "max" or _number(limit, path) >= machine:
        return None
    used = _number(_words(current)[0], current) - _number(_pairs(stat).get(idle, "0"), stat)
    return Memory(_number(limit, path), max(used, 0))


def processors_of(groups: Path) -> Processors | None:
    """Give quota and use; None where there is no quota. Raises OSError."""
    path = groups / "cpu.max"
    if path.exists():
        quota, period = (*_words(path), "100000")[:2]  # the kernel's own period where none is written
        if quota == "max":
            return None
        stat = groups / "cpu.stat"
        return _processors(quota, period, path, _number(_pairs(stat).get("usage_usec", ""), stat) / 1e6)
    path = groups / "cpu" / "cpu.cfs_quota_us"
    if not path.exists() or (quota := _words(path)[0]) == "-1":
        return None
    usage = groups / "cpuacct" / "cpuacct.usage"
    period = _words(groups / "cpu" / "cpu.cfs_period_us")[0]
    return _processors(quota, period, path, _number(_words(usage)[0], usage) / 1e9)


def _processors(quota: str, period: str, path: Path, seconds: float) -> Processors:
    share = _number(quota, path) / (_number(period, path) or 1)
    if share <= 0:
        raise _odd(path)
    return Processors(share, seconds)


def _words(path: Path) -> list[str]:
    words = path.read_text("ascii", "replace").split()
    if not words:
        raise _odd(path)
    return words


def _pairs(path: Path) -> dict[str, str]:
    words = _words(path)
    return dict(zip(words[::2], words[1::2], strict=False))


def _number(word: str, path: Path) -> int:
    if not (word.isascii() and word.isdigit()):
        raise _odd(path)
    return int(word[:20])


def _odd(path: Path) -> OSError:
    return OSError(errno.EINVAL, "its content is not understood", str(path))
