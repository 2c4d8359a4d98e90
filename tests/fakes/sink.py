"""A stand-in for whoever takes a webhook: it takes Alertmanager's version 4 payload and refuses anything else."""

from __future__ import annotations

from typing import Any

from tests.fakes.ledger import Fake, Reply, Request, arguments, serve

_TEXTS = ("groupKey", "status", "receiver", "externalURL")
_MAPS = ("groupLabels", "commonLabels", "commonAnnotations")
_ALERT_TEXTS = ("status", "startsAt", "endsAt", "generatorURL", "fingerprint")


class Sink(Fake):
    """Answers 200 to a payload of version 4, 400 to anything else."""

    name = "sink"

    def judge(self, request: Request) -> Reply:
        wrong = faults(request)
        if wrong:
            return Reply(400, "\n".join(wrong), {"content-type": "text/plain"}, why="; ".join(wrong))
        return Reply(200, "", {"content-type": "text/plain"}, accepted=True)

    @property
    def hook(self) -> str:
        """The address for a receiver's settings."""
        return f"{self.url}/hook"


def faults(request: Request) -> list[str]:
    """What is wrong with a request, judged by the fields that Alertmanager documents."""
    document = request.json()
    if request.method != "POST" or not request.headers.get("content-type", "").startswith("application/json"):
        return ["not a POST of application/json"]
    if not isinstance(document, dict) or document.get("version") != "4":
        return ["not a payload of version 4"]
    wrong = [f"{name} is not text" for name in _TEXTS if not isinstance(document.get(name), str)]
    wrong += [f"{name} is not a map of texts" for name in _MAPS if not _texts(document.get(name))]
    if not isinstance(document.get("truncatedAlerts"), int):
        wrong.append("truncatedAlerts is not a number")
    if document.get("status") not in ("firing", "resolved"):
        wrong.append("status is neither firing nor resolved")
    alerts = document.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        return [*wrong, "no alerts"]
    for alert in alerts:
        wrong += [f"an alert's {name} is not text" for name in _ALERT_TEXTS if not isinstance(alert.get(name), str)]
        wrong += [
            f"an alert's {name} are not texts" for name in ("labels", "annotations") if not _texts(alert.get(name))
        ]
    return wrong


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


if __name__ == "__main__":
    options = arguments("takes webhooks of Alertmanager's version 4").parse_args()
    serve(Sink(options.port, options.ledger))
