"""Mistakes in sending, and in what is made of the answers of receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting import attempt, outbox
from alerting.core import backoff
from alerting.core.telling.folding import Folded
from alerting.model import Answer, Outcome
from alerting.notifiers import _pagerduty_client, _wire, slack
from alerting.outbox import Outbox
from alerting.store import outlook
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from alerting.engine import Engine
    from alerting.model import Notification
    from tests.simulate.mistakes import Plant


@mistake
def lost_answer_taken_for_success(plant: Plant) -> None:
    """A connection that breaks after the request was written counts as delivered."""
    plant.swap(_wire, "lost", lambda failure: Answer(Outcome.SENT, str(failure)))


@mistake
def any_200_taken_for_success(plant: Plant) -> None:
    """Slack's answer counts by its status; `ok` is not looked at."""
    fine = {"ok": True, "channel": "C0", "ts": "1.0"}
    plant.swap(slack, "document", lambda answer: {**fine, **_wire.document(answer), "ok": True})


@mistake
def refused_for_good_and_tried_again(plant: Plant) -> None:
    """A receiver's final no is taken for an outage."""
    original = attempt.after

    def after(attempts: int, answer: Answer, *arguments: Any, **options: Any) -> Any:
        if answer.outcome is Outcome.REFUSED:
            answer = answer._replace(outcome=Outcome.RETRY)
        return original(attempts, answer, *arguments, **options)

    plant.swap(attempt, "after", after)


@mistake
def retry_after_not_read(plant: Plant) -> None:
    """A receiver's wish to be left alone is not heard."""
    plant.swap(_wire, "retry_at", lambda _answer, _now: None)


@mistake
def given_up_within_minutes(plant: Plant) -> None:
    """An outage of a few minutes costs the messages."""
    original = Outbox.__init__

    def build(self: Outbox, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "limits": backoff.Limits(patience=60_000, least=3)})

    plant.swap(Outbox, "__init__", build)


@mistake
def no_pause_between_attempts(plant: Plant) -> None:
    """A receiver that is down is asked as often as the loop turns."""
    plant.swap(attempt, "pause", lambda *_: 0)
    plant.swap(backoff, "pause", lambda *_: 0)


@mistake
def nobody_wakes_the_sender(plant: Plant) -> None:
    """Messages wait until a lane happens to look."""
    plant.swap(Outbox, "wake", lambda _self, _receiver: None)


@mistake
def messages_wait_by_the_wall(plant: Plant) -> None:
    """Waits of messages follow the wall clock, and so do not end for a day when it is set back by one."""
    plant.swap(Outbox, "_now", lambda self: self._clock.now())


@mistake
def younger_messages_overtake(plant: Plant) -> None:
    """While one message of a key waits, the next of that key is sent."""
    first, found, rest = outlook._CLAIMABLE.partition(" LIMIT 1) IS NOT 0")
    if not found:
        raise LookupError("the claim is written in another way now: the gallery must follow the code")
    plant.swap(outlook, "_CLAIMABLE", f"{first} LIMIT 1) IS NOT 2{rest}")


@mistake
def resolved_as_another_trigger(plant: Plant) -> None:
    """PagerDuty is told of an end as of a beginning."""
    original = _pagerduty_client.send
    first = {"summary": "x", "source": "x", "severity": "error"}

    def send(wire: Any, base_url: str, routing_key: str, event: dict[str, Any]) -> None:
        original(wire, base_url, routing_key, {"payload": first, **event, "event_action": "trigger"})

    plant.swap(_pagerduty_client, "send", send)


@mistake
def one_incident_per_message(plant: Plant) -> None:
    """The dedup key is the message's, not the episode's: no resolve ever closes its incident."""

    def altered(message: Notification, _: Engine) -> Notification:
        return message._replace(group_key=message.id) if message.receiver == "pager" else message

    plant.rewriting(altered)


@mistake
def folded_without_a_word(plant: Plant) -> None:
    """Of messages that piled up only the newest is sent; what the others had to say is told to nobody."""
    plant.swap(outbox, "folded", lambda waiting, *_: Folded(len(waiting), waiting[-1]))


@mistake
def page_folded_into_its_resolve(plant: Plant) -> None:
    """What is over by the time the pager can be reached is told as a resolve alone, which pages nobody."""
    original = outbox.folded
    plant.swap(outbox, "folded", lambda waiting, *_: original(waiting, "group"))
