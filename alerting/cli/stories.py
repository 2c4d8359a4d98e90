"""What became of the telling of one alert, receiver by receiver: what each stage decided, how each attempt ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.cli.times import shown
from alerting.model import DeliveryState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Attempt, Decision, Delivery, Millis, Notification
    from alerting.ports import Account

MESSAGE = "message"  # the stage of what was put into one


class Story(NamedTuple):
    """One receiver's part; the lines oldest first."""

    receiver: str  # empty: what concerns nobody
    route: str = ""
    group: str = ""
    lines: Sequence[tuple[Millis, str]] = ()


def stories(account: Account, episode: str, at: Millis) -> list[Story]:
    """Tell of one episode (empty: of all) what happened up to `at`."""
    decisions = [each for each in account.decisions if episode in ("", each.episode) or not each.episode]
    messages = [(delivery, tries) for delivery, tries in account.messages if _tells(delivery.notification, episode)]
    receivers = dict.fromkeys(
        [each.receiver for each in decisions] + [delivery.notification.receiver for delivery, _ in messages]
    )
    return [_story(receiver, decisions, messages, at) for receiver in receivers]


def _tells(message: Notification, episode: str) -> bool:
    return not episode or any(notice.episode == episode for notice in (*message.firing, *message.resolved))


def _story(
    receiver: str,
    decisions: Sequence[Decision],
    messages: Sequence[tuple[Delivery, tuple[Attempt, ...]]],
    at: Millis,
) -> Story:
    mine = [each for each in decisions if each.receiver == receiver]
    sent = [(each, tries) for each, tries in messages if each.notification.receiver == receiver]
    lines = [(each.at, 0, decided(each)) for each in mine]
    for delivery, tries in sent:
        for when, line in delivered(delivery, tries, at):
            lines.append((when, 1, line))
    lines.sort(key=lambda line: line[:2])
    routes = (each.why if each.stage == MESSAGE else each.route for each in reversed(mine))
    route = next((each for each in routes if each), "")
    labels = next((each.notification.group_labels for each, _ in reversed(sent)), {})
    group = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return Story(receiver, route, group, [(when, line) for when, _, line in lines])


def decided(decision: Decision) -> str:
    """Say what a stage decided: `firing held by silence ab12 until 10:05:00Z: silenced by ann`."""
    by = f" {decision.by}" if decision.by and decision.stage != MESSAGE else ""
    if decision.outcome == "told":
        return f"{decision.step}: put into message {decision.by[:8]}"
    until = f" until {shown(decision.until)}" if decision.outcome == "held" and decision.until else ""
    return f"{decision.step} {decision.outcome} by {decision.stage}{by}{until}: {decision.why}"


def delivered(delivery: Delivery, tries: Sequence[Attempt], at: Millis) -> Iterator[tuple[Millis, str]]:
    """Tell of one message: that it came to be owed, each attempt with its answer, and where it stands."""
    message = delivery.notification
    name = f"message {message.id[:8]}"
    yield message.created, f"{name} owed, {message.reason}: {message.title}"
    for each in tries:
        yield each.at, f"{name} {attempted(each)}"
    told = bool(tries) and tries[-1].state is not DeliveryState.PENDING
    unseen = delivery.attempts - max((each.number for each in tries), default=0)
    if unseen > 0 and not told:
        yield at, f"{name}: {unseen} more attempt{'s' * (unseen != 1)} whose end nobody saw ({delivery.why})"
    if told or delivery.state is DeliveryState.SENT:
        return
    if delivery.state in (DeliveryState.PENDING, DeliveryState.CLAIMED):
        doing = (
            "is being sent"
            if delivery.state is DeliveryState.CLAIMED
            else f"is tried next at {shown(delivery.next_at)}"
        )
        yield (
            at,
            f"{name} {doing if delivery.next_at or delivery.state is DeliveryState.CLAIMED else 'waits to be sent'}",
        )
    else:
        yield delivery.settled_at or at, f"{name} {delivery.state}: {delivery.why}"


def attempted(attempt: Attempt) -> str:
    """Say how an attempt ended: `attempt 2: 503 from Slack; to be tried again`."""
    what = "no attempt" if attempt.outcome is None else f"attempt {attempt.number}"
    if attempt.state is DeliveryState.SENT:
        return f"{what}: sent" + (f" ({attempt.why})" if attempt.why and attempt.why != "ok" else "")
    after = "to be tried again" if attempt.state is DeliveryState.PENDING else attempt.state
    means = "it may have arrived; " if attempt.outcome is Outcome.UNKNOWN else ""
    return f"{what}: {attempt.why or attempt.outcome}; {means}{'given up' if after is DeliveryState.PARKED else after}"
