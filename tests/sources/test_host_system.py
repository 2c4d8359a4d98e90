"""The host source over made-up kernels: fixtures of /proc and /sys, whole, damaged and half there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alerting.model import FaultKind, Labels, Need, Reading, Section
from alerting.pool import Pool
from alerting.ports import Tools
from alerting.sources._host_figures import figures
from alerting.sources._host_kernel import Kernel
from alerting.sources._host_limits import Memory, Processors, memory_of, processors_of
from alerting.sources._host_processes import look_at_times, of_times
from alerting.sources.host import Host
from tests.clock import FakeClock
from tests.sources.reading import run, up, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GIB = 2**30
PROC = {
    "meminfo": f"""\
MemTotal:       {16 * GIB // 1024} kB
MemFree:        {4 * GIB // 1024} kB
MemAvailable:   {12 * GIB // 1024} kB
SwapTotal:      {2 * GIB // 1024} kB
SwapFree:       {GIB // 1024} kB
""",
    "stat": "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\n",
    "diskstats": """\
   7       0 loop0 5 0 40 1 0 0 0 0 0 1 1
 259       0 nvme0n1 100 0 2048 30 50 0 4096 40 0 1500 70 0 0 0 0
 259       1 nvme0n1p1 90 0 2000 30 50 0 4096 40 0 1400 70 0 0 0 0
 252       0 zram0 9 0 72 1 9 0 72 1 0 1 1
""",
    "net/dev": """Inter-|   Receive              |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  999       9    0    0    0     0    0    0      999       9    0    0    0    0    0    0
  eth0: 1000      10    1    2    0     0    0    0     2000      20    3    4    0    0    0    0
""",
}
SYS = {"block/nvme0n1/size": "1", "block/loop0/size": "0", "block/zram0/size": "1"}


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    """Write these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@contextmanager
def kernel(folder: Path, proc: Mapping[str, str], sys: Mapping[str, str]) -> Iterator[Kernel]:
    """Make a /proc and a /sys, and lead psutil to them too."""
    kept = psutil.PROCFS_PATH
    psutil.PROCFS_PATH = str(tree(folder / "proc", proc))
    try:
        yield Kernel(psutil.PROCFS_PATH, str(tree(folder / "sys", sys)))
    finally:
        psutil.PROCFS_PATH = kept


def host(made: Kernel) -> Host:
    """A source over the kernel of the test."""
    tools: Any = Tools(FakeClock(), None, Pool, "h", "0", print, None)  # type: ignore[arg-type]
    return Host(Section("host", "host", {"timeout": 5000}), tools, made)


def read(made: Kernel, *names: str) -> Reading:
    """Read these once."""
    reading: Reading = run(host(made).fetch([Need("host", name) for name in names], None))
    return reading


# what is asked -> what the kernel above says
MACHINE = {
    "memory_usage": {"memory_usage": 25},
    "memory_used": {"memory_used": 4 * GIB},
    "memory_available": {"memory_available": 12 * GIB},
    "disk_read_bytes_total": {'disk_read_bytes_total{device="nvme0n1"}': 2048 * 512},
    "disk_written_bytes_total": {'disk_written_bytes_total{device="nvme0n1"}': 4096 * 512},
    "disk_reads_total": {'disk_reads_total{device="nvme0n1"}': 100},
    "disk_writes_total": {'disk_writes_total{device="nvme0n1"}': 50},
    "disk_busy_seconds_total": {'disk_busy_seconds_total{device="nvme0n1"}': 1.5},
    "network_receive_bytes_total": {'network_receive_bytes_total{interface="eth0"}': 1000},
    "network_transmit_packets_total": {'network_transmit_packets_total{interface="eth0"}': 20},
    "network_receive_errors_total": {'network_receive_errors_total{interface="eth0"}': 1},
    "network_receive_drops_total": {'network_receive_drops_total{interface="eth0"}': 2},
    "network_transmit_drops_total": {'network_transmit_drops_total{interface="eth0"}': 4},
    "temperature": {},
}


@pytest.mark.parametrize("name", MACHINE)
def test_the_kernels_files_are_read_as_they_are_meant(name: str, tmp_path: Path) -> None:
    """Whole devices only: no partition, no file that is mounted, no memory; no `lo`."""
    with kernel(tmp_path, PROC, SYS) as made:
        reading = read(made, name)
    assert reading.fault is None, reading.fault
    assert values(reading) == pytest.approx(MACHINE[name])


def test_a_swap_that_is_not_there_is_no_share(tmp_path: Path) -> None:
    """`swap_used` is a 0 then; a share of nothing is not."""
    none = (
        PROC["meminfo"]
        .replace(f"{2 * GIB // 1024} kB", "0 kB")
        .replace(f"SwapFree:       {GIB // 1024}", "SwapFree: 0")
    )
    with kernel(tmp_path / "a", PROC, SYS) as made:
        assert values(read(made, "swap_usage", "swap_used")) == {"swap_usage": 50, "swap_used": GIB}
    with kernel(tmp_path / "b", {**PROC, "meminfo": none}, SYS) as made:
        assert values(read(made, "swap_usage", "swap_used")) == {"swap_used": 0}


HEADINGS = "\n".join(PROC["net/dev"].splitlines()[:2]) + "\n"
GONE = "gone"
BROKEN = [
    ("meminfo", GONE),
    ("meminfo", ""),
    ("meminfo", "what\nis\nthis"),
    ("meminfo", PROC["meminfo"][:70]),
    ("meminfo", PROC["meminfo"].replace("MemAvailable", "MemAvailable2")),
    ("meminfo", PROC["meminfo"].replace("MemTotal:       ", "MemTotal: -")),
    ("meminfo", PROC["meminfo"].replace("SwapFree:       ", "SwapFree: 0x")),
    ("meminfo", "MemTotal:\nMemAvailable:\nSwapTotal:\nSwapFree:\n"),
    ("stat", GONE),
    ("stat", ""),
    ("stat", "what\nis\nthis"),
    ("stat", "cpu\n"),
    ("stat", "cpu 100 0 50 800 50 0 0\n"),
    ("stat", "cpu0 100 0 50 800 50 0 0 0 0 0\n"),
    ("stat", "cpu a b c d e f g h i j\n"),
    ("stat", "cpu nan 0 50 800 50 0 0 0 0 0\n"),
    ("stat", "cpu 100 0 50 -800 50 0 0 0 0 0\n"),
    ("net/dev", GONE),
    ("net/dev", ""),
    ("net/dev", "what\nis\nthis"),
    ("net/dev", f"{HEADINGS}  eth0: 1000 10 1\n"),
    ("net/dev", f"{HEADINGS}  eth0: a b c d e f g h i j k l m n o p\n"),
    ("net/dev", f"{HEADINGS}  eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    ("net/dev", f"{HEADINGS}  eth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    ("diskstats", GONE),
    ("diskstats", "what\nis\nthis"),
    ("diskstats", " 259 0 nvme0n1 100 0 2048\n"),
    ("diskstats", " 259 0 nvme0n1 a 0 2048 30 50 0 4096 40 0 1500 70\n"),
    ("diskstats", " 259 0 nvme0n1 100 0 -2048 30 50 0 4096 40 0 1500 70\n"),
]
READS = {
    "meminfo": "memory_usage",
    "stat": "cpu_usage",
    "net/dev": "network_receive_bytes_total",
    "diskstats": "disk_read_bytes_total",
}


@pytest.mark.parametrize(("file", "content"), BROKEN, ids=range(len(BROKEN)))
def test_f45_f48_a_file_that_is_gone_or_damaged_is_a_fault(file: str, content: str, tmp_path: Path) -> None:
    """Nothing is made up: `up` is 0 and there is no sample, whatever the file holds."""
    proc = {name: told for name, told in {**PROC, file: content}.items() if told != GONE}
    with kernel(tmp_path, proc, SYS) as made:
        reading = read(made, READS[file])
    assert reading.fault is not None, values(reading)
    assert reading.fault.kind is FaultKind.UNREADABLE
    assert (up(reading), values(reading)) == (0.0, {})


# ------------------------------------------------------------------------------------------- control groups

V2 = {
    "memory.max": f"{GIB}\n",
    "memory.current": f"{768 * 2**20}\n",
    "memory.stat": f"anon 1\ninactive_file {256 * 2**20}\nactive_file 3\n",
    "cpu.max": "150000 100000\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
}
V1 = {
    "memory/memory.limit_in_bytes": f"{GIB}\n",
    "memory/memory.usage_in_bytes": f"{768 * 2**20}\n",
    "memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {256 * 2**20}\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/cpuacct.usage": "2500000000\n",
}
HOST_V1 = {"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpuacct/cpuacct.usage": "1\n"}
LIMITS = [
    (V2, Memory(GIB, GIB // 2), Processors(1.5, 2.5)),
    (V1, Memory(GIB, GIB // 2), Processors(1.5, 2.5)),
    ({**V2, "memory.max": "max\n", "cpu.max": "max 100000\n"}, None, None),
    ({**V2, "cpu.max": "50000\n"}, Memory(GIB, GIB // 2), Processors(0.5, 2.5)),
    ({**V1, "cpu/cpu.cfs_quota_us": "-1\n"}, Memory(GIB, GIB // 2), None),
    ({**V2, "memory.max": f"{64 * GIB}\n"}, None, Processors(1.5, 2.5)),  # more than the machine has
    ({**V2, "memory.stat": "anon 1\n"}, Memory(GIB, 768 * 2**20), Processors(1.5, 2.5)),
    ({**V2, "memory.current": "5\n"}, Memory(GIB, 0), Processors(1.5, 2.5)),  # two files, two moments
    (HOST_V1, None, None),
    ({"system.slice/alerting.service/memory.max": "1\n", "cgroup.procs": "1\n"}, None, None),  # a service's own limit
    ({}, None, None),
]


@pytest.mark.parametrize(("files", "memory", "processors"), LIMITS, ids=range(len(LIMITS)))
def test_the_limits_of_a_container_are_read_in_both_versions(
    files: Mapping[str, str], memory: Memory | None, processors: Processors | None, tmp_path: Path
) -> None:
    """What is no limit, or that of a service on a whole machine, is none."""
    groups = tree(tmp_path, files)
    assert memory_of(str(groups), 16 * GIB) == memory
    assert processors_of(str(groups)) == processors


DAMAGED = [
    {**V2, "memory.max": "", "cpu.max": ""},
    {**V2, "memory.max": "lots", "cpu.max": "lots 100000"},
    {**V2, "memory.current": "-1", "cpu.stat": "user_usec 1"},
    {**V2, "memory.stat": "inactive_file x", "cpu.stat": "usage_usec x"},
    {**V1, "memory/memory.usage_in_bytes": "", "cpuacct/cpuacct.usage": ""},
    {**V2, "memory.max": "\uff11\uff12", "cpu.max": "0 100000"},
]


@pytest.mark.parametrize("files", DAMAGED, ids=range(len(DAMAGED)))
def test_f48_limits_that_make_no_sense_are_faults_that_name_the_file(files: Mapping[str, str], tmp_path: Path) -> None:
    """The machine's memory is not shown for the container's."""
    groups = tree(tmp_path, files)
    for read_one in (lambda: memory_of(str(groups), 16 * GIB), lambda: processors_of(str(groups))):
        with pytest.raises(OSError, match="not understood") as caught:
            read_one()
        assert str(tmp_path) in str(caught.value.filename)


def test_in_a_container_memory_is_that_of_its_limit(tmp_path: Path) -> None:
    """Half of 1 GiB is used, whatever the machine has; at most what the machine has left is available."""
    groups = {f"fs/cgroup/{name}": content for name, content in V2.items()}
    with kernel(tmp_path / "a", PROC, groups) as made:
        found = values(read(made, "memory_usage", "memory_used", "memory_available"))
    assert found == {"memory_usage": 50, "memory_used": GIB // 2, "memory_available": GIB // 2}
    little = PROC["meminfo"].replace(f"MemAvailable:   {12 * GIB // 1024}", "MemAvailable:   1024")
    with kernel(tmp_path / "b", {**PROC, "meminfo": little}, groups) as made:
        assert values(read(made, "memory_available")) == {"memory_available": 2**20}


def test_in_a_container_processors_are_those_of_its_quota(tmp_path: Path) -> None:
    """0.75 s of 1.5 processors in a second is half; the modes stay the machine's."""
    asked = frozenset({"cpu_usage", "cpu_mode_usage"})
    with kernel(tmp_path, PROC, {f"fs/cgroup/{name}": content for name, content in V2.items()}) as made:
        before = look_at_times(0, made)
        tree(tmp_path / "sys", {"fs/cgroup/cpu.stat": "usage_usec 3250000\n"})
        tree(tmp_path / "proc", {"stat": PROC["stat"].replace("100 0 50 800 50", "130 0 60 850 60")})
        now = look_at_times(1000, made)
    found = {labels.get("mode"): value for _, labels, value in of_times(before, now, asked)}
    assert found[""] == pytest.approx(50)
    assert [found["user"], found["iowait"]] == pytest.approx([30, 10])


def test_a_damaged_limit_fails_the_reading(tmp_path: Path) -> None:
    """In words, with the file's name."""
    with kernel(tmp_path, PROC, {"fs/cgroup/memory.max": "lots"}) as made:
        reading = read(made, "memory_usage")
    assert reading.fault is not None
    assert reading.fault.kind is FaultKind.UNREADABLE
    assert "memory.max: its content is not understood" in reading.fault.message


# ------------------------------------------------------------------------------------------- temperatures

HWMON = {
    "class/hwmon/hwmon0/name": "coretemp\n",
    "class/hwmon/hwmon0/device/x": "",
    "class/hwmon/hwmon0/temp1_input": "45000\n",
    "class/hwmon/hwmon0/temp1_label": "Package id 0\n",
    "class/hwmon/hwmon0/temp2_input": "-2500\n",
    "class/hwmon/hwmon0/temp3_input": "41000\n",
    "class/hwmon/hwmon0/temp3_label": "Package id 0\n",  # the driver has given it twice
    "class/hwmon/hwmon0/temp4_input": "\n",  # asleep
    "class/hwmon/hwmon0/fan1_input": "900\n",
}
ZONES = {
    "class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "class/thermal/thermal_zone0/temp": "51234\n",
    "class/thermal/thermal_zone1/type": "gpu-thermal\n",
}


def temperatures(sys: Path) -> dict[Labels, float]:
    """What the sensors say."""
    return {labels: value for _, labels, value in figures(frozenset({"temperature"}), Kernel(sys=str(sys)))}


def test_sensors_are_read_in_degrees(tmp_path: Path) -> None:
    """Each by chip, device and sensor; one that is asleep has no series."""
    found = temperatures(tree(tmp_path, {**HWMON, **ZONES}))
    assert {labels.get("sensor"): value for labels, value in found.items()} == {
        "Package id 0": 45.0,
        "temp2": -2.5,
        "temp3": 41.0,
    }
    assert {labels.get("chip") for labels in found} == {"coretemp"}


def test_two_chips_of_one_name_are_told_apart_by_their_device(tmp_path: Path) -> None:
    """As two NVMe drives are."""
    for number in (0, 1):
        chip = tree(tmp_path / f"class/hwmon/hwmon{number}", {"name": "nvme\n", "temp1_input": f"{30 + number}000\n"})
        (chip / "device").symlink_to(tree(tmp_path / f"devices/nvme{number}", {"x": ""}))
    found = temperatures(tmp_path)
    assert {labels.get("device"): value for labels, value in found.items()} == {"nvme0": 30.0, "nvme1": 31.0}


def test_thermal_zones_stand_in_where_no_sensor_is(tmp_path: Path) -> None:
    """As on small boards; a zone that cannot be read has no series."""
    found = temperatures(tree(tmp_path, ZONES))
    assert found == {Labels({"chip": "thermal", "device": "thermal_zone0", "sensor": "cpu-thermal"}): 51.234}
    assert temperatures(tmp_path / "nothing") == {}
