"""Which receivers are down: by what they were sent and what they answered, not by what the program makes of that.

A receiver is down when something was tried in vain and is owed for five minutes, or when its last message was given
up. It is well when its last message was delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.simulate.people import RECEIVERS
from tests.simulate.plan import M, S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import Delivery
    from tests.simulate.judge import Judge

DOWN_AFTER = 5 * M
WELL, GIVEN_UP = "sent", "parked"
_ROUND = S  # the moments at which the program looks, and at which it stamps, are not exactly ours
_SAVED = M  # what a turn owes is stamped so long before it is saved, at most
_TRIED = 30 * S  # within that, what could not be recorded is recorded again


class _End(NamedTuple):
    """A message ended."""

    state: str
    life: int  # of the process that recorded it
    at: int
    early: int  # by which wall it was stamped: that of now, or of when the process began
    late: int


class Standing:
    """See the module's text."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._failed: dict[str, str] = {}  # messages that were tried in vain, and have no end -> receiver
        self._ends: dict[str, list[_End]] = {}  # by receiver
        self._broken: set[str] = set()  # of `failed`: we died at the newest attempt, which says nothing of the receiver
        self._vain: set[str] = set()  # receivers: since their last end something was called back that was tried in vain
        self._lasts: dict[str, tuple[_End, int, frozenset[str]]] = {}  # what `_last` said, of which end, in which life

    def settled(self, ended: Sequence[Delivery]) -> None:
        """Take note of what was recorded in one go."""
        loop = self._judge.loop
        for each in ended:
            id_, receiver = each.notification.id, each.notification.receiver
            if each.state in {WELL, GIVEN_UP}:
                self._failed.pop(id_, None)
                walls = loop.at + self._judge.epoch, loop.at + loop.offset
                made = _End(str(each.state), self._judge.life, loop.at, min(walls), max(walls))
                self._ends.setdefault(receiver, []).append(made)
                self._vain.discard(receiver)
            elif self._judge.attempts.get(id_):
                self._failed[id_] = receiver
                self._broken.discard(id_)

    def _last(self, receiver: str) -> frozenset[str]:
        """Say how the last message of a receiver ended; more than one answer where that cannot be told."""
        ends = self._ends.get(receiver, [])
        if not ends:
            return frozenset()
        last, life = ends[-1], self._judge.life
        known = self._lasts.get(receiver)
        if known is None or known[0] is not last or known[1] != life:
            read = last.life != life  # by another process: it goes by the wall
            found = frozenset(each.state for each in ends if each.at == last.at or (read and each.late >= last.early))
            known = self._lasts[receiver] = last, life, found
        return known[2]

    def begin(self) -> None:
        """Another process begins: what the one before had claimed was an attempt that nobody knows the end of."""
        for id_, state, _ in self._judge.disk.unsettled():
            if state == "claimed":
                self._failed[id_] = self._judge.created[id_][1].receiver
                self._broken.add(id_)

    def rename(self, id_: str, new: str) -> None:
        """What is left of a message is owed under another id; nothing may be left."""
        if id_ in self._failed:
            self._failed[new] = self._failed.pop(id_)
            if id_ in self._broken:
                self._broken.add(new)

    def called_back(self, id_: str) -> None:
        """A message is not sent: what was tried of it proves nothing."""
        if self._judge.attempts.get(id_) or any(self._judge.heir(each) == id_ for each in self._failed):
            self._vain.add(self._judge.created[id_][1].receiver)

    def remember(self) -> Callable[[], None]:
        """Give what puts back what is known now."""
        failed, ends = dict(self._failed), {receiver: list(of) for receiver, of in self._ends.items()}
        vain = set(self._vain)

        def back() -> None:
            self._failed, self._ends, self._vain = failed, ends, vain

        return back

    def _is_mine(self, receiver: str) -> bool:
        """Tell whether this process has seen the last end, and nothing that proves nothing since: it must say so."""
        if self._judge.loop.at < self._judge.disk.doubt_until + _TRIED:
            return False  # there may be claims that nobody holds: they count as attempts that were interrupted
        return self._ends[receiver][-1].life == self._judge.life and receiver not in self._vain

    def may_stay_down(self, receiver: str) -> bool:
        """Tell whether a receiver counts as down until it is told something more."""
        return GIVEN_UP in self._last(receiver) or receiver in self._vain

    def said(self, standing: Mapping[str, str], asked: int) -> None:
        """Hold to the truth what the program says of its receivers. `asked`: when it was to be told."""
        judge = self._judge
        if asked - judge.disk.hurt_at < _TRIED:
            return  # what is on disk may not be known to the program
        waits = self._waits(asked)
        for receiver in RECEIVERS:
            says, last = standing.get(receiver), self._last(receiver)
            least, most = waits.get(receiver, (0, 0))
            if says:
                if most < DOWN_AFTER - _ROUND and GIVEN_UP not in last:
                    judge.fail(f"{receiver} is said to be down: {says}; its last message was {set(last)}")
            elif least > DOWN_AFTER + _ROUND:
                judge.fail(f"{receiver} is not said to be down, and something waits for {least / S:g} s")
            elif last == {GIVEN_UP}:
                judge.fail(f"{receiver} is not said to be down, and its last message was given up")
            elif says == "" and WELL not in last:
                judge.fail(f"{receiver} is said to be well, and nothing was delivered")
            elif says is None and last == {WELL} and not most and self._is_mine(receiver):
                judge.fail(f"{receiver} is not said to be well, and its last message was delivered")

    def _waits(self, asked: int) -> dict[str, tuple[int, int]]:
        """Give for how long something had waited by then that was tried in vain: at least, at most."""
        judge, found = self._judge, dict[str, tuple[int, int]]()
        for id_, receiver in list(self._failed.items()):
            heir = judge.heir(id_)
            if id_ not in judge.created or heir in judge.settled_at or heir in judge.called_back:
                del self._failed[id_]
                continue
            if id_ in judge.told_by:  # what tells it has waited for as long
                del self._failed[id_]
                if id_ in self._broken:
                    self._broken.add(judge.heir(id_))
                id_ = judge.heir(id_)  # noqa: PLW2901  the same message, so to speak
                self._failed[id_] = receiver
            message = judge.created[id_][1]
            of_key = judge.in_key[receiver, message.group_key]
            told = [each for each in of_key if judge.is_told_by(each, id_)]
            since = min((judge.created_at[each] for each in told), default=judge.created_at[id_])
            offsets = {judge.offsets[each] for each in told}
            unsure = id_ in self._broken
            stepped = offsets != {judge.epoch} or judge.epoch != judge.loop.offset  # its age may look as anything
            waits = asked - since
            least, most = found.get(receiver, (0, 0))
            found[receiver] = (
                max(least, 0 if stepped or unsure else waits),
                max(most, 24 * 60 * M if stepped else waits + _SAVED),
            )
        return found
