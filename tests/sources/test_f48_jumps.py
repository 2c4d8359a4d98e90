"""F48: the host's own figures jump, vanish or cannot be read, and no rule is told of a load that never was."""

from __future__ import annotations

import asyncio
import random
import shutil
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from alerting.core.lang.condition import compile_condition
from alerting.core.lang.names import Names, SourceNames
from alerting.engine import Engine, Setup, Target
from alerting.model import AlertState, FaultKind, Kind, Metric, Receiver, Rule, RuleSpec, Section
from alerting.patterns import compile_pattern
from alerting.ports import Tools
from alerting.sources._host_kernel import LINUX, Kernel
from alerting.sources._host_processes import Wanted, look_at_processes, of_processes
from alerting.sources.host import OFFERED, Host
from alerting.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.full import rounds, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alerting.model import Millis, Reading
    from tests.figures import Figure

pytestmark = pytest.mark.skipif(not LINUX, reason="/proc is Linux's")

INTERVAL: Millis = 30_000
GIB = 2**30
RULES = {
    "Cpu": "cpu_usage > 60",
    "Waiting": 'cpu_mode_usage{mode="iowait"} > 40',
    "System": 'cpu_mode_usage{mode="system"} > 60',
    "Memory": "memory_usage > 80",
    "NoMemory": "memory_available < 1",
    "Swap": "swap_usage > 80",
    "Disk": "disk_free < 1",
    "DiskFull": "disk_usage > 101",
    "Network": "rate(network_receive_bytes_total[2m]) > 10000",
    "NetworkJump": "increase(network_transmit_bytes_total[5m]) > 1e7",
    "Errors": "increase(network_receive_errors_total[5m]) > 100",
    "DiskRead": "rate(disk_read_bytes_total[2m]) > 1e6",
    "DiskBusy": "rate(disk_busy_seconds_total[2m]) > 0.8",
    "Process": 'process_cpu_usage{name="web"} > 60',
    "Processes": 'process_count{name="web"} > 3',
    "Eater": 'process_memory{name="web"} > 1e9',
}
COUNTERS = {name for name in OFFERED if name.endswith("_total")}
NAMES = Names(
    [
        SourceNames(
            "host",
            "host",
            "host",
            closed=True,
            metrics=[Metric(each, "host", Kind.COUNTER if each in COUNTERS else Kind.GAUGE) for each in OFFERED],
        )
    ]
)
FILES = ("stat", "meminfo", "net/dev", "diskstats", "self/mountinfo")
RUBBISH = ("", "what\nis\nthis\n", "\x00" * 100, "cpu\n", "cpu x\n", "eth0: 1 2\n", "9" * 400, "MemTotal: x kB\n")


class Machine:
    """A calm machine, whose kernel tells what it does in files. What is done to it happens before the next look."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.proc, self.sys, self.dice = folder / "proc", folder / "sys", dice
        for left in (self.proc, self.sys):
            shutil.rmtree(left, ignore_errors=True)
        self.load = 0.2
        self.cpus = 8
        self.modes = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"), 0.0)
        self.modes["idle"] = 1e7
        self.counters = dict.fromkeys(("net", "disk", "usage"), 3e9)
        self.quota: float | None = None
        self.limited = False
        self.mounted = True
        self.pid, self.ticks, self.began = 9_000_001, 5e5, 1_000
        self.traffic = 1_000.0  # bytes a second, of network and disk alike
        self.broken: dict[str, str | None] = {}  # file -> what stands there; None: it cannot be read
        self.gone = False  # the process
        self.said: dict[str, str | None] = {}

    def live(self, seconds: float) -> None:
        """Let time pass."""
        ticks = 100 * seconds * self.cpus
        for mode, share in {"user": self.load, "system": 0.02, "iowait": 0.01, "idle": 0.97 - self.load}.items():
            self.modes[mode] += ticks * share
        self.counters["net"] += self.traffic * seconds
        self.counters["disk"] += self.traffic * seconds
        self.counters["usage"] += 1e6 * seconds * self.load * (self.quota or 1)
        self.ticks += 100 * seconds * min(self.load, 0.9)

    def tell(self) -> None:
        """Write what the kernel says now, where that is something else than before."""
        now = {name: self.broken.get(name, text) for name, text in {**self._proc(), **self._sys()}.items()}
        for name, said in [*self.said.items(), *now.items()]:
            path = (self.sys if name.startswith(("fs/", "block/")) else self.proc) / name
            if name in now and self.said.get(name, "") == now[name] and path.exists():
                continue
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in now and said is None:
                path.mkdir()  # reading it fails, also for root
            elif name in now:
                path.write_text(str(said))
            elif name.partition("/")[0].isdigit() and not any(path.parent.iterdir()):
                path.parent.rmdir()  # the process is gone
        self.said = now

    def _proc(self) -> dict[str, str]:
        modes = " ".join(str(int(each)) for each in self.modes.values())
        each = "".join(f"cpu{n} {modes}\n" for n in range(self.cpus))
        net, disk = int(self.counters["net"]), int(self.counters["disk"]) // 512
        busy = int(self.counters["disk"] / 1e5)
        mount = "22 1 8:1 / / rw - ext4 /dev/a rw\n"
        mount += f"23 1 8:2 / {self.proc.parent} rw - ext4 /dev/b rw\n" if self.mounted else ""
        files = {
            "stat": f"cpu  {modes} 0 0\n{each}btime 1690000000\n",
            "meminfo": f"MemTotal: {16 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {12 * GIB // 1024} kB\n"
            f"SwapTotal: {GIB // 1024} kB\nSwapFree: {GIB // 2048} kB\n",
            "net/dev": f"a\nb\n    lo: {net} 1 1 0 0 0 0 0 {net} 1 0 0 0 0 0 0\n"
            f"  eth0: {net} 10 1 2 0 0 0 0 {net} 20 3 4 0 0 0 0\n",
            "diskstats": f" 8 0 sda 100 0 {disk} 30 50 0 {disk} 40 0 {busy} 70 0 0 0 0\n",
            "self/mountinfo": mount,
        }
        if not self.gone:
            stat = f"{self.pid} (web) S 1 1 1 0 -1 0 0 0 0 0 {int(self.ticks)} 0 0 0 20 0 1 0 {self.began} 1 1"
            files[f"{self.pid}/stat"] = stat + " 0" * 30 + "\n"
            files[f"{self.pid}/statm"] = "2000 1000 1 1 0 1 0\n"
            files[f"{self.pid}/status"] = "Name:\tweb\nUid:\t0\t0\t0\t0\n"
        return files

    def _sys(self) -> dict[str, str]:
        files = {"block/sda/size": "1\n"}
        if self.limited:
            files["fs/cgroup/memory.max"] = f"{GIB}\n"
            files["fs/cgroup/memory.current"] = f"{GIB // 2}\n"
            files["fs/cgroup/memory.stat"] = "inactive_file 0\n"
        if self.quota is not None:
            files["fs/cgroup/cpu.max"] = f"{int(self.quota * 100_000)} 100000\n"
            files["fs/cgroup/cpu.stat"] = f"usage_usec {int(self.counters['usage'])}\n"
        return files


def reset(machine: Machine) -> None:
    """A counter begins anew: a driver, a container or a virtual machine was started again."""
    name = machine.dice.choice(("modes", "net", "disk", "usage"))
    if name == "modes":
        machine.modes = {mode: float(machine.dice.randrange(1000)) for mode in machine.modes}
    else:
        machine.counters[name] = float(machine.dice.randrange(100_000))


def unreadable(machine: Machine) -> None:
    """A file is not there to be read, or holds something else, for one look."""
    machine.broken[machine.dice.choice(FILES)] = machine.dice.choice((None, *RUBBISH))


def cut(machine: Machine) -> None:
    """A file ends after one of its lines."""
    name = machine.dice.choice(FILES)
    lines = machine._proc()[name].splitlines(keepends=True)
    machine.broken[name] = "".join(lines[: machine.dice.randrange(len(lines))])


def unmounted(machine: Machine) -> None:
    """A file system goes, or comes back."""
    machine.mounted = not machine.mounted


def processes(machine: Machine) -> None:
    """A process ends; or another one has its number, its name, or both, and has used hours already."""
    machine.gone = machine.dice.random() < 0.4
    machine.pid += machine.dice.choice((0, 1))
    machine.began += machine.dice.choice((0, 1, 1000))
    machine.ticks = machine.dice.choice((0.0, machine.ticks, machine.ticks / 2))


def limits(machine: Machine) -> None:
    """The container gets limits, loses them, or has others; its counter is another's then, or the same."""
    machine.quota = machine.dice.choice((None, 0.5, 1.0, 4.0, 64.0))
    machine.limited = machine.dice.random() < 0.5
    if machine.dice.random() < 0.3:
        reset(machine)


def limits_unreadable(machine: Machine) -> None:
    """A file of the limits holds something else."""
    names = [each for each in machine._sys() if each.startswith("fs/")]
    if names:
        machine.broken[machine.dice.choice(names)] = machine.dice.choice((None, *RUBBISH))


def cpus(machine: Machine) -> None:
    """Processors go or come; those that went take their idle time with them, in part or whole, or leave it."""
    before, machine.cpus = machine.cpus, machine.dice.choice((1, 2, 4, 8, 64))
    if machine.cpus < before and machine.dice.random() < 0.7:
        share = machine.dice.choice((machine.cpus / before, 0.999, 0.5))
        for mode in machine.dice.choice((("idle", "iowait"), tuple(machine.modes))):
            machine.modes[mode] *= share


FAULTS: tuple[Callable[[Machine], None], ...] = (
    reset,
    unreadable,
    cut,
    unmounted,
    processes,
    limits,
    limits_unreadable,
    cpus,
)


def inline(_threads: int) -> Any:
    """A pool that works where it is asked, so that the clock may stand still."""

    async def work(call: Callable[[], Any], _limit: Millis) -> Any:
        return call()

    return work


class Watched(Host):
    """The source, with what it gave."""

    readings: list[Reading]

    async def fetch(self, needs: Any, since: Any) -> Reading:
        reading = await super().fetch(needs, since)
        self.readings.append(reading)
        return reading


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Path]:
    """Lead psutil to the machine's files too."""
    kept, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(tmp_path / "proc")
    try:
        yield tmp_path
    finally:
        psutil.PROCFS_PATH = kept


async def watch(folder: Path, number: int, ticks: int) -> tuple[list[str], list[str], int]:
    """Watch a machine with faults; give the pages that nobody should have had, what broke, and how many faults."""
    dice = random.Random(number)
    machine, clock = Machine(folder, dice), FakeClock()
    tools: Any = Tools(clock, None, inline, "h", "0", print, None)  # type: ignore[arg-type]
    kernel = Kernel(str(machine.proc), str(machine.sys))
    host = Watched(Section("host", "host", {"timeout": 20_000}), tools, kernel)
    host.readings = []
    rules = [
        Rule(
            RuleSpec(name, name, text, notify=("chat",), interval=INTERVAL),
            compile_condition(text, NAMES, compile_pattern)[0],
        )
        for name, text in RULES.items()
    ]
    engine = Engine(MemoryStore(), clock, compile_pattern)
    await engine.open()
    engine.adopt(Setup(rules, [Target(host)], {"chat": Receiver()}))
    pages: list[str] = []
    broken: list[str] = []
    faults = 0

    async def look() -> set[str]:
        machine.live(INTERVAL / 1000)
        machine.tell()
        await clock.advance(INTERVAL)
        task = asyncio.ensure_future(engine.tick())
        await clock.run(task)
        if task.result().trouble:
            broken.append(task.result().trouble)
        names = {rule.id for rule in rules}
        return {
            each.key.rule_id
            for each in engine.alerts()
            if each.state == AlertState.FIRING and each.key.rule_id in names
        }

    for _ in range(ticks):
        machine.broken, machine.gone = {}, False
        done = [fault for fault in FAULTS if dice.random() < 0.08]
        for fault in done:
            fault(machine)
        faults += len(done)
        pages += [f"seed {number}: {name} after {[each.__name__ for each in done]}" for name in await look()]
    faulty = [each.fault for each in host.readings if each.fault is not None]
    broken += [f"seed {number}: {each}" for each in faulty if each.kind is not FaultKind.UNREADABLE]
    if not pages:  # else they fire already
        machine.broken, machine.gone, machine.quota, machine.load, machine.traffic = {}, False, None, 0.9, 1e7
        true = set()
        for _ in range(8):
            true |= await look()
        assert {"Cpu", "Process", "Network", "DiskRead"} <= true, f"only {true} is seen of what is true"
    await host.close()
    return pages, broken, faults


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f48_no_jump_of_the_hosts_figures_is_a_page(proc: Path, figure: Figure) -> None:
    """Histories of a calm machine: each fault gives a typed error or no data, and what rises then is seen."""
    first, pages, broken, faults = seed(48), [], [], 0
    for number in range(first, first + rounds(4, full=150)):
        told, wrong, many = asyncio.run(watch(proc, number, 60))
        pages += told
        broken += wrong
        faults += many
    for line in (*pages[:20], *broken[:20]):
        print(line)
    figure("false pages", len(pages), at_most=0, n=faults, seed=first)
    figure("crashes", len(broken), at_most=0, n=faults, seed=first)


def test_f48_a_process_that_has_anothers_number_is_another(proc: Path, figure: Figure) -> None:
    """As in a container, where numbers are few: neither the age nor the processor time of the one before is its own."""
    machine = Machine(proc, random.Random(0))
    machine.ticks, machine.began = 100.0, 1_000
    wanted, names = Wanted(frozenset({"web"}), all=False), frozenset({"process_age_youngest", "process_cpu_usage"})
    looks = []
    for at, began in ((0, 1_000), (30_000, 100_003_500)):
        machine.ticks, machine.began = machine.ticks + 300, began
        machine.tell()
        looks.append(look_at_processes(at, 1_690_000_000 + 1_000_040 + at / 1000, names, wanted))
    found = {name: value for name, _, value in of_processes(*looks, names)}
    expected = {"process_age_youngest": 35.0, "process_cpu_usage": None}
    wrong = sum(found.get(name) != pytest.approx(value) for name, value in expected.items())
    figure("values that are another process's", wrong, at_most=0, n=len(expected))
