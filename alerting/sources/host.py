"""This host: disks, processors, memory, network, processes. Only what rules need is read.

Whatever may wait in the kernel is kept away from the loop: local readings run in a thread of a pool of their own,
and each network file system is asked by a child process, because a dead NFS server holds its caller until it is
killed. A mount that does not answer in time gives no series, and is not asked again before its child has ended.
psutil is loaded only where the system itself has no cheap answer; disks on Linux need none of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alerting.errors import SecretError
from alerting.model import NO_LABELS, Fault, FaultKind, Labels, Reading, Sample, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alerting.model import Millis, Need, Section
    from alerting.ports import Tools

DISKS = frozenset({"disk_usage", "disk_free", "inode_usage"})
NETWORK = {
    "network_receive_bytes_total": "bytes_recv",
    "network_transmit_bytes_total": "bytes_sent",
    "network_receive_errors_total": "errin",
    "network_transmit_errors_total": "errout",
}
PROCESSES = frozenset({"process_count", "process_cpu_usage", "process_memory"})
SINCE_LAST = frozenset({"cpu_usage", "process_cpu_usage"})  # shares of the time since the last reading

_FIRST: Millis = 200  # the shortest time over which processor time is a share of anything
_LAST = 0.2  # s for a killed child to go
_COUNTS = 6  # that a child prints
_CHILD = (
    "import os,sys; v=os.statvfs(sys.argv[1]); print(v.f_frsize,v.f_blocks,v.f_bfree,v.f_bavail,v.f_files,v.f_ffree)"
)


def build(section: Section, tools: Tools) -> Sequence[Host]:
    """Build the source of one `type: host` entry."""
    return (Host(section, tools),)


class Host:
    """Reads the machine that this process runs on."""

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = self.namespace = section.name
        self._clock = tools.clock
        self._blocking = tools.blocking(1)
        self._timeout: Millis = section.values["timeout"]
        self._mounts: Sequence[str | Secret] = section.values.get("mounts") or ()
        self._before: _Usage | None = None
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  nothing comes in buckets
        """Read what `needs` name: everything for a need without a name, or for no needs at all."""
        at, began = self._clock.now(), self._clock.monotonic()
        names = frozenset(need.name for need in needs)
        if not names or "" in names:
            names = OFFERED
        fault = None
        values: list[_Found] = []
        try:
            async with asyncio.timeout(self._timeout / 1000):
                values = await self._read(names, _wanted(needs))
        except TimeoutError:
            text = f"{self.name}: the system did not answer within {self._timeout / 1000:g} s; is a disk hanging?"
            fault = Fault(FaultKind.TIMEOUT, text)
        except SecretError as error:
            fault = Fault(FaultKind.SECRET, f"{self.name}: {error}")
        except OSError as error:
            text = f"{self.name}: cannot read {error.filename or 'the system'}: {error.strerror}"
            fault = Fault(FaultKind.UNREADABLE, text)
        except Exception as error:  # noqa: BLE001  psutil has errors of its own; a source never raises
            fault = Fault(FaultKind.INTERNAL, f"{self.name}: {type(error).__name__} while the system was read")
        up = Sample("up", NO_LABELS, 0.0 if fault else 1.0, at)
        samples = (up, *(Sample(name, labels, value, at) for name, labels, value in values))
        return Reading(self.name, self.namespace, at, samples, fault=fault, took=self._clock.monotonic() - began)

    async def close(self) -> None:
        """End children that still wait for a file system."""
        for child in self._children.values():
            await _end(child)

    async def _read(self, names: frozenset[str], wanted: frozenset[str]) -> list[_Found]:
        if names & SINCE_LAST:
            if self._before is None:
                self._before = await self._blocking(lambda: self._usage(names), self._timeout)
            if (wait := self._before.at + _FIRST - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
        disks: list[_Disk] = []
        if names & DISKS:
            chosen = [mount.reveal() if isinstance(mount, Secret) else mount for mount in self._mounts]
            local, remote = await self._blocking(lambda: _disks(chosen), self._timeout)
            disks = [*local, *await self._ask_children(remote)]
        found = await self._blocking(lambda: list(self._found(names, wanted)), self._timeout)
        return [*_of_disks(disks, names), *found]

    def _found(self, names: frozenset[str], wanted: frozenset[str]) -> Iterator[_Found]:
        for name in sorted(names & GAUGES.keys()):
            value = GAUGES[name]()
            if value is not None:
                yield name, NO_LABELS, value
        if names & NETWORK.keys():
            yield from _network(names)
        if names & (PROCESSES | SINCE_LAST):
            before, self._before = self._before, self._usage(names)
            yield from _of_usage(before, self._before, names, wanted)

    def _usage(self, names: frozenset[str]) -> _Usage:
        import psutil  # noqa: PLC0415  10 ms: only for those who ask

        times = psutil.cpu_times()
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # counted in user too
        processes: dict[tuple[int, float], _Process] = {}
        if names & PROCESSES:
            for each in psutil.process_iter(["name", "create_time", "cpu_times", "memory_info"]):
                info = each.info
                cpu, memory = info["cpu_times"], info["memory_info"]
                seconds = cpu.user + cpu.system if cpu else 0.0
                size = memory.rss if memory else 0
                processes[each.pid, info["create_time"] or 0.0] = _Process(_text(info["name"] or "?"), seconds, size)
        idle = times.idle + getattr(times, "iowait", 0.0)
        return _Usage(self._clock.monotonic(), total, idle, processes)

    async def _ask_children(self, mounts: Sequence[str]) -> list[_Disk]:
        answers = await asyncio.gather(*(self._ask_child(mount) for mount in mounts))
        return [disk for disk in answers if disk is not None]

    async def _ask_child(self, mount: str) -> _Disk | None:
        """Ask for a network file system in a process that can be killed; None where no answer comes in time."""
        held = self._children.get(mount)
        if held is not None and held.returncode is None:
            return None
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command(mount), stdin=nothing, stdout=pipe, stderr=nothing
            )
        except OSError:  # no process, no file handle to be had: no series
            return None
        self._children[mount] = child
        output = b""
        try:
            async with asyncio.timeout(self._timeout / 2000):  # half of the time: the rest must be read too
                output, _ = await child.communicate()
        except TimeoutError:
            pass
        finally:
            await _end(child)
        if child.returncode is not None:
            del self._children[mount]
        counts = [int(count) for count in output.split()]
        return _disk(mount, counts) if len(counts) == _COUNTS else None

    def _command(self, mount: str) -> Sequence[str]:
        return (sys.executable, "-I", "-S", "-c", _CHILD, mount)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill a child that still runs, and see it go; one that the kernel holds is left behind."""
    if child.returncode is None:
        child.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                await child.wait()


_Found = tuple[str, Labels, float]


def _wanted(needs: Sequence[Need]) -> frozenset[str]:
    """Give the process names that rules ask for by name: of these none running is a 0, and no gap."""
    matchers = (matcher for need in needs if need.name in PROCESSES for matcher in need.matchers)
    return frozenset(matcher.value for matcher in matchers if matcher.name == "name" and matcher.op == "=")


def _text(name: str) -> str:
    """Make a name that the system gave as bytes fit for messages: what is not UTF-8 becomes U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------- single figures


def _memory_usage() -> float | None:
    import psutil  # noqa: PLC0415  as above

    memory = psutil.virtual_memory()
    return 100 * (memory.total - memory.available) / memory.total if memory.total else None


def _swap_usage() -> float | None:
    import psutil  # noqa: PLC0415  as above

    swap = psutil.swap_memory()
    return 100 * swap.used / swap.total if swap.total else None


def _uptime() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        return time.clock_gettime(clock)
    import psutil  # noqa: PLC0415  as above; systems other than Linux

    return time.time() - psutil.boot_time()


GAUGES: Mapping[str, Callable[[], float | None]] = {
    "load1": lambda: os.getloadavg()[0],
    "load5": lambda: os.getloadavg()[1],
    "load15": lambda: os.getloadavg()[2],
    "memory_usage": _memory_usage,
    "swap_usage": _swap_usage,
    "host_uptime": _uptime,
}
OFFERED = frozenset({*DISKS, *NETWORK, *PROCESSES, *SINCE_LAST, *GAUGES})


def _network(names: frozenset[str]) -> Iterator[_Found]:
    import psutil  # noqa: PLC0415  as above

    for interface, counters in psutil.net_io_counters(pernic=True, nowrap=False).items():
        if interface != "lo":
            labels = Labels({"interface": _text(interface)})
            for name in sorted(names & NETWORK.keys()):
                yield name, labels, float(getattr(counters, NETWORK[name]))


# ------------------------------------------------------------------------------------------- processors, processes


class _Process(NamedTuple):
    name: str
    seconds: float  # of processor time since it began
    memory: int  # bytes


class _Usage(NamedTuple):
    at: Millis  # monotonic
    total: float  # s of all processors since the start
    idle: float
    processes: Mapping[tuple[int, float], _Process]  # by pid and its beginning: pids are used again


def _of_usage(before: _Usage | None, now: _Usage, names: frozenset[str], wanted: frozenset[str]) -> Iterator[_Found]:
    if "cpu_usage" in names and before is not None and now.total > before.total:
        busy = 1 - (now.idle - before.idle) / (now.total - before.total)
        yield "cpu_usage", NO_LABELS, 100 * min(max(busy, 0.0), 1.0)  # idle may step back when a processor goes
    counts = dict.fromkeys(wanted, 0)
    memory: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for key, process in now.processes.items():
        name = process.name
        earlier = before.processes.get(key) if before else None
        counts[name] = counts.get(name, 0) + 1
        memory[name] = memory.get(name, 0) + process.memory
        spent = process.seconds - (earlier.seconds if earlier else 0.0)
        seconds[name] = seconds.get(name, 0.0) + max(spent, 0.0)
    elapsed = (now.at - before.at) / 1000 if before else 0.0
    for name, count in counts.items() if names & PROCESSES else ():
        labels = Labels({"name": name})
        if "process_count" in names:
            yield "process_count", labels, float(count)
        if "process_memory" in names and name in memory:
            yield "process_memory", labels, float(memory[name])
        if "process_cpu_usage" in names and name in seconds and elapsed and before and before.processes:
            yield "process_cpu_usage", labels, 100 * seconds[name] / elapsed


# ------------------------------------------------------------------------------------------- disks

# File systems that hold nothing of their own, or that are full by nature (images that are mounted read-only).
_PSEUDO = """
autofs binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devfs devpts devtmpfs efivarfs erofs fdescfs fusectl
hugetlbfs iso9660 mqueue nsfs overlay proc procfs pstore ramfs rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs
tracefs udf
"""
_REMOTE = "9p afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs lustre ncpfs nfs nfs4 ocfs2 smb3 smbfs virtiofs"
PSEUDO = frozenset(_PSEUDO.split())
REMOTE = frozenset(_REMOTE.split())


class Mount(NamedTuple):
    """One line of the mount table."""

    point: str
    kind: str
    device: str  # `major:minor`; equal for two mounts of one file system


class _Disk(NamedTuple):
    mount: str
    size: int  # bytes, as all below
    used: int
    free: int  # for users
    inodes: int
    inodes_free: int


def _disk(mount: str, counts: Sequence[int]) -> _Disk:
    """Take what statvfs(3) counts: block size, blocks, free, free for users, inodes, free inodes."""
    block, blocks, free, available, inodes, inodes_free = counts
    return _Disk(mount, block * blocks, block * (blocks - free), block * available, inodes, inodes_free)


def _disks(chosen: Sequence[str]) -> tuple[list[_Disk], list[str]]:
    """Read the local file systems; give them, and the mount points of those that must be asked from a child."""
    local: list[_Disk] = []
    remote: list[str] = []
    for mount in shown(mount_table(), chosen):
        if mount.kind in REMOTE or mount.kind.startswith("fuse."):
            remote.append(mount.point)
            continue
        try:
            v = os.statvfs(mount.point)
        except OSError:  # gone since, or not ours to see: no series
            continue
        if mount.point in chosen or Path(mount.point).is_dir():  # containers mount single files of the host's disk
            local.append(_disk(mount.point, (v.f_frsize, v.f_blocks, v.f_bfree, v.f_bavail, v.f_files, v.f_ffree)))
    return local, remote


def mount_table() -> list[Mount]:
    """Read the mounts of this process. Raises OSError."""
    try:
        with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="surrogateescape") as file:
            return list(parse_mounts(file))
    except FileNotFoundError:
        import psutil  # noqa: PLC0415  as above; systems other than Linux

        return [Mount(each.mountpoint, each.fstype, each.device) for each in psutil.disk_partitions(all=True)]


def parse_mounts(lines: Iterable[str]) -> Iterator[Mount]:
    """Read /proc/self/mountinfo; proc(5) says what its fields are. Lines that it does not describe are left out."""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words, kinds = fields.split(), rest.split()
        if len(words) >= 5 and kinds:  # noqa: PLR2004  id, parent, device, root, mount point
            yield Mount(_unescaped(words[4]), kinds[0], words[2])


def _unescaped(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text


def shown(mounts: Iterable[Mount], chosen: Sequence[str] = ()) -> list[Mount]:
    """Choose what is worth showing: the settings' mounts, else each real file system once, and always `/`.

    What is mounted twice (binds, snapshots of one disk) shows under its shortest path; of two mounts at one
    point the later one hides the earlier. In a container, where `/` is an overlay, that overlay is the disk.
    """
    visible = {mount.point: mount for mount in mounts}
    if chosen:
        return [visible[point] for point in chosen if point in visible]
    devices: dict[str, Mount] = {}
    for mount in sorted(visible.values(), key=lambda mount: (len(mount.point), mount.point)):
        if mount.point == "/" or mount.kind not in PSEUDO:
            devices.setdefault(mount.device, mount)
    return list(devices.values())


def _of_disks(disks: Iterable[_Disk], names: frozenset[str]) -> Iterator[_Found]:
    for disk in disks:
        labels = Labels({"mount": _text(disk.mount)})
        users = disk.used + disk.free  # what is reserved for root is neither, as in df
        if "disk_usage" in names and users > 0:
            yield "disk_usage", labels, 100 * disk.used / users
        if "disk_free" in names and disk.size > 0:
            yield "disk_free", labels, float(disk.free)
        if "inode_usage" in names and disk.inodes > 0:
            yield "inode_usage", labels, 100 * (disk.inodes - disk.inodes_free) / disk.inodes
