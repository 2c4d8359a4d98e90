"""Single figures of this host: load, memory, swap, network, disk I/O, temperatures. Each is read when it is asked for.

What a figure cannot be had of (no swap, no sensor, a sensor that is asleep) has no series; it is never a 0.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from alerting.model import NO_LABELS, Labels
from alerting.sources._host_kernel import content, disk_io, labelled, memory, network, text
from alerting.sources._host_limits import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from alerting.sources._host_kernel import Kernel

    Found = tuple[str, Labels, float]

# in the order in which the kernel's counters are given
NETWORK = tuple(
    f"network_{way}_{what}_total" for what in ("bytes", "packets", "errors", "drops") for way in ("receive", "transmit")
)
DISK_IO = (
    "disk_read_bytes_total",
    "disk_written_bytes_total",
    "disk_reads_total",
    "disk_writes_total",
    "disk_busy_seconds_total",
)


def figures(names: frozenset[str], kernel: Kernel) -> Iterator[Found]:
    """Give what `names` ask for of this module. Raises OSError, ValueError, LookupError."""
    for offered, read in _PARTS.items():
        if not names.isdisjoint(offered):
            for name, labels, value in read(kernel):
                if name in names:
                    yield name, labels, value


def _system(kernel: Kernel) -> Iterator[Found]:  # noqa: ARG001  one shape for all parts
    for name, value in zip(("load1", "load5", "load15"), os.getloadavg(), strict=True):
        yield name, NO_LABELS, value
    yield "host_uptime", NO_LABELS, _uptime()
    if count := os.cpu_count():
        yield "cpu_count", NO_LABELS, float(count)


def _uptime() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        return time.clock_gettime(clock)
    import psutil  # noqa: PLC0415  10 ms, and only for systems other than Linux

    return time.time() - psutil.boot_time()


def _memory(kernel: Kernel) -> Iterator[Found]:
    """Of the machine, or of what the container may use of it; swap is always the machine's."""
    total, available, swap, swap_free = memory(kernel)
    used = total - available
    held = memory_of(kernel.groups, total)
    if held is not None:
        total, used = held
        available = min(max(total - used, 0), available)
    if total > 0:
        yield "memory_usage", NO_LABELS, min(100 * used / total, 100.0)
        yield "memory_used", NO_LABELS, float(used)
        yield "memory_available", NO_LABELS, float(available)
    yield "swap_used", NO_LABELS, float(swap - swap_free)
    if swap > 0:
        yield "swap_usage", NO_LABELS, 100 * (swap - swap_free) / swap


def _network(kernel: Kernel) -> Iterator[Found]:
    for interface, counters in network(kernel):
        if interface != "lo":
            labels = labelled("interface", interface)
            for name, value in zip(NETWORK, counters, strict=True):
                yield name, labels, float(value)


def _disk_io(kernel: Kernel) -> Iterator[Found]:
    for device, counters in disk_io(kernel):
        labels = labelled("device", device)
        for name, value in zip(DISK_IO, counters, strict=False):  # not every system tells all
            yield name, labels, float(value)


def _temperatures(kernel: Kernel) -> Iterator[Found]:
    """Of the hwmon sensors, else of the thermal zones; https://docs.kernel.org/hwmon/sysfs-interface.html."""
    found: dict[Labels, float] = {}
    for chip in _entries(f"{kernel.sys}/class/hwmon"):
        _, _, device = os.path.realpath(f"{chip}/device").rpartition("/")
        told = {"chip": _line(f"{chip}/name"), "device": device}
        for path in _entries(chip, "temp", "_input"):
            sensor = path.removeprefix(f"{chip}/").removesuffix("_input")
            labels = Labels({**told, "sensor": _line(f"{chip}/{sensor}_label") or sensor})
            _put(found, labels.with_(sensor=sensor) if labels in found else labels, path)
    for zone in () if found else _entries(f"{kernel.sys}/class/thermal", "thermal_zone"):
        told = {"chip": "thermal", "device": zone.rpartition("/")[2], "sensor": _line(f"{zone}/type")}
        _put(found, Labels(told), f"{zone}/temp")
    for labels, value in found.items():
        yield "temperature", labels, value


def _entries(folder: str, begin: str = "", end: str = "") -> list[str]:
    """List a folder's entries; none where there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  names are all that is wanted
    except OSError:
        return []
    return sorted(f"{folder}/{name}" for name in names if name.startswith(begin) and name.endswith(end))


def _put(found: dict[Labels, float], labels: Labels, path: str) -> None:
    with suppress(ValueError):  # asleep, or not there
        found[labels] = int(_line(path)) / 1000


def _line(path: str) -> str:
    """Read one line of the kernel's; empty where it cannot be had."""
    try:
        return text(content(path).strip())
    except OSError:
        return ""


_PARTS: Mapping[tuple[str, ...], Callable[[Kernel], Iterator[Found]]] = {
    ("load1", "load5", "load15", "host_uptime", "cpu_count"): _system,
    ("memory_usage", "memory_used", "memory_available", "swap_usage", "swap_used"): _memory,
    NETWORK: _network,
    DISK_IO: _disk_io,
    ("temperature",): _temperatures,
}
FIGURES = frozenset(name for names in _PARTS for name in names)
