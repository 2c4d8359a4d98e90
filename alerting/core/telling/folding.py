"""What to say of messages that were overtaken while they waited: all that they had to say, in one.

Theory. While a receiver cannot be told, messages under one key pile up. When it can be told again, it should not read
yesterday's news in order, but how things stand and what it missed. So the newest message of a key takes over what
those before it had to say, and they are *folded*: told by it. Nothing is lost by that: what fires and was not told yet
is told as new, however long it has gone on; what ended is told as over; an episode that came and went meanwhile is told
by its resolve, with a note that nobody could be told of its beginning. An earlier episode of what fires again stands in
a note alone: a machine that read it as `resolved` beside `firing` could take the wrong one for the last word.

It does not matter whether an attempt at one of them may have arrived: what is said again is said in other words, as by
a second attempt.

A message that stands for one *alert* is another matter. PagerDuty drops a resolve of what was never triggered, so a
page that is folded into its resolve would be told to nobody. There only messages of one kind (it fires; somebody has
taken it on; it is over) are folded, and a page whose resolve waits behind it says so and gives way to urgent ones.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import LOUD, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alerting.model import AlertKey, Millis, Notice, Notification, StandsFor

_BEGINS = (Step.FIRING, Step.ESCALATED, Step.FLAPPING)  # by which somebody may first hear of an alert
_NOTES = 10  # so many notes go with one message
_MORE = "earlier notes are left out: `alerting history` has them all"


class Folded(NamedTuple):
    """So many of the oldest messages are told by the last of these, in the words of `told`; 1: nothing is folded."""

    number: int
    told: Notification


def folded(waiting: Sequence[Notification], stands_for: StandsFor) -> Folded:
    """Fold messages of one receiver and key, in the order in which they came to be owed; at least one."""
    if stands_for == "group":
        return Folded(len(waiting), _merged(waiting))
    first = _kind(waiting[0])
    alike = list(takewhile(lambda each: _kind(each) == first, waiting))
    told = _merged(alike)
    last = waiting[-1]
    if last.all_resolved and not told.all_resolved and last.resolved:
        over = last.resolved[0]
        note = f"it is over since {_moment(over.resolved_at or last.created)} ({over.ended}): its resolve follows"
        told = told._replace(urgent=False, notes=(*(each for each in told.notes if each != note), note))
    return Folded(len(alike), told)


def _kind(message: Notification) -> str:
    """Tell what a message does to an incident."""
    if message.all_resolved:
        return "over"
    return "taken on" if message.acknowledged and not message.loud else "fires"


class _Heap:
    """What several messages say, each word of it the newest."""

    def __init__(self) -> None:
        self.firing: dict[AlertKey, Notice] = {}
        self.over: dict[AlertKey, Notice] = {}
        self.missed: list[Notice] = []  # episodes that are over, of alerts of which more is said
        self._steps: dict[tuple[AlertKey, str], str] = {}  # by alert and episode: the step that nobody was told yet
        self._never: set[tuple[AlertKey, str]] = set()  # episodes that are over, and surely nobody was told of

    def add(self, message: Notification) -> None:
        """Take in the next message."""
        for notice in message.firing:
            episode = notice.key, notice.episode
            self._steps[episode] = step = _untold(self._steps.get(episode), notice.step)
            self.firing[notice.key] = _joined(self.firing.get(notice.key), notice, step)
        fires = {notice.key for notice in message.firing}
        for notice in message.resolved:
            before = self.firing.get(notice.key)
            if before is not None and before.episode != notice.episode and notice.key not in fires:
                if not message.instead_of or before.fired_at <= notice.fired_at:
                    del self.firing[notice.key]  # it ended and fired again, and was not told of as over in between
            elif before is not None and before.episode == notice.episode:
                del self.firing[notice.key]
                if is_first(before, message):
                    self._never.add((notice.key, notice.episode))
            former = self.over.pop(notice.key, None)
            if former is not None and former.episode != notice.episode:
                self.missed.append(former)
            self.over[notice.key] = notice

    def settle(self) -> None:
        """Leave in `over` only what does not fire again."""
        for key in [key for key in self.over if key in self.firing]:
            self.missed.append(self.over.pop(key))

    def began(self, notice: Notice) -> bool:
        """Tell whether the beginning of an episode is among what nobody was told."""
        return self._steps.get((notice.key, notice.episode)) == Step.FIRING

    def ends(self) -> Iterator[Notice]:
        """Give the ends among `missed` of what somebody may have been told of."""
        for notice in self.missed:
            if notice.heard != "never" and (notice.key, notice.episode) not in self._never:
                yield notice

    def over_now(self) -> Iterator[Notice]:
        """Give what is over and fires no more; of what surely nobody was told while it fired, each says so."""
        for notice in self.over.values():
            never = (notice.key, notice.episode) in self._never
            yield notice._replace(heard="never") if never else notice


def is_first(notice: Notice, message: Notification) -> bool:
    """Tell whether a receiver surely hears of an episode for the first time by this."""
    begins = notice.step in _BEGINS or (bool(message.instead_of) and notice.step != Step.ONGOING)
    return begins and notice.before is None and not notice.heard


def perhaps(message: Notification) -> Notification:
    """Note in a message, before it is folded with others, that an attempt at it may have arrived."""
    firing = [each if each.step == Step.ONGOING else each._replace(heard="perhaps") for each in message.firing]
    return message._replace(firing=tuple(firing), resolved=tuple(each._replace(heard="") for each in message.resolved))


def _shown(notices: Iterable[Notice]) -> list[Notice]:
    """Leave of notices what people see of them."""
    return [each._replace(before=None, heard="") for each in notices]


def _joined(before: Notice | None, notice: Notice, step: str) -> Notice:
    """Say the newest of an alert that fires: `step` is the one that is told. What its receiver knew stays known."""
    joined = notice if step == notice.step else notice._replace(step=step, was="")
    if before is None or before.episode != notice.episode or before.step == Step.ONGOING:
        return joined
    if step == notice.step and before.heard and step != before.step:
        return joined  # of the step before it is not known whether it was heard; this one surely was not
    return joined._replace(before=before.before, heard=before.heard)


def _untold(before: str | None, step: str) -> str:
    """Give the step that is told of two in a row, where the first was not told yet."""
    return before if before is not None and (step == Step.ONGOING or before == Step.FIRING) else step


def _merged(messages: Sequence[Notification]) -> Notification:
    newest = messages[-1]
    if len(messages) == 1:
        return newest
    heap = _Heap()
    for message in messages:
        heap.add(message)
    heap.settle()
    firing = tuple(sorted(heap.firing.values(), key=lambda each: each.step == Step.ONGOING))
    resolved = tuple(heap.over_now())
    unheard = [each for each in resolved if heap.began(each)]
    notes = [note for message in messages for note in message.notes]
    notes += came_and_went([*heap.missed, *unheard])
    same = _shown(firing) == _shown(newest.firing) and _shown(resolved) == _shown(newest.resolved)
    return newest._replace(
        title=newest.title if same else titled(firing, resolved),
        reason=f"{newest.reason}; could not be told before: {len(messages) - 1} earlier",
        firing=firing,
        resolved=resolved,
        loud=newest.loud or any(each.step in LOUD for each in firing),
        urgent=newest.urgent or (bool(firing) and any(each.urgent for each in messages)),
        notes=_bounded(list(dict.fromkeys(notes))),
        announces=any(each.announces for each in messages),
        instead_of=tuple(dict.fromkeys(name for each in messages for name in each.instead_of)),
        noted_ends=(*(notice for each in messages for notice in each.noted_ends), *heap.ends()),
    )


def _bounded(notes: Sequence[str]) -> tuple[str, ...]:
    """Keep the newest notes: a receiver that was down for a day is not told a hundred lines."""
    if len(notes) <= _NOTES:
        return tuple(notes)
    return (_MORE, *(note for note in notes[1 - _NOTES :] if note != _MORE))


def came_and_went(episodes: Iterable[Notice]) -> Iterable[str]:
    """Say of each episode that it was over before it could be told; the same words whenever it is said."""
    for each in episodes:
        ended = f" to {_moment(each.resolved_at)}" if each.resolved_at is not None else ""
        yield f"over before it could be told: {each.name}, {_moment(each.fired_at)}{ended} ({each.why})"


def titled(firing: Sequence[Notice], resolved: Sequence[Notice]) -> str:
    """Say in one line how things stand."""
    fresh = [each for each in firing if each.step != Step.ONGOING]
    goes_on = len(firing) - len(fresh)
    parts = [fresh[0].why if len(fresh) == 1 else f"{len(fresh)} firing"] if fresh else []
    if resolved:
        ways = " and ".join(dict.fromkeys(each.ended for each in resolved))
        parts.append(f"{ways} ({resolved[0].why if len(resolved) == 1 else len(resolved)})")
    if goes_on:
        parts.append(f"{goes_on} still firing")
    names = list(dict.fromkeys(each.name for each in (*fresh, *resolved, *firing)))
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} other rules"
    return f"{name}{'' if firing else ' resolved'}: {', '.join(parts)}"


def _moment(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
