"""The processes of this host, by name, and the processor time of all together between two looks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_LABELS, Labels
from alerting.sources._host_kernel import processor_times, text
from alerting.sources._host_limits import processors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.model import Millis
    from alerting.sources._host_kernel import Kernel
    from alerting.sources._host_limits import Processors

OF_PROCESSES = frozenset({"process_count", "process_cpu_usage", "process_memory", "process_open_files"})
OF_PROCESSES |= {"process_age_oldest", "process_age_youngest"}
OF_TIME = frozenset({"cpu_usage", "cpu_mode_usage"})
SINCE_LAST = OF_TIME | {"process_cpu_usage"}  # shares of the time since the last reading

_IDLE = frozenset({"idle", "iowait"})


class Process(NamedTuple):
    """One process that runs."""

    name: str
    age: float  # s
    seconds: float = 0.0  # of processor time since it began
    memory: int = 0  # bytes
    files: int | None = 0  # open ones; None where the system does not tell us


class Usage(NamedTuple):
    """One look at the processors and at processes."""

    at: Millis  # monotonic
    modes: Mapping[str, float]  # s of all processors together since the start
    container: Processors | None = None
    processes: Mapping[tuple[int, float], Process] = {}  # by pid and its beginning: pids are used again


class Wanted(NamedTuple):
    """What of processes is asked for."""

    names: frozenset[str]  # the process names that rules ask for by name: of these none running is a 0, and no gap
    all: bool = True  # whether others are asked for too


def look(at: Millis, now: float, names: frozenset[str], wanted: Wanted, kernel: Kernel) -> Usage:
    """Look at what `names` need. `now` is the wall's time in seconds. Raises as the kernel's files do."""
    modes = processor_times(kernel) if names & OF_TIME else {}
    container = processors_of(kernel.groups) if "cpu_usage" in names else None
    processes = dict(_running(now, names, wanted)) if names & OF_PROCESSES else {}
    return Usage(at, modes, container, processes)


def _running(now: float, names: frozenset[str], wanted: Wanted) -> Iterator[tuple[tuple[int, float], Process]]:
    import psutil  # noqa: PLC0415  10 ms: only for those who ask

    attributes = ["create_time", "cpu_times", "status"]
    attributes += ["memory_info"] if "process_memory" in names else []
    attributes += ["num_fds"] if "process_open_files" in names and psutil.POSIX else []
    for each in psutil.process_iter():
        with suppress(psutil.Error), each.oneshot():  # it may be gone since, or not ours to see
            name = text(each.name())
            if wanted.all or name in wanted.names:
                info = each.as_dict(attributes)
                if info["status"] != psutil.STATUS_ZOMBIE:  # it has ended; only its parent has not noticed
                    began = info["create_time"] or 0.0
                    yield (each.pid, began), _process(name, max(now - began, 0.0), info)


def _process(name: str, age: float, info: Mapping[str, object]) -> Process:
    cpu, memory, files = info["cpu_times"], info.get("memory_info"), info.get("num_fds")
    seconds = getattr(cpu, "user", 0.0) + getattr(cpu, "system", 0.0)
    return Process(name, age, seconds, getattr(memory, "rss", 0), files if isinstance(files, int) else None)


def of_usage(
    before: Usage | None, now: Usage, names: frozenset[str], wanted: frozenset[str] = frozenset()
) -> Iterator[tuple[str, Labels, float]]:
    """Give what two looks tell: shares only where time has passed, and no counter began anew."""
    if before is not None:
        yield from _of_time(before, now, names)
    if names & OF_PROCESSES:
        yield from _of_processes(before, now, names, wanted)


def _of_time(before: Usage, now: Usage, names: frozenset[str]) -> Iterator[tuple[str, Labels, float]]:
    total = sum(now.modes.values()) - sum(before.modes.values())
    elapsed = (now.at - before.at) / 1000
    if "cpu_usage" in names and now.container is not None:
        spent = now.container.seconds - before.container.seconds if before.container else -1.0
        if elapsed > 0 and spent >= 0:
            yield "cpu_usage", NO_LABELS, _percent(spent, elapsed * now.container.quota)
    elif "cpu_usage" in names and total > 0 and before.modes:
        idle = sum(now.modes.get(mode, 0.0) - before.modes.get(mode, 0.0) for mode in _IDLE)
        yield "cpu_usage", NO_LABELS, _percent(total - idle, total)
    if "cpu_mode_usage" in names and total > 0 and before.modes:
        for mode, seconds in now.modes.items():
            yield "cpu_mode_usage", Labels({"mode": mode}), _percent(seconds - before.modes.get(mode, seconds), total)


def _percent(part: float, whole: float) -> float:
    return 100 * min(max(part / whole, 0.0), 1.0)  # idle may step back when a processor goes


def _of_processes(
    before: Usage | None, now: Usage, names: frozenset[str], wanted: frozenset[str]
) -> Iterator[tuple[str, Labels, float]]:
    by_name: dict[str, list[Process]] = {name: [] for name in wanted}
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
                yield metric, Labels({"name": name}), value


def _spent(before: Usage | None, key: tuple[int, float], process: Process, elapsed: float) -> float | None:
    """Give the processor time since the last look; None for one that ran then and was not looked at."""
    earlier = before.processes.get(key) if before is not None else None
    if earlier is None:
        return process.seconds if process.age <= elapsed else None
    return max(process.seconds - earlier.seconds, 0.0)
