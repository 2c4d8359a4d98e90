"""What comes in: the sources are read, each once however many rules wait for it, and none holds up another.

Its law: a fetch gives a Reading, whatever happens; one target is never read twice at the same time; a target that
hung last time is not waited for by those who also wait for others. What it gives then comes in late, and counts
from there on. Readings go into the samples as they arrive; which sources were heard since the last turn that was
saved, and which of them fail, is kept here for the engine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.samples import Samples
from alerting.model import NO_LABELS, SHARED, Fault, FaultKind, Kind, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from alerting.model import Labels, Millis, Need, Patterns, Redact, Sample
    from alerting.ports import Clock, SampleStore, Source

    OnFault = Callable[[str, BaseException], None]  # given the part that a fault of ours was in, and the fault


class Target(NamedTuple):
    """One source, and how long it may fail before that is an alert of its own (health sources: 1 m)."""

    source: Source
    unknown_after: Millis = 300_000


class _Places:
    """So many fetches at once; of them, half for targets that hung last time, so that those do not take them all."""

    def __init__(self, number: int) -> None:
        self.all = asyncio.Semaphore(number)
        self.slow = asyncio.Semaphore(max(1, number // 2))


class Fetches:
    """The fetches in flight. `take` is called with each reading, in the event loop, as it arrives.

    `labels_of` says what the readings of a source carry, for those that are made here because it gave none.
    """

    def __init__(
        self,
        clock: Clock,
        redact: Redact,
        take: Callable[[Target, Reading], None],
        labels_of: Callable[[Source], Labels],
        *,
        at_once: int,
        deadline: Millis,
        on_fault: OnFault = lambda _part, _error: None,
    ) -> None:
        self._on_fault = on_fault
        self._clock = clock
        self._redact = redact
        self._take = take
        self._labels_of = labels_of
        self.crowded_at: Millis = 0  # when a fetch last got its place while others wait for theirs; monotonic
        self._places = _Places(at_once)
        self._at_one_host = max(1, at_once // 2)
        self._hosts: dict[str, _Places] = {}
        self._deadline = deadline
        self._flying: dict[int, asyncio.Task[None]] = {}  # by the identity of the source
        self._ends: dict[asyncio.Future[None], Millis] = {}  # by when each fetch must be done, the first one first
        self._look: asyncio.Task[None] | None = None  # at `_ends`: one sleep serves all fetches
        self._hung: set[int] = set()

    def start(self, target: Target, needs: Sequence[Need], since: Millis | None) -> asyncio.Task[None]:
        """Read a target, or join the fetch that is reading it already."""
        name = id(target.source)
        task = self._flying.get(name)
        if task is None:
            task = asyncio.create_task(self._fetch(target, needs, since))
            self._flying[name] = task
            task.add_done_callback(lambda _task: self._flying.pop(name, None))
        return task

    def worth_waiting(self, targets: Iterable[Target]) -> list[Target]:
        """Leave out those that hung last time, unless that leaves nobody."""
        targets = list(targets)
        prompt = [target for target in targets if id(target.source) not in self._hung]
        return prompt or targets

    def adopt(self, targets: Iterable[Target]) -> None:
        """Forget what is known of all other targets: the identity of one that is gone may be given to another."""
        known = {id(target.source) for target in targets}
        self._hung &= known
        self._hosts = {}  # those of now are made when they are asked; what flies keeps its place

    async def close(self) -> None:
        """End what is in flight."""
        tasks = list(self._flying.values())
        for task in tasks:
            task.cancel()
        if self._look is not None:
            self._look.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, target: Target, needs: Sequence[Need], since: Millis | None) -> None:
        hung, places, there = id(target.source) in self._hung, self._places, self._places_at(target.source)
        slow_there, slow = (there.slow, places.slow) if hung else (nullcontext(), nullcontext())
        async with slow_there, there.all, slow, places.all:  # its host first: who waits for that keeps nobody else out
            if places.all.locked() or there.all.locked():
                self.crowded_at = self._clock.monotonic()
            reading = await self._read(target.source, needs, since)
        hung = reading.fault is not None and reading.fault.kind is FaultKind.TIMEOUT
        (self._hung.add if hung else self._hung.discard)(id(target.source))
        self._take(target, reading)

    def _places_at(self, source: Source) -> _Places:
        """Give the places at the source's host; a source that names none is by itself."""
        host = getattr(source, "host", "")
        if not host:
            return _Places(1)
        if host not in self._hosts:
            self._hosts[host] = _Places(self._at_one_host)
        return self._hosts[host]

    async def _read(self, source: Source, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Fetch, with a second deadline behind the source's own; what a source raises is a fault of ours."""
        fetch = asyncio.create_task(source.fetch(needs, since))
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        fetch.add_done_callback(lambda _: None if over.done() else over.set_result(None))
        self._ends[over] = self._clock.monotonic() + self._deadline
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_at_ends())
        try:
            await over
            if fetch.done():
                return fetch.result()
            fault = Fault(FaultKind.TIMEOUT, f"no answer within {self._deadline / 1000:g} s")
        except Exception as error:  # noqa: BLE001  a source that raises must not stop the others
            self._on_fault(f"reading {source.name}", error)
            fault = Fault(
                FaultKind.INTERNAL, self._redact(f"{FaultKind.INTERNAL}: {type(error).__name__} in its fetch")
            )
        finally:
            fetch.cancel()
            self._ends.pop(over, None)
        labels = self._labels_of(source)
        return Reading(source.name, source.namespace, self._clock.now(), labels=labels, fault=fault)

    async def _look_at_ends(self) -> None:
        """Say that the time of fetches is over, as long as any run: to sleep for each would cost a task for each."""
        while self._ends:
            over, ends = next(iter(self._ends.items()))
            left = ends - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
            else:
                del self._ends[over]
                if not over.done():
                    over.set_result(None)


class Intake:
    """The samples, and the sources that feed them."""

    def __init__(
        self,
        clock: Clock,
        patterns: Patterns,
        redact: Redact,
        store: SampleStore | None,
        *,
        at_once: int,
        deadline: Millis,
        lookback: Millis,
        on_fault: OnFault = lambda _part, _error: None,
    ) -> None:
        """`store` keeps samples over restarts; `at_once` and `deadline` bound the fetches.

        `on_fault` is given what a source raised, or what the samples raised over its answer: faults of ours.
        """
        self._on_fault = on_fault
        self.samples = Samples(lookback)
        self.names: dict[int, str] = {}  # identity of a source -> what faults and alerts call it
        self.heard: dict[str, str] = {}  # source -> its fault or "", of readings that no saved turn has judged
        self.faults: dict[str, str] = {}  # source -> why it fails
        self._clock = clock
        self._patterns = patterns
        self._redact = redact
        self._store = store
        self._lookback = lookback
        self._fetches = Fetches(
            clock, redact, self._take, self._labels_of, at_once=at_once, deadline=deadline, on_fault=on_fault
        )
        self._targets: dict[str, list[Target]] = {}  # by namespace
        self._needs: dict[str, tuple[Need, ...]] = {}  # by namespace
        self._known: dict[str, Labels] = {}  # by name, of what was read: what its readings carry; outlasts a reload
        self._newest: dict[str, Millis] = {}  # namespace -> end of the newest bucket held
        self._restored: Sequence[tuple[str, Kind, Sample, Millis]] = ()  # from the file, until needs are known
        self._unkept: list[tuple[str, Kind, Sample]] = []  # taken in, not yet in the file

    @property
    def crowded_at(self) -> Millis:
        """When it was last seen that all places are taken, on the monotonic clock; 0: never."""
        return self._fetches.crowded_at

    async def open(self, faults: Mapping[str, str]) -> None:
        """Begin with the samples that the file holds, and with the faults that the store knows of."""
        self.faults = dict(faults)
        if self._store is not None:
            self._restored = await self._store.open()

    async def close(self) -> None:
        """End the fetches that run."""
        await self._fetches.close()

    def adopt(self, targets: Sequence[Target], needs: Sequence[Need]) -> None:
        """Read these targets from now on, and keep what these needs select."""
        before = Counter(_name_of(target.source) for of_space in self._targets.values() for target in of_space)
        seen: Counter[str] = Counter()
        self._fetches.adopt(targets)
        by_space: dict[str, list[Need]] = {}
        self._targets, self.names = {}, {}
        for target in targets:
            name = _name_of(target.source)
            seen[name] += 1
            self.names[id(target.source)] = name if seen[name] == 1 else f"{name}#{seen[name]}"
            self._targets.setdefault(target.source.namespace, []).append(target)
        for need in needs:
            by_space.setdefault(need.namespace, []).append(need)
        self._needs = {namespace: tuple(of_space) for namespace, of_space in by_space.items()}
        read = {id(target.source) for namespace in by_space for target in self._targets.get(namespace, ())}
        known = {self.names[each] for each in read}  # what nobody reads must not count as failing for ever
        self.faults = {name: why for name, why in self.faults.items() if name in known}
        self.heard = {name: why for name, why in self.heard.items() if name in known}
        self._known = {name: labels for name, labels in self._known.items() if name in known}
        if before - seen:  # its targets are known by their labels, which only samples know
            self._afresh()
        self.samples.require(needs, self._patterns)
        now = self._clock.now()
        kept = [each for each in self._restored if each[2].at <= now and each[3] <= now]  # clocks can have been wrong
        self._restored = ()
        self.samples.restore(kept)
        self._note_buckets((namespace, kind, sample) for namespace, kind, sample, _ in kept)
        self._withhold(every=False)

    def begin_afresh(self) -> None:
        """Forget all samples: windows fill anew, and conditions over them are unknown meanwhile."""
        self._afresh()
        self.samples.require([need for needs in self._needs.values() for need in needs], self._patterns)

    def start(self, namespaces: Iterable[str], *, everyone: bool) -> set[asyncio.Task[None]]:
        """Read what feeds these namespaces; give the fetches to wait for (`everyone`: also those that hung before)."""
        targets = [target for namespace in sorted(namespaces) for target in self._targets.get(namespace, ())]
        tasks = {id(target.source): self._start(target) for target in targets}
        waited = {tasks[id(each.source)] for each in (targets if everyone else self._fetches.worth_waiting(targets))}
        return waited if len(waited) <= 1 else {asyncio.create_task(_all(waited))}

    def judged(self, heard: Mapping[str, str]) -> None:
        """Take off `heard` what a saved turn has judged; what came in since stays."""
        self.heard = {name: why for name, why in self.heard.items() if heard.get(name) != why}

    async def keep(self, now: Millis, recorded: Iterable[tuple[str, Kind, Sample]]) -> str:
        """Hand what was taken in to the file of samples; give why that failed, or ""."""
        kept, self._unkept = [*self._unkept, *recorded], []
        if self._store is None or not kept:
            return ""
        longest = max((need.window for needs in self._needs.values() for need in needs), default=0)
        await self._store.append(kept, now, now - longest - self._lookback)
        return self._store.trouble

    def _afresh(self) -> None:
        self.samples = Samples(self._lookback)
        self._newest = {}
        self._withhold(every=True)

    def _withhold(self, *, every: bool) -> None:
        """Have samples know of pages that were not read yet (`every`: of all targets): what is not read is not gone."""
        now = self._clock.now()
        for target in (target for of_space in self._targets.values() for target in of_space):
            source, name = target.source, self.names[id(target.source)]
            labels = self._known.get(name)
            if (labels is None and source.namespace == SHARED) or (labels is not None and every):
                fault = Fault(FaultKind.UNREADABLE, self.faults.get(name, "it is not read yet"))
                self.samples.append(
                    Reading(source.name, source.namespace, now, labels=labels or NO_LABELS, fault=fault)
                )

    def _labels_of(self, source: Source) -> Labels:
        return self._known.get(self.names.get(id(source), ""), NO_LABELS)

    def _start(self, target: Target) -> asyncio.Task[None]:
        namespace = target.source.namespace
        return self._fetches.start(target, self._needs.get(namespace, ()), self._newest.get(namespace))

    def _take(self, target: Target, reading: Reading) -> None:
        """Take in a reading, whenever it arrives. One that the samples cannot take is a fault of ours."""
        name = self.names.get(id(target.source))
        if name is None:
            return  # came in after its source was taken out of the settings
        if reading.fault is not None:
            reading = reading._replace(fault=reading.fault._replace(message=self._redact(reading.fault.message)))
        before = self._known.get(name, reading.labels)
        self._known[name] = reading.labels
        if before and before != reading.labels:  # another target has its name now: what the first one said is over
            self.begin_afresh()
        try:
            taken = self.samples.append(reading)
        except Exception as error:  # noqa: BLE001  one odd answer must not stop the others
            self._on_fault(f"taking in {name}", error)
            fault = Fault(FaultKind.INTERNAL, f"{FaultKind.INTERNAL}: {type(error).__name__} while it was taken in")
            reading = Reading(reading.source, reading.namespace, reading.at, labels=reading.labels, fault=fault)
            taken = self.samples.append(reading)
        self._unkept.extend(taken)
        self._note_buckets(taken)
        why = "" if reading.fault is None else reading.fault.told(name)
        self.heard[name] = why
        if why:
            self.faults[name] = why
        else:
            self.faults.pop(name, None)

    def _note_buckets(self, taken: Iterable[tuple[str, Kind, Sample]]) -> None:
        """Remember the end of the newest bucket of each namespace: sources need not give it again."""
        for namespace, kind, sample in taken:
            if kind is Kind.COUNT and sample.at > self._newest.get(namespace, 0):
                self._newest[namespace] = sample.at


async def _all(fetches: Collection[asyncio.Task[None]]) -> None:
    """Wait for all of them as one: whoever waits looks at one task and not at a thousand, each time one ends."""
    await asyncio.wait(fetches)


def _name_of(source: Source) -> str:
    """Give what people call a source: its entry, and where that has several targets, which of them."""
    target = getattr(source, "target", "")
    return f"{source.name}/{target}" if target else source.name
