"""What a container may use of its machine: the limits of the control group that it sees as the root.

Only that group counts. In a container the root of /sys/fs/cgroup is the container's own group, and its limits are all
the memory and processors that there are. On the machine itself the root has none, and what binds a single service
(`MemoryMax=` of our own unit) is no limit of the machine. Both versions of control groups are read:
https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory, cgroup-v1/cpuacct and scheduler/sched-bwc
of the same pages. Where a file is missing there is no such limit; one that makes no sense raises OSError.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from alerting.sources._host_kernel import DIGITS, content


class Memory(NamedTuple):
    """Bytes. What the kernel would give back by itself (files read long ago) is not used."""

    limit: int
    used: int


class Processors(NamedTuple):
    """How many processors' time may be used, and how much was since the container began."""

    quota: float
    seconds: float


def memory_of(groups: str, machine: int) -> Memory | None:
    """Give limit and use; None where the limit is not below the machine's memory. Raises OSError."""
    path = f"{groups}/memory.max"
    limit = _first(path)
    current, stat, idle = f"{groups}/memory.current", f"{groups}/memory.stat", "inactive_file"
    if limit is None:
        path = f"{groups}/memory/memory.limit_in_bytes"
        limit = _first(path)
        current, stat = f"{groups}/memory/memory.usage_in_bytes", f"{groups}/memory/memory.stat"
        idle = f"total_{idle}"
    if limit in (None, "max") or (most := _number(limit, path)) >= machine:
        return None
    used = _number(_first(current), current) - _number(_pairs(stat).get(idle, "0"), stat)
    return Memory(most, max(used, 0))


def processors_of(groups: str) -> Processors | None:
    """Give quota and use; None where there is no quota. Raises OSError."""
    path = f"{groups}/cpu.max"
    words = _words(path)
    if words is not None:
        if words[0] == "max":
            return None
        stat = f"{groups}/cpu.stat"
        period = words[1] if len(words) > 1 else "100000"  # the kernel's own where none is written
        return _processors(words[0], period, path, _number(_pairs(stat).get("usage_usec"), stat) / 1e6)
    path = f"{groups}/cpu/cpu.cfs_quota_us"
    quota = _first(path)
    if quota in (None, "-1"):
        return None
    usage = f"{groups}/cpuacct/cpuacct.usage"
    return _processors(quota, _first(f"{groups}/cpu/cpu.cfs_period_us"), path, _number(_first(usage), usage) / 1e9)


def _processors(quota: str | None, period: str | None, path: str, seconds: float) -> Processors:
    share = _number(quota, path) / (_number(period, path) or 1)
    if share <= 0:
        raise _odd(path)
    return Processors(share, seconds)


def _words(path: str) -> list[str] | None:
    """Read a file's words, at least one; None where there is no such file."""
    try:
        words = content(path).split()
    except FileNotFoundError:
        return None
    if not words:
        raise _odd(path)
    return words


def _first(path: str) -> str | None:
    words = _words(path)
    return words[0] if words else None


def _pairs(path: str) -> dict[str, str]:
    words = _words(path) or ()
    return dict(zip(words[::2], words[1::2], strict=False))


def _number(word: str | None, path: str) -> int:
    if word is None or not (word.isascii() and word.isdigit()) or len(word) > DIGITS:
        raise _odd(path)
    return int(word)


def _odd(path: str) -> OSError:
    return OSError(errno.EINVAL, "its content is not understood", path)
