"""What becomes of the judge's knowledge while the program goes on in memory: it is kept, or lost with the process.

From the moment at which the file is not written any more, everything that counts as saved is in memory only. When the
file can be written again all of it must be there. When the process dies before that, all of it is lost: what was
begun meanwhile may be told again, and what was told then under keys that nobody remembers stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerting.errors import StoreError
    from tests.simulate.judge import Wish
    from tests.simulate.model import Hush, Key
    from tests.simulate.model import Life as Alive
    from tests.simulate.run import Run


class _Known(NamedTuple):
    """What was on disk when the file could not be written any more."""

    messages: int
    frame: int
    lives: Mapping[Key, Alive]
    told: Mapping[Key, dict[str, str]]
    silences: Mapping[str, Hush]
    clock: Mapping[str, int]
    skewed: Mapping[str, int]
    last_in_key: Mapping[tuple[str, str], int]
    settled_at: Mapping[str, int]
    parked: Mapping[str, str]
    told_by: Mapping[str, str]
    wishes: Mapping[str, Wish]
    keys: Mapping[tuple[str, str], set[Key]]
    telling: Callable[[], None]  # puts back what the laws keep in mind
    standing: Callable[[], None]
    recalls: Callable[[], None]  # undoes what was called back meanwhile


class Unsaved:
    """See the module's text. The disk says when it begins and how it ends."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: _Known | None = None
        self.lost_places: set[tuple[str, str]] = set()  # (receiver, group key) of which something is not remembered

    def begins(self) -> None:
        """What happens from here on is in memory only."""
        run, judge, model = self._run, self._run.judge, self._run.judge.model
        run.say("unsaved")
        judge.taken_unsaved = []
        self._known = _Known(
            len(judge.created),
            run.frame,
            dict(model.lives),
            {key: dict(of) for key, of in model.told.items()},
            dict(model.silences),
            *model.clocks(),
            dict(judge.last_in_key),
            dict(judge.settled_at),
            dict(judge.parked),
            dict(judge.told_by),
            {name: replace(wish) for name, wish in judge.wishes.items()},
            {place: set(keys) for place, keys in judge.keys.items()},
            judge.telling.remember(),
            judge.standing.remember(),
            judge.recalls.remember(),
        )

    def refused(self, error: StoreError) -> None:
        """The program does not go on, though the file can be read."""
        self._run.judge.fail(f"not gone on with in memory: {error}")

    def saved(self) -> None:
        """All of it is in the file."""
        self._run.say("saved again")
        self._known, self._run.judge.taken_unsaved = None, None

    def lost(self) -> None:
        """The process is over before it could save anything: go back to what the file holds."""
        run, judge, model, known = self._run, self._run.judge, self._run.judge.model, self._known
        assert known is not None
        run.say("lost", f"{len(judge.created) - known.messages} messages")
        run.frame = known.frame
        known.recalls()
        model.go_back(known.lives, known.told, known.silences, known.clock, known.skewed)
        for id_, (number, message) in list(judge.created.items()):
            if number >= known.messages:
                place = message.receiver, message.group_key
                del judge.created[id_], judge.created_at[id_]
                judge.in_key[place].remove(id_)
                judge.attempts.pop(id_, None)
                self.lost_places.add(place)
        self.lost_places.update(judge.taken_unsaved or ())
        judge.last_in_key, judge.settled_at = dict(known.last_in_key), dict(known.settled_at)
        judge.parked, judge.told_by, judge.wishes = dict(known.parked), dict(known.told_by), dict(known.wishes)
        judge.keys = {place: set(keys) for place, keys in known.keys.items()}
        known.telling()
        known.standing()
        self._known, judge.taken_unsaved = None, None
