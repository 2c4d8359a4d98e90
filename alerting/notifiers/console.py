"""Standard output as a receiver: for a first try, for cron's mail, and where nobody is configured yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from alerting.model import Answer, Outcome, Step
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerting.model import Notice, Notification, Receipt, Section
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
        yield from _notice(notification, notice)
    if changed and (ongoing := len(notices) - len(changed)):
        yield f"    beside   {ongoing} still firing"
    if notification.external_labels:
        yield f"    from     {text.labels(notification.external_labels)}"


def _notice(notification: Notification, notice: Notice) -> Iterator[str]:
    severity = f" ({text.line(notice.severity)})" if notice.severity else ""
    yield (
        f"{text.utc(notification.created)} {text.state(notice)} {text.line(notice.name)}{severity}"
        f" -> {text.line(notification.receiver)}"
    )
    yield f"    why      {text.line(notice.why)}"
    if notice.value:
        yield f"    value    {text.line(notice.value)}"
    since = f"    since    {text.utc(notice.fired_at)}"
    if notice.resolved_at is not None:
        since += f" until {text.utc(notice.resolved_at)}"
        since += f" ({text.line(notice.ended)})" if notice.ended else ""
    yield since
    if notice.labels:
        yield f"    labels   {text.labels(notice.labels)}"
    for name, prose in text.remarks(notice):
        first, *rest = text.lines(prose).rstrip("\n").split("\n")
        yield f"    {text.line(name):8} {first}"
        yield from (f"             {each}" for each in rest)
    for words, url in text.links(notice).items():
        yield f"    {words:8} {url}"
