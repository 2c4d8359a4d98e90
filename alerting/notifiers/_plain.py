"""A message as plain text: for the console, mail, and whoever takes text alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import Step
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.model import Notice, Notification

_TOLD = frozenset(Step) - {Step.FIRING, Step.RESOLVED, Step.ONGOING}  # steps that the state does not say by itself
_SHOWN = 50  # alerts in a text; more are counted


def body(notification: Notification) -> str:
    """Give the whole message under its title: notes, each alert, and where it comes from."""
    notices = text.changed_first(notification)
    parts = ["\n".join(text.line(note) for note in notification.notes)]
    parts += ["\n".join(block(notice)) for notice in notices[:_SHOWN]]
    if len(notices) > _SHOWN:
        parts.append(f"and {len(notices) - _SHOWN} more")
    parts.append(footer(notification))
    return "\n\n".join(part for part in parts if part)


def footer(notification: Notification) -> str:
    """Say in one line why this was sent, by which way, and from where."""
    parts = (notification.reason, notification.route, text.labels(notification.external_labels, 1000))
    return " · ".join(text.cut(text.line(part), 1000) for part in parts if part)


def block(notice: Notice) -> Iterator[str]:
    """Give the lines of one alert."""
    yield heading(notice)
    yield from facts(notice)


def heading(notice: Notice) -> str:
    """Say state, name, how grave, and what has happened besides: `FIRING DiskSpaceLow (critical, worse)`."""
    step = notice.step if notice.step in _TOLD else ""
    brackets = ", ".join(text.line(part) for part in (notice.severity, step) if part)
    return f"{text.state(notice)} {text.line(notice.name)}{f' ({brackets})' if brackets else ''}"


def facts(notice: Notice) -> Iterator[str]:
    """Give the lines under an alert's name."""
    yield f"    why      {text.line(notice.why)}"
    if notice.value:
        yield f"    value    {text.line(notice.value)}"
    since = f"    since    {text.utc(notice.fired_at)}"
    if notice.resolved_at is not None:
        since += f" until {text.utc(notice.resolved_at)}"
        since += f" ({text.line(notice.ended)})" if notice.ended else ""
    yield since
    if notice.acked and notice.resolved_at is None:
        yield f"    taken by {text.line(notice.acked)}"
    if notice.flapping and notice.resolved_at is None:
        yield f"    flapping {text.line(notice.flapping)}"
    if notice.labels:
        yield f"    labels   {text.labels(notice.labels)}"
    for name, prose in text.remarks(notice):
        first, *rest = text.lines(prose).rstrip("\n").split("\n")
        yield f"    {text.line(name):8} {first}"
        yield from (f"             {each}" for each in rest)
    for words, url in text.links(notice).items():
        yield f"    {words:8} {url}"
