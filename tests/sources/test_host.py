"""The host source: real readings of this machine, and what a table of mounts or processes means."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alerting.model import FaultKind, Labels, Matcher, Need, Reading, Secret, Section
from alerting.pool import Pool
from alerting.ports import Tools
from alerting.sources import host
from alerting.sources.host import Host, Mount, _of_usage, _Process, _Usage, parse_mounts, shown
from tests.clock import FakeClock
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Sequence


def needs(*names: str, process: str = "") -> tuple[Need, ...]:
    """Needs for some metrics, perhaps of one process name."""
    matchers = (Matcher("name", "=", process),) if process else ()
    return tuple(Need("host", name, matchers) for name in names)


def good(reading: Reading) -> dict[str, float | str]:
    """Check that a reading did not fail; give its values."""
    assert reading.fault is None
    assert up(reading) == 1
    return values(reading)


# ------------------------------------------------------------------------------------------- disks


def test_the_root_disk_is_always_shown_and_agrees_with_the_system() -> None:
    """`disk_usage` as df counts it: used of what users may use, 0 to 100."""
    found = good(read("host", needs("disk_usage", "disk_free")))
    expected = psutil.disk_usage("/")
    assert found['disk_usage{mount="/"}'] == pytest.approx(expected.percent, abs=0.5)
    assert found['disk_free{mount="/"}'] == pytest.approx(expected.free, rel=0.05)


def test_chosen_mounts_are_shown_whatever_they_are() -> None:
    """The settings may name what is left out otherwise; a mount that is not there gives no series."""
    found = good(read("host", needs("disk_usage"), mounts=["/dev/shm", "/not/there"]))
    assert set(found) <= {'disk_usage{mount="/dev/shm"}'}
    assert read("host", needs("disk_usage"), mounts=[Secret.literal("/")]).samples[1].labels == Labels({"mount": "/"})


def test_a_reference_in_mounts_that_cannot_be_followed_is_a_fault() -> None:
    """As everywhere: this source is degraded, and says by what."""
    reading = read("host", needs("disk_usage"), mounts=[Secret(lambda: "", "${DATA}")])
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.SECRET


MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 254:16 / /data rw,relatime shared:2 master:3 - xfs /dev/vdb rw
29 27 254:16 /sub /srv/www rw,relatime - xfs /dev/vdb rw
30 27 0:40 / /run rw,nosuid - tmpfs tmpfs rw
31 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
32 27 0:50 / /mnt/nfs rw - nfs4 server:/export rw
33 27 0:51 / /mnt/ssh rw - fuse.sshfs user@host:/ rw
34 27 0:52 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
35 27 8:17 / /media/my\040disk rw - ext4 /dev/sdb1 rw
36 27 8:33 / /odd\134name\011x rw - ext4 /dev/sdc1 rw
37 27 254:0 /etc /chroot/etc rw - ext4 /dev/vda rw
broken line
38 27
39 27 8:49 / /no-kind rw -
"""

CONTAINER = r"""
900 800 0:100 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/x
901 900 0:101 / /proc rw - proc proc rw
902 900 259:1 /var/lib/docker/containers/1/resolv.conf /etc/resolv.conf rw - ext4 /dev/nvme0n1p1 rw
903 900 259:1 /var/lib/docker/volumes/v/_data /data rw - ext4 /dev/nvme0n1p1 rw
904 900 0:102 / /dev/shm rw - tmpfs shm rw
"""

HIDDEN = """
10 1 8:1 / / rw - ext4 /dev/sda1 rw
11 10 8:2 / /data rw - ext4 /dev/sda2 rw
12 10 8:3 / /data rw - xfs /dev/sda3 rw
"""

TABLES = [
    (MOUNTINFO, (), ["/", "/data", "/mnt/nfs", "/mnt/ssh", "/media/my disk", "/odd\\name\tx"]),
    (MOUNTINFO, ("/run", "/snap/core/1", "/gone"), ["/run", "/snap/core/1"]),
    (CONTAINER, (), ["/", "/data"]),
    (HIDDEN, (), ["/", "/data"]),
    ("", (), []),
]


@pytest.mark.parametrize(("table", "chosen", "expected"), TABLES, ids=range(len(TABLES)))
def test_each_real_file_system_is_shown_once(table: str, chosen: Sequence[str], expected: list[str]) -> None:
    """Pseudo file systems, images, binds and containers' overlays are left out; an overlay root is the disk."""
    assert sorted(mount.point for mount in shown(parse_mounts(table.splitlines()), chosen)) == sorted(expected)


def test_the_later_of_two_mounts_at_one_point_is_the_one() -> None:
    """What is mounted over cannot be reached."""
    (data,) = [mount for mount in shown(parse_mounts(HIDDEN.splitlines())) if mount.point == "/data"]
    assert data == Mount("/data", "xfs", "8:3")


def test_names_that_are_no_text_are_shown_all_the_same() -> None:
    """A mount point may be any bytes; messages and the state take text only."""
    point = b"/mnt/\xff".decode("utf-8", "surrogateescape")
    disk = host._disk(point, (1, 100, 50, 50, 0, 0))
    ((name, labels, value),) = host._of_disks([disk], frozenset({"disk_usage", "inode_usage"}))
    assert (name, labels, value) == ("disk_usage", Labels({"mount": "/mnt/\ufffd"}), 50.0)


DISKS = [
    ((4096, 1000, 100, 50, 10, 5), {"disk_usage": 100 * 900 / 950, "disk_free": 204_800, "inode_usage": 50}),
    ((4096, 1000, 0, 0, 10, 0), {"disk_usage": 100, "disk_free": 0, "inode_usage": 100}),
    ((4096, 1000, 1000, 1000, 0, 0), {"disk_usage": 0, "disk_free": 4_096_000}),  # btrfs counts no inodes
    ((4096, 0, 0, 0, 0, 0), {}),  # nothing can be said of an empty one
]


@pytest.mark.parametrize(("counts", "expected"), DISKS)
def test_what_statvfs_counts_becomes_percent_and_bytes(counts: Sequence[int], expected: dict[str, float]) -> None:
    """Reserved blocks are neither used nor free, as in df; a missing figure is no 0."""
    found = host._of_disks([host._disk("/", counts)], host.DISKS)
    assert {name: value for name, _, value in found} == pytest.approx(expected)


class Hanging(Host):
    """A host whose network file systems are asked by a command of the test."""

    command: tuple[str, ...] = ("sleep", "60")
    started = 0

    def _command(self, mount: str) -> Sequence[str]:
        self.started += 1
        return self.command


def hanging(*command: str) -> Hanging:
    """Build one with a short deadline."""
    tools: Any = Tools(FakeClock(), None, Pool, "h", "0", print, None)  # type: ignore[arg-type]
    built = Hanging(Section("host", "host", {"timeout": 600}), tools)
    built.command = command
    return built


def test_a_network_disk_that_hangs_holds_up_nothing_and_is_killed() -> None:
    """No series for it, in half of the deadline; the child is gone."""

    async def work() -> None:
        built = hanging("sleep", "60")
        began = time.monotonic()
        assert await built._ask_children(["/mnt/a", "/mnt/b"]) == []
        assert time.monotonic() - began < 1
        assert built._children == {}
        await built.close()

    run(work())


def test_a_child_that_the_kernel_holds_is_not_asked_again() -> None:
    """While one waits there is no second: hanging mounts do not pile up processes."""

    async def work() -> None:
        built = hanging("true")
        held = await asyncio.create_subprocess_exec("sleep", "60")
        built._children["/mnt/a"] = held
        for _ in range(3):
            assert await built._ask_child("/mnt/a") is None
        assert built.started == 0
        await built.close()
        assert held.returncode is not None

    run(work())


@pytest.mark.parametrize("command", [("false",), ("true",), ("echo", "1 2 3"), ("/not/there",)])
def test_a_child_that_fails_or_babbles_gives_no_series(command: tuple[str, ...]) -> None:
    """Only six numbers are an answer."""

    async def work() -> None:
        built = hanging(*command)
        assert await built._ask_children(["/mnt/a"]) == []
        await built.close()

    run(work())


def test_the_real_child_agrees_with_the_local_reading() -> None:
    """The same figures by the child's way as by our own."""

    async def work() -> None:
        async with source("host") as built:
            (disk,) = await built._ask_children(["/"])  # type: ignore[attr-defined]
        found = os.statvfs("/")
        assert disk.size == found.f_frsize * found.f_blocks
        assert disk.inodes == found.f_files

    run(work())


# ------------------------------------------------------------------------------------------- the others


def test_everything_that_is_offered_can_be_read_here() -> None:
    """No needs ask for all; percentages are percentages."""
    reading = read("host", times=2)
    found = good(reading)
    names = {sample.name for sample in reading.samples} - {"up"}
    assert names >= host.OFFERED - {"swap_usage", "inode_usage"} - set(host.NETWORK)
    for series, value in found.items():
        if "usage" in series and not series.startswith("process_cpu"):
            assert 0 <= float(value) <= 100, series
    assert float(found["host_uptime"]) == pytest.approx(time.time() - psutil.boot_time(), abs=5)
    assert found["load1"] == pytest.approx(os.getloadavg()[0], abs=1)


def test_only_what_is_needed_is_read() -> None:
    """A disk rule pays for disks: psutil is not even loaded for it."""
    program = (
        "import asyncio, sys\n"
        "from tests.sources.reading import read\n"
        "from alerting.model import Need\n"
        "reading = read('host', (Need('host', 'disk_usage'),))\n"
        "print({sample.name for sample in reading.samples}, 'psutil' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() in ("{'up', 'disk_usage'} False", "{'disk_usage', 'up'} False")


def test_a_process_is_counted_by_name_and_a_missing_one_is_a_zero() -> None:
    """A rule that asks for a process by name learns that none runs; that is knowledge, not a gap."""
    name = psutil.Process().name()
    asked = (*needs("process_count", "process_memory", process=name), *needs("process_count", process="no-such-thing"))
    found = good(read("host", asked))
    assert float(found[f'process_count{{name="{name}"}}']) >= 1
    assert float(found[f'process_memory{{name="{name}"}}']) > 1_000_000
    assert found['process_count{name="no-such-thing"}'] == 0
    assert 'process_memory{name="no-such-thing"}' not in found


def test_processor_time_is_taken_since_the_last_reading() -> None:
    """A process that spins shows; the first reading looks for 200 ms, a later one need not wait."""
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        name = psutil.Process(spin.pid).name()
        asked = needs("cpu_usage", "process_cpu_usage", process=name)

        async def work() -> tuple[Reading, Reading]:
            async with source("host") as built:
                first = await built.fetch(asked, None)
                await asyncio.sleep(0.3)
                return first, await built.fetch(asked, None)

        first, second = run(work())
    finally:
        spin.kill()
        spin.wait()
    for reading in (first, second):
        found = good(reading)
        assert float(found["cpu_usage"]) > 5
        assert float(found[f'process_cpu_usage{{name="{name}"}}']) > 10
    assert second.took < first.took


def usage(at: int, total: float, idle: float, **processes: tuple[int, float, int]) -> _Usage:
    """Processor times, and processes as name=(pid, seconds, memory)."""
    table = {(pid, 1.0): _Process(name, seconds, memory) for name, (pid, seconds, memory) in processes.items()}
    return _Usage(at, total, idle, table)


def shares(before: _Usage | None, now: _Usage) -> dict[str, float]:
    """What two looks at the processors give."""
    found = _of_usage(before, now, host.SINCE_LAST | host.PROCESSES, frozenset())
    return {f"{name}{labels}": value for name, labels, value in found}


USAGES = [
    (usage(0, 100, 50), usage(1000, 110, 55), {"cpu_usage": 50}),
    (usage(0, 100, 50), usage(1000, 110, 60), {"cpu_usage": 0}),
    (usage(0, 100, 50), usage(1000, 110, 70), {"cpu_usage": 0}),  # idle ran ahead: a rounding of the kernel
    (usage(0, 100, 50), usage(1000, 110, 40), {"cpu_usage": 100}),  # idle stepped back: a processor went
    (usage(0, 100, 50), usage(1000, 100, 50), {}),  # no time has passed
    (usage(0, 100, 50), usage(1000, 20, 5), {}),  # the counters began anew
    (None, usage(1000, 20, 5), {}),
    (
        usage(0, 100, 100, web=(1, 5.0, 10)),
        usage(2000, 110, 110, web=(1, 6.0, 20)),
        {
            "cpu_usage": 0,
            'process_count{name="web"}': 1,
            'process_memory{name="web"}': 20,
            'process_cpu_usage{name="web"}': 50,
        },
    ),
    (
        usage(0, 100, 100, web=(1, 5.0, 10)),
        usage(2000, 110, 110, db=(1, 1.0, 20)),  # the pid is used again by another, younger than the last look
        {
            "cpu_usage": 0,
            'process_count{name="db"}': 1,
            'process_memory{name="db"}': 20,
            'process_cpu_usage{name="db"}': 0,
        },
    ),
]


@pytest.mark.parametrize(("before", "now", "expected"), USAGES, ids=range(len(USAGES)))
def test_counters_that_jump_give_no_spike_f48(before: _Usage | None, now: _Usage, expected: dict[str, float]) -> None:
    """Resets, vanished processors and reused pids: a share in bounds, or none."""
    assert shares(before, now) == pytest.approx(expected)


def test_an_unreadable_system_is_a_fault_f48(tmp_path: Any) -> None:
    """Where /proc cannot be read nothing is made up."""
    kept = psutil.PROCFS_PATH
    psutil.PROCFS_PATH = str(tmp_path)
    try:
        reading = read("host", needs("cpu_usage", "memory_usage"))
    finally:
        psutil.PROCFS_PATH = kept
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.UNREADABLE
    assert str(tmp_path) in reading.fault.message
    assert len(reading.samples) == 1


def test_a_system_that_does_not_answer_is_a_fault_in_time() -> None:
    """A local disk that hangs holds a thread, not the program."""

    class Slow(Host):
        def _found(self, names: frozenset[str], wanted: frozenset[str]) -> Any:
            time.sleep(1)
            return iter(())

    async def work() -> Reading:
        tools: Any = Tools(FakeClock(), None, Pool, "h", "0", print, None)  # type: ignore[arg-type]
        built = Slow(Section("host", "host", {"timeout": 200}), tools)
        began = time.monotonic()
        reading = await built.fetch(needs("load1"), None)
        assert time.monotonic() - began < 0.8
        return reading

    reading = run(work())
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.TIMEOUT
    assert up(reading) == 0
