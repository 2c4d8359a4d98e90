"""Who is told: one notifier per receiver, and what some can do besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from alerting.model import Answer, ChangeEvent, Millis, Notification, Receipt


class Notifier(Protocol):
    """One receiver. Built by `build(section, tools)` of alerting.notifiers.<kind>."""

    name: str  # in the settings
    stands_for: Literal["alert", "group"]  # what one message of it means
    # Where it takes several at a time, `at_once: int` says how many; never two of one group key.

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:
        """Make exactly one attempt, within the total deadline. Never raises for what the world does.

        `previous` is the receipt of the last message that was sent with this group key, if any. When the last
        attempt at this very notification answered RETRY or UNKNOWN *with* a receipt, it is that one instead:
        so an attempt can tell the next one that the earlier message is gone ({}), or how to send it plainer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


THEN = "then"  # in a receipt: what may still be done beside a message that has arrived


@runtime_checkable
class Follows(Protocol):
    """What a notifier has besides when it does more about a message than sending it."""

    async def follow(self, notification: Notification, receipt: Receipt) -> Receipt:
        """Do the next thing that `receipt` has under THEN, and give the receipt as it is then. Never raises.

        Called when the message has arrived and that is on disk, between other messages, until no THEN is left. What
        fails is given up: it can neither lose nor repeat a message.
        """
        ...


class Press(NamedTuple):
    """Somebody pressed a button of a message."""

    receiver: str
    place: Mapping[str, str]  # where the message stands, in the words of its receipt
    group_key: str
    told_at: Millis  # when the message was made: what began to fire later is not meant
    action: Literal["acknowledge", "silence"]
    by: str


@runtime_checkable
class Listens(Protocol):
    """What a notifier has besides when people can answer its messages."""

    async def listen(self, on_press: Callable[[Press], Awaitable[str]], say: Callable[[str], None]) -> None:
        """Hear of presses until cancelled; returns at once where the settings want no buttons.

        Never raises for what the world does. `on_press` gives what the person who pressed is told; what it raises goes
        up. `say` hears what is wrong with the connection.
        """
        ...


@runtime_checkable
class TakesChanges(Protocol):
    """What a notifier has besides when its service keeps a record of changes."""

    async def send_change(self, event: ChangeEvent) -> Answer:
        """Tell of a change, by one attempt, within the total deadline. Never raises for what the world does."""
        ...
