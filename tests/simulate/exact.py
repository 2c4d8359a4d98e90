"""Who hears of what, exactly: for plain runs, in which every rule names its receivers and all is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulate.life import FIRING, RESOLVED
from tests.simulate.people import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Notice, Notification, Unsaid
    from alerting.ports import Change
    from tests.simulate.judge import Judge
    from tests.simulate.model import Key, Stage


class Exact:
    """See the module's text."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._episodes: dict[Key, str] = {}
        self._old_episodes: set[tuple[Key, str]] = set()

    def turn(self, stage: Stage, change: Change) -> None:
        """Compare what a turn tells with what the model says."""
        judge, model = self._judge, self._judge.model
        said: dict[tuple[str, Key, str], tuple[Notification, Notice]] = {}
        for message in change.notifications:
            for notice in (*message.firing, *message.resolved):
                if notice.step != "ongoing":
                    place = (message.receiver, judge.key_of(notice), notice.step)
                    if place in said:
                        judge.fail(f"told twice in one turn: {place}")
                    said[place] = message, notice
        for news in list(model.news(stage)):
            for receiver in news.receivers:
                place = receiver, news.key, news.step
                if place not in said:
                    judge.fail(f"not told: {receiver} of {news.key.rule}{news.key.labels} {news.step} {news.ended}")
                message, notice = said.pop(place)
                if notice.ended != news.ended:
                    judge.fail(f"{place} ended as {notice.ended!r} instead of {news.ended!r}")
                self._take(news.step, news.key, message, notice)
            if news.step == RESOLVED:
                del model.told[news.key]
        for receiver, key, step in said:
            judge.fail(f"told for no reason: {receiver} of {key.rule}{key.labels} {step}")
        for message in change.notifications:
            self._whole(message)

    def _take(self, step: str, key: Key, message: Notification, notice: Notice) -> None:
        """Hold a message to the laws of keys and episodes."""
        judge, receiver, group_key = self._judge, message.receiver, message.group_key
        told, keys = judge.model.told, judge.keys
        place = receiver, group_key
        again = place in judge.recalls.keys
        if step == FIRING:
            if receiver in GROUPS:
                others = {
                    each
                    for (name, each), members in keys.items()
                    if name == receiver and any(other.rule == key.rule for other in members)
                }
                if others and group_key not in others:
                    judge.fail(f"{receiver}: a rule's alerts stand under two keys")
                if not others and place in keys and not again:
                    judge.fail(f"{receiver}: a new episode under an old key")
            elif place in keys and not again:
                judge.fail(f"{receiver}: a new episode under an old key: {key}")
            if key not in told and (key, notice.episode) in self._old_episodes:
                judge.fail(f"two episodes of one name: {key}")
            self._episodes[key] = notice.episode
            self._old_episodes.add((key, notice.episode))
            told.setdefault(key, {})[receiver] = group_key
            keys.setdefault(place, set()).add(key)
        else:
            if told[key][receiver] != group_key:
                judge.fail(f"{receiver}: resolved under another key than it fired: {key}")
            if notice.episode != self._episodes[key]:
                judge.fail(f"{receiver}: another episode resolved than fired: {key}")
            keys[place].discard(key)

    def _whole(self, message: Notification) -> None:
        """A message names everything that fires under its key."""
        names = {self._judge.key_of(notice) for notice in message.firing}
        if names != self._judge.keys[message.receiver, message.group_key]:
            self._judge.fail(f"a message to {message.receiver} does not name what fires: {names}")

    def knows(self, key: Key, receiver: str, episode: str) -> bool:
        """Tell whether a receiver counts as told of an episode that goes on."""
        return self._episodes.get(key) == episode and receiver in self._judge.model.told.get(key, ())

    def renamed(self, id_: str, new: str) -> None:
        """A message, or what is left of it, has another id."""

    def unsaid(self, key: Key, unsaid: Unsaid, *, escalated: bool) -> None:
        """Take note that a receiver was not told what it was to be told: in a plain run that is all of an episode."""
        told = self._judge.model.told[key]
        if unsaid.told is not None or escalated:
            self._judge.fail(f"only some of {key} is called back")
        self._judge.keys[unsaid.receiver, told.pop(unsaid.receiver)].discard(key)
        if not told:
            del self._judge.model.told[key]
            self._old_episodes.discard((key, self._episodes[key]))

    def passed(self, change: Change, _now: int) -> None:
        """Nobody stands in for anybody in a plain run."""
        self._judge.fail(f"passed on, though nobody has a fallback: {change.notifications}")

    def remember(self) -> Callable[[], None]:
        """Give what puts back what is known now."""
        episodes, old = dict(self._episodes), set(self._old_episodes)

        def back() -> None:
            self._episodes, self._old_episodes = episodes, old

        return back

    def read(self) -> None:
        """What was told is kept: nothing is forgotten with a process."""

    def created(self, message: Notification) -> None:
        """Every message is a turn's."""
