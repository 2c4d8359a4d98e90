"""Records for the tests of the store and the outbox, made from a few words."""

from __future__ import annotations

from alerting.model import (
    Alert,
    AlertKey,
    AlertState,
    Answer,
    Delivery,
    DeliveryState,
    Labels,
    Notice,
    Notification,
    Outcome,
    Transition,
)

AT = 1_700_000_000_000


def key(name: str = "disk") -> AlertKey:
    """The key of the alert of that name."""
    return AlertKey(f"rules/{name}.yaml#{name}", Labels({"mount": "/"}).fingerprint)


def alert(name: str = "disk", state: AlertState = AlertState.FIRING, **fields) -> Alert:
    """An alert, by default firing."""
    made = Alert(key(name), Labels({"mount": "/"}), state, AT, 91.2, f"{name} = 91.2% > 85%", AT, episode=f"{name}-1")
    return made._replace(**fields)


def notice(name: str = "disk", step: str = "firing", episode: str = "1") -> Notice:
    """What a message says of it."""
    ended = {"resolved_at": AT + 60_000, "ended": "recovered"} if step == "resolved" else {}
    return Notice(
        key(name),
        f"{name}-{episode}",
        step,
        name,
        {"mount": "/"},
        "error",
        "91.2%",
        f"{name} = 91.2% > 85%",
        AT,
        **ended,
    )


def owed(
    id_: str, receiver: str = "slack", group_key: str = "k", name: str = "disk", step: str = "firing"
) -> Notification:
    """A notification about one alert."""
    told = (notice(name, step),)
    firing, resolved = ((), told) if step == "resolved" else (told, ())
    return Notification(
        id_, receiver, group_key, "1 new", AT, f"{name} {step}", firing, resolved, {"instance": "web-1"}
    )


def transition(name: str = "disk", at: int = AT) -> Transition:
    """From pending to firing."""
    return Transition(
        key(name), Labels({"mount": "/"}), AlertState.PENDING, AlertState.FIRING, at, 91.2, f"{name} = 91.2% > 85%", "1"
    )


def sent(delivery: Delivery, at: int = AT, **fields) -> Delivery:
    """The delivery as it stands after a success."""
    done = delivery._replace(
        state=DeliveryState.SENT,
        attempts=delivery.attempts + 1,
        outcome=Outcome.SENT,
        why="ok",
        receipt={"ts": "1.2"},
        settled_at=at,
    )
    return done._replace(**fields)


def parked(delivery: Delivery, why: str = "refused for good: no such channel", at: int = AT) -> Delivery:
    """The delivery given up."""
    return sent(delivery, at, state=DeliveryState.PARKED, outcome=Outcome.REFUSED, why=why, receipt=None)


def failed(delivery: Delivery, next_at: int, why: str = "500") -> Delivery:
    """The delivery after an attempt that is to be made again."""
    return sent(delivery, 0, state=DeliveryState.PENDING, outcome=Outcome.RETRY, why=why, next_at=next_at, receipt=None)


OK = Answer(Outcome.SENT, "ok", receipt={"ts": "1.2"})


def balance(counts) -> int:
    """What the accounts are off by: created = sent + parked + folded + pending + claimed."""
    return counts["created"] - sum(counts[state] for state in ("sent", "parked", "folded", "pending", "claimed"))
