"""The processors of this host, and its processes by name: what two looks at counters tell.

Each is looked at when a rule needs it, so the look before may be another rule's, or one that saw other processes.
What ran then and was not looked at has no share yet: hours of processor time are no share of a second.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_LABELS, Labels
from alerting.sources._host_kernel import labelled, processor_times, text
from alerting.sources._host_limits import processors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.model import Millis
    from alerting.sources._host_kernel import Kernel
    from alerting.sources._host_limits import Processors

OF_PROCESSES = frozenset({"process_count", "process_cpu_usage", "process_memory", "process_open_files"})
OF_PROCESSES |= {"process_age_oldest", "process_age_youngest"}
OF_TIMES = frozenset({"cpu_usage", "cpu_mode_usage"})  # shares of the time since the last look, like process_cpu_usage

_IDLE = frozenset({"idle", "iowait"})
_SETBACK = 0.01  # of all time: so far idle time may step back by the kernel's rounding alone
_ROUGHLY = 1.0  # s: so well it is known when a process began


class Process(NamedTuple):
    """One process that runs."""

    name: str
    age: float  # s
    seconds: float = 0.0  # of processor time since it began
    memory: int = 0  # bytes
    files: int | None = 0  # open ones; None where the system does not tell us


class Wanted(NamedTuple):
    """What of processes is asked for."""

    names: frozenset[str]  # the process names that rules ask for by name: of these none running is a 0, and no gap
    all: bool = True  # whether others are asked for too

    def has(self, name: str) -> bool:
        """Tell whether processes of that name are looked at."""
        return self.all or name in self.names

    def and_(self, other: Wanted) -> Wanted:
        """Give what both ask for."""
        return Wanted(self.names | other.names, all=self.all or other.all)


class Times(NamedTuple):
    """One look at the processors."""

    at: Millis  # monotonic
    modes: Mapping[str, float]  # time of all processors together, in a unit of the system's own
    container: Processors | None = None


class Running(NamedTuple):
    """One look at processes."""

    at: Millis  # monotonic
    wanted: Wanted  # those that were looked at
    processes: Mapping[tuple[int, float], Process]  # by pid and its beginning: pids are used again


def look_at_times(at: Millis, kernel: Kernel) -> Times:
    """Look at the processors. Raises OSError, ValueError, LookupError."""
    return Times(at, processor_times(kernel), processors_of(kernel.groups))


def look_at_processes(at: Millis, now: float, names: frozenset[str], wanted: Wanted) -> Running:
    """Look at the processes that are wanted, for what `names` need. `now`: the wall's, s. Raises ValueError."""
    try:
        return Running(at, wanted, dict(_running(now, names, wanted)))
    except RuntimeError as error:  # of psutil, over a /proc/stat without the line that it looks for
        raise ValueError(str(error)) from None


def _running(now: float, names: frozenset[str], wanted: Wanted) -> Iterator[tuple[tuple[int, float], Process]]:
    import psutil  # noqa: PLC0415  10 ms: only for those who ask

    attributes = ["create_time", "cpu_times", "status"]
    attributes += ["memory_info"] if "process_memory" in names else []
    attributes += ["num_fds"] if "process_open_files" in names and psutil.POSIX else []
    for known in psutil.process_iter():
        with suppress(psutil.Error), known.oneshot():  # it may be gone since, or not ours to see
            name = text(known.name())
            if wanted.has(name):
                # psutil remembers when a number's process began: another one has the number by now, perhaps.
                each = known if known.is_running() else psutil.Process(known.pid)
                info = each.as_dict(attributes)
                if info["status"] != psutil.STATUS_ZOMBIE:  # it has ended; only its parent has not noticed
                    began = info["create_time"] or 0.0
                    yield (each.pid, began), _process(name, max(now - began, 0.0), info)


def _process(name: str, age: float, info: Mapping[str, object]) -> Process:
    cpu, memory, files = info["cpu_times"], info.get("memory_info"), info.get("num_fds")
    seconds = getattr(cpu, "user", 0.0) + getattr(cpu, "system", 0.0)
    return Process(name, age, seconds, getattr(memory, "rss", 0), files if isinstance(files, int) else None)


def of_times(before: Times, now: Times, names: frozenset[str]) -> Iterator[tuple[str, Labels, float]]:
    """Give shares of the time between two looks, where time has passed and no counter began anew."""
    total = sum(now.modes.values()) - sum(before.modes.values())
    idle = sum(now.modes.get(mode, 0.0) - before.modes.get(mode, 0.0) for mode in _IDLE)
    if -idle > total * _SETBACK:
        total = 0.0  # a processor went, and its time with it: what the others did is no share of anything
    elapsed = (now.at - before.at) / 1000
    if "cpu_usage" in names and now.container is not None:
        spent = now.container.seconds - before.container.seconds if before.container else 0.0
        if before.container and elapsed > 0 and spent >= 0:  # what a larger quota let it do is no load of a smaller one
            yield "cpu_usage", NO_LABELS, _percent(spent, elapsed * max(before.container.quota, now.container.quota))
    elif "cpu_usage" in names and total > 0:
        yield "cpu_usage", NO_LABELS, _percent(total - idle, total)
    if "cpu_mode_usage" in names and total > 0:
        for mode, seconds in now.modes.items():
            yield "cpu_mode_usage", labelled("mode", mode), _percent(seconds - before.modes.get(mode, seconds), total)


def _percent(part: float, whole: float) -> float:
    return 100 * min(max(part / whole, 0.0), 1.0)  # counters are rounded, each by itself


def of_processes(before: Running | None, now: Running, names: frozenset[str]) -> Iterator[tuple[str, Labels, float]]:
    """Give the figures of processes by name; of processor time, that since the look before."""
    by_name: dict[str, list[Process]] = {name: [] for name in now.wanted.names}
    spent: dict[str, float | None] = {}
    elapsed = (now.at - before.at) / 1000 if before is not None else 0.0
    for key, process in now.processes.items():
        by_name.setdefault(process.name, []).append(process)
        so_far = spent.get(process.name, 0.0)
        seconds = _spent(before, key, process, elapsed)
        spent[process.name] = None if so_far is None or seconds is None else so_far + seconds
    for name, these in by_name.items():
        found: dict[str, float | None] = {"process_count": float(len(these))}
        if these:
            files = [each.files for each in these if each.files is not None]
            found["process_memory"] = float(sum(each.memory for each in these))
            found["process_age_oldest"] = max(each.age for each in these)
            found["process_age_youngest"] = min(each.age for each in these)
            found["process_open_files"] = float(sum(files)) if len(files) == len(these) else None
            share = spent[name]
            found["process_cpu_usage"] = 100 * share / elapsed if share is not None and elapsed > 0 else None
        for metric, value in found.items():
            if metric in names and value is not None:
                yield metric, labelled("name", name), value


def _spent(before: Running | None, key: tuple[int, float], process: Process, elapsed: float) -> float | None:
    """Give the processor time since the look before; None for one that may have run then and was not seen.

    It had another name then, or was not looked at, or could not be: what it used since its beginning says nothing.
    """
    if before is None:
        return None
    earlier = before.processes.get(key)
    if earlier is not None:
        return max(process.seconds - earlier.seconds, 0.0)
    return process.seconds if process.age <= elapsed + _ROUGHLY and before.wanted.has(process.name) else None
