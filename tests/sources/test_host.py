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
from alerting.sources._host_disks import DISKS, Mount, MountTable, NetworkDisks, disk, of_disks, parse_mounts, shown
from alerting.sources._host_figures import DISK_IO, NETWORK
from alerting.sources._host_limits import Processors
from alerting.sources._host_processes import OF_PROCESSES, Process, Running, Times, Wanted, of_processes, of_times
from alerting.sources.host import OFFERED, Host
from tests.clock import FakeClock
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.figures import Figure

PYTHON = (sys.executable, "-c")


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


def test_a_disk_that_is_mounted_later_is_seen(tmp_path: Path) -> None:
    """The table is taken apart again when it has changed, and when other mounts are chosen; gone is gone."""
    path = tmp_path / "mountinfo"
    table = MountTable(str(path))
    seen = []
    for text, chosen in ((CONTAINER, ()), (HIDDEN, ()), (HIDDEN, ("/data",)), ("", ())):
        path.write_text(text.strip())
        seen.append([(mount.point, mount.kind) for mount in table.read(chosen)])
    assert seen == [[("/", "overlay"), ("/data", "ext4")], [("/", "ext4"), ("/data", "xfs")], [("/data", "xfs")], []]


def test_names_that_are_no_text_are_shown_all_the_same() -> None:
    """A mount point may be any bytes; messages and the state take text only."""
    point = b"/mnt/\xff".decode("utf-8", "surrogateescape")
    odd = disk(point, (1, 100, 50, 50, 0, 0))
    ((name, labels, value),) = of_disks([odd], frozenset({"disk_usage", "inode_usage"}))
    assert (name, labels, value) == ("disk_usage", Labels({"mount": "/mnt/\ufffd"}), 50.0)


COUNTS = [
    ((4096, 1000, 100, 50, 10, 5), {"disk_usage": 100 * 900 / 950, "disk_free": 204_800, "inode_usage": 50}),
    ((4096, 1000, 0, 0, 10, 0), {"disk_usage": 100, "disk_free": 0, "inode_usage": 100}),
    ((4096, 1000, 1000, 1000, 0, 0), {"disk_usage": 0, "disk_free": 4_096_000}),  # btrfs counts no inodes
    ((4096, 0, 0, 0, 0, 0), {}),  # nothing can be said of an empty one
]


@pytest.mark.parametrize(("counts", "expected"), COUNTS)
def test_what_statvfs_counts_becomes_percent_and_bytes(counts: Sequence[int], expected: dict[str, float]) -> None:
    """Reserved blocks are neither used nor free, as in df; a missing figure is no 0."""
    found = of_disks([disk("/", counts)], DISKS)
    assert {name: value for name, _, value in found} == pytest.approx(expected)


def test_a_network_disk_that_hangs_holds_up_nothing_and_is_killed() -> None:
    """No series for it; the children are gone within a moment."""

    async def work() -> None:
        asked = NetworkDisks(300, (*PYTHON, "import time; time.sleep(60)"))
        began = time.monotonic()
        assert await asked.ask(["/mnt/a", "/mnt/b"]) == []
        assert time.monotonic() - began < 5
        assert asked._children == {}
        await asked.close()

    run(work())


def test_a_child_that_the_kernel_holds_is_not_asked_again(tmp_path: Path) -> None:
    """While one waits there is no second: hanging mounts do not pile up processes."""

    async def work() -> None:
        asked = NetworkDisks(300, ("touch", str(tmp_path / "started")))
        held = await asyncio.create_subprocess_exec("sleep", "60")
        asked._children["/mnt/a"] = held
        for _ in range(3):
            assert await asked.ask(["/mnt/a"]) == []
        assert not (tmp_path / "started").exists()
        await asked.close()
        assert held.returncode is not None

    run(work())


@pytest.mark.parametrize("command", [("false",), ("true",), ("echo", "1", "2", "3"), ("/not/there",)])
def test_a_child_that_fails_or_babbles_gives_no_series(command: tuple[str, ...], tmp_path: Path) -> None:
    """Only six numbers are an answer."""

    async def work() -> None:
        assert await NetworkDisks(2000, command).ask([str(tmp_path)]) == []

    run(work())


def test_the_real_child_agrees_with_the_local_reading() -> None:
    """The same figures by the child's way as by our own."""

    async def work() -> None:
        (read_by_child,) = await NetworkDisks(5000).ask(["/"])
        found = os.statvfs("/")
        assert read_by_child.size == found.f_frsize * found.f_blocks
        assert read_by_child.inodes == found.f_files

    run(work())


# ------------------------------------------------------------------------------------------- the others


def test_everything_that_is_offered_can_be_read_here() -> None:
    """No needs ask for all; percentages are percentages."""
    reading = read("host", times=2)
    found = good(reading)
    names = {sample.name for sample in reading.samples} - {"up"}
    assert names >= OFFERED - {"swap_usage", "inode_usage", "temperature"} - set(NETWORK) - set(DISK_IO)
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
        assert float(found[f'process_cpu_usage{{name="{name}"}}']) > 1  # this machine may be busy with others
    assert second.took < first.took


def times(at: int, total: float, idle: float) -> Times:
    """Processor times."""
    return Times(at, {"user": total - idle, "idle": idle})


def contained(at: int, total: float, quota: float, seconds: float) -> Times:
    """Processor times in a container."""
    return Times(at, {"user": total, "idle": 0.0}, Processors(quota, seconds))


# two looks -> cpu_usage
SHARES: list[tuple[Times, Times, list[float]]] = [
    (times(0, 100, 50), times(1000, 110, 55), [50]),
    (times(0, 100, 50), times(1000, 110, 60), [0]),
    (times(0, 100, 50), times(1000, 110, 70), [0]),  # idle ran ahead: a rounding of the kernel
    (times(0, 100, 50), times(1000, 110, 49.95), [100]),  # idle stepped back: a rounding as well
    (times(0, 100, 50), times(1000, 110, 40), []),  # idle stepped back by far: a processor went
    (times(0, 100, 50), times(1000, 100, 50), []),  # no time has passed
    (times(0, 100, 50), times(1000, 20, 5), []),  # the counters began anew
    (contained(0, 100, 2, 10), contained(1000, 110, 2, 11), [50]),
    (contained(0, 100, 0.5, 10), contained(1000, 110, 0.5, 10.6), [100]),  # a burst
    (contained(0, 100, 2, 10), contained(1000, 110, 2, 1), []),  # another container's counter
    (contained(0, 100, 2, 10), contained(0, 110, 2, 11), []),  # no time has passed
    (contained(0, 100, 2, 10), contained(1000, 110, 4, 11), [25]),  # its quota was raised
    (contained(0, 100, 4, 10), contained(1000, 110, 1, 11), [25]),  # its quota was lowered
    (times(0, 100, 50), contained(1000, 110, 4, 11), []),  # its quota is new
]


@pytest.mark.parametrize(("before", "now", "expected"), SHARES, ids=range(len(SHARES)))
def test_f48_counters_that_jump_give_no_spike(before: Times, now: Times, expected: list[float], figure: Figure) -> None:
    """Resets, vanished processors and new quotas: a share in bounds, or none."""
    found = [value for _, _, value in of_times(before, now, frozenset({"cpu_usage"}))]
    figure("values that are none of the machine's", found != pytest.approx(expected), at_most=0, n=1)


def running(at: int, **processes: tuple[int, float]) -> Running:
    """A look at web and db; processes as name=(pid, seconds). They are a second old, `old` is a web of hours."""
    table = {
        (pid, 1.0): Process("web" if name == "old" else name, 9000 if name == "old" else 1, seconds)
        for name, (pid, seconds) in processes.items()
    }
    return Running(at, Wanted(frozenset({"web", "db"}), all=False), table)


# two looks -> process_cpu_usage by name
SPENT: list[tuple[Running | None, Running, dict[str, float]]] = [
    (None, running(2000, web=(1, 6)), {}),
    (running(0, web=(1, 5)), running(2000, web=(1, 6)), {"web": 50}),
    (running(0, web=(1, 5)), running(2000, web=(1, 4)), {"web": 0}),
    (running(0, web=(1, 5)), running(0, web=(1, 6)), {}),  # no time has passed
    (running(0, web=(1, 5)), running(2000), {}),  # gone
    (running(0, web=(1, 5)), running(2000, db=(2, 1)), {"db": 50}),  # new since: all that it used is
    (running(0, web=(1, 5)), running(2000, db=(1, 1)), {"db": 0}),  # the same process by another name
    # one that is there again after a look that did not see it, or had a name that nobody asked for
    (running(0), running(500, old=(1, 7200)), {}),
    # one that nobody looked at then: hours of processor time are no share of two seconds
    (running(0, web=(1, 5)), running(2000, web=(1, 6), app=(2, 7200)), {"web": 50}),
]


@pytest.mark.parametrize(("before", "now", "expected"), SPENT, ids=range(len(SPENT)))
def test_f48_processes_that_come_and_go_give_no_spike(
    before: Running | None, now: Running, expected: dict[str, float], figure: Figure
) -> None:
    """A share of the time between two looks, or none."""
    found = of_processes(before, now, frozenset({"process_cpu_usage"}))
    shares = {labels.get("name"): value for _, labels, value in found}
    figure("values that are none of the machine's", shares != pytest.approx(expected), at_most=0, n=1)


def test_rules_that_come_at_different_times_do_not_spoil_each_others_shares() -> None:
    """One asks for the processors, one for a process, one for another: each has its share when it asks again."""
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        name = psutil.Process(spin.pid).name()
        mine, other = needs("process_cpu_usage", process=name), needs("process_cpu_usage", process="no-such-thing")

        async def work() -> list[Reading]:
            async with source("host") as built:
                for asked in (mine, needs("cpu_usage"), needs("load1"), other):
                    await built.fetch(asked, None)
                await asyncio.sleep(0.3)  # the system counts in steps of 10 ms
                return [await built.fetch(asked, None) for asked in (mine, needs("cpu_usage"))]

        first, second = run(work())
    finally:
        spin.kill()
        spin.wait()
    assert float(good(first)[f'process_cpu_usage{{name="{name}"}}']) > 1
    assert float(good(second)["cpu_usage"]) > 5


def test_modes_add_up_to_a_hundred() -> None:
    """Each mode is its share of all the time that passed."""
    before = Times(0, {"user": 10.0, "system": 5.0, "iowait": 1.0, "idle": 84.0})
    now = Times(1000, {"user": 16.0, "system": 6.0, "iowait": 0.5, "idle": 86.0})  # iowait may step back
    found = {labels.get("mode"): value for _, labels, value in of_times(before, now, frozenset({"cpu_mode_usage"}))}
    assert found == pytest.approx({"user": 100 * 6 / 8.5, "system": 100 / 8.5, "iowait": 0, "idle": 200 / 8.5})


def test_processes_of_one_name_are_taken_together() -> None:
    """Counts, memory and files are sums; ages are the extremes; files that are not told make no half a sum."""
    several = {
        (1, 1.0): Process("web", 100, 1, 1000, 10),
        (2, 1.0): Process("web", 20, 1, 500, 5),
        (3, 1.0): Process("db", 7, 1, 300, None),
    }
    asked = OF_PROCESSES - {"process_cpu_usage"}
    found = {
        f"{n}{labels}": value
        for n, labels, value in of_processes(None, Running(0, Wanted(frozenset()), several), asked)
    }
    assert found == {
        'process_count{name="web"}': 2,
        'process_memory{name="web"}': 1500,
        'process_age_oldest{name="web"}': 100,
        'process_age_youngest{name="web"}': 20,
        'process_open_files{name="web"}': 15,
        'process_count{name="db"}': 1,
        'process_memory{name="db"}': 300,
        'process_age_oldest{name="db"}': 7,
        'process_age_youngest{name="db"}': 7,
    }


def test_a_process_that_has_ended_does_not_count(tmp_path: Path) -> None:
    """Its parent has not noticed yet, but a rule that watches for it must."""
    program = tmp_path / f"brief{os.getpid()}"  # nobody else on the machine has a program of this name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    child = subprocess.Popen([program])
    try:
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert psutil.Process(child.pid).name() == program.name
        found = good(read("host", needs("process_count", process=program.name)))
        assert found[f'process_count{{name="{program.name}"}}'] == 0
    finally:
        child.wait()


def test_ages_and_open_files_are_those_of_the_process() -> None:
    """A file that is opened shows; ages run in seconds."""
    program = "files = [open('/dev/null') for _ in range(40)]; print('open', flush=True); input()"
    pipe = subprocess.PIPE
    held = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True)
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == "open\n"
        other = psutil.Process(held.pid)
        asked = needs("process_age_oldest", "process_age_youngest", "process_open_files", process=other.name())
        found = good(read("host", asked))
        label = f'{{name="{other.name()}"}}'
        assert 0 <= float(found[f"process_age_youngest{label}"]) < 30
        assert float(found[f"process_age_oldest{label}"]) >= float(found[f"process_age_youngest{label}"])
        if os.geteuid() == 0:  # else another user's may have the same name
            assert float(found[f"process_open_files{label}"]) >= 40
    finally:
        held.kill()
        held.communicate()


def test_only_the_processes_that_rules_name_are_read() -> None:
    """A matcher by `=` chooses; any other kind of matcher wants all of them."""
    name = psutil.Process().name()
    found = good(read("host", needs("process_count", process=name)))
    assert set(found) == {f'process_count{{name="{name}"}}'}
    everything = good(read("host", (*needs("process_count", process=name), *needs("process_memory"))))
    assert len(everything) > len(found)


def test_a_system_that_does_not_answer_is_a_fault_in_time() -> None:
    """A local disk that hangs holds a thread, not the program."""

    class Slow(Host):
        def _found(self, names: frozenset[str]) -> Any:
            time.sleep(10)
            return iter(())

    async def work() -> Reading:
        tools: Any = Tools(FakeClock(), None, Pool, "h", "0", print, None)  # type: ignore[arg-type]
        built = Slow(Section("host", "host", {"timeout": 200}), tools)
        began = time.monotonic()
        reading = await built.fetch(needs("load1"), None)
        assert time.monotonic() - began < 2
        return reading

    reading = run(work())
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.TIMEOUT
    assert up(reading) == 0
