"""Single figures of this host: load, memory, swap, network, disk I/O, temperatures. Each is read when it is asked for.

What a figure cannot be had of (no swap, no sensor, a sensor that is asleep) has no series; it is never a 0.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_LABELS, Labels
from alerting.sources._host_disks import text
from alerting.sources._host_limits import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Found = tuple[str, Labels, float]

NETWORK = {
    "network_receive_bytes_total": "bytes_recv",
    "network_transmit_bytes_total": "bytes_sent",
    "network_receive_packets_total": "packets_recv",
    "network_transmit_packets_total": "packets_sent",
    "network_receive_errors_total": "errin",
    "network_transmit_errors_total": "errout",
    "network_receive_drops_total": "dropin",
    "network_transmit_drops_total": "dropout",
}
DISK_IO = {
    "disk_read_bytes_total": ("read_bytes", 1),
    "disk_written_bytes_total": ("write_bytes", 1),
    "disk_reads_total": ("read_count", 1),
    "disk_writes_total": ("write_count", 1),
    "disk_busy_seconds_total": ("busy_time", 1000),  # the system counts milliseconds
}
_NO_DISKS = ("loop", "ram", "zram", "fd", "sr")  # devices that are files, memory or drives without a medium


_MEMORY = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")


class Kernel(NamedTuple):
    """Where the kernel tells of itself."""

    proc: str = "/proc"
    sys: str = "/sys"

    @property
    def groups(self) -> str:
        """Where control groups are."""
        return f"{self.sys}/fs/cgroup"


def figures(names: frozenset[str], kernel: Kernel) -> Iterator[Found]:
    """Give what `names` ask for of this module. Raises OSError, and whatever psutil makes of a damaged file."""
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
    total, available, swap, swap_free = _bytes(f"{kernel.proc}/meminfo") if sys.platform == "linux" else _elsewhere()
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


def _bytes(path: str) -> list[int]:
    """Read what _MEMORY names of /proc/meminfo, which counts KiB. Raises OSError, LookupError, ValueError."""
    with open(path, encoding="ascii") as file:  # noqa: PTH123  a third of a Path's time
        told = {line.partition(":")[0]: line.split() for line in file}
    return [int(told[name][1]) * 1024 for name in _MEMORY]


def _elsewhere() -> list[int]:
    import psutil  # noqa: PLC0415  as above

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return [memory.total, memory.available, swap.total, swap.total - swap.used]


def _network(kernel: Kernel) -> Iterator[Found]:  # noqa: ARG001  as above
    import psutil  # noqa: PLC0415  as above

    for interface, counters in psutil.net_io_counters(pernic=True, nowrap=False).items():
        if interface != "lo":
            labels = Labels({"interface": text(interface)})
            for name, field in NETWORK.items():
                yield name, labels, float(getattr(counters, field))


def _disk_io(kernel: Kernel) -> Iterator[Found]:
    """Of whole devices: partitions are parts of one, and would count twice."""
    import psutil  # noqa: PLC0415  as above

    try:
        whole = set(os.listdir(f"{kernel.sys}/block"))  # noqa: PTH208  names are all that is wanted
    except OSError:  # other systems list no partitions
        whole = set()
    for device, counters in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
        if device.rstrip("0123456789") in _NO_DISKS or (whole and device.replace("/", "!") not in whole):
            continue
        labels = Labels({"device": text(device)})
        for name, (field, units) in DISK_IO.items():
            if (value := getattr(counters, field, None)) is not None:
                yield name, labels, value / units


def _temperatures(kernel: Kernel) -> Iterator[Found]:
    """Of the hwmon sensors, else of the thermal zones; https://docs.kernel.org/hwmon/sysfs-interface.html."""
    found: dict[Labels, float] = {}
    sysfs = Path(kernel.sys)
    for path in sorted(sysfs.glob("class/hwmon/hwmon*/temp*_input")):
        chip, sensor = path.parent, path.name.removesuffix("_input")
        told = {"chip": _line(chip / "name"), "device": (chip / "device").resolve().name}
        labels = Labels({**told, "sensor": _line(chip / f"{sensor}_label") or sensor})
        _put(found, labels.with_(sensor=sensor) if labels in found else labels, path)
    for path in sorted(sysfs.glob("class/thermal/thermal_zone*/temp")) if not found else ():
        zone = path.parent
        _put(found, Labels({"chip": "thermal", "device": zone.name, "sensor": _line(zone / "type")}), path)
    for labels, value in found.items():
        yield "temperature", labels, value


def _put(found: dict[Labels, float], labels: Labels, path: Path) -> None:
    with suppress(ValueError):  # asleep, or not there
        found[labels] = int(_line(path)) / 1000


def _line(path: Path) -> str:
    """Read one line of the kernel's; empty where it cannot be had."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


_PARTS: Mapping[tuple[str, ...], Callable[[Kernel], Iterator[Found]]] = {
    ("load1", "load5", "load15", "host_uptime", "cpu_count"): _system,
    ("memory_usage", "memory_used", "memory_available", "swap_usage", "swap_used"): _memory,
    tuple(NETWORK): _network,
    tuple(DISK_IO): _disk_io,
    ("temperature",): _temperatures,
}
FIGURES = frozenset(name for names in _PARTS for name in names)
