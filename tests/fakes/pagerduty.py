"""A stand-in for PagerDuty's Events API v2: strict about fields and sizes, with incidents that open and close.

The limits are those of PagerDuty's own description of the API: a routing key of 32 characters, a dedup key of at
most 255, a summary of at most 1,024, an event of at most 512 KB. Lengths are counted in UTF-16 units, the
strictest reading of "characters".
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.fakes.ledger import Fake, Reply, Request, arguments, read_ledger, serve

if TYPE_CHECKING:
    from pathlib import Path

ROUTING_KEY = "R0123456789abcdefghijklmnopqrstu"
_MOST = 512 * 1024
_TOP = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
_PAYLOAD = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
_CHANGE = {"summary", "source", "timestamp", "custom_details"}
_SEVERITIES = ("critical", "error", "warning", "info")


class Incidents:
    """Every (routing key, dedup key): triggered, acknowledged or resolved, and how often it was opened."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, str], str] = {}
        self.opened: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.events: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def apply(self, event: dict[str, Any], dedup_key: str) -> None:
        """Take one event in."""
        key = (event["routing_key"], dedup_key)
        action, state = event["event_action"], self.state.get(key, "resolved")
        self.events[key].append(action)
        if action == "trigger" and state == "resolved":
            self.opened[key] += 1
            self.state[key] = "triggered"
        elif action == "acknowledge" and state == "triggered":
            self.state[key] = "acknowledged"
        elif action == "resolve" and key in self.state:
            self.state[key] = "resolved"

    @property
    def open(self) -> list[str]:
        """The dedup keys that page somebody now."""
        return sorted(key for (_, key), state in self.state.items() if state != "resolved")

    @property
    def total(self) -> int:
        """How many incidents there ever were."""
        return sum(self.opened.values())


def incidents_of(ledger: Path) -> Incidents:
    """What the accepted events of a ledger file amount to."""
    incidents = Incidents()
    for entry in read_ledger(ledger):
        if entry["accepted"]:
            incidents.apply(entry["body"], entry["body"].get("dedup_key") or entry["why"])
    return incidents


class PagerDuty(Fake):
    """POST /v2/enqueue and /v2/change/enqueue. `limit`: events a minute and routing key; 0: no limit."""

    name = "pagerduty"

    def __init__(
        self, port: int = 0, ledger: Path | None = None, *, routing_keys: tuple[str, ...] = (), limit: int = 0
    ) -> None:
        self.incidents = Incidents()
        self.changes: list[dict[str, Any]] = []
        self.routing_keys = routing_keys  # empty: any of 32 characters
        self._limit = limit
        self._recent: defaultdict[str, list[float]] = defaultdict(list)
        super().__init__(port, ledger)

    def judge(self, request: Request) -> Reply:
        paths = {"/v2/enqueue": faults, "/v2/change/enqueue": change_faults}
        if request.method != "POST" or request.path not in paths:
            return Reply.of(404, {"status": "not found", "message": "No such path"}, why="no such path")
        if len(request.body) > _MOST:
            return _invalid(413, [f"the event is longer than {_MOST} bytes"])
        event = request.json()
        wrong = paths[request.path](event)
        if not wrong and self.routing_keys and event["routing_key"] not in self.routing_keys:
            wrong = ["'routing_key' is invalid"]
        if wrong:
            return _invalid(400, wrong)
        if self._too_many(event["routing_key"]):
            message = {"status": "throttle exceeded", "message": "Requests for this routing key are too many"}
            return Reply.of(429, message, why="throttled")
        if request.path == "/v2/change/enqueue":
            self.changes.append(event)
            return Reply.of(202, {"status": "success", "message": "Change event processed"}, accepted=True)
        key = event.get("dedup_key") or f"minted-{len(self.requests)}"
        self.incidents.apply(event, key)
        done = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Reply.of(202, done, accepted=True, why=key)

    def _too_many(self, routing_key: str) -> bool:
        now = time.monotonic()
        recent = self._recent[routing_key] = [at for at in self._recent[routing_key] if at > now - 60]
        if self._limit and len(recent) >= self._limit:
            return True
        recent.append(now)
        return False


def _invalid(status: int, errors: list[str]) -> Reply:
    document = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return Reply.of(status, document, why="; ".join(errors))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def faults(event: Any) -> list[str]:
    """What PagerDuty would not take in an event."""
    if not isinstance(event, dict):
        return ["the event is not a JSON object"]
    wrong = [f"unknown field {name!r}" for name in sorted(set(event) - _TOP)]
    if not isinstance(event.get("routing_key"), str) or len(event["routing_key"]) != 32:
        wrong.append("'routing_key' must be 32 characters")
    key = event.get("dedup_key")
    if key is not None and (not isinstance(key, str) or not 1 <= _units(key) <= 255):
        wrong.append("'dedup_key' must be 1 to 255 characters")
    action = event.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        wrong.append("'event_action' is invalid")
    elif action != "trigger" and not key:
        wrong.append("'dedup_key' is missing or blank")
    if action == "trigger" or "payload" in event:
        wrong += _payload_faults(event.get("payload"))
    wrong += [f"'{name}' is not text" for name in ("client", "client_url") if not isinstance(event.get(name, ""), str)]
    return wrong + _link_faults(event)


def change_faults(event: Any) -> list[str]:
    """What PagerDuty would not take in a change event."""
    if not isinstance(event, dict):
        return ["the event is not a JSON object"]
    wrong = [f"unknown field {name!r}" for name in sorted(set(event) - {"routing_key", "payload", "links", "images"})]
    if not isinstance(event.get("routing_key"), str) or len(event["routing_key"]) != 32:
        wrong.append("'routing_key' must be 32 characters")
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return [*wrong, "'payload' is missing or blank"]
    wrong += [f"unknown field 'payload.{name}'" for name in sorted(set(payload) - _CHANGE)]
    wrong += _summary_faults(payload, ("summary",))
    if not isinstance(payload.get("custom_details", {}), dict):
        wrong.append("'payload.custom_details' is invalid")
    return wrong + _link_faults(event)


def _link_faults(event: dict[str, Any]) -> list[str]:
    links = [link.get("href") if isinstance(link, dict) else None for link in event.get("links", ())]
    images = [image.get("src") if isinstance(image, dict) else None for image in event.get("images", ())]
    wrong = ["'links' must have an href" for each in links if not str(each).startswith(("http://", "https://"))]
    return wrong + ["'images' must have an https src" for each in images if not str(each).startswith("https://")]


def _payload_faults(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    wrong = [f"unknown field 'payload.{name}'" for name in sorted(set(payload) - _PAYLOAD)]
    wrong += _summary_faults(payload, ("summary", "source"))
    if payload.get("severity") not in _SEVERITIES:
        wrong.append("'payload.severity' is invalid")
    optional = ("timestamp", "component", "group", "class")
    wrong += [f"'payload.{name}' is not text" for name in optional if not isinstance(payload.get(name, ""), str)]
    if not isinstance(payload.get("custom_details", {}), dict | str):
        wrong.append("'payload.custom_details' is invalid")
    return wrong


def _summary_faults(payload: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    texts = {name: payload.get(name) for name in names}
    good = {name for name, text in texts.items() if isinstance(text, str) and text.strip() and _units(text) <= 1024}
    return [f"'payload.{name}' must be 1 to 1024 characters" for name in names if name not in good]


if __name__ == "__main__":
    parser = arguments("takes PagerDuty's Events API v2")
    parser.add_argument("--limit", type=int, default=0, help="events a minute and routing key")
    options = parser.parse_args()
    serve(PagerDuty(options.port, options.ledger, limit=options.limit))
