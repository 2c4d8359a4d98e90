"""Standard output as a receiver: for a first try, for cron's mail, and where nobody is configured yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from alerting.model import Answer, Outcome, Step
from alerting.notifiers import _plain as plain
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerting.model import Notification, Receipt, Section
    from alerting.ports import Tools


def build(section: Section, tools: Tools) -> Console:
    """Build the receiver; it has no settings."""
    return Console(section.name, tools.print)


class Console:
    """Prints a block of lines for each alert. Outside text cannot steer the terminal or forge a first line."""

    stands_for: Literal["group"] = "group"

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self.name = name
        self._write = write

    async def deliver(self, notification: Notification, previous: Receipt | None) -> Answer:  # noqa: ARG002  the port's
        """Print. A closed or full output is a reason to try again; letters that it lacks are printed as escapes."""
        block = "\n".join(_block(notification))
        try:
            try:
                self._write(block)
            except UnicodeEncodeError:
                self._write(block.encode("ascii", "backslashreplace").decode())
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            reason = getattr(error, "strerror", None) or "it is closed"
            return Answer(Outcome.RETRY, f"standard output cannot be written: {reason}")
        return Answer(Outcome.SENT, "printed")

    async def close(self) -> None:
        """Nothing is held."""


def _block(notification: Notification) -> Iterator[str]:
    notices = text.changed_first(notification)
    changed = [notice for notice in notices if notice.step != Step.ONGOING]
    for notice in changed or notices:
        receiver = text.line(notification.receiver)
        yield f"{text.utc(notification.created)} {plain.heading(notice)} -> {receiver}"
        yield from plain.facts(notice)
    for note in notification.notes:
        yield f"    note     {text.line(note)}"
    if changed and (ongoing := len(notices) - len(changed)):
        yield f"    beside   {ongoing} still firing"
    if notification.external_labels:
        yield f"    from     {text.labels(notification.external_labels)}"
