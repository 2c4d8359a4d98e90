"""This host: disks, processors, memory, network, temperatures, processes. Only what rules need is read.

Whatever may wait in the kernel is kept away from the loop: local readings run in a thread of a pool of their own,
and network file systems are asked by processes that can be killed. In a container with limits, memory and processors
are those that it may use. On Linux psutil is loaded for processes alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.errors import SecretError
from alerting.model import NO_LABELS, Fault, FaultKind, Reading, Sample, Secret
from alerting.sources._host_disks import DISKS, MountTable, NetworkDisks, disks, of_disks
from alerting.sources._host_figures import FIGURES, figures
from alerting.sources._host_kernel import Kernel
from alerting.sources._host_processes import (
    OF_PROCESSES,
    OF_TIMES,
    Wanted,
    look_at_processes,
    look_at_times,
    of_processes,
    of_times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Labels, Millis, Need, Section
    from alerting.ports import Tools
    from alerting.sources._host_disks import Disk
    from alerting.sources._host_processes import Running, Times

OFFERED = DISKS | FIGURES | OF_PROCESSES | OF_TIMES

_FIRST: Millis = 200  # the shortest time over which processor time is a share of anything
_KERNEL = Kernel()


def build(section: Section, tools: Tools) -> Sequence[Host]:
    """Build the source of one `type: host` entry."""
    return (Host(section, tools),)


class Host:
    """Reads the machine that this process runs on."""

    def __init__(self, section: Section, tools: Tools, kernel: Kernel = _KERNEL) -> None:
        self.name = self.namespace = section.name
        self._clock = tools.clock
        self._blocking = tools.blocking(1)
        self._timeout: Millis = section.values["timeout"]
        self._mounts: Sequence[str | Secret] = section.values.get("mounts") or ()
        self._kernel = kernel
        self._times: Times | None = None  # the looks before
        self._running: Running | None = None
        self._wanted = Wanted(frozenset(), all=False)  # all processes that any rule has asked for
        self._table = MountTable(f"{kernel.proc}/self/mountinfo")
        self._network = NetworkDisks(self._timeout // 2)  # the rest must be read too

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  nothing comes in buckets
        """Read what `needs` name: everything for a need without a name, or for no needs at all."""
        at, began = self._clock.now(), self._clock.monotonic()
        names = frozenset(need.name for need in needs)
        if not names or "" in names:
            names = OFFERED
        fault = None
        values: list[tuple[str, Labels, float]] = []
        try:
            async with asyncio.timeout(self._timeout / 1000):
                values = await self._read(names, needs)
        except TimeoutError:
            text = f"{self.name}: the system did not answer within {self._timeout / 1000:g} s; is a disk hanging?"
            fault = Fault(FaultKind.TIMEOUT, text)
        except SecretError as error:
            fault = Fault(FaultKind.SECRET, f"{self.name}: {error}")
        except OSError as error:
            text = f"{self.name}: cannot read {error.filename or 'the system'}: {error.strerror}"
            fault = Fault(FaultKind.UNREADABLE, text)
        except (ValueError, LookupError):  # over a file of the kernel that holds something else
            fault = Fault(FaultKind.UNREADABLE, f"{self.name}: what the system tells is not understood")
        except Exception as error:  # noqa: BLE001  psutil has errors of its own; a source never raises
            fault = Fault(FaultKind.INTERNAL, f"{self.name}: {type(error).__name__} while the system was read")
        up = Sample("up", NO_LABELS, 0.0 if fault else 1.0, at)
        samples = (up, *(Sample(name, labels, value, at) for name, labels, value in values))
        return Reading(self.name, self.namespace, at, samples, fault=fault, took=self._clock.monotonic() - began)

    async def close(self) -> None:
        """End children that still wait for a file system."""
        await self._network.close()

    async def _read(self, names: frozenset[str], needs: Sequence[Need]) -> list[tuple[str, Labels, float]]:
        self._wanted = self._wanted.and_(_wanted(needs)) if names & OF_PROCESSES else self._wanted
        begun = [look.at for look in await self._first_looks(names)]
        if (wait := max(begun, default=-_FIRST) + _FIRST - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)
        chosen = [mount.reveal() if isinstance(mount, Secret) else mount for mount in self._mounts]
        local, remote, found = await self._blocking(lambda: self._local(names, chosen), self._timeout)
        if remote:
            local += await self._network.ask(remote)
        return [*of_disks(local, names), *found]

    async def _first_looks(self, names: frozenset[str]) -> list[Times | Running]:
        """Give the looks whose time must pass before there is a share of it; take those that were never taken."""
        looks: list[Times | Running] = []
        if names & OF_TIMES:
            if self._times is None:
                self._times = await self._blocking(self._look_at_times, self._timeout)
            looks.append(self._times)
        if "process_cpu_usage" in names:
            if self._running is None:
                self._running = await self._blocking(lambda: self._look_at_processes(names), self._timeout)
            looks.append(self._running)
        return looks

    def _local(
        self, names: frozenset[str], chosen: Sequence[str]
    ) -> tuple[list[Disk], list[str], list[tuple[str, Labels, float]]]:
        """Read all that needs no child; give the mount points that do need one, too."""
        local, remote = disks(self._table.read(chosen), chosen) if names & DISKS else ([], [])
        return local, remote, list(self._found(names))

    def _found(self, names: frozenset[str]) -> Iterator[tuple[str, Labels, float]]:
        yield from figures(names, self._kernel)
        if names & OF_TIMES and self._times is not None:
            before, self._times = self._times, self._look_at_times()
            yield from of_times(before, self._times, names)
        if names & OF_PROCESSES:
            earlier, self._running = self._running, self._look_at_processes(names)
            yield from of_processes(earlier, self._running, names)

    def _look_at_times(self) -> Times:
        return look_at_times(self._clock.monotonic(), self._kernel)

    def _look_at_processes(self, names: frozenset[str]) -> Running:
        return look_at_processes(self._clock.monotonic(), self._clock.now() / 1000, names, self._wanted)


def _wanted(needs: Sequence[Need]) -> Wanted:
    """Tell which processes are asked for: those that rules name with `=`, and whether others are too."""
    asked = [need for need in needs if need.name in OF_PROCESSES or not need.name]
    named = [
        frozenset(each.value for each in need.matchers if each.name == "name" and each.op == "=") for need in asked
    ]
    return Wanted(frozenset().union(*named), all=not asked or not all(named))
