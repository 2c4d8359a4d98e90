"""The file systems of this host: which are worth showing, and how full they are.

Local ones are asked directly. Each network file system is asked by a child process, because a dead NFS server holds
its caller until it is killed. A mount that does not answer in time gives no series, and is not asked again before its
child has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from alerting.sources._host_kernel import content, labelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alerting.model import Labels, Millis

DISKS = frozenset({"disk_usage", "disk_free", "inode_usage"})

# File systems that hold nothing of their own, or that are full by nature (images that are mounted read-only).
_PSEUDO = """
autofs binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devfs devpts devtmpfs efivarfs erofs fdescfs fusectl
hugetlbfs iso9660 mqueue nsfs overlay proc procfs pstore ramfs rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs
tracefs udf
"""
_REMOTE = "9p afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs lustre ncpfs nfs nfs4 ocfs2 smb3 smbfs virtiofs"
PSEUDO = frozenset(_PSEUDO.split())
REMOTE = frozenset(_REMOTE.split())

_LAST = 2.0  # s for a killed child to go: at once, save on an overloaded machine or where the file system hangs
_COUNTS = 6  # that a child prints
_CHILD = (
    "import os,sys; v=os.statvfs(sys.argv[1]); print(v.f_frsize,v.f_blocks,v.f_bfree,v.f_bavail,v.f_files,v.f_ffree)"
)


class Mount(NamedTuple):
    """One line of the mount table."""

    point: str
    kind: str
    device: str  # `major:minor`; equal for two mounts of one file system


class Disk(NamedTuple):
    """How full one file system is."""

    mount: str
    size: int  # bytes, as all below
    used: int
    free: int  # for users
    inodes: int
    inodes_free: int


def disk(mount: str, counts: Sequence[int]) -> Disk:
    """Take what statvfs(3) counts: block size, blocks, free, free for users, inodes, free inodes."""
    block, blocks, free, available, inodes, inodes_free = counts
    return Disk(mount, block * blocks, block * (blocks - free), block * available, inodes, inodes_free)


class MountTable:
    """Which mounts are worth asking. The kernel's table is read each time, and taken apart when it has changed."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        self._path = path
        self._seen: tuple[str, Sequence[str]] | None = None
        self._shown: Sequence[Mount] = ()

    def read(self, chosen: Sequence[str]) -> Sequence[Mount]:
        """Give the mounts to show: `chosen` alone, where that names any. Raises OSError."""
        try:
            table = content(self._path)
        except FileNotFoundError:
            import psutil  # noqa: PLC0415  10 ms, and only for systems other than Linux

            parts = psutil.disk_partitions(all=True)
            return shown((Mount(each.mountpoint, each.fstype, each.device) for each in parts), chosen)
        if (table, chosen) != self._seen:
            self._shown = shown(parse_mounts(table.splitlines()), chosen)
            self._seen = table, chosen
        return self._shown


def disks(mounts: Iterable[Mount], chosen: Sequence[str] = ()) -> tuple[list[Disk], list[str]]:
    """Read the local file systems; give them, and the mount points of those that must be asked from a child."""
    local: list[Disk] = []
    remote: list[str] = []
    for mount in mounts:
        if mount.kind in REMOTE or mount.kind.startswith("fuse."):
            remote.append(mount.point)
            continue
        try:
            v = os.statvfs(mount.point)
        except OSError:  # gone since, or not ours to see: no series
            continue
        if mount.point in chosen or os.path.isdir(mount.point):  # noqa: PTH112  as above; containers mount single files of the host's disk
            local.append(disk(mount.point, (v.f_frsize, v.f_blocks, v.f_bfree, v.f_bavail, v.f_files, v.f_ffree)))
    return local, remote


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


def of_disks(found: Iterable[Disk], names: frozenset[str]) -> Iterator[tuple[str, Labels, float]]:
    """Give the figures of these disks that `names` ask for."""
    for each in found:
        labels = labelled("mount", each.mount)
        users = each.used + each.free  # what is reserved for root is neither, as in df
        if "disk_usage" in names and users > 0:
            yield "disk_usage", labels, 100 * each.used / users
        if "disk_free" in names and each.size > 0:
            yield "disk_free", labels, float(each.free)
        if "inode_usage" in names and each.inodes > 0:
            yield "inode_usage", labels, 100 * (each.inodes - each.inodes_free) / each.inodes


class NetworkDisks:
    """Asks for file systems whose server may be dead, each in a process that can be killed."""

    def __init__(self, patience: Millis, command: Sequence[str] = (sys.executable, "-I", "-S", "-c", _CHILD)) -> None:
        self._patience = patience
        self._command = command
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def ask(self, mounts: Sequence[str]) -> list[Disk]:
        """Give those that answer within `patience`."""
        answers = await asyncio.gather(*(self._one(mount) for mount in mounts))
        return [each for each in answers if each is not None]

    async def close(self) -> None:
        """End children that still wait for a file system."""
        for child in self._children.values():
            await _end(child)

    async def _one(self, mount: str) -> Disk | None:
        held = self._children.get(mount)
        if held is not None and held.returncode is None:
            return None
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command, mount, stdin=nothing, stdout=pipe, stderr=nothing
            )
        except OSError:  # no process, no file handle to be had: no series
            return None
        self._children[mount] = child
        output = b""
        try:
            async with asyncio.timeout(self._patience / 1000):
                output, _ = await child.communicate()
        except TimeoutError:
            pass
        finally:
            await _end(child)
        if child.returncode is not None:
            del self._children[mount]
        words = output.split()
        if len(words) != _COUNTS or not all(word.isdigit() for word in words):
            return None
        return disk(mount, [int(word) for word in words])


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill a child that still runs, and see it go; one that the kernel holds is left behind."""
    if child.returncode is None:
        child.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                await child.wait()
